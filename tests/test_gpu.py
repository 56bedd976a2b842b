"""A GPU beside the CPU, in float64: the same states, scores and paths."""

import numpy as np
import pytest
import torch
from support import nets

import jumpretrain as jr
from jumpretrain.engine.batches import seed_of_step
from jumpretrain.execution.randomness import seeded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU")
KINDS = ["mlp", "mlp with BatchNorm", "conv with BatchNorm", "transformer", "tied autoencoder"]
RECIPE = jr.Recipe(epochs=3, lr=0.02, batch_size=10)


def quiet(**choice):
    return jr.Execution(progress=False, **choice)


def both(kind):
    task = nets.TASKS[kind]()
    return task, jr.Task(task.model, task.data, task.loss, device="cuda")


def assert_same_scores(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("mode", ["looped", "stacked"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_passes_through_the_same_states(kind, mode, optimiser):
    recipe = jr.Recipe(epochs=3, lr=0.02, batch_size=10, optimiser=optimiser)
    runs = [jr.train(task, recipe, [4, 5], execution=quiet(mode=mode)) for task in both(kind)]
    expected, found = runs
    assert found.provenance["execution"]["mode"] == mode
    assert isinstance(found.states, np.ndarray)
    np.testing.assert_allclose(found.states, expected.states, rtol=0, atol=1e-9)
    assert_same_scores(found.metrics, expected.metrics)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_same(kind):
    here, there = both(kind)
    states = np.stack([here.initial(seed) for seed in range(3)])
    np.testing.assert_array_equal(there.initial(1), here.initial(1))
    assert_same_scores(jr.evaluate(there, states), jr.evaluate(here, states))


@pytest.mark.parametrize("kind", ["mlp", "conv with BatchNorm"])
def test_jumps_and_paths_are_the_same(kind):
    here, there = both(kind)
    ends = here.initial(0), here.initial(1)
    jumps = [
        jr.sample(task, ends[0], RECIPE, directions=2, execution=quiet()) for task in (here, there)
    ]
    np.testing.assert_allclose(jumps[1].states, jumps[0].states, rtol=0, atol=1e-9)
    assert_same_scores(jumps[1].metrics, jumps[0].metrics)
    paths = [jr.interpolate(task, *ends, alphas=5, execution=quiet()) for task in (here, there)]
    assert_same_scores(paths[1].metrics, paths[0].metrics)


@pytest.mark.parametrize("kind", ["mlp", "conv with BatchNorm", "dropout"])
def test_a_folder_of_a_gpu_repeats_its_bits(kind, tmp_path):
    task = both(kind)[1]
    whole = jr.train(task, RECIPE, range(4), execution=quiet(chunk=2))
    execution = quiet(chunk=2, checkpoint=1, n_jobs=2)
    kept = jr.train(task, RECIPE, range(4), folder=tmp_path, execution=execution)
    np.testing.assert_array_equal(kept.states[:], whole.states)


def test_float32_convolutions_are_no_tf32():
    data = nets.images()
    whole, exact = (
        jr.Task(build, some, device="cuda")
        for build, some in (
            (nets.normed, data),
            (nets.double(nets.normed), nets.images(dtype=np.float64)),
        )
    )
    state = whole.initial(0)
    single, double = (jr.evaluate(task, [state], quiet())["train_loss"] for task in (whole, exact))
    np.testing.assert_allclose(single, double, rtol=2e-6)


def test_draws_are_keyed_and_stay_within_the_gpu():
    before = torch.cuda.get_rng_state()
    drawn = []
    for key in ((1, 2), (1, 3), (1, 2)):
        with seeded(seed_of_step(*key)):
            drawn.append(torch.rand(1, device="cuda").item())
    assert drawn[0] == drawn[2] != drawn[1]
    assert torch.equal(torch.cuda.get_rng_state(), before)
