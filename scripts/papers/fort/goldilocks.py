"""The Goldilocks zone of arXiv:1807.02581 (H14): curvature and success against the start's radius.

Fresh weights of Xavier's law, times a radius: trace over Frobenius norm of the Hessian in random
planes, its share of positive eigenvalues, the loss there, and what training reaches within the
same planes, beside training without a plane. At Xavier's radius, over many networks: does the
ratio go with the first loss, or with the accuracy in the end?

The small form needs digits only; the other one Fashion-MNIST too, in the folder that the
environment variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import entry, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.fort.radii import CHANCE, DIMS, Found, Setup, few, lost, lots, measured
from scipy.stats import kendalltau

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.plots import canvas

INSIDE, OUTSIDE = 0.25, 4.0  # radii at which success is judged, in units of Xavier's

OCTAVES = 1.0  # how far from Xavier's radius the ratio may peak
SOUND, COLLAPSE, MORE = 0.1, 0.5, 0.25  # shares of the success at Xavier's radius that are lost
ORDERED = 0.2  # the least Kendall's tau that counts

RADII = (0.1, 0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0, 10.0)
FULL = (
    Setup("digits ReLU MLP", "mlp", (500, 400), 500, 100, 30, 0.003, RADII, 10, 100),
    Setup("Fashion-MNIST tanh CNN", "cnn", (1000, 500), 250, 200, 10, 0.004, RADII, 5, 30),
)
QUICK = (
    Setup("digits ReLU MLP", "mlp", (150, 150), 60, 100, 8, 0.01, (0.25, 1.0, 4.0), 3, 6),
)  # fmt: skip


def make(asked: Flags) -> Made:
    setups = QUICK if asked.quick else FULL
    jobs = [(asked, setup, *lot) for setup in setups for lot in lots(setup)]
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    found = spread(measured, jobs, execution, "networks")
    tables = [
        pd.DataFrame([
            row for job, rows in zip(jobs, found, strict=True) if job[1] == setup for row in rows
        ])
        for setup in setups
    ]
    claims = [
        claim
        for setup, table in zip(setups, tables, strict=True)
        for claim in judged(setup, table)
    ]
    numbers = {
        "setups": [asdict(setup) for setup in setups],
        "recipes": {setup.name: asdict(setup.recipe()) for setup in setups},
        "rates": "in planes times the root of weights / d, so that steps are as long",
        "dims": DIMS,
        "seeds": {setup.name: list(range(setup.networks)) for setup in setups},
        "claims": claims,
        "networks": {
            setup.name: table.to_dict("records")
            for setup, table in zip(setups, tables, strict=True)
        },
    }
    return drawn(setups, tables, claims), numbers


def judged(setup: Setup, table: pd.DataFrame) -> list[Found]:
    ratio = few(setup, table, f"ratio_{DIMS[-1]}")
    peak = np.log2(ratio.idxmax(axis=1).to_numpy())
    success = few(setup, table, "plane_accuracy")
    tau = [kendalltau(ratio.loc[k], success.loc[k]).statistic for k in ratio.index]
    share = "share of the success at Xavier's radius that is lost"
    inside, outside = f"at {INSIDE:g} of Xavier's radius", f"at {OUTSIDE:g} times Xavier's radius"
    plane, free = (lost(setup, table, way, OUTSIDE) for way in ("plane", "free"))
    said = (
        ("trace over norm peaks within a factor of 2 of Xavier's radius",
         "1 minus the distance of the peak, octaves", OCTAVES - np.abs(peak), 0),
        (f"in planes, success is sound {inside}", f"{SOUND:g} minus the {share}",
         SOUND - lost(setup, table, "plane", INSIDE), 0),
        (f"in planes, success collapses {outside}", share, plane, COLLAPSE),
        (f"in planes, success collapses {outside} also at a rate times the radius", share,
         lost(setup, table, "far", OUTSIDE), COLLAPSE),
        (f"{outside}, planes lose more than training without one", "difference of shares lost",
         plane - free, MORE),
        ("over radii, the ratio orders the success in planes", "Kendall's tau over radii",
         np.array(tau), ORDERED),
    )  # fmt: skip
    claims = [
        within("wedges-H14", f"{setup.name}: {claim}", how, values, smallest)
        for claim, how, values, smallest in said
    ]
    return claims + correlated(setup, table[table["radius"] == 1])


def correlated(setup: Setup, table: pd.DataFrame) -> list[Found]:
    """Judge over networks at Xavier's radius what the ratio goes with."""
    n = len(table)
    loss, *ends = (
        fieller(table[f"ratio_{DIMS[-1]}"], table[value])
        for value in ("initial_loss", "plane_accuracy", "free_accuracy")
    )
    claims = [
        entry(
            "wedges-H14", f"{setup.name}: at Xavier's radius, a higher ratio goes with a lower "
            "loss at the start", "Kendall's tau", *loss, n, ORDERED, -1,
        )
    ]  # fmt: skip
    for where, (tau, low, high) in zip(("in planes", "without a plane"), ends, strict=True):
        nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        margins = [ORDERED - abs(tau), ORDERED - max(abs(low), abs(high)), ORDERED - nearest]
        claims.append(
            entry(
                "wedges-H14", f"{setup.name}: at Xavier's radius, the ratio hardly goes with the "
                f"accuracy in the end, {where}", f"{ORDERED:g} minus the absolute value of "
                "Kendall's tau", *margins, n, 0,
            )
            | {"tau": tau if math.isfinite(tau) else None}
        )  # fmt: skip
    return claims


