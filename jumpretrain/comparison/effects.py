"""Measure how far groups of networks lie apart, and how sure that is.

Values lie along the last axis, one a network, so that resampled groups are measured at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, ndtr, ndtri

from jumpretrain.execution.arguments import checked

__all__ = [
    "as_arrays",
    "bootstrap_interval",
    "cliffs_delta",
    "delta_interval",
    "eta_squared",
    "standardised_difference",
]

EPS = 8 * np.finfo(float).eps
Array = NDArray[np.float64]


@checked
def cliffs_delta(a: ArrayLike, b: ArrayLike) -> Any:
    """Measure how often a value of the first group exceeds one of the second.

    Args:
        a: Values (..., n) of the first group.
        b: Values (..., m) of the second.

    Returns:
        P(a > b) - P(a < b), in [-1, 1]: a float, or an array (...).
    """
    left, right = np.asarray(a, float)[..., :, None], np.asarray(b, float)[..., None, :]
    return (left > right).mean((-2, -1)) - (left < right).mean((-2, -1))


@checked
def delta_interval(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Bound Cliff's delta by a score interval.

    It holds the deltas whose own standard error explains the one observed, with Hanley and
    McNeil's variance under exponential values and Newcombe's pooled sizes (method 5). Unlike a
    bootstrap it does not shrink to a point when the groups separate: for two normal groups of 5,
    three standard deviations apart, it covers 95 % in simulation where percentiles cover 21 %.

    Returns:
        The lower and the upper end.
    """
    n, m = np.size(a), np.size(b)
    win = np.linspace(0, 1, 20_001)
    pooled = (n + m) / 2 - 1
    variance = win * (1 - win) * (1 + pooled * ((1 - win) / (2 - win) + win / (1 + win))) / (n * m)
    gap = (win - (cliffs_delta(a, b) + 1) / 2) ** 2
    inside = win[gap <= ndtri((1 + level) / 2) ** 2 * variance + 1e-12]
    return float(2 * inside[0] - 1), float(2 * inside[-1] - 1)


@checked
def standardised_difference(a: ArrayLike, b: ArrayLike) -> Any:
    """Divide the difference of means by the pooled standard deviation (Hedges' g).

    The exact small-sample factor makes it unbiased for normal values. Without any spread it is
    0 where the groups agree and infinite, with the difference's sign, where they do not.

    Args:
        a: Values (..., n) of the first group.
        b: Values (..., m) of the second.

    Returns:
        g, positive where the first group is larger: a float, or an array (...).
    """
    left, right = np.asarray(a, float), np.asarray(b, float)
    freedom = left.shape[-1] + right.shape[-1] - 2
    squares = sum(((x - x.mean(-1, keepdims=True)) ** 2).sum(-1) for x in (left, right))
    deviation = np.sqrt(squares / freedom)
    noise = EPS * np.maximum(np.abs(left).max(-1), np.abs(right).max(-1))
    gap = left.mean(-1) - right.mean(-1)
    gap = np.where(np.abs(gap) <= noise, 0.0, gap)
    bias = math.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    flat = np.where(gap == 0, 0.0, np.copysign(np.inf, gap))
    return np.where(deviation <= noise, flat, bias * gap / np.maximum(deviation, 1e-300))[()]


@checked
def eta_squared(*groups: ArrayLike) -> Any:
    """Measure the share of the variance that lies between groups.

    It is never negative, and its mean without any effect is (groups - 1) / (networks - 1).

    Args:
        *groups: Values (..., n) of each group.

    Returns:
        The share, in [0, 1], and 0 where all values are equal: a float, or an array (...).
    """
    arrays = [np.asarray(group, float) for group in groups]
    pooled = np.concatenate(arrays, -1)
    centre = pooled.mean(-1, keepdims=True)
    total = ((pooled - centre) ** 2).sum(-1)
    within = sum(((x - x.mean(-1, keepdims=True)) ** 2).sum(-1) for x in arrays)
    noise = pooled.shape[-1] * (EPS * np.abs(pooled).max(-1)) ** 2
    share = 1 - within / np.maximum(total, 1e-300)
    return np.where(total <= noise, 0.0, np.clip(share, 0, 1))[()]


@checked
def bootstrap_interval(
    groups: Sequence[ArrayLike],
    statistic: Callable[..., Any] = standardised_difference,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 9999,
) -> tuple[float, float]:
    """Bound an effect by resampling networks within groups (BCa; Efron 1987).

    With 5 networks a group the interval of Hedges' g covers 83 to 94 %, not 95 %, in simulation.

    Args:
        groups: The networks' values, one array a group.
        statistic: Effect of groups (..., n), such as `eta_squared`; works on the last axis.
        level: How much of the resampled effects lies inside.
        seed: Seed of the resampling.
        resamples: How often networks are drawn.

    Returns:
        The lower and the upper end; NaN where the effect is not finite, for want of spread.
    """
    arrays, rng = as_arrays(groups), np.random.default_rng(seed)
    effect = float(statistic(*arrays))
    if not math.isfinite(effect):
        return math.nan, math.nan
    drawn = [x[rng.integers(len(x), size=(resamples, len(x)))] for x in arrays]
    effects = statistic(*drawn)
    below = ((effects < effect).mean() + (effects <= effect).mean()) / 2
    bias = ndtri(np.clip(below, 1 / (resamples + 1), resamples / (resamples + 1)))
    shifted = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    shares = ndtr(bias + shifted / (1 - _acceleration(arrays, statistic) * shifted))
    low, high = np.sort(np.quantile(effects, shares, method="inverted_cdf"))
    return float(low), float(high)


def as_arrays(groups: Sequence[ArrayLike]) -> list[Array]:
    """Copy groups of values, after checking them.

    Returns:
        One array a group.

    Raises:
        ValueError: If there are fewer than two groups, fewer than two networks in one, or a
            value is not finite.
    """
    arrays = [np.array(group, dtype=float) for group in groups]
    if len(arrays) < 2 or any(array.ndim != 1 or len(array) < 2 for array in arrays):
        raise ValueError(
            "a comparison needs two or more groups of two or more networks, but has arrays of "
            f"shapes {[array.shape for array in arrays]}; train more networks"
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("values must be finite, but some are NaN or infinite; leave those out")
    return arrays


def _acceleration(arrays: list[Array], statistic: Callable[..., Any]) -> float:
    influences = []
    for index, array in enumerate(arrays):
        left = np.array([np.delete(array, i) for i in range(len(array))])
        others = [np.broadcast_to(x, (len(array), len(x))) for x in arrays]
        effects = statistic(*others[:index], left, *others[index + 1 :])
        if not np.isfinite(effects).all():
            return 0.0
        influences.append((1 - 1 / len(array)) * (effects.mean() - effects))
    influence = np.concatenate(influences)
    squares = (influence**2).sum()
    return float((influence**3).sum() / (6 * squares**1.5)) if squares > 0 else 0.0
