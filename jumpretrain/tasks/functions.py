"""Code of one's own: which it is, what of a class takes part in calls, what tells it from others.

Functions are told by their instructions, so that comments, docstrings and places in files do not
count, nor does the name of the module that holds them.
"""

from __future__ import annotations

import dis
import hashlib
import sys
import sysconfig
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["instructions", "is_own", "names_in", "short_digest", "used_members"]

INSTALLED = tuple(map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
UNUSED = ("init", "new", "del", "repr", "str", "init_subclass", "copy", "deepcopy", "reduce")
UNUSED_METHODS = {*(f"__{name}__" for name in (*UNUSED, "reduce_ex", "getstate", "setstate"))}
"""What does not take part where a network or a loss is called."""
TAKES_ANY = 0x0C  # the flags of *args and **kwargs


def is_own(thing: Any) -> bool:
    """Tell one's own code from that of installed packages.

    Returns:
        Whether a function, class or module is one's own.
    """
    name = str(thing.__name__ if isinstance(thing, ModuleType) else thing.__module__)
    if name.partition(".")[0] in ("jumpretrain", *sys.builtin_module_names):
        return False
    module = thing if isinstance(thing, ModuleType) else sys.modules.get(name)
    code = getattr(thing, "__code__", None)
    file = code.co_filename if code else getattr(module, "__file__", None) or ""
    return not (file.startswith((*INSTALLED, "<frozen")) or "site-packages" in file)


def used_members(bases: list[type], called: bool) -> list[tuple[type, str, Any]]:
    """List what takes part where an object is used.

    Args:
        bases: Its classes.
        called: Whether only `forward` is called, and what it names.

    Returns:
        The class, the name and the member of each.
    """
    pairs = [(base, name, member) for base in bases for name, member in vars(base).items()]
    wanted = {"forward", "train", "eval"} if called else {name for _, name, _ in pairs}
    special = {name for _, name, member in pairs if name[:2] == "__" and callable(member)}
    wanted = {name for name in wanted if name[:2] != "__"} | special - UNUSED_METHODS
    new = wanted
    while new:
        reached = {n for _, name, member in pairs if name in new for n in _reached(member)}
        new = reached - wanted
        wanted = wanted | new
    return [pair for pair in pairs if pair[1] in wanted - UNUSED_METHODS]


def _reached(member: Any) -> set[str]:
    function = getattr(member, "__func__", getattr(member, "fget", member))
    names = names_in(function.__code__) if isinstance(function, FunctionType) else set()
    return {name for name in names if name[:2] != "__"}


def names_in(code: CodeType) -> set[str]:
    """Collect the names of globals and attributes that code uses, also in functions inside.

    Returns:
        The names.
    """
    inner = (names_in(const) for const in code.co_consts if isinstance(const, CodeType))
    return {*code.co_names}.union(*inner)


def instructions(code: CodeType) -> str:
    """Describe what code does, as this version of Python does it.

    Returns:
        A digest.
    """
    told = [f"{code.co_argcount} {code.co_kwonlyargcount} {code.co_flags & TAKES_ANY}"]
    told += [
        f"{step.opname} {_constant(step.argval)}"
        for step in dis.get_instructions(code)
        if step.opname != "EXTENDED_ARG"
    ]
    return short_digest(*told)


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return instructions(value)
    if isinstance(value, (tuple, frozenset)):
        told = map(_constant, value)
        return ",".join(told if isinstance(value, tuple) else sorted(told))
    return repr(value)


def short_digest(*parts: str | bytes) -> str:
    """Hash texts, in order.

    Returns:
        Twelve hexadecimal digits.
    """
    total = hashlib.sha256()
    for part in parts:
        total.update(part.encode() if isinstance(part, str) else part)
        total.update(b"\0")
    return total.hexdigest()[:12]
