"""Judge shares: of networks of which something holds, and of one sum over networks in another."""

import math
from typing import Any

import numpy as np
from evidence.judging import entry
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from scipy.stats import t as student


def counted(name: str, claim: str, holds: ArrayLike, smallest: float) -> dict[str, Any]:
    """Judge how often something holds, by Wilson's interval of the share of networks."""
    array = np.asarray(holds, dtype=bool)
    share = binomtest(int(array.sum()), len(array))
    low, high = share.proportion_ci(method="wilson")
    effect = float(share.statistic)
    ends = min(low, effect), max(high, effect)
    found = entry(name, claim, "share of networks", effect, *ends, len(array), smallest)
    return found | {"holds": int(array.sum())}


def quotient(
    name: str, claim: str, what: str, parts: ArrayLike, wholes: ArrayLike, smallest: float
) -> dict[str, Any]:
    """Judge the ratio of two sums over networks, by Fieller's interval (1954).

    Unlike a mean of ratios, it does not hang on networks with tiny denominators; there is no
    interval where the sum of the denominators may be 0.
    """
    part, whole = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    count = len(part)
    (above, cross), (_, below) = np.cov(part, whole) * student.ppf(0.975, count - 1) ** 2 / count
    square = whole.mean() ** 2 - below
    middle = part.mean() * whole.mean() - cross
    root = middle**2 - square * (part.mean() ** 2 - above)
    reach = math.sqrt(max(root, 0)) if square > 0 else math.nan
    ends = ((middle - reach) / square, (middle + reach) / square)
    middle_one = float(np.median(part / whole))
    how = f"ratio of sums over networks of {what} (median of their ratios {middle_one:.2g})"
    return entry(name, claim, how, float(part.sum() / whole.sum()), *ends, count, smallest)
