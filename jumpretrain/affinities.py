"""Affinities that decay with distance, the graph PHATE walks on, and how its pieces are joined."""

from __future__ import annotations

from typing import Literal

import graphtools
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph

from jumpretrain import graphs

__all__ = ["alpha_decay", "check", "joined", "pieces"]


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


def alpha_decay(distances: NDArray[np.float64], knn: int, decay: float) -> NDArray[np.float64]:
    """Give near points a high affinity and far ones none, by graphtools.

    A point's bandwidth is the distance of its knn-th neighbour; its affinity for another point is
    exp(-(distance / bandwidth)^decay), below 1e-4 none, and the mean of both directions counts
    (PHATE, arXiv 2102.00485 section 2.1).

    Returns:
        The affinities (N, N): symmetric, 1 on the diagonal.
    """
    check(knn, decay, len(distances))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        graph = graphtools.Graph(
            distances.copy(), precomputed="distance", knn=knn, decay=decay, verbose=0
        )
        return np.asarray(graph.kernel, dtype=np.float64)


def pieces(affinity: NDArray[np.float64]) -> NDArray[np.intp]:
    """Say which connected piece each point belongs to.

    Returns:
        The number of its piece, from 0 (N,).
    """
    return np.asarray(csgraph.connected_components(affinity > 0, directed=False)[1])


def joined(
    affinity: NDArray[np.float64],
    distances: NDArray[np.float64],
    connect: Literal["mst"] | None = "mst",
) -> NDArray[np.float64]:
    """Let the random walk cross between pieces, along the minimum spanning tree's edges.

    Every edge of the tree between two pieces gets the affinity exp(-1), as if each of its ends
    were the other's knn-th neighbour: the alpha decay at a distance of one bandwidth. Its own
    value there is below 1e-4, and the walk would not cross. Nothing else changes, so a graph in
    one piece stays as it is (derived).

    Returns:
        The affinities (N, N) of a connected graph; those given where `connect` is None.
    """
    if connect is None:
        return affinity
    piece = pieces(affinity)
    start, end = graphs.edges(graphs.spanning_tree(distances)).T
    between = piece[start] != piece[end]
    start, end = start[between], end[between]
    bridged = affinity.copy()
    bridged[start, end] = bridged[end, start] = np.exp(-1.0)
    return bridged
