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

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.jobs import over
from evidence.judging import entry, within
from evidence.rows import Row, Rows, about
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.vlaar import networks as vlaar

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import Correlation, partial_spearman, spearman

DECAYS = (0.0, 1e-3, 3e-3, vlaar.DECAY, 2e-2, 3e-2)
PREDICTS = 0.5  # a correlation of this size or more would say something of a network's accuracy
SMALLEST_TREND = 0.2
SMALLEST_DELAY = 0.1  # of the fall, in alpha
SHOWN = "above_ends"
"""The barrier of title and scatter: the paper's are hills between the ends."""
SHORT = {
    vlaar.BARRIER: "the barrier",
    "above_ends": "the barrier above both ends",
    "train_rise": "the barrier of the training loss",
    "half": "the place of the fall",
}
JUDGED = {"stored": tuple(SHORT), "recalibrate": (vlaar.BARRIER, "half")}
CLIFF = (
    f"at weight decay {vlaar.DECAY:g} the fall is late only where BatchNorm statistics are "
    "interpolated"
)
LINES = (
    ("stored", "test_loss", "test loss, BatchNorm statistics interpolated"),
    ("stored", "train_loss", "training loss, BatchNorm statistics interpolated"),
    ("recalibrate", "test_loss", "test loss, statistics re-estimated at each state"),
)
BARRIERS = (
    (vlaar.BARRIER, "#0072B2", "o", "test loss, above what was reached"),
    ("above_ends", "#56B4E9", "s", "test loss, above both ends"),
    ("train_rise", "#D55E00", "^", "training loss, above what was reached"),
)
Values = NDArray[np.float64]
"""One a network."""


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    decays = (DECAYS[0], vlaar.DECAY, DECAYS[-1]) if asked.quick else DECAYS
    jobs = [(asked, data["base"], *pair) for pair in product(decays, vlaar.seeds(asked))]
    rows = over(asked, measured, jobs, f"{len(jobs)} networks")
    claims = judged(rows)
    numbers = {
        "data": list(data["base"].history),
        "recipe": asdict(vlaar.recipe(asked.quick, 0.0)),
        "weight_decays": decays,
        "seeds": list(vlaar.seeds(asked)),
        "barrier_shown": SHOWN,
        "claims": claims,
        "networks": rows,
    }
    return drawn(rows, claims, vlaar.describe(data)), numbers


def measured(asked: Flags, data: jr.Dataset, weight_decay: float, seed: int) -> Row:
    net = vlaar.standard(asked, data, weight_decay, seed)
    name = f"standard-{weight_decay:g}-{seed}"
    found = {}
    for policy in vlaar.POLICIES:
        path = vlaar.path(asked, data, name, net.start, net.end, policy)
        found[policy] = {**vlaar.facts(path), "train_loss": path.values("train_loss").round(5)}
    moved = jr.weight_distance(vlaar.task(data), net.start, net.end)
    return {
        "weight_decay": weight_decay,
        "seed": seed,
        "accuracy": net.accuracy,
        "accuracy_recalibrated": net.recalibrated,
        "train_accuracy": net.train_accuracy,
        "relative_distance": moved.relative,
        **found,
    }


def column(rows: Rows, policy: str, measure: str) -> Values:
    return np.array([vlaar.number(row[policy], measure) for row in rows])


def judged(rows: Rows) -> Rows:
    decay = np.array([row["weight_decay"] for row in rows])
    accuracy = np.array([row["accuracy"] for row in rows])
    groups = (decay[:, None] == np.unique(decay)[1:]).astype(float)
    ranks, claims = within_each(decay, accuracy), []
    for policy, measure in [(p, m) for p, measures in JUDGED.items() for m in measures]:
        values, what = column(rows, policy, measure), f"{SHORT[measure]} ({policy}) says little of"
        over = spearman(values, accuracy)
        inside = partial_spearman(within_each(decay, values), ranks, groups)
        claims += [
            weak(f"{what} accuracy, over all weight decays", over, len(rows)),
            weak(f"{what} accuracy, at equal weight decay", inside, len(rows)),
            trend(policy, measure, spearman(decay, values), len(rows)),
        ]
    base = [row for row in rows if row["weight_decay"] == vlaar.DECAY]
    late = column(base, "stored", "half") - column(base, "recalibrate", "half")
    statistic = "alpha of the half fall, stored minus re-estimated"
    return [*claims, within("interpolation-H8", CLIFF, statistic, late, SMALLEST_DELAY)]


def within_each(groups: NDArray[Any], values: NDArray[Any]) -> Values:
    """Rank values among those of their group."""
    return pd.Series(values).groupby(groups).rank().to_numpy()


def weak(claim: str, found: Correlation, n: int) -> Row:
    """Judge that a correlation is small: what is left of the least size that would say much."""
    sizes = sorted((abs(found.low), abs(found.high)))
    least = 0.0 if found.low <= 0 <= found.high else sizes[0]
    statistic = f"{PREDICTS} minus the size of Spearman's rho with test accuracy"
    effect, low, high = (PREDICTS - size for size in (abs(found.rho), sizes[1], least))
    claim_ = entry("interpolation-H7", claim, statistic, effect, low, high, n, 0.0)
    rho, *ends = (x if math.isfinite(x) else None for x in (found.rho, found.low, found.high))
    return claim_ | {"rho": rho, "rho_interval": ends}


