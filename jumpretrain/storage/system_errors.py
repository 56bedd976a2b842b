"""What the system refuses, said in one line: which file, why, and what helps."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

__all__ = ["explained"]

Act = Literal["written", "read", "removed", "locked"]

AGAIN = "and repeat the call: it goes on"
PERMISSIONS = "change its permissions or name another folder"
READ_ONLY = "copy what is there to a file system that is not read-only, or name a folder on one"
CROWDED = f"close files or allow more open ones (ulimit -n) {AGAIN}"
GONE = "it was removed meanwhile, or never there; check its name and repeat the call"
MISPLACED = "a file stands where a folder should, or the reverse; move it or name another folder"
LOCKLESS = "the file system has no locks here; name a local folder"
REMEDIES = {
    errno.ENOSPC: f"free space {AGAIN}",
    errno.EDQUOT: f"free space or raise the quota {AGAIN}",
    errno.EFBIG: f"allow larger files (ulimit -f) {AGAIN}",
    errno.EMFILE: CROWDED,
    errno.ENFILE: CROWDED,
    errno.EIO: f"check the disk {AGAIN}",
    errno.EACCES: PERMISSIONS,
    errno.EPERM: PERMISSIONS,
    errno.EROFS: READ_ONLY,
    errno.ENAMETOOLONG: "name a folder with a shorter path",
    errno.ELOOP: "symbolic links lead in a circle; name another folder",
    errno.ENOENT: GONE,
    errno.ESTALE: GONE,
    errno.ENOTDIR: MISPLACED,
    errno.EISDIR: MISPLACED,
    errno.EEXIST: MISPLACED,
}
UNLOCKED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def explained(path: Path, act: Act) -> Iterator[None]:
    """Turn an error of the system into one line.

    Args:
        path: The file or folder that is worked on.
        act: What is done to it.

    Raises:
        ValueError: If the system refuses; the message says which file, why, and what helps.
    """
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, f"remove the cause {AGAIN}")
        if act == "locked" and error.errno in UNLOCKED:
            remedy = LOCKLESS
        needs = "files that can be read" if act == "read" else "a folder that can be written"
        raise ValueError(
            f"results need {needs}, but {path} cannot be {act} ({error.strerror or error}); "
            f"{remedy}"
        ) from error
