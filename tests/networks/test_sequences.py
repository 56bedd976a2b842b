"""Networks on tokens: formulas written by hand, and the way through a task."""

from functools import partial

import numpy as np
import pytest
import torch

from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.initialisation import initialise
from jumpretrain.networks.sequences import lstm, transformer
from jumpretrain.paths.interpolate import interpolate
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.task import Task

BUILDERS = {
    "lstm": partial(lstm, tokens=9, classes=3, width=8),
    "transformer": partial(transformer, tokens=9, classes=3, length=5, width=8),
}
TOKENS = torch.randint(9, (6, 5), generator=torch.Generator().manual_seed(0))


def arrays(network):
    return {name: p.detach().numpy() for name, p in network.double().named_parameters()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_an_lstm_is_its_formula():
    network = BUILDERS["lstm"]()
    a = arrays(network)
    hidden = cell = np.zeros((6, 8))
    for step in TOKENS.T.numpy():
        inner = a["embedding.weight"][step] @ a["recurrent.weight_ih_l0"].T
        inner += hidden @ a["recurrent.weight_hh_l0"].T
        inner += a["recurrent.bias_ih_l0"] + a["recurrent.bias_hh_l0"]
        enter, forget, value, leave = np.split(inner, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(value)
        hidden = sigmoid(leave) * np.tanh(cell)
    expected = hidden @ a["head.weight"].T + a["head.bias"]
    np.testing.assert_allclose(network(TOKENS).detach().numpy(), expected, atol=1e-12)


def normalised(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def attended(x, heads):
    """Mix values by softmax attention; queries, keys and values lie side by side."""
    width = x.shape[-1] // 3
    query, key, value = np.split(x, 3, axis=-1)
    mixed = np.empty_like(value)
    for part in np.split(np.arange(width), heads):
        scores = query[..., part] @ key[..., part].swapaxes(1, 2) / np.sqrt(len(part))
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed[..., part] = shares / shares.sum(-1, keepdims=True) @ value[..., part]
    return mixed


def test_a_transformer_is_its_formula():
    torch.manual_seed(0)
    network = BUILDERS["transformer"](heads=4)
    for norm in (m for m in network.modules() if isinstance(m, torch.nn.LayerNorm)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    a = arrays(network)

    def linear(name, x):
        return x @ a[f"{name}.weight"].T + a[f"{name}.bias"]

    def norm(name, x):
        return normalised(x, a[f"{name}.weight"], a[f"{name}.bias"])

    x = a["embedding.weight"][TOKENS.numpy()] + a["position.weight"]
    for block in ("blocks.0", "blocks.1"):
        mixed = attended(linear(f"{block}.attention", norm(f"{block}.norm1", x)), heads=4)
        x = x + linear(f"{block}.merge", mixed)
        inner = np.maximum(linear(f"{block}.feed.0", norm(f"{block}.norm2", x)), 0)
        x = x + linear(f"{block}.feed.2", inner)
    expected = linear("head", norm("norm", x).mean(1))
    np.testing.assert_allclose(network(TOKENS).detach().numpy(), expected, atol=1e-12)


def test_layers_of_a_transformer_start_apart():
    network = BUILDERS["transformer"](layers=3)
    first, second, third = (block.attention.weight for block in network.blocks)
    assert not torch.equal(first, second) and not torch.equal(second, third)


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_the_order_of_tokens_matters_and_shorter_sequences_fit(build):
    network = build()
    assert not torch.allclose(network(TOKENS), network(TOKENS.flip(1)), atol=1e-4)
    assert network(TOKENS[:, :2]).shape == (6, 3)


def data(count=90):
    """The class is the first token's remainder by three."""
    x = np.random.default_rng(0).integers(9, size=(count + 30, 5)).astype(np.int32)
    return Dataset(x[:count], x[:count, 0] % 3, x[count:], x[count:, 0] % 3)


@pytest.mark.parametrize("kind", ["function", "network"])
@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_tokens_go_through_probe_training_and_interpolation(build, kind):
    task = Task(build if kind == "function" else build(), data())
    recipe = Recipe(
        epochs=30, lr=0.02, optimiser="adam", batch_size=30, record_every=0, record_early=False
    )
    runs = train(task, recipe, [0, 1], execution=Execution(progress=False))
    path = interpolate(task, runs.initial[0], runs.final[0], alphas=3)
    assert runs.metrics["train_accuracy"][:, -1].min() > 0.9
    assert path.metrics["train_loss"][[0, 2]] == pytest.approx(runs.metrics["train_loss"][0])


def test_a_transformer_trains_stacked_as_looped():
    task = Task(lambda: BUILDERS["transformer"]().double(), data())
    runs = [
        train(task, Recipe(epochs=2), [0, 1], execution=Execution(mode=mode, progress=False))
        for mode in ("auto", "looped")
    ]
    assert runs[0].provenance["execution"]["mode"] == "stacked"
    np.testing.assert_allclose(runs[0].final, runs[1].final, atol=1e-9)


def test_a_transformer_can_lose_the_biases_of_its_linear_layers():
    task = Task(initialise(BUILDERS["transformer"], "he", biases="last"), data())
    biases = [n for n in task.layout.names if n.endswith("bias") and "norm" not in n]
    assert biases == ["head.bias"]


@pytest.mark.parametrize(
    "build",
    [
        partial(lstm, tokens=5, classes=3),
        partial(transformer, tokens=5, classes=3, length=5),
        partial(transformer, tokens=9, classes=3, length=4),
    ],
)
def test_tokens_and_lengths_out_of_range_are_refused(build):
    with pytest.raises(ValueError, match=r"must take inputs \(2, 5\) torch.int64"):
        Task(build, data())


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="multiple of heads, but 8 is none of 3"):
        BUILDERS["transformer"](heads=3)
