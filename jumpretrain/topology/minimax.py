"""The minimum spanning tree of a complete graph whose edges are costly to measure.

Each edge has a lower bound that rises while it is measured. An edge is looked at only while it
could still be the lowest way out of a piece, so most never are, and the tree is exact: the lowest
edge out of a piece lies in a minimum spanning tree (the cut property; Boruvka 1926).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Begin", "Measuring", "Pair", "Probe", "SpanningTree", "measured", "spanning_tree"]

Measuring = Generator[float, float, float]
"""Yields the share of an edge to look at next, takes the height found there, and returns how much
higher the edge could be than what was found."""
INSIDE, NEVER = np.inf, np.finfo(np.float64).max
"""Stand for the bound of an edge within a piece, and for a height that is not finite."""
FEW, SHARE = 16, 16
"""At least so many looks are asked for at once, or a sixteenth of those since the last merge: with
larger shares more edges are looked at that the tree does not need (measured)."""


class Probe(NamedTuple):
    """One look at an edge, at a share of the way from one state to the other."""

    one: int
    other: int
    share: float


Pair = tuple[int, int]
"""The numbers of two states, the lower first."""
Begin = Callable[[int, int], Measuring]
Look = Callable[[Sequence[Probe]], Sequence[float] | NDArray[np.float64]]


class SpanningTree(NamedTuple):
    """The edges of a spanning tree (N - 1, 2) in rising order, and how high each is.

    `rises` tells how much higher each could be than what was found.
    """

    links: NDArray[np.intp]
    heights: NDArray[np.float64]
    rises: NDArray[np.float64]


class _Edge:
    """An edge of which more or less is known: `share` says where to look next, if anywhere."""

    def __init__(self, measuring: Measuring, height: float) -> None:
        self.measuring, self.height, self.rise = measuring, height, 0.0
        self.share: float | None = next(measuring)

    def take(self, height: float) -> None:
        self.height = max(self.height, height)
        try:
            self.share = self.measuring.send(height)
        except StopIteration as end:
            self.share, self.rise = None, end.value


class _Bounds:
    """Lower bounds of all edges out of each state, and pieces of states that are joined.

    Each row of the table holds one state's edges, the nearest other state first: so the first of
    equal bounds is that of the nearest.
    """

    def __init__(self, values: NDArray[np.float64], distances: NDArray[np.float64]) -> None:
        apart = distances.astype(np.float64)
        np.fill_diagonal(apart, np.inf)
        self.order = np.argsort(apart, axis=1, kind="stable")
        self.place = np.argsort(self.order, axis=1)
        self.apart = np.take_along_axis(apart, self.order, axis=1)
        self.table = np.maximum(values[:, None], values[self.order])
        self.table[np.isinf(self.apart)] = INSIDE
        self.least = self.table.argmin(axis=1)
        self.piece = np.arange(len(values))

    def lift(self, pairs: Sequence[Pair], heights: Sequence[float]) -> None:
        ends = np.array(pairs)
        for row, column in (ends.T, ends.T[::-1]):
            self.table[row, self.place[row, column]] = heights
        self._renew(np.unique(ends))

    def join(self, pair: Pair) -> None:
        one, other = (np.flatnonzero(self.piece == self.piece[end]) for end in pair)
        for rows, columns in ((one, other), (other, one)):
            self.table[rows[:, None], self.place[np.ix_(rows, columns)]] = INSIDE
        self.piece[other] = self.piece[pair[0]]
        both = np.r_[one, other]
        self._renew(both[self.table[both, self.least[both]] == INSIDE])

    def _renew(self, rows: NDArray[np.intp]) -> None:
        self.least[rows] = self.table[rows].argmin(axis=1)

    def ways_out(self) -> list[list[Pair]]:
        """List for each piece the lowest edge out of each of its states.

        Returns:
            Edges of each piece, the lowest first.
        """
        rows = np.arange(len(self.piece))
        bounds, apart = (table[rows, self.least] for table in (self.table, self.apart))
        sort = np.lexsort((rows, apart, bounds, self.piece))
        ends = np.sort(np.stack([sort, self.order[sort, self.least[sort]]], axis=1), axis=1)
        cuts = np.flatnonzero(np.diff(self.piece[sort])) + 1
        return [list(map(tuple, part.tolist())) for part in np.split(ends, cuts)]


class _Search:
    """Edges that were begun, and the bounds that follow."""

    def __init__(
        self, bounds: _Bounds | None, values: NDArray[np.float64], begin: Begin, look: Look
    ) -> None:
        self.bounds, self.values, self.begin, self.look = bounds, values, begin, look
        self.edges: dict[Pair, _Edge] = {}
        self.since = 0  # looks since the last merge

    def measured(self, pair: Pair) -> bool:
        return pair in self.edges and self.edges[pair].share is None

    def measure(self, pairs: Sequence[Pair]) -> None:
        """Look once at each of some edges."""
        for pair in pairs:
            if pair not in self.edges:
                height = float(self.values[list(pair)].max())
                self.edges[pair] = _Edge(self.begin(*pair), height)
        found = self.look([Probe(*pair, self.edges[pair].share or 0.0) for pair in pairs])
        heights = np.nan_to_num(found, nan=NEVER, posinf=NEVER).tolist()
        for pair, height in zip(pairs, heights, strict=True):
            self.edges[pair].take(height)
        if self.bounds is not None:
            self.bounds.lift(pairs, [self.edges[pair].height for pair in pairs])
        self.since += len(pairs)

    def finish(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Measure some edges to the end.

        Returns:
            Their heights (E,).
        """
        while left := [pair for pair in pairs if not self.measured(pair)]:
            self.measure(left)
        return self.heights(pairs)

    def heights(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        array = np.array([self.edges[pair].height for pair in pairs], dtype=np.float64)
        array[array >= NEVER] = np.inf
        return array

    def promising(self, bounds: _Bounds) -> tuple[list[Pair], list[Pair]]:
        """Find the lowest edge out of each piece where it is known, and where to look else.

        Returns:
            Edges of the tree, and edges to be looked at.
        """
        found, open_ = [], dict[Pair, None]()
        ways = bounds.ways_out()
        each = max(1, max(FEW, self.since // SHARE) // len(ways))
        for pairs in ways:
            for rank, pair in enumerate(pairs[:each]):
                if self.measured(pair):
                    found += [pair] if rank == 0 else []
                    break
                open_[pair] = None
        return found, list(open_)


def measured(
    values: NDArray[np.float64], pairs: Sequence[Pair], begin: Begin, look: Look
) -> NDArray[np.float64]:
    """Measure some edges.

    Args:
        values: The height of each state (N,).
        pairs: The edges, each from its lower number to its higher.
        begin: Begins to measure an edge.
        look: Finds heights where edges are looked at.

    Returns:
        Their heights (E,); infinite where they cannot be passed.
    """
    return _Search(None, values, begin, look).finish(pairs)


def spanning_tree(
    values: NDArray[np.float64],
    distances: NDArray[np.float64],
    begin: Begin,
    look: Look,
    whole: Sequence[Pair] = (),
    tell: Callable[[], object] = lambda: None,
) -> tuple[SpanningTree, NDArray[np.float64]]:
    """Find a minimum spanning tree and look at few edges.

    Args:
        values: The height of each state (N,); an edge is at least as high as both its ends.
        distances: How far states are apart (N, N): of edges with equal bounds the shortest goes
            first. They decide what is looked at, not the heights of the tree.
        begin: Begins to measure an edge, from its lower number to its higher.
        look: Finds heights where edges are looked at; what is not finite cannot be passed.
        whole: Edges to be measured whatever the tree needs.
        tell: Called at each merge.

    Returns:
        The tree, and the heights of the edges in `whole`. Infinite ones cannot be passed.
    """
    search = _Search(bounds := _Bounds(values, distances), values, begin, look)
    back = search.finish(whole)
    tree: list[Pair] = []
    while len(tree) < len(values) - 1:
        found, open_ = search.promising(bounds)
        for pair in found:
            if bounds.piece[pair[0]] != bounds.piece[pair[1]]:
                bounds.join(pair)
                search.since = 0
                tree.append(pair)
                tell()
        if not found:
            search.measure(open_)
    heights = search.heights(tree)
    rises = np.array([search.edges[pair].rise for pair in tree])
    sort = np.argsort(heights, kind="stable")
    links = np.array(tree, dtype=np.intp).reshape(-1, 2)[sort]
    return SpanningTree(links, heights[sort], rises[sort]), back
