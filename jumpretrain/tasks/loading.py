"""Set a network to what another network or a state dict holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from jumpretrain.tasks.constants import check_alike, check_same, constants
from jumpretrain.tasks.layout import tensors_of
from jumpretrain.tasks.probing import reason

__all__ = ["load"]


def load(module: nn.Module, source: nn.Module | Mapping[str, Any], name: str = "a state") -> None:
    """Set a copy of a task's model to what a network or a state dict holds.

    Of tied tensors one is enough, as files have it that safetensors' `save_model` wrote.
    Floating-point buffers that no state dict has are taken from a network.

    Args:
        module: The copy.
        source: A network, or a state dict.
        name: What messages call it.

    Raises:
        ValueError: If it belongs to another network, its tied tensors differ, or it differs from
            the model in what no state holds.
    """
    before = constants(module)
    given = source.state_dict() if isinstance(source, nn.Module) else source
    entries: OrderedDict[str, Any] = OrderedDict(given)
    _complete(entries, module, name)
    if hasattr(given, "_metadata"):
        entries._metadata = given._metadata  # type: ignore[attr-defined]
    try:
        module.load_state_dict(entries)
    except RuntimeError as error:
        raise ValueError(
            f"{name} must belong to the task's model: {reason(error, 300)}"
        ) from error
    remedy = "make a task of the network that it comes from"
    check_same(before, constants(module, before), name, remedy)
    if isinstance(source, nn.Module):
        check_alike(module, source, name, f"{remedy}, or pass its state_dict() to ignore that")
        _take_unsaved(module, source, entries)


def _complete(entries: dict[str, Any], module: nn.Module, name: str) -> None:
    """Give each name of a tied tensor its values.

    Raises:
        ValueError: If names of one tensor have different values.
    """
    tensors, kept = tensors_of(module), module.state_dict()
    tied: dict[int, list[str]] = {}
    for key in (key for key in tensors if key in kept):
        tied.setdefault(id(tensors[key]), []).append(key)
    for keys in tied.values():
        found = [key for key in keys if isinstance(entries.get(key), torch.Tensor)]
        for key in found[1:]:
            if not _equal(entries[found[0]], entries[key]):
                raise ValueError(
                    f"{name} must belong to the task's model, where {found[0]} and {key} are one "
                    "tensor, but here they differ; make a task of a network without that tie"
                )
        if found:
            entries.update(dict.fromkeys(set(keys) - {*entries}, entries[found[0]]))


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


@torch.no_grad()
def _take_unsaved(module: nn.Module, source: nn.Module, saved: Mapping[str, Any]) -> None:
    own, theirs = tensors_of(module), tensors_of(source)
    for key, tensor in own.items():
        if key not in saved and key in theirs:
            tensor.copy_(theirs[key])
