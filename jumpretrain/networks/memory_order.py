"""In which memory order images go through a network: channels last where that runs fast."""

from __future__ import annotations

import torch
from torch import nn

from jumpretrain.execution.randomness import seeded
from jumpretrain.networks.copying import copied

__all__ = ["suits_channels_last"]

FEW = 16


def suits_channels_last(template: nn.Module, inputs: torch.Tensor) -> bool:
    """Tell whether images with channels last are fast in a network, and right.

    oneDNN's backward pass of strided 1x1 convolutions of few channels leaves its memory. A forward
    that takes views, such as `x.view(len(x), -1)`, may need the plain order.

    Args:
        template: The network, which is copied.
        inputs: Two inputs or so (B, ...).

    Returns:
        Whether it has convolutions, none of that kind, and runs in this order if in the plain one.
    """
    layers = [part for part in template.modules() if isinstance(part, nn.Conv2d)]
    if not layers or any(_is_fragile(layer) for layer in layers):
        return False
    if inputs.ndim != 4 or _runs(template, inputs, torch.channels_last):
        return True
    return not _runs(template, inputs, torch.contiguous_format)  # which the probe will tell


def _runs(template: nn.Module, inputs: torch.Tensor, order: torch.memory_format) -> bool:
    module = copied(template).to(inputs.device).eval()
    module.to(memory_format=order)  # type: ignore[call-overload]
    try:
        with seeded(0), torch.no_grad():
            module(inputs.contiguous(memory_format=order))
    except Exception:  # a user's network fails in any way
        return False
    return True


def _is_fragile(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (1, 1) != layer.stride and layer.in_channels < FEW
