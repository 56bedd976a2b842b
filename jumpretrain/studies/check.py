"""Compare the program with closed forms on the machine at hand, in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from jumpretrain.comparison.hypothesis_tests import permutation_test
from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.sampling.sample import sample
from jumpretrain.states.directions import directions
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task
from jumpretrain.topology.homology import rips, sublevel

__all__ = ["Outcome", "check"]

QUIET = Execution(progress=False)


@dataclass(frozen=True)
class Outcome:
    """One comparison with a known truth.

    Attributes:
        claim: What is compared with what.
        error: The largest difference found.
        tolerance: The largest difference allowed.
    """

    claim: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        mark = "ok  " if self.holds else "FAIL"
        return f"{mark} {self.claim}: error {self.error:.1e}, allowed {self.tolerance:.0e}"


def check() -> list[Outcome]:
    """Run all comparisons.

    Returns:
        One outcome a comparison.
    """
    return [comparison() for comparison in COMPARISONS]


def _bowl(dtype: torch.dtype = torch.float64) -> Task:
    model = nn.Linear(1, 1, bias=False).to(dtype)
    one, zero = np.ones((4, 1)), np.zeros((4, 1))
    return Task(model, Dataset(one, zero, one, zero), loss=squared_error)


def _network() -> Task:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), rng.integers(3, size=40)
    return Task(lambda: mlp((6,), 3, hidden=(8,)).double(), Dataset(x, y, x[:10], y[:10]))


def _momentum() -> Outcome:
    recipe = Recipe(epochs=30, lr=0.05, momentum=0.9, batch_size=4)
    path = train(_bowl(), recipe, [0], states=[[1.0]], execution=QUIET).states[0, :, 0]
    weight, speed, expected = 1.0, 0.0, [1.0]
    for _ in range(30):
        speed = 0.9 * speed + 2 * weight
        weight -= 0.05 * speed
        expected.append(weight)
    error = float(np.abs(path - expected).max())
    return Outcome("momentum SGD on a quadratic bowl follows its linear recursion", error, 1e-12)


def _executions() -> Outcome:
    task, recipe = _network(), Recipe(epochs=3, lr=0.05, batch_size=8)
    stacked, looped = (
        train(task, recipe, [0, 1, 2], execution=Execution(mode=mode, progress=False)).states[:]
        for mode in ("stacked", "looped")
    )
    error = float(np.abs(stacked - looped).max())
    return Outcome("networks trained together equal networks trained alone", error, 1e-9)


def _identity() -> Outcome:
    task = _network()
    state = task.initial(0)
    runs = sample(
        task, state, Recipe(epochs=1), step_sizes=(0.0, 1.0), directions=1, execution=QUIET
    )
    error = float(np.abs(runs.states[0, 0] - state).max())
    return Outcome("a jump of step size 0 is the optimum", error, 0.0)


def _filters() -> Outcome:
    task = _network()
    state = task.initial(0)
    rows, _ = directions(task.layout, state, [3])
    norms = [
        np.abs(np.linalg.norm(drawn, axis=1) - np.linalg.norm(weights, axis=1)).max()
        for (_, drawn), (_, weights) in zip(
            task.layout.weights(rows[0]), task.layout.weights(state), strict=True
        )
        if weights.ndim > 1
    ]
    return Outcome("each filter of a direction has the optimum's norm", float(max(norms)), 1e-12)


def _loss() -> Outcome:
    values = evaluate(_bowl(), [[0.0], [2.0], [-3.0]])["train_loss"]
    error = float(np.abs(values - [0, 4, 9]).max())
    return Outcome("the loss of a quadratic bowl is its closed form", error, 1e-12)


def _basins() -> Outcome:
    path = sp.diags_array([np.ones(4), np.ones(4)], offsets=[-1, 1], shape=(5, 5)).tocsr()
    found = sublevel(np.array([0.0, 2, 3, 1, 4]), path)
    error = float(np.abs(found.finite(0) - [[1, 3]]).max() + np.abs(found.essential(0)).max())
    return Outcome("the path 0, 2, 3, 1, 4 has the bars [1, 3) and [0, inf)", error, 0.0)


def _circle() -> Outcome:
    angle = 2 * np.pi * np.arange(60) / 60
    points = np.c_[np.cos(angle), np.sin(angle)]
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
    bar = rips(gaps).finite(1)
    expected = [[2 * np.sin(np.pi / 60), np.sqrt(3)]]
    error = float(np.abs(bar - expected).max()) if bar.shape == (1, 2) else np.inf
    return Outcome("60 points on a circle have one loop, [0.105, 1.732)", error, 1e-6)


def _permutations() -> Outcome:
    p = permutation_test([np.arange(5.0), np.arange(5.0) + 100]).p
    return Outcome("two groups of 5 apart have the exact p 2/252", abs(p - 2 / 252), 1e-12)


COMPARISONS: tuple[Callable[[], Outcome], ...] = (
    _momentum,
    _executions,
    _identity,
    _filters,
    _loss,
    _basins,
    _circle,
    _permutations,
)
