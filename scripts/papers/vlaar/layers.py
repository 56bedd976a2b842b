"""Which blocks remember their initialisation: arXiv:2106.16004 (H10, H11, H12).

Test loss as one block at a time goes from its initial to its trained state while all others stay
trained, for three ways of treating the data; and what re-initialising one block of a trained
network and training all of it again does to its accuracy. After a review, having seen the numbers,
the place where the whole path falls was taken from a finer grid near its end and from re-estimated
statistics, as the earlier grid of steps of .02 had it at its last point in all base and augmented
networks; it is judged in alpha, as before, and as the share of the way that is left.
"""

from dataclasses import asdict
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import over
from evidence.figure import Flags, Made
from evidence.judging import between, judge
from evidence.rows import Row, Rows, about
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from papers.vlaar import networks as vlaar

import jumpretrain as jr

AGAIN = ("none", "B1", "B2", "B3", "fc")  # blocks re-initialised; `none`: trained again as it is
COLOURS = {"all": "#000000", "stem": "0.6", "B1": "#E69F00", "B2": "#D55E00"}
COLOURS |= {"B3": "#0072B2", "fc": "#009E73"}
TITLES = {"base": "all of the data", "half": "half of the data"}
TITLES |= {"augmented": "cropped and mirrored"}
CONDITIONS = tuple(TITLES)
PANELS = (
    ("base", "stored", "BatchNorm statistics interpolated"),
    ("base", "recalibrate", "BatchNorm statistics re-estimated"),
    ("half", "stored", "half of the data, interpolated"),
    ("augmented", "stored", "cropped and mirrored, interpolated"),
)
MARKS = (
    *zip(CONDITIONS, ("stored",) * 3, "os^", TITLES.values(), strict=True),
    ("base", "recalibrate", "D", "all, statistics re-estimated"),
)
FINE = 0.002  # steps near the end in which the fall of a whole path is found
SMALLEST_EXCESS = 0.1  # nats, of the mean test loss on a path above its last value
GAIN = 0.01  # of accuracy over training from scratch, that would be one
SHARE = 0.25  # of the blocks' range that a change of the data may shift a block
DELAY = 0.1  # of the fall of the whole path, in alpha
FACTOR = 2.0  # of the way that is left when the whole path falls


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    seeds = vlaar.seeds(asked)
    jobs = [(asked, data[name], name, seed) for name, seed in product(CONDITIONS, seeds)]
    rows = over(asked, layered, jobs, "layer by layer")
    table = vlaar.tabled(rows).set_index(["condition", "seed"])
    jobs = [(asked, data["base"], block, seed) for block, seed in product(AGAIN, seeds)]
    again = over(asked, renewed, jobs, "trained again")
    after = pd.DataFrame(again).pivot(index="seed", columns="block", values="accuracy")
    after = after.assign(scratch=[row["scratch"] for row in again[: len(seeds)]])
    claims = judged(table, after)
    return drawn(table, after, claims, vlaar.describe(data)), {
        "data": {name: list(data[name].history) for name in CONDITIONS},
        "recipe": asdict(vlaar.recipe(asked.quick, vlaar.DECAY)),
        "stages": vlaar.STAGES,
        "seeds": list(seeds),
        "claims": claims,
        "networks": rows,
        "trained_again": again,
    }


def layered(asked: Flags, data: jr.Dataset, condition: str, seed: int) -> Row:
    kind = f"standard-{vlaar.DECAY:g}" if condition == "base" else condition
    net, name = vlaar.network(asked, data, kind, seed, vlaar.DECAY), f"{kind}-{seed}"
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
            steps = np.arange(0, 31, 10 if asked.quick else 1)  # back to .94
            near = np.sort((1 - FINE * steps).round(6))
            whole.append(score(name=f"{name}-near", alphas=near))
        falls[policy] = fall(whole)
    reached = {"accuracy": net.accuracy, "train_accuracy": net.train_accuracy}
    return {"condition": condition, "seed": seed, **reached, "fall": falls, **paths}


