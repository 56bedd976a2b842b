"""Planes that reach low loss, beside sharp directions: H7 of arXiv:1906.04724 on networks.

The wedge model says that planes reach low loss from as many dimensions on as there are sharp
directions. Training is held to nested random planes of d dimensions through the same starts, for
several widths and learning rates. The threshold dimension, from which on training falls by nine
tenths of what it falls without a plane, is compared with the number of sharp directions of the
networks without a plane: at the end of training, and with both at one loss.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import spread_kept, trained
from evidence.figure import Flags, Made
from evidence.panels import head, label, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import Found, Rows, Values
from scipy.stats import spearmanr

import jumpretrain as jr
from jumpretrain.plots import canvas
from jumpretrain.states.planes import Plane, random_plane

SHARE = 0.9  # of the free fall of the training loss, or of the free test accuracy
QUIET = jr.Execution(progress=False, chunk=5)
FIRST_PLANE = 10_000  # seed of planes that are drawn beside each network's own
ORDERED = 0.2  # the least Spearman's rho over conditions
STEADY = 0.25  # octaves, standard deviation of thresholds over planes


@dataclass(frozen=True)
class Setup:
    """Fully connected networks on digits, in conditions of a width and a rate."""

    widths: tuple[int, ...]  # of both hidden layers
    rates: tuple[float, ...]  # of Adam, without a plane
    sizes: tuple[int, int]  # numbers of training and test examples
    epochs: int
    dims: tuple[int, ...]
    cuts: tuple[float, ...]  # least curvatures that count as sharp
    level: float  # nats, the loss at which conditions are compared alike
    seeds: int  # networks a condition
    planes: int  # further planes for each network of the middle condition

    def middle(self) -> tuple[int, float]:
        """Name the condition in which planes are drawn anew."""
        return self.widths[len(self.widths) // 2], self.rates[len(self.rates) // 2]

    def cut(self) -> str:
        """Name the cut in the middle."""
        return f"{self.cuts[len(self.cuts) // 2]:g}"


FULL = Setup(
    (26, 18, 12), (0.001, 0.003, 0.009), (500, 400), 40,
    (16, 32, 64, 128, 192, 256, 384, 512, 768), (0.03, 0.1, 0.3), 0.5, 5, 4,
)  # fmt: skip
CUTS = (0.03, 0.1, 0.3)
QUICK = Setup((2,), (0.01, 0.03, 0.09), (60, 60), 6, (8, 40, 160), CUTS, 1.5, 3, 2)


def make(asked: Flags) -> Made:
    setup = QUICK if asked.quick else FULL
    of = replace(setup, widths=(), rates=(), planes=0)
    cells = product(setup.widths, setup.rates)
    jobs = [(f"mlp-{cell[0]}-{cell[1]:g}", (of, *cell), setup, *cell) for cell in cells]
    rows = [row for some in spread_kept(asked, measured, jobs, "conditions") for row in some]
    of = replace(setup, cuts=())
    jobs = [(f"mlp-planes-{seed}", (of, seed), setup, seed) for seed in range(setup.seeds)]
    again = spread_kept(asked, redrawn, jobs, "planes")
    found = table(setup, rows)
    claims = judged(setup, found, again)
    figure = sheet((19, 6.6), (1, 4), [
        (_curves, setup, found), (_thresholds, setup, found), (_correlations, claims),
        (_planes, setup, found, again),
    ])  # fmt: skip
    head(figure, finding(setup, claims), claims, caption(setup))
    facts = {"data": "digits", "setup": asdict(setup), "share": SHARE, "claims": claims}
    return figure, facts | {
        "recipes": {f"{rate:g}": asdict(fort.recipe(setup.epochs, rate)) for rate in setup.rates},
        "rates": "in planes times the root of weights / d, but for plain_loss",
        "seeds": list(range(setup.seeds)),
        "networks": found.drop(columns="goal").to_dict("records"),
        "planes": again,
    }


def measured(asked: Flags, setup: Setup, width: int, rate: float) -> list[Found]:
    """Measure the networks of a condition: one row each."""
    name, seeds = f"mlp-{width}-{rate:g}", range(setup.seeds)
    task = fort.build("digits", setup.sizes, (width, width))
    how, path = fort.recipe(setup.epochs, rate), asked.work / f"{name}-plain"
    each_epoch = replace(how, record_every=1)
    free = trained(asked, f"{name}-free", task, each_epoch, seeds, jobs=1)
    long = descended(setup, task, rate, asked.work / f"{name}-long", free.initial, seeds, seeds)
    plain = jr.threshold_dimension(task, how, setup.dims, seeds, "train_loss", SHARE, path, QUIET)
    losses = free.metrics["train_loss"]
    alike = np.abs(np.log(losses / setup.level)).argmin(axis=1)
    return [
        {
            "width": width,
            "rate": rate,
            "seed": seed,
            "weights": task.weight_count,
            "initial_loss": losses[seed, 0],
            "free_loss": losses[seed, -1],
            "free_accuracy": free.metrics["test_accuracy"][seed, -1],
            "plane_loss": long["train_loss"][seed],
            "plane_accuracy": long["test_accuracy"][seed],
            "plain_loss": plain.values[:, seed],
            "end": sharp(setup, task, free.states[seed, -1]),
            "alike": sharp(setup, task, free.states[seed, int(alike[seed])]),
            "alike_loss": losses[seed, alike[seed]],
        }
        for seed in seeds
    ]


def descended(
    setup: Setup, task: jr.Task, rate: float, folder: Path, starts: Any, seeds: Any, planes: Any
) -> dict[str, Values]:
    """Train in nested planes, in steps as long as those without a plane: what is reached (K, D).

    A plane of d dimensions keeps about a share d / P of the square of a step of Adam, so that its
    rate is times sqrt(P / d): otherwise planes and small rates are only slow.
    """
    count = task.weight_count
    largest = [random_plane(count, setup.dims[-1], plane).directions for plane in planes]
    runs = []
    for dim in setup.dims:
        recipe = fort.recipe(setup.epochs, rate * math.sqrt(count / dim))
        held = [Plane(rows[:dim], normal=False) for rows in largest]
        where = folder / str(dim)
        runs.append(jr.train(task, recipe, list(seeds), starts, where, QUIET, planes=held))
    names = "train_loss", "test_accuracy"
    return {name: np.stack([run.metrics[name][:, -1] for run in runs], axis=1) for name in names}


def sharp(setup: Setup, task: jr.Task, state: Values) -> dict[str, int]:
    """Count the sharp directions at each cut."""
    found = fort.sharp_directions(task, state, setup.cuts[0], dtype="float32", execution=QUIET)
    return {f"{cut:g}": found.above(cut) for cut in setup.cuts}


def redrawn(asked: Flags, setup: Setup, network: int) -> Found:
    """Train a network of the middle condition in further planes."""
    (width, rate), count = setup.middle(), setup.planes
    task = fort.build("digits", setup.sizes, (width, width))
    first, folder = FIRST_PLANE + network * count, asked.work / f"mlp-planes-{network}"
    starts = np.repeat(task.initial(network)[None], count, axis=0)
    seeds, planes = [network] * count, range(first, first + count)
    found = descended(setup, task, rate, folder, starts, seeds, planes)
    return {"seed": network, "plane_loss": found["train_loss"]}


def turn(dims: Sequence[int], losses: Sequence[float], goal: float) -> float:
    """Interpolate from which dimension on losses reach a goal: an octave past the last if none."""
    reached = np.asarray(losses) <= goal
    place = int(reached.argmax())
    if not reached.any() or place == 0:
        return float(dims[0] if reached.any() else 2 * dims[-1])
    before, after = losses[place - 1], losses[place]
    logs = np.log2(dims[place - 1 : place + 1])
    return float(2 ** (logs[0] + (before - goal) / (before - after) * (logs[1] - logs[0])))


def table(setup: Setup, rows: Sequence[Found]) -> pd.DataFrame:
    """Arrange one row a network, with its threshold dimensions and the loss that is success."""
    found = pd.DataFrame(rows)
    for cut in setup.cuts:
        for where in ("end", "alike"):
            found[f"{where}_{cut:g}"] = [counts[f"{cut:g}"] for counts in found[where]]
    found["goal"] = found["initial_loss"] + SHARE * (found["free_loss"] - found["initial_loss"])
    for name, value, goal, sign in (
        ("threshold", "plane_loss", found["goal"], 1),
        ("threshold_plain", "plain_loss", found["goal"], 1),
        ("threshold_accuracy", "plane_accuracy", SHARE * found["free_accuracy"], -1),
        ("threshold_alike", "plane_loss", [setup.level] * len(found), 1),
    ):
        both = zip(found[value], goal, strict=True)
        found[name] = [turn(setup.dims, sign * np.array(row), sign * least) for row, least in both]
    return found


def rho(found: pd.DataFrame, count: str, threshold: str, block: str = "") -> Values:
    """Correlate ranks over the conditions of each seed, or within blocks, which are averaged."""
    rhos = []
    for _, some in found.groupby("seed"):
        parts = [part for _, part in some.groupby(block)] if block else [some]
        each = [spearmanr(part[count], part[threshold]).statistic for part in parts]
        rhos.append(np.mean(each))
    return np.array(rhos)


def judged(setup: Setup, found: pd.DataFrame, again: Rows) -> list[Found]:
    cut, how = setup.cut(), "a seed's Spearman's rho over conditions"
    said = [(f"{one:g}", f"end_{one:g}", "threshold") for one in setup.cuts] + [
        (f"{cut}, at a fixed width", f"end_{cut}", "threshold", "width"),
        (f"{cut}, at a fixed rate", f"end_{cut}", "threshold", "rate"),
        (f"{cut}, both at a loss of {setup.level:g}", f"alike_{cut}", "threshold_alike"),
        (f"{cut}, threshold of the test accuracy", f"end_{cut}", "threshold_accuracy"),
        (f"{cut}, the same rate in planes", f"end_{cut}", "threshold_plain"),
    ]
    more = "more sharp directions go with a higher threshold dimension, curvature above"
    rows = [("H7", f"{more} {where}", how, rho(found, *of), ORDERED) for where, *of in said]
    rising = [
        np.mean([spearmanr(setup.dims, -np.array(row)).statistic for row in some["plane_loss"]])
        for _, some in found.groupby("seed")
    ]
    claims = fort.judge("digits MLP: ", [
        *rows,
        ("H7", "success rises with d", "Spearman's rho between d and the fall of the loss, mean "
         "over conditions", rising, 0.9),
        ("H7", "it hardly matters which plane", f"{STEADY:g} octaves minus the standard deviation "
         "over planes of a network's log2 threshold", STEADY - deviations(setup, found, again), 0),
    ])  # fmt: skip
    for claim, (*_, values, _) in zip(claims, rows, strict=False):
        claim["rho"] = [value if np.isfinite(value) else None for value in values.tolist()]
    return claims


def deviations(setup: Setup, found: pd.DataFrame, again: Rows) -> Values:
    """Measure how thresholds of one network differ from plane to plane, in octaves."""
    goals = middle(setup, found)["goal"]
    turns = [
        [turn(setup.dims, losses, goals[one["seed"]]) for losses in one["plane_loss"]]
        for one in again
    ]
    return np.std(np.log2(turns), axis=1, ddof=1)


def middle(setup: Setup, found: pd.DataFrame) -> pd.DataFrame:
    """Take the networks whose planes are drawn anew, by seed."""
    width, rate = setup.middle()
    return found[(found["width"] == width) & (found["rate"] == rate)].set_index("seed")


def caption(setup: Setup) -> str:
    conditions = len(setup.widths) * len(setup.rates)
    return (
        f"digits MLPs of two hidden layers, {setup.sizes[0]} training examples, Adam, "
        f"{setup.epochs} epochs of batches of 32, {conditions} conditions of n = {setup.seeds} "
        f"networks (seeds 0 to {setup.seeds - 1}). Threshold dimension: from which on the "
        f"training loss falls by {SHARE:.0%} of what it falls without a plane (or, at one loss, "
        f"to {setup.level:g} nats), interpolated. Rates in planes are times sqrt(D / d), so that "
        "steps are as long as without one, but where the same rate is named. Curves: medians over "
        "seeds; rho: over conditions, one dot a seed, bar: mean and 95 % interval."
    )


def finding(setup: Setup, claims: list[Found]) -> str:
    def told(claim: Found, where: str = "") -> str:
        known = claim["effect"] is not None
        return f"{claim['effect'] if known else math.nan:+.2f}{where} ({claim['verdict']})"

    cuts = zip(claims, setup.cuts, strict=False)
    ends = ", ".join(told(claim, f" above {cut:g}") for claim, cut in cuts)
    return (
        f"More sharp directions, more dimensions needed? At the end of training rho is {ends};\n"
        f"with sharp directions and dimensions both at a loss of {setup.level:g} nats it is "
        f"{told(fort.find(claims, 'both at a loss'))}"
    )


def look(setup: Setup, width: int, rate: float) -> tuple[Any, str, str]:
    """Choose a colour for a rate, mark and dash for a width."""
    colour = canvas.colours(len(setup.rates))[setup.rates.index(rate)]
    return colour, *(("o", "-"), ("s", "--"), ("^", ":"))[setup.widths.index(width)]


def _along(ax: Axes, dims: Sequence[int], up: str, title: str) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(dims, [str(dim) for dim in dims], fontsize=8, rotation=45)
    label(ax, "dimension d of the plane", up, title, fontsize=8)


def _curves(ax: Axes, setup: Setup, found: pd.DataFrame) -> None:
    for (width, rate), some in found.groupby(["width", "rate"], sort=False):
        colour, mark, dash = look(setup, width, rate)
        first, free = (some[key].to_numpy()[:, None] for key in ("initial_loss", "free_loss"))
        fall = (first - np.stack(some["plane_loss"].to_list())) / (first - free)
        style = {"color": colour, "ms": 4, "label": f"rate {rate:g}, width {width}"}
        ax.plot(setup.dims, np.median(fall, axis=0), mark + dash, **style)
    ax.axhline(SHARE, color="0.4", ls=":", lw=1.2)
    few, many = np.quantile(found["threshold"], (0.1, 0.9))
    title = f"four of five networks succeed from d = {few:.0f} to {many:.0f} on"
    _along(ax, setup.dims, "fall of the training loss (of the free fall)", title)


def _thresholds(ax: Axes, setup: Setup, found: pd.DataFrame) -> None:
    cut = setup.cut()
    pairs = {(f"end_{cut}", "threshold"): "full", (f"alike_{cut}", "threshold_alike"): "none"}
    for condition, some in found.groupby(["width", "rate"], sort=False):
        colour, mark, _ = look(setup, *condition)
        for (count, threshold), fill in pairs.items():
            style = {"color": colour, "ms": 7, "alpha": 0.8, "fillstyle": fill}
            ax.plot(np.maximum(some[count], 0.7), some[threshold], mark, **style)
    ax.plot([], [], "ko", ms=7, label="at the end of training")
    ax.plot([], [], "ko", ms=7, fillstyle="none", label=f"both at {setup.level:g} nats")
    ratio = np.median(found["threshold"] / np.maximum(found[f"end_{cut}"], 1))
    title = f"at the end, thresholds are {ratio:.3g} times the sharp directions above {cut} "
    title += "(median)"
    across = f"sharp directions without a plane (curvature above {cut})"
    label(ax, across, "threshold dimension", title, "xy", loc="lower left")


def _correlations(ax: Axes, claims: list[Found]) -> None:
    shown, colour = [claim for claim in claims if "rho" in claim], canvas.colours(1)[0]
    for place, claim in enumerate(shown):
        shift = np.linspace(0.1, 0.3, len(claim["rho"]))
        ax.plot(np.array(claim["rho"], float), place + shift, "o", color="0.6", ms=4, mew=0)
        if claim["effect"] is not None:
            ax.plot(claim["interval"], [place, place], color=colour, lw=2)
            ax.plot(claim["effect"], place, "o", color=colour, ms=7)
    names = [claim["claim"].partition("curvature ")[2] for claim in shown]
    ax.set_yticks(range(len(shown)), [name.replace(", ", ",\n") for name in names], fontsize=8)
    ax.invert_yaxis()
    for level, dash in ((0, "-"), (ORDERED, ":")):
        ax.axvline(level, color="0.4", ls=dash, lw=1)
    holds = sum(claim["verdict"] == "supported" for claim in shown)
    across = "Spearman's rho over conditions (dotted: smallest effect)"
    title = f"{holds} of {len(shown)} correlations supported"
    label(ax, across, "", title, limits={"xlim": (-1.05, 1.05)})


def _planes(ax: Axes, setup: Setup, found: pd.DataFrame, again: Rows) -> None:
    for one, colour in zip(again, canvas.colours(len(again)), strict=True):
        ax.plot(setup.dims, np.transpose(one["plane_loss"]), color=colour, lw=1, alpha=0.8)
    ax.plot([], [], color=canvas.colours(1)[0], label="one colour a network, one line a plane")
    width, rate = setup.middle()
    goal = middle(setup, found)["goal"].median()
    ax.axhline(goal, color="0.4", ls=":", lw=1.2, label="success (median)")
    apart = float(np.median(deviations(setup, found, again)))
    title = f"width {width}, rate {rate:g}: thresholds differ by {apart:.2f} octaves from plane "
    title += f"to plane (n = {len(again)} networks x {setup.planes} planes)"
    _along(ax, setup.dims, "training loss in planes (nats)", title)
