"""Which conclusions survive the choice of distance: weight space, PHATE's potentials, its plane?

Topology and clusters around networks are measured three times with the package's own statistics,
with nothing changed but the distances between snapshots: Euclidean ones in weight space, those
between PHATE's potentials (arXiv:2102.00485, section 3.3), and those in the two-dimensional
picture. Left, how generalising and memorising networks differ; middle, whether the three versions
of a statistic rank networks alike; right, whether they order the groups alike. Statistics without
a clear difference in weight space make no claim; the first figure counted them as undecided ones.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence.cells import kept
from evidence.contests import correlate
from evidence.figure import Flags, Made
from evidence.judging import NEGLIGIBLE, entry, tally
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.horoi.landscapes import Network, caption, each, facts, networks
from scipy.spatial.distance import pdist, squareform
from scipy.stats import t as student

from jumpretrain import describe, embed
from jumpretrain.comparison.hypothesis_tests import cliffs_delta, delta_interval
from jumpretrain.embedding.gram import from_gram, gram
from jumpretrain.embedding.neighbours import edges, knn_graph
from jumpretrain.plots import canvas

SMALLEST = 0.5  # of a rank correlation: what "alike" means at least
GROUPS = ("good", "few", "noise .5", "memorise")
SHOWN = {"few": "bad", "noise .5": "half"}
FIRST, SECOND = "good", "memorise"
NEIGHBOURS = 20
POINTS, QUICK_POINTS = 256, 72  # that Vietoris-Rips sees, about
DISTANCES = {"raw": "weight space", "potential": "PHATE's potentials", "plane": "PHATE's plane"}
ID = "horoi-distances"
WHERE = {"potential": "PHATE's potential distances", "plane": "the two-dimensional embedding"}
STATISTICS = {
    "sublevel_raw_h0_total_persistence_2": "finite persistence of the test loss",
    "sublevel_rank_h0_over_permuted": "persistence of its ranks over permuted",
    "sublevel_rank_h1_total_persistence_1": "loops in sublevels of its ranks",
    "rips_h0_over_diameter": "Vietoris-Rips pieces over diameter",
    "rips_h1_over_diameter": "Vietoris-Rips loops over diameter",
    "embedding_silhouette_direction": "silhouette by direction",
    "embedding_silhouette_direction_and_step_size": "silhouette by direction and jump",
    "within_run": f"share of {NEIGHBOURS}-NN edges within a run",
}
DOTTED = "embedding_silhouette_direction"
Values = dict[tuple[str, str], NDArray[np.float64]]


def make(asked: Flags) -> Made:
    found = networks(asked, GROUPS)
    nets = [net for group in GROUPS for net in found[group]]
    points = QUICK_POINTS if asked.quick else POINTS
    jobs = [(net, points, asked.work / f"{net.group}-{net.seed}.json") for net in nets]
    described = each(measured, jobs, asked, "describing")
    table = pd.DataFrame([row for rows in described for row in rows])
    groups = np.array([net.group for net in nets])
    values = {
        (name, distance): rows[name].to_numpy()
        for distance, rows in table.groupby("distance")
        for name in STATISTICS
    }
    claims = judged(values, groups)
    tables = {
        "cliffs_delta": _deltas(values, groups),
        "rank_correlation": _alike(values, None),
        "rank_correlation_within_groups": _alike(values, groups),
        "pairs_of_groups_in_the_same_order": _orders(values, groups),
    }
    return drawn(asked, values, groups, tables, claims), (
        facts(asked, GROUPS)
        | {
            "statistics": STATISTICS,
            "neighbours": NEIGHBOURS,
            "rips_points": points,
            "claims": claims,
        }
        | {
            name: made.astype(object).where(made.notna(), None).to_dict("index")
            for name, made in tables.items()
        }
        | {"measures": table.to_dict("records")}
    )


def measured(network: Network, points: int, path: Path) -> list[dict[str, Any]]:
    """Describe one network by each distance, or read what was kept of the same.

    Returns:
        A row a distance.
    """
    sampled = network.trajectories.provenance
    of = points, list(STATISTICS), sampled["optimum"], sampled["recipe"]
    return list(kept(path, of, partial(_described, network, points)))


def _described(network: Network, points: int) -> list[dict[str, Any]]:
    jumps = network.trajectories.jumps()
    inner = gram(jumps)
    placed = embed(jumps, gram=inner)
    matrices = {
        "raw": from_gram(inner),
        "potential": placed.distances,
        "plane": squareform(pdist(placed.coordinates)),
    }
    run = placed.labels["run"].to_numpy()
    rows = []
    for distance, matrix in matrices.items():
        seen = replace(placed, distances=matrix)
        found = describe(network.trajectories, seen, k=NEIGHBOURS, rips_points=points)
        ends = run[edges(knn_graph(matrix, NEIGHBOURS, None))]
        found["within_run"] = float((ends[:, 0] == ends[:, 1]).mean())
        row = {"group": network.group, "seed": network.seed, "distance": distance}
        rows.append(row | {name: found[name] for name in STATISTICS})
    return rows


def judged(values: Values, groups: NDArray[np.str_]) -> list[dict[str, Any]]:
    """Judge whether conclusions and ranks on weight space survive on the other distances."""
    claims = []
    clear = [statistic for statistic in STATISTICS if _sign(values, groups, statistic)]
    for distance in WHERE:
        claims += [_survives(values, groups, statistic, distance) for statistic in clear]
        for inside, words in ((None, "networks"), (groups, "networks of the same group")):
            claim = f"{words} rank by {WHERE[distance]} as by distances in weight space"
            claims.append(_ranked(values, inside, distance, claim))
    return claims


def _sign(values: Values, groups: NDArray[np.str_], statistic: str) -> Literal[-1, 0, 1]:
    """Give the sign of the groups' difference in weight space; 0 where none is clear."""
    low, high = delta_interval(*_pair(values[statistic, "raw"], groups))
    if max(low, -high) <= NEGLIGIBLE:
        return 0
    return 1 if low > 0 else -1


