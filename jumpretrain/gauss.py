"""How much curves in function space turn, how long they are, and how far from straight.

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

from jumpretrain.curves import check_alphas

__all__ = ["Certificate", "GaussLength", "certificate", "linearity", "turning"]

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


@dataclass(frozen=True, eq=False)
class Certificate:
    """Whether small turning proves that the squared error falls along a path.

    If a curve ends at its target and turns by less than pi / 2, its distance from the target falls
    all the way: arXiv:2104.11044, section 4. Of the polygon through the sampled outputs this is
    exact (derived): any two of its steps then point less than pi / 2 apart, so that each step
    leads nearer to the last point. So the error falls from sample to sample, the outputs taken as
    they are given, and along the chords between them; of what the network does between samples
    nothing is proven.

    Where the last outputs miss the target by a residual, the root of the summed squared error may
    rise, by twice the residual at most.

    Attributes:
        length: How much the outputs turn.
        residual: Distance of each example's last output from its target (n,).
        first: Distance of its first output (n,).
        tolerance: Largest residual that counts as reaching the target, as a share of the first
            distance, both over all examples.
    """

    length: GaussLength
    residual: NDArray[np.float64]
    first: NDArray[np.float64]
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the squared error is proven to fall at every sampled step, up to the residual.

        All turn by less than pi / 2, each example's outputs or all of them as one curve.
        """
        small = min(self.length.joint, float(self.length.per_example.max())) < np.pi / 2
        missed, away = np.linalg.norm(self.residual), np.linalg.norm(self.first)
        return bool(small and missed <= self.tolerance * away)


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
        raw = np.asarray(entry)
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
    if max(found.rounding.mean(), found.joint_rounding) > NOISE:
        warnings.warn(
            f"the Gauss length should be no rounding, but up to {found.rounding.mean():.2g} of "
            f"{found.mean:.3g} radians (mean) and {found.joint_rounding:.2g} of {found.joint:.3g} "
            f"(joint) may be, as {count} points lie too close for {each.eps:.1g} precision; take "
            "a task of double precision, such as Task(lambda: build().double(), ...), or fewer "
            "points",
            stacklevel=3,
        )
    return found


def linearity(logits: ArrayLike, alphas: ArrayLike) -> float:
    """Measure how far outputs stray from the straight line between their ends.

    Args:
        logits: Outputs (A, n, d).
        alphas: Where they were taken, rising within [0, 1] (A,).

    Returns:
        The integral over alpha of the squared distance from the line, mean over examples:
        0 for straight curves (arXiv:2104.11044, released code).

    Raises:
        ValueError: If shapes disagree, alphas do not rise, or an output is not finite.
    """
    points = _outputs(logits)
    shares = check_alphas(np.asarray(alphas))
    if len(shares) != len(points):
        raise ValueError(f"each output needs its alpha, but {len(points)} have {len(shares)}")
    if not np.isfinite(points).all():
        raise ValueError("outputs must be finite to be near a line, but some are not")
    moved = points - points[0]
    chord = moved[-1]
    size = np.linalg.norm(chord, axis=1, keepdims=True)
    unit = np.divide(chord, size, out=np.zeros_like(chord), where=size > 0)
    along = (moved * unit).sum(2, keepdims=True) * unit
    stray = ((moved - along) ** 2).sum(2).mean(1)
    return float(((stray[1:] + stray[:-1]) / 2 * np.diff(shares)).sum())


def certificate(logits: ArrayLike, targets: ArrayLike, tolerance: float = 1e-6) -> Certificate:
    """Test the condition under which the squared error must fall along a path, at its samples.

    Args:
        logits: Outputs at each alpha (A, n, d).
        targets: What the last outputs should be (n, d).
        tolerance: Largest distance from the targets that counts as reaching them, as a share of
            the distance of the first outputs.

    Returns:
        The angles, the distances, and whether the condition holds.

    Raises:
        ValueError: If outputs are not (A, n, d), the targets not shaped as they are, or a number
            is not finite.
    """
    points = _outputs(logits)
    wanted = np.asarray(targets, dtype=np.float64)
    if points.shape[1:] != wanted.shape:
        raise ValueError(
            f"outputs are {points.shape[1:]} (n, d), but the targets are {wanted.shape}"
        )
    if not np.isfinite(wanted).all():
        raise ValueError("targets must be finite to be reached, but some are not")
    first, residual = (np.linalg.norm(points[row] - wanted, axis=1) for row in (0, -1))
    return Certificate(turning(points), residual, first, tolerance)


def _outputs(logits: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(logits, dtype=np.float64)
    if points.ndim != 3 or not len(points):
        raise ValueError(
            f"outputs must be (A, n, d), but are {points.shape}; one curve (A, d) is [:, None]"
        )
    return points
