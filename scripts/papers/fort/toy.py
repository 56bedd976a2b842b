"""The wedge toy of arXiv:1906.04724, section 3: crossings, random planes, round wells.

Loss along the straight path between two wedges, the connector and the refined one; cosines between
deviations from the chord, for a few wedges and for all subsets of axes; the loss that descent in
random planes reaches, which turns at d = D - n = s; the loss along random directions and the
width of tunnels, beside their closed forms; short axes where wedges meet. H1 to H4, H6 to H8, H10
and H13 are judged on the toy.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from evidence.cells import over
from evidence.figure import Flags, Made
from evidence.panels import head, label, lines, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import INNER, Found, Rows, Values, column

from jumpretrain.plots import canvas
from jumpretrain.states.directions import deviation_cosines
from jumpretrain.toys import wedge_crossings as crossings
from jumpretrain.toys import wedges
from jumpretrain.toys.wedge_descents import descend, draw_plane
from jumpretrain.toys.wedges import Toy

HALF = np.arange(INNER) < INNER // 2
GRID = np.linspace(0, 1, 101)
THRESHOLD = 0.2  # loss at which a tunnel ends
DIRECTIONS = 256
REACHED = 1e-3  # of the loss at the start: a wedge was reached
FEW, MOST = 8, 10  # wedges; m of the largest simplex
ALONG, ACROSS = 0.5, 0.2  # cosines within a half and across
EDGE = 0.02  # of s, how far from it planes may begin to reach a wedge
ROUND = 0.5  # of log2, how far short directions counted from the spread may be off
SLOPE = 0.05  # how far the power of the width may be from 1/2
AVERAGE = 0.1  # relative error of the loss at averages


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes."""

    dim: int  # D
    short: int  # short axes s of the main landscapes
    shorts: tuple[int, ...]  # and of all
    seeds: int  # landscapes for each s
    planes: tuple[int, ...]  # offsets d - s of the sizes of planes


FULL = Plan(
    1000, 100, (10, 30, 100, 300, 500, 800), 20,
    (-60, -40, -25, -15, -8, -4, -2, -1, 0, 1, 2, 4, 8, 15, 25, 40, 60),
)  # fmt: skip
QUICK = Plan(200, 20, (4, 20, 100), 3, (-15, -8, -4, -1, 0, 1, 4, 8, 15))
FORMS = {"few": f"{FEW} wedges", "all": "all subsets of axes"}
COLOURS = dict(zip(FORMS, canvas.colours(2), strict=True))
DASHES = {"few": "-", "all": "--"}


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    jobs = [(plan, short, seed) for short in plan.shorts for seed in range(plan.seeds)]
    found = over(asked, measured, jobs, "landscapes")
    main = [one for one in found if one["short"] == plan.short]
    claims = judged(plan, found, main)
    figure = sheet((18, 9.8), (2, 4), [
        (_paths, plan, main), *((_cosines, main, form) for form in FORMS),
        (_agreement, plan, found), (_planes, plan, main), (_wells, plan, main),
        (_widths, plan, found), (_meetings, plan, main),
    ])  # fmt: skip
    note = (
        f"Loss: distance to the nearest wedge; D = {plan.dim}, s = D − n = {plan.short} unless "
        f"said; n = {plan.seeds} landscapes (seeds 0 to {plan.seeds - 1}) for each s, with "
        f"{FEW} random subsets of axes as wedges or all subsets; points of unit normal "
        f"coordinates; {INNER} inner nodes, relaxed normal to the chord; refined: 10 more nodes. "
        f"Thin lines and dots: landscapes, thick lines: medians. Planes: conjugate gradients, at "
        f"most 2000 steps. Directions: {DIRECTIONS} random unit vectors for widths, 32 for wells."
    )
    head(figure, finding(plan, main), claims, note)
    facts = {"plan": asdict(plan), "seeds": list(range(plan.seeds)), "inner": INNER}
    return figure, facts | {
        "data": "none; the landscape is a closed form",
        "recipe": "conjugate gradients on L^2 / 2, see jumpretrain.toys.wedge_descents",
        "wedges": {"few": FEW, "all": "all subsets of axes"},
        "claims": claims,
        "landscapes": found,
    }


