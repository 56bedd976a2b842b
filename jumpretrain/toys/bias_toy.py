"""Degree counting: signals that grow with alpha^r beside biases that grow with alpha.

The closed forms and the toy network of arXiv:2210.01019; the toy's exact form is derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.settings import standard_settings
from jumpretrain.paths.biases import turning_alpha
from jumpretrain.paths.path import Path
from jumpretrain.states.curves import check_alphas

__all__ = ["BiasToy", "train_toys"]


@dataclass(frozen=True, eq=False)
class BiasToy:
    """A trained network f_i(x) = sum_j sgn(W_ij) |W_ij|^r x_j + b_i with one point a class.

    Attributes:
        initial: Weights at the start, all positive (k, k); the biases start at 0.
        weights: Weights at the end (k, k).
        biases: Biases at the end (k,).
        learned: Step at which each class was first predicted with probability above 1/2 (k,); -1
            where it never was.
        drift: Largest sum of the biases, in absolute value, over all steps: 0 up to rounding.
        degree: r.
        steps: Number of steps taken.
    """

    initial: NDArray[np.float64]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    learned: NDArray[np.int64]
    drift: float
    degree: int
    steps: int

    @property
    def predicted(self) -> NDArray[np.float64]:
        """Where on the linear path each class turns right by degree counting (k,)."""
        signal = _power(self.weights, self.degree).T
        return turning_alpha(signal, self.biases, np.arange(len(signal)), self.degree)

    def path(
        self, alphas: int | ArrayLike = 101, biases: Literal["linear", "homogeneous"] = "linear"
    ) -> Path:
        """Interpolate from the start to the end.

        Args:
            alphas: Where to score, or how many points.
            biases: Whether the biases move with alpha or with alpha^r.

        Returns:
            Training loss, error, error of each class and outputs.

        Raises:
            ValueError: If the alphas or the kind of biases are unknown.
        """
        if biases not in ("linear", "homogeneous"):
            raise ValueError(f"biases must be linear or homogeneous, but is {biases!r}")
        shares = check_alphas(alphas)
        share = shares[:, None, None]
        moved = shares**self.degree if biases == "homogeneous" else shares
        weights = (1 - share) * self.initial + share * self.weights
        outputs = _power(weights, self.degree) + moved[:, None, None] * self.biases[:, None]
        chance = _softmax(outputs)
        classes = np.arange(len(self.biases))
        known = np.isfinite(outputs.max(axis=1))  # as `measures.predicted` has it
        errors = np.where(known, outputs.argmax(axis=1) != classes, np.nan)
        metrics = {
            "train_loss": -np.log(chance[:, classes, classes]).mean(axis=1),
            "train_error": errors.mean(axis=1),
        }
        return Path(shares, metrics, {"train": errors}, {"train": outputs.transpose(0, 2, 1)})


@checked
@standard_settings()
def train_toys(
    seeds: Sequence[int],
    classes: int = 4,
    degree: int = 3,
    scale: float = 0.1,
    lr: float = 0.1,
    until: float = 0.02,
    most: int = 1_000_000,
) -> list[BiasToy]:
    """Train toys by gradient descent on the cross-entropy, all seeds together.

    Args:
        seeds: One for each toy's weights, one or more, from 0.
        classes: Number k of classes, each with one point, at least 2.
        degree: r, the power of the weights, at least 1.
        scale: Standard deviation of the normal draws whose absolute values are the weights.
        lr: Learning rate.
        until: Loss at which training ends.
        most: Number of steps after which it is given up.

    Returns:
        A toy for each seed.

    Raises:
        ValueError: If a value is out of its range, or a toy diverges or has not reached the loss
            after the last step.

    Example:
        >>> toy = train_toys([0], degree=2)[0]
        >>> bool((np.argsort(toy.learned) == np.argsort(toy.biases)).all())
        True
    """
    _check_toys(seeds, classes, degree, scale, lr, until, most)
    draws = [np.random.default_rng(seed).normal(size=(classes, classes)) for seed in seeds]
    initial = scale * np.abs(draws)
    weights, biases = initial.copy(), np.zeros((len(seeds), classes, 1))
    target = np.eye(classes)
    learned = np.full((len(seeds), classes), -1)
    steps, drift = np.full(len(seeds), -1), np.zeros(len(seeds))
    for step in range(most + 1):
        chance = _softmax(_power(weights, degree) + biases)
        right = np.diagonal(chance, axis1=1, axis2=2)
        learned[(right > 0.5) & (learned < 0)] = step
        drift = np.maximum(drift, np.abs(biases.sum((1, 2))))
        steps[(steps < 0) & (-np.log(right).mean(1) <= until)] = step
        going = (steps < 0)[:, None, None]
        if not going.any() or np.isnan(right).any():
            break
        slope = going * (lr / classes) * (chance - target)
        biases = biases - slope.sum(axis=2, keepdims=True)
        weights = weights - degree * np.abs(weights) ** (degree - 1) * slope
    if (steps < 0).any():
        remedy = "lower" if np.isnan(right).any() else "raise most, the scale or"
        raise ValueError(
            f"toys must reach loss {until}, but {(steps < 0).sum()} have not after {step} steps; "
            f"{remedy} the learning rate"
        )
    return [
        BiasToy(*arrays[:4], float(drift[k]), degree, int(steps[k]))
        for k, arrays in enumerate(zip(initial, weights, biases[..., 0], learned, strict=True))
    ]


def _check_toys(
    seeds: Sequence[int],
    classes: int,
    degree: int,
    scale: float,
    lr: float,
    until: float,
    most: int,
) -> None:
    if not len(seeds) or min(seeds) < 0:
        raise ValueError(f"toys need a seed or more, from 0, but seeds are {list(seeds)}")
    for name, value, least in (("classes", classes, 2), ("degree", degree, 1), ("most", most, 0)):
        if not value >= least or value % 1:
            raise ValueError(f"{name} must be whole and at least {least}, but is {value}")
    for name, number in (("scale", scale), ("lr", lr), ("until", until)):
        if not 0 < number < np.inf:
            raise ValueError(f"{name} must be finite and above 0, but is {number}")


def _power(weights: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    return np.asarray(np.sign(weights) * np.abs(weights) ** degree)


def _softmax(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    grown = np.exp(outputs - outputs.max(axis=-2, keepdims=True))
    return np.asarray(grown / grown.sum(axis=-2, keepdims=True))
