"""Say in each folder what it holds, so that a call goes on only with what it made itself.

A manifest lacks entries that later versions have added; such a folder was made as their defaults
say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.storage import arrays, files
from jumpretrain.storage.json_files import plain, read_sealed, write_sealed
from jumpretrain.storage.locks import INDEX, MANIFESTS

__all__ = [
    "FORMAT",
    "Owner",
    "claim",
    "confirm",
    "differences",
    "identity",
    "owner_of",
    "read",
    "sketch",
]

FORMAT = 2  # 1, which manifests of 0.5.0 do not say, has no checksums and no owners
NOT_COMPARED = ("execution.reason", "versions")
"""Entries that stay as they were first written, and need not be the same here."""
WITH = "with"
"""Says for what the entries beside it hold: they are compared where it is the same, else not."""
MADE_OF = ("task.code", "task.held", "task.layers", "task.training")
"""Entries that may be missing, and then are not compared; all of them say `WITH`."""
ABOUT, CLOSE, TINY = "~", 1e-3, 1e-6
"""Begins the text of numbers that rounding changes, and how far: by themselves, by the largest."""


@dataclass(frozen=True)
class Owner:
    """Whose files are: each says of which design it is, and which of its runs.

    Attributes:
        design: The identity of the design.
        older: Whether files may be from 0.5.0, which say nothing.
    """

    design: str
    older: bool = False

    def facts(self, run: int) -> dict[str, Any]:
        """Say what a file has to tell.

        Returns:
            The facts by name.
        """
        return {"owner": self.design, "run": run}

    def check(self, path: Path, content: arrays.Contents, run: int) -> None:
        """Check that a file is of this design, and of the run that its name says.

        Raises:
            ValueError: If it is not.
        """
        if content.format == 1 and self.older:
            return
        self.match(path, content.facts.get("owner"))
        number = content.facts.get("run")
        if number != run:
            raise ValueError(_foreign(path, f"is number {number}"))

    def match(self, path: Path, told: Any) -> None:
        """Check that what a file tells of its owner is this; of 0.5.0, one may tell nothing.

        Raises:
            ValueError: If it is not.
        """
        if told != self.design and not (told is None and self.older):
            raise ValueError(_foreign(path, "is of another design, or of none"))


def _foreign(path: Path, finding: str) -> str:
    return (
        f"{path} must be what its folder and name say, but it {finding}; move it away and repeat "
        "the call that made this folder: only what the file should hold is made again"
    )


def claim(
    path: Path, design: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write a manifest, or check that the one that is there tells of the same design.

    The folder has to be held, see `lock`.

    Args:
        path: The file.
        design: What the folder depends on. Values may be dataclasses whose fields have defaults.
        defaults: What entries mean that are missing here or there; dataclasses know their own.

    Returns:
        The entries as they were first written.

    Raises:
        ValueError: If the folder holds another design; the message names what differs. Also if it
            holds runs without a manifest, which could be of any design.
    """
    if not files.exists(path):
        _check_bare(path)
        write_sealed(path, {"format": FORMAT, **design})
    found, version = _read(path)
    left = _left_out(design, found, version)
    here, there = ({k: v for k, v in e.items() if k not in left} for e in (design, found))
    differences = list(_differences(here, there, defaults or {}))
    if differences:
        raise ValueError(
            f"a folder holds one design, but {path.parent} was made with another: "
            + "; ".join(differences[:5])
            + "; name another folder, or repeat the call that made this one"
        )
    return found


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Compare two designs as `claim` does.

    Returns:
        What differs, in words.
    """
    return list(_differences(here, plain(there), {}))


def sketch(array: NDArray[Any]) -> str:
    """Describe an array by what rounding leaves as it is.

    Returns:
        The sums of every sixteenth entry, from each of the first sixteen on, by the norm.
    """
    flat = array.astype(np.float64).ravel()
    norm = float(np.linalg.norm(flat)) or 1.0
    return " ".join(f"{flat[first::16].sum() / norm:.2f}" for first in range(16))


def _check_bare(path: Path) -> None:
    beside = {"manifest.json": "sampling.json"}  # what sample writes into one folder
    if files.exists(path.with_name(INDEX)):
        beside["sampling.json"] = "manifest.json"
    own = {path.name, beside.get(path.name)}
    others = [name for name in MANIFESTS if name not in own and files.exists(path.with_name(name))]
    if others:
        raise ValueError(
            f"a folder holds what one kind of call makes, but {path.parent} holds what "
            f"{MANIFESTS[others[0]]} made; name another folder"
        )
    for place in ("runs", "checkpoints"):
        if files.listed(path.parent / place, "[0-9]*"):
            raise ValueError(
                f"runs belong to a design, but {path.parent} holds {place} without {path.name}; "
                "put that file back, or name another folder"
            )


def read(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Returns:
        Its entries, but for the version of its format.

    Raises:
        ValueError: If that version is not known here, or the file is damaged.
    """
    return _read(path)[0]


