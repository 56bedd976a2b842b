"""Where the linear path begins: arXiv:2106.16004 (H9, H5, and H7 for a restart).

Test loss along the line to the trained network, for networks that began at fresh weights, at
weights pre-trained on other images, on random labels (an adversarial initialisation) or at the top
of another network's barrier; and along lines from points where no training began: unrelated fresh
weights, zero and noise. On small CIFAR-10 images with both treatments of BatchNorm statistics, on
a spiral, and on MNIST for unrelated weights. The full form needs `cifar10.npz`,
`fashion_mnist.npz` and `mnist.npz` in the folder that JUMPRETRAIN_DATA names. Redo it:

    .venv/bin/python scripts/figure_vlaar_starts.py            # --quick for a small one
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import vlaar
from figure import flags, save
from judging import between, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from vlaar_starts import (
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
)

LOSSES = {
    vlaar.BARRIER: "",
    "above_ends": ", above both ends",
    "train_rise": ", training loss",
}
"""Barriers that are judged, and what is said of them: the test loss above what was reached unless
said otherwise."""
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
MONOTONE = 0.01  # nats: a training loss that rises less is called monotone
SMALLEST_RISE = 0.1  # nats
SMALLEST_LOSS = 0.02  # of accuracy, by a restart
ORDERED = (
    (IMAGES, vlaar.DECAY, "half", OWN, "Fashion-MNIST",
     "pre-training on Fashion-MNIST brings the fall forward"),
    (IMAGES, vlaar.DECAY, "half", OWN, "other images",
     "pre-training on other images brings the fall forward"),
    (IMAGES, 0.0, vlaar.BARRIER, OWN, "other images",
     "pre-training on other images lowers the barrier"),
    (IMAGES, 0.0, vlaar.BARRIER, "random labels", OWN,
     "pre-training on random labels raises the barrier"),
    (IMAGES, 0.0, vlaar.BARRIER, OWN, TOP, "from the top of a barrier the barrier is lower"),
    (SPIRAL, 0.0, vlaar.BARRIER, OWN, "other spiral",
     "pre-training on another spiral lowers the barrier"),
    (SPIRAL, 0.0, vlaar.BARRIER, "random labels", OWN,
     "pre-training on random labels raises the barrier"),
    (SPIRAL, 0.0, vlaar.BARRIER, OWN, TOP, "from the top of a barrier the barrier is lower"),
)  # fmt: skip


def main() -> None:
    asked = flags(__file__, "where the linear path begins")
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
        "barrier_judged": vlaar.BARRIER,
        "claims": claims,
        "lines": [asdict(line) for line in lines],
    }
    save(drawn(lines, claims, vlaar.describe(asked, data)), asked, numbers)


def values(
    lines: list[Line], data: str, decay: float, start: str, policy: str, measure: str
) -> NDArray[np.float64]:
    return np.array([
        line.accuracy if measure == "accuracy" else vlaar.number(line.found, measure)
        for line in lines
        if (line.data, line.weight_decay, line.start, line.policy) == (data, decay, start, policy)
    ])


def judged(lines: list[Line]) -> list[dict[str, Any]]:
    claims = []
    for data, decay, place, larger, smaller, claim in ORDERED:
        measures = (place,) if place == "half" else tuple(LOSSES)
        cases = [("stored", measure) for measure in measures]
        cases += [("recalibrate", place)] if data == IMAGES else []
        for policy, measure in cases:
            take = partial(values, lines, data, decay, policy=policy, measure=measure)
            what = f"{data}, weight decay {decay:g}, {policy}" if data == IMAGES else data
            what += LOSSES.get(measure, "")
            statistic = f"{measure}, {larger} against {smaller}"
            claims.append(
                between("interpolation-H9", f"{claim} ({what})", statistic,
                        take(start=larger), take(start=smaller))
            )  # fmt: skip
    for data in (IMAGES, SPIRAL, DEFAULT):
        take = partial(values, lines, data, 0.0, policy="stored")
        for measure, loss in LOSSES.items():
            more = take(start=UNRELATED, measure=measure) - take(start=OWN, measure=measure)
            claims.append(
                within(
                    "interpolation-H5",
                    "the barrier is higher from unrelated weights than from its own "
                    f"({data}{loss})",
                    "difference of barriers, in nats",
                    more,
                    SMALLEST_RISE,
                )
            )
    return [
        *claims,
        *map(partial(harmless, lines), (IMAGES, SPIRAL)),
        *map(partial(monotone, lines), (MNIST, SPIRAL)),
    ]


def harmless(lines: list[Line], data: str) -> dict[str, Any]:
    take = partial(values, lines, data, 0.0, policy="stored", measure="accuracy")
    return within(
        "interpolation-H7",
        f"starting at the top of a barrier costs no accuracy ({data})",
        f"gain of accuracy plus {SMALLEST_LOSS}",
        take(start=TOP) - take(start=OWN) + SMALLEST_LOSS,
        0.0,
    )


def monotone(lines: list[Line], data: str) -> dict[str, Any]:
    rises = values(lines, data, 0.0, UNRELATED, "stored", "train_rises")
    return within(
        "interpolation-H5",
        f"the training loss falls monotonically from most unrelated weights ({data})",
        f"share of draws that rise less than {MONOTONE} nats, minus one half",
        (rises < MONOTONE).mean(1) - 0.5,
        0.0,
    )


def drawn(lines: list[Line], claims: list[dict[str, Any]], what: str) -> Figure:
    figure = Figure(figsize=(14, 8.4), layout="constrained")
    axes = figure.subplots(2, 3)
    panels = (
        (IMAGES, vlaar.DECAY, "stored", f"{IMAGES}, weight decay {vlaar.DECAY:g}, interpolated"),
        (IMAGES, 0.0, "stored", f"{IMAGES}, no weight decay, interpolated"),
        (IMAGES, 0.0, "recalibrate", f"{IMAGES}, no weight decay, re-estimated"),
        (SPIRAL, 0.0, "stored", f"{SPIRAL} (MLP 2-64-64-64-2, no BatchNorm)"),
    )
    for ax, (data, decay, policy, title) in zip(axes.flat, panels, strict=False):
        chosen = [line for line in lines if (line.data, line.weight_decay, line.policy)
                  == (data, decay, policy)]  # fmt: skip
        curves(ax, chosen)
        ax.set_title(title, fontsize=10)
    barriers(axes[1, 1], lines)
    accuracies(axes[1, 2], lines)
    for ax in (axes[0, 0], axes[0, 1], axes[1, 0]):
        ax.legend(fontsize=7, frameon=False, ncols=2)
    figure.suptitle(headline(claims), fontsize=11)
    count = len({line.seed for line in lines})
    figure.supxlabel(
        f"n = {count} networks (seeds) a start; thick: means, thin: networks, band: standard "
        f"deviation over {DRAWS} unrelated draws ({FEW_DRAWS} where decayed or re-estimated); "
        f"barrier: {vlaar.BARRIER.replace('_', ' ')} of the test loss;\n{what}; BatchNorm "
        f"statistics interpolated or re-estimated at each state; {tally(claims)}",
        fontsize=8,
    )
    return figure


def curves(ax: Axes, lines: list[Line]) -> None:
    for start, (colour, style) in STYLES.items():
        chosen = [line.found for line in lines if line.start == start]
        if not chosen:
            continue
        losses = np.array([found["test_loss"] for found in chosen])
        alphas = np.linspace(0, 1, losses.shape[1])
        ax.plot(alphas, losses.mean(0), color=colour, ls=style, lw=2, label=start)
        if start == UNRELATED:
            reach = np.mean([found["sd"] for found in chosen], axis=0)
            mean = losses.mean(0)
            ax.fill_between(alphas, mean - reach, mean + reach, color=colour, alpha=0.2, lw=0)
        else:
            ax.plot(alphas, losses.T, color=colour, ls=style, lw=0.5, alpha=0.4)
    ax.set(yscale="log", xlabel="α, from start (0) to trained (1)", ylabel="test loss (nats)")
    vlaar.plain(ax)


def barriers(ax: Axes, lines: list[Line]) -> None:
    cases = (
        (IMAGES, "stored", vlaar.BARRIER, "o", "CIFAR-10, test loss, interpolated"),
        (IMAGES, "recalibrate", vlaar.BARRIER, "s", "the same, re-estimated"),
        (IMAGES, "stored", "train_rise", "D", "CIFAR-10, training loss, interpolated"),
        (SPIRAL, "stored", vlaar.BARRIER, "^", "spiral"),
        (DEFAULT, "stored", vlaar.BARRIER, "v", "spiral, torch's default weights"),
    )
    starts = [start for start in STYLES if start not in {"Fashion-MNIST", "noise", "zero"}]
    for place, start in enumerate(starts):
        for offset, (data, policy, measure, mark, _) in enumerate(cases):
            found = values(lines, data, 0.0, start, policy, measure)
            where = np.full(len(found), place + 0.16 * (offset - 2))
            ax.plot(found, where, mark, color=STYLES[start][0], ms=4.5, alpha=0.7, mec="white")
    for *_, mark, name in cases:
        ax.plot([], [], mark, color="0.4", label=name)
    ax.set_yticks(range(len(starts)), starts)
    ax.set(ylim=(len(starts) + 1.9, -0.6))  # leaves room for the legend
    ax.set(xlabel="barrier: rise above what was reached (nats)")
    ax.set_title("barrier by start, no weight decay", fontsize=10)
    ax.legend(fontsize=7, frameon=False, loc="lower right")


def accuracies(ax: Axes, lines: list[Line]) -> None:
    starts = [OWN, *BEFORE, TOP]
    for place, start in enumerate(starts):
        for decay, mark, shift in ((0.0, "o", -0.15), (vlaar.DECAY, "D", 0.15)):
            found = 100 * values(lines, IMAGES, decay, start, "stored", "accuracy")
            if not len(found):
                continue
            where = np.full(len(found), place + shift)
            ax.plot(found, where, mark, color=STYLES[start][0], ms=5, alpha=0.6, mec="white")
            ax.plot([found.mean()] * 2, [place + shift - 0.14, place + shift + 0.14], "k", lw=1.5)
    for mark, name in (("o", "no weight decay"), ("D", f"weight decay {vlaar.DECAY:g}")):
        ax.plot([], [], mark, color="0.4", label=name)
    ax.set_yticks(range(len(starts)), starts)
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy after training (%)")
    ax.set_title(f"accuracy by start, {IMAGES}; line: mean", fontsize=10)
    ax.legend(fontsize=8, frameon=False)


def headline(claims: list[dict[str, Any]]) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}

    def each(claim: str, where: str) -> str:
        test, _, training = (verdicts[f"{claim} ({where}{loss})"] for loss in LOSSES.values())
        return f"{test} by test, {training} by training loss"

    images = f"{IMAGES}, weight decay 0, stored"
    apart = "the barrier is higher from unrelated weights than from its own"
    free = f"starting at the top of a barrier costs no accuracy ({IMAGES})"
    return (
        "Pre-training on other images lowers the barrier: "
        f"{each('pre-training on other images lowers the barrier', images)}; random labels raise "
        f"it: {each('pre-training on random labels raises the barrier', images)};\nit is higher "
        f"from unrelated weights, on {IMAGES}: {verdicts[f'{apart} ({IMAGES})']}, on a spiral: "
        f"{verdicts[f'{apart} ({SPIRAL})']}; a start at its top costs no accuracy: "
        f"{verdicts[free]}"
    )


if __name__ == "__main__":
    main()
