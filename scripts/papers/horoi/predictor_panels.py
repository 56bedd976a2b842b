"""Draw how predictors of generalisation do, and the networks that they are of."""

from typing import Literal

import numpy as np
import pandas as pd
from evidence.panels import head, lines
from evidence.wording import Claims, bounded, effect
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.horoi.cifar_networks import FITTED, PREDICTORS, Plan, fitted

from jumpretrain.plots import canvas

BLUE, ORANGE, GREEN, RED, PINK, SKY = canvas.OKABE_ITO
KINDS = {
    BLUE: ("persistence", "rank_persistence"),
    ORANGE: ("sharpness", "trace"),
    "0.45": ("range_squared", "train_loss", "norm"),
    GREEN: ("overshoot", "outward", "final_distance", "sideways", "turning"),
}
COLOURS = {name: colour for colour, names in KINDS.items() for name in names}
ALL, FIT, RECIPE = "all networks", "fitted, at equal share", "seeds of one recipe"
Marks = dict[tuple[str, str], tuple[str, str, bool]]
NETWORKS: Marks = {
    (name, ""): (name, mark, filled)
    for name, mark, filled in ((ALL, "o", True), (FIT, "o", False), (RECIPE, "D", False))
}
HELD: Marks = {
    (ALL, "range_squared"): ("range² fixed", "s", True),
    (ALL, "sharpness"): ("sharpness fixed", "o", False),
    (ALL, "train_loss"): ("training loss fixed", "D", False),
}
UNITS = {"train_loss": "nats", "persistence": "nats²"}


def drawn(chosen: Plan, table: pd.DataFrame, keyed: pd.DataFrame, claims: Claims) -> Figure:
    """Draw intervals of all correlations, two scatters, conditions and weight decay."""
    size = keyed["rho"].abs().fillna(0)
    order = sorted(PREDICTORS, key=lambda name: float(size[ALL, name, ""]))
    figure = canvas.new_figure(18, 11.5)
    panels = figure.subplots(2, 3, width_ratios=(1.1, 1.1, 1))
    forest(panels[0, 0], keyed, order, NETWORKS)
    forest(panels[0, 1], keyed, order, HELD)
    panels[0, 1].set_yticklabels([])
    by_condition(panels[0, 2], table)
    for ax, predictor in zip(panels[1], UNITS, strict=False):
        scatter(ax, table, predictor)
    decays(panels[1, 2], table, chosen)
    for ax, words in zip(panels.flat, titles(keyed, claims), strict=True):
        canvas.title(ax, words)
    head(figure, finding(keyed), claims, caption(chosen, table))
    return figure


def forest(ax: Axes, keyed: pd.DataFrame, order: list[str], marks: Marks) -> None:
    shifts = np.linspace(0.25, -0.25, len(marks))
    for shift, (which, (label, mark, filled)) in zip(shifts, marks.items(), strict=True):
        networks, fixed = which
        for place, predictor in enumerate(order):
            if predictor != fixed:
                row, colour = keyed.loc[(networks, predictor, fixed)], COLOURS[predictor]
                ax.hlines(place + shift, row["low"], row["high"], color=colour, lw=1.4)
                face = colour if filled else "white"
                ax.plot(row["rho"], place + shift, mark, color=colour, mfc=face, ms=6)
        ax.plot([], [], mark, color="0.2", mfc="0.2" if filled else "white", label=label)
    ax.axvline(0, color="0.2", lw=0.8)
    ax.vlines((-0.3, 0.3), -1.6, len(order), color="0.6", lw=0.8, ls=":")
    ax.set_yticks(range(len(order)), [PREDICTORS[name] for name in order])
    ax.set(xlim=(-1.02, 1.02), ylim=(-1.6, len(order) - 0.4))
    ax.set_xlabel("Spearman's rho with the test loss (dotted: smallest effect)")
    narrow = {"columnspacing": 1, "handletextpad": 0.3}
    ax.legend(fontsize=8, loc="lower center", ncols=len(marks), frameon=False, **narrow)


