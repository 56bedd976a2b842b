"""Signals follow their closed forms, and the network counts as it is scored."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.networks.models import resnet
from jumpretrain.paths.interpolate import interpolate
from jumpretrain.paths.path import Path
from jumpretrain.paths.signals import Signals, signals
from jumpretrain.states.layers import entries
from jumpretrain.tasks.task import Task

NAMES = {
    "mlp": None,
    "conv with BatchNorm": ["0", "2", "4"],
    "mlp with BatchNorm": ["0", "1", "3"],
    "transformer": ["block.linear1", "head"],
    "tied autoencoder": ["encoder", "twin", "decoder"],
}


def bare(depth=4, width=9, act=nn.ReLU):
    sizes = [6, *[width] * (depth - 1), 3]
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out, bias=False), act()]
    return nn.Sequential(*layers[:-1]).double()


def centred(outputs):
    flat = outputs.detach().double().reshape(len(outputs), -1)
    return flat - flat.mean(0)


def by_hand(task, path, names, split="scored"):
    """All outputs of all layers at once, centred; BatchNorm on each batch or on one big one."""
    x = task.tensors[f"{split}_x"]

    def run(state):
        module, found = task.module(state), {}
        module.eval()
        for part in module.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)) and task.batchnorm != "stored":
                part.train()
                part.momentum = 1.0
        module(task.tensors["scored_x"])
        if task.batchnorm == "recalibrate":
            module.eval()
        parts = dict(module.named_modules())
        for name in names:
            hook = partial(lambda name, _, __, out: found.update({name: out}), name)
            parts[name].register_forward_hook(hook)
        module(x)
        return [centred(found[name]) for name in names]

    end = run(path.curve.end)
    rows = []
    for state in path.states():
        now = run(state)
        rows.append([
            float((a * b).sum(1).mean() / b.square().sum(1).mean().sqrt())
            for a, b in zip(now, end, strict=True)
        ])
    return np.array(rows)


@pytest.mark.parametrize("act", [nn.ReLU, nn.Identity])
def test_without_biases_the_signal_of_layer_l_grows_with_alpha_to_the_l(act):
    task = Task(partial(bare, act=act), nets.vectors(dtype=np.float64))
    path = interpolate(task, np.zeros(task.layout.width), task.initial(1), alphas=6)
    found = signals(task, path)
    powers = path.alphas[:, None] ** np.arange(1, 5)
    np.testing.assert_allclose(found.values, powers * found.values[-1], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.relative, powers, rtol=1e-10, atol=1e-14)
    assert found.layers == ("0", "2", "4", "6")
    assert found.scale.min() > 0.01


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_signals_are_those_of_all_outputs_held_at_once(name, split):
    task = nets.TASKS[name]()
    path = interpolate(task, task.initial(0), task.initial(1), alphas=4)
    names = NAMES[name] or ["1", "3"]
    found = signals(task, path, names=NAMES[name], split=split)
    expected = by_hand(task, path, names, {"train": "scored"}.get(split, split))
    np.testing.assert_allclose(found.values, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.scale, expected[-1], rtol=1e-6)
    assert found.layers == tuple(names)


def residual():
    return resnet((1, 4, 4), 3, blocks=(1, 1), width=4).double()


OTHERWISE = {
    "permuted": (nets.TASKS["mlp"], ["3", "2", "1"]),
    "container first": (nets.TASKS["transformer"], ["block", "head", "block.linear1"]),
    "resnet": (
        lambda: Task(residual, nets.images(dtype=np.float64)),
        ["2.0", "2.0.shortcut.1", "1.0.branch.3", "1.0.branch.0", "0.0", "1.0", "3.2"],
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_columns_stand_in_the_order_asked_for(name):
    build, names = OTHERWISE[name]
    task = build()
    path = interpolate(task, task.initial(0), task.initial(1), alphas=3)
    found = signals(task, path, names=names)
    assert found.layers == tuple(names)
    expected = by_hand(task, path, names)
    np.testing.assert_allclose(found.values, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.scale, expected[-1], rtol=1e-6)


@pytest.mark.parametrize("batchnorm", ["recalibrate", "stored", "batch"])
def test_batchnorm_follows_the_policy_of_the_task(batchnorm):
    task = Task(lambda: nets.normed().double(), nets.images(dtype=np.float64), batchnorm=batchnorm)
    path = interpolate(task, task.initial(0), task.initial(1), alphas=3)
    names = ["0", "1", "4"]
    found = signals(task, path, names=names).values
    np.testing.assert_allclose(found, by_hand(task, path, names), rtol=1e-6, atol=1e-9)
    other = "stored" if batchnorm != "stored" else "recalibrate"
    changed = signals(Task(task.model, task.data, batchnorm=other), path, names=names).values
    assert (np.abs(changed - found)[:, 1] > 1e-3).any()


def test_many_batches_and_alphas_give_what_one_does():
    data = nets.vectors(count=2500, dtype=np.float64)
    task = Task(bare, data, scored=2500)
    path = interpolate(task, task.initial(0), task.initial(1), alphas=19)
    found = signals(task, path, alphas=[0.0, 0.5])
    every = signals(task, path)
    np.testing.assert_array_equal(every.values[[0, 9]], found.values)
    names = ["0", "2", "4", "6"]
    np.testing.assert_allclose(every.values, by_hand(task, path, names), rtol=1e-10, atol=1e-12)


def test_a_constant_added_to_the_outputs_of_a_layer_changes_nothing():
    task = nets.TASKS["mlp"]()
    ends = [task.initial(0), task.initial(1)]
    shift = 50.0 * entries(task.layout, "3.bias")  # the last layer: nothing comes after it
    plain = signals(task, interpolate(task, *ends, alphas=5))
    moved = signals(task, interpolate(task, ends[0] - shift, ends[1] + shift, alphas=5))
    np.testing.assert_allclose(moved.values, plain.values, rtol=1e-9, atol=1e-11)


def test_layers_that_rest_have_no_signal():
    task = nets.TASKS["mlp"]()
    path = interpolate(task, task.initial(0), np.zeros(task.layout.width), alphas=3)
    found = signals(task, path)
    assert (found.values == 0).all() and (found.scale == 0).all()
    assert np.isnan(found.relative).all()


def test_in_place_activations_do_not_reach_back():
    task = Task(partial(bare, act=partial(nn.ReLU, inplace=True)), nets.vectors(dtype=np.float64))
    plain = Task(bare, nets.vectors(dtype=np.float64))
    ends = task.initial(0), task.initial(1)
    found = signals(task, interpolate(task, *ends, alphas=3))
    np.testing.assert_array_equal(
        found.values, signals(plain, interpolate(plain, *ends, alphas=3)).values
    )


def test_the_network_given_is_never_changed():
    model = bare()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    task = Task(model, nets.vectors(dtype=np.float64))
    signals(task, interpolate(task, task.initial(0), task.initial(1), alphas=3))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(part._forward_hooks for part in model.modules())


def test_what_does_not_fit_is_refused():
    task = nets.TASKS["mlp"]()
    path = interpolate(task, task.initial(0), task.initial(1), alphas=3)
    with pytest.raises(ValueError, match="signals need a path with its states"):
        signals(task, Path(path.alphas, path.metrics))
    with pytest.raises(ValueError, match="split must be train or test, but is 'all'"):
        signals(task, path, split="all")
    with pytest.raises(ValueError, match=r"but \['head'\] are none; it has 0, 1, 2, 3"):
        signals(task, path, names=["0", "head"])
    with pytest.raises(ValueError, match=r"the order of layers is known for .* pass names="):
        other = nets.TASKS["transformer"]()
        signals(other, interpolate(other, other.initial(0), other.initial(1), alphas=2))
    with pytest.raises(ValueError, match=r"'block\.self_attn' does not give one tensor"):
        signals(
            other,
            interpolate(other, other.initial(0), other.initial(1), alphas=2),
            names=["block.self_attn"],
        )
    with pytest.raises(ValueError, match="an input passes once, but it passes 0 again"):
        signals(task, path, names=["0", "2", "0"])
    with pytest.raises(ValueError, match=r"values must be \(3, 1\)"):
        Signals(path.alphas, ("0",), np.zeros((3, 2)), np.zeros(1))
