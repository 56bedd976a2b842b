"""Put values on a scale, and turn them into what Ripser computes with.

Ripser computes in float32, which would merge losses that differ by a millionth. It is therefore
given ranks, and its bars are read back as the float64 values behind them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.spatial.distance import squareform

from jumpretrain.execution.arrays import as_reals

__all__ = ["check_values", "elder", "entering", "pairwise", "transform"]

HALF = np.finfo(float).max / 2
EXACT = 2**24  # float32 holds every integer up to here

Ranked = tuple[Any, NDArray[np.float64]]


def transform(
    values: ArrayLike, scale: Literal["raw", "log", "rank", "unit"] = "raw"
) -> NDArray[np.float64]:
    """Put a loss on another scale before filtering by it.

    Args:
        values: The loss (N,).
        scale: `"raw"` as it is; `"log"` natural logarithm; `"rank"` (rank - 1) / (n - 1) among the
            n distinct values; `"unit"` least to 0 and greatest to 1.

    Returns:
        The loss on that scale (N,); a constant has rank and unit 0.

    Raises:
        ValueError: If a value is not finite or has no logarithm, or the scale is unknown.

    Example:
        >>> transform([4, 2, 4, 6], "rank").tolist()
        [0.5, 0.0, 0.5, 1.0]
    """
    array = as_reals(values, "values")
    array = check_values(array, array.size)
    if scale == "raw":
        return array.copy()
    if scale == "log":
        return _logarithm(array)
    if scale == "rank":
        return _unit(np.unique(array, return_inverse=True)[1].astype(np.float64))
    if scale == "unit":
        return _unit(array)
    raise ValueError(f"scale must be raw, log, rank or unit, but is {scale!r}")


def check_values(values: ArrayLike, count: int) -> NDArray[np.float64]:
    """Refuse what is not one finite number a point.

    Returns:
        The values (N,) in float64.

    Raises:
        ValueError: If there are more, fewer or none, or some are not finite.
    """
    array = as_reals(values, "values")
    if array.shape != (count,) or not count:
        raise ValueError(
            f"there must be one value a point, ({count},), but values are {array.shape}; "
            "take points and values from one selection"
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"values must be finite, but {np.sum(~np.isfinite(array))} of {count} are not; "
            "drop the runs that diverged"
        )
    return array


def entering(
    values: NDArray[np.float64],
    links: NDArray[np.intp],
    heights: NDArray[np.float64],
    complex: Literal["flag", "graph"],
) -> Ranked:
    """Let points enter at their values and edges at their heights.

    Ripser fills every triangle, so on the bare graph each edge is subdivided by a point that
    enters with it: then there are none.

    Args:
        values: One number a point (N,).
        links: The edges (E, 2).
        heights: One number an edge (E,), at least the values of its ends.
        complex: `"flag"` or `"graph"`.

    Returns:
        A sparse matrix of ranks with the points' own on the diagonal, and the value of each rank.
    """
    levels, ranks = _ranked(np.r_[values, heights])
    births, raised = np.split(1 + ranks, [len(values)])  # SciPy may drop a zero
    if complex == "graph":
        middle = len(births) + np.arange(len(links))
        births = np.r_[births, raised]
        links = np.vstack([np.stack([end, middle], axis=1) for end in links.T])
        raised = np.r_[raised, raised]
    own = np.arange(len(births))
    row, column = np.r_[own, links[:, 0], links[:, 1]], np.r_[own, links[:, 1], links[:, 0]]
    entries = np.r_[births, raised, raised].astype(np.float64)
    matrix = sparse.csr_array((entries, (row, column)), shape=(len(own), len(own)))
    return matrix, np.r_[np.nan, levels]


def pairwise(distances: NDArray[np.float64]) -> Ranked:
    """Rank the distances between points, zero being rank 0.

    Returns:
        The ranks (N, N), and the value of each.
    """
    pairs = np.maximum(squareform(distances, checks=False), 0.0)
    levels, ranks = _ranked(np.r_[0.0, pairs])
    return squareform(ranks[1:]), levels


def elder(
    values: NDArray[np.float64], links: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Add edges by height to a multigraph and let the older piece survive every merger.

    The height of an edge is the higher value of its ends. Bars of length zero are kept.

    Args:
        values: One number a point (N,).
        links: The edges (E, 2), duplicates and loops allowed.

    Returns:
        Births and deaths of the pieces that merged (m, 2), births of those that are left (c,),
        heights of the edges that closed a cycle (E - N + c,).
    """
    heights = values[links].max(axis=1)
    root = list(range(len(values)))
    merged, closing = [], []

    def find(point: int) -> int:
        while root[point] != point:
            root[point] = point = root[root[point]]
        return point

    for edge in np.argsort(heights, kind="stable").tolist():
        old, young = sorted(map(find, links[edge].tolist()), key=lambda point: values[point])
        if old == young:
            closing.append(heights[edge])
        else:
            root[young] = old
            merged.append((values[young], heights[edge]))
    left = values[[point for point in range(len(root)) if root[point] == point]]
    return np.reshape(merged, (-1, 2)), left, np.asarray(closing, dtype=np.float64)


def _logarithm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.min() <= 0:
        raise ValueError(
            f"log needs values above 0, but {np.sum(values <= 0)} of {len(values)} are not "
            f'(least {values.min():.3g}); use "rank" or "unit"'
        )
    return np.asarray(np.log(values))


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if np.abs(values).max() > HALF:  # twice that is no float
        values = values / 2
    extent = np.ptp(values)
    return np.asarray((values - values.min()) / (extent if extent > 0 else 1.0))


def _ranked(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    levels, ranks = np.unique(values, return_inverse=True)
    if len(levels) >= EXACT:
        raise ValueError(
            f"Ripser tells {EXACT} values apart, but there are {len(levels)}; take fewer points"
        )
    return levels, ranks
