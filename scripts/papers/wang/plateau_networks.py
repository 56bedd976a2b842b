"""Networks of which figures on arXiv:2210.01019 measure plateaus, trained until their loss is low.

A cell whose networks do not all end at the loss `TRAINED` or below is trained anew, from the same
starts, for twice as many epochs, and so on: no network is left out, and designs stay balanced.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import pandas as pd
from evidence.cells import QUIET, trained
from evidence.figure import Flags, device
from torch import nn

import jumpretrain as jr

WIDTH, CLASSES, ALPHAS = 100, 10, 51
TRAINED = 0.1
"""Nats, as in arXiv:2104.11044."""
MOST = 32
"""Times the epochs of the recipe, at most."""
RECIPE = jr.Recipe(
    epochs=120, lr=0.05, batch_size=128, schedule="steps", milestones=(0.8,),
    record_every=0, record_early=False,
)  # fmt: skip
QUICK = jr.Recipe(epochs=12, lr=0.1, batch_size=32, record_every=0, record_early=False)
NAMES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}

Biases = Literal["all", "last", "none"]
KINDS = ("linear", "homogeneous")
Paths = Mapping[str, list[jr.Path]]


@dataclass(frozen=True)
class Cell:
    """Networks that differ in their seed only.

    Attributes:
        data: `digits` or `fashion_mnist`.
        depth: Number of layers with weights.
        scale: What He's initial weights are multiplied by.
        biases: Which layers have biases.
    """

    data: str
    depth: int
    scale: float
    biases: Biases


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes.

    Attributes:
        data: Names of the data.
        depth: Depth of the networks whose paths are compared.
        scale: Their initial scale.
        depths: Depths of the networks of different plateaus.
        scales: Their initial scales, by data.
        seeds: Seeds of each cell.
        recipe: How all are trained at first.
        size: Number of training examples at most.
    """

    data: tuple[str, ...]
    depth: int
    scale: float
    depths: tuple[int, ...]
    scales: dict[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    recipe: jr.Recipe
    size: int

    def main(self, data: str, biases: Biases) -> Cell:
        """Name a cell whose paths are drawn."""
        return Cell(data, self.depth, self.scale, biases)

    def grid(self, data: str) -> list[Cell]:
        """List the cells of different depth and scale."""
        grid = itertools.product(self.depths, self.scales[data])
        return [Cell(data, depth, scale, "last") for depth, scale in grid]

    def cells(self) -> list[Cell]:
        """List all cells once, those first that take longest."""
        pairs = itertools.product(self.data, ("last", "all", "none"))
        chosen = [self.main(*pair) for pair in pairs]  # type: ignore[arg-type]
        chosen += [cell for data in self.data for cell in self.grid(data)]
        return sorted(dict.fromkeys(chosen), key=lambda cell: (-cell.depth, cell.scale))


FULL = Plan(
    ("fashion_mnist", "digits"), 5, 0.25, (3, 4, 5, 6),
    {"fashion_mnist": (0.25, 0.5, 1.0), "digits": (0.25, 0.35, 0.5, 1.0)}, tuple(range(5)),
    RECIPE, 2000,
)  # fmt: skip
SMALL = Plan(("digits",), 3, 0.25, (2, 3), {"digits": (0.25, 1.0)}, (0, 1, 2), QUICK, 400)


def network(shape: tuple[int, ...], depth: int) -> nn.Module:
    return jr.models.mlp(shape, CLASSES, hidden=(WIDTH,) * (depth - 1))


def task(cell: Cell, size: int) -> jr.Task:
    """Make the task of a cell's networks."""
    whole = jr.data.digits() if cell.data == "digits" else jr.data.load(cell.data)
    count = min(size, len(whole.train_x))
    data = whole.subset(count, min(count, len(whole.test_x)))
    build = partial(network, data.train_x.shape[1:], cell.depth)
    scaled = jr.initialise(build, "he", cell.scale, biases=cell.biases)
    return jr.Task(scaled, data, device=device())


def paths(asked: Flags, plan: Plan, cell: Cell, epochs: int) -> Paths:
    """Train the networks of a cell and interpolate both ways."""
    given = task(cell, plan.size)
    longer = epochs > plan.recipe.epochs
    name = f"{cell.data}-{cell.depth}-{cell.scale}-{cell.biases}{f'-{epochs}' if longer else ''}"
    recipe = replace(plan.recipe, epochs=epochs)
    runs = trained(asked, name, given, recipe, plan.seeds, jobs=1)
    return {
        kind: [
            jr.interpolate(given, start, end, ALPHAS, biases=kind, execution=QUIET)
            for start, end in zip(runs.initial, runs.final, strict=True)
        ]
        for kind in KINDS
    }


def lowered(asked: Flags, plan: Plan, cell: Cell) -> dict[int, Paths]:
    """Train a cell for twice as many epochs, again and again, until all its networks are trained.

    Returns:
        Paths by the number of epochs.
    """
    found: dict[int, Paths] = {}
    epochs = plan.recipe.epochs
    while True:
        found[epochs] = paths(asked, plan, cell, epochs)
        last = [path.metrics["train_loss"][-1] for path in found[epochs]["linear"]]
        epochs *= 2
        if max(last) <= TRAINED or epochs > MOST * plan.recipe.epochs:
            return found


def rows(plan: Plan, cell: Cell, epochs: int, kinds: Paths) -> pd.DataFrame:
    """Measure the networks of a cell, a row each."""
    table = []
    for place, seed in enumerate(plan.seeds):
        row: dict[str, Any] = asdict(cell) | {"epochs": epochs, "seed": seed}
        for kind in KINDS:
            plateau = kinds[kind][place].plateau()
            row |= {f"{kind}_error": plateau.error, f"{kind}_loss": plateau.loss}
        losses = kinds["linear"][place].values("train_loss")
        row |= {"final_loss": losses[-1], "trained": bool(losses[-1] <= TRAINED)}
        table.append(row | {"min_delta": kinds["linear"][place].monotonicity().min_delta})
    return pd.DataFrame(table)
