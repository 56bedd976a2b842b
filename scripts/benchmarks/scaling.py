"""Whether time grows in proportion to jumps, epochs and snapshots: timings, lines, one plot."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from benchmarks.clocks import in_turn
from matplotlib.figure import Figure

import jumpretrain as jr

LINEAR = 0.99  # share of the variance of the medians that a straight line must explain
COLOUR = "#0072B2"
FEW, TIMES = 64, 10  # training examples, and copies of the test set: snapshots cost most then


def sizes(quick: bool) -> dict[str, dict[int, tuple[int, int, int]]]:
    """List four sizes of each kind by what is varied and its amount; what is not varied stays."""
    jumps, epochs = (2, 1) if quick else (32, 2)  # 32 and more: always chunks of 16
    last = 8 if quick else 32
    times = (1, 2, 4, 8)
    return {
        "jumps": {k * jumps: (k * jumps, epochs, 1) for k in times},
        "epochs": {k * epochs: (jumps, k * epochs, k * epochs) for k in times},
        "snapshots": {last // k + 1: (jumps, last, k) for k in reversed(times)},
    }


def costs(task: jr.Task, repeats: int, quick: bool) -> dict[str, Any]:
    """Time each size in turn and fit a straight line to the medians, by what is varied.

    The fit has intercept, slope and the share of variance R^2 that the line explains.
    """
    found, data = {}, task.data
    x, y = (np.concatenate([part] * TIMES) for part in (data.test_x, data.test_y))
    few = replace(task, data=replace(data.subset(FEW), test_x=x, test_y=y))
    for varied, several in sizes(quick).items():
        which = few if varied == "snapshots" else task
        sides = {str(amount): partial(retrained, which, *how) for amount, how in several.items()}
        seconds = list(in_turn(sides, repeats).cpu.values())
        amounts, medians = np.array(list(several), dtype=float), np.median(seconds, axis=1)
        slope, intercept = np.polyfit(amounts, medians, 1)
        rest = medians - (slope * amounts + intercept)
        found[varied] = {
            "amounts": amounts.tolist(),
            "cpu_seconds": seconds,
            "medians": medians.tolist(),
            "slope": float(slope),
            "intercept": float(intercept),
            "r_squared": float(1 - (rest**2).sum() / ((medians - medians.mean()) ** 2).sum()),
        }
    return found


def retrained(task: jr.Task, jumps: int, epochs: int, every: int) -> jr.Runs:
    recipe = jr.Recipe(epochs=epochs, lr=0.01, record_every=every, record_early=False)
    quiet = jr.Execution(mode="stacked", progress=False)
    return jr.train(task, recipe, range(jumps), execution=quiet)


def drawn(found: dict[str, Any], work: str, machine: Sequence[float]) -> Figure:
    """Draw the seconds of each size with the fitted line, one panel a kind."""
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    panels = figure.subplots(1, len(found))
    for ax, (varied, one) in zip(panels, found.items(), strict=True):
        amounts, scale = np.array(one["amounts"]), one["medians"][0]
        repeats = len(one["cpu_seconds"][0])
        each = np.repeat(amounts, repeats), np.concatenate(one["cpu_seconds"]) / scale
        ax.plot(*each, "o", color="0.65", ms=4, label="one measurement")
        ax.plot(amounts, np.array(one["medians"]) / scale, "o", color=COLOUR, ms=7, label="median")
        ends = np.array([0, amounts.max()])
        line = (one["slope"] * ends + one["intercept"]) / scale
        ax.plot(ends, line, color=COLOUR, label="straight line")
        linear = one["r_squared"] >= LINEAR
        grows = "grows linearly with" if linear else "is not shown linear in"
        ax.set_title(f"time {grows} {varied}\n(R² = {one['r_squared']:.4f})", fontsize=10)
        ax.set(xlabel=f"number of {varied}", xticks=amounts, xlim=(0, None), ylim=(0, None))
    panels[0].set_ylabel("processor seconds\n(smallest size = 1)")
    panels[0].legend(fontsize=8, frameon=False)
    words = (
        f"{work}; measurements a size, in turn: {repeats}; snapshots: one step an epoch, "
        f"5,464 examples scored; load of the machine before: {machine[0]:.1f}"
    )
    figure.supxlabel(words, fontsize=8)
    return figure
