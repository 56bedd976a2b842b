"""What work will cost, before anything is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import joblib
import numpy as np

from jumpretrain.engine.checkpoints import check_goals
from jumpretrain.engine.chunking import check_held, plan_chunks
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.timing import score_seconds, step_seconds
from jumpretrain.engine.train import bytes_of
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.studies.builders import check_task, task_builder
from jumpretrain.studies.design import Study
from jumpretrain.tasks.task import Task

__all__ = ["Cost", "estimate", "estimate_study"]


@dataclass(frozen=True)
class Cost:
    """What work takes.

    Attributes:
        runs: Networks that are trained, or jumps that are retrained.
        steps: Of optimisers, over all runs.
        snapshots: Recorded states, over all runs; each is scored.
        bytes: Size of the states and metrics on disk.
        memory: Bytes of states, gradients and optimisers that one process holds at most, without
            data, activations and the program itself.
        seconds: Wall time, from a few steps and scores that were timed here.
    """

    runs: int
    steps: int
    snapshots: int
    bytes: int
    memory: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.runs:,} runs: {self.steps:,} steps, {self.snapshots:,} snapshots\n"
            f"{_scaled(self.bytes)} on disk, at least {_scaled(self.memory)} of memory a process\n"
            f"about {_lasting(self.seconds)}"
        )


@checked
@standard_settings()
def estimate(task: Task, recipe: Recipe, runs: Count, execution: Execution | None = None) -> Cost:
    """Estimate what training runs costs, as `train` and `sample` do it.

    A few steps are timed on as many networks as a chunk trains together, and scores of a state on
    at most 2,000 examples; one step and some examples where they are slow. Both are taken to grow
    in proportion.

    Args:
        task: Network, data, loss and metrics.
        recipe: How training goes.
        runs: How many; `sample` makes directions times step sizes.
        execution: Where and how it would be run.

    Returns:
        The cost.

    Raises:
        ValueError: If there is no run.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(4,)), jr.data.digits())
        >>> cost = estimate(task, jr.Recipe(epochs=2, batch_size=128), runs=20)
        >>> cost.runs, cost.steps, cost.snapshots
        (20, 400, 140)
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1, but are {runs}")
    execution = execution or Execution()
    check_held(task, runs)
    check_goals(task, recipe)
    some = np.stack([task.initial(seed) for seed in range(min(runs, 2))])
    _, _, parts = plan_chunks(task, recipe, some, runs, execution)
    together = max(len(part) for part in parts)
    batches = recipe.batches(len(task.data.train_x))
    steps, times = recipe.epochs * batches, len(recipe.record_steps(batches))
    one = steps * step_seconds(task, recipe, together, execution)
    one += together * times * score_seconds(task, min(together * times, 4))
    item = task.layout.numpy_dtype.itemsize
    state, weights = task.layout.width * item, task.weight_count * item
    return Cost(
        runs=runs,
        steps=runs * steps,
        snapshots=runs * times,
        bytes=bytes_of(task, recipe, runs, execution.storage),
        memory=together * (2 * times * state + 4 * weights),
        seconds=one * _rounds(len(parts), execution),
    )


@checked
@standard_settings()
def estimate_study(study: Study, execution: Execution | None = None) -> Cost:
    """Estimate what the training and retraining of a study cost, from a network of each group.

    Embedding and homology come on top: seconds a network, unless there are thousands of snapshots.

    Args:
        study: What would be done.
        execution: Where and how it would be run.

    Returns:
        The cost.

    Raises:
        ValueError: If the study does not fit together.
    """
    execution, build = execution or Execution(n_jobs=-1), task_builder(study)
    inner, jumps = replace(execution, n_jobs=1), study.directions * len(study.step_sizes)
    alike = study.task is None and not study.trainings  # but for their labels
    groups = study.groups[:1] if alike else study.groups
    costs: list[Cost] = []
    for group in groups:
        task = check_task(build(0, group), study.metric)
        if not study.networks:
            costs.append(estimate(task, study.training_of(group), 1, inner))
        recipes = [study.retraining_of(group, probe) for probe in study.probes]
        costs += [estimate(task, recipe, jumps, inner) for recipe in recipes]
    networks = len(study.groups) * study.seeds
    counts = {
        name: networks // len(groups) * sum(getattr(cost, name) for cost in costs)
        for name in ("runs", "steps", "snapshots", "bytes")
    }
    alone = sum(cost.seconds for cost in costs) / len(groups)
    return Cost(
        **counts,
        memory=max(cost.memory for cost in costs),
        seconds=alone * _rounds(networks, execution),
    )


def _rounds(jobs: int, execution: Execution) -> int:
    workers: int = joblib.effective_n_jobs(execution.n_jobs)
    return math.ceil(jobs / min(workers, jobs))


def _scaled(size: int) -> str:
    power = min(len(str(size)) - 1, 12) // 3
    return f"{size / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def _lasting(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} seconds"