def measured(plan: Plan, short: int, seed: int) -> Found:
    """Measure one landscape in both forms."""
    found: Found = {"short": short, "seed": seed}
    for name, count in (("few", FEW), ("all", None)):
        toy = Toy(plan.dim, short, count, seed)
        points = np.random.default_rng((seed, short)).normal(size=(200, plan.dim))
        shown = short == plan.short
        found[name] = {**crossed(toy, points, shown), **widened(toy, points[0], seed)}
        if shown:
            found[name] |= {"planes": planes(plan, toy, points[:1]), "well": well(toy, points[0])}
    if shown:
        found |= met(Toy(plan.dim, short, 2 * FEW, seed))
    return found


def crossed(toy: Toy, points: Values, shown: bool) -> Found:
    """Cross from one wedge to another: straight, bent, refined."""
    landed = toy.project(points)
    axes = toy.short_axes(landed)
    optima = landed[[0, int((axes != axes[0]).any(axis=1).argmax())]]
    bent = crossings.connect(toy, optima, INNER)
    finer = crossings.refine(toy, bent)
    paths = [crossings.trace(toy, nodes, each=40) for nodes in (optima, bent, finer)]
    cosines = deviation_cosines(bent)
    tops = paths[1].values("train_loss")[1:].reshape(INNER + 1, -1).max(axis=1)
    both = HALF[:, None] == HALF[None]
    lines = [np.interp(GRID, path.alphas, path.values("train_loss")).round(4) for path in paths]
    return ({"lines": lines, "cosines": cosines.round(4)} if shown else {}) | {
        "barriers": [path.barrier() for path in paths],
        "predicted": wedges.predict_average(toy),
        "within": float(cosines[both & ~np.eye(INNER, dtype=bool)].mean()),
        "across": float(cosines[~both].mean()),
        "bump_where_wedges_change": bool(tops.argmax() == np.diag(cosines, 1).argmin() + 1),
        "average": toy.loss(optima.mean(axis=0)[None])[0],
    }


