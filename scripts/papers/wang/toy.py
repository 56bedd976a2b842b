"""The toy of arXiv:2210.01019: four classes, signals of degree r beside biases of degree 1.

Signals and biases while a toy is trained; the order in which classes are learned against that of
their biases; error and loss along linear and homogeneous paths; the alphas at which classes turn
right and the loss above log k, each against what degree counting predicts. H13, H14 and H16 to
H18 are judged. The exact form of the toy is derived, not the paper's.

Changed after a review that had seen the numbers: toys of one degree and scale are alike, so that a
cell of both is the unit, first for H17, since then for H13, H14 and H18 too, and H17 and H18 are
judged in each cell instead of in each degree with its scales pooled (`one_sample` in the JSON has
the verdicts before; H16 still counts toys). The loss half way along the plateau was judged by the
mean of ratios with tiny denominators; now it is by the ratio of sums.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import tally
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.wang.toy_networks import (
    ALPHAS,
    CLASSES,
    HELD,
    LONGEST,
    LR,
    REACH,
    UNTIL,
    Course,
    by_degree,
    judged,
    measured,
    pooled,
    trained,
    training,
)

from jumpretrain.execution.execution import Execution, spread
from jumpretrain.plots import canvas

CELLS = (
    (2, 0.1), (2, 0.3), (3, 0.03), (3, 0.1), (3, 0.3), (4, 0.1), (4, 0.3), (6, 0.3), (6, 0.5)
)  # fmt: skip
SHOWN = (4, 0.1)


def make(asked: Flags) -> Made:
    cells = ((2, 0.3), (3, 0.1), (4, 0.3)) if asked.quick else CELLS
    shown = (4, 0.3) if asked.quick else SHOWN
    count = 3 if asked.quick else 20
    jobs = [(degree, scale, count) for degree, scale in cells]
    cell_courses = spread(
        trained, jobs, Execution(n_jobs=1 if asked.quick else asked.jobs), "toys"
    )
    courses = [course for cell in cell_courses for course in cell]
    example = next(c for c in courses if (c.toy.degree, c.scale) == shown)
    history = training(example)
    table = pd.DataFrame([measured(course) for course in courses])
    claims = judged(table)
    return drawn(asked, courses, shown, history, table, claims), {
        "classes": CLASSES,
        "recipe": {"lr": LR, "until": UNTIL, "optimiser": "gradient descent"},
        "cells": [{"degree": d, "scale": s, "networks": count} for d, s in cells],
        "left_out": f"toys predicted to need more than {LONGEST} steps",
        "claims": claims,
        "one_sample": pooled(table),
        "degrees": by_degree(table),
        "largest_sum_of_biases": max(course.toy.drift for course in courses),
        "networks": table.to_dict("records"),
        "training": {"degree": shown[0], "scale": shown[1], "seed": example.seed, **history},
        "paths": [
            {"seed": c.seed, "linear": c.linear.metrics, "homogeneous": c.homogeneous.metrics}
            for c in courses
            if (c.toy.degree, c.scale) == shown
        ],
    }


def drawn(
    asked: Flags,
    courses: list[Course],
    shown: tuple[int, float],
    history: dict[str, Any],
    table: pd.DataFrame,
    claims: list[dict[str, Any]],
) -> Figure:
    figure = canvas.new_figure(16, 10.2)
    panels = figure.subplots(2, 3)
    same = [course for course in courses if (course.toy.degree, course.scale) == shown]
    _training(panels[0, 0], history, shown, same[0].seed)
    _orders(panels[0, 1], table)
    _paths(panels[0, 2], same, "train_error", "training error")
    _turning(panels[1, 0], table)
    _excess(panels[1, 1], table)
    _paths(panels[1, 2], same, "train_loss", "training loss (nats)")
    cells = table.groupby(["degree", "scale"]).ngroups
    scales = "; ".join(
        f"r {degree}, scale {' and '.join(map(str, group.unique()))}"
        for degree, group in table.groupby("degree")["scale"]
    )
    figure.suptitle(f"{finding(table, claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        f"f_i(x) = sum_j W_ij^r x_j + b_i, k = {CLASSES} classes of one point each, b = 0 at the "
        f"start; gradient descent, learning rate {LR}, until the loss is {UNTIL}; n = "
        f"{len(table)} networks: {len(table) // cells} seeds for each of {cells} pairs of degree "
        f"r and initial scale ({scales}); seeds that would need over "
        f"{LONGEST:,} steps are left out before training. Biases "
        f"sum to 0 throughout (at most {max(c.toy.drift for c in courses):.0e} off). Path: "
        f"{ALPHAS} alphas.",
    )
    return figure


def finding(table: pd.DataFrame, claims: list[dict[str, Any]]) -> str:
    return (
        f"Learning and biases have the same order in {int(table['same_order'].sum())} of "
        f"{len(table)} toys.\nCorrelation of −bias with the alpha at which a class turns right: "
        f"{_said(claims, 'smaller biases')}.\nError of degree counting, in alpha: "
        f"{_said(claims, 'degree counting', REACH)}.\nLoss above log k over alpha² Var(b) / 2, "
        f"ratio of sums: {_said(claims, 'half way')}"
    )


def _said(claims: list[dict[str, Any]], part: str, margin: float | None = None) -> str:
    """Say what claims find over cells and in each; of a margin, what it was taken from."""
    some = [c for c in claims if part in c["claim"]]
    apart = [c for c in some if c["claim"].startswith("r = ")]
    whole = [f"over cells {_shown(c, margin)}, {c['verdict']}" for c in some if c not in apart]
    tallied = tally(apart).replace("claims", "cells")
    return f"{' '.join(whole) or 'not judged over cells'}; {tallied}"


def _shown(claim: dict[str, Any], margin: float | None) -> str:
    return f"{margin - claim['effect'] if margin else claim['effect']:.2f}"


def _training(ax: Axes, history: dict[str, Any], shown: tuple[int, float], seed: int) -> None:
    order = np.argsort(history["learned"])
    signal, bias = np.array(history["signal"]), np.array(history["bias"])
    for rank, (label, colour) in enumerate(zip(order, canvas.colours(CLASSES), strict=True)):
        name = f"class learned {('first', '2nd', '3rd', 'last')[rank]}"
        ax.plot(history["steps"], signal[:, label], color=colour, lw=2, label=name)
        ax.plot(history["steps"], bias[:, label], color=colour, lw=1.5, ls="--")
    ax.plot([], [], color="0.3", lw=2, label="signal W^r")
    ax.plot([], [], color="0.3", lw=1.5, ls="--", label="bias b")
    ax.set_xlabel("steps of gradient descent")
    ax.set_ylabel("contribution to the class's own output")
    ax.legend(fontsize=9, frameon=False)
    canvas.title(ax, f"training of one toy, seed {seed} (r = {shown[0]}, scale {shown[1]})")


def _orders(ax: Axes, table: pd.DataFrame) -> None:
    grid = np.zeros((CLASSES, CLASSES), dtype=int)
    for learned, biases in zip(table["learned"], table["biases"], strict=True):
        ranks = (np.argsort(np.argsort(values, kind="stable")) for values in (learned, biases))
        np.add.at(grid, tuple(ranks), 1)
    ax.imshow(grid.T, origin="lower", cmap="Blues", vmin=0, vmax=1.4 * len(table))
    for (learned, bias), count in np.ndenumerate(grid):
        ax.text(learned, bias, str(count), ha="center", va="center", fontsize=12)
    names = ["first", "2nd", "3rd", "last"]
    ax.set_xticks(range(CLASSES), names)
    ax.set_yticks(range(CLASSES), ["smallest", "2nd", "3rd", "largest"])
    ax.set_xlabel("place in the order of learning")
    ax.set_ylabel("place in the order of biases")
    canvas.title(ax, "number of toys by both orders; diagonal: the same place")


def _paths(ax: Axes, courses: list[Course], metric: str, label: str) -> None:
    styles = {"linear": "-", "homogeneous": "--"}
    medians = {}
    for (name, style), colour in zip(styles.items(), canvas.colours(2), strict=True):
        paths = [getattr(course, name) for course in courses]
        kind = metric.rpartition("_")[2]
        medians[name] = np.median([getattr(path.plateau(), kind) for path in paths])
        for path in paths:
            ax.plot(path.alphas, path.metrics[metric], style, color=colour, lw=0.9, alpha=0.7)
        ax.plot([], [], style, color=colour, lw=2, label=f"{name} path, n = {len(paths)}")
    level, words = (
        (1 - 1 / CLASSES, "1 − 1/k") if metric == "train_error" else (math.log(CLASSES), "log k")
    )
    ax.axhline(level, color="0.4", ls=":", lw=1.2, label=words)
    ax.set_xlabel("alpha")
    ax.set_ylabel(label)
    ax.legend(fontsize=9, frameon=False)
    toy = courses[0].toy
    canvas.title(
        ax,
        f"{metric.rpartition('_')[2]} plateau, median: {medians['linear']:.2f} linear, "
        f"{medians['homogeneous']:.2f} homogeneous (r = {toy.degree}, scale {courses[0].scale})",
    )


def _turning(ax: Axes, table: pd.DataFrame) -> None:
    for degree, colour in _degrees(table):
        rows = table[table["degree"] == degree]
        predicted, turns = (np.concatenate(rows[name].tolist()) for name in ("predicted", "turns"))
        ax.scatter(
            np.minimum(predicted, 1), turns, s=22, color=[colour], alpha=0.6, lw=0,
            label=f"r = {degree}, n = {len(rows)}",
        )  # fmt: skip
    ax.plot([0, 1], [0, 1], color="0.4", ls=":", lw=1.2, label="equal")
    ax.set_xlabel("alpha predicted by degree counting, a dot a class")
    ax.set_ylabel("last alpha at which the class is wrong")
    ax.legend(fontsize=9, frameon=False)
    canvas.title(ax, "where classes turn right on the linear path")


def _excess(ax: Axes, table: pd.DataFrame) -> None:
    held = table[table["linear_error"] >= HELD]
    for degree, colour in _degrees(held):
        rows = held[held["degree"] == degree]
        ax.scatter(rows["middle_expected"], rows["middle_excess"], s=24, color=[colour], alpha=0.6,
                   lw=0, label=f"r = {degree}, n = {len(rows)}")  # fmt: skip
    top = float(held["middle_expected"].max())
    ax.plot([0, top], [0, top], color="0.4", ls=":", lw=1.2, label="equal")
    ax.set_xlabel("alpha² Var(b) / 2 (nats), a dot a network")
    ax.set_ylabel("training loss − log k (nats)")
    ax.legend(fontsize=9, frameon=False)
    canvas.title(
        ax,
        "the loss half way along the error plateau; along the whole path it rises by up to "
        f"{float(table['rise'].max()):.2g} nats",
    )


def _degrees(table: pd.DataFrame) -> list[tuple[int, canvas.Colour]]:
    degrees = sorted(table["degree"].unique())
    return list(zip(degrees, canvas.colours(len(degrees)), strict=True))
