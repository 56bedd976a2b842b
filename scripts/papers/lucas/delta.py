"""Which fully connected networks rise on the way from initialisation to solution?

After the tables of arXiv:2104.11044: the share of networks whose training loss rises by more than
1e-3 along the straight line, and by how much (min Delta), over learning rate, optimiser and
BatchNorm, over depth and width, and with redrawn labels and fewer data. Only networks whose final
training loss is at most 0.1 count, as in the released code. Cells with fewer than three of them
are hatched, as one network is no share (added after a review, having seen the numbers).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import shared
from evidence.figure import Flags, Made
from evidence.judging import correlated
from evidence.rows import Row, Rows
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from papers.lucas import networks as lucas

from jumpretrain.comparison.hypothesis_tests import Correlation, spearman

NOISES = (0.0, 0.25, 1.0)
NAMES = {"sgd": "SGD", "adam": "Adam"}
MODERATE = {"sgd": 0.03, "adam": 0.001}
"""Learning rates at which harder data are tried: H6 asks what data do, not rates."""
RHO, MOST = 0.2, 0.75  # smallest rank correlation; share of monotone networks that is most
STEEP = 0.01  # learning rate of Adam at which depth and width are tried
FEW = 3  # cells with fewer trained networks than this are hatched, not coloured
NORMS = {False: "no normalisation", True: "BatchNorm"}
LABELS = {"lr": "learning rate", "width": "units a layer", "column": "training examples"}
LABELS |= {"row": "", "depth": "hidden layers", "noise": "share of labels redrawn"}


class Grid(NamedTuple):
    """A heat map: factors down and across, with the names of their values."""

    title: str
    table: pd.DataFrame
    down: str
    across: str
    rows: Mapping[Any, str]
    columns: Mapping[Any, str]

    def cells(self) -> Rows:
        """Count the networks of each cell, row by row."""
        sides, found = [self.down, self.across], []
        for pair in product(self.rows, self.columns):
            inside = self.table[self.table[sides].eq([*pair]).all(axis=1)]
            facts = {"grid": self.title, **dict(zip(sides, pair, strict=True))}
            found.append(facts | lucas.counts(inside))
        return found


def make(asked: Flags) -> Made:
    parts = hard(asked), shapes(asked), rates(asked)
    cells = [cell for part in parts for cell in part]
    table = lucas.measured(shared(asked), cells)
    data, shape, rate = (table[table["cell"].isin([cell.name for cell in part])] for part in parts)
    claims = judge(rate[rate["trained"]], shape[shape["trained"]], data)
    seeds = {"rates": rate, "shapes": shape, "data": data}
    found = [(grid, grid.cells()) for grid in grids(rate, shape, data)]
    return draw(asked, found, table, claims), {
        "data": " ".join(cells[0].task.data.history),
        "recipe": asdict(cells[0].recipe),
        "seeds": {part: int(rows["seed"].max()) + 1 for part, rows in seeds.items()},
        "threshold": {"final_train_loss": cells[0].limit, "rise": lucas.RISE},
        "cells": [cell for _, some in found for cell in some],
        "claims": claims,
        "networks": lucas.rows(table),
    }


def rates(asked: Flags) -> list[lucas.Cell]:
    lrs = (0.01, 0.1) if asked.quick else (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    several = product(NAMES, NORMS, lrs)
    return [lucas.classifier(asked.quick, name, lr, norm) for name, norm, lr in several]


def shapes(asked: Flags) -> list[lucas.Cell]:
    depths, widths = ((1,), (32,)) if asked.quick else ((6, 4, 2, 1), (256, 64, 16))
    several = product((False, True), depths, widths)
    return [lucas.classifier(asked.quick, "adam", STEEP, *shape) for shape in several]


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
        found = Correlation(*[math.nan] * 4)  # of too few nothing is known
        if len(some) > 3:
            found = spearman(some["lr"], lucas.rises(some))
        claims.append(correlated("interpolation-H1", claim, how, found, len(some), RHO))
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
    most, few = data["examples"].max(), data["examples"].min()
    how = "no rise above 1e-3, networks that trained at moderate rates without BatchNorm"
    harder = [("a quarter of labels redrawn", 0.25, most), ("all labels redrawn", 1, most)]
    for what, noise, size in (*harder, ("a quarter of the data", 0, few)):
        some = data[data["trained"] & (data["noise"] == noise) & (data["examples"] == size)]
        claim = f"{what} do not by themselves break monotonicity"
        claims.append(lucas.mostly("interpolation-H6", claim, how, lucas.rises(some) == 0, MOST))
    return claims


def grids(rate: pd.DataFrame, shape: pd.DataFrame, data: pd.DataFrame) -> list[Grid]:
    norms = {False: "none", True: "BatchNorm"}
    names = [f"{name}, {norm}" for name, norm in product(NAMES.values(), norms.values())]
    rows = {name: name for name in names}
    rate = rate.assign(row=rate["optimiser"].map(NAMES) + ", " + rate["batchnorm"].map(norms))
    title = f"{lucas.DEPTH} hidden layers of {lucas.WIDTH}"
    found = [Grid(title, rate, "row", "lr", rows, shown(rate["lr"]))]
    for norm, name in NORMS.items():
        sides, some = ("depth", "width"), shape[shape["batchnorm"] == norm]
        values = (shown(shape[side]) for side in sides)
        found.append(Grid(f"Adam at {STEEP:g}, {name}", some, *sides, *values))
    sizes = sorted(data["examples"].unique(), reverse=True)
    used = [name for name in MODERATE if (data["optimiser"] == name).any()]
    columns = {f"{name} {n}": f"{NAMES[name]}\n{n}" for name, n in product(used, sizes)}
    title = ", ".join(["no BatchNorm", *(f"{NAMES[name]} {MODERATE[name]:g}" for name in used)])
    data = data.assign(column=data["optimiser"] + " " + data["examples"].astype(str))
    return [*found, Grid(title, data, "noise", "column", shown(NOISES), columns)]


def shown(values: Iterable[float]) -> dict[float, str]:
    return {value: f"{value:g}" for value in sorted(set(values))}


def draw(
    asked: Flags, grids: list[tuple[Grid, Rows]], table: pd.DataFrame, claims: Rows
) -> Figure:
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    axes = figure.subplots(2, 4, width_ratios=[1.6, 0.9, 0.9, 1.0])
    means = [cell["mean_min_delta"] or 0 for _, cells in grids for cell in cells]
    larger = LogNorm(1e-4, max(1e-2, *means), clip=True)
    scales = ScalarMappable(Normalize(0, 1), "Blues"), ScalarMappable(larger, "Oranges")
    labels = "share that rises by more than 1e-3", "mean min Δ (nats)"
    for line, label, mappable in zip(axes, labels, scales, strict=True):
        for ax, (grid, cells) in zip(line, grids, strict=True):
            heat(ax, grid, cells, mappable, share=label.startswith("share"))
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


def heat(ax: Axes, grid: Grid, cells: Rows, mappable: ScalarMappable, share: bool) -> None:
    values = np.full((len(grid.rows), len(grid.columns)), np.nan)
    for place, cell in zip(np.ndindex(values.shape), cells, strict=True):
        if cell["trained"] >= FEW:
            part = cell["rose"] / cell["trained"]
            values[place] = part if share else max(cell["mean_min_delta"], 1e-4)
    ax.set_facecolor("#dddddd")
    ax.imshow(values, cmap=mappable.cmap, norm=mappable.norm, aspect="auto")
    for (row, column), cell in zip(np.ndindex(values.shape), cells, strict=True):
        value = values[row, column]
        if 0 < cell["trained"] < FEW:
            frame = {"fc": "#eeeeee", "ec": "#bbbbbb", "lw": 0, "hatch": "///"}
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))
        dark = np.isfinite(value) and mappable.norm(value) > 0.6
        style = {"ha": "center", "va": "center", "color": "white" if dark else "black"}
        ax.text(column, row, text(cell, share), fontsize=8, **style)
    ax.set_xticks(range(len(grid.columns)), grid.columns.values(), fontsize=8)
    ax.set_yticks(range(len(grid.rows)), grid.rows.values(), fontsize=8)
    panels.label(ax, LABELS[grid.across], LABELS[grid.down], grid.title)


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
