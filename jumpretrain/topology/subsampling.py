"""Few points that stand for many, and how far any of the others can be from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.embedding.neighbours import check_distances

__all__ = ["Cover", "cover"]


@dataclass(frozen=True, eq=False)
class Cover:
    """Points chosen so that every other lies near one of them.

    Attributes:
        points: Their places among all, in the order in which they were chosen (n,).
        radius: Largest distance of any point from the nearest chosen one.
    """

    points: NDArray[np.int64]
    radius: float


def cover(distances: ArrayLike, count: int, first: int = 0) -> Cover:
    """Choose points greedily, each as far as possible from those before.

    The radius is at most twice that of the best choice of as many points (Gonzalez, 1985). By
    stability (arXiv:1207.3885) no bar of Vietoris-Rips on the chosen points is further than twice
    the radius from one on all: bars longer than four times it are real.

    Args:
        distances: Distances between all points (N, N).
        count: How many to choose.
        first: The point to begin with.

    Returns:
        The points and the radius.

    Raises:
        ValueError: If there are not as many points.

    Example:
        >>> cover([[0, 1, 5], [1, 0, 4], [5, 4, 0]], count=2)
        Cover(points=array([0, 2]), radius=1.0)
    """
    matrix = check_distances(distances)
    if not 1 <= count <= len(matrix) or not 0 <= first < len(matrix):
        raise ValueError(
            f"1 to {len(matrix)} points can be chosen, from one of them on, but count is {count} "
            f"and first {first}"
        )
    chosen, nearest = [first], matrix[first].copy()
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        np.minimum(nearest, matrix[chosen[-1]], out=nearest)
    return Cover(np.array(chosen), float(nearest.max()))
