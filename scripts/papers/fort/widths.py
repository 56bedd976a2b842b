"""What widens the tunnels of arXiv:1906.04724, figure 5, and are wide ones those with few walls?

Width of the tunnel around networks, wherever the training loss first falls below given levels,
over the norm of their weights, for learning rates, L2 penalties, dropout, batch sizes and layer
widths, one choice at a time; and the width against the number of sharp directions, which the wedge
model makes a power of -1/2. H5 and H6 are judged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence.cells import spread_kept, trained
from evidence.figure import Flags, Made
from evidence.panels import head, label, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import THRESHOLD, Found, Rows, Values, column

import jumpretrain as jr
from jumpretrain.plots import canvas

REACH = 3.0  # norms of the weights, how far tunnels are followed
WIDER = math.log(1.03)  # the least log ratio of widths that counts
TOLERANCE = 0.2  # how far the measured power may be from -1/2


@dataclass(frozen=True)
class Choices:
    """How a network is made and trained."""

    rate: float  # of Adam
    decay: float = 0.0  # L2 penalty on the gradient
    dropout: float = 0.0
    batch: int = 32
    width: float = 1.0  # what the numbers of channels are multiplied with

    @property
    def name(self) -> str:
        """What its folder is called."""
        return "-".join(f"{part:g}" for part in astuple(self))


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes, with CNNs, or MLPs without dropout on digits."""

    data: fort.Data
    sizes: tuple[int, int]  # numbers of training and test examples
    seen: int  # training examples, drawn once, whose loss is followed around states
    channels: tuple[int, ...]  # of the baseline's convolutions, or widths of its hidden layers
    base: Choices
    epochs: int
    seeds: int  # networks for each choice
    losses: tuple[float, ...]  # levels of the training loss at which widths are measured
    matched: float  # that of them at which sharp directions are counted too
    directions: int  # random ones for each width
    cut: float  # the least curvature of a sharp direction
    method: Literal["exact", "lanczos"]
    levels: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # instead of the base's

    def choices(self, factor: str) -> list[Choices]:
        """List the ways of training that differ in one choice, from its lowest level up."""
        return [replace(self.base, **{factor: level}) for level in self.levels[factor]]

    def recipe(self, choices: Choices) -> jr.Recipe:
        """Write the recipe; every epoch is recorded."""
        how = {"weight_decay": choices.decay, "record_every": 1}
        return fort.recipe(self.epochs, choices.rate, choices.batch, **how)


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
SIGNS = {"rate": 1, "decay": 1, "dropout": 1, "batch": -1}  # of the claim; none of layer widths
PLACES = {"end": "at the end", "matched": "at equal training loss", "radius": "at equal radius"}
WIDTH = "width of the tunnel (weight units)"
ALIKE = "networks of equal size only, at equal training loss"
TRACE = "trace of the Hessian"
COLOURS = dict(zip(NAMES, canvas.colours(len(NAMES)), strict=True))


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    alike = replace(plan, levels={}, seeds=0)
    ways = dict.fromkeys(way for factor in plan.levels for way in plan.choices(factor))
    cells = [(way, seed) for seed in range(plan.seeds) for way in ways]
    jobs = [(f"measured/{way.name}-{k}", (alike, way, k), plan, way, k) for way, k in cells]
    kept = zip(cells, spread_kept(asked, measured, jobs, "networks"), strict=True)
    found = [one | {"choices": way, "seed": seed} for (way, seed), one in kept]
    places = [(one, place) for one in found for place in ("end", "matched") if place in one]
    table = pd.DataFrame([at(*each) | {"place": each[1]} for each in places])
    fitted = powers(plan, table)
    claims = judged(plan, found, fitted)
    along = [(_along, plan, found, factor) for factor in NAMES]
    figure = sheet((17, 10), (2, 3), [*along, (_against, plan, table, fitted)])
    head(figure, finding(plan, found, table, fitted), claims, caption(plan, table))
    facts = {"plan": asdict(plan), "recipe": asdict(plan.recipe(plan.base)), "claims": claims}
    facts |= {"seeds": list(range(plan.seeds)), "threshold": THRESHOLD}
    return figure, facts | {
        "data": f"{plan.data}, {plan.sizes[0]} training and {plan.sizes[1]} test examples",
        "powers": {name: values.tolist() for name, values in fitted.items()},
        "over_quadratic": {place: over_quadratic(table, place) for place in ("end", "matched")},
        "without_equal_loss": 2 * len(found) - len(table),
        "networks": [one | {"choices": asdict(one["choices"])} for one in found],
    }


