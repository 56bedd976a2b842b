"""Low-loss crossings from wedge to wedge of the toy landscape: polylines through relaxed points.

The connector of arXiv:1906.04724 section 4.2 on the landscape of `wedges`; nodes (T, D) are the
corners of a polyline.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import ArrayLike

from jumpretrain.paths.path import Path
from jumpretrain.toys.wedge_descents import descend
from jumpretrain.toys.wedges import Points, Toy

__all__ = ["connect", "refine", "relax", "trace"]

SHORTEST = 1e-9  # shorter pieces, against their distance from the origin, are lost in rounding


def trace(toy: Toy, nodes: ArrayLike, each: int = 20) -> Path:
    """Score the straight pieces between nodes; two nodes give the linear path.

    Args:
        toy: The landscape.
        nodes: Corners of the polyline (T, D).
        each: Number of steps on each piece.

    Returns:
        `train_loss` at shares of the polyline's length, corners included.

    Raises:
        ValueError: If there are fewer than 2 nodes, or neighbours are the same point.
    """
    corners = _corners(toy, nodes)
    steps = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    reached = np.append(0.0, np.cumsum(steps))
    place = np.arange(each * len(steps) + 1) / each
    alphas = np.interp(place, np.arange(len(corners)), reached / reached[-1])
    losses = toy.loss(_between(corners, each))
    return Path(alphas, {"train_loss": losses}, provenance=asdict(toy) | {"each": each})


def relax(toy: Toy, optima: ArrayLike, shares: ArrayLike) -> Points:
    """Go downhill from points of the simplex between optima, normal to all its edges.

    Two optima give points of the 1-connector, m + 1 those of the m-connector (arXiv:1906.04724
    sections 4.2 and 4.3).

    Args:
        toy: The landscape.
        optima: Corners of the simplex (m + 1, D).
        shares: Weights of the optima in each start, sums of 1 (N, m + 1).

    Returns:
        Where each point ends (N, D).

    Raises:
        ValueError: If the optima span no simplex, or shares lie outside it.

    Example:
        >>> toy = Toy(dim=3, short=1, wedges=None)
        >>> relax(toy, [[0.0, 2.0, 2.0], [2.0, 0.0, 2.0]], [[0.5, 0.5]]).round(9)
        array([[0., 0., 2.]])
    """
    corners = toy.as_points(optima)
    weights = np.asarray(shares, dtype=np.float64)
    chords = (corners[1:] - corners[0]).T
    if len(corners) < 2 or np.linalg.matrix_rank(chords) < len(corners) - 1:
        raise ValueError(
            f"2 or more optima must span a simplex, but these {len(corners)} do not; leave out "
            "those that are equal or lie between others"
        )
    if weights.ndim != 2 or weights.shape[1] != len(corners):
        raise ValueError(f"shares must be (N, {len(corners)}), but are {weights.shape}")
    if (weights < 0).any() or not np.allclose(weights.sum(axis=1), 1):
        raise ValueError("shares must be at least 0 and sum to 1, but some do not")
    return descend(toy, weights @ corners, normal=np.linalg.qr(chords)[0])


def connect(toy: Toy, optima: ArrayLike, inner: int = 10) -> Points:
    """Bend the chord between two optima: points on it go downhill, each in the plane normal to it.

    Args:
        toy: The landscape.
        optima: The two (2, D).
        inner: Number of points, evenly spread over the chord.

    Returns:
        Both optima and between them the points (inner + 2, D).

    Raises:
        ValueError: If there is no point, or there are not two different optima.
    """
    ends = toy.as_points(optima)
    if len(ends) != 2 or inner < 1:
        raise ValueError(
            "a connector joins 2 optima by at least 1 inner point, but there are "
            f"{len(ends)} optima and inner is {inner}; relax takes more than 2"
        )
    alphas = np.linspace(0, 1, inner + 2)[1:-1]
    return np.insert(ends, 1, relax(toy, ends, np.c_[1 - alphas, alphas]), axis=0)


def refine(toy: Toy, nodes: ArrayLike, times: int = 10, each: int = 20) -> Points:
    """Halve, time after time, the piece with the largest loss; its middle is relaxed.

    The connector leaves a bump where the nearest wedge changes: no node lies where two wedges
    meet. Each halving brings the two nodes beside the bump closer to there (derived). It ends
    where a piece is too short to be halved.

    Args:
        toy: The landscape.
        nodes: Corners of a polyline (T, D).
        times: Most nodes that are put in.
        each: Number of steps on each piece in search of the largest loss, 2 or more.

    Returns:
        The corners, up to (T + times, D).

    Raises:
        ValueError: If there are fewer than 2 nodes, neighbours are the same point, or a number is
            too small.

    Example:
        >>> toy = Toy(dim=200, short=20, wedges=2)
        >>> draws = np.random.default_rng(0).normal(size=(2, 200))
        >>> optima = np.where(toy.normals, 0.0, draws)
        >>> nodes = connect(toy, optima)
        >>> [round(trace(toy, some).barrier(), 1) for some in (optima, nodes, refine(toy, nodes))]
        [1.8, 1.0, 0.0]
    """
    corners = _corners(toy, nodes)
    if times < 0 or each < 2:
        raise ValueError(
            f"times must be at least 0 and each at least 2, but are {times} and {each}"
        )
    for _ in range(times):
        losses = toy.loss(_between(corners, each))[1:].reshape(-1, each)
        worst = int(losses.max(axis=1).argmax())
        piece = corners[worst : worst + 2]
        if np.linalg.norm(piece[1] - piece[0]) <= SHORTEST * np.linalg.norm(piece):
            break
        middle = relax(toy, piece, [[0.5, 0.5]])
        corners = np.insert(corners, worst + 1, middle, axis=0)
    return corners


def _between(corners: Points, each: int) -> Points:
    place = np.arange(each * (len(corners) - 1) + 1)
    left = np.minimum(place // each, len(corners) - 2)
    share = (place / each - left)[:, None]
    return np.asarray((1 - share) * corners[left] + share * corners[left + 1])


def _corners(toy: Toy, nodes: ArrayLike) -> Points:
    corners = toy.as_points(nodes)
    if len(corners) < 2:
        raise ValueError(f"a polyline needs at least 2 nodes, but has {len(corners)}")
    same = (np.diff(corners, axis=0) == 0).all(axis=1)
    if same.any():
        place = int(same.argmax())
        raise ValueError(
            f"neighbouring nodes must differ, but {place} and {place + 1} are the same"
        )
    return corners
