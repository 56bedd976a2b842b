"""Plateaus of arXiv:2210.01019: how biases, depth and initial scale lengthen them.

Error and loss along linear and homogeneous paths of ReLU networks with biases in the last layer
only, in all layers and in none; and the length of both plateaus against depth and initial scale.
H13 to H15 are judged.

The small form needs digits only; the other one Fashion-MNIST too, in the folder that the
environment variable JUMPRETRAIN_DATA names.

Changed after a review that had seen the numbers: networks that 120 epochs left untrained were left
out, three of five in the cell with the longest plateaus. Now the epochs of such a cell are doubled
until all its networks are trained, so that the design of H15 is balanced; and H15 is judged on
Fashion-MNIST too, not on digits alone. The rules of the verdicts are as before. The JSON has the
verdicts of H15 in all `versions`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import between, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.wang.plateau_networks import (
    ALPHAS,
    FULL,
    MOST,
    NAMES,
    SMALL,
    TRAINED,
    WIDTH,
    Cell,
    Paths,
    Plan,
    lowered,
    paths,
    rows,
)

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.plots import canvas

LONGER, SHORT, LASTS = 0.08, 0.05, 0.1  # differences and lengths of plateaus, in alpha
STEP = 0.02  # the least growth of a plateau, in alpha a layer or a halving of the scale

METRICS = ("error", "loss")
COMPARED = {
    "last layer's bias, linear": ("last", "linear"),
    "last layer's bias, homogeneous": ("last", "homogeneous"),
    "all biases, linear": ("all", "linear"),
    "no biases": ("none", "linear"),
}
CELL = ["data", "depth", "scale", "biases"]
JUDGED = "each cell until all its networks are trained"
ENDS = "a layer", "a halving of the scale"
Found = dict[Cell, dict[int, Paths]]
Networks = dict[Cell, tuple[int, Paths]]


def make(asked: Flags) -> Made:
    plan = SMALL if asked.quick else FULL
    final, ways = measured(asked, plan)
    claims = judged(plan, ways[JUDGED])
    shown = {
        data: {
            name: final[plan.main(data, biases)][1][kind]  # type: ignore[arg-type]
            for name, (biases, kind) in COMPARED.items()
        }
        for data in plan.data
    }
    every = pd.concat([ways[JUDGED].assign(judged=True), *ways.values()])
    once = every.drop_duplicates([*CELL, "epochs", "seed"]).fillna({"judged": False})
    return drawn(plan, shown, ways[JUDGED], claims), {
        "data": plan.data,
        "training_examples": plan.size,
        "recipe": asdict(plan.recipe),
        "network": f"mlp, ReLU, width {WIDTH}, He-normal weights x scale, biases 0 at first",
        "seeds": plan.seeds,
        "trained": f"epochs of a cell doubled, {MOST} times as many at most, until each of "
        f"its networks has a final training loss of at most {TRAINED}",
        "claims": claims,
        "versions": {name: grown(some) for name, some in ways.items()},
        "networks": once.astype({"judged": bool}).to_dict("records"),
        "alphas": np.linspace(0, 1, ALPHAS),
        "paths": {
            data: {
                name: {
                    metric: np.round([path.metrics[metric] for path in some], 4)
                    for metric in ("train_error", "train_loss")
                }
                for name, some in bundle.items()
            }
            for data, bundle in shown.items()
        },
    }


def measured(asked: Flags, plan: Plan) -> tuple[Networks, dict[str, pd.DataFrame]]:
    """Train all cells until they are trained, and those on digits as long as the longest.

    Returns:
        The cells with their epochs and paths, and a table of networks for each version of H15.
    """
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    cells = plan.cells()
    trials = spread(lowered, [(asked, plan, cell) for cell in cells], execution, "cells")
    first = {cell: min(found.items()) for cell, found in zip(cells, trials, strict=True)}
    final = {cell: max(found.items()) for cell, found in zip(cells, trials, strict=True)}
    grid = {cell: final[cell] for cell in plan.grid("digits")}
    most = max(epochs for epochs, _ in grid.values())
    short = [cell for cell, (epochs, _) in grid.items() if epochs < most]
    more = spread(paths, [(asked, plan, cell, most) for cell in short], execution, "as long")
    alike = grid | {cell: (most, found) for cell, found in zip(short, more, strict=True)}
    begun = tabled(plan, first)
    return final, {
        JUDGED: tabled(plan, final),
        "first epochs, untrained networks left out": begun[begun["trained"]],
        "first epochs, all networks": begun,
        "digits only, all cells as long as the longest": tabled(plan, alike),
    }


def tabled(plan: Plan, networks: Networks) -> pd.DataFrame:
    return pd.concat([rows(plan, cell, *found) for cell, found in networks.items()])


def judged(plan: Plan, table: pd.DataFrame) -> list[dict[str, Any]]:
    return [claim for data in plan.data for claim in compared(plan, table, data)] + grown(table)


def grown(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge how plateaus grow with depth and with a smaller initial scale."""
    claims = []
    grid = table[table["biases"] == "last"]
    for (data, some), metric in itertools.product(grid.groupby("data"), METRICS):
        slopes = pd.DataFrame([growth(group, metric) for _, group in some.groupby("seed")])
        for what, words in (("depth", "layer"), ("halving", "halving of the initial scale")):
            claims.append(
                within(
                    "interpolation-H15",
                    f"{data}: the {metric} plateau of the linear path grows with each {words}",
                    f"slope in alpha over the {words}s, of one seed's cells together",
                    slopes[what],
                    STEP,
                )
            )
    return claims


