"""Copy a network, also one that holds tensors which it computed from others."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["copied"]


def copied(module: nn.Module) -> nn.Module:
    """Copy a network with all that it holds.

    Hooks of `weight_norm` and `prune` leave tensors that they compute, recurrent layers those of
    parametrizations, and some forwards an activation: the copy has their numbers alone. Tensors
    whose entries share memory (`expand`) have memory of their own in it, since states are written
    there.

    Returns:
        A network of one's own.

    Raises:
        RuntimeError: If it holds what cannot be copied; or a TypeError.
    """
    held = [tensor for part in module.modules() for tensor in _tensors(vars(part))]
    own = {id(t): _of_its_own(t) for t in held if not t.is_leaf or _overlaps(t)}
    return copy.deepcopy(module, own)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(entry)


def _of_its_own(tensor: torch.Tensor) -> torch.Tensor:
    values = tensor.detach().clone(memory_format=torch.contiguous_format)
    trained = isinstance(tensor, nn.Parameter)
    return nn.Parameter(values, tensor.requires_grad) if trained else values


def _overlaps(tensor: torch.Tensor) -> bool:
    if tensor.layout != torch.strided or not tensor.numel():
        return False
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return 1 + sum((size - 1) * stride for size, stride in steps) < tensor.numel()
