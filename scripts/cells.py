"""Train the networks of one cell of a design, or read what was kept."""

from __future__ import annotations

from collections.abc import Sequence

from figure import Flags
from numpy.typing import ArrayLike

import jumpretrain as jr

CHUNK = 5


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
