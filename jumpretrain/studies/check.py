"""Compare the program with closed forms on the machine at hand, in seconds.

What needs a network that is scored or trained stands here, other numbers in `closed_forms` and
`known_shapes`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.sampling.sample import sample
from jumpretrain.states.directions import directions
from jumpretrain.studies.closed_forms import CLOSED_FORMS, Outcome
from jumpretrain.studies.known_shapes import KNOWN_SHAPES
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task

__all__ = ["Outcome", "check"]

QUIET = Execution(progress=False)


def check() -> list[Outcome]:
    """Run all comparisons.

    Returns:
        One outcome a comparison.
    """
    return [comparison() for comparison in (*COMPARISONS, *CLOSED_FORMS, *KNOWN_SHAPES)]


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


COMPARISONS: tuple[Callable[[], Outcome], ...] = (
    _momentum,
    _executions,
    _identity,
    _filters,
    _loss,
)