def measured(asked: Flags, plan: Plan, choices: Choices, seed: int) -> Found:
    """Train a network; measure its tunnels along training, and sharp directions at two places."""
    data = fort.examples(plan.data, plan.sizes)
    if plan.data == "digits":  # every other pixel each way
        train, test = (np.array(x[..., ::2, ::2], order="C") for x in (data.train_x, data.test_x))
        data = replace(data, train_x=train, test_x=test)
    widths = [round(choices.width * count) for count in plan.channels]
    both = data, data.subset(plan.seen, 2)
    task, seen = (fort.network(plan.data, some, widths, choices.dropout) for some in both)
    name = f"{choices.name}-{seed}"
    runs = trained(asked, name, task, plan.recipe(choices), [seed], jobs=1)
    states, losses = runs.states[0], runs.metrics["train_loss"][0]
    places = {level: int(np.argmax(losses <= level)) for level in plan.losses}
    last = len(losses) - 1
    counted = {"end": last, "matched": places[plan.matched]}
    epochs = sorted({*places.values(), last} - {0})
    loss = {k: {"train_loss": float(losses[k])} for k in epochs}
    return {
        "weights": task.weight_count,
        "final": {name: float(values[0, -1]) for name, values in runs.metrics.items()},
        "tunnels": [
            {"epoch": float(runs.epoch[k])} | loss[k] | tunnel(plan, seen, states[k])
            for k in epochs
        ],
    } | {name: loss[k] | sharp(plan, seen, states[k]) for name, k in counted.items() if k}


def tunnel(plan: Plan, task: jr.Task, state: Values) -> Found:
    reach = REACH * float(np.linalg.norm(state[: task.weight_count]))
    width = fort.tunnel_width(task, state, THRESHOLD, plan.directions, reach=reach, steps=24)
    found = {"width": width.median, "angle": float(np.median(width.angle))}
    return found | fort.taken(width, "start_loss", "radius", "quartiles", "endless")


def sharp(plan: Plan, task: jr.Task, state: Values) -> Found:
    found = fort.sharp_directions(task, state, plan.cut, plan.method, "float32", draws=16)
    above = {f"{cut:g}": found.above(cut) for cut in plan.cut * np.array([3.0, 10.0])}
    names = "loss", "gradient_norm", "count", "trace", "frobenius"
    return fort.taken(found, *names) | {"above": above, "largest": float(found.eigenvalues[0])}


def of(found: Rows, choices: Choices) -> list[Found]:
    """Choose the networks that were trained in one way, by seed."""
    return [one for one in found if one["choices"] == choices]


def at(one: Found, place: str) -> Found:
    """Put together what was measured at the end, or where the loss is matched."""
    known = one[place]
    near = min(one["tunnels"], key=lambda each: abs(each["train_loss"] - known["train_loss"]))
    return {**one, **known, **near, "share": known["count"] / one["weights"]}


def curve(one: Found, per: float = 1.0) -> tuple[Values, Values]:
    """Follow a network's log width along training, over its radius divided by a number."""
    tunnels = sorted(one["tunnels"], key=itemgetter("radius"))
    return column(tunnels, "radius") / per, np.log(column(tunnels, "width").astype(float))


def ladders(plan: Plan, found: Rows, factor: str) -> list[tuple[Found, ...]]:
    """Put the networks of one seed in the order of levels, for each seed."""
    return list(zip(*(of(found, way) for way in plan.choices(factor)), strict=True))


def wider(ladder: Rows, place: str, per: Sequence[float] | None = None) -> float:
    """Compare log widths from the lowest level to the highest, from neighbour to neighbour.

    At equal radius, the largest that both neighbours reach; NaN where curves do not overlap.
    """
    if place != "radius":
        return math.log(at(ladder[-1], place)["width"] / at(ladder[0], place)["width"])
    total = 0.0
    for pair in pairwise(zip(ladder, per or [1.0] * len(ladder), strict=True)):
        curves = [curve(*each) for each in pair]
        common = min(radius[-1] for radius, _ in curves)
        low, high = (np.interp(common, *each, left=np.nan, right=np.nan) for each in curves)
        total += float(high) - float(low)
    return total


