"""List or draw the relabellings of networks that a permutation test compares with."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_permutations", "p_value", "relabel", "symmetries"]

ENUMERABLE = 20_000
ENUMERABLE_ITEMS = 7
Labels = NDArray[np.intp]


def relabel(
    labels: Labels,
    blocks: list[Labels],
    rng: np.random.Generator,
    resamples: int,
) -> tuple[Labels, bool]:
    """Relabel networks within blocks: every distinct way where few, at random where many.

    Args:
        labels: The group of each network (N,).
        blocks: The networks that may trade places, as indices; together all of them.
        rng: Where random relabellings come from.
        resamples: How many of them.

    Returns:
        One relabelling a row, and whether these are all; if not, row 0 is the labels observed.
    """
    sizes = [list(Counter(labels[block].tolist()).values()) for block in blocks]
    counts = [math.factorial(sum(s)) // math.prod(map(math.factorial, s)) for s in sizes]
    exact = math.prod(counts) <= ENUMERABLE
    rows = math.prod(counts) if exact else resamples + 1
    out = np.tile(labels, (rows, 1))
    chosen = np.unravel_index(np.arange(rows), counts) if exact else ()
    for index, block in enumerate(blocks):
        if exact:
            out[:, block] = _arrangements(labels[block])[chosen[index]]
        else:
            out[1:, block] = rng.permuted(out[1:, block], axis=1)
    return out, exact


def _arrangements(labels: Labels) -> Labels:
    """List every distinct order of some labels.

    Returns:
        One order a row.
    """
    first = labels.min()
    others = labels[labels != first]
    if not len(others):
        return labels[None]
    rest, n = _arrangements(others), len(labels)
    places = np.array(list(itertools.combinations(range(n), len(others))))
    out = np.full((len(places), len(rest), n), first)
    rows, columns = np.arange(len(places))[:, None, None], np.arange(len(rest))[None, :, None]
    out[rows, columns, places[:, None, :]] = rest[None]
    return out.reshape(-1, n)


def symmetries(labels: Labels, blocks: list[Labels]) -> int:
    """Count the relabellings that only rename groups of equal sizes.

    Returns:
        How many relabellings share one partition of the networks; p cannot count fewer.
    """
    sizes = [
        tuple((labels[block] == label).sum() for block in blocks) for label in np.unique(labels)
    ]
    return math.prod(math.factorial(count) for count in Counter(sizes).values())


def draw_permutations(n: int, rng: np.random.Generator, resamples: int) -> tuple[Labels, bool]:
    """Order n items: every way where few, at random where many.

    Returns:
        One order a row, and whether these are all; if not, row 0 is the order observed.
    """
    if n <= ENUMERABLE_ITEMS:
        return np.array(list(itertools.permutations(range(n)))), True
    out = np.tile(np.arange(n), (resamples + 1, 1))
    out[1:] = rng.permuted(out[1:], axis=1)
    return out, False


def p_value(null: NDArray[np.float64], observed: float, tolerance: float) -> float:
    """Count how often a relabelling is at least as extreme as what was observed.

    Random relabellings include the observed one, which is the rule (b + 1) / (m + 1) of Phipson
    and Smyth (2010). The tolerance lets values that only rounding tells apart tie.

    Returns:
        The p-value.
    """
    return float((null >= observed - tolerance).mean())
