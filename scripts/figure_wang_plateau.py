"""Plateaus of arXiv:2210.01019: how biases, depth and initial scale lengthen them.

Error and loss along linear and homogeneous paths of ReLU networks with biases in the last layer
only, in all layers and in none; and the length of both plateaus against depth and initial scale.
H13 to H15 are judged. Redo it:

    .venv/bin/python scripts/figure_wang_plateau.py            # --quick for a small one

The small form needs digits only; the other one Fashion-MNIST too, in the folder that the
environment variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from cells import trained
from figure import Flags, device, flags, save
from judging import between, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

import jumpretrain as jr
from jumpretrain.execution import spread
from jumpretrain.plots import canvas

RECIPE = jr.Recipe(
    epochs=120, lr=0.05, batch_size=128, schedule="steps", milestones=(0.8,),
    record_every=0, record_early=False,
)  # fmt: skip
QUICK = jr.Recipe(epochs=12, lr=0.1, batch_size=32, record_every=0, record_early=False)
WIDTH, CLASSES, ALPHAS = 100, 10, 51
QUIET = jr.Execution(progress=False)
TRAINED = 0.1  # nats; as in arXiv:2104.11044, a network that ends with a higher loss is left out

LONGER, SHORT, LASTS = 0.08, 0.05, 0.1  # differences and lengths of plateaus, in alpha
STEP = 0.02  # the least growth of a plateau, in alpha a layer or a halving of the scale

Biases = Literal["all", "last", "none"]
KINDS = ("linear", "homogeneous")
COMPARED = {
    "last layer's bias, linear": ("last", "linear"),
    "last layer's bias, homogeneous": ("last", "homogeneous"),
    "all biases, linear": ("all", "linear"),
    "no biases": ("none", "linear"),
}


@dataclass(frozen=True)
class Cell:
    """Networks that differ in their seed only.

    Attributes:
        data: `digits` or `fashion_mnist`.
        depth: Number of layers with weights.
        scale: What He's initial weights are multiplied by.
        biases: Which layers have biases.
    """

    data: str
    depth: int
    scale: float
    biases: Biases


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes.

    Attributes:
        data: Data of the networks whose paths are compared.
        depth: Depth of those networks.
        scale: Their initial scale.
        depths: Depths of the networks of different plateaus, on digits.
        scales: Their initial scales.
        seeds: Seeds of each cell.
        recipe: How all are trained.
        size: Number of training examples at most.
    """

    data: tuple[str, ...]
    depth: int
    scale: float
    depths: tuple[int, ...]
    scales: tuple[float, ...]
    seeds: tuple[int, ...]
    recipe: jr.Recipe
    size: int

    def main(self, data: str, biases: Biases) -> Cell:
        """Name a cell whose paths are drawn."""
        return Cell(data, self.depth, self.scale, biases)

    def cells(self) -> list[Cell]:
        """List all cells once."""
        chosen = [
            self.main(*pair) for pair in itertools.product(self.data, ("last", "all", "none"))
        ]
        grid = itertools.product(self.depths, self.scales)
        chosen += [Cell("digits", depth, scale, "last") for depth, scale in grid]
        return list(dict.fromkeys(chosen))


FULL = Plan(
    ("fashion_mnist", "digits"), 5, 0.25, (3, 4, 5, 6), (0.25, 0.35, 0.5, 1.0), tuple(range(5)),
    RECIPE, 2000,
)  # fmt: skip
SMALL = Plan(("digits",), 3, 0.25, (2, 3), (0.25, 1.0), (0, 1, 2), QUICK, 400)
Paths = Mapping[str, list[jr.Path]]


