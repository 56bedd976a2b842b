"""Keep arrays in folders that are valid at every moment.

A file is written beside its place and renamed into it, so a reader sees all of it or none.
Nothing is ever pickled: arrays are safetensors, everything else is JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from jumpretrain.storage.compression import Storage, encode, size
from jumpretrain.storage.lazy_states import LazyStates
from jumpretrain.storage.locks import check_space, lock, unwritable

__all__ = [
    "Storage",
    "check_space",
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
]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one atomic step, durably.

    Raises:
        ValueError: If the folder cannot be written to.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.touch()
    except OSError as error:
        raise ValueError(unwritable(path.parent, error)) from error
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, atomically; a number that is not finite becomes a string."""
    text = json.dumps(plain(content), indent=1, sort_keys=True, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Returns:
        The content.

    Raises:
        ValueError: If the file is not whole.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:  # broken JSON, or bytes that are no text
        raise ValueError(f"{path} must be whole JSON, but it is not ({error})") from error


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any] | None = None
) -> None:
    """Write named arrays and JSON facts into one safetensors file, atomically."""
    whole = {name: np.array(array, order="C") for name, array in arrays.items()}
    text = json.dumps(plain(facts or {}), sort_keys=True, allow_nan=False)
    write_bytes(path, to_bytes(whole, metadata={"facts": text}))


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a file made by `write_arrays`.

    Returns:
        The arrays by name, and the facts.

    Raises:
        ValueError: If the file is missing, truncated or no safetensors file.
    """
    with _opened(path) as file:
        facts = _facts(file)
        return {name: file.get_tensor(name) for name in file.keys()}, facts


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{path} must be a whole safetensors file, but it cannot be read ({error}); "
            "delete it and repeat the call: only what it held is made again"
        ) from error


def _facts(file: Any) -> dict[str, Any]:
    return dict(json.loads((file.metadata() or {}).get("facts", "{}")))


def plain(value: Any) -> Any:
    """Turn a value into what JSON gives back for it: mappings, lists, texts and finite numbers.

    Returns:
        The value; a number that is not finite becomes a string.

    Example:
        >>> plain({"sizes": (0.5, float("inf"))})
        {'sizes': [0.5, 'inf']}
    """
    if is_dataclass(value):
        return plain(vars(value))
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
    """
    values = {f"metrics.{name}": value for name, value in metrics.items()}
    if storage == "exact":
        write_arrays(path, {"states": states} | values)
        return
    coded = encode(states, weight_count or states.shape[1])
    arrays, error = coded or ({"states": states}, 0.0)
    write_arrays(path, arrays | values, {"storage_error": error})


def write_runs(
    folder: Path,
    runs: NDArray[np.int64],
    states: NDArray[Any],
    metrics: Mapping[str, NDArray[Any]],
    storage: Storage = "exact",
    weight_count: int | None = None,
) -> None:
    """Keep the states (K, T, S) and metrics (K, T) of runs (K,), except those that are there."""
    for run, *content in zip(runs.tolist(), states, *metrics.values(), strict=True):
        path = run_path(folder, run)
        if not path.exists():
            values = dict(zip(metrics, content[1:], strict=True))
            write_run(path, content[0], values, storage, weight_count)


def read_runs(
    folder: Path, count: int, epoch: NDArray[np.float64]
) -> tuple[LazyStates, NDArray[np.float64], dict[str, NDArray[np.float64]], NDArray[np.str_]]:
    """Read what a folder holds of its runs, one snapshot at a time.

    Returns:
        The states, left on disk; the epochs (T,); metrics, each (R, T), NaN where a run is
        missing; and the status of each run (R,).

    Raises:
        ValueError: If no run is there, or a file is damaged.
    """
    paths = [run_path(folder, run) for run in range(count)]
    found = {run: _scan(path) for run, path in enumerate(paths) if path.exists()}
    if not found:
        raise ValueError(f"{folder} must hold finished runs, but none is finished yet")
    first = next(iter(found.values()))
    metrics = {name: np.full((count, len(epoch)), np.nan) for name in sorted(first.metrics)}
    marks = np.full(count, "missing", dtype="<U8")
    for run, content in found.items():
        for name, table in metrics.items():
            table[run] = content.metrics[name]
        marks[run] = _mark(content)
    files = tuple(path if run in found else None for run, path in enumerate(paths))
    remarks = _remarks([content for content in found.values() if content.error is not None])
    states = LazyStates(files, np.arange(first.shape[0]), first.shape[1], first.dtype, remarks)
    return states, epoch, metrics, marks


class _Run(NamedTuple):
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    finite: bool
    metrics: dict[str, NDArray[np.float64]]
    whole: bool
    error: float | None  # None where exact storage was asked for


def _remarks(halved: list[_Run]) -> dict[str, float]:
    """Say how far runs are off that were to be kept in half, and how many are whole after all.

    Returns:
        Remarks by name; none without such runs.
    """
    if not halved:
        return {}
    error, whole = max(run.error or 0.0 for run in halved), sum(run.whole for run in halved)
    return {"storage_error": error, "storage_exact": whole}


def _scan(path: Path) -> _Run:
    with _opened(path) as file:
        names = file.keys()
        metrics = {
            name.removeprefix("metrics."): file.get_tensor(name)
            for name in names
            if name.startswith("metrics.")
        }
        error = _facts(file).get("storage_error")
        if "steps" in names:  # of finite states only
            ends, (times, others) = file.get_slice("ends"), file.get_slice("rest").get_shape()
            width = ends.get_shape()[1] + others
            return _Run((times, width), ends[:1].dtype, True, metrics, False, error)
        states = file.get_slice("states")
        times, width = states.get_shape()
        finite = [bool(np.isfinite(states[time : time + 1]).all()) for time in range(times)]
        return _Run((times, width), states[:1].dtype, all(finite), metrics, True, error)


def _mark(run: _Run) -> str:
    measured = all(np.isfinite(values).all() for values in _losses(run.metrics))
    return "ok" if run.finite and measured else "diverged"


def _losses(metrics: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    return [values for name, values in metrics.items() if name.split("_")[1:2] == ["loss"]]


def status(states: NDArray[Any], metrics: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
    """Tell runs whose states and losses stayed finite from runs that diverged.

    Returns:
        `"ok"` or `"diverged"` for each run (R,).
    """
    finite = np.isfinite(states).all((1, 2))
    for values in _losses(metrics):
        finite &= np.isfinite(values).all(1)
    return np.where(finite, "ok", "diverged").astype("<U8")
