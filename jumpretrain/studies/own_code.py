"""The user's own code: finding a task function, and telling whose code failed."""

from __future__ import annotations

import inspect
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path, PurePath
from typing import Any

__all__ = ["explain", "find_function"]

PACKAGE = str(Path(__file__).parents[1])
INSTALLED = tuple(map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
FRAME = re.compile(r'\s*File "(.+?)", line \d+')
REFUSALS = (ValueError, TypeError, KeyError, BrokenExecutor)
"""What the program raises itself, with a line that says what to do."""
HEADER = "Traceback (most recent call last):\n"
LED_TO = "\n\nThis led to:\n\n"
GROUP = "Exception Group Traceback"
GROUPED = re.compile(r"^(?: {2})*[|+] ?", re.MULTILINE)
"""What stands before the lines of a group of errors."""
AFTER = re.compile(r'\n(The above exception was|During handling of|""").*', re.DOTALL)


def find_function(name: str) -> Callable[..., Any]:
    """Import the function that makes the tasks of a study.

    What is raised while its module is imported is the user's own, and is let through.

    Args:
        name: `module:function`.

    Returns:
        The function.

    Raises:
        ValueError: If there is none, or it cannot be called with a seed and a group.
        ModuleNotFoundError: If a module that the user's own imports is not there.
        SyntaxError: If the module is text, but no Python.
    """
    module, _, function = name.partition(":")
    named = all(part.isidentifier() for part in (*module.split("."), function))
    if not named or module.endswith(".py"):
        raise ValueError(
            f"task must be module:function, but is {name!r}; write {_spelt(module, function)}"
        )
    try:
        found = import_module(module)
    except SyntaxError as error:
        if any(_users(part, name) for part in _parts(error)):
            raise
        raise ValueError(
            f"a task's module must be Python as text in UTF-8, but {_unread(module)} is not "
            f"({error}); save it as such"
        ) from error
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"task must be module:function, but there is no module {error.name!r}; "
            "work in the folder that holds it, or install it"
        ) from error
    call = getattr(found, function, None)
    if not callable(call):
        raise ValueError(
            f"task must be module:function, but {getattr(found, '__file__', module)} has no "
            f"function {function!r}; correct the name of either"
        )
    _check_arguments(name, call)
    return call  # type: ignore[no-any-return]


def _spelt(module: str, function: str) -> str:
    """Say how to write a task whose file was named.

    Returns:
        The words.
    """
    path = PurePath(module.removesuffix(".py"))
    if not path.name.isidentifier():
        return "such as mine:build"
    inner = all(part.isidentifier() for part in path.parts)
    called = f"{'.'.join(path.parts) if inner else path.name}:{function or 'build'}"
    return called if inner else f"{called} in the folder {path.parent}"


def _unread(module: str) -> str:
    """Find the file of a module that cannot be imported, or of the first package that cannot.

    Returns:
        Its path.
    """
    names = accumulate(module.split("."), "{}.{}".format)
    spec = find_spec(next((name for name in names if name not in sys.modules), module))
    return str(spec.origin if spec else module)


def _check_arguments(name: str, call: Callable[..., Any]) -> None:
    try:
        wanted = inspect.signature(call)
    except ValueError:  # written in C
        return
    try:
        wanted.bind(0, "group")
    except TypeError as error:
        raise ValueError(
            f"a task function is called with a seed and a group, but {name} takes {wanted}; "
            "let it take (seed, group)"
        ) from error


def explain(error: BaseException, task: str | None = None) -> str:
    """Say in one line what stopped a command, above the user's traceback where their code did.

    Args:
        error: What was raised, here or in a worker process.
        task: The task of one's own, `module:function`, if there is one.

    Returns:
        The line, and the traceback if it is the user's.
    """
    parts = _parts(error)
    files = FRAME.findall(parts[-1]) if parts else []
    said = " ".join(_said(error).split())
    refused = not files or (isinstance(error, REFUSALS) and files[-1].startswith(PACKAGE))
    others = parts[:-1] if refused else parts  # the last is what is said already
    own = [part for part in others if _users(part, task)]
    if refused and not any(_users(part, task, deepest=True) for part in own):
        own = []
    if refused:
        line = said
    elif own:
        line = f"{task or 'code of your own'} failed, not the program: mend it and call again"
    elif isinstance(error, MemoryError):
        line = f"more memory is needed than there is ({said}); use smaller sizes or chunks"
    elif isinstance(error, OSError):
        line = said
    else:
        where = next((f for f in reversed(files) if f.startswith(PACKAGE)), files[-1])
        line = (
            f"{type(error).__name__}: {said} (not foreseen, in {Path(where).name}); check the "
            "network and the data, and report this line if they are right"
        )
    return "\n".join([line, LED_TO.join(_from_users_code(part, task) for part in own)]).rstrip()


def _said(error: BaseException) -> str:
    try:
        return str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    except Exception:  # of the user's own, whose message fails in its turn
        return "without a message"


def _parts(error: BaseException) -> list[str]:
    """Write out an error and what led to it, the first cause first.

    Returns:
        The frames and the message of each.
    """
    text = "".join(traceback.format_exception(error))
    if GROUP in text:
        text = GROUPED.sub("", text)
    parts = [AFTER.sub("", part).rstrip() for part in text.split(HEADER)[1:]]
    if type(error.__cause__).__name__ == "_RemoteTraceback":
        return parts[:-1]  # the last says how the error came out of the worker
    return parts


def _users(part: str, task: str | None, deepest: bool = False) -> bool:
    """Say whether a traceback passes through the user's code, or ends there.

    Returns:
        Whether it does.
    """
    known = [owner for file in FRAME.findall(part) if (owner := _whose(file, task))]
    return "user" in (known[-1:] if deepest else known)


def _from_users_code(part: str, task: str | None) -> str:
    lines = part.splitlines()
    frames = [(k, match[1]) for k, line in enumerate(lines) if (match := FRAME.match(line))]
    first = next((k for k, file in frames if _whose(file, task) == "user"), 0)
    return "\n".join(lines[first:])


def _whose(file: str, task: str | None) -> str:
    """Say whose code a file has.

    Returns:
        `"program"`, `"user"`, or nothing for code that both call.
    """
    if file.startswith(PACKAGE):
        return "program"
    module = sys.modules.get((task or "").partition(":")[0])
    if module is not None and file == getattr(module, "__file__", None):
        return "user"
    return "" if file.startswith((*INSTALLED, "<")) or "site-packages" in file else "user"
