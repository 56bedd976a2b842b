"""Tunnels of low loss in planes and along rays, figure 2 of arXiv:1906.04724, on real networks.

The plane through the origin and two independent optima, for the training and the test loss; a
plane of random directions beside it; the loss where weights are multiplied by a factor, which
tells where either tunnel ends; and how much the loss depends on the direction in which an optimum
is left, beside what its Hessian says. H8 and H11 are judged.
"""

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from evidence.cells import QUIET, spread_kept, trained
from evidence.figure import Flags, Made
from evidence.panels import head, label, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import THRESHOLD, Found, Rows, Values, column

import jumpretrain as jr
from jumpretrain.plots import canvas
from jumpretrain.states.directions import directions

FACTORS = np.geomspace(0.1, 10, 61)  # of the weights
OUT = 2.5  # norms of the optima, how far the plane reaches
RISES = (0.05, 0.1, 0.2, 0.4, 0.8)  # nats above the optimum, by the Hessian's trace
RISE = 0.2  # where wells are judged
SOONER = math.log(1.1)  # the least log ratio of radii, training over test
ROUND = 0.25  # the largest spread of the loss that counts as a round well
TWICE = 1.0  # of log2, how far effective directions may be from the participation ratio


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes, with CNNs, or MLPs on digits."""

    data: fort.Data
    sizes: tuple[int, int]  # numbers of training and test examples
    wide: tuple[int, ...]  # channels or hidden widths of the networks in planes and along rays
    narrow: tuple[int, ...]  # of those whose Hessian is taken
    training: jr.Recipe
    seeds: int  # networks of each kind
    grid: int  # points along an axis of a plane
    drawn: tuple[int, int]  # training and test examples whose loss is drawn in planes
    curved: int  # training examples of the narrow networks, whose loss is followed around them
    directions: int
    cut: float  # the least curvature of a sharp direction
    method: Literal["exact", "lanczos"]


FULL = Plan(
    "fashion", (1000, 500), fort.PAPER, fort.NARROW, fort.recipe(30, 3e-3), seeds=5, grid=29,
    drawn=(250, 250), curved=500, directions=64, cut=0.3, method="lanczos",
)  # fmt: skip
QUICK = Plan(
    "digits", (200, 200), (16,), (6,), fort.recipe(20, 1e-2, 16), seeds=3, grid=7,
    drawn=(50, 50), curved=100, directions=16, cut=0.3, method="exact",
)  # fmt: skip
SPLITS = {"train": "training", "test": "test"}


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    seeds = range(plan.seeds)
    cuts = spread_kept(asked, scaled, [(f"cut-{k}", plan, plan, k) for k in seeds], "cuts")
    wells = spread_kept(asked, well, [(f"well-{k}", plan, plan, k) for k in seeds], "wells")
    (planes,) = spread_kept(asked, crossed, [("planes-0", plan, plan, 0)], "planes")
    claims = judged(cuts, wells)
    figure = sheet((17, 10), (2, 3), [
        *((_radial, planes["radial"], split, np.median(ended(cuts, split))) for split in SPLITS),
        (_random, planes["random"]), (_cuts, cuts), (_rises, wells), (_counts, wells),
    ])  # fmt: skip
    cnn = plan.data == "fashion"
    kind = "Fashion-MNIST at 14x14; tanh CNNs, channels" if cnn else "digits; MLPs, hidden"
    note = (
        f"{kind} {' '.join(map(str, plan.wide))}, below middle and right "
        f"{' '.join(map(str, plan.narrow))}; {plan.sizes[0]} training examples, Adam at "
        f"{plan.training.lr:g}, {plan.training.epochs} epochs. n = {plan.seeds} networks (seeds 0 "
        f"to {plan.seeds - 1}) of each kind: thin lines; planes: seeds 0 and 1 (random: 0), on "
        f"{plan.drawn[0]} training or {plan.drawn[1]} test examples. Dashed: {THRESHOLD:.2f} nats "
        f"(half of log 10), where a tunnel ends here. Spread: {plan.directions} random directions "
        f"and Hessian on {plan.curved} training examples; sharp: curvature above {plan.cut:g}."
    )
    head(figure, finding(cuts, wells), claims, note)
    data = f"{plan.data}, {plan.sizes[0]} training and {plan.sizes[1]} test examples"
    facts = {"data": data, "plan": asdict(plan), "recipe": asdict(plan.training)}
    facts |= {"seeds": list(seeds), "threshold": THRESHOLD, "factors": FACTORS}
    return figure, facts | {"claims": claims, "planes": planes, "cuts": cuts, "wells": wells}


def fitted(asked: Flags, plan: Plan, kind: str, seed: int) -> tuple[jr.Task, Values]:
    widths = getattr(plan, kind)
    task = fort.build(plan.data, plan.sizes, widths, widths)
    runs = trained(asked, f"{kind}-{seed}", task, plan.training, [seed], jobs=1)
    return task, runs.final[0]


def scaled(asked: Flags, plan: Plan, seed: int) -> Found:
    """Score a network whose weights are multiplied by factors, and how wide its tunnel is."""
    task, state = fitted(asked, plan, "wide", seed)
    few = fort.network(plan.data, task.data.subset(*plan.drawn), plan.wide)
    norm, count = float(np.linalg.norm(state[: task.weight_count])), plan.directions // 4
    width = fort.tunnel_width(few, state, THRESHOLD, count, reach=5 * norm, steps=25)
    cut = jr.radial_cut(task, state, FACTORS.tolist(), QUIET)
    return {"radius": norm, "width": width.median, "cut": cut}


def well(asked: Flags, plan: Plan, seed: int) -> Found:
    """Leave a narrow network in random directions, as far as its Hessian says the loss rises."""
    task, state = fitted(asked, plan, "narrow", seed)
    seen = fort.network(plan.data, task.data.subset(plan.curved, 2), plan.narrow)
    sharp = fort.sharp_directions(seen, state, plan.cut, plan.method, "float32", draws=16)
    distances = [math.sqrt(2 * rise * task.weight_count / sharp.trace) for rise in RISES]
    where = distances, plan.directions
    around = jr.isotropy(seen, state, *where, tangential=False, execution=QUIET)
    found = {"weights": task.weight_count, "loss": around.start_loss, "distances": distances}
    found |= {"sharp": sharp.count, "participation": sharp.goldilocks**2}
    found["gradient_norm"] = sharp.gradient_norm
    return found | fort.taken(around, "mean", "sd", "short")


def crossed(asked: Flags, plan: Plan, seed: int) -> Found:
    """Score the plane of the origin and two optima, and a random one through the first."""
    (task, first), (_, second) = (fitted(asked, plan, "wide", seed + k) for k in (0, 1))
    few = fort.network(plan.data, task.data.subset(*plan.drawn), plan.wide)
    share = {"size": plan.grid, "execution": QUIET}
    corners = np.stack([0 * first, OUT * first, OUT * second])
    radial = jr.plane_through(few, corners, **share)
    axes, _ = directions(task.layout, first, [0, 1])
    corners = first + np.array([[-1, -1], [1, -1], [-1, 1]]) @ axes
    random = jr.plane_through(few, corners.astype(first.dtype), margin=0, **share)
    return {
        name: {
            "x": plane.x,
            "y": plane.y,
            "optima": plane.project(states),
            **{key: plane.metrics[key].round(4) for key in ("train_loss", "test_loss")},
        }
        for name, plane, states in (
            ("radial", radial, [0 * first, first, second]), ("random", random, [first])
        )
    }  # fmt: skip


def lowest(cuts: Rows, split: str) -> Values:
    """Find the radii at which a loss is least."""
    losses = column(cuts, "cut", f"{split}_loss")
    return FACTORS[losses.argmin(axis=1)] * column(cuts, "radius")


def ended(cuts: Rows, split: str) -> Values:
    """Find the radii outside the least loss at which it exceeds the threshold, or the last."""
    places = []
    for losses in column(cuts, "cut", f"{split}_loss"):
        begin = int(losses.argmin())
        above = losses[begin:] > THRESHOLD
        places.append(begin + int(above.argmax()) if above.any() else -1)
    return FACTORS[places] * column(cuts, "radius")


def at_rise(wells: Rows, name: str) -> Values:
    """Take what was measured where wells are judged."""
    return column(wells, name, RISES.index(RISE))


def judged(cuts: Rows, wells: Rows) -> list[Found]:
    spreads, ratio = at_rise(wells, "sd") / at_rise(wells, "mean"), column(wells, "participation")
    apart = np.abs(np.log2(at_rise(wells, "short") / ratio))
    seen = np.abs(np.log2(spreads * np.sqrt(2 * ratio)))
    nearer, sooner = (np.log(get(cuts, "train") / get(cuts, "test")) for get in (lowest, ended))
    longer = (ended(cuts, "train") - column(cuts, "radius")) / column(cuts, "width")
    return fort.judge("", (
        ("H11", "along the radius the test loss is least at a smaller radius than the training "
         "loss", "log ratio of radii of least loss, training over test", nearer, SOONER),
        ("H11", f"along the radius the test loss exceeds {THRESHOLD:.2f} nats at a smaller radius "
         "than the training loss", "log ratio of radii, training (at most ten times the "
         "optimum's) over test", sooner, SOONER),
        ("H8", f"the loss hardly depends on the direction, {RISE} nats above the optimum",
         f"{ROUND} minus the standard deviation over the mean of the loss", ROUND - spreads, 0),
        ("H8", "the spread over random directions tells the participation ratio of the Hessian",
         f"{TWICE} minus the absolute log2 of effective directions over the ratio",
         TWICE - apart, 0),
        ("H8", "the spread of the loss is 1 / sqrt(2 s), s the participation ratio of the Hessian",
         f"{TWICE} minus the absolute log2 of spread times sqrt(2 s)", TWICE - seen, 0),
        ("tunnels", "tunnels are radial: the way out is longer along the radius than across",
         f"ratio of distances at which the training loss exceeds {THRESHOLD:.2f} nats", longer,
         1.5),
    ))  # fmt: skip


def finding(cuts: Rows, wells: Rows) -> str:
    ends = {split: np.median(ended(cuts, split)) for split in SPLITS}
    least = {split: np.median(lowest(cuts, split)) for split in SPLITS}
    short, ratio = np.median([at_rise(wells, "short"), column(wells, "participation")], axis=1)
    return (
        f"Along the radius the test loss is least at norm {least['test']:.0f} and ends its tunnel "
        f"at {ends['test']:.0f}, the training loss at {least['train']:.0f} and "
        f"{ends['train']:.0f}\nWells are as round as {short:.0f} equal directions make them; the "
        f"Hessian's participation ratio is {ratio:.0f}"
    )


def _radial(ax: Axes, plane: Found, split: str, end: float) -> None:
    _plane(ax, plane, split, np.zeros(2), plane["optima"][1:])
    ax.plot(0, 0, "w+", ms=11, mew=2)
    text = f"{SPLITS[split]} loss, origin (+) and two optima (dots): tunnels end at norm {end:.0f}"
    canvas.title(ax, text)


def _random(ax: Axes, plane: Found) -> None:
    """Draw the plane around an optimum, whose own origin is a corner."""
    handles = _plane(ax, plane, "train", plane["optima"][0], [[0.0, 0.0]])
    canvas.title(ax, "training loss, random filter-normalised directions around an optimum")
    ax.legend(handles=handles, fontsize=8, title="nats", loc="center left",
              bbox_to_anchor=(1.01, 0.5), frameon=False)  # fmt: skip


def _plane(ax: Axes, plane: Found, split: str, origin: Any, optima: Any) -> list[Any]:
    """Draw the loss in a plane, and return what its legend shows."""
    loss = np.array(plane[f"{split}_loss"])
    levels = np.r_[0, 0.1, 0.25, 0.5, 0.75, THRESHOLD, 2, 3, 5, 1e3]
    colours = canvas.ramp(len(levels) - 1, "viridis")
    x, y = (np.array(plane[axis]) - origin[k] for k, axis in enumerate("xy"))
    ax.contourf(x, y, loss, levels=levels, colors=colours)
    ax.contour(x, y, loss, levels=[THRESHOLD], colors="white", linestyles="--")
    ax.plot(*np.transpose(optima), "o", color="white", mec="black", ms=7)
    ax.set(aspect="equal", **dict.fromkeys(("xlabel", "ylabel"), "in the plane (weight units)"))
    names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(levels[:-1])]
    kinds = zip(colours, [*names, f"above {levels[-2]:.3g}"], strict=True)
    return [ax.fill_between([], [], color=colour, label=name) for colour, name in kinds]


def _cuts(ax: Axes, cuts: Rows) -> None:
    radius, shown = column(cuts, "radius"), []
    for (split, words), colour in zip(SPLITS.items(), canvas.colours(2), strict=True):
        losses, least = column(cuts, "cut", f"{split}_loss"), lowest(cuts, split)
        ax.plot(np.outer(FACTORS, radius), losses.T, color=colour, lw=0.8, alpha=0.6)
        ax.plot(least, losses.min(axis=1), "v", color=colour, ms=6)
        ax.plot([], [], color=colour, label=f"{words} loss; triangle: least")
        shown.append((np.median(least / radius), losses.min()))
    for one in radius:
        ax.axvline(one, color="0.6", lw=0.6, zorder=0)
    ax.plot([], [], color="0.6", label="the trained networks")
    ax.axhline(THRESHOLD, color="0.4", ls="--", lw=1.2)
    (train, test), lows = zip(*shown, strict=True)
    title = f"training loss least at {train:.1f} times the norm, test loss at {test:.1f} times"
    across = "radius: norm of the weights, multiplied by a factor"
    label(ax, across, "loss (nats)", title, "xy")
    ax.set_ylim(bottom=max(1e-3, min(lows) / 2))


def _rises(ax: Axes, wells: Rows) -> None:
    for one, colour in zip(wells, canvas.colours(len(wells)), strict=True):
        x, mean, sd = (np.array(one[key]) for key in ("distances", "mean", "sd"))
        ax.plot(x, mean, "o-", color=colour, lw=1.6, ms=3)
        ax.fill_between(x, mean - sd, mean + sd, color=colour, alpha=0.15, lw=0)
        ax.plot(x, one["loss"] + np.array(RISES), color=colour, ls=":", lw=1.2)
    ax.plot([], [], "o-", color="0.3", label="mean over directions; band: one sd")
    ax.plot([], [], ":", color="0.3", label="quadratic, by the Hessian's trace")
    spreads = np.median(at_rise(wells, "sd") / at_rise(wells, "mean"))
    title = f"loss around optima; spread over directions {spreads:.0%} where judged"
    label(ax, "distance from the optimum (weight units)", "training loss (nats)", title)


def _counts(ax: Axes, wells: Rows) -> None:
    for one, colour in zip(wells, canvas.colours(len(wells)), strict=True):
        ax.plot(RISES, one["short"], "o-", color=colour, ms=4, lw=1.4)
        ax.axhline(one["participation"], color=colour, ls=":", lw=1.4)
    ax.axvline(RISE, color="0.8", lw=6, zorder=0, label="where judged")
    ax.plot([], [], "o-", color="0.3", label="from the spread of the loss")
    ax.plot([], [], ":", color="0.3", label="participation ratio of the Hessian")
    short = np.median(at_rise(wells, "short"))
    ratio, sharp = (np.median(column(wells, name)) for name in ("participation", "sharp"))
    title = f"{short:.0f} effective directions from the spread, {ratio:.0f} from the Hessian; "
    title += f"{sharp:.0f} eigenvalues are sharp"
    up = "effective number of short directions"
    label(ax, "quadratic rise of the loss (nats)", up, title, "xy")
