"""Keep runs in folders that are valid at every moment.

A file is written beside its place and renamed into it, so a reader sees all of it or none.
Nothing is ever pickled: arrays are safetensors, everything else is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jumpretrain.storage import arrays, files
from jumpretrain.storage.compression import Storage, encode, size
from jumpretrain.storage.files import located
from jumpretrain.storage.json_files import plain, read_json, write_json, write_sealed
from jumpretrain.storage.lazy_states import LazyStates, all_finite
from jumpretrain.storage.locks import check_space, lock
from jumpretrain.storage.manifests import Owner

__all__ = [
    "Storage",
    "check_space",
    "located",
    "lock",
    "plain",
    "read_arrays",
    "read_json",
    "read_runs",
    "run_path",
    "size",
    "status",
    "write_arrays",
    "write_bytes",
    "write_json",
    "write_run",
    "write_runs",
    "write_sealed",
]

LARGEST = np.finfo(np.float32).max
"""A loss above it is that of a run that diverged, in whatever precision it trained."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one atomic step, durably, with the folders above it.

    Raises:
        ValueError: If the system refuses.
    """
    files.make_folder(path.parent)
    files.write(path, [content])


def write_arrays(
    path: Path, content: Mapping[str, NDArray[Any]], facts: Mapping[str, Any] | None = None
) -> None:
    """Write named arrays and JSON facts into one safetensors file, atomically."""
    files.make_folder(path.parent)
    arrays.write(path, content, plain(facts or {}))


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a file made by `write_arrays`.

    Returns:
        The arrays by name, and the facts.

    Raises:
        ValueError: If the file is missing, damaged or no safetensors file.
    """
    found = arrays.read(path)
    return found.arrays, found.facts


def run_path(folder: Path, run: int) -> Path:
    """Say where the states and metrics of a run lie.

    Returns:
        The path of its file.
    """
    return folder / "runs" / f"{run:05d}.safetensors"


def write_run(
    path: Path,
    states: NDArray[Any],
    metrics: Mapping[str, NDArray[Any]],
    storage: Storage = "exact",
    weight_count: int | None = None,
    owner: Mapping[str, Any] | None = None,
) -> None:
    """Keep the states (T, S) and metrics (T,) of a run.

    Args:
        path: The file.
        states: The states, which metrics are of, however they are kept.
        metrics: Values by name.
        storage: `"exact"`, or `"half"`: between the first and the last state, weights as steps of
            sixteen bits, within 1e-4 of the length of the step that led there. A run that cannot
            be, such as one that diverged, is kept exactly.
        weight_count: P, how many entries of a state are weights; all where left out.
        owner: Facts that say whose run it is, see `Owner`.
    """
    content = {f"metrics.{name}": np.asarray(value) for name, value in metrics.items()}
    facts: dict[str, Any] = {**(owner or {}), "finite": bool(np.isfinite(states).all())}
    coded = None
    if storage == "half":
        coded = encode(states, weight_count or states.shape[1])
        facts["storage_error"] = coded[1] if coded else 0.0
    files.make_folder(path.parent)
    arrays.write(path, content | (coded[0] if coded else {"states": states}), facts)


def write_runs(
    folder: Path,
    runs: NDArray[np.int64],
    states: NDArray[Any],
    metrics: Mapping[str, NDArray[Any]],
    owner: Owner,
    storage: Storage = "exact",
    weight_count: int | None = None,
) -> None:
    """Keep the states (K, T, S) and metrics (K, T) of runs (K,), except those that are there.

    Raises:
        ValueError: If the folder is gone, or the system refuses.
    """
    files.make_folder(folder / "runs", parents=False)
    for run, *content in zip(runs.tolist(), states, *metrics.values(), strict=True):
        path = run_path(folder, run)
        if not files.exists(path):
            values = dict(zip(metrics, content[1:], strict=True))
            write_run(path, content[0], values, storage, weight_count, owner.facts(run))