def powers(plan: Plan, table: pd.DataFrame) -> dict[str, Values]:
    """Fit log width over log share of sharp directions, seed by seed."""
    end, matched = (table[table["place"] == place] for place in ("end", "matched"))
    alike = [way.width == plan.base.width for way in matched["choices"]]
    return {
        "at the end": power(end),
        "at equal training loss": power(matched),
        "at the end, start loss allowed for": power(end, above=True),
        "learning rates only, at the end": power(end[end["choices"].isin(plan.choices("rate"))]),
        ALIKE: power(matched[alike]),
        TRACE: power(matched, "trace"),
    }


def power(table: pd.DataFrame, what: str = "count", above: bool = False) -> Values:
    share, width = np.log(table[what] / table["weights"]), np.log(table["width"].astype(float))
    if above:  # the toy's width from a start above the wedge (derived)
        width -= np.log(THRESHOLD**2 - table["start_loss"] ** 2) / 2
    seeds = table.groupby("seed").groups.values()
    return np.array([np.polyfit(share[nets], width[nets], 1)[0] for nets in seeds])


def over_quadratic(table: pd.DataFrame, place: str) -> float:
    """Compare widths with where a quadratic loss of the same trace ends (derived): the median."""
    nets = table[table["place"] == place]
    ends = np.sqrt(2 * (THRESHOLD - nets["start_loss"]) * nets["weights"] / nets["trace"])
    return float((nets["width"] / ends).median())


def judged(plan: Plan, found: Rows, fitted: Mapping[str, Values]) -> list[Found]:
    rows: list[tuple[Any, ...]] = []
    for factor in (name for name in SIGNS if name in plan.levels):
        nets, sign, levels = ladders(plan, found, factor), SIGNS[factor], plan.levels[factor]
        said = f"{NAMES[factor]} up from {levels[0]:g} to {levels[-1]:g}:"
        rows += [
            ("H5", f"{said} tunnels {'wider' if sign == 1 else 'narrower'} {words}",
             "log ratio of median widths, same seed", [wider(one, place) for one in nets],
             WIDER, sign)
            for place, words in PLACES.items()
        ]  # fmt: skip
        for place in ("end", "matched") if factor == "rate" else ():
            gain = [math.log(one[-1][place]["count"] / one[0][place]["count"]) for one in nets]
            fewer = f"{said} fewer sharp directions {PLACES[place]}"
            rows.append(("H5", fewer, "log ratio of numbers, same seed", gain, math.log(1.2), -1))
    roots = [math.sqrt(level) for level in plan.levels["width"]]
    nets = ladders(plan, found, "width")
    gains = [abs(wider(one, "radius")) - abs(wider(one, "radius", roots)) for one in nets]
    return fort.judge("", [
        *rows,
        ("H5", "layer width: widths agree more at equal radius over its root than at equal radius",
         "absolute log ratio of widths at equal radius minus that at equal scaled radius",
         gains, WIDER),
        *said_of_powers(fitted),
    ])  # fmt: skip


def said_of_powers(fitted: Mapping[str, Values]) -> list[tuple[Any, ...]]:
    how = f"{TOLERANCE} minus the distance from -1/2 of the power, fitted over conditions"
    what = {name: f"sharp directions, {name}" for name in fitted}
    what[TRACE] = "the Hessian's trace at equal training loss"
    return [
        ("H6", f"width goes with the power -1/2 of {what[name]}", how,
         TOLERANCE - np.abs(values + 0.5), 0)
        for name, values in fitted.items()
    ] + [
        ("H6", f"fewer sharp directions, wider tunnels, {PLACES[place]}",
         "power, fitted over conditions", fitted[PLACES[place]], 0.1, -1)
        for place in ("end", "matched")
    ]  # fmt: skip


def caption(plan: Plan, table: pd.DataFrame) -> str:
    base, ends = plan.base, table[table["place"] == "end"]
    apart = np.median(np.ptp(np.array(ends["quartiles"].to_list(), float), axis=1) / ends["width"])
    mlp, cnn = "digits at 4x4; MLP, hidden", "Fashion-MNIST at 14x14; tanh CNN, channels"
    kind = mlp if plan.data == "digits" else cnn
    return (
        f"{kind} {' '.join(map(str, plan.channels))}; {plan.sizes[0]} training "
        f"examples; Adam, {plan.epochs} epochs; baseline: rate {base.rate:g}, batches of "
        f"{base.batch}, no L2, no dropout. n = {plan.seeds} networks (seeds 0 to "
        f"{plan.seeds - 1}) a condition: thin lines and dots; thick: median. Width: distance at "
        "which the training loss exceeds "
        f"{THRESHOLD:.2f} nats (half of log 10), median over {plan.directions} random directions "
        f"orthogonal to the weights, on {plan.seen} training images; the quartiles are "
        f"{apart:.0%} of it apart, the angle is {ends['angle'].median():.1f} rad at the end. "
        f"Sharp: Hessian eigenvalues above {plan.cut:g} on the same. Equal loss: first epoch with "
        f"training loss below {plan.matched:g}, which {2 * len(ends) - len(table)} of {len(ends)} "
        "do not reach."
    )


