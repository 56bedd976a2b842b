"""Align pairs of networks, and branch networks from shared beginnings, for the figure on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from evidence.cells import QUIET, kept, trained
from evidence.figure import Flags
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.ensembles.ensemble import cosines

INNER = 10  # interior points, as in figure 3 of the paper
EACH = 5  # steps scored on each piece of a connector
GRID = np.linspace(0, 1, 21)
Found = dict[str, Any]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Setup:
    """Pairs of networks of one kind.

    Attributes:
        data: What they are trained on: `digits` goes with an MLP, `fashion` with the paper's CNN.
        width: Of each of the MLP's two hidden layers; 0 for the CNN.
        sizes: Numbers of training and test examples.
        training: How networks are trained.
        points: How points of connectors are trained; None where there are none.
        shared: Epochs that branches share; none where there are no branches.
        pairs: Number of independent pairs.
    """

    data: Literal["digits", "fashion"]
    width: int
    sizes: tuple[int, int]
    training: jr.Recipe
    points: jr.Recipe | None
    shared: tuple[int, ...]
    pairs: int

    @property
    def name(self) -> str:
        """What the figure calls it."""
        return f"digits MLP {self.width}" if self.data == "digits" else "Fashion-MNIST CNN"

    @property
    def short(self) -> str:
        """The same without the data."""
        return self.name.split(" ", 1)[1]

    @property
    def half(self) -> int:
        """The epochs shared that come closest to half of the training."""
        return min(self.shared, key=lambda epochs: abs(epochs - self.training.epochs / 2))

    def task(self) -> jr.Task:
        """Build the task."""
        if self.data == "digits":
            return fort.mlp(jr.data.digits().subset(*self.sizes), (self.width,) * 2)
        return fort.cnn(fort.fashion(*self.sizes))


def matched(asked: Flags, setup: Setup, number: int) -> Found:
    """Measure a pair of networks, or read what was kept."""
    folder = asked.work / setup.name.replace(" ", "-") / str(number)
    path = folder.with_suffix(".json")
    of = replace(setup, pairs=0)
    found: Found = kept(path, of, partial(_matched, asked, setup, number, folder))
    return found


def _matched(asked: Flags, setup: Setup, number: int, folder: Path) -> Found:
    task, seeds = setup.task(), [2 * number, 2 * number + 1]
    name = str(folder.relative_to(asked.work) / "networks")
    runs = trained(asked, name, task, setup.training, seeds, jobs=1)
    one, two = runs.final
    near = jr.align(task, two, to=one)
    found: Found = {
        "seeds": seeds,
        "final": {name: values[:, -1] for name, values in runs.metrics.items()},
        "lines": {
            name: line(jr.interpolate(task, one, end, GRID, execution=QUIET))
            for name, end in (("plain", two), ("aligned", near))
        },
        "angles": angles(task, runs.initial, runs.final),
        "aligned_cosine": float(cosines(np.stack([one, near])[:, : task.weight_count])[0, 1]),
        "branches": [branched(task, setup, seeds[0], k, folder) for k in setup.shared],
    }
    if setup.points:
        found["connectors"] = {
            name: bent(task, setup.points, np.stack([one, end]), folder / name)
            for name, end in (("plain", two), ("aligned", near))
        }
    return found


def line(path: jr.Path) -> Found:
    """Keep what is drawn and judged of a straight line; heights as for branches."""
    error = path.values("test_error")
    return {
        "train_loss": path.values("train_loss"),
        "barrier": path.barrier("above_ends"),
        "instability": float(error.max() - error[[0, -1]].mean()),
    }


def angles(task: jr.Task, starts: NDArray[Any], optima: NDArray[Any]) -> Found:
    """Compare the directions of two starts, of optima, and of the ways from start to optimum."""
    rows = {"starts": starts, "optima": optima, "ways": optima.astype(float) - starts}
    return {name: float(cosines(row[:, : task.weight_count])[0, 1]) for name, row in rows.items()}


def bent(task: jr.Task, points: jr.Recipe, ends: NDArray[Any], folder: Path) -> Found:
    """Join two networks by a hyperplane connector."""
    curve = jr.connect(
        task, ends, recipe=points, inner=INNER, each=EACH, folder=folder, execution=QUIET
    )
    along, across = curve.half_cosines()
    return {
        "train_loss": np.interp(GRID, curve.alphas, curve.metrics["train_loss"]),
        "barrier": curve.barrier,
        "within": along,
        "across": across,
    }


def branched(task: jr.Task, setup: Setup, seed: int, shared: int, folder: Path) -> Found:
    """Train two copies on other orders of the data after a shared beginning."""
    found = jr.branches(
        task, setup.training, seed, shared, alphas=GRID, folder=folder / f"shared-{shared}",
        execution=QUIET,
    )  # fmt: skip
    start = np.repeat(task.initial(seed)[None], 2, axis=0)
    return {
        "shared": shared,
        **line(found.paths[0, 1]),
        "instability": found.instability(),
        "angles": angles(task, start, found.finals),
    }


def straight(pairs: Sequence[Found], kind: str) -> Values:
    return np.array([one["lines"][kind]["barrier"] for one in pairs])


def removed(pairs: Sequence[Found]) -> Values:
    """Give the share of each straight line's barrier that aligning removes."""
    plain, aligned = (straight(pairs, kind) for kind in ("plain", "aligned"))
    return 1 - np.divide(aligned, plain, out=np.full(len(plain), np.nan), where=plain > 0)


def bends(pairs: Sequence[Found], kind: str, name: str) -> Values:
    return np.array([one["connectors"][kind][name] for one in pairs])


def shares(setup: Setup, pairs: Sequence[Found], shared: int, name: str) -> Values:
    place = setup.shared.index(shared)
    return np.array([one["branches"][place][name] for one in pairs])


def difference(pairs: Sequence[Found], kind: str) -> Values:
    return bends(pairs, kind, "within") - bends(pairs, kind, "across")
