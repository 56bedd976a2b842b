"""Plateaus of arXiv:2210.01019: how biases, depth and initial scale lengthen them.

Error and loss along linear and homogeneous paths of ReLU networks with biases in the last layer
only, in all layers and in none; and the length of both plateaus against depth and initial scale.
H13 to H15 are judged.

Changed after a review that had seen the numbers: networks that 120 epochs left untrained were left
out, three of five in the cell with the longest plateaus. Now the epochs of such a cell are doubled
until all its networks are trained, so that the design of H15 is balanced; and H15 is judged on
Fashion-MNIST too, not on digits alone. The rules of the verdicts are as before. The JSON has the
verdicts of H15 in all `versions`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import QUIET, over, trained
from evidence.figure import Flags, Made
from evidence.judging import between, judge
from evidence.rows import Array, Rows, about
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.wang import networks as wang
from papers.wang.networks import NAMES, TRAINED, Cell

import jumpretrain as jr
from jumpretrain.plots import canvas

ALPHAS = 51
MOST = 32  # times the epochs of the recipe, at most
LONGER, SHORT, LASTS = 0.08, 0.05, 0.1  # differences and lengths of plateaus, in alpha
STEP = 0.02  # the least growth of a plateau, in alpha a layer or a halving of the scale

KINDS, METRICS = ("linear", "homogeneous"), ("error", "loss")
COMPARED = {
    "last layer's bias, linear": ("last", "linear"),
    "last layer's bias, homogeneous": ("last", "homogeneous"),
    "all biases, linear": ("all", "linear"),
    "no biases": ("none", "linear"),
}
CELL = ["data", "depth", "scale", "biases"]
JUDGED = "each cell until all its networks are trained"
Paths = Mapping[str, list[jr.Path]]
Networks = dict[Cell, tuple[int, Paths]]


@dataclass(frozen=True)
class Plan:
    """What a form computes: paths at one depth and scale, lengths of plateaus at several."""

    data: tuple[str, ...]
    depth: int
    scale: float
    depths: tuple[int, ...]
    scales: dict[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    recipe: jr.Recipe
    size: int


SEVERAL = {"fashion_mnist": (0.25, 0.5, 1.0), "digits": (0.25, 0.35, 0.5, 1.0)}
FULL = Plan(tuple(SEVERAL), 5, 0.25, (3, 4, 5, 6), SEVERAL, tuple(range(5)), wang.RECIPE, 2000)
SMALL = Plan(("digits",), 3, 0.25, (2, 3), {"digits": (0.25, 1.0)}, (0, 1, 2), wang.QUICK, 400)


def make(asked: Flags) -> Made:
    plan = SMALL if asked.quick else FULL
    final, ways = measured(asked, plan)
    table = ways[JUDGED]
    claims = [claim for data in plan.data for claim in compared(plan, table, data)] + grown(table)
    shown: dict[str, dict[str, list[jr.Path]]] = {data: {} for data in plan.data}
    for data, (name, (biases, kind)) in product(plan.data, COMPARED.items()):
        shown[data][name] = final[Cell(data, plan.depth, plan.scale, biases)][1][kind]
    every = pd.concat([table.assign(judged=True), *ways.values()])
    once = every.drop_duplicates([*CELL, "epochs", "seed"]).fillna({"judged": False})
    facts = {"data": plan.data, "training_examples": plan.size, "seeds": plan.seeds}
    return drawn(plan, shown, table, claims), facts | {
        "recipe": asdict(plan.recipe),
        "network": f"mlp, ReLU, width {wang.WIDTH}, He-normal weights x scale, biases 0 at first",
        "trained": f"epochs of a cell doubled, {MOST} times as many at most, until each of "
        f"its networks has a final training loss of at most {TRAINED}",
        "claims": claims,
        "versions": {name: grown(some) for name, some in ways.items()},
        "networks": once.astype({"judged": bool}).to_dict("records"),
        "alphas": np.linspace(0, 1, ALPHAS),
        "paths": {
            data: {
                name: {
                    f"train_{metric}": np.round([p.metrics[f"train_{metric}"] for p in some], 4)
                    for metric in METRICS
                }
                for name, some in bundle.items()
            }
            for data, bundle in shown.items()
        },
    }


def measured(asked: Flags, plan: Plan) -> tuple[Networks, dict[str, pd.DataFrame]]:
    """Train all cells until they are trained, and those on digits as long as the longest.

    Gives cells with their epochs and paths, and a table of networks for each version of H15.
    """
    pairs = product(plan.data, ("last", "all", "none"))
    chosen = [Cell(data, plan.depth, plan.scale, biases) for data, biases in pairs]
    grids = {
        data: [Cell(data, *pair, "last") for pair in product(plan.depths, plan.scales[data])]
        for data in plan.data
    }
    chosen += [cell for grid in grids.values() for cell in grid]
    cells = sorted(dict.fromkeys(chosen), key=lambda cell: (-cell.depth, cell.scale))
    trials = over(asked, lowered, [(asked, plan, cell) for cell in cells], "cells")
    first = {cell: min(found.items()) for cell, found in zip(cells, trials, strict=True)}
    final = {cell: max(found.items()) for cell, found in zip(cells, trials, strict=True)}
    alike = {cell: final[cell] for cell in grids["digits"]}
    most = max(epochs for epochs, _ in alike.values())
    short = [cell for cell, (epochs, _) in alike.items() if epochs < most]
    more = over(asked, paths, [(asked, plan, cell, most) for cell in short], "as long")
    alike |= {cell: (most, found) for cell, found in zip(short, more, strict=True)}
    begun = tabled(plan, first)
    return final, {
        JUDGED: tabled(plan, final),
        "first epochs, untrained networks left out": begun[begun["trained"]],
        "first epochs, all networks": begun,
        "digits only, all cells as long as the longest": tabled(plan, alike),
    }


def lowered(asked: Flags, plan: Plan, cell: Cell) -> dict[int, Paths]:
    """Double the epochs of a cell until all networks end at a low loss: paths by the epochs."""
    found: dict[int, Paths] = {}
    epochs = plan.recipe.epochs
    while True:
        found[epochs] = paths(asked, plan, cell, epochs)
        last = [path.metrics["train_loss"][-1] for path in found[epochs]["linear"]]
        epochs *= 2
        if max(last) <= TRAINED or epochs > MOST * plan.recipe.epochs:
            return found


def paths(asked: Flags, plan: Plan, cell: Cell, epochs: int) -> Paths:
    """Train the networks of a cell and interpolate both ways."""
    task = wang.task(cell, plan.size)
    longer = f"-{epochs}" if epochs > plan.recipe.epochs else ""
    name = f"{cell.data}-{cell.depth}-{cell.scale}-{cell.biases}{longer}"
    recipe = replace(plan.recipe, epochs=epochs)
    runs = trained(asked, name, task, recipe, plan.seeds, jobs=1)
    way = partial(jr.interpolate, task, alphas=ALPHAS, execution=QUIET)
    ends = list(zip(runs.initial, runs.final, strict=True))
    return {kind: [way(*pair, biases=kind) for pair in ends] for kind in KINDS}


def tabled(plan: Plan, networks: Networks) -> pd.DataFrame:
    """Measure networks, a row each."""
    table = []
    for cell, (epochs, kinds) in networks.items():
        for seed, *pair in zip(plan.seeds, *(kinds[kind] for kind in KINDS), strict=True):
            row = asdict(cell) | {"epochs": epochs, "seed": seed}
            for kind, path in zip(KINDS, pair, strict=True):
                plateau = path.plateau()
                row |= {f"{kind}_error": plateau.error, f"{kind}_loss": plateau.loss}
            last, rise = pair[0].values("train_loss")[-1], pair[0].monotonicity().min_delta
            row |= {"final_loss": last, "trained": bool(last <= TRAINED), "min_delta": rise}
            table.append(row)
    return pd.DataFrame(table)


def grown(table: pd.DataFrame) -> Rows:
    """Judge how plateaus grow with depth and with a smaller initial scale."""
    rows = []
    grid = table[table["biases"] == "last"]
    for (data, some), metric in product(grid.groupby("data"), METRICS):
        slopes = np.array([growth(group, metric) for _, group in some.groupby("seed")])
        for words, slope in zip(("layer", "halving of the initial scale"), slopes.T, strict=True):
            claim = f"{data}: the {metric} plateau of the linear path grows with each {words}"
            how = f"slope in alpha over the {words}s, of one seed's cells together"
            rows.append(("H15", claim, how, slope, STEP))
    return judge("interpolation-", rows)


def growth(group: pd.DataFrame, metric: str) -> Array:
    """Fit a plane through the plateaus of one seed: slopes over depth and halvings of scale."""
    halvings = -np.log2(group["scale"])
    design = np.column_stack([np.ones(len(group)), group["depth"], halvings])
    return np.linalg.lstsq(design, group[f"linear_{metric}"], rcond=None)[0][1:]


def compared(plan: Plan, table: pd.DataFrame, data: str) -> Rows:
    main = table[table[CELL[:3]].eq([data, plan.depth, plan.scale]).all(axis=1)]
    last, bare = (main[main["biases"] == biases] for biases in ("last", "none"))
    longer = last["linear_error"] - last["homogeneous_error"]
    drop = last["linear_loss"] - last["homogeneous_loss"]
    rows = (
        ("H13", "the linear error plateau is longer than the homogeneous one",
         "difference of error plateaus in alpha, networks with the last layer's bias",
         longer, LONGER),
        ("H13", f"without biases the error plateau is shorter than {SHORT}",
         f"{SHORT} minus the error plateau, in alpha", SHORT - bare["linear_error"], 0),
        ("H14", f"homogeneous biases change the loss plateau by less than {LONGER}",
         f"{LONGER} minus the absolute difference of loss plateaus, in alpha",
         LONGER - np.abs(drop), 0),
        ("H14", "a loss plateau remains without biases",
         "the loss plateau, in alpha", bare["linear_loss"], LASTS),
    )  # fmt: skip
    claims = judge("interpolation-", [(row[0], f"{data}: {row[1]}", *row[2:]) for row in rows])
    both = last["linear_error"], bare["linear_error"]
    claim = f"{data}: the last layer's bias lengthens the error plateau of the linear path"
    how = "the error plateau, with that bias against without biases"
    return [*claims[:2], between("interpolation-H13", claim, how, *both), *claims[2:]]


def drawn(plan: Plan, shown: Mapping[str, Paths], table: pd.DataFrame, claims: Rows) -> Figure:
    figure = canvas.new_figure(17, 4.8 * len(plan.data) + 1.7)
    axes = figure.subplots(len(plan.data), 4, squeeze=False)
    for line, (data, bundle) in zip(axes, shown.items(), strict=True):
        some = table[(table["data"] == data) & (table["biases"] == "last")]
        for metric, path, length in zip(METRICS, line[:2], line[2:], strict=True):
            _paths(path, data, bundle, metric)
            _lengths(length, data, some, metric, claims)
    _share(axes)
    panels.head(figure, finding(claims), claims, _described(plan, table))
    return figure


def _described(plan: Plan, table: pd.DataFrame) -> str:
    longer = table[table["epochs"] > plan.recipe.epochs].groupby([*CELL, "epochs"]).size()
    words = "{}, depth {}, scale {}, biases {}: {}"
    cells = [words.format(NAMES[data], *rest) for data, *rest in longer.index]
    return (
        f"MLP, ReLU, width {wang.WIDTH}, He-normal weights x scale, biases 0 at first; paths: "
        f"depth {plan.depth}, scale {plan.scale}; {len(plan.seeds)} seeds a cell, a dot or thin "
        f"line a network, n = {len(table)}; at most {plan.size} training examples; "
        f"{wang.trainings(plan.recipe)}, doubled for a cell until all its networks end at "
        f"{TRAINED} nats or below ({'; '.join(cells) or 'none'}); "
        f"{int((~table['trained']).sum())} networks end higher, none is left out; {ALPHAS} "
        "alphas. Plateau: last alpha at which the error is at least .9 (1 − 1/k), the loss at "
        "least .9 of the first. Slopes: of a plane over layers and halvings, a seed's cells "
        "together."
    )


def finding(claims: Rows) -> str:
    said = partial(wang.listed, claims, number="+.2f")
    longer = said("longer than the homogeneous")
    layer, halving = (said("error plateau", f"each {what}") for what in ("layer", "halving"))
    return (
        f"Error plateau, linear minus homogeneous path, in alpha: {longer};\n"
        f"its growth with each layer: {layer}; with each halving of the scale: {halving}"
    )


def _paths(ax: Axes, data: str, bundle: Paths, metric: str) -> None:
    jr.plots.paths(bundle, f"train_{metric}", ax)
    middle = [np.median([getattr(p.plateau(), metric) for p in some]) for some in bundle.values()]
    title = f"{NAMES[data]}: {metric} plateau (median) {middle[0]:.2f} linear, {middle[1]:.2f} "
    title += f"homogeneous, {middle[3]:.2f} without biases"
    canvas.title(ax, title)


def _share(axes: Any) -> None:
    """Put one legend of paths under the lowest two panels."""
    legends = [ax.get_legend() for ax in axes[:, :2].flat]
    names = [text.get_text() for text in legends[0].get_texts()]
    for legend in legends:
        legend.remove()
    place = {"loc": "upper left", "bbox_to_anchor": (-0.1, -0.14), "frameon": False, "fontsize": 9}
    for ax, half in zip(axes[-1], (slice(0, 2), slice(2, 4)), strict=False):
        ax.legend(legends[0].legend_handles[half], names[half], **place)


def _lengths(ax: Axes, data: str, table: pd.DataFrame, metric: str, claims: Rows) -> None:
    scales, column = sorted(table["scale"].unique()), f"linear_{metric}"
    for place, (scale, colour) in enumerate(zip(scales, canvas.ramp(len(scales)), strict=True)):
        some = table[table["scale"] == scale]
        shift = 0.06 * (place - (len(scales) - 1) / 2)
        style = {"color": colour, "marker": "os^Dv"[place]}
        ax.scatter(some["depth"] + shift, some[column], s=16, alpha=0.55, lw=0, **style)
        middle = some.groupby("depth")[column].median()
        ax.plot(middle.index + shift, middle, lw=1.8, ms=6, label=f"scale {scale:g}", **style)
    ax.set_xticks(sorted(table["depth"].unique()))
    highest = float(table[[f"linear_{metric}" for metric in METRICS]].to_numpy().max())
    slopes = about(claims, f"{data}: the {metric} plateau of")
    layer, halving = (f"{claim['effect']:+.2f}" for claim in slopes)
    title = f"{NAMES[data]}, last layer's bias: {metric} plateau {layer} a layer, {halving} a "
    title += "halving of the scale"
    length = f"{metric} plateau of the linear path (alpha)"
    top = 1.05 * math.ceil(20 * highest) / 20
    ax.set_ylim(-0.03, top)
    words = {"title": "lines: medians", "title_fontsize": 9}
    panels.label(ax, "depth (layers with weights)", length, title, **words)
