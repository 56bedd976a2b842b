"""States that stay on disk until they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jumpretrain.storage import arrays
from jumpretrain.storage.compression import BLOCK, follow
from jumpretrain.storage.manifests import Owner

__all__ = ["LazyStates", "all_finite"]


@dataclass(frozen=True)
class LazyStates:
    """States of many runs, left on disk; an index reads only what it asks for.

    It indexes like an array (R, T, S) whose first index is an integer, a slice or an array; only
    one index may be an array. A run without a file reads as NaN. A snapshot that is kept as a step
    from the one before costs reading the steps until then, but memory for one more state only.

    Attributes:
        paths: One file for each run, or None where the run is missing.
        times: The snapshots that are seen, as indices into each file (T,).
        width: Length S of a state.
        dtype: Type of the numbers.
        remarks: What a provenance has to say of how states are kept; empty where all are exact.
        stamps: What each file had about it when it was checked; one that has changed since, or was
            not checked, is when it is read.
        owner: Whose the files have to be; None where nothing says so.
    """

    paths: tuple[Path | None, ...]
    times: NDArray[np.intp]
    width: int
    dtype: np.dtype[Any]
    remarks: dict[str, float] = field(default_factory=dict)
    stamps: tuple[arrays.Stamp | None, ...] = ()
    owner: Owner | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (R, T, S)."""
        return len(self.paths), len(self.times), self.width

    def __getitem__(self, key: Any) -> NDArray[Any]:
        run, *rest = key if isinstance(key, tuple) else (key,)
        chosen = np.arange(len(self.paths))[run]
        _check(run, chosen.ndim, rest)
        times, columns, inside = _part(rest, *self.shape[1:])
        if chosen.ndim == 0:
            return np.array(self._run(int(chosen), times, columns)[None][(0, *inside)])
        if not len(chosen):
            return np.array(np.empty(self.shape, self.dtype)[(run, *rest)])
        rows = (self._run(int(index), times, columns)[inside] for index in chosen)
        first = next(rows)
        found: NDArray[Any] = np.empty((len(chosen), *np.shape(first)), self.dtype)
        found[0] = first
        for place, row in enumerate(rows, 1):
            found[place] = row
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def select(self, runs: Sequence[int], times: NDArray[np.intp]) -> LazyStates:
        """See only some runs and snapshots, without reading any.

        Returns:
            The selection.
        """
        paths = tuple(self.paths[run] for run in runs)
        stamps = tuple(self.stamps[run] for run in runs) if self.stamps else ()
        return replace(self, paths=paths, times=self.times[times], stamps=stamps)

    def _run(self, index: int, times: slice, columns: slice) -> NDArray[Any]:
        path, seen = self.paths[index], self.times[times]
        if path is None:
            return np.full((len(seen), columns.stop - columns.start), np.nan, self.dtype)
        with arrays.opened(path) as file:
            if not self.stamps or file.stamp != self.stamps[index]:
                self._check(file)
            return _read(file, seen, columns)

    def _check(self, file: arrays.File) -> None:
        content = arrays.read(file.path, lambda _: False)
        if content.stamp != file.stamp:
            raise ValueError(arrays.damaged(file.path, "it was replaced while it was read"))
        if self.owner is not None:
            self.owner.check(file.path, content, int(file.path.stem))


def all_finite(path: Path, times: int) -> bool:
    """Say whether all states (T, S) that a file holds whole are finite, one at a time.

    Returns:
        Whether they are.
    """
    with arrays.opened(path) as file:
        table = _Table(file, file.entries["states"])
        rows = (table.row(time, slice(0, table.width)) for time in range(times))
        return all(bool(np.isfinite(row).all()) for row in rows)


def _check(run: Any, dimensions: int, rest: Sequence[Any]) -> None:
    listed = isinstance(run, (list, np.ndarray))
    twice = listed and any(isinstance(index, (list, np.ndarray)) for index in rest)
    if run is None or run is Ellipsis or dimensions > 1 or twice:
        raise TypeError(
            "index the runs first, by a number, a slice or one list, and only one axis by a list; "
            "use select for lists of runs and snapshots"
        )


def _part(rest: Sequence[Any], times: int, width: int) -> tuple[slice, slice, tuple[Any, ...]]:
    """Find the snapshots and columns that an index needs at most.

    Returns:
        Both, and the index within them.
    """
    if len(rest) > 2 or not all(map(_plain, rest)):
        return slice(0, times), slice(0, width), tuple(rest)
    row, column = (*rest, slice(None), slice(None))[:2]
    (seen, row), (columns, column) = _span(row, times), _span(column, width)
    return seen, columns, (row, column)


def _plain(key: Any) -> bool:
    if isinstance(key, slice):
        return key.step in (None, 1)
    return isinstance(key, (int, np.integer)) and not isinstance(key, bool)


def _span(key: Any, length: int) -> tuple[slice, Any]:
    if isinstance(key, slice):
        start, stop, _ = key.indices(length)
        return slice(start, max(start, stop)), slice(None)
    place = range(length)[key]
    return slice(place, place + 1), 0


class _Table(NamedTuple):
    """An array (T, width) in an open file."""

    file: arrays.File
    entry: arrays.Entry

    @property
    def width(self) -> int:
        return self.entry.shape[1]

    def rows(self, times: NDArray[np.intp], columns: slice) -> NDArray[Any]:
        found = np.empty((len(times), columns.stop - columns.start), self.entry.dtype)
        for row, time in zip(found, times.tolist(), strict=True):
            place = time * self.width + columns.start
            self.file.read_into(self.entry.start + place * found.itemsize, row)
        return found

    def row(self, time: int, columns: slice) -> NDArray[Any]:
        return np.asarray(self.rows(np.array([time]), columns)[0])


def _read(file: arrays.File, times: NDArray[np.intp], columns: slice) -> NDArray[Any]:
    tables = {name: _Table(file, entry) for name, entry in file.entries.items()}
    if "states" in tables:
        return tables["states"].rows(times, columns)
    border = tables["ends"].width
    weights = slice(min(columns.start, border), min(columns.stop, border))
    others = slice(max(columns.start, border) - border, max(columns.stop, border) - border)
    dtype = tables["ends"].entry.dtype
    found = np.empty((len(times), columns.stop - columns.start), dtype)
    count = weights.stop - weights.start
    _fill(found[:, :count], tables, times, weights)
    found[:, count:] = tables["rest"].rows(times, others)
    return found


def _fill(
    found: NDArray[Any], tables: Mapping[str, _Table], times: NDArray[np.intp], columns: slice
) -> None:
    ends, steps, scales = (tables[name] for name in ("ends", "steps", "scales"))
    between = (times > 0) & (times < tables["rest"].entry.shape[0] - 1)
    found[~between] = ends.rows(np.minimum(times[~between], 1), columns)
    if not between.any():
        return
    blocks = slice(columns.start // BLOCK, -(-columns.stop // BLOCK))
    wide = slice(blocks.start * BLOCK, blocks.stop * BLOCK)
    inside = slice(columns.start - wide.start, columns.stop - wide.start)
    first = ends.row(0, slice(wide.start, min(wide.stop, ends.width)))
    count = times[between].max()
    moves = ((steps.row(time, wide), scales.row(time, blocks)) for time in range(count))
    for time, weights in enumerate(follow(first, moves), 1):
        found[times == time] = weights[inside]
