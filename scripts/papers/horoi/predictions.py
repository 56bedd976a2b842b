"""Draw how predictors of generalisation do, and the networks that they are of."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence.judging import tally
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
NETWORKS = {"all networks": ("o", True), "fitted, at equal share": ("o", False),
            "seeds of one recipe": ("D", False)}  # fmt: skip
FIXED = {"range_squared": ("s", True), "sharpness": ("o", False), "train_loss": ("D", False)}
HELD = {"range_squared": "range² fixed", "sharpness": "sharpness fixed",
        "train_loss": "training loss fixed"}  # fmt: skip
UNITS = {"persistence": " (nats²)", "range_squared": " (nats²)", "sharpness": " (nats)",
         "train_loss": " (nats)", "turning": " (radians)"}  # fmt: skip
LOSS = "test loss of the optimum (nats)"


def drawn(
    chosen: Plan, table: pd.DataFrame, rows: pd.DataFrame, claims: list[dict[str, Any]]
) -> Figure:
    """Draw intervals of all correlations, two scatters, conditions and weight decay.

    Returns:
        The figure.
    """
    keyed = rows[rows["target"] == "test_loss"].set_index(["networks", "predictor", "fixed"])
    plain = keyed.xs("", level="fixed")
    size = plain.loc["all networks"]["rho"].abs().fillna(0)
    order = sorted(PREDICTORS, key=lambda name: float(size[name]))
    figure = canvas.new_figure(18, 11.5)
    panels = figure.subplots(2, 3, width_ratios=(1.1, 1.1, 1))
    series = {name: {p: plain.loc[(name, p)] for p in order} for name in NETWORKS}
    forest(panels[0, 0], series, order, NETWORKS)
    held = {name: {p: keyed.loc[("all networks", p, name)] for p in order if p != name}
            for name in FIXED}  # fmt: skip
    forest(panels[0, 1], {HELD[name]: row for name, row in held.items()}, order,
           {HELD[name]: mark for name, mark in FIXED.items()})  # fmt: skip
    panels[0, 1].set_yticklabels([])
    conditions(panels[0, 2], table)
    scatter(panels[1, 0], table, "train_loss")
    scatter(panels[1, 1], table, "persistence")
    decays(panels[1, 2], table, chosen)
    titles(panels, plain, keyed, claims)
    figure.suptitle(headline(plain, keyed), fontsize=13, x=0.01, ha="left")
    canvas.note(figure, caption(chosen, table, claims))
    return figure


def forest(
    ax: Axes,
    series: dict[str, dict[str, pd.Series]],
    order: list[str],
    marks: dict[str, tuple[str, bool]],
) -> None:
    """Draw one line a predictor and one mark a series, with its interval."""
    shifts = np.linspace(0.25, -0.25, len(series))
    for shift, (name, found) in zip(shifts, series.items(), strict=True):
        mark, filled = marks[name]
        for place, predictor in enumerate(order):
            if predictor not in found:
                continue
            row, colour = found[predictor], COLOURS[predictor]
            ax.plot([row["low"], row["high"]], [place + shift] * 2, color=colour, lw=1.4)
            face = colour if filled else "white"
            ax.plot(row["rho"], place + shift, mark, color=colour, mfc=face, ms=6)
        face = "0.2" if filled else "white"
        ax.plot([], [], mark, color="0.2", mfc=face, label=name)
    ax.axvline(0, color="0.2", lw=0.8)
    for side in (-0.3, 0.3):
        ax.axvline(side, color="0.6", lw=0.8, ls=":")
    ax.set_yticks(range(len(order)), [PREDICTORS[name] for name in order])
    ax.set(
        xlim=(-1.02, 1.02), xlabel="Spearman's rho with the test loss (dotted: smallest effect)"
    )
    ax.set_ylim(-1.6, len(order) - 0.4)
    ax.legend(fontsize=8, loc="lower center", ncols=len(series), frameon=False,
              columnspacing=1, handletextpad=0.3)  # fmt: skip


def conditions(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the persistence of the networks of each condition, by their mean test loss."""
    means = table.groupby("condition")["test_loss"].mean().sort_values()
    for place, name in enumerate(means.index):
        part = table[table["condition"] == name]
        colour = colour_of(part.iloc[0])
        ax.plot(part["persistence"], [place] * len(part), "o", color=colour, alpha=0.6, mew=0)
        ax.plot(part["persistence"].median(), place, "|", color="black", ms=14, mew=2)
    ax.set_yticks(range(len(means)), [f"{name}: {mean:.1f}" for name, mean in means.items()])
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel("finite persistence (nats²); bar: median; left: mean test loss (nats)")
    stretch(ax, "x", table["persistence"])