def main() -> None:
    asked = flags(__file__, "plateaus of the error and the loss")
    plan = SMALL if asked.quick else FULL
    cells = plan.cells()  # the longest first
    jobs = [(asked, plan, cell) for cell in cells]
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    found = dict(zip(cells, spread(paths, jobs, execution, "cells"), strict=True))
    table = pd.DataFrame([row for cell, kinds in found.items() for row in rows(plan, cell, kinds)])
    claims = judged(plan, table[table["trained"]])
    shown = {
        data: {
            name: [
                path
                for path in found[plan.main(data, biases)][kind]  # type: ignore[arg-type]
                if path.metrics["train_loss"][-1] <= TRAINED
            ]
            for name, (biases, kind) in COMPARED.items()
        }
        for data in plan.data
    }
    save(
        drawn(plan, shown, table, claims),
        asked,
        {
            "data": plan.data,
            "training_examples": plan.size,
            "recipe": asdict(plan.recipe),
            "network": f"mlp, ReLU, width {WIDTH}, He-normal weights x scale, biases 0 at first",
            "seeds": plan.seeds,
            "trained": f"final training loss at most {TRAINED}",
            "claims": claims,
            "networks": table.to_dict("records"),
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
        },
    )


def network(shape: tuple[int, ...], depth: int) -> nn.Module:
    return jr.models.mlp(shape, CLASSES, hidden=(WIDTH,) * (depth - 1))


def task(cell: Cell, size: int) -> jr.Task:
    whole = jr.data.digits() if cell.data == "digits" else jr.data.load(cell.data)
    count = min(size, len(whole.train_x))
    data = whole.subset(count, min(count, len(whole.test_x)))
    build = partial(network, data.train_x.shape[1:], cell.depth)
    scaled = jr.initialise(build, "he", cell.scale, biases=cell.biases)
    return jr.Task(scaled, data, device=device())


def paths(asked: Flags, plan: Plan, cell: Cell) -> Paths:
    """Train the networks of a cell and interpolate both ways."""
    given = task(cell, plan.size)
    name = f"{cell.data}-{cell.depth}-{cell.scale}-{cell.biases}"
    runs = trained(asked, name, given, plan.recipe, plan.seeds, jobs=1)
    return {
        kind: [
            jr.interpolate(given, start, end, ALPHAS, biases=kind, execution=QUIET)
            for start, end in zip(runs.initial, runs.final, strict=True)
        ]
        for kind in ("linear", "homogeneous")
    }


def rows(plan: Plan, cell: Cell, kinds: Paths) -> list[dict[str, Any]]:
    table = []
    for place, seed in enumerate(plan.seeds):
        row: dict[str, Any] = asdict(cell) | {"seed": seed}
        for kind in KINDS:
            plateau = kinds[kind][place].plateau()
            row |= {f"{kind}_error": plateau.error, f"{kind}_loss": plateau.loss}
        losses = kinds["linear"][place].values("train_loss")
        row |= {"final_loss": losses[-1], "trained": bool(losses[-1] <= TRAINED)}
        table.append(row | {"min_delta": kinds["linear"][place].monotonicity().min_delta})
    return table


