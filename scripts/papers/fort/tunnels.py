"""Measure tunnels of low loss around trained networks, for figure 2 of arXiv:1906.04724.

Planes, the loss along the radius, and the loss in random directions beside the Hessian.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from evidence.cells import QUIET, kept, trained
from evidence.figure import Flags
from numpy.typing import NDArray
from papers.fort import networks as fort
from papers.fort.width_networks import THRESHOLD, Found

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.states.directions import directions

FACTORS = np.geomspace(0.1, 10, 61)  # of the weights
OUT = 2.5  # norms of the optima, how far the plane reaches
RISES = (0.05, 0.1, 0.2, 0.4, 0.8)  # nats above the optimum, by the Hessian's trace


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes.

    Attributes:
        data: `fashion`, at 14x14 pixels, goes with CNNs, `digits` with an MLP.
        sizes: Numbers of training and test examples.
        wide: Channels or hidden widths of the networks in planes and along rays.
        narrow: Of those whose Hessian is taken.
        training: How all are trained.
        seeds: Number of networks of each kind.
        grid: Points along an axis of a plane.
        drawn: Numbers of training and test examples whose loss is drawn in planes.
        curved: Training examples of the narrow networks, whose loss is followed around them.
        directions: Random directions.
        cut: Least curvature of a sharp direction.
        method: Of finding them.
    """

    data: Literal["digits", "fashion"]
    sizes: tuple[int, int]
    wide: tuple[int, ...]
    narrow: tuple[int, ...]
    training: jr.Recipe
    seeds: int
    grid: int
    drawn: tuple[int, int]
    curved: int
    directions: int
    cut: float
    method: Literal["exact", "lanczos"]

    def examples(self) -> jr.Dataset:
        """Load the data."""
        if self.data == "digits":
            return jr.data.digits().subset(*self.sizes)
        return fort.fashion(*self.sizes)

    def build(self, data: jr.Dataset, widths: Sequence[int]) -> jr.Task:
        """Build the task of a network."""
        return (fort.mlp if self.data == "digits" else fort.cnn)(data, widths)


def explored(asked: Flags, plan: Plan) -> tuple[Found, list[Found], list[Found]]:
    """Measure everything, or read what was kept: planes, cuts along the radius, wells."""
    jobs = [(asked, plan, part, seed) for part in PARTS for seed in range(plan.seeds)]
    jobs.append((asked, plan, "planes", 0))
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    found = spread(measured, jobs, execution, "networks")
    return found[-1], found[: plan.seeds], found[plan.seeds : -1]


def measured(asked: Flags, plan: Plan, part: str, seed: int) -> Found:
    """Train what a part needs and measure it, or read what was kept of the same."""
    measure: Callable[..., Found] = {"planes": crossed, **PARTS}[part]
    return kept(asked.work / f"{part}-{seed}.json", plan, partial(measure, asked, plan, seed))


def fitted(asked: Flags, plan: Plan, kind: str, seed: int) -> tuple[jr.Task, NDArray[Any]]:
    task = plan.build(plan.examples(), getattr(plan, kind))
    runs = trained(asked, f"{kind}-{seed}", task, plan.training, [seed], jobs=1)
    return task, runs.final[0]


def scaled(asked: Flags, plan: Plan, seed: int) -> Found:
    """Score a network whose weights are multiplied by factors, and how wide its tunnel is."""
    task, state = fitted(asked, plan, "wide", seed)
    few = plan.build(task.data.subset(*plan.drawn), plan.wide)
    reach = 5 * norm(task, state)
    width = jr.tunnel_width(
        few, state, THRESHOLD, plan.directions // 4, reach=reach, steps=25, execution=QUIET
    )
    return {
        "radius": norm(task, state),
        "width": width.median,
        "cut": jr.radial_cut(task, state, FACTORS.tolist(), QUIET),
    }


def well(asked: Flags, plan: Plan, seed: int) -> Found:
    """Leave a narrow network in random directions, as far as its Hessian says the loss rises."""
    task, state = fitted(asked, plan, "narrow", seed)
    seen = plan.build(task.data.subset(plan.curved, 2), plan.narrow)
    sharp = jr.sharp_directions(
        seen, state, plan.cut, plan.method, "float32", draws=16, execution=QUIET
    )
    distances = [math.sqrt(2 * rise * task.weight_count / sharp.trace) for rise in RISES]
    around = jr.isotropy(
        seen, state, distances, plan.directions, tangential=False, execution=QUIET
    )
    return {
        "weights": task.weight_count,
        "loss": around.start_loss,
        "gradient_norm": sharp.gradient_norm,
        "sharp": sharp.count,
        "participation": sharp.goldilocks**2,
        "distances": distances,
        "mean": around.mean,
        "sd": around.sd,
        "short": around.short,
    }


PARTS = {"cut": scaled, "well": well}


def crossed(asked: Flags, plan: Plan, seed: int) -> Found:
    """Score the plane of the origin and two optima, and a random one through the first."""
    (task, first), (_, second) = (fitted(asked, plan, "wide", seed + k) for k in (0, 1))
    few = plan.build(task.data.subset(*plan.drawn), plan.wide)
    share = {"size": plan.grid, "execution": QUIET}
    corners = np.stack([0 * first, OUT * first, OUT * second])
    radial = jr.plane_through(few, corners, **share)
    axes, _ = directions(task.layout, first, [0, 1])
    corners = first + np.array([[-1, -1], [1, -1], [-1, 1]]) @ axes
    random = jr.plane_through(few, corners.astype(first.dtype), margin=0, **share)
    return {
        name: {
            "x": plane.x,
            "y": plane.y,
            "optima": plane.project(states),
            **{key: plane.metrics[key].round(4) for key in ("train_loss", "test_loss")},
        }
        for name, plane, states in (
            ("radial", radial, [0 * first, first, second]), ("random", random, [first])
        )
    }  # fmt: skip


def norm(task: jr.Task, state: NDArray[Any]) -> float:
    return float(np.linalg.norm(state[: task.weight_count]))


def lowest(one: Found, split: str) -> float:
    """Find the radius at which a loss is least."""
    return float(FACTORS[np.argmin(one["cut"][f"{split}_loss"])] * one["radius"])


def ended(one: Found, split: str) -> float:
    """Find the radius outside the least loss at which it exceeds the threshold, or the last."""
    losses = np.array(one["cut"][f"{split}_loss"])
    begin = int(losses.argmin())
    above = losses[begin:] > THRESHOLD
    place = begin + int(above.argmax()) if above.any() else -1
    return float(FACTORS[place] * one["radius"])
