"""Correlate ranks over networks, and take straight-line dependence out of values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from jumpretrain.comparison.effects import EPS
from jumpretrain.comparison.relabelling import draw_permutations, p_value
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Seed, Values

__all__ = ["Correlation", "partial_spearman", "residual_maker", "spearman"]

TIE = 1e-9
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """A rank correlation over networks.

    Attributes:
        rho: The correlation; NaN where one side is constant.
        p: Two-sided permutation p; 1 where one side is constant.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    rho: float
    p: float
    low: float
    high: float


@checked
def spearman(a: Values, b: Values, seed: Seed = 0, resamples: Count = 9999) -> Correlation:
    """Correlate ranks over networks.

    Returns:
        As for `partial_spearman`, with nothing held fixed.
    """
    return partial_spearman(a, b, np.empty((np.size(a), 0)), seed, resamples)


@checked
def partial_spearman(
    a: Values, b: Values, control: Values, seed: Seed = 0, resamples: Count = 9999
) -> Correlation:
    """Correlate ranks over networks, controls held fixed.

    Ranks of both sides are freed of their straight-line dependence on the controls' ranks; p
    comes from permuting one side's residuals: exact without controls; with one, p up to .05 came
    in .03 to .08 of simulations without a link (.14 with 5 networks whose ranks the control
    nearly fixes). The interval is Fisher's with Bonett and Wright's variance; an order without
    exception counts as one swap short of it, so that the interval keeps a length (a
    bootstrap's would have none). Of normal values it covered 94 to 100 % in simulation, from 4
    networks on, but 87 to 91 % of correlations of .98 and more. Of tied values it covered 91
    to 100 % with three levels, 80 to 100 % with two, and 53 to 100 % with two of which one
    comes in a sixth, the strong correlations least. Ranks keep a part of a strong control:
    where it explained 25 times the rest of both sides, p up to .05 came in .14 to .17, and the
    interval covered 76 to 89 %.

    Args:
        a: One value a network (n,).
        b: One value a network (n,).
        control: What is held fixed (n,) or (n, controls).
        seed: Seed of the permutations, drawn where there are more than 20,000.
        resamples: How many random permutations.

    Returns:
        The correlation, its p and its 95 % interval.

    Raises:
        ValueError: If the lengths differ, a value is not finite, or there are fewer than four
            networks more than controls.
    """
    fixed = np.asarray(control, float)
    fixed = fixed[:, None] if fixed.ndim == 1 else fixed
    if np.ndim(a) > 1 or np.ndim(b) > 1 or fixed.ndim > 2:
        raise ValueError(
            "a correlation needs one value a network, (n,), but those given are "
            f"{np.shape(a)}, {np.shape(b)} and {fixed.shape}; correlate column by column"
        )
    if len({np.size(a), np.size(b), len(fixed)}) > 1:
        raise ValueError(
            "every network needs both values and its controls, but there are "
            f"{np.size(a)}, {np.size(b)} and {len(fixed)}"
        )
    columns = np.column_stack([np.asarray(a, float), np.asarray(b, float), fixed])
    n, controls = len(columns), fixed.shape[1]
    if n < controls + 4 or not np.isfinite(columns).all():
        raise ValueError(
            f"a rank correlation needs finite values of at least {controls + 4} networks, but "
            f"there are {n}, {int(np.isfinite(columns).all(1).sum())} of them finite"
        )
    ranks = rankdata(columns, axis=0)
    clear = residual_maker(ranks[:, 2:])
    left, right = clear @ ranks[:, 0], clear @ ranks[:, 1]
    if min(np.abs(left).max(), np.abs(right).max()) < TIE * n:
        return Correlation(math.nan, 1.0, math.nan, math.nan)
    rho = float(left @ right / np.sqrt((left @ left) * (right @ right)))
    orders, _ = draw_permutations(n, np.random.default_rng(seed), resamples)
    permuted = left[orders] @ clear
    null = permuted @ right / np.sqrt(np.maximum((permuted**2).sum(1), 1e-300) * (right @ right))
    p = p_value(np.abs(null), abs(rho), TIE)
    return Correlation(rho, p, *_fisher(rho, n, controls))


def residual_maker(control: Array) -> Array:
    """Make the matrix that takes the mean and the straight line in the controls out of values.

    Returns:
        A projection (n, n).
    """
    centred = control - control.mean(0)
    size = np.linalg.norm(centred, axis=0)
    varying = size > EPS * np.linalg.norm(control, axis=0)
    columns = np.column_stack([np.ones(len(control)), centred[:, varying] / size[varying]])
    axes, lengths, _ = np.linalg.svd(columns, full_matrices=False)
    axes = axes[:, lengths > TIE]
    return np.asarray(np.eye(len(control)) - axes @ axes.T)


def _fisher(rho: float, n: int, controls: int) -> tuple[float, float]:
    limit = 1 - 12 / (n**3 - n)
    kept = min(max(rho, -limit), limit)
    reach = 1.96 * math.sqrt((1 + kept**2 / 2) / (n - 3 - controls))
    low, high = math.tanh(math.atanh(kept) - reach), math.tanh(math.atanh(kept) + reach)
    return min(low, rho), max(high, rho)
