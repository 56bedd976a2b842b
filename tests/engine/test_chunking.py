"""The rule by which runs are trained together or one by one, read off the parts."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.engine.chunking import STACKED_WEIGHTS, plan_chunks
from jumpretrain.execution.execution import Execution
from jumpretrain.tasks.task import Task


def divided(task, count=6, **choice):
    states = np.stack([task.initial(seed) for seed in range(min(count, 2))])
    mode, reason, parts = plan_chunks(task, states, count, Execution(**choice))
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