def finding(plan: Plan, found: Rows, table: pd.DataFrame, fitted: Mapping[str, Values]) -> str:
    known = [name for name in SIGNS if name in plan.levels]
    parts = [f"{NAMES[name]} ×{ratio(plan, found, name, 'matched'):.2f}" for name in known]
    every, alike = (fitted[name].mean() for name in (PLACES["matched"], ALIKE))
    times = over_quadratic(table, "matched")
    return (
        f"Width of tunnels at equal training loss, highest level over lowest: {', '.join(parts)}\n"
        f"Width is {times:.2f} times where a quadratic of the Hessian's trace would end; over the "
        f"share of sharp directions it has power {every:.2f}, {alike:.2f} among networks of equal "
        "size (wedge model: -0.5)"
    )


def ratio(plan: Plan, found: Rows, factor: str, place: str) -> float:
    """Average the ratio of widths, highest level over lowest, over seeds."""
    return math.exp(np.mean([wider(nets, place) for nets in ladders(plan, found, factor)]))


def _along(ax: Axes, plan: Plan, found: Rows, factor: str) -> None:
    if factor not in plan.levels:
        ax.set_axis_off()
        return
    levels = plan.levels[factor]
    colours = canvas.ramp(len(levels), "viridis")
    for level, way, colour in zip(levels, plan.choices(factor), colours, strict=True):
        nets = of(found, way)
        curves = [curve(one) for one in nets]
        for radius, width in curves:
            ax.plot(radius, np.exp(width), "o-", ms=2.5, color=colour, lw=0.6, alpha=0.4)
        low, high = max(r[0] for r, _ in curves), min(r[-1] for r, _ in curves)
        grid = np.linspace(low, high, 40)
        middle = np.median([np.interp(grid, *each) for each in curves], axis=0)
        count = np.median([one["end"]["count"] for one in nets])
        name = f"{level:g} ({count:.0f} sharp at the end)"
        ax.plot(grid, np.exp(middle), color=colour, lw=2.8, label=name)
    end, radius = (ratio(plan, found, factor, place) for place in ("end", "radius"))
    text = f"{NAMES[factor]} {levels[0]:g} to {levels[-1]:g}: width ×{radius:.2f} at equal "
    text += f"radius, ×{end:.2f} at the end"
    legend = {"title": NAMES[factor], "title_fontsize": 9}
    label(ax, "radius: norm of the weights, along training", WIDTH, text, **legend)


def _against(ax: Axes, plan: Plan, table: pd.DataFrame, fitted: Mapping[str, Values]) -> None:
    ways = {factor: {*plan.choices(factor)} - {plan.base} for factor in plan.levels}
    for factor, some in (ways | {"baseline": {plan.base}}).items():
        nets, colour = table[table["choices"].isin(some)], COLOURS.get(factor, (0.2, 0.2, 0.2))
        for place, face in (("matched", colour), ("end", "none")):
            those, name = nets[nets["place"] == place], NAMES.get(factor, factor)
            look = {"s": 26, "facecolor": face, "edgecolor": [colour], "lw": 0.9, "alpha": 0.8}
            look["label"] = name if face == colour else None
            ax.scatter(those["share"], those["width"], **look)
    matched, end = (fitted[PLACES[place]].mean() for place in ("matched", "end"))
    share, width = np.log(table.loc[table["place"] == "matched", ["share", "width"]]).to_numpy().T
    line = np.exp([share.min(), share.max()])
    names = {matched: ("-", "fitted, equal loss"), -0.5: (":", "wedge model, -1/2")}
    for slope, (dash, name) in names.items():
        middle = np.exp(width.mean() - slope * share.mean())
        ax.plot(line, middle * line**slope, dash, color="0.2", lw=1.4, label=name)
    text = f"filled: equal loss, power {matched:.2f}; rings: end of training, power {end:.2f}"
    label(ax, "sharp directions over weights, s / D", WIDTH, text, "xy", fontsize=8, ncols=2)
