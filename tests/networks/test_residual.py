"""Residual networks: sizes, formulas and initial laws."""

import math

import numpy as np
import pytest
import torch
from support import nets
from torch import nn
from torch.nn import functional as F

from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.residual import resnet, wide_resnet
from jumpretrain.tasks.task import Task

KINDS = ("batch", "none", "fixup")


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


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


@pytest.mark.parametrize("depth", [4, 9, 11, 15])
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


def test_the_names_and_the_text_of_a_wide_resnet_stay_as_kept_results_know_them():
    network = wide_resnet((3, 8, 8), 10)
    names = [name for name, _ in network.named_parameters()]
    assert names[:4] == ["0.weight", "1.norm1.weight", "1.norm1.bias", "1.norm2.weight"]
    assert names[-3:] == ["4.bias", "8.weight", "8.bias"]
    assert "(2): _Block(" in repr(network)


def perturbed(network):
    """The network in double precision, away from its zeros and ones."""
    generator = torch.Generator().manual_seed(1)
    network.double()
    for tensor in network.parameters():
        tensor.data += 0.3 * torch.randn(tensor.shape, generator=generator)
    return network


def by_hand(network, x, blocks, residual):
    """Compute a resnet from its parameters in their order."""
    tensors = iter([p.detach() for p in network.parameters()])

    def shift(x):
        return x + next(tensors) if residual == "fixup" else x

    def convolve(x, stride=1):
        x = shift(x)
        kernel = next(tensors)
        bias = next(tensors) if residual == "none" else None
        x = F.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2)
        if residual != "batch":
            return x
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        gamma, beta = (next(tensors)[:, None, None] for _ in range(2))
        return gamma * (x - mean) / torch.sqrt(var + 1e-5) + beta

    def activate(x):
        return shift(x).clamp_min(0)

    x = activate(convolve(x))
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            inner = convolve(activate(convolve(x, stride)))
            inner = inner * next(tensors) if residual == "fixup" else inner
            x = convolve(x, stride) if stride == 2 else x
            x = activate(x + inner)
    pooled = shift(x.mean((2, 3)))
    weight, bias = tensors
    return pooled @ weight.T + bias


@pytest.mark.parametrize("side", [8, 7])
@pytest.mark.parametrize("residual", KINDS)
def test_a_resnet_is_its_formula(residual, side):
    blocks = (1, 2, 1)
    network = perturbed(resnet((2, side, side), 5, blocks, width=3, residual=residual))
    x = torch.randn(6, 2, side, side, generator=torch.Generator().manual_seed(0)).double()
    expected = by_hand(network, x, blocks, residual)
    np.testing.assert_allclose(network(x).detach(), expected, rtol=1e-9, atol=1e-9)


def test_resnets_have_the_sizes_that_their_layers_add_up_to():
    assert size(resnet((3, 32, 32), 10, (3, 3, 3))) == 272_474  # ResNet-20 with projections
    kernels = 9 * (3 * 4 + 2 * 16 + 32 + 64) + 32
    assert size(resnet((3, 9, 9), 7, (1, 1), 4, "none")) == kernels + 4 * 3 + 8 * 3 + 63
    assert size(resnet((3, 9, 9), 7, (1, 1), 4, "fixup")) == kernels + 2 + 5 + 6 + 1 + 63


def test_stages_halve_the_image_and_double_the_channels():
    network = resnet((1, 16, 16), 3, (2, 1, 1), width=4).eval()
    x, shapes = torch.rand(1, 1, 16, 16), []
    for part in network:
        x = part(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 16, 16), (4, 16, 16), (8, 8, 8), (16, 4, 4), (3,)]


@pytest.mark.parametrize("residual", KINDS)
def test_convolutions_start_at_hes_law_and_fixups_scaled(residual):
    torch.manual_seed(0)
    blocks = (1, 2, 1)
    network = resnet((3, 8, 8), 10, blocks, width=16, residual=residual)
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        std = math.sqrt(2 / (module.out_channels * math.prod(module.kernel_size)))
        layers = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
        inner = [n for n in layers if n.startswith(name.rpartition(".")[0]) and "branch" in n]
        if residual == "fixup" and "branch" in name:
            std *= 0 if name == inner[-1] else sum(blocks) ** -0.5
        spread = 1 / math.sqrt(2 * module.weight.numel())
        assert float(module.weight.detach().std()) == pytest.approx(std, rel=5 * spread), name
        assert module.bias is None or not module.bias.any()
    head = network[-1][-1]
    assert not head.bias.any()
    assert bool(head.weight.any()) == (residual != "fixup")


def test_fixup_starts_with_neutral_scalars_and_flat_outputs():
    network = resnet((1, 8, 8), 5, residual="fixup")
    scalars = [(n, p.item()) for n, p in network.named_parameters() if p.numel() == 1]
    assert {value for name, value in scalars if name.endswith("bias")} == {0.0}
    assert {value for name, value in scalars if name.endswith("scale")} == {1.0}
    assert not network(torch.randn(3, 1, 8, 8)).any()


@pytest.mark.parametrize("residual", KINDS)
@pytest.mark.parametrize("identity", [True, False])
def test_identity_blocks_pass_on_what_an_activation_lets_through(residual, identity):
    torch.manual_seed(0)
    network = resnet((1, 8, 8), 5, (2, 2), 4, residual, identity)
    x = torch.rand(3, 4, 8, 8)
    assert torch.equal(network[1][1](x), x) == (identity or residual == "fixup")


def test_no_narrow_convolution_strides_by_single_pixels():
    for residual in KINDS:
        network = resnet((1, 8, 8), 5, (1, 1), 2, residual)
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        assert {m.stride for m in layers if m.kernel_size == (1, 1)} == {(1, 1)}


@pytest.mark.parametrize("residual", KINDS)
def test_narrow_resnets_train(residual):
    data = nets.images(count=60)
    task = Task(lambda: resnet((1, 4, 4), 3, (1, 1), 4, residual, identity=True), data)
    recipe = Recipe(epochs=25, lr=0.02, optimiser="adam", batch_size=15, record_every=0)
    loss = train(task, recipe, [0], execution=Execution(progress=False)).metrics["train_loss"][0]
    assert loss[-1] < 0.8 * loss[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"residual": "layer"}, "residual must be batch, none or fixup, but is 'layer'"),
        ({"blocks": ()}, "needs a stage of blocks"),
        ({"blocks": (2, 0)}, "blocks must be"),
        ({"width": 0}, "width must be"),
    ],
)
def test_a_resnet_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        resnet((1, 8, 8), 5, **change)
