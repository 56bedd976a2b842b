"""How far outputs stray from straight lines, and what it proves where they turn little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.arrays import as_numbers, as_reals
from jumpretrain.execution.bounds import AnyNumber
from jumpretrain.execution.settings import standard_settings
from jumpretrain.paths.gauss_length import GaussLength, turning
from jumpretrain.states.curves import check_alphas

__all__ = ["Certificate", "certificate", "linearity"]


@dataclass(frozen=True, eq=False)
class Certificate:
    """Whether small turning proves that the squared error falls along a path.

    If a curve ends at its target and turns by less than pi / 2, its distance from the target falls
    all the way: arXiv:2104.11044, section 4. Of the polygon through the sampled outputs this is
    exact (derived): any two of its steps then point less than pi / 2 apart, so that each step
    leads nearer to the last point. So the error falls from sample to sample, the outputs taken as
    they are given, and along the chords between them; of what the network does between samples
    nothing is proven. Steps lost in rounding, no longer than 256 eps of the largest output in the
    precision given, are joined with the next, and excepted from what is proven.

    Where the last outputs miss the target by a residual r, over all examples, the root of the
    summed squared error may rise, by r at most (derived), as a straight line does that overshoots.
    For let S lead from one sample to a later one, R from there to the last, and w = R + u from
    there to the target, |u| = r; S.R >= 0. If w.R <= 0, |w|^2 <= r^2 - |R|^2, and the rise
    |w| - |w + S| is no larger than |w|; else it is at most the part of u normal to R.

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


@checked
@standard_settings()
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
    points = _outputs(logits).astype(np.float64)
    shares = check_alphas(as_reals(alphas, "alphas"))
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


@checked
@standard_settings()
def certificate(logits: ArrayLike, targets: ArrayLike, tolerance: AnyNumber = 1e-6) -> Certificate:
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
    outputs = _outputs(logits)
    wanted = as_reals(targets, "targets")
    if not float(tolerance) >= 0:
        raise ValueError(f"tolerance must be at least 0, but is {tolerance}; 1e-6 is usual")
    if outputs.shape[1:] != wanted.shape:
        raise ValueError(
            f"targets must be shaped as the outputs, {outputs.shape[1:]} (n, d), but are "
            f"{wanted.shape}; of labels, pass np.eye({outputs.shape[2]})[labels]"
        )
    if not np.isfinite(wanted).all():
        raise ValueError("targets must be finite to be reached, but some are not")
    ends = outputs[[0, -1]].astype(np.float64)
    first, residual = np.linalg.norm(ends - wanted, axis=2)
    return Certificate(turning(outputs), residual, first, float(tolerance))


def _outputs(logits: ArrayLike) -> NDArray[Any]:
    points = as_numbers(logits, "outputs")
    if points.ndim != 3 or not len(points):
        raise ValueError(
            f"outputs must be (A, n, d), but are {points.shape}; one curve (A, d) is [:, None]"
        )
    return points
