"""Set a network to what another network or a state dict holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from jumpretrain.contents.constants import check_alike, check_same, constants
from jumpretrain.contents.layout import tensors_of
from jumpretrain.execution.arrays import as_numbers
from jumpretrain.tasks.modules import unwrapped
from jumpretrain.tasks.probing import reason

__all__ = ["load"]

NESTED = ("state_dict", "model_state_dict", "model")
"""Where checkpoints keep the state dict among other things."""


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
    own = nn.Module.state_dict(module)  # the network's own may hold other things, or less
    inner = _innermost(source)
    source, given = _keyed_as(own, inner, name)
    entries: OrderedDict[str, Any] = OrderedDict(given)
    _complete(entries, module, name)
    if hasattr(given, "_metadata"):
        entries._metadata = given._metadata  # type: ignore[attr-defined]
    try:
        nn.Module.load_state_dict(module, entries)
    except RuntimeError as error:
        raise ValueError(
            f"{name} must belong to the task's model: {reason(error, 300).rstrip('.')}; "
            f"{_part(own, inner)}"
        ) from error
    remedy = "make a task of the network that it comes from"
    check_same(before, constants(module, before), name, remedy)
    if isinstance(source, nn.Module):
        check_alike(module, source, name, f"{remedy}, or pass its state_dict() to ignore that")
        _take_unsaved(module, source, entries)


def _part(own: Mapping[str, torch.Tensor], source: nn.Module | Mapping[str, Any]) -> str:
    """Say how the task's network is taken out of a state dict that holds others beside it.

    Returns:
        The remedy.
    """
    given = nn.Module.state_dict(source) if isinstance(source, nn.Module) else source
    key = next(iter(own), "")
    heads = [name.removesuffix(key) for name in given if name.endswith(f".{key}")]
    whole = [head for head in heads if all(f"{head}{name}" in given for name in own)]
    if not whole:
        return "make a task of the network that it comes from"
    others = f" (or another of {', '.join(whole)})" if len(whole) > 1 else ""
    return (
        f"of its state dict x, pass {{k.removeprefix({whole[0]!r}): v for k, v in x.items() if "
        f"k.startswith({whole[0]!r})}}{others}"
    )


def _complete(entries: dict[str, Any], module: nn.Module, name: str) -> None:
    """Give each name of a tied tensor its values.

    Raises:
        ValueError: If names of one tensor have different values.
    """
    tensors, kept = tensors_of(module), nn.Module.state_dict(module)
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


def _innermost(source: nn.Module | Mapping[str, Any]) -> nn.Module | Mapping[str, Any]:
    if isinstance(source, nn.Module):
        return source
    if {"state", "param_groups"} <= source.keys():
        raise ValueError(
            "a state is a network's, but this state dict is an optimiser's; pass the network's, "
            "such as net.state_dict()"
        )
    inner = [source[key] for key in NESTED if isinstance(source.get(key), (Mapping, nn.Module))]
    return _innermost(inner[0]) if inner else source


def _keyed_as(
    own: Mapping[str, torch.Tensor], source: nn.Module | Mapping[str, Any], name: str
) -> tuple[nn.Module | Mapping[str, Any], Mapping[str, Any]]:
    """Find what of a source is the task's network, and name it so.

    Returns:
        The network, or its state dict where something else holds it; and its state dict.
    """
    if isinstance(source, nn.Module):
        source = unwrapped(source)
        given: Mapping[str, Any] = nn.Module.state_dict(source)
        if given.keys() & own.keys():
            return source, given
        source = given
    given = _named_as(own, source, name)
    return given, given


def _named_as(
    own: Mapping[str, torch.Tensor], given: Mapping[str, Any], name: str
) -> OrderedDict[str, Any]:
    """Name the tensors of a state dict as the task's network does.

    Returns:
        The tensors by name; what has no counterpart keeps its name.

    Raises:
        ValueError: If one is no tensor, or does not fit the type of the network's.
    """
    before, keys = 0, [key for key in map(str, given) if key != "n_averaged"]
    while not {_shortened(key, before) for key in keys} & own.keys():
        heads = {_shortened(key, before).partition(".")[0] for key in keys}
        if len(heads) != 1 or any("." not in _shortened(key, before) for key in keys):
            break
        before += 1
    found = OrderedDict((_shortened(k, before), _tensor(k, given[k], name)) for k in keys)
    for key in found.keys() & own.keys():
        if isinstance(found[key], torch.Tensor):
            _check_fits(found[key], own[key], f"{key} of {name}")
    versions = {_shortened(k, before): v for k, v in getattr(given, "_metadata", {}).items()}
    found._metadata = versions  # type: ignore[attr-defined]
    return found


def _shortened(key: str, before: int) -> str:
    """Leave out the names of wrappers: any that `torch.compile` gave, and the first few.

    Returns:
        The name of the tensor in the network itself.
    """
    return ".".join([part for part in key.split(".") if part != "_orig_mod"][before:])


def _check_fits(tensor: torch.Tensor, own: torch.Tensor, name: str) -> None:
    if tensor.is_complex() and not own.is_complex():
        raise ValueError(
            f"{name} must belong to the task's model, where it is real, but is complex; make a "
            "task of the network that it comes from"
        )
    wide = tensor.dtype == torch.float64 != own.dtype
    if wide and bool((tensor.isfinite() & ~tensor.to(own.dtype).isfinite()).any()):
        raise ValueError(
            f"{name} must fit {own.dtype}, but holds values up to "
            f"{float(tensor.abs().max()):.3g}; give the task a model in float64"
        )


def _tensor(key: str, value: Any, name: str) -> Any:
    if isinstance(value, torch.Tensor) and value.device.type != "meta":
        return value.detach().to_dense() if value.layout != torch.strided else value.detach()
    if key.endswith("_extra_state"):
        return value
    if not isinstance(value, np.ndarray):
        what = "a tensor on the meta device" if torch.is_tensor(value) else type(value).__name__
        remedy = {
            Mapping: f"pass what is under {key!r} alone",
            nn.Module: "pass a list of networks",
        }
        known = [text for kind, text in remedy.items() if isinstance(value, kind)]
        helps = known[0] if known else "pass a state dict alone, such as net.state_dict()"
        raise ValueError(
            f"{name} must belong to the task's model, but its {key!r} is no tensor with values "
            f"but {what}; {helps}"
        )
    return torch.as_tensor(as_numbers(value, key).copy())
