"""Networks of the papers: sizes, shapes and initial laws."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from jumpretrain.models import BUILDERS, lenet, mlp, simple_cnn, wide_resnet


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_builder_gives_one_output_a_class(name, shape):
    network = BUILDERS[name](shape, 7)
    images = torch.rand(2, *shape)
    assert network(images).shape == (2, 7)
    assert len({id(module) for module in network.modules()}) == len(list(network.modules()))


@pytest.mark.parametrize(
    ("depth", "width", "count"),
    [
        (10, 1, 77_850),
        (10, 2, 303_706),
        (16, 1, 175_066),
        (16, 2, 691_674),
        (22, 1, 272_282),
        (22, 2, 1_079_642),
        (28, 2, 1_467_610),
    ],
)
def test_wide_resnets_have_the_papers_sizes(depth, width, count):
    assert size(wide_resnet((3, 32, 32), 10, depth, width)) == count


@pytest.mark.parametrize("depth", [4, 9, 11, 15, 0, -2])
def test_a_depth_without_whole_blocks_is_refused(depth):
    with pytest.raises(ValueError, match=rf"depth must be 10, 16, 22, .* but is {depth}"):
        wide_resnet((3, 32, 32), 10, depth)


def test_wide_resnets_shrink_images_twice_and_start_as_the_paper_says():
    torch.manual_seed(0)
    network = wide_resnet((3, 32, 32), 10, depth=10, width=2)
    sides, hooks = [], []
    for module in network:
        hooks.append(module.register_forward_hook(lambda *call: sides.append(call[2].shape[-1])))
    network(torch.rand(2, 3, 32, 32))
    assert sides[:4] == [32, 32, 16, 8]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            spread = 1 / math.sqrt(2 * module.weight.numel())
            assert module.bias is None
            assert float(module.weight.detach().std()) == pytest.approx(
                math.sqrt(2 / fan_out), rel=5 * spread
            )
    head = network[-1]
    assert not head.bias.any()
    assert float(head.weight.detach().std()) == pytest.approx(math.sqrt(2 / (128 + 10)), rel=0.1)


def test_blocks_add_their_input_before_any_activation():
    torch.manual_seed(0)
    block = wide_resnet((3, 8, 8), 10)[1].eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(block(x), x)


def test_small_networks_have_the_sizes_that_their_layers_add_up_to():
    assert size(mlp((1, 8, 8), 10, hidden=(16, 5))) == 64 * 16 + 16 + 16 * 5 + 5 + 5 * 10 + 10
    assert size(mlp((6,), 3, hidden=())) == 21
    convolutions = 9 * (3 * 16 + 16 * 32 + 32 * 32) + 16 + 32 + 32
    assert size(simple_cnn((3, 32, 32), 10)) == convolutions + 512 * 10 + 10
    assert size(lenet((1, 28, 28), 10)) == 61_706


@pytest.mark.parametrize(("builder", "side"), [(lenet, 12), (simple_cnn, 8)])
def test_the_smallest_images_fit(builder, side):
    assert builder((1, side, side), 3)(torch.rand(2, 1, side, side)).shape == (2, 3)


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
