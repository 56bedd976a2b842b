"""Which number measured around an optimum tells how well a small CIFAR-10 network generalises?

Networks of arXiv:2102.00485's conditions in small (weight decay x augmentation x batch size, and
redrawn labels) are jumped from and retrained alike. What is measured on the training loss is set
against the test loss: persistence (the paper's is of the test loss), geometry, sharpness and what
comes for free. Conditions are drawn and permuted whole, since they correlate and their seeds do
not. All of the paper's networks fit their labels and many of these do not; those that do are
described at equal share of redrawn labels, and not judged: with true labels they are of only four
conditions.

Changed after a review that had seen the numbers: intervals and p were over networks, and fitted
networks were judged with redrawn labels set against true ones. The quick form has an MLP on
digits.
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence.contests import Array
from evidence.figure import Flags, Made
from evidence.judging import entry
from evidence.panels import head, intervals, lines
from evidence.rows import Rows, bounded, effect
from matplotlib.axes import Axes
from numpy.typing import NDArray
from papers.horoi import cifar_networks as cifar
from papers.horoi.cifar_networks import PREDICTORS, Plan
from scipy.stats import rankdata

from jumpretrain.comparison.correlation import TIE, partial_spearman, residual_maker
from jumpretrain.comparison.relabelling import draw_permutations, p_value
from jumpretrain.plots import canvas

BLUE, ORANGE, GREEN, RED, PINK, SKY = canvas.OKABE_ITO
COLOURS = dict.fromkeys(PREDICTORS, GREEN)
COLOURS |= dict.fromkeys(("persistence", "rank_persistence"), BLUE)
COLOURS |= dict.fromkeys(("sharpness", "trace"), ORANGE)
COLOURS |= dict.fromkeys(("range_squared", "train_loss", "norm"), "0.45")
ALL, FIT, RECIPE = "all networks", "fitted, at equal share", "seeds of one recipe"
NETWORKS = (
    (ALL, "", ALL, "o", True),
    (FIT, "", FIT, "o", False),
    (RECIPE, "", RECIPE, "D", False),
)
FREED = (
    (ALL, "range_squared", "range² fixed", "s", True),
    (ALL, "sharpness", "sharpness fixed", "o", False),
    (ALL, "train_loss", "training loss fixed", "D", False),
)
UNITS = {"train_loss": "nats", "persistence": "nats²"}
FITTED = 0.99
LEAST_RHO, LEAST_GAIN = 0.3, 0.1
FEWEST = 8
RESAMPLES, PERMUTATIONS = 2000, 5  # permutations a bootstrap draw
TRUE = "true labels"
TARGETS = ("test_loss", "test_error")
HELD = {"range_squared": "range^2", "sharpness": "sharpness", "train_loss": "training loss"}
FIXED = {"": ""} | {name: f", {word} held fixed" for name, word in HELD.items()}
PARTS = {ALL: "", TRUE: ", true labels only"}
RISES = "persistence rises with the test loss"
FILTRATION = "filtration: the training loss, not the test loss as in the source"
SOURCES = {"persistence": FILTRATION, "rank_persistence": FILTRATION}
RUNS = "of runs, without a filtration"
RISING = (
    *(("H7", f"finite {RISES}{words}{held}", "persistence", networks, fixed)
      for networks, words in PARTS.items() for fixed, held in FIXED.items()),
    ("H7", f"finite {RISES}, among seeds of one recipe", "persistence", RECIPE, ""),
    ("H7", f"rank {RISES}, range^2 held fixed", "rank_persistence", ALL, "range_squared"),
    *((name, f"{claim} around optima that generalise worse{words}", predictor, networks, "")
      for networks, words in PARTS.items()
      for name, claim, predictor in (
          ("H3", "runs go further out", "overshoot"),
          ("H3", "more steps lead outward", "outward"),
          ("H3", "runs end further away", "final_distance"),
          ("H5", "runs turn more", "turning"))),
)  # fmt: skip
COLUMNS = ("rho", "low", "high", "low_networks", "high_networks", "p", "n", "conditions")
Places = NDArray[np.intp]
Ends = tuple[float, float]


def make(asked: Flags) -> Made:
    chosen = cifar.QUICK if asked.quick else cifar.FULL
    table = cifar.table(asked, chosen)
    resamples = 100 if asked.quick else RESAMPLES
    rows = correlations(table, resamples)
    keyed = rows[rows["target"] == "test_loss"].set_index(["networks", "predictor", "fixed"])
    keyed = keyed.sort_index()
    claims = [*judged(keyed), *gains(table, resamples), *trends(table, resamples)]
    size = keyed["rho"].abs().fillna(0)
    order = sorted(PREDICTORS, key=lambda name: float(size[ALL, name, ""]))
    figure = canvas.new_figure(18, 11.5)
    panels = figure.subplots(2, 3, width_ratios=(1.1, 1.1, 1))
    forest(panels[0, 0], keyed, order, NETWORKS)
    forest(panels[0, 1], keyed, order, FREED)
    panels[0, 1].set_yticklabels([])
    by_condition(panels[0, 2], table)
    for ax, predictor in zip(panels[1], UNITS, strict=False):
        scatter(ax, table, predictor)
    decays(panels[1, 2], table, chosen)
    for ax, said in zip(panels.flat, titles(keyed, claims), strict=True):
        canvas.title(ax, said)
    head(figure, finding(keyed), claims, caption(chosen, table))
    return figure, {
        "data": "digits" if asked.quick else "CIFAR-10, means of 2x2 pixels",
        "model": "mlp 64-32-10" if asked.quick else "simple_cnn",
        "plan": asdict(chosen),
        "seeds": list(range(chosen.seeds)),
        "filtration": cifar.FILTER,
        "predictors": PREDICTORS,
        "networks": table.to_dict("records"),
        "correlations": rows.astype(object).where(rows.notna(), None).to_dict("records"),
        "claims": claims,
    }


def correlations(table: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Correlate each predictor with test loss and error: plainly, freed of others, by recipe.

    The interval is over conditions that are drawn anew, and beside it that over networks. Fitted
    networks, ranked within their share of redrawn labels, and seeds of one recipe have Fisher's.
    """
    true, found = table[table["share"] == 0], {}
    for networks, part in ((ALL, table), (TRUE, true)):
        groups = conditions(part)
        for target, fixed, predictor in product(TARGETS, FIXED, PREDICTORS):
            if predictor != fixed:
                values = part[[name for name in (predictor, target, fixed) if name]]
                row = correlated(values.to_numpy(float).T, groups, resamples)
                found[networks, predictor, target, fixed] = row
    within = ((FIT, table[table["train_accuracy"] > FITTED], "share"), (RECIPE, true, "condition"))
    for networks, part, block in within:
        for target, predictor in product(TARGETS, PREDICTORS):
            found[networks, predictor, target, ""] = inside(part, predictor, target, block)
    index = pd.MultiIndex.from_tuples(found, names=["networks", "predictor", "target", "fixed"])
    return pd.DataFrame(list(found.values()), index).reset_index()


