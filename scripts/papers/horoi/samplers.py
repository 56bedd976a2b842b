"""Which sampler ranks networks by how well they generalise: jump and retrain, rays or a grid?

Table 1 of arXiv:2102.00485 (H1) as a question of ranks: around 20 networks, trained on true, few,
half or wholly redrawn labels, each sampler scores equally many points of the training loss. How
well a statistic of those losses ranks test accuracy is compared between samplers over the same
networks: over all of them, and among networks of the same group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from evidence.cells import QUIET, each
from evidence.contests import Contest, contest, resampled_strength, strength
from evidence.figure import Flags, Made
from evidence.judging import adjusted, entry
from evidence.panels import head
from evidence.wording import effect
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
Array = NDArray[np.float64]
Contests = dict[tuple[str, str], Contest]


@dataclass(frozen=True)
class Sampled:
    """Statistics (S, n) of what each sampler scored around n networks, and what they may tell."""

    values: dict[str, Array]
    accuracy: Array
    loss: Array
    groups: NDArray[np.str_]

    def parts(self, scope: str) -> NDArray[np.str_] | None:
        """Give the groups within which networks are ranked; None where all are together."""
        return None if scope == "all" else self.groups


def make(asked: Flags) -> Made:
    nets = landscapes.networks(asked)
    rows = each(measured, [(net, asked.quick) for net in nets], asked, "sampling")
    ends = [net.trajectories.optimum_metrics for net in nets]
    found = Sampled(
        {
            name: np.array([[row[name][s] for row in rows] for s in STATISTICS])
            for name in SAMPLERS
        },
        np.array([end["test_accuracy"] for end in ends]),
        np.array([end["train_loss"] for end in ends]),
        np.array([net.group for net in nets]),
    )
    contests = {
        (scope, other): contest(
            *(found.values[name] for name in (OURS, other)),
            found.accuracy, found.parts(scope), found.groups,
        )
        for scope in SCOPES
        for other in OTHERS
    }  # fmt: skip
    claims = judged(contests, len(nets))
    numbers = {
        "points": rows[0][OURS]["points"],
        "statistics": STATISTICS,
        "neighbours": NEIGHBOURS,
        "strength": {scope: strengths(found, scope) for scope in SCOPES},
        "strength_of_the_optimum's_training_loss": float(strength(found.loss, found.accuracy)),
        "good_against_memorise": apart(found),
        "networks": [
            end | {"group": net.group, "seed": net.seed, "samples": row}
            for net, end, row in zip(nets, ends, rows, strict=True)
        ],
    }
    figure = drawn(asked, found, contests, claims)
    return figure, landscapes.facts(asked, claims=claims) | numbers


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


def judged(contests: Contests, count: int) -> list[dict[str, Any]]:
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


def strengths(found: Sampled, scope: str) -> dict[str, dict[str, float]]:
    return {
        sampler: dict(zip(STATISTICS, map(float, ranked), strict=True))
        for sampler, values in found.values.items()
        for ranked in [strength(values, found.accuracy, found.parts(scope))]
    }


def apart(found: Sampled) -> dict[str, dict[str, float]]:
    """Measure how far each statistic separates networks that generalise and that memorise."""
    good, poor = (found.groups == group for group in ("good", "memorise"))
    return {
        sampler: {
            name: float(cliffs_delta(row[good], row[poor]))
            for name, row in zip(STATISTICS, values, strict=True)
        }
        for sampler, values in found.values.items()
    }


def drawn(
    asked: Flags, found: Sampled, contests: Contests, claims: list[dict[str, Any]]
) -> Figure:
    figure = canvas.new_figure(16, 9.4)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 0.95))
    left, middle, right = above.subplots(1, 3, sharey=True)
    intervals(left, found, "all")
    left.legend(frameon=False, fontsize=9, loc="upper left")
    left.axvline(float(strength(found.loss, found.accuracy)), color="black", lw=1, ls=":")
    canvas.title(left, "all networks: how well samples rank\n(dotted: the optimum's own loss)")
    intervals(middle, found, "within")
    canvas.title(middle, "networks of the same group:\nhow well samples rank")
    gaps(right, contests)
    for ax, sampler in zip(below.subplots(1, 3, sharey=True), SAMPLERS, strict=True):
        scatter(ax, found, sampler)
    note = (
        f"{landscapes.caption(asked)}. n = {len(found.groups)} networks, "
        f"{90 if asked.quick else 640} points of the training "
        "loss each a sampler: whole epochs of all jumps; rays to 1 filter norm; grid of three "
        f"directions to ±1. Persistence: {NEIGHBOURS} nearest neighbours in weight space, joined "
        "by the spanning tree, exponent 2. Bars: 95 %, networks resampled within groups."
    )
    head(figure, finding(found, claims), claims, note)
    return figure


def intervals(ax: Axes, found: Sampled, scope: str) -> None:
    rows, parts = np.arange(len(NAMES)), found.parts(scope)
    for shift, (sampler, colour) in zip((-0.22, 0, 0.22), SAMPLERS.items(), strict=True):
        values = found.values[sampler]
        middle = strength(values, found.accuracy, parts)
        low, high = resampled_strength(values, found.accuracy, parts, found.groups)
        ax.hlines(rows + shift, low, high, color=colour, lw=1.6)
        ax.plot(np.r_[middle, middle.mean()], rows + shift, "o", color=colour, label=sampler)
    ax.set(xlim=(0, 1.02), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xlabel("|ρ| with test accuracy (Spearman)")
    ax.set_yticks(rows, NAMES)
    ax.grid(axis="x", color="0.92")
    ax.set_axisbelow(True)


def gaps(ax: Axes, contests: Contests) -> None:
    rows = np.arange(len(NAMES))
    ax.axvspan(-SMALLEST, SMALLEST, color="0.92", zorder=0)
    shifts = (-0.27, -0.09, 0.09, 0.27)
    for shift, ((scope, other), found) in zip(shifts, contests.items(), strict=True):
        kept = slice(None) if scope == "all" else slice(-1, None)  # what is judged
        face, colour = "white" if scope == "within" else None, SAMPLERS[other]
        label = f"less {other}, {SCOPES[scope].split(' of ')[-1]}"
        ax.hlines(rows[kept] + shift, found.low[kept], found.high[kept], color=colour, lw=1.6)
        ax.plot(found.gap[kept], rows[kept] + shift, "o", color=colour, mfc=face, label=label)
    ax.set_xlabel(f"|ρ| of {OURS} less that of the other (grey: below {SMALLEST:g})")
    ax.legend(frameon=False, fontsize=8, loc="best")
    canvas.title(ax, f"{OURS} less the others,\npaired by network")


def scatter(ax: Axes, found: Sampled, sampler: str) -> None:
    medians, accuracy = found.values[sampler][0], found.accuracy
    for (group, colour), marker in zip(COLOURS.items(), "os^D", strict=True):
        mine, label = found.groups == group, SHOWN[group]
        ax.plot(medians[mine], accuracy[mine], marker, color=colour, alpha=0.8, label=label)
    ax.set_xlabel("median of log10 training loss (nats)")
    if sampler == OURS:
        ax.set_ylabel("test accuracy (fraction)")
        ax.legend(frameon=False, fontsize=9)
    canvas.title(ax, f"{sampler}: |ρ| = {float(strength(medians, accuracy)):.2f}")


def finding(found: Sampled, claims: list[dict[str, Any]]) -> str:
    means = [claim for claim in claims if claim["claim"].endswith(MEAN)]
    numbers = ", ".join(f"{o} {effect(c)}" for o, c in zip(OTHERS, means, strict=False))
    split = ", ".join(
        f"{sampler} {sum(abs(delta) == 1 for delta in deltas.values())}"
        for sampler, deltas in apart(found).items()
    )
    better = [claim for claim in claims if claim["verdict"] == "supported"]
    sure = sum(claim["p_holm"] < 0.05 for claim in better)
    return (
        f"Jump and retrain ranks networks by test accuracy better, by {SMALLEST:g} of |ρ|, than "
        f"rays or a grid in {len(better)} of {len(claims)} comparisons ({sure} with p < .05 after "
        f"Holm)\n|ρ| less that of {numbers} (mean of the five)\nStatistics that "
        f"part good from memorising networks without overlap, of {len(STATISTICS)}: {split}"
    )
