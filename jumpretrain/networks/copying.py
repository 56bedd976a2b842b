"""Copy a network, or make it ready to be sent, also one that torch itself would not copy."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

__all__ = ["copied", "packed", "tensors_within", "unpacked"]


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
    held = [tensor for part in module.modules() for tensor in tensors_within(vars(part))]
    own = {id(t): _of_its_own(t) for t in held if not t.is_leaf or _overlaps(t)}
    return copy.deepcopy(module, own)


def tensors_within(value: Any) -> Iterator[torch.Tensor]:
    """Walk through the tensors of a value, also in lists and dictionaries.

    Yields:
        Each of them.
    """
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_within(entry)


def _of_its_own(tensor: torch.Tensor) -> torch.Tensor:
    values = tensor.detach().clone(memory_format=torch.contiguous_format)
    trained = isinstance(tensor, nn.Parameter)
    return nn.Parameter(values, tensor.requires_grad) if trained else values


def _overlaps(tensor: torch.Tensor) -> bool:
    if tensor.layout != torch.strided or not tensor.numel():
        return False
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return 1 + sum((size - 1) * stride for size, stride in steps) < tensor.numel()


def packed(module: nn.Module) -> nn.Module:
    """Take the classes of parametrized layers out of a network, which cannot be pickled.

    Returns:
        A copy for `unpacked`, or the network itself where it has no such layers.
    """
    if not any(parametrize.is_parametrized(part) for part in module.modules()):
        return module
    plain = copied(module)
    for part in plain.modules():
        if parametrize.is_parametrized(part):
            part.__class__ = type(part).__bases__[0]  # the layer's own class
    return plain


def unpacked(module: nn.Module) -> nn.Module:
    """Give a network the classes of parametrized layers back that `packed` took.

    Returns:
        The network itself.
    """
    for part in list(module.modules()):
        held = part._modules.get("parametrizations")
        names = list(held) if isinstance(held, nn.ModuleDict) else []
        if names and not isinstance(getattr(type(part), names[0], None), property):
            parametrize._inject_new_class(part)
            for name in names:
                parametrize._inject_property(part, name)
            if isinstance(part, nn.RNNBase):  # which keeps a list of its weights
                part._flat_weights = [getattr(part, name) for name in part._flat_weights_names]
    return module
