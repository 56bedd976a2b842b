"""Which sampler ranks networks by how well they generalise: jump and retrain, rays or a grid?

Table 1 of arXiv:2102.00485 (H1) as a question of ranks: around 20 networks, trained on true, few,
half or wholly redrawn labels, each sampler scores equally many points of the training loss. How
well a statistic of those losses ranks test accuracy is compared between samplers over the same
networks: over all of them, and among networks of the same group.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import QUIET, over
from evidence.contests import Array, Contest, contest, resampled_strength, strength
from evidence.figure import Flags, Made
from evidence.judging import adjusted, entry
from evidence.panels import intervals, label
from evidence.rows import Rows, effect
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.horoi import landscapes
from papers.horoi.landscapes import COLOURS, NEIGHBOURS, SHOWN, Network

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import cliffs_delta
from jumpretrain.embedding.gram import from_gram, gram
from jumpretrain.embedding.neighbours import knn_graph
from jumpretrain.plots import canvas

SMALLEST = 0.1  # of the size of a rank correlation
OURS, OTHERS = "jump and retrain", ("rays", "grid")
SAMPLERS = dict(zip((OURS, *OTHERS), canvas.colours(3), strict=True))
STATISTICS = {
    "median": "median of log loss",
    "spread": "interquartile range of log loss",
    "range": "range of log loss",
    "accuracy": "mean training accuracy",
    "persistence": "finite persistence of log loss",
}
MEAN = "mean of the five"
NAMES = (*STATISTICS.values(), MEAN)
SCOPES = {"all": "all networks", "within": "networks of the same group"}
Values = dict[str, Array]
Contests = dict[tuple[str, str], Contest]


def make(asked: Flags) -> Made:
    nets = landscapes.networks(asked)
    rows = over(asked, measured, [(net, asked.quick) for net in nets], "sampling")
    ends = [net.trajectories.optimum_metrics | {"group": net.group, "seed": net.seed}
            for net in nets]  # fmt: skip
    table = pd.DataFrame(ends)
    accuracy, groups = (table[name].to_numpy() for name in ("test_accuracy", "group"))
    values: Values = {
        name: np.array([[row[name][s] for row in rows] for s in STATISTICS]) for name in SAMPLERS
    }
    scopes = {"all": None, "within": groups}
    contests = {
        (scope, other): contest(values[OURS], values[other], accuracy, parts, groups)
        for scope, parts in scopes.items()
        for other in OTHERS
    }
    claims = judged(contests, len(nets))
    deltas = by_statistic(values, apart, groups)
    optimum = float(strength(table["train_loss"], accuracy))
    note = (
        f"n = {len(table)} networks, {90 if asked.quick else 640} points of the training loss "
        "each a sampler: whole epochs of all jumps; rays to 1 filter norm; grid of three "
        f"directions to ±1. Persistence: {NEIGHBOURS} nearest neighbours in weight space, joined "
        "by the spanning tree, exponent 2. Bars: 95 %, networks resampled within groups."
    )
    found = {
        "points": rows[0][OURS]["points"],
        "statistics": STATISTICS,
        "neighbours": NEIGHBOURS,
        "strength": {scope: by_statistic(values, strength, accuracy, parts).to_dict()
                     for scope, parts in scopes.items()},
        "strength_of_the_optimum's_training_loss": optimum,
        "good_against_memorise": deltas.to_dict(),
        "networks": [end | {"samples": row} for end, row in zip(ends, rows, strict=True)],
    }  # fmt: skip
    figure = drawn(values, table, contests, optimum)
    return landscapes.made(asked, figure, finding(deltas, claims), claims, note, **found)


def by_statistic(values: Values, measure: Callable[..., Any], *others: Any) -> pd.DataFrame:
    """Measure something of each statistic, a row, of each sampler, a column."""
    found = {sampler: measure(rows, *others) for sampler, rows in values.items()}
    return pd.DataFrame(found, index=list(STATISTICS))


def apart(rows: Array, groups: NDArray[np.str_]) -> list[float]:
    """Measure how far statistics separate networks that generalise and that memorise."""
    good, poor = (groups == group for group in ("good", "memorise"))
    return [float(cliffs_delta(row[good], row[poor])) for row in rows]


def measured(net: Network, quick: bool) -> dict[str, dict[str, float]]:
    """Summarise equally many points around one network by each sampler."""
    jumps = net.trajectories.jumps()
    whole = landscapes.whole_epochs(jumps)
    directions, radii, shape = (9, 10, (3, 5, 6)) if quick else (32, 20, (8, 8, 10))
    sizes = np.linspace(1 / radii, 1, radii).tolist()
    samples = {
        OURS: jumps.select(times=whole[: directions * radii // len(jumps)]),
        "rays": jr.rays(net.task, jumps.optimum, directions, sizes, execution=QUIET),
        "grid": jr.grid(net.task, jumps.optimum, shape, execution=QUIET),
    }
    return {sampler: summary(points) for sampler, points in samples.items()}


def summary(points: jr.Trajectories) -> dict[str, float]:
    loss = np.log10(points.values("train_loss") + 1e-8)
    low, middle, high = np.quantile(loss, [0.25, 0.5, 0.75])
    graph = knn_graph(from_gram(gram(points)), NEIGHBOURS)
    return {
        "points": len(loss),
        "median": float(middle),
        "spread": float(high - low),
        "range": float(np.ptp(loss)),
        "accuracy": float(points.values("train_accuracy").mean()),
        "persistence": jr.sublevel(loss, graph, maxdim=0).total_persistence(0, p=2),
    }


def judged(contests: Contests, count: int) -> Rows:
    """Judge every statistic over all networks, and the mean of them also within groups."""
    claims = []
    for (scope, other), found in contests.items():
        how = f"size of Spearman's rho with test accuracy, {OURS} less {other}, paired by network"
        words = f"jump and retrain ranks the test accuracy of {SCOPES[scope]} better than {other}"
        numbers = (part.tolist() for part in (found.gap, found.low, found.high, found.p))
        claims += [
            entry("horoi-H1", f"{words}, by the {name}", how, *ends, count, SMALLEST, p=p)
            for name, *ends, p in zip(NAMES, *numbers, strict=True)
            if scope == "all" or name == MEAN
        ]
    return adjusted(claims)


def drawn(values: Values, table: pd.DataFrame, contests: Contests, optimum: float) -> Figure:
    figure = canvas.new_figure(16, 9.4)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 0.95))
    left, middle, right = above.subplots(1, 3, sharey=True)
    samplers(left, values, table, None)
    left.axvline(optimum, color="black", lw=1, ls=":")
    left.legend(frameon=False, fontsize=9, loc="upper left")
    canvas.title(left, "all networks: how well samples rank\n(dotted: the optimum's own loss)")
    samplers(middle, values, table, table["group"].to_numpy())
    canvas.title(middle, "networks of the same group:\nhow well samples rank")
    gaps(right, contests)
    for ax, (sampler, rows) in zip(below.subplots(1, 3, sharey=True), values.items(), strict=True):
        scatter(ax, table.assign(median=rows[0]), sampler)
    return figure


def samplers(ax: Axes, values: Values, table: pd.DataFrame, parts: Any) -> None:
    places = np.arange(len(NAMES))
    accuracy, groups = (table[name].to_numpy() for name in ("test_accuracy", "group"))
    for shift, (sampler, colour) in zip((-0.22, 0, 0.22), SAMPLERS.items(), strict=True):
        middle = strength(values[sampler], accuracy, parts)
        ends = resampled_strength(values[sampler], accuracy, parts, groups)
        sizes = np.r_[middle, middle.mean()]
        intervals(ax, places + shift, sizes, ends, colour, label=sampler)
    ax.set(xlim=(0, 1.02), ylim=(len(places) - 0.5, -0.5))
    ax.set_xlabel("|ρ| with test accuracy (Spearman)")
    ax.set_yticks(places, NAMES)
    ax.grid(axis="x", color="0.92")
    ax.set_axisbelow(True)


def gaps(ax: Axes, contests: Contests) -> None:
    ax.axvspan(-SMALLEST, SMALLEST, color="0.92", zorder=0)
    shifts = (-0.27, -0.09, 0.09, 0.27)
    for shift, ((scope, other), found) in zip(shifts, contests.items(), strict=True):
        kept = slice(None) if scope == "all" else slice(-1, None)  # what is judged
        ends, places = (found.low[kept], found.high[kept]), np.arange(len(NAMES))[kept] + shift
        face, name = "white" if scope == "within" else None, SCOPES[scope].split(" of ")[-1]
        marks = {"mfc": face, "label": f"less {other}, {name}"}
        intervals(ax, places, found.gap[kept], ends, SAMPLERS[other], **marks)
    across = f"|ρ| of {OURS} less that of the other (grey: below {SMALLEST:g})"
    label(ax, across, "", f"{OURS} less the others,\npaired by network", fontsize=8)


def scatter(ax: Axes, table: pd.DataFrame, sampler: str) -> None:
    for (group, colour), mark in zip(COLOURS.items(), "os^D", strict=True):
        rows = table[table["group"] == group]
        how = {"color": colour, "alpha": 0.8, "label": SHOWN[group]}
        ax.plot(rows["median"], rows["test_accuracy"], mark, **how)
    rho = float(strength(table["median"], table["test_accuracy"]))
    up, legend = ("test accuracy (fraction)", {"fontsize": 9}) if sampler == OURS else ("", {})
    label(ax, "median of log10 training loss (nats)", up, f"{sampler}: |ρ| = {rho:.2f}", **legend)


def finding(deltas: pd.DataFrame, claims: Rows) -> str:
    means = [claim for claim in claims if claim["claim"].endswith(MEAN)]
    numbers = ", ".join(f"{o} {effect(c)}" for o, c in zip(OTHERS, means, strict=False))
    clear = (deltas.abs() == 1).sum()
    split = ", ".join(f"{sampler} {count}" for sampler, count in clear.items())
    better = [claim for claim in claims if claim["verdict"] == "supported"]
    sure = sum(claim["p_holm"] < 0.05 for claim in better)
    return (
        f"Jump and retrain ranks networks by test accuracy better, by {SMALLEST:g} of |ρ|, than "
        f"rays or a grid in {len(better)} of {len(claims)} comparisons ({sure} with p < .05 after "
        f"Holm)\n|ρ| less that of {numbers} (mean of the five)\nStatistics that "
        f"part good from memorising networks without overlap, of {len(STATISTICS)}: {split}"
    )