def fieller(a: pd.Series, b: pd.Series) -> tuple[float, float, float]:
    """Estimate Kendall's tau with the interval of Fieller, Hartley and Pearson (1957)."""
    tau = float(kendalltau(a, b).statistic)
    reach = 1.96 * math.sqrt(0.437 / (len(a) - 4))
    centre = math.atanh(min(max(tau, -0.999), 0.999))
    return tau, min(math.tanh(centre - reach), tau), max(math.tanh(centre + reach), tau)


def drawn(setups: Sequence[Setup], tables: Sequence[pd.DataFrame], claims: list[Found]) -> Figure:
    figure = canvas.new_figure(18, 4.6 * len(setups) + 1.4)
    panels = figure.subplots(len(setups), 4, squeeze=False)
    for line, setup, table in zip(panels, setups, tables, strict=True):
        _ratios(line[0], setup, table)
        _starts(line[1], setup, table)
        _ends(line[2], setup, table)
        _networks(line[3], setup, table)
    said = [finding(setup, claims) for setup in setups]
    figure.suptitle("\n".join([*said, tally(claims)]), fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        ". ".join(map(described, setups)) + ". Thin lines: networks, thick: medians. Hessian of "
        f"the training loss in random planes of d = {', '.join(map(str, DIMS))}. Rates in planes "
        "are times sqrt(D / d), so that steps are as long as without one. Accuracy on test "
        "examples; lost: of the accuracy above chance.",
    )
    return figure


def described(setup: Setup) -> str:
    return (
        f"{setup.name}: {setup.sizes[0]} training examples, {setup.examples} for Hessians, Adam, "
        f"rate {setup.lr:g}, {setup.epochs} epochs of batches of 32, training in planes of "
        f"d = {setup.dim}; n = {setup.seeds} networks a radius (seeds 0 to {setup.seeds - 1}), "
        f"{setup.networks} at Xavier's"
    )


def finding(setup: Setup, claims: list[Found]) -> str:
    def of(part: str) -> Found:
        return next(c for c in claims if c["claim"].startswith(setup.name) and part in c["claim"])

    peak, more = of("peaks within"), of("planes lose more")
    fall = of(f"collapses at {OUTSIDE:g} times Xavier's radius")
    return (
        f"{setup.name}: trace / norm peaks within a factor of 2 of Xavier's radius: "
        f"{peak['verdict']}; at {OUTSIDE:g} times it planes lose half of their success: "
        f"{fall['verdict']} ({fall['effect']:.0%}; without planes "
        f"{fall['effect'] - more['effect']:.0%})"
    )


def _along(ax: Axes) -> None:
    ax.axvline(1, color="0.5", ls=":", lw=1.2)
    ax.set_xscale("log")
    canvas.plain(ax.xaxis)
    ax.set_xlabel("radius of the start (Xavier's)")


