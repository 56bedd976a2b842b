"""Every execution against the loop by hand: whole runs in float64, step by step in float32."""

import itertools

import numpy as np
import pytest
from support import nets

from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.tasks.task import Task
from tests.engine.test_train import by_hand

KINDS = ["mlp", "conv with BatchNorm", "transformer"]
CASES = [
    *itertools.product(["looped", "stacked"], KINDS, ["sgd", "adam"]),
    *(
        pytest.param("compiled", kind, optimiser, marks=pytest.mark.slow)
        for kind, optimiser in zip(KINDS, ["adam", "sgd", "adam"], strict=True)
    ),
]
SINGLE = {
    "mlp": lambda: Task(lambda: mlp((6,), 3, hidden=(8,)), nets.vectors()),
    "conv with BatchNorm": lambda: Task(nets.normed, nets.images()),
    "transformer": lambda: Task(nets.Tokens, nets.tokens()),
}


def trained(mode, task, recipe, seeds, states=None):
    runs = train(task, recipe, seeds, states, execution=Execution(mode=mode, progress=False))
    assert runs.provenance["execution"]["mode"] == mode
    return runs


@pytest.mark.parametrize(("mode", "kind", "optimiser"), CASES)
def test_a_whole_run_in_float64_is_that_of_the_loop_by_hand(mode, kind, optimiser):
    task = nets.TASKS[kind]()
    recipe = Recipe(epochs=3, lr=0.02, batch_size=10, optimiser=optimiser)
    runs = trained(mode, task, recipe, [4, 5])
    steps = recipe.record_steps(recipe.batches(len(task.data.train_x)))
    for k, seed in enumerate((4, 5)):
        expected = by_hand(task, recipe, seed, task.initial(seed))[steps]
        np.testing.assert_allclose(runs.states[k], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("mode", "kind", "optimiser"), CASES[:-1])  # a compilation of a minute
def test_each_step_in_float32_is_that_of_the_loop_by_hand(mode, kind, optimiser):
    task = SINGLE[kind]()
    way = Recipe(epochs=2, lr=0.02, batch_size=10, optimiser=optimiser)
    path = by_hand(task, way, 0, task.initial(0))[:-1]
    step = Recipe(epochs=1, lr=0.02, batch_size=44, optimiser=optimiser)
    found = trained(mode, task, step, [0] * len(path), path).final
    expected = np.stack([by_hand(task, step, 0, state)[-1] for state in path])
    assert np.abs(expected - path).max() > 1e-3
    slope = Recipe(epochs=1, lr=1.0, momentum=0.0, batch_size=44)
    gradient = path - np.stack([by_hand(task, slope, 0, state)[-1] for state in path])
    weights = np.arange(path.shape[1]) < task.weight_count
    # Adam divides by the size of the gradient: where that is rounding, so is the step.
    steady = (np.abs(gradient) > 1e-6) | (optimiser == "sgd") | ~weights
    assert steady.mean() > 0.7
    np.testing.assert_allclose(found[steady], expected[steady], rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["looped", "stacked", "compiled"])
def test_dropout_is_looped_whatever_is_asked_for_and_equal_however_chunked(mode):
    task, recipe = nets.TASKS["dropout"](), Recipe(epochs=2, batch_size=8)
    together, apart = (
        train(task, recipe, [0, 1, 2], execution=Execution(mode=mode, chunk=n, progress=False))
        for n in (3, 1)
    )
    assert together.provenance["execution"]["mode"] == "looped"
    assert np.array_equal(together.states, apart.states)
    again = train(task, recipe, [2], execution=Execution(progress=False))
    assert np.array_equal(again.states[0], together.states[2])
