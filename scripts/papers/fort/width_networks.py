"""Train networks in many ways and measure how wide their tunnels are, as arXiv:1906.04724, fig. 5.

One choice at a time differs from the baseline. Widths are measured along training, wherever the
training loss first falls below given levels; sharp directions at the end and at one of the levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from evidence.cells import QUIET, kept, trained
from evidence.figure import Flags
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.execution.execution import spread

THRESHOLD = math.log(10) / 2  # nats, where a tunnel ends: halfway to guessing among 10 classes
REACH = 3.0  # norms of the weights, how far tunnels are followed
Found = dict[str, Any]
Moment = Literal["end", "matched"]
Place = Literal["end", "matched", "radius"]


@dataclass(frozen=True)
class Choices:
    """How a network is made and trained.

    Attributes:
        rate: Learning rate of Adam.
        decay: L2 penalty on the gradient.
        dropout: Probability.
        batch: Examples a step.
        width: What the numbers of channels are multiplied with.
    """

    rate: float
    decay: float = 0.0
    dropout: float = 0.0
    batch: int = 32
    width: float = 1.0

    @property
    def name(self) -> str:
        """What its folder is called."""
        parts = (self.rate, self.decay, self.dropout, self.batch, self.width)
        return "-".join(f"{part:g}" for part in parts)


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes.

    Attributes:
        data: `fashion`, at 14x14 pixels, goes with a CNN, `digits` with an MLP.
        sizes: Numbers of training and test examples.
        seen: Training examples, the first of a random draw, whose loss is followed around states.
        channels: Of the baseline's convolutions, or widths of its hidden layers.
        base: The baseline.
        levels: What is chosen in its place.
        epochs: Of training.
        seeds: Number of networks for each choice.
        losses: Levels of the training loss at which widths are measured.
        matched: That of them at which sharp directions are counted too.
        directions: Random directions for each width.
        cut: Least curvature of a sharp direction.
        method: Of counting them.
    """

    data: Literal["digits", "fashion"]
    sizes: tuple[int, int]
    seen: int
    channels: tuple[int, ...]
    base: Choices
    epochs: int
    seeds: int
    losses: tuple[float, ...]
    matched: float
    directions: int
    cut: float
    method: Literal["exact", "lanczos"]
    levels: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def choices(self, factor: str) -> list[Choices]:
        """List the ways of training that differ in one choice, from its lowest level up."""
        return [replace(self.base, **{factor: level}) for level in self.levels[factor]]

    def cells(self) -> list[tuple[Choices, int]]:
        """List each way of training once, with each seed."""
        ways = dict.fromkeys(way for factor in self.levels for way in self.choices(factor))
        return [(way, seed) for seed in range(self.seeds) for way in ways]

    def examples(self) -> jr.Dataset:
        """Load the data; of the digits every other pixel each way."""
        if self.data == "fashion":
            return fort.fashion(*self.sizes)
        whole = jr.data.digits().subset(*self.sizes)
        thin = (x[..., ::2, ::2] for x in (whole.train_x, whole.test_x))
        train, test = map(np.ascontiguousarray, thin)
        return jr.Dataset(train, whole.train_y, test, whole.test_y, history=whole.history)

    def build(self, choices: Choices, data: jr.Dataset) -> jr.Task:
        """Build the task; the MLP has no dropout."""
        widths = [round(choices.width * count) for count in self.channels]
        if self.data == "digits":
            return fort.mlp(data, widths)
        return fort.cnn(data, widths, choices.dropout)

    def recipe(self, choices: Choices) -> jr.Recipe:
        """Write the recipe; every epoch is recorded."""
        return fort.recipe(
            self.epochs,
            choices.rate,
            choices.batch,
            weight_decay=choices.decay,
            record_every=1,
        )


def measured(asked: Flags, plan: Plan) -> list[Found]:
    """Train and measure all networks, or read those of an earlier call."""
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    jobs = [(asked, plan, *cell) for cell in plan.cells()]
    return spread(_network, jobs, execution, "networks")


def _network(asked: Flags, plan: Plan, choices: Choices, seed: int) -> Found:
    path = asked.work / "measured" / f"{choices.name}-{seed}.json"
    of = replace(plan, levels={}, seeds=0), choices, seed
    found: Found = kept(path, of, partial(_measure, asked, plan, choices, seed))
    return found | {"choices": choices, "seed": seed}


