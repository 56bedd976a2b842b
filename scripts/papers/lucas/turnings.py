"""How much outputs turn along paths, in double precision and on two grids of alphas.

The angles between the steps of a ReLU network's outputs add up to more the finer the steps are:
kinks come into sight. What is measured so belongs to its grid, and each number says to which.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from evidence.figure import Flags, device
from evidence.rows import Array, Row
from numpy.typing import ArrayLike, NDArray
from papers.lucas import networks as lucas
from scipy.stats import rankdata
from torch import nn

import jumpretrain as jr
from jumpretrain.paths.certificate import certificate
from jumpretrain.paths.gauss_length import turning
from jumpretrain.paths.outputs import outputs_at
from jumpretrain.states.curves import Curve

TOLERANCE = 1e-2  # distance from the targets that counts as reaching them, over the first one
FALLS, ROUNDING = 1e-3, 1e-9
"""Rises over the first value that do not count: where targets are nearly reached, or reached."""
DISTANCES = {"distance": "weight distance", "relative": "distance over the initial norm"}
TURNED = {"gauss_mean": "Gauss length, mean over examples", "gauss_joint": "joint Gauss length"}


def doubled(build: Callable[[], nn.Module]) -> nn.Module:
    return build().double()


def in_double(task: jr.Task, data: jr.Dataset) -> jr.Task:
    return replace(task, model=partial(doubled, task.model), data=data)


def followed(
    cell: lucas.Cell, data: jr.Dataset, ends: ArrayLike, steps: int, split: str
) -> tuple[Array, Array]:
    """Follow outputs (A, n, d) between states (2, S) at the cell's alphas and `steps` to each."""
    steps = steps if cell.alphas > 11 else 4
    start, end = np.asarray(ends, float)
    curve = Curve(start, end, np.ones(len(start), np.uint8))
    alphas = np.linspace(0, 1, steps * (cell.alphas - 1) + 1)
    fine = np.stack(list(outputs_at(in_double(cell.task, data), curve, alphas, split)))
    return fine[::steps], fine


def finely(cell: lucas.Cell, runs: jr.Runs) -> Iterator[Row]:
    """Measure how much test outputs turn for the first trained network: a cell's hardly differ."""
    data = cell.task.data
    if not cell.facts["batchnorm"]:  # whose statistics come from training examples
        data = replace(data, train_x=data.train_x[:2], train_y=data.train_y[:2])
    fitted = (runs.status == "ok") & (runs.metrics["train_loss"][:, -1] <= cell.threshold)
    for number in np.flatnonzero(fitted)[:1]:
        ends = runs.initial[number], runs.final[number]
        for some in followed(cell, data, ends, 10, "test"):
            row, found = {"seed": int(runs.seeds[number]), "points": len(some)}, turning(some)
            yield row | {"gauss_mean": found.mean, "gauss_joint": found.joint}


def squared(asked: Flags) -> list[lucas.Cell]:
    """Describe networks that reach their targets: few examples, much time, squared error."""
    widths, sizes = ((64,), (16,)) if asked.quick else ((64, 256, 1024), (16, 64))
    lrs = {"adam": 1e-4} if asked.quick else {"sgd": 0.1, "adam": 1e-4}
    epochs, cells, one = 200 if asked.quick else 1000, [], np.eye(10, dtype=np.float32)
    for width, size, pair in product(widths[::-1], sizes, lrs.items()):
        changes = {"examples": size, "epochs": epochs, "batch_size": size}
        cell = lucas.classifier(asked.quick, *pair, depth=1, width=width, **changes)
        data = cell.task.data
        data = replace(data, train_y=one[data.train_y], test_y=one[data.test_y])
        task = jr.Task(cell.task.model, data, loss=jr.measures.squared_error, device=device())
        cells.append(replace(cell, name=f"squared-{cell.name}", task=task))
    return cells


def certify(cell: lucas.Cell, runs: jr.Runs) -> Iterator[Row]:
    """Test the theorem on each network, for the steps of two grids: on loss and last outputs."""
    data = cell.task.data
    data = replace(data, test_x=data.test_x[:2], test_y=data.test_y[:2])
    targets = in_double(cell.task, data).tensors["scored_y"].cpu().numpy()
    for seed, *ends in zip(runs.seeds, runs.initial, runs.final, strict=True):
        for some in followed(cell, data, ends, 20, "train"):
            found = certificate(some, targets, TOLERANCE)
            away, loss = (((some - to) ** 2).mean((1, 2)) for to in (some[-1], targets))
            path = jr.Path(np.linspace(0, 1, len(some)), {"away": away, "loss": loss})
            largest = float(found.length.per_example.max())
            turned = {"largest": largest, "joint": found.length.joint}
            yield {"seed": int(seed), "points": len(some), **turned} | {
                "missed": float(np.linalg.norm(found.residual) / np.linalg.norm(found.first)),
                "holds": found.holds,
                "by_joint_alone": found.holds and largest >= np.pi / 2,
                "share": path.monotonicity("loss").min_delta / float(loss[0]),
                "away_share": path.monotonicity("away").min_delta / float(away[0]),
            }


