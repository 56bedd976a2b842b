"""Where and how work is run: in chunks, in worker processes, and again where one dies."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import current_process
from multiprocessing.connection import wait
from typing import Annotated, Any, Literal, TypeVar

import joblib
import numpy as np
from joblib.externals.loky import reusable_executor
from numpy.typing import NDArray
from tqdm.auto import tqdm

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Whole, Within
from jumpretrain.execution.settings import standard_settings
from jumpretrain.execution.threads import keep_memory
from jumpretrain.storage import files
from jumpretrain.storage.compression import Storage

__all__ = ["Execution", "chunks", "spread"]

Result = TypeVar("Result")
PATIENCE = 5  # seconds
LOSSES = 3  # of workers, in a row without a finished job: then it is the job that kills them
DYING = (
    f"workers must live until their jobs are done, but died {LOSSES} times without a job being "
    "finished (killed, or out of memory); take fewer of them (n_jobs) or smaller chunks, and "
    "repeat the call: it goes on"
)

BACKEND = (
    "a backend of joblib must give results as they come, but the one that was chosen does not "
    "(such as multiprocessing); choose loky, threading or dask"
)


@checked
@dataclass(frozen=True)
class Execution:
    """Where and how work is run and kept; never what is computed, up to rounding.

    Equal to the bit, on one machine: any `n_jobs`, worker processes or threads, a cluster,
    `checkpoint`, going on after a stop, a folder or memory, and `progress`. So is whatever is set
    around a call: threads, autocast, gradients, precision, default type and device, random states.
    Equal up to rounding, which training amplifies: another `mode` or `chunk`, device, processor,
    or version of torch. The provenance of runs records these. `storage="half"` rounds what is read
    of snapshots.

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

    n_jobs: Annotated[int, Within(-1, 4096)] = 1
    mode: Literal["auto", "stacked", "looped", "compiled"] = "auto"
    chunk: Count = 16
    checkpoint: Whole = 0
    progress: bool = True
    storage: Storage = "exact"

    def __post_init__(self) -> None:
        if self.n_jobs == 0:
            raise ValueError("n_jobs must be -1 or at least 1, but is 0")


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

    joblib carries the calls, so `joblib.parallel_config` can send them to a cluster. Where a
    worker dies, what it had begun is begun again; results of finished jobs are kept.

    Args:
        function: What to call.
        jobs: Arguments of each call.
        execution: Number of processes, and whether a bar is shown.
        label: What the bar says; without a label there is none.

    Returns:
        The results, in the order of the jobs.

    Raises:
        BrokenExecutor: If workers die three times and no job is finished between.
        ValueError: If joblib's backend gives results at the end only.
    """
    if len(jobs) == 1 and not label:
        return [_on_one_thread(function, *jobs[0])]
    found: dict[int, Result] = {}
    hidden, losses = not (execution.progress and label and jobs), 0
    with (
        _ending_stragglers(),
        tqdm(desc=label, total=len(jobs), disable=hidden, leave=bool(label)) as bar,
    ):
        while len(found) < len(jobs):
            before = len(found)
            left = [(key, function, *job) for key, job in enumerate(jobs) if key not in found]
            try:
                for key, result in _results(left, execution, len(jobs)):
                    found[key] = result
                    bar.update()
            except (CancelledError, BrokenExecutor) as error:
                losses = losses + 1 if len(found) == before else 0
                if losses == LOSSES:
                    raise BrokenExecutor(DYING) from error
    return [found[key] for key in range(len(jobs))]


def _results(left: Sequence[Sequence[Any]], execution: Execution, among: int) -> Iterator[Any]:
    calls = (joblib.delayed(_numbered)(*job) for job in left)
    workers = min(joblib.effective_n_jobs(execution.n_jobs), among)
    try:
        parallel = joblib.Parallel(workers, return_as="generator_unordered")
    except ValueError as error:
        raise ValueError(BACKEND) from error
    with _interrupts_held():
        results = parallel(calls)
    return results  # type: ignore[no-any-return]


@contextmanager
def _ending_stragglers() -> Iterator[None]:
    """Kill the workers that outlive another one for long, and close the pipe of results.

    One that is killed while it sends a result leaves half of it there. Who reads waits for the
    rest as long as the pipe is open, and learns of no death; else it ends the others itself.
    """
    over = threading.Event()

    def watch() -> None:
        seconds = 0
        while not over.wait(1):
            with suppress(OSError, RuntimeError, ValueError):  # workers come and go meanwhile
                pool = reusable_executor._executor
                workers = list(getattr(pool, "_processes", {}).values())
                dead = wait([worker.sentinel for worker in workers], timeout=0)
                seconds = seconds + 1 if dead else 0
                if seconds == PATIENCE:
                    pool._result_queue._writer.close()
                    for worker in workers:
                        os.kill(worker.pid, signal.SIGKILL)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start workers that do not hear Ctrl-C, which is for who started them: they end with it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _numbered(key: int, function: Callable[..., Result], *job: Any) -> tuple[int, Result]:
    return key, _on_one_thread(function, *job)


def _on_one_thread(function: Callable[..., Result], *job: Any) -> Result:
    if not current_process().name.startswith("LokyProcess"):  # but a cluster's or a user's own
        with standard_settings():
            return function(*job)
    _be_worker()
    try:
        with standard_settings():
            return function(*job)
    except Exception as error:
        if _travels(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _travels(error: Exception) -> bool:
    """Say whether an error comes out of a worker as it is; else the worker seems to have died.

    Returns:
        Whether it does.
    """
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


@lru_cache(maxsize=1)
def _be_worker() -> None:
    """Leave nothing behind when killed, and end with who started it: killed, it tells nobody."""
    keep_memory()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system

    def watch() -> None:
        while not files.is_orphaned():
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
