"""Arguments of public calls, checked against their annotations before anything is computed."""

from __future__ import annotations

import inspect
import math
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import numpy as np

from jumpretrain.execution.annotations import ARRAYS, hints_of, members_of, takes_numbers
from jumpretrain.execution.arrays import instead_of, is_unlike, plain
from jumpretrain.execution.bounds import AnyNumber, Axes, Within

__all__ = ["checked"]

Call = TypeVar("Call", bound=Callable[..., Any])
FEW = 4
STATES = {
    "Module": "a network",
    "Mapping": "a state dict",
    "Path": "a Path",
    "Trained": "runs",
    "slice": "a slice",
    "NoneType": "None",
    "Task": "a Task",
}
NAMES = {
    int: "a whole number",
    float: "a finite number",
    bool: "True or False",
    str: "text",
    type(None): "None",
    os.PathLike: "a path",
    Any: "anything",
    AnyNumber: "a number",
}


def checked(call: Call) -> Call:
    """Check each argument against its annotation when a function or a dataclass is called.

    Numbers of NumPy are taken as numbers, and arrays as sequences; True and False are no numbers.
    What is annotated as an array has to be made of numbers; its shape is left to the call, as are
    ranges that no `Within` states. Tensors reach the call as arrays where it takes arrays or
    sequences of numbers; masked arrays are refused there.

    Args:
        call: A function, or a class, whose `__init__` is checked.

    Returns:
        The same, with a check before it.

    Raises:
        TypeError: When it is called with an argument too few or too many, or of a wrong type.
        ValueError: When an argument is none of the words that there are, or a number not finite.

    Example:
        >>> @checked
        ... def double(count: int = 2) -> int:
        ...     return 2 * count
        >>> double("3")
        Traceback (most recent call last):
        TypeError: count must be a whole number, but is '3' (str); pass double such as count=2
    """
    if isinstance(call, type):
        initialise = call.__init__  # type: ignore[misc]
        call.__init__ = _guard(initialise, call.__name__, call.__module__)  # type: ignore[misc]
        return call
    return typing.cast("Call", _guard(call, call.__name__, call.__module__))


def _guard(function: Callable[..., Any], name: str, module: str) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            takes = ", ".join(n for n in signature.parameters if n != "self")
            raise TypeError(
                f"{name} takes {takes}, but is called otherwise ({error}); see its docstring"
            ) from None
        hints = hints_of(function, module)
        for argument, value in bound.arguments.items():
            hint = hints.get(argument, Any)
            if is_unlike(value) and takes_numbers(hint):
                value = bound.arguments[argument] = plain(value, argument)
            if not _fits(value, hint):
                _refuse(name, signature.parameters[argument], value, hint)
        return function(*bound.args, **bound.kwargs)

    return guarded


def _fits(value: Any, hint: Any, strict: bool = True) -> bool:
    """Tell whether a value is of a type.

    Args:
        value: The value.
        hint: The type.
        strict: Whether numbers have to be finite and within bounds, and words those that there
            are.

    Returns:
        Whether it is.
    """
    members = list(members_of(hint))
    if strict and isinstance(value, (str, Path)) and Path in members and not str(value):
        return False  # it would be the folder in which the program happens to run
    if ARRAYS.issubset(members):
        others = [member for member in members if member not in ARRAYS]
        path = isinstance(value, str) and Path in others
        return path or _is_numbers(value) or any(_fits_one(value, m, strict) for m in others)
    alone = all(get_origin(member) is np.ndarray for member in members)
    listed = alone and isinstance(value, (list, tuple))
    return listed or any(_fits_one(value, member, strict) for member in members)


def _fits_one(value: Any, hint: Any, strict: bool) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = _bounds(hint)
        finite = strict and all(bound.finite for bound in bounds)
        fits = _fits(value, inner[0], finite)
        return fits and (not strict or all(bound.holds(value) for bound in bounds))
    if origin is Literal:
        kinds = {type(word) for word in inner}
        return type(value) in kinds and (value in inner or not strict)
    if hint in (int, float, bool):
        return _is_number(value, hint, strict)
    if origin in (tuple, list, Sequence):
        return _is_sequence(value, inner, strict)
    if origin in (Mapping, dict):
        key, entry = inner
        return isinstance(value, Mapping) and all(
            _fits(k, key, strict) and _fits(v, entry, strict) for k, v in value.items()
        )
    return _is_instance(value, origin or hint)


def _bounds(hint: Any) -> list[Within | Axes]:
    return [bound for bound in hint.__metadata__ if isinstance(bound, (Within, Axes))]


def _is_instance(value: Any, kind: Any) -> bool:
    if kind is Callable:
        return callable(value)
    if kind is np.ndarray:
        return hasattr(value, "__array__")
    return kind is Any or not isinstance(kind, type) or isinstance(value, kind)


