"""Aligned networks compute the same, come closer, and permuted copies are found again."""

import random
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import nets
from torch import nn

from jumpretrain.connectivity.alignment import align
from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import autoencoder, lenet, mlp, simple_cnn, wide_resnet
from jumpretrain.paths.controls import permute_units
from jumpretrain.paths.interpolate import interpolate
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.task import Task


def pictures(side, count=20, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count, 1, side, side)), rng.integers(3, size=count)
    return Dataset(x, y, x[:9], y[:9])


def normed_cnn():
    """BatchNorm before and after flattening, and in the middle of the linear layers."""
    return nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Sequential(nn.Conv2d(1, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU()),
        nn.Conv2d(5, 4, 3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.BatchNorm1d(16),
        nn.Tanh(),
        nn.Linear(16, 7),
        nn.BatchNorm1d(7, affine=False),
        nn.Dropout(0.3),
        nn.Linear(7, 3),
        nn.BatchNorm1d(3),
    )


def layer(above, below, *norms, bias=True):
    """Tensors, with their axes, that run over the units between two layers of weights."""
    names = [f"{above}.weight", *([f"{above}.bias"] if bias else []), *norms]
    return [*((name, 0) for name in names), (f"{below}.weight", 1)]


def norm(name, *keys):
    return [f"{name}.{key}" for key in (*keys, "running_mean", "running_var")]


NETWORKS = {
    "mlp": (
        lambda: mlp((1, 12, 12), 3, hidden=(9, 8, 7)),
        12,
        [layer(1, 3), layer(3, 5), layer(5, 7)],
    ),
    "lenet": (
        lambda: lenet((1, 12, 12), 3),
        12,
        [layer(0, 3), layer(3, 7), layer(7, 9), layer(9, 11)],
    ),
    "simple_cnn": (
        lambda: simple_cnn((1, 16, 16), 3),
        16,
        [layer(0, 3), layer(3, 6), layer(6, 10)],
    ),
    "mlp with BatchNorm": (
        lambda: mlp((1, 6, 6), 3, hidden=(9, 8), batchnorm=True),
        6,
        [
            layer(1, 4, *norm(2, "weight", "bias")),
            layer(4, 7, *norm(5, "weight", "bias")),
        ],
    ),
    "conv with BatchNorm": (
        normed_cnn,
        8,
        [
            layer("1.0", 2, *norm("1.1", "weight", "bias"), bias=False),
            layer(2, 7, *norm(5, "weight", "bias")),
            layer(7, 10, *norm(8)),
        ],
    ),
}


def network(name):
    build, side, layers = NETWORKS[name]
    return Task(nets.double(build), pictures(side), batchnorm="stored"), layers


def somewhere(task, seed):
    """A state whose biases, scales and statistics differ from unit to unit."""
    rng = np.random.default_rng(seed)
    return task.initial(seed) + rng.uniform(0.1, 0.5, size=task.layout.width)


def shuffled(task, state, layers, seed):
    """Permute units by hand, unit by unit."""
    rng, found = np.random.default_rng(seed), state.copy()
    tensors = task.layout.split(torch.as_tensor(found))
    for tied in layers:
        count = tensors[tied[0][0]].shape[0]
        order = rng.permutation(count)
        for name, axis in tied:
            tensor = tensors[name].numpy()
            block = tensor.shape[axis] // count
            rows = [unit * block + entry for unit in order for entry in range(block)]
            tensor[...] = tensor[rows] if axis == 0 else tensor[:, rows]
    return found


def outputs(task, state):
    with torch.no_grad():
        return task.module(state).eval()(task.tensors["train_x"]).numpy()


def distance(task, first, second):
    return np.linalg.norm((first - second)[: task.weight_count])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_permuted_copy_is_found_again(name):
    task, layers = network(name)
    state = somewhere(task, 0)
    for seed in range(3):
        copy = shuffled(task, state, layers, seed)
        np.testing.assert_allclose(outputs(task, copy), outputs(task, state), atol=1e-9)
        assert distance(task, copy, state) > 1
        for restarts in (0, 2):
            found = align(task, copy, to=state, seed=seed, restarts=restarts)
            np.testing.assert_array_equal(found, state)


@pytest.mark.parametrize("hidden", [(64, 32, 64), (8, 8, 8, 8), (3, 3, 3, 3)])
def test_a_copy_is_found_from_where_the_climb_alone_gets_stuck(hidden):
    task = Task(lambda: mlp((6,), 3, hidden=hidden), nets.vectors())
    for seed in range(40):
        state = task.initial(seed)
        copy = permute_units(task, state, seed)
        np.testing.assert_array_equal(align(task, copy, to=state, restarts=0), state)


def test_a_copy_of_an_autoencoder_is_found_again():
    task = Task(
        lambda: autoencoder((6,), hidden=(9,), code=4),
        nets.as_targets(nets.vectors()),
        loss=lambda outputs, targets: (outputs - targets).square().mean(1),
    )
    state = task.initial(0)
    copy = shuffled(task, state, [layer(1, 3), layer(3, 5), layer(5, 7)], 1)
    np.testing.assert_array_equal(align(task, copy, to=state), state)


def test_aligned_to_its_permuted_copy_there_is_no_barrier():
    task = Task(lambda: mlp((6,), 3, hidden=(16, 16)), nets.vectors())
    recipe, quiet = Recipe(epochs=60, batch_size=11, lr=0.1), Execution(progress=False)
    state = train(task, recipe, seeds=[0], execution=quiet).final[0]
    copy = permute_units(task, state, 0)
    before = interpolate(task, state, copy, alphas=7)
    after = interpolate(task, align(task, state, to=copy), copy, alphas=7)
    assert before.barrier() > 0.1
    assert after.barrier() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(after.metrics["test_loss"], before.metrics["test_loss"][-1])


@pytest.mark.parametrize("name", NETWORKS)
def test_another_network_computes_the_same_and_comes_closer(name):
    task, _ = network(name)
    state, other = somewhere(task, 0), somewhere(task, 1)
    found = align(task, state, to=other)
    np.testing.assert_allclose(outputs(task, found), outputs(task, state), atol=1e-9)
    np.testing.assert_array_equal(np.sort(found), np.sort(state))
    assert distance(task, found, other) < distance(task, state, other)
    np.testing.assert_allclose(
        evaluate(task, [found])["test_loss"], evaluate(task, [state])["test_loss"]
    )
    again = align(task, found, to=other, restarts=0)
    assert distance(task, again, other) <= distance(task, found, other)
    np.testing.assert_array_equal(align(task, other, to=other), other)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_the_distance_never_grows(seed, hidden):
    task = Task(nets.double(lambda: mlp((6,), 3, hidden=hidden)), nets.vectors(dtype=np.float64))
    state, other = task.initial(seed), task.initial(seed + 1)
    close = other + 0.3 * (state - other)
    for start in (state, close):
        found = align(task, start, to=other, seed=seed, restarts=0)
        assert distance(task, found, other) <= distance(task, start, other) * (1 + 1e-12)
        np.testing.assert_allclose(outputs(task, found), outputs(task, start), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_one_hidden_layer_is_solved_exactly(seed):
    task = Task(nets.double(lambda: mlp((6,), 3, hidden=(5,))), nets.vectors(dtype=np.float64))
    state, other = task.initial(seed), task.initial(seed + 10)
    weight, bias, last = (state[:30].reshape(5, 6), state[30:35], state[35:50].reshape(3, 5))
    every = [
        np.r_[weight[list(p)].ravel(), bias[list(p)], last[:, list(p)].ravel(), state[50:]]
        for p in permutations(range(5))
    ]
    best = min(every, key=lambda candidate: np.linalg.norm(candidate - other))
    assert len(every) == 120 and not np.array_equal(best, state)
    np.testing.assert_array_equal(align(task, state, to=other, restarts=0), best)


@pytest.mark.parametrize("seed", range(8))
def test_no_permutation_of_one_layer_comes_closer(seed):
    task = Task(nets.double(lambda: mlp((6,), 3, hidden=(4,) * 5)), nets.vectors(dtype=np.float64))
    state, other = task.initial(seed), task.initial(seed + 10)
    found = align(task, state, to=other, restarts=0)
    reached = distance(task, found, other)
    for above in (1, 3, 5, 7, 9):
        for order in permutations(range(4)):
            moved = found.copy()
            tensors = task.layout.split(torch.as_tensor(moved))
            for name in (f"{above}.weight", f"{above}.bias"):
                tensors[name].copy_(tensors[name][list(order)])
            tensors[f"{above + 2}.weight"].copy_(tensors[f"{above + 2}.weight"][:, list(order)])
            assert distance(task, moved, other) > reached - 1e-9


def test_restarts_help_and_seeds_decide():
    task = Task(lambda: mlp((6,), 3, hidden=(12, 12, 12)), nets.vectors())
    gains = []
    for seed in range(5):
        state, other = task.initial(seed), task.initial(seed + 50)
        few, many = (align(task, state, to=other, restarts=restarts) for restarts in (0, 12))
        gains.append(distance(task, few, other) - distance(task, many, other))
        np.testing.assert_array_equal(few, align(task, state, to=other, restarts=0))
    assert min(gains) >= 0 and max(gains) > 0


def test_statistics_do_not_decide():
    task, _ = network("mlp with BatchNorm")
    state, other = somewhere(task, 0), somewhere(task, 1)
    loud = other.copy()
    loud[task.weight_count :] += np.random.default_rng(0).normal(0, 100, 34)
    np.testing.assert_array_equal(align(task, state, to=loud), align(task, state, to=other))


def test_state_model_and_random_numbers_are_untouched():
    model = mlp((6,), 3, hidden=(8, 8), batchnorm=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    task = Task(model, nets.vectors())
    state, other = task.initial(0), task.initial(1)
    kept = state.copy(), other.copy()
    legacy, python, drawn = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    found = align(task, state, to=other)
    assert random.getstate() == python and torch.equal(torch.get_rng_state(), drawn)
    assert all(np.array_equal(a, b) for a, b in zip(legacy, np.random.get_state(), strict=True))  # noqa: NPY002
    assert found.dtype == state.dtype and not np.shares_memory(found, state)
    assert np.array_equal(state, kept[0]) and np.array_equal(other, kept[1])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Skip(nn.Module):
    """A residual block."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x):
        return x + self.inner(x)


class Ramp(nn.Module):
    """A function that treats each unit in its own way."""

    def forward(self, x):
        return x * torch.arange(1, x.shape[1] + 1)


def twice():
    first = nn.Linear(6, 6)
    return nn.Sequential(first, nn.ReLU(), first, nn.ReLU(), nn.Linear(6, 3))


REFUSED = {
    "residual": (lambda: nn.Sequential(nn.Linear(6, 6), Skip(), nn.Linear(6, 3)), "'1', a Skip"),
    "used twice": (twice, "'2' is something else"),
    "LayerNorm": (
        lambda: nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 3)),
        "'1', a LayerNorm",
    ),
    "no sequence": (nets.Tied, "'the model', a Tied"),
    "units treated differently": (
        lambda: nn.Sequential(nn.Linear(6, 6), Ramp(), nn.Linear(6, 3)),
        "must treat all units alike",
    ),
    "weights of units": (
        lambda: nn.Sequential(nn.Linear(6, 6), nn.PReLU(6), nn.Linear(6, 3)),
        "'1', a PReLU",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_networks_are_refused(kind):
    build, message = REFUSED[kind]
    data = nets.as_targets(nets.vectors()) if kind == "no sequence" else nets.vectors()
    loss = {"loss": lambda outputs, targets: (outputs - targets).square().mean(1)}
    task = Task(build, data, **(loss if kind == "no sequence" else {}))
    with pytest.raises(ValueError, match=message):
        align(task, task.initial(0), to=task.initial(1))


def test_networks_of_pictures_that_are_refused():
    grouped = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(64, 3)
    )
    loose = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(6, 2), nn.Flatten(), nn.Linear(48, 3))
    mixed = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Linear(6, 6), nn.Flatten(), nn.Linear(108, 3))
    data = pictures(8)
    for model, message in (
        (grouped, "'1', a Conv2d"),
        (loose, r"each of 4 units must hold equally many entries, but 1\.weight is \(2, 6\)"),
        (mixed, "must treat all units alike"),
    ):
        task = Task(model.double(), data)
        with pytest.raises(ValueError, match=message):
            align(task, task.initial(0), to=task.initial(1))
    deep = Task(nets.double(lambda: wide_resnet((1, 8, 8), 3)), data)
    with pytest.raises(ValueError, match="residual networks are not known"):
        align(deep, deep.initial(0), to=deep.initial(0))


def test_what_does_not_fit_is_refused():
    task = nets.TASKS["mlp"]()
    state = task.initial(0)
    with pytest.raises(ValueError, match=r"state must be one state of this task, \(83,\)"):
        align(task, np.zeros(7), to=state)
    with pytest.raises(ValueError, match=r"to must be one state of this task, \(83,\)"):
        align(task, state, to=np.zeros(7))
    with pytest.raises(ValueError, match="restarts must be"):
        align(task, state, to=state, restarts=-1)
    single = Task(lambda: nn.Linear(6, 3), nets.vectors())  # without hidden units nothing moves
    state = single.initial(0)
    np.testing.assert_array_equal(align(single, state, to=single.initial(1)), state)


class First(nn.Module):
    def forward(self, x):
        return torch.cat([2 * x[:, :1], x[:, 1:]], dim=1)


@pytest.mark.parametrize("part", [Ramp, First])
@pytest.mark.parametrize("width", [2, 3, 6])
@pytest.mark.parametrize("seed", range(6))
def test_what_treats_single_units_differently_is_refused_whatever_is_drawn(part, width, seed):
    task = Task(
        lambda: nn.Sequential(nn.Linear(6, width), part(), nn.Tanh(), nn.Linear(width, 3)),
        nets.vectors(),
    )
    with pytest.raises(ValueError, match="treat all units alike"):
        align(task, task.initial(seed), to=task.initial(seed + 100), seed=seed)
