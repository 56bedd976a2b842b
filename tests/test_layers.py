"""Names find their entries, sequential layers their order, and distances their closed form."""

import nets
import numpy as np
import pytest
import torch
from torch import nn

from jumpretrain.layers import (
    bias_names,
    check_state,
    entries,
    layer_groups,
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


def test_groups_and_biases_of_a_transformer():
    layout = nets.TASKS["transformer"]().layout
    groups = layer_groups(layout)
    assert list(groups)[:3] == ["embedding", "block.self_attn", "block.self_attn.out_proj"]
    assert sorted(name for names in groups.values() for name in names) == sorted(layout.names)
    assert "block.self_attn.in_proj_bias" in bias_names(layout)
    assert not [name for name in bias_names(layout) if "weight" in name]


def test_layers_come_in_the_order_of_the_forward():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(8, 4)),
        nn.Linear(4, 3),
    )
    assert list(weight_layers(network)) == ["0", "1.2", "2"]
    assert list(weight_layers(nn.Linear(2, 2))) == [""]
    with pytest.raises(ValueError, match=r"'1' is a LayerNorm; pass depth="):
        weight_layers(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    with pytest.raises(ValueError, match="'the model' is a Tokens"):
        weight_layers(nets.Tokens())


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


def test_states_are_checked_by_name():
    task = nets.TASKS["mlp"]()
    state = task.initial(0)
    np.testing.assert_array_equal(check_state(task, state, "start"), state)
    tensor = torch.as_tensor(state).requires_grad_()
    np.testing.assert_array_equal(check_state(task, tensor, "start"), state)
    with pytest.raises(ValueError, match=r"the optimum must be one state of this task, \(83,\)"):
        check_state(task, state[:5], "the optimum")
