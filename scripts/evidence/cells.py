"""Train and measure the networks of a figure, over processes, or read what was kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from evidence.figure import Flags
from numpy.typing import ArrayLike

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.storage import folders

Result = TypeVar("Result")
CHUNK = 5
QUIET = jr.Execution(progress=False)


def trained(
    asked: Flags,
    name: str,
    task: jr.Task,
    recipe: jr.Recipe,
    seeds: Sequence[int],
    states: ArrayLike | None = None,
    jobs: int | None = None,
) -> jr.Runs:
    """Train networks and keep them under the figure's folder of samples.

    Networks without convolutions are trained five together, whatever the machine. Pass 1 for
    `jobs` inside a worker.
    """
    chunk = 1 if task.convolutional else CHUNK
    execution = jr.Execution(
        n_jobs=asked.jobs if jobs is None else jobs, chunk=chunk, progress=jobs is None
    )
    return jr.train(task, recipe, seeds, states, asked.work / name, execution, label=name)


def kept(path: Path, of: object, measure: Callable[[], Any]) -> Any:
    """Measure, or read what a JSON file kept of the same, told apart by how `of` prints."""
    if not path.exists() or folders.read_json(path)["of"] != repr(of):
        folders.write_json(path, {"of": repr(of), "found": measure()})
    return folders.read_json(path)["found"]


def spread_kept(
    asked: Flags, measure: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], label: str
) -> list[Any]:
    """Measure job by job, in worker processes, or read what was kept of the same.

    A job has the name of its JSON file, what is measured (see `kept`), and what `measure` takes
    after the flags. The small form takes one process.
    """
    work = [
        (asked.work / f"{name}.json", of, partial(measure, asked, *given))
        for name, of, *given in jobs
    ]
    return spread(kept, work, jr.Execution(n_jobs=1 if asked.quick else asked.jobs), label)


def over(
    asked: Flags, function: Callable[..., Result], jobs: Sequence[Sequence[Any]], label: str
) -> list[Result]:
    """Call a function once for each job, in the script's worker processes."""
    return spread(function, jobs, jr.Execution(n_jobs=asked.jobs), label)


def recipe(epochs: int, lr: float, batch: int, **more: Any) -> jr.Recipe:
    """Describe training of which the two ends alone are recorded, unless told otherwise."""
    record = {"record_every": 0, "record_early": False} | more
    return jr.Recipe(epochs, lr, batch_size=batch, **record)


def shared(asked: Flags) -> Flags:
    """Point the script's samples to a folder that all figures of the paper share."""
    paper = asked.name.partition("_")[0]
    return replace(asked, work=asked.work.parent / (f"{paper}-quick" if asked.quick else paper))
