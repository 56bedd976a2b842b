"""The Goldilocks zone of arXiv:1807.02581 (H14): curvature and success against the start's radius.

Fresh weights of Xavier's law, times a radius: trace over Frobenius norm of the Hessian in random
planes, its share of positive eigenvalues, the loss there, and what training reaches within the
same planes, beside training without a plane. At Xavier's radius, over many networks: does the
ratio go with the first loss, or with the accuracy in the end?
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence.cells import QUIET, spread_kept
from evidence.figure import Flags, Made
from evidence.judging import entry
from evidence.panels import head, label, lines, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import Found, Values
from scipy.stats import kendalltau

import jumpretrain as jr
from jumpretrain.curvature.hessian import hessian_product
from jumpretrain.plots import canvas
from jumpretrain.states.planes import Plane, random_plane

DIMS = (10, 50, 100)  # of the planes of Hessians; the last one is judged
RATIO = f"ratio_{DIMS[-1]}"
CHANCE, LOT = 0.1, 10  # accuracy of guessing; networks a job
INSIDE, OUTSIDE = 0.25, 4.0  # radii at which success is judged, in units of Xavier's
SOUND, COLLAPSE = 0.1, 0.5  # shares of the success at Xavier's radius that are lost
ORDERED = 0.2  # the least Kendall's tau that counts


@dataclass(frozen=True)
class Setup:
    """Networks of one kind."""

    name: str
    network: Literal["mlp", "cnn"]  # of two hidden layers of 32 on digits; on Fashion-MNIST
    sizes: tuple[int, int]  # numbers of training and test examples
    examples: int  # of the Hessian
    dim: int  # of the planes of training, the first dimensions of which hold the Hessian
    epochs: int
    lr: float  # Adam's without a plane
    radii: tuple[float, ...]  # of the starts, in units of Xavier's
    seeds: int  # networks at each radius
    networks: int  # at Xavier's radius, the same ones among them

    def lots(self) -> list[tuple[float, range]]:
        """Divide the networks into jobs."""
        counts = {radius: self.networks if radius == 1 else self.seeds for radius in self.radii}
        return [
            (radius, range(first, min(first + LOT, count)))
            for radius, count in counts.items()
            for first in range(0, count, LOT)
        ]


RADII = (0.1, 0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0, 10.0)
FULL = (
    Setup("digits ReLU MLP", "mlp", (500, 400), 500, 100, 30, 0.003, RADII, 10, 100),
    Setup("Fashion-MNIST tanh CNN", "cnn", (1000, 500), 250, 200, 10, 0.004, RADII, 5, 30),
)
QUICK = (Setup("digits ReLU MLP", "mlp", (150, 150), 60, 100, 8, 0.01, (0.25, 1.0, 4.0), 3, 6),)
WAYS = {"plane": ("in a plane", "o", "-"), "far": ("in a plane, rate x radius", "^", "-."),
        "free": ("without a plane", "s", "--")}  # fmt: skip


def make(asked: Flags) -> Made:
    setups = QUICK if asked.quick else FULL
    jobs = [
        (f"{setup.network}-{radius:g}-{seeds[0]}",
         (replace(setup, name="", radii=(), seeds=0, networks=0), radius, seeds),
         setup, radius, seeds)
        for setup in setups for radius, seeds in setup.lots()
    ]  # fmt: skip
    found = iter(spread_kept(asked, measured, jobs, "networks"))
    tables = {
        setup: pd.DataFrame([row for _ in setup.lots() for row in next(found)]) for setup in setups
    }
    claims = [claim for setup, table in tables.items() for claim in judged(setup, table)]
    panels = (_ratios, _starts, _ends, _networks)
    figure = sheet(
        (18, 4.6 * len(tables) + 1.4), (len(tables), len(panels)),
        [(draw, *one) for one in tables.items() for draw in panels],
    )  # fmt: skip
    said = "\n".join(found_of(setup, claims) for setup in tables)
    head(figure, said, claims, caption(setups))
    facts = {"setups": [asdict(setup) for setup in setups], "dims": DIMS, "claims": claims}
    return figure, facts | {
        "recipes": {setup.name: asdict(fort.recipe(setup.epochs, setup.lr)) for setup in setups},
        "rates": "in planes times the root of weights / d, so that steps are as long",
        "seeds": {setup.name: list(range(setup.networks)) for setup in setups},
        "networks": {setup.name: table.to_dict("records") for setup, table in tables.items()},
    }


def measured(asked: Flags, setup: Setup, radius: float, seeds: range) -> list[Found]:
    """Measure curvature at the start and the success of training."""
    data: fort.Data = "digits" if setup.network == "mlp" else "fashion"
    task = fort.build(data, setup.sizes, (32, 32), fort.NARROW)
    task = replace(task, model=jr.initialise(task.model, "xavier", scale=radius))
    fewer = replace(task, data=task.data.subset(setup.examples))
    starts = np.stack([task.initial(seed) for seed in seeds])
    planes = [random_plane(task.weight_count, setup.dim, seed) for seed in seeds]
    long = math.sqrt(task.weight_count / setup.dim)
    ways = {"plane": (long, planes), "far": (long * radius, planes), "free": (1.0, None)}
    folder = asked.work / f"{setup.network}-{radius:g}-{seeds[0]}"
    runs = {}
    for way, (stretch, held) in ways.items():
        recipe = fort.recipe(setup.epochs, setup.lr * stretch)
        place = folder / ("plane" if way == "far" and radius == 1 else way)
        runs[way] = jr.train(task, recipe, seeds, starts, place, QUIET, planes=held).metrics
    return [
        {
            "radius": radius,
            "seed": seed,
            "initial_loss": runs["free"]["train_loss"][place, 0],
            **{f"{way}_accuracy": runs[way]["test_accuracy"][place, -1] for way in ways},
            **{f"{way}_loss": runs[way]["train_loss"][place, -1] for way in ways},
            **curved(fewer, starts[place], planes[place]),
        }
        for place, seed in enumerate(seeds)
    ]


def curved(task: jr.Task, state: Values, plane: Plane) -> Found:
    """Measure the Hessian in the first dimensions of a plane: `jr.curvature.goldilocks`."""
    product = hessian_product(task, state, "float32" if task.convolutional else "float64")
    rows = plane.directions[: DIMS[-1]]
    matrix = rows @ np.stack([product(row) for row in rows], axis=1)
    matrix = (matrix + matrix.T) / 2
    parts = {f"ratio_{dim}": matrix[:dim, :dim] for dim in DIMS}
    ratios = {name: np.trace(part) / np.linalg.norm(part) for name, part in parts.items()}
    return {"positive": float((np.linalg.eigvalsh(matrix) > 0).mean())} | ratios


def few(setup: Setup, table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Arrange a value as one row a network and one column a radius."""
    return table[table["seed"] < setup.seeds].pivot(index="seed", columns="radius", values=value)


