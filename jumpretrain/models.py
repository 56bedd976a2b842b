"""Builders of the networks that the papers use; any other `nn.Module` works as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import nn

__all__ = ["BUILDERS", "lenet", "mlp", "simple_cnn", "wide_resnet"]


def mlp(shape: Sequence[int], classes: int, hidden: Sequence[int] = (128, 128)) -> nn.Sequential:
    """Build a fully connected ReLU network.

    Args:
        shape: Shape of one input; it is flattened.
        classes: Number of outputs.
        hidden: Width of each hidden layer.

    Returns:
        The network.

    Example:
        >>> sum(p.numel() for p in mlp((1, 8, 8), 10).parameters())
        26122
    """
    widths = [math.prod(shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def lenet(shape: Sequence[int], classes: int) -> nn.Sequential:
    """Build a LeNet: two 5x5 convolutions with pooling, then three linear layers.

    Returns:
        The network, for inputs of `shape` (C, H, W) of at least 12 pixels a side.
    """
    channels, height, width = shape
    flat = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(flat, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


def simple_cnn(shape: Sequence[int], classes: int) -> nn.Sequential:
    """Build the 16-32-32 convolutional tanh network of arXiv:1906.04724.

    Three 3x3 convolutions, each followed by tanh and 2x2 pooling, and one linear layer.

    Returns:
        The network, for inputs of `shape` (C, H, W) of at least 8 pixels a side.
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip((shape[0], 16, 32), (16, 32, 32), strict=True):
        layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)]
    flat = 32 * (shape[1] // 8) * (shape[2] // 8)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, classes))


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


def wide_resnet(
    shape: Sequence[int], classes: int, depth: int = 10, width: int = 1
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
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return network


BUILDERS: dict[str, Callable[[Sequence[int], int], nn.Module]] = {
    "mlp": mlp,
    "lenet": lenet,
    "simple_cnn": simple_cnn,
    "wide_resnet": wide_resnet,
    "wide_resnet_16_2": partial(wide_resnet, depth=16, width=2),
}
