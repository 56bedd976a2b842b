"""Print what was found; results are whole on disk, whatever becomes of the print."""

from __future__ import annotations

import os
import pathlib
import sys
import traceback
from contextlib import suppress
from typing import Any, TextIO

__all__ = ["UNREAD", "complain", "finish", "open_errors", "say", "unprinted"]

UNREAD = 128 + 13
"""What a shell reports of a program that wrote where nobody reads."""
PRINTING = (__file__, f"{os.sep}tqdm{os.sep}", f"{os.sep}tyro{os.sep}")
"""Where the program prints, shows a bar, or its help."""


def open_errors() -> None:
    """Let standard error lead nowhere if it is closed, as by `2>&-`, where bars would fail."""
    if sys.stderr is None:
        sys.stderr = pathlib.Path(os.devnull).open("w")


def say(text: str) -> None:
    """Print text to standard output, whatever characters it has."""
    _print(text, sys.stdout)


def complain(text: str) -> None:
    """Print text, if there is any, to standard error, as far as it can be."""
    if text:
        with suppress(OSError):
            _print(text, sys.stderr)


def finish(code: Any) -> Any:
    """Send off what was printed by others.

    Returns:
        The exit code, another one where nobody reads, or nothing can be written.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _mute(sys.stdout)
        return UNREAD if isinstance(error, BrokenPipeError) else 1
    return code


def unprinted(error: BaseException) -> tuple[int, str] | None:
    """Say what follows where something could not be printed.

    Returns:
        The exit code and a line to say, if that was the error.
    """
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    if not isinstance(error, OSError) or not any(place in where for place in PRINTING):
        return None
    if isinstance(error, BrokenPipeError):
        for stream in (sys.stdout, sys.stderr):
            _mute(stream)
        return UNREAD, ""
    return 1, f"nothing is lost, but it cannot be printed ({error.strerror}); print elsewhere"


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:  # as `>&-` leaves it
        return
    known = stream.encoding or "utf-8"
    try:
        print(text.encode(known, "backslashreplace").decode(known), file=stream, flush=True)
    except OSError:
        _mute(stream)
        raise


def _mute(stream: TextIO) -> None:
    """Let a stream lead nowhere, for Python tries again when it ends."""
    with suppress(OSError, ValueError), pathlib.Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