def conditions(table: pd.DataFrame) -> Places:
    """Give the places of the networks of each condition (C, seeds)."""
    return np.array(list(table.reset_index().groupby("condition").indices.values()))


def resampled(
    statistic: Callable[[Places], Array], groups: Places, resamples: int
) -> tuple[float, Ends, Ends]:
    """Give a statistic of places (B, n) for all; 95 % of it where groups (G, m) are drawn anew.

    The last ends are those of networks drawn one by one; none leave out the statistic itself.
    """
    everyone, ends = np.arange(groups.size), []
    whole = float(statistic(everyone[None])[0])
    for some in (groups, everyone[:, None]):
        rng = np.random.default_rng(0)
        picks = rng.integers(len(some), size=(resamples, len(some)))
        draws = statistic(some[picks].reshape(resamples, -1))
        low = high = np.nan
        if np.isfinite(draws).any():
            low, high = np.nanquantile(draws, (0.025, 0.975))
            low, high = min(low, whole), max(high, whole)
        ends.append((float(low), float(high)))
    return whole, *ends


def correlated(values: Array, groups: Places, resamples: int) -> dict[str, float]:
    """Correlate the ranks of two rows of values, those of a third, if any, held fixed."""
    rho, ends, alone = resampled(partial(rhos, values), groups, resamples)
    p = chance(values, groups, PERMUTATIONS * resamples)
    numbers = rho, *ends, *alone, p, groups.size, len(groups)
    return dict(zip(COLUMNS, numbers, strict=True))


def chance(values: Array, groups: Places, permutations: int) -> float:
    """Give p of permuting what is left of one side's ranks among conditions with all seeds."""
    ranks = rankdata(values, axis=-1)
    clear = residual_maker(ranks[2:].T)
    left, right = ranks[:2] @ clear
    if min(np.abs(left).max(), np.abs(right).max()) < TIE * len(left):
        return 1.0
    orders, _ = draw_permutations(len(groups), np.random.default_rng(0), permutations)
    moved = np.empty((len(orders), len(left)))
    moved[:, groups.ravel()] = left[groups[orders].reshape(len(orders), -1)]
    moved = moved @ clear
    null = np.abs(moved @ right) / np.maximum(np.linalg.norm(moved, axis=1), TIE)
    return p_value(null, abs(left @ right) / np.linalg.norm(left), TIE)