def owner_of(path: Path) -> Owner:
    """Say whose the files are that lie beside a manifest.

    Returns:
        The design of the manifest.

    Raises:
        ValueError: If it cannot be read.
    """
    found, version = _read(path)
    return Owner(identity(found), older=version == 1)


def confirm(path: Path, owner: Owner) -> None:
    """Check that a manifest is still there, before anything is written beside it.

    Args:
        path: The manifest.
        owner: Whose it was when the call began.

    Raises:
        ValueError: If it is not.
    """
    if not files.exists(path) or owner_of(path) != owner:
        raise ValueError(
            f"a folder must stay while a call works in it, but {path.parent} was removed or "
            "replaced; repeat the call"
        )


def identity(entries: Mapping[str, Any]) -> str:
    """Name a design by what is compared of it.

    Returns:
        Sixteen hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(_compared(plain(entries))).encode()).hexdigest()[:16]


def _compared(entries: Any, name: str = "") -> Any:
    if not isinstance(entries, dict):
        return entries
    names = {key: f"{name}.{key}" if name else key for key in sorted(entries)}
    return {k: _compared(entries[k], n) for k, n in names.items() if n not in NOT_COMPARED}


def _read(path: Path) -> tuple[dict[str, Any], int]:
    found, sealed = read_sealed(path)
    version: Any = found.pop("format", 1) if isinstance(found, dict) else None
    if version not in range(1, FORMAT + 1):
        raise ValueError(
            f"folders are read up to format {FORMAT}, but {path} is of format {_short(version)}, "
            "as a newer version writes it; update jumpretrain"
        )
    if version > 1 and not sealed:
        raise ValueError(
            f"{path} must have a checksum, but has none; put a copy of it back, or name another "
            "folder"
        )
    return dict(found), version


def _differences(
    wanted: Any, found: Any, defaults: Mapping[str, Any] | None, name: str = ""
) -> Iterator[str]:
    """Name what differs.

    Args:
        wanted: The value here.
        found: The value in the manifest.
        defaults: Of entries of the value, or None where these are not known by name.
        name: What the value is called.

    Yields:
        One difference after the other.
    """
    if is_dataclass(wanted):
        wanted, defaults = vars(wanted), vars(type(wanted)())
    if not (isinstance(wanted, Mapping) and isinstance(found, dict)):
        if plain(wanted) != found and not _close(wanted, found):
            yield f"{name} is {_short(plain(wanted))} here and {_short(found)} there"
        return
    for key in sorted(wanted.keys() | found.keys()):
        inner = f"{name}.{key}" if name else key
        if inner in NOT_COMPARED or _holds_elsewhere(inner, wanted.get(key), found.get(key)):
            continue
        if defaults is not None and key not in {*wanted, *defaults}:
            yield f"{inner} is {_short(found[key])} there, as a newer version made it"
            continue
        usual = (defaults or {}).get(key)
        here, there = wanted.get(key, usual), found.get(key, plain(usual))
        yield from _differences(here, there, None, inner)


def _holds_elsewhere(name: str, here: Any, there: Any) -> bool:
    if name not in MADE_OF:
        return False
    return not (here and there and here[WITH] == there[WITH])


def _close(here: Any, there: Any) -> bool:
    """Tell whether two texts of numbers are equal up to rounding.

    Returns:
        Whether they are; not of other texts.
    """
    if not all(isinstance(text, str) and text.startswith(ABOUT) for text in (here, there)):
        return False
    one, two = (np.array(text[len(ABOUT) :].split(), dtype=float) for text in (here, there))
    least = TINY * np.abs(two[np.isfinite(two)]).max(initial=0)
    same = one.shape == two.shape
    return same and np.allclose(one, two, rtol=CLOSE, atol=least, equal_nan=True)


def _left_out(design: Mapping[str, Any], found: Mapping[str, Any], version: int) -> set[str]:
    """Name what is not compared: starts that follow from the rest are told by a sketch.

    Processors round them otherwise, so that their digests differ.

    Returns:
        Names of entries.
    """
    here, there = "start_sketch" in design, "start_sketch" in found
    unlike = {"start"} if here and (there or version == 1) else set()
    return unlike if here and there else unlike | {"start_sketch"}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
