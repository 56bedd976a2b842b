"""What is measured on a path of a study, where it can be."""

import numpy as np
import pytest
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.studies.path_statistics import measure


class Headed(nn.Module):
    """Two heads, whose outputs are no single tensor."""

    def __init__(self, kind):
        super().__init__()
        self.one, self.other, self.kind = nn.Linear(6, 3), nn.Linear(6, 3), kind

    def forward(self, x):
        return self.kind({"one": self.one(x), "other": self.other(x)})


def of_the_first(outputs, targets):
    one = outputs["one"] if isinstance(outputs, dict) else outputs[0]
    return nn.functional.cross_entropy(one, targets, reduction="none")


def headed(seed, group):
    def build():
        return Headed(dict if group == "dict" else lambda outputs: tuple(outputs.values()))

    return nets.Task(build, nets.vectors(seed=seed), loss=of_the_first)


@pytest.mark.parametrize("group", ["dict", "tuple"])
def test_outputs_that_are_no_single_tensor_turn_by_nothing_known(group):
    task = headed(0, group)
    found = measure(task, jr.interpolate(task, task.initial(0), task.initial(1), alphas=3))
    lengths = [name for name in found if name.startswith("test_gauss_length")]
    assert len(lengths) == 4 and np.isnan([found[name] for name in lengths]).all()
    known = ("train_min_delta", "train_barrier_above_ends", "weight_distance", "end_test_loss")
    assert np.isfinite([found[name] for name in known]).all()


def test_a_path_that_stays_where_it_is_rises_turns_and_moves_by_nothing():
    task = nets.Task(lambda: nets.mlp((6,), 3, hidden=(4,)), nets.vectors())
    state = task.initial(0)
    found = measure(task, jr.interpolate(task, state, state, alphas=3))
    nothing = ("train_min_delta", "train_barrier_above_ends", "test_gauss_length_mean")
    assert [found[name] for name in (*nothing, "weight_distance")] == [0, 0, 0, 0]
