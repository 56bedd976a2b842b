"""What widens the tunnels of arXiv:1906.04724, figure 5, and are wide ones those with few walls?

Width of the tunnel around networks along training, over the norm of their weights, for learning
rates, L2 penalties, dropout, batch sizes and layer widths; and the width against the number of
sharp directions, which the wedge model makes a power of -1/2. H5 and H6 are judged.

The small form needs digits only; the other one Fashion-MNIST, in the folder that the environment
variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.fort import networks as fort
from papers.fort.width_networks import (
    THRESHOLD,
    Choices,
    Found,
    Moment,
    Place,
    Plan,
    at,
    curve,
    ladders,
    measured,
    of,
    reached,
    sharper,
    wider,
)

from jumpretrain.plots import canvas

WIDER = math.log(1.03)  # the least log ratio of widths that counts
FEWER = math.log(1.2)  # and of numbers of sharp directions
TOLERANCE = 0.2  # how far the measured power may be from -1/2
FALLING = 0.1  # the least power that counts as wider with fewer sharp directions

FULL = Plan(
    data="fashion", sizes=(1000, 500), seen=100, channels=fort.NARROW, base=Choices(rate=2e-3),
    epochs=26, seeds=5, losses=(0.9, 0.75, 0.5), matched=0.75, directions=24,
    cut=0.1, method="lanczos",
    levels={
        "rate": (1e-3, 2e-3, 4e-3, 8e-3), "decay": (0, 1e-3, 3e-3), "dropout": (0, 0.05, 0.2),
        "batch": (8, 32, 64), "width": (0.5, 1, 2),
    },
)  # fmt: skip
QUICK = Plan(
    data="digits", sizes=(200, 50), seen=50, channels=(8,), base=Choices(rate=0.03, batch=16),
    epochs=12, seeds=3, losses=(1.0, 0.9), matched=0.9, directions=6, cut=0.03, method="exact",
    levels={"rate": (0.03, 0.06), "width": (1, 1.5)},
)  # fmt: skip
NAMES = {
    "rate": "learning rate", "decay": "L2 penalty", "dropout": "dropout",
    "batch": "batch size", "width": "layer width",
}  # fmt: skip
SIGNS: dict[str, Literal[1, -1]] = {"rate": 1, "decay": 1, "dropout": 1, "batch": -1}
PLACES: dict[Place, str] = {
    "end": "at the end",
    "matched": "at equal training loss",
    "radius": "at equal radius",
}
ALIKE = "networks of equal size only, at equal training loss"
TRACE = "trace of the Hessian"
COLOURS = dict(zip(NAMES, canvas.colours(len(NAMES)), strict=True))


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    found = measured(asked, plan)
    claims = judged(plan, found)
    return drawn(plan, found, claims), {
        "data": f"{plan.data}, {plan.sizes[0]} training and {plan.sizes[1]} test examples",
        "plan": asdict(plan),
        "recipe": asdict(plan.recipe(plan.base)),
        "seeds": list(range(plan.seeds)),
        "threshold": THRESHOLD,
        "claims": claims,
        "powers": {name: values.tolist() for name, values in powers(plan, found).items()},
        "over_quadratic": {place: over_quadratic(found, place) for place in ("end", "matched")},
        "without_equal_loss": len(found) - len(reached(found, "matched")),
        "networks": [one | {"choices": asdict(one["choices"])} for one in found],
    }


def signs(plan: Plan) -> dict[str, Literal[1, -1]]:
    """Say what is claimed of the choices that are varied."""
    return {factor: sign for factor, sign in SIGNS.items() if factor in plan.levels}


def powers(plan: Plan, found: Sequence[Found]) -> dict[str, NDArray[np.float64]]:
    """Fit log width over log share of sharp directions, seed by seed."""
    every = [way for factor in plan.levels for way in plan.choices(factor)]
    alike = [way for way in every if way.width == plan.base.width]
    forms: dict[str, Any] = {
        "at the end": (every, "end", "count"),
        "at equal training loss": (every, "matched", "count"),
        "at the end, start loss allowed for": (every, "end", "count", True),
        "learning rates only, at the end": (plan.choices("rate"), "end", "count"),
        ALIKE: (alike, "matched", "count"),
        TRACE: (every, "matched", "trace"),
    }
    return {
        name: np.array([power(found, seed, *how) for seed in range(plan.seeds)])
        for name, how in forms.items()
    }


def power(
    found: Sequence[Found],
    seed: int,
    ways: Sequence[Choices],
    place: Moment,
    what: str,
    above: bool = False,
) -> float:
    nets = [one for one in reached(found, place) if one["seed"] == seed and one["choices"] in ways]
    share = np.log([one[place][what] / one["weights"] for one in nets])
    known = [at(one, place) for one in nets]
    width = np.log([one["width"] for one in known])
    if above:  # the toy's width from a start above the wedge (derived)
        width -= np.log([THRESHOLD**2 - one["start_loss"] ** 2 for one in known]) / 2
    return float(np.polyfit(share, width, 1)[0])


def over_quadratic(found: Sequence[Found], place: Moment) -> float:
    """Compare widths with where a quadratic loss of the same trace ends (derived): the median."""
    ratios = []
    for one in reached(found, place):
        known = at(one, place)
        rise = THRESHOLD - known["start_loss"]
        ratios.append(known["width"] / math.sqrt(2 * rise * one["weights"] / known["trace"]))
    return float(np.median(ratios))


def judged(plan: Plan, found: Sequence[Found]) -> list[Found]:
    claims = []
    for factor, sign in signs(plan).items():
        nets = ladders(plan, found, factor)
        low, high = (f"{plan.levels[factor][k]:g}" for k in (0, -1))
        said = f"{NAMES[factor]} up from {low} to {high}:"
        claims += [
            within(
                "wedges-H5", f"{said} tunnels {'wider' if sign == 1 else 'narrower'} {words}",
                "log ratio of median widths, same seed", [wider(one, place) for one in nets],
                WIDER, sign,
            )
            for place, words in PLACES.items()
        ]  # fmt: skip
        if factor == "rate":
            claims += [
                within(
                    "wedges-H5", f"{said} fewer sharp directions {PLACES[place]}",
                    "log ratio of numbers, same seed", [sharper(one, place) for one in nets],
                    FEWER, -1,
                )
                for place in ("end", "matched")
            ]  # fmt: skip
    return [*claims, layers(plan, found), *falsified(plan, found)]


def layers(plan: Plan, found: Sequence[Found]) -> Found:
    roots = [math.sqrt(level) for level in plan.levels["width"]]
    gains = [
        abs(wider(one, "radius")) - abs(wider(one, "radius", roots))
        for one in ladders(plan, found, "width")
    ]
    return within(
        "wedges-H5",
        "layer width: widths agree more at equal radius over its root than at equal radius",
        "absolute log ratio of widths at equal radius minus that at equal scaled radius",
        gains, WIDER,
    )  # fmt: skip


def falsified(plan: Plan, found: Sequence[Found]) -> list[Found]:
    fitted = powers(plan, found)
    claims = [
        within(
            "wedges-H6",
            "width goes with the power -1/2 of the Hessian's trace at equal training loss"
            if name == TRACE else f"width goes with the power -1/2 of sharp directions, {name}",
            f"{TOLERANCE} minus the distance from -1/2 of the power, fitted over conditions",
            TOLERANCE - np.abs(values + 0.5), 0,
        )
        for name, values in fitted.items()
    ]  # fmt: skip
    return claims + [
        within(
            "wedges-H6", f"fewer sharp directions, wider tunnels, {name}",
            "power, fitted over conditions", fitted[name], FALLING, -1,
        )
        for name in ("at the end", "at equal training loss")
    ]  # fmt: skip


def drawn(plan: Plan, found: Sequence[Found], claims: list[Found]) -> Figure:
    figure = canvas.new_figure(17, 10)
    panels = figure.subplots(2, 3)
    for ax, factor in zip(panels.flat, NAMES, strict=False):
        if factor in plan.levels:
            _along(ax, plan, found, factor)
        else:
            ax.set_axis_off()
    _against(panels[1, 2], plan, found)
    figure.suptitle(f"{finding(plan, found)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    base = plan.base
    ends = [at(one, "end") for one in found]
    spread = np.median([np.ptp(np.array(one["quartiles"], float)) / one["width"] for one in ends])
    angle = np.median([float(one["angle"]) for one in ends])
    kind = (
        "Fashion-MNIST at 14x14; tanh CNN, channels" if plan.data == "fashion"
        else "digits at 4x4; MLP, hidden"
    )  # fmt: skip
    canvas.note(
        figure,
        f"{kind} {' '.join(map(str, plan.channels))}; {plan.sizes[0]} training examples; Adam, "
        f"{plan.epochs} epochs; baseline: rate {base.rate:g}, batches of {base.batch}, no L2, no "
        f"dropout. n = {plan.seeds} networks (seeds 0 to {plan.seeds - 1}) a condition: thin "
        f"lines and dots; thick: median. Width: distance at which the training loss exceeds "
        f"{THRESHOLD:.2f} nats (half of log 10), "
        f"median over {plan.directions} random directions orthogonal to the weights, on "
        f"{plan.seen} training images; the quartiles are {spread:.0%} of it apart, the angle is "
        f"{angle:.1f} rad at the end. Sharp: Hessian eigenvalues above {plan.cut:g} on the same. "
        f"Equal loss: first epoch with training loss below {plan.matched:g}, "
        f"which {len(found) - len(reached(found, 'matched'))} of {len(found)} do not reach.",
    )
    return figure


def finding(plan: Plan, found: Sequence[Found]) -> str:
    parts = [
        f"{NAMES[factor]} ×{ratio(plan, found, factor, 'matched'):.2f}" for factor in signs(plan)
    ]
    every, alike = (powers(plan, found)[name].mean() for name in (PLACES["matched"], ALIKE))
    times = over_quadratic(found, "matched")
    return (
        f"Width of tunnels at equal training loss, highest level over lowest: {', '.join(parts)}\n"
        f"Width is {times:.2f} times where a quadratic of the Hessian's trace would end; over the "
        f"share of sharp directions it has power {every:.2f}, {alike:.2f} among networks of equal "
        "size (wedge model: -0.5)"
    )


def ratio(plan: Plan, found: Sequence[Found], factor: str, place: Place) -> float:
    """Average the ratio of widths, highest level over lowest, over seeds."""
    changes = [wider(nets, place) for nets in ladders(plan, found, factor)]
    return float(np.exp(np.mean(changes)))


def _along(ax: Axes, plan: Plan, found: Sequence[Found], factor: str) -> None:
    levels = plan.levels[factor]
    for level, way, colour in zip(
        levels, plan.choices(factor), canvas.ramp(len(levels), "viridis"), strict=True
    ):
        nets = of(found, way)
        curves = [curve(one) for one in nets]
        for radius, width in curves:
            ax.plot(radius, np.exp(width), "o-", ms=2.5, color=colour, lw=0.6, alpha=0.4)
        low, high = max(r[0] for r, _ in curves), min(r[-1] for r, _ in curves)
        grid = np.linspace(low, high, 40)
        middle = np.median([np.interp(grid, *each) for each in curves], axis=0)
        count = np.median([one["end"]["count"] for one in nets])
        label = f"{level:g} ({count:.0f} sharp at the end)"
        ax.plot(grid, np.exp(middle), color=colour, lw=2.8, label=label)
    ax.set_xlabel("radius: norm of the weights, along training")
    ax.set_ylabel("width of the tunnel (weight units)")
    ax.legend(fontsize=9, frameon=False, title=NAMES[factor], title_fontsize=9)
    end, radius = (ratio(plan, found, factor, place) for place in ("end", "radius"))
    canvas.title(
        ax,
        f"{NAMES[factor]} {levels[0]:g} to {levels[-1]:g}: width ×{radius:.2f} at equal radius, "
        f"×{end:.2f} at the end",
    )


def _against(ax: Axes, plan: Plan, found: Sequence[Found]) -> None:
    for factor in plan.levels:
        nets = [one for way in plan.choices(factor) if way != plan.base for one in of(found, way)]
        _dots(ax, nets, COLOURS[factor], NAMES[factor])
    _dots(ax, of(found, plan.base), (0.2, 0.2, 0.2), "baseline")
    matched, end = (powers(plan, found)[PLACES[place]].mean() for place in ("matched", "end"))
    some = reached(found, "matched")
    share = np.array([one["matched"]["count"] / one["weights"] for one in some])
    width = np.array([at(one, "matched")["width"] for one in some])
    line = np.array([share.min(), share.max()])
    for slope, dash, label in (
        (matched, "-", "fitted, equal loss"),
        (-0.5, ":", "wedge model, -1/2"),
    ):
        middle = np.exp(np.log(width).mean() - slope * np.log(share).mean())
        ax.plot(line, middle * line**slope, dash, color="0.2", lw=1.4, label=label)
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("log")
        canvas.plain(axis)
    ax.set_xlabel("sharp directions over weights, s / D")
    ax.set_ylabel("width of the tunnel (weight units)")
    ax.legend(fontsize=8, frameon=False, ncols=2)
    canvas.title(
        ax,
        f"filled: equal loss, power {matched:.2f}; rings: end of training, power {end:.2f}",
    )


def _dots(ax: Axes, nets: Sequence[Found], colour: Any, label: str) -> None:
    for place, face in (("matched", colour), ("end", "none")):
        some = reached(nets, place)
        share = [one[place]["count"] / one["weights"] for one in some]
        width = [at(one, place)["width"] for one in some]
        ax.scatter(
            share, width, s=26, facecolor=face, edgecolor=[colour], lw=0.9, alpha=0.8,
            label=label if place == "matched" else None,
        )  # fmt: skip
