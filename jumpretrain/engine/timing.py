"""How long the steps and scores of a task take on this machine."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from jumpretrain.engine.evaluate import measure_both
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.task import Task

__all__ = ["score_seconds", "step_seconds"]

STEPS, EXAMPLES, REPEATS = 6, 2000, 3


@standard_settings()
def step_seconds(task: Task, recipe: Recipe, together: int, execution: Execution) -> float:
    """Time a step of as many networks as are trained together; what comes once cancels out.

    Returns:
        Seconds.
    """
    few = _first(task, min(STEPS * recipe.batch_size, len(task.data.train_x)), 2)
    alone = replace(execution, n_jobs=1, chunk=together, progress=False)
    least = dict.fromkeys((1, 3), math.inf)
    for _ in range(REPEATS):
        for epochs in least:
            short = replace(recipe, epochs=epochs, record_every=0, record_early=False)
            began = time.perf_counter()
            train(few, short, range(together), execution=alone)
            least[epochs] = min(least[epochs], time.perf_counter() - began)
    steps = 2 * recipe.batches(len(few.data.train_x))
    return max(least[3] - least[1], 0.0) / steps


@standard_settings()
def score_seconds(task: Task, count: int) -> float:
    """Time the scores of a state.

    Returns:
        Seconds.
    """
    sizes = min(task.scored, len(task.data.train_x)), len(task.data.test_x)
    few = _first(task, *(min(size, EXAMPLES) for size in sizes))
    states = np.repeat(task.initial(0)[None], count, axis=0)
    least = math.inf
    with standard_settings():
        for _ in range(REPEATS):
            began = time.perf_counter()
            measure_both(few, states)
            least = min(least, time.perf_counter() - began)
    return least / count * sum(sizes) / sum(min(size, EXAMPLES) for size in sizes)


def _first(task: Task, train: int, test: int) -> Task:
    data = task.data
    few: dict[str, Any] = {"train_x": data.train_x[:train], "train_y": data.train_y[:train]}
    few |= {"test_x": data.test_x[:test], "test_y": data.test_y[:test]}
    return replace(task, data=replace(data, **few))
