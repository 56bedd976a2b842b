"""Statistics and vectors that follow the weights are found anew at each scored state."""

import numpy as np
import pytest
import torch
from support import nets, zoo
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import spectral_norm as spectral_hook

import jumpretrain as jr
from jumpretrain.contents.estimates import has_vectors, normalisers, renew_vectors, with_vectors
from jumpretrain.engine.evaluate import measure_both
from jumpretrain.tasks.task import Task

QUIET = jr.Execution(progress=False)
KINDS = ["spectral_norm", "spectral_norm by a hook"]
RECIPE = jr.Recipe(epochs=3, lr=0.05, batch_size=11)


def plain(task, state):
    """Score a state with weights divided by their largest singular value, by hand."""
    held = task.layout.split(torch.as_tensor(state).double())
    weights = [held[n] for n in task.layout.names if n.endswith(("original", "weight_orig"))]
    biases = [held[n] for n in task.layout.names if n.endswith("bias")]
    first, second = (w / torch.linalg.matrix_norm(w, 2) for w in weights)
    x, y = task.tensors["train_x"].double(), task.tensors["train_y"]
    outputs = torch.tanh(x @ first.T + biases[0]) @ second.T + biases[1]
    return functional.cross_entropy(outputs, y).item()


def flipped(task, state):
    """Turn the sign of all pairs of vectors, which leaves the function as it is."""
    rows = torch.as_tensor(state.copy())
    for name, piece in task.layout.split(rows).items():
        if name.endswith(("_u", "_v")):
            piece.neg_()
    return rows.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_sign_of_vectors_changes_no_score_on_the_way(kind):
    task = zoo.task(kind)
    state = task.initial(0)
    other = flipped(task, state)
    assert not np.array_equal(state, other)
    path = jr.interpolate(task, state, other, alphas=5, execution=QUIET)
    np.testing.assert_allclose(path.metrics["train_loss"], plain(task, state), rtol=1e-5)
    stored = zoo.task(kind, batchnorm="stored")
    losses = jr.interpolate(stored, state, other, alphas=5, execution=QUIET).metrics["train_loss"]
    assert losses[0] == losses[-1] and np.isnan(losses[2])


@pytest.mark.parametrize("kind", KINDS)
def test_mixtures_and_jumps_are_scored_with_their_own_singular_values(kind):
    task = zoo.task(kind)
    fit = jr.train(task, RECIPE, [0, 1, 2], execution=QUIET)
    start, end, third = fit.final
    alphas = np.linspace(0, 1, 5)
    mixed = [(1 - a) * start.astype(float) + a * end for a in alphas]
    expected = [plain(task, state) for state in mixed]
    path = jr.interpolate(task, start, flipped(task, end), alphas=5, execution=QUIET)
    np.testing.assert_allclose(path.metrics["train_loss"], expected, rtol=1e-5)
    runs = jr.sample(task, start, RECIPE, (0.0, 1.0), directions=2, execution=QUIET)
    jumps = runs.states[:, 0]
    assert np.array_equal(jumps[0], start)
    expected = [plain(task, state) for state in jumps]
    np.testing.assert_allclose(runs.metrics["train_loss"][:, 0], expected, rtol=1e-5)
    stored = jr.evaluate(zoo.task(kind, batchnorm="stored"), jumps)["train_loss"]
    assert np.array_equal(runs.metrics["train_loss_stored"][:, 0], stored)
    assert (np.abs(stored - expected)[[1, 3]] > 1e-3).all()
    plane = jr.plane_through(task, [start, end, third], size=2, margin=0, execution=QUIET)
    shares = np.linalg.solve(plane.coordinates[1:].T, [plane.x[1], plane.y[1]])
    corner = start + shares @ (np.stack([end, third]) - start.astype(float))
    assert plane.metrics["train_loss"][1, 1] == pytest.approx(plain(task, corner), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["hyperplane", "bezier"])