def random_curves(count: int) -> pd.DataFrame:
    """Draw curves in three dimensions with some bends, and go to their ends."""
    rng, alphas = np.random.default_rng(0), np.linspace(0, 1, 201)[:, None, None]
    line, bend = rng.normal(size=(count, 3)), rng.normal(size=(4, count, 3))
    size, phase = rng.exponential(0.15, (count, 1)), rng.uniform(0, 2 * np.pi, (4, count, 1))
    curve = alphas * line
    for wave in range(4):
        turns = np.pi * (wave + 1) * alphas + phase[wave]
        curve = curve + size * bend[wave] / (wave + 1) * np.sin(turns)
    away = ((curve - curve[-1]) ** 2).sum(2)
    rise = (away - np.minimum.accumulate(away)).max(0)
    return pd.DataFrame({"largest": turning(curve).per_example, "share": rise / away[0]})


def by_norm(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Give all networks, those without BatchNorm and those with it."""
    normed = table["batchnorm"].astype(bool)
    return {"all": table, "no normalisation": table[~normed], "BatchNorm": table[normed]}


def fit(table: pd.DataFrame, x: str, y: str) -> Row:
    """Fit a line to logarithms (`level`: height at 1); cells are resampled with their networks."""
    size = {"networks": len(table), "cells": table["cell"].nunique()}
    if size["cells"] < 4:
        return dict.fromkeys(("slope", "low", "high", "p", "level", "r2"), np.nan) | size
    across, up = (np.log(table[name].to_numpy(float)) for name in (x, y))
    slope, level = map(float, np.polyfit(across, up, 1))
    a, b = across - across.mean(), up - up.mean()
    sums = np.zeros((size["cells"], 5))
    parts = np.column_stack([np.ones_like(a), a, b, a * a, a * b])
    np.add.at(sums, pd.factorize(table["cell"])[0], parts)
    n, to_x, to_y, xx, xy = sums[drawn(len(sums))].sum(1).T
    below = n * xx - to_x**2
    slopes = np.divide(n * xy - to_x * to_y, below, out=np.full_like(n, np.nan), where=below > 0)
    values = {"slope": slope, "level": level, "r2": float(np.corrcoef(across, up)[0, 1] ** 2)}
    return values | bounded(slopes, slope) | size


def ranked(table: pd.DataFrame, x: str, y: ArrayLike) -> dict[str, float]:
    """Correlate ranks, as `rho`; NaN where one side never varies. Cells are resampled as above."""
    pair = table[x].to_numpy(float), np.asarray(y, float)

    def rho(rows: NDArray[np.intp]) -> float:
        across, up = (rankdata(values[rows]) for values in pair)
        return float(np.corrcoef(across, up)[0, 1]) if np.ptp(across) * np.ptp(up) else np.nan

    every = rho(np.arange(len(table))) if len(table) else np.nan
    codes, names = pd.factorize(table["cell"])
    if np.isnan(every) or len(names) < 4:
        return dict.fromkeys(("rho", "low", "high", "p"), np.nan)
    members = [np.flatnonzero(codes == code) for code in range(len(names))]
    found = [rho(np.concatenate([members[k] for k in one])) for one in drawn(len(names))]
    return {"rho": every, **bounded(found, every)}


def drawn(cells: int) -> NDArray[np.intp]:
    """Draw cells with replacement (2000, cells), to be taken with all their networks, alike."""
    return np.random.default_rng(0).integers(cells, size=(2000, cells))


def bounded(values: ArrayLike, effect: float) -> dict[str, float]:
    """Take the 95 % interval of an effect from its values in resamples, and p of its being 0."""
    some = np.asarray(values, float)
    some = some[np.isfinite(some)]
    low, high = np.quantile(some, [0.025, 0.975])
    beyond = min((some <= 0).sum(), (some >= 0).sum())
    p = min(1.0, 2 * (1 + float(beyond)) / (1 + len(some)))
    return {"low": float(min(low, effect)), "high": float(max(high, effect)), "p": p}
