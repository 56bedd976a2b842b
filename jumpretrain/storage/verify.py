"""Say of all results below a folder whether they are whole."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jumpretrain.storage import arrays, files, folders, manifests
from jumpretrain.storage.json_files import read_json
from jumpretrain.storage.locks import INDEX, MANIFESTS, OWNED
from jumpretrain.storage.system_errors import explained

__all__ = ["Verified", "verify"]

WITHIN = {"runs", "checkpoints", "figures"}
NUMBER = re.compile("[0-9]{5,}")


@dataclass(frozen=True)
class Verified:
    """What one folder holds.

    Attributes:
        folder: The folder.
        expected: How many runs belong in it; None where nothing says so.
        whole: How many are there, and whole.
        checkpoints: How many checkpoints of unfinished training are whole.
        others: How many other files with a checksum, or manifests, are whole.
        orphans: How many files dead processes left half written; the next call removes them.
        damaged: What is wrong, one line a file.
    """

    folder: Path
    expected: int | None
    whole: int
    checkpoints: int
    others: int
    orphans: int
    damaged: tuple[str, ...]

    def __str__(self) -> str:
        runs = f"{self.whole} runs"
        if self.expected is not None:
            runs = f"{self.whole} of {self.expected} runs"
        counts = [runs, f"{self.checkpoints} checkpoints", f"{self.others} other files"]
        counts += [f"{self.orphans} half-written files"] if self.orphans else []
        said = f"{len(self.damaged)} damaged" if self.damaged else "none damaged"
        return "\n  ".join([f"{self.folder}: {', '.join(counts)} whole, {said}", *self.damaged])


def verify(folder: str | Path) -> list[Verified]:
    """Read all results below a folder, and check them.

    Nothing is changed. What other programs left there is passed over.

    Args:
        folder: The folder.

    Returns:
        One entry a folder that holds results, in order.

    Raises:
        ValueError: If there are none, or the folder cannot be read.

    Example:
        >>> import tempfile
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = jr.train(task, jr.Recipe(epochs=1), [0, 1], folder=folder)
        ...     [found] = verify(folder)
        >>> found.whole, found.expected, found.damaged
        (2, 2, ())
    """
    root = files.located(folder)
    with explained(root, "read"):
        places = sorted(Path(place) for place, *_ in os.walk(root, onerror=_raise))
    found = [_verify(place) for place in places if place.name not in WITHIN or place == root]
    held = [one for one in found if one is not None]
    if not held:
        raise ValueError(f"{root} must hold results, but there are none in it or below")
    return held


def _raise(error: OSError) -> None:
    raise error


def _verify(folder: Path) -> Verified | None:
    damaged: list[str] = []

    def whole(call: Callable[..., Any], *words: Any) -> Any:
        try:
            return call(*words)
        except ValueError as error:
            damaged.append(str(error))

    claims = [folder / name for name in MANIFESTS if files.exists(folder / name)]
    read = [whole(manifests.read, path) for path in claims]
    if files.exists(folder / "provenance.json"):
        read.append(whole(read_json, folder / "provenance.json"))
    read += [whole(_check_owned, path) for path in files.listed(folder, "*.safetensors")]
    runs, checkpoints = (
        _numbered(folder / "runs", ".safetensors"),
        _numbered(folder / "checkpoints"),
    )
    orphans = files.orphans(folder)
    if not (read or runs or checkpoints or orphans):
        return None
    owner, expected = whole(_owner, folder) or (None, None)
    if runs and owner is None and not damaged:
        damaged.append(f"{folder} must say of which design its runs are, but has no manifest.json")
    kept = [whole(folders.scan, path, owner, int(path.stem)) for path in runs]
    begun = [whole(_check_checkpoint, path, owner) for path in checkpoints]
    there, unfinished, others = (sum(one is not None for one in s) for s in (kept, begun, read))
    lines = tuple(dict.fromkeys(damaged))
    return Verified(folder, expected, there, unfinished, others, len(orphans), lines)


def _owner(folder: Path) -> tuple[manifests.Owner, int] | None:
    """Find out whose the runs of a folder are, and how many belong in it.

    Returns:
        Both; None where neither a manifest nor an index says it.
    """
    path, index = folder / "manifest.json", folder / INDEX
    if files.exists(path):
        return manifests.owner_of(path), len(manifests.read(path)["seeds"])
    if not files.exists(index):
        return None
    content = arrays.read(index)
    design = content.facts.get("owner")
    owner = manifests.Owner(str(design), older=design is None)
    return owner, len(content.arrays["direction"])


def _numbered(folder: Path, suffix: str = "") -> list[Path]:
    """List files that have names of runs, unlike copies that programs make beside them.

    Returns:
        The files.
    """
    return [
        path
        for path in files.listed(folder, f"*{suffix}")
        if NUMBER.fullmatch(path.name.removesuffix(suffix))
    ]


def _check_owned(path: Path) -> arrays.Contents:
    content, claim = arrays.read(path), path.with_name(OWNED.get(path.name, path.name))
    if claim != path and files.exists(claim):
        manifests.owner_of(claim).match(path, content.facts.get("owner"))
    return content


def _check_checkpoint(path: Path, owner: manifests.Owner | None) -> arrays.Contents:
    content = arrays.read(path, lambda _: False)
    if owner is not None:
        owner.check(path, content, int(path.name))
    return content
