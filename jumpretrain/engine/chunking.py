"""Which runs are trained together, and how: a fixed rule, since bits depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.engine.checkpoints import Checkpoint
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.replicas import stacking_refusal
from jumpretrain.execution.execution import Execution, chunks
from jumpretrain.execution.settings import standard_settings
from jumpretrain.states.planes import Plane
from jumpretrain.storage import folders
from jumpretrain.tasks.task import Task

__all__ = ["Chunk", "plan_chunks"]

STACKED_WEIGHTS = 300_000


@dataclass(frozen=True)
class Chunk:
    """Runs that are trained together, and where they are kept.

    Attributes:
        mode: How: `"looped"`, `"stacked"` or `"compiled"`.
        task: Network, data, loss and metrics.
        recipe: How training goes.
        runs: Numbers of the runs among all of the call (K,).
        seeds: Their seeds (K,).
        start: Where they start (K, S).
        planes: The plane to which each is held; None where they are free.
        folder: Where finished runs are kept; None keeps them in memory.
        every: Epochs between two checkpoints; 0 writes none.
        storage: How the folder keeps states.
    """

    mode: str
    task: Task
    recipe: Recipe
    runs: NDArray[np.int64]
    seeds: NDArray[np.int64]
    start: NDArray[Any]
    planes: list[Plane] | None
    folder: Path | None
    every: int
    storage: folders.Storage

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where unfinished training is kept."""
        if self.folder is None:
            return None
        return Checkpoint(self.folder / "checkpoints" / f"{self.runs[0]:05d}", self.every)

    @property
    def kept(self) -> bool:
        """Whether the folder has all runs already."""
        assert self.folder is not None
        return all(folders.run_path(self.folder, run).exists() for run in self.runs)


def plan_chunks(
    task: Task, states: NDArray[Any], count: int, execution: Execution
) -> tuple[str, str, list[NDArray[np.int64]]]:
    """Divide runs into what is trained together: chunks where stacked, else single runs.

    Args:
        task: Network, data and loss.
        states: Where some of the runs start, two or more unless there is one.
        count: Number of runs.
        execution: What is asked for.

    Returns:
        The mode, why it was chosen, and the runs of each part.

    Raises:
        ValueError: If a mode is asked for by name that the network or the machine does not allow.
    """
    mode, reason = _mode(task, states, count, execution)
    return mode, reason, chunks(count, 1 if mode == "looped" else execution.chunk)


def _mode(task: Task, states: NDArray[Any], count: int, execution: Execution) -> tuple[str, str]:
    if count == 1 or execution.chunk == 1:
        return "looped", "one run at a time"
    if task.random:
        return "looped", "the forward is random in training"
    if execution.mode == "looped":
        return "looped", "asked for"
    # A GPU waits for the next kernel more than it computes, so that small convolutions stack there
    # too: reasoned, not measured.
    convolutional = task.convolutional and torch.device(task.device).type == "cpu"
    if execution.mode == "auto" and (convolutional or task.weight_count > STACKED_WEIGHTS):
        return "looped", "convolutions or many weights"
    compiled = execution.mode == "compiled"
    with standard_settings():
        refusal = stacking_refusal(task, states, compiled)
    if not refusal:
        small = "small and without convolutions"
        return (execution.mode, "asked for") if execution.mode != "auto" else ("stacked", small)
    if execution.mode == "auto":
        return "looped", refusal
    needs = "vmap accepts" + (" and a compiler, such as g++" if compiled else "")
    raise ValueError(
        f"{execution.mode} training needs a model that {needs}, but: {refusal}; use mode='auto'"
    )
