"""Which conclusions survive the choice of distance: weight space, PHATE's potentials, its plane?

Topology and clusters around networks are measured three times with the package's own statistics,
with nothing changed but the distances between snapshots: Euclidean ones in weight space, those
between PHATE's potentials (arXiv:2102.00485, section 3.3), and those in the two-dimensional
picture. Left, how generalising and memorising networks differ; middle, whether the three versions
of a statistic rank networks alike; right, whether they order the groups alike. Statistics without
a clear difference in weight space make no claim; the first figure counted them as undecided ones.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain, combinations
from typing import Any

import numpy as np
import pandas as pd
from evidence.contests import Array, correlate
from evidence.figure import Flags, Made
from evidence.judging import NEGLIGIBLE, entry
from evidence.panels import dots, label
from evidence.rows import Rows, effect
from matplotlib.axes import Axes
from numpy.typing import NDArray
from papers.horoi import landscapes
from papers.horoi.landscapes import COLOURS, GROUPS, NEIGHBOURS, Network, by_group
from scipy.stats import t as student

from jumpretrain import describe, embed
from jumpretrain.comparison.hypothesis_tests import cliffs_delta, delta_interval
from jumpretrain.embedding.gram import gram
from jumpretrain.embedding.neighbours import edges, knn_graph
from jumpretrain.plots import canvas

SMALLEST = 0.5  # of a rank correlation: what "alike" means at least
FIRST, SECOND = "good", "memorise"
POINTS, QUICK_POINTS = 256, 72  # that Vietoris-Rips sees, about
DISTANCES = {"raw": "weight space", "potential": "PHATE's potentials", "plane": "PHATE's plane"}
ID = "horoi-distances"
WHERE = {"potential": "PHATE's potential distances", "plane": "the two-dimensional embedding"}
STATISTICS = {
    "sublevel_values_h0_total_persistence_p2": "finite persistence of the test loss",
    "sublevel_ranks_h0_total_persistence_over_permuted": "persistence of its ranks over permuted",
    "sublevel_ranks_h1_total_persistence_p1": "loops in sublevels of its ranks",
    "rips_h0_total_persistence_over_diameter": "Vietoris-Rips pieces over diameter",
    "rips_h1_total_persistence_over_diameter": "Vietoris-Rips loops over diameter",
    "embedding_silhouette_by_direction": "silhouette by direction",
    "embedding_silhouette_by_jump": "silhouette by direction and jump",
    "within_run": f"share of {NEIGHBOURS}-NN edges within a run",
}
DOTTED = "embedding_silhouette_by_direction"
PAIRS = list(combinations(GROUPS, 2))
Values = dict[tuple[str, str], Array]
Labels = NDArray[np.str_]
Table = pd.DataFrame


def make(asked: Flags) -> Made:
    nets, points = landscapes.networks(asked), QUICK_POINTS if asked.quick else POINTS
    jobs = [((points, list(STATISTICS)), net) for net in nets]
    described = landscapes.each_kept(asked, partial(measured, points=points), jobs, "describing")
    table, groups = pd.DataFrame(chain(*described)), np.array([net.group for net in nets])
    rows = table.groupby("distance")
    values = {(name, d): one[name].to_numpy() for d, one in rows for name in STATISTICS}
    sheets = {
        "cliffs_delta": sheet(values, 1, partial(delta, groups)),
        "rank_correlation": sheet(values, 2, correlate),
        "rank_correlation_within_groups": sheet(values, 2, partial(correlate, parts=groups)),
        "pairs_of_groups_in_the_same_order": sheet(values, 2, partial(same_order, groups)),
    }
    figure = canvas.new_figure(16, 10)
    above, below = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    shades(above.subplots(1, 3, sharey=True), *sheets.values())
    for ax, distance in zip(below.subplots(1, 3), DISTANCES, strict=True):
        draw_groups(ax, values[DOTTED, distance], groups, DISTANCES[distance])
    note = (
        f"n = {len(groups)} networks, {len(groups) // len(GROUPS)} a "
        f"group. Sublevels on the {NEIGHBOURS}-nearest-neighbour graph joined by the spanning "
        f"tree, flag complex; Vietoris-Rips on {POINTS} points or fewer; bars that never end left "
        "out. PHATE knn 5, cosine about the mean, joined, smacof, seed 0. Purple: larger or "
        "alike; orange: smaller or opposite. Bars: medians."
    )
    found = {
        name: made.astype(object).where(made.notna(), None).to_dict("index")
        for name, made in sheets.items()
    }
    found |= {"statistics": STATISTICS, "neighbours": NEIGHBOURS, "rips_points": points}
    claims = judged(values, groups)
    return landscapes.made(asked, figure, finding(claims), claims, note, **found, measures=table)


def measured(net: Network, points: int) -> list[dict[str, Any]]:
    """Describe one network by each distance."""
    jumps = net.trajectories.jumps()
    inner = gram(jumps)
    placed = embed(jumps, gram=inner)
    run = placed.labels["run"].to_numpy()
    rows = []
    for distance, matrix in landscapes.three_distances(placed, inner).items():
        seen = replace(placed, distances=matrix)
        found = describe(net.trajectories, seen, k=NEIGHBOURS, rips_points=points)
        ends = run[edges(knn_graph(matrix, NEIGHBOURS, None))]
        found["within_run"] = float((ends[:, 0] == ends[:, 1]).mean())
        row = {"group": net.group, "seed": net.seed, "distance": distance}
        rows.append(row | {name: found[name] for name in STATISTICS})
    return rows


def sheet(values: Values, size: int, number: Callable[..., Any]) -> pd.DataFrame:
    """Work out a number for each statistic (a row) by one distance or by pairs (a column)."""
    return pd.DataFrame({
        ", ".join(some): {s: float(number(*(values[s, d] for d in some))) for s in STATISTICS}
        for some in combinations(DISTANCES, size)
    })


def sides(groups: Labels, values: Array) -> list[Array]:
    return [values[groups == group] for group in (FIRST, SECOND)]


def delta(groups: Labels, values: Array) -> float:
    return float(cliffs_delta(*sides(groups, values)))


def same_order(groups: Labels, *versions: Array) -> float:
    """Count the pairs of groups with medians in the same order; NaN where one is constant."""
    if any(np.ptp(values) == 0 for values in versions):
        return np.nan
    medians = [{g: np.median(values[groups == g]) for g in GROUPS} for values in versions]
    signs = [[np.sign(middle[a] - middle[b]) for a, b in PAIRS] for middle in medians]
    return float(np.equal(*signs).sum())


def judged(values: Values, groups: Labels) -> Rows:
    """Judge whether conclusions and ranks on weight space survive on the other distances."""
    claims = []
    how = f"Cliff's delta of {{}}, {FIRST} against {SECOND}; expected sign: that in weight space"
    for distance, where in WHERE.items():
        for name, words in STATISTICS.items():
            low, high = delta_interval(*sides(groups, values[name, "raw"]))
            if max(low, -high) > NEGLIGIBLE:
                claim = (
                    f"{FIRST} and {SECOND} networks differ in {words} by {where} as they do by "
                    "distances in weight space"
                )
                after = sides(groups, values[name, distance])
                ends, count = delta_interval(*after), sum(map(len, after))
                numbers = float(cliffs_delta(*after)), *ends, count
                expected = 1 if low > 0 else -1
                claims.append(entry(ID, claim, how.format(name), *numbers, NEGLIGIBLE, expected))
        for inside, words in ((None, "networks"), (groups, "networks of the same group")):
            claim = f"{words} rank by {where} as by distances in weight space"
            claims.append(ranked(values, inside, distance, claim))
    return claims


def ranked(values: Values, inside: Labels | None, distance: str, claim: str) -> dict[str, Any]:
    """Judge the mean rank correlation over statistics by a jackknife over networks."""
    told = [name for name in STATISTICS if np.ptp(values[name, "raw"]) > 0]
    one, two = (np.array([values[name, of] for name in told]) for of in ("raw", distance))
    places = np.arange(one.shape[1])

    def mean(rows: NDArray[np.bool_]) -> float:
        parts = None if inside is None else inside[rows]
        return float(correlate(one[:, rows], two[:, rows], parts).mean())

    whole = mean(places >= 0)
    left = np.array([mean(places != place) for place in places])
    spread = np.sqrt((len(places) - 1) * ((left - left.mean()) ** 2).mean())
    reach = float(student.ppf(0.975, len(places) - 1) * spread)
    ends = max(-1.0, whole - reach), min(1.0, whole + reach)
    how = f"Spearman's rho, mean over {len(told)} statistics that vary in weight space (jackknife)"
    return entry(ID, claim, how, whole, *ends, len(places), SMALLEST)


def draw_groups(ax: Axes, values: Array, groups: Labels, distance: str) -> None:
    for place, (group, colour) in enumerate(COLOURS.items()):
        dots(ax, place, values[groups == group], colour)
    by_group(ax)
    name, words = STATISTICS[DOTTED], f"{FIRST} against {SECOND} {delta(groups, values):+.2f}"
    label(ax, "", name, f"{name}, {distance}:\n{words}")


def shades(panels: Any, deltas: Table, rho: Table, inside: Table, orders: Table) -> None:
    left, middle, right = panels
    count, pairs = len(PAIRS), [",\n".join(pair) for pair in combinations(DISTANCES.values(), 2)]
    shade(left, deltas, deltas.map("{:+.2f}".format), list(DISTANCES.values()))
    words = rho.map("{:+.2f}".format) + inside.map("\n({:+.2f})".format)
    shade(middle, rho.where(orders.notna()), words, pairs)
    shade(right, 2 * orders / count - 1, orders.map(f"{{:.0f}} of {count}".format), pairs)
    canvas.title(left, f"{FIRST} against {SECOND}:\nCliff's delta")
    canvas.title(middle, "do two distances rank networks alike?\nSpearman's ρ (within groups)")
    canvas.title(right, "do they order the groups alike?\npairs of groups whose order is the same")
    left.set_yticks(range(len(STATISTICS)), list(STATISTICS.values()))


def shade(ax: Axes, table: Table, words: Table, columns: list[str]) -> None:
    ax.imshow(table.to_numpy(), cmap="PuOr", vmin=-1.6, vmax=1.6, aspect="auto")
    ax.set_xticks(range(len(columns)), columns)
    ax.tick_params(length=0)
    for row, column in np.ndindex(table.shape):
        text = "constant" if np.isnan(table.iat[row, column]) else words.iat[row, column]
        ax.text(column, row, text, ha="center", va="center", fontsize=9)


def finding(claims: Rows) -> str:
    stand, agree = [], []
    for distance, where in WHERE.items():
        *mine, alike, _ = (claim for claim in claims if where in claim["claim"])
        found = [claim["verdict"] for claim in mine]
        kept, lost = found.count("supported"), found.count("contradicted")
        stand.append(f"{kept} by {DISTANCES[distance]} ({lost} vanished or turned)")
        agree.append(effect(alike, ".2f"))
    return (
        f"{FIRST.capitalize()} and {SECOND} networks differ in {len(found)} of {len(STATISTICS)} "
        f"statistics in weight space;\nof these differences stand {', '.join(stand)}\n"
        f"Networks rank as in weight space: ρ = {' on potentials, '.join(agree)} in the plane, "
        "mean over statistics"
    )
