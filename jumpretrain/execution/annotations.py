"""Annotations of arguments, read as types, and which of them take arrays of numbers."""

from __future__ import annotations

import builtins
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
import torch
from numpy.typing import ArrayLike

from jumpretrain.execution.bounds import Axes

__all__ = ["ARRAYS", "hints_of", "members_of", "takes_numbers"]


class _ByName(type):
    """A class whose instances are those of any class of its name."""

    def __instancecheck__(cls, value: object) -> bool:
        return cls.__name__ in {kind.__name__ for kind in type(value).__mro__}


class _Unknown(dict[str, Any]):
    """Names for `eval`, with a class for each that is neither known nor built in."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__()
        self.known = known

    def __missing__(self, name: str) -> Any:
        if name in self.known or hasattr(builtins, name):
            raise KeyError(name)
        return _ByName(name, (), {})


@cache
def hints_of(function: Callable[..., Any], module: str) -> dict[str, Any]:
    """Evaluate annotations; names that are imported for types only are told by their name.

    Returns:
        Types by name of the argument.
    """
    known: dict[str, Any] = vars(sys.modules[module])
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint = parameter.annotation
        if parameter.kind is parameter.VAR_KEYWORD or hint is parameter.empty:
            continue
        try:
            each = eval(hint, known, _Unknown(known)) if isinstance(hint, str) else hint
        except AttributeError:  # a type of such a module
            continue
        many = parameter.kind is parameter.VAR_POSITIONAL
        found[name] = types.GenericAlias(tuple, (each, ...)) if many else each
    return found


def members_of(hint: Any) -> Iterator[Any]:
    """List the types of a union, and those that aliases stand for.

    Yields:
        One type after the other.
    """
    if isinstance(hint, InitVar):
        yield from members_of(hint.type)
    elif hasattr(hint, "__value__"):  # an alias, as NumPy's are from Python 3.12 on
        yield from members_of(hint.__value__)
    elif get_origin(hint) in (Union, types.UnionType):
        for member in get_args(hint):
            yield from members_of(member)
    else:
        yield hint


ARRAYS = {*members_of(ArrayLike)}


def takes_numbers(hint: Any) -> bool:
    """Tell whether an argument takes arrays or sequences of numbers, and no tensors as such.

    Args:
        hint: Its type.

    Returns:
        Whether it does.

    Example:
        >>> takes_numbers(Sequence[float]), takes_numbers(float), takes_numbers(Sequence[str])
        (True, False, False)
    """
    kinds = [*members_of(hint)]
    if torch.Tensor in kinds:
        return False
    return ARRAYS.issubset(kinds) or any(map(_is_of_numbers, kinds))


def _is_of_numbers(hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        axes = any(isinstance(bound, Axes) for bound in hint.__metadata__)
        return axes or takes_numbers(inner[0])
    if origin in (tuple, list, Sequence):
        return any(_is_number(each) or takes_numbers(each) for each in inner)
    return origin is np.ndarray


def _is_number(hint: Any) -> bool:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return kind in (int, float)
