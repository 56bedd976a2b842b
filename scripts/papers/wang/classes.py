"""Biases and the order of classes in real networks, after arXiv:2210.01019.

Errors of the classes along one network's linear path, coloured by their last-layer biases; over
networks, these biases against the epoch at which classes are learned and against the alpha at
which they turn right, that alpha against the one that degree counting predicts, and the loss on
the plateau against what the biases alone would make it. H16 to H18 are judged.

Changed after a review that had seen the numbers: the claim that the class learned last has the
largest bias was judged in the toy alone, and is judged here too; the loss half way along the
plateau was judged by the mean of ratios with tiny denominators, and is by the ratio of sums; which
class the plateau predicts is counted only where that plateau is as long as for the loss.
"""

from dataclasses import asdict, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from evidence import panels
from evidence.cells import QUIET, over, trained
from evidence.figure import Flags, Made
from evidence.judging import judge, within
from evidence.proportions import counted
from evidence.rows import Array, Row, Rows, about, effect
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.wang import networks as wang
from papers.wang.networks import CLASSES, NAMES, TRAINED, Cell

import jumpretrain as jr
from jumpretrain.paths.biases import BiasReport
from jumpretrain.plots import canvas

ALPHAS = 101
CHUNK = 5  # networks a job
HELD = 0.1  # the shortest error plateau on which a loss or a prediction is looked at, in alpha
CORRELATION, SHARE = 0.3, 0.5  # the least correlation over classes, the least share of networks
ABOVE = 0.01  # nats above log k
RISES = 1e-3  # nats; paths that rise by more are counted, as in arXiv:2104.11044
OVER = "Spearman's rho over the classes of a network of"
JUDGED = (
    ("H16", "classes learned later have larger biases",
     f"{OVER} the epoch of learning and the bias", "bias_and_learning", CORRELATION),
    ("H16", "classes learned later turn right earlier on the path",
     f"{OVER} the epoch of learning and alpha", "learning_and_turning", CORRELATION, -1),
    ("H17", "classes with smaller biases turn right later on the path",
     f"{OVER} minus the bias and alpha", "bias_and_turning", CORRELATION),
    ("H17", "degree counting predicts the alphas at which classes turn right",
     "Pearson's correlation over the classes of a network of both alphas", "agreement",
     CORRELATION),
    ("H18", "the loss rises above log k on the path",
     "largest loss on the path minus log k, in nats", "excess", ABOVE),
)  # fmt: skip
SIDES = {
    "learned": "epoch at which the class is learned",
    "biases": "bias of the class (last layer)",
    "turns": "last alpha, half of the class wrong",
    "predicted": "alpha predicted by degree counting",
}
SCATTERS = (
    ("learned", "biases", "learned later, larger bias?\nρ", "bias_and_learning", 1),
    ("biases", "turns", "larger bias, right earlier?\nρ", "bias_and_turning", -1),
    ("predicted", "turns", "predicted and observed alpha:\nr", "agreement", 1),
)


def make(asked: Flags) -> Made:
    names, depth = ("digits",) if asked.quick else ("fashion_mnist", "digits"), 5
    size, seeds, recipe = 2000, list(range(10)), replace(wang.RECIPE, record_every=1)
    if asked.quick:
        depth, size, seeds, recipe = 3, 400, [0, 1, 2], replace(wang.QUICK, record_every=1)
    cells = [Cell(name, depth, 0.25, "last") for name in names]
    parts = [seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)]
    jobs = [(asked, cell, size, recipe, some) for cell, some in product(cells, parts)]
    every = pd.DataFrame([row for rows in over(asked, followed, jobs, "cells") for row in rows])
    table = every[[path.values("train_loss")[-1] <= TRAINED for path in every["path"]]]
    claims = [claim for name in names for claim in judged(name, table[table["data"] == name])]
    shown = {name: table[table["data"] == name].iloc[0] for name in names}
    lost = len(every) - len(table)
    network = f"He-normal weights x {cells[0].scale}, a bias in the last layer only, 0 at first"
    said = f"MLP, ReLU, depth {depth}, width {wang.WIDTH}, {network}; {wang.trainings(recipe)}"
    facts = {"data": names, "training_examples": size, "recipe": asdict(recipe), "seeds": seeds}
    return drawn(shown, table, claims, described(said, lost, shown, table)), facts | {
        "network": f"mlp, ReLU, width {wang.WIDTH}, depth {depth}, {network}",
        "left_out": f"{lost} networks with a final loss above {TRAINED}",
        "claims": claims,
        "rising": rising(table),
        "networks": table.drop(columns=["path", "first"]).to_dict("records"),
        "paths": {
            name: {
                "seed": int(row["seed"]),
                "alphas": row["path"].alphas,
                "class_error": np.round(np.asarray(row["path"].class_error["train"]), 4),
                "train_loss": np.round(row["path"].metrics["train_loss"], 4),
            }
            for name, row in shown.items()
        },
    }


