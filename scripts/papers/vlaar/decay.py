"""Weight decay and the shape of the linear path: arXiv:2106.16004 (H7, H8).

Loss from initialisation to trained network for six weight decays; with BatchNorm statistics that
are interpolated (as the paper's curves must be) and re-estimated; whether the barrier or the place
of the fall says how well a network does; how both change with weight decay. Three barriers are
judged: with so few images the test loss rises again before alpha is 1, which counts as a rise
above what was reached and hides a barrier above both ends; the training loss does neither. After a
review, having seen the numbers, title and scatter took the barrier above both ends instead of the
rise above what was reached, and correlations at equal weight decay those of ranks within each
weight decay instead of ranks over all with the means of each taken out. The full form needs
`cifar10.npz` and `fashion_mnist.npz` in the folder that JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import product
from typing import Any, Literal

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import entry, tally, within
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.vlaar import networks as vlaar
from scipy.stats import rankdata

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import Correlation, partial_spearman, spearman
from jumpretrain.execution.execution import spread

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
JUDGED = (
    ("stored", vlaar.BARRIER),
    ("stored", "above_ends"),
    ("stored", "train_rise"),
    ("stored", "half"),
    ("recalibrate", vlaar.BARRIER),
    ("recalibrate", "half"),
)
CLIFF = (
    f"at weight decay {vlaar.DECAY:g} the fall is late only where BatchNorm statistics are "
    "interpolated"
)
BARRIERS = (
    (vlaar.BARRIER, "#0072B2", "o", "test loss, above what was reached"),
    ("above_ends", "#56B4E9", "s", "test loss, above both ends"),
    ("train_rise", "#D55E00", "^", "training loss, above what was reached"),
)


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    decays = (DECAYS[0], vlaar.DECAY, DECAYS[-1]) if asked.quick else DECAYS
    jobs = [(asked, data["base"], *pair) for pair in product(decays, vlaar.seeds(asked))]
    rows = spread(measured, jobs, jr.Execution(n_jobs=asked.jobs), f"{len(jobs)} networks")
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
    return drawn(asked, rows, claims, vlaar.describe(asked, data)), numbers


def measured(asked: Flags, data: jr.Dataset, weight_decay: float, seed: int) -> dict[str, Any]:
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


def column(rows: list[dict[str, Any]], policy: str, measure: str) -> NDArray[np.float64]:
    return np.array([vlaar.number(row[policy], measure) for row in rows])


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    decay = np.array([row["weight_decay"] for row in rows])
    accuracy = np.array([row["accuracy"] for row in rows])
    groups = (decay[:, None] == np.unique(decay)[1:]).astype(float)
    ranks, claims = within_each(decay, accuracy), []
    for policy, measure in JUDGED:
        values, what = column(rows, policy, measure), f"{SHORT[measure]} ({policy})"
        over = spearman(values, accuracy)
        inside = partial_spearman(within_each(decay, values), ranks, groups)
        claims += [
            weak(f"{what} says little of accuracy, over all weight decays", over, len(rows)),
            weak(f"{what} says little of accuracy, at equal weight decay", inside, len(rows)),
            trend(policy, measure, spearman(decay, values), len(rows)),
        ]
    base = [row for row in rows if row["weight_decay"] == vlaar.DECAY]
    late = column(base, "stored", "half") - column(base, "recalibrate", "half")
    statistic = "alpha of the half fall, stored minus re-estimated"
    return [*claims, within("interpolation-H8", CLIFF, statistic, late, SMALLEST_DELAY)]


def within_each(groups: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """Rank values among those of their group."""
    ranks = np.empty(len(values))
    for group in np.unique(groups):
        ranks[groups == group] = rankdata(values[groups == group])
    return ranks


def weak(claim: str, found: Correlation, n: int) -> dict[str, Any]:
    """Judge that a correlation is small: what is left of the least size that would say much."""
    sizes = sorted((abs(found.low), abs(found.high)))
    least = 0.0 if found.low <= 0 <= found.high else sizes[0]
    statistic = f"{PREDICTS} minus the size of Spearman's rho with test accuracy"
    effect, low, high = (PREDICTS - size for size in (abs(found.rho), sizes[1], least))
    claim_ = entry("interpolation-H7", claim, statistic, effect, low, high, n, 0.0)
    rho, *ends = (x if math.isfinite(x) else None for x in (found.rho, found.low, found.high))
    return claim_ | {"rho": rho, "rho_interval": ends}


def trend(policy: str, measure: str, found: Correlation, n: int) -> dict[str, Any]:
    claim = f"{SHORT[measure]} {'comes later' if measure == 'half' else 'falls'} with weight decay"
    numbers = found.rho, found.low, found.high, n, SMALLEST_TREND
    way: Literal[1, -1] = 1 if measure == "half" else -1
    return entry(
        "interpolation-H8", f"{claim} ({policy})", "Spearman's rho", *numbers, way, found.p
    )


def drawn(
    asked: Flags, rows: list[dict[str, Any]], claims: list[dict[str, Any]], what: str
) -> Figure:
    decays = sorted({row["weight_decay"] for row in rows})
    ramp = colormaps["viridis"](np.linspace(0, 0.92, len(decays)))
    colours = dict(zip(decays, ramp, strict=True))
    figure = Figure(figsize=(14, 8.2), layout="constrained")
    (left, middle, right), (scatter, heights, places) = figure.subplots(2, 3)
    curves(left, rows, "stored", "test_loss", colours)
    curves(middle, rows, "stored", "train_loss", colours)
    curves(right, rows, "recalibrate", "test_loss", colours)
    left.set_title("test loss, BatchNorm statistics interpolated", fontsize=10)
    middle.set_title("training loss, BatchNorm statistics interpolated", fontsize=10)
    right.set_title("test loss, statistics re-estimated at each state", fontsize=10)
    middle.legend(title="weight decay", fontsize=8, title_fontsize=8, frameon=False, ncols=2)
    spots(scatter, rows, colours)
    over, inside = little(claims)
    scatter.set_title(
        "barrier above both ends and accuracy, colours as above\n"
        f"ρ {shown(over)}; within each decay {shown(inside)}",
        fontsize=9,
    )
    for measure, colour, mark, label in BARRIERS:
        moves(heights, rows, "stored", measure, (colour, mark, label))
    heights.set(ylabel="barrier (nats)")
    heights.set_ylim(top=1.45 * heights.get_ylim()[1])  # leaves room for the legend
    heights.set_title("barriers, statistics interpolated", fontsize=10)
    for policy, colour, mark in (("stored", "#0072B2", "o"), ("recalibrate", "#D55E00", "s")):
        label = f"statistics {'interpolated' if policy == 'stored' else 're-estimated'}"
        moves(places, rows, policy, "half", (colour, mark, label))
    places.set(ylabel="α of the half fall", ylim=(0, 1.03))
    step = 1 / (len(rows[0]["stored"]["test_loss"]) - 1)
    places.set_title(f"where the training loss is half way down (steps of {step:g})", fontsize=10)
    for ax in (heights, places):
        ax.set_xticks(range(len(decays)), [f"{decay:g}" for decay in decays])
        ax.set(xlabel="weight decay")
        ax.legend(fontsize=8, frameon=False)
    figure.suptitle(headline(claims, rows), fontsize=11)
    count = len({row["seed"] for row in rows})
    figure.supxlabel(
        f"n = {len(rows)} networks ({count} seeds each): {what}; thin: networks, thick: means; "
        f"{tally(claims)}",
        fontsize=8,
    )
    return figure


def curves(
    ax: Axes, rows: list[dict[str, Any]], policy: str, metric: str, colours: dict[float, Any]
) -> None:
    for decay, colour in colours.items():
        lines = np.array([r[policy][metric] for r in rows if r["weight_decay"] == decay])
        alphas = np.linspace(0, 1, lines.shape[1])
        ax.plot(alphas, lines.T, color=colour, lw=0.5, alpha=0.5)
        ax.plot(alphas, lines.mean(0), color=colour, lw=2.2, label=f"{decay:g}")
    ax.axhline(vlaar.CHANCE, color="0.4", lw=1, ls=":")
    name = metric.replace("_", " ").replace("train", "training")
    ax.set(xlabel="α, from initialisation (0) to trained (1)", ylabel=f"{name} (nats)")


def spots(ax: Axes, rows: list[dict[str, Any]], colours: dict[float, Any]) -> None:
    for row in rows:
        height = row["stored"]["barrier"][SHOWN]
        ax.plot(
            height, 100 * row["accuracy"], "o", color=colours[row["weight_decay"]], mec="white"
        )
    ax.set(xlabel="test loss above both ends, interpolated statistics (nats)",
           ylabel="test accuracy (%)")  # fmt: skip


def moves(
    ax: Axes, rows: list[dict[str, Any]], policy: str, measure: str, style: tuple[str, str, str]
) -> None:
    colour, mark, label = style
    decays = np.array([row["weight_decay"] for row in rows])
    values, places = column(rows, policy, measure), np.unique(decays, return_inverse=True)[1]
    ax.plot(places, values, mark, color=colour, ms=4, alpha=0.4, mec="none")
    means = [values[places == place].mean() for place in np.unique(places)]
    ax.plot(means, mark + "-", color=colour, label=label)


def shown(claim: dict[str, Any]) -> str:
    if claim["effect"] is None:
        return "unknown"
    low, high = claim["rho_interval"]
    return f"{claim['rho']:+.2f} [{low:+.2f}, {high:+.2f}]"


def little(claims: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Find what is said of the barrier shown and accuracy: over all, and at equal weight decay."""
    start = f"{SHORT[SHOWN]} (stored) says little"
    return [claim for claim in claims if claim["claim"].startswith(start)]


def headline(claims: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}
    over, inside = (claim["verdict"] for claim in little(claims))
    lowers = {
        measure: verdicts[f"{SHORT[measure]} falls with weight decay (stored)"]
        for measure, *_ in BARRIERS
    }
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
