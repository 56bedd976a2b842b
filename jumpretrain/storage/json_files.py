"""Everything that is no array, as JSON with sorted keys; what is read back carries a checksum."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jumpretrain.storage import files
from jumpretrain.storage.system_errors import explained

__all__ = ["LATER", "plain", "read_json", "read_sealed", "write_json", "write_sealed"]

CHECKSUM = "checksum"


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, atomically; a number that is not finite becomes a string."""
    files.make_folder(path.parent)
    files.write(path, [_bytes(content)])


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write entries as `write_json` does, with a checksum of them beside."""
    write_json(path, {**content, CHECKSUM: _checksum(content)})


def read_json(path: Path) -> Any:
    """Read a JSON file; where it has a checksum, that is checked and left out.

    Returns:
        The content.

    Raises:
        ValueError: If the file is not whole, or the system refuses.
    """
    return read_sealed(path)[0]


def read_sealed(path: Path) -> tuple[Any, bool]:
    """Read a JSON file as `read_json` does.

    Returns:
        The content, and whether it had a checksum.

    Raises:
        ValueError: If the file is not whole, or the system refuses.
    """
    with explained(path, "read"):
        text = path.read_bytes()
    try:
        content = json.loads(text)
        plain(content)
    except ValueError as error:  # broken JSON, or bytes that are no text
        raise ValueError(_damaged(path, str(error))) from error
    except RecursionError as error:
        raise ValueError(_damaged(path, "it is nested too deep")) from error
    if not isinstance(content, dict) or CHECKSUM not in content:
        return content, False
    told = content.pop(CHECKSUM)
    if told != _checksum(content) or text != _bytes({**content, CHECKSUM: told}):
        raise ValueError(_damaged(path, "its checksum differs"))
    return content, True


LATER = {"later": True}
"""Metadata of a dataclass's field that a later version added: it is told only where it is set, so
that designs made before keep their names."""


def plain(value: Any) -> Any:
    """Turn a value into what JSON gives back for it: mappings, lists, texts and finite numbers.

    Returns:
        The value; a number that is not finite becomes a string.

    Example:
        >>> plain({"sizes": (0.5, float("inf"))})
        {'sizes': [0.5, 'inf']}
    """
    if is_dataclass(value):
        silent = {f.name for f in fields(value) if f.metadata == LATER}
        held = {name: held for name, held in vars(value).items() if name not in silent or held}
        return plain(held)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def _bytes(content: Any) -> bytes:
    text = json.dumps(plain(content), indent=1, sort_keys=True, allow_nan=False)
    return (text + "\n").encode()


def _checksum(content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(_bytes(content)):08x}"


def _damaged(path: Path, finding: str) -> str:
    return (
        f"{path} must be whole JSON, but it is not ({finding}); put a copy of it back, or name "
        "another folder"
    )
