"""How much signal reaches each layer along the linear path: released code of arXiv:2210.01019.

A deep fully connected and a plain convolutional ReLU network without BatchNorm: share of its
signal at the end that each layer holds, against depth, at several alphas; and the slope of its
logarithm against alpha, beside log alpha, which degree counting gives for a path from weights
that are all zero.

Changed after a review that had seen the numbers: thick lines are medians over all networks, where
one network with a share at or below 0 broke them before. Claims are as they were.
"""

from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from evidence import panels
from evidence.cells import QUIET, over, recipe, trained
from evidence.figure import Flags, Made, device
from evidence.judging import judge, within
from evidence.rows import Array, Row, Rows, about
from matplotlib.axes import Axes
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
Signals = dict[str, Array]
"""Of n networks with L layers at A alphas: shares of the signal at the end (n, A, L), what they
are shares of, slopes over depth and R² (n, A), and final losses (n,)."""


@dataclass(frozen=True)
class Plan:
    """What a form computes: a network of `depth` layers, one of 3 x `convolutions`."""

    data: str
    size: int
    depth: int
    convolutions: int
    seeds: tuple[int, ...]
    recipes: dict[str, jr.Recipe]


LONG = {"MLP": recipe(30, 0.02, 128), "CNN": recipe(15, 0.02, 64)}
BRIEF = {"MLP": recipe(6, 0.05, 32), "CNN": recipe(4, 0.05, 32)}
FULL = Plan("fashion_mnist", 5000, 8, 3, tuple(range(5)), LONG)
SMALL = Plan("digits", 300, 5, 1, (0, 1, 2), BRIEF)


def make(asked: Flags) -> Made:
    plan = SMALL if asked.quick else FULL
    found = {name: sampled(asked, plan, name) for name in plan.recipes}
    claims = [claim for name, nets in found.items() for claim in judged(name, nets)]
    rows = [(_depths, *one) for one in found.items()]
    figure = panels.sheet((16, 6), (1, 3), [*rows, (_slopes, found)])
    falls = zip(found, about(claims, "falls with depth"), strict=True)
    said = [f"{name} {np.exp(one['effect']):.2f} ({one['verdict']})" for name, one in falls]
    finding = f"Half way, signal is multiplied by this from layer to layer: {', '.join(said)}"
    panels.head(figure, finding, claims, described(plan, found))
    names = "relative_signal", "signal", "slopes", "final_train_loss"
    facts = {"data": plan.data, "training_examples": plan.size, "seeds": plan.seeds}
    facts |= {what: {name: nets[what] for name, nets in found.items()} for what in names}
    return figure, facts | {
        "recipes": {name: asdict(chosen) for name, chosen in plan.recipes.items()},
        "networks": f"ReLU, He-normal weights, biases 0 at first; MLP: depth {plan.depth}, "
        f"width {WIDTH}; CNN: 3 stages of {plan.convolutions} 3x3 convolutions, "
        f"{CHANNELS}, {2 * CHANNELS} and {2 * CHANNELS} channels, one linear layer",
        "alphas": ALPHAS,
        "shares_at_or_below_0": {name: not_above_0(nets) for name, nets in found.items()},
        "claims": claims,
    }


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


def sampled(asked: Flags, plan: Plan, name: str) -> Signals:
    rows = over(asked, measured, [(asked, plan, name, seed) for seed in plan.seeds], name)
    return {what: np.stack([row[what] for row in rows]) for what in rows[0]}


def measured(asked: Flags, plan: Plan, name: str, seed: int) -> Row:
    """Train a network and measure the signal of its layers along its path."""
    data = wang.images(plan.data, plan.size, 500)
    build, size = {"MLP": (wang.network, plan.depth), "CNN": (plain_cnn, plan.convolutions)}[name]
    fresh = jr.initialise(partial(build, data.train_x.shape[1:], size), "he")
    task = jr.Task(fresh, data, device=device())
    runs = trained(asked, f"{name}-{seed}", task, plan.recipes[name], [seed], jobs=1)
    path = jr.interpolate(task, runs.initial[0], runs.final[0], ALPHAS, execution=QUIET)
    held = signals(task, path, execution=QUIET)
    slopes, straight = np.transpose([fitted(row) for row in held.relative])
    found = {"relative_signal": held.relative, "signal": held.values}
    last = float(runs.metrics["train_loss"][0, -1])
    return found | {"slopes": slopes, "straight": straight, "final_train_loss": last}


