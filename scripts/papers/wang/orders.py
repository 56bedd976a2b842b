"""Networks whose classes are followed: when each is learned and when it is right on the path."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from evidence.cells import QUIET, trained
from evidence.figure import Flags
from numpy.typing import NDArray
from papers.wang.plateau_networks import CLASSES, Cell, task

import jumpretrain as jr

ALPHAS = 101
HELD = 0.1
"""The shortest error plateau on which a loss or a prediction is looked at, in alpha."""


@dataclass(frozen=True)
class Case:
    """A trained network, its path and what its classes did.

    Attributes:
        data: `digits` or `fashion_mnist`.
        seed: Its seed.
        path: Linear path from its start.
        report: Biases beside the errors of the classes.
        learned: Epoch at which each class's mean probability first reaches 1/2 (C,).
    """

    data: str
    seed: int
    path: jr.Path
    report: Any
    learned: NDArray[np.float64]


def chance(label: int, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give the probability of a class where it is the target, and 0 elsewhere."""
    return outputs.softmax(1)[:, label] * (targets == label)


def followed(
    asked: Flags, cell: Cell, size: int, recipe: jr.Recipe, seeds: list[int]
) -> list[Case]:
    """Train networks and see when each class is learned, and when it turns right on the path."""
    measures = {f"chance{label}": partial(chance, label) for label in range(CLASSES)}
    given = replace(task(cell, size), metrics=measures)
    runs = trained(asked, f"{cell.data}-{seeds[0]}", given, recipe, seeds, jobs=1)
    labels = given.tensors["scored_y"].cpu().numpy()
    shares = np.bincount(labels, minlength=CLASSES) / len(labels)
    means = np.stack([runs.metrics[f"train_{name}"] for name in measures], axis=-1) / shares
    cases = []
    for place, seed in enumerate(seeds):
        ends = runs.initial[place], runs.final[place]
        path = jr.interpolate(given, *ends, ALPHAS, execution=QUIET)
        report = jr.bias_report(given, path)
        cases.append(Case(cell.data, seed, path, report, reached(runs.epoch, means[place])))
    return cases


def reached(epoch: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find when each column first reaches 1/2, between two records by a straight line.

    Returns:
        Epochs (C,); the last one where a column never does.
    """
    found = []
    for column in means.T:
        after = int((column >= 0.5).argmax())
        if not after:
            found.append(epoch[-1])
            continue
        pair = slice(after - 1, after + 1)
        found.append(np.interp(0.5, column[pair], epoch[pair]))
    return np.array(found)


def measured(case: Case) -> dict[str, Any]:
    """Measure a network, as a row of a table."""
    report, path = case.report, case.path
    plateau, variance = path.plateau(), float(report.biases.var())
    middle = int(np.searchsorted(path.alphas, plateau.error / 2))
    largest, held = report.order[0], plateau.error >= HELD
    return {
        "data": case.data,
        "seed": case.seed,
        "biases": report.biases.tolist(),
        "learned": case.learned.tolist(),
        "turns": report.turns.tolist(),
        "predicted": report.predicted.tolist(),
        "bias_and_learning": ranked(report.biases, case.learned),
        "bias_and_turning": ranked(-report.biases, report.turns),
        "learning_and_turning": ranked(case.learned, report.turns),
        "agreement": report.agreement,
        "off": float(np.abs(report.predicted - report.turns).mean()),
        "last_is_largest": bool(case.learned.argmax() == largest),
        "plateau_class_is_largest": bool(report.plateau_class == largest) if held else None,
        "error_plateau": plateau.error,
        "loss_plateau": plateau.loss,
        "gap": report.gap,
        "excess": plateau.excess,
        "min_delta": path.monotonicity().min_delta,
        "middle_excess": float(path.metrics["train_loss"][middle]) - math.log(CLASSES),
        "middle_expected": float(path.alphas[middle]) ** 2 * variance / 2,
    }


def ranked(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Correlate two values of the classes of one network by rank."""
    return float(pd.Series(first).corr(pd.Series(second), method="spearman"))
