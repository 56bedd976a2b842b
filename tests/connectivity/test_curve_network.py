"""The gradient of a bridge against a chain rule; what is frozen is mixed too."""

import joblib
import numpy as np
import pytest
import torch
from torch import nn

import jumpretrain as jr
from jumpretrain.connectivity.barycentric import RandomPoint, bezier_coordinates
from jumpretrain.connectivity.curve_network import CurveNetwork


def bridge(alpha=None):
    data = jr.Dataset(np.eye(3), np.arange(3), np.eye(3), np.arange(3))
    task = jr.Task(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double(), data)
    nodes = np.random.default_rng(0).normal(size=(3, task.layout.width))
    return (
        task,
        nodes,
        CurveNetwork(
            task.module(), task.layout, nodes, 2, RandomPoint(ends_first, 1, 3, "bezier")
        ),
    )


def ends_first(alphas, nodes):
    return bezier_coordinates(alphas, nodes)[:, [0, 2, 1]]


def test_in_evaluation_a_bridge_stands_in_the_middle():
    task, nodes, model = bridge()
    middle = np.array([0.25, 0.25, 0.5]) @ nodes
    x = task.tensors["train_x"]
    torch.testing.assert_close(model.eval()(x), task.module(middle)(x))


def test_the_gradient_reaches_the_free_node_alone_by_its_share():
    task, nodes, model = bridge()
    x, y = task.tensors["train_x"], task.tensors["train_y"]
    torch.manual_seed(5)
    alphas = torch.rand(3, 1)  # each example is a part of its own
    torch.manual_seed(5)
    nn.functional.cross_entropy(model.train()(x), y).backward()
    expected = 0.0
    for k, alpha in enumerate(alphas.double().numpy()):
        shares = ends_first(alpha, 3)[0]
        network = task.module(shares @ nodes)
        (nn.functional.cross_entropy(network(x[k : k + 1]), y[k : k + 1]) / 3).backward()
        direct = torch.cat([p.grad.flatten() for p in network.parameters()])
        expected = expected + shares[2] * direct
    torch.testing.assert_close(model.free.grad[0], expected)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["free"]


def test_a_bridge_travels_to_worker_processes():
    task, _, model = bridge()
    x = task.tensors["train_x"]
    [there] = joblib.Parallel(n_jobs=2)([joblib.delayed(model.eval())(x)])
    torch.testing.assert_close(there, model.eval()(x))


def test_frozen_parameters_and_buffers_are_those_of_the_nodes():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double().eval()
    model[0].requires_grad_(False)
    data = jr.Dataset(np.eye(3), np.arange(3), np.eye(3), np.arange(3))
    task = jr.Task(model.requires_grad_(True), data)
    task.template[0].requires_grad_(False)
    frozen = jr.Task(task.template, data, batchnorm="stored")
    nodes = np.random.default_rng(1).uniform(0.5, 1, size=(3, frozen.layout.width))
    draw = RandomPoint(ends_first, 1, 3, "bezier")
    bent = CurveNetwork(frozen.module(), frozen.layout, nodes, 2, draw)
    x = frozen.tensors["train_x"]
    middle = frozen.module(np.array([0.25, 0.25, 0.5]) @ nodes).eval()
    torch.testing.assert_close(bent.eval()(x), middle(x))


def test_bridges_of_other_curves_have_other_names():
    task, nodes, model = bridge()
    other = CurveNetwork(
        task.module(), task.layout, nodes, 2, RandomPoint(ends_first, 1, 3, "polychain")
    )
    assert "bezier, 3 nodes, 1 free" in repr(model) and "polychain" in repr(other)


def test_outputs_that_are_no_tensor_are_refused():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    data = jr.Dataset(np.eye(3), np.arange(3), np.eye(3), np.arange(3))
    loss = lambda out, y: nn.functional.cross_entropy(out[0], y, reduction="none")  # noqa: E731
    task = jr.Task(lambda: Pair(3, 3).double(), data, loss=loss, metrics={})
    nodes = np.stack([task.initial(seed) for seed in range(3)])
    model = CurveNetwork(
        task.module(), task.layout, nodes, 2, RandomPoint(ends_first, 1, 3, "bezier")
    )
    with pytest.raises(ValueError, match="returns one tensor, but this one returns tuple"):
        model(task.tensors["train_x"])
