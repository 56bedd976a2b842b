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

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import over
from evidence.figure import Flags, Made
from evidence.judging import correlated, judge, tally
from evidence.proportions import counted
from evidence.rows import Row, Rows, about
from matplotlib.axes import Axes
from papers.wang import networks as wang

from jumpretrain.comparison.hypothesis_tests import spearman
from jumpretrain.plots import canvas
from jumpretrain.toys.bias_toy import BiasToy, train_toys

CELLS = (
    (2, 0.1), (2, 0.3), (3, 0.03), (3, 0.1), (3, 0.3), (4, 0.1), (4, 0.3), (6, 0.3), (6, 0.5)
)  # fmt: skip
CLASSES, LR, UNTIL, ALPHAS = 4, 0.1, 0.02, 101
LONGEST = 100_000  # steps; toys whose slowest class would need more to escape are left out
SHARE, CORRELATION, REACH = 0.9, 0.5, 0.1  # the smallest effects of interest
LONGER, LASTS = 0.08, 0.1  # the least difference of error plateaus, the least loss plateau
RANKED = 0.2  # the least rank correlation
HELD = 0.2  # the shortest error plateau on which the loss is compared with log k
WAYS = "linear", "homogeneous"
OVER = "over cells of degree and scale: "
PLACES = "first", "2nd", "3rd", "last"


def make(asked: Flags) -> Made:
    cells = ((2, 0.3), (3, 0.1), (4, 0.3)) if asked.quick else CELLS
    shown, count = ((4, 0.3), 3) if asked.quick else ((4, 0.1), 20)
    found = over(asked, trained, [(*cell, count) for cell in cells], "toys")
    table = pd.DataFrame([row for rows in found for row in rows])
    same = table[(table["degree"] == shown[0]) & (table["scale"] == shown[1])]
    claims, history = judged(table), training(same.iloc[0])
    drift = max(toy.drift for toy in table["toy"])
    levels = (1 - 1 / CLASSES, "1 − 1/k"), (math.log(CLASSES), "log k")
    figure = panels.sheet((16, 10.2), (2, 3), [
        (_training, history, same.iloc[0]), (_orders, table),
        (_paths, same, "error", "training error", *levels[0]), (_turning, table),
        (_excess, table), (_paths, same, "loss", "training loss (nats)", *levels[1]),
    ])  # fmt: skip
    panels.head(figure, finding(table, claims), claims, described(table, drift))
    facts = {"classes": CLASSES, "claims": claims, "one_sample": pooled(table)}
    facts |= {"degrees": by_degree(table), "largest_sum_of_biases": drift}
    return figure, facts | {
        "recipe": {"lr": LR, "until": UNTIL, "optimiser": "gradient descent"},
        "cells": [{"degree": d, "scale": s, "networks": count} for d, s in cells],
        "left_out": f"toys predicted to need more than {LONGEST} steps",
        "networks": table.drop(columns=["toy", *WAYS]).to_dict("records"),
        "training": {"degree": shown[0], "scale": shown[1], **history},
        "paths": [
            {"seed": row["seed"]} | {way: row[way].metrics for way in WAYS}
            for row in same.to_dict("records")
        ],
    }


def trained(degree: int, scale: float, count: int) -> Rows:
    """Train the toys of a cell, those that do not take too long, and measure them."""
    short = (seed for seed in itertools.count() if escape(seed, degree, scale) <= LONGEST)
    seeds = list(itertools.islice(short, count))
    toys = train_toys(seeds, CLASSES, degree, scale, LR, UNTIL)
    cell = {"degree": degree, "scale": scale}
    return [cell | {"seed": seed} | measured(toy) for seed, toy in zip(seeds, toys, strict=True)]


def escape(seed: int, degree: int, scale: float) -> float:
    """Predict the steps until the smallest own weight w of a class has grown.

    dw/dt = (r / k) (1 - 1 / k) w^(r - 1) gives t = k w^(2 - r) / (r (r - 2) (1 - 1 / k)); at r = 2
    growth is exponential and never long.
    """
    if degree == 2:
        return 0.0
    draws = np.random.default_rng(seed).normal(size=(CLASSES, CLASSES))
    smallest = scale * np.abs(draws.diagonal()).min()
    rate = degree * (degree - 2) * (1 - 1 / CLASSES) / CLASSES * LR
    return float(smallest ** (2 - degree) / rate)