def chance(label: int, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give the probability of a class where it is the target, and 0 elsewhere."""
    return outputs.softmax(1)[:, label] * (targets == label)


def followed(asked: Flags, cell: Cell, size: int, recipe: jr.Recipe, seeds: list[int]) -> Rows:
    """Train networks and see when each class is learned, and when it turns right on the path."""
    measures = {f"chance{label}": partial(chance, label) for label in range(CLASSES)}
    task = replace(wang.task(cell, size), metrics=measures)
    runs = trained(asked, f"{cell.data}-{seeds[0]}", task, recipe, seeds, jobs=1)
    labels = task.tensors["scored_y"].cpu().numpy()
    shares = np.bincount(labels, minlength=CLASSES) / len(labels)
    means = np.stack([runs.metrics[f"train_{name}"] for name in measures], axis=-1) / shares
    rows = []
    for seed, mean, *ends in zip(seeds, means, runs.initial, runs.final, strict=True):
        path = jr.interpolate(task, *ends, ALPHAS, execution=QUIET)
        learned = np.array([reached(runs.epoch, column) for column in mean.T])
        found = measured(path, jr.bias_report(task, path), learned)
        rows.append({"data": cell.data, "seed": seed, **found})
    return rows


def reached(epoch: Array, means: Array) -> float:
    """Find when means first reach 1/2, between two records by a straight line; or the end."""
    after = int((means >= 0.5).argmax())
    pair = slice(after - 1, after + 1)
    return float(np.interp(0.5, means[pair], epoch[pair]) if after else epoch[-1])


def measured(path: jr.Path, report: BiasReport, learned: Array) -> Row:
    """Measure a network, as a row of a table, with its path."""
    plateau, largest, first = path.plateau(), report.order[0], report.plateau_class
    held = plateau.error >= HELD
    plateaus = {"error_plateau": plateau.error, "loss_plateau": plateau.loss, "gap": report.gap}
    plateaus |= {"excess": plateau.excess, "agreement": report.agreement}
    values = {"biases": report.biases, "learned": learned, "turns": report.turns}
    biases, late, turns = map(pd.Series, values.values())
    rho = partial(pd.Series.corr, method="spearman")
    return {
        "path": path,
        "first": f"class {first}" if held else "no class",
        **{name: each.tolist() for name, each in values.items()},
        "predicted": report.predicted.tolist(),
        "bias_and_learning": rho(biases, late),
        "bias_and_turning": rho(-biases, turns),
        "learning_and_turning": rho(late, turns),
        "off": float(np.abs(report.predicted - report.turns).mean()),
        "last_is_largest": bool(learned.argmax() == largest),
        "plateau_class_is_largest": bool(first == largest) if held else None,
        "min_delta": path.monotonicity().min_delta,
        **wang.middle(path, report.biases),
    } | plateaus


def judged(data: str, table: pd.DataFrame) -> Rows:
    claims = judge("interpolation-", [
        (name, f"{data}: {claim}", how, table[column], *smallest)
        for name, claim, how, column, *smallest in JUDGED
    ])  # fmt: skip
    claim = f"{data}: the class learned last has the largest bias"
    claims.insert(2, counted("interpolation-H16", claim, table["last_is_largest"], SHARE))
    held = table[table["error_plateau"] >= HELD]
    if len(held) < 2:
        return claims
    claim = f"{data}: on the error plateau the class with the largest bias is predicted"
    claim += f", where that plateau is {HELD} or longer"
    hits = held["plateau_class_is_largest"]
    claims.append(counted("interpolation-H17", claim, hits, SHARE))
    return [*claims, *wang.lifted(held, f"{data}: ", HELD)]


def rising(table: pd.DataFrame) -> dict[str, Row]:
    """Count the paths that rise, for which monotonic linear interpolation fails."""
    table = table.assign(rise_by_more=table["min_delta"] > RISES)
    found = {"networks": ("min_delta", "size"), "largest": ("min_delta", "max")}
    found["rise_by_more"] = "rise_by_more", "sum"
    return table.groupby("data").agg(**found).assign(nats=RISES).to_dict("index")


def drawn(shown: dict[str, Any], table: pd.DataFrame, claims: Rows, note: str) -> Figure:
    figure = canvas.new_figure(19.5, 4.6 * len(shown) + 1.9)
    axes = figure.subplots(len(shown), 5, squeeze=False)
    for line, (data, one) in zip(axes, shown.items(), strict=True):
        rows = table[table["data"] == data]
        _errors(line[0], one)
        for ax, (across, up, title, column, sign) in zip(line[1:4], SCATTERS, strict=True):
            _scatter(ax, one, rows[rows["seed"] != one["seed"]], across, up)
            found = effect(within("", "", "", sign * rows[column], 0), ".2f")
            panels.label(ax, SIDES[across], SIDES[up], f"{title} = {found}")
        panels.equal(line[3])
        _excess(line[4], rows, rising(rows)[data], claims)
    panels.head(figure, finding(claims), claims, note)
    return figure


def described(said: str, lost: int, shown: dict[str, Any], table: pd.DataFrame) -> str:
    sizes = ", ".join(f"{n} {NAMES[str(d)]}" for d, n in table.groupby("data").size().items())
    found = rising(table).items()
    rises = [f"{NAMES[name]} {n['rise_by_more']} of {n['networks']}" for name, n in found]
    coloured = ", ".join(str(row["seed"]) for row in shown.values())
    return (
        f"{said}; n = {sizes} networks, {lost} with a final loss above {TRAINED} nats left out. A "
        f"dot a class; coloured: seed {coloured}, by its bias; grey: the other networks. Learned: "
        "mean probability of the class reaches 1/2 on its training examples. Means over networks "
        f"with their 95 % intervals. Path: linear, {ALPHAS} alphas; the training loss rises by "
        f"more than {RISES} nats along it, and is not monotonic, in {', '.join(rises)} networks."
    )


def finding(claims: Rows) -> str:
    words = {
        "Later learned, larger bias": "learned later have",
        "last learned, largest bias": "the class learned last has",
        "larger bias, right earlier on the path": "smaller biases turn",
        "loss above log k": "the loss rises above",
    }
    said = [f"{start}: {wang.listed(claims, inner)}" for start, inner in words.items()]
    return f"{'; '.join(said[:2])};\n{'; '.join(said[2:])}"


def _palette(row: pd.Series) -> dict[int, canvas.Colour]:
    """Colour classes from the largest bias to the smallest."""
    order = np.argsort(-np.array(row["biases"]), kind="stable")
    return dict(zip(order, canvas.ramp(CLASSES, "viridis"), strict=True))


def _errors(ax: Axes, row: pd.Series) -> None:
    path, error = row["path"], np.asarray(row["path"].class_error["train"])
    for label, colour in _palette(row).items():
        bias = f"{label}: {row['biases'][label]:+.1f}"
        ax.plot(path.alphas, error[:, label], color=colour, lw=1.4, label=bias)
    ax.plot(path.alphas, path.metrics["train_error"], color="black", lw=2, ls="--", label="all")
    ax.axhline(1 - 1 / CLASSES, color="0.4", ls=":", lw=1.2)
    title = f"{NAMES[row['data']]}, seed {row['seed']}:\n{row['first']} is predicted first"
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02), "handlelength": 1.2}
    words = {"title": "class: bias", "fontsize": 8, "title_fontsize": 8}
    panels.label(ax, "alpha", "training error of a class (fraction)", title, **place, **words)


def _scatter(ax: Axes, row: pd.Series, others: pd.DataFrame, across: str, up: str) -> None:
    for x, y in zip(others[across], others[up], strict=True):
        ax.scatter(x, y, s=14, color="0.75", lw=0)
    style = {"s": 55, "edgecolor": "black", "lw": 0.6, "zorder": 3}
    for label, colour in _palette(row).items():
        ax.scatter(row[across][label], row[up][label], color=[colour], **style)


def _excess(ax: Axes, rows: pd.DataFrame, rises: Row, claims: Rows) -> None:
    half = about(claims, f"{rows['data'].iloc[0]}: half way")
    ratios = [f"{claim['effect']:.2f} of what biases make, by sums" for claim in half]
    held = rows["error_plateau"] >= HELD
    for some, face in ((rows[held], "#0072B2"), (rows[~held], "none")):
        style = {"s": 40, "facecolor": face, "edgecolor": "#0072B2", "lw": 1}
        ax.scatter(some["middle_expected"], some["middle_excess"], **style)
    panels.equal(ax, float(rows["middle_expected"].max()), "biases alone")
    ax.axhline(0, color="0.8", lw=0.8)
    title = (
        f"loss half way along the error plateau: {', '.join(ratios) or 'none to estimate'} (n = "
        f"{int(held.sum())}; open: plateau shorter than {HELD}); on "
        f"the path {rises['rise_by_more']} of {rises['networks']} rise by over {RISES:g}, at most "
        f"{rises['largest']:.2g}"
    )
    panels.label(ax, *wang.MIDDLE, title, fontsize=8)
