"""Biases and the order of classes in real networks, after arXiv:2210.01019.

Errors of the classes along one network's linear path, coloured by their last-layer biases; over
networks, these biases against the epoch at which classes are learned and against the alpha at
which they turn right, that alpha against the one that degree counting predicts, and the loss on
the plateau against what the biases alone would make it. H16 to H18 are judged. Redo it:

    .venv/bin/python scripts/figure_wang_classes.py            # --quick for a small one

The small form needs digits only; the other one Fashion-MNIST too, in the folder that the
environment variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from cells import trained
from figure import Flags, flags, save
from figure_wang_plateau import CLASSES, QUICK, QUIET, RECIPE, TRAINED, WIDTH, Cell, task
from judging import entry, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest

import jumpretrain as jr
from jumpretrain.execution import spread
from jumpretrain.plots import canvas

ALPHAS = 101
CHUNK = 5  # networks a job
CORRELATION, SHARE = 0.3, 0.5  # the least correlation over classes, the least share of networks
ABOVE, RISE, HELD = 0.01, 0.5, 0.1  # nats above log k; share of the prediction; shortest plateau


@dataclass(frozen=True)
class Case:
    """A trained network, its path and what its classes did.

    Attributes:
        data: `digits` or `fashion_mnist`.
        seed: Its seed.
        path: Linear path from its start.
        report: Biases beside the errors of the classes.
        learned: Epoch at which each class's mean probability first reaches 1/2 (C,).
    """

    data: str
    seed: int
    path: jr.Path
    report: Any
    learned: NDArray[np.float64]


def main() -> None:
    asked = flags(__file__, "biases and the order of classes")
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
    save(
        drawn(recipe, cells[0], cases, shown, table, claims, len(every)),
        asked,
        {
            "data": names,
            "training_examples": size,
            "recipe": asdict(recipe),
            "network": f"mlp, ReLU, width {WIDTH}, depth {cells[0].depth}, He-normal weights x "
            f"{cells[0].scale}, a bias in the last layer only, 0 at first",
            "seeds": seeds,
            "left_out": f"{len(every) - len(cases)} networks with a final loss above {TRAINED}",
            "claims": claims,
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
        },
    )


def chance(label: int, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give the probability of a class where it is the target, and 0 elsewhere."""
    return outputs.softmax(1)[:, label] * (targets == label)


def followed(
    asked: Flags, cell: Cell, size: int, recipe: jr.Recipe, seeds: list[int]
) -> list[Case]:
    """Train networks and see when each class is learned, and when it turns right on the path."""
    measures = {f"chance{label}": partial(chance, label) for label in range(CLASSES)}
    given = replace(task(cell, size), metrics=measures)
    runs = trained(asked, f"{cell.data}-{seeds[0]}", given, recipe, seeds, jobs=1)
    labels = given.tensors["scored_y"].cpu().numpy()
    shares = np.bincount(labels, minlength=CLASSES) / len(labels)
    means = np.stack([runs.metrics[f"train_{name}"] for name in measures], axis=-1) / shares
    cases = []
    for place, seed in enumerate(seeds):
        ends = runs.initial[place], runs.final[place]
        path = jr.interpolate(given, *ends, ALPHAS, execution=QUIET)
        report = jr.bias_report(given, path)
        cases.append(Case(cell.data, seed, path, report, reached(runs.epoch, means[place])))
    return cases


def reached(epoch: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find when each column first reaches 1/2, between two records by a straight line.

    Returns:
        Epochs (C,); the last one where a column never does.
    """
    found = []
    for column in means.T:
        after = int((column >= 0.5).argmax())
        if not after:
            found.append(epoch[-1])
            continue
        pair = slice(after - 1, after + 1)
        found.append(np.interp(0.5, column[pair], epoch[pair]))
    return np.array(found)


def measured(case: Case) -> dict[str, Any]:
    report, path = case.report, case.path
    plateau, variance = path.plateau(), float(report.biases.var())
    middle = int(np.searchsorted(path.alphas, plateau.error / 2))
    return {
        "data": case.data,
        "seed": case.seed,
        "biases": report.biases.tolist(),
        "learned": case.learned.tolist(),
        "turns": report.turns.tolist(),
        "predicted": report.predicted.tolist(),
        "bias_and_learning": ranked(report.biases, case.learned),
        "bias_and_turning": ranked(-report.biases, report.turns),
        "learning_and_turning": ranked(case.learned, report.turns),
        "agreement": report.agreement,
        "off": float(np.abs(report.predicted - report.turns).mean()),
        "plateau_class_is_largest": bool(report.plateau_class == report.order[0]),
        "error_plateau": plateau.error,
        "loss_plateau": plateau.loss,
        "gap": report.gap,
        "excess": plateau.excess,
        "min_delta": path.monotonicity().min_delta,
        "middle_excess": float(path.metrics["train_loss"][middle]) - math.log(CLASSES),
        "middle_expected": float(path.alphas[middle]) ** 2 * variance / 2,
    }


def ranked(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Correlate two values of the classes of one network by rank."""
    return float(pd.Series(first).corr(pd.Series(second), method="spearman"))


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
        counted(data, table["plateau_class_is_largest"]),
        within(
            "interpolation-H18",
            f"{data}: the loss rises above log k on the path",
            "largest loss on the path minus log k, in nats",
            table["excess"],
            ABOVE,
        ),
    ]
    if len(held) > 1:
        claim = within(
            "interpolation-H18",
            f"{data}: half way along the error plateau the loss lies above log k by at least "
            f"{RISE:.0%} of alpha² Var(b) / 2, where that plateau is {HELD} or longer",
            "ratio of both",
            held["middle_excess"] / held["middle_expected"],
            RISE,
        )
        claims.append(claim)
    return claims


