"""Biases and the order of classes in real networks, after arXiv:2210.01019.

Errors of the classes along one network's linear path, coloured by their last-layer biases; over
networks, these biases against the epoch at which classes are learned and against the alpha at
which they turn right, that alpha against the one that degree counting predicts, and the loss on
the plateau against what the biases alone would make it. H16 to H18 are judged.

The small form needs digits only; the other one Fashion-MNIST too, in the folder that the
environment variable JUMPRETRAIN_DATA names.

Changed after a review that had seen the numbers: the claim that the class learned last has the
largest bias was judged in the toy alone, and is judged here too; the loss half way along the
plateau was judged by the mean of ratios with tiny denominators, and is by the ratio of sums; which
class the plateau predicts is counted only where that plateau is as long as for the loss.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from evidence.proportions import counted, quotient
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.wang.orders import ALPHAS, HELD, Case, followed, measured
from papers.wang.plateau_networks import CLASSES, NAMES, QUICK, RECIPE, TRAINED, WIDTH, Cell

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.plots import canvas

CHUNK = 5  # networks a job
CORRELATION, SHARE = 0.3, 0.5  # the least correlation over classes, the least share of networks
ABOVE, RISE = 0.01, 0.5  # nats above log k; share of the prediction
RISES = 1e-3  # nats; paths that rise by more are counted, as in arXiv:2104.11044


def make(asked: Flags) -> Made:
    cells = [Cell("digits", 3, 0.25, "last")]
    size, seeds, recipe = 400, [0, 1, 2], replace(QUICK, record_every=1)
    if not asked.quick:
        cells = [Cell("fashion_mnist", 5, 0.25, "last"), Cell("digits", 5, 0.25, "last")]
        size, seeds, recipe = 2000, list(range(10)), replace(RECIPE, record_every=1)
    jobs = [
        (asked, cell, size, recipe, seeds[first : first + CHUNK])
        for cell in cells
        for first in range(0, len(seeds), CHUNK)
    ]
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    every = [case for cases in spread(followed, jobs, execution, "cells") for case in cases]
    cases = [case for case in every if case.path.metrics["train_loss"][-1] <= TRAINED]
    table = pd.DataFrame([measured(case) for case in cases])
    names = [cell.data for cell in cells]
    claims = [claim for name in names for claim in judged(name, table[table["data"] == name])]
    shown = {name: next(case for case in cases if case.data == name) for name in names}
    return drawn(recipe, cells[0], cases, shown, table, claims, len(every)), {
        "data": names,
        "training_examples": size,
        "recipe": asdict(recipe),
        "network": f"mlp, ReLU, width {WIDTH}, depth {cells[0].depth}, He-normal weights x "
        f"{cells[0].scale}, a bias in the last layer only, 0 at first",
        "seeds": seeds,
        "left_out": f"{len(every) - len(cases)} networks with a final loss above {TRAINED}",
        "claims": claims,
        "rising": rising(table),
        "networks": table.to_dict("records"),
        "paths": {
            name: {
                "seed": case.seed,
                "alphas": case.path.alphas,
                "class_error": np.round(np.asarray(case.path.class_error["train"]), 4),
                "train_loss": np.round(case.path.metrics["train_loss"], 4),
            }
            for name, case in shown.items()
        },
    }


def judged(data: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    held = table[table["error_plateau"] >= HELD]
    over = "Spearman's rho over the classes of a network of"
    claims = [
        within(
            "interpolation-H16",
            f"{data}: classes learned later have larger biases",
            f"{over} the epoch of learning and the bias",
            table["bias_and_learning"],
            CORRELATION,
        ),
        within(
            "interpolation-H16",
            f"{data}: classes learned later turn right earlier on the path",
            f"{over} the epoch of learning and alpha",
            table["learning_and_turning"],
            CORRELATION,
            -1,
        ),
        counted(
            "interpolation-H16",
            f"{data}: the class learned last has the largest bias",
            table["last_is_largest"],
            SHARE,
        ),
        within(
            "interpolation-H17",
            f"{data}: classes with smaller biases turn right later on the path",
            f"{over} minus the bias and alpha",
            table["bias_and_turning"],
            CORRELATION,
        ),
        within(
            "interpolation-H17",
            f"{data}: degree counting predicts the alphas at which classes turn right",
            "Pearson's correlation over the classes of a network of both alphas",
            table["agreement"],
            CORRELATION,
        ),
        within(
            "interpolation-H18",
            f"{data}: the loss rises above log k on the path",
            "largest loss on the path minus log k, in nats",
            table["excess"],
            ABOVE,
        ),
    ]
    if len(held) < 2:
        return claims
    where = f", where that plateau is {HELD} or longer"
    return [
        *claims,
        counted(
            "interpolation-H17",
            f"{data}: on the error plateau the class with the largest bias is predicted{where}",
            held["plateau_class_is_largest"],
            SHARE,
        ),
        quotient(
            "interpolation-H18",
            f"{data}: half way along the error plateau the loss lies above log k by at least "
            f"{RISE:.0%} of alpha² Var(b) / 2{where}",
            "the loss above log k and of alpha² Var(b) / 2",
            held["middle_excess"],
            held["middle_expected"],
            RISE,
        ),
    ]


def rising(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Count the paths that rise, for which monotonic linear interpolation fails."""
    return {
        str(data): {
            "networks": len(some),
            "rise_by_more": int((some["min_delta"] > RISES).sum()),
            "nats": RISES,
            "largest": float(some["min_delta"].max()),
        }
        for data, some in table.groupby("data")
    }


