"""Count the valleys and loops of a sampled landscape: persistence diagrams and their distances."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from persim import bottleneck, sliced_wasserstein, wasserstein
from ripser import ripser

from jumpretrain.covers import cover
from jumpretrain.filtrations import check_values, elder, lower_star, pairwise, transform
from jumpretrain.graphs import check_distances, edges, farthest
from jumpretrain.trajectories import Trajectories

if TYPE_CHECKING:
    from jumpretrain.embedding import Embedding

__all__ = ["Diagrams", "released", "rips", "sublevel", "transform"]

Bars = tuple[NDArray[np.float64], ...]
MANY = 2000  # points from which on Vietoris-Rips is slow
KINDS = {"bottleneck": bottleneck, "wasserstein": wasserstein, "sliced": sliced_wasserstein}


@dataclass(frozen=True)
class Diagrams:
    """Persistence diagrams of one filtration, dimension by dimension.

    A bar that never dies is essential and has death infinity. Essential bars are counted and
    compared apart: they enter neither persistence nor entropy.

    Attributes:
        bars: Births and deaths, one array (n, 2) a dimension.
        provenance: How they were made.

    Raises:
        ValueError: If an array is no list of bars.

    Example:
        >>> diagrams = Diagrams((np.array([[0.0, np.inf], [1.0, 3.0]]),))
        >>> diagrams.finite(0), diagrams.essential(0), diagrams.total_persistence(0, p=2)
        (array([[1., 3.]]), array([0.]), 4.0)
    """

    bars: Bars
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for dim, bars in enumerate(self.bars):
            if bars.ndim != 2 or bars.shape[1] != 2:
                raise ValueError(f"bars are (n, 2), but those of dimension {dim} are {bars.shape}")
            if not (np.isfinite(bars[:, 0]) & (bars[:, 1] >= bars[:, 0])).all():
                raise ValueError(
                    f"bars need a finite birth and no earlier death, but dimension {dim} has "
                    "others; births come first"
                )

    def finite(self, dim: int = 0) -> NDArray[np.float64]:
        """List the bars that die.

        Returns:
            Births and deaths (n, 2), in ascending order.
        """
        bars = self._dimension(dim)
        bars = bars[np.isfinite(bars[:, 1])]
        return bars[np.lexsort(bars.T[::-1])]

    def essential(self, dim: int = 0) -> NDArray[np.float64]:
        """List the births of the bars that never die.

        Returns:
            Births (n,), in ascending order.
        """
        bars = self._dimension(dim)
        return np.sort(bars[np.isinf(bars[:, 1]), 0])

    def total_persistence(self, dim: int = 0, p: float = 1) -> float:
        """Sum the lifetimes of the finite bars, each to the power p.

        The exponent 2 is that of arXiv 2102.00485, section 3.3.

        Returns:
            The total, in units of the filtration to the power p.
        """
        return float((np.diff(self.finite(dim)) ** p).sum())

    def entropy(self, dim: int = 0) -> float:
        """Measure how evenly persistence is spread over the finite bars.

        It is -sum q log q over the shares q of the total lifetime (arXiv 1512.07613).

        Returns:
            The persistence entropy in nats; 0 without bars.
        """
        lifetimes = np.diff(self.finite(dim)).ravel()
        shares = lifetimes[lifetimes > 0] / (lifetimes.sum() or 1.0)
        return float(-np.log(shares) @ shares) if len(shares) > 1 else 0.0

    def statistics(self) -> dict[str, float]:
        """Summarise every dimension.

        Returns:
            Numbers of bars, total persistence for p = 1 and 2, entropy (nats) and the largest
            finite bar, named such as `h0_total_persistence_2`.
        """
        return {
            f"h{dim}_{name}": float(value)
            for dim in range(len(self.bars))
            for name, value in {
                "finite_bars": len(self.finite(dim)),
                "essential_bars": len(self.essential(dim)),
                "total_persistence_1": self.total_persistence(dim, 1),
                "total_persistence_2": self.total_persistence(dim, 2),
                "entropy": self.entropy(dim),
                "largest_bar": np.diff(self.finite(dim)).max(initial=0.0),
            }.items()
        }

    def distance(
        self,
        other: Diagrams,
        kind: Literal["bottleneck", "wasserstein", "sliced"] = "bottleneck",
        dim: int = 0,
    ) -> float:
        """Measure how far two diagrams are apart.

        Finite bars are matched with each other or with the diagonal: bottleneck is the largest
        maximum-norm move of the best matching, wasserstein the sum of its Euclidean moves (order
        1), sliced the mean over 50 directions of the one-dimensional transport cost (arXiv
        1706.03358). persim rounds to about 1e-8 of the diagrams' extent. Essential bars are
        matched in the order of their births a and b:

            bottleneck = max(finite part, max |a - b|)
            wasserstein, sliced = finite part + sum |a - b|

        Returns:
            The distance; infinite if the numbers of essential bars differ.

        Raises:
            ValueError: If there is no such kind or dimension.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, but is {kind!r}")
        mine, theirs = self.essential(dim), other.essential(dim)
        if len(mine) != len(theirs):
            return float("inf")
        parts = [_finite_distance(self, other, kind, dim), *np.abs(mine - theirs)]
        return float(max(parts) if kind == "bottleneck" else sum(parts))

    def _dimension(self, dim: int) -> NDArray[np.float64]:
        if not 0 <= dim < len(self.bars):
            raise ValueError(
                f"dim must lie in 0..{len(self.bars) - 1}, but is {dim}; ask for a larger maxdim"
            )
        return self.bars[dim]


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
        >>> from jumpretrain.graphs import neighbours
        >>> path = neighbours(abs(np.subtract.outer(range(5), range(5))), k=1)
        >>> sublevel([0, 2, 3, 1, 4], path).bars[0].tolist()
        [[1.0, 3.0], [0.0, inf]]
    """
    if complex not in ("flag", "graph"):
        raise ValueError(f'complex must be "flag" or "graph", but is {complex!r}')
    _check_maxdim(maxdim)
    links = edges(graph)
    values = check_values(values, graph.shape[0])
    matrix, levels = lower_star(values, links, complex)
    if complex == "flag":
        bars = _bars(matrix, levels, maxdim)
    else:  # a graph has no dimension 2
        bars = _bars(matrix, levels, min(maxdim, 1)) + (np.empty((0, 2)),) * (maxdim - 1)
    how = {"filtration": "sublevel", "complex": complex, "maxdim": maxdim}
    return Diagrams(bars, how | _sizes(values, links))


def rips(distances: ArrayLike, maxdim: int = 1, points: int | None = None) -> Diagrams:
    """Grow balls around points and watch pieces merge and holes open and close (Vietoris-Rips).

    Distances are exact in float64. Bars of length zero are left out. Memory grows with the square
    of the points, time somewhat faster; beyond 2,000 points a warning says how much.

    Args:
        distances: Distances between all points (N, N).
        maxdim: Highest dimension, 0 to 2.
        points: How many points to choose greedily (see `covers.cover`) in place of all; the
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
        return Diagrams(_bars(*pairwise(matrix), maxdim), how | _sizes(matrix))
    chosen = cover(matrix, points)
    bars = _bars(*pairwise(matrix[np.ix_(chosen.points, chosen.points)]), maxdim)
    real = [int((np.diff(some) > 4 * chosen.radius).sum()) for some in bars]
    how |= {"cover_radius": chosen.radius, "certified": real}
    return Diagrams(bars, how | _sizes(chosen.points))


