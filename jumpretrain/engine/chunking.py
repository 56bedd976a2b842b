"""Which runs are trained together, and how: a fixed rule, since bits depend on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.contents.estimates import estimated
from jumpretrain.engine.batches import batch_sizes, draws
from jumpretrain.engine.checkpoints import Checkpoint
from jumpretrain.engine.evaluate import metric_names
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.replicas import stacking_refusal
from jumpretrain.execution.execution import Execution, chunks
from jumpretrain.execution.memory import check_memory
from jumpretrain.execution.settings import standard_settings
from jumpretrain.states.planes import Plane
from jumpretrain.storage import files, folders
from jumpretrain.storage.manifests import Owner
from jumpretrain.tasks.task import Task

__all__ = ["Chunk", "bytes_of", "check_held", "plan_chunks", "tidy", "unfinished"]

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
        drawn: Names of the generators that each step seeds.
        every: Epochs between two checkpoints; 0 writes none.
        storage: How a folder keeps states.
        folder: Where finished runs are kept; None keeps them in memory.
        owner: Whose they are there.
    """

    mode: str
    task: Task
    recipe: Recipe
    runs: NDArray[np.int64]
    seeds: NDArray[np.int64]
    start: NDArray[Any]
    planes: list[Plane] | None
    drawn: frozenset[str]
    every: int
    storage: folders.Storage
    folder: Path | None = None
    owner: Owner | None = None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where unfinished training is kept."""
        if self.folder is None or self.owner is None:
            return None
        return Checkpoint(self.folder, int(self.runs[0]), self.every, self.owner)

    @property
    def paths(self) -> list[Path]:
        """Where the folder has its runs, or will have them."""
        assert self.folder is not None
        return [folders.run_path(self.folder, run) for run in self.runs]

    @property
    def kept(self) -> bool:
        """Whether the folder has all runs already."""
        return all(files.exists(path) for path in self.paths)


def unfinished(chunks: Sequence[Chunk]) -> list[tuple[Chunk]]:
    """List chunks of which a folder lacks runs.

    Returns:
        Each as the arguments of a call.
    """
    return [(chunk,) for chunk in chunks if not chunk.kept]


def tidy(chunks: Sequence[Chunk], owner: Owner) -> None:
    """Check what a folder has before the rest is trained, and drop checkpoints of what it has.

    Args:
        chunks: What is trained together.
        owner: Whose the folder is.
    """
    for chunk in chunks:
        if chunk.kept and chunk.checkpoint is not None:
            chunk.checkpoint.drop()
    if not unfinished(chunks):
        return  # all is checked when it is read
    for chunk in chunks:
        for run, path in zip(chunk.runs.tolist(), chunk.paths, strict=True):
            if files.exists(path):
                folders.scan(path, owner, run)


def bytes_of(task: Task, recipe: Recipe, runs: int, storage: folders.Storage = "exact") -> int:
    """Say how large what a folder keeps of runs will be.

    Returns:
        Bytes of states and metrics.
    """
    times = len(recipe.record_steps(recipe.batches(len(task.data.train_x))))
    names = len(metric_names(task)) * (2 if estimated(task.module()) else 1)
    states = folders.size(
        times, task.layout.width, task.weight_count, task.layout.numpy_dtype, storage
    )
    return runs * (states + 8 * times * names)


def check_held(task: Task, runs: int, times: int = 1) -> None:
    """Check that the states of runs fit the memory of this machine.

    Args:
        task: Whose states they are.
        runs: How many runs.
        times: How many states of each are held at once.

    Raises:
        ValueError: If they do not.
    """
    wanted = runs * times * task.layout.width * task.layout.numpy_dtype.itemsize
    less = ", keep them in a folder, or record less (record_every)" if times > 1 else ""
    check_memory(wanted, f"{runs * times:,} states of this task", f"take fewer at a time{less}")


def plan_chunks(
    task: Task, recipe: Recipe, states: NDArray[Any], count: int, execution: Execution
) -> tuple[str, str, list[NDArray[np.int64]]]:
    """Divide runs into what is trained together: chunks where stacked, else single runs.

    Args:
        task: Network, data and loss.
        recipe: How training goes.
        states: Where some of the runs start, two or more unless there is one.
        count: Number of runs.
        execution: What is asked for.

    Returns:
        The mode, why it was chosen, and the runs of each part.

    Raises:
        ValueError: If a mode is asked for by name that the network or the machine does not allow.
    """
    mode, reason = _mode(task, recipe, states, count, execution)
    return mode, reason, chunks(count, 1 if mode == "looped" else execution.chunk)


def _mode(
    task: Task, recipe: Recipe, states: NDArray[Any], count: int, execution: Execution
) -> tuple[str, str]:
    if count == 1 or execution.chunk == 1:
        return "looped", "one run at a time"
    if draws(task, recipe):
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
        refusal = stacking_refusal(task, states, batch_sizes(task, recipe), compiled)
    if not refusal:
        small = "small and without convolutions"
        return (execution.mode, "asked for") if execution.mode != "auto" else ("stacked", small)
    if execution.mode == "auto":
        return "looped", refusal
    needs = "vmap accepts" + (" and a compiler, such as g++" if compiled else "")
    raise ValueError(
        f"{execution.mode} training needs a model that {needs}, but: {refusal}; use mode='auto'"
    )
