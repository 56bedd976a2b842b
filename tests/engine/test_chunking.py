"""The rule by which runs are trained together or one by one, read off the parts."""

import random

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.engine.chunking import STACKED_WEIGHTS, plan_chunks
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.tasks.task import Task

RECIPE = Recipe(epochs=3, lr=0.1, batch_size=16)  # 44 examples: batches of 16, 16 and 12


def divided(task, count=6, **choice):
    states = np.stack([task.initial(seed) for seed in range(min(count, 2))])
    mode, reason, parts = plan_chunks(task, RECIPE, states, count, Execution(**choice))
    return mode, reason, [part.tolist() for part in parts]


@pytest.mark.parametrize("mode", ["auto", "stacked", "compiled"])
def test_one_run_or_chunks_of_one_are_looped_however_asked(mode):
    task = nets.TASKS["mlp"]()
    assert divided(task, 1, mode=mode) == ("looped", "one run at a time", [[0]])
    assert divided(task, 2, mode=mode, chunk=1) == ("looped", "one run at a time", [[0], [1]])


def test_stacked_runs_come_in_chunks_and_looped_ones_alone():
    task = nets.TASKS["mlp"]()
    alone = [[run] for run in range(6)]
    assert divided(task, chunk=4) == (
        "stacked", "small and without convolutions", [[0, 1, 2], [3, 4, 5]]
    )  # fmt: skip
    assert divided(task, chunk=4, mode="looped") == ("looped", "asked for", alone)
    assert divided(nets.TASKS["dropout"](), chunk=4, mode="stacked")[::2] == ("looped", alone)


def test_convolutions_and_many_weights_are_looped_unless_asked_for():
    conv, reason = nets.TASKS["conv with BatchNorm"](), "convolutions or many weights"
    width = STACKED_WEIGHTS // 6 + 1
    large = Task(lambda: nn.Linear(6, width), nets.vectors(), loss=lambda out, y: out.mean(1))
    for task in (conv, large):
        assert divided(task, 2)[:2] == ("looped", reason)
        assert divided(task, 2, mode="stacked")[0] == "stacked"


def test_the_probe_leaves_threads_and_random_states_alone():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    divided(nets.TASKS["mlp with BatchNorm"]())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


class Wayward(nn.Module):
    """Does something else in the last batch of an epoch, as networks do by chance or by size."""

    def __init__(self, act, later=lambda: True):
        super().__init__()
        self.first, self.between, self.last = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.act, self.later = act, later

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        if self.training and len(x) == 12 and self.later():
            hidden = self.act(self, hidden)
        return self.last(hidden)


DRAWS = {
    "torch": lambda net, x: nn.functional.dropout(x),
    "NumPy": lambda net, x: x * float(np.random.rand()),  # noqa: NPY002
    "Python": lambda net, x: x * random.random(),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("mode", ["auto", "stacked"])
def test_runs_of_a_forward_that_draws_in_some_batches_only_are_looped_and_repeat(kind, mode):
    task, states = Task(lambda: Wayward(DRAWS[kind]), nets.vectors()), (random.getstate(),)
    quiet = Execution(progress=False, mode=mode)
    assert not task.random
    first, second = (train(task, RECIPE, [0, 1], execution=quiet) for _ in range(2))
    assert first.provenance["execution"]["reason"] == "the forward is random in training"
    assert np.array_equal(first.states, second.states)
    assert (random.getstate(),) == states


def test_what_vmap_refuses_in_some_batches_only_is_seen_beforehand():
    def act(net, x):
        return x if float(x.detach().sum()) > 0 else net.between(x)

    task = Task(lambda: Wayward(act), nets.vectors())
    mode, reason, _ = divided(task)
    assert mode == "looped" and "item()" in reason
    with pytest.raises(ValueError, match=r"a model that vmap accepts, but: .*use mode='auto'"):
        divided(task, mode="stacked")


def test_what_vmap_refuses_in_mid_training_is_said_and_the_remedy_helps(tmp_path):
    calls = iter(range(1000))
    task = Task(lambda: Wayward(DRAWS["torch"], lambda: next(calls) > 12), nets.vectors())
    with pytest.raises(
        ValueError, match=r"one failed: vmap.*pass Execution\(mode='looped'\)"
    ) as found:
        train(task, RECIPE, [0, 1], folder=tmp_path, execution=Execution(progress=False))
    assert "\n" not in str(found.value)
    looped = Execution(progress=False, mode="looped")
    assert (train(task, RECIPE, [0, 1], folder=tmp_path, execution=looped).status == "ok").all()


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "nadam", "rmsprop", "adagrad"])
def test_a_layer_that_only_some_batches_use_moves_as_it_does_alone(optimiser):
    task = Task(lambda: Wayward(lambda net, x: x + net.between(x)), nets.vectors())
    recipe = Recipe(epochs=3, lr=0.01, batch_size=16, optimiser=optimiser, weight_decay=0.1)
    stacked, looped = (
        train(task, recipe, [0, 1], execution=Execution(progress=False, mode=mode))
        for mode in ("stacked", "looped")
    )
    assert stacked.provenance["execution"]["mode"] == "stacked"
    np.testing.assert_allclose(stacked.states, looped.states, rtol=1e-4, atol=1e-5)