def scatter(ax: Axes, table: pd.DataFrame, predictor: str) -> None:
    for _, row in table.iterrows():
        colour, mark = colour_of(row), "^" if row["augmented"] else "o"
        edge = "black" if row["batch_size"] == table["batch_size"].max() else "white"
        ax.plot(row[predictor], row["test_loss"], mark, color=colour, mec=edge, mew=0.8, ms=7)
    stretch(ax, "x", table[predictor])
    stretch(ax, "y", table["test_loss"])
    ax.set(xlabel=PREDICTORS[predictor] + UNITS.get(predictor, ""), ylabel=LOSS)
    seen: dict[str, Any] = {}
    for _, row in table.iterrows():
        seen.setdefault(word_of(row), colour_of(row))
    for word, colour in seen.items():
        ax.plot([], [], "s", color=colour, label=word)
    ax.plot([], [], "^", color="0.6", label="crops and flips")
    ax.plot([], [], "o", color="0.6", mec="black", label=f"batch {table['batch_size'].max()}")
    ax.legend(fontsize=8, frameon=True)


def decays(ax: Axes, table: pd.DataFrame, chosen: Plan) -> None:
    true = table[table["share"] == 0]
    for (augmented, size), part in true.groupby(["augmented", "batch_size"]):
        colour = RED if augmented else BLUE
        style = "-" if size == true["batch_size"].min() else "--"
        for _, line in part.groupby("seed"):
            places = [chosen.decays.index(decay) for decay in line["weight_decay"]]
            ax.plot(places, line["persistence"], color=colour, ls=style, lw=0.6, alpha=0.6)
        medians = part.groupby("weight_decay")["persistence"].median()
        label = f"{'crops and flips' if augmented else 'plain'}, batch {size}"
        ax.plot(range(len(medians)), medians, style, color=colour, lw=2.5, marker="o", label=label)
    ax.set_xticks(range(len(chosen.decays)), [f"{decay:g}" for decay in chosen.decays])
    stretch(ax, "y", true["persistence"])
    ax.set(
        xlabel="weight decay (thin: a seed, thick: median)", ylabel="finite persistence (nats²)"
    )
    ax.legend(fontsize=8, frameon=True)


def stretch(ax: Axes, name: Literal["x", "y"], values: pd.Series) -> None:
    """Make an axis logarithmic, from the smallest positive value on where there are zeros."""
    scale: Any = ax.set_xscale if name == "x" else ax.set_yscale
    if (values > 0).all():
        scale("log")
        canvas.plain(ax.xaxis if name == "x" else ax.yaxis)
    elif (values >= 0).all() and values.max() > 0:
        smallest = 10 ** np.ceil(np.log10(values[values > 0].min()))
        scale("symlog", linthresh=smallest)
        (ax.set_xlim if name == "x" else ax.set_ylim)(-smallest / 2, None)


