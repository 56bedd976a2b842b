"""Merge trees: which states lie in one basin at which height, and where basins meet.

Trees of this kind have been drawn for energy landscapes as disconnectivity graphs (Becker and
Karplus 1997), and for networks from located minima and transition states (arXiv:1703.07915).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import cophenet, fcluster, leaves_list
from scipy.spatial.distance import squareform

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.arrays import as_reals
from jumpretrain.execution.bounds import AnyNumber
from jumpretrain.topology.diagrams import Diagrams
from jumpretrain.topology.filtrations import check_values
from jumpretrain.topology.homology import graph_bars, sizes

__all__ = ["MergeTree", "merge_tree", "pieces"]

NO_BASIN = -1
"""Stands for the basin of a state that lies above the height."""


@dataclass(frozen=True, eq=False)
class MergeTree:
    """How N states become one piece as the height rises.

    Attributes:
        values: The height of each state (N,), in nats where it is a loss.
        links: The two states whose edge joins their pieces, one row a merge (N - 1, 2).
        heights: The height of each merge (N - 1,), rising, and at least that of the states that
            it links; infinite where nothing joins them.

    Raises:
        ValueError: If shapes disagree, or heights are out of order or below a state.
    """

    values: NDArray[np.float64]
    links: NDArray[np.intp]
    heights: NDArray[np.float64]

    def __post_init__(self) -> None:
        merges = len(self.values) - 1
        if self.links.shape != (merges, 2) or self.heights.shape != (merges,):
            raise ValueError(
                f"{merges + 1} states merge {merges} times, so links must be ({merges}, 2) and "
                f"heights ({merges},), but they are {self.links.shape} and {self.heights.shape}"
            )
        ends = self.values[self.links].max(axis=1, initial=-np.inf)
        wrong = self.heights < np.maximum(ends, np.r_[-np.inf, self.heights][:merges])
        if wrong.any():
            raise ValueError(
                "merges must be in rising order and no lower than the states they join, but "
                f"merge {int(np.argmax(wrong))} is not; make the tree by merge_tree"
            )

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def linkage(self) -> NDArray[np.float64]:
        """The tree as SciPy keeps one: two pieces, height, number of states (N - 1, 4)."""
        count = len(self)
        number, size = list(range(count)), [1] * count
        find, join = pieces(count)
        rows = np.empty((count - 1, 4))
        for merge, (one, other) in enumerate(self.links.tolist()):
            a, b = sorted((number[find(one)], number[find(other)]))
            size.append(size[a] + size[b])
            rows[merge] = a, b, self.heights[merge], size[-1]
            number[join(one, other)] = count + merge
        return rows

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The states from left to right, so that no two branches cross (N,)."""
        if len(self) == 1:
            return np.zeros(1, np.intp)
        return np.asarray(leaves_list(self.linkage), dtype=np.intp)

    @cached_property
    def minimax(self) -> NDArray[np.float64]:
        """The height of the lowest way between every two states (N, N), its highest point.

        On the diagonal stand the states' own heights.
        """
        if len(self) == 1:
            return self.values[:, None].copy()
        table: NDArray[np.float64] = squareform(cophenet(self.linkage), checks=False)
        np.fill_diagonal(table, self.values)
        return table

    @property
    def diagrams(self) -> Diagrams:
        """The bars of basins, from Ripser: born at their lowest state, dead where they merge."""
        joined = np.isfinite(self.heights)
        links, heights = self.links[joined], self.heights[joined]
        bars = graph_bars(self.values, links, heights, "flag", 0)
        return Diagrams(bars, {"filtration": "minimax", "maxdim": 0} | sizes(self.values, links))

    def among(self, states: NDArray[np.intp]) -> MergeTree:
        """Leave out states, but no way: the tree of some states over ways through all of them.

        Returns:
            The tree of those states (K,), in the order given.
        """
        pairs = np.stack(np.triu_indices(len(states), k=1), axis=1)
        ways = self.minimax[tuple(states[pairs].T)]
        return merge_tree(self.values[states], pairs, ways)

    @property
    def floors(self) -> NDArray[np.float64]:
        """The higher of the lowest states of both pieces, for each merge (N - 1,).

        No way between these two states is lower.
        """
        find, join = pieces(len(self))
        low, found = self.values.copy(), np.empty(len(self) - 1)
        for merge, pair in enumerate(self.links.tolist()):
            ends = sorted(low[find(end)] for end in pair)
            low[join(*pair)], found[merge] = ends
        return found

    @property
    def leaf_edges(self) -> NDArray[np.float64]:
        """Each basin's lowest height, and that at which it first meets another basin (B, 2).

        A single basin meets none, and has no row.
        """
        find, join = pieces(len(self))
        low, fresh = self.values.copy(), np.ones(len(self), bool)
        found = []
        for merge in np.flatnonzero(np.isfinite(self.heights)):
            height = self.heights[merge]
            lower, upper = sorted(map(find, self.links[merge].tolist()), key=low.__getitem__)
            if meeting := height > low[upper]:  # else the upper one is a slope of the lower
                found += [(low[k], height) for k in (lower, upper) if fresh[k]]
            kept = low[lower], fresh[lower] and not meeting
            root = join(lower, upper)
            low[root], fresh[root] = kept
        return np.array(found).reshape(-1, 2)

    @property
    def mean_leaf_edge(self) -> float:
        """The mean length of the leaf edges, 0 of a single basin (SMAD of arXiv:2602.07135).

        It is no mean of bars: the deepest basin counts too, and each up to its first saddle.
        """
        edges = self.leaf_edges
        return float(np.diff(edges, axis=1).mean()) if len(edges) else 0.0

    @checked
    def basins(self, height: AnyNumber) -> NDArray[np.intp]:
        """Say in which basin each state lies when the water stands at a height.

        Returns:
            Numbers from 0, that of the basin with the lowest state (N,); -1 for states above.
        """
        below = self.values <= height
        if len(self) == 1:
            return np.where(below, 0, NO_BASIN)
        raw = fcluster(self.linkage, height, criterion="distance")
        lowest = [(self.values[raw == label].min(), label) for label in np.unique(raw[below])]
        names = {label: number for number, (_, label) in enumerate(sorted(lowest))}
        return np.array([names.get(label, NO_BASIN) for label in np.where(below, raw, 0)], np.intp)


