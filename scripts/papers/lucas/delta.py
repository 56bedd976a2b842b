"""Which fully connected networks rise on the way from initialisation to solution?

After the tables of arXiv:2104.11044: the share of networks whose training loss rises by more than
1e-3 along the straight line, and by how much (min Delta), over learning rate, optimiser and
BatchNorm, over depth and width, and with redrawn labels and fewer data. Only networks whose final
training loss is at most 0.1 count, as in the released code. Cells with fewer than three of them
are hatched, as one network is no share (added after a review, having seen the numbers).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.jobs import shared
from evidence.judging import entry
from evidence.rows import Row, Rows
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from papers.lucas import networks as lucas

from jumpretrain.comparison.hypothesis_tests import spearman

LRS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
DEPTHS, WIDTHS = (1, 2, 4, 6), (16, 64, 256)
NOISES = (0.0, 0.25, 1.0)
NAMES = {"sgd": "SGD", "adam": "Adam"}
MODERATE = {"sgd": 0.03, "adam": 0.001}
"""Learning rates at which harder data are tried: H6 asks what data do, not rates."""
STEEP = 0.01
"""Learning rate of Adam at which depth and width are tried."""
RHO, MOST = 0.2, 0.75
"""Smallest rank correlation of interest; share of monotone networks that counts as unbroken."""
FEW = 3
"""Cells with fewer trained networks than this are hatched, not coloured."""


NORMS = {False: "no normalisation", True: "BatchNorm"}
LABELS = {"lr": "learning rate", "width": "units a layer", "column": "training examples"}
LABELS |= {"row": "", "depth": "hidden layers", "noise": "share of labels redrawn"}


@dataclass(frozen=True)
class Grid:
    """A heat map: factors down and across, with the names of their values."""

    title: str
    table: pd.DataFrame
    down: str
    across: str
    rows: Mapping[Any, str]
    columns: Mapping[Any, str]

    @cached_property
    def cells(self) -> Rows:
        """Count the networks of each cell, row by row."""
        cells = []
        for row, column in product(self.rows, self.columns):
            inside = (self.table[self.down] == row) & (self.table[self.across] == column)
            facts = {"grid": self.title, self.down: row, self.across: column}
            cells.append(facts | lucas.counts(self.table[inside]))
        return cells


def make(asked: Flags) -> Made:
    parts = hard(asked), shapes(asked), rates(asked)
    cells = [cell for part in parts for cell in part]
    table = lucas.measured(shared(asked), cells)
    data, shape, rate = (table[table["cell"].isin([cell.name for cell in part])] for part in parts)
    claims = judge(rate[rate["trained"]], shape[shape["trained"]], data)
    grids = [by_rate(rate), *by_shape(shape), by_data(data)]
    seeds = {"rates": rate, "shapes": shape, "data": data}
    numbers = {
        "data": " ".join(cells[0].task.data.history),
        "recipe": asdict(cells[0].recipe),
        "seeds": {part: int(rows["seed"].max()) + 1 for part, rows in seeds.items()},
        "threshold": {"final_train_loss": cells[0].limit, "rise": lucas.RISE},
        "cells": [cell for grid in grids for cell in grid.cells],
        "claims": claims,
        "networks": lucas.rows(table),
    }
    return draw(asked, grids, table, claims), numbers


def rates(asked: Flags) -> list[lucas.Cell]:
    lrs = (0.01, 0.1) if asked.quick else LRS
    return [
        lucas.classifier(asked.quick, optimiser, lr, batchnorm)
        for optimiser, batchnorm, lr in product(("sgd", "adam"), (False, True), lrs)
    ]


def shapes(asked: Flags) -> list[lucas.Cell]:
    depths, widths = ((1,), (32,)) if asked.quick else (DEPTHS, WIDTHS)
    return [
        lucas.classifier(asked.quick, "adam", STEEP, batchnorm, depth, width)
        for batchnorm, depth, width in product((False, True), depths[::-1], widths[::-1])
    ]


def hard(asked: Flags) -> list[lucas.Cell]:
    most, few = (200, 50) if asked.quick else (1000, 250)
    changes = {"epochs": 10} if asked.quick else {"epochs": 200, "seeds": 10}
    names = ("adam",) if asked.quick else tuple(MODERATE)
    return [
        lucas.classifier(asked.quick, name, MODERATE[name], noise=noise, examples=size, **changes)
        for noise, size, name in product(NOISES, (most, few), names)
    ]


def judge(rate: pd.DataFrame, shape: pd.DataFrame, data: pd.DataFrame) -> Rows:
    claims = []
    for optimiser, norm in product(NAMES, NORMS):
        some = rate[(rate["optimiser"] == optimiser) & (rate["batchnorm"] == norm)]
        claim = f"min Delta rises with the learning rate, {optimiser}, {NORMS[norm]}"
        how = "Spearman's rho of learning rate and min Delta, networks that trained"
        numbers, p = lucas.NONE, math.nan
        if len(some) > 3:
            found = spearman(some["lr"], lucas.rises(some))
            numbers, p = (found.rho, found.low, found.high), found.p
        claims.append(entry("interpolation-H1", claim, how, *numbers, len(some), RHO, p=p))
    for norm in NORMS:
        some = rate[rate["batchnorm"] == norm]
        adam, sgd = (lucas.rises(some[some["optimiser"] == name]) for name in ("adam", "sgd"))
        claim = f"Adam has larger min Delta than SGD, same learning rates, {NORMS[norm]}"
        claims.append(lucas.larger("interpolation-H1", claim, adam, sgd))
    groups = {f"learning rates, {name}": rate[rate["optimiser"] == name] for name in NAMES}
    for place, some in {**groups, "depths and widths, adam": shape}.items():
        norm, plain = (lucas.rises(some[some["batchnorm"] == there]) for there in (True, False))
        claim = f"BatchNorm raises min Delta, all {place}"
        claims.append(lucas.larger("interpolation-H3", claim, norm, plain))
    how = "no rise above 1e-3, networks that trained at moderate rates without BatchNorm"
    for what, some in harder(data).items():
        claim = f"{what} do not by themselves break monotonicity"
        falls = lucas.rises(some[some["trained"]]) == 0
        claims.append(lucas.mostly("interpolation-H6", claim, how, falls, MOST))
    return claims


def harder(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    most, few = data["examples"].max(), data["examples"].min()
    full, quarter = data[data["examples"] == most], data[data["examples"] == few]
    return {
        "a quarter of labels redrawn": full[full["noise"] == 0.25],
        "all labels redrawn": full[full["noise"] == 1],
        "a quarter of the data": quarter[quarter["noise"] == 0],
    }


def by_rate(table: pd.DataFrame) -> Grid:
    norms = {False: "none", True: "BatchNorm"}
    rows = [f"{a}, {b}" for a, b in product(NAMES.values(), norms.values())]
    named = table["optimiser"].map(NAMES) + ", " + table["batchnorm"].map(norms)
    title, rates = f"{lucas.DEPTH} hidden layers of {lucas.WIDTH}", shown(table["lr"].unique())
    return Grid(title, table.assign(row=named), "row", "lr", {row: row for row in rows}, rates)


def by_shape(table: pd.DataFrame) -> list[Grid]:
    sides = [shown(table[name].unique()) for name in ("depth", "width")]
    where = f"Adam at {STEEP:g}"
    parts = {f"{where}, {name}": table[table["batchnorm"] == norm] for norm, name in NORMS.items()}
    return [Grid(title, some, "depth", "width", *sides) for title, some in parts.items()]


def by_data(table: pd.DataFrame) -> Grid:
    sizes = sorted(table["examples"].unique(), reverse=True)
    used = [name for name in MODERATE if (table["optimiser"] == name).any()]
    columns = {f"{name} {n}": f"{NAMES[name]}\n{n}" for name, n in product(used, sizes)}
    rates = ", ".join(f"{NAMES[name]} {MODERATE[name]:g}" for name in used)
    named = table.assign(column=table["optimiser"] + " " + table["examples"].astype(str))
    return Grid(f"no BatchNorm, {rates}", named, "noise", "column", shown(NOISES), columns)


def shown(values: Iterable[float]) -> dict[float, str]:
    return {value: f"{value:g}" for value in sorted(values)}


def draw(asked: Flags, grids: list[Grid], table: pd.DataFrame, claims: Rows) -> Figure:
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    axes = figure.subplots(2, 4, width_ratios=[1.6, 0.9, 0.9, 1.0])
    means = [cell["mean_min_delta"] or 0 for grid in grids for cell in grid.cells]
    larger = LogNorm(1e-4, max(1e-2, *means), clip=True)
    scales = {
        "share that rises by more than 1e-3": ScalarMappable(Normalize(0, 1), "Blues"),
        "mean min Δ (nats)": ScalarMappable(larger, "Oranges"),
    }
    for line, (label, mappable) in zip(axes, scales.items(), strict=True):
        for ax, grid in zip(line, grids, strict=True):
            heat(ax, grid, mappable, share=label.startswith("share"))
        figure.colorbar(mappable, ax=line, label=label, pad=0.01, aspect=30)
    figure.suptitle(headline(table, claims), fontsize=11)
    figure.supxlabel(caption(asked, table), fontsize=8)
    return figure


def caption(asked: Flags, table: pd.DataFrame) -> str:
    seeds = table.groupby("cell")["seed"].count()
    data, epochs = "1,000 images of Fashion-MNIST", "100 (right: 200)"
    if asked.quick:
        data, epochs = "digits", "10"
    return (
        f"n = {len(table)} networks in {len(seeds)} cells, seeds 0 to {seeds.min() - 1} a cell, "
        f"right to {seeds.max() - 1}; {data}; {epochs} epochs, constant rate; "
        f"{table['curve'].str.len().max():.0f} alphas\nabove k/n: k of n networks that reached a "
        f"training loss of {lucas.fitted(asked.quick):g}; below: mean over those n, in brackets "
        f"over the k; –: none reached it, hatched: fewer than {FEW}"
    )


def heat(ax: Axes, grid: Grid, mappable: ScalarMappable, share: bool) -> None:
    shape = len(grid.rows), len(grid.columns)
    values = np.full(len(grid.cells), np.nan)
    for place, cell in enumerate(grid.cells):
        if cell["trained"] >= FEW:
            part = cell["rose"] / cell["trained"]
            values[place] = part if share else max(cell["mean_min_delta"], 1e-4)
    ax.set_facecolor("#dddddd")
    ax.imshow(values.reshape(shape), cmap=mappable.cmap, norm=mappable.norm, aspect="auto")
    for place, cell in enumerate(grid.cells):
        row, column = divmod(place, shape[1])
        dark = np.isfinite(values[place]) and mappable.norm(values[place]) > 0.6
        if 0 < cell["trained"] < FEW:
            frame = {"fc": "#eeeeee", "ec": "#bbbbbb", "lw": 0, "hatch": "///"}
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))
        style = {"ha": "center", "va": "center", "color": "white" if dark else "black"}
        ax.text(column, row, text(cell, share), fontsize=8, **style)
    ax.set_xticks(range(shape[1]), grid.columns.values(), fontsize=8)
    ax.set_yticks(range(shape[0]), grid.rows.values(), fontsize=8)
    ax.set(xlabel=LABELS[grid.across], ylabel=LABELS[grid.down])
    ax.set_title(grid.title, fontsize=10)


def text(cell: Row, share: bool) -> str:
    if not cell["trained"]:
        return "–"
    if share:
        return f"{cell['rose']}/{cell['trained']}"
    of_those = cell["mean_min_delta_of_those"]
    return f"{cell['mean_min_delta']:.1g}" + ("" if of_those is None else f"\n({of_those:.1g})")


def headline(table: pd.DataFrame, claims: Rows) -> str:
    kept = table[table["trained"]]
    words = {
        "larger learning rates raise it": ("H1", "learning rate,"),
        "Adam does": ("H1", "Adam has"),
        "BatchNorm does": ("H3", ""),
        "hard data alone do not": ("H6", ""),
    }
    return (
        f"{int((lucas.rises(kept) > 0).sum())} of {len(kept)} trained networks rise on the way "
        f"from initialisation to solution\n{lucas.verdicts(claims, words)}"
    )
