"""Training that goes on from where other training has ended: in cycles and in branches."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np

from jumpretrain.engine.recipe import Recipe, too_fast
from jumpretrain.engine.train import Runs, train
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Seed
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.storage import manifests
from jumpretrain.storage.files import located
from jumpretrain.storage.locks import lock
from jumpretrain.tasks.sources import StatesLike
from jumpretrain.tasks.task import Task

__all__ = ["claimed", "cycles", "order_seed"]


@checked
@standard_settings()
def cycles(
    task: Task,
    recipe: Recipe,
    seeds: Sequence[Seed],
    count: Count,
    states: StatesLike | None = None,
    folder: str | pathlib.Path | None = None,
    execution: Execution | None = None,
) -> list[Runs]:
    """Train one cycle of the learning rate after the other: the snapshots of arXiv:1906.04724.

    Each cycle is the recipe once more, from where the last one ended, with a fresh optimiser and
    the data in other orders. A cosine schedule makes the cycles of section 4.5.

    Args:
        task: Network, data, loss and metrics.
        recipe: How each cycle goes.
        seeds: One seed a network (K,): of the orders of the data and, without states, of the
            fresh weights.
        count: Number of cycles.
        states: Where to start (K, S); fresh weights where left out.
        folder: Where finished cycles are kept; the same call goes on where it was stopped, and
            one with more cycles goes on from there.
        execution: Where and how it is run.

    Returns:
        The runs of each cycle; their `final` states are the snapshots.

    Raises:
        ValueError: If an argument does not fit, or a run diverges before the last cycle.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> found = cycles(task, jr.Recipe(epochs=2, lr=0.05, schedule="cosine"), [0], count=3)
        >>> np.stack([runs.final[0] for runs in found]).shape == (3, task.layout.width)
        True
    """
    if not isinstance(count, Integral) or count < 1:
        raise ValueError(f"count must be at least 1 cycle, but is {count}")
    found: list[Runs] = []
    with claimed(folder, task, recipe, method="cycles", seeds=list(seeds)):
        for turn in range(count):
            keys = [order_seed(seed, turn) for seed in seeds]
            place = None if folder is None else located(folder) / f"cycle-{turn + 1}"
            label = f"cycle {turn + 1} of {count}"
            begin = found[-1].final if found else states
            found.append(train(task, recipe, keys, begin, place, execution, label))
            lost = np.asarray(seeds)[found[-1].status != "ok"]
            if len(lost) and turn < count - 1:
                raise ValueError(
                    f"cycles go on from finite states, but seeds {lost.tolist()} diverged in "
                    f"cycle {turn + 1} {too_fast(recipe, folder, ', or leave these seeds out')}"
                )
    return found


@contextmanager
def claimed(
    folder: str | pathlib.Path | None, task: Task, recipe: Recipe, **choices: Any
) -> Iterator[None]:
    """Hold a folder, which holds nothing else, during several trainings.

    Args:
        folder: The folder, if there is one.
        task: Network, data, loss and metrics.
        recipe: How each training goes.
        choices: What else the folder depends on.
    """
    if folder is None:
        yield
        return
    design = {"task": task.fingerprint, "recipe": recipe, **choices}
    place = located(folder)
    with lock(place):
        manifests.claim(place / "restarts.json", design)
        yield


def order_seed(seed: int, turn: int) -> int:
    """Derive another seed of the order of the data; turn 0 has the seed itself.

    Returns:
        The seed.
    """
    if not turn:
        return seed
    drawn = np.random.SeedSequence((int(seed), 0, 7, turn)).generate_state(1, np.uint64)
    return int(drawn[0]) >> 1