def fall(paths: list[jr.Path]) -> float:
    """Find where the training loss falls below the mean of its ends; 1 where it is no lower."""
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
    reached = {"accuracy": net.accuracy, "accuracy_recalibrated": net.recalibrated}
    return {"block": block, "seed": seed, **reached, "scratch": scratch.accuracy}


def judged(table: pd.DataFrame, after: pd.DataFrame) -> Rows:
    """Judge layer-wise paths (H10), training again (H11), and data halved or augmented (H12)."""
    base, half, more = (table.loc[name] for name in CONDITIONS)
    how, rows = "difference of the mean excess test loss, in nats", []
    for policy, early, late in product(vlaar.POLICIES, ("B1", "B2"), ("B3", "fc")):
        claim = f"{early} is more sensitive to its initialisation than {late} ({policy})"
        excess = base[f"{policy}.{early}.excess"] - base[f"{policy}.{late}.excess"]
        rows.append(("H10", claim, how, excess, SMALLEST_EXCESS))
    for block in AGAIN[1:]:
        claim = f"re-initialising {block} and training again gains nothing over scratch"
        lost = after["scratch"] - after[block] + GAIN
        rows.append(("H11", claim, f"loss of accuracy plus {GAIN}", lost, 0.0))
    worst = (after["B1"] + after["B2"]) / 2 - after["B3"]
    what = "accuracy of B1 and B2 minus that of B3"
    rows.append(("H11", "re-initialising the last block does worst", what, worst, 0.0))
    name, reached = "interpolation-H12", [some["accuracy"] for some in (base, half, more)]
    return [
        *judge("interpolation-", rows),
        between(name, "half of the data lowers accuracy", "test accuracy", *reached[:2]),
        between(name, "augmentation raises accuracy", "test accuracy", *reached[::-2]),
        *(claim for kind in CONDITIONS[1:] for claim in unchanged(base, table.loc[kind], kind)),
    ]


def unchanged(base: pd.DataFrame, other: pd.DataFrame, kind: str) -> Rows:
    """Compare the layer-wise paths, where whole paths fall, and what of the way is left then."""
    excess = [f"stored.{stage}.excess" for stage in vlaar.STAGES]
    shift = np.abs(other[excess] - base[excess]).mean(axis=1) / np.ptp(base[excess], axis=1)
    how = f"{SHARE} minus the mean shift of the excess as a share of its range over blocks"
    rows = [("layer-wise paths change little", how, SHARE - shift)]
    for policy in vlaar.POLICIES:
        shift = np.abs(other[f"fall.{policy}"] - base[f"fall.{policy}"])
        how = f"{DELAY} minus the shift of the half fall, in alpha"
        rows.append((f"the whole path falls at the same place ({policy})", how, DELAY - shift))
    ways = [np.maximum(1 - some["fall.stored"], FINE) for some in (other, base)]
    claim = "as much of the way is left when the whole path falls (stored)"
    how = f"log {FACTOR:g} minus the size of the log ratio of 1 - alpha at the half fall"
    rows.append((claim, how, np.log(FACTOR) - np.abs(np.log(ways[0] / ways[1]))))
    named = [("H12", f"{TITLES[kind]}: {claim}", *rest, 0.0) for claim, *rest in rows]
    return judge("interpolation-", named)


def drawn(table: pd.DataFrame, after: pd.DataFrame, claims: Rows, what: str) -> Figure:
    figure = Figure(figsize=(14, 8.2), layout="constrained")
    axes = figure.subplots(2, 3)
    losses = table.filter(like="test_loss").stack().explode().astype(float)
    for ax, (condition, policy, title) in zip(axes[:, :2].flat, PANELS, strict=True):
        some = table.loc[condition]
        for stage, colour in COLOURS.items():
            vlaar.curves(ax, some[f"{policy}.{stage}.test_loss"].tolist(), colour, stage)
        ax.axhline(vlaar.CHANCE, color="0.4", lw=1, ls=":")
        ax.set_ylim(0.95 * losses.min(), 1.05 * losses.max())
        half = f"half fall of all {some[f'fall.{policy}'].mean():.3f}"
        title = f"{title}:\naccuracy {100 * some['accuracy'].mean():.1f} %, {half}"
        sides = "α of the block, initial (0) to trained (1)", "test loss (nats)"
        panels.label(ax, *sides, title, logs="y")
    axes[0, 0].legend(fontsize=8, frameon=False, title="moves", title_fontsize=8, ncols=2)
    sensitivities(axes[0, 2], table)
    renewals(axes[1, 2], 100 * after)
    note = (
        f"n = {len(after)} networks (seeds) a condition, weight decay {vlaar.DECAY:g}; thin: "
        "networks, thick: means; all other blocks stay trained; half fall: where the training "
        f"loss is half way down;\n{what}"
    )
    return vlaar.framed(figure, headline(table, claims), note, claims)


