"""Fully connected networks, several states at a time, against the network itself."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

import jumpretrain as jr
from jumpretrain.engine.evaluate import measure
from jumpretrain.engine.fully_connected import (
    batched,
    fully_connected_layers,
    fully_connected_outputs,
)

RNG = np.random.default_rng(0)
DATA = jr.Dataset(
    RNG.normal(size=(30, 1, 2, 3)), RNG.integers(4, size=30), RNG.normal(size=(11, 1, 2, 3)),
    RNG.integers(4, size=11),
)  # fmt: skip


def answers(task, state, split):
    """The network's own outputs, example by example."""
    module = task.module(state).eval()
    with torch.no_grad():
        return torch.cat([module(x[None]) for x in task.tensors[f"{split}_x"]]).numpy()


def task_of(*layers, data=DATA, **choices):
    return jr.Task(nn.Sequential(*layers).double(), data, **choices)


def plain(**choices):
    return task_of(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), **choices)


@settings(deadline=None, max_examples=25)
@given(
    widths=st.lists(st.integers(1, 6), max_size=3),
    kind=st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.Softplus]),
    bias=st.booleans(),
    count=st.integers(1, 6),
    entries=st.sampled_from([0, 2**18]),
)
def test_outputs_are_the_networks_own(widths, kind, bias, count, entries):
    layers = [nn.Flatten()]
    for fan_in, fan_out in zip([6, *widths], [*widths, 4], strict=True):
        layers += [nn.Linear(fan_in, fan_out, bias=bias), kind()]
    task = task_of(*layers)
    states = np.random.default_rng(count).normal(size=(count, task.layout.width))
    found = fully_connected_layers(task)
    assert [type(part) for part in found.values()] == [type(part) for part in layers[1:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jumpretrain.engine.fully_connected.ENTRIES", entries)
        share, groups = fully_connected_outputs(task, found, states, np.arange(count))
    assert np.concatenate([rows for rows, _ in groups]).tolist() == list(range(count))
    for split in ("scored", "test"):
        common = share(task.tensors[f"{split}_x"])
        outputs = np.concatenate([answer(common) for _, answer in groups])
        expected = np.concatenate([answers(task, state, split) for state in states])
        np.testing.assert_allclose(outputs, expected, atol=1e-12)


def test_batches_are_cut_per_state():
    many = jr.Dataset(
        RNG.normal(size=(3000, 2)), RNG.integers(4, size=3000), DATA.test_x[:, 0, 0, :2],
        DATA.test_y,
    )  # fmt: skip
    task = task_of(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), data=many, scored=3000)
    states = np.random.default_rng(1).normal(size=(5, task.layout.width))
    loss = jr.evaluate(task, states)["train_loss"]
    x, y = (torch.tensor(many.train_x), torch.tensor(many.train_y))
    for state, value in zip(states, loss, strict=True):
        expected = nn.functional.cross_entropy(task.module(state)(x), y).item()
        assert value == pytest.approx(expected, abs=1e-12)


def test_a_line_is_scored_as_its_states_are():
    task = plain()
    start, end = (np.random.default_rng(k).normal(size=task.layout.width) for k in (0, 1))
    path = jr.interpolate(task, start, end, alphas=9)
    values = jr.evaluate(task, np.stack(list(path.states())))
    for name, value in values.items():
        np.testing.assert_allclose(path.metrics[name], value, atol=1e-13)


class Doubling(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked():
    layer = nn.Linear(6, 4)
    layer.register_forward_hook(doubled)
    return layer


def doubled(module, given, out):
    return 2 * out


def tied():
    layer = nn.Linear(6, 6)
    return nn.Flatten(), layer, nn.ReLU(), layer


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Flatten(), Doubling(6, 4)),
        (nn.Flatten(), hooked()),
        (nn.Flatten(), parametrizations.weight_norm(nn.Linear(6, 4))),
        (nn.Flatten(), nn.Linear(6, 4), nn.BatchNorm1d(4)),
        (nn.Flatten(), nn.Linear(6, 4), nn.Softmax(1)),
        (nn.Flatten(), nn.ReLU(), nn.Linear(6, 4)),
        (nn.Sequential(nn.Flatten(), nn.Linear(6, 4)),),
        (nn.Linear(3, 4), nn.Flatten()),
    ],
    ids="subclass hook weight_norm batchnorm softmax late nested inner".split(),
)
def test_other_networks_are_scored_as_modules(layers):
    task = task_of(*layers)
    assert fully_connected_layers(task) is None
    state = task.state(task.template)
    outputs = torch.as_tensor(answers(task, state, "test"))
    if not any(isinstance(part, nn.BatchNorm1d) for part in layers):
        expected = nn.functional.cross_entropy(outputs, task.tensors["test_y"]).item()
        assert jr.evaluate(task, [state])["test_loss"][0] == pytest.approx(expected, abs=1e-12)


def test_a_tied_layer_is_scored_as_a_module():
    assert fully_connected_layers(task_of(*tied())) is None


def test_a_measure_of_the_users_own_is_scored_as_a_module():
    assert fully_connected_layers(plain()) is not None
    assert fully_connected_layers(plain(metrics={"top": lambda out, y: out.amax(1)})) is None


