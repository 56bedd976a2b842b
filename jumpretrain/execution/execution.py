"""Where and how work is run: in chunks, in worker processes, and again where one dies."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import current_process
from typing import Any, Literal, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.threads import keep_memory, one_thread
from jumpretrain.storage.compression import Storage

__all__ = ["Execution", "chunks", "persist", "spread"]

Result = TypeVar("Result")
LOSSES = 3  # of workers, in a row without a finished job: then it is the job that kills them


@checked
@dataclass(frozen=True)
class Execution:
    """Where and how work is run and kept; never what is computed or, but for `storage`, read.

    Attributes:
        n_jobs: Worker processes; -1 takes one for each core. On a GPU they share it, each with a
            context of its own in its memory: take 1 or 2 there.
        mode: `"stacked"` trains the runs of a chunk together, `"looped"` one after the other,
            `"auto"` chooses one of them by a fixed rule from the network and the number of runs.
            `"compiled"` is stacked with its steps compiled, incomplete last batches excepted. It
            is never chosen by itself: steps of MLPs become 1.1 to 2.4 times as fast, most where
            both width and chunk are small, but the first chunk of a shape pays for itself after
            3,000 to 9,000 steps, later ones in the same process after 250 to 550.
        chunk: Most runs that are trained together; the unit of resumption.
        checkpoint: Epochs after which unfinished runs are written into the folder, so that a run
            of hours goes on from there; 0 writes finished ones only.
        progress: Whether bars are shown.
        storage: How a folder keeps states: `"exact"`, or `"half"`, as steps of sixteen bits a
            weight. Weights between the first and the last snapshot then read off by at most 1e-4
            of the step that led there (the provenance has the largest as `storage_error`, and as
            `storage_exact` how many runs had to be kept whole); the ends, so `Runs.final`, and all
            metrics are exact.

    Raises:
        ValueError: If a value is out of its range.
    """

    n_jobs: int = 1
    mode: Literal["auto", "stacked", "looped", "compiled"] = "auto"
    chunk: int = 16
    checkpoint: int = 0
    progress: bool = True
    storage: Storage = "exact"

    def __post_init__(self) -> None:
        if self.n_jobs == 0 or self.n_jobs < -1:
            raise ValueError(f"n_jobs must be -1 or at least 1, but is {self.n_jobs}")
        if self.chunk < 1:
            raise ValueError(f"chunk must be at least 1, but is {self.chunk}")
        if self.checkpoint < 0:
            raise ValueError(f"checkpoint must be at least 0, but is {self.checkpoint}")


def chunks(count: int, largest: int) -> list[NDArray[np.int64]]:
    """Divide runs into equal chunks, by number alone; eight runs or more make an even number.

    Returns:
        The indices of each chunk, in order.

    Example:
        >>> [len(chunk) for chunk in chunks(20, 16)]
        [10, 10]
    """
    pieces = -(-count // largest)
    if count >= 8:
        pieces = min(pieces + pieces % 2, count)
    return np.array_split(np.arange(count), pieces)


def spread(
    function: Callable[..., Result],
    jobs: Sequence[Sequence[Any]],
    execution: Execution,
    label: str = "",
) -> list[Result]:
    """Call a function once for each job, in worker processes where asked for.

    joblib carries the calls, so `joblib.parallel_config` can send them to a cluster.

    Args:
        function: What to call.
        jobs: Arguments of each call.
        execution: Number of processes, and whether a bar is shown.
        label: What the bar says; without a label there is none.

    Returns:
        The results, in the order of the jobs.
    """
    if len(jobs) == 1 and not label:
        return [_on_one_thread(function, *jobs[0])]
    calls = (joblib.delayed(_on_one_thread)(function, *job) for job in jobs)
    workers = execution.n_jobs if len(jobs) > 1 else 1
    results = joblib.Parallel(n_jobs=workers, return_as="generator")(calls)
    hidden = not (execution.progress and label and jobs)
    return list(tqdm(results, desc=label, total=len(jobs), disable=hidden, leave=bool(label)))


def persist(
    function: Callable[..., object],
    pending: Callable[[], Sequence[Sequence[Any]]],
    execution: Execution,
    label: str = "",
) -> None:
    """Call a function until no job is left, though workers die on the way.

    Args:
        function: What to call; it keeps its results itself.
        pending: Says which jobs are left, as arguments of each call.
        execution: Number of processes, and whether a bar is shown.
        label: What the bar says.

    Raises:
        CancelledError: If workers of a cluster die three times and no job is finished between.
        BrokenExecutor: If worker processes die so.
    """
    jobs, losses = pending(), 0
    while jobs:
        try:
            spread(function, jobs, execution, label)
            return
        except (CancelledError, BrokenExecutor):
            left = pending()
            losses = losses + 1 if len(left) == len(jobs) else 0
            if losses == LOSSES:
                raise
            jobs = left


def _on_one_thread(function: Callable[..., Result], *job: Any) -> Result:
    if current_process().name.startswith("LokyProcess"):  # not a cluster's or a user's own
        _end_with_parent()
        keep_memory()
    with one_thread():
        return function(*job)


@lru_cache(maxsize=1)
def _end_with_parent() -> None:
    """Watch, in a worker, whether who started it lives: killed, it cannot tell its workers."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
