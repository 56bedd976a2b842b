"""Files that are there whole or not at all, though programs are killed and power fails.

A file is written beside its place under a random name, made durable, and renamed into it. Its
writer holds a lock on it meanwhile, so that what a dead one left can be told and removed.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from multiprocessing import current_process, parent_process
from pathlib import Path
from typing import Any

from jumpretrain.storage.system_errors import explained

__all__ = [
    "PLACES",
    "exists",
    "hold",
    "is_half_written",
    "is_orphaned",
    "is_read_only",
    "listed",
    "located",
    "make_folder",
    "orphans",
    "remove",
    "remove_empty",
    "sweep",
    "sync",
    "write",
]

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


WINDOWS = os.name == "nt"  # there, an open file can neither be renamed nor removed
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
PART = re.compile(r"\.([0-9a-f]{16}|\d+)\.part$")  # the second, a process, until 0.5.0
PLACES = (".", "runs", "checkpoints", "figures")
"""Folders of one that is held."""


def write(path: Path, pieces: Iterable[Any]) -> None:
    """Write a file in one atomic step, durably, into a folder that is there.

    Args:
        path: The file.
        pieces: Its bytes, one piece after the other.

    Raises:
        ValueError: If the system refuses; the file is then as it was before.
    """
    with explained(path, "written"):
        part, descriptor = _begin(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
                if is_orphaned():
                    raise ValueError(f"{path} is not written: the program that wanted it is gone")
                if not WINDOWS:
                    part.replace(path)  # as long as it is locked, nobody sweeps it
            if WINDOWS:
                part.replace(path)
            sync(path.parent)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def _begin(path: Path) -> tuple[Path, int]:
    while True:
        part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
        descriptor = os.open(part, NEW, 0o666)
        try:
            swept = not (WINDOWS or hold(descriptor)) or not os.fstat(descriptor).st_nlink
        except OSError:  # no locks here, as on some network disks
            swept = False
        if not swept:
            return part, descriptor
        os.close(descriptor)


def hold(descriptor: int) -> bool:
    """Lock an open file, until it is closed or its process dies.

    Returns:
        Whether that worked; False if another holds it.

    Raises:
        OSError: If the file system has no locks, or fails.
    """
    try:
        _take(descriptor)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise
    return True


def sync(folder: Path) -> None:
    """Make the names in a folder durable, where the system can.

    Raises:
        OSError: If the system fails.
    """
    if WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path, parents: bool = True) -> list[Path]:
    """Make a folder durably, unless it is there.

    Args:
        folder: The folder.
        parents: Whether folders above it are made too.

    Returns:
        The folders that were made, the innermost first.

    Raises:
        ValueError: If the system refuses.
    """
    with explained(folder, "written"):
        above = [place for place in folder.absolute().parents if parents and not place.exists()]
        made = [] if folder.is_dir() else [folder, *above]
        with ExitStack() as undone:
            undone.callback(remove_empty, made)
            for place in reversed(made):
                place.mkdir(exist_ok=True)
                sync(place.parent)
            undone.pop_all()
        return made


def remove_empty(places: Iterable[Path]) -> None:
    """Remove folders, one after the other, but for those that are not empty or not there."""
    for place in places:
        with suppress(OSError):
            place.rmdir()


def listed(folder: Path, pattern: str) -> list[Path]:
    """List files of a folder by their names, but for hidden ones, which systems put there.

    Returns:
        The files in order; none where there is no such folder.

    Raises:
        ValueError: If the system does not tell.
    """
    with explained(folder, "read"):
        return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def located(path: str | Path) -> Path:
    """Say where a path of the user's leads, now: later calls may find another working folder.

    Returns:
        The absolute path; `~` is the user's own folder.

    Raises:
        ValueError: If there is no such user, or no file can have the name.
    """
    if "\0" in str(path):
        raise ValueError(f"no path has a zero character, but {str(path)!r} has; name another")
    with explained(Path(path), "read"):
        try:
            return Path(path).expanduser().absolute()
        except RuntimeError as error:
            raise ValueError(
                f"{path} must begin with ~ alone or that of a user that there is ({error}); "
                "write the folder in full"
            ) from error


def exists(path: Path) -> bool:
    """Say whether a file is there.

    Returns:
        Whether it is.

    Raises:
        ValueError: If the system does not tell.
    """
    with explained(path, "read"):
        return path.exists()


def remove(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        ValueError: If the system refuses.
    """
    with explained(path, "removed"), suppress(FileNotFoundError):
        path.lstat()  # a read-only file system would refuse what is not there too
        path.unlink()


def is_half_written(path: Path) -> bool:
    """Say whether a file has the name of one that is being written.

    Returns:
        Whether it has.
    """
    return PART.search(path.name) is not None


def is_read_only(folder: Path) -> bool:
    """Say whether a folder is there and lies on a file system that cannot be written.

    Returns:
        Whether it does.

    Raises:
        ValueError: If the system does not tell.
    """
    if not hasattr(os, "statvfs"):
        return False
    with explained(folder, "read"):
        return folder.is_dir() and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def is_orphaned() -> bool:
    """Say whether this is a worker whose program has died, and with it the lock of its folder.

    Returns:
        Whether it is.
    """
    program = parent_process()
    if program is None or not current_process().name.startswith("LokyProcess"):
        return False  # others may be started by a go-between
    return os.getppid() != program.pid


def orphans(folder: Path) -> list[Path]:
    """Find what dead writers left half written in a folder and in those of its runs.

    Returns:
        The files.
    """
    with explained(folder, "read"):
        return [part for part in _parts(folder) if _is_orphan(part, lambda _: None)]


def sweep(folder: Path) -> None:
    """Remove what dead writers left half written; what cannot be removed stays for the next."""
    with suppress(OSError):
        for part in _parts(folder):
            _is_orphan(part, Path.unlink)


def _parts(folder: Path) -> list[Path]:
    found = [path for place in PLACES for path in (folder / place).glob("*.part")]
    return [path for path in found if is_half_written(path)]


def _is_orphan(part: Path, then: Callable[[Path], None]) -> bool:
    """Say whether the writer of a file is dead; if so, do something while no other can hold it.

    Returns:
        Whether it is.
    """
    with suppress(OSError):
        descriptor = os.open(part, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            if hold(descriptor):
                then(part)
                return True
        finally:
            os.close(descriptor)
    return False
