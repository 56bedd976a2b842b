"""Toys of arXiv:2210.01019, trained, with both paths: four classes of one point each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.homogeneity import BiasToy, train_toys
from jumpretrain.paths import Path

CLASSES, LR, UNTIL, ALPHAS = 4, 0.1, 0.02, 101
LONGEST = 100_000
"""Steps; toys whose slowest class would need more to escape are left out before training."""


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
