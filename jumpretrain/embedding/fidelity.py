"""Measure what an embedding keeps of the trajectories: H10 on arXiv 2102.00485 section 3.2.

All measures set the plane beside Euclidean distances in weight space, whatever metric made the
embedding, so that methods are compared on the same terms (derived).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata
from sklearn.manifold import trustworthiness

__all__ = ["continuity", "describe_fidelity", "path_distances", "rank_correlation"]


def continuity(plane: NDArray[np.float64], run: NDArray[np.int64], k: int = 5) -> float:
    """Measure how often consecutive snapshots of a run stay neighbours of each other.

    Args:
        plane: Distances in the embedding (N, N).
        run: Each point's run, snapshots in order of time (N,); -1 for the optimum.
        k: How many nearest others count as neighbours.

    Returns:
        The share of pairs of consecutive snapshots in which each is among the other's k nearest.
    """
    order = np.argsort(plane + np.diag(np.full(len(plane), np.inf)), axis=1, kind="stable")
    near = np.zeros(plane.shape, dtype=bool)
    np.put_along_axis(near, order[:, :k], True, axis=1)
    earlier = np.flatnonzero((run[:-1] == run[1:]) & (run[1:] >= 0))
    return float((near & near.T)[earlier, earlier + 1].mean())


def path_distances(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure distances along one run, from the distances of its T snapshots.

    Returns:
        The length of the path between every two snapshots (T, T).
    """
    travelled = np.r_[0.0, np.cumsum(np.diag(weights, 1))]
    return np.asarray(np.abs(travelled[:, None] - travelled))


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Compare the order of all pairs in two matrices of distances.

    Returns:
        Spearman's correlation over pairs; 0 where all pairs of a matrix are equally far, as it
        then holds no order.
    """
    upper = np.triu_indices(len(first), 1)
    ranks = np.array([rankdata(matrix[upper]) for matrix in (first, second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = np.sqrt((ranks**2).sum(axis=1).prod())
    return float(ranks[0] @ ranks[1] / scale) if scale > 0 else 0.0


def describe_fidelity(
    coordinates: NDArray[np.float64],
    weights: NDArray[np.float64],
    run: NDArray[np.int64],
    k: int = 5,
) -> dict[str, float]:
    """Measure what a layout keeps.

    Args:
        coordinates: The layout (N, d).
        weights: Euclidean distances in weight space (N, N).
        run: Each point's run, snapshots in order of time (N,); -1 for the optimum.
        k: How many neighbours continuity and trustworthiness look at.

    Returns:
        `continuity` (see there); `trustworthiness`, of neighbours in the layout (scikit-learn);
        `rank_correlation_weights`, with distances in weight space over all pairs; and
        `rank_correlation_along`, with distances along the trajectory, over the pairs within a
        run, mean over runs.

    Raises:
        ValueError: If runs have fewer than 3 snapshots, or k is not below half the points.
    """
    runs = [np.flatnonzero(run == name) for name in np.unique(run[run >= 0])]
    if min(len(rows) for rows in runs) < 3:
        raise ValueError("fidelity needs at least 3 snapshots a run; record more of them")
    if not 0 < k < len(run) / 2:
        raise ValueError(
            f"k must be positive and below half of {len(run)} points, but is {k}; take fewer"
        )
    plane = squareform(pdist(coordinates))
    along = [
        rank_correlation(plane[np.ix_(rows, rows)], path_distances(weights[np.ix_(rows, rows)]))
        for rows in runs
    ]
    trust = trustworthiness(weights, coordinates, n_neighbors=k, metric="precomputed")
    return {
        "continuity": continuity(plane, run, k),
        "trustworthiness": float(trust),
        "rank_correlation_weights": rank_correlation(plane, weights),
        "rank_correlation_along": float(np.mean(along)),
    }
