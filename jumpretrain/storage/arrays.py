"""Named arrays in one safetensors file, whose last array is a checksum of all before it.

It is a crc32 of the sums of each 512 words of eight bytes, which are read in one pass, six times
as fast as a crc32 of all. It finds every flipped bit: that changes one sum by a power of two, so a
row of neighbouring bits of it, which a crc32 never overlooks (derived). Files of 0.5.0 have no
checksum: of these, only the layout is checked.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jumpretrain.storage import files
from jumpretrain.storage.system_errors import explained

__all__ = ["Contents", "Entry", "File", "Stamp", "damaged", "opened", "read", "write"]

Stamp: TypeAlias = tuple[int, int, int]
"""What changes when a file is written again: its time, its size, its number on the disk."""

CHECKSUM = "checksum"
FORMAT = 2  # of a file; 1 has no checksum
LARGEST = 100_000_000  # bytes of a header, as safetensors has it
BLOCK = 4096  # bytes that are summed
PIECE = 64 * BLOCK  # that are read at once where they are only checked
TYPES = {
    "BOOL": "?",
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    "C64": "<c8",
}
UNREADABLE = (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError)
"""What reading a header raises that is none."""
CODES = {np.dtype(name): code for code, name in TYPES.items()}


class Entry(NamedTuple):
    """Where an array lies in a file."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class File(NamedTuple):
    """An open file whose layout was checked.

    Attributes:
        path: Where it is.
        stream: What is read from.
        header: Its first bytes, until the first array.
        entries: Where its arrays lie, in that order, but for the checksum.
        facts: What stands beside the arrays.
        format: 1 where there is no checksum.
    """

    path: Path
    stream: BufferedReader
    header: bytes
    entries: dict[str, Entry]
    facts: dict[str, Any]
    format: int

    @property
    def stamp(self) -> Stamp:
        """What changes when the file is written again."""
        return _stamp(self.stream)

    def read_into(self, start: int, buffer: NDArray[Any]) -> memoryview:
        """Read bytes into an array.

        Args:
            start: Where they lie in the file.
            buffer: The array, without gaps.

        Returns:
            The bytes.

        Raises:
            ValueError: If the file ends before.
        """
        if not buffer.size:
            return memoryview(b"")
        view = buffer.data.cast("B")
        self.stream.seek(start)
        if self.stream.readinto(view) < len(view):
            raise ValueError(damaged(self.path, "it ends early"))
        return view


@dataclass(frozen=True)
class Contents:
    """What was read of a file.

    Attributes:
        arrays: Those that were asked for, by name.
        entries: Where all of them lie.
        facts: What stands beside them.
        format: Of the file; 1 where it has no checksum.
        stamp: What changes when the file is written again.
    """

    arrays: dict[str, NDArray[Any]]
    entries: dict[str, Entry]
    facts: dict[str, Any]
    format: int
    stamp: Stamp


def damaged(path: Path, finding: str) -> str:
    """Say that a file is not what was written.

    Returns:
        What was found, and what helps.
    """
    return (
        f"{path} must be a whole safetensors file, but {finding}; delete it and repeat the call "
        "that made it: only what it held is made again"
    )