def titles(
    panels: Any,
    plain: pd.DataFrame,
    keyed: pd.DataFrame,
    claims: list[dict[str, Any]],
) -> None:
    ours = keyed.sort_index().loc[("all networks", "persistence")]
    counts = (f"{name} {int(clear(plain.loc[name]).sum())}"
              for name in ("all networks", "seeds of one recipe"))  # fmt: skip
    trend, released = claims[-2:]
    canvas.title(panels[0, 0], f"{len(PREDICTORS)} numbers by |ρ| in all networks; intervals "
                 f"(unadjusted) that leave out 0: {', '.join(counts)}")  # fmt: skip
    left = ", ".join(f"{HELD[name]} {ours.loc[name, 'rho']:+.2f}" for name in FIXED)
    canvas.title(panels[0, 1], f"all networks, another number held fixed; persistence: {left}")
    canvas.title(panels[0, 2], "conditions by test loss: finite persistence of each network")
    for ax, name in ((panels[1, 0], "train_loss"), (panels[1, 1], "persistence")):
        some, fit = (words(plain.loc[(group, name)]) for group in list(NETWORKS)[:2])
        canvas.title(ax, f"{PREDICTORS[name]}: {some}; {list(NETWORKS)[1]} {fit}")
    canvas.title(panels[1, 2], f"weight decay lowers finite persistence: {trend['verdict']} "
                 f"({shown(trend)}); by the released rule {released['verdict']} "
                 f"({shown(released)})")  # fmt: skip


def headline(plain: pd.DataFrame, keyed: pd.DataFrame) -> str:
    ours = keyed.sort_index().loc[("all networks", "persistence")]
    seeds = plain.loc[("seeds of one recipe", "persistence")]
    held, level = ours.loc["range_squared"], ours.loc["train_loss"]
    sure = bool(clear(ours.loc[[""]]).iloc[0])
    more = ("more" if ours.loc["", "rho"] > 0 else "less") if sure else "neither more nor less"
    return (
        f"Conditions of higher test loss have {more} finite persistence of the training loss: "
        f"ρ {words(ours.loc[''])}; seeds of one recipe {words(seeds)}\n"
        f"At equal range of the loss {words(held)}, p {held['p']:.1g}; at equal training loss "
        f"{words(level)}, p {level['p']:.2f}"
    )


def clear(rows: pd.DataFrame) -> pd.Series:
    """Say which intervals leave out 0.

    Returns:
        A mask.
    """
    return (rows["low"] > 0) | (rows["high"] < 0)


def caption(chosen: Plan, table: pd.DataFrame, claims: list[dict[str, Any]]) -> str:
    cnn = "-".join(map(str, chosen.channels))
    data = (f"CIFAR-10, {chosen.sizes[0]} training images of 16x16 pixels, simple_cnn {cnn}"
            if cnn else f"digits, {chosen.sizes[0]} images, MLP 64-32-10")  # fmt: skip
    sizes = ", ".join(f"{size:g}" for size in chosen.step_sizes)
    rates = ", ".join(f"{rate:g} for {size}" for size, rate in chosen.rates)
    share = fitted(table).mean()
    return (
        f"{len(table)} networks, {chosen.seeds} seeds in each of "
        f"{table['condition'].nunique()} conditions; {data}; {chosen.epochs} epochs of SGD, "
        f"momentum .9, cosine from {rates}; {share:.0%} fit over {FITTED:.0%} of their "
        f"labels (fitted). One common recipe after jumps of {sizes} filter norms in "
        f"{chosen.directions} directions: {chosen.retraining.epochs} epochs, batch "
        f"{chosen.retraining.batch_size}, lr {chosen.retraining.lr:g}, without decay and crops. "
        "All predictors from the training loss on plain images and the network's own labels; "
        "PHATE, cosine, joined, k = 20. Bars: 95 %; all networks: conditions drawn anew with all "
        "seeds; fitted (ranks within a share of redrawn labels; not judged) and seeds "
        f"of one recipe (ranks within a condition): Fisher, over networks. {tally(claims)}."
    )


def words(row: pd.Series) -> str:
    if not np.isfinite(row["low"]):
        return "none to estimate"
    return f"{row['rho']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"


def shown(claim: dict[str, Any]) -> str:
    return "none to estimate" if claim["effect"] is None else f"ρ {claim['effect']:+.2f}"


def colour_of(row: pd.Series) -> Any:
    if row["share"]:
        return {0.25: "#fdc086", 0.5: ORANGE}.get(row["share"], RED)
    return {0.0: BLUE, 1e-3: SKY}.get(row["weight_decay"], GREEN)


def word_of(row: pd.Series) -> str:
    if row["share"]:
        return f"{row['share']:.0%} redrawn"
    return f"true labels, decay {row['weight_decay']:g}"