def judged(plan: Plan, table: pd.DataFrame) -> list[dict[str, Any]]:
    claims = [claim for data in plan.data for claim in compared(plan, table, data)]
    grid = table[(table["data"] == "digits") & (table["biases"] == "last")]
    slopes = pd.DataFrame([
        growth(group, metric) | {"metric": metric}
        for metric in ("error", "loss")
        for _, group in grid.groupby("seed")
    ])
    for metric, some in slopes.groupby("metric"):
        for what, words in (("depth", "layer"), ("halving", "halving of the initial scale")):
            claims.append(
                within(
                    "interpolation-H15",
                    f"digits: the {metric} plateau of the linear path grows with each {words}",
                    f"slope in alpha over the {words}s, of one seed's cells together",
                    some[what],
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
    recipe = plan.recipe
    figure = canvas.new_figure(16.5, 4.7 * len(plan.data) + 1.6)
    panels = figure.subplots(len(plan.data), 4, squeeze=False)
    for line, (data, bundle) in zip(panels, shown.items(), strict=True):
        for ax, metric in zip(line, ("error", "loss"), strict=False):
            jr.plots.paths(bundle, f"train_{metric}", ax)
            medians = [
                np.median([getattr(p.plateau(), metric) for p in s]) for s in bundle.values()
            ]
            canvas.title(
                ax,
                f"{data}: {metric} plateau (median) {medians[0]:.2f} linear, {medians[1]:.2f} "
                f"homogeneous, {medians[3]:.2f} without biases",
            )
            legend = ax.get_legend()
            legend.remove()
    names = [text.get_text() for text in legend.get_texts()]
    for ax, half in zip(panels[-1], (slice(0, 2), slice(2, 4)), strict=False):
        ax.legend(
            legend.legend_handles[half], names[half], loc="upper left",
            bbox_to_anchor=(-0.1, -0.14), frameon=False, fontsize=9,
        )  # fmt: skip
    kept = table[table["trained"] & (table["data"] == "digits") & (table["biases"] == "last")]
    for line, kind in zip(panels[:, 2:], KINDS, strict=False):
        for ax, metric in zip(line, ("error", "loss"), strict=True):
            _lengths(ax, kept, kind, metric)
    figure.suptitle(f"{finding(claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    lost = table[~table["trained"]].groupby(["data", "depth", "scale", "biases"]).size()
    words = [f"{count} of {' '.join(map(str, cell))}" for cell, count in lost.items()]
    canvas.note(
        figure,
        f"MLP, ReLU, width {WIDTH}, He-normal weights x scale, biases 0 at first; paths: depth "
        f"{plan.depth}, scale {plan.scale}; {len(plan.seeds)} seeds a cell, a dot or thin line a "
        f"network; at most {plan.size} training examples; SGD, momentum {recipe.momentum}, "
        f"learning rate {recipe.lr} ({recipe.schedule}), batches of {recipe.batch_size}, "
        f"{recipe.epochs} epochs; {ALPHAS} alphas. Plateau: last alpha at which the error is at "
        "least .9 (1 − 1/k), the loss at least .9 of the first. "
        f"Left out, as they end above {TRAINED} nats: {'; '.join(words) or 'none'}.",
    )
    return figure


def finding(claims: list[dict[str, Any]]) -> str:
    gaps = [
        f"{claim['claim'].split(':')[0]} {claim['effect']:+.2f} ({claim['verdict']})"
        for claim in claims
        if "longer than the homogeneous" in claim["claim"]
    ]
    return f"Error plateau, linear minus homogeneous path, in alpha: {', '.join(gaps)}"


def _lengths(ax: Axes, table: pd.DataFrame, kind: str, metric: str) -> None:
    scales = sorted(table["scale"].unique())
    marks = itertools.cycle("os^Dv")
    for place, (scale, colour) in enumerate(zip(scales, canvas.ramp(len(scales)), strict=True)):
        some = table[table["scale"] == scale]
        column, mark = f"{kind}_{metric}", next(marks)
        shift = 0.06 * (place - (len(scales) - 1) / 2)
        ax.scatter(some["depth"] + shift, some[column], s=16, color=[colour], marker=mark,
                   alpha=0.55, lw=0)  # fmt: skip
        middle = some.groupby("depth")[column].median()
        ax.plot(middle.index + shift, middle, color=colour, marker=mark, lw=1.8, ms=6,
                label=f"scale {scale:g}")  # fmt: skip
    ax.set_xticks(sorted(table["depth"].unique()))
    ax.set_ylim(-0.03, 1.05 * math.ceil(20 * _longest(table)) / 20)
    ax.set_xlabel("depth (layers with weights)")
    ax.set_ylabel(f"{metric} plateau (alpha)")
    ax.legend(fontsize=9, frameon=False)
    canvas.title(ax, f"digits, last layer's bias: {metric} plateau, {kind} path (lines: medians)")


def _longest(table: pd.DataFrame) -> float:
    lengths = table[[f"{kind}_{metric}" for kind in KINDS for metric in ("error", "loss")]]
    return float(lengths.to_numpy().max())


if __name__ == "__main__":
    main()
