"""Measure curvature and success over radii of the start, for the figure on arXiv:1807.02581."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence.cells import kept
from evidence.figure import Flags, device
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.curvature.hessian import hessian_product
from jumpretrain.states.planes import Plane, random_plane

DIMS = (10, 50, 100)  # of the planes of Hessians; the last one is judged
CHANCE, LOT = 0.1, 10  # accuracy of guessing; networks a job
Found = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """Networks of one kind.

    Attributes:
        name: What the figure calls it.
        network: `mlp` of two hidden layers of 32 on digits, or `cnn` on Fashion-MNIST.
        sizes: Numbers of training and test examples.
        examples: Number of examples of the Hessian.
        dim: Dimension of the planes of training, the first of which hold the Hessian.
        epochs: Of training.
        lr: Adam's rate without a plane.
        radii: Of the starts, in units of Xavier's.
        seeds: Networks at each radius.
        networks: Networks at Xavier's radius, the same ones among them.
    """

    name: str
    network: Literal["mlp", "cnn"]
    sizes: tuple[int, int]
    examples: int
    dim: int
    epochs: int
    lr: float
    radii: tuple[float, ...]
    seeds: int
    networks: int

    def tasks(self, radius: float) -> tuple[jr.Task, jr.Task]:
        """Build the task of training, and that of the Hessian on fewer examples."""
        if self.network == "mlp":
            data = jr.data.digits().subset(*self.sizes)
            build = partial(jr.models.mlp, data.train_x.shape[1:], 10, hidden=(32, 32))
        else:
            data = fort.fashion(*self.sizes)
            shape = data.train_x.shape[1:]
            build = partial(jr.models.simple_cnn, shape, 10, channels=fort.NARROW)
        scaled = jr.initialise(build, "xavier", scale=radius)
        few = data.subset(self.examples)
        return jr.Task(scaled, data, device=device()), jr.Task(scaled, few, device=device())

    def recipe(self, stretch: float = 1.0) -> jr.Recipe:
        """Write the recipe, of a rate that is stretched."""
        return fort.recipe(self.epochs, self.lr * stretch)


def lots(setup: Setup) -> list[tuple[float, range]]:
    """Divide the networks into jobs."""
    return [
        (radius, range(first, min(first + LOT, count)))
        for radius in setup.radii
        for count in [setup.networks if radius == 1 else setup.seeds]
        for first in range(0, count, LOT)
    ]


def measured(asked: Flags, setup: Setup, radius: float, seeds: range) -> list[Found]:
    """Measure curvature at the start and the success of training, or read what was kept."""
    name = f"{setup.network}-{radius:g}-{seeds[0]}"
    of = replace(setup, name="", radii=(), seeds=0, networks=0), radius, seeds
    measure = partial(_measure, asked, setup, radius, seeds, name)
    return list(kept(asked.work / f"{name}.json", of, measure))


def _measure(asked: Flags, setup: Setup, radius: float, seeds: range, name: str) -> list[Found]:
    task, fewer = setup.tasks(radius)
    starts = np.stack([task.initial(seed) for seed in seeds])
    planes = [random_plane(task.weight_count, setup.dim, seed) for seed in seeds]
    long = math.sqrt(task.weight_count / setup.dim)
    ways = {"plane": (long, planes), "far": (long * radius, planes), "free": (1.0, None)}
    runs = {
        way: jr.train(
            task, setup.recipe(stretch), seeds, starts, asked.work / name / way,
            jr.Execution(progress=False), planes=held,
        ).metrics
        for way, (stretch, held) in ways.items()
        if way != "far" or radius != 1
    }  # fmt: skip
    reached = {"far": runs["plane"], **runs}
    return [
        {
            "radius": radius,
            "seed": seed,
            "initial_loss": runs["free"]["train_loss"][place, 0],
            **{f"{way}_accuracy": reached[way]["test_accuracy"][place, -1] for way in ways},
            **{f"{way}_loss": reached[way]["train_loss"][place, -1] for way in ways},
            **curved(fewer, starts[place], planes[place]),
        }
        for place, seed in enumerate(seeds)
    ]


def curved(task: jr.Task, state: NDArray[Any], plane: Plane) -> Found:
    """Measure the Hessian in the first dimensions of a plane: `jr.curvature.goldilocks`."""
    product = hessian_product(task, state, "float32" if task.convolutional else "float64")
    rows = plane.directions[: DIMS[-1]]
    matrix = rows @ np.stack([product(row) for row in rows], axis=1)
    matrix = (matrix + matrix.T) / 2
    return {
        "positive": float((np.linalg.eigvalsh(matrix) > 0).mean()),
        **{
            f"ratio_{dim}": float(np.trace(part) / np.linalg.norm(part))
            for dim in DIMS
            for part in [matrix[:dim, :dim]]
        },
    }


def few(setup: Setup, table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Arrange a value as one row a network and one column a radius."""
    return table[table["seed"] < setup.seeds].pivot(index="seed", columns="radius", values=value)


def lost(setup: Setup, table: pd.DataFrame, way: str, radius: float) -> NDArray[np.float64]:
    """Say which share of the success at Xavier's radius is lost at another."""
    reached = few(setup, table, f"{way}_accuracy") - CHANCE
    return (1 - reached[radius] / reached[1.0]).to_numpy()
