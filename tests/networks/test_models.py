"""Networks of the papers: sizes, shapes and initial laws."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import BUILDERS, autoencoder, lenet, mlp, simple_cnn
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_builder_gives_one_output_a_class(name, shape):
    network = BUILDERS[name](shape, 7)
    images = torch.rand(2, *shape)
    assert network(images).shape == (2, 7)
    assert len({id(module) for module in network.modules()}) == len(list(network.modules()))


def test_small_networks_have_the_sizes_that_their_layers_add_up_to():
    assert size(mlp((1, 8, 8), 10, hidden=(16, 5))) == 64 * 16 + 16 + 16 * 5 + 5 + 5 * 10 + 10
    assert size(mlp((6,), 3, hidden=())) == 21
    convolutions = 9 * (3 * 16 + 16 * 32 + 32 * 32) + 16 + 32 + 32
    assert size(mlp((6,), 3, hidden=(4, 5), batchnorm=True)) == size(mlp((6,), 3, (4, 5))) + 2 * 9
    assert size(autoencoder((1, 8, 8), hidden=(16,), code=2)) == 1040 + 34 + 48 + 17 * 64
    assert size(simple_cnn((3, 32, 32), 10)) == convolutions + 512 * 10 + 10
    narrow = 9 * (8 + 8 * 4) + 8 + 4
    assert size(simple_cnn((1, 14, 8), 5, channels=(8, 4), dropout=0.2)) == narrow + 24 * 5 + 5
    assert size(lenet((1, 28, 28), 10)) == 61_706


@pytest.mark.parametrize(("builder", "side"), [(lenet, 12), (simple_cnn, 8)])
def test_the_smallest_images_fit(builder, side):
    assert builder((1, side, side), 3)(torch.rand(2, 1, side, side)).shape == (2, 3)


def test_dropout_leaves_out_inputs_of_the_linear_layer_in_training_only():
    network = simple_cnn((1, 8, 8), 3, dropout=0.5)
    seen = {}
    network[-1].register_forward_pre_hook(lambda _, given: seen.update(x=given[0]))
    x = torch.rand(40, 1, 8, 8)
    plain = network.eval()(x)
    kept = seen["x"]
    assert torch.equal(plain, network(x)) and (kept != 0).all()
    network.train()(x)
    thinned = seen["x"]
    assert 0.4 < (thinned == 0).double().mean() < 0.6
    assert torch.equal(thinned[thinned != 0], 2 * kept[thinned != 0])


def test_an_mlp_is_its_formula():
    network = mlp((2, 3), 4, hidden=(5,))
    x = torch.randn(7, 2, 3)
    (w1, b1), (w2, b2) = (
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in network
        if isinstance(layer, nn.Linear)
    )
    expected = np.maximum(x.reshape(7, 6).numpy() @ w1.T + b1, 0) @ w2.T + b2
    np.testing.assert_allclose(network(x).detach().numpy(), expected, atol=1e-6)


def test_batchnorm_stands_between_layer_and_activation():
    torch.manual_seed(0)
    network = mlp((2, 3), 4, hidden=(5, 6), batchnorm=True).double()
    x = torch.randn(7, 2, 3).double()
    inner = x.numpy().reshape(7, 6)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    for layer in linear:
        inner = inner @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        if layer is not linear[-1]:
            inner = (inner - inner.mean(0)) / np.sqrt(inner.var(0) + 1e-5)
            inner = np.maximum(inner, 0)
    np.testing.assert_allclose(network(x).detach().numpy(), inner, atol=1e-12)


def test_an_autoencoder_is_its_formula_and_keeps_the_shape():
    network = autoencoder((2, 3, 1), hidden=(7, 5), code=2)
    x = torch.randn(4, 2, 3, 1)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linear] == [7, 5, 2, 5, 7, 6]
    inner = x.numpy().reshape(4, 6)
    for layer in linear:
        inner = inner @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        inner = inner if layer is linear[-1] else np.maximum(inner, 0)
    np.testing.assert_allclose(network(x).detach().numpy(), inner.reshape(x.shape), atol=1e-6)


def test_an_autoencoder_learns_to_give_back_its_inputs():
    plane = np.random.default_rng(0).normal(size=(60, 2)) @ np.array([[1.0, 0, 2], [0, 1, -1]])
    data = nets.as_targets(Dataset(plane, np.zeros(60, int), plane[:9], np.zeros(9, int)))
    task = Task(lambda: autoencoder((3,), hidden=(16,), code=8).double(), data, squared_error)
    recipe = Recipe(epochs=30, lr=0.01, optimiser="adam", batch_size=10)
    loss = train(task, recipe, [0], execution=Execution(progress=False)).metrics["train_loss"][0]
    assert loss[-1] < 0.05 * loss[0]