def spun(toy: Toy, start: Values, distances: Values, count: int, seed: int = 0) -> Values:
    """Score points at distances from a start, in random directions (distances, directions)."""
    vectors = np.random.default_rng((seed, 3)).normal(size=(count, toy.dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.array([toy.loss(start + distance * vectors) for distance in distances])


def widened(toy: Toy, point: Values, seed: int) -> Found:
    """Measure how far from a wedge the loss reaches the threshold, along random directions."""
    expected = wedges.predict_width(toy, THRESHOLD)
    distances = expected * np.linspace(0, 3, 31)
    table = spun(toy, toy.project(point[None])[0], distances, DIRECTIONS, seed)
    tops = np.maximum.accumulate(table)
    widths = [np.interp(THRESHOLD, top, distances, right=np.inf) for top in tops.T]
    near = table[10]  # at the width expected
    spread_of = float(near.std(ddof=1) / near.mean())
    found = {"width": float(np.median(widths)), "width_predicted": expected}
    return found | {"spread": spread_of, "short_counted": 1 / (2 * spread_of**2)}


def well(toy: Toy, point: Values) -> list[Found]:
    """Leave a wedge, and the point halfway from it back to a random one."""
    reach = np.linspace(0, 10 * wedges.predict_width(toy, THRESHOLD), 26)
    landed, rows = toy.project(point[None])[0], []
    for share in (0.0, 0.5):
        start = landed + share * (point - landed)
        table, begin = spun(toy, start, reach, 32), float(toy.loss(start[None])[0])
        mean, deviation = table.mean(axis=1).round(4), table.std(axis=1).round(4)
        row = {"start": begin, "distances": reach.round(4), "mean": mean, "deviation": deviation}
        rows.append(row | {"predicted": wedges.predict_loss(toy, reach, begin).round(4)})
    return rows


def planes(plan: Plan, toy: Toy, start: Values) -> list[float]:
    """Descend within random planes of several sizes, to shares of the loss at the start."""
    held = (draw_plane(plan.dim, toy.short + more, toy.seed) for more in plan.planes)
    ends = [descend(toy, start, plane) for plane in held]
    return [float(toy.loss(end)[0] / toy.loss(start)[0]) for end in ends]


def met(toy: Toy) -> Found:
    """Count short axes where k wedges meet, and relax the centroids of m + 1 optima."""
    points = toy.project(np.random.default_rng((toy.seed, 4)).normal(size=(400, toy.dim)))
    first = np.unique(toy.nearest(points), return_index=True)[1][: MOST + 1]
    optima = points[first]
    unions = np.logical_or.accumulate(toy.short_axes(optima), axis=0).sum(axis=1)
    centres = [np.full((1, m + 1), 1 / (m + 1)) for m in range(1, len(optima))]
    flat = [toy.loss(c @ optima[: c.shape[1]])[0] for c in centres]
    bent = [toy.loss(crossings.relax(toy, optima[: c.shape[1]], c))[0] for c in centres]
    return {"short_axes": unions.tolist(), "centroid_flat": flat, "centroid_relaxed": bent}


def edges(plan: Plan, main: Rows, form: str) -> Values:
    """Find the smallest planes from which all larger ones reached a wedge."""
    reached = column(main, form, "planes") < REACHED
    held = np.logical_and.accumulate(reached[:, ::-1], axis=1)[:, ::-1]
    first = np.array(plan.planes)[held.argmax(axis=1)]
    return np.where(held.any(axis=1), plan.short + first, np.inf)


def powers(plan: Plan, found: Rows) -> Values:
    """Fit the log width over log D / s, with few wedges, seed by seed."""
    slopes = []
    for seed in range(plan.seeds):
        rows = [one for one in found if one["seed"] == seed and np.isfinite(one["few"]["width"])]
        ratio = np.log([plan.dim / one["short"] for one in rows])
        slopes.append(np.polyfit(ratio, np.log(column(rows, "few", "width")), 1)[0])
    return np.array(slopes)


def judged(plan: Plan, found: Rows, main: Rows) -> list[Found]:
    few, barriers = [one["few"] for one in main], column(main, "few", "barriers")
    predicted, share = column(few, "predicted"), plan.short / plan.dim
    off = np.abs(np.log2(column(few, "short_counted") / plan.short))
    centres = ((np.array(one["centroid_flat"]), one["centroid_relaxed"]) for one in main)
    deep = [np.log10(flat / np.maximum(bent, 1e-12)).min() for flat, bent in centres]
    said = (
        ("H1", "the straight line between two wedges has a barrier",
         "barrier over sqrt(s (1 - s / D)) / 2", barriers[:, 0] / predicted, 0.5),
        ("H2", "the connector removes half of the barrier or more", "share of the barrier that is "
         "removed", 1 - barriers[:, 1] / barriers[:, 0], 0.5),
        ("H2", "refinement halves what is left or more", "log2 of the ratio of barriers",
         np.log2(barriers[:, 1] / np.maximum(barriers[:, 2], 1e-9)), 1.0),
        ("H3", f"{FEW} wedges: deviations agree within a half", "mean cosine",
         column(few, "within"), ALONG),
        ("H3", f"{FEW} wedges: the cosine across halves is below {ACROSS}",
         f"{ACROSS} minus the mean cosine", ACROSS - column(few, "across"), 0),
        ("H3", f"all subsets: deviations do not agree within a half at s / D = {share:g}",
         f"{ALONG} minus the mean cosine", ALONG - column(main, "all", "within"), 0),
        ("H4", "where two wedges meet there are more short axes than on either",
         "ratio of numbers of short axes", column(main, "short_axes", 1) / plan.short, 1.5),
        ("H6", "tunnels widen with the square root of D / s",
         f"{SLOPE} minus the distance from 1/2 of the power, fitted over s",
         SLOPE - np.abs(powers(plan, found) - 0.5), 0),
        ("H7", "descent in random planes reaches a wedge from d = s on",
         f"{EDGE} minus the distance of the first d that does from s, over s",
         EDGE - np.abs(edges(plan, main, "few") - plan.short) / plan.short, 0),
        ("H8", "the spread of the loss over random directions tells the number of short axes",
         f"{ROUND} minus the absolute log2 of 1 / (2 spread^2) over s", ROUND - off, 0),
        ("H10", "the average of points on two wedges has the loss of the closed form",
         f"{AVERAGE} minus the relative error",
         AVERAGE - np.abs(column(few, "average") / predicted - 1), 0),
        ("H13", f"relaxed centroids of 2 to {MOST + 1} optima have no loss left",
         "least log10 over m of the loss before over after", deep, 3.0),
    )  # fmt: skip
    bump = "toy: the connector's bump is in the piece where the wedge changes"
    holds = column(few, "bump_where_wedges_change")
    share = fort.judge_share(bump, "share of crossings", holds, 0.9)
    return [*fort.judge("toy: ", said), share]


def finding(plan: Plan, main: Rows) -> str:
    barriers = column(main, "few", "barriers")
    left = np.median(barriers[:, 1:] / barriers[:, :1], axis=0)
    along, alone = (np.mean(column(main, form, "within")) for form in FORMS)
    beyond = np.median(edges(plan, main, "few")) - plan.short
    return (
        f"Connectors leave {left[0]:.0%} of the wall between two wedges, refined ones "
        f"{left[1]:.0%}; deviations agree within a half by {along:.2f} with {FEW} wedges, "
        f"{alone:.2f} with all; random planes reach a wedge from d − s = {beyond:.0f} on"
    )


def _paths(ax: Axes, plan: Plan, main: Rows) -> None:
    styles = {"straight": "--", "connector": "-", "refined": "-."}
    heights = column(main, "few", "lines")
    for place, (name, dash) in enumerate(styles.items()):
        lines(ax, GRID, heights[:, place], canvas.colours(3)[place], name, np.median, dash)
    expected = wedges.predict_average(Toy(plan.dim, plan.short, None))
    ax.axhline(expected, color="0.4", ls=":", lw=1.2, label="sqrt(s (1 − s/D)) / 2")
    flat, bent, finer = np.median(column(main, "few", "barriers"), axis=0)
    title = f"barrier {flat:.2g} straight, {bent:.2g} on the connector, {finer:.2g} refined"
    across, up = "alpha, share of the way between the optima (1)", "loss (distance to a wedge)"
    limits = {"xlim": (0, 1), "ylim": (0, 1.45 * heights[:, 0].max())}
    label(ax, across, up, title, limits=limits, ncols=2, loc="upper center")


def _cosines(ax: Axes, main: Rows, form: str) -> None:
    along, across = (np.mean(column(main, form, name)) for name in ("within", "across"))
    title = f"{FORMS[form]}: deviations agree by {along:.2f} within a half, {across:.2f} across"
    fort.show_cosines(ax, column(main, form, "cosines"), "mean", 0.8, title)


def _agreement(ax: Axes, plan: Plan, found: Rows) -> None:
    shares = np.array(plan.shorts) / plan.dim
    rows = pd.json_normalize(found).groupby("short")
    for form, colour in COLOURS.items():
        for name, words, style in (("within", "within a half", "o-"), ("across", "across", "s--")):
            mean, said = rows[f"{form}.{name}"].mean(), f"{FORMS[form]}, {words}"
            ax.plot(shares, mean, style, color=colour, label=said)
    alone = rows["all.within"].mean()
    ends = [f"{alone.iloc[k]:.2f} at s / D = {shares[k]:g}" for k in (0, -1)]
    title = f"with all subsets, deviations agree within a half by {' and '.join(ends)}"
    across, up = "share of short axes s / D (1)", "cosine of deviations (1), mean"
    limits = {"ylim": (-0.05, 1.45)}
    label(ax, across, up, title, "x", limits, fontsize=8, loc="upper left")


def _planes(ax: Axes, plan: Plan, main: Rows) -> None:
    for form, dash in DASHES.items():
        rows = np.maximum(column(main, form, "planes"), 1e-12)
        lines(ax, plan.planes, rows, COLOURS[form], FORMS[form], np.median, dash)
    ax.axvline(0, color="0.4", ls=":", lw=1.2, label="d = s")
    few, every = (np.median(edges(plan, main, form)) - plan.short for form in FORMS)
    label(
        ax, "d − s, dimensions of the plane beyond s", "loss at the end (share of the start's)",
        f"descent in random planes reaches a wedge from d − s = {few:.0f} on ({FEW} wedges), "
        f"{every:.0f} on (all)", limits={"yscale": "log"}, fontsize=8, loc="center left",
    )  # fmt: skip


def _wells(ax: Axes, plan: Plan, main: Rows) -> None:
    for form, dash in DASHES.items():
        for row, name in zip(main[0][form]["well"], (FORMS[form], None), strict=True):
            reach, mean, deviation = row["distances"], row["mean"], row["deviation"]
            ax.plot(reach, mean, dash, color=COLOURS[form], lw=2, label=name)
            ends = mean - deviation, mean + deviation
            ax.fill_between(reach, *ends, color=COLOURS[form], alpha=0.2, lw=0)
            ax.plot(reach, row["predicted"], color="0.3", ls=":", lw=1.4)
    ax.plot([], [], color="0.3", ls=":", lw=1.4, label="sqrt(L0² + a² s/D)")
    spreads = np.median(column(main, "few", "spread"))
    label(
        ax, "distance a along random directions", "loss; band: one standard deviation",
        f"loss along random directions from two heights (seed 0); spread {spreads:.1%}, "
        f"1 / sqrt(2s) = {1 / np.sqrt(2 * plan.short):.1%}",
    )  # fmt: skip


def _widths(ax: Axes, plan: Plan, found: Rows) -> None:
    ratio = plan.dim / column(found, "short")
    for form, mark in (("few", "o"), ("all", "s")):
        look = {"color": COLOURS[form], "label": FORMS[form], "ms": 5, "alpha": 0.5, "mew": 0}
        ax.plot(ratio, column(found, form, "width"), mark, **look)
    ends = np.sort(ratio)[[0, -1]]
    ax.plot(ends, THRESHOLD * np.sqrt(ends), color="0.3", ls=":", label="L* sqrt(D/s)")
    wide = [one["short"] for one in found if not np.isfinite(one["all"]["width"])]
    beyond = f"; with all, over 3 times as wide for s up to {max(wide, default=0)} (not drawn)"
    label(
        ax, "D / s (1)", f"distance at which the loss is {THRESHOLD}",
        f"width of tunnels: power {powers(plan, found).mean():.2f} of D / s with {FEW} wedges"
        f"{beyond if wide else ''}", "xy",
    )  # fmt: skip


def _meetings(ax: Axes, plan: Plan, main: Rows) -> None:
    counts = np.arange(1, MOST + 2)
    axes = pd.DataFrame(column(main, "short_axes"))
    look = {"color": COLOURS["few"], "ms": 5, "mew": 0, "alpha": 0.5}
    ax.plot(counts, axes.T, "o", label=["random wedges", *["_"] * (len(main) - 1)], **look)
    toy = Toy(plan.dim, plan.short, None)
    expected = [wedges.predict_short(toy, int(count)) for count in counts]
    ax.plot(counts, expected, color="0.3", ls=":", label="D (1 − (1 − s/D)^k)")
    twice = np.median(column(main, "short_axes", 1)) / plan.short
    title = f"where two wedges meet, {twice:.2f} times as many axes are short"
    look = {"limits": {"ylim": (0, None)}, "loc": "lower right"}
    label(ax, "number k of wedges that meet", "short axes in common", title, **look)