def _lines(ax: Axes, table: pd.DataFrame, colour: Any, **style: Any) -> None:
    ax.plot(table.columns, table.to_numpy().T, color=colour, lw=0.6, alpha=0.3)
    ax.plot(table.columns, table.median(), color=colour, lw=2.4, **style)


def _ratios(ax: Axes, setup: Setup, table: pd.DataFrame) -> None:
    for dim, colour, mark in zip(DIMS, canvas.colours(3), "os^", strict=True):
        _lines(ax, few(setup, table, f"ratio_{dim}"), colour, marker=mark, label=f"d = {dim}")
    _along(ax)
    ax.set_ylabel("trace / Frobenius norm of the Hessian (1)")
    ax.legend(fontsize=9, frameon=False)
    peaks = few(setup, table, f"ratio_{DIMS[-1]}").idxmax(axis=1)
    canvas.title(
        ax, f"{setup.name}: the ratio peaks at {peaks.median():g} times Xavier's radius (median "
        f"of {setup.seeds}, from {peaks.min():g} to {peaks.max():g})",
    )  # fmt: skip


def _starts(ax: Axes, setup: Setup, table: pd.DataFrame) -> None:
    blue, orange = canvas.colours(2)
    positive, other = few(setup, table, "positive"), ax.twinx()
    _lines(ax, positive, blue, marker="o")
    _lines(other, few(setup, table, "initial_loss"), orange, marker="s", ls="--")
    _along(ax)
    other.set_yscale("log")
    canvas.plain(other.yaxis)
    ax.set_ylabel(f"eigenvalues above 0 (fraction), d = {DIMS[-1]}", color=blue)
    other.set_ylabel("training loss at the start (nats), dashed", color=orange)
    middle = positive.median()
    canvas.title(
        ax, f"{middle[1.0]:.0%} of eigenvalues are positive at Xavier's radius, at "
        f"most {middle.max():.0%} (at {middle.idxmax():g})",
    )  # fmt: skip


WAYS = {"plane": ("in a plane", "-", "o"), "far": ("in a plane, rate x radius", "-.", "^"),
        "free": ("without a plane", "--", "s")}  # fmt: skip


def _ends(ax: Axes, setup: Setup, table: pd.DataFrame) -> None:
    for colour, (way, (label, dash, mark)) in zip(canvas.colours(3), WAYS.items(), strict=True):
        values = few(setup, table, f"{way}_accuracy")
        _lines(ax, values, colour, ls=dash, marker=mark, label=label)
    ax.axhline(CHANCE, color="0.5", ls=":", lw=1.2)
    _along(ax)
    ax.set_ylim(0, 1)
    ax.set_ylabel("test accuracy after training (1)")
    ax.legend(fontsize=9, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.1))
    shares = [lost(setup, table, way, OUTSIDE).mean() for way in WAYS]
    canvas.title(
        ax, f"{OUTSIDE:g} times Xavier's radius costs {shares[0]:.0%} in a plane, "
        f"{shares[1]:.0%} at a rate x radius, {shares[2]:.0%} without",
    )  # fmt: skip


def _networks(ax: Axes, setup: Setup, table: pd.DataFrame) -> None:
    some, other = table[table["radius"] == 1], ax.twinx()
    ratio, values = some[f"ratio_{DIMS[-1]}"], ("initial_loss", "plane_accuracy")
    for axes, colour, mark, value in zip(
        (other, ax), canvas.colours(2), "os", values, strict=True
    ):
        axes.plot(ratio, some[value], mark, color=colour, ms=5, alpha=0.6, mew=0)
    ax.set_xlabel(f"trace / Frobenius norm of the Hessian (1), d = {DIMS[-1]}")
    ax.set_ylabel("test accuracy in a plane (1), squares", color=canvas.colours(2)[1])
    other.set_ylabel("training loss at the start (nats), dots", color=canvas.colours(2)[0])
    taus = [kendalltau(ratio, some[value]).statistic for value in values]
    canvas.title(
        ax, f"at Xavier's radius (n = {len(some)}), tau of the ratio is "
        f"{taus[0]:+.2f} with the first loss, {taus[1]:+.2f} with the accuracy",
    )  # fmt: skip