def test_a_state_that_is_not_finite_leaves_its_neighbours_alone():
    task = plain()
    states = np.random.default_rng(0).normal(size=(6, task.layout.width))
    broken = states.copy()
    broken[2] = np.nan
    whole, holed = measure(task, states), measure(task, broken)
    rest = np.arange(6) != 2
    for name in whole:
        assert np.isnan(holed[name][2])
        np.testing.assert_allclose(holed[name][rest], whole[name][rest], atol=1e-13)


@pytest.mark.parametrize(
    ("width", "fits"), [(16, True), (3, False), (64, True), (2**11, True), (2**12, False)]
)
def test_small_aligned_products_are_taken_together(width, fits):
    task = task_of(nn.Flatten(), nn.Linear(6, 4), data=DATA)
    layers = {"0": nn.Linear(1, width, device="meta"), "1": nn.Linear(width, 2, device="meta")}
    assert batched(task, layers) == fits


@pytest.mark.parametrize("hidden", [(17, 33), (32, 48), (40,), (128,), ()])
def test_single_precision_scores_depend_on_their_state_alone(hidden):
    task = jr.Task(partial(jr.models.mlp, (1, 8, 8), 10, hidden=hidden), jr.data.digits())
    states = np.stack([task.initial(seed) for seed in range(6)])
    assert batched(task, fully_connected_layers(task)) == (hidden not in [(17, 33), (40,), (128,)])
    together = jr.evaluate(task, states)
    for k, state in enumerate(states):
        alone = jr.evaluate(task, [state])
        assert all(together[name][k] == alone[name][0] for name in together)
    alphas = np.linspace(0, 1, 7)
    whole = jr.interpolate(task, states[0], states[1], alphas=alphas)
    for n_jobs in (2, 3, 7):
        spread = jr.Execution(n_jobs=n_jobs, progress=False)
        parts = jr.interpolate(task, states[0], states[1], alphas=alphas, execution=spread)
        assert all(np.array_equal(parts.metrics[n], whole.metrics[n]) for n in whole.metrics)
    still = jr.interpolate(task, states[0], states[0], alphas=9)
    assert still.monotonicity().min_delta == 0


@pytest.mark.parametrize("last", [(), (nn.Sigmoid(),)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 3, 10])
def test_bits_of_scores_do_not_depend_on_the_states_beside(width, dtype, last):
    rng = np.random.default_rng(0)
    x, y = (torch.tensor(rng.normal(size=(132, n)), dtype=dtype) for n in (5, width))
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, width), *last).to(dtype)
    data = jr.Dataset(x[:99], y[:99], x[99:], y[99:])
    task = jr.Task(model, data, loss=jr.measures.squared_error)
    states = np.stack([task.state(model) + rng.normal(size=task.layout.width) for _ in range(7)])
    whole = jr.evaluate(task, states)
    for size in (1, 2, 3):
        parts = [jr.evaluate(task, states[k : k + size]) for k in range(0, 7, size)]
        for name, values in whole.items():
            assert np.array_equal(np.concatenate([part[name] for part in parts]), values)


def body():
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))


def ten_times(module, given):
    return (given[0] * 10,)


def patched(place):
    model = body()
    part = model if place is None else model[place]
    original = part.forward
    part.forward = lambda x: 2 * original(x)
    return model


def pre_hooked(place):
    model = body()
    (model if place is None else model[place]).register_forward_pre_hook(ten_times)
    return model


def plain_bias():
    model = body()
    del model[3].bias
    model[3].bias = torch.arange(4.0, dtype=torch.float64)
    return model


@pytest.mark.parametrize(
    "make",
    [
        *[partial(patched, place) for place in (0, 1)],
        *[partial(pre_hooked, place) for place in (None, 0, 2)],
        plain_bias,
    ],
)
def test_what_was_hung_onto_a_network_counts(make):
    model = make().double()
    task = jr.Task(model, DATA)
    assert fully_connected_layers(task) is None
    x, y = task.tensors["test_x"], task.tensors["test_y"]
    expected = nn.functional.cross_entropy(model(x), y).item()
    assert jr.evaluate(task, [task.state(model)])["test_loss"][0] == pytest.approx(expected)


def test_flattening_of_other_axes_is_left_to_the_module():
    data = jr.Dataset(*[RNG.normal(size=(8, 1, 6)) for _ in range(4)])
    layers = nn.Flatten(2), nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 6)
    task = task_of(*layers, data=data, loss=jr.measures.squared_error)
    assert fully_connected_layers(task) is None
    assert jr.evaluate(task, [task.initial(0)])["train_loss"].shape == (1,)


@dataclass
class Doubled:
    """A loss that has no hash."""

    times: float = 2.0

    def __call__(self, outputs, targets):
        return self.times * nn.functional.cross_entropy(outputs, targets, reduction="none")


def test_a_loss_need_not_be_hashable():
    task, usual = plain(loss=Doubled(), metrics={}), plain()
    states = [task.state(usual.template)]
    found = jr.evaluate(task, states)["test_loss"]
    np.testing.assert_allclose(found, 2 * jr.evaluate(usual, states)["test_loss"])


def test_a_layer_that_overflows_at_the_end_is_scored_as_ever():
    task = jr.Task(partial(jr.models.mlp, (1, 2, 3), 4, hidden=(8,)), DATA)
    start, end = task.initial(0), task.initial(1)
    end = end / np.abs(end).max() * np.float32(2e38)
    path = jr.interpolate(task, start, end, alphas=5)
    assert path.metrics["train_loss"][0] == jr.evaluate(task, [start])["train_loss"][0]