def rhos(values: Array, drawn: Places) -> Array:
    """Correlate ranks as `correlated` does, once for each row of places; NaN where none can."""
    ranks = rankdata(values[:, drawn], axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = ranks / np.linalg.norm(ranks, axis=-1, keepdims=True)
        both = (unit[0] * unit[1]).sum(-1)
        if len(values) == 2:
            return np.asarray(both)
        left, right = (unit[:2] * unit[2]).sum(-1)
        return np.asarray((both - left * right) / np.sqrt((1 - left**2) * (1 - right**2)))


def inside(table: pd.DataFrame, one: str, other: str, block: str) -> dict[str, float]:
    """Correlate ranks within blocks of networks, by Fisher's interval; NaN for few networks.

    The blocks are held fixed, which costs a degree of freedom each.
    """
    grouped, found = table.groupby(block), dict.fromkeys(COLUMNS, math.nan)
    found |= {"n": len(table), "conditions": table["condition"].nunique()}
    if len(table) < FEWEST:
        return found
    dummies = pd.get_dummies(grouped.ngroup(), drop_first=True).to_numpy(float)
    ranks = (grouped[name].rank(pct=True) for name in (one, other))
    return found | asdict(partial_spearman(*ranks, dummies))


def claimed(alone: Ends, *claim: Any, p: float = math.nan) -> dict[str, Any]:
    """Write a claim with the interval over networks beside that over conditions."""
    known = np.isfinite(alone).all()
    return entry(*claim, p=p) | {"interval_networks": list(alone) if known else None}


def judged(keyed: pd.DataFrame) -> Rows:
    """Judge H7, H3 and H5 by the correlations with the test loss."""
    claims = []
    for name, claim, predictor, networks, fixed in RISING:
        row = keyed.loc[(networks, predictor, fixed)]
        unit = "over networks" if networks == RECIPE else f"over {row['conditions']} conditions"
        how = (
            f"Spearman's rho of {PREDICTORS[predictor]} and test loss{FIXED[fixed]}; {networks}; "
            f"interval and p {unit}; {SOURCES.get(predictor, RUNS)}"
        )
        rho, low, high, *alone, p, count, _ = row[list(COLUMNS)].astype(float)
        numbers = rho, low, high, int(count), LEAST_RHO
        claims.append(claimed(alone, f"horoi-{name}", claim, how, *numbers, p=p))
    return claims


def gains(table: pd.DataFrame, resamples: int) -> Rows:
    """Judge whether persistence is more closely tied to the test loss than cheaper numbers."""
    groups, claims = conditions(table), []
    for other, word in HELD.items():
        pairs = [table[[name, "test_loss"]].to_numpy().T for name in ("persistence", other)]

        def gain(places: Places, pairs: list[Array] = pairs) -> Array:
            return np.subtract(*(np.abs(rhos(pair, places)) for pair in pairs))

        gap, ends, alone = resampled(gain, groups, resamples)
        claim = f"finite persistence tells the test loss better than {word} does"
        how = (
            f"difference of |Spearman's rho| with the test loss, persistence less {word}; "
            f"interval over {len(groups)} conditions; {FILTRATION}"
        )
        numbers = gap, *ends, len(table), LEAST_GAIN
        claims.append(claimed(alone, "horoi-H7", claim, how, *numbers))
    return claims


def trends(table: pd.DataFrame, resamples: int) -> Rows:
    """Judge H8 within blocks of networks that differ in weight decay alone.

    Ranks within a block are set against the decays'. Its recipe, augmentation and batch size, is
    drawn anew with all seeds; p permutes decays within each recipe, every way.
    """
    true, recipe = table[table["share"] == 0], ["augmented", "batch_size"]
    blocks, claims = [*recipe, "seed"], []
    numbered = true.assign(block=true.groupby(blocks).ngroup())
    for name, word in (("persistence", "finite"), ("released", "released total")):
        ordered = true.sort_values([*blocks, "weight_decay"])
        ranks = ordered.groupby(blocks)[name].rank().to_numpy()
        ranks = ranks.reshape(true.groupby(recipe).ngroups, -1, true["weight_decay"].nunique())
        rho, ends, p = trend(ranks - ranks.mean(), resamples)
        claim = f"{word} persistence falls with weight decay, within a block"
        how = (
            f"Spearman's rho of {word} persistence and weight decay, ranks within {blocks}; "
            f"interval and p over {len(ranks)} recipes of {recipe}; {FILTRATION}"
        )
        fisher = inside(numbered, name, "weight_decay", "block")
        numbers = rho, *ends, len(true), LEAST_RHO, -1
        alone = fisher["low"], fisher["high"]
        claims.append(claimed(alone, "horoi-H8", claim, how, *numbers, p=p))
    return claims


def trend(ranks: Array, resamples: int) -> tuple[float, Ends, float]:
    """Correlate ranks (recipes, seeds, decays), less their mean, with the decays'."""
    count, seeds, decays = ranks.shape
    line = np.arange(decays) - (decays - 1) / 2
    along, sizes = (ranks @ line).sum(1), (ranks**2).sum((1, 2))
    steps = np.full(count, seeds * (line**2).sum())

    def rho(places: Places) -> Array:
        with np.errstate(invalid="ignore"):
            spread = np.sqrt(sizes[places].sum(-1) * steps[places].sum(-1))
            return np.asarray(along[places].sum(-1) / spread)

    whole, ends, _ = resampled(rho, np.arange(count)[:, None], resamples)
    orders, _ = draw_permutations(decays, np.random.default_rng(0), 1)
    ways = np.array(list(product(*(ranks.sum(1) @ line[orders].T))))
    return whole, ends, p_value(np.abs(ways.sum(1)), abs(along.sum()), TIE)


def forest(ax: Axes, keyed: pd.DataFrame, order: list[str], marks: Any) -> None:
    shifts = np.linspace(0.25, -0.25, len(marks))
    for shift, (networks, fixed, name, mark, filled) in zip(shifts, marks, strict=True):
        for place, predictor in enumerate(order):
            if predictor != fixed:
                row, colour = keyed.loc[(networks, predictor, fixed)], COLOURS[predictor]
                ends, face = (row["low"], row["high"]), colour if filled else "white"
                intervals(ax, place + shift, row["rho"], ends, colour, mark, mfc=face)
        ax.plot([], [], mark, color="0.2", mfc="0.2" if filled else "white", label=name)
    ax.axvline(0, color="0.2", lw=0.8)
    ax.vlines((-LEAST_RHO, LEAST_RHO), -1.6, len(order), color="0.6", lw=0.8, ls=":")
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
        name = f"{'crops and flips' if augmented else 'plain'}, batch {size}"
        style = "o-" if size == true["batch_size"].min() else "o--"
        colour = RED if augmented else BLUE
        lines(ax, places, rows, colour, name, np.median, style, 0.6, lw=2.5)
    ax.set_xticks(places, [f"{decay:g}" for decay in chosen.decays])
    stretch(ax, "y", true["persistence"])
    ax.set(xlabel="weight decay (thin: a seed, thick: median)")
    ax.set_ylabel("finite persistence (nats²)")
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


def titles(keyed: pd.DataFrame, claims: Rows) -> list[str]:
    plain = keyed.xs("", level="fixed")
    counts = ", ".join(f"{name} {clear(plain.loc[name]).sum()}" for name in (ALL, RECIPE))
    ours = keyed.loc[(ALL, "persistence"), "rho"]
    left = ", ".join(f"{name} {ours[fixed]:+.2f}" for _, fixed, name, *_ in FREED)
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
    fit = (table["train_accuracy"] > FITTED).mean()
    return (
        f"{len(table)} networks, {chosen.seeds} seeds in each of {table['condition'].nunique()} "
        f"conditions; {data}; {chosen.epochs} epochs of SGD, momentum .9, cosine from {rates}; "
        f"{fit:.0%} fit over {FITTED:.0%} of their labels (fitted). One common recipe after jumps "
        f"of {sizes} filter norms in {chosen.directions} directions: {chosen.retraining.epochs} "
        f"epochs, batch {chosen.retraining.batch_size}, lr {chosen.retraining.lr:g}, without "
        "decay and crops. All predictors from the training loss on plain images and the network's "
        "own labels; PHATE, cosine, joined, k = 20. Bars: 95 %; all networks: conditions drawn "
        "anew with all seeds; fitted (ranks within a share of redrawn labels; not judged) and "
        "seeds of one recipe (ranks within a condition): Fisher, over networks."
    )


def colour_and_word(row: pd.Series) -> tuple[str, str]:
    """Say how a network was trained, by the colour and the word of the legends."""
    if row["share"]:
        colour = {0.25: "#fdc086", 0.5: ORANGE}.get(row["share"], RED)
        return colour, f"{row['share']:.0%} redrawn"
    colour = {0.0: BLUE, 1e-3: SKY}.get(row["weight_decay"], GREEN)
    return colour, f"true labels, decay {row['weight_decay']:g}"
