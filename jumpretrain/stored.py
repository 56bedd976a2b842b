"""States that stay on disk until they are used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StoredStates"]


@dataclass(frozen=True)
class StoredStates:
    """States of many runs, left on disk and mapped into memory when indexed.

    It indexes like an array (R, T, S) whose first index is an integer, a slice or an array; only
    one index may be an array.
    A run without a file reads as NaN.

    Attributes:
        paths: One file for each run, or None where the run is missing.
        times: The snapshots that are seen, as indices into each file (T,).
        width: Length S of a state.
        dtype: Type of the numbers.
    """

    paths: tuple[Path | None, ...]
    times: NDArray[np.intp]
    width: int
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (R, T, S)."""
        return len(self.paths), len(self.times), self.width

    def __getitem__(self, key: Any) -> NDArray[Any]:
        run, *rest = key if isinstance(key, tuple) else (key,)
        chosen = np.arange(len(self.paths))[run]
        _check(run, chosen.ndim, rest)
        if chosen.ndim == 0:
            return np.array(self._run(int(chosen))[None][(0, *rest)])
        rows = [self._run(int(index))[tuple(rest)] for index in chosen]
        return np.stack(rows) if rows else np.empty(self.shape, self.dtype)[(run, *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def select(self, runs: Sequence[int], times: NDArray[np.intp]) -> StoredStates:
        """See only some runs and snapshots, without reading any.

        Returns:
            The selection.
        """
        paths = tuple(self.paths[run] for run in runs)
        return StoredStates(paths, self.times[times], self.width, self.dtype)

    def _run(self, index: int) -> NDArray[Any]:
        path = self.paths[index]
        if path is None:
            return np.full(self.shape[1:], np.nan, self.dtype)
        mapped = _map(path, "states")
        if len(self.times) == len(mapped) and np.array_equal(self.times, np.arange(len(mapped))):
            return mapped
        return mapped[self.times]


def _check(run: Any, dimensions: int, rest: Sequence[Any]) -> None:
    listed = isinstance(run, (list, np.ndarray))
    twice = listed and any(isinstance(index, (list, np.ndarray)) for index in rest)
    if run is None or run is Ellipsis or dimensions > 1 or twice:
        raise TypeError(
            "index the runs first, by a number, a slice or one list, and only one axis by a list; "
            "use select for lists of runs and snapshots"
        )


def _map(path: Path, name: str) -> NDArray[Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
    dtype = {"F32": np.float32, "F64": np.float64}[entry["dtype"]]
    start = 8 + length + entry["data_offsets"][0]
    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=tuple(entry["shape"]))
