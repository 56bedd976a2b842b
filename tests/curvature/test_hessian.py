"""Products with the Hessian are those of the loss that is said, and leave everything as it was."""

import random

import numpy as np
import pytest
import torch
from support import nets, zoo
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrizations import weight_norm

from jumpretrain.contents.estimates import renew_vectors
from jumpretrain.curvature.hessian import Hessian, hessian_product
from jumpretrain.curvature.sharp_directions import sharp_directions
from jumpretrain.engine.evaluate import evaluate
from jumpretrain.networks.models import lstm, mlp, transformer
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import cross_entropy, squared_error
from jumpretrain.tasks.task import Task

KINDS = {
    **nets.TASKS,
    "lstm": lambda: Task(nets.double(lambda: lstm(12, 3, width=6)), nets.tokens()),
    "attention": lambda: Task(
        nets.double(lambda: transformer(12, 3, 5, width=6, layers=1)), nets.tokens()
    ),
    "weight_norm": lambda: doubled("weight_norm"),
    "weight_norm by a hook": lambda: doubled("weight_norm by a hook"),
    "weight_norm of all axes": lambda: Task(
        nets.double(lambda: zoo.between(weight_norm(nn.Linear(6, 8), dim=None))), nets.vectors()
    ),
}


def doubled(name):
    return Task(nets.double(zoo.ZOO[name]), nets.vectors())


def somewhere(task, seed=1):
    """A state with running statistics and frozen parameters of its own."""
    rng = np.random.default_rng(seed)
    state = task.initial(0)
    others = slice(task.weight_count, None)
    state[others] = rng.uniform(0.5, 2, size=len(state[others]))
    return state


def gradient(task, state):
    """By hand: one backward pass of the mean loss of all scored examples."""
    module = task.module(state).eval()
    loss = task.loss(module(task.tensors["scored_x"]), task.tensors["scored_y"]).mean()
    loss.backward()
    trained = [p for p in module.parameters() if p.requires_grad]
    return torch.cat([p.grad.reshape(-1) for p in trained]).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_differences_of_the_gradient(kind):
    task = KINDS[kind]()
    state, count = somewhere(task), task.weight_count
    vector = np.random.default_rng(0).normal(size=count)
    if kind == "padded transformer":  # torch never moves the padding token, which comes first
        vector[:8] = 0
    shift = np.r_[vector, np.zeros(len(state) - count)] * 1e-6
    expected = (gradient(task, state + shift) - gradient(task, state - shift)) / 2e-6
    found = hessian_product(task, state)(vector)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert np.abs(found).max() > 0


@pytest.mark.parametrize("kind", ["mlp", "conv with BatchNorm"])
def test_loss_and_gradient_are_those_of_the_state_with_its_statistics(kind):
    plain = KINDS[kind]()
    task = Task(plain.model, plain.data, batchnorm="stored", scored=30)
    state = somewhere(task)
    hessian = Hessian(task, state, "float64")
    assert hessian.examples == 30
    assert hessian.loss == pytest.approx(evaluate(task, [state])["train_loss"][0])
    assert hessian.gradient_norm == pytest.approx(np.linalg.norm(gradient(task, state)))


@pytest.mark.parametrize("kind", ["mlp", "conv with BatchNorm", "attention"])
def test_batches_change_nothing(kind, monkeypatch):
    task = KINDS[kind]()
    state, vector = somewhere(task), np.random.default_rng(0).normal(size=task.weight_count)
    whole = Hessian(task, state, "float64")
    expected = whole.product(vector)
    monkeypatch.setattr("jumpretrain.tasks.task.BATCH", 13)
    monkeypatch.setattr("jumpretrain.tasks.task.BATCH_OF_IMAGES", 13)
    monkeypatch.setattr("jumpretrain.tasks.task.CACHED", 13)
    cut = Hessian(task, state, "float64")
    assert len(cut.batches) == 4 and len(whole.batches) == 1
    for _ in range(2):  # a product leaves what the next one needs
        np.testing.assert_allclose(cut.product(vector), expected, rtol=1e-9, atol=1e-14)
        np.testing.assert_array_equal(whole.product(vector), expected)
    assert cut.loss == pytest.approx(whole.loss, rel=1e-12)
    assert cut.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-12)


def total(outputs, targets):
    return outputs.sum(1)


