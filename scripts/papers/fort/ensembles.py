"""Ensembles of snapshots from cyclic learning rates: figure 6 of arXiv:1906.04724 in small.

From a network trained for four fifths, cycles of the learning rate go on, for maximal rates over a
twelvefold range: accuracy of single snapshots, of averaged weights and of averaged predictions,
angles and label changes between successive snapshots. Beside them, after arXiv:1912.02757, how
differently independent networks, snapshots and random networks from subspaces around one optimum
predict. H10 is judged.

The small form needs digits only; the other one Fashion-MNIST, in the folder that the environment
variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from evidence.cells import kept
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.fort import networks as fort
from papers.fort.snapshots import LAWS, LOST, RADIUS, Found, Plan, Values, cycled, independent
from scipy.stats import spearmanr

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.plots import canvas

MONOTONE = 0.3  # the least mean of Spearman's rho over five rates
TURN, REACH = 30.0, 10.0  # degrees: weights stop averaging well between 20 and 40
APART = 0.05  # the least difference of disagreement over error rate
NEVER = 90.0  # degrees, where a seed's gain never falls below 0


FULL = Plan(
    "fashion", (2000, 2000), fort.recipe(20, 0.002, record_every=1), 16, 9,
    fort.recipe(10, 0.002, schedule="cosine"), (0.0032, 0.0064, 0.0128, 0.02, 0.04), 8, 6, 10,
)  # fmt: skip
QUICK = Plan(
    "digits", (300, 300), fort.recipe(10, 0.01, record_every=1), 8, 7,
    fort.recipe(4, 0.01, schedule="cosine"), (0.01, 0.03, 0.1), 3, 3, 4,
)  # fmt: skip


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    jobs = [(asked, plan, seed) for seed in range(plan.seeds)]
    found = spread(cycled, jobs, execution, "networks")
    path = asked.work / "independent.json"
    apart = kept(path, plan, partial(independent, asked, plan))
    claims = judged(plan, found, apart)
    numbers = {"plan": asdict(plan), "seeds": list(range(plan.seeds)), "claims": claims}
    return drawn(plan, found, apart, claims), numbers | {"networks": found, "independent": apart}


def column(found: Sequence[Found], name: str) -> Values:
    """Give the mean over snapshots for each network and rate (seeds, rates)."""
    return np.array([[np.mean(rate[name]) for rate in one["rates"]] for one in found])


def gains(found: Sequence[Found], name: str) -> Values:
    """Give the accuracy of all snapshots together minus their mean (seeds, rates)."""
    last = np.array([[rate[name][-1] for rate in one["rates"]] for one in found])
    return np.asarray(last - column(found, "single"))


def turn(angles: Values, gain: Values) -> float:
    """Find the last angle at which a gain falls to 0, between measured ones."""
    order = np.argsort(angles)
    x, y = angles[order], gain[order]
    falls = np.flatnonzero((y[:-1] > 0) & (y[1:] <= 0))
    if not len(falls):
        return NEVER if y[-1] > 0 else 0.0
    k = falls[-1]
    return float(x[k] + (x[k + 1] - x[k]) * y[k] / (y[k] - y[k + 1]))


def judged(plan: Plan, found: Sequence[Found], apart: Sequence[Found]) -> list[Found]:
    angles, weights, predictions = (
        column(found, "angles"), gains(found, "weights"), gains(found, "predictions"),
    )  # fmt: skip
    trends = [
        np.array([spearmanr(*pair).statistic for pair in zip(angles, gain, strict=True)])
        for gain in (weights, predictions)
    ]
    turns = np.array([turn(*pair) for pair in zip(angles, weights, strict=True)])
    kinds = kinds_of(plan, found, apart)
    snapshots = np.mean([kinds[f"rate {rate:g}"][1] for rate in plan.rates], axis=0)
    drawn_ones = np.mean([kinds[name][1] for name in LAWS], axis=0)
    rho = f"Spearman's rho over {len(plan.rates)} rates, network by network"
    said: tuple[tuple[str, str, Values, float, Any], ...] = (
        ("the gain in accuracy from averaging weights falls with the angle between successive "
         "snapshots", rho, trends[0], MONOTONE, -1),
        (f"it changes its sign between {TURN - REACH:g} and {TURN + REACH:g} degrees",
         f"{REACH:g} minus the distance from {TURN:g} degrees of the last angle at which it falls "
         f"to 0 (0 or {NEVER:g} where it never does)", REACH - np.abs(turns - TURN), 0, 1),
        ("the gain in accuracy from averaging predictions grows with the angle", rho, trends[1],
         MONOTONE, 1),
        ("independent networks predict more differently than snapshots of one network",
         "difference of disagreement over error rate; snapshots: mean over rates",
         kinds["independent"][1] - snapshots, APART, 1),
        ("snapshots of one network predict more differently than random networks from subspaces "
         "around it", "difference of disagreement over error rate; means over rates and over "
         "laws", snapshots - drawn_ones, APART, 1),
    )  # fmt: skip
    return [
        within("wedges-H10", f"{plan.name}: {claim}", how, values, smallest, expected)
        for claim, how, values, smallest, expected in said
    ]


def kinds_of(plan: Plan, found: Sequence[Found], apart: Sequence[Found]) -> dict[str, Values]:
    """Give accuracy and diversity of each kind of networks (2, seeds)."""

    def rows(ones: Sequence[Found]) -> Values:
        return np.array([[one["accuracy"] for one in ones], [one["diversity"] for one in ones]])

    kinds = {"independent": rows(apart)}
    for place, rate in enumerate(plan.rates):
        ones = [one["rates"][place] for one in found]
        ones = [one | {"accuracy": np.mean(one["single"])} for one in ones]
        kinds[f"rate {rate:g}"] = rows(ones)
    return kinds | {law: rows([one["subspaces"][law] for one in found]) for law in LAWS}


def drawn(
    plan: Plan, found: Sequence[Found], apart: Sequence[Found], claims: list[Found]
) -> Figure:
    figure = canvas.new_figure(17, 10)
    panels = figure.subplots(2, 3)
    shown = (0, len(plan.rates) // 2, len(plan.rates) - 1)
    for ax, place in zip(panels[0], shown, strict=True):
        _curves(ax, plan, found, place)
    _gains(panels[1, 0], plan, found)
    _steps(panels[1, 1], plan, found)
    _plane(panels[1, 2], plan, found, apart)
    figure.suptitle(f"{finding(found, claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    first, cycle = plan.training, plan.cycle
    canvas.note(
        figure,
        f"{plan.name}, {plan.sizes[0]} training and {plan.sizes[1]} test examples; n = "
        f"{plan.seeds} independent networks (seeds 0 to {plan.seeds - 1}), each trained for "
        f"{plan.begin} epochs ({first.optimiser}, rate {first.lr:g}, batches of "
        f"{first.batch_size}), then {plan.count} cycles of {cycle.epochs} epochs at each maximal "
        f"rate (cosine); a snapshot ends each. Thin lines and dots: networks, thick lines: means. "
        f"Top row: minus the mean of a network's snapshots. Independent networks and subspaces: "
        f"after {first.epochs} epochs of the first rate; {plan.draws} draws each (uniform: up to "
        f"{RADIUS:g} of the norm; diagonal, principal: of the last {plan.late} epochs), those "
        f"that lose more than {LOST:g} of accuracy left out.",
    )
    return figure


def finding(found: Sequence[Found], claims: list[Found]) -> str:
    falls, sign, grows, apart, around = (claim["verdict"] for claim in claims)
    angles = column(found, "angles").mean(axis=0)
    ends = [int(angles.argmin()), int(angles.argmax())]
    near, far = (f"{angles[end]:.0f}°" for end in ends)
    weights, predictions = (
        100 * gains(found, name).mean(axis=0)[ends] for name in ("weights", "predictions")
    )
    return (
        f"Averaging weights: {weights[0]:+.1f} points of accuracy where snapshots are {near} "
        f"apart, {weights[1]:+.1f} at {far} (falls: {falls}; turns between {TURN - REACH:g}° and "
        f"{TURN + REACH:g}°: {sign}).\nAveraging predictions: {predictions[0]:+.1f} and "
        f"{predictions[1]:+.1f} (grows: {grows}). Predictions differ more between independent "
        f"networks than between snapshots ({apart}),\nand more there than around one optimum "
        f"({around})"
    )


WAYS = {"single": "single", "weights": "averaged weights", "predictions": "averaged predictions"}
COLOURS = dict(zip(WAYS, ("0.45", *canvas.colours(2)), strict=True))
MARKS = {"weights": "o", "predictions": "^"}


def _curves(ax: Axes, plan: Plan, found: Sequence[Found], place: int) -> None:
    counts = np.arange(1, plan.count + 1)
    ones = [one["rates"][place] for one in found]
    for name, label in WAYS.items():
        rows = 100 * np.array([np.subtract(one[name], np.mean(one["single"])) for one in ones])
        for row in rows:
            ax.plot(counts, row, color=COLOURS[name], lw=0.6, alpha=0.35)
        ax.plot(counts, rows.mean(axis=0), color=COLOURS[name], lw=2.4, label=label)
    ax.set_xticks(counts)
    ax.set_xlabel("number of snapshots")
    ax.set_ylabel("test accuracy minus the mean single one (points)")
    if not place:
        ax.legend(fontsize=9, frameon=False, loc="lower right")
    angle, single = (
        np.mean([np.mean(one[name]) for one in ones]) for name in ("angles", "single")
    )
    canvas.title(
        ax,
        f"maximal rate {plan.rates[place]:g}: snapshots {angle:.0f}° apart, {single:.1%} each",
    )


def _gains(ax: Axes, plan: Plan, found: Sequence[Found]) -> None:
    angles = column(found, "angles")
    for name, mark in MARKS.items():
        values = 100 * gains(found, name)
        ax.plot(angles.ravel(), values.ravel(), mark, color=COLOURS[name], ms=6, alpha=0.6, mew=0)
        ax.plot(angles.mean(axis=0), values.mean(axis=0), color=COLOURS[name], lw=2.4, marker=mark,
                label=WAYS[name])  # fmt: skip
    ax.axhline(0, color="0.4", lw=1)
    ax.set_yscale("symlog", linthresh=1, linscale=0.7)
    ax.set_yticks([-10, -5, -2, -1, 0, 1, 2, 5])
    ax.yaxis.set_major_formatter("{x:g}")
    ax.axvspan(TURN - REACH, TURN + REACH, color="0.9", lw=0, zorder=0)
    ax.set_xlabel("angle between successive snapshots (degrees)")
    ax.set_ylabel(f"gain of {plan.count} snapshots over single (points)")
    ax.legend(fontsize=9, frameon=False)
    turns = [turn(*pair) for pair in zip(angles, gains(found, "weights"), strict=True)]
    canvas.title(
        ax,
        f"averaged weights gain up to {np.median(turns):.0f}° (median); grey: where they should "
        "begin to lose",
    )


def _steps(ax: Axes, plan: Plan, found: Sequence[Found]) -> None:
    angles, changes = column(found, "angles"), column(found, "changes")
    for place, colour in enumerate(canvas.ramp(len(plan.rates), "viridis")):
        ax.plot(angles[:, place], changes[:, place], "o", color=colour, ms=7, mew=0,
                label=f"{plan.rates[place]:g}")  # fmt: skip
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("angle between successive snapshots (degrees)")
    ax.set_ylabel("test labels changed (fraction)")
    ax.legend(fontsize=9, frameon=False, title="maximal rate")
    low, high = changes.mean(axis=0)[[0, -1]]
    canvas.title(ax, f"from cycle to cycle {low:.2g} to {high:.2g} of the labels change")


def _plane(ax: Axes, plan: Plan, found: Sequence[Found], apart: Sequence[Found]) -> None:
    kinds = kinds_of(plan, found, apart)
    looks = {"independent": ("*", canvas.OKABE_ITO[3])}
    ramp = canvas.ramp(len(plan.rates), "viridis")
    looks |= {f"rate {rate:g}": ("o", c) for rate, c in zip(plan.rates, ramp, strict=True)}
    looks |= {law: (mark, canvas.OKABE_ITO[4]) for law, mark in zip(LAWS, "^sD", strict=True)}
    for name, (mark, colour) in looks.items():
        ax.scatter(*kinds[name], marker=mark, color=colour, s=90 if mark == "*" else 34, lw=0,
                   alpha=0.8, label=name.replace("rate", "snapshots,"))  # fmt: skip
    ax.set_ylim(bottom=0)
    ax.set_xlabel("test accuracy (fraction)")
    ax.set_ylabel("disagreement / error rate (1)")
    ax.legend(fontsize=8, frameon=False, ncols=2)
    means = {name: values[1].mean() for name, values in kinds.items()}
    snapshots = np.mean([means[f"rate {rate:g}"] for rate in plan.rates])
    canvas.title(
        ax,
        f"how differently two predict: {means['independent']:.2f} independent, {snapshots:.2f} "
        f"snapshots, {np.mean([means[law] for law in LAWS]):.2f} around an optimum",
    )
