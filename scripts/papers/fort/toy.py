"""The wedge toy of arXiv:1906.04724, section 3: crossings, random planes, round wells.

Loss along the straight path between two wedges, the connector and the refined one; cosines between
deviations from the chord, for a few wedges and for all subsets of axes; the loss that descent in
random planes reaches, which turns at d = D - n = s; the loss along random directions and the
width of tunnels, beside their closed forms; short axes where wedges meet. H1 to H4, H6 to H8, H10
and H13 are judged on the toy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import entry, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest

from jumpretrain.execution.execution import Execution, spread
from jumpretrain.plots import canvas
from jumpretrain.states.directions import deviation_cosines
from jumpretrain.toys.wedge_crossings import connect, refine, relax, trace
from jumpretrain.toys.wedge_descents import descend, draw_plane
from jumpretrain.toys.wedges import (
    Toy,
    predict_average,
    predict_loss,
    predict_short,
    predict_width,
)

INNER = 10  # interior points, as in figure 3 of the paper
HALF = np.arange(INNER) < INNER // 2
GRID = np.linspace(0, 1, 101)
THRESHOLD = 0.2  # loss at which a tunnel ends
DIRECTIONS = 256
REACHED = 1e-3  # of the loss at the start: a wedge was reached
FEW, MOST = 8, 10  # wedges; m of the largest simplex

WALL = 0.5  # the least barrier, in units of the closed form
REMOVED, FINER = 0.5, 1.0  # the least share removed; halvings of what is left by refinement
SWITCH = 0.9  # the least share of crossings whose bump is in the piece where wedges change
ALONG, ACROSS = 0.5, 0.2  # cosines within a half and across
EDGE = 0.02  # of s, how far from it planes may begin to reach a wedge
ROUND = 0.5  # of log2, how far short directions counted from the spread may be off
SLOPE = 0.05  # how far the power of the width may be from 1/2
TWICE = 1.5  # the least ratio of short axes where two wedges meet
AVERAGE = 0.1  # relative error of the loss at averages
DEEP = 3.0  # the least log10 ratio of losses at a centroid before and after relaxation


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes.

    Attributes:
        dim: Dimensions D.
        short: Short axes s of the main landscape.
        shorts: Short axes of the others.
        seeds: Number of landscapes for each.
        planes: Offsets d - s of the sizes of planes.
    """

    dim: int
    short: int
    shorts: tuple[int, ...]
    seeds: int
    planes: tuple[int, ...]


FULL = Plan(
    1000, 100, (10, 30, 100, 300, 500, 800), 20,
    (-60, -40, -25, -15, -8, -4, -2, -1, 0, 1, 2, 4, 8, 15, 25, 40, 60),
)  # fmt: skip
QUICK = Plan(200, 20, (4, 20, 100), 3, (-15, -8, -4, -1, 0, 1, 4, 8, 15))
Found = dict[str, Any]


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    jobs = [(plan, short, seed) for short in plan.shorts for seed in range(plan.seeds)]
    execution = Execution(n_jobs=1 if asked.quick else asked.jobs)
    found = spread(measured, jobs, execution, "landscapes")
    claims = judged(plan, found)
    return drawn(plan, found, claims), {
        "data": "none; the landscape is a closed form",
        "recipe": "conjugate gradients on L^2 / 2, see jumpretrain.toys.wedge_descents",
        "plan": asdict(plan),
        "wedges": {"few": FEW, "all": "all subsets of axes"},
        "inner": INNER,
        "seeds": list(range(plan.seeds)),
        "claims": claims,
        "landscapes": found,
    }


