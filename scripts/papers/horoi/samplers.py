"""Which sampler ranks networks by how well they generalise: jump and retrain, rays or a grid?

Table 1 of arXiv:2102.00485 (H1) as a question of ranks: around 20 networks, trained on true, few,
half or wholly redrawn labels, each sampler scores equally many points of the training loss. How
well a statistic of those losses ranks test accuracy is compared between samplers over the same
networks: over all of them, and among networks of the same group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from evidence.contests import Contest, contest, resampled_strength, strength
from evidence.figure import Flags, Made
from evidence.judging import entry, tally
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.horoi.landscapes import Network, caption, each, facts, networks

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import cliffs_delta, holm
from jumpretrain.embedding.gram import from_gram, gram
from jumpretrain.embedding.neighbours import knn_graph
from jumpretrain.plots import canvas

SMALLEST = 0.1  # of the size of a rank correlation
GROUPS = ("good", "few", "noise .5", "memorise")
SHOWN = {"few": "bad (150 examples)", "noise .5": "half redrawn"}
OURS, OTHERS = "jump and retrain", ("rays", "grid")
SAMPLERS = (OURS, *OTHERS)
STATISTICS = {
    "median": "median of log loss",
    "spread": "interquartile range of log loss",
    "range": "range of log loss",
    "accuracy": "mean training accuracy",
    "persistence": "finite persistence of log loss",
}
MEAN = "mean of the five"
SCOPES = {"all": "all networks", "within": "networks of the same group"}
NEIGHBOURS = 20
QUIET = jr.Execution(progress=False)
Values = dict[str, NDArray[np.float64]]


def make(asked: Flags) -> Made:
    found = networks(asked, GROUPS)
    nets = [net for group in GROUPS for net in found[group]]
    rows = each(measured, [(net, asked.quick) for net in nets], asked, "sampling")
    groups = np.array([net.group for net in nets])
    target = np.array([net.trajectories.optimum_metrics["test_accuracy"] for net in nets])
    optimum = np.array([net.trajectories.optimum_metrics["train_loss"] for net in nets])
    values = {
        sampler: np.array([[row[sampler][name] for row in rows] for name in STATISTICS])
        for sampler in SAMPLERS
    }
    contests = {
        (scope, other): contest(values[OURS], values[other], target, parts, groups)
        for scope, parts in (("all", None), ("within", groups))
        for other in OTHERS
    }
    claims = judged(contests, len(nets))
    made = [net.trajectories.optimum_metrics | {"group": net.group, "seed": net.seed}
            | {"samples": row} for net, row in zip(nets, rows, strict=True)]  # fmt: skip
    return drawn(asked, values, target, optimum, groups, contests, claims), (
        facts(asked, GROUPS)
        | {"points": rows[0][OURS]["points"], "statistics": STATISTICS, "claims": claims}
        | {"neighbours": NEIGHBOURS, "strength": _strengths(values, target, groups)}
        | {"strength_of_the_optimum's_training_loss": float(strength(optimum, target))}
        | {"good_against_memorise": _apart(values, groups), "networks": made}
    )


def measured(network: Network, quick: bool) -> dict[str, dict[str, float]]:
    """Sample around one network in three ways, with equally many points each.

    Returns:
        The statistics of each sampler's losses.
    """
    jumps = network.trajectories.jumps()
    whole = np.flatnonzero(np.abs(jumps.epoch - np.round(jumps.epoch)) < 1e-9)
    optimum = jumps.optimum
    directions, radii, shape = (9, 10, (3, 5, 6)) if quick else (32, 20, (8, 8, 10))
    sizes = np.linspace(1 / radii, 1, radii).tolist()
    samples = {
        OURS: jumps.select(times=whole[: directions * radii // len(jumps)]),
        "rays": jr.rays(network.task, optimum, directions, sizes, execution=QUIET),
        "grid": jr.grid(network.task, optimum, shape, execution=QUIET),
    }
    return {sampler: _summary(points) for sampler, points in samples.items()}


def _summary(points: jr.Trajectories) -> dict[str, float]:
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


def judged(contests: dict[tuple[str, str], Contest], count: int) -> list[dict[str, Any]]:
    """Judge every statistic over all networks, and the mean of them also within groups."""
    names = [*STATISTICS.values(), MEAN]
    rows = [
        (scope, other, place)
        for (scope, other) in contests
        for place in range(len(names))
        if scope == "all" or names[place] == MEAN
    ]
    adjusted = holm([contests[scope, other].p[place] for scope, other, place in rows])
    claims = []
    for (scope, other, place), p in zip(rows, adjusted, strict=True):
        found = contests[scope, other]
        claim = entry(
            "horoi-H1",
            f"jump and retrain ranks the test accuracy of {SCOPES[scope]} better than {other}, by "
            f"the {names[place]}",
            f"size of Spearman's rho with test accuracy, {OURS} less {other}, paired by network",
            *(float(part[place]) for part in (found.gap, found.low, found.high)),
            count,
            SMALLEST,
        )
        claims.append(claim | {"p": float(found.p[place]), "p_holm": float(p)})
    return claims


def _strengths(
    values: Values, target: NDArray[np.float64], groups: NDArray[np.str_]
) -> dict[str, dict[str, dict[str, float]]]:
    return {
        scope: {
            sampler: dict(zip(STATISTICS, strength(rows, target, parts).tolist(), strict=True))
            for sampler, rows in values.items()
        }
        for scope, parts in (("all", None), ("within", groups))
    }


def _apart(values: Values, groups: NDArray[np.str_]) -> dict[str, dict[str, float]]:
    """Measure how far each statistic separates networks that generalise and that memorise."""
    pair = [groups == group for group in ("good", "memorise")]
    return {
        sampler: {
            name: float(cliffs_delta(*(row[side] for side in pair)))
            for name, row in zip(STATISTICS, rows, strict=True)
        }
        for sampler, rows in values.items()
    }


def drawn(
    asked: Flags,
    values: Values,
    target: NDArray[np.float64],
    optimum: NDArray[np.float64],
    groups: NDArray[np.str_],
    contests: dict[tuple[str, str], Contest],
    claims: list[dict[str, Any]],
) -> Figure:
    figure = canvas.new_figure(16, 9.4)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 0.95))
    left, middle, right = above.subplots(1, 3, sharey=True)
    _strength(left, values, target, None, groups)
    left.axvline(float(strength(optimum, target)), color="black", lw=1, ls=":")
    canvas.title(left, "all networks: how well samples rank\n(dotted: the optimum's own loss)")
    _strength(middle, values, target, groups, groups)
    canvas.title(middle, "networks of the same group:\nhow well samples rank")
    _gaps(right, contests)
    for ax, sampler in zip(below.subplots(1, 3, sharey=True), SAMPLERS, strict=True):
        _scatter(ax, values[sampler][0], target, groups, sampler)
    figure.suptitle(_finding(values, groups, claims), fontsize=12.5, x=0.01, ha="left")
    points = 90 if asked.quick else 640
    canvas.note(
        figure,
        f"{caption(asked, GROUPS)}. n = {len(groups)} networks, {points} points of the training "
        "loss each a sampler: whole epochs of all jumps; rays to 1 filter norm; grid of three "
        f"directions to ±1. Persistence: {NEIGHBOURS} nearest neighbours in weight space, joined "
        "by the spanning tree, exponent 2. Bars: 95 %, networks resampled within groups.",
    )
    return figure


def _strength(
    ax: Axes,
    values: Values,
    target: NDArray[np.float64],
    parts: NDArray[np.str_] | None,
    groups: NDArray[np.str_],
) -> None:
    rows = np.arange(len(STATISTICS) + 1)
    for shift, sampler, colour in zip((-0.22, 0, 0.22), SAMPLERS, canvas.colours(3), strict=True):
        found = strength(values[sampler], target, parts)
        low, high = resampled_strength(values[sampler], target, parts, groups)
        ax.hlines(rows + shift, low, high, color=colour, lw=1.6)
        ax.plot(np.r_[found, found.mean()], rows + shift, "o", color=colour, label=sampler)
    ax.set(xlim=(0, 1.02), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xlabel("|ρ| with test accuracy (Spearman)")
    ax.set_yticks(rows, [*STATISTICS.values(), MEAN])
    ax.grid(axis="x", color="0.92")
    ax.set_axisbelow(True)
    if parts is None:
        ax.legend(frameon=False, fontsize=9, loc="upper left")


def _gaps(ax: Axes, contests: dict[tuple[str, str], Contest]) -> None:
    rows = np.arange(len(STATISTICS) + 1)
    colours = dict(zip(OTHERS, canvas.colours(3)[1:], strict=True))
    shifts = {("all", "rays"): -0.27, ("all", "grid"): -0.09, ("within", "rays"): 0.09,
              ("within", "grid"): 0.27}  # fmt: skip
    ax.axvspan(-SMALLEST, SMALLEST, color="0.92", zorder=0)
    for (scope, other), found in contests.items():
        kept = slice(None) if scope == "all" else slice(-1, None)  # what is judged
        places, face = rows[kept] + shifts[scope, other], "white" if scope == "within" else None
        ax.hlines(places, found.low[kept], found.high[kept], color=colours[other], lw=1.6)
        ax.plot(found.gap[kept], places, "o", color=colours[other], mfc=face,
                label=f"less {other}, {SCOPES[scope].split(' of ')[-1]}")  # fmt: skip
    ax.set_xlabel(f"|ρ| of {OURS} less that of the other (grey: below {SMALLEST:g})")
    ax.legend(frameon=False, fontsize=8, loc="best")
    canvas.title(ax, f"{OURS} less the others,\npaired by network")


def _scatter(
    ax: Axes,
    values: NDArray[np.float64],
    target: NDArray[np.float64],
    groups: NDArray[np.str_],
    sampler: str,
) -> None:
    for group, colour, marker in zip(GROUPS, canvas.colours(4), "os^D", strict=True):
        inside = groups == group
        ax.plot(values[inside], target[inside], marker, color=colour, alpha=0.8,
                label=SHOWN.get(group, group))  # fmt: skip
    ax.set_xlabel("median of log10 training loss (nats)")
    if sampler == OURS:
        ax.set_ylabel("test accuracy (fraction)")
        ax.legend(frameon=False, fontsize=9)
    canvas.title(ax, f"{sampler}: |ρ| = {float(strength(values, target)):.2f}")


def _finding(values: Values, groups: NDArray[np.str_], claims: list[dict[str, Any]]) -> str:
    means = [c for c in claims if c["claim"].endswith(MEAN)]
    numbers = ", ".join(
        f"{other} {c['effect']:+.2f} [{c['interval'][0]:+.2f}, {c['interval'][1]:+.2f}]"
        for other, c in zip(OTHERS, means, strict=False)
    )
    apart = _apart(values, groups)
    split = ", ".join(
        f"{sampler} {sum(abs(delta) == 1 for delta in apart[sampler].values())}"
        for sampler in SAMPLERS
    )
    better = [claim for claim in claims if claim["verdict"] == "supported"]
    sure = sum(claim["p_holm"] < 0.05 for claim in better)
    return (
        f"Jump and retrain ranks networks by test accuracy better, by {SMALLEST:g} of |ρ|, than "
        f"rays or a grid in {len(better)} of {len(claims)} comparisons ({sure} with p < .05 after "
        f"Holm)\n|ρ| less that of {numbers} (mean of the five); {tally(claims)}\nStatistics that "
        f"part good from memorising networks without overlap, of {len(STATISTICS)}: {split}"
    )
