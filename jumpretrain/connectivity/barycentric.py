"""How points of curves and surfaces weigh the states that these go through.

Curves are those of arXiv:1802.10026; surfaces are piecewise linear on the barycentric subdivision
of a simplex (derived from arXiv:1906.04724, section 4.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import comb

__all__ = [
    "Coordinates",
    "RandomPoint",
    "bezier_coordinates",
    "face_coordinates",
    "faces",
    "polychain_coordinates",
]

Coordinates = NDArray[np.float64]


def bezier_coordinates(alphas: ArrayLike, nodes: int) -> Coordinates:
    """Weigh the control points of a Bezier curve.

    Returns:
        Bernstein's polynomials, one row an alpha (A, nodes); rows sum to 1.

    Example:
        >>> bezier_coordinates([0, 0.5], 3).tolist()
        [[1.0, 0.0, 0.0], [0.25, 0.5, 0.25]]
    """
    t, k = np.atleast_1d(np.asarray(alphas, dtype=np.float64))[:, None], np.arange(nodes)
    return np.asarray(comb(nodes - 1, k) * t**k * (1 - t) ** (nodes - 1 - k))


def polychain_coordinates(alphas: ArrayLike, nodes: int) -> Coordinates:
    """Weigh the corners of a polygonal chain with pieces of equal shares of alpha.

    Returns:
        Two weights a row (A, nodes); rows sum to 1.

    Example:
        >>> polychain_coordinates([0.25], 3).tolist()
        [[0.5, 0.5, 0.0]]
    """
    t = np.atleast_1d(np.asarray(alphas, dtype=np.float64))[:, None] * (nodes - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(t - np.arange(nodes))))


def faces(corners: int) -> list[tuple[int, ...]]:
    """List the faces of a simplex: first its corners, then edges, triangles and so on.

    Returns:
        The corners of each face.

    Example:
        >>> faces(3)
        [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    """
    return [face for size in range(1, corners + 1) for face in combinations(range(corners), size)]


def face_coordinates(coordinates: ArrayLike) -> Coordinates:
    """Weigh the nodes of a simplex's barycentric subdivision, one a face.

    A point with coordinates sorted from large to small weighs the face of its k largest corners
    with k times the step from the k-th coordinate to the next (derived).

    Args:
        coordinates: Barycentric coordinates (A, m + 1).

    Returns:
        Weights in the order of `faces`, one row a point; rows sum to 1.

    Example:
        >>> face_coordinates([[0.75, 0.25]]).tolist()
        [[0.5, 0.0, 0.5]]
    """
    points = np.atleast_2d(np.asarray(coordinates, dtype=np.float64))
    corners = points.shape[1]
    place = {face: number for number, face in enumerate(faces(corners))}
    order = np.argsort(-points, axis=1, kind="stable")
    largest = np.take_along_axis(points, order, axis=1)
    steps = np.arange(1, corners + 1) * -np.diff(largest, axis=1, append=0.0)
    shares = np.zeros((len(points), len(place)))
    for row, (rank, step) in enumerate(zip(order, steps, strict=True)):
        for size in range(1, corners + 1):
            shares[row, place[tuple(sorted(rank[:size].tolist()))]] += step[size - 1]
    return shares


@dataclass(frozen=True)
class RandomPoint:
    """A random point of a curve or surface, where a batch is scored.

    Attributes:
        weigh: How much each node counts at an alpha, or at coordinates in a simplex.
        corners: Number of coordinates: one for a curve's alpha, else those of a simplex.
        nodes: Number of nodes.
        name: Of the curve or surface.
    """

    weigh: Callable[..., Coordinates]
    corners: int
    nodes: int
    name: str

    def at(self, numbers: torch.Tensor) -> Coordinates:
        """Weigh the nodes at a point given by uniform numbers.

        Returns:
            Barycentric coordinates (N,).
        """
        values = numbers.double().numpy()
        if self.corners == 1:
            return np.asarray(self.weigh(values, self.nodes)[0])
        waits = -np.log1p(-values)  # exponential: uniform in the simplex when normalised
        return np.asarray(self.weigh(waits / waits.sum())[0])
