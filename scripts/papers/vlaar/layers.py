"""Which blocks remember their initialisation: arXiv:2106.16004 (H10, H11, H12).

Test loss as one block at a time goes from its initial to its trained state while all others stay
trained, for three ways of treating the data; and what re-initialising one block of a trained
network and training all of it again does to its accuracy. After a review, having seen the numbers,
the place where the whole path falls was taken from a finer grid near its end and from re-estimated
statistics, as the earlier grid of steps of .02 had it at its last point in all base and augmented
networks; it is judged in alpha, as before, and as the share of the way that is left. The full form
needs `cifar10.npz` and `fashion_mnist.npz` in the folder that JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import between, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from papers.vlaar import networks as vlaar
from papers.vlaar.blocks import FINE, accuracy, excess, falls, layered, renewed

import jumpretrain as jr
from jumpretrain.execution.execution import spread

CONDITIONS = ("base", "half", "augmented")
AGAIN = ("none", "B1", "B2", "B3", "fc")
"""Blocks that are re-initialised; `none` is trained again as it is."""
COLOURS = {
    "all": "#000000",
    "stem": "0.6",
    "B1": "#E69F00",
    "B2": "#D55E00",
    "B3": "#0072B2",
    "fc": "#009E73",
}
TITLES = {
    "base": "all of the data",
    "half": "half of the data",
    "augmented": "cropped and mirrored",
}
SMALLEST_EXCESS = 0.1  # nats, of the mean test loss on a path above its last value
GAIN = 0.01  # of accuracy over training from scratch, that would be one
SHARE = 0.25  # of the blocks' range that a change of the data may shift a block
DELAY = 0.1  # of the fall of the whole path, in alpha
FACTOR = 2.0  # of the way that is left when the whole path falls


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    run = partial(spread, execution=jr.Execution(n_jobs=asked.jobs))
    seeds = vlaar.seeds(asked)
    jobs = [(asked, data[name], name, seed) for name, seed in product(CONDITIONS, seeds)]
    rows = run(layered, jobs, label="layer by layer")
    jobs = [(asked, data["base"], block, seed) for block, seed in product(AGAIN, seeds)]
    again = run(renewed, jobs, label="trained again")
    claims = judged(rows, again)
    numbers = {
        "data": {name: list(data[name].history) for name in CONDITIONS},
        "recipe": asdict(vlaar.recipe(asked.quick, vlaar.DECAY)),
        "stages": vlaar.STAGES,
        "seeds": list(seeds),
        "claims": claims,
        "networks": rows,
        "trained_again": again,
    }
    return drawn(rows, again, claims, vlaar.describe(asked, data)), numbers


def judged(rows: list[dict[str, Any]], again: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*sensitivity(rows), *renewal(again), *robustness(rows)]


def sensitivity(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    claims = []
    for policy, early, late in product(vlaar.POLICIES, ("B1", "B2"), ("B3", "fc")):
        claims.append(
            within(
                "interpolation-H10",
                f"{early} is more sensitive to its initialisation than {late} ({policy})",
                "difference of the mean excess test loss, in nats",
                excess(rows, early, policy) - excess(rows, late, policy),
                SMALLEST_EXCESS,
            )
        )
    return claims


def renewal(again: list[dict[str, Any]]) -> list[dict[str, Any]]:
    scratch = np.array([row["scratch"] for row in again if row["block"] == "none"])
    after = {block: accuracy(again, "block", block) for block in AGAIN}
    claims = [
        within(
            "interpolation-H11",
            f"re-initialising {block} and training again gains nothing over scratch",
            f"loss of accuracy plus {GAIN}",
            scratch - after[block] + GAIN,
            0.0,
        )
        for block in AGAIN[1:]
    ]
    worst = (after["B1"] + after["B2"]) / 2 - after["B3"]
    what = "accuracy of B1 and B2 minus that of B3"
    claim = "re-initialising the last block does worst"
    return [*claims, within("interpolation-H11", claim, what, worst, 0.0)]


def robustness(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    base, half, more = (accuracy(rows, "condition", name) for name in CONDITIONS)
    name, what = "interpolation-H12", "test accuracy"
    claims = [
        between(name, "half of the data lowers accuracy", what, base, half),
        between(name, "augmentation raises accuracy", what, more, base),
    ]
    stages = list(vlaar.STAGES)
    first = np.array([excess(rows, stage) for stage in stages])
    for condition in CONDITIONS[1:]:
        changed = np.array([excess(rows, stage, condition=condition) for stage in stages])
        shift = np.abs(changed - first).mean(0) / np.ptp(first, axis=0)
        claims += [
            within(
                name,
                f"{TITLES[condition]}: layer-wise paths change little",
                f"{SHARE} minus the mean shift of the excess as a share of its range over blocks",
                SHARE - shift,
                0.0,
            ),
            *(placed(rows, condition, policy) for policy in vlaar.POLICIES),
            left(rows, condition),
        ]
    return claims


def placed(rows: list[dict[str, Any]], condition: str, policy: str) -> dict[str, Any]:
    shift = np.abs(falls(rows, condition, policy) - falls(rows, "base", policy))
    return within(
        "interpolation-H12",
        f"{TITLES[condition]}: the whole path falls at the same place ({policy})",
        f"{DELAY} minus the shift of the half fall, in alpha",
        DELAY - shift,
        0.0,
    )


def left(rows: list[dict[str, Any]], condition: str) -> dict[str, Any]:
    """Judge the place of the fall by what is left of the way, told apart down to a grid step."""
    ways = [np.maximum(1 - falls(rows, kind, "stored"), FINE) for kind in (condition, "base")]
    return within(
        "interpolation-H12",
        f"{TITLES[condition]}: as much of the way is left when the whole path falls (stored)",
        f"log {FACTOR:g} minus the size of the log ratio of 1 - alpha at the half fall",
        np.log(FACTOR) - np.abs(np.log(ways[0] / ways[1])),
        0.0,
    )


def drawn(
    rows: list[dict[str, Any]],
    again: list[dict[str, Any]],
    claims: list[dict[str, Any]],
    what: str,
) -> Figure:
    figure = Figure(figsize=(14, 8.2), layout="constrained")
    axes = figure.subplots(2, 3)
    panels = (
        ("base", "stored", "BatchNorm statistics interpolated"),
        ("base", "recalibrate", "BatchNorm statistics re-estimated"),
        ("half", "stored", "half of the data, interpolated"),
        ("augmented", "stored", "cropped and mirrored, interpolated"),
    )
    places = (axes[0, 0], axes[0, 1], axes[1, 0], axes[1, 1])
    losses = [
        found["test_loss"]
        for row in rows
        for policy in vlaar.POLICIES
        for found in row.get(policy, {}).values()
    ]
    for ax, (condition, policy, title) in zip(places, panels, strict=True):
        curves(ax, [row[policy] for row in rows if row["condition"] == condition])
        ax.set(yscale="log", ylim=(0.95 * np.min(losses), 1.05 * np.max(losses)))
        vlaar.plain(ax)
        reached = 100 * accuracy(rows, "condition", condition).mean()
        place = falls(rows, condition, policy).mean()
        ax.set_title(
            f"{title}:\naccuracy {reached:.1f} %, half fall of all {place:.3f}", fontsize=9
        )
    axes[0, 0].legend(fontsize=8, frameon=False, title="moves", title_fontsize=8, ncols=2)
    sensitivities(axes[0, 2], rows)
    renewals(axes[1, 2], again)
    figure.suptitle(headline(rows, claims), fontsize=11)
    count = len({row["seed"] for row in rows})
    figure.supxlabel(
        f"n = {count} networks (seeds) a condition, weight decay {vlaar.DECAY:g}; thin: networks, "
        f"thick: means; all other blocks stay trained; half fall: where the training loss is half "
        f"way down;\n{what}; {tally(claims)}",
        fontsize=8,
    )
    return figure


def curves(ax: Axes, networks: list[dict[str, Any]]) -> None:
    for stage, colour in COLOURS.items():
        losses = np.array([network[stage]["test_loss"] for network in networks])
        alphas = np.linspace(0, 1, losses.shape[1])
        ax.plot(alphas, losses.T, color=colour, lw=0.5, alpha=0.5)
        ax.plot(alphas, losses.mean(0), color=colour, lw=2.2, label=stage)
    ax.axhline(vlaar.CHANCE, color="0.4", lw=1, ls=":")
    ax.set(xlabel="α of the block, initial (0) to trained (1)", ylabel="test loss (nats)")


def sensitivities(ax: Axes, rows: list[dict[str, Any]]) -> None:
    cases = (
        ("base", "stored", "o", "all of the data"),
        ("half", "stored", "s", "half of the data"),
        ("augmented", "stored", "^", "cropped and mirrored"),
        ("base", "recalibrate", "D", "all, statistics re-estimated"),
    )
    for place, stage in enumerate(vlaar.STAGES):
        for offset, (condition, policy, mark, _) in enumerate(cases):
            found = excess(rows, stage, policy, condition)
            where = np.full(len(found), place + 0.18 * (offset - 1.5))
            face = "none" if policy == "recalibrate" else COLOURS[stage]
            ax.plot(where, found, mark, color=COLOURS[stage], mfc=face, ms=5, alpha=0.8)
    for _, policy, mark, name in cases:
        ax.plot([], [], mark, color="0.3", mfc="none" if policy != "stored" else "0.3", label=name)
    ax.set_xticks(range(len(vlaar.STAGES)), list(vlaar.STAGES))
    ax.set(xlabel="block that moves", ylabel="mean excess test loss (nats)")
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_ylim(top=100)  # leaves room for the legend
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.axhline(0, color="0.6", lw=0.8)
    ax.set_title("sensitivity: mean over α of the loss above its end", fontsize=10)
    ax.legend(fontsize=8, frameon=False)


def renewals(ax: Axes, again: list[dict[str, Any]]) -> None:
    scratch = [row["scratch"] for row in again if row["block"] == "none"]
    groups = {"scratch": np.array(scratch)} | {
        block: accuracy(again, "block", block) for block in AGAIN
    }
    for place, (block, found) in enumerate(groups.items()):
        colour = COLOURS.get(block, "black")
        ax.plot(np.full(len(found), place), 100 * found, "o", color=colour, alpha=0.7, mec="white")
        ax.plot([place - 0.3, place + 0.3], [100 * found.mean()] * 2, color=colour, lw=2)
    ax.axhline(100 * groups["scratch"].mean(), color="0.5", lw=1, ls=":")
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(xlabel="block re-initialised before training again", ylabel="test accuracy (%)")
    ax.set_title("trained again after re-initialising a block; line: mean", fontsize=10)


def headline(rows: list[dict[str, Any]], claims: list[dict[str, Any]]) -> str:
    def times(name: str, *words: str) -> str:
        found = [
            claim["verdict"]
            for claim in claims
            if claim["id"] == f"interpolation-{name}" and all(w in claim["claim"] for w in words)
        ]
        kinds = [f"{found.count(kind)} {kind}" for kind in dict.fromkeys(found)]
        return " and ".join(kinds) if len(kinds) > 1 else found[0]

    def places(policy: str) -> str:
        means = [f"{falls(rows, condition, policy).mean():.3f}" for condition in CONDITIONS]
        return f"{means[0]}; halved {means[1]}, augmented {means[2]}"

    gains: dict[str, list[str]] = {"supported": [], "contradicted": [], "undecided": []}
    for claim, block in product(claims, AGAIN[1:]):
        if claim["claim"].startswith(f"re-initialising {block} "):
            gains[claim["verdict"]].append(block)
    nothing = "; ".join(f"{', '.join(one)}: {kind}" for kind, one in gains.items() if one)
    less, more = (times("H12", "as much", TITLES[kind]) for kind in CONDITIONS[1:])
    return (
        "B1 and B2 are more sensitive to their start than the last block and fc (comparisons: "
        f"{times('H10')}); re-initialising a block gains nothing ({nothing});\n"
        f"halved and augmented data change accuracy: {times('H12', 'accuracy')}; layer-wise paths "
        f"little: {times('H12', 'layer-wise')}; the place of the whole path's fall by less than "
        f"{DELAY}:\n{times('H12', 'same place', '(stored)')} interpolated ({places('stored')}), "
        f"{times('H12', 'same place', '(recalibrate)')} re-estimated ({places('recalibrate')}), "
        f"of what is left there within a factor of {FACTOR:g}: {less}, {more}"
    )
