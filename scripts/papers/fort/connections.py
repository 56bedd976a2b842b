"""Join pairs of trained networks in each way, for the figures on arXiv:1906.04724, figure 3.

The straight line, the hyperplane connector, the refined one and a Bezier curve of equal gradient
count; between the untrained networks a hyperplane connector of the same budget, the null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from evidence.cells import QUIET, kept, trained
from evidence.figure import Flags
from matplotlib.axes import Axes
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr

INNER = 10  # interior points, as in figure 3 of the paper
FIRST_TWIN = 10_000  # seed
Found = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """Pairs of networks of one kind.

    Attributes:
        data: What they are trained on: `digits` goes with an MLP, `fashion` with the paper's CNN.
        hidden: Widths of the MLP's hidden layers.
        sizes: Numbers of training and test examples.
        training: How networks are trained.
        points: How points of connectors are trained.
        pairs: Number of independent pairs.
        each: Steps scored on each piece.
        rounds: Most rounds of refinement.
    """

    data: Literal["digits", "fashion"]
    hidden: tuple[int, ...]
    sizes: tuple[int, int]
    training: jr.Recipe
    points: jr.Recipe
    pairs: int
    each: int
    rounds: int

    @property
    def name(self) -> str:
        """What the figure calls it."""
        return "digits MLP" if self.data == "digits" else "Fashion-MNIST CNN"

    def task(self) -> jr.Task:
        """Build the task."""
        if self.data == "digits":
            return fort.mlp(jr.data.digits().subset(*self.sizes), self.hidden)
        return fort.cnn(fort.fashion(*self.sizes))


def told(recipe: jr.Recipe) -> str:
    """Say how something is trained."""
    return (
        f"{recipe.optimiser}, rate {recipe.lr:g}, {recipe.epochs} epochs of batches of "
        f"{recipe.batch_size}"
    )


def connected(asked: Flags, setup: Setup, number: int) -> Found:
    """Train a pair of networks and join them in each way."""
    path = asked.work / f"{setup.data}-{number}.json"
    found: Found = kept(path, replace(setup, pairs=0), partial(_connected, asked, setup, number))
    return found


def _connected(asked: Flags, setup: Setup, number: int) -> Found:
    task, seeds = setup.task(), [2 * number, 2 * number + 1]
    name = f"{setup.data}-{number}"
    runs = trained(asked, f"{name}-networks", task, setup.training, seeds, jobs=1)
    starts, optima = runs.initial, runs.final
    twin = trained(
        asked, f"{name}-twin", task, setup.training, [FIRST_TWIN + number], starts[:1], jobs=1
    ).final[0]
    curves = joined(setup, task, starts, optima, asked.work / name)
    line = jr.interpolate(task, optima[0], twin, 11, execution=QUIET)
    return {
        "seeds": seeds,
        "final": {name: values[:, -1] for name, values in runs.metrics.items()},
        "curves": {name: scored(curve, name) for name, curve in curves.items()},
        **turning(curves["hyperplane"]),
        **labels(curves["hyperplane"]),
        **angles(task, starts, optima, twin),
        "twin_barrier": float(line.barrier()),
    }


def joined(
    setup: Setup, task: jr.Task, starts: NDArray[Any], optima: NDArray[Any], folder: Path
) -> dict[str, jr.Connector]:
    share = {"each": setup.each, "execution": QUIET}
    bent = partial(jr.connect, task, recipe=setup.points, inner=INNER, **share)
    longer = replace(setup.points, epochs=setup.points.epochs * INNER)
    return {
        "hyperplane": bent(optima, folder=folder),
        "refined": bent(optima, refine=True, rounds=setup.rounds, folder=folder),
        "bezier": jr.connect(
            task, optima, "bezier", inner=1, recipe=longer, folder=folder / "bezier",
            each=setup.each * (INNER + 1) // 2, execution=QUIET,
        ),
        "null": bent(starts, folder=folder / "null"),
    }  # fmt: skip


def scored(curve: jr.Connector, name: str) -> Found:
    """Keep what is drawn and judged of a curve; the peak lies between its first and last node."""
    alphas, losses = curve.alphas, curve.metrics["train_loss"]
    nodes = alphas[np.flatnonzero(curve.shares.max(axis=1) > 1 - 1e-9)]
    low, high = (1 / (INNER + 1), INNER / (INNER + 1)) if name == "bezier" else nodes[[1, -2]]
    return {
        "alphas": alphas.round(4),
        "train_loss": losses.round(5),
        "straight_train_loss": curve.straight_metrics["train_loss"].round(5),
        "nodes": len(curve.nodes),
        "barrier": curve.barrier,
        "linear_barrier": curve.linear_barrier,
        "peak": float(losses[(alphas >= low) & (alphas <= high)].max()),
        "length_ratio": curve.length_ratio,
        "lowest_test_accuracy": float(curve.metrics["test_accuracy"].min()),
    }


def turning(curve: jr.Connector) -> Found:
    """Say where deviations turn, and where the loss is highest, piece by piece."""
    cosines = curve.deviation_cosines()
    along, across = curve.half_cosines()
    aside = sideways(curve)
    losses, pieces = curve.metrics["train_loss"], INNER + 1
    each = (len(losses) - 1) // pieces
    tops = [losses[k * each : (k + 1) * each + 1].max() for k in range(pieces)]
    return {
        "cosines": cosines.round(4),
        "within": along,
        "across": across,
        "sideways_within": aside[0],
        "sideways_across": aside[1],
        "turn": int(np.diag(cosines, 1).argmin()) + 1,
        "top": int(np.argmax(tops)),
    }


def sideways(curve: jr.Connector) -> tuple[float, float]:
    """Compare deviations without their part towards larger norms, which all nodes may share.

    The chord of two optima of equal norm comes nearer to the origin than either; the way back
    out is the same for all nodes (derived).

    Returns:
        Mean cosine within halves and across.
    """
    nodes = curve.nodes.astype(np.float64)
    rows = nodes[:, : curve.provenance["weights"]]
    chord, out = rows[-1] - rows[0], rows[-1] + rows[0]
    out -= (out @ chord) / (chord @ chord) * chord
    rows[1:-1] -= np.outer((rows[1:-1] - rows[0]) @ out / (out @ out), out)
    return replace(curve, nodes=nodes).half_cosines()


def labels(curve: jr.Connector) -> Found:
    """Compare labels with those of the optima: everywhere, in the middle, between the optima."""
    assert curve.changed is not None
    middle = (curve.alphas >= 0.4) & (curve.alphas <= 0.6)
    return {
        "changed": curve.changed.round(4),
        "apart": float(curve.changed[-1, 0]),
        "most_changed": float(curve.changed[middle, 0].max()),
    }


def angles(task: jr.Task, starts: NDArray[Any], optima: NDArray[Any], twin: NDArray[Any]) -> Found:
    """Compare directions of weights, of starts, and of the ways from start to optimum."""

    def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
        a, b = (row[: task.weight_count].astype(np.float64) for row in (a, b))
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    return {
        "cosine_starts": cosine(starts[0], starts[1]),
        "cosine_optima": cosine(optima[0], optima[1]),
        "cosine_ways": cosine(optima[0] - starts[0], optima[1] - starts[1]),
        "cosine_same_start": cosine(optima[0] - starts[0], twin - starts[0]),
    }


def dots(
    ax: Axes,
    place: float,
    values: Sequence[float],
    colour: Any,
    mark: str = "o",
    width: float = 0.25,
) -> None:
    """Draw a value a network or pair, and their median."""
    shift = np.linspace(-width / 2, width / 2, len(values)) if len(values) > 1 else 0
    ax.scatter(place + shift, values, s=26, color=[colour], marker=mark, alpha=0.75, lw=0)
    ax.hlines(float(np.median(values)), place - width, place + width, color="black", lw=1.6)