@checked
def merge_tree(values: ArrayLike, links: ArrayLike, heights: ArrayLike) -> MergeTree:
    """Make the merge tree of a graph whose edges have heights of their own.

    Args:
        values: One finite number a state (N,).
        links: The edges (E, 2).
        heights: One number an edge (E,), at least those of its ends; infinite ones join nothing.

    Returns:
        The tree; what no edge joins is joined at infinity.

    Raises:
        ValueError: If shapes disagree, or an edge is lower than an end or of no such state.

    Example:
        >>> path = [[0, 1], [1, 2], [2, 3], [3, 4]]
        >>> tree = merge_tree([5, 1, 6, 2, 7], path, [5, 6, 6, 7])
        >>> tree.minimax[1, 3], tree.mean_leaf_edge
        (np.float64(6.0), 4.5)
    """
    levels = as_reals(values, "values")
    levels = check_values(levels, levels.size)
    pairs, tops = _pairs(links, len(levels)), as_reals(heights, "heights")
    if tops.shape != (len(pairs),) or np.isnan(tops).any():
        raise ValueError(
            f"heights must be one number an edge ({len(pairs)},), but are {tops.shape}"
            f" with {int(np.isnan(tops).sum())} NaN"
        )
    find, join = pieces(len(levels))
    kept = []
    for edge in np.argsort(tops, kind="stable").tolist():
        one, other = pairs[edge].tolist()
        if tops[edge] < np.inf and find(one) != find(other):
            join(one, other)
            kept.append((one, other, tops[edge]))
    roots = sorted({find(state) for state in range(len(levels))})
    kept += [(roots[0], root, np.inf) for root in roots[1:]]
    ends = np.array([row[:2] for row in kept], np.intp).reshape(-1, 2)
    return MergeTree(levels, ends, np.array([row[2] for row in kept], np.float64))


def _pairs(links: ArrayLike, count: int) -> NDArray[np.intp]:
    pairs = as_reals(links, "links")
    pairs = pairs.reshape(-1, 2) if not pairs.size else pairs
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isin(pairs, np.arange(count)).all():
        raise ValueError(
            f"links must be pairs (E, 2) of numbers from 0 to {count - 1}, but are {pairs.shape}"
            + (f" from {pairs.min():g} to {pairs.max():g}" if pairs.size else "")
        )
    return pairs.astype(np.intp)


def pieces(count: int) -> tuple[Callable[[int], int], Callable[[int, int], int]]:
    """Keep which of so many things are joined (union-find).

    Args:
        count: How many things there are, each a piece of its own.

    Returns:
        A function that names the piece of a thing, and one that joins those of two things and
        names what they have become.
    """
    root, size = list(range(count)), [1] * count

    def find(thing: int) -> int:
        while root[thing] != thing:
            root[thing] = thing = root[root[thing]]
        return thing

    def join(one: int, other: int) -> int:
        small, large = sorted((find(one), find(other)), key=size.__getitem__)
        if small != large:
            root[small] = large
            size[large] += size[small]
        return large

    return find, join
