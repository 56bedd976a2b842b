"""Weight decay and the shape of the linear path: arXiv:2106.16004 (H7, H8).

Loss from initialisation to trained network for six weight decays; with BatchNorm statistics that
are interpolated (as the paper's curves must be) and re-estimated; whether the barrier or the place
of the fall says how well a network does; how both change with weight decay. Three barriers are
judged: with so few images the test loss rises again before alpha is 1, which counts as a rise
above what was reached and hides a barrier above both ends; the training loss does neither. After a
review, having seen the numbers, title and scatter took the barrier above both ends instead of the
rise above what was reached, and correlations at equal weight decay those of ranks within each
weight decay instead of ranks over all with the means of each taken out.
"""

import math
from dataclasses import asdict
from itertools import product

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import over
from evidence.figure import Flags, Made
from evidence.judging import correlated, entry, within
from evidence.rows import Row, Rows, about
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.vlaar import networks as vlaar

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import Correlation, partial_spearman, spearman

DECAYS = (0.0, 1e-3, 3e-3, vlaar.DECAY, 2e-2, 3e-2)
PREDICTS = 0.5  # a correlation of this size or more would say something of a network's accuracy
SMALLEST_TREND, SMALLEST_DELAY = 0.2, 0.1  # a correlation; of the fall, in alpha
SHOWN = "above_ends"  # the barrier of title and scatter: the paper's are hills between the ends
SHORT = {vlaar.BARRIER: "the barrier", SHOWN: "the barrier above both ends"}
SHORT |= {"train_rise": "the barrier of the training loss", "half": "the place of the fall"}
LITTLE = f"{SHORT[SHOWN]} (stored) says little"  # of accuracy: over all, at equal weight decay
JUDGED = [("stored", measure) for measure in SHORT]
JUDGED += [("recalibrate", vlaar.BARRIER), ("recalibrate", "half")]
CLIFF = f"at weight decay {vlaar.DECAY:g} the fall is late only where BatchNorm statistics are "
CLIFF += "interpolated"
LINES = (
    ("stored.test_loss", "test loss, BatchNorm statistics interpolated"),
    ("stored.train_loss", "training loss, BatchNorm statistics interpolated"),
    ("recalibrate.test_loss", "test loss, statistics re-estimated at each state"),
)
BARRIERS = (
    (vlaar.BARRIER, "#0072B2", "o", "test loss, above what was reached"),
    (SHOWN, "#56B4E9", "s", "test loss, above both ends"),
    ("train_rise", "#D55E00", "^", "training loss, above what was reached"),
)


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    decays = (DECAYS[0], vlaar.DECAY, DECAYS[-1]) if asked.quick else DECAYS
    jobs = [(asked, data["base"], *pair) for pair in product(decays, vlaar.seeds(asked))]
    rows = over(asked, measured, jobs, f"{len(jobs)} networks")
    table = vlaar.tabled(rows)
    claims = judged(table)
    return drawn(table, claims, vlaar.describe(data)), {
        "data": list(data["base"].history),
        "recipe": asdict(vlaar.recipe(asked.quick, 0.0)),
        "weight_decays": decays,
        "seeds": list(vlaar.seeds(asked)),
        "barrier_shown": SHOWN,
        "claims": claims,
        "networks": rows,
    }


def measured(asked: Flags, data: jr.Dataset, weight_decay: float, seed: int) -> Row:
    net = vlaar.standard(asked, data, weight_decay, seed)
    name = f"standard-{weight_decay:g}-{seed}"
    found = {}
    for policy in vlaar.POLICIES:
        path = vlaar.path(asked, data, name, net.start, net.end, policy=policy)
        found[policy] = vlaar.facts(path) | {"train_loss": path.values("train_loss").round(5)}
    moved = jr.weight_distance(vlaar.task(data), net.start, net.end)
    reached = {"accuracy": net.accuracy, "accuracy_recalibrated": net.recalibrated}
    reached |= {"train_accuracy": net.train_accuracy, "relative_distance": moved.relative}
    return {"weight_decay": weight_decay, "seed": seed, **reached, **found}


def judged(table: pd.DataFrame) -> Rows:
    decay, accuracy, n = table["weight_decay"].to_numpy(), table["accuracy"], len(table)
    groups = (decay[:, None] == np.unique(decay)[1:]).astype(float)
    inner, claims = table.groupby("weight_decay"), []
    for policy, measure in JUDGED:
        column, what = f"{policy}.{measure}", f"{SHORT[measure]} ({policy}) says little of"
        over = spearman(table[column], accuracy)
        inside = partial_spearman(inner[column].rank(), inner["accuracy"].rank(), groups)
        verb, way = ("comes later", 1) if measure == "half" else ("falls", -1)
        trend = f"{SHORT[measure]} {verb} with weight decay ({policy})", "Spearman's rho"
        found = spearman(decay, table[column]), n, SMALLEST_TREND, way
        claims.append(weak(f"{what} accuracy, over all weight decays", over, n))
        claims.append(weak(f"{what} accuracy, at equal weight decay", inside, n))
        claims.append(correlated("interpolation-H8", *trend, *found))
    base = table[table["weight_decay"] == vlaar.DECAY]
    late = base["stored.half"] - base["recalibrate.half"]
    statistic = "alpha of the half fall, stored minus re-estimated"
    return [*claims, within("interpolation-H8", CLIFF, statistic, late, SMALLEST_DELAY)]