def test_a_linear_loss_has_no_curvature():
    task = Task(lambda: nn.Linear(6, 3), nets.vectors(), loss=total)
    assert not hessian_product(task, task.initial(0))(np.ones(21)).any()
    bent = Task(lambda: mlp((6,), 3, hidden=(4,)), nets.vectors(), loss=total)
    assert hessian_product(bent, bent.initial(0))(np.ones(43)).any()


def test_single_precision_is_close_and_double_is_better():
    data = nets.vectors()
    task = Task(lambda: mlp((6,), 3, hidden=(8,)), data)
    state, vector = task.initial(0), np.random.default_rng(0).normal(size=83)
    wide = Task(
        lambda: mlp((6,), 3, hidden=(8,)).double(),
        Dataset(
            *(
                np.float64(x) if x.dtype == np.float32 else x
                for x in (data.train_x, data.train_y, data.test_x, data.test_y)
            )
        ),
    )
    expected = hessian_product(wide, np.float64(state))(vector)
    np.testing.assert_array_equal(hessian_product(task, state)(vector), expected)
    single = hessian_product(task, state, dtype="float32")(vector)
    np.testing.assert_allclose(single, expected, atol=1e-5 * np.abs(expected).max())
    assert not np.array_equal(single, expected)


def test_nothing_else_is_changed():
    model = transformer(12, 3, 5, width=6, layers=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    task = Task(model, nets.tokens())
    state = task.state(model)
    kept = state.copy()
    legacy, python, drawn = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    hessian_product(task, state)(np.ones(task.weight_count))
    assert random.getstate() == python and torch.equal(torch.get_rng_state(), drawn)
    assert all(np.array_equal(a, b) for a, b in zip(legacy, np.random.get_state(), strict=True))  # noqa: NPY002
    np.testing.assert_array_equal(state, kept)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("efficient", [True, False])
def test_switches_of_attention_are_as_they_were(flash, efficient):
    task, flags = KINDS["attention"](), torch.backends.cuda
    before = flags.flash_sdp_enabled(), flags.mem_efficient_sdp_enabled()
    try:
        flags.enable_flash_sdp(flash)
        flags.enable_mem_efficient_sdp(efficient)
        hessian_product(task, task.initial(0))
        assert (flags.flash_sdp_enabled(), flags.mem_efficient_sdp_enabled()) == (flash, efficient)
    finally:
        flags.enable_flash_sdp(before[0])
        flags.enable_mem_efficient_sdp(before[1])


def test_what_does_not_fit_is_refused():
    task = nets.TASKS["mlp"]()
    with pytest.raises(ValueError, match="dtype must be float64 or float32, but is 'half'"):
        hessian_product(task, task.initial(0), dtype="half")
    with pytest.raises(ValueError, match=r"one state of this task, \(83,\), but is \(84,\)"):
        hessian_product(task, np.zeros(84))
    steep = Task(
        nets.double(lambda: nn.Linear(6, 6)),
        nets.as_targets(nets.vectors(dtype=np.float64)),
        loss=squared_error,
    )
    with pytest.raises(ValueError, match="loss and gradient must be finite"):
        hessian_product(steep, np.full(42, 1e200))


def test_a_loss_of_a_fixed_type_is_refused_with_the_remedy():
    weight = torch.tensor([1.0, 2.0, 3.0])

    def weighted(out, y):
        return nn.functional.cross_entropy(out, y, weight=weight, reduction="none")

    task = Task(lambda: mlp((6,), 3, hidden=(5,)), nets.vectors(), loss=weighted)
    with pytest.raises(ValueError, match="pass dtype='float32'"):
        hessian_product(task, task.initial(0))
    assert np.isfinite(Hessian(task, task.initial(0), "float32").gradient_norm)


def test_complex_buffers_keep_their_imaginary_parts():
    task = zoo.task("other types")
    state = task.initial(0)
    held = {n: p.double() for n, p in task.layout.split(torch.as_tensor(state)).items()}
    fixed, x = task.template, task.tensors["scored_x"].double()

    def loss(weights):
        own = task.layout.split_weights(weights)
        hidden = torch.tanh(x[:, fixed.order] @ own["inner.weight"].T + own["inner.bias"])
        real, imaginary = (hidden * fixed.mask).reshape(-1, 4, 2).unbind(-1)
        angle = torch.atan2(fixed.turn.imag.double(), fixed.turn.real.double())
        size = fixed.turn.abs().double()
        turned = size * (angle.cos() * real - angle.sin() * imaginary)
        beside = size * (angle.sin() * real + angle.cos() * imaginary)
        rows = torch.stack([turned, beside], dim=-1).reshape(-1, 8)
        outputs = rows @ own["head.weight"].T + own["head.bias"]
        return nn.functional.cross_entropy(outputs, task.tensors["scored_y"])

    weights = torch.cat([held[name].reshape(-1) for name in task.layout.names])
    found = sharp_directions(task, state)
    assert found.loss == pytest.approx(loss(weights).item(), rel=1e-6)
    assert found.loss == pytest.approx(evaluate(task, [state])["train_loss"][0], rel=1e-6)
    matrix = torch.autograd.functional.hessian(loss, weights)
    expected = torch.linalg.eigvalsh(matrix).numpy()[::-1]
    np.testing.assert_allclose(found.eigenvalues, expected, atol=1e-6 * expected[0])


def test_a_temperature_without_axes_has_a_row_of_the_hessian():
    task = zoo.task("without axes and empty")
    state = task.initial(0)
    x, y = task.tensors["scored_x"].double(), task.tensors["scored_y"]

    def loss(weights):
        own = task.layout.split_weights(weights)
        outputs = x @ own["layer.weight"].T + own["layer.bias"]
        outputs = outputs * own["temperature"].exp() + 0.25
        return nn.functional.cross_entropy(outputs, y)

    weights = torch.as_tensor(state[: task.weight_count]).double()
    matrix = torch.autograd.functional.hessian(loss, weights).numpy()
    unit = np.zeros(task.weight_count)
    unit[task.layout.names.index("temperature")] = 1
    np.testing.assert_allclose(hessian_product(task, state)(unit), matrix @ unit, atol=1e-9)


@pytest.mark.parametrize("kind", ["spectral_norm", "spectral_norm by a hook"])
def test_vectors_of_spectral_norm_are_held_and_follow_the_policy(kind):
    task, stored = zoo.task(kind), zoo.task(kind, batchnorm="stored")
    state = task.initial(0)
    state[: task.weight_count] += np.random.default_rng(0).normal(0, 0.3, task.weight_count)
    for one in (task, stored):
        expected = evaluate(one, [state])["train_loss"][0]
        assert Hessian(one, state, "float64").loss == pytest.approx(expected, rel=1e-6)
    assert Hessian(task, state, "float64").loss != pytest.approx(expected, rel=1e-3)
    network = task.module(state)
    renew_vectors(network.double())
    exact = task.layout.read(network).numpy()
    exact[: task.weight_count] = state[: task.weight_count]
    vector = np.random.default_rng(1).normal(size=task.weight_count)
    found = hessian_product(task, state)(vector)
    np.testing.assert_allclose(found, hessian_product(stored, exact)(vector), atol=1e-5)


class Squares(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0] * slope


class Once(Squares):
    @staticmethod
    @once_differentiable
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0] * slope


