"""What a line shares changes no score, and what cannot be proved is not shared."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from support import nets
from torch import nn
from torch.nn.utils import parametrizations

import jumpretrain as jr
from jumpretrain.engine import evaluate
from jumpretrain.engine.shared_layers import straight_line
from jumpretrain.execution.settings import standard_settings
from jumpretrain.states.curves import Curve

measure = standard_settings()(evaluate.measure)  # on one thread, as calls score
ALPHAS = np.array([0, 0.3, 1])


def normed():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Tanh()),
        nn.Flatten(),
        nn.Linear(32, 5),
        nn.ReLU(),
        nn.Linear(5, 3),
    )


def residual():
    return jr.models.resnet((1, 4, 4), 3, blocks=(1, 1), width=4)


def pictures(shape, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, *shape)).astype(dtype), rng.integers(3, size=50)
    return jr.Dataset(x[:35], y[:35], x[35:], y[35:])


NETWORKS = {
    "mlp": (partial(jr.models.mlp, (6,), 3, hidden=(8, 8)), (6,)),
    "odd mlp": (partial(jr.models.mlp, (6,), 3, hidden=(7, 5)), (6,)),
    "normed mlp": (partial(jr.models.mlp, (6,), 3, hidden=(8, 8), batchnorm=True), (6,)),
    "lenet": (partial(jr.models.lenet, (1, 12, 12), 3), (1, 12, 12)),
    "cnn": (normed, (1, 4, 4)),
    "resnet": (residual, (1, 4, 4)),
    "wide resnet": (partial(jr.models.wide_resnet, (1, 4, 4), 3), (1, 4, 4)),
}


def made(name, dtype=np.float64, **choices):
    build, shape = NETWORKS[name]
    cast = nets.double(build) if dtype == np.float64 else build
    return jr.Task(cast, pictures(shape, dtype), **choices)


def moved(task, seed, origin=None):
    """A state away from the initialisation in all its entries, with variances above zero."""
    rng = np.random.default_rng(seed)
    drawn = 0.1 * rng.normal(size=task.layout.width)
    drawn[task.weight_count :] = np.abs(drawn[task.weight_count :])
    origin = task.initial(seed) if origin is None else origin
    return (origin + drawn).astype(task.layout.numpy_dtype)


def apart(task, paths):
    """The largest relative difference from the same states scored one by one."""
    found = []
    for path in paths:
        expected = measure(task, path.curve.at(path.alphas))
        for name, values in expected.items():
            ends, largest = [0, -1], max(np.abs(values).max(), 1e-3)
            found.append(np.abs(path.metrics[name] - values).max() / largest)
            assert path.metrics[name][ends].tolist() == values[ends].tolist()
    return max(found)


@pytest.mark.parametrize(
    ("name", "policy"),
    [(name, "recalibrate") for name in NETWORKS]
    + [(name, policy) for name in ("normed mlp", "cnn") for policy in ("stored", "batch")],
)
def test_layerwise_paths_are_scored_as_their_states_one_by_one(name, policy):
    task = made(name, batchnorm=policy)
    start, end = moved(task, 0), moved(task, 1)
    others = "start" if policy == "batch" else "end"
    paths = jr.layerwise(task, start, end, alphas=ALPHAS, others=others)
    shared = [straight_line(task, path.curve, ALPHAS) for path in paths.values()]
    assert all(line is not None for line in shared[1:])
    assert apart(task, paths.values()) < 1e-12


@pytest.mark.parametrize("name", ["mlp", "odd mlp", "lenet", "cnn"])
def test_single_precision_paths_agree_to_its_rounding(name):
    task = made(name, np.float32)
    paths = jr.layerwise(task, moved(task, 0), moved(task, 1), alphas=ALPHAS)
    losses = [path.metrics["train_loss"] for path in paths.values()]
    expected = [measure(task, p.curve.at(p.alphas))["train_loss"] for p in paths.values()]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_only_what_comes_after_is_computed_for_each_state():
    task = made("cnn")
    start, end = moved(task, 0), moved(task, 1)
    for select, first, straight in (
        ("0", None, None), ("1", "1", False), ("3.0", "3.0", True), ("3.1.bias", "3.1", False),
        ("5", "5", True), (["5.bias", "7"], "5", True), ("7.weight", "7", True),
    ):  # fmt: skip
        curve = jr.interpolate(task, start, end, ALPHAS, select=select).curve
        line = straight_line(task, curve, ALPHAS)
        found = (None, None) if line is None else (line.first, line.straight)
        assert found == (first, straight)
    still = straight_line(task, Curve(end, end, np.ones(len(end), int)), ALPHAS)
    assert still.first is None and not still.straight
    task = made("resnet")
    curve = jr.interpolate(task, *(moved(task, k) for k in (0, 1)), ALPHAS, "2.0.branch").curve
    assert straight_line(task, curve, ALPHAS).first == "2.0"


def test_the_layers_before_run_once_a_batch(monkeypatch):
    calls = {"conv": 0, "linear": 0}
    convolve, product = nn.Conv2d.forward, nn.Linear.forward

    def counted(kind, forward, self, x):
        calls[kind] += 1
        return forward(self, x)

    task = made("lenet")
    start, end = moved(task, 0), moved(task, 1)
    assert task.fingerprint  # scores a state when it is first asked for
    monkeypatch.setattr(nn.Conv2d, "forward", lambda *a: counted("conv", convolve, *a))
    monkeypatch.setattr(nn.Linear, "forward", lambda *a: counted("linear", product, *a))
    jr.interpolate(task, start, end, alphas=9, select="9")
    splits, convolutions, before, ends = 2, 2, 1, 2
    assert calls == {"conv": splits * convolutions, "linear": splits * (before + ends + 9)}


def test_nothing_that_moves_gives_one_score():
    for name in ("mlp", "cnn"):
        task = made(name)
        state = moved(task, 0)
        path = jr.interpolate(task, state, state, alphas=ALPHAS)
        assert apart(task, [path]) == 0
        assert all(len(set(values)) == 1 for values in path.metrics.values())


def test_a_bent_layer_is_computed_for_each_state():
    task = made("mlp")
    start, end = moved(task, 0), moved(task, 1)
    whole = jr.interpolate(task, start, end, alphas=ALPHAS, biases="homogeneous")
    assert straight_line(task, whole.curve, ALPHAS).straight  # its first layer is of degree 1
    last = jr.interpolate(task, start, end, ALPHAS, select="5", biases="homogeneous")
    line = straight_line(task, last.curve, ALPHAS)
    assert line.first == "5" and line.straight  # the only layer that moves is of degree 1
    depth = {"1.bias": 1, "3.bias": 2, "5.bias": 3}
    bent = jr.interpolate(task, start, end, ALPHAS, select="5", biases="homogeneous", depth=depth)
    line = straight_line(task, bent.curve, ALPHAS)
    assert line.first == "5" and not line.straight
    assert apart(task, [whole, last, bent]) < 1e-12


class Doubling(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def doubled(module, given, out):
    return 2 * out


def hooked():
    model = NETWORKS["cnn"][0]()
    model[5].register_forward_hook(doubled)
    return model


def patched():
    model = NETWORKS["cnn"][0]()
    original = model[7].forward
    model[7].forward = lambda x: 2 * original(x)
    return model


def replaced(part):
    model = NETWORKS["cnn"][0]()
    model[5] = part
    return model


def twice():
    layer = nn.Tanh()
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), layer, nn.Linear(8, 3), layer)


def tied():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))
    model[3].weight = model[1].weight
    return model


@pytest.mark.parametrize(
    "build",
    [
        hooked,
        patched,
        partial(replaced, Doubling(32, 5)),
        partial(replaced, parametrizations.weight_norm(nn.Linear(32, 5))),
        twice,
        tied,
        None,
    ],
    ids="hook patch subclass weight_norm twice tied other".split(),
)
def test_what_cannot_be_proved_takes_the_ordinary_way(build):
    if build is None:
        task = nets.TASKS["transformer"]()
    else:
        task = jr.Task(build().double(), pictures((1, 4, 4), np.float64))
    start, end = (moved(task, seed, task.state(task.template)) for seed in (0, 1))
    paths = jr.layerwise(task, start, end, alphas=ALPHAS)
    assert all(straight_line(task, path.curve, ALPHAS) is None for path in paths.values())
    assert apart(task, paths.values()) == 0


def test_an_input_stands_in_for_ends_that_overflow():
    task = made("lenet", np.float32)
    start, end = moved(task, 0), moved(task, 1)
    start, end = (np.sign(state) * np.float32(2e38) for state in (start, end))
    path = jr.interpolate(task, start, end, alphas=[0, 0.5, 1], select="7")
    assert straight_line(task, path.curve, path.alphas).straight
    expected = measure(task, path.curve.at(path.alphas))
    for name, values in expected.items():
        np.testing.assert_array_equal(path.metrics[name], values)


def test_blocks_change_no_bit_and_the_model_stays(monkeypatch):
    model = normed().double()
    task = jr.Task(model, pictures((1, 4, 4), np.float64))
    before = copy.deepcopy(model.state_dict())
    start, end = moved(task, 0), moved(task, 1)
    torch_state = torch.get_rng_state()
    one = jr.interpolate(task, start, end, 9, select="5", logits=True)
    monkeypatch.setattr("jumpretrain.paths.interpolate.BLOCK_ENTRIES", 2 * len(start))
    two = jr.interpolate(task, start, end, 9, select="5", logits=True)
    for name, values in one.metrics.items():
        np.testing.assert_array_equal(two.metrics[name], values)
    np.testing.assert_array_equal(one.logits["test"], two.logits["test"])
    assert torch.equal(torch_state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_loss_that_writes_into_outputs_sees_those_of_each_state():
    def loss(outputs, targets):
        outputs -= 1
        return torch.nn.functional.cross_entropy(outputs, targets, reduction="none")

    def spoilt(outputs, targets):
        return outputs.mul_(2).sum(1)

    task = jr.Task(partial(jr.models.mlp, (1, 8, 8), 10), jr.data.digits(), loss, {"s": spoilt})
    state = task.initial(0)
    path = jr.interpolate(task, state, state, 4)
    alone = jr.evaluate(task, [state])
    for name, values in alone.items():
        assert np.array_equal(path.metrics[name], np.repeat(values, 4))
