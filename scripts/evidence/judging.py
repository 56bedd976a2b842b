"""Judge claims by the interval of an effect: between groups of networks, or network by network.

Intervals are of 95 % each, without a correction for how many claims there are. A verdict is of the
interval and the smallest effect that the claim means; p is of there being any effect, either way.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from scipy.stats import t as student

from jumpretrain.comparison.hypothesis_tests import (
    Correlation,
    cliffs_delta,
    delta_interval,
    holm,
    permutation_test,
    verdict,
)

NEGLIGIBLE = 0.147
"""Cliff's deltas up to here are called negligible (Romano and others, 2006); five networks a group
that separate without exception reach an interval from .29."""


EQUAL = 1e-12
"""Values whose spread is no larger than this share of their mean are equal."""


def between(
    name: str, claim: str, statistic: str, larger: ArrayLike, smaller: ArrayLike
) -> dict[str, Any]:
    """Judge by Cliff's delta whether the networks of one group have larger values than another's.

    The interval is the delta's score interval; p is of the permutation test of ranks (exact for
    small groups, and then Mann and Whitney's). Where all values of both groups are equal nothing
    differs to be judged: the numbers are None.
    """
    means = {"mean_larger": float(np.mean(larger)), "mean_smaller": float(np.mean(smaller))}
    how = f"Cliff's delta of {statistic}"
    both = np.r_[larger, smaller]
    if np.ptp(both) == 0:
        none = math.nan, math.nan, math.nan
        return entry(name, claim, how, *none, len(both), NEGLIGIBLE) | means
    effect, (low, high) = cliffs_delta(larger, smaller), delta_interval(larger, smaller)
    ranks = rankdata(both)
    p = permutation_test([ranks[: np.size(larger)], ranks[np.size(larger) :]]).p
    return entry(name, claim, how, float(effect), low, high, len(both), NEGLIGIBLE, p=p) | means


def within(
    name: str,
    claim: str,
    statistic: str,
    values: ArrayLike,
    smallest: float,
    expected: Literal[1, -1] = 1,
) -> dict[str, Any]:
    """Judge a mean over networks by Student's interval and test; equal values have none."""
    array = np.asarray(values, dtype=float)
    mean, count = float(array.mean()), len(array)
    spread = float(array.std(ddof=1))
    reach = student.ppf(0.975, count - 1) * spread / math.sqrt(count)
    ratio = abs(mean) * math.sqrt(count) / spread if spread > EQUAL * abs(mean) else math.nan
    p = 2 * float(student.sf(ratio, count - 1))
    how = f"mean over networks of {statistic}"
    ends = mean - reach, mean + reach
    return entry(name, claim, how, mean, *ends, count, smallest, expected, p)


def entry(
    name: str,
    claim: str,
    statistic: str,
    effect: float,
    low: float,
    high: float,
    n: int,
    smallest: float,
    expected: Literal[1, -1] = 1,
    p: float = math.nan,
) -> dict[str, Any]:
    """Write a claim with its verdict; where nothing can be estimated, numbers are None."""
    known = [value if math.isfinite(value) else None for value in (effect, low, high, p)]
    return {
        "id": name,
        "claim": claim,
        "statistic": statistic,
        "effect": known[0],
        "interval": known[1:3],
        "p": known[3],
        "n": n,
        "smallest_effect": smallest,
        "expected": expected,
        "verdict": verdict(low, high, smallest, expected),
    }


def tally(claims: list[dict[str, Any]]) -> str:
    """Count verdicts, such as `1 of 3 claims supported, 0 contradicted, 2 undecided`."""
    if not claims:
        return "exploratory, no claim is judged"
    found = [claim["verdict"] for claim in claims]
    return (
        f"{found.count('supported')} of {len(found)} claims supported, "
        f"{found.count('contradicted')} contradicted, {found.count('undecided')} undecided"
    )


def adjusted(claims: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give claims with `p_holm`, Holm's correction over those that have a p."""
    corrected = holm([math.nan if claim["p"] is None else claim["p"] for claim in claims])
    return [
        claim | {"p_holm": None if math.isnan(p) else float(p)}
        for claim, p in zip(claims, corrected, strict=True)
    ]


def correlated(
    name: str,
    claim: str,
    statistic: str,
    found: Correlation,
    n: int,
    smallest: float,
    expected: Literal[1, -1] = 1,
) -> dict[str, Any]:
    """Judge a rank correlation over networks."""
    numbers = found.rho, found.low, found.high, n, smallest, expected, found.p
    return entry(name, claim, statistic, *numbers)


def judge(prefix: str, rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Judge means over networks: rows of hypothesis, claim, and what `within` takes further."""
    return [within(f"{prefix}{name}", *rest) for name, *rest in rows]