def weak(claim: str, found: Correlation, n: int) -> Row:
    """Judge that a correlation is small: what is left of the least size that would say much."""
    sizes = sorted((abs(found.low), abs(found.high)))
    least = 0.0 if found.low <= 0 <= found.high else sizes[0]
    statistic = f"{PREDICTS} minus the size of Spearman's rho with test accuracy"
    effect, low, high = (PREDICTS - size for size in (abs(found.rho), sizes[1], least))
    claim_ = entry("interpolation-H7", claim, statistic, effect, low, high, n, 0.0)
    rho, *ends = (x if math.isfinite(x) else None for x in (found.rho, found.low, found.high))
    return claim_ | {"rho": rho, "rho_interval": ends}


def drawn(table: pd.DataFrame, claims: Rows, what: str) -> Figure:
    groups = table.groupby("weight_decay")
    ramp = colormaps["viridis"](np.linspace(0, 0.92, groups.ngroups))
    figure = Figure(figsize=(14, 8.2), layout="constrained")
    upper, (scatter, heights, places) = figure.subplots(2, 3)
    for ax, (column, title) in zip(upper, LINES, strict=True):
        for (decay, rows), colour in zip(groups, ramp, strict=True):
            vlaar.curves(ax, rows[column].tolist(), colour, f"{decay:g}")
        ax.axhline(vlaar.CHANCE, color="0.4", lw=1, ls=":")
        up = f"{title.partition(',')[0]} (nats)"
        panels.label(ax, "α, from initialisation (0) to trained (1)", up, title)
    upper[1].legend(title="weight decay", fontsize=8, title_fontsize=8, frameon=False, ncols=2)
    for (_, rows), colour in zip(groups, ramp, strict=True):
        place = rows[f"stored.{SHOWN}"], 100 * rows["accuracy"]
        scatter.plot(*place, "o", color=colour, mec="white")
    over, inside = map(shown, about(claims, LITTLE))
    title = "barrier above both ends and accuracy, colours as above\n"
    sides = "test loss above both ends, interpolated statistics (nats)", "test accuracy (%)"
    panels.label(scatter, *sides, f"{title}ρ {over}; within each decay {inside}")
    for measure, *style in BARRIERS:
        moves(heights, table, f"stored.{measure}", *style)
    heights.set_ylim(top=1.45 * heights.get_ylim()[1])  # leaves room for the legend
    moves(places, table, "stored.half", "#0072B2", "o", "statistics interpolated")
    moves(places, table, "recalibrate.half", "#D55E00", "s", "statistics re-estimated")
    places.set_ylim(0, 1.03)
    step = 1 / (len(table["stored.test_loss"].iloc[0]) - 1)
    falls = f"where the training loss is half way down (steps of {step:g})"
    for ax in (heights, places):
        ax.set_xticks(range(groups.ngroups), [f"{decay:g}" for decay in groups.groups])
    barriers = "barrier (nats)", "barriers, statistics interpolated"
    panels.label(heights, "weight decay", *barriers, fontsize=8)
    panels.label(places, "weight decay", "α of the half fall", falls, fontsize=8)
    count = table["seed"].nunique()
    note = f"n = {len(table)} networks ({count} seeds each): {what}; thin: networks, thick: means"
    return vlaar.framed(figure, headline(claims, table), note, claims)


def moves(ax: Axes, table: pd.DataFrame, column: str, colour: str, mark: str, label: str) -> None:
    places = table["weight_decay"].rank(method="dense") - 1
    ax.plot(places, table[column], mark, color=colour, ms=4, alpha=0.4, mec="none")
    means = table.groupby("weight_decay")[column].mean()
    ax.plot(means.to_numpy(), mark + "-", color=colour, label=label)


def shown(claim: Row) -> str:
    if claim["effect"] is None:
        return "unknown"
    low, high = claim["rho_interval"]
    return f"{claim['rho']:+.2f} [{low:+.2f}, {high:+.2f}]"


def headline(claims: Rows, table: pd.DataFrame) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}
    over, inside = (claim["verdict"] for claim in about(claims, LITTLE))
    falls = "falls with weight decay (stored)"
    lowers = {measure: verdicts[f"{SHORT[measure]} {falls}"] for measure, *_ in BARRIERS}
    means = table.groupby("weight_decay")[f"stored.{SHOWN}"].mean()
    decays = 0.0, vlaar.DECAY, means.index.max()
    heights = "; ".join(f"{means[decay]:.2f} nats at {decay:g}" for decay in decays)
    later = "the place of the fall comes later with weight decay (stored)"
    return (
        f"The barrier above both ends says little of accuracy: {over} over all weight decays, "
        f"{inside} at equal weight decay;\nweight decay lowers it ({heights}): {lowers[SHOWN]}, "
        f"the rise above what was reached: {lowers[vlaar.BARRIER]}, that of the training loss: "
        f"{lowers['train_rise']};\nit delays the fall: {verdicts[later]}, which is late only with "
        f"interpolated BatchNorm statistics: {verdicts[CLIFF]}"
    )
