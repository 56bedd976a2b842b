"""Hold a folder: against other processes, being left half written, and a disk too small."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import current_process
from pathlib import Path

import filelock

__all__ = ["STOPPED", "check_space", "lock", "unwinding", "unwritable"]

STOPPED = 128 + signal.SIGTERM  # what a shell reports of a process that was told to end


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes; a dead process holds nothing.

    What killed processes left half written here is removed; in folders within this one, when they
    are next held themselves. A SIGTERM to the program ends it as Ctrl-C does: worker processes
    end. One to a worker kills that worker.

    Raises:
        ValueError: If another process works in the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise ValueError(unwritable(folder, error)) from error
    try:
        held = filelock.FileLock(folder / ".lock", timeout=0).acquire()
    except filelock.Timeout:
        raise ValueError(
            f"one process works in a folder at a time, but {folder} is in use; "
            "wait for the other process or name another folder"
        ) from None
    with held, unwinding():
        _sweep(folder)
        try:
            yield
        except BaseException:
            _sweep(folder)
            raise


def unwritable(folder: Path, error: OSError) -> str:
    """Say that a folder cannot be written to.

    Returns:
        The rule, what was found, and the remedy.
    """
    return (
        f"results need a folder that can be written, but {folder} cannot ({error}); "
        "name another folder or change its permissions"
    )


def check_space(folder: Path, wanted: int) -> None:
    """Check that files of a size fit beside what is there.

    Args:
        folder: Where they would lie; it need not exist yet.
        wanted: Bytes.

    Raises:
        ValueError: If the disk has less space.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if wanted > free:
        raise ValueError(
            f"{folder} needs {wanted / 1e9:.3g} GB for what is sampled, but its disk has "
            f"{free / 1e9:.3g} GB free; name a folder on another disk, or record less "
            "(record_every, fewer directions)"
        )


@contextmanager
def unwinding() -> Iterator[None]:
    """Let a SIGTERM end the program as Ctrl-C does, with `SystemExit`; a worker it kills."""
    first = threading.current_thread() is threading.main_thread()
    first &= current_process().name == "MainProcess"  # a worker's exit would end its parent
    if not first or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    process = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() == process:
            sys.exit(STOPPED)
        signal.signal(number, signal.SIG_DFL)  # a forked child dies as it would have
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _sweep(folder: Path) -> None:
    for place in (folder, folder / "runs", folder / "checkpoints"):
        for part in place.glob("*.[0-9]*.part"):
            part.unlink(missing_ok=True)
