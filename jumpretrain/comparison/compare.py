"""Compare groups of networks, statistic by statistic, the network being the unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jumpretrain.comparison.describe import describe
from jumpretrain.comparison.effects import scaled
from jumpretrain.comparison.hypothesis_tests import (
    PermutationTest,
    cliffs_delta,
    delta_interval,
    difference_interval,
    eta_squared,
    given_covariate,
    holm,
    permutation_test,
    share_interval,
    standardised_difference,
)
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Seed
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.trajectories import Trajectories

__all__ = ["FAMILY", "Comparison", "compare", "describe"]

RANGE = "loss_range_squared"
LEVEL = 0.05
FAMILY: dict[str, str] = {
    RANGE: "how far the loss ranges: what the published total persistence amounts to",
    "weights_overshoot": "how far retraining leaves beyond the jump (H3)",
    "weights_turning_angle": "how sharply trajectories turn (H5)",
    "embedding_silhouette_by_direction": "whether each direction keeps an arm of its own (H4)",
    "sublevel_values_h0_total_persistence_p2": "how deep the separate valleys are (H7)",
    "sublevel_ranks_h0_total_persistence_over_permuted": "how rugged the loss is, on no scale of "
    "its own, beside the same values shuffled over the same graph (H7)",
}
"""The statistics Holm's correction runs over, chosen before any number was seen.

