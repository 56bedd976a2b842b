"""Compare how well two methods rank the same networks, by resampling and swapping networks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

RESAMPLES = 1999
Array = NDArray[np.float64]
Parts = NDArray[np.str_] | None


@dataclass(frozen=True)
class Contest:
    """How much better the first method ranks than the second, one entry a statistic (S,)."""

    gap: Array  # difference of the sizes of the rank correlations
    low: Array  # lower end of the 95 % interval
    high: Array
    p: Array  # two-sided, of swapping the methods network by network


def correlate(values: Array, target: Array, parts: Parts = None) -> Array:
    """Correlate ranks of values and a target (..., n) over networks; 0 if one is constant.

    Ranks are freed of the means of `parts`, a label a network (n,).
    """
    left, right = (_scaled(rankdata(side, axis=-1), parts) for side in (values, target))
    return np.asarray((left * right).sum(axis=-1))


def strength(values: Array, target: Array, parts: Parts = None) -> Array:
    """Measure how well values rank networks, whichever way round: the size of `correlate`."""
    return np.abs(correlate(values, target, parts))


def contest(first: Array, second: Array, target: Array, parts: Parts, groups: Parts) -> Contest:
    """Compare how two methods (S, n) rank a target (n,); the last entry is the mean over S.

    Networks are resampled within `groups`, which keeps the design; intervals are percentiles.
    """
    rng = np.random.default_rng(0)
    gap = _with_mean(strength(first, target, parts) - strength(second, target, parts))
    drawn = np.stack([_resampled(groups, rng) for _ in range(RESAMPLES)])
    again = target[drawn][:, None]
    sides = (strength(side[:, drawn].swapaxes(0, 1), again, parts) for side in (first, second))
    low, high = np.quantile(_with_mean(np.subtract(*sides)), [0.025, 0.975], axis=0)
    swapped = np.abs(_with_mean(_swapped(first, second, target, parts, rng)))
    p = (1 + (swapped >= np.abs(gap) - 1e-9).sum(axis=0)) / (RESAMPLES + 1)
    return Contest(gap, low, high, p)


def resampled_strength(
    values: Array, target: Array, parts: Parts, groups: Parts
) -> tuple[Array, Array]:
    """Bound the strength of statistics (S, n), and of their mean, by the same bootstrap."""
    rng = np.random.default_rng(0)
    drawn = np.stack([_resampled(groups, rng) for _ in range(RESAMPLES)])
    found = strength(values[:, drawn].swapaxes(0, 1), target[drawn][:, None], parts)
    low, high = np.quantile(_with_mean(found), [0.025, 0.975], axis=0)
    return low, high


def _swapped(
    first: Array, second: Array, target: Array, parts: Parts, rng: np.random.Generator
) -> Array:
    """Exchange both methods' ranks in random networks, each turned to agree with the target."""
    wanted = _scaled(rankdata(target), parts)
    sides = [_scaled(rankdata(side, axis=-1), parts) for side in (first, second)]
    one, two = (side * np.where(side @ wanted < 0, -1, 1)[:, None] for side in sides)
    swaps = rng.integers(2, size=(RESAMPLES, 1, len(target))) > 0
    mixed = np.where(swaps, two, one), np.where(swaps, one, two)
    return np.subtract(*(np.abs(_scaled(side, parts) @ wanted) for side in mixed))


def _scaled(ranks: Array, parts: Parts) -> Array:
    """Free ranks (..., n) of the means of parts, or of their own, and give them length 1."""
    ranks = np.array(ranks, dtype=float)
    labels = np.zeros(ranks.shape[-1]) if parts is None else parts
    for label in np.unique(labels):
        inside = labels == label
        ranks[..., inside] -= ranks[..., inside].mean(axis=-1, keepdims=True)
    length = np.linalg.norm(ranks, axis=-1, keepdims=True)
    return np.where(length > 1e-9, ranks / np.maximum(length, 1e-9), 0.0)


def _with_mean(values: Array) -> Array:
    return np.concatenate([values, values.mean(axis=-1, keepdims=True)], axis=-1)


def _resampled(groups: Parts, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw networks within groups; every place keeps a network of its own group."""
    places = np.arange(len(groups))
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        places[inside] = rng.choice(inside, len(inside))
    return places