def drawn(
    recipe: jr.Recipe,
    cell: Cell,
    cases: list[Case],
    shown: dict[str, Case],
    table: pd.DataFrame,
    claims: list[dict[str, Any]],
    count: int,
) -> Figure:
    figure = canvas.new_figure(19.5, 4.6 * len(shown) + 1.9)
    panels = figure.subplots(len(shown), 5, squeeze=False)
    for line, (data, case) in zip(panels, shown.items(), strict=True):
        some = [other for other in cases if other.data == data]
        rows = table[table["data"] == data]
        _errors(line[0], case)
        _scatter(line[1], case, some, "learned", "biases")
        line[1].set_xlabel("epoch at which the class is learned")
        line[1].set_ylabel("bias of the class (last layer)")
        canvas.title(
            line[1], f"learned later, larger bias?\nρ = {_mean(rows['bias_and_learning'])}"
        )
        _scatter(line[2], case, some, "biases", "turns")
        line[2].set_xlabel("bias of the class (last layer)")
        line[2].set_ylabel("last alpha, half of the class wrong")
        canvas.title(
            line[2], f"larger bias, right earlier?\nρ = {_mean(-rows['bias_and_turning'])}"
        )
        _scatter(line[3], case, some, "predicted", "turns")
        line[3].plot([0, 1], [0, 1], color="0.4", ls=":", lw=1.2)
        line[3].set_xlabel("alpha predicted by degree counting")
        line[3].set_ylabel("last alpha, half of the class wrong")
        canvas.title(line[3], f"predicted and observed alpha:\nr = {_mean(rows['agreement'])}")
        _excess(line[4], rows, rising(rows)[data], claims)
    figure.suptitle(f"{finding(claims)}; {tally(claims)}", fontsize=13, x=0.01, ha="left")
    sizes = table.groupby("data").size()
    rises = [
        f"{NAMES[d]} {n['rise_by_more']} of {n['networks']}" for d, n in rising(table).items()
    ]
    canvas.note(
        figure,
        f"MLP, ReLU, depth {cell.depth}, width {WIDTH}, He-normal weights x {cell.scale}, a bias "
        "in the last layer only, 0 at first; SGD, momentum "
        f"{recipe.momentum}, learning rate {recipe.lr} ({recipe.schedule}), batches of "
        f"{recipe.batch_size}, {recipe.epochs} epochs; n = "
        f"{', '.join(f'{n} {NAMES[str(d)]}' for d, n in sizes.items())} networks, "
        f"{count - len(table)} with a final loss above {TRAINED} nats left out. A dot a class; "
        f"coloured: seed {', '.join(str(c.seed) for c in shown.values())}, by its bias; grey: the "
        "other networks. Learned: mean probability of the class reaches 1/2 on its training "
        f"examples. Means over networks with their 95 % intervals. Path: linear, {ALPHAS} alphas; "
        f"the training loss rises by more than {RISES} nats along it, and is not monotonic, in "
        f"{', '.join(rises)} networks.",
    )
    return figure