def write(path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write arrays and facts into a folder that is there, atomically and durably.

    Args:
        path: The file.
        arrays: By name, each of any layout in memory.
        facts: What JSON can hold.

    Raises:
        ValueError: If the system refuses.
    """
    whole = {name: _little(array) for name, array in arrays.items()}
    names = sorted(whole, key=lambda name: (-whole[name].itemsize, name))  # each stays aligned
    kept = {name: whole[name] for name in names} | {CHECKSUM: np.zeros(1, "<u4")}
    files.write(path, _pieces(_header(kept, facts), [whole[name] for name in names]))


def _little(array: NDArray[Any]) -> NDArray[Any]:
    found = np.asarray(array)
    return np.asarray(found, dtype=found.dtype.newbyteorder("<"), order="C")


def _header(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> bytes:
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    content: dict[str, Any] = {"__metadata__": {"facts": text, "format": str(FORMAT)}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        code = CODES[array.dtype]
        entry = {"dtype": code, "shape": array.shape, "data_offsets": [begin, end]}
        content[name] = entry
    written = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written


def _pieces(header: bytes, arrays: list[NDArray[Any]]) -> Iterator[Any]:
    yield header
    total = zlib.crc32(header)
    for array in arrays:
        if array.size:
            view = array.reshape(-1).data.cast("B")
            total = _sum_up(view, total)
            yield view
    yield total.to_bytes(4, "little")


def _sum_up(view: memoryview, total: int) -> int:
    border = len(view) // BLOCK * BLOCK
    words = np.frombuffer(view[:border], "<u8").reshape(-1, BLOCK // 8)
    return zlib.crc32(view[border:], zlib.crc32(words.sum(axis=1, dtype="<u8").data, total))


def read(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> Contents:
    """Read a file in one pass, and check all of it.

    Args:
        path: A file made by `write`, or one of 0.5.0.
        wanted: Which arrays are held in memory, by name.

    Returns:
        What it holds.

    Raises:
        ValueError: If the file is missing, damaged or refused by the system.
    """
    with opened(path) as file:
        total, arrays = zlib.crc32(file.header), {}
        for name, entry in file.entries.items():
            if wanted(name):
                arrays[name] = np.empty(entry.shape, entry.dtype)
                total = _sum_up(file.read_into(entry.start, arrays[name].reshape(-1)), total)
            elif file.format > 1:
                total = _skim(file, entry, total)
        if file.format > 1:
            end = max((e.start + e.size for e in file.entries.values()), default=len(file.header))
            kept = file.read_into(end, np.empty(4, np.uint8))
            if bytes(kept) != total.to_bytes(4, "little"):
                raise ValueError(damaged(path, "its checksum differs"))
        return Contents(arrays, file.entries, file.facts, file.format, file.stamp)


def _skim(file: File, entry: Entry, total: int) -> int:
    buffer = np.empty(min(PIECE, entry.size), np.uint8)
    for start in range(entry.start, entry.start + entry.size, PIECE):
        part = buffer[: entry.start + entry.size - start]
        total = _sum_up(file.read_into(start, part), total)
    return total


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """Open a file and check its layout, not its checksum.

    Args:
        path: The file.

    Yields:
        The open file.

    Raises:
        ValueError: If the file is missing or damaged, or the system refuses.
    """
    with explained(path, "read"), path.open("rb") as stream:
        try:
            file = _laid_out(path, stream)
        except UNREADABLE as error:
            raise ValueError(damaged(path, f"its header is none ({error})")) from error
        if file.format not in range(1, FORMAT + 1):
            raise ValueError(
                f"files are read up to format {FORMAT}, but {path} is of format {file.format}, as "
                "a newer version writes it; update jumpretrain, or delete it and repeat the call"
            )
        yield file


def _stamp(stream: BufferedReader) -> Stamp:
    found = os.fstat(stream.fileno())
    return found.st_mtime_ns, found.st_size, found.st_ino


def _laid_out(path: Path, stream: BufferedReader) -> File:
    size = _stamp(stream)[1]
    first = stream.read(8)
    length = int.from_bytes(first, "little")
    if not 0 < length <= min(size - 8, LARGEST):
        raise ValueError("cut short")
    text = stream.read(length)
    content = json.loads(text)
    metadata = content.pop("__metadata__", {})
    entries = {name: _entry(entry, 8 + length) for name, entry in content.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: item[1].start))
    end = 8 + length
    for name, entry in ordered.items():
        if entry.start != end or content[name]["data_offsets"][1] != end + entry.size - 8 - length:
            raise ValueError(f"{name} lies elsewhere")
        end += entry.size
    if end != size:
        raise ValueError(f"{end} bytes are told of, {size} are there")
    version = int(metadata.get("format", 1))
    summed = ordered.pop(CHECKSUM, None)
    if (version > 1) != (summed is not None):
        raise ValueError(f"format {version} {'with' if summed else 'without'} a checksum")
    facts = json.loads(metadata.get("facts", "{}"))
    return File(path, stream, first + text, ordered, dict(facts), version)


def _entry(entry: Mapping[str, Any], begin: int) -> Entry:
    shape = tuple(entry["shape"])
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError(f"a shape of {shape}")
    return Entry(begin + int(entry["data_offsets"][0]), shape, np.dtype(TYPES[entry["dtype"]]))
