"""Measure how many dimensions training needs, beside sharp directions, condition by condition.

Networks are trained freely and in nested random planes through the same starts, for the figure on
H7 of arXiv:1906.04724: the wedge model says that planes reach low loss from as many dimensions on
as there are sharp directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from evidence.cells import kept, trained
from evidence.figure import Flags
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.states.planes import Plane, random_plane

SHARE = 0.9  # of the free fall of the training loss, or of the free test accuracy
QUIET = jr.Execution(progress=False, chunk=5)
FIRST_PLANE = 10_000  # seed of planes that are drawn beside each network's own
Found = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """Fully connected networks on digits, in conditions of a width and a rate.

    Attributes:
        widths: Of both hidden layers.
        rates: Of Adam, without a plane.
        sizes: Numbers of training and test examples.
        epochs: Of training.
        dims: Dimensions of planes.
        cuts: Least curvatures that count as sharp.
        level: Loss at which conditions are compared alike, in nats.
        seeds: Networks a condition.
        planes: Further planes for each network of the middle condition.
    """

    widths: tuple[int, ...]
    rates: tuple[float, ...]
    sizes: tuple[int, int]
    epochs: int
    dims: tuple[int, ...]
    cuts: tuple[float, ...]
    level: float
    seeds: int
    planes: int

    def task(self, width: int) -> jr.Task:
        """Build the task."""
        return fort.mlp(jr.data.digits().subset(*self.sizes), (width, width))

    def recipe(self, rate: float, **other: Any) -> jr.Recipe:
        """Write the recipe at a rate."""
        return fort.recipe(self.epochs, rate, **other)

    def conditions(self) -> list[tuple[int, float]]:
        """List widths and rates."""
        return [(width, rate) for width in self.widths for rate in self.rates]

    def middle(self) -> tuple[int, float]:
        """Name the condition in which planes are drawn anew."""
        return self.widths[len(self.widths) // 2], self.rates[len(self.rates) // 2]


def measured(asked: Flags, setup: Setup, width: int, rate: float) -> list[Found]:
    """Measure the networks of a condition, or read what was kept: one row each."""
    name = f"mlp-{width}-{rate:g}"
    of = replace(setup, widths=(), rates=(), planes=0), width, rate
    measure = partial(_measure, asked, setup, width, rate, name)
    return list(kept(asked.work / f"{name}.json", of, measure))


def _measure(asked: Flags, setup: Setup, width: int, rate: float, name: str) -> list[Found]:
    task = setup.task(width)
    seeds = range(setup.seeds)
    free = trained(asked, f"{name}-free", task, setup.recipe(rate, record_every=1), seeds, jobs=1)
    long = descended(asked, setup, task, rate, f"{name}-long", free.initial, seeds, seeds)
    plain = jr.threshold_dimension(
        task, setup.recipe(rate), setup.dims, seeds, "train_loss", SHARE,
        asked.work / f"{name}-plain", QUIET,
    )  # fmt: skip
    losses = free.metrics["train_loss"]
    alike = np.abs(np.log(losses / setup.level)).argmin(axis=1)
    return [
        {
            "width": width,
            "rate": rate,
            "seed": seed,
            "weights": task.weight_count,
            "initial_loss": losses[seed, 0],
            "free_loss": losses[seed, -1],
            "free_accuracy": free.metrics["test_accuracy"][seed, -1],
            "plane_loss": long["train_loss"][seed],
            "plane_accuracy": long["test_accuracy"][seed],
            "plain_loss": plain.values[:, seed],
            "end": sharp(setup, task, free.states[seed, -1]),
            "alike": sharp(setup, task, free.states[seed, int(alike[seed])]),
            "alike_loss": losses[seed, alike[seed]],
        }
        for seed in seeds
    ]


def descended(
    asked: Flags,
    setup: Setup,
    task: jr.Task,
    rate: float,
    name: str,
    starts: NDArray[Any],
    seeds: Sequence[int],
    planes: Sequence[int],
) -> dict[str, NDArray[np.float64]]:
    """Train in nested planes, in steps as long as those without a plane.

    A plane of d dimensions keeps about a share d / P of the square of a step of Adam, so that its
    rate is times sqrt(P / d): otherwise planes and small rates are only slow.

    Returns:
        What each network reached (K, D).
    """
    count = task.weight_count
    largest = [random_plane(count, setup.dims[-1], plane).directions for plane in planes]
    runs = [
        jr.train(
            task, setup.recipe(rate * math.sqrt(count / dim)), list(seeds), starts,
            asked.work / name / str(dim), QUIET,
            planes=[Plane(rows[:dim], normal=False) for rows in largest],
        )
        for dim in setup.dims
    ]  # fmt: skip
    return {
        metric: np.stack([run.metrics[metric][:, -1] for run in runs], axis=1)
        for metric in ("train_loss", "test_accuracy")
    }


def sharp(setup: Setup, task: jr.Task, state: NDArray[Any]) -> dict[str, int]:
    """Count the sharp directions at each cut."""
    found = jr.sharp_directions(
        task, state, setup.cuts[0], dtype="float32", execution=jr.Execution(progress=False)
    )
    return {f"{cut:g}": found.above(cut) for cut in setup.cuts}


def redrawn(asked: Flags, setup: Setup, network: int) -> Found:
    """Train a network of the middle condition in further planes, or read what was kept."""
    width, rate = setup.middle()
    name = f"mlp-planes-{network}"
    of = replace(setup, cuts=()), network
    return dict(
        kept(
            asked.work / f"{name}.json", of,
            partial(_redraw, asked, setup, width, rate, network, name),
        )
    )  # fmt: skip


def _redraw(asked: Flags, setup: Setup, width: int, rate: float, network: int, name: str) -> Found:
    task = setup.task(width)
    count, first = setup.planes, FIRST_PLANE + network * setup.planes
    starts = np.repeat(task.initial(network)[None], count, axis=0)
    found = descended(
        asked, setup, task, rate, name, starts, [network] * count, range(first, first + count)
    )
    return {"seed": network, "plane_loss": found["train_loss"]}


def turn(dims: Sequence[int], losses: Sequence[float], goal: float) -> float:
    """Interpolate from which dimension on losses reach a goal: an octave past the last if none."""
    reached = np.flatnonzero(np.asarray(losses) <= goal)
    if not len(reached):
        return 2.0 * dims[-1]
    place = int(reached[0])
    if place == 0:
        return float(dims[0])
    before, after = losses[place - 1], losses[place]
    logs = np.log2(dims[place - 1 : place + 1])
    return float(2 ** (logs[0] + (before - goal) / (before - after) * (logs[1] - logs[0])))