def _measure(asked: Flags, plan: Plan, choices: Choices, seed: int) -> Found:
    data = plan.examples()
    task, seen = (plan.build(choices, some) for some in (data, data.subset(plan.seen, 2)))
    name = f"{choices.name}-{seed}"
    runs = trained(asked, name, task, plan.recipe(choices), [seed], jobs=1)
    states, losses = runs.states[0], runs.metrics["train_loss"][0]
    places = {level: int(np.argmax(losses <= level)) for level in plan.losses}
    last = len(losses) - 1
    counted = {"end": last, "matched": places[plan.matched]}
    return {
        "weights": task.weight_count,
        "final": {name: float(values[0, -1]) for name, values in runs.metrics.items()},
        "tunnels": [
            _tunnel(plan, seen, states[k], float(losses[k]), float(runs.epoch[k]))
            for k in sorted({*places.values(), last} - {0})
        ],
        **{name: _sharp(plan, seen, states[k], losses[k]) for name, k in counted.items() if k},
    }


def _tunnel(plan: Plan, task: jr.Task, state: NDArray[Any], loss: float, epoch: float) -> Found:
    reach = REACH * float(np.linalg.norm(state[: task.weight_count]))
    width = jr.tunnel_width(
        task, state, THRESHOLD, plan.directions, reach=reach, steps=24, execution=QUIET
    )
    return {
        "epoch": epoch,
        "train_loss": loss,
        "start_loss": width.start_loss,
        "radius": width.radius,
        "width": width.median,
        "quartiles": width.quartiles,
        "angle": float(np.median(width.angle)),
        "endless": width.endless,
    }


def _sharp(plan: Plan, task: jr.Task, state: NDArray[Any], loss: float) -> Found:
    sharp = jr.sharp_directions(
        task, state, plan.cut, plan.method, "float32", draws=16, execution=QUIET
    )
    return {
        "train_loss": float(loss),
        "loss": sharp.loss,
        "gradient_norm": sharp.gradient_norm,
        "count": sharp.count,
        "above": {f"{cut:g}": sharp.above(cut) for cut in plan.cut * np.array([3.0, 10.0])},
        "largest": float(sharp.eigenvalues[0]),
        "trace": sharp.trace,
        "frobenius": sharp.frobenius,
    }


def of(found: Iterable[Found], choices: Choices) -> list[Found]:
    """Choose the networks that were trained in one way, by seed."""
    return sorted((one for one in found if one["choices"] == choices), key=lambda one: one["seed"])


def curve(one: Found, per: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follow a network's log width along training, over its radius divided by a number."""
    radius = np.array([tunnel["radius"] for tunnel in one["tunnels"]]) / per
    order = np.argsort(radius)
    return radius[order], np.log([float(tunnel["width"]) for tunnel in one["tunnels"]])[order]


def at_radius(one: Found, radius: float, per: float = 1.0) -> float:
    """Read a network's log width at a radius; NaN where it was not measured."""
    return float(np.interp(radius, *curve(one, per), left=np.nan, right=np.nan))


def at(one: Found, place: Moment) -> Found:
    """Put together what was measured at the end, or where the loss is matched."""
    known = one[place]
    tunnel = min(one["tunnels"], key=lambda each: abs(each["train_loss"] - known["train_loss"]))
    return known | tunnel


def ladders(plan: Plan, found: Sequence[Found], factor: str) -> list[list[Found]]:
    """Put the networks of one seed in the order of levels, for each seed."""
    return [list(nets) for nets in zip(*(of(found, w) for w in plan.choices(factor)), strict=True)]


def wider(ladder: Sequence[Found], place: Place, per: Sequence[float] | None = None) -> float:
    """Compare log widths from the lowest level to the highest, from neighbour to neighbour.

    At equal radius, the largest that both neighbours reach; NaN where curves do not overlap.
    """
    scales = [1.0] * len(ladder) if per is None else per
    if place != "radius":
        return math.log(at(ladder[-1], place)["width"] / at(ladder[0], place)["width"])
    total = 0.0
    for low, high in pairwise(zip(ladder, scales, strict=True)):
        common = min(curve(*low)[0][-1], curve(*high)[0][-1])
        total += at_radius(high[0], common, high[1]) - at_radius(low[0], common, low[1])
    return total


def sharper(ladder: Sequence[Found], place: Moment) -> float:
    """Compare the log numbers of sharp directions of the lowest and the highest level."""
    return math.log(ladder[-1][place]["count"] / ladder[0][place]["count"])


def reached(found: Sequence[Found], place: Moment) -> list[Found]:
    """Leave out the networks whose training ended before the loss was that low."""
    return [one for one in found if place in one]
