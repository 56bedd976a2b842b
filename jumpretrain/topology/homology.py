"""Count the valleys and loops of a sampled landscape: persistence diagrams and their distances."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ripser import ripser

from jumpretrain.embedding.neighbours import check_distances, edges, farthest
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.topology.diagrams import Bars, Diagrams
from jumpretrain.topology.filtrations import check_values, elder, entering, pairwise, transform
from jumpretrain.topology.subsampling import cover

if TYPE_CHECKING:
    from jumpretrain.embedding.embed import Embedding

__all__ = ["graph_bars", "released", "rips", "sizes", "sublevel", "transform"]

MANY = 2000  # points from which on Vietoris-Rips is slow
VERSIONS = {name: version(name) for name in ("numpy", "persim", "ripser", "scipy")}


@checked
@standard_settings()
def sublevel(
    values: ArrayLike,
    graph: Any,
    complex: Literal["flag", "graph"] = "flag",
    maxdim: int = 1,
) -> Diagrams:
    """Let points of a graph appear in the order of their values and watch the pieces merge.

    A point enters at its value, an edge with the higher of its ends (lower-star filtration, arXiv
    2102.00485, section 2.2). On the flag complex a clique is filled as soon as its edges are
    there, so loops can die; on the bare graph nothing is filled and every loop is essential.
    Values are exact in float64. Bars of length zero are left out.

    Args:
        values: One number a point (N,), such as the loss.
        graph: Symmetric `scipy.sparse` adjacency (N, N); its stored entries are the edges.
        complex: `"flag"` or `"graph"`.
        maxdim: Highest dimension, 0 to 2.

    Returns:
        The diagrams of dimensions 0 to `maxdim`; one essential bar of dimension 0 for every piece
        of the graph.

    Raises:
        ValueError: If values are not one finite number a point, or a choice is unknown.

    Example:
        >>> from jumpretrain.embedding.neighbours import neighbours
        >>> path = neighbours(abs(np.subtract.outer(range(5), range(5))), k=1)
        >>> sublevel([0, 2, 3, 1, 4], path).bars[0].tolist()
        [[1.0, 3.0], [0.0, inf]]
    """
    if complex not in ("flag", "graph"):
        raise ValueError(f'complex must be "flag" or "graph", but is {complex!r}')
    _check_maxdim(maxdim)
    links = edges(graph)
    values = check_values(values, graph.shape[0])
    how = {"filtration": "sublevel", "complex": complex, "maxdim": maxdim}
    bars = graph_bars(values, links, values[links].max(axis=1), complex, maxdim)
    return Diagrams(bars, how | sizes(values, links))


def graph_bars(
    values: NDArray[np.float64],
    links: NDArray[np.intp],
    heights: NDArray[np.float64],
    complex: Literal["flag", "graph"],
    maxdim: int,
) -> Bars:
    """Find the bars of a graph whose points and edges enter at their heights.

    Args:
        values: One number a point (N,).
        links: The edges (E, 2).
        heights: One number an edge (E,), at least the values of its ends.
        complex: `"flag"` or `"graph"`.
        maxdim: Highest dimension.

    Returns:
        Births and deaths by dimension.
    """
    matrix, levels = entering(values, links, heights, complex)
    if complex == "flag":
        return _bars(matrix, levels, maxdim)
    # a graph has no dimension 2
    return _bars(matrix, levels, min(maxdim, 1)) + (np.empty((0, 2)),) * (maxdim - 1)


@checked
@standard_settings()
def rips(distances: ArrayLike, maxdim: int = 1, points: Count | None = None) -> Diagrams:
    """Grow balls around points and watch pieces merge and holes open and close (Vietoris-Rips).

    Distances are exact in float64. Bars of length zero are left out. Memory grows with the square
    of the points, time somewhat faster; beyond 2,000 points a warning says how much.

    Args:
        distances: Distances between all points (N, N).
        maxdim: Highest dimension, 0 to 2.
        points: How many points to choose greedily (see `subsampling.cover`) in place of all; the
            provenance then has the `cover_radius`, and for each dimension how many of the bars
            are `certified`: longer than four times the radius, so that all points have them too.

    Returns:
        The diagrams of dimensions 0 to `maxdim`, with one essential bar: a piece born at 0.

    Raises:
        ValueError: If there are fewer points, or no such dimension.

    Example:
        >>> corners = [[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0]]
        >>> rips(corners).bars[1].tolist()
        [[1.0, 2.0]]
    """
    matrix = check_distances(distances)
    _check_maxdim(maxdim)
    how: dict[str, Any] = {"filtration": "rips", "complex": "flag", "maxdim": maxdim}
    if points is None:
        _warn_of(len(matrix), maxdim)
        return Diagrams(_bars(*pairwise(matrix), maxdim), how | sizes(matrix))
    chosen = cover(matrix, points)
    bars = _bars(*pairwise(matrix[np.ix_(chosen.points, chosen.points)]), maxdim)
    real = [int((np.diff(some) > 4 * chosen.radius).sum()) for some in bars]
    how |= {"cover_radius": chosen.radius, "certified": real}
    return Diagrams(bars, how | sizes(chosen.points))


@checked
@standard_settings()
def released(
    trajectories: Trajectories, embedding: Embedding, k: Count = 20, metric: str = "test_loss"
) -> Diagrams:
    """Compute what the script published with arXiv 2102.00485 computes, for comparison only.

    Each point is linked to the k that its diffusion potential reaches least, in a multigraph that
    keeps duplicates; each point carries the loss of the point before it, the first that of the
    optimum. Merging pieces pair by the elder rule, also over no lifetime. Every piece left over
    and every edge that closes a cycle dies at the highest edge, so all bars are finite.

    Most potentials tie at their cap, and the script takes some of these by an unstable sort, here
    the first (see `neighbours.farthest`). The essential bars do not depend on that, the merging
    ones do: their total (p = 2) was .03 to .4 of the squared range of the loss with NumPy's sort,
    and .7 to 2 of it with the first (measured on simulated trajectories).

    Args:
        trajectories: The jumps, as they were embedded.
        embedding: Their embedding by PHATE, without the optimum.
        k: Edges from each point.
        metric: The value to filter by.

    Returns:
        The diagrams of dimensions 0 and 1.

    Raises:
        ValueError: If the embedding has no potential, or is of other points.
    """
    if embedding.potential is None:
        raise ValueError(
            "the released rule needs a diffusion potential, but this embedding has none; "
            'embed with method="phate"'
        )
    values = trajectories.values(metric, optimum=True)[:-1]
    values = check_values(values, len(embedding.potential))
    links = farthest(embedding.potential, k)
    how = {
        "filtration": "released",
        "complex": "multigraph",
        "k": k,
        "metric": metric,
        "note": "k largest potentials, losses shifted by one point, essential classes die at "
        "the highest edge: all bars are finite",
    }
    merged, left, closing = elder(values, links)
    births = np.r_[left, closing]
    last = np.stack([births, np.full(len(births), values[links].max())], axis=1)
    bars = np.vstack([merged, last[: len(left)]]), last[len(left) :]
    return Diagrams(bars, how | sizes(values, links))


def _warn_of(count: int, maxdim: int) -> None:
    """Say what many points cost: 2,000 took 7 s and 0.5 GB, 5,000 took 45 s and 2.1 GB (H1)."""
    most = MANY if maxdim < 2 else MANY // 4
    if count > most:
        gigabytes, seconds = 0.5 * (count / most) ** 2, 7 * (count / most) ** 2.2
        warnings.warn(
            f"Vietoris-Rips of {count} points takes about {gigabytes:.1f} GB and {seconds:.0f} s; "
            "pass points= to choose fewer, with the radius of what they cover",
            stacklevel=3,
        )


def _check_maxdim(maxdim: int) -> None:
    if maxdim not in (0, 1, 2):
        raise ValueError(f"maxdim must be 0, 1 or 2, but is {maxdim!r}")


def _bars(matrix: Any, levels: NDArray[np.float64], maxdim: int) -> Bars:
    found = ripser(matrix, maxdim=maxdim, distance_matrix=True)["dgms"]
    known = np.append(levels, np.inf)
    ranks = (np.where(np.isfinite(bars), bars, len(levels)).astype(np.intp) for bars in found)
    return tuple(known[rank] for rank in ranks)


def sizes(points: NDArray[Any], links: NDArray[Any] | None = None) -> dict[str, Any]:
    """Say how much a diagram was made from, and with which packages.

    Returns:
        Entries of a provenance.
    """
    count = {} if links is None else {"edges": len(links)}
    return {"points": len(points), **count, "versions": dict(VERSIONS)}
