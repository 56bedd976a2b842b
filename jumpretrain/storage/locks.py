"""Hold a folder: against other processes, being left half written, and a disk too small."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import current_process
from pathlib import Path

from jumpretrain.storage import files
from jumpretrain.storage.system_errors import explained

__all__ = ["INDEX", "MANIFESTS", "OWNED", "STOPPED", "check_space", "lock", "unwinding"]

STOPPED = 128 + signal.SIGTERM  # what a shell reports of a process that was told to end


LOCK = ".lock"
INDEX = "trajectories.safetensors"
MANIFESTS = {
    "sampling.json": "sample",
    "manifest.json": "train",
    "study.json": "explore",
    "survey.json": "jumpretrain interpolate",
    "junction.json": "jumpretrain connect",
    "connector.json": "jumpretrain connect",
    "restarts.json": "cycles or branches",
    "saddles.json": "saddles",
}
"""What says whose a folder is, and which call writes it."""
OWNED = {INDEX: "manifest.json", "segments.safetensors": "saddles.json"}
"""Files beside a manifest that say whose they are, and which one has to agree."""
TRIES = 100  # each is lost to one that removes the folder at that moment, having made nothing


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes; a dead process holds nothing.

    One on a read-only file system is not held: there, calls read what is finished.

    What killed processes left half written here is removed; in folders within this one, when they
    are next held themselves. A call that fails before it has made anything leaves nothing: what it
    claimed is removed again. A SIGTERM to the program ends it as Ctrl-C does: worker processes
    end. One to a worker kills that worker.

    Raises:
        ValueError: If another process works in the folder, or the system refuses.
    """
    if files.is_read_only(folder):
        with unwinding():
            yield
        return
    made, before, descriptor = _enter(folder)
    try:
        with unwinding():
            files.sweep(folder)
            try:
                _check_places(folder)
                yield
            except BaseException:
                files.sweep(folder)
                _leave_nothing(folder, before, made)
                raise
    finally:
        os.close(descriptor)


def _enter(folder: Path) -> tuple[list[Path], set[str], int]:
    """Make a folder where it is missing, and lock it.

    Returns:
        The folders that were made, the innermost first; what was in it; and the open lock.

    Raises:
        ValueError: If it is held, or the system refuses.
    """
    made: list[Path] = []
    for _ in range(TRIES):
        made = files.make_folder(folder) + made
        try:
            with explained(folder, "locked"):
                before = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
                descriptor = _locked(folder / LOCK)
        except ValueError:
            files.remove_empty(made)
            raise
        if descriptor is not None:
            return made, before, descriptor
    raise ValueError(_in_use(folder))


def _locked(path: Path) -> int | None:
    """Open and lock a file.

    Returns:
        The open file; None where it was removed meanwhile.

    Raises:
        ValueError: If another process holds it.
    """
    new = not path.exists()
    if path.is_symlink() or not (new or path.is_file()):
        kind = "a symbolic link" if path.is_symlink() else "no file"
        raise ValueError(
            f"{path} must be a file that calls hold in turn, but is {kind}; remove it and repeat "
            "the call"
        )
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except FileNotFoundError:
        return None
    try:
        if not files.hold(descriptor):
            raise ValueError(_in_use(path.parent))
        there = path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
    except BaseException as error:
        os.close(descriptor)
        if new and isinstance(error, OSError):  # no locks here, so nobody holds it
            path.unlink(missing_ok=True)
        raise
    if not there:
        os.close(descriptor)
    return descriptor if there else None


def _in_use(folder: Path) -> str:
    return (
        f"one process works in a folder at a time, but {folder} is in use; "
        "wait for the other process or name another folder"
    )


def _check_places(folder: Path) -> None:
    for path in (folder / place for place in files.PLACES):
        if path.exists() and not path.is_dir():
            raise ValueError(
                f"{path} must be a folder, but is a file; move it away, or name another folder"
            )


def _leave_nothing(folder: Path, before: set[str], made: list[Path]) -> None:
    """Remove what a call claimed that made nothing else; otherwise, nothing is removed.

    Folders within that another process holds are its own and stay.
    """
    with suppress(OSError), ExitStack() as held:
        new = [path for path in folder.iterdir() if path.name not in before]
        found = [path for place in new for path in sorted(place.rglob("*"), reverse=True)]
        inner = [path for path in found if path.name == LOCK]
        others = {path.parent for path in inner if not _held_by(held, path)}
        within = [path for path in found if others.isdisjoint((path, *path.parents))]
        claims = [path for path in (*within, *new) if not path.is_dir()]
        if not all(path.name in {LOCK, INDEX, *MANIFESTS} for path in claims):
            return
        for path in (*within, *new):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
    files.remove_empty(made)


def _held_by(stack: ExitStack, path: Path) -> bool:
    """Hold a file until a stack is left, unless a live process does.

    Returns:
        Whether that worked.
    """
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    stack.callback(os.close, descriptor)
    return files.hold(descriptor)


def check_space(folder: Path, wanted: int) -> None:
    """Check that files of a size fit beside what is there.

    Args:
        folder: Where they would lie; it need not exist yet.
        wanted: Bytes.

    Raises:
        ValueError: If the disk has less space.
    """
    with explained(folder, "written"):
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