def training(row: pd.Series) -> Row:
    """Follow a toy through training: descent is the same however early it is stopped."""
    toy, seed = row["toy"], int(row["seed"])
    levels = np.linspace(math.log(CLASSES), UNTIL, 120)[1:-1]
    cell = [seed], CLASSES, toy.degree, row["scale"], LR
    stages = [*(train_toys(*cell, level)[0] for level in levels), toy]
    weights = [toy.initial, *(stage.weights for stage in stages)]
    return {
        "seed": seed,
        "steps": [0, *(stage.steps for stage in stages)],
        "signal": [(some.diagonal() ** toy.degree).tolist() for some in weights],
        "bias": [[0.0] * CLASSES, *(stage.biases.tolist() for stage in stages)],
        "learned": toy.learned.tolist(),
    }


def measured(toy: BiasToy) -> Row:
    """Measure a toy, as a row of a table, with its paths, whose biases are alpha or alpha^r."""
    paths = toy.path(ALPHAS), toy.path(ALPHAS, "homogeneous")
    linear, homogeneous = (path.plateau() for path in paths)
    plateaus = {"linear_error": linear.error, "linear_loss": linear.loss, "excess": linear.excess}
    plateaus |= {"homogeneous_error": homogeneous.error, "homogeneous_loss": homogeneous.loss}
    wrong = np.asarray(paths[0].class_error["train"]) > 0
    turns = np.where(wrong, paths[0].alphas[:, None], 0).max(axis=0)
    order = np.argsort(toy.learned, kind="stable")
    lists = {"learned": toy.learned, "biases": toy.biases, "predicted": toy.predicted}
    lists["turns"] = turns
    return {
        "toy": toy,
        **dict(zip(WAYS, paths, strict=True)),
        "steps": toy.steps,
        **{name: values.tolist() for name, values in lists.items()},
        "off": float(np.abs(np.minimum(toy.predicted, 1) - turns).mean()),
        "same_order": bool((order == np.argsort(toy.biases)).all()),
        "last_is_largest": bool(order[-1] == toy.biases.argmax()),
        "correlation": float(np.corrcoef(-toy.biases, turns)[0, 1]),
        **plateaus,
        "rise": paths[0].monotonicity().min_delta,
        "variance": float(toy.biases.var()),
        **wang.middle(paths[0], toy.biases),
    }


def judged(table: pd.DataFrame) -> Rows:
    """Judge toys: a cell of degree and scale, whose toys are alike, is one of a sample.

    Over cells and in each; claims on the order (H16) count toys.
    """
    cells, held = by_cell(table), lasting(table)
    claims = [
        *ordered(table),
        *plateaus(cells, OVER),
        *turning(cells, OVER),
        *(claim for where, some in apart(table) for claim in turning(some, where)),
        *wang.lifted(by_cell(held), OVER, HELD),
        *(claim for where, some in apart(held) for claim in wang.lifted(some, where, HELD)),
        *ranked(cells, OVER),
    ]
    for claim in about(claims, OVER):
        units = "networks", "cells of means over networks"
        claim["statistic"] = claim["statistic"].replace(*units, 1)
    return claims


def pooled(table: pd.DataFrame) -> Rows:
    """Judge toys as they were before: as one sample, and those of a degree with scales pooled."""
    groups = [("", table)] + [(f"r = {k}: ", some) for k, some in table.groupby("degree")]
    held = [(where, some[some["linear_error"] >= HELD]) for where, some in groups]
    return [
        *plateaus(table),
        *(claim for where, some in groups for claim in turning(some, where)),
        *(claim for where, some in held for claim in wang.lifted(some, where, HELD)),
        *ranked(table),
    ]


