"""Train and measure the networks of a cell of a design, or read what was kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evidence.figure import Flags
from numpy.typing import ArrayLike

import jumpretrain as jr
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
