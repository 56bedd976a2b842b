"""How much curves in function space turn, how long they are, and how far from straight.

The length of the Gauss map of arXiv:2104.11044, section 4, is estimated by the angles between
successive steps (derived): the same for every parametrisation, never above the true length, and
the kinks of ReLU networks count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Certificate", "GaussLength", "certificate", "linearity", "turning"]

ROUNDINGS = 256


@dataclass(frozen=True, eq=False)
class GaussLength:
    """How much the outputs turn along a path, in radians.

    Attributes:
        per_example: Total angle of each example's curve (n,).
        joint: Total angle of the one curve of all outputs side by side.
        path_length: Length of each example's curve, in units of the outputs (n,).
    """

    per_example: NDArray[np.float64]
    joint: float
    path_length: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean over the examples."""
        return float(self.per_example.mean())


@dataclass(frozen=True, eq=False)
class Certificate:
    """Whether small turning proves that the squared error falls along a path.

    If a curve ends at its target and turns by less than pi / 2, its distance to the target falls
    at every step: arXiv:2104.11044, section 4; the proof for steps is derived.

    Attributes:
        length: How much the outputs turn.
        residual: Distance of each example's last output from its target (n,).
        tolerance: Largest residual that counts as reaching the target.
    """

    length: GaussLength
    residual: NDArray[np.float64]
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the mean squared error is proven to fall at every step."""
        small = min(self.length.joint, float(self.length.per_example.max())) < np.pi / 2
        return bool(small and self.residual.max() <= self.tolerance)


class _Walk:
    """Curves (n, d) followed point by point; steps lost in rounding wait for the next."""

    def __init__(self, first: NDArray[np.float64], eps: float) -> None:
        self.point, self.eps = first, eps
        self.heading = np.zeros_like(first)
        self.largest, self.angle, self.length = np.zeros((3, len(first)))

    def to(self, point: NDArray[np.float64]) -> None:
        self.largest = np.maximum(self.largest, np.abs(point).max(1, initial=0))
        step = point - self.point
        size = np.linalg.norm(step, axis=1)
        moved = size > ROUNDINGS * self.eps * self.largest
        unit = step[moved] / size[moved, None]
        before = self.heading[moved]
        apart = np.linalg.norm(unit - before, axis=1)
        turned = 2 * np.arctan2(apart, np.linalg.norm(unit + before, axis=1))
        self.angle[moved] += np.where(before.any(1), turned, 0)
        self.length[moved] += size[moved]
        self.heading[moved], self.point[moved] = unit, point[moved]


def turning(curves: Iterable[ArrayLike]) -> GaussLength:
    """Add up the angles between successive steps of curves.

    A step too short to have a direction, in the precision of the numbers, is joined with the
    next.

    Args:
        curves: Outputs at each alpha, (A, n, d) or anything that yields (n, d); curves (A, d)
            count as one example.

    Returns:
        Angles and lengths of each example's curve, and of all together.

    Raises:
        ValueError: If there is no point, or one is not finite.

    Example:
        >>> angle = np.linspace(0, np.pi, 1000)
        >>> round(turning(np.c_[np.cos(angle), np.sin(angle)]).joint, 2)
        3.14
    """
    walks: tuple[_Walk, _Walk] | None = None
    for number, entry in enumerate(curves):
        raw = np.asarray(entry)
        points = np.array(np.atleast_2d(raw), dtype=np.float64)
        points = points.reshape(len(points), -1)
        if not np.isfinite(points).all():
            raise ValueError(
                f"outputs must be finite to turn, but those at point {number} are not"
            )
        if walks is None:
            eps = float(np.finfo(raw.dtype if raw.dtype.kind == "f" else np.float64).eps)
            walks = _Walk(points, eps), _Walk(points.reshape(1, -1).copy(), eps)
        walks[0].to(points)
        walks[1].to(points.reshape(1, -1))
    if walks is None:
        raise ValueError("a curve needs a point, but there is none")
    return GaussLength(walks[0].angle, float(walks[1].angle[0]), walks[0].length)


def linearity(logits: ArrayLike, alphas: ArrayLike) -> float:
    """Measure how far outputs stray from the straight line between their ends.

    Args:
        logits: Outputs (A, n, d).
        alphas: Where they were taken (A,).

    Returns:
        The integral over alpha of the squared distance from the line, mean over examples:
        0 for straight curves (arXiv:2104.11044, released code).
    """
    points = np.asarray(logits, dtype=np.float64)
    moved = points - points[0]
    chord = moved[-1]
    size = np.linalg.norm(chord, axis=1, keepdims=True)
    unit = np.divide(chord, size, out=np.zeros_like(chord), where=size > 0)
    along = (moved * unit).sum(2, keepdims=True) * unit
    stray = ((moved - along) ** 2).sum(2).mean(1)
    widths = np.diff(np.asarray(alphas, dtype=np.float64))
    return float(((stray[1:] + stray[:-1]) / 2 * widths).sum())


def certificate(logits: Any, targets: ArrayLike, tolerance: float = 1e-6) -> Certificate:
    """Test the condition under which the squared error must fall along a path.

    Args:
        logits: Outputs at each alpha (A, n, d).
        targets: What the last outputs should be (n, d).
        tolerance: Largest distance from the target that counts as reaching it.

    Returns:
        The angles, the residuals, and whether the condition holds.

    Raises:
        ValueError: If the targets are not shaped as the outputs.
    """
    last = np.asarray(logits[-1], dtype=np.float64)
    wanted = np.asarray(targets, dtype=np.float64)
    if last.shape != wanted.shape:
        raise ValueError(f"outputs are {last.shape} (n, d), but the targets are {wanted.shape}")
    residual = np.linalg.norm(last - wanted, axis=1)
    return Certificate(turning(logits), residual, tolerance)