def compared(plan: Plan, table: pd.DataFrame, data: str) -> list[dict[str, Any]]:
    main = table[
        (table["data"] == data) & (table["depth"] == plan.depth) & (table["scale"] == plan.scale)
    ]
    last, bare = (main[main["biases"] == biases] for biases in ("last", "none"))
    drop = last["linear_loss"] - last["homogeneous_loss"]
    return [
        within(
            "interpolation-H13",
            f"{data}: the linear error plateau is longer than the homogeneous one",
            "difference of error plateaus in alpha, networks with the last layer's bias",
            last["linear_error"] - last["homogeneous_error"],
            LONGER,
        ),
        within(
            "interpolation-H13",
            f"{data}: without biases the error plateau is shorter than {SHORT}",
            f"{SHORT} minus the error plateau, in alpha",
            SHORT - bare["linear_error"],
            0,
        ),
        between(
            "interpolation-H13",
            f"{data}: the last layer's bias lengthens the error plateau of the linear path",
            "the error plateau, with that bias against without biases",
            last["linear_error"],
            bare["linear_error"],
        ),
        within(
            "interpolation-H14",
            f"{data}: homogeneous biases change the loss plateau by less than {LONGER}",
            f"{LONGER} minus the absolute difference of loss plateaus, in alpha",
            LONGER - np.abs(drop),
            0,
        ),
        within(
            "interpolation-H14",
            f"{data}: a loss plateau remains without biases",
            "the loss plateau, in alpha",
            bare["linear_loss"],
            LASTS,
        ),
    ]


def growth(group: pd.DataFrame, metric: str) -> dict[str, float]:
    """Fit a plane through the plateaus of one seed, over depth and halvings of the scale."""
    halvings = -np.log2(group["scale"])
    design = np.column_stack([np.ones(len(group)), group["depth"], halvings])
    _, depth, halving = np.linalg.lstsq(design, group[f"linear_{metric}"], rcond=None)[0]
    return {"depth": float(depth), "halving": float(halving)}


