"""Affinities that decay with distance, the graph PHATE walks on, and how its pieces are joined."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from jumpretrain.embedding import neighbours
from jumpretrain.embedding.gram import row_blocks

__all__ = ["DECAY", "LONGEST", "alpha_decay", "check", "joined", "pieces"]

LEAST = 1e-4
LONGEST = 10**9
"""Steps of a walk whose shares still add up to 1: each step rounds them by some 1e-16."""
DECAY = 40.0
"""The paper's."""


def check(knn: int, decay: float, count: int) -> None:
    """Refuse affinities that the points cannot have, before any work.

    Raises:
        ValueError: If there are too few points for so many neighbours, or the decay is no
            positive number.
    """
    if not 0 < knn <= count - 2:
        raise ValueError(
            f"knn must lie in 1..{count - 2} for {count} points, but is {knn}; "
            "sample more points or take fewer neighbours"
        )
    if not decay > 0:
        raise ValueError(f"decay must be positive, but is {decay}; the paper's is 40")


def alpha_decay(distances: NDArray[np.float64], knn: int, decay: float) -> sparse.csr_array:
    """Give near points a high affinity and far ones none.

    A point's bandwidth is the distance of its knn-th neighbour; its affinity for another point is
    exp(-(distance / bandwidth)^decay), below 1e-4 none, and the mean of both directions counts
    (PHATE, arXiv 2102.00485 section 2.1). Points that coincide have affinity 1.

    Args:
        distances: Symmetric, with a zero diagonal (N, N).
        knn: Which nearest neighbour sets a bandwidth.
        decay: How steeply affinities fall beyond it.

    Returns:
        The affinities (N, N): symmetric, 1 on the diagonal, only those above zero stored.
    """
    check(knn, decay, len(distances))
    blocks = list(row_blocks(len(distances)))
    # the point itself comes first
    width = np.concatenate([np.partition(distances[rows], knn)[:, knn].copy() for rows in blocks])
    some = [_decayed(distances[rows], width[rows], width, decay) for rows in blocks]
    return sparse.csr_array(sparse.vstack(some, format="csr"))


def _decayed(
    apart: NDArray[np.float64],
    own: NDArray[np.float64],
    theirs: NDArray[np.float64],
    decay: float,
) -> sparse.csr_array:
    """Take the mean of both directions for some rows: symmetric distances hold both.

    Returns:
        The affinities of the rows (n, N).
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        reach = min(np.float64(-np.log(LEAST)) ** (1 / decay), 1e150) * (1 + 1e-9)
        row, column = np.nonzero(apart <= reach * np.maximum(own[:, None], theirs))
        apart, affinity = apart[row, column], np.zeros(len(row))
        for width in (own[row], theirs[column]):
            directed = np.exp(-np.power(apart / width, decay))
            directed[np.isnan(directed)] = 1  # zero over zero
            affinity += np.where(directed < LEAST, 0, directed)
    kept = affinity > 0
    shape = len(own), len(theirs)
    return sparse.csr_array((affinity[kept] / 2, (row[kept], column[kept])), shape)


def pieces(affinity: Any) -> NDArray[np.intp]:
    """Say which connected piece each point belongs to.

    Returns:
        The number of its piece, from 0 (N,).
    """
    return np.asarray(csgraph.connected_components(affinity, directed=False)[1])


def joined(
    affinity: sparse.csr_array,
    distances: NDArray[np.float64],
    connect: Literal["mst"] | None = "mst",
) -> sparse.csr_array:
    """Let the random walk cross between pieces, along the minimum spanning tree's edges.

    Every edge of the tree between two pieces gets the affinity exp(-1), as if each of its ends
    were the other's knn-th neighbour: the alpha decay at a distance of one bandwidth. Its own
    value there is below 1e-4, and the walk would not cross. Nothing else changes, so a graph in
    one piece stays as it is (derived).

    Returns:
        The affinities (N, N) of a connected graph; those given where `connect` is None.
    """
    piece = pieces(affinity)
    if connect is None or not piece.any():
        return affinity
    start, end = neighbours.edges(neighbours.spanning_tree(distances)).T
    between = piece[start] != piece[end]
    start, end = start[between], end[between]
    places = np.r_[start, end], np.r_[end, start]
    bridges = sparse.csr_array((np.full(2 * len(start), np.exp(-1.0)), places), affinity.shape)
    return affinity + bridges
