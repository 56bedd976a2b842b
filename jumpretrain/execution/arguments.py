"""Arguments of public calls, checked against their annotations before anything is computed."""

from __future__ import annotations

import inspect
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np

__all__ = ["checked"]

Call = TypeVar("Call", bound=Callable[..., Any])
NAMES = {
    int: "a whole number",
    float: "a finite number",
    bool: "True or False",
    str: "text",
    type(None): "None",
    os.PathLike: "a path",
}


def checked(call: Call) -> Call:
    """Check each argument against its annotation when a function or a dataclass is called.

    Numbers of NumPy are taken as numbers, and arrays as sequences; True and False are no numbers.
    What is annotated as an array, or as anything, is left to the call, as ranges are.

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
        call.__init__ = _guard(initialise, call.__name__)  # type: ignore[misc]
        return call
    return typing.cast("Call", _guard(call, call.__name__))


def _guard(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            takes = ", ".join(n for n in signature.parameters if n != "self")
            raise TypeError(
                f"{name} takes {takes}, but is called otherwise ({error}); see its docstring"
            ) from None
        hints = _hints(function)
        for argument, value in given.items():
            if argument in hints and not _fits(value, hints[argument]):
                _refuse(name, signature.parameters[argument], value, hints[argument])
        return function(*args, **kwargs)

    return guarded


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Evaluate annotations; those that need what is not imported here say nothing.

    Returns:
        Types by name of the argument.
    """
    known, found = vars(sys.modules[function.__module__]), {}
    for name, parameter in inspect.signature(function).parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if variadic or parameter.annotation is parameter.empty:
            continue
        try:
            hint = parameter.annotation
            found[name] = eval(hint, known) if isinstance(hint, str) else hint
        except (NameError, AttributeError):
            continue
    return found


def _members(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Annotated:
        yield from _members(get_args(hint)[0])
    elif get_origin(hint) in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _members(member)
    else:
        yield hint


def _open(hint: Any) -> bool:
    """Tell whether a type is an array's, which the call itself makes sense of.

    Returns:
        Whether it is.
    """
    home = getattr(get_origin(hint) or hint, "__module__", "")
    return hint is Any or isinstance(hint, TypeVar) or home.startswith("numpy")


def _fits(value: Any, hint: Any, strict: bool = True) -> bool:
    """Tell whether a value is of a type.

    Args:
        value: The value.
        hint: The type.
        strict: Whether numbers have to be finite, and words those that there are.

    Returns:
        Whether it is.
    """
    members = list(_members(hint))
    arrays = [get_origin(member) is np.ndarray for member in members]
    if any(_open(member) for member, array in zip(members, arrays, strict=True) if not array):
        return True
    if all(array or member is type(None) for member, array in zip(members, arrays, strict=True)):
        return True
    return any(_fits_one(value, member, strict) for member in members)


def _fits_one(value: Any, hint: Any, strict: bool) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
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
    kind = origin or hint
    return (
        callable(value)
        if kind is Callable
        else not isinstance(kind, type) or isinstance(value, kind)
    )


def _is_number(value: Any, kind: type, strict: bool) -> bool:
    if kind is bool or isinstance(value, (bool, np.bool_)):
        return kind is bool and isinstance(value, (bool, np.bool_))
    if kind is int:
        return isinstance(value, Integral)
    return isinstance(value, Real) and (math.isfinite(value) or not strict)


def _is_sequence(value: Any, inner: tuple[Any, ...], strict: bool) -> bool:
    value = value.tolist() if hasattr(value, "tolist") else value  # arrays, tensors, columns
    if not isinstance(value, (list, tuple, range)):
        return False
    if len(inner) == 1 or Ellipsis in inner:
        return all(_fits(entry, inner[0], strict) for entry in value)
    pairs = zip(value, inner, strict=False)
    return len(value) == len(inner) and all(_fits(*pair, strict) for pair in pairs)


def _refuse(call: str, parameter: inspect.Parameter, value: Any, hint: Any) -> None:
    name, usual = parameter.name, parameter.default
    error = ValueError if _fits(value, hint, strict=False) else TypeError
    remedy = f"pass {call} such as {name}={_short(usual)}"
    if usual is None or usual is parameter.empty:
        remedy = f"leave it out of {call}" if usual is None else f"pass that to {call}"
    kind = type(value).__name__
    raise error(f"{name} must be {_described(hint)}, but is {_short(value)} ({kind}); {remedy}")


def _described(hint: Any) -> str:
    return _listed(list(dict.fromkeys(_named(member) for member in _members(hint))))


def _listed(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _named(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if hint in NAMES:
        return NAMES[hint]
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
