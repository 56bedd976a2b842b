"""Planes that reach low loss, beside sharp directions: H7 of arXiv:1906.04724 on networks.

Training is held to random planes of d dimensions, for several widths and learning rates. The
threshold dimension, from which on training falls by nine tenths of what it falls without a plane,
is compared with the number of sharp directions of the networks without a plane: at the end of
training, and with both at one loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.fort.dimension_networks import SHARE, Found, Setup, measured, redrawn, turn
from scipy.stats import spearmanr

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.plots import canvas

ORDERED, RISING = 0.2, 0.9  # the least Spearman's rho over conditions; over dimensions
STEADY = 0.25  # octaves, standard deviation of thresholds over planes

FULL = Setup(
    (26, 18, 12), (0.001, 0.003, 0.009), (500, 400), 40,
    (16, 32, 64, 128, 192, 256, 384, 512, 768), (0.03, 0.1, 0.3), 0.5, 5, 4,
)  # fmt: skip
QUICK = Setup(
    (2,), (0.01, 0.03, 0.09), (60, 60), 6, (8, 40, 160), (0.03, 0.1, 0.3), 1.5, 3, 2
)  # fmt: skip


def make(asked: Flags) -> Made:
    setup = QUICK if asked.quick else FULL
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    jobs = [(asked, setup, *condition) for condition in setup.conditions()]
    rows = [row for some in spread(measured, jobs, execution, "conditions") for row in some]
    jobs = [(asked, setup, seed) for seed in range(setup.seeds)]
    again = spread(redrawn, jobs, execution, "planes")
    found = table(setup, rows)
    claims = judged(setup, found, again)
    numbers = {
        "data": "digits",
        "setup": asdict(setup),
        "recipes": {f"{rate:g}": asdict(setup.recipe(rate)) for rate in setup.rates},
        "rates": "in planes times the root of weights / d, but for plain_loss",
        "share": SHARE,
        "seeds": list(range(setup.seeds)),
        "claims": claims,
        "networks": found.to_dict("records"),
        "planes": again,
    }
    return drawn(setup, found, again, claims), numbers


def table(setup: Setup, rows: Sequence[Found]) -> pd.DataFrame:
    """Arrange one row a network, with its threshold dimensions."""
    found = pd.DataFrame(rows)
    for cut in setup.cuts:
        for where in ("end", "alike"):
            found[f"{where}_{cut:g}"] = [counts[f"{cut:g}"] for counts in found[where]]

    def turned(value: str, goal: Callable[[Any], float], sign: int = 1) -> list[float]:
        return [
            turn(setup.dims, sign * np.array(row[value]), sign * goal(row))
            for _, row in found.iterrows()
        ]

    found["threshold"] = turned("plane_loss", target)
    found["threshold_plain"] = turned("plain_loss", target)
    found["threshold_accuracy"] = turned(
        "plane_accuracy", lambda row: SHARE * row["free_accuracy"], -1
    )
    found["threshold_alike"] = turned("plane_loss", lambda _: setup.level)
    return found


def target(row: Any) -> float:
    """Say which training loss counts as success."""
    return float(row["initial_loss"] + SHARE * (row["free_loss"] - row["initial_loss"]))


def rho(found: pd.DataFrame, count: str, threshold: str, block: str = "") -> NDArray[np.float64]:
    """Correlate ranks over the conditions of each seed, or within blocks, which are averaged."""
    return np.array([
        np.mean([
            spearmanr(part[count], part[threshold]).statistic
            for _, part in (some.groupby(block) if block else [("", some)])
        ])
        for _, some in found.groupby("seed")
    ])


def judged(setup: Setup, found: pd.DataFrame, again: Sequence[Found]) -> list[Found]:
    middle = f"{setup.cuts[len(setup.cuts) // 2]:g}"
    more = "more sharp directions go with a higher threshold dimension, curvature above"
    said = [(f"{more} {cut:g}", rho(found, f"end_{cut:g}", "threshold")) for cut in setup.cuts] + [
        (f"{more} {middle}, {how}", rho(found, *columns))
        for how, *columns in (
            ("at a fixed width", f"end_{middle}", "threshold", "width"),
            ("at a fixed rate", f"end_{middle}", "threshold", "rate"),
            (f"both at a loss of {setup.level:g}", f"alike_{middle}", "threshold_alike"),
            ("threshold of the test accuracy", f"end_{middle}", "threshold_accuracy"),
            ("the same rate in planes", f"end_{middle}", "threshold_plain"),
        )
    ]
    rising = [
        np.mean([spearmanr(setup.dims, -np.array(row)).statistic for row in some["plane_loss"]])
        for _, some in found.groupby("seed")
    ]
    how = "a seed's Spearman's rho over conditions"
    return [
        *(
            within("wedges-H7", f"digits MLP: {claim}", how, values, ORDERED)
            | {"rho": [value if np.isfinite(value) else None for value in values.tolist()]}
            for claim, values in said
        ),
        within("wedges-H7", "digits MLP: success rises with d", "Spearman's rho between d and "
               "the fall of the loss, mean over conditions", rising, RISING),
        within("wedges-H7", "digits MLP: it hardly matters which plane", f"{STEADY:g} octaves "
               "minus the standard deviation over planes of a network's log2 threshold",
               STEADY - deviations(setup, found, again), 0),
    ]  # fmt: skip


def deviations(setup: Setup, found: pd.DataFrame, again: Sequence[Found]) -> NDArray[np.float64]:
    """Measure how thresholds of one network differ from plane to plane, in octaves."""
    rows = middle(setup, found)
    return np.array([
        np.std(
            [np.log2(turn(setup.dims, losses, target(rows.loc[one["seed"]])))
             for losses in one["plane_loss"]], ddof=1,
        )
        for one in again
    ])  # fmt: skip


def middle(setup: Setup, found: pd.DataFrame) -> pd.DataFrame:
    """Take the networks whose planes are drawn anew, by seed."""
    width, rate = setup.middle()
    return found[(found["width"] == width) & (found["rate"] == rate)].set_index("seed")


def drawn(
    setup: Setup, found: pd.DataFrame, again: Sequence[Found], claims: list[Found]
) -> Figure:
    figure = canvas.new_figure(19, 6.6)
    panels = figure.subplots(1, 4)
    _curves(panels[0], setup, found)
    _thresholds(panels[1], setup, found)
    _correlations(panels[2], claims)
    _planes(panels[3], setup, found, again)
    figure.suptitle(finding(setup, claims), fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        f"digits MLPs of two hidden layers, {setup.sizes[0]} training examples, Adam, "
        f"{setup.epochs} epochs of batches of 32, {len(setup.conditions())} conditions of "
        f"n = {setup.seeds} networks (seeds 0 to {setup.seeds - 1}). Threshold dimension: from "
        f"which on the training loss falls by {SHARE:.0%} of what it falls without a plane (or, "
        f"at one loss, to {setup.level:g} nats), interpolated. Rates in planes are times "
        "sqrt(D / d), so that steps are as long as without one, but where the same rate is named. "
        "Curves: medians over seeds; rho: over conditions, one dot a seed, bar: mean and 95 % "
        "interval.",
    )
    return figure


def finding(setup: Setup, claims: list[Found]) -> str:
    def told(claim: Found, where: str = "") -> str:
        known = claim["effect"] is not None
        return f"{claim['effect'] if known else math.nan:+.2f}{where} ({claim['verdict']})"

    ends = ", ".join(
        told(claim, f" above {cut:g}") for cut, claim in zip(setup.cuts, claims, strict=False)
    )
    alike = next(claim for claim in claims if "both at a loss" in claim["claim"])
    return (
        f"More sharp directions, more dimensions needed? At the end of training rho is {ends};\n"
        f"with sharp directions and dimensions both at a loss of {setup.level:g} nats it is "
        f"{told(alike)}. {tally(claims)}"
    )


def looks(setup: Setup) -> dict[tuple[int, float], tuple[Any, str, str]]:
    """Choose colours for rates, marks and dashes for widths."""
    colours = dict(zip(setup.rates, canvas.colours(len(setup.rates)), strict=True))
    styles = dict(zip(setup.widths, (("o", "-"), ("s", "--"), ("^", ":")), strict=False))
    return {(width, rate): (colours[rate], *styles[width]) for width, rate in setup.conditions()}


def _axis(ax: Axes, dims: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(dims, [str(dim) for dim in dims], fontsize=8, rotation=45)
    ax.set_xlabel("dimension d of the plane")


def _curves(ax: Axes, setup: Setup, found: pd.DataFrame) -> None:
    for (width, rate), (colour, mark, dash) in looks(setup).items():
        some = found[(found["width"] == width) & (found["rate"] == rate)]
        fall = [
            (row["initial_loss"] - np.array(row["plane_loss"]))
            / (row["initial_loss"] - row["free_loss"])
            for _, row in some.iterrows()
        ]
        ax.plot(setup.dims, np.median(fall, axis=0), ls=dash, marker=mark, ms=4, color=colour,
                label=f"rate {rate:g}, width {width}")  # fmt: skip
    ax.axhline(SHARE, color="0.4", ls=":", lw=1.2)
    _axis(ax, setup.dims)
    ax.set_ylabel("fall of the training loss (of the free fall)")
    ax.legend(fontsize=8, frameon=False)
    few, many = np.quantile(found["threshold"], (0.1, 0.9))
    canvas.title(ax, f"four of five networks succeed from d = {few:.0f} to {many:.0f} on")


def _thresholds(ax: Axes, setup: Setup, found: pd.DataFrame) -> None:
    cut = f"{setup.cuts[len(setup.cuts) // 2]:g}"
    pairs = {(f"end_{cut}", "threshold"): "full", (f"alike_{cut}", "threshold_alike"): "none"}
    for (width, rate), (colour, mark, _) in looks(setup).items():
        some = found[(found["width"] == width) & (found["rate"] == rate)]
        for (count, threshold), fill in pairs.items():
            ax.plot(np.maximum(some[count], 0.7), some[threshold], mark, color=colour, ms=7,
                    alpha=0.8, fillstyle=fill)  # fmt: skip
    ax.plot([], [], "ko", ms=7, label="at the end of training")
    ax.plot([], [], "ko", ms=7, fillstyle="none", label=f"both at {setup.level:g} nats")
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("log")
        canvas.plain(axis)
    ax.set_xlabel(f"sharp directions without a plane (curvature above {cut})")
    ax.set_ylabel("threshold dimension")
    ax.legend(fontsize=9, frameon=False, loc="lower left")
    ratio = np.median(found["threshold"] / np.maximum(found[f"end_{cut}"], 1))
    canvas.title(
        ax, f"at the end, thresholds are {ratio:.3g} times the sharp directions above {cut} "
        "(median)",
    )  # fmt: skip


def _correlations(ax: Axes, claims: list[Found]) -> None:
    shown = [claim for claim in claims if "threshold dimension" in claim["claim"]]
    for place, claim in enumerate(shown):
        dots = np.array(claim["rho"], dtype=float)
        ax.plot(dots, place + np.linspace(0.1, 0.3, len(dots)), "o", color="0.6", ms=4, mew=0)
        if claim["effect"] is not None:
            ax.plot(claim["interval"], [place, place], color=canvas.colours(1)[0], lw=2)
            ax.plot(claim["effect"], place, "o", color=canvas.colours(1)[0], ms=7)
    labels = [claim["claim"].partition("curvature ")[2] for claim in shown]
    ax.set_yticks(range(len(shown)), [label.replace(", ", ",\n") for label in labels], fontsize=8)
    ax.invert_yaxis()
    for level, dash in ((0, "-"), (ORDERED, ":")):
        ax.axvline(level, color="0.4", ls=dash, lw=1)
    ax.set_xlim(-1.05, 1.05)
    ax.set_xlabel("Spearman's rho over conditions (dotted: smallest effect)")
    holds = sum(claim["verdict"] == "supported" for claim in shown)
    canvas.title(ax, f"{holds} of {len(shown)} correlations supported")


def _planes(ax: Axes, setup: Setup, found: pd.DataFrame, again: Sequence[Found]) -> None:
    for one, colour in zip(again, canvas.colours(len(again)), strict=True):
        for losses in one["plane_loss"]:
            ax.plot(setup.dims, losses, color=colour, lw=1, alpha=0.8)
    ax.plot([], [], color=canvas.colours(1)[0], label="one colour a network, one line a plane")
    goal = np.median([target(row) for _, row in middle(setup, found).iterrows()])
    ax.axhline(goal, color="0.4", ls=":", lw=1.2, label="success (median)")
    _axis(ax, setup.dims)
    ax.set_ylabel("training loss in planes (nats)")
    ax.legend(fontsize=8, frameon=False)
    width, rate = setup.middle()
    apart = float(np.median(deviations(setup, found, again)))
    canvas.title(
        ax, f"width {width}, rate {rate:g}: thresholds differ by {apart:.2f} "
        f"octaves from plane to plane (n = {len(again)} networks x {setup.planes} planes)",
    )  # fmt: skip
