"""Toys of arXiv:2210.01019, trained, with both paths, and judged: four classes of a point each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from evidence.judging import entry, within
from evidence.proportions import counted, quotient
from numpy.typing import NDArray

from jumpretrain.comparison.hypothesis_tests import spearman
from jumpretrain.paths.path import Path
from jumpretrain.toys.bias_toy import BiasToy, train_toys

CLASSES, LR, UNTIL, ALPHAS = 4, 0.1, 0.02, 101
LONGEST = 100_000
"""Steps; toys whose slowest class would need more to escape are left out before training."""
SHARE, CORRELATION, REACH, RISE = 0.9, 0.5, 0.1, 0.5  # the smallest effects of interest
LONGER, LASTS = 0.08, 0.1  # the least difference of error plateaus, the least loss plateau
RANKED = 0.2  # the least rank correlation
HELD = 0.2  # the shortest error plateau on which the loss is compared with log k
OVER = "over cells of degree and scale: ", "cells of means over networks"


@dataclass(frozen=True)
class Course:
    """A trained toy with its paths.

    Attributes:
        scale: Standard deviation of the draws it began with.
        seed: Its seed.
        toy: The toy.
        linear: Its path with biases linear in alpha.
        homogeneous: Its path with biases that grow with alpha^r.
    """

    scale: float
    seed: int
    toy: BiasToy
    linear: Path
    homogeneous: Path

    @property
    def turns(self) -> NDArray[np.float64]:
        """Last alpha at which each class is wrong on the linear path, 0 where none (k,)."""
        wrong = np.asarray(self.linear.class_error["train"]) > 0
        return np.where(wrong, self.linear.alphas[:, None], 0).max(axis=0)


def trained(degree: int, scale: float, count: int) -> list[Course]:
    """Train the toys of a cell and interpolate both ways."""
    seeds: list[int] = []
    candidate = 0
    while len(seeds) < count:
        if escape(candidate, degree, scale) <= LONGEST:
            seeds.append(candidate)
        candidate += 1
    toys = train_toys(seeds, CLASSES, degree, scale, LR, UNTIL)
    return [
        Course(scale, seed, toy, toy.path(ALPHAS), toy.path(ALPHAS, "homogeneous"))
        for seed, toy in zip(seeds, toys, strict=True)
    ]


def escape(seed: int, degree: int, scale: float) -> float:
    """Predict the steps until the smallest own weight w of a class has grown.

    dw/dt = (r / k) (1 - 1 / k) w^(r - 1) gives t = k w^(2 - r) / (r (r - 2) (1 - 1 / k)); at r = 2
    growth is exponential and never long.

    Returns:
        Steps of gradient descent.
    """
    if degree == 2:
        return 0.0
    draws = np.random.default_rng(seed).normal(size=(CLASSES, CLASSES))
    smallest = scale * np.abs(draws.diagonal()).min()
    rate = degree * (degree - 2) * (1 - 1 / CLASSES) / CLASSES * LR
    return float(smallest ** (2 - degree) / rate)


def training(course: Course) -> dict[str, Any]:
    """Follow a toy through training: descent is the same however early it is stopped.

    Returns:
        Steps, and the signal and bias of each class at each of them.
    """
    toy, degree = course.toy, course.toy.degree
    levels = np.linspace(math.log(CLASSES), UNTIL, 120)[1:-1]
    stages = [
        train_toys([course.seed], CLASSES, degree, course.scale, LR, level)[0] for level in levels
    ]
    stages.append(toy)
    signals = [toy.initial.diagonal() ** degree]
    signals += [stage.weights.diagonal() ** degree for stage in stages]
    return {
        "steps": [0, *(stage.steps for stage in stages)],
        "signal": np.array(signals).tolist(),
        "bias": [[0.0] * CLASSES, *(stage.biases.tolist() for stage in stages)],
        "learned": toy.learned.tolist(),
    }


def measured(course: Course) -> dict[str, Any]:
    """Measure a toy, as a row of a table."""
    toy = course.toy
    linear, homogeneous = course.linear.plateau(), course.homogeneous.plateau()
    order = np.argsort(toy.learned, kind="stable")
    turns, variance = course.turns, float(toy.biases.var())
    off = float(np.abs(np.minimum(toy.predicted, 1) - turns).mean())
    middle = int(np.searchsorted(course.linear.alphas, linear.error / 2))
    above = float(course.linear.values("train_loss")[middle]) - math.log(CLASSES)
    expected = float(course.linear.alphas[middle]) ** 2 * variance / 2
    return {
        "degree": toy.degree,
        "scale": course.scale,
        "seed": course.seed,
        "steps": toy.steps,
        "learned": toy.learned.tolist(),
        "biases": toy.biases.tolist(),
        "turns": turns.tolist(),
        "predicted": toy.predicted.tolist(),
        "off": off,
        "same_order": bool((order == np.argsort(toy.biases)).all()),
        "last_is_largest": bool(order[-1] == toy.biases.argmax()),
        "correlation": float(np.corrcoef(-toy.biases, turns)[0, 1]),
        "linear_error": linear.error,
        "linear_loss": linear.loss,
        "homogeneous_error": homogeneous.error,
        "homogeneous_loss": homogeneous.loss,
        "excess": linear.excess,
        "rise": course.linear.monotonicity().min_delta,
        "variance": variance,
        "middle_excess": above,
        "middle_expected": expected,
    }


def judged(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge toys: a cell of degree and scale, whose toys are alike, is one of a sample.

    Returns:
        The claims: over cells and in each; those on the order (H16) count toys.
    """
    cells, held = by_cell(table), by_cell(lasting(table))
    return [
        *ordered(table),
        *plateaus(cells, *OVER),
        *turning(cells, *OVER),
        *(claim for where, some in apart(table) for claim in turning(some, where)),
        *lifted(held, *OVER),
        *(claim for where, some in apart(lasting(table)) for claim in lifted(some, where)),
        *ranked(cells, *OVER),
    ]