def finding(claims: list[dict[str, Any]]) -> str:
    words = []
    for start, part in (
        ("Later learned, larger bias", "learned later have"),
        ("last learned, largest bias", "the class learned last has"),
        ("larger bias, right earlier on the path", "smaller biases turn"),
        ("loss above log k", "the loss rises above"),
    ):
        said = [_said(claim) for claim in claims if part in claim["claim"]]
        words.append(f"{start}: {', '.join(said)}")
    return f"{'; '.join(words[:2])};\n{'; '.join(words[2:])}"


def _said(claim: dict[str, Any]) -> str:
    name = NAMES[claim["claim"].split(":")[0]]
    if "holds" in claim:
        return f"{name} {claim['holds']} of {claim['n']} ({claim['verdict']})"
    return f"{name} {claim['verdict']}"


def _mean(values: pd.Series[float]) -> str:
    claim = within("", "", "", values, 0)
    if None in claim["interval"]:
        return "none to estimate"
    low, high = claim["interval"]
    return f"{claim['effect']:.2f} [{low:.2f}, {high:.2f}]"


def _palette(case: Case) -> dict[int, canvas.Colour]:
    return dict(zip(case.report.order, canvas.ramp(CLASSES, "viridis"), strict=True))


def _errors(ax: Axes, case: Case) -> None:
    path, error = case.path, np.asarray(case.path.class_error["train"])
    held = path.plateau().error >= HELD
    first = f"class {case.report.plateau_class}" if held else "no class"
    for label, colour in _palette(case).items():
        ax.plot(path.alphas, error[:, label], color=colour, lw=1.4,
                label=f"{label}: {case.report.biases[label]:+.1f}")  # fmt: skip
    ax.plot(path.alphas, path.metrics["train_error"], color="black", lw=2, ls="--", label="all")
    ax.axhline(1 - 1 / CLASSES, color="0.4", ls=":", lw=1.2)
    ax.set_xlabel("alpha")
    ax.set_ylabel("training error of a class (fraction)")
    ax.legend(
        title="class: bias", fontsize=8, title_fontsize=8, frameon=False, loc="upper left",
        bbox_to_anchor=(1.0, 1.02), handlelength=1.2,
    )  # fmt: skip
    canvas.title(ax, f"{NAMES[case.data]}, seed {case.seed}:\n{first} is predicted first")


def _scatter(ax: Axes, case: Case, cases: list[Case], across: str, up: str) -> None:
    for other in cases:
        if other.seed != case.seed:
            ax.scatter(_values(other, across), _values(other, up), s=14, color="0.75", lw=0)
    x, y = _values(case, across), _values(case, up)
    for label, colour in _palette(case).items():
        ax.scatter(x[label], y[label], s=55, color=[colour], edgecolor="black", lw=0.6, zorder=3)


def _values(case: Case, name: str) -> NDArray[np.float64]:
    return np.asarray(case.learned if name == "learned" else getattr(case.report, name))


def _excess(
    ax: Axes, rows: pd.DataFrame, rises: dict[str, Any], claims: list[dict[str, Any]]
) -> None:
    data = str(rows["data"].iloc[0])
    ratios = [
        f"{claim['effect']:.2f} of what biases make, by sums"
        for claim in claims
        if "half way" in claim["claim"] and claim["claim"].startswith(data)
    ]
    held = rows["error_plateau"] >= HELD
    for some, face in ((rows[held], "#0072B2"), (rows[~held], "none")):
        ax.scatter(some["middle_expected"], some["middle_excess"], s=40, facecolor=face,
                   edgecolor="#0072B2", lw=1)  # fmt: skip
    top = float(rows["middle_expected"].max())
    ax.plot([0, top], [0, top], color="0.4", ls=":", lw=1.2, label="biases alone")
    ax.axhline(0, color="0.8", lw=0.8)
    ax.set_xlabel("alpha² Var(b) / 2 (nats), a dot a network")
    ax.set_ylabel("training loss − log k (nats)")
    ax.legend(fontsize=8, frameon=False)
    canvas.title(
        ax,
        f"loss half way along the error plateau: {', '.join(ratios) or 'none to estimate'} (n = "
        f"{int(held.sum())}; open: plateau shorter than {HELD}); on "
        f"the path {rises['rise_by_more']} of {rises['networks']} rise by over {RISES:g}, at most "
        f"{rises['largest']:.2g}",
    )