def measured(plan: Plan, short: int, seed: int) -> Found:
    """Measure one landscape in both forms."""
    found: Found = {"short": short, "seed": seed}
    for name, wedges in (("few", FEW), ("all", None)):
        toy = Toy(plan.dim, short, wedges, seed)
        points = np.random.default_rng((seed, short)).normal(size=(200, plan.dim))
        shown = short == plan.short
        found[name] = {**crossed(toy, points, shown), **widened(toy, points[0], seed)}
        if shown:
            found[name] |= {"planes": planes(plan, toy, points[:1]), "well": well(toy, points[0])}
    if shown:
        found |= met(Toy(plan.dim, short, 2 * FEW, seed), seed)
    return found


def pair(toy: Toy, points: NDArray[np.float64]) -> NDArray[np.float64]:
    optima = toy.project(points)
    here = toy.short_axes(optima)
    return optima[[0, int((here != here[0]).any(axis=1).argmax())]]


def crossed(toy: Toy, points: NDArray[np.float64], shown: bool) -> Found:
    """Cross from one wedge to another: straight, bent, refined."""
    optima = pair(toy, points)
    bent = connect(toy, optima, INNER)
    finer = refine(toy, bent)
    paths = [trace(toy, nodes, each=40) for nodes in (optima, bent, finer)]
    cosines = deviation_cosines(bent)
    tops = paths[1].values("train_loss")[1:].reshape(INNER + 1, -1).max(axis=1)
    both = HALF[:, None] == HALF[None]
    lines = [np.interp(GRID, path.alphas, path.values("train_loss")).round(4) for path in paths]
    return ({"lines": lines, "cosines": cosines.round(4)} if shown else {}) | {
        "barriers": [path.barrier() for path in paths],
        "predicted": predict_average(toy),
        "within": float(cosines[both & ~np.eye(INNER, dtype=bool)].mean()),
        "across": float(cosines[~both].mean()),
        "bump_where_wedges_change": bool(tops.argmax() == np.diag(cosines, 1).argmin() + 1),
        "average": toy.loss(optima.mean(axis=0)[None])[0],
    }


