"""Channels come last where that is fast, and a network that needs the plain order has it."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.networks.memory_order import suits_channels_last


class Viewing(nn.Module):
    """Two convolutions, flattened as the tutorials do."""

    def __init__(self, flatten):
        super().__init__()
        self.flatten = flatten
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(64, 3)

    def forward(self, x):
        return self.last(self.flatten(torch.relu(self.second(torch.relu(self.first(x))))))


def by_view(x):
    return x.view(len(x), -1)


def by_reshape(x):
    return x.reshape(len(x), -1)


@pytest.mark.parametrize(
    ("build", "suits"),
    [
        (lambda: Viewing(by_reshape), True),
        (lambda: Viewing(by_view), False),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), False),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 2, 1, 2), nn.Flatten(), nn.Linear(8, 3)),
            False,
        ),
        (lambda: nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 3)), True),
    ],
)
def test_the_order_is_the_fast_one_where_it_runs_or_nothing_does(build, suits):
    x = torch.tensor(nets.images().train_x[:2])
    assert suits_channels_last(build(), x) == suits


def test_a_network_that_flattens_by_views_trains_as_its_twin_does():
    runs, quiet = [], jr.Execution(progress=False)
    for flatten in (by_view, by_reshape):
        task = jr.Task(nets.double(lambda f=flatten: Viewing(f)), nets.images(dtype=np.float64))
        runs.append(jr.train(task, jr.Recipe(epochs=2), [0], execution=quiet))
    np.testing.assert_allclose(runs[0].states, runs[1].states, rtol=0, atol=1e-12)
