"""What a jump does to networks with BatchNorm, with stale and with re-estimated statistics.

Released code of arXiv:2102.00485 scores jumps with the running statistics of the optimum. Here
every snapshot is scored with those of its state and, beside it, with statistics re-estimated on
the training examples; networks learnt true labels, half redrawn ones or redrawn ones. H12 is
judged by the size of the gap between groups; the claim on the gap with its sign was added in a
review, after numbers were seen.

The small form needs digits only; the other one Fashion-MNIST, in the folder that the environment
variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import between, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.fort import networks as fort
from papers.horoi.batchnorm_networks import (
    ENDINGS,
    SHARES,
    Found,
    Plan,
    apart,
    at_jump,
    closed,
    epoch_one,
    gap,
    largest,
    losses,
    measured,
    shrunk,
    stale_share,
)

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.plots import canvas

SHRUNK = math.log(1.25)  # the least factor by which a gap between groups shrinks
HALF = 0.5  # the least share of a jump's loss that counts as most of it
AGREED = math.log(1.1)  # the largest factor between evaluations that agree
NAMES = {
    "good": "true labels",
    "half": "half of the labels redrawn",
    "memorise": "all labels redrawn",
}
COLOURS = dict(zip(SHARES, canvas.colours(len(SHARES)), strict=True))
LINES = {"stale": "--", "recalibrated": "-"}


FULL = Plan(
    data="fashion", sizes=(500, 500),
    training=fort.recipe(50, 0.05, 16, "sgd", schedule="cosine"),
    retraining=jr.Recipe(epochs=3, lr=0.01, batch_size=16),
    step_sizes=(0.25, 0.5, 0.75, 1.0), directions=3, seeds=5,
)  # fmt: skip
QUICK = Plan(
    data="digits", sizes=(200, 100),
    training=fort.recipe(20, 0.05, 16, "sgd", schedule="cosine"),
    retraining=jr.Recipe(epochs=2, lr=0.01, batch_size=16),
    step_sizes=(0.5, 1.0), directions=2, seeds=3,
)  # fmt: skip


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    cases = [(asked, plan, group, seed) for group in SHARES for seed in range(plan.seeds)]
    found = spread(measured, cases, jr.Execution(n_jobs=asked.jobs), f"{len(cases)} networks")
    claims = judged(plan, found)
    return drawn(plan, found, claims), {
        "data": f"{plan.data}, {plan.sizes[0]} training and {plan.sizes[1]} test examples",
        "network": plan.network,
        "plan": asdict(plan),
        "groups": NAMES,
        "seeds": list(range(plan.seeds)),
        "claims": claims,
        "largest_at_the_jump": {
            kind: float(np.mean([at_jump(one, kind) for one in found])) for kind in ENDINGS
        },
        "networks": [one | {"metrics": shown(one)} for one in found],
    }


def shown(one: Found) -> dict[str, list[list[float]]]:
    """Keep the losses of one network's jumps, which are what is drawn."""
    return {name: value for name, value in one["metrics"].items() if "loss" in name}


