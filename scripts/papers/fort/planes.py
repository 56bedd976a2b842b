"""Tunnels of low loss in planes and along rays, figure 2 of arXiv:1906.04724, on real networks.

The plane through the origin and two independent optima, for the training and the test loss; a
plane of random directions beside it; the loss where weights are multiplied by a factor, which
tells where either tunnel ends; and how much the loss depends on the direction in which an optimum
is left, beside what its Hessian says. H8 and H11 are judged.

The small form needs digits only; the other one Fashion-MNIST, in the folder that the environment
variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.fort import networks as fort
from papers.fort.tunnels import FACTORS, RISES, Plan, ended, explored, lowest
from papers.fort.width_networks import THRESHOLD, Found

from jumpretrain.plots import canvas

RISE = 0.2  # nats above the optimum, by the Hessian's trace: where wells are judged
SOONER = math.log(1.1)  # the least log ratio of radii, training over test
ROUND = 0.25  # the largest spread of the loss that counts as a round well
TWICE = 1.0  # of log2, how far effective directions may be from the participation ratio
ALONG = 1.5  # the least ratio of ways out of the tunnel, along the radius over across

FULL = Plan(
    "fashion", (1000, 500), fort.PAPER, fort.NARROW, fort.recipe(30, 3e-3), seeds=5, grid=29,
    drawn=(250, 250), curved=500, directions=64, cut=0.3, method="lanczos",
)  # fmt: skip
QUICK = Plan(
    "digits", (200, 200), (16,), (6,), fort.recipe(20, 1e-2, 16), seeds=3, grid=7,
    drawn=(50, 50), curved=100, directions=16, cut=0.3, method="exact",
)  # fmt: skip


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    planes, cuts, wells = explored(asked, plan)
    claims = judged(cuts, wells)
    return drawn(plan, planes, cuts, wells, claims), {
        "data": f"{plan.data}, {plan.sizes[0]} training and {plan.sizes[1]} test examples",
        "plan": asdict(plan),
        "recipe": asdict(plan.training),
        "seeds": list(range(plan.seeds)),
        "threshold": THRESHOLD,
        "factors": FACTORS,
        "claims": claims,
        "planes": planes,
        "cuts": cuts,
        "wells": wells,
    }


def judged(cuts: Sequence[Found], wells: Sequence[Found]) -> list[Found]:
    place = RISES.index(RISE)
    spreads = [one["sd"][place] / one["mean"][place] for one in wells]
    apart = [abs(math.log2(one["short"][place] / one["participation"])) for one in wells]
    seen = [
        abs(math.log2(value * math.sqrt(2 * one["participation"])))
        for value, one in zip(spreads, wells, strict=True)
    ]
    nearer = [math.log(lowest(one, "train") / lowest(one, "test")) for one in cuts]
    sooner = [math.log(ended(one, "train") / ended(one, "test")) for one in cuts]
    longer = [(ended(one, "train") - one["radius"]) / float(one["width"]) for one in cuts]
    said = (
        ("H11", "along the radius the test loss is least at a smaller radius than the training "
         "loss", "log ratio of radii of least loss, training over test", nearer, SOONER),
        ("H11", f"along the radius the test loss exceeds {THRESHOLD:.2f} nats at a smaller radius "
         "than the training loss", "log ratio of radii, training (at most ten times the "
         "optimum's) over test", sooner, SOONER),
        ("H8", f"the loss hardly depends on the direction, {RISE} nats above the optimum",
         f"{ROUND} minus the standard deviation over the mean of the loss",
         ROUND - np.array(spreads), 0),
        ("H8", "the spread over random directions tells the participation ratio of the Hessian",
         f"{TWICE} minus the absolute log2 of effective directions over the ratio",
         TWICE - np.array(apart), 0),
        ("H8", "the spread of the loss is 1 / sqrt(2 s), s the participation ratio of the Hessian",
         f"{TWICE} minus the absolute log2 of spread times sqrt(2 s)", TWICE - np.array(seen), 0),
        ("tunnels", "tunnels are radial: the way out is longer along the radius than across",
         f"ratio of distances at which the training loss exceeds {THRESHOLD:.2f} nats", longer,
         ALONG),
    )  # fmt: skip
    return [within(f"wedges-{name}", *rest) for name, *rest in said]


def drawn(
    plan: Plan, planes: Found, cuts: Sequence[Found], wells: Sequence[Found], claims: list[Found]
) -> Figure:
    figure = canvas.new_figure(17, 10)
    panels = figure.subplots(2, 3)
    for ax, plane, split in (
        (panels[0, 0], "radial", "train"), (panels[0, 1], "radial", "test"),
        (panels[0, 2], "random", "train"),
    ):  # fmt: skip
        end = float(np.median([ended(one, split) for one in cuts]))
        _plane(ax, planes[plane], plane, split, end)
    _cuts(panels[1, 0], cuts)
    _rises(panels[1, 1], wells)
    _counts(panels[1, 2], wells)
    figure.suptitle(f"{finding(cuts, wells)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    cnn = plan.data == "fashion"
    kind = "Fashion-MNIST at 14x14; tanh CNNs, channels" if cnn else "digits; MLPs, hidden"
    canvas.note(
        figure,
        f"{kind} {' '.join(map(str, plan.wide))}, below middle and right "
        f"{' '.join(map(str, plan.narrow))}; {plan.sizes[0]} training examples, Adam at "
        f"{plan.training.lr:g}, {plan.training.epochs} epochs. n = {plan.seeds} networks (seeds 0 "
        f"to {plan.seeds - 1}) of each kind: thin lines; planes: seeds 0 and 1 (random: 0), on "
        f"{plan.drawn[0]} training or {plan.drawn[1]} test examples. Dashed: {THRESHOLD:.2f} nats "
        f"(half of log 10), where a tunnel ends here. Spread: {plan.directions} random directions "
        f"and Hessian on {plan.curved} training examples; sharp: curvature above {plan.cut:g}.",
    )
    return figure


def finding(cuts: Sequence[Found], wells: Sequence[Found]) -> str:
    place = RISES.index(RISE)
    ends = {split: np.median([ended(one, split) for one in cuts]) for split in ("train", "test")}
    least = {split: np.median([lowest(one, split) for one in cuts]) for split in ends}
    short, ratio = (
        np.median(values)
        for values in (
            [one["short"][place] for one in wells], [one["participation"] for one in wells],
        )
    )  # fmt: skip
    return (
        f"Along the radius the test loss is least at norm {least['test']:.0f} and ends its tunnel "
        f"at {ends['test']:.0f}, the training loss at {least['train']:.0f} and "
        f"{ends['train']:.0f}\nWells are as round as {short:.0f} equal directions make them; the "
        f"Hessian's participation ratio is {ratio:.0f}"
    )


def _plane(ax: Axes, plane: Found, name: str, split: str, end: float) -> None:
    loss = np.array(plane[f"{split}_loss"])
    optima = np.array(plane["optima"])[-2:]
    levels = np.r_[0, 0.1, 0.25, 0.5, 0.75, THRESHOLD, 2, 3, 5, 1e3]
    colours = canvas.ramp(len(levels) - 1, "viridis")
    x, y = np.array(plane["x"]), np.array(plane["y"])
    if name == "random":  # whose origin is a corner
        x, y = x - optima[0, 0], y - optima[0, 1]
        optima = 0 * optima
    ax.contourf(x, y, loss, levels=levels, colors=colours)
    ax.contour(x, y, loss, levels=[THRESHOLD], colors="white", linestyles="--")
    handles = [
        ax.fill_between([], [], color=colour, label=f"{low:.3g} to {high:.3g}" if high < 1e3 else
                        f"above {low:.3g}")
        for colour, low, high in zip(colours, levels[:-1], levels[1:], strict=True)
    ]  # fmt: skip
    if name == "radial":
        ax.plot(0, 0, "w+", ms=11, mew=2)
    ax.plot(*optima.T, "o", color="white", mec="black", ms=7)
    ax.set_aspect("equal")
    ax.set_xlabel("in the plane (weight units)")
    ax.set_ylabel("in the plane (weight units)")
    what = {"train": "training", "test": "test"}[split]
    if name == "radial":
        canvas.title(
            ax,
            f"{what} loss, origin (+) and two optima (dots): tunnels end at norm {end:.0f}",
        )
    else:
        canvas.title(ax, f"{what} loss, random filter-normalised directions around an optimum")
        ax.legend(handles=handles, fontsize=8, title="nats", loc="center left",
                  bbox_to_anchor=(1.01, 0.5), frameon=False)  # fmt: skip


def _cuts(ax: Axes, cuts: Sequence[Found]) -> None:
    for split, colour, words in zip(
        ("train", "test"), canvas.colours(2), ("training", "test"), strict=True
    ):
        for one in cuts:
            radius = FACTORS * one["radius"]
            ax.plot(radius, one["cut"][f"{split}_loss"], color=colour, lw=0.8, alpha=0.6)
            ax.plot(lowest(one, split), min(one["cut"][f"{split}_loss"]), "v", color=colour, ms=6)
        ax.plot([], [], color=colour, label=f"{words} loss; triangle: least")
    for one in cuts:
        ax.axvline(one["radius"], color="0.6", lw=0.6, zorder=0)
    ax.plot([], [], color="0.6", label="the trained networks")
    ax.axhline(THRESHOLD, color="0.4", ls="--", lw=1.2)
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("log")
        canvas.plain(axis)
    low = min(min(one["cut"][name]) for one in cuts for name in ("train_loss", "test_loss"))
    ax.set_ylim(bottom=max(1e-3, low / 2))
    ax.set_xlabel("radius: norm of the weights, multiplied by a factor")
    ax.set_ylabel("loss (nats)")
    ax.legend(fontsize=9, frameon=False)
    least = [np.median([lowest(one, split) / one["radius"] for one in cuts])
             for split in ("train", "test")]  # fmt: skip
    canvas.title(
        ax,
        f"training loss least at {least[0]:.1f} times the norm, test loss at {least[1]:.1f} times",
    )


def _rises(ax: Axes, wells: Sequence[Found]) -> None:
    colours = canvas.colours(len(wells))
    for one, colour in zip(wells, colours, strict=True):
        mean, sd = np.array(one["mean"]), np.array(one["sd"])
        ax.plot(one["distances"], mean, "o-", color=colour, lw=1.6, ms=3)
        ax.fill_between(one["distances"], mean - sd, mean + sd, color=colour, alpha=0.15, lw=0)
        ax.plot(one["distances"], one["loss"] + np.array(RISES), color=colour, ls=":", lw=1.2)
    ax.plot([], [], "o-", color="0.3", label="mean over directions; band: one sd")
    ax.plot([], [], ":", color="0.3", label="quadratic, by the Hessian's trace")
    ax.set_xlabel("distance from the optimum (weight units)")
    ax.set_ylabel("training loss (nats)")
    ax.legend(fontsize=9, frameon=False)
    place = RISES.index(RISE)
    spread_of = np.median([one["sd"][place] / one["mean"][place] for one in wells])
    canvas.title(ax, f"loss around optima; spread over directions {spread_of:.0%} where judged")


def _counts(ax: Axes, wells: Sequence[Found]) -> None:
    for one, colour in zip(wells, canvas.colours(len(wells)), strict=True):
        ax.plot(RISES, one["short"], "o-", color=colour, ms=4, lw=1.4)
        ax.axhline(one["participation"], color=colour, ls=":", lw=1.4)
    ax.axvline(RISE, color="0.8", lw=6, zorder=0, label="where judged")
    ax.plot([], [], "o-", color="0.3", label="from the spread of the loss")
    ax.plot([], [], ":", color="0.3", label="participation ratio of the Hessian")
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("log")
        canvas.plain(axis)
    ax.set_xlabel("quadratic rise of the loss (nats)")
    ax.set_ylabel("effective number of short directions")
    ax.legend(fontsize=9, frameon=False)
    place = RISES.index(RISE)
    short, ratio, sharp = (
        np.median(values)
        for values in (
            [one["short"][place] for one in wells],
            [one["participation"] for one in wells],
            [one["sharp"] for one in wells],
        )
    )
    canvas.title(
        ax,
        f"{short:.0f} effective directions from the spread, {ratio:.0f} from the Hessian; "
        f"{sharp:.0f} eigenvalues are sharp",
    )
