"""Hold a folder: against other processes, and against being left half written."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

__all__ = ["lock", "unwritable"]

STOPPED = 128 + signal.SIGTERM  # what a shell reports of a process that was told to end


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes; a dead process holds nothing.

    What killed processes left half written is removed. A SIGTERM ends the program as Ctrl-C does:
    worker processes end, and what they were writing is removed.

    Raises:
        ValueError: If another process works in the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise ValueError(unwritable(folder, error)) from error
    try:
        with filelock.FileLock(folder / ".lock", timeout=0), _unwinding():
            _sweep(folder)
            try:
                yield
            except BaseException:
                _sweep(folder)
                raise
    except filelock.Timeout:
        raise ValueError(
            f"one process works in a folder at a time, but {folder} is in use; "
            "wait for the other process or name another folder"
        ) from None


def unwritable(folder: Path, error: OSError) -> str:
    """Say that a folder cannot be written to.

    Returns:
        The rule, what was found, and the remedy.
    """
    return (
        f"results need a folder that can be written, but {folder} cannot ({error}); "
        "name another folder or change its permissions"
    )


@contextmanager
def _unwinding() -> Iterator[None]:
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _sweep(folder: Path) -> None:
    for place in (folder, folder / "runs", folder / "checkpoints"):
        for part in place.glob("*.[0-9]*.part"):
            part.unlink(missing_ok=True)
