"""Which blocks remember their initialisation: arXiv:2106.16004 (H10, H11, H12).

Test loss as one block at a time goes from its initial to its trained state while all others stay
trained, for three ways of treating the data; and what re-initialising one block of a trained
network and training all of it again does to its accuracy. After a review, having seen the numbers,
the place where the whole path falls was taken from a finer grid near its end and from re-estimated
statistics, as the earlier grid of steps of .02 had it at its last point in all base and augmented
networks; it is judged in alpha, as before, and as the share of the way that is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import product

import numpy as np
from evidence.figure import Flags, Made
from evidence.jobs import over
from evidence.judging import between, within
from evidence.rows import Row, Rows, about
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from papers.vlaar import networks as vlaar

import jumpretrain as jr

CONDITIONS = ("base", "half", "augmented")
AGAIN = ("none", "B1", "B2", "B3", "fc")
"""Blocks that are re-initialised; `none` is trained again as it is."""
COLOURS = {"all": "#000000", "stem": "0.6", "B1": "#E69F00", "B2": "#D55E00"}
COLOURS |= {"B3": "#0072B2", "fc": "#009E73"}
TITLES = {"base": "all of the data", "half": "half of the data"}
TITLES |= {"augmented": "cropped and mirrored"}
PANELS = (
    ("base", "stored", "BatchNorm statistics interpolated"),
    ("base", "recalibrate", "BatchNorm statistics re-estimated"),
    ("half", "stored", "half of the data, interpolated"),
    ("augmented", "stored", "cropped and mirrored, interpolated"),
)
MARKS = (
    ("base", "stored", "o", "all of the data"),
    ("half", "stored", "s", "half of the data"),
    ("augmented", "stored", "^", "cropped and mirrored"),
    ("base", "recalibrate", "D", "all, statistics re-estimated"),
)
NEAR, FINE = 0.94, 0.002  # from where on, and in which steps, the fall of a whole path is found
SMALLEST_EXCESS = 0.1  # nats, of the mean test loss on a path above its last value
GAIN = 0.01  # of accuracy over training from scratch, that would be one
SHARE = 0.25  # of the blocks' range that a change of the data may shift a block
DELAY = 0.1  # of the fall of the whole path, in alpha
FACTOR = 2.0  # of the way that is left when the whole path falls


Values = NDArray[np.float64]
"""One a network."""


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    seeds = vlaar.seeds(asked)
    jobs = [(asked, data[name], name, seed) for name, seed in product(CONDITIONS, seeds)]
    rows = over(asked, layered, jobs, "layer by layer")
    jobs = [(asked, data["base"], block, seed) for block, seed in product(AGAIN, seeds)]
    again = over(asked, renewed, jobs, "trained again")
    claims = [*sensitivity(rows), *renewal(again), *robustness(rows)]
    numbers = {
        "data": {name: list(data[name].history) for name in CONDITIONS},
        "recipe": asdict(vlaar.recipe(asked.quick, vlaar.DECAY)),
        "stages": vlaar.STAGES,
        "seeds": list(seeds),
        "claims": claims,
        "networks": rows,
        "trained_again": again,
    }
    return drawn(rows, again, claims, vlaar.describe(data)), numbers


def layered(asked: Flags, data: jr.Dataset, condition: str, seed: int) -> Row:
    if condition == "base":
        net = vlaar.standard(asked, data, vlaar.DECAY, seed)
    else:
        net = vlaar.network(asked, data, condition, seed, vlaar.DECAY)
    name = f"{condition if condition != 'base' else f'standard-{vlaar.DECAY:g}'}-{seed}"
    paths, falls = {}, {}
    for policy in vlaar.POLICIES:
        score = partial(vlaar.path, asked, data, start=net.start, end=net.end, policy=policy)
        whole = [score(name=name)]
        paths[policy] = {"all": vlaar.facts(whole[0])}
        for stage, modules in vlaar.STAGES.items():
            if condition == "base" or policy == "stored":
                part = score(name=f"{name}-{stage}", select=modules)
                paths[policy][stage] = vlaar.facts(part)
        if policy == "stored":
            whole.append(score(name=f"{name}-near", alphas=near(asked.quick)))
        falls[policy] = fall(whole)
    return {
        "condition": condition,
        "seed": seed,
        "accuracy": net.accuracy,
        "train_accuracy": net.train_accuracy,
        "fall": falls,
        **paths,
    }


def near(quick: bool) -> NDArray[np.float64]:
    """Place points near the end of the line."""
    steps = np.arange(round((1 - NEAR) / FINE) + 1)[:: 10 if quick else 1]
    return np.sort((1 - FINE * steps).round(6))


def fall(paths: list[jr.Path]) -> float:
    """Find where the training loss comes to be below the mean of its ends, between points too.

    At 1 where the loss does not end lower than it began.
    """
    alphas, first = np.unique(np.concatenate([path.alphas for path in paths]), return_index=True)
    loss = np.concatenate([path.values("train_loss") for path in paths])[first]
    middle = (loss[0] + loss[-1]) / 2
    if loss[-1] >= loss[0]:
        return 1.0
    last = np.flatnonzero(loss > middle)[-1]
    share = (loss[last] - middle) / (loss[last] - loss[last + 1])
    return float(alphas[last] + share * (alphas[last + 1] - alphas[last]))


def renewed(asked: Flags, data: jr.Dataset, block: str, seed: int) -> Row:
    """Draw one block of a trained network afresh and train the whole network again."""
    scratch = vlaar.standard(asked, data, vlaar.DECAY, seed)
    start = scratch.end
    if block != "none":
        modules = vlaar.STAGES[block]
        start = jr.controls.reinitialise(vlaar.task(data), start, modules, 1000 + seed)
    net = vlaar.network(asked, data, f"again-{block}", 100 + seed, vlaar.DECAY, start)
    return {
        "block": block,
        "seed": seed,
        "accuracy": net.accuracy,
        "accuracy_recalibrated": net.recalibrated,
        "scratch": scratch.accuracy,
    }


def excess(rows: Rows, stage: str, policy: str = "stored", kind: str = "base") -> Values:
    return np.array([r[policy][stage]["excess"] for r in rows if r["condition"] == kind])


def accuracy(rows: Rows, key: str, value: str) -> Values:
    return np.array([row["accuracy"] for row in rows if row[key] == value])


def falls(rows: Rows, condition: str, policy: str) -> Values:
    return np.array([row["fall"][policy] for row in rows if row["condition"] == condition])


def sensitivity(rows: Rows) -> Rows:
    claims = []
    for policy, early, late in product(vlaar.POLICIES, ("B1", "B2"), ("B3", "fc")):
        claim = f"{early} is more sensitive to its initialisation than {late} ({policy})"
        how = "difference of the mean excess test loss, in nats"
        more = excess(rows, early, policy) - excess(rows, late, policy)
        claims.append(within("interpolation-H10", claim, how, more, SMALLEST_EXCESS))
    return claims


def renewal(again: Rows) -> Rows:
    scratch = np.array([row["scratch"] for row in again if row["block"] == "none"])
    after = {block: accuracy(again, "block", block) for block in AGAIN}
    claims = []
    for block in AGAIN[1:]:
        claim = f"re-initialising {block} and training again gains nothing over scratch"
        lost = scratch - after[block] + GAIN
        claims.append(
            within("interpolation-H11", claim, f"loss of accuracy plus {GAIN}", lost, 0.0)
        )
    worst = (after["B1"] + after["B2"]) / 2 - after["B3"]
    what = "accuracy of B1 and B2 minus that of B3"
    claim = "re-initialising the last block does worst"
    return [*claims, within("interpolation-H11", claim, what, worst, 0.0)]


def robustness(rows: Rows) -> Rows:
    base, half, more = (accuracy(rows, "condition", name) for name in CONDITIONS)
    name, what = "interpolation-H12", "test accuracy"
    claims = [
        between(name, "half of the data lowers accuracy", what, base, half),
        between(name, "augmentation raises accuracy", what, more, base),
    ]
    for kind in CONDITIONS[1:]:
        for claim, how, values in unchanged(rows, kind):
            claims.append(within(name, f"{TITLES[kind]}: {claim}", how, values, 0.0))
    return claims


def unchanged(rows: Rows, kind: str) -> Iterator[tuple[str, str, Values]]:
    """Compare the layer-wise paths, where whole paths fall, and what of the way is left then."""
    base, other = np.array([
        [excess(rows, stage, kind=name) for stage in vlaar.STAGES] for name in ("base", kind)
    ])
    shift = np.abs(other - base).mean(0) / np.ptp(base, axis=0)
    how = f"{SHARE} minus the mean shift of the excess as a share of its range over blocks"
    yield "layer-wise paths change little", how, SHARE - shift
    for policy in vlaar.POLICIES:
        shift = np.abs(falls(rows, kind, policy) - falls(rows, "base", policy))
        how = f"{DELAY} minus the shift of the half fall, in alpha"
        yield f"the whole path falls at the same place ({policy})", how, DELAY - shift
    ways = [np.maximum(1 - falls(rows, name, "stored"), FINE) for name in (kind, "base")]
    claim = "as much of the way is left when the whole path falls (stored)"
    how = f"log {FACTOR:g} minus the size of the log ratio of 1 - alpha at the half fall"
    yield claim, how, np.log(FACTOR) - np.abs(np.log(ways[0] / ways[1]))


def drawn(rows: Rows, again: Rows, claims: Rows, what: str) -> Figure:
    figure = Figure(figsize=(14, 8.2), layout="constrained")
    axes = figure.subplots(2, 3)
    found = [facts for row in rows for policy in vlaar.POLICIES for facts in row[policy].values()]
    losses = [one["test_loss"] for one in found]
    limits = 0.95 * np.min(losses), 1.05 * np.max(losses)
    for ax, (condition, policy, title) in zip(axes[:, :2].flat, PANELS, strict=True):
        networks = [row[policy] for row in rows if row["condition"] == condition]
        for stage, colour in COLOURS.items():
            vlaar.curves(ax, [one[stage]["test_loss"] for one in networks], colour, stage)
        ax.axhline(vlaar.CHANCE, color="0.4", lw=1, ls=":")
        ax.set(xlabel="α of the block, initial (0) to trained (1)", ylabel="test loss (nats)")
        ax.set(yscale="log", ylim=limits)
        vlaar.plain(ax)
        reached = 100 * accuracy(rows, "condition", condition).mean()
        half = f"half fall of all {falls(rows, condition, policy).mean():.3f}"
        ax.set_title(f"{title}:\naccuracy {reached:.1f} %, {half}", fontsize=9)
    axes[0, 0].legend(fontsize=8, frameon=False, title="moves", title_fontsize=8, ncols=2)
    sensitivities(axes[0, 2], rows)
    renewals(axes[1, 2], again)
    note = (
        f"n = {len({row['seed'] for row in rows})} networks (seeds) a condition, weight decay "
        f"{vlaar.DECAY:g}; thin: networks, thick: means; all other blocks stay trained; half "
        f"fall: where the training loss is half way down;\n{what}"
    )
    return vlaar.framed(figure, headline(rows, claims), note, claims)


def sensitivities(ax: Axes, rows: Rows) -> None:
    for place, stage in enumerate(vlaar.STAGES):
        for offset, (condition, policy, mark, _) in enumerate(MARKS):
            found = excess(rows, stage, policy, condition)
            where = np.full(len(found), place + 0.18 * (offset - 1.5))
            face = "none" if policy == "recalibrate" else COLOURS[stage]
            ax.plot(where, found, mark, color=COLOURS[stage], mfc=face, ms=5, alpha=0.8)
    for _, policy, mark, name in MARKS:
        ax.plot([], [], mark, color="0.3", mfc="none" if policy != "stored" else "0.3", label=name)
    ax.set_xticks(range(len(vlaar.STAGES)), list(vlaar.STAGES))
    ax.set(xlabel="block that moves", ylabel="mean excess test loss (nats)")
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_ylim(top=100)  # leaves room for the legend
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.axhline(0, color="0.6", lw=0.8)
    ax.set_title("sensitivity: mean over α of the loss above its end", fontsize=10)
    ax.legend(fontsize=8, frameon=False)


def renewals(ax: Axes, again: Rows) -> None:
    scratch = [row["scratch"] for row in again if row["block"] == "none"]
    groups = {"scratch": np.array(scratch)}
    groups |= {block: accuracy(again, "block", block) for block in AGAIN}
    for place, (block, found) in enumerate(groups.items()):
        colour = COLOURS.get(block, "black")
        ax.plot(np.full(len(found), place), 100 * found, "o", color=colour, alpha=0.7, mec="white")
        ax.plot([place - 0.3, place + 0.3], [100 * found.mean()] * 2, color=colour, lw=2)
    ax.axhline(100 * groups["scratch"].mean(), color="0.5", lw=1, ls=":")
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(xlabel="block re-initialised before training again", ylabel="test accuracy (%)")
    ax.set_title("trained again after re-initialising a block; line: mean", fontsize=10)


def headline(rows: Rows, claims: Rows) -> str:
    def times(name: str, *words: str) -> str:
        found = [claim["verdict"] for claim in about(claims, *words, name=name)]
        kinds = [f"{found.count(kind)} {kind}" for kind in dict.fromkeys(found)]
        return " and ".join(kinds) if len(kinds) > 1 else found[0]

    def same(policy: str, how: str) -> str:
        base, half, more = (f"{falls(rows, kind, policy).mean():.3f}" for kind in CONDITIONS)
        verdict = times("H12", "same place", f"({policy})")
        return f"{verdict} {how} ({base}; halved {half}, augmented {more})"

    gains: dict[str, list[str]] = {"supported": [], "contradicted": [], "undecided": []}
    for block in AGAIN[1:]:
        (claim,) = about(claims, f"re-initialising {block} ")
        gains[claim["verdict"]].append(block)
    nothing = "; ".join(f"{', '.join(one)}: {kind}" for kind, one in gains.items() if one)
    less, more = (times("H12", "as much", TITLES[kind]) for kind in CONDITIONS[1:])
    return (
        "B1 and B2 are more sensitive to their start than the last block and fc (comparisons: "
        f"{times('H10')}); re-initialising a block gains nothing ({nothing});\n"
        f"halved and augmented data change accuracy: {times('H12', 'accuracy')}; layer-wise paths "
        f"little: {times('H12', 'layer-wise')}; the place of the whole path's fall by less than "
        f"{DELAY}:\n{same('stored', 'interpolated')}, {same('recalibrate', 're-estimated')}, "
        f"of what is left there within a factor of {FACTOR:g}: {less}, {more}"
    )
