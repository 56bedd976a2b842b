"""Train and measure the networks of a cell of a design, or read what was kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evidence.figure import Flags
from numpy.typing import ArrayLike

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.storage import folders

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
    """Train networks and keep them under the script's folder of samples.

    Args:
        asked: The script's flags.
        name: The cell's, of letters that a folder may have.
        task: Network, data, loss and metrics.
        recipe: How training goes.
        seeds: One a network.
        states: Where to start; fresh weights where left out.
        jobs: Worker processes; the script's where left out. Pass 1 inside a worker.

    Returns:
        The runs. Networks without convolutions are trained five together, whatever the machine.
    """
    chunk = 1 if task.convolutional else CHUNK
    execution = jr.Execution(
        n_jobs=asked.jobs if jobs is None else jobs, chunk=chunk, progress=jobs is None
    )
    return jr.train(task, recipe, seeds, states, asked.work / name, execution, label=name)


def kept(path: Path, of: object, measure: Callable[[], Any]) -> Any:
    """Measure, or read what was kept of the same.

    Args:
        path: The JSON file.
        of: What is measured, told apart by how it prints.
        measure: Called where nothing is kept.

    Returns:
        The measurement, as JSON gives it back.
    """
    if not path.exists() or folders.read_json(path)["of"] != repr(of):
        folders.write_json(path, {"of": repr(of), "found": measure()})
    return folders.read_json(path)["found"]


def each(
    function: Callable[..., Any], jobs: Sequence[Sequence[Any]], asked: Flags, label: str
) -> list[Any]:
    """Call a function once for each job, in worker processes, with a progress bar."""
    return spread(function, jobs, jr.Execution(n_jobs=asked.jobs), label)