def by_cell(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby(["degree", "scale"]).mean(numeric_only=True)


def apart(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    groups = table.groupby(["degree", "scale"])
    return [(f"r = {degree}, scale {scale:g}: ", some) for (degree, scale), some in groups]


def lasting(table: pd.DataFrame) -> pd.DataFrame:
    """Keep toys with an error plateau, of cells that have two of them or more."""
    held = table[table["linear_error"] >= HELD]
    return held[held.groupby(["degree", "scale"])["seed"].transform("size") > 1]


def ordered(table: pd.DataFrame) -> Rows:
    how = "share of networks, each counted, though those of one degree and scale are alike"
    same = "classes are learned in the order of their biases at the end", table["same_order"]
    last = "the class learned last has the largest bias", table["last_is_largest"]
    found = (counted("interpolation-H16", *row, SHARE) for row in (same, last))
    return [claim | {"statistic": how} for claim in found]


def plateaus(table: pd.DataFrame, where: str = "") -> Rows:
    """Judge how long error and loss stay high."""
    longer = f"{where}the error stays high longer on the linear path than on the homogeneous one"
    lasts = f"{where}the loss has a plateau on the homogeneous path too"
    gap, loss = table["linear_error"] - table["homogeneous_error"], table["homogeneous_loss"]
    return judge("interpolation-", [
        ("H13", longer, "difference of error plateaus, in alpha", gap, LONGER),
        ("H14", lasts, "length of the loss plateau, in alpha", loss, LASTS),
    ])  # fmt: skip


def turning(table: pd.DataFrame, where: str = "") -> Rows:
    """Judge when classes turn right: by biases, and as degree counting has it."""
    later = f"{where}classes with smaller biases turn right later on the linear path"
    rho = "Pearson's correlation over classes of minus the bias and alpha"
    near = f"{where}degree counting predicts to {REACH} at which alpha a class turns right"
    left = f"{REACH} minus the mean absolute difference over classes"
    rows = (later, rho, table["correlation"], CORRELATION), (near, left, REACH - table["off"], 0)
    return judge("interpolation-", [("H17", *row) for row in rows])


def ranked(table: pd.DataFrame, where: str = "") -> Rows:
    """Judge whether the loss rises with the variance of the biases; nothing of three or fewer."""
    if len(table) < 4:
        return []
    found = spearman(table["rise"], table["variance"])
    claim = f"{where}the loss rises more on the linear path where the biases vary more"
    how = "Spearman's rho over networks of the variance of the biases and min Delta"
    return [correlated("interpolation-H18", claim, how, found, len(table), RANKED)]


def by_degree(table: pd.DataFrame) -> Rows:
    """Summarise the toys of each degree, as rows of a table."""
    names = "linear_error", "homogeneous_error", "linear_loss", "homogeneous_loss"
    names = *names, "correlation", "off", "rise", "excess"
    found = {"networks": ("seed", "size")}
    found |= {name: (name, "sum") for name in ("same_order", "last_is_largest")}
    found |= {f"mean_{name}": (name, "mean") for name in names}
    return table.groupby("degree").agg(**found).reset_index().to_dict("records")


def described(table: pd.DataFrame, drift: float) -> str:
    cells = table.groupby(["degree", "scale"]).ngroups
    groups = table.groupby("degree")["scale"].unique().items()
    scales = "; ".join(
        f"r {degree}, scale {' and '.join(map(str, some))}" for degree, some in groups
    )
    return (
        f"f_i(x) = sum_j W_ij^r x_j + b_i, k = {CLASSES} classes of one point each, b = 0 at the "
        f"start; gradient descent, learning rate {LR}, until the loss is {UNTIL}; n = "
        f"{len(table)} networks: {len(table) // cells} seeds for each of {cells} pairs of degree "
        f"r and initial scale ({scales}); seeds that would need over {LONGEST:,} steps are left "
        f"out before training. Biases sum to 0 throughout (at most {drift:.0e} off). Path: "
        f"{ALPHAS} alphas."
    )


def finding(table: pd.DataFrame, claims: Rows) -> str:
    return (
        f"Learning and biases have the same order in {int(table['same_order'].sum())} of "
        f"{len(table)} toys.\nCorrelation of −bias with the alpha at which a class turns right: "
        f"{_said(claims, 'smaller biases')}.\nError of degree counting, in alpha: "
        f"{_said(claims, 'degree counting', REACH)}.\nLoss above log k over alpha² Var(b) / 2, "
        f"ratio of sums: {_said(claims, 'half way')}"
    )


def _said(claims: Rows, part: str, margin: float | None = None) -> str:
    """Say what claims find over cells and in each; of a margin, what it was taken from."""
    whole, cells = "not judged over cells", []
    for claim in about(claims, part):
        if claim["claim"].startswith("r = "):
            cells.append(claim)
        else:
            effect = margin - claim["effect"] if margin else claim["effect"]
            whole = f"over cells {effect:.2f}, {claim['verdict']}"
    return f"{whole}; {tally(cells).replace('claims', 'cells')}"


def _training(ax: Axes, history: Row, row: pd.Series) -> None:
    order = np.argsort(history["learned"])
    signal, bias = np.array(history["signal"]), np.array(history["bias"])
    for place, label, colour in zip(PLACES, order, canvas.colours(CLASSES), strict=True):
        name = f"class learned {place}"
        ax.plot(history["steps"], signal[:, label], color=colour, lw=2, label=name)
        ax.plot(history["steps"], bias[:, label], color=colour, lw=1.5, ls="--")
    ax.plot([], [], color="0.3", lw=2, label="signal W^r")
    ax.plot([], [], color="0.3", lw=1.5, ls="--", label="bias b")
    how = f"(r = {row['degree']}, scale {row['scale']})"
    title = f"training of one toy, seed {row['seed']} {how}"
    sides = "steps of gradient descent", "contribution to the class's own output"
    panels.label(ax, *sides, title, fontsize=9)


def _orders(ax: Axes, table: pd.DataFrame) -> None:
    grid = np.zeros((CLASSES, CLASSES), dtype=int)
    for learned, biases in zip(table["learned"], table["biases"], strict=True):
        ranks = (np.argsort(np.argsort(values, kind="stable")) for values in (learned, biases))
        np.add.at(grid, tuple(ranks), 1)
    ax.imshow(grid.T, origin="lower", cmap="Blues", vmin=0, vmax=1.4 * len(table))
    for (learned, bias), count in np.ndenumerate(grid):
        ax.text(learned, bias, str(count), ha="center", va="center", fontsize=12)
    ax.set_xticks(range(CLASSES), PLACES)
    ax.set_yticks(range(CLASSES), ["smallest", "2nd", "3rd", "largest"])
    title = "number of toys by both orders; diagonal: the same place"
    sides = "place in the order of learning", "place in the order of biases"
    panels.label(ax, *sides, title)


def _paths(ax: Axes, rows: pd.DataFrame, kind: str, label: str, level: float, words: str) -> None:
    for way, style, colour in zip(WAYS, ("-", "--"), canvas.colours(2), strict=True):
        losses = [path.metrics[f"train_{kind}"] for path in rows[way]]
        style = {"color": colour, "ls": style}
        ax.plot(rows[way].iloc[0].alphas, np.transpose(losses), lw=0.9, alpha=0.7, **style)
        ax.plot([], [], lw=2, label=f"{way} path, n = {len(rows)}", **style)
    ax.axhline(level, color="0.4", ls=":", lw=1.2, label=words)
    linear, homogeneous = (rows[f"{way}_{kind}"].median() for way in WAYS)
    degree, scale = rows[["degree", "scale"]].iloc[0]
    title = f"{kind} plateau, median: {linear:.2f} linear, {homogeneous:.2f} homogeneous (r = "
    title += f"{degree:g}, scale {scale})"
    panels.label(ax, "alpha", label, title, fontsize=9)


def _turning(ax: Axes, table: pd.DataFrame) -> None:
    for style, rows in _degrees(table):
        predicted, turns = (np.concatenate(rows[name].tolist()) for name in ("predicted", "turns"))
        ax.scatter(np.minimum(predicted, 1), turns, s=22, **style)
    panels.equal(ax, label="equal")
    predicted = "alpha predicted by degree counting, a dot a class"
    sides = predicted, "last alpha at which the class is wrong"
    panels.label(ax, *sides, "where classes turn right on the linear path", fontsize=9)


def _excess(ax: Axes, table: pd.DataFrame) -> None:
    held = table[table["linear_error"] >= HELD]
    for style, rows in _degrees(held):
        ax.scatter(rows["middle_expected"], rows["middle_excess"], s=24, **style)
    panels.equal(ax, float(held["middle_expected"].max()), "equal")
    title = "the loss half way along the error plateau; along the whole path it rises by up to "
    title += f"{table['rise'].max():.2g} nats"
    panels.label(ax, *wang.MIDDLE, title, fontsize=9)


def _degrees(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Take the toys of each degree, and how their dots look."""
    groups = table.groupby("degree")
    for (degree, rows), colour in zip(groups, canvas.colours(groups.ngroups), strict=True):
        label = f"r = {degree}, n = {len(rows)}"
        yield {"color": [colour], "alpha": 0.6, "lw": 0, "label": label}, rows