def judged(plan: Plan, found: list[Found]) -> list[Found]:
    top = max(plan.step_sizes)
    how = "|log ratio of the largest {} loss of the jumps, {} over good, same seed|, {}"
    change = "stale less recalibrated"
    claims = [
        within(
            "horoi-H12",
            "recalibrating BatchNorm statistics at the jump shrinks the gap between memorising "
            "and generalising networks in the largest test loss",
            how.format("test", "memorise", change), shrunk(found, "memorise"), SHRUNK,
        ),
        within(
            "horoi-H12",
            "where half of the labels were redrawn, recalibrating shrinks the gap to generalising "
            "networks in the largest test loss",
            how.format("test", "half", change), shrunk(found, "half"), SHRUNK,
        ),
        within(
            "horoi-H12",
            "recalibrating shrinks the gap between memorising and generalising networks in the "
            "largest training loss",
            how.format("training", "memorise", change), shrunk(found, "memorise", "train"), SHRUNK,
        ),
    ]  # fmt: skip
    claims += [
        between(
            "horoi-H12",
            f"memorising networks have the larger largest training loss, {kind} statistics",
            f"largest training loss of the jumps, {kind}, memorise against good",
            *([largest(one, kind, "train") for one in found if one["group"] == group]
              for group in ("memorise", "good")),
        )
        for kind in ENDINGS
    ]  # fmt: skip
    return [
        *claims,
        within(
            "horoi-H12",
            f"at jumps of {top:g} filter norms, half of the rise of the training loss or more is "
            "stale statistics",
            "1 less the rise, recalibrated over stale", [stale_share(one) for one in found], HALF,
        ),
        within(
            "horoi-H12",
            "after one epoch of retraining, stale and recalibrated test loss agree within 10 %",
            "log 1.1 less |log ratio of the test losses after an epoch|, mean over jumps",
            [AGREED - apart(one)[epoch_one(one)] for one in found], 0,
        ),
        within(
            "horoi-H12",
            "with its sign, the gap between memorising and generalising networks in the largest "
            "test loss shrinks by recalibrating (added in a review)",
            "log ratio of the largest test loss of the jumps, memorise over good, same seed, "
            f"{change}", closed(found, "memorise"), SHRUNK,
        ),
    ]  # fmt: skip


def drawn(plan: Plan, found: list[Found], claims: list[Found]) -> Figure:
    figure = canvas.new_figure(15.5, 9.4)
    panels = figure.subplots(2, 2)
    for ax, split, name in zip(panels[0], ("test", "train"), ("Test", "Training"), strict=True):
        after_jump(ax, found, split)
        ax.set_ylabel(f"{name.lower()} loss at the jump (nats)")
        shares = [stale_share(one, split) for one in found]
        canvas.title(
            ax,
            f"{name} loss: {np.mean(shares):.0%} of its rise at {max(plan.step_sizes):g} is stale "
            "statistics (dashed)",
        )
    gaps(panels[1, 0], found)
    repair(panels[1, 1], plan, found)
    figure.suptitle(f"{finding(found, claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    accuracy = {
        group: np.mean([o["optimum"]["test_accuracy"] for o in found if o["group"] == group])
        for group in SHARES
    }
    lost = sum(status != "ok" for one in found for status in one["status"])
    canvas.note(
        figure,
        f"{'digits' if plan.data == 'digits' else 'Fashion-MNIST at 14x14'}, {plan.sizes[0]} "
        f"training and {plan.sizes[1]} test examples; {plan.network} with BatchNorm; n = "
        f"{plan.seeds} networks a group (seeds 0 to {plan.seeds - 1}): thin lines, dots; thick: "
        f"mean. SGD, momentum .9, batch {plan.training.batch_size}: {plan.training.epochs} epochs "
        f"at lr {plan.training.lr:g}, cosine; {plan.directions} directions, filter-normalised; "
        f"{plan.retraining.epochs} epochs of retraining at lr {plan.retraining.lr:g}; "
        f"{lost} runs diverged. Test accuracy: "
        + ", ".join(f"{NAMES[group]} {value:.0%}" for group, value in accuracy.items())
        + ". Recalibrated: statistics re-estimated on the training examples. Running statistics "
        "have momentum .1. Losses are means over directions.",
    )
    return figure


def finding(found: list[Found], claims: list[Found]) -> str:
    stale, recalibrated = (
        math.exp(float(np.mean(gap(found, "memorise", kind)))) for kind in ENDINGS
    )
    share = np.mean([stale_share(one) for one in found])
    left = math.exp(float(np.mean([apart(one)[epoch_one(one)] for one in found])))
    return (
        f"That recalibrating BatchNorm at the jump shrinks the gap in the largest test loss is "
        f"{claims[0]['verdict']} by its size, {claims[-1]['verdict']} with its sign:\n"
        f"memorising over generalising networks ×{stale:.2f} before, ×{recalibrated:.2f} after "
        "(geometric means)\n"
        f"Stale statistics make {share:.0%} of the rise of the training loss at the largest "
        f"jumps; after an epoch of retraining evaluations are ×{left:.2f} apart"
    )


