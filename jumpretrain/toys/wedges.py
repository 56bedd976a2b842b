"""A toy landscape: low loss on a union of wedges, flats of slightly fewer dimensions than space.

The model of Fort and Jastrzebski, arXiv:1906.04724 section 3. A wedge is infinite along its long
axes and has no extent along the s short ones. The loss is the distance to the nearest wedge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, NotNegative, Positive
from jumpretrain.execution.settings import standard_settings

__all__ = [
    "Toy",
    "predict_average",
    "predict_loss",
    "predict_short",
    "predict_width",
]

Points = NDArray[np.float64]


@checked
@dataclass(frozen=True)
class Toy:
    """A landscape whose loss is the Euclidean distance to the nearest of several wedges.

    The paper takes all subsets of axes as wedges. Between two wedges others are then nearer, and
    low-loss paths do not bend as the paper shows; with a few wedges they do (both derived).

    Attributes:
        dim: Dimensions D of space.
        short: Short axes s of each wedge.
        wedges: How many different subsets of axes are wedges, drawn at random; None for all.
        seed: Seed of the draw.

    Raises:
        ValueError: If a wedge has no short or no long axis, or there are too few subsets of axes.

    Example:
        >>> toy = Toy(dim=3, short=1, wedges=None)  # the three planes between axes
        >>> toy.loss([[3.0, -1.0, 2.0]]), toy.project([[3.0, -1.0, 2.0]])
        (array([1.]), array([[3., 0., 2.]]))
    """

    dim: int
    short: int
    wedges: int | None = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.short < self.dim:
            raise ValueError(
                f"short must lie in 1..dim - 1 = {self.dim - 1}, but is {self.short}: a wedge has "
                "short and long axes"
            )
        most = comb(self.dim, self.short)
        if self.wedges is not None and not 0 < self.wedges <= most:
            raise ValueError(
                f"wedges must lie in 1..{most}, the subsets of {self.short} axes of {self.dim}, "
                f"but is {self.wedges}; pass None for all of them"
            )

    @cached_property
    def normals(self) -> NDArray[np.bool_]:
        """Which axes are short, for each wedge (K, D).

        Raises:
            ValueError: If all subsets of axes are wedges.
        """
        if self.wedges is None:
            raise ValueError(
                "wedges are numbered where a few were drawn, but here all subsets of axes are; "
                "ask for short_axes, or pass wedges="
            )
        rng = np.random.default_rng((self.seed, 1))
        drawn: dict[bytes, NDArray[np.bool_]] = {}
        while len(drawn) < self.wedges:
            marks = rng.permutation(self.dim) < self.short
            drawn[marks.tobytes()] = marks
        return np.array(list(drawn.values()))

    def nearest(self, points: ArrayLike) -> NDArray[np.int64]:
        """Tell which wedge is nearest to each point (N, D).

        Returns:
            Its row in `normals` (N,).

        Raises:
            ValueError: If all subsets of axes are wedges.
        """
        squares = self.as_points(points) ** 2
        return np.asarray((squares @ self.normals.T).argmin(axis=1))

    def short_axes(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Mark the short axes of the wedge nearest to each point (N, D).

        Among all subsets of axes, these are the s smallest coordinates in absolute value.

        Returns:
            One mark a coordinate (N, D).
        """
        if self.wedges is not None:
            return np.asarray(self.normals[self.nearest(points)])
        sizes = np.abs(self.as_points(points))
        smallest = np.argpartition(sizes, self.short - 1, axis=1)[:, : self.short]
        marks = np.zeros(sizes.shape, dtype=np.bool_)
        np.put_along_axis(marks, smallest, True, axis=1)
        return marks

    def loss(self, points: ArrayLike) -> NDArray[np.float64]:
        """Measure the distance from each point (N, D) to the nearest wedge.

        Returns:
            The losses (N,).
        """
        return np.asarray(np.linalg.norm(self.as_points(points) - self.project(points), axis=1))

    def gradient(self, points: ArrayLike) -> Points:
        """Differentiate the loss at each point (N, D).

        Returns:
            Vectors of length 1 away from the nearest wedge, 0 on a wedge (N, D).
        """
        return _ratio(self.as_points(points) - self.project(points), self.loss(points)[:, None])

    def project(self, points: ArrayLike) -> Points:
        """Move each point (N, D) to the nearest point on a wedge.

        Returns:
            The points with zeros on the short axes of the nearest wedge (N, D).
        """
        return np.where(self.short_axes(points), 0.0, self.as_points(points))

    def as_points(self, points: ArrayLike) -> Points:
        """Check that there are points and that this landscape has their dimensions.

        Returns:
            The points in double precision (N, D).

        Raises:
            ValueError: If they are no rows of D finite coordinates.
        """
        found = np.asarray(points, dtype=np.float64)
        if found.ndim != 2 or found.shape[1] != self.dim or not len(found):
            raise ValueError(
                f"points must be (N, {self.dim}), but are {found.shape}; one point is a row"
            )
        if not np.isfinite(found).all():
            raise ValueError("points must be finite, but some coordinates are not")
        return found