def _pair(values: NDArray[np.float64], groups: NDArray[np.str_]) -> list[NDArray[np.float64]]:
    return [values[groups == group] for group in (FIRST, SECOND)]


def _survives(
    values: Values, groups: NDArray[np.str_], statistic: str, distance: str
) -> dict[str, Any]:
    """Ask for a difference of the raw distances' sign."""
    after = _pair(values[statistic, distance], groups)
    return entry(
        ID,
        f"{FIRST} and {SECOND} networks differ in {STATISTICS[statistic]} by {WHERE[distance]} "
        "as they do by distances in weight space",
        f"Cliff's delta of {statistic}, {FIRST} against {SECOND}; expected sign: that in weight "
        "space",
        float(cliffs_delta(*after)),
        *delta_interval(*after),
        sum(map(len, after)),
        NEGLIGIBLE,
        1 if _sign(values, groups, statistic) > 0 else -1,
    )


def _ranked(
    values: Values, inside: NDArray[np.str_] | None, distance: str, claim: str
) -> dict[str, Any]:
    """Judge the mean rank correlation over statistics by a jackknife over networks."""
    count = len(next(iter(values.values())))
    told = [name for name in STATISTICS if np.ptp(values[name, "raw"]) > 0]
    others = [np.arange(count) != place for place in range(count)]

    def mean(rows: NDArray[np.bool_]) -> float:
        chosen = {key: value[rows] for key, value in values.items()}
        parts = None if inside is None else inside[rows]
        return float(_alike(chosen, parts).loc[told, f"raw, {distance}"].mean())

    whole, left = mean(np.ones(count, dtype=bool)), np.array([mean(rows) for rows in others])
    spread = np.sqrt((count - 1) * ((left - left.mean()) ** 2).mean())
    reach = float(student.ppf(0.975, count - 1) * spread)
    low, high = max(-1.0, whole - reach), min(1.0, whole + reach)
    how = f"Spearman's rho, mean over {len(told)} statistics that vary in weight space (jackknife)"
    return entry(ID, claim, how, whole, low, high, count, SMALLEST)


def _alike(values: Values, inside: NDArray[np.str_] | None) -> pd.DataFrame:
    """Correlate ranks over networks, all together or less the mean of their group.

    Returns:
        A row a statistic, a column a pair of distances; 0 where a version is constant.
    """
    return pd.DataFrame({
        f"{one}, {other}": {
            name: float(correlate(values[name, one], values[name, other], inside))
            for name in STATISTICS
        }
        for one, other in combinations(DISTANCES, 2)
    })  # fmt: skip


def _deltas(values: Values, groups: NDArray[np.str_]) -> pd.DataFrame:
    return pd.DataFrame({
        distance: {
            name: float(cliffs_delta(*_pair(values[name, distance], groups)))
            for name in STATISTICS
        }
        for distance in DISTANCES
    })  # fmt: skip


def _orders(values: Values, groups: NDArray[np.str_]) -> pd.DataFrame:
    """Count the pairs of groups whose medians are in the same order by two distances.

    Returns:
        A row a statistic, a column a pair of distances; NaN where a version is constant.
    """
    pairs = list(combinations(GROUPS, 2))

    def count(name: str, *distances: str) -> float:
        if any(np.ptp(values[name, distance]) == 0 for distance in distances):
            return np.nan
        signs = [
            [np.sign(np.median(v[groups == a]) - np.median(v[groups == b])) for a, b in pairs]
            for v in (values[name, distance] for distance in distances)
        ]
        return float(np.equal(*signs).sum())

    return pd.DataFrame({
        f"{one}, {other}": {name: count(name, one, other) for name in STATISTICS}
        for one, other in combinations(DISTANCES, 2)
    })  # fmt: skip