def trend(policy: str, measure: str, found: Correlation, n: int) -> Row:
    verb, way = ("comes later", 1) if measure == "half" else ("falls", -1)
    claim = f"{SHORT[measure]} {verb} with weight decay ({policy})"
    numbers = found.rho, found.low, found.high, n, SMALLEST_TREND, way, found.p
    return entry("interpolation-H8", claim, "Spearman's rho", *numbers)


def drawn(rows: Rows, claims: Rows, what: str) -> Figure:
    decays = sorted({row["weight_decay"] for row in rows})
    ramp = colormaps["viridis"](np.linspace(0, 0.92, len(decays)))
    colours = dict(zip(decays, ramp, strict=True))
    figure = Figure(figsize=(14, 8.2), layout="constrained")
    upper, (scatter, heights, places) = figure.subplots(2, 3)
    for ax, (policy, metric, title) in zip(upper, LINES, strict=True):
        for decay, colour in colours.items():
            losses = [row[policy][metric] for row in rows if row["weight_decay"] == decay]
            vlaar.curves(ax, losses, colour, f"{decay:g}")
        ax.axhline(vlaar.CHANCE, color="0.4", lw=1, ls=":")
        loss = title.partition(",")[0]
        ax.set(xlabel="α, from initialisation (0) to trained (1)", ylabel=f"{loss} (nats)")
        ax.set_title(title, fontsize=10)
    upper[1].legend(title="weight decay", fontsize=8, title_fontsize=8, frameon=False, ncols=2)
    spots(scatter, rows, colours, claims)
    for measure, *style in BARRIERS:
        moves(heights, rows, "stored", measure, *style)
    heights.set(ylabel="barrier (nats)")
    heights.set_ylim(top=1.45 * heights.get_ylim()[1])  # leaves room for the legend
    heights.set_title("barriers, statistics interpolated", fontsize=10)
    moves(places, rows, "stored", "half", "#0072B2", "o", "statistics interpolated")
    moves(places, rows, "recalibrate", "half", "#D55E00", "s", "statistics re-estimated")
    places.set(ylabel="α of the half fall", ylim=(0, 1.03))
    step = 1 / (len(rows[0]["stored"]["test_loss"]) - 1)
    places.set_title(f"where the training loss is half way down (steps of {step:g})", fontsize=10)
    for ax in (heights, places):
        ax.set_xticks(range(len(decays)), [f"{decay:g}" for decay in decays])
        ax.set(xlabel="weight decay")
        ax.legend(fontsize=8, frameon=False)
    count = len({row["seed"] for row in rows})
    note = f"n = {len(rows)} networks ({count} seeds each): {what}; thin: networks, thick: means"
    return vlaar.framed(figure, headline(claims, rows), note, claims)


def spots(ax: Axes, rows: Rows, colours: dict[float, Any], claims: Rows) -> None:
    for row in rows:
        place = row["stored"]["barrier"][SHOWN], 100 * row["accuracy"]
        ax.plot(*place, "o", color=colours[row["weight_decay"]], mec="white")
    loss = "test loss above both ends, interpolated statistics (nats)"
    ax.set(xlabel=loss, ylabel="test accuracy (%)")
    over, inside = map(shown, little(claims))
    title = "barrier above both ends and accuracy, colours as above\n"
    ax.set_title(f"{title}ρ {over}; within each decay {inside}", fontsize=9)


def moves(
    ax: Axes, rows: Rows, policy: str, measure: str, colour: str, mark: str, label: str
) -> None:
    decays = np.array([row["weight_decay"] for row in rows])
    values, places = column(rows, policy, measure), np.unique(decays, return_inverse=True)[1]
    ax.plot(places, values, mark, color=colour, ms=4, alpha=0.4, mec="none")
    means = [values[places == place].mean() for place in np.unique(places)]
    ax.plot(means, mark + "-", color=colour, label=label)


def shown(claim: Row) -> str:
    if claim["effect"] is None:
        return "unknown"
    low, high = claim["rho_interval"]
    return f"{claim['rho']:+.2f} [{low:+.2f}, {high:+.2f}]"


def little(claims: Rows) -> Rows:
    """Find what is said of the barrier shown and accuracy: over all, and at equal weight decay."""
    return about(claims, f"{SHORT[SHOWN]} (stored) says little")


def headline(claims: Rows, rows: Rows) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}
    over, inside = (claim["verdict"] for claim in little(claims))
    falls = "falls with weight decay (stored)"
    lowers = {measure: verdicts[f"{SHORT[measure]} {falls}"] for measure, *_ in BARRIERS}
    decays = np.array([row["weight_decay"] for row in rows])
    heights = "; ".join(
        f"{column(rows, 'stored', SHOWN)[decays == decay].mean():.2f} nats at {decay:g}"
        for decay in (0.0, vlaar.DECAY, decays.max())
    )
    later = "the place of the fall comes later with weight decay (stored)"
    return (
        f"The barrier above both ends says little of accuracy: {over} over all weight decays, "
        f"{inside} at equal weight decay;\nweight decay lowers it ({heights}): {lowers[SHOWN]}, "
        f"the rise above what was reached: {lowers[vlaar.BARRIER]}, that of the training loss: "
        f"{lowers['train_rise']};\nit delays the fall: {verdicts[later]}, which is late only with "
        f"interpolated BatchNorm statistics: {verdicts[CLIFF]}"
    )
