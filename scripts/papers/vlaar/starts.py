"""Where the linear path begins: arXiv:2106.16004 (H9, H5, and H7 for a restart).

Test loss along the line to the trained network, for networks that began at fresh weights, at
weights pre-trained on other images, on random labels (an adversarial initialisation) or at the top
of the barrier before a trained network; and along lines from points where no training began:
unrelated fresh weights, zero and noise. On small CIFAR-10 images with both treatments of BatchNorm
statistics, on spirals, and on MNIST for unrelated weights.

After a review, having seen the numbers: pre-training is judged with weight decay too, as the
paper's base network has it; restarts, which had begun at the highest point of lines that in three
of five networks have no barrier, begin at tops of .05 nats or more, and their lines are compared
with those climbed; unrelated weights are judged with both treatments of statistics, both weight
decays and both spirals; title and panel of barriers go by those above both ends.

These are nearly 0 by construction where the start is high, as after another spiral (mean test loss
5.64), random labels (5.21 on CIFAR-10) or at tops of barriers (3.29 without decay and 2.43 with,
statistics interpolated). "Other images" are 4,000 more of CIFAR-10's own classes: their start
(test loss 1.37 to 1.43) lies below every end (1.76 to 1.89 with decay, higher without), so that
their line has to climb. The full form needs `cifar10.npz`, `fashion_mnist.npz` and `mnist.npz` in
the folder that JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import tally
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.vlaar import networks as vlaar
from papers.vlaar.start_claims import SHOWN, chosen, judged, named, values
from papers.vlaar.start_networks import (
    BEFORE,
    DEFAULT,
    DRAWS,
    FEW_DRAWS,
    IMAGES,
    MNIST,
    MNIST_WAY,
    OWN,
    SPIRAL,
    TOP,
    UNRELATED,
    WAY,
    Line,
    sampled,
    smallest_top,
)

STYLES = {
    OWN: ("#000000", "-"),
    "Fashion-MNIST": ("#E69F00", "-"),
    "other images": ("#009E73", "-"),
    "other spiral": ("#009E73", "-"),
    "random labels": ("#D55E00", "-"),
    TOP: ("#CC79A7", "-"),
    UNRELATED: ("#0072B2", "--"),
    "noise": ("#56B4E9", ":"),
    "zero": ("0.55", ":"),
}


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    lines = sampled(asked, data)
    claims = judged(lines)
    numbers = {
        "data": {name: list(part.history) for name, part in data.items()},
        "recipe": asdict(vlaar.recipe(asked.quick, 0.0)),
        "epochs_of_pretraining": BEFORE,
        "spiral": asdict(WAY),
        "mnist": asdict(MNIST_WAY),
        "seeds": list(vlaar.seeds(asked)),
        "barrier_shown": SHOWN,
        "smallest_top": smallest_top(asked),
        "claims": claims,
        "lines": [asdict(line) for line in lines],
    }
    return drawn(asked, lines, claims, vlaar.describe(asked, data)), numbers


def drawn(asked: Flags, lines: list[Line], claims: list[dict[str, Any]], what: str) -> Figure:
    figure = Figure(figsize=(15, 9), layout="constrained")
    upper, lower = figure.add_gridspec(2, 1)
    above = upper.subgridspec(1, 3).subplots()
    below = lower.subgridspec(1, 4, width_ratios=(1, 1, 1.3, 1.1)).subplots()
    panels = (
        (IMAGES, vlaar.DECAY, "stored", f"{IMAGES}, weight decay {vlaar.DECAY:g}, interpolated"),
        (IMAGES, 0.0, "stored", f"{IMAGES}, no weight decay, interpolated"),
        (IMAGES, 0.0, "recalibrate", f"{IMAGES}, no weight decay, re-estimated"),
        (SPIRAL, 0.0, "stored", f"{SPIRAL}, He's weights"),
    )
    for ax, (*place, title) in zip((*above, below[0]), panels, strict=True):
        curves(ax, [line for line in lines
                    if [line.data, line.weight_decay, line.policy] == place], STYLES)  # fmt: skip
        ax.set_title(title, fontsize=10)
        ax.legend(fontsize=7, frameon=False, ncols=1 if SPIRAL in place else 2)
    for data in (DEFAULT, MNIST):
        curves(below[1], [line for line in lines if line.data == data], (OWN, UNRELATED))
        first = np.mean([line.found["test_loss"][0] for line in lines
                         if line.data == data and line.start == OWN])  # fmt: skip
        name = data.partition(",")[0]
        below[1].annotate(name, (0, first), (0, -20), textcoords="offset points", fontsize=8)
    below[1].set_title(f"{DEFAULT}; {MNIST}", fontsize=10)
    barriers(below[2], lines)
    accuracies(below[3], lines)
    figure.suptitle(headline(lines, claims), fontsize=10.5)
    count = len({line.seed for line in lines})
    tops = {
        decay: len(chosen(lines, IMAGES, decay, TOP, "stored")) for decay in (0.0, vlaar.DECAY)
    }
    figure.supxlabel(
        f"n = {count} networks (seeds) a start; from the top of a barrier only those whose line "
        f"has one of {smallest_top(asked):g} nats above both ends: {IMAGES} {tops[0.0]} without "
        f"decay (line from unrelated weights), {tops[vlaar.DECAY]} with (own line);\n"
        "thick: means, thin: networks, band: standard deviation over "
        f"{DRAWS} unrelated draws ({FEW_DRAWS} where decayed or re-estimated); statistics of "
        f"BatchNorm interpolated or re-estimated at each state;\n"
        f"{what}; MLPs 2-64-64-64-2 and 784-100-100-10; {tally(claims)}",
        fontsize=8,
    )
    return figure


def curves(ax: Axes, lines: list[Line], starts: Iterable[str]) -> None:
    for start in starts:
        colour, style = STYLES[start]
        of = [line.found for line in lines if line.start == start]
        if not of:
            continue
        losses = np.array([found["test_loss"] for found in of])
        alphas = np.linspace(0, 1, losses.shape[1])
        ax.plot(alphas, losses.mean(0), color=colour, ls=style, lw=2, label=start)
        if start == UNRELATED:
            reach = np.mean([found["sd"] for found in of], axis=0)
            mean = losses.mean(0)
            ax.fill_between(alphas, mean - reach, mean + reach, color=colour, alpha=0.2, lw=0)
        else:
            ax.plot(alphas, losses.T, color=colour, ls=style, lw=0.5, alpha=0.4)
    ax.set(yscale="log", xlabel="α, from start (0) to trained (1)", ylabel="test loss (nats)")
    vlaar.plain(ax)


def barriers(ax: Axes, lines: list[Line]) -> None:
    cases = (
        (IMAGES, vlaar.DECAY, "stored", "o", f"{IMAGES}, weight decay {vlaar.DECAY:g}"),
        (IMAGES, 0.0, "stored", "D", f"{IMAGES}, no weight decay"),
        (IMAGES, 0.0, "recalibrate", "s", "the same, re-estimated"),
        (SPIRAL, 0.0, "stored", "^", f"{SPIRAL}, He's weights"),
        (DEFAULT, 0.0, "stored", "v", DEFAULT),
    )
    starts = [start for start in STYLES if start not in {"noise", "zero"}]
    for place, start in enumerate(starts):
        for offset, (*case, mark, _) in enumerate(cases):
            data, decay, policy = case
            found = values(lines, data, decay, start, policy, SHOWN)
            where = np.full(len(found), place + 0.16 * (offset - 2))
            ax.plot(found, where, mark, color=STYLES[start][0], ms=4.5, alpha=0.7, mec="white")
    for *_, mark, name in cases:
        ax.plot([], [], mark, color="0.4", label=name)
    ax.set_yticks(range(len(starts)), starts)
    ax.set(ylim=(len(starts) + 1.9, -0.6), xlabel="test loss above both ends (nats)")
    ax.set_title("barrier by start", fontsize=10)
    ax.legend(fontsize=7, frameon=False, loc="lower right")


def accuracies(ax: Axes, lines: list[Line]) -> None:
    starts = [OWN, *BEFORE, TOP]
    for place, start in enumerate(starts):
        for decay, mark, shift in ((0.0, "o", -0.15), (vlaar.DECAY, "D", 0.15)):
            nets = chosen(lines, IMAGES, decay, start, "stored")
            if not nets:
                continue
            found = np.array([100 * line.accuracy for line in nets if line.accuracy is not None])
            where = np.full(len(found), place + shift)
            ax.plot(found, where, mark, color=STYLES[start][0], ms=5, alpha=0.6, mec="white")
            ax.plot([found.mean()] * 2, [place + shift - 0.14, place + shift + 0.14], "k", lw=1.5)
    for mark, name in (("o", "no weight decay"), ("D", f"weight decay {vlaar.DECAY:g}")):
        ax.plot([], [], mark, color="0.4", label=name)
    ax.set_yticks(range(len(starts)), starts)
    ax.set_ylim(len(starts) + 0.4, -0.6)  # leaves room for the legend
    ax.set(xlabel="test accuracy after training (%)")
    ax.set_title(f"accuracy by start, {IMAGES}; line: mean", fontsize=10)
    ax.legend(fontsize=8, frameon=False, loc="lower right")


def headline(lines: list[Line], claims: list[dict[str, Any]]) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}
    decay, free = vlaar.DECAY, "starting at the top of a barrier costs no accuracy"

    def on(claim: str, data: str, decay: float, policy: str = "stored") -> str:
        return verdicts[f"{claim} ({named(data, decay, policy, SHOWN)})"]

    def height(start: str, decay: float) -> str:
        return f"{values(lines, IMAGES, decay, start, 'stored', SHOWN).mean():.2f}"

    images = "pre-training on other images lowers the barrier"
    far = "the barrier is higher from unrelated weights than from its own"
    cheap = ", ".join(
        f"{verdicts.get(f'{free} ({where})', 'not judged')} ({where})"
        for where in (f"{IMAGES}, weight decay 0", f"{IMAGES}, weight decay {decay:g}", SPIRAL)
    )
    return (
        "Barriers above both ends: pre-training on other images lowers them: "
        f"{on(images, IMAGES, decay)} at weight decay {decay:g} ({height(OWN, decay)} to "
        f"{height('other images', decay)} nats), {on(images, IMAGES, 0.0)} without decay "
        f"({height(OWN, 0.0)} to {height('other images', 0.0)});\n"
        f"a start at the top of one costs no accuracy: {cheap};\n"
        f"from unrelated weights they are higher: on {IMAGES} "
        f"{on(far, IMAGES, 0.0)} without decay ({on(far, IMAGES, 0.0, 'recalibrate')} "
        f"re-estimated), {on(far, IMAGES, decay)} with ({on(far, IMAGES, decay, 'recalibrate')}); "
        f"on a spiral from He's weights {on(far, SPIRAL, 0.0)}, from torch's "
        f"{on(far, DEFAULT, 0.0)}"
    )
