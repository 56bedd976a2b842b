"""How long the steps and scores of a task take on this machine."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.engine.batches import draws, epoch_batches
from jumpretrain.engine.chunking import plan_chunks
from jumpretrain.engine.evaluate import measure_both
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.replicas import REPLICAS, Looped, Stacked, descend, optimise
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.randomness import seeded
from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.task import Task

__all__ = ["score_seconds", "step_seconds"]

STEPS, EXAMPLES, REPEATS = 6, 2000, 3
FEWEST = 8
"""Number of examples on which scores are timed first."""
ENOUGH = 0.4
"""Seconds after which a mean of steps, or a score of some examples, is long enough to tell."""


@standard_settings()
def step_seconds(task: Task, recipe: Recipe, together: int, execution: Execution) -> float:
    """Time steps of as many networks as are trained together: some, or one where it is slow.

    Returns:
        Seconds a step.
    """
    few = _first(task, min(STEPS * recipe.batch_size, len(task.data.train_x)), 2)
    starts = np.stack([few.initial(seed) for seed in range(together)])
    mode, _, _ = plan_chunks(few, recipe, starts, together, replace(execution, chunk=together))
    alone = 1 if mode == "looped" else together
    steps = partial(_timed_steps, few, recipe, REPLICAS[mode](few, starts[:alone]))
    drawn = draws(few, recipe)
    with seeded(0, drawn) if drawn else nullcontext():
        first, *others = steps(1 if mode == "compiled" else 0)
    return float(np.median(others or [first])) * together / alone  # the first prepares the others


def _timed_steps(
    task: Task, recipe: Recipe, replicas: Looped | Stacked, at_least: int
) -> list[float]:
    """Take steps until enough time is spent, and some beyond the first if asked for.

    Returns:
        Seconds of each.
    """
    optimiser, taken = optimise(replicas, recipe), list[float]()
    seeds = np.arange(len(replicas.read()))
    for epoch in range(REPEATS * STEPS):
        began = time.perf_counter()
        for x, y in epoch_batches(task, recipe, seeds, epoch):
            descend(replicas, optimiser, recipe, x, y)
            if replicas.device.type == "cuda":
                torch.cuda.synchronize(replicas.device)
            taken.append(time.perf_counter() - began)
            if len(taken) > at_least and sum(taken) > ENOUGH:
                return taken
            began = time.perf_counter()
    return taken


@standard_settings()
def score_seconds(task: Task, count: int) -> float:
    """Time the scores of states on as many examples as take long enough.

    Returns:
        Seconds a state.
    """
    sizes = min(task.scored, len(task.data.train_x)), len(task.data.test_x)
    states = np.repeat(task.initial(0)[None], count, axis=0)
    some, taken = FEWEST, 0.0
    while taken < ENOUGH and some < 4 * EXAMPLES:
        part = [min(size, some, EXAMPLES) for size in sizes]
        few, some = _first(task, *part), 4 * some
        taken = _seconds(few, states[:1])
    if taken < ENOUGH:
        taken = min(_seconds(few, states) for _ in range(REPEATS)) / count
    return taken * sum(sizes) / sum(part)


def _seconds(task: Task, states: NDArray[Any]) -> float:
    began = time.perf_counter()
    measure_both(task, states)
    return time.perf_counter() - began


def _first(task: Task, train: int, test: int) -> Task:
    data = task.data
    few: dict[str, Any] = {"train_x": data.train_x[:train], "train_y": data.train_y[:train]}
    few |= {"test_x": data.test_x[:test], "test_y": data.test_y[:test]}
    return replace(task, data=replace(data, **few))
