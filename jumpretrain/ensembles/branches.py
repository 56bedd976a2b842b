"""Copies of one network that part: trained together for a while, then each with its own order."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from jumpretrain.engine.recipe import Recipe, too_fast
from jumpretrain.engine.train import train
from jumpretrain.ensembles.cycles import claimed, order_seed
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Seed, Whole
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.paths.interpolate import interpolate
from jumpretrain.paths.path import Path
from jumpretrain.states.curves import check_alphas
from jumpretrain.storage.files import located
from jumpretrain.tasks.task import Task

__all__ = ["Branches", "branches"]


@dataclass(frozen=True, eq=False)
class Branches:
    """Networks with a shared beginning, and the straight lines between where they ended.

    Attributes:
        shared: The state at which they part (S,).
        finals: Where they ended (K, S).
        paths: The straight line between each two, by their numbers.
        provenance: Everything needed to make them again.

    Raises:
        ValueError: If a pair has no line, or states disagree in length.
    """

    shared: NDArray[Any]
    finals: NDArray[Any]
    paths: Mapping[tuple[int, int], Path]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        pairs = set(combinations(range(len(self.finals)), 2))
        if not pairs or set(self.paths) != pairs or self.finals.shape[1:] != self.shared.shape:
            raise ValueError(
                f"branches {self.finals.shape} of a state {self.shared.shape} need a line for "
                f"each pair, but have {sorted(self.paths)}"
            )
        for path in self.paths.values():
            path.check_ends()

    def instability(self, metric: str = "test_error") -> float:
        """Measure how far the straight lines rise above the mean of their ends.

        For an error, arXiv:1912.05671 calls networks stable where this is below 0.02.

        Returns:
            The largest value on a line minus the mean of its ends, as a mean over the lines.
        """
        lines = [path.values(metric) for path in self.paths.values()]
        return float(np.mean([line.max() - (line[0] + line[-1]) / 2 for line in lines]))


@checked
@standard_settings()
def branches(
    task: Task,
    recipe: Recipe,
    seed: Seed,
    shared_epochs: Whole,
    count: Count = 2,
    alphas: int | ArrayLike = 31,
    folder: str | pathlib.Path | None = None,
    execution: Execution | None = None,
) -> Branches:
    """Train a network, then copies of it on the data in other orders: arXiv:1912.05671.

    The copies start with a fresh optimiser; seen from the initialisation, all train for the
    recipe's epochs.

    Args:
        task: Network, data, loss and metrics.
        recipe: How training goes; its rate must be constant, since it starts anew for the copies.
        seed: Of the fresh weights and the orders of the data.
        shared_epochs: Epochs before the copies part, from 0 to all of the recipe's.
        count: Number K of copies.
        alphas: As for `interpolate`, from 0 to 1.
        folder: Where finished runs are kept; the same call goes on where it was stopped.
        execution: Where and how it is run.

    Returns:
        The copies with the straight lines between them.

    Raises:
        ValueError: If an argument does not fit, or a run diverges.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> early, late = (
        ...     branches(task, jr.Recipe(epochs=12, lr=0.1), seed=0, shared_epochs=shared)
        ...     for shared in (0, 11)
        ... )
        >>> early.instability("train_loss") > late.instability("train_loss")
        True
    """
    shares = _check_branches(recipe, shared_epochs, count, alphas)
    quick = replace(recipe, record_every=0, record_early=False)
    left = recipe.epochs - shared_epochs
    choices = {"seed": seed, "shared_epochs": shared_epochs, "count": count}

    def go(name: str, epochs: int, keys: list[int], states: NDArray[Any]) -> NDArray[Any]:
        if not epochs:
            return states
        place = None if folder is None else located(folder) / name
        runs = train(task, replace(quick, epochs=epochs), keys, states, place, execution, name)
        if (runs.status != "ok").any():
            raise ValueError(
                f"branches must converge, but {name} diverged {too_fast(recipe, folder)}"
            )
        return np.asarray(runs.final)

    orders = [order_seed(seed, 1 + copy) for copy in range(count)]
    with claimed(folder, task, recipe, method="branches", **choices):
        shared = go("shared", shared_epochs, [seed], task.initial(seed)[None])[0]
        finals = go("copies", left, orders, np.repeat(shared[None], count, axis=0))
    paths = {
        (a, b): interpolate(task, finals[a], finals[b], shares, execution=execution)
        for a, b in combinations(range(count), 2)
    }
    provenance = {
        "task": task.fingerprint,
        "recipe": asdict(recipe),
        **choices,
        "orders": orders,
        "alphas": shares.tolist(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    return Branches(shared, finals, paths, provenance)


def _check_branches(
    recipe: Recipe, shared_epochs: int, count: int, alphas: int | ArrayLike
) -> NDArray[np.float64]:
    if recipe.schedule != "constant":
        raise ValueError(
            f"branches need a constant rate, but the schedule is {recipe.schedule!r}, which "
            "would start anew for the copies"
        )
    if shared_epochs not in range(recipe.epochs + 1):
        raise ValueError(
            f"shared_epochs must be a whole number in 0..{recipe.epochs}, but is {shared_epochs}"
        )
    if not isinstance(count, Integral) or count < 2:
        raise ValueError(f"branches need at least 2 copies, but count is {count}")
    shares = check_alphas(alphas)
    if shares[0] != 0 or shares[-1] != 1:
        raise ValueError(f"alphas must go from 0 to 1, but go from {shares[0]} to {shares[-1]}")
    return shares
