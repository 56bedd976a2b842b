"""Builders of residual networks: with BatchNorm, without normalisation, with Fixup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count

__all__ = ["resnet", "wide_resnet"]

Residual = Literal["batch", "none", "fixup"]


class _Block(nn.Module):
    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(fan_in), nn.BatchNorm2d(fan_out)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.shortcut = (
            nn.Identity()
            if fan_in == fan_out
            else nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = torch.relu(self.norm1(x))
        skip = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(active)
        inner = self.conv2(torch.relu(self.norm2(self.conv1(active))))
        return torch.as_tensor(skip + inner)


@checked
def wide_resnet(
    shape: tuple[Count, Count, Count], classes: Count, depth: Count = 10, width: Count = 1
) -> nn.Sequential:
    """Build a pre-activation wide ResNet, WRN-depth-width, as in arXiv:2102.00485, section 4.1.

    Args:
        shape: Shape (C, H, W) of one input.
        classes: Number of outputs.
        depth: 6 n + 4 for n blocks a stage.
        width: Multiplier of the channels 16, 32, 64.

    Returns:
        The network.

    Raises:
        ValueError: If the depth is not 6 n + 4.

    Example:
        >>> sum(p.numel() for p in wide_resnet((3, 32, 32), 10).parameters())
        77850
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth must be 10, 16, 22, ... (6 n + 4), but is {depth}")
    channels = (16, 16 * width, 32 * width, 64 * width)
    layers: list[nn.Module] = [nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)]
    for stage, (fan_in, fan_out) in enumerate(pairwise(channels)):
        for block in range((depth - 4) // 6):
            stride = 2 if stage and not block else 1
            layers.append(_Block(fan_out if block else fan_in, fan_out, stride))
    top = [nn.BatchNorm2d(channels[-1]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, *top, nn.Linear(channels[-1], classes))
    _draw(network)
    return network


class _Shift(nn.Module):
    """One bias for all units."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias


class _Scale(nn.Module):
    """One multiplier for all units."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class _Added(nn.Module):
    """A branch of two convolutions added to its input; the activation comes after the sum."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, residual: Residual) -> None:
        super().__init__()
        fixup = residual == "fixup"
        self.branch = nn.Sequential(
            *_convolution(fan_in, fan_out, 3, stride, residual),
            *_activation(residual),
            *_convolution(fan_out, fan_out, 3, 1, residual),
            *([_Scale()] if fixup else []),
        )
        # A pool of single pixels strides, not the convolution: oneDNN's backward pass of strided
        # 1x1 convolutions writes beyond its memory where there are few channels.
        fewer = [nn.AvgPool2d(1, stride)] if stride > 1 else []
        same = fan_in == fan_out and stride == 1
        project = [] if same else _convolution(fan_in, fan_out, 1, 1, residual)
        self.shortcut = nn.Sequential(*fewer, *project)
        self.active = nn.Sequential(*_activation(residual))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.active(self.shortcut(x) + self.branch(x)))


@checked
def resnet(
    shape: tuple[Count, Count, Count],
    classes: Count,
    blocks: Sequence[Count] = (1, 1, 1),
    width: Count = 16,
    residual: Residual = "batch",
    identity: bool = False,
) -> nn.Sequential:
    """Build a post-activation ResNet of basic blocks for small images (arXiv:1512.03385, 4.2).

    It is a sequence of stem, stages and head. Each stage has twice the channels of the one
    before; from the second on, its first block has stride 2. Where a block changes the shape,
    its shortcut is a 1x1 convolution.

    Args:
        shape: Shape (C, H, W) of one input.
        classes: Number of outputs.
        blocks: Number of blocks of each stage.
        width: Channels of the first stage.
        residual: `"batch"` puts BatchNorm after each convolution. `"none"` normalises nothing;
            its convolutions have biases. `"fixup"` (arXiv:1901.09321, section 3.2) has a scalar
            bias before each layer and activation and a scalar multiplier in each branch; the
            first convolution of each of L branches starts L^(-1/2) times as large, the last one
            and the classifier at zero.
        identity: Whether each branch starts at zero, by its last BatchNorm's scale or without
            BatchNorm its last convolution; `"fixup"` always does.

    Returns:
        The network; convolutions start as in arXiv:1502.01852 by fan-out, biases at zero.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> network = resnet((3, 32, 32), 10, blocks=(3, 3, 3), residual="none")
        >>> len([p for p in network.parameters() if p.ndim == 4])  # 19, and 2 shortcuts
        21
    """
    if not len(blocks):
        raise ValueError(
            "a resnet needs a stage of blocks, but blocks are empty; pass such as (1, 1, 1)"
        )
    stem = nn.Sequential(*_convolution(shape[0], width, 3, 1, residual), *_activation(residual))
    stages, fan_in = [], width
    for stage, count in enumerate(blocks):
        fan_out, stride = width * 2**stage, 2 if stage else 1
        first = _Added(fan_in, fan_out, stride, residual)
        rest = (_Added(fan_out, fan_out, 1, residual) for _ in range(count - 1))
        stages.append(nn.Sequential(first, *rest))
        fan_in = fan_out
    shift = [_Shift()] if residual == "fixup" else []
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *shift, nn.Linear(fan_in, classes)]
    network = nn.Sequential(stem, *stages, nn.Sequential(*head))
    _draw(network)
    _silence(network, residual, identity)
    return network


def _convolution(
    fan_in: int, fan_out: int, kernel: int, stride: int, residual: Residual
) -> list[nn.Module]:
    bias = residual == "none"
    layer = nn.Conv2d(fan_in, fan_out, kernel, stride, kernel // 2, bias=bias)
    before: list[nn.Module] = [_Shift()] if residual == "fixup" else []
    after: list[nn.Module] = [nn.BatchNorm2d(fan_out)] if residual == "batch" else []
    return [*before, layer, *after]


def _activation(residual: Residual) -> list[nn.Module]:
    return [_Shift(), nn.ReLU()] if residual == "fixup" else [nn.ReLU()]


def _draw(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)


def _silence(network: nn.Sequential, residual: Residual, identity: bool) -> None:
    """Scale the branches' first layers, and zero their last and the classifier, where asked."""
    added = [module for module in network.modules() if isinstance(module, _Added)]
    fixup = residual == "fixup"
    for block in added:
        layers = [p for p in block.branch if isinstance(p, (nn.Conv2d, nn.BatchNorm2d))]
        if fixup:
            layers[0].weight.data *= len(added) ** -0.5
        if fixup or identity:
            nn.init.zeros_(layers[-1].weight)
    if fixup:
        nn.init.zeros_([m for m in network.modules() if isinstance(m, nn.Linear)][-1].weight)