There are six, one a claim, because two groups of 5 networks reach p = 2/252 at best, and 6 is the
most that Holm's factor can take below .05.
"""

Network: TypeAlias = Trajectories | Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """How groups of networks differ.

    Attributes:
        groups: How many networks each group has.
        table: One row a statistic; see `frame`.
        values: One row a network: its group, then its statistics.
        smallest_p: The smallest p that groups of these sizes can reach.
        provenance: All choices, and versions of packages.

    Raises:
        ValueError: If the values are not of these groups.
    """

    groups: Mapping[str, int]
    table: pd.DataFrame
    values: pd.DataFrame
    smallest_p: float
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = self.values["group"].value_counts().to_dict()
        if found != dict(self.groups):
            raise ValueError(f"groups are {dict(self.groups)}, but values are of {found}")

    def frame(self) -> pd.DataFrame:
        """Lay the comparison out, the family first.

        Returns:
            One row a statistic:

            - `statistic`, and `in_family`: whether it belongs to the family.
            - `mean_<group>`: mean over the group's networks.
            - `effect`, `low`, `high`: for two groups Cliff's delta, positive where the first group
              is larger, with its 95 % score interval; for more, eta squared with the 95 %
              interval of `share_interval`, below which it may never lie but above which it may.
            - `hedges_g`, `hedges_g_low`, `hedges_g_high`: for two groups Hedges' g with the 95 %
              interval of `difference_interval`; NaN for more. Groups without spread that differ
              have g infinite. Intervals are NaN without spread.
            - `p`: permutation test on the means. `p_holm`: corrected over the family, NaN outside.
            - `p_given_range`: the log of the loss's squared range held fixed; NaN for the range
              itself, or where a range is 0 or not given. It permutes
              residuals, which have more orders than networks have labels, so it may lie below
              `smallest_p`; where the groups' ranges do not overlap it extrapolates.
            - `differs_at_equal_range`: whether a difference with p up to .05 still has it then;
              None where there is no such difference or no `p_given_range`.
        """
        return self.table.copy()

    def __str__(self) -> str:
        count = int(self.table["in_family"].sum())
        sizes = " against ".join(f"{name} (n = {size})" for name, size in self.groups.items())
        how = "exact" if self.provenance["exact"] else "random"
        least = min(1.0, count * self.smallest_p)
        effect = "Cliff's delta" if len(self.groups) == 2 else "eta squared"
        return "\n".join([
            sizes,
            f"smallest attainable p {self.smallest_p:.4g} ({how} permutation test), "
            f"{least:.4g} after Holm over {count}",
            _aligned(self.table[self.table["in_family"]]),
            f"effect: {effect} with 95 % interval; p_given_range: with the log of "
            f"{RANGE} held fixed",
            f"{len(self.table) - count} more statistics, without correction, in .frame()",
        ])


@checked
@standard_settings()
def compare(
    groups: Mapping[str, Any],
    metric: str = "test_loss",
    family: Sequence[str] | None = None,
    seed: Seed = 0,
    resamples: Count = 9999,
    k: Count = 20,
) -> Comparison:
    """Compare groups of independently trained networks.

    Args:
        groups: By name, lists of networks: trajectories, which are described, or what `describe`
            returned.
        metric: As for `describe`.
        family: The statistics that Holm's correction runs over; by default those of `FAMILY`, or
            all where a user's own statistics include none of them.
        seed: Seed of embeddings and permutations.
        resamples: How many random permutations, where they are not all counted.
        k: As for `describe`.

    Returns:
        The comparison.

    Raises:
        ValueError: If there are fewer than two groups, one has fewer than two networks, networks
            have different statistics or some that are not finite, or the family has others.

    Example:
        >>> deep = [{"depth": value} for value in (4.0, 5.0, 6.0, 7.0, 8.0)]
        >>> flat = [{"depth": value} for value in (1.0, 2.0, 3.0, 1.5, 2.5)]
        >>> compare({"deep": deep, "flat": flat}).frame()["effect"].item()
        1.0
    """
    sizes = _sizes(groups)
    values = _values(groups, metric, seed, k)
    names = list(values.columns[1:])
    family = _family(names, family)
    networks = _Networks(values, list(sizes), seed, resamples)
    ordered = [*family, *(name for name in names if name not in family)]
    table = pd.DataFrame([networks.row(name, name in family) for name in ordered])
    table["p_holm"] = holm(table["p"].where(table["in_family"]))
    test = networks.test(values[names[0]])
    described = any(isinstance(network, Trajectories) for g in groups.values() for network in g)
    provenance = {
        "metric": metric if described else None,
        "family": family,
        "seed": seed,
        "resamples": resamples,
        "k": k if described else None,
        "exact": test.exact,
        "versions": {name: metadata.version(name) for name in ("numpy", "pandas", "scipy")},
    }
    return Comparison(sizes, table, values, test.smallest, provenance)


def _sizes(groups: Mapping[str, Sequence[Network]]) -> dict[str, int]:
    for name, networks in groups.items():
        if not isinstance(networks, Sequence) or isinstance(networks, str):
            raise TypeError(
                f"a group is a list of networks, but {name!r} is a {type(networks).__name__}; "
                "give [network, ...], or of a table .to_dict('records')"
            )
        for odd in (each for each in networks if not isinstance(each, (Trajectories, Mapping))):
            raise TypeError(
                f"a network is trajectories or a dict of statistics, but one of {name!r} is of "
                f"type {type(odd).__name__}; give {{'depth': 0.9}}, or what jr.sample returned"
            )
    sizes = {name: len(networks) for name, networks in groups.items()}
    if len(sizes) < 2 or min(sizes.values()) < 2:
        raise ValueError(
            "the network is the unit of replication: a comparison needs two or more groups of two "
            f"or more networks, but has {sizes}; train more networks with other seeds"
        )
    return sizes


def _values(
    groups: Mapping[str, Sequence[Network]], metric: str, seed: int, k: int
) -> pd.DataFrame:
    made = ((group, network) for group, networks in groups.items() for network in networks)
    described = [
        (group, describe(x, None, metric, k, seed) if isinstance(x, Trajectories) else dict(x))
        for group, x in made
    ]
    if any("group" in statistics for _, statistics in described):
        raise ValueError(
            "tables name each network's group in a column `group`, but a statistic has that name; "
            "rename it"
        )
    rows = [{"group": group, **statistics} for group, statistics in described]
    every = dict.fromkeys(name for row in rows for name in row)
    for row in rows:
        odd = [name for name in every if name != "group" and not _finite(row.get(name))]
        if odd or len(every) == 1:
            others = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
            raise ValueError(
                "every network needs a finite value of every statistic, but one of "
                f"{row['group']!r} lacks {', '.join(odd[:5]) or 'any'}{others}; leave these out "
                "everywhere, or describe all networks alike"
            )
    return pd.DataFrame(rows, columns=list(every))


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (OverflowError, TypeError, ValueError):  # such as None, text, or 10**400
        return False


def _mean(values: NDArray[np.float64]) -> float:
    (values,), power = scaled([values])
    return float(np.ldexp(values.mean(), power))


def _family(names: list[str], family: Sequence[str] | None) -> list[str]:
    if family is None:
        return [name for name in FAMILY if name in names] or names
    unknown = [name for name in family if name not in names]
    if unknown or not family:
        raise ValueError(
            f"the family must be some of the networks' statistics, but has {unknown or 'none'}; "
            f"there are {', '.join(names)}"
        )
    return list(dict.fromkeys(family))


@dataclass(frozen=True)
class _Networks:
    """Networks with their statistics, and how chance is drawn."""

    values: pd.DataFrame
    groups: list[str]
    seed: int
    resamples: int

    def row(self, name: str, in_family: bool) -> dict[str, Any]:
        """Compare the groups by one statistic.

        Returns:
            The row of the table, without Holm's p.
        """
        arrays = self.split(self.values[name])
        p, given = self.test(self.values[name]).p, self.given_range(name)
        means = zip(self.groups, arrays, strict=True)
        return {
            "statistic": name,
            "in_family": in_family,
            **{f"mean_{group}": _mean(x) for group, x in means},
            **self.effects(arrays),
            "p": p,
            "p_holm": math.nan,
            "p_given_range": given,
            "differs_at_equal_range": None if p > LEVEL or math.isnan(given) else given <= LEVEL,
        }

    def split(self, column: pd.Series) -> list[NDArray[np.float64]]:
        label = self.values["group"]
        return [column[label == group].to_numpy(dtype=float) for group in self.groups]

    def test(self, column: pd.Series) -> PermutationTest:
        return permutation_test(self.split(column), self.seed, self.resamples)

    def given_range(self, name: str) -> float:
        """Test with the log of the loss's squared range held fixed.

        Returns:
            p; NaN where the range is not known, or 0, or what is tested.
        """
        ranges = self.values.get(RANGE)
        if name == RANGE or ranges is None or not (ranges > 0).all():
            return math.nan
        covariates = self.split(np.log(ranges))
        return given_covariate(
            self.split(self.values[name]), covariates, self.seed, self.resamples
        )

    def effects(self, arrays: list[NDArray[np.float64]]) -> dict[str, float]:
        if len(arrays) > 2:
            low, high = share_interval(*arrays)
            effect, g, g_low, g_high = float(eta_squared(*arrays)), math.nan, math.nan, math.nan
        else:
            a, b = arrays
            low, high = delta_interval(a, b)
            effect, g = float(cliffs_delta(a, b)), float(standardised_difference(a, b))
            g_low, g_high = difference_interval(a, b)
        return {
            "effect": effect,
            "low": low,
            "high": high,
            "hedges_g": g,
            "hedges_g_low": g_low,
            "hedges_g_high": g_high,
        }


def _aligned(table: pd.DataFrame) -> str:
    hidden = ["in_family", "hedges_g_low", "hedges_g_high"]
    hidden += ["hedges_g"] if table["hedges_g"].isna().all() else []
    shown = table.drop(columns=hidden).astype({"differs_at_equal_range": object})
    verdicts = {True: "yes", False: "no", None: "-"}
    shown["differs_at_equal_range"] = [
        verdicts[value] for value in shown["differs_at_equal_range"]
    ]
    return str(shown.to_string(index=False, na_rep="-", float_format=lambda x: f"{x:.4g}"))
