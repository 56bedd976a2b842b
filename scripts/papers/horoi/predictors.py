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
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import entry
from evidence.wording import Claims
from numpy.typing import NDArray
from papers.horoi import cifar_networks as cifar
from papers.horoi.cifar_networks import PREDICTORS
from papers.horoi.predictor_panels import ALL, FIT, RECIPE, drawn
from scipy.stats import rankdata

from jumpretrain.comparison.correlation import TIE, partial_spearman, residual_maker
from jumpretrain.comparison.relabelling import draw_permutations, p_value

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
Array = NDArray[np.float64]
Places = NDArray[np.intp]
Ends = tuple[float, float]


def make(asked: Flags) -> Made:
    chosen, table = cifar.plan(asked), cifar.table(asked)
    resamples = 100 if asked.quick else RESAMPLES
    rows = correlations(table, resamples)
    keyed = rows[rows["target"] == "test_loss"].set_index(["networks", "predictor", "fixed"])
    keyed = keyed.sort_index()
    claims = [*judged(keyed), *gains(table, resamples), *trends(table, resamples)]
    numbers = {
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
    return drawn(chosen, table, keyed, claims), numbers


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
    within = ((FIT, table[cifar.fitted(table)], "share"), (RECIPE, true, "condition"))
    for networks, part, block in within:
        for target, predictor in product(TARGETS, PREDICTORS):
            found[networks, predictor, target, ""] = inside(part, predictor, target, block)
    names = ["networks", "predictor", "target", "fixed"]
    index = pd.MultiIndex.from_tuples(found, names=names)
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
    effect = float(statistic(everyone[None])[0])
    for some in (groups, everyone[:, None]):
        rng = np.random.default_rng(0)
        picks = rng.integers(len(some), size=(resamples, len(some)))
        draws = statistic(some[picks].reshape(resamples, -1))
        low = high = np.nan
        if np.isfinite(draws).any():
            low, high = np.nanquantile(draws, (0.025, 0.975))
            low, high = min(low, effect), max(high, effect)
        ends.append((float(low), float(high)))
    return effect, *ends


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


def judged(keyed: pd.DataFrame) -> Claims:
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


def gains(table: pd.DataFrame, resamples: int) -> Claims:
    """Judge whether persistence is more closely tied to the test loss than cheaper numbers."""
    groups, claims = conditions(table), []
    for other, word in HELD.items():
        pairs = [table[[name, "test_loss"]].to_numpy().T for name in ("persistence", other)]

        def gain(places: Places, pairs: list[Array] = pairs) -> Array:
            return np.subtract(*(np.abs(rhos(pair, places)) for pair in pairs))

        effect, ends, alone = resampled(gain, groups, resamples)
        claim = f"finite persistence tells the test loss better than {word} does"
        how = (
            f"difference of |Spearman's rho| with the test loss, persistence less {word}; "
            f"interval over {len(groups)} conditions; {FILTRATION}"
        )
        numbers = effect, *ends, len(table), LEAST_GAIN
        claims.append(claimed(alone, "horoi-H7", claim, how, *numbers))
    return claims


def trends(table: pd.DataFrame, resamples: int) -> Claims:
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
        effect, ends, p = trend(ranks - ranks.mean(), resamples)
        claim = f"{word} persistence falls with weight decay, within a block"
        how = (
            f"Spearman's rho of {word} persistence and weight decay, ranks within {blocks}; "
            f"interval and p over {len(ranks)} recipes of {recipe}; {FILTRATION}"
        )
        fisher = inside(numbered, name, "weight_decay", "block")
        numbers = effect, *ends, len(true), LEAST_RHO, -1
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

    effect, ends, _ = resampled(rho, np.arange(count)[:, None], resamples)
    orders, _ = draw_permutations(decays, np.random.default_rng(0), 1)
    ways = np.array(list(product(*(ranks.sum(1) @ line[orders].T))))
    return effect, ends, p_value(np.abs(ways.sum(1)), abs(along.sum()), TIE)
