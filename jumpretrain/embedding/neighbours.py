"""Graphs on points: who is near whom, and how to keep the pieces connected.

A graph is a symmetric `scipy.sparse` adjacency (N, N) of ones, without loops or duplicates. Its
stored entries are its edges, so a distance of zero cannot lose one.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph

from jumpretrain.embedding.gram import row_blocks
from jumpretrain.execution.arrays import as_reals

__all__ = [
    "check_distances",
    "check_k",
    "components",
    "edges",
    "farthest",
    "join",
    "knn_graph",
    "neighbours",
    "spanning_tree",
]


def check_distances(distances: ArrayLike) -> NDArray[np.float64]:
    """Refuse what is no matrix of distances.

    Returns:
        The distances (N, N) in float64.

    Raises:
        ValueError: If they are not square, finite, symmetric and non-negative with a zero
            diagonal.
    """
    matrix = as_reals(distances, "distances")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(
            f"distances must be a square matrix (N, N), but are {matrix.shape}; "
            "give scipy.spatial.distance.squareform(pdist(points))"
        )
    broken = sum(int(np.sum(~np.isfinite(matrix[rows]))) for rows in row_blocks(len(matrix)))
    if broken:
        raise ValueError(
            f"distances must be finite, but {broken} are not; drop the points that diverged"
        )
    least, rounding = matrix.min(), 1e-9 * max(matrix.max(), -matrix.min())
    if _asymmetry(matrix) > rounding or np.abs(np.diag(matrix)).max() > rounding:
        raise ValueError(
            "distances must be symmetric with a zero diagonal, but these are not; "
            "a matrix of potentials or affinities holds no distances"
        )
    if least < -rounding:
        raise ValueError(f"distances must not be negative, but the least is {least:.3g}")
    return matrix


def neighbours(distances: ArrayLike, k: int) -> sparse.csr_array:
    """Connect every point with its k nearest others, in either direction.

    A point is left out of its own neighbours by index, not by value, so duplicates of it stay
    in. Of equally near points the first ones are taken.

    Returns:
        The graph (N, N).

    Example:
        >>> neighbours([[0, 1, 3], [1, 0, 2], [3, 2, 0]], k=1).toarray()
        array([[0., 1., 0.],
               [1., 0., 1.],
               [0., 1., 0.]])
    """
    matrix = check_distances(distances)
    check_k(k, len(matrix))
    return _graph(_first(matrix, k, own=False), len(matrix))


def spanning_tree(distances: ArrayLike) -> sparse.csr_array:
    """Connect all points by N - 1 edges of least total length (Prim's algorithm).

    Returns:
        The tree as a graph (N, N).

    Example:
        >>> spanning_tree([[0, 0, 3], [0, 0, 2], [3, 2, 0]]).toarray()
        array([[0., 1., 0.],
               [1., 0., 1.],
               [0., 1., 0.]])
    """
    matrix = check_distances(distances)
    nearest, parent = matrix[0].copy(), np.zeros(len(matrix), dtype=np.intp)
    nearest[0] = np.inf
    inside = np.arange(len(matrix)) == 0
    links = np.empty((len(matrix) - 1, 2), dtype=np.intp)
    for step in range(len(links)):
        new = int(np.argmin(nearest))
        links[step] = parent[new], new
        inside[new], nearest[new] = True, np.inf
        closer = ~inside & (matrix[new] < nearest)
        nearest[closer], parent[closer] = matrix[new, closer], new
    return _graph(links, len(matrix))


def join(graph: Any, distances: ArrayLike) -> sparse.csr_array:
    """Add the edges of the minimum spanning tree, so that the graph is connected.

    Returns:
        The graph (N, N) with every edge of either.

    Raises:
        ValueError: If graph and distances are not of the same points.
    """
    tree = spanning_tree(distances)
    if graph.shape != tree.shape:
        raise ValueError(
            f"graph and distances must be of the same points, but are {graph.shape} and "
            f"{tree.shape}; make both from one selection"
        )
    return _graph(np.vstack([edges(graph), edges(tree)]), tree.shape[0])


def components(graph: Any) -> int:
    """Count the connected pieces of a graph.

    Returns:
        How many there are.

    Example:
        >>> components(neighbours([[0, 1, 9, 9], [1, 0, 9, 9], [9, 9, 0, 1], [9, 9, 1, 0]], 1))
        2
    """
    links = _graph(edges(graph), graph.shape[0])
    return int(csgraph.connected_components(links, directed=False)[0])


def knn_graph(
    distances: ArrayLike, k: int = 20, connect: Literal["mst"] | None = "mst"
) -> sparse.csr_array:
    """Connect nearest neighbours and, unless `connect` is None, join what is in pieces.

    Returns:
        The graph (N, N).

    Raises:
        ValueError: If `connect` is neither `"mst"` nor None.
    """
    if connect not in ("mst", None):
        raise ValueError(f'connect must be "mst" or None, but is {connect!r}')
    graph = neighbours(distances, k)
    return graph if connect is None else join(graph, distances)


def farthest(potential: ArrayLike, k: int) -> NDArray[np.intp]:
    """Pair every point with the k largest entries of its row, as the released script does.

    Of a diffusion potential these are the points that are reached least: the opposite of
    neighbours (arXiv 2102.00485, released code). The point itself is no exception. Of equal
    entries the first are taken. The script leaves that to NumPy's unstable sort, so to a version
    and a processor: where 75 to 95 % of a potential tie at its cap, 5 to 20 % of edges are the
    same (measured).

    Returns:
        Directed edges (N k, 2), duplicates in the other direction kept.

    Raises:
        ValueError: If the potential is not a square, finite matrix.

    Example:
        >>> farthest([[0, 1, 3], [1, 0, 2], [3, 2, 0]], k=1).tolist()
        [[0, 2], [1, 2], [2, 0]]
    """
    matrix = as_reals(potential, "the potential")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"the farthest points need a square potential, towards every point (N, N), but it is "
            f"{matrix.shape}; embed with PHATE and landmarks=None"
        )
    if not np.isfinite(matrix).all():
        broken = np.sum(~np.isfinite(matrix))
        raise ValueError(f"a potential must be finite, but {broken} entries are not")
    check_k(k, len(matrix))
    return _first(matrix, k, own=True, largest=True)


def _instead_of(graph: Any) -> str:
    """Say what makes an adjacency of something else.

    Returns:
        The remedy.
    """
    if hasattr(graph, "adj"):
        return "nx.to_scipy_sparse_array(graph)"
    if hasattr(graph, "to_dense"):
        return "scipy.sparse.csr_array(graph.to_dense().numpy())"
    shape = np.shape(graph) if isinstance(graph, np.ndarray) else (len(graph), 2)
    if len(shape) == 2 and shape[0] == shape[1] and not isinstance(graph, list):
        return "scipy.sparse.csr_array(graph)"
    return (
        "of edges (i, j) scipy.sparse.csr_array((np.ones(2 * len(g)), np.r_[g, g[:, ::-1]].T), "
        "(N, N)) with g = np.array(edges)"
    )


def edges(graph: Any) -> NDArray[np.intp]:
    """List the edges of a graph: its stored entries, whatever their values.

    Returns:
        One row (i, j) with i < j an edge (E, 2), in ascending order.

    Raises:
        TypeError: If the graph is no scipy.sparse adjacency.
        ValueError: If it is not square, has loops or is not symmetric.
    """
    if not sparse.issparse(graph):
        raise TypeError(
            f"a graph must be a scipy.sparse adjacency, but is of type {type(graph).__name__}; "
            f"give {_instead_of(graph)}"
        )
    if len(graph.shape) != 2 or graph.shape[0] != graph.shape[1]:
        raise ValueError(f"a graph must be square (N, N), but is {graph.shape}")
    entries = graph.tocoo()
    row, column = entries.row.astype(np.intp), entries.col.astype(np.intp)
    if (row == column).any():
        raise ValueError(
            f"a graph must have no loops, but stores {np.sum(row == column)} entries on the "
            "diagonal; remove them"
        )
    upward = np.unique((row * graph.shape[0] + column)[row < column])
    downward = np.unique((column * graph.shape[0] + row)[row > column])
    if not np.array_equal(upward, downward):
        raise ValueError(
            f"a graph must be symmetric, but {len(np.setxor1d(upward, downward))} edges go one "
            "way only; store both directions"
        )
    return np.stack(np.divmod(upward, max(graph.shape[0], 1)), axis=1)


def check_k(k: int, count: int) -> None:
    """Check that points have so many neighbours.

    Raises:
        ValueError: If they have not.
    """
    if not 0 < k < count:
        raise ValueError(
            f"k must lie in 1..{count - 1} for {count} points, but is {k}; "
            "take fewer neighbours, or sample more points"
        )


def _asymmetry(matrix: NDArray[np.float64]) -> float:
    gaps = (matrix[rows] - matrix[:, rows].T for rows in row_blocks(len(matrix)))
    return max(max(float(gap.max()), -float(gap.min())) for gap in gaps)


def _first(
    matrix: NDArray[np.float64], k: int, own: bool, largest: bool = False
) -> NDArray[np.intp]:
    targets = np.empty((len(matrix), k), dtype=np.intp)
    for index, entries in enumerate(matrix):
        row = -entries if largest else entries.copy()
        if not own:
            row[index] = np.inf
        near = np.flatnonzero(row <= np.partition(row, k - 1)[k - 1])  # more than k where tied
        targets[index] = near[np.argsort(row[near], kind="stable")[:k]]
    return np.stack([np.repeat(np.arange(len(matrix)), k), targets.ravel()], axis=1)


def _graph(links: NDArray[np.intp], count: int) -> sparse.csr_array:
    both = np.vstack([links, links[:, ::-1]])
    graph = sparse.csr_array((np.ones(len(both)), both.T), shape=(count, count))
    graph.sum_duplicates()
    graph.data[:] = 1.0
    return graph