class CutOff(Squares):
    @staticmethod
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0].detach() * slope


class Squared(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.first, self.last, self.function = nn.Linear(6, 4), nn.Linear(4, 3), function

    def forward(self, x):
        return self.last(self.function.apply(self.first(x)))


@pytest.mark.parametrize("function", [Once, CutOff])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", [cross_entropy, lambda outputs, targets: outputs.sum(1)])
def test_a_function_with_first_derivatives_only_is_refused_and_the_remedy_helps(
    function, dtype, loss
):
    task = Task(lambda: Squared(function), nets.vectors(), loss)
    with pytest.raises(ValueError, match="must be twice differentiable"):
        hessian_product(task, task.initial(0), dtype)
    whole = Task(lambda: Squared(Squares), nets.vectors(), loss)
    assert hessian_product(whole, whole.initial(0), dtype)(np.ones(whole.weight_count)).any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", KINDS)
def test_what_torch_differentiates_passes_the_comparison_also_on_kinks(name, dtype):
    task = KINDS[name]()
    scales = (1, 30) if "weight_norm" in name else (1, 30, 0)  # nothing has no direction
    for scale in scales:
        Hessian(task, task.initial(0) * scale, dtype)


def test_a_loss_without_curvature_has_a_hessian_of_zero():
    task = Task(lambda: nn.Linear(6, 3), nets.vectors(), lambda outputs, targets: outputs[:, 0])
    assert not hessian_product(task, task.initial(0))(np.ones(task.weight_count)).any()