def test_connectors_take_optima_whose_vectors_have_opposite_signs(kind, method):
    task = zoo.task(kind)
    ends = jr.train(task, RECIPE, [0, 1], execution=QUIET).final
    short = jr.Recipe(epochs=2, lr=0.01, optimiser="adam", record_every=0, batch_size=11)
    choices = {"recipe": short, "inner": 1, "each": 2, "execution": QUIET, "method": method}
    joined = jr.connect(task, ends, **choices)
    again = jr.connect(task, [ends[0], flipped(task, ends[1])], **choices)
    width, middle = task.weight_count, len(joined.alphas) // 2
    np.testing.assert_allclose(joined.nodes[:, :width], again.nodes[:, :width], atol=1e-5)
    point = joined.shares[middle] @ joined.nodes
    assert joined.metrics["train_loss"][middle] == pytest.approx(plain(task, point), rel=1e-4)
    assert joined.metrics["train_loss"][middle] < joined.straight_metrics["train_loss"][middle]


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_with_the_vectors_of_a_state_and_finds_those_of_a_mixture(kind):
    task = zoo.task(kind)
    ends = jr.train(task, RECIPE, [0, 1], execution=QUIET).final
    mixture = (ends[0] + flipped(task, ends[0])) / 2
    starts = with_vectors(task.module(), task.layout, np.stack([ends[0], mixture]))
    assert np.array_equal(starts[0], ends[0])
    stored = jr.evaluate(zoo.task(kind, batchnorm="stored"), starts[1:])["train_loss"]
    assert stored[0] == pytest.approx(plain(task, mixture), rel=1e-5)
    fit = jr.train(task, RECIPE, [0, 0], [ends[0], mixture], execution=QUIET)
    np.testing.assert_allclose(*fit.metrics["train_loss"], rtol=0.01)


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


def chained():
    layer = nn.Linear(5, 4)
    parametrize.register_parametrization(layer, "weight", Halved())
    return parametrizations.spectral_norm(layer)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), (4, 27)),
        (lambda: spectral_hook(nn.ConvTranspose1d(3, 4, 2)), (4, 6)),
        (lambda: parametrizations.spectral_norm(nn.Embedding(9, 4), n_power_iterations=3), (9, 4)),
        (lambda: parametrizations.weight_norm(spectral_hook(nn.Linear(4, 4)), "bias"), (4, 4)),
        (chained, (4, 5)),
    ],
)
def test_vectors_become_the_leading_singular_ones_of_any_layer(build, shape):
    torch.manual_seed(0)
    layer = build().eval()
    assert has_vectors(layer)
    names = [n for n, _ in layer.named_buffers() if n.endswith(("_u", "_v"))]
    buffers = dict(layer.named_buffers())
    with torch.no_grad():
        for name in names:
            buffers[name].copy_(functional.normalize(torch.randn_like(buffers[name]), dim=0))
        renew_vectors(layer)
        for hook in layer._forward_pre_hooks.values():
            hook(layer, ())
    across = isinstance(layer, nn.ConvTranspose1d)
    matrix = layer.weight.detach().transpose(0, 1) if across else layer.weight.detach()
    matrix = matrix.flatten(1)
    assert matrix.shape == shape
    assert torch.linalg.matrix_norm(matrix.double(), 2).item() == pytest.approx(1, rel=1e-6)
    for name in names:
        assert buffers[name].norm().item() == pytest.approx(1, rel=1e-6)


def test_a_vector_needs_no_singular_ones_and_zero_weights_have_none():
    layer = parametrizations.spectral_norm(nn.Linear(3, 2), name="bias")
    assert not has_vectors(layer)
    renew_vectors(layer)
    layer = parametrizations.spectral_norm(nn.Linear(3, 2))
    nn.init.zeros_(layer.parametrizations.weight.original)
    renew_vectors(layer)
    assert not layer.weight.isfinite().any()  # as torch has it: zero over zero