def rays(toy: Toy, point: NDArray[np.float64], share: float, count: int, seed: int = 0) -> Any:
    """Set out from a point at a share of the way from a wedge back to a random point."""
    landed = toy.project(point[None])[0]
    start = landed + share * (point - landed)
    vectors = np.random.default_rng((seed, 3)).normal(size=(count, toy.dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def losses(distances: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([toy.loss(start + distance * vectors) for distance in distances])

    return losses, float(toy.loss(start[None])[0])


def widened(toy: Toy, point: NDArray[np.float64], seed: int) -> Found:
    """Measure how far from a wedge the loss reaches the threshold, along random directions."""
    expected = predict_width(toy, THRESHOLD)
    losses, _ = rays(toy, point, 0.0, DIRECTIONS, seed)
    distances = expected * np.linspace(0, 3, 31)
    table = losses(distances)
    tops = np.maximum.accumulate(table)
    widths = [np.interp(THRESHOLD, top, distances, right=np.inf) for top in tops.T]
    near = table[10]  # at the width expected
    spread_of = float(near.std(ddof=1) / near.mean())
    return {
        "width": float(np.median(widths)),
        "width_predicted": expected,
        "spread": spread_of,
        "short_counted": 1 / (2 * spread_of**2),
    }


def well(toy: Toy, point: NDArray[np.float64]) -> list[Found]:
    rows = []
    for share in (0.0, 0.5):
        losses, begin = rays(toy, point, share, 32)
        reach = np.linspace(0, 10 * predict_width(toy, THRESHOLD), 26)
        table = losses(reach)
        rows.append({
            "start": begin,
            "distances": reach.round(4),
            "mean": table.mean(axis=1).round(4),
            "deviation": table.std(axis=1).round(4),
            "predicted": predict_loss(toy, reach, begin).round(4),
        })
    return rows


def planes(plan: Plan, toy: Toy, start: NDArray[np.float64]) -> list[float]:
    """Descend within random planes of several sizes, to shares of the loss at the start."""
    return [
        float(
            (toy.loss(descend(toy, start, draw_plane(plan.dim, toy.short + more, toy.seed))))[0]
            / toy.loss(start)[0]
        )
        for more in plan.planes
    ]


def met(toy: Toy, seed: int) -> Found:
    """Count short axes where k wedges meet, and relax the centroids of m + 1 optima."""
    points = toy.project(np.random.default_rng((seed, 4)).normal(size=(400, toy.dim)))
    first = np.unique(toy.nearest(points), return_index=True)[1][: MOST + 1]
    optima = points[first]
    unions = np.logical_or.accumulate(toy.short_axes(optima), axis=0).sum(axis=1)
    centres = [np.full((1, m + 1), 1 / (m + 1)) for m in range(1, len(optima))]
    flat = [toy.loss(c @ optima[: c.shape[1]])[0] for c in centres]
    bent = [toy.loss(relax(toy, optima[: c.shape[1]], c))[0] for c in centres]
    return {"short_axes": unions.tolist(), "centroid_flat": flat, "centroid_relaxed": bent}


def judged(plan: Plan, found: Sequence[Found]) -> list[Found]:
    main = [one for one in found if one["short"] == plan.short]
    few, every = ([one[name] for one in main] for name in ("few", "all"))
    barriers = np.array([one["barriers"] for one in few])

    def column(rows: Sequence[Found], name: str) -> NDArray[np.float64]:
        return np.array([row[name] for row in rows], dtype=float)

    edges = np.array([edge(plan, one["planes"]) for one in few])
    off = np.abs(np.log2(column(few, "short_counted") / plan.short))
    slopes = np.array([power(plan, found, "few", seed) for seed in range(plan.seeds)])
    twice = np.array([one["short_axes"][1] for one in main]) / plan.short
    deep = [
        np.log10(np.array(one["centroid_flat"]) / np.maximum(one["centroid_relaxed"], 1e-12)).min()
        for one in main
    ]
    said = (
        ("H1", "the straight line between two wedges has a barrier",
         "barrier over sqrt(s (1 - s / D)) / 2", barriers[:, 0] / column(few, "predicted"), WALL),
        ("H2", "the connector removes half of the barrier or more", "share of the barrier that is "
         "removed", 1 - barriers[:, 1] / barriers[:, 0], REMOVED),
        ("H2", "refinement halves what is left or more", "log2 of the ratio of barriers",
         np.log2(barriers[:, 1] / np.maximum(barriers[:, 2], 1e-9)), FINER),
        ("H3", f"{FEW} wedges: deviations agree within a half", "mean cosine",
         column(few, "within"), ALONG),
        ("H3", f"{FEW} wedges: the cosine across halves is below {ACROSS}",
         f"{ACROSS} minus the mean cosine", ACROSS - column(few, "across"), 0),
        ("H3", f"all subsets: deviations do not agree within a half at s / D = "
         f"{plan.short / plan.dim:g}", f"{ALONG} minus the mean cosine",
         ALONG - column(every, "within"), 0),
        ("H4", "where two wedges meet there are more short axes than on either",
         "ratio of numbers of short axes", twice, TWICE),
        ("H6", "tunnels widen with the square root of D / s",
         f"{SLOPE} minus the distance from 1/2 of the power, fitted over s",
         SLOPE - np.abs(slopes - 0.5), 0),
        ("H7", "descent in random planes reaches a wedge from d = s on",
         f"{EDGE} minus the distance of the first d that does from s, over s",
         EDGE - np.abs(edges - plan.short) / plan.short, 0),
        ("H8", "the spread of the loss over random directions tells the number of short axes",
         f"{ROUND} minus the absolute log2 of 1 / (2 spread^2) over s", ROUND - off, 0),
        ("H10", "the average of points on two wedges has the loss of the closed form",
         f"{AVERAGE} minus the relative error",
         AVERAGE - np.abs(column(few, "average") / column(few, "predicted") - 1), 0),
        ("H13", f"relaxed centroids of 2 to {MOST + 1} optima have no loss left",
         "least log10 over m of the loss before over after", deep, DEEP),
    )  # fmt: skip
    claims = [
        within(f"wedges-{name}", f"toy: {claim}", how, values, smallest)
        for name, claim, how, values, smallest in said
    ]
    share = binomtest(int(column(few, "bump_where_wedges_change").sum()), len(few))
    low, high = share.proportion_ci(method="wilson")
    effect, low = min(share.statistic, high), min(low, share.statistic)
    claim = "toy: the connector's bump is in the piece where the wedge changes"
    how = "share of crossings"
    claims.append(entry("wedges-H2", claim, how, effect, low, high, len(few), SWITCH))
    return claims


def edge(plan: Plan, losses: Sequence[float]) -> float:
    """Find the smallest plane from which all larger ones reached a wedge."""
    held = np.minimum.accumulate((np.array(losses) < REACHED)[::-1])[::-1]
    return float(plan.short + plan.planes[int(held.argmax())]) if held.any() else np.inf


def power(plan: Plan, found: Sequence[Found], form: str, seed: int) -> float:
    rows = [one for one in found if one["seed"] == seed and np.isfinite(one[form]["width"])]
    ratio = np.log([plan.dim / one["short"] for one in rows])
    return float(np.polyfit(ratio, np.log([one[form]["width"] for one in rows]), 1)[0])


FORMS = {"few": f"{FEW} wedges", "all": "all subsets of axes"}
COLOURS = dict(zip(FORMS, canvas.colours(2), strict=True))


def drawn(plan: Plan, found: Sequence[Found], claims: list[Found]) -> Figure:
    figure = canvas.new_figure(18, 9.8)
    panels = figure.subplots(2, 4)
    main = [one for one in found if one["short"] == plan.short]
    _paths(panels[0, 0], plan, main)
    for ax, form in zip(panels[0, 1:3], FORMS, strict=True):
        _cosines(ax, plan, main, form)
    _agreement(panels[0, 3], plan, found)
    _planes(panels[1, 0], plan, main)
    _wells(panels[1, 1], plan, main)
    _widths(panels[1, 2], plan, found)
    _meetings(panels[1, 3], plan, main)
    figure.suptitle(f"{finding(plan, main)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        f"Loss: distance to the nearest wedge; D = {plan.dim}, s = D − n = {plan.short} unless "
        f"said; n = {plan.seeds} landscapes (seeds 0 to {plan.seeds - 1}) for each s, with "
        f"{FEW} random subsets of axes as wedges or all subsets; points of unit normal "
        f"coordinates; {INNER} inner nodes, relaxed normal to the chord; refined: 10 more nodes. "
        f"Thin lines and dots: landscapes, thick lines: medians. Planes: conjugate gradients, at "
        f"most 2000 steps. Directions: {DIRECTIONS} random unit vectors for widths, 32 for wells.",
    )
    return figure


def finding(plan: Plan, main: Sequence[Found]) -> str:
    few, every = ([one[form] for one in main] for form in FORMS)
    left = np.median([np.array(one["barriers"][1:]) / one["barriers"][0] for one in few], axis=0)
    along, alone = (np.mean([one["within"] for one in rows]) for rows in (few, every))
    edges = [edge(plan, one["planes"]) for one in few]
    return (
        f"Connectors leave {left[0]:.0%} of the wall between two wedges, refined ones "
        f"{left[1]:.0%}; deviations agree within a half by {along:.2f} with {FEW} wedges, "
        f"{alone:.2f} with all; random planes reach a wedge from d − s = "
        f"{np.median(edges) - plan.short:.0f} on"
    )


def _paths(ax: Axes, plan: Plan, main: Sequence[Found]) -> None:
    styles = {"straight": "--", "connector": "-", "refined": "-."}
    for place, ((name, dash), colour) in enumerate(
        zip(styles.items(), canvas.colours(3), strict=True)
    ):
        rows = [one["few"]["lines"][place] for one in main]
        for row in rows:
            ax.plot(GRID, row, ls=dash, color=colour, lw=0.6, alpha=0.3)
        ax.plot(GRID, np.median(rows, axis=0), ls=dash, color=colour, lw=2.4, label=name)
    expected = predict_average(Toy(plan.dim, plan.short, None))
    ax.axhline(expected, color="0.4", ls=":", lw=1.2, label="sqrt(s (1 − s/D)) / 2")
    ax.set_xlabel("alpha, share of the way between the optima (1)")
    ax.set_ylabel("loss (distance to a wedge)")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.45 * max(np.max(one["few"]["lines"][0]) for one in main))
    ax.legend(fontsize=9, frameon=False, ncols=2, loc="upper center")
    tops = np.median([one["few"]["barriers"] for one in main], axis=0)
    canvas.title(
        ax,
        f"barrier {tops[0]:.2g} straight, {tops[1]:.2g} on the connector, {tops[2]:.2g} refined",
    )


def _cosines(ax: Axes, plan: Plan, main: Sequence[Found], form: str) -> None:
    mean = np.mean([one[form]["cosines"] for one in main], axis=0)
    drawn = ax.imshow(mean, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower")
    ax.figure.colorbar(drawn, ax=ax, label="cosine (1), mean", shrink=0.8)
    ticks = range(0, INNER, 3)
    ax.set_xticks(ticks, [str(k + 1) for k in ticks])
    ax.set_yticks(ticks, [str(k + 1) for k in ticks])
    ax.set_xlabel("node, from the first optimum")
    ax.set_ylabel("node")
    along, across = (np.mean([one[form][name] for one in main]) for name in ("within", "across"))
    canvas.title(
        ax, f"{FORMS[form]}: deviations agree by {along:.2f} within a half, {across:.2f} across"
    )


def _agreement(ax: Axes, plan: Plan, found: Sequence[Found]) -> None:
    for form, colour in COLOURS.items():
        for name, mark, dash in (("within", "o", "-"), ("across", "s", "--")):
            means = [_mean(found, short, form, name) for short in plan.shorts]
            ax.plot(
                np.array(plan.shorts) / plan.dim, means, marker=mark, ls=dash, color=colour, ms=6,
                label=f"{FORMS[form]}, {name if name == 'across' else 'within a half'}",
            )  # fmt: skip
    ax.set_xscale("log")
    canvas.plain(ax.xaxis)
    ax.set_xlabel("share of short axes s / D (1)")
    ax.set_ylabel("cosine of deviations (1), mean")
    ax.set_ylim(-0.05, 1.45)
    ax.legend(fontsize=8, frameon=False, loc="upper left")
    ends = [
        f"{_mean(found, short, 'all', 'within'):.2f} at s / D = {short / plan.dim:g}"
        for short in (plan.shorts[0], plan.shorts[-1])
    ]
    canvas.title(ax, f"with all subsets, deviations agree within a half by {' and '.join(ends)}")


def _mean(found: Sequence[Found], short: int, form: str, name: str) -> float:
    return float(np.mean([one[form][name] for one in found if one["short"] == short]))


def _planes(ax: Axes, plan: Plan, main: Sequence[Found]) -> None:
    for form, dash in (("few", "-"), ("all", "--")):
        rows = np.maximum([one[form]["planes"] for one in main], 1e-12)
        for row in rows:
            ax.plot(plan.planes, row, ls=dash, color=COLOURS[form], lw=0.6, alpha=0.3)
        middle = np.median(rows, axis=0)
        ax.plot(plan.planes, middle, ls=dash, color=COLOURS[form], lw=2.4, label=FORMS[form])
    ax.axvline(0, color="0.4", ls=":", lw=1.2, label="d = s")
    ax.set_yscale("log")
    ax.set_xlabel("d − s, dimensions of the plane beyond s")
    ax.set_ylabel("loss at the end (share of the start's)")
    ax.legend(fontsize=8, frameon=False, loc="center left")
    edges = [np.median([edge(plan, one[f]["planes"]) for one in main]) for f in FORMS]
    canvas.title(
        ax,
        f"descent in random planes reaches a wedge from d − s = {edges[0] - plan.short:.0f} on "
        f"({FEW} wedges), {edges[1] - plan.short:.0f} on (all)",
    )


def _wells(ax: Axes, plan: Plan, main: Sequence[Found]) -> None:
    for form, dash in (("few", "-"), ("all", "--")):
        for place in (0, 1):
            row = main[0][form]["well"][place]
            ax.plot(row["distances"], row["mean"], ls=dash, color=COLOURS[form], lw=2,
                    label=FORMS[form] if place == 0 else None)  # fmt: skip
            low, high = row["mean"] - row["deviation"], row["mean"] + row["deviation"]
            ax.fill_between(row["distances"], low, high, color=COLOURS[form], alpha=0.2, lw=0)
            ax.plot(row["distances"], row["predicted"], color="0.3", ls=":", lw=1.4)
    ax.plot([], [], color="0.3", ls=":", lw=1.4, label="sqrt(L0² + a² s/D)")
    ax.set_xlabel("distance a along random directions")
    ax.set_ylabel("loss; band: one standard deviation")
    ax.legend(fontsize=9, frameon=False)
    spreads = np.median([one["few"]["spread"] for one in main])
    canvas.title(
        ax,
        f"loss along random directions from two heights (seed 0); spread {spreads:.1%}, "
        f"1 / sqrt(2s) = {1 / np.sqrt(2 * plan.short):.1%}",
    )


def _widths(ax: Axes, plan: Plan, found: Sequence[Found]) -> None:
    ratio = plan.dim / np.array(plan.shorts)
    for form, mark in (("few", "o"), ("all", "s")):
        for one in found:
            ax.plot(plan.dim / one["short"], one[form]["width"], mark, color=COLOURS[form], ms=5,
                    alpha=0.5, mew=0)  # fmt: skip
        ax.plot([], [], mark, color=COLOURS[form], label=FORMS[form])
    ax.plot(ratio, THRESHOLD * np.sqrt(ratio), color="0.3", ls=":", label="L* sqrt(D/s)")
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("log")
        canvas.plain(axis)
    ax.set_xlabel("D / s (1)")
    ax.set_ylabel(f"distance at which the loss is {THRESHOLD}")
    ax.legend(fontsize=9, frameon=False)
    slope = np.mean([power(plan, found, "few", seed) for seed in range(plan.seeds)])
    wide = [one["short"] for one in found if not np.isfinite(one["all"]["width"])]
    beyond = (
        f"; with all, over 3 times as wide for s up to {max(wide)} (not drawn)" if wide else ""
    )
    canvas.title(ax, f"width of tunnels: power {slope:.2f} of D / s with {FEW} wedges{beyond}")


def _meetings(ax: Axes, plan: Plan, main: Sequence[Found]) -> None:
    counts = np.arange(1, MOST + 2)
    for one in main:
        ax.plot(counts[: len(one["short_axes"])], one["short_axes"], "o", color=COLOURS["few"],
                ms=5, alpha=0.5, mew=0)  # fmt: skip
    toy = Toy(plan.dim, plan.short, None)
    expected = [predict_short(toy, int(count)) for count in counts]
    ax.plot(counts, expected, color="0.3", ls=":", label="D (1 − (1 − s/D)^k)")
    ax.plot([], [], "o", color=COLOURS["few"], label="random wedges")
    ax.set_xlabel("number k of wedges that meet")
    ax.set_ylabel("short axes in common")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=9, frameon=False, loc="lower right")
    twice = np.median([one["short_axes"][1] for one in main]) / plan.short
    canvas.title(ax, f"where two wedges meet, {twice:.2f} times as many axes are short")
