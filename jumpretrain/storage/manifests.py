"""Say in each folder what it holds, so that a call goes on only with what it made itself.

A manifest lacks entries that later versions have added; such a folder was made as their defaults
say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from jumpretrain.storage.folders import plain, read_json, write_json

__all__ = ["FORMAT", "claim", "read"]

FORMAT = 1  # manifests of 0.5.0 do not say it
NOT_COMPARED = ("execution.reason", "versions")
"""Entries that stay as they were first written, and need not be the same here."""


def claim(
    path: Path, design: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write a manifest, or check that the one that is there tells of the same design.

    Args:
        path: The file.
        design: What the folder depends on. Values may be dataclasses whose fields have defaults.
        defaults: What entries mean that are missing here or there; dataclasses know their own.

    Returns:
        The entries as they were first written.

    Raises:
        ValueError: If the folder holds another design; the message names what differs.
    """
    if not path.exists():
        write_json(path, {"format": FORMAT, **design})
    found = read(path)
    differences = list(_differences(design, found, defaults or {}))
    if differences:
        raise ValueError(
            f"a folder holds one design, but {path.parent} was made with another: "
            + "; ".join(differences[:5])
            + "; name another folder, or repeat the call that made this one"
        )
    return found


def read(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Returns:
        Its entries, but for the version of its format.

    Raises:
        ValueError: If that version is not known here.
    """
    found = read_json(path)
    version = found.pop("format", 1) if isinstance(found, dict) else None
    if version not in range(1, FORMAT + 1):
        raise ValueError(
            f"folders are read up to format {FORMAT}, but {path} is of format {_short(version)}, "
            "as a newer version writes it; update jumpretrain"
        )
    return dict(found)


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
        if plain(wanted) != found:
            yield f"{name} is {_short(plain(wanted))} here and {_short(found)} there"
        return
    for key in sorted(wanted.keys() | found.keys()):
        inner = f"{name}.{key}" if name else key
        if inner in NOT_COMPARED:
            continue
        if defaults is not None and key not in {*wanted, *defaults}:
            yield f"{inner} is {_short(found[key])} there, as a newer version made it"
            continue
        usual = (defaults or {}).get(key)
        here, there = wanted.get(key, usual), found.get(key, plain(usual))
        yield from _differences(here, there, None, inner)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
