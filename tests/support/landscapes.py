"""Networks whose loss is a known function of their weights."""

import numpy as np
import torch
from torch import nn

from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.task import Task


class Height(nn.Module):
    """Returns a height of its weights for each example."""

    def __init__(self, height, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, dtype=torch.float64))
        self.height = height

    def forward(self, x):
        return self.height(self.weight) + 0 * x


def landscape(height, width=2):
    """A task whose training loss is `height(weights)`; its test loss is 1 more."""
    train, test = np.zeros((2, 1)), np.ones((2, 1))
    data = Dataset(train, train, test, test)
    return Task(Height(height, width), data, loss=shifted, metrics={})


def shifted(outputs, targets):
    return (outputs + targets).squeeze(1)


CENTRES = ((0.0, 0.0), (4.0, 0.0), (0.0, 5.0))
FLOORS = (0.0, 0.5, 0.25)


def wells(weights):
    """Three parabolas, the lowest of which counts: the passes lie where two are equal."""
    centres = torch.tensor(CENTRES, dtype=weights.dtype)
    floors = torch.tensor(FLOORS, dtype=weights.dtype)
    return (((weights - centres) ** 2).sum(1) + floors).min()


def bowl(weights):
    return (weights**2).sum()