def released(
    trajectories: Trajectories, embedding: Embedding, k: int = 20, metric: str = "test_loss"
) -> Diagrams:
    """Compute what the script published with arXiv 2102.00485 computes, for comparison only.

    Each point is linked to the k that its diffusion potential reaches least, in a multigraph that
    keeps duplicates; each point carries the loss of the point before it, the first that of the
    optimum. Merging pieces pair by the elder rule, also over no lifetime. Every piece left over
    and every edge that closes a cycle dies at the highest edge, so all bars are finite.

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
    return Diagrams(bars, how | _sizes(values, links))


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


def _finite_distance(one: Diagrams, other: Diagrams, kind: str, dim: int) -> float:
    pair = one.finite(dim), other.finite(dim)
    if np.array_equal(*pair):
        return 0.0
    # persim reflects bars about zero and rounds by their size, so both start at zero.
    low = np.vstack(pair).min()
    return float(KINDS[kind](pair[0] - low, pair[1] - low))


def _sizes(points: NDArray[Any], links: NDArray[Any] | None = None) -> dict[str, Any]:
    count = {} if links is None else {"edges": len(links)}
    return {"points": len(points), **count, "versions": dict(_VERSIONS)}


_VERSIONS = {name: version(name) for name in ("numpy", "persim", "ripser", "scipy")}
