"""Builders of the networks that the papers use; any other `nn.Module` works as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import nn

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Share
from jumpretrain.networks.residual import resnet, wide_resnet
from jumpretrain.networks.sequences import lstm, transformer

__all__ = [
    "BUILDERS",
    "autoencoder",
    "lenet",
    "lstm",
    "mlp",
    "resnet",
    "simple_cnn",
    "transformer",
    "wide_resnet",
]


@checked
def mlp(
    shape: Sequence[Count],
    classes: Count,
    hidden: Sequence[Count] = (128, 128),
    batchnorm: bool = False,
) -> nn.Sequential:
    """Build a fully connected ReLU network.

    Args:
        shape: Shape of one input; it is flattened.
        classes: Number of outputs.
        hidden: Width of each hidden layer.
        batchnorm: Whether BatchNorm stands between each hidden layer and its activation; the
            layer keeps its biases.

    Returns:
        The network.

    Example:
        >>> sum(p.numel() for p in mlp((1, 8, 8), 10).parameters())
        26122
    """
    widths = [math.prod(shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths):
        norm = [nn.BatchNorm1d(fan_out)] if batchnorm else []
        layers += [nn.Linear(fan_in, fan_out), *norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


@checked
def autoencoder(
    shape: Sequence[Count], hidden: Sequence[Count] = (128,), code: Count = 8
) -> nn.Sequential:
    """Build a fully connected autoencoder, as the one of arXiv:2104.11044.

    ReLU follows every layer but the last. The targets are the inputs, the loss is
    `measures.squared_error`.

    Args:
        shape: Shape of one input, and of one output.
        hidden: Width of each layer before the code; after it they come in reverse.
        code: Width of the code.

    Returns:
        The network.

    Example:
        >>> network = autoencoder((1, 8, 8), hidden=(16,), code=2)
        >>> [layer.out_features for layer in network if isinstance(layer, nn.Linear)]
        [16, 2, 16, 64]
    """
    widths = (*hidden, code, *reversed(hidden))
    return nn.Sequential(*mlp(shape, math.prod(shape), widths), nn.Unflatten(1, tuple(shape)))


@checked
def lenet(shape: tuple[Count, Count, Count], classes: Count) -> nn.Sequential:
    """Build a LeNet: two 5x5 convolutions with pooling, then three linear layers.

    Returns:
        The network, for inputs of `shape` (C, H, W) of at least 12 pixels a side.
    """
    channels, height, width = _checked_image(shape, 12, "lenet")
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


@checked
def simple_cnn(
    shape: tuple[Count, Count, Count],
    classes: Count,
    channels: Sequence[Count] = (16, 32, 32),
    dropout: Share = 0.0,
) -> nn.Sequential:
    """Build the convolutional network of arXiv:1906.04724, section 4.1.

    3x3 convolutions, each followed by tanh and 2x2 pooling, and one linear layer.

    Args:
        shape: Shape of one input (C, H, W), of at least 2 pixels a side for each convolution
            (8 for three).
        classes: Number of outputs.
        channels: Of each convolution.
        dropout: Probability with which an input of the linear layer is left out in training;
            0 leaves the layer out.

    Returns:
        The network.

    Raises:
        ValueError: If there is no convolution.
    """
    if not len(channels):
        raise ValueError("a CNN needs 1 convolution or more, but channels are empty")
    layers: list[nn.Module] = []
    _checked_image(shape, 2 ** len(channels), "simple_cnn")
    for fan_in, fan_out in pairwise((shape[0], *channels)):
        layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)]
    part = 2 ** len(channels)
    flat = channels[-1] * (shape[1] // part) * (shape[2] // part)
    thinned = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Flatten(), *thinned, nn.Linear(flat, classes))


def _checked_image(shape: Sequence[int], least: int, name: str) -> Sequence[int]:
    if len(shape) != 3 or min(shape[1:]) < least:
        raise ValueError(
            f"{name} takes images (C, H, W) of {least} pixels a side or more, but these are "
            f"{tuple(shape)}; take another model, such as mlp"
        )
    return shape


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "lenet": lenet,
    "simple_cnn": simple_cnn,
    "wide_resnet": wide_resnet,
    "wide_resnet_16_2": partial(wide_resnet, depth=16, width=2),
}
