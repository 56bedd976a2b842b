"""Move many points of the landscape downhill, recording where they pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.contents.estimates import with_vectors
from jumpretrain.engine.batches import check_batches, draws, epoch_batches, seed_of_step
from jumpretrain.engine.checkpoints import Ends, check_goals
from jumpretrain.engine.chunking import Chunk, bytes_of, check_held, plan_chunks, tidy, unfinished
from jumpretrain.engine.evaluate import measure_both
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.replicas import REPLICAS, check_memory, descend, hold_to_planes, optimise
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Seed
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.execution.randomness import seeded
from jumpretrain.execution.settings import standard_settings
from jumpretrain.execution.threads import versions
from jumpretrain.states.planes import Plane, check_planes
from jumpretrain.storage import folders, manifests
from jumpretrain.storage.lazy_states import LazyStates
from jumpretrain.tasks.probing import reason
from jumpretrain.tasks.sources import StatesLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["Planned", "Runs", "bytes_of", "plan_training", "train"]

DEFAULTS = {"storage": "exact", "planes": None}
"""Entries of a design that stand there only where they differ."""


@dataclass(frozen=True)
class Runs:
    """K trained networks with what was recorded on the way.

    Attributes:
        states: The recorded states (K, T, S), read lazily where a folder holds them.
        epoch: When each snapshot was taken, in epochs (T,).
        metrics: Values by name, each (K, T).
        status: `"ok"` or `"diverged"` for each run (K,).
        seeds: The seed of each run (K,).
        provenance: Everything needed to train them again.
    """

    states: NDArray[Any] | LazyStates
    epoch: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]
    status: NDArray[np.str_]
    seeds: NDArray[np.int64]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def initial(self) -> NDArray[Any]:
        """The states at the start (K, S)."""
        return self.states[:, 0]

    @property
    def final(self) -> NDArray[Any]:
        """The states at the end (K, S)."""
        return self.states[:, len(self.epoch) - 1]


@checked
@standard_settings()
def train(
    task: Task,
    recipe: Recipe,
    seeds: Sequence[Seed] | NDArray[Any],
    states: StatesLike | None = None,
    folder: str | Path | None = None,
    execution: Execution | None = None,
    label: str = "training",
    planes: Plane | Sequence[Plane] | None = None,
) -> Runs:
    """Train many networks at once, recording states and metrics.

    Args:
        task: Network, data, loss and metrics.
        recipe: How training goes.
        seeds: One seed a run (K,): of the order of the data and, without states, of the fresh
            weights.
        states: Where to start (K, S); fresh weights where left out.
        folder: Where each finished run is kept. The same call goes on where it was stopped and
            ends with the same bits.
        execution: Where and how it is run.
        label: What the progress bar says.
        planes: The plane through its start to which each run is held, or one for all; after each
            step of the optimiser the weights are put back.

    Returns:
        The runs, in the order of the seeds.

    Raises:
        ValueError: If seeds and states do not fit the task, or the folder holds other runs.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10), jr.data.digits())
        >>> fit = jr.train(task, jr.Recipe(epochs=1, lr=0.05), seeds=[0])
        >>> bool(fit.metrics["train_loss"][0, -1] < fit.metrics["train_loss"][0, 0])
        True
    """
    planned = plan_training(task, recipe, seeds, states, execution, planes)
    if folder is None:
        return planned.run(label)
    place = folders.located(folder)
    with folders.lock(place):
        return planned.keep(place, label)


@dataclass(frozen=True)
class Planned:
    """Training that was checked, and that nothing was done for yet.

    Attributes:
        chunks: What is trained together.
        design: What a folder of the runs depends on.
        seeds: The seed of each run (K,).
        epoch: When snapshots are taken, in epochs (T,).
        execution: Where and how it is run.
    """

    chunks: list[Chunk]
    design: dict[str, Any]
    seeds: NDArray[np.int64]
    epoch: NDArray[np.float64]
    execution: Execution

    def run(self, label: str) -> Runs:
        """Train, and keep all in memory.

        Returns:
            The runs.
        """
        check_held(self.chunks[0].task, len(self.seeds), len(self.epoch))
        results = spread(_train_chunk, [(chunk,) for chunk in self.chunks], self.execution, label)
        states = np.concatenate([result[0] for result in results])
        metrics = {n: np.concatenate([r[1][n] for r in results]) for n in results[0][1]}
        marks = folders.status(states, metrics)
        return Runs(states, self.epoch, metrics, marks, self.seeds, folders.plain(self.design))

    def claim(self, folder: Path) -> manifests.Owner:
        """Claim a folder for the runs, which has to be held.

        Returns:
            Whose its files are.

        Raises:
            ValueError: If it holds other runs, or its disk is too small.
        """
        left = sum(len(chunk.runs) for (chunk,) in unfinished(self._in(folder)))
        first, path = self.chunks[0], folder / "manifest.json"
        folders.check_space(folder, bytes_of(first.task, first.recipe, left, first.storage))
        storage = {} if first.storage == "exact" else {"storage": first.storage}
        manifests.claim(path, self.design | storage, DEFAULTS)
        return manifests.owner_of(path)

    def keep(self, folder: Path, label: str) -> Runs:
        """Claim a folder, train what it lacks, and keep it there.

        Returns:
            The runs.

        Raises:
            ValueError: If the folder holds other runs or damaged ones, or does not stay.
        """
        owner, path = self.claim(folder), folder / "manifest.json"
        chunks = self._in(folder, owner)
        tidy(chunks, owner)
        spread(_keep_chunk, unfinished(chunks), self.execution, label)
        manifests.confirm(path, owner)
        kept = folders.read_runs(folder, len(self.seeds), self.epoch, owner)
        if "missing" in kept[3]:
            raise ValueError(
                f"runs must stay while others are made, but {folder} lost some; repeat the call"
            )
        return Runs(*kept, self.seeds, manifests.read(path) | kept[0].remarks)

    def _in(self, folder: Path, owner: manifests.Owner | None = None) -> list[Chunk]:
        return [replace(chunk, folder=folder, owner=owner) for chunk in self.chunks]


def plan_training(
    task: Task,
    recipe: Recipe,
    seeds: Sequence[int] | NDArray[Any],
    states: StatesLike | None = None,
    execution: Execution | None = None,
    planes: Plane | Sequence[Plane] | None = None,
    derived: bool = False,
) -> Planned:
    """Check all that `train` is called with, and divide the runs into what is trained together.

    States are `derived` where they follow from what else a folder names, as jumps do.

    Returns:
        What is left to do.
    """
    execution = execution or Execution()
    check_held(task, len(seeds) if isinstance(seeds, Sequence) else np.size(seeds))
    keys = _check_seeds(seeds)
    start = _starts(task, keys, states)
    held = check_planes(planes, len(keys), task.weight_count, task.layout.numpy_dtype)
    batches = recipe.batches(len(task.data.train_x))
    check_goals(task, recipe)
    check_batches(task, recipe)
    mode, why, parts = plan_chunks(task, recipe, start, len(keys), execution)
    drawn = draws(task, recipe) or frozenset({"torch"} if mode == "looped" else ())  # later only
    design = {
        "task": task.fingerprint,
        "recipe": recipe,
        "seeds": keys.tolist(),
        "start": digest(start),
        "execution": {"mode": mode, "reason": why, "chunk": execution.chunk},
        "versions": versions(),
    }
    if derived or states is None:
        design["start_sketch"] = manifests.sketch(start)
    if held is not None:
        design["planes"] = [f"{digest(p.directions)} normal={p.normal}" for p in held]
    chunks = [
        Chunk(
            mode,
            task,
            recipe,
            part,
            keys[part],
            start[part],
            held and [held[k] for k in part],
            drawn,
            execution.checkpoint,
            execution.storage,
        )
        for part in parts
    ]
    return Planned(chunks, design, keys, recipe.record_steps(batches) / batches, execution)


def _starts(task: Task, keys: NDArray[np.int64], states: StatesLike | None) -> NDArray[Any]:
    begin = np.stack([task.initial(int(key)) for key in keys]) if states is None else states
    start = task.check_states(begin)
    if len(start) != len(keys):
        raise ValueError(f"each state needs one seed, but there are {len(start)} and {len(keys)}")
    return with_vectors(task.module(), task.layout, start)


def _check_seeds(seeds: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
    keys = np.asarray(seeds)
    whole = keys.ndim == 1 and len(keys) and keys.dtype.kind in "iu"
    if not whole or keys.min() < 0 or keys.max() >= 2**63:
        said = " ".join(repr(seeds).split())[:80]
        raise ValueError(f"seeds must be a list of whole numbers in 0..2^63 - 1, but are {said}")
    return keys.astype(np.int64)


def _keep_chunk(chunk: Chunk) -> None:
    assert chunk.folder is not None and chunk.owner is not None and chunk.checkpoint is not None
    made, count = _train_chunk(chunk), chunk.task.weight_count
    manifests.confirm(chunk.folder / "manifest.json", chunk.owner)
    folders.write_runs(chunk.folder, chunk.runs, *made, chunk.owner, chunk.storage, count)
    chunk.checkpoint.drop()


def _train_chunk(chunk: Chunk) -> tuple[NDArray[Any], dict[str, NDArray[np.float64]]]:
    states, ends = _record(chunk)
    values = measure_both(chunk.task, states.reshape(-1, states.shape[-1]))
    tables = {name: value.reshape(states.shape[:2]) for name, value in values.items()}
    return states, tables | ends.table()


def _record(chunk: Chunk) -> tuple[NDArray[Any], Ends]:
    """Train the runs of a chunk and collect their snapshots.

    Returns:
        States (K, T, S), and when training ended.
    """
    task, recipe, checkpoint = chunk.task, chunk.recipe, chunk.checkpoint
    replicas = REPLICAS[chunk.mode](task, chunk.start)
    batches = recipe.batches(len(task.data.train_x))
    wanted = set(recipe.record_steps(batches).tolist())
    optimiser = optimise(replicas, recipe)
    done, kept, ends = 0, [replicas.read().cpu()], Ends(task, recipe, replicas.read())
    if checkpoint:
        done, kept = checkpoint.resume(replicas, optimiser, ends)
    for epoch in ends.epochs_left(done):
        optimiser.param_groups[0]["lr"] = recipe.rate(epoch)
        examples = epoch_batches(task, recipe, chunk.seeds, epoch)
        for step, (x, y) in enumerate(examples, epoch * batches):
            with _drawing(chunk, step), _explained(chunk.mode):
                descend(replicas, optimiser, recipe, x, y)
            if chunk.planes:
                hold_to_planes(replicas, chunk.planes)
            if step + 1 in wanted:
                kept.append(ends.over(replicas.read()).cpu())
        ends.look(replicas.read(), epoch + 1)
        if ends.all or epoch + 1 == recipe.epochs:  # before that is kept
            check_memory(replicas)
        if checkpoint:
            checkpoint.keep(replicas, optimiser, kept, ends, epoch + 1)
    kept += [ends.states.cpu()] * (len(wanted) - len(kept))  # all have ended
    return torch.stack(kept, dim=1).numpy(), ends


def _drawing(chunk: Chunk, step: int) -> AbstractContextManager[None]:
    if not chunk.drawn:
        return nullcontext()
    return seeded(seed_of_step(int(chunk.seeds[0]), step), chunk.drawn)


@contextmanager
def _explained(mode: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if mode == "looped":
            raise
        raise ValueError(
            f"{mode} training needs steps that vmap accepts, but one failed: {reason(error)}; "
            "pass Execution(mode='looped'), and another folder if this one has runs"
        ) from error