def by_condition(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the persistence of the networks of each condition, by their mean test loss."""
    means = table.groupby("condition")["test_loss"].mean().sort_values()
    for place, name in enumerate(means.index):
        part = table[table["condition"] == name]
        colour, _ = colour_and_word(part.iloc[0])
        ax.plot(part["persistence"], [place] * len(part), "o", color=colour, alpha=0.6, mew=0)
        ax.plot(part["persistence"].median(), place, "|", color="black", ms=14, mew=2)
    ax.set_yticks(range(len(means)), [f"{name}: {mean:.1f}" for name, mean in means.items()])
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel("finite persistence (nats²); bar: median; left: mean test loss (nats)")
    stretch(ax, "x", table["persistence"])


def scatter(ax: Axes, table: pd.DataFrame, predictor: str) -> None:
    largest, seen = table["batch_size"].max(), {}
    for _, part in table.groupby("condition", sort=False):
        first = part.iloc[0]
        colour, word = colour_and_word(first)
        mark = "^" if first["augmented"] else "o"
        edge = "black" if first["batch_size"] == largest else "white"
        ax.plot(part[predictor], part["test_loss"], mark, color=colour, mec=edge, mew=0.8, ms=7)
        seen.setdefault(word, colour)
    stretch(ax, "x", table[predictor])
    stretch(ax, "y", table["test_loss"])
    ax.set_xlabel(f"{PREDICTORS[predictor]} ({UNITS[predictor]})")
    ax.set_ylabel("test loss of the optimum (nats)")
    for word, colour in seen.items():
        ax.plot([], [], "s", color=colour, label=word)
    ax.plot([], [], "^", color="0.6", label="crops and flips")
    ax.plot([], [], "o", color="0.6", mec="black", label=f"batch {largest}")
    ax.legend(fontsize=8, frameon=True)


def decays(ax: Axes, table: pd.DataFrame, chosen: Plan) -> None:
    true, places = table[table["share"] == 0], range(len(chosen.decays))
    for (augmented, size), part in true.groupby(["augmented", "batch_size"]):
        rows = part.pivot(index="seed", columns="weight_decay", values="persistence")
        label = f"{'crops and flips' if augmented else 'plain'}, batch {size}"
        style = "o-" if size == true["batch_size"].min() else "o--"
        colour = RED if augmented else BLUE
        lines(ax, places, rows, colour, label, np.median, style, 0.6, lw=2.5)
    ax.set_xticks(places, [f"{decay:g}" for decay in chosen.decays])
    stretch(ax, "y", true["persistence"])
    words = "weight decay (thin: a seed, thick: median)"
    ax.set(xlabel=words, ylabel="finite persistence (nats²)")
    ax.legend(fontsize=8, frameon=True)


def stretch(ax: Axes, name: Literal["x", "y"], values: pd.Series) -> None:
    """Make an axis logarithmic, from the smallest positive value on where there are zeros."""
    scale, limit = getattr(ax, f"set_{name}scale"), getattr(ax, f"set_{name}lim")
    if (values > 0).all():
        scale("log")
        canvas.plain(getattr(ax, f"{name}axis"))
    elif (values >= 0).all() and values.max() > 0:
        smallest = 10 ** np.ceil(np.log10(values[values > 0].min()))
        scale("symlog", linthresh=smallest)
        limit(-smallest / 2, None)


def titles(keyed: pd.DataFrame, claims: Claims) -> list[str]:
    plain = keyed.xs("", level="fixed")
    counts = ", ".join(f"{name} {int(clear(plain.loc[name]).sum())}" for name in (ALL, RECIPE))
    ours = keyed.loc[(ALL, "persistence"), "rho"]
    left = ", ".join(f"{label} {ours[fixed]:+.2f}" for (_, fixed), (label, *_) in HELD.items())
    trend, released = (f"{claim['verdict']} (ρ {effect(claim)})" for claim in claims[-2:])
    return [
        f"{len(PREDICTORS)} numbers by |ρ| in all networks; intervals (unadjusted) that leave out "
        f"0: {counts}",
        f"all networks, another number held fixed; persistence: {left}",
        "conditions by test loss: finite persistence of each network",
        *(f"{PREDICTORS[p]}: {words(keyed, ALL, p)}; {FIT} {words(keyed, FIT, p)}" for p in UNITS),
        f"weight decay lowers finite persistence: {trend}; by the released rule {released}",
    ]


def finding(keyed: pd.DataFrame) -> str:
    ours = keyed.loc[(ALL, "persistence")]
    more = "more" if ours.loc["", "rho"] > 0 else "less"
    if not clear(ours)[""]:
        more = "neither more nor less"
    held, level, plain = (
        words(keyed, ALL, "persistence", name) for name in ("range_squared", "train_loss", "")
    )
    return (
        f"Conditions of higher test loss have {more} finite persistence of the training loss: "
        f"ρ {plain}; seeds of one recipe {words(keyed, RECIPE, 'persistence')}\n"
        f"At equal range of the loss {held}, p {ours.loc['range_squared', 'p']:.1g}; at equal "
        f"training loss {level}, p {ours.loc['train_loss', 'p']:.2f}"
    )


def clear(rows: pd.DataFrame) -> pd.Series:
    return (rows["low"] > 0) | (rows["high"] < 0)


def words(keyed: pd.DataFrame, networks: str, predictor: str, fixed: str = "") -> str:
    return bounded(*keyed.loc[(networks, predictor, fixed), ["rho", "low", "high"]])


def caption(chosen: Plan, table: pd.DataFrame) -> str:
    data = f"digits, {chosen.sizes[0]} images, MLP 64-32-10"
    if chosen.channels:
        cnn = "-".join(map(str, chosen.channels))
        data = f"CIFAR-10, {chosen.sizes[0]} training images of 16x16 pixels, simple_cnn {cnn}"
    sizes = ", ".join(f"{size:g}" for size in chosen.step_sizes)
    rates = ", ".join(f"{rate:g} for {size}" for size, rate in chosen.rates)
    return (
        f"{len(table)} networks, {chosen.seeds} seeds in each of "
        f"{table['condition'].nunique()} conditions; {data}; {chosen.epochs} epochs of SGD, "
        f"momentum .9, cosine from {rates}; {fitted(table).mean():.0%} fit over {FITTED:.0%} of "
        f"their labels (fitted). One common recipe after jumps of {sizes} filter norms in "
        f"{chosen.directions} directions: {chosen.retraining.epochs} epochs, batch "
        f"{chosen.retraining.batch_size}, lr {chosen.retraining.lr:g}, without decay and crops. "
        "All predictors from the training loss on plain images and the network's own labels; "
        "PHATE, cosine, joined, k = 20. Bars: 95 %; all networks: conditions drawn anew with all "
        "seeds; fitted (ranks within a share of redrawn labels; not judged) and seeds "
        "of one recipe (ranks within a condition): Fisher, over networks."
    )


def colour_and_word(row: pd.Series) -> tuple[str, str]:
    """Say how a network was trained, by the colour and the word of the legends."""
    if row["share"]:
        colour = {0.25: "#fdc086", 0.5: ORANGE}.get(row["share"], RED)
        return colour, f"{row['share']:.0%} redrawn"
    colour = {0.0: BLUE, 1e-3: SKY}.get(row["weight_decay"], GREEN)
    return colour, f"true labels, decay {row['weight_decay']:g}"