def lost(setup: Setup, table: pd.DataFrame, way: str, radius: float) -> Values:
    """Say which share of the success at Xavier's radius is lost at another."""
    reached = few(setup, table, f"{way}_accuracy") - CHANCE
    return (1 - reached[radius] / reached[1.0]).to_numpy()


def judged(setup: Setup, table: pd.DataFrame) -> list[Found]:
    ratio, success = few(setup, table, RATIO), few(setup, table, "plane_accuracy")
    peak = np.log2(ratio.idxmax(axis=1).to_numpy())
    tau = [kendalltau(ratio.loc[k], success.loc[k]).statistic for k in ratio.index]
    share = "share of the success at Xavier's radius that is lost"
    inside, outside = f"at {INSIDE:g} of Xavier's radius", f"at {OUTSIDE:g} times Xavier's radius"
    plane, far, free = (lost(setup, table, way, OUTSIDE) for way in WAYS)
    claims = fort.judge(f"{setup.name}: ", (
        ("H14", "trace over norm peaks within a factor of 2 of Xavier's radius",
         "1 minus the distance of the peak, octaves", 1.0 - np.abs(peak), 0),
        ("H14", f"in planes, success is sound {inside}", f"{SOUND:g} minus the {share}",
         SOUND - lost(setup, table, "plane", INSIDE), 0),
        ("H14", f"in planes, success collapses {outside}", share, plane, COLLAPSE),
        ("H14", f"in planes, success collapses {outside} also at a rate times the radius", share,
         far, COLLAPSE),
        ("H14", f"{outside}, planes lose more than training without one",
         "difference of shares lost", plane - free, 0.25),
        ("H14", "over radii, the ratio orders the success in planes", "Kendall's tau over radii",
         tau, ORDERED),
    ))  # fmt: skip
    return claims + correlated(setup, table[table["radius"] == 1])


