"""Measure how far groups of networks lie apart.

Values lie along the last axis, one a network, so that resampled groups are measured at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Values

__all__ = [
    "as_arrays",
    "cliffs_delta",
    "eta_squared",
    "scaled",
    "standardised_difference",
]

FAR = 500
"""Powers of two from which on squares, or their sums, may leave the range of floats."""
EPS = 8 * np.finfo(float).eps
Array = NDArray[np.float64]


@checked
def cliffs_delta(a: Values, b: Values) -> Any:
    """Measure how often a value of the first group exceeds one of the second.

    Args:
        a: Values (..., n) of the first group.
        b: Values (..., m) of the second.

    Returns:
        P(a > b) - P(a < b), in [-1, 1]: a float, or an array (...).

    Raises:
        ValueError: If a group is empty or holds NaN, which has no order.
    """
    left, right = np.asarray(a, float)[..., :, None], np.asarray(b, float)[..., None, :]
    if not left.size or not right.size or np.isnan(left).any() or np.isnan(right).any():
        raise ValueError(
            f"an order needs values in both groups and no NaN, but groups have {left.size} and "
            f"{right.size} values, {int(np.isnan(left).sum() + np.isnan(right).sum())} of them "
            "NaN; leave those out"
        )
    return (left > right).mean((-2, -1)) - (left < right).mean((-2, -1))


@checked
def standardised_difference(a: Values, b: Values) -> Any:
    """Divide the difference of means by the pooled standard deviation (Hedges' g).

    The exact small-sample factor makes it unbiased for normal values. Without any spread it is
    0 where the groups agree and infinite, with the difference's sign, where they do not.

    Args:
        a: Values (..., n) of the first group.
        b: Values (..., m) of the second.

    Returns:
        g, positive where the first group is larger: a float, or an array (...). NaN with fewer
        than four networks in all, for which there is no unbiased estimate.

    Raises:
        ValueError: If a group is empty, or a value is not finite.
    """
    left, right = np.asarray(a, float), np.asarray(b, float)
    if not (left.size and right.size):
        raise ValueError(
            "a difference needs values in both groups, but one is empty; leave it out"
        )
    _check_finite([left, right])
    freedom = left.shape[-1] + right.shape[-1] - 2
    if freedom < 2:
        return np.full(np.broadcast_shapes(left.shape[:-1], right.shape[:-1]), np.nan)[()]
    (left, right), _ = scaled([left, right])
    squares = sum(((x - x.mean(-1, keepdims=True)) ** 2).sum(-1) for x in (left, right))
    deviation = np.sqrt(squares / freedom)
    noise = EPS * np.maximum(np.abs(left).max(-1), np.abs(right).max(-1))
    gap = left.mean(-1) - right.mean(-1)
    gap = np.where(np.abs(gap) <= noise, 0.0, gap)
    bias = math.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    flat = np.where(gap == 0, 0.0, np.copysign(np.inf, gap))
    return np.where(deviation <= noise, flat, bias * gap / np.maximum(deviation, 1e-300))[()]


@checked
def eta_squared(*groups: Values) -> Any:
    """Measure the share of the variance that lies between groups.

    It is never negative, and its mean without any effect is (groups - 1) / (networks - 1).

    Args:
        *groups: Values (..., n) of each group.

    Returns:
        The share, in [0, 1], and 0 where all values are equal: a float, or an array (...).

    Raises:
        ValueError: If there are fewer than two groups, one is empty, or a value is not finite.
    """
    if len(groups) < 2 or not all(np.size(group) for group in groups):
        raise ValueError(
            "a share between groups needs two or more with values, but they have "
            f"{[np.size(group) for group in groups]}; leave out empty ones"
        )
    values = [np.asarray(group, float) for group in groups]
    _check_finite(values)
    arrays, _ = scaled(values)
    pooled = np.concatenate(arrays, -1)
    centre = pooled.mean(-1, keepdims=True)
    total = ((pooled - centre) ** 2).sum(-1)
    within = sum(((x - x.mean(-1, keepdims=True)) ** 2).sum(-1) for x in arrays)
    noise = pooled.shape[-1] * (EPS * np.abs(pooled).max(-1)) ** 2
    share = 1 - within / np.maximum(total, 1e-300)
    return np.where(total <= noise, 0.0, np.clip(share, 0, 1))[()]


def scaled(arrays: Sequence[Array]) -> tuple[list[Array], int]:
    """Divide values by one power of two, exactly, where their squares would leave the range.

    Returns:
        The values, the largest between 1/2 and 1 if they were divided, and the power.
    """
    largest = max(np.abs(array).max(initial=0.0) for array in arrays)
    power = math.frexp(largest)[1] if 0 < largest < math.inf else 0
    if abs(power) < FAR:
        return list(arrays), 0
    return [np.ldexp(array, -power) for array in arrays], power


def as_arrays(groups: Sequence[Values]) -> list[Array]:
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
    _check_finite(arrays)
    return arrays


def _check_finite(arrays: Sequence[Array]) -> None:
    lost = sum(int((~np.isfinite(array)).sum()) for array in arrays)
    if lost:
        count = sum(array.size for array in arrays)
        raise ValueError(
            f"values must be finite, but {lost} of {count} are NaN or infinite; leave those out"
        )