def read_runs(
    folder: Path, count: int, epoch: NDArray[np.float64], owner: Owner | None = None
) -> tuple[LazyStates, NDArray[np.float64], dict[str, NDArray[np.float64]], NDArray[np.str_]]:
    """Read and check what a folder holds of its runs, one at a time.

    Args:
        folder: The folder.
        count: Number of its runs, R.
        epoch: When each snapshot was taken (T,).
        owner: Whose they have to be.

    Returns:
        The states, left on disk; the epochs (T,); metrics, each (R, T), NaN where a run is
        missing; and the status of each run (R,).

    Raises:
        ValueError: If no run is there, or a file is damaged, or another's.
    """
    paths = [run_path(folder, run) for run in range(count)]
    found = {run: scan(path, owner, run) for run, path in enumerate(paths) if files.exists(path)}
    if not found:
        raise ValueError(f"{folder} must hold finished runs, but none is finished yet")
    first = next(iter(found.values()))
    metrics = {name: np.full((count, len(epoch)), np.nan) for name in sorted(first.metrics)}
    marks = np.full(count, "missing", dtype="<U8")
    for run, content in found.items():
        if content.shape != (len(epoch), first.shape[1]) or content.metrics.keys() != {*metrics}:
            raise ValueError(arrays.damaged(paths[run], "it is not of the form of the others"))
        for name, table in metrics.items():
            table[run] = content.metrics[name]
        marks[run] = _mark(content)
    kept = tuple(path if run in found else None for run, path in enumerate(paths))
    stamps = tuple(found[run].stamp if run in found else None for run in range(count))
    remarks = _remarks([content for content in found.values() if content.error is not None])
    states = LazyStates(
        kept, np.arange(first.shape[0]), first.shape[1], first.dtype, remarks, stamps, owner
    )
    return states, epoch, metrics, marks


class Run(NamedTuple):
    """What is known of a run that is kept, beside its states."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    finite: bool
    metrics: dict[str, NDArray[np.float64]]
    whole: bool
    error: float | None  # None where exact storage was asked for
    stamp: arrays.Stamp


def _remarks(halved: list[Run]) -> dict[str, float]:
    """Say how far runs are off that were to be kept in half, and how many are whole after all.

    Returns:
        Remarks by name; none without such runs.
    """
    if not halved:
        return {}
    error, whole = max(run.error or 0.0 for run in halved), sum(run.whole for run in halved)
    return {"storage_error": error, "storage_exact": whole}


def scan(path: Path, owner: Owner | None, run: int) -> Run:
    """Read a run once and check it, without holding its states.

    Args:
        path: The file.
        owner: Whose it has to be.
        run: Its number.

    Returns:
        What is known of it.

    Raises:
        ValueError: If the file is damaged, or another's.
    """
    content = arrays.read(path, lambda name: name.startswith("metrics."))
    if owner is not None:
        owner.check(path, content, run)
    metrics = {n.removeprefix("metrics."): values for n, values in content.arrays.items()}
    entries, whole = content.entries, "states" in content.entries
    if any(len(entries.get(name, ((), ()))[1]) != 2 for name in _tables(whole)):
        raise ValueError(arrays.damaged(path, "it holds no states"))
    times, width = entries["states" if whole else "rest"].shape
    if any(values.shape != (times,) for values in metrics.values()):
        raise ValueError(arrays.damaged(path, "its metrics are not of its states"))
    finite = content.facts.get("finite")
    if finite is None:  # of 0.5.0; those in half are finite
        finite = not whole or all_finite(path, times)
    if not whole:
        width += entries["ends"].shape[1]
    dtype = entries["states" if whole else "ends"].dtype
    error = content.facts.get("storage_error")
    return Run((times, width), dtype, finite, metrics, whole, error, content.stamp)


def _tables(whole: bool) -> tuple[str, ...]:
    return ("states",) if whole else ("ends", "steps", "scales", "rest")


def _mark(run: Run) -> str:
    measured = all(_modest(values).all() for values in _losses(run.metrics))
    return "ok" if run.finite and measured else "diverged"


def _modest(losses: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(losses) <= LARGEST)  # NaN is not


def _losses(metrics: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    return [values for name, values in metrics.items() if name.split("_")[1:2] == ["loss"]]


def status(states: NDArray[Any], metrics: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
    """Tell runs whose states and losses stayed finite from runs that diverged.

    A loss above the largest float32 is that of a run that diverged.

    Returns:
        `"ok"` or `"diverged"` for each run (R,).
    """
    finite = np.isfinite(states).all((1, 2))
    for values in _losses(metrics):
        finite &= _modest(values).all(1)
    return np.where(finite, "ok", "diverged").astype("<U8")