def correlated(setup: Setup, table: pd.DataFrame) -> list[Found]:
    """Judge over networks at Xavier's radius what the ratio goes with."""
    n, about = len(table), f"{setup.name}: at Xavier's radius,"
    falls = f"{about} a higher ratio goes with a lower loss at the start"
    loss = fieller(table[RATIO], table["initial_loss"])
    claims = [entry("wedges-H14", falls, "Kendall's tau", *loss, n, ORDERED, -1)]
    how = f"{ORDERED:g} minus the absolute value of Kendall's tau"
    for way, where in (("plane", "in planes"), ("free", "without a plane")):
        tau, low, high = fieller(table[RATIO], table[f"{way}_accuracy"])
        nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        margins = [ORDERED - abs(tau), ORDERED - max(abs(low), abs(high)), ORDERED - nearest]
        hardly = f"{about} the ratio hardly goes with the accuracy in the end, {where}"
        claim = entry("wedges-H14", hardly, how, *margins, n, 0)
        claims.append(claim | {"tau": tau if math.isfinite(tau) else None})
    return claims


def fieller(a: pd.Series, b: pd.Series) -> tuple[float, float, float]:
    """Estimate Kendall's tau with the interval of Fieller, Hartley and Pearson (1957)."""
    tau = float(kendalltau(a, b).statistic)
    reach = 1.96 * math.sqrt(0.437 / (len(a) - 4))
    centre = math.atanh(min(max(tau, -0.999), 0.999))
    return tau, min(math.tanh(centre - reach), tau), max(math.tanh(centre + reach), tau)


def caption(setups: Sequence[Setup]) -> str:
    kinds = (
        f"{setup.name}: {setup.sizes[0]} training examples, {setup.examples} for Hessians, Adam, "
        f"rate {setup.lr:g}, {setup.epochs} epochs of batches of 32, training in planes of "
        f"d = {setup.dim}; n = {setup.seeds} networks a radius (seeds 0 to {setup.seeds - 1}), "
        f"{setup.networks} at Xavier's"
        for setup in setups
    )
    return ". ".join(kinds) + (
        ". Thin lines: networks, thick: medians. Hessian of the training loss in random planes of "
        f"d = {', '.join(map(str, DIMS))}. Rates in planes are times sqrt(D / d), so that steps "
        "are as long as without one. Accuracy on test examples; lost: of the accuracy above "
        "chance."
    )


def found_of(setup: Setup, claims: list[Found]) -> str:
    words = "peaks within", f"collapses at {OUTSIDE:g} times", "planes lose more"
    peak, fall, more = (fort.find(claims, f"{setup.name}: ", one) for one in words)
    return (
        f"{setup.name}: trace / norm peaks within a factor of 2 of Xavier's radius: "
        f"{peak['verdict']}; at {OUTSIDE:g} times it planes lose half of their success: "
        f"{fall['verdict']} ({fall['effect']:.0%}; without planes "
        f"{fall['effect'] - more['effect']:.0%})"
    )


