"""Whether time grows in proportion to jumps, epochs and snapshots: timings, lines, one plot."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from benchmarks.clocks import in_turn
from matplotlib.figure import Figure

import jumpretrain as jr

LINEAR = 0.99  # share of the variance of the medians that a straight line must explain
COLOUR = "#0072B2"
FEW, TIMES = 64, 10  # training examples, and copies of the test set, that snapshots cost most


@dataclass(frozen=True)
class Size:
    """One amount of work.

    Attributes:
        amount: Number of what is varied.
        jumps: Number of runs.
        epochs: Of each run.
        every: Epochs between snapshots.
    """

    amount: int
    jumps: int
    epochs: int
    every: int


def sizes(quick: bool) -> dict[str, list[Size]]:
    """List four sizes of each kind; what is not varied stays.

    Returns:
        Sizes by what is varied.
    """
    jumps, epochs = (2, 1) if quick else (32, 2)  # 32 and more: always chunks of 16
    last = 8 if quick else 32
    return {
        "jumps": [Size(k * jumps, k * jumps, epochs, 1) for k in (1, 2, 4, 8)],
        "epochs": [Size(k * epochs, jumps, k * epochs, k * epochs) for k in (1, 2, 4, 8)],
        "snapshots": [Size(last // k + 1, jumps, last, k) for k in (8, 4, 2, 1)],
    }


def costs(task: jr.Task, repeats: int, quick: bool) -> dict[str, Any]:
    """Time each size in turn and fit a straight line to the medians.

    Returns:
        By what is varied: amounts, processor seconds of each repeat, medians, intercept, slope
        and the share of variance R^2 that the line explains.
    """
    found = {}
    few = replace(task, data=much_to_score(task.data))
    for varied, several in sizes(quick).items():
        which = few if varied == "snapshots" else task
        sides = {str(size.amount): partial(retrained, which, size) for size in several}
        seconds = in_turn(sides, repeats).cpu
        amounts = np.array([size.amount for size in several], dtype=float)
        medians = np.array([statistics.median(values) for values in seconds.values()])
        slope, intercept = np.polyfit(amounts, medians, 1)
        rest = medians - (slope * amounts + intercept)
        found[varied] = {
            "amounts": amounts.tolist(),
            "cpu_seconds": list(seconds.values()),
            "medians": medians.tolist(),
            "slope": float(slope),
            "intercept": float(intercept),
            "r_squared": float(1 - (rest**2).sum() / ((medians - medians.mean()) ** 2).sum()),
        }
    return found


def much_to_score(data: jr.Dataset) -> jr.Dataset:
    """Make data of which a snapshot costs more than the training between two.

    Returns:
        Few training examples, and the test examples again and again.
    """
    x, y = (np.concatenate([part] * TIMES) for part in (data.test_x, data.test_y))
    return replace(data.subset(FEW), test_x=x, test_y=y)


def retrained(task: jr.Task, size: Size) -> jr.Runs:
    recipe = jr.Recipe(
        epochs=size.epochs,
        lr=0.01,
        record_every=size.every,
        record_early=False,
    )
    quiet = jr.Execution(mode="stacked", progress=False)
    return jr.train(task, recipe, range(size.jumps), execution=quiet)


def drawn(found: dict[str, Any], work: str, machine: Sequence[float]) -> Figure:
    """Draw the seconds of each size with the fitted line.

    Returns:
        One panel a kind.
    """
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    for ax, (varied, one) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        amounts, scale = np.array(one["amounts"]), one["medians"][0]
        repeats = len(one["cpu_seconds"][0])
        ax.plot(
            np.repeat(amounts, repeats), np.concatenate(one["cpu_seconds"]) / scale, "o",
            color="0.65", ms=4, label="one measurement",
        )  # fmt: skip
        ax.plot(amounts, np.array(one["medians"]) / scale, "o", color=COLOUR, ms=7, label="median")
        ends = np.array([0, amounts.max()])
        line = (one["slope"] * ends + one["intercept"]) / scale
        ax.plot(ends, line, color=COLOUR, label="straight line")
        linear = one["r_squared"] >= LINEAR
        grows = "grows linearly with" if linear else "is not shown linear in"
        ax.set_title(f"time {grows} {varied}\n(R² = {one['r_squared']:.4f})", fontsize=10)
        ax.set_xlabel(f"number of {varied}")
        ax.set_xticks(amounts)
        ax.set_xlim(0, None)
        ax.set_ylim(0, None)
    figure.axes[0].set_ylabel("processor seconds\n(smallest size = 1)")
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.supxlabel(
        f"{work}; measurements a size, in turn: {repeats}; snapshots: one step an epoch, "
        f"5,464 examples scored; load of the machine before: {machine[0]:.1f}", fontsize=8,
    )  # fmt: skip
    return figure