def sensitivities(ax: Axes, table: pd.DataFrame) -> None:
    for (place, stage), (offset, (condition, policy, mark, _)) in product(
        enumerate(vlaar.STAGES), enumerate(MARKS)
    ):
        found = table.loc[condition][f"{policy}.{stage}.excess"]
        where = np.full(len(found), place + 0.18 * (offset - 1.5))
        face = "none" if policy == "recalibrate" else COLOURS[stage]
        ax.plot(where, found, mark, color=COLOURS[stage], mfc=face, ms=5, alpha=0.8)
    for _, policy, mark, name in MARKS:
        ax.plot([], [], mark, color="0.3", mfc="none" if policy != "stored" else "0.3", label=name)
    ax.set_xticks(range(len(vlaar.STAGES)), list(vlaar.STAGES))
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_ylim(top=100)  # leaves room for the legend
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.axhline(0, color="0.6", lw=0.8)
    title = "sensitivity: mean over α of the loss above its end"
    panels.label(ax, "block that moves", "mean excess test loss (nats)", title, fontsize=8)


def renewals(ax: Axes, after: pd.DataFrame) -> None:
    groups = ["scratch", *AGAIN]
    for place, block in enumerate(groups):
        panels.dots(ax, place, after[block], COLOURS.get(block, "black"), middle=np.mean)
    ax.axhline(after["scratch"].mean(), color="0.5", lw=1, ls=":")
    ax.set_xticks(range(len(groups)), groups)
    title = "trained again after re-initialising a block; line: mean"
    panels.label(ax, "block re-initialised before training again", "test accuracy (%)", title)


def headline(table: pd.DataFrame, claims: Rows) -> str:
    def times(name: str, *words: str) -> str:
        found = [claim["verdict"] for claim in about(claims, *words, name=name)]
        kinds = [f"{found.count(kind)} {kind}" for kind in dict.fromkeys(found)]
        return " and ".join(kinds) if len(kinds) > 1 else found[0]

    def same(policy: str, how: str) -> str:
        means = table[f"fall.{policy}"].groupby("condition").mean()
        base, half, more = (f"{means[kind]:.3f}" for kind in CONDITIONS)
        verdict = times("H12", "same place", f"({policy})")
        return f"{verdict} {how} ({base}; halved {half}, augmented {more})"

    gains = {block: times("H11", f"re-initialising {block} ") for block in AGAIN[1:]}
    nothing = "; ".join(
        f"{', '.join(block for block, found in gains.items() if found == kind)}: {kind}"
        for kind in ("supported", "contradicted", "undecided")
        if kind in gains.values()
    )
    less, more = (times("H12", "as much", TITLES[kind]) for kind in CONDITIONS[1:])
    return (
        "B1 and B2 are more sensitive to their start than the last block and fc (comparisons: "
        f"{times('H10')}); re-initialising a block gains nothing ({nothing});\n"
        f"halved and augmented data change accuracy: {times('H12', 'accuracy')}; layer-wise paths "
        f"little: {times('H12', 'layer-wise')}; the place of the whole path's fall by less than "
        f"{DELAY}:\n{same('stored', 'interpolated')}, {same('recalibrate', 're-estimated')}, "
        f"of what is left there within a factor of {FACTOR:g}: {less}, {more}"
    )
