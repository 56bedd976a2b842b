"""Names find their entries, sequential layers their order, and distances their closed form."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn
from torch.nn.utils import parametrizations

from jumpretrain.contents.layout import Layout
from jumpretrain.states.layers import (
    bias_depths,
    bias_names,
    entries,
    layer_degrees,
    layer_groups,
    moving_weights,
    unclear_names,
    weight_distance,
    weight_layers,
)


def test_names_find_their_entries_and_nothing_else():
    layout = nets.TASKS["conv with BatchNorm"]().layout
    mask = entries(layout, ["1", "4.bias"])
    held = np.repeat(layout.names, layout.sizes)[mask]
    assert set(held) == {"1.weight", "1.bias", "1.running_mean", "1.running_var", "4.bias"}
    assert mask.sum() == 4 * 4 + 3
    assert entries(layout, layout.names).all()
    with pytest.raises(ValueError, match=r"'4\.b' is none; the parameters are 0\.weight, 1\.wei"):
        entries(layout, "4.b")
    with pytest.raises(ValueError, match="select must name a parameter or module or more, but is"):
        entries(layout, [])


def test_groups_and_biases_of_a_transformer():
    layout = nets.TASKS["transformer"]().layout
    groups = layer_groups(layout)
    assert list(groups)[:3] == ["embedding", "block.self_attn", "block.self_attn.out_proj"]
    assert sorted(name for names in groups.values() for name in names) == sorted(layout.names)
    assert "block.self_attn.in_proj_bias" in bias_names(layout)
    assert not [name for name in bias_names(layout) if "weight" in name]


class Hidden(nn.Module):
    """Tensors whose names say what they are, or do not."""

    def __init__(self):
        super().__init__()
        self.b, self.gain = nn.Parameter(torch.zeros(1, 3, 1)), nn.Parameter(torch.ones(()))
        self.matrix, self.in_weight = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(3))
        self.weight_net = nn.Linear(1, 3)
        self.bias_2 = nn.Parameter(torch.zeros(1, 3, 1))
        self.frozen_bias = nn.Parameter(torch.zeros(3), requires_grad=False)
        self.register_buffer("bias", torch.ones(3))


def test_biases_are_known_by_their_own_name_and_doubtful_vectors_listed():
    layout = Layout.of(Hidden())
    assert bias_names(layout) == ["bias_2", "weight_net.bias"]
    assert unclear_names(layout) == ["b", "gain"]
    made = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 1))
    nn.utils.parametrize.register_parametrization(made[0], "bias", nn.Tanh())
    layout = Layout.of(made)
    assert bias_names(layout) == ["0.parametrizations.bias.original", "1.bias"]
    assert not unclear_names(layout)
    groups = layer_groups(layout)
    assert {name: len(tensors) for name, tensors in groups.items()} == {"0": 3, "1": 2}
    assert set(layer_groups(Layout.of(made[0]))) == {"bias", "weight"}


def test_layers_come_in_the_order_of_the_forward():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(8, 4)),
        nn.Linear(4, 3),
    )
    assert weight_layers(network) == ["0", "1.2", "2"]
    assert weight_layers(nn.Linear(2, 2)) == [""]
    with pytest.raises(ValueError, match=r"'1' is a LayerNorm; pass depth="):
        weight_layers(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    with pytest.raises(ValueError, match="'the model' is a Tokens"):
        weight_layers(nets.Tokens())


def twice(bias):
    shared = nn.Linear(5, 5, bias=bias)
    block = nn.Sequential(shared, nn.ReLU())
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), block, block, shared, nn.Linear(5, 3))


def test_a_layer_counts_as_often_as_it_is_used():
    network = twice(bias=False)
    assert weight_layers(network) == ["0", "2.0", "2.0", "2.0", "5"]
    assert bias_depths(network) == {"0.bias": 1, "5.bias": 5}
    with pytest.raises(ValueError, match=r"'2\.0\.bias' is used in layers 2 and 3; pass depth="):
        bias_depths(twice(bias=True))
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].bias = tied[0].bias
    with pytest.raises(ValueError, match=r"'0\.bias' is used in layers 1 and 2"):
        bias_depths(tied)


def test_layers_that_stay_do_not_count():
    network = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)))
    assert bias_depths(network) == {"0.bias": 1, "1.bias": 2, "2.bias": 3, "3.bias": 4}
    network[0].requires_grad_(False)
    network[2].weight.requires_grad_(False)
    assert layer_degrees(network) == [("0", 0), ("1", 1), ("2", 1), ("3", 2)]
    assert bias_depths(network) == {"0.bias": 1, "1.bias": 1, "2.bias": 1, "3.bias": 2}
    layout = Layout.of(network)
    assert moving_weights(layout, None) == ["1.weight", "1.bias", "2.bias", "3.weight", "3.bias"]
    moving = moving_weights(layout, ["0", "2", "3"])
    assert moving == ["2.bias", "3.weight", "3.bias"]
    assert layer_degrees(network, moving) == [("0", 0), ("1", 0), ("2", 0), ("3", 1)]
    network[3].weight = network[1].weight
    assert layer_degrees(network) == [("0", 0), ("1", 1), ("2", 1), ("3", 2)]


class Backwards(nn.Sequential):
    """A sequence that runs in another order than it was written."""

    def forward(self, x):
        return self[0](self[1](x))


class Standardised(nn.Linear):
    """A layer whose output does not grow with its weights."""

    def forward(self, x):
        return nn.functional.linear(x, self.weight / self.weight.std(), self.bias)


class Unit(nn.Module):
    """A layer without parameters whose output has length 1."""

    def forward(self, x):
        return x / x.norm(dim=1, keepdim=True)


def patched():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network.forward = lambda x: network[0](network[1](x))
    return network


def squared():
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    network[1].forward = lambda x: x**2
    return network


def hooked(number=None, before=False):
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    part = network if number is None else network[number]
    if before:
        part.register_forward_pre_hook(lambda part, given: (given[0] ** 2,))
    else:
        part.register_forward_hook(lambda part, given, out: out**2)
    return network


@pytest.mark.parametrize(
    ("build", "fault"),
    [
        (lambda: Backwards(nn.Linear(2, 2), nn.Linear(2, 2)), "'the model' is a Backwards"),
        (lambda: nn.Sequential(Standardised(2, 2)), "'0' is a Standardised"),
        (patched, "'the model' is a changed Sequential"),
        (
            lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(2, 2))),
            "'0' is a ParametrizedLinear",
        ),
        (lambda: nn.Sequential(nn.GroupNorm(1, 2)), "'0' is a GroupNorm"),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False)),
            "'1' is a BatchNorm1d",
        ),
        (lambda: nn.Sequential(nn.Linear(2, 2), Unit()), "'1' is a Unit"),
        (lambda: nn.Sequential(nn.CrossMapLRN2d(2)), "'0' is a CrossMapLRN2d"),
        (lambda: nn.Sequential(nn.LocalResponseNorm(2)), "'0' is a LocalResponseNorm"),
        (squared, "'1' is a changed ReLU"),
        (hooked, "'the model' is a changed Sequential"),
        (lambda: hooked(before=True), "'the model' is a changed Sequential"),
        (lambda: hooked(0), "'0' is a changed Linear"),
        (lambda: hooked(0, before=True), "'0' is a changed Linear"),
        (lambda: hooked(1), "'1' is a changed ReLU"),
        (lambda: hooked(1, before=True), "'1' is a changed ReLU"),
    ],
)
def test_what_might_run_in_another_order_or_degree_is_refused(build, fault):
    with pytest.raises(ValueError, match=f"{fault}; say so"):
        weight_layers(build(), "say so")


def test_distances_leave_out_statistics_and_add_up_over_layers():
    task = nets.TASKS["conv with BatchNorm"]()
    rng = np.random.default_rng(0)
    start = rng.normal(size=task.layout.width)
    end = start + rng.normal(size=task.layout.width)
    found = weight_distance(task, start, end)
    a, b = start[: task.weight_count], end[: task.weight_count]
    assert found.absolute == pytest.approx(np.linalg.norm(b - a))
    assert found.relative == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))
    assert found.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert list(found.per_layer) == ["0", "1", "4"]
    total = np.sqrt(sum(value**2 for value in found.per_layer.values()))
    assert total == pytest.approx(found.absolute)
    shifted = end + np.r_[np.zeros(task.weight_count), np.ones(len(end) - task.weight_count)]
    assert weight_distance(task, start, shifted) == found
    doubled = weight_distance(task, start, 2 * start)
    assert doubled.relative == pytest.approx(1) and doubled.cosine == pytest.approx(1)
    assert weight_distance(task, 0 * start, end).relative == np.inf