def drawn(
    asked: Flags,
    values: Values,
    groups: NDArray[np.str_],
    tables: dict[str, pd.DataFrame],
    claims: list[dict[str, Any]],
) -> Figure:
    figure = canvas.new_figure(16, 10)
    above, below = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    left, middle, right = above.subplots(1, 3, sharey=True)
    deltas, orders = tables["cliffs_delta"], tables["pairs_of_groups_in_the_same_order"]
    _sheet(left, deltas, deltas.map("{:+.2f}".format), list(DISTANCES.values()))
    canvas.title(left, f"{FIRST} against {SECOND}:\nCliff's delta")
    pairs = [f"{DISTANCES[a]},\n{DISTANCES[b]}" for a, b in combinations(DISTANCES, 2)]
    rho, inside = tables["rank_correlation"], tables["rank_correlation_within_groups"]
    words = rho.map("{:+.2f}".format) + inside.map("\n({:+.2f})".format)
    _sheet(middle, rho.where(orders.notna()), words, pairs)
    canvas.title(middle, "do two distances rank networks alike?\nSpearman's ρ (within groups)")
    count = len(list(combinations(GROUPS, 2)))
    _sheet(right, 2 * orders / count - 1, orders.map(f"{{:.0f}} of {count}".format), pairs)
    canvas.title(right, "do they order the groups alike?\npairs of groups whose order is the same")
    left.set_yticks(range(len(STATISTICS)), list(STATISTICS.values()))
    for ax, distance in zip(below.subplots(1, 3), DISTANCES, strict=True):
        _dots(ax, values[DOTTED, distance], groups, distance)
    figure.suptitle(_finding(claims), fontsize=12.5, x=0.01, ha="left")
    canvas.note(
        figure,
        f"{caption(asked, GROUPS)}. n = {len(groups)} networks, {len(groups) // len(GROUPS)} a "
        f"group. Sublevels on the {NEIGHBOURS}-nearest-neighbour graph joined by the spanning "
        f"tree, flag complex; Vietoris-Rips on {POINTS} points or fewer; bars that never end left "
        "out. "
        "PHATE knn 5, cosine about the mean, joined, smacof, seed 0. Purple: larger or alike; "
        "orange: smaller or opposite.",
    )
    return figure


def _sheet(ax: Axes, table: pd.DataFrame, words: pd.DataFrame, columns: list[str]) -> None:
    ax.imshow(table.to_numpy(), cmap="PuOr", vmin=-1.6, vmax=1.6, aspect="auto")
    ax.set_xticks(range(len(columns)), columns)
    ax.tick_params(length=0)
    for row, column in np.ndindex(table.shape):
        text = "constant" if np.isnan(table.iat[row, column]) else words.iat[row, column]
        ax.text(column, row, text, ha="center", va="center", fontsize=9)


def _dots(ax: Axes, values: NDArray[np.float64], groups: NDArray[np.str_], distance: str) -> None:
    for place, (group, colour) in enumerate(zip(GROUPS, canvas.colours(4), strict=True)):
        found = values[groups == group]
        spots = place + np.linspace(-0.15, 0.15, len(found))
        ax.plot(spots, found, "o", color=colour, ms=6, alpha=0.8)
    ax.set_xticks(range(len(GROUPS)), [SHOWN.get(group, group) for group in GROUPS])
    ax.set_ylabel(STATISTICS[DOTTED])
    effect = cliffs_delta(*_pair(values, groups))
    words = f"{STATISTICS[DOTTED]}, {DISTANCES[distance]}:\n{FIRST} against {SECOND} {effect:+.2f}"
    canvas.title(ax, words)


def _finding(claims: list[dict[str, Any]]) -> str:
    stand, agree = [], []
    for distance, where in WHERE.items():
        mine = [claim for claim in claims if where in claim["claim"]]
        found = [claim["verdict"] for claim in mine[:-2]]
        stand.append(
            f"{found.count('supported')} by {DISTANCES[distance]} "
            f"({found.count('contradicted')} vanished or turned)"
        )
        low, high = mine[-2]["interval"]
        agree.append(f"{mine[-2]['effect']:.2f} [{low:.2f}, {high:.2f}]")
    return (
        f"{FIRST.capitalize()} and {SECOND} networks differ in {len(found)} of {len(STATISTICS)} "
        f"statistics in weight space; of these differences stand {', '.join(stand)}\n"
        f"Networks rank as in weight space: ρ = {' on potentials, '.join(agree)} in the plane, "
        f"mean over statistics ({tally(claims)})"
    )
