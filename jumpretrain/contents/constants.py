"""What a network holds beside its state, which must be as the task's model has it.

A state is made of weights, frozen parameters and floating-point buffers. Buffers of other types or
of infinities, extra states and plain attributes are in no state, so that states of two networks
that differ in them do not tell the networks apart.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from jumpretrain.contents.layout import is_constant, tensors_of

__all__ = [
    "attributes",
    "attributes_unlike",
    "check_alike",
    "check_kept",
    "check_same",
    "constants",
    "numbers",
    "to_one_type",
    "types",
]

COUNTER = "num_batches_tracked"  # of normalising layers; scoring does not depend on it
SHAPE = "shape "
DEEPEST, LONGEST = 4, 10_000
OWN = {*vars(nn.Module()), "inplace"}
"""Attributes that do not change what a module computes."""


def constants(module: nn.Module, before: Mapping[str, str] | None = None) -> dict[str, str]:
    """Describe the tensors of a network that are in no state, and its extra states.

    Of what is in a state only the shape is constant. Counters of normalising layers are left
    out: they change in training.

    Args:
        module: The network.
        before: What was said of it; what was in its state then still is, whatever it holds.

    Returns:
        Short descriptions by name; equal ones mean equal values.
    """

    def fixed(name: str, tensor: torch.Tensor) -> bool:
        return is_constant(tensor) and not (before or {}).get(name, "").startswith(SHAPE)

    found = {
        name: _described(tensor) if fixed(name, tensor) else f"{SHAPE}{tuple(tensor.shape)}"
        for name, tensor in tensors_of(module).items()
        if name.rpartition(".")[2] != COUNTER
    }
    for name, part in module.named_modules(remove_duplicate=False):
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            found[f"{name}._extra_state".lstrip(".")] = _described(part.get_extra_state())
    return found


def check_alike(model: nn.Module, other: nn.Module, whose: str, remedy: str) -> None:
    """Check that a network differs from a task's model in its state alone.

    Plain attributes count that both have and that are numbers, tensors, arrays, functions (by
    name), networks that are no registered part, or lists and dictionaries of these, or text in
    layers of torch (elsewhere it mostly is a name). So do the kinds of layers without tensors.

    Args:
        model: The task's model.
        other: The network.
        whose: What the network is called.
        remedy: What a user can do where it does.

    Raises:
        ValueError: If something else differs; the message names it.
    """
    check_same(constants(model), constants(other), whose, remedy)
    check_same(_kinds(model), _kinds(other), whose, remedy)
    pair = tuple(attributes(network) | numbers(network) for network in (model, other))
    both = pair[0].keys() & pair[1].keys()  # what one alone has was left by a forward
    own, theirs = ({key: found[key] for key in sorted(both)} for found in pair)
    check_same(own, theirs, whose, remedy)


def check_same(own: Mapping[str, str], other: Mapping[str, str], whose: str, remedy: str) -> None:
    """Check that a network holds the same as a task's model beside the state.

    Args:
        own: What `constants` says of the model.
        other: What it says of the other network.
        whose: What the network is called.
        remedy: What a user can do where it does not.

    Raises:
        ValueError: If something differs; the message names it.
    """
    names = _different(own, other)
    if names:
        raise ValueError(
            "a state holds weights and floating-point buffers alone, but "
            f"{whose} differs from the task's model in {names}; {remedy}"
        )


def numbers(module: nn.Module) -> dict[str, str]:
    """Describe the numbers among the attributes of a network, also in lists and objects.

    Returns:
        Short descriptions by name, with brackets where they lie deeper; equal ones mean equal
        values.
    """
    return {
        name: repr(value)
        for place, part in module.named_modules(remove_duplicate=False)
        for key, held in vars(part).items()
        if key not in OWN
        for name, value in _numbers(held, f"{place}.{key}".lstrip("."))
    }


def types(module: nn.Module) -> dict[str, str]:
    """Name the types of the tensors of a network.

    Returns:
        One by name.
    """
    return {f"the type of {name}": str(t.dtype) for name, t in tensors_of(module).items()}


def to_one_type(module: nn.Module) -> str:
    """Say what to do with a network whose parameters are of several types.

    Returns:
        The beginning of a remedy; empty where they are of one.
    """
    kinds = {str(p.dtype): name for name, p in reversed(list(module.named_parameters()))}
    if len(kinds) < 2:
        return ""
    kept = " and ".join(f"{name} is {kind}" for kind, name in list(kinds.items())[:2])
    return f"convert the model with .float() or .double(), since {kept}; or "


def _numbers(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (bool, int, float, complex)):
        yield name, value
    elif depth < DEEPEST:
        for key, entry in _inner(value):
            yield from _numbers(entry, f"{name}[{key}]", depth + 1)


def _inner(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list):
        return enumerate(value[:LONGEST])
    top = type(value).__module__.partition(".")[0]
    if isinstance(value, nn.Module) or top == "torch" or top in sys.stdlib_module_names:
        return ()
    return getattr(value, "__dict__", {}).items()


def attributes_unlike(before: Mapping[str, str], module: nn.Module) -> str:
    """Name the plain attributes that have changed.

    Args:
        before: What `attributes` said of the network.
        module: The network.

    Returns:
        Some names; empty where none has.
    """
    return _different(before, attributes(module))


def check_kept(before: dict[str, str], after: dict[str, str], mode: str) -> None:
    """Check that a forward left alone what is in no state.

    What comes or goes within lists, dictionaries and objects may be a log or a shape, and does not
    count.

    Args:
        before: What `constants` or `numbers` said of the network.
        after: What it says now.
        mode: What the network did, such as `"training"`.

    Raises:
        ValueError: If something changed; the message names it.
    """
    known = {name for name in before | after if "[" not in name} | before.keys() & after.keys()
    one, two = ({n: found[n] for n in found if n in known} for found in (before, after))
    names = _different(one, two)
    if names:
        raise ValueError(
            f"{mode} must change only what a state holds, weights and floating-point buffers, but "
            f"this forward changes {names}; hold it in a floating-point buffer of fixed shape and "
            "type"
        )


def _kinds(module: nn.Module) -> dict[str, str]:
    parts = module.named_modules(remove_duplicate=False)
    alone = {n: p for n, p in parts if not (p._parameters or p._buffers or p._modules)}
    return {f"the kind of {name or 'it'}": type(p).__qualname__ for name, p in alone.items()}


def attributes(module: nn.Module) -> dict[str, str]:
    """Describe the plain attributes of a network; what hooks compute from tensors is none.

    Returns:
        Short descriptions by name; equal ones mean equal values.
    """
    found = {}
    known = {id(part) for part in (*module.modules(), *module.parameters())}
    for name, part in module.named_modules(remove_duplicate=False):
        texts = (str,) if type(part).__module__.startswith("torch.nn.") else ()
        for key, value in vars(part).items():
            hooked = any(tensor.startswith(f"{key}_") for tensor in (*part._parameters,))
            if key not in OWN and not hooked and _is_plain(value, texts, known):
                found[f"{name}.{key}".lstrip(".")] = _described(value)
    return found


def _different(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _is_plain(value: Any, texts: tuple[type, ...], known: Container[int]) -> bool:
    if isinstance(value, (list, tuple, dict)):
        entries = value.values() if isinstance(value, dict) else value
        return all(_is_plain(entry, texts, known) for entry in entries)
    if callable(value) and not isinstance(value, nn.Module):
        return hasattr(value, "__qualname__")
    kinds = (bool, int, float, complex, np.number, np.ndarray, torch.Tensor, nn.Module, *texts)
    return isinstance(value, kinds) and id(value) not in known


def _described(value: Any) -> str:
    """Describe a value so that equal descriptions mean equal values.

    Returns:
        A few words, or a digest.
    """
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided:
            value = value.to_dense()
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        return f"{tuple(value.shape)} {value.dtype} {hashlib.sha256(content).hexdigest()[:16]}"
    if isinstance(value, nn.Module):
        return f"{value!r} {_described(tensors_of(value))}"
    if callable(value):
        return str(value.__qualname__)
    if isinstance(value, np.ndarray):
        content = repr(value.tolist()).encode()
        return f"{value.shape} {value.dtype} {hashlib.sha256(content).hexdigest()[:16]}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_described(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, (list, tuple, set)):
        return f"[{', '.join(map(_described, value))}]"
    known = (bool, int, float, complex, str, bytes, np.generic, torch.dtype, type(None))
    return repr(value) if isinstance(value, known) else type(value).__qualname__
