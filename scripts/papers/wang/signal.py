"""How much signal reaches each layer along the linear path: released code of arXiv:2210.01019.

A deep fully connected and a plain convolutional ReLU network without BatchNorm: share of its
signal at the end that each layer holds, against depth, at several alphas; and the slope of its
logarithm against alpha, beside log alpha, which degree counting gives for a path from weights
that are all zero.

Changed after a review that had seen the numbers: thick lines are medians over all networks, where
one network with a share at or below 0 broke them before. Claims are as they were.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property, partial

import numpy as np
from evidence import panels
from evidence.cells import QUIET, trained
from evidence.figure import Flags, Made, device
from evidence.jobs import over, recipe
from evidence.judging import within
from evidence.rows import Rows, about
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.wang import networks as wang
from papers.wang.networks import CLASSES, NAMES, WIDTH
from torch import nn

import jumpretrain as jr
from jumpretrain.paths.signals import signals
from jumpretrain.plots import canvas

CHANNELS = 16
ALPHAS = tuple(np.round(np.arange(0.1, 1.05, 0.1), 2).tolist())
SHOWN = (0.1, 0.3, 0.5, 0.7, 0.9)
JUDGED = 0.5
HALF = ALPHAS.index(JUDGED)
DECAY, STRAIGHT = 0.1, 0.8  # the least fall of log signal a layer, the least R² of a straight line


@dataclass(frozen=True)
class Plan:
    """What a form computes: a network of `depth` layers, one of 3 x `convolutions`."""

    data: str
    size: int
    depth: int
    convolutions: int
    seeds: tuple[int, ...]
    recipes: dict[str, jr.Recipe]


FULL = Plan(
    "fashion_mnist", 5000, 8, 3, tuple(range(5)),
    {"MLP": recipe(30, 0.02, 128), "CNN": recipe(15, 0.02, 64)},
)  # fmt: skip
SMALL = Plan(
    "digits", 300, 5, 1, (0, 1, 2), {"MLP": recipe(6, 0.05, 32), "CNN": recipe(4, 0.05, 32)}
)


def make(asked: Flags) -> Made:
    plan = SMALL if asked.quick else FULL
    jobs = [(asked, plan, name, seed) for name in reversed(plan.recipes) for seed in plan.seeds]
    every = over(asked, measured, jobs, "networks")
    found = {name: [held for net, held in every if net == name] for name in plan.recipes}
    claims = [claim for name, nets in found.items() for claim in judged(name, nets)]

    def stacked(what: str) -> dict[str, NDArray[np.float64]]:
        return {name: np.stack([getattr(n, what) for n in nets]) for name, nets in found.items()}

    return drawn(plan, found, claims), {
        "data": plan.data,
        "training_examples": plan.size,
        "recipes": {name: asdict(chosen) for name, chosen in plan.recipes.items()},
        "networks": f"ReLU, He-normal weights, biases 0 at first; MLP: depth {plan.depth}, "
        f"width {WIDTH}; CNN: 3 stages of {plan.convolutions} 3x3 convolutions, "
        f"{CHANNELS}, {2 * CHANNELS} and {2 * CHANNELS} channels, one linear layer",
        "seeds": plan.seeds,
        "alphas": ALPHAS,
        "relative_signal": stacked("share"),
        "signal": stacked("values"),
        "shares_at_or_below_0": {name: not_above_0(nets) for name, nets in found.items()},
        "slopes": stacked("slopes"),
        "final_train_loss": stacked("loss"),
        "claims": claims,
    }


@dataclass(frozen=True)
class Held:
    """Signal of L layers at A alphas: its share of that at the end, and itself, both (A, L)."""

    share: NDArray[np.float64]
    values: NDArray[np.float64]
    loss: float

    @cached_property
    def fits(self) -> NDArray[np.float64]:
        """Lines through the log signal over depth, where it is above 0 in three layers or more.

        Slopes, in nats a layer, and R² (2, A).
        """
        lines = np.full((2, len(self.share)), np.nan)
        for place, row in enumerate(self.share):
            depth = np.flatnonzero(row > 0)
            if len(depth) > 2:
                height = np.log(row[depth])
                slope, start = np.polyfit(depth, height, 1)
                left = ((height - slope * depth - start) ** 2).sum()
                whole = ((height - height.mean()) ** 2).sum()
                lines[:, place] = slope, 1 - left / whole if whole else np.nan
        return lines

    @property
    def slopes(self) -> NDArray[np.float64]:
        """Change of the log signal from layer to layer (A,)."""
        return self.fits[0]


def plain_cnn(shape: tuple[int, ...], convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    wide = shape[0]
    for stage, channels in enumerate((CHANNELS, 2 * CHANNELS, 2 * CHANNELS)):
        for place in range(convolutions):
            stride = 1 if stage or place else 2
            layers += [nn.Conv2d(wide, channels, 3, stride, 1), nn.ReLU()]
            wide = channels
        layers += [nn.MaxPool2d(2)] if stage < 2 else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, CLASSES))


def measured(asked: Flags, plan: Plan, name: str, seed: int) -> tuple[str, Held]:
    """Train a network and measure the signal of its layers along its path."""
    data = wang.images(plan.data, plan.size, 500)
    build, size = {"MLP": (wang.network, plan.depth), "CNN": (plain_cnn, plan.convolutions)}[name]
    fresh = jr.initialise(partial(build, data.train_x.shape[1:], size), "he")
    task = jr.Task(fresh, data, device=device())
    runs = trained(asked, f"{name}-{seed}", task, plan.recipes[name], [seed], jobs=1)
    path = jr.interpolate(task, runs.initial[0], runs.final[0], ALPHAS, execution=QUIET)
    held = signals(task, path, execution=QUIET)
    loss = float(runs.metrics["train_loss"][0, -1])
    return name, Held(held.relative, held.values, loss)


def judged(name: str, nets: list[Held]) -> Rows:
    slopes, explained = np.array([net.fits[:, HALF] for net in nets]).T
    falls = f"{name}: half way along the path the signal falls with depth, relative to the end's"
    fall = f"slope of the log signal, in nats a layer, at alpha {JUDGED}"
    straight = f"{name}: that fall is close to exponential"
    how = f"R² of the straight line through the log signal at alpha {JUDGED}"
    return [
        within("interpolation-signal", falls, fall, slopes, DECAY, -1),
        within("interpolation-signal", straight, how, explained, STRAIGHT),
    ]


def drawn(plan: Plan, found: dict[str, list[Held]], claims: Rows) -> Figure:
    figure = canvas.new_figure(16, 6)
    *panels_of, last = figure.subplots(1, 3)
    for ax, (name, nets) in zip(panels_of, found.items(), strict=True):
        _depths(ax, name, nets)
    _slopes(last, found)
    panels.head(figure, finding(claims), claims, described(plan, found))
    return figure


def described(plan: Plan, found: dict[str, list[Held]]) -> str:
    low = ", ".join(f"{name} {sum(not_above_0(nets))}" for name, nets in found.items())
    ways = "; ".join(
        f"{name}: {chosen.epochs} epochs, learning rate {chosen.lr}, batches of "
        f"{chosen.batch_size}, final training loss "
        f"{np.median([n.loss for n in found[name]]):.2g} nats (median)"
        for name, chosen in plan.recipes.items()
    )
    return (
        f"{NAMES[plan.data]}, {plan.size} training examples, signal on 2000 of them at most; no "
        f"BatchNorm; He-normal weights, biases 0 at first; MLP: depth {plan.depth}, width "
        f"{WIDTH}; CNN: {3 * plan.convolutions} convolutions and a linear layer; SGD, momentum "
        f".9; {ways}; {len(plan.seeds)} seeds each: thin lines, thick: median. Signal: mean inner "
        "product of a layer's centred outputs at alpha and at the end, over its value at the end; "
        f"shares at or below 0 have no place on the axis (of all alphas and layers {low}), but "
        "count in medians, and are left out of slopes. "
        "Slopes: least squares over layers, means over networks with 95 % intervals."
    )


def not_above_0(nets: list[Held]) -> list[int]:
    """Count the shares at or below 0, over networks and layers, at each alpha."""
    return [int(count) for count in (np.stack([n.share for n in nets]) <= 0).sum(axis=(0, 2))]


def finding(claims: Rows) -> str:
    words = [
        f"{claim['claim'].split(':')[0]} {np.exp(claim['effect']):.2f} ({claim['verdict']})"
        for claim in about(claims, "falls with depth")
    ]
    return f"Half way, signal is multiplied by this from layer to layer: {', '.join(words)}"


def _depths(ax: Axes, name: str, nets: list[Held]) -> None:
    layers = np.arange(1, nets[0].share.shape[1] + 1)
    for alpha, colour in zip(SHOWN, canvas.ramp(len(SHOWN), "viridis_r"), strict=True):
        rows = np.array([net.share[ALPHAS.index(alpha)] for net in nets])
        middle = np.median(rows, axis=0)
        ax.plot(layers, _positive(rows).T, color=colour, lw=0.7, alpha=0.6)
        ax.plot(layers, _positive(middle), ".-", color=colour, lw=2, label=f"alpha {alpha:g}")
    half = JUDGED ** layers.astype(float)
    ax.plot(layers, half, color="0.3", ls=":", lw=1.4, label=f"{JUDGED:g}^layer, from zero")
    ax.set_yscale("log")
    ax.set_xticks(layers)
    slope = np.mean([net.slopes[HALF] for net in nets])
    change = f"at alpha {JUDGED:g} log signal changes by {slope:+.2f} a layer"
    panels.named(
        ax,
        f"{name}, n = {len(nets)}: {change}",
        "layer, from the input",
        "share of the signal at the end (alpha 1)",
    )


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave a gap where a logarithmic axis has no place."""
    return np.where(values > 0, values, np.nan)


def _slopes(ax: Axes, found: dict[str, list[Held]]) -> None:
    styles = zip(found.items(), canvas.colours(len(found)), ("o", "s"), strict=True)
    ends = []
    for (name, nets), colour, mark in styles:
        slopes = np.array([net.slopes for net in nets])[:, :-1]
        summary = [within("", "", "", column, 0) for column in slopes.T]
        means = [row["effect"] for row in summary]
        low, high = np.array([row["interval"] for row in summary], dtype=float).T
        ax.plot(ALPHAS[:-1], means, color=colour, marker=mark, lw=1.8, label=name)
        ax.fill_between(ALPHAS[:-1], low, high, color=colour, alpha=0.2, lw=0)
        ends.append(f"{name} {means[0]:+.2f} and {means[-1]:+.2f}")
    ax.plot(ALPHAS, np.log(ALPHAS), color="0.3", ls=":", lw=1.4, label="log alpha, from zero")
    ax.axhline(0, color="0.8", lw=0.8)
    title = f"slope at alpha {ALPHAS[0]:g} and {ALPHAS[-2]:g}: {', '.join(ends)}"
    panels.named(ax, title, "alpha", "slope of the log signal (nats a layer)")