def after_jump(ax: Axes, found: list[Found], split: str) -> None:
    for group, colour in COLOURS.items():
        nets = [one for one in found if one["group"] == group]
        for kind, style in LINES.items():
            curves = []
            for one in nets:
                sizes = np.array(one["step_size"])
                jumps = losses(one, kind, split)[:, 0]
                means = [jumps[sizes == size].mean() for size in np.unique(sizes)]
                curves.append([one["optimum"][f"{split}_loss{ENDINGS[kind]}"], *means])
            across = [0.0, *np.unique(nets[0]["step_size"])]
            ax.plot(across, np.transpose(curves), style, color=colour, lw=0.7, alpha=0.4)
            ax.plot(across, np.mean(curves, axis=0), f"o{style}", color=colour, lw=2.4, ms=5)
    ax.set(yscale="log", xlabel="step size of the jump (filter norms; 0: the optimum)")
    canvas.plain(ax.yaxis)


def gaps(ax: Axes, found: list[Found]) -> None:
    pairs = [(split, poor) for split in ("test", "train") for poor in ("half", "memorise")]
    for column, (split, poor) in enumerate(pairs):
        logs = np.array([gap(found, poor, kind, split) for kind in ENDINGS])
        ends = 3 * column + np.arange(2)
        ax.plot(ends, np.exp(logs), "o-", color=COLOURS[poor], lw=1, ms=5, alpha=0.6)
        ax.plot(ends, np.exp(logs.mean(axis=1)), "_", color="black", ms=24, mew=2.5)
        words = f"{'training' if split == 'train' else split} loss,\n{NAMES[poor]}"
        ax.text(
            ends.mean(), -0.085, words, transform=ax.get_xaxis_transform(), ha="center", va="top"
        )
    ax.axhline(1, color="0.4", lw=0.8)
    places = [3 * column + end for column in range(len(pairs)) for end in range(2)]
    ax.set_xticks(places, ["stale", "recalib."] * len(pairs))
    ax.margins(y=0.12)
    ax.set(yscale="log", ylabel="largest loss of the jumps, over that of true labels")
    canvas.plain(ax.yaxis)
    canvas.title(ax, "Gap between groups in the largest loss, same seed (bars: geometric means)")


def repair(ax: Axes, plan: Plan, found: list[Found]) -> None:
    steps = np.array(found[0]["steps"])
    for group, colour in COLOURS.items():
        curves = np.exp([apart(one) for one in found if one["group"] == group])
        ax.plot(steps, curves.T, color=colour, lw=0.7, alpha=0.4)
        ax.plot(steps, curves.mean(axis=0), "o-", color=colour, lw=2.4, ms=5, label=NAMES[group])
    ax.set_xscale("symlog", base=2, linthresh=1)
    ax.set_xticks(steps, [f"{step}" for step in steps])
    ax.set(
        yscale="log",
        xlabel="steps of retraining",
        ylabel="stale and recalibrated test loss: factor apart",
    )
    ax.axhline(math.exp(AGREED), color="0.4", lw=0.8, ls=":")
    epoch = plan.retraining.batches(plan.sizes[0])
    ax.axvline(epoch, color="0.4", lw=0.8)
    ax.text(epoch, 0.97, "one epoch ", transform=ax.get_xaxis_transform(), ha="right", va="top")
    ax.legend(fontsize=10, frameon=False, loc="lower left")
    canvas.plain(ax.yaxis)
    canvas.title(ax, "How fast retraining repairs the statistics (dotted: 10 % apart)")
