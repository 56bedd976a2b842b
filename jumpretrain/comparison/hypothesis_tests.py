"""Judge differences between groups of networks: permutation tests, correlations, verdicts.

A value belongs to one network; networks are exchangeable when a group makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from jumpretrain.comparison.correlation import (
    TIE,
    Correlation,
    partial_spearman,
    residual_maker,
    spearman,
)
from jumpretrain.comparison.effects import (
    EPS,
    as_arrays,
    cliffs_delta,
    eta_squared,
    scaled,
    standardised_difference,
)
from jumpretrain.comparison.intervals import (
    bootstrap_interval,
    delta_interval,
    difference_interval,
    share_interval,
)
from jumpretrain.comparison.relabelling import draw_permutations, p_value, relabel, symmetries
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import AnyNumber, Count, Names, Seed, Values
from jumpretrain.execution.settings import standard_settings

__all__ = [
    "Correlation",
    "PermutationTest",
    "bootstrap_interval",
    "cliffs_delta",
    "delta_interval",
    "difference_interval",
    "eta_squared",
    "given_covariate",
    "holm",
    "partial_spearman",
    "permutation_test",
    "share_interval",
    "spearman",
    "standardised_difference",
    "verdict",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PermutationTest:
    """What a permutation test found.

    Attributes:
        p: Share of the relabellings that are at least as extreme as the one observed.
        smallest: The smallest p that groups of these sizes can reach.
        exact: Whether every relabelling was counted, rather than a random sample.
        statistic: The statistic observed.
    """

    p: float
    smallest: float
    exact: bool
    statistic: float


@checked
@standard_settings()
def permutation_test(
    groups: Sequence[Values],
    seed: Seed = 0,
    resamples: Count = 9999,
    strata: Sequence[Names] | None = None,
) -> PermutationTest:
    """Test whether the groups' means differ by more than relabelled networks' do.

    The statistic is the absolute difference of means for two groups (so the test is two-sided)
    and the root of the sum of squares between groups for more, which orders relabellings as F
    does. All distinct relabellings are counted where there are at most 20,000 (two groups of 5
    have 252, and p is at least 2/252); else `resamples` random ones and the observed one, and p
    moves with the order of groups and networks as it does with the seed. It tests that the
    groups are alike in all: with 3 networks spread ten times as wide as 10 others and equal
    means, p up to .05 came in .37 of simulations.

    Args:
        groups: The networks' values, one array a group.
        seed: Seed of the random relabellings.
        resamples: How many random relabellings.
        strata: A label for every value, shaped as `groups`; networks are relabelled only among
            those of their stratum, and each stratum's mean is taken out first.

    Returns:
        p, the smallest p attainable, whether it is exact, and the statistic.

    Example:
        >>> permutation_test([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]).p * 252
        2.0
    """
    arrays, power = scaled(as_arrays(groups))
    labels = np.repeat(np.arange(len(arrays)), [len(array) for array in arrays])
    blocks = _blocks(strata, arrays)
    values = np.concatenate(arrays)
    noise = EPS * np.abs(values).max()
    for block in blocks:
        values[block] -= values[block].mean()
    relabelled, exact = relabel(labels, blocks, np.random.default_rng(seed), resamples)
    observed = float(_spread(values, labels[None])[0])
    null = _spread(values, relabelled)
    p = p_value(null, observed, TIE * null.max() + noise)
    smallest = symmetries(labels, blocks) / len(null) if exact else 1 / (resamples + 1)
    with np.errstate(over="ignore"):  # a difference may be larger than any float
        return PermutationTest(p, smallest, exact, float(np.ldexp(observed, power)))


@checked
@standard_settings()
def given_covariate(
    groups: Sequence[Values],
    covariates: Sequence[Values],
    seed: Seed = 0,
    resamples: Count = 9999,
) -> float:
    """Test whether the groups differ beyond what a straight line in a covariate explains.

    Freedman and Lane's test: the residuals of value ~ 1 + covariate are permuted, and the
    statistic is the partial F of the groups. Where the groups do not overlap in the covariate
    the line is extrapolated, so a small p then rests on the line being right. The test is exact
    in large groups only: at level .05 it rejected .03 to .08 of true null hypotheses in
    simulation, in groups of 2 to 10 whose covariates lie 0 to 10 standard deviations apart.

    Args:
        groups: The networks' values, one array a group.
        covariates: The networks' covariates, shaped as `groups`.
        seed: Seed of the random permutations, drawn where there are more than 20,000.
        resamples: How many random permutations.

    Returns:
        p; NaN where the covariate is constant within every group but not between them, so that
        the two cannot be told apart.

    Raises:
        ValueError: If groups and covariates differ in size.
    """
    values, control = (np.concatenate(scaled(as_arrays(x))[0]) for x in (groups, covariates))
    sizes = [np.size(group) for group in groups]
    if sizes != [np.size(covariate) for covariate in covariates]:
        raise ValueError(
            f"every network needs one covariate, but groups are {sizes} and covariates "
            f"{[np.size(covariate) for covariate in covariates]}"
        )
    labels = np.repeat(np.arange(len(sizes)), sizes)
    dummies = (labels[:, None] == np.arange(1, len(sizes))).astype(float)
    clear = residual_maker(control[:, None])
    axes, lengths, _ = np.linalg.svd(clear @ dummies, full_matrices=False)
    if lengths.min() < TIE:
        return math.nan
    residual = clear @ values
    if np.abs(residual).max() <= TIE * np.ptp(values) + EPS * np.abs(values).max():
        return 1.0
    orders, _ = draw_permutations(len(values), np.random.default_rng(seed), resamples)
    permuted = residual[orders] @ clear
    explained = ((permuted @ axes) ** 2).sum(1) / np.maximum((permuted**2).sum(1), 1e-300)
    observed = float(((residual @ axes) ** 2).sum() / (residual**2).sum())
    return p_value(explained, observed, TIE)


@checked
@standard_settings()
def holm(p_values: Values) -> Array:
    """Adjust p-values so that the chance of any false finding in the family stays bounded.

    Returns:
        Holm's adjusted p-values, in the same order; NaN is no member of the family and stays.

    Raises:
        ValueError: If a p-value lies outside [0, 1].

    Example:
        >>> holm([.01, .04, .03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.array(p_values, dtype=float)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"p-values must lie in [0, 1], but one is {p[(p < 0) | (p > 1)][0]}")
    if p.ndim > 1:
        raise ValueError(f"p-values must be a list, but have the shape {p.shape}; pass one row")
    family = np.flatnonzero(~np.isnan(p))
    order = family[np.argsort(p[family], kind="stable")]
    scaled = p[order] * np.arange(len(order), 0, -1)
    p[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return p


@checked
@standard_settings()
def verdict(
    low: AnyNumber, high: AnyNumber, smallest_effect: float, expected: Literal[1, -1] = 1
) -> Literal["supported", "contradicted", "undecided"]:
    """Judge a claim about an effect's direction and least size by its interval alone.

    Supported: the whole interval lies beyond `smallest_effect` in the expected direction.
    Contradicted: the whole interval lies short of it, so that an effect of the claimed size is
    excluded. Anything else, an interval that is NaN too, is undecided.

    Args:
        low: Lower end of the effect's interval.
        high: Upper end.
        smallest_effect: The least effect the claim means, 0 or more.
        expected: The claim's direction, 1 or -1.

    Returns:
        The verdict.

    Raises:
        ValueError: If the direction is not 1 or -1, or the smallest effect is negative.

    Example:
        >>> verdict(-.9, -.4, .33, expected=-1), verdict(-.2, .3, .33), verdict(-.2, .5, .33)
        ('supported', 'contradicted', 'undecided')
    """
    if expected not in {1, -1} or not smallest_effect >= 0:
        raise ValueError(
            "a claim needs a direction, 1 or -1, and a smallest effect of 0 or more, but has "
            f"{expected} and {smallest_effect}"
        )
    if math.isnan(low) or math.isnan(high):
        return "undecided"
    near, far = sorted((expected * low, expected * high))
    if near > smallest_effect:
        return "supported"
    return "contradicted" if far < smallest_effect else "undecided"


def _blocks(strata: Sequence[ArrayLike] | None, arrays: list[Array]) -> list[NDArray[np.intp]]:
    if strata is None:
        return [np.arange(sum(len(array) for array in arrays))]
    sizes = [len(array) for array in arrays]
    if [np.size(labels) for labels in strata] != sizes:
        raise ValueError(f"strata need a label for every network, {sizes} of them")
    missing = sum(int(pd.isna(np.asarray(group, object)).sum()) for group in strata)
    if missing:
        raise ValueError(f"strata need a label for every network, but {missing} lack one; add it")
    labels = np.concatenate([np.asarray(group) for group in strata])
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _spread(values: Array, labels: NDArray[np.intp]) -> Array:
    names, sizes = np.unique(labels[0], return_counts=True)
    means = np.stack([(labels == name) @ values for name in names]) / sizes[:, None]
    if len(names) == 2:
        return np.asarray(np.abs(means[0] - means[1]))
    centre = sizes @ means / sizes.sum()
    return np.asarray(np.sqrt(sizes @ (means - centre) ** 2))
