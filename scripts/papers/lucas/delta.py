"""Which fully connected networks rise on the way from initialisation to solution?

After the tables of arXiv:2104.11044: the share of networks whose training loss rises by more than
1e-3 along the straight line, and by how much (min Delta), over learning rate, optimiser and
BatchNorm, over depth and width, and with redrawn labels and fewer data. Only networks whose final
training loss is at most 0.1 count, as in the released code. Cells with fewer than three of them
are hatched, as one network is no share (added after a review, having seen the numbers). The
full form reads Fashion-MNIST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from papers.lucas import networks as lucas

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


@dataclass(frozen=True)
class Grid:
    """A heat map: how its cells are told apart."""

    title: str
    table: pd.DataFrame
    down: str
    across: str
    rows: Sequence[Any]
    columns: Sequence[Any]
    row_names: Sequence[str]
    column_names: Sequence[str]


def make(asked: Flags) -> Made:
    cells = hard(asked) + shapes(asked) + rates(asked)
    table = lucas.measured(lucas.shared(asked), cells)
    rate, shape, data = (
        table[table["cell"].isin([cell.name for cell in part])]
        for part in (rates(asked), shapes(asked), hard(asked))
    )
    claims = judge(rate, shape, data)
    grids = [by_rate(rate), *by_shape(shape), by_data(data)]
    numbers = {
        "data": " ".join(cells[0].task.data.history),
        "recipe": asdict(cells[0].recipe),
        "seeds": {part: int(rows["seed"].max()) + 1 for part, rows in
                  {"rates": rate, "shapes": shape, "data": data}.items()},
        "threshold": {"final_train_loss": cells[0].limit, "rise": lucas.RISE},
        "cells": [facts for grid in grids for facts in summary(grid)],
        "claims": claims,
        "networks": lucas.rows(table),
    }  # fmt: skip
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


def judge(rate: pd.DataFrame, shape: pd.DataFrame, data: pd.DataFrame) -> list[dict[str, Any]]:
    rate, shape = rate[rate["trained"]], shape[shape["trained"]]
    claims = []
    for optimiser, norm in product(("sgd", "adam"), (False, True)):
        some = rate[(rate["optimiser"] == optimiser) & (rate["batchnorm"] == norm)]
        claims.append(lucas.related(
            "interpolation-H1",
            f"min Delta rises with the learning rate, {optimiser}, {called(norm)}",
            "learning rate and min Delta, networks that trained",
            some["lr"], lucas.rises(some), RHO,
        ))  # fmt: skip
    for norm in (False, True):
        some = rate[rate["batchnorm"] == norm]
        adam, sgd = (lucas.rises(some[some["optimiser"] == name]) for name in ("adam", "sgd"))
        claim = f"Adam has larger min Delta than SGD, same learning rates, {called(norm)}"
        claims.append(lucas.larger("interpolation-H1", claim, adam, sgd))
    groups = {f"learning rates, {n}": rate[rate["optimiser"] == n] for n in ("sgd", "adam")}
    for place, some in {**groups, "depths and widths, adam": shape}.items():
        norm, plain = (lucas.rises(some[some["batchnorm"] == there]) for there in (True, False))
        claim = f"BatchNorm raises min Delta, all {place}"
        claims.append(lucas.larger("interpolation-H3", claim, norm, plain))
    for what, some in harder(data).items():
        kept = some[some["trained"]]
        claims.append(lucas.mostly(
            "interpolation-H6",
            f"{what} do not by themselves break monotonicity",
            "no rise above 1e-3, networks that trained at moderate rates without BatchNorm",
            lucas.rises(kept) == 0, MOST,
        ))  # fmt: skip
    return claims


def harder(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    most, few = data["examples"].max(), data["examples"].min()
    full, quarter = data[data["examples"] == most], data[data["examples"] == few]
    return {
        "a quarter of labels redrawn": full[full["noise"] == 0.25],
        "all labels redrawn": full[full["noise"] == 1],
        "a quarter of the data": quarter[quarter["noise"] == 0],
    }


def called(batchnorm: bool) -> str:
    return "BatchNorm" if batchnorm else "no normalisation"


def by_rate(table: pd.DataFrame) -> Grid:
    norms = {False: "none", True: "BatchNorm"}
    return Grid(
        title=f"{lucas.DEPTH} hidden layers of {lucas.WIDTH}",
        table=table.assign(
            row=table["optimiser"].map(NAMES) + ", " + table["batchnorm"].map(norms)
        ),
        down="row",
        across="lr",
        rows=(rows := [f"{a}, {b}" for a, b in product(NAMES.values(), norms.values())]),
        columns=(lrs := sorted(table["lr"].unique())),
        row_names=rows,
        column_names=[f"{lr:g}" for lr in lrs],
    )


def by_shape(table: pd.DataFrame) -> list[Grid]:
    depths, widths = (sorted(table[name].unique()) for name in ("depth", "width"))
    return [
        Grid(
            title=f"Adam at {STEEP:g}, {called(norm)}",
            table=table[table["batchnorm"] == norm],
            down="depth",
            across="width",
            rows=depths,
            columns=widths,
            row_names=[f"{depth}" for depth in depths],
            column_names=[f"{width}" for width in widths],
        )
        for norm in (False, True)
    ]


def by_data(table: pd.DataFrame) -> Grid:
    sizes = sorted(table["examples"].unique(), reverse=True)
    used = [name for name in MODERATE if (table["optimiser"] == name).any()]
    columns = [f"{name} {size}" for name, size in product(used, sizes)]
    shown = [f"{NAMES[name]}\n{size}" for name, size in product(used, sizes)]
    return Grid(
        title="no BatchNorm, " + ", ".join(f"{NAMES[name]} {MODERATE[name]:g}" for name in used),
        table=table.assign(column=table["optimiser"] + " " + table["examples"].astype(str)),
        down="noise",
        across="column",
        rows=list(NOISES),
        columns=columns,
        row_names=[f"{noise:g}" for noise in NOISES],
        column_names=shown,
    )  # fmt: skip


def summary(grid: Grid) -> list[dict[str, Any]]:
    return [
        {"grid": grid.title, grid.down: row, grid.across: column, **facts(grid, row, column)}
        for row, column in product(grid.rows, grid.columns)
    ]


def facts(grid: Grid, row: Any, column: Any) -> dict[str, Any]:
    """Count the networks of a cell; means are None where there are none to take them of."""
    inside = (grid.table[grid.down] == row) & (grid.table[grid.across] == column)
    some = grid.table[inside]
    kept = some[some["trained"]]
    values, deltas = lucas.rises(kept), kept["min_delta"].to_numpy(float)
    rose = values > 0
    return {
        "networks": len(some),
        "diverged": int(some["diverged"].sum()),
        "trained": len(kept),
        "rose": int(rose.sum()),
        "mean_min_delta": float(deltas.mean()) if len(kept) else None,
        "mean_min_delta_of_those": float(values[rose].mean()) if rose.any() else None,
    }


def draw(
    asked: Flags, grids: list[Grid], table: pd.DataFrame, claims: list[dict[str, Any]]
) -> Figure:
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    ratios = [1.6, 0.9, 0.9, 1.0]
    axes = figure.subplots(2, 4, width_ratios=ratios)
    cells = {grid.title: summary(grid) for grid in grids}
    means = [facts["mean_min_delta"] or 0 for some in cells.values() for facts in some]
    scales = {
        "share": (Normalize(0, 1), "Blues", "share that rises by more than 1e-3"),
        "mean": (
            LogNorm(1e-4, max(1e-2, *means), clip=True), "Oranges", "mean min Δ (nats)"
        ),
    }  # fmt: skip
    for line, (kind, (norm, colours, label)) in zip(axes, scales.items(), strict=True):
        mappable = ScalarMappable(norm, colours)
        for ax, grid in zip(line, grids, strict=True):
            heat(ax, grid, cells[grid.title], kind, mappable)
        figure.colorbar(mappable, ax=line, label=label, pad=0.01, aspect=30)
    figure.suptitle(headline(table, claims), fontsize=11)
    seeds = table.groupby("cell")["seed"].count()
    figure.supxlabel(
        f"n = {len(table)} networks in {len(seeds)} cells, seeds 0 to {seeds.min() - 1} a cell, "
        f"right to {seeds.max() - 1}; "
        f"{'digits' if asked.quick else '1,000 images of Fashion-MNIST'}; "
        f"{'10' if asked.quick else '100 (right: 200)'} epochs, constant rate; "
        f"{table['curve'].str.len().max():.0f} alphas\nabove k/n: k of n networks that reached a "
        f"training loss of {lucas.fitted(asked.quick):g}; below: mean over those n, in brackets "
        f"over the k; –: none reached it, hatched: fewer than {FEW}",
        fontsize=8,
    )
    return figure


def heat(
    ax: Axes, grid: Grid, cells: list[dict[str, Any]], kind: str, mappable: ScalarMappable
) -> None:
    shape = len(grid.rows), len(grid.columns)
    values = np.full(len(cells), np.nan)
    for place, cell in enumerate(cells):
        if cell["trained"] >= FEW:
            share = cell["rose"] / cell["trained"]
            values[place] = share if kind == "share" else max(cell["mean_min_delta"], 1e-4)
    ax.set_facecolor("#dddddd")
    ax.imshow(values.reshape(shape), cmap=mappable.cmap, norm=mappable.norm, aspect="auto")
    for place, cell in enumerate(cells):
        row, column = divmod(place, shape[1])
        dark = np.isfinite(values[place]) and mappable.norm(values[place]) > 0.6
        colour = "white" if dark else "black"
        words = text(cell, kind)
        if 0 < cell["trained"] < FEW:
            frame = {"fc": "#eeeeee", "ec": "#bbbbbb", "lw": 0, "hatch": "///"}
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))
        ax.text(column, row, words, ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(shape[1]), grid.column_names, fontsize=8)
    ax.set_yticks(range(shape[0]), grid.row_names, fontsize=8)
    names = {"lr": "learning rate", "width": "units a layer", "column": "training examples",
             "row": "", "depth": "hidden layers", "noise": "share of labels redrawn"}  # fmt: skip
    ax.set(xlabel=names[grid.across], ylabel=names[grid.down])
    ax.set_title(grid.title, fontsize=10)


def text(cell: dict[str, Any], kind: str) -> str:
    if not cell["trained"]:
        return "–"
    if kind == "share":
        return f"{cell['rose']}/{cell['trained']}"
    of_those = cell["mean_min_delta_of_those"]
    return f"{cell['mean_min_delta']:.1g}" + ("" if of_those is None else f"\n({of_those:.1g})")


def headline(table: pd.DataFrame, claims: list[dict[str, Any]]) -> str:
    kept = table[table["trained"]]
    words = lucas.verdicts(claims, {
        "larger learning rates raise it": ("H1", "learning rate,"),
        "Adam does": ("H1", "Adam has"),
        "BatchNorm does": ("H3", ""),
        "hard data alone do not": ("H6", ""),
    })  # fmt: skip
    return (
        f"{int((lucas.rises(kept) > 0).sum())} of {len(kept)} trained networks rise on the way "
        f"from initialisation to solution\n{words}"
    )