def fitted(shares: Array) -> tuple[float, float]:
    """Fit a line to the log signal over 3 layers or more above 0: nats a layer, and R²."""
    depth = np.flatnonzero(shares > 0)
    if len(depth) < 3:
        return np.nan, np.nan
    height = np.log(shares[depth])
    slope, start = np.polyfit(depth, height, 1)
    left = ((height - slope * depth - start) ** 2).sum()
    whole = ((height - height.mean()) ** 2).sum()
    return slope, 1 - left / whole if whole else np.nan


def judged(name: str, nets: Signals) -> Rows:
    falls = f"{name}: half way along the path the signal falls with depth, relative to the end's"
    fall = f"slope of the log signal, in nats a layer, at alpha {JUDGED}"
    straight = f"{name}: that fall is close to exponential"
    how = f"R² of the straight line through the log signal at alpha {JUDGED}"
    slopes, fits = nets["slopes"][:, HALF], nets["straight"][:, HALF]
    rows = (falls, fall, slopes, DECAY, -1), (straight, how, fits, STRAIGHT)
    return judge("interpolation-", [("signal", *row) for row in rows])


def described(plan: Plan, found: dict[str, Signals]) -> str:
    low = ", ".join(f"{name} {sum(not_above_0(nets))}" for name, nets in found.items())
    ways = "; ".join(
        f"{name}: {chosen.epochs} epochs, learning rate {chosen.lr}, batches of "
        f"{chosen.batch_size}, final training loss "
        f"{np.median(found[name]['final_train_loss']):.2g} nats (median)"
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


def not_above_0(nets: Signals) -> list[int]:
    """Count the shares at or below 0, over networks and layers, at each alpha."""
    return (nets["relative_signal"] <= 0).sum(axis=(0, 2)).tolist()


def _depths(ax: Axes, name: str, nets: Signals) -> None:
    layers = np.arange(1, nets["signal"].shape[2] + 1)
    for alpha, colour in zip(SHOWN, canvas.ramp(len(SHOWN), "viridis_r"), strict=True):
        rows = nets["relative_signal"][:, ALPHAS.index(alpha)]
        panels.lines(ax, layers, rows, colour, f"alpha {alpha:g}", np.median, ".-", lw=2)
    half = JUDGED ** layers.astype(float)
    ax.plot(layers, half, color="0.3", ls=":", lw=1.4, label=f"{JUDGED:g}^layer, from zero")
    ax.set_yscale("log", nonpositive="mask")  # a gap where a share has no place
    ax.set_xticks(layers)
    slope = nets["slopes"][:, HALF].mean()
    change = f"at alpha {JUDGED:g} log signal changes by {slope:+.2f} a layer"
    sides = "layer, from the input", "share of the signal at the end (alpha 1)"
    panels.label(ax, *sides, f"{name}, n = {len(rows)}: {change}", fontsize=9)


def _slopes(ax: Axes, found: dict[str, Signals]) -> None:
    styles = zip(found.items(), canvas.colours(len(found)), ("o", "s"), strict=True)
    ends = []
    for (name, nets), colour, mark in styles:
        summary = [within("", "", "", column, 0) for column in nets["slopes"].T[:-1]]
        means = [row["effect"] for row in summary]
        low, high = np.array([row["interval"] for row in summary], dtype=float).T
        ax.plot(ALPHAS[:-1], means, color=colour, marker=mark, lw=1.8, label=name)
        ax.fill_between(ALPHAS[:-1], low, high, color=colour, alpha=0.2, lw=0)
        ends.append(f"{name} {means[0]:+.2f} and {means[-1]:+.2f}")
    ax.plot(ALPHAS, np.log(ALPHAS), color="0.3", ls=":", lw=1.4, label="log alpha, from zero")
    ax.axhline(0, color="0.8", lw=0.8)
    title = f"slope at alpha {ALPHAS[0]:g} and {ALPHAS[-2]:g}: {', '.join(ends)}"
    panels.label(ax, "alpha", "slope of the log signal (nats a layer)", title, fontsize=9)
