"""Small networks and tasks of every kind that the engine must handle."""

import numpy as np
import torch
from torch import nn

from jumpretrain.networks.models import mlp
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task


class Tied(nn.Module):
    """An autoencoder whose decoder is its encoder transposed, with one frozen parameter."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(6, 3)
        self.decoder = nn.Linear(3, 6)
        self.twin = nn.Linear(6, 3)
        self.twin.weight = self.encoder.weight
        self.shift = nn.Parameter(torch.full((6,), 0.5), requires_grad=False)

    def forward(self, x):
        return self.decoder(torch.tanh(self.encoder(x)) + self.twin(x)) + self.shift


class Tokens(nn.Module):
    """A transformer block over token embeddings; the padding token's, if any, stays zero."""

    def __init__(self, padding_idx=None):
        super().__init__()
        self.embedding = nn.Embedding(12, 8, padding_idx=padding_idx)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.block(self.embedding(x)).mean(1))


def normed():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


def normed_mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def dropped():
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))


def held(network, **values):
    """Let a network hold values as attributes.

    Returns:
        The network.
    """
    for name, value in values.items():
        setattr(network, name, value)
    return network


def vectors(count=44, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6)).astype(dtype)
    y = rng.integers(3, size=count)
    return Dataset(x, y, x[:12], y[:12])


def images(count=44, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 1, 4, 4)).astype(dtype)
    y = rng.integers(3, size=count)
    return Dataset(x, y, x[:12], y[:12])


def tokens(count=44, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(12, size=(count, 5)), rng.integers(3, size=count)
    return Dataset(x, y, x[:12], y[:12])


def as_targets(data):
    return Dataset(data.train_x, data.train_x, data.test_x, data.test_x)


def double(build):
    return lambda: build().double()


TASKS = {
    "mlp": lambda: Task(double(lambda: mlp((6,), 3, hidden=(8,))), vectors(dtype=np.float64)),
    "conv with BatchNorm": lambda: Task(double(normed), images(dtype=np.float64)),
    "mlp with BatchNorm": lambda: Task(double(normed_mlp), vectors(dtype=np.float64)),
    "transformer": lambda: Task(double(Tokens), tokens()),
    "padded transformer": lambda: Task(double(lambda: Tokens(padding_idx=0)), tokens()),
    "tied autoencoder": lambda: Task(
        double(Tied), as_targets(vectors(dtype=np.float64)), loss=squared_error
    ),
    "dropout": lambda: Task(double(dropped), vectors(dtype=np.float64)),
}