def drawn(
    plan: Plan, shown: Mapping[str, Paths], table: pd.DataFrame, claims: list[dict[str, Any]]
) -> Figure:
    figure = canvas.new_figure(17, 4.8 * len(plan.data) + 1.7)
    panels = figure.subplots(len(plan.data), 4, squeeze=False)
    for line, (data, bundle) in zip(panels, shown.items(), strict=True):
        for ax, metric in zip(line, METRICS, strict=False):
            _paths(ax, data, bundle, metric)
        some = table[(table["data"] == data) & (table["biases"] == "last")]
        for ax, metric in zip(line[2:], METRICS, strict=True):
            _lengths(ax, data, some, metric, claims)
    _share(panels)
    figure.suptitle(f"{finding(claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(figure, _described(plan, table))
    return figure


def _described(plan: Plan, table: pd.DataFrame) -> str:
    recipe, first = plan.recipe, plan.recipe.epochs
    longer = table[table["epochs"] > first].groupby([*CELL, "epochs"]).size()
    words = [
        f"{NAMES[data]}, depth {depth}, scale {scale}, biases {biases}: {epochs}"
        for data, depth, scale, biases, epochs in longer.index
    ]
    return (
        f"MLP, ReLU, width {WIDTH}, He-normal weights x scale, biases 0 at first; paths: depth "
        f"{plan.depth}, scale {plan.scale}; {len(plan.seeds)} seeds a cell, a dot or thin line a "
        f"network, n = {len(table)}; at most {plan.size} training examples; SGD, momentum "
        f"{recipe.momentum}, learning rate {recipe.lr} ({recipe.schedule}), batches of "
        f"{recipe.batch_size}, {first} epochs, doubled for a cell until all its networks end at "
        f"{TRAINED} nats or below ({'; '.join(words) or 'none'}); "
        f"{int((~table['trained']).sum())} networks end higher, none is left out; {ALPHAS} "
        "alphas. Plateau: last alpha at which the error is at least .9 (1 − 1/k), the loss at "
        "least .9 of the first. Slopes: of a plane over layers and halvings, a seed's cells "
        "together."
    )


def finding(claims: list[dict[str, Any]]) -> str:
    words = []
    for start, part in (
        ("Error plateau, linear minus homogeneous path, in alpha", "longer than the homogeneous"),
        ("its growth with each layer", "error plateau of the linear path grows with each layer"),
        ("with each halving of the scale", "error plateau of the linear path grows with each h"),
    ):
        said = [
            f"{NAMES[claim['claim'].split(':')[0]]} {claim['effect']:+.2f} ({claim['verdict']})"
            for claim in claims
            if part in claim["claim"]
        ]
        words.append(f"{start}: {', '.join(said)}")
    return f"{words[0]};\n{words[1]}; {words[2]}"


def _paths(ax: Axes, data: str, bundle: Paths, metric: str) -> None:
    jr.plots.paths(bundle, f"train_{metric}", ax)
    middle = [np.median([getattr(p.plateau(), metric) for p in some]) for some in bundle.values()]
    canvas.title(
        ax,
        f"{NAMES[data]}: {metric} plateau (median) {middle[0]:.2f} linear, {middle[1]:.2f} "
        f"homogeneous, {middle[3]:.2f} without biases",
    )


def _share(panels: Any) -> None:
    """Put one legend of paths under the lowest two panels."""
    legends = [ax.get_legend() for ax in panels[:, :2].flat]
    names = [text.get_text() for text in legends[0].get_texts()]
    for legend in legends:
        legend.remove()
    for ax, half in zip(panels[-1], (slice(0, 2), slice(2, 4)), strict=False):
        ax.legend(
            legends[0].legend_handles[half], names[half], loc="upper left",
            bbox_to_anchor=(-0.1, -0.14), frameon=False, fontsize=9,
        )  # fmt: skip


def _lengths(
    ax: Axes, data: str, table: pd.DataFrame, metric: str, claims: list[dict[str, Any]]
) -> None:
    scales, column = sorted(table["scale"].unique()), f"linear_{metric}"
    marks = itertools.cycle("os^Dv")
    for place, (scale, colour) in enumerate(zip(scales, canvas.ramp(len(scales)), strict=True)):
        some, mark = table[table["scale"] == scale], next(marks)
        shift = 0.06 * (place - (len(scales) - 1) / 2)
        ax.scatter(some["depth"] + shift, some[column], s=16, color=[colour], marker=mark,
                   alpha=0.55, lw=0)  # fmt: skip
        middle = some.groupby("depth")[column].median()
        ax.plot(middle.index + shift, middle, color=colour, marker=mark, lw=1.8, ms=6,
                label=f"scale {scale:g}")  # fmt: skip
    ax.set_xticks(sorted(table["depth"].unique()))
    highest = float(table[[f"linear_{metric}" for metric in METRICS]].to_numpy().max())
    ax.set_ylim(-0.03, 1.05 * math.ceil(20 * highest) / 20)
    ax.set_xlabel("depth (layers with weights)")
    ax.set_ylabel(f"{metric} plateau of the linear path (alpha)")
    ax.legend(fontsize=9, frameon=False, title="lines: medians", title_fontsize=9)
    slopes = [c for c in claims if c["claim"].startswith(f"{data}: the {metric} plateau of")]
    said = [f"{c['effect']:+.2f} {end}" for c, end in zip(slopes, ENDS, strict=True)]
    canvas.title(ax, f"{NAMES[data]}, last layer's bias: {metric} plateau {', '.join(said)}")
