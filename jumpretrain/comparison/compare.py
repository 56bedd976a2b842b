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
from jumpretrain.comparison.hypothesis_tests import (
    bootstrap_interval,
    cliffs_delta,
    delta_interval,
    eta_squared,
    given_covariate,
    holm,
    permutation_test,
    standardised_difference,
)
from jumpretrain.sampling.trajectories import Trajectories

__all__ = ["FAMILY", "Comparison", "compare", "describe"]

RANGE = "loss_range_squared"
LEVEL = 0.05
FAMILY: dict[str, str] = {
    RANGE: "how far the loss ranges: what the published total persistence amounts to",
    "geometry_overshoot": "how far retraining leaves beyond the jump (H3)",
    "geometry_turning": "how sharply trajectories turn (H5)",
    "embedding_silhouette_direction": "whether each direction keeps an arm of its own (H4)",
    "sublevel_raw_h0_total_persistence_2": "how deep the separate valleys are (H7)",
    "sublevel_rank_h0_over_permuted": "how rugged the loss is, on no scale of its own, beside the "
    "same values shuffled over the same graph (H7)",
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

            - `statistic`, and `primary`: whether it belongs to the family.
            - `mean_<group>`: mean over the group's networks.
            - `effect`, `low`, `high`: for two groups Cliff's delta, positive where the first group
              is larger, with its 95 % score interval; for more, eta squared with its bootstrap
              interval.
            - `g`, `g_low`, `g_high`: for two groups Hedges' g with its 95 % bootstrap interval;
              NaN for more. Groups without spread that differ have g infinite.
            - `p`: permutation test on the means. `p_holm`: corrected over the family, NaN outside.
            - `p_given_range`: the log of the loss's squared range held fixed; NaN for the range
              itself, or where a range is 0 or not given. It permutes
              residuals, which have more orders than networks have labels, so it may lie below
              `smallest_p`; where the groups' ranges do not overlap it extrapolates.
            - `survives_range`: whether a difference with p up to .05 still has it then; None where
              there is no such difference or no `p_given_range`.
        """
        return self.table.copy()

    def __str__(self) -> str:
        count = int(self.table["primary"].sum())
        sizes = " against ".join(f"{name} (n = {size})" for name, size in self.groups.items())
        how = "exact" if self.provenance["exact"] else "random"
        least = min(1.0, count * self.smallest_p)
        effect = "Cliff's delta" if len(self.groups) == 2 else "eta squared"
        return "\n".join([
            sizes,
            f"smallest attainable p {self.smallest_p:.4g} ({how} permutation test), "
            f"{least:.4g} after Holm over {count}",
            _aligned(self.table[self.table["primary"]]),
            f"effect: {effect} with 95 % interval; p_given_range: with the log of "
            f"{RANGE} held fixed",
            f"{len(self.table) - count} more statistics, without correction, in .frame()",
        ])


def compare(
    groups: Mapping[str, Sequence[Network]],
    metric: str = "test_loss",
    family: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 9999,
    k: int = 20,
) -> Comparison:
    """Compare groups of independently trained networks.

    Args:
        groups: By name, the networks: trajectories, which are described, or what `describe`
            returned.
        metric: As for `describe`.
        family: The statistics that Holm's correction runs over; by default those of `FAMILY`, or
            all where a user's own statistics include none of them.
        seed: Seed of embeddings, permutations and resamplings.
        resamples: Permutations, where they are not all counted, and resamplings.
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
    ordered = [*family, *(name for name in names if name not in family)]
    control = _control(values)
    rows = [
        _row(name, name in family, values, control, list(sizes), seed, resamples)
        for name in ordered
    ]
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"].where(table["primary"]))
    test = permutation_test(_split(values, names[0], list(sizes)), seed, resamples)
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
        if isinstance(networks, (Trajectories, Mapping)):
            raise TypeError(
                f"a group is a list of networks, but {name!r} is one network; give [network, ...]"
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
    rows = [
        {"group": group}
        | (
            describe(network, metric=metric, k=k, seed=seed)
            if isinstance(network, Trajectories)
            else dict(network)
        )
        for group, networks in groups.items()
        for network in networks
    ]
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
    return value is not None and math.isfinite(value)


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


def _control(values: pd.DataFrame) -> pd.Series | None:
    if RANGE not in values or not (values[RANGE] > 0).all():
        return None
    return np.log(values[RANGE])


def _split(values: pd.DataFrame, column: Any, groups: list[str]) -> list[NDArray[np.float64]]:
    column = values[column] if isinstance(column, str) else column
    return [column[values["group"] == group].to_numpy(dtype=float) for group in groups]


def _row(
    name: str,
    primary: bool,
    values: pd.DataFrame,
    control: pd.Series | None,
    groups: list[str],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    arrays = _split(values, name, groups)
    p = permutation_test(arrays, seed, resamples).p
    given = math.nan
    if control is not None and name != RANGE:
        given = given_covariate(arrays, _split(values, control, groups), seed, resamples)
    means = {f"mean_{group}": float(x.mean()) for group, x in zip(groups, arrays, strict=True)}
    return {
        "statistic": name,
        "primary": primary,
        **means,
        **_effects(arrays, seed, resamples),
        "p": p,
        "p_holm": math.nan,
        "p_given_range": given,
        "survives_range": None if p > LEVEL or math.isnan(given) else given <= LEVEL,
    }


def _effects(arrays: list[NDArray[np.float64]], seed: int, resamples: int) -> dict[str, float]:
    if len(arrays) > 2:
        low, high = bootstrap_interval(arrays, eta_squared, seed=seed, resamples=resamples)
        effect, g, g_low, g_high = float(eta_squared(*arrays)), math.nan, math.nan, math.nan
    else:
        a, b = arrays
        low, high = delta_interval(a, b)
        effect, g = float(cliffs_delta(a, b)), float(standardised_difference(a, b))
        g_low, g_high = bootstrap_interval(arrays, seed=seed, resamples=resamples)
    numbers = (effect, low, high, g, g_low, g_high)
    return dict(zip(("effect", "low", "high", "g", "g_low", "g_high"), numbers, strict=True))


def _aligned(table: pd.DataFrame) -> str:
    hidden = ["primary", "g_low", "g_high", *(["g"] if table["g"].isna().all() else [])]
    shown = table.drop(columns=hidden).astype({"survives_range": object})
    verdicts = {True: "yes", False: "no", None: "-"}
    shown["survives_range"] = [verdicts[value] for value in shown["survives_range"]]
    return str(shown.to_string(index=False, na_rep="-", float_format=lambda x: f"{x:.4g}"))