def counted(data: str, holds: pd.Series[bool]) -> dict[str, Any]:
    """Judge how often something holds, by Wilson's interval of the share of networks."""
    share = binomtest(int(holds.sum()), len(holds))
    low, high = share.proportion_ci(method="wilson")
    return entry(
        "interpolation-H17",
        f"{data}: on the error plateau the class with the largest bias is predicted",
        "share of networks",
        share.statistic,
        min(low, share.statistic),
        max(high, share.statistic),
        len(holds),
        SHARE,
    )


def drawn(
    recipe: jr.Recipe,
    cell: Cell,
    cases: list[Case],
    shown: dict[str, Case],
    table: pd.DataFrame,
    claims: list[dict[str, Any]],
    count: int,
) -> Figure:
    figure = canvas.new_figure(19.5, 4.4 * len(shown) + 1.5)
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
        _excess(line[4], rows)
    figure.suptitle(f"{finding(claims)}; {tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        f"MLP, ReLU, depth {cell.depth}, width {WIDTH}, He-normal weights x {cell.scale}, a bias "
        "in the last layer only, 0 at first; SGD, momentum "
        f"{recipe.momentum}, learning rate {recipe.lr} ({recipe.schedule}), batches of "
        f"{recipe.batch_size}, {recipe.epochs} epochs; n = "
        f"{', '.join(f'{n} {d}' for d, n in table.groupby('data').size().items())} networks, "
        f"{count - len(table)} with a final loss above {TRAINED} nats left out. A dot a class; "
        f"coloured: seed {', '.join(str(c.seed) for c in shown.values())}, by its bias; grey: the "
        "other networks. Learned: mean probability of the class reaches 1/2 on its training "
        f"examples. Means over networks with their 95 % intervals. Path: linear, {ALPHAS} alphas.",
    )
    return figure


def finding(claims: list[dict[str, Any]]) -> str:
    words = []
    for start, part in (
        ("Later learned, larger bias", "learned later have"),
        ("larger bias, right earlier on the path", "smaller biases turn"),
        ("loss above log k", "the loss rises above"),
    ):
        said = [
            f"{claim['claim'].split(':')[0]} {claim['verdict']}"
            for claim in claims
            if part in claim["claim"]
        ]
        words.append(f"{start}: {', '.join(said)}")
    return f"{'; '.join(words[:2])}\n{words[2]}"


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
    canvas.title(
        ax, f"{case.data}, seed {case.seed}:\nclass {case.report.plateau_class} is predicted first"
    )


def _scatter(ax: Axes, case: Case, cases: list[Case], across: str, up: str) -> None:
    for other in cases:
        if other.seed != case.seed:
            ax.scatter(_values(other, across), _values(other, up), s=14, color="0.75", lw=0)
    x, y = _values(case, across), _values(case, up)
    for label, colour in _palette(case).items():
        ax.scatter(x[label], y[label], s=55, color=[colour], edgecolor="black", lw=0.6, zorder=3)


def _values(case: Case, name: str) -> NDArray[np.float64]:
    return np.asarray(case.learned if name == "learned" else getattr(case.report, name))


def _excess(ax: Axes, rows: pd.DataFrame) -> None:
    ax.scatter(rows["middle_expected"], rows["middle_excess"], s=40, color="#0072B2", lw=0)
    top = float(rows["middle_expected"].max())
    ax.plot([0, top], [0, top], color="0.4", ls=":", lw=1.2, label="biases alone")
    ax.axhline(0, color="0.8", lw=0.8)
    ax.set_xlabel("alpha² Var(b) / 2 (nats), a dot a network")
    ax.set_ylabel("training loss − log k (nats)")
    ax.legend(fontsize=8, frameon=False)
    canvas.title(
        ax,
        f"loss half way along the error plateau; it rises by up to {rows['min_delta'].max():.2g}",
    )


if __name__ == "__main__":
    main()