def pooled(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge toys as they were before: as one sample, and those of a degree with scales pooled."""
    degrees = [(f"r = {degree}: ", some) for degree, some in table.groupby("degree")]
    return [
        *plateaus(table),
        *(claim for where, some in [("", table), *degrees] for claim in turning(some, where)),
        *(
            claim
            for where, some in [("", table), *degrees]
            for claim in lifted(some[some["linear_error"] >= HELD], where)
        ),
        *ranked(table),
    ]


def by_cell(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby(["degree", "scale"]).mean(numeric_only=True)


def apart(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    groups = table.groupby(["degree", "scale"])
    return [(f"r = {degree}, scale {scale:g}: ", some) for (degree, scale), some in groups]


def lasting(table: pd.DataFrame) -> pd.DataFrame:
    """Keep toys with an error plateau, of cells that have two of them or more."""
    held = table[table["linear_error"] >= HELD]
    return held[held.groupby(["degree", "scale"])["seed"].transform("size") > 1]


def ordered(table: pd.DataFrame) -> list[dict[str, Any]]:
    claims = {
        "classes are learned in the order of their biases at the end": "same_order",
        "the class learned last has the largest bias": "last_is_largest",
    }
    found = [counted("interpolation-H16", text, table[name], SHARE)
             for text, name in claims.items()]  # fmt: skip
    how = "share of networks, each counted, though those of one degree and scale are alike"
    return [claim | {"statistic": how} for claim in found]


def plateaus(
    table: pd.DataFrame, where: str = "", units: str = "networks"
) -> list[dict[str, Any]]:
    """Judge how long error and loss stay high."""
    return of_units(units, [
        within(
            "interpolation-H13",
            f"{where}the error stays high longer on the linear path than on the homogeneous one",
            "difference of error plateaus, in alpha",
            table["linear_error"] - table["homogeneous_error"],
            LONGER,
        ),
        within(
            "interpolation-H14",
            f"{where}the loss has a plateau on the homogeneous path too",
            "length of the loss plateau, in alpha",
            table["homogeneous_loss"],
            LASTS,
        ),
    ])  # fmt: skip


def turning(table: pd.DataFrame, where: str = "", units: str = "networks") -> list[dict[str, Any]]:
    """Judge when classes turn right: by biases, and as degree counting has it."""
    return of_units(units, [
        within(
            "interpolation-H17",
            f"{where}classes with smaller biases turn right later on the linear path",
            "Pearson's correlation over classes of minus the bias and alpha",
            table["correlation"],
            CORRELATION,
        ),
        within(
            "interpolation-H17",
            f"{where}degree counting predicts to {REACH} at which alpha a class turns right",
            f"{REACH} minus the mean absolute difference over classes",
            REACH - table["off"],
            0,
        ),
    ])  # fmt: skip


def lifted(held: pd.DataFrame, where: str = "", units: str = "networks") -> list[dict[str, Any]]:
    """Judge the loss on the plateau; nothing of fewer than two."""
    if len(held) < 2:
        return []
    return of_units(units, [
        quotient(
            "interpolation-H18",
            f"{where}half way along the error plateau the loss lies above log k by at least "
            f"{RISE:.0%} of alpha² Var(b) / 2, where that plateau is {HELD} or longer",
            "the loss above log k and of alpha² Var(b) / 2",
            held["middle_excess"],
            held["middle_expected"],
            RISE,
        )
    ])  # fmt: skip


def ranked(table: pd.DataFrame, where: str = "", units: str = "networks") -> list[dict[str, Any]]:
    """Judge whether the loss rises with the variance of the biases; nothing of three or fewer."""
    if len(table) < 4:
        return []
    found = spearman(table["rise"], table["variance"])
    claim = f"{where}the loss rises more on the linear path where the biases vary more"
    how = "Spearman's rho over networks of the variance of the biases and min Delta"
    numbers = found.rho, found.low, found.high, len(table), RANKED
    return of_units(units, [entry("interpolation-H18", claim, how, *numbers, p=found.p)])


def of_units(units: str, claims: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [c | {"statistic": c["statistic"].replace("networks", units, 1)} for c in claims]


def by_degree(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Summarise the toys of each degree, as rows of a table."""
    groups = table.groupby("degree")
    names = ["linear_error", "homogeneous_error", "linear_loss", "homogeneous_loss", "correlation",
             "off", "rise", "excess"]  # fmt: skip
    counts = groups[["same_order", "last_is_largest"]].sum()
    means = groups[names].mean().add_prefix("mean_")
    joined = pd.concat([groups.size().rename("networks"), counts, means], axis=1)
    return joined.reset_index().to_dict("records")