@pytest.mark.parametrize("policy", ["recalibrate", "stored", "batch"])
def test_instance_norm_is_scored_as_batchnorm_is(policy):
    task = zoo.task("InstanceNorm and depthwise", batchnorm=policy)
    fit = jr.train(task, RECIPE, [0], execution=QUIET)
    runs = jr.sample(task, fit.final[0], RECIPE, (1.0,), directions=1, execution=QUIET)
    state = runs.states[0, 0]
    network = task.module(state)
    x, y = task.tensors["train_x"], task.tensors["train_y"]
    with torch.no_grad():
        if policy == "recalibrate":
            maps = network[0](x)
            network[1].running_mean.copy_(maps.mean((0, 2, 3)))
            network[1].running_var.copy_(maps.var((2, 3)).mean(0))
        network.eval()[1].train(policy == "batch")
        expected = functional.cross_entropy(network(x), y).item()
    assert runs.metrics["train_loss"][0, 0] == pytest.approx(expected, rel=1e-5)
    other = "recalibrated" if policy == "stored" else "stored"
    assert abs(runs.metrics[f"train_loss_{other}"][0, 0] - expected) > 1e-3


@pytest.mark.parametrize("name", ["own BatchNorm", "SyncBatchNorm"])
def test_other_kinds_of_batchnorm_are_recalibrated_over_batches(name, monkeypatch):
    monkeypatch.setattr("jumpretrain.tasks.task.BATCH", 16)
    task = zoo.task(name)
    assert len(task.batches("scored_x")) > 1
    state = task.initial(0)
    network = task.module(state)
    with torch.no_grad():
        hidden = [network[0](x) for x in task.batches("scored_x")]
        network[1].running_mean.copy_(torch.stack([h.mean(0) for h in hidden]).mean(0))
        network[1].running_var.copy_(torch.stack([h.var(0) for h in hidden]).mean(0))
        outputs = network.eval()(task.tensors["train_x"])
        expected = functional.cross_entropy(outputs, task.tensors["train_y"]).item()
    found = measure_both(task, state[None])
    assert found["train_loss"][0] == pytest.approx(expected, rel=1e-6)
    assert found["train_loss_stored"][0] != pytest.approx(expected, rel=1e-3)


def test_a_frozen_instance_norm_keeps_its_statistics():
    network = zoo.images()
    network[1].eval()
    network[1].running_mean.fill_(2.0)
    task = Task(network, nets.images())
    found = measure_both(task, task.state(network)[None])
    assert sorted(found) == ["test_accuracy", "test_loss", "train_accuracy", "train_loss"]
    with torch.no_grad():
        outputs = network.eval()(task.tensors["train_x"])
    expected = functional.cross_entropy(outputs, task.tensors["train_y"]).item()
    assert found["train_loss"][0] == pytest.approx(expected, rel=1e-6)


def test_the_fingerprint_tells_what_older_versions_took_from_the_state():
    assert "estimated" not in Task(nets.normed, nets.images()).fingerprint
    assert zoo.task("spectral_norm").fingerprint["estimated"] == "spectral_norm"
    assert zoo.task("InstanceNorm and depthwise").fingerprint["estimated"] == "InstanceNorm"


class Frozen(nn.Sequential):
    """Keeps its normalising layers in evaluation mode, as networks that are fine-tuned do."""

    def train(self, mode=True):
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.eval()
        return self


def frozen():
    return Frozen(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


@pytest.mark.parametrize(
    "model", [frozen, lambda: nn.Sequential(frozen(), nn.ReLU()), frozen(), frozen().eval()]
)
def test_a_train_method_of_its_own_is_followed(model):
    task = Task(model, nets.vectors())
    assert not normalisers(task.module())
    for seeds in ([0], [0, 1]):
        fit = jr.train(task, jr.Recipe(epochs=1, lr=0.1), seeds, execution=QUIET)
        for name, values in task.layout.split(torch.as_tensor(fit.final)).items():
            if "running" in name:
                assert (values == float("var" in name)).all()
        assert "train_loss_stored" not in fit.metrics


def test_parts_that_were_put_into_evaluation_mode_stay_there_beside_a_train_method():
    network = nn.Sequential(frozen(), nn.BatchNorm1d(3).eval(), nn.BatchNorm1d(3))
    module = Task(network, nets.vectors()).module()
    assert [part.training for part in module] == [True, False, True]