@checked
@standard_settings()
def predict_loss(toy: Toy, distance: ArrayLike, loss: NotNegative = 0.0) -> NDArray[np.float64]:
    """Predict the loss at a distance a along random directions: sqrt(L0^2 + a^2 s / D).

    The mean square over directions while the same wedge is nearest (derived); single directions
    spread by a share of about 1 / sqrt(2 s), so that any point seems to lie in a round well.

    Args:
        toy: The landscape.
        distance: How far from the point.
        loss: Loss L0 at the point.

    Returns:
        The loss, in the shape of the distances.
    """
    moved = np.asarray(distance, dtype=np.float64)
    return np.asarray(np.sqrt(loss**2 + moved**2 * toy.short / toy.dim))


@checked
@standard_settings()
def predict_width(toy: Toy, threshold: Positive, loss: NotNegative = 0.0) -> float:
    """Predict how far one can go along random directions: sqrt((L*^2 - L0^2) D / s).

    Where `predict_loss` meets the threshold (derived): fewer short axes, wider tunnels.

    Args:
        toy: The landscape.
        threshold: Loss L* at which the tunnel ends.
        loss: Loss L0 where one sets out.

    Returns:
        The distance.

    Raises:
        ValueError: If the tunnel has ended at the point already.
    """
    if not threshold >= loss >= 0:
        raise ValueError(f"a width needs threshold >= loss >= 0, but has {threshold} and {loss}")
    return sqrt((threshold**2 - loss**2) * toy.dim / toy.short)


@checked
@standard_settings()
def predict_short(toy: Toy, wedges: Count) -> float:
    """Predict the short axes of what k wedges have in common: D (1 - (1 - s / D)^k).

    The mean over wedges drawn independently (derived): 2 s for two and s << D (arXiv:1906.04724
    section 3.1). A toy's own wedges differ, which counts where few are possible.

    Returns:
        Their number.

    Raises:
        ValueError: If there is no wedge.
    """
    if wedges < 1:
        raise ValueError(f"wedges must be at least 1, but is {wedges}")
    return toy.dim * (1 - (1 - toy.short / toy.dim) ** wedges)


@checked
@standard_settings()
def predict_average(toy: Toy) -> float:
    """Predict the loss at the average of points on two wedges: sqrt(s (1 - s / D)) / 2.

    The root mean square of the distance to one of them, over wedges drawn independently, for
    independent normal coordinates of variance 1 on long axes (derived); 0 for two points on the
    same wedge.

    Returns:
        The loss.
    """
    return sqrt(toy.short * (1 - toy.short / toy.dim)) / 2


def _ratio(part: Points, whole: Points) -> Points:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