def _is_numbers(value: Any) -> bool:
    """Tell whether a value is a number, or an array, a tensor or a sequence of numbers.

    Returns:
        Whether it is.
    """
    if isinstance(value, (list, tuple, range)):
        return all(map(_is_numbers, value))
    if hasattr(value, "dtype"):
        return getattr(value.dtype, "kind", "f") in "biuf"
    return isinstance(value, Real) or hasattr(value, "__array__")


def _is_number(value: Any, kind: type, strict: bool) -> bool:
    if kind is bool or isinstance(value, (bool, np.bool_)):
        return kind is bool and isinstance(value, (bool, np.bool_))
    if kind is int:
        return isinstance(value, Integral)
    huge = isinstance(value, Integral) and abs(int(value)) >= 2**63  # NumPy has no type for it
    return isinstance(value, Real) and not (strict and (huge or not math.isfinite(value)))


def _is_sequence(value: Any, inner: tuple[Any, ...], strict: bool) -> bool:
    if hasattr(value, "tolist") and inner[0] is not str:  # arrays, tensors, columns of numbers
        value = value.tolist()
    if not isinstance(value, (list, tuple, range)):
        return False
    if len(inner) == 1 or Ellipsis in inner:
        entries = value[:: max(1, len(value) - 1)] if isinstance(value, range) else value  # ends
        return all(_fits(entry, inner[0], strict) for entry in entries)
    pairs = zip(value, inner, strict=False)
    return len(value) == len(inner) and all(_fits(*pair, strict) for pair in pairs)


def _refuse(call: str, parameter: inspect.Parameter, value: Any, hint: Any) -> None:
    name, usual = parameter.name, parameter.default
    error = ValueError if _fits(value, hint, strict=False) else TypeError
    shown = getattr(usual, "__name__", "") if inspect.isfunction(usual) else _short(usual)
    remedy, meant = f"pass {call} such as {name}={shown}", _meant(value, hint)
    if meant:
        remedy = f"pass {call} {name}={meant[0]!r}"
    elif usual is None or usual is parameter.empty:
        remedy = f"leave it out of {call}" if usual is None else _instead(value, hint, call)
    kind = type(value).__name__
    raise error(f"{name} must be {_described(hint)}, but is {_short(value)} ({kind}); {remedy}")


def _meant(value: Any, hint: Any) -> list[Any]:
    # a word in capitals, a class, or its whole path means the word
    last = str(getattr(value, "__name__", value)).rpartition(".")[2].lower()
    hints = [member for member in members_of(hint) if get_origin(member) is Literal]
    return [word for each in hints for word in get_args(each) if str(word).lower() == last]


def _instead(value: Any, hint: Any, call: str) -> str:
    """Say what to pass in place of a value that has no usual one.

    Returns:
        The remedy: of arrays, what makes one of the value; of a dataclass, how it is made.
    """
    members = list(members_of(hint))
    if ARRAYS.issubset(members) or any(get_origin(member) is np.ndarray for member in members):
        complex_ = getattr(getattr(value, "dtype", None), "kind", "") == "c"
        return "pass its .real" if complex_ else instead_of(value) or f"pass that to {call}"
    if isinstance(hint, type) and is_dataclass(hint):
        needed = [field.name for field in fields(hint) if field.default is MISSING and field.init]
        if len(needed) <= FEW:
            return f"pass {hint.__name__}({', '.join(needed)}) to {call}"
    return f"pass that to {call}"


def _described(hint: Any) -> str:
    members = list(members_of(hint))
    if ARRAYS.issubset(members):
        others = [member for member in members if member not in ARRAYS]
        names = [getattr(get_origin(member) or member, "__name__", "") for member in others]
        return _listed(["numbers", *(STATES[name] for name in names if name in STATES)])
    return _listed(list(dict.fromkeys(map(_named, members))))


def _listed(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _named(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if hint in NAMES:
        return NAMES[hint]
    if origin is Annotated:
        kind = _described(inner[0])
        return " ".join([kind, *map(str, _bounds(hint))])
    if origin is Literal:
        return _listed([str(word) for word in inner])
    if origin in (tuple, list, Sequence):
        many = len(inner) == 1 or Ellipsis in inner
        each = f"each {_described(inner[0])}" if many else ", ".join(map(_described, inner))
        return f"a sequence ({each})"
    if origin in (Mapping, dict):
        return f"a mapping ({_described(inner[0])} to {_described(inner[1])})"
    if origin is np.ndarray:
        return "an array"
    if (origin or hint) is Callable:
        return "a function"
    return _article(getattr(origin or hint, "__name__", str(hint)))


def _article(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
