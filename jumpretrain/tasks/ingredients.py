"""What a network and its measures are made of: code of one's own, and the values that it uses.

Code of installed packages is told by its name.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from pathlib import Path, PurePath
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jumpretrain.contents.constants import OWN
from jumpretrain.contents.hidden_state import is_generator
from jumpretrain.contents.layout import is_constant, tensors_of
from jumpretrain.tasks.functions import (
    instructions,
    is_own,
    names_in,
    short_digest,
    used_members,
)

__all__ = ["ABOUT", "Ingredients", "Walk", "ingredients", "walked"]

ABOUT = "~"
"""Begins the text of numbers that processors may round otherwise."""
PLAIN = (bool, int, float, complex, bytes, type(None), type(...), range, slice, np.generic)
PLAIN_OF_TORCH = (torch.dtype, torch.device, torch.layout, torch.memory_format, np.dtype)
SEQUENCES = (list, tuple, deque, Set)
BOUND = {MethodType: ("__func__", "__self__"), functools.partial: ("func", "args", "keywords")}
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
COUNTER = "num_batches_tracked"
DEEPEST, MOST, NAMED, SAMPLED, WIDTH = 12, 20_000, 200, 1_000_000, 16


@dataclass
class Ingredients:
    """What was found, in short descriptions by name; equal ones mean equal things.

    Attributes:
        code: Functions of one's own.
        held: Values that one's own networks and functions hold.
        layers: Values that layers of installed packages hold, which vary with their versions.
        generators: Where there are random generators that no seed of a run reaches.
    """

    code: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    generators: tuple[str, ...] = ()

    def unchanged(self, later: Ingredients) -> Ingredients:
        """Leave out what calls change, such as counters and logs, as it depends on their number.

        Args:
            later: What was found after some calls.

        Returns:
            What is the same.
        """
        pairs = zip(vars(self).values(), vars(later).values(), strict=True)
        both = [(one, two) for one, two in pairs if isinstance(one, dict)]
        code, held, layers = ({k: v for k, v in a.items() if b.get(k) == v} for a, b in both)
        return Ingredients(code, held, layers)


def ingredients(model: nn.Module, measures: Mapping[str, Any]) -> Ingredients:
    """Look through a network, losses and metrics, and the functions and values that these use.

    Weights and what else a state holds are left out. So is what only builds the network, as that
    shows in the network.

    Args:
        model: The network.
        measures: Functions by name.

    Returns:
        What they are made of, up to a bound on its size.
    """
    walk = walked(model, measures)
    code = {name: short_digest(*sorted(set(found))) for name, found in walk.code.items()}
    held, layers = _grouped(walk.held), _grouped(walk.layers)
    return Ingredients(_short(code), _short(held), _short(layers), tuple(walk.generators))


def walked(model: nn.Module, measures: Mapping[str, Any]) -> Walk:
    """Look through a network, losses and metrics.

    Returns:
        What was found on the way.
    """
    walk = Walk({id(t) for t in tensors_of(model).values() if not is_constant(t)})
    walk.see(model, "model")
    for name, measure in measures.items():
        walk.see(measure, name)
    return walk


class Walk:
    """A walk through objects, each visited once."""

    def __init__(self, state: set[int]) -> None:
        self.state = state
        self.met: dict[int, Any] = {}  # kept, so that no other object takes its number
        self.code: dict[str, list[str]] = {}
        self.held: dict[str, str] = {}
        self.layers: dict[str, str] = {}
        self.into = self.held
        self.generators: list[str] = []

    def see(self, value: Any, path: str, far: bool = False, depth: int = 0) -> None:
        """Describe a value that stands at a path, and all that it refers to.

        Values that are far, reached through names of a module, are followed into objects of one's
        own and of torch only.
        """
        if depth > DEEPEST or len(self.held) + len(self.layers) > MOST:
            return
        if isinstance(value, (*PLAIN, *PLAIN_OF_TORCH, Enum)):
            self.into[path] = str(value) if isinstance(value, Enum) else repr(value)
        elif isinstance(value, str):
            self.into[path] = "a path" if Path(value).is_absolute() else repr(value)
        elif isinstance(value, (np.ndarray, torch.Tensor)):
            self._array(value, path)
        elif isinstance(value, (*SEQUENCES, Mapping)):
            for key, entry in _entries(value):
                self.see(entry, f"{path}[{key}]", far, depth + 1)
            self.into[f"{path}[]"] = str(len(value))
        elif id(value) not in self.met:
            self.met.update({} if isinstance(value, type) else {id(value): value})
            self.generators += [path] if is_generator(value) else []
            self._object(value, path, far, depth + 1)

    def _array(self, value: NDArray[Any] | torch.Tensor, path: str) -> None:
        if id(value) in self.state:
            return
        try:
            array = _as_array(value)
        except RuntimeError:  # of a vectorised forward, which is over
            return
        self.into[f"{path}[]"] = f"{array.shape} {array.dtype}"
        if array.dtype.kind in "fc":
            self.into[f"{path}[]finite"] = short_digest(np.isfinite(array).tobytes())
            self.into[f"{path} in numbers"] = _sketched(array)
        elif array.dtype.kind != "O":
            self.into[f"{path}[]values"] = short_digest(np.ascontiguousarray(array).tobytes())

    def _object(self, value: Any, path: str, far: bool, depth: int) -> None:
        if isinstance(value, FunctionType):
            self._function(value, path, depth)
        elif isinstance(value, tuple(BOUND)):
            for name in next(names for kind, names in BOUND.items() if isinstance(value, kind)):
                self.see(getattr(value, name), f"{path}.{name}", far, depth)
        elif isinstance(value, nn.Module):
            self._network(value, path, depth)
        elif isinstance(value, type):
            self._class(value, path, depth)
        elif hasattr(value, "__name__"):
            self.into[path] = str(value.__name__)  # of a module, or written in C
        elif not isinstance(value, PurePath):
            self._instance(value, path, far, depth)

    def _instance(self, value: Any, path: str, far: bool, depth: int) -> None:
        kind = type(value)
        self._class(kind, path, depth)
        top = kind.__module__.partition(".")[0]
        followed = top == "torch" if far else top not in sys.stdlib_module_names
        if is_own(kind) or followed:
            for key in chain.from_iterable(getattr(k, "__slots__", ()) for k in kind.__mro__):
                if hasattr(value, key) and key not in ("__dict__", "__weakref__"):
                    self.see(getattr(value, key), f"{path}.{key}", far, depth)
            for key, entry in getattr(value, "__dict__", {}).items():
                self.see(entry, f"{path}.{key}", far, depth)

    def _network(self, network: nn.Module, path: str, depth: int) -> None:
        outer = self.into
        self.met.update({id(part): part for part in network.modules()})
        for name, part in network.named_modules():
            place = f"{path}.{name}".rstrip(".")
            self.into = self.held if is_own(type(part)) else self.layers
            self._class(type(part), place, depth)
            for key, value in _attributes(part):
                self.see(value, f"{place}.{key}", depth=depth)
            for hooks in HOOKS:
                for number, hook in enumerate(vars(part).get(hooks, {}).values()):
                    self.see(hook, f"{place}.{hooks}[{number}]", depth=depth)
        self.into = outer

    def _class(self, kind: type, path: str, depth: int) -> None:
        self.into[path] = kind.__qualname__
        own = [base for base in kind.__mro__ if is_own(base) and id(base) not in self.met]
        self.met.update({id(base): base for base in own})
        for base, name, member in used_members(own, issubclass(kind, nn.Module)):
            member = getattr(member, "__func__", getattr(member, "fget", member))
            member = member.func if isinstance(member, functools.cached_property) else member
            self.see(member, f"{path}.{base.__qualname__}.{name}", far=True, depth=depth)

    def _function(self, function: FunctionType, path: str, depth: int) -> None:
        if not is_own(function):
            self.into[path] = function.__qualname__
            return
        code = function.__code__
        self.code.setdefault(function.__qualname__, []).append(instructions(code))
        for name, value in _closed_over(function):
            self.see(value, f"{path}.{name}", depth=depth)
        self.see(function.__defaults__, f"{path}.defaults", depth=depth)
        self.see(function.__kwdefaults__, f"{path}.defaults", depth=depth)
        names = sorted(names_in(code))
        for name in names:
            value = function.__globals__.get(name)
            if isinstance(value, ModuleType):
                known = vars(value) if is_own(value) else {}
                for inner_name in (n for n in names if n in known):
                    place = f"{path}.{name}.{inner_name}"
                    self.see(known[inner_name], place, far=True, depth=depth)
            elif value is not None:
                self.see(value, f"{path}.{name}", far=True, depth=depth)


def _closed_over(function: FunctionType) -> Iterator[tuple[str, Any]]:
    names, cells = function.__code__.co_freevars, function.__closure__ or ()
    for name, cell in zip(names, cells, strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # empty
            continue
        if name != "__class__":
            yield name, value


def _attributes(part: nn.Module) -> Iterator[tuple[str, Any]]:
    """List what a part holds, but for its parts and what hooks compute from tensors.

    Yields:
        Name and value.
    """
    for key, value in vars(part).items():
        hooked = any(tensor.startswith(f"{key}_") for tensor in part._parameters)
        if key not in OWN and not hooked and key != "_flat_weights":
            yield key, value
    for key, tensor in {**part._parameters, **part._buffers}.items():
        if key != COUNTER:
            yield key, tensor


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return ((_key(key), entry) for key, entry in value.items())
    return enumerate(sorted(value, key=_key) if isinstance(value, Set) else value)


def _key(key: Any) -> str:
    return repr(key) if isinstance(key, (str, *PLAIN)) else type(key).__qualname__


def _as_array(value: NDArray[Any] | torch.Tensor) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    dense = value.detach() if value.layout == torch.strided else value.detach().to_dense()
    plain = dense.cpu().resolve_conj().resolve_neg()
    return np.asarray((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy())


def _sketched(array: NDArray[Any]) -> str:
    """Write the numbers of a small array, or sums of those of a large one with random weights.

    Returns:
        Up to 16 numbers.
    """
    flat = np.nan_to_num(array.ravel(), nan=0, posinf=0, neginf=0)
    flat = flat.view(flat.real.dtype)[:: -(-flat.size // SAMPLED) or 1].astype(np.float64)
    if flat.size > WIDTH:
        drawn = np.random.default_rng(0).normal(size=flat.size)
        flat = np.array([(flat * drawn)[first::WIDTH].sum() for first in range(WIDTH)])
    return ABOUT + " ".join(f"{number:.7g}" for number in flat)


def _grouped(found: Mapping[str, str]) -> dict[str, str]:
    """Let each attribute have one description, whatever it holds.

    Returns:
        Numbers as they are, all else as digests.
    """
    groups: dict[str, list[str]] = {}
    for path, text in found.items():
        if not text.startswith(ABOUT):
            groups.setdefault(path.partition("[")[0], []).append(f"{path} {text}")
    numbers = {path: text for path, text in found.items() if text.startswith(ABOUT)}
    return {path: short_digest(*sorted(texts)) for path, texts in groups.items()} | numbers


def _short(found: Mapping[str, str]) -> dict[str, str]:
    if len(found) <= NAMED:
        return dict(sorted(found.items()))
    exact = {path: text for path, text in found.items() if not text.startswith(ABOUT)}
    numbers = sorted(found.keys() - exact)[:NAMED]
    return {"all": short_digest(repr(sorted(exact.items())))} | {
        path: found[path] for path in numbers
    }