def _lines(ax: Axes, rows: pd.DataFrame, colour: Any, mark: str, dash: str, name: Any) -> None:
    lines(ax, rows.columns, rows.to_numpy(), colour, name, np.median, dash, marker=mark)


def _along(ax: Axes, up: str, text: str, **legend: Any) -> None:
    ax.axvline(1, color="0.5", ls=":", lw=1.2)
    label(ax, "radius of the start (Xavier's)", up, text, "x", **legend)


def _ratios(ax: Axes, setup: Setup, table: pd.DataFrame) -> None:
    for dim, colour, mark in zip(DIMS, canvas.colours(3), "os^", strict=True):
        _lines(ax, few(setup, table, f"ratio_{dim}"), colour, mark, "-", f"d = {dim}")
    peaks = few(setup, table, RATIO).idxmax(axis=1)
    text = f"{setup.name}: the ratio peaks at {peaks.median():g} times Xavier's radius (median of "
    text += f"{setup.seeds}, from {peaks.min():g} to {peaks.max():g})"
    _along(ax, "trace / Frobenius norm of the Hessian (1)", text)


def _starts(ax: Axes, setup: Setup, table: pd.DataFrame) -> None:
    (blue, orange), other = canvas.colours(2), ax.twinx()
    positive = few(setup, table, "positive")
    _lines(ax, positive, blue, "o", "-", None)
    _lines(other, few(setup, table, "initial_loss"), orange, "s", "--", None)
    middle = positive.median()
    text = f"{middle[1.0]:.0%} of eigenvalues are positive at Xavier's radius, at most "
    text += f"{middle.max():.0%} (at {middle.idxmax():g})"
    _along(ax, f"eigenvalues above 0 (fraction), d = {DIMS[-1]}", text)
    label(other, "", "training loss at the start (nats), dashed", "", "y")
    ax.yaxis.label.set_color(blue)
    other.yaxis.label.set_color(orange)


def _ends(ax: Axes, setup: Setup, table: pd.DataFrame) -> None:
    for colour, (way, (name, *style)) in zip(canvas.colours(3), WAYS.items(), strict=True):
        _lines(ax, few(setup, table, f"{way}_accuracy"), colour, *style, name)
    ax.axhline(CHANCE, color="0.5", ls=":", lw=1.2)
    shares = [lost(setup, table, way, OUTSIDE).mean() for way in WAYS]
    text = f"{OUTSIDE:g} times Xavier's radius costs {shares[0]:.0%} in a plane, {shares[1]:.0%} "
    text += f"at a rate x radius, {shares[2]:.0%} without"
    look = {"limits": {"ylim": (0, 1)}, "loc": "lower left", "bbox_to_anchor": (0, 0.1)}
    _along(ax, "test accuracy after training (1)", text, **look)


def _networks(ax: Axes, setup: Setup, table: pd.DataFrame) -> None:
    (blue, orange), other = canvas.colours(2), ax.twinx()
    some = table[table["radius"] == 1]
    loss, accuracy = some["initial_loss"], some["plane_accuracy"]
    for axes, colour, mark, values in ((other, blue, "o", loss), (ax, orange, "s", accuracy)):
        axes.plot(some[RATIO], values, mark, color=colour, ms=5, alpha=0.6, mew=0)
    taus = [kendalltau(some[RATIO], values).statistic for values in (loss, accuracy)]
    text = f"at Xavier's radius (n = {len(some)}), tau of the ratio is {taus[0]:+.2f} with the "
    text += f"first loss, {taus[1]:+.2f} with the accuracy"
    across = f"trace / Frobenius norm of the Hessian (1), d = {DIMS[-1]}"
    label(ax, across, "test accuracy in a plane (1), squares", text)
    ax.yaxis.label.set_color(orange)
    other.set_ylabel("training loss at the start (nats), dots", color=blue)
