"""How much curves in function space turn, and how long they are.

The length of the Gauss map of arXiv:2104.11044, section 4, is estimated by the angles between
successive steps (derived), which is the length of the polygon through the points that are given:
the same for every parametrisation, and but for rounding never above the true length. Kinks of ReLU
networks count, so that there each finer grid of points finds more.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arrays import as_numbers

__all__ = ["GaussLength", "turning"]

ROUNDINGS = 256
NOISE = 0.2  # radians: more than that of rounding is worth a warning


@dataclass(frozen=True, eq=False)
class GaussLength:
    """How much the outputs turn along a path, in radians.

    Each number is a lower bound, which belongs to the grid of points: with four times the points
    the mean of a digits network grew from 1.45 to 1.56, its joint angle from 2.9 to 5.0. `joint`
    has the kinks of all examples, and keeps growing where the mean has settled.

    Attributes:
        per_example: Total angle of each example's curve (n,).
        joint: Total angle of the one curve of all outputs side by side.
        path_length: Length of each example's curve, in units of the outputs (n,).
        points: Number of points.
        rounding: How much of each angle may be rounding of the outputs (n,): where both ends of
            a step s are off by eps |z|, it is tilted by up to 2 eps |z| / |s|, and counts twice
            (derived; that outputs are off by so much was measured on fully connected networks).
        joint_rounding: The same of `joint`.
    """

    per_example: NDArray[np.float64]
    joint: float
    path_length: NDArray[np.float64]
    points: int
    rounding: NDArray[np.float64]
    joint_rounding: float

    @property
    def mean(self) -> float:
        """Mean over the examples."""
        return float(self.per_example.mean())


class _Walk:
    """Curves (n, d) followed point by point; steps lost in rounding wait for the next."""

    def __init__(self, first: NDArray[np.float64], eps: float) -> None:
        self.point, self.eps = first, eps
        self.heading = np.zeros_like(first)
        self.largest, self.angle, self.length, self.rounding = np.zeros((4, len(first)))

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
        ends = np.linalg.norm(self.point[moved], axis=1) + np.linalg.norm(point[moved], axis=1)
        self.rounding[moved] += 2 * self.eps * ends / size[moved]
        self.heading[moved], self.point[moved] = unit, point[moved]


def turning(curves: Iterable[ArrayLike]) -> GaussLength:
    """Add up the angles between successive steps of curves.

    A step too short to have a direction, in the precision of the numbers, is joined with the
    next. Warns where more than 0.2 radians may be rounding.

    Args:
        curves: Outputs at each alpha, (A, n, d) or anything that yields (n, d); curves (A, d)
            count as one example.

    Returns:
        Angles and lengths of each example's curve, and of all together: lower bounds, which a
        finer grid may raise.

    Raises:
        ValueError: If there are fewer than 3 points, or one is not finite.

    Example:
        >>> angle = np.linspace(0, np.pi, 1000)
        >>> round(turning(np.c_[np.cos(angle), np.sin(angle)]).joint, 2)
        3.14
    """
    walks: tuple[_Walk, _Walk] | None = None
    count = 0
    for count, entry in enumerate(curves, start=1):
        raw = as_numbers(entry, "outputs")
        points = np.array(np.atleast_2d(raw), dtype=np.float64)
        points = points.reshape(len(points), -1)
        if not np.isfinite(points).all():
            raise ValueError(
                f"outputs must be finite to turn, but those at point {count - 1} are not"
            )
        if walks is None:
            eps = float(np.finfo(raw.dtype if raw.dtype.kind == "f" else np.float64).eps)
            walks = _Walk(points, eps), _Walk(points.reshape(1, -1).copy(), eps)
        walks[0].to(points)
        walks[1].to(points.reshape(1, -1))
    if walks is None or count < 3:
        raise ValueError(f"a curve turns between 3 points or more, but has {count}; sample more")
    return _checked(walks, count)


def _checked(walks: tuple[_Walk, _Walk], count: int) -> GaussLength:
    each, joint = walks
    found = GaussLength(
        per_example=each.angle,
        joint=float(joint.angle[0]),
        path_length=each.length,
        points=count,
        rounding=each.rounding,
        joint_rounding=float(joint.rounding[0]),
    )
    noise = float(found.rounding.mean()), found.joint_rounding
    if max(noise) > NOISE:
        mean, together = min(noise[0], found.mean), min(noise[1], found.joint)
        warnings.warn(
            f"the Gauss length should be no rounding, but up to {mean:.3g} of {found.mean:.3g} "
            f"radians (mean) and {together:.3g} of {found.joint:.3g} (joint) may be, as {count} "
            f"points lie too close for {each.eps:.1g} precision; take a task of double precision, "
            "such as Task(lambda: build().double(), ...), or fewer points",
            stacklevel=3,
        )
    return found
