"""Small networks whose function depends on more than ordinary weights."""

import warnings

import torch
from support import nets
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.spectral_norm import spectral_norm as spectral_hook
from torch.nn.utils.weight_norm import weight_norm as weight_hook

from jumpretrain.tasks.task import Task


def between(first, last=None):
    """Two layers around a tanh."""
    return nn.Sequential(first, nn.Tanh(), nn.Linear(8, 3) if last is None else last)


def spectral():
    norm = parametrizations.spectral_norm
    return between(norm(nn.Linear(6, 8)), norm(nn.Linear(8, 3)))


def hooked():
    return between(spectral_hook(nn.Linear(6, 8)), spectral_hook(nn.Linear(8, 3)))


class Doubled(nn.Module):
    """A user's own parametrization: twice the square of a weight of positive sign."""

    def forward(self, weight):
        return 2 * weight.square()

    def right_inverse(self, weight):
        return (weight.abs() / 2).sqrt()


def own_parametrization():
    network = between(nn.Linear(6, 8))
    parametrize.register_parametrization(network[0], "weight", Doubled())
    return network


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it old
        return between(weight_hook(nn.Linear(6, 8)))


def pruned():
    network = between(nn.Linear(6, 8))
    prune.random_unstructured(network[0], "weight", 0.5)
    return network


class Scaled(nn.Module):
    """A temperature without axes, one as a buffer, and an empty parameter."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.temperature = nn.Parameter(torch.tensor(0.5))
        self.nothing = nn.Parameter(torch.zeros(0, 4))
        self.register_buffer("shift", torch.tensor(0.25))

    def forward(self, x):
        return self.layer(x) * self.temperature.exp() + self.shift + self.nothing.sum()


class Fixed(nn.Module):
    """A mask, an index and a table of rotations, which are buffers of other types."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.register_buffer("mask", torch.arange(8) % 3 > 0)
        self.register_buffer("order", torch.arange(5, -1, -1))
        self.register_buffer("turn", torch.polar(torch.ones(4), torch.arange(4.0)))

    def forward(self, x):
        hidden = torch.tanh(self.inner(x[:, self.order])) * self.mask
        pairs = torch.view_as_complex(hidden.reshape(-1, 4, 2))
        return self.head(torch.view_as_real(pairs * self.turn).reshape(-1, 8))


class Averaging(nn.Module):
    """A normalisation of the user's own: buffers that a training forward rebinds, one unsaved."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("size", torch.ones(()), persistent=False)

    def forward(self, x):
        hidden = self.layer(x)
        if self.training:
            self.mean = 0.999 * self.mean + 0.001 * hidden.detach().mean(0)
            self.size = 0.999 * self.size + 0.001 * hidden.detach().std()
        return self.head(torch.tanh((hidden - self.mean) / self.size))


class OwnNorm(nn.BatchNorm1d):
    """A user's own BatchNorm."""

    def forward(self, x):
        return super().forward(x) + 0.5


class Set(nn.Module):
    """Multiplies by what its class says, in training or always."""

    factor, always = 1.0, True

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(x) * (self.factor if self.training or self.always else 1)


class Own(nn.Module):
    """An extra state, and an attribute."""

    def __init__(self, scale=2.0, bias=True):
        super().__init__()
        self.layer, self.scale, self.kept = nn.Linear(6, 3, bias=bias), scale, 1.5

    def get_extra_state(self):
        return {"kept": torch.tensor(self.kept)}

    def set_extra_state(self, state):
        self.kept = float(state["kept"])

    def forward(self, x):
        return self.scale * self.kept * self.layer(x)


def images():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.ReLU(),
        nn.Conv2d(4, 4, 1, groups=4),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


class Tied(nets.Tied):
    """An encoder and decoder of the same weights, with as many outputs as there are classes."""

    def forward(self, x):
        return super().forward(x)[:, :3]


VECTORS = {
    "spectral_norm": spectral,
    "spectral_norm by a hook": hooked,
    "weight_norm": lambda: between(parametrizations.weight_norm(nn.Linear(6, 8))),
    "weight_norm by a hook": old_weight_norm,
    "pruned": pruned,
    "orthogonal": lambda: between(parametrizations.orthogonal(nn.Linear(6, 8))),
    "own parametrization": own_parametrization,
    "without axes and empty": Scaled,
    "other types": Fixed,
    "rebound": Averaging,
    "own BatchNorm": lambda: nn.Sequential(nn.Linear(6, 8), OwnNorm(8), nn.Linear(8, 3)),
    "SyncBatchNorm": lambda: nn.Sequential(nn.Linear(6, 8), nn.SyncBatchNorm(8), nn.Linear(8, 3)),
    "one input": lambda: nn.Sequential(nn.Linear(6, 1), between(nn.Linear(1, 8))),
    "tied and frozen": Tied,
    "extra state": Own,
}
ZOO = {**VECTORS, "InstanceNorm and depthwise": images}


def task(name, **choices):
    """Make the task of a network of the zoo."""
    data = nets.images() if name not in VECTORS else nets.vectors()
    return Task(ZOO[name], data, **choices)
