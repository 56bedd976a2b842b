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

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import entry
from numpy.typing import NDArray
from papers.horoi import cifar_networks as cifar
from papers.horoi.cifar_networks import PREDICTORS
from papers.horoi.predictions import drawn
from scipy.stats import rankdata

from jumpretrain.comparison.correlation import TIE, partial_spearman, remover
from jumpretrain.comparison.relabelling import draw_orders, extreme_share

LEAST_RHO, LEAST_GAIN = 0.3, 0.1
FEWEST = 8
RESAMPLES, PERMUTATIONS = 2000, 5  # permutations a bootstrap draw
ALL, TRUE, FITTED = "all networks", "true labels", "fitted, at equal share"
RECIPE = "seeds of one recipe"
RANGE, SHARPNESS, LOSS = "range_squared", "sharpness", "train_loss"
FIXED = ("", RANGE, SHARPNESS, LOSS)
HELD = {RANGE: "range^2", SHARPNESS: "sharpness", LOSS: "training loss"}
FINITE = "finite persistence rises with the test loss"
FILTRATION = "filtration: the training loss, not the test loss as in the source"
SOURCES = {"persistence": FILTRATION, "rank_persistence": FILTRATION}
RUNS = "of runs, without a filtration"
RISING = (
    ("H7", FINITE, "persistence", ALL, ""),
    *(("H7", f"{FINITE}, {word} held fixed", "persistence", ALL, name)
      for name, word in HELD.items()),
    ("H7", f"{FINITE}, true labels only", "persistence", TRUE, ""),
    *(("H7", f"{FINITE}, true labels only, {word} held fixed", "persistence", TRUE, name)
      for name, word in HELD.items()),
    ("H7", f"{FINITE}, among seeds of one recipe", "persistence", RECIPE, ""),
    ("H7", "rank persistence rises with the test loss, range^2 held fixed", "rank_persistence",
     ALL, RANGE),
    *((name, f"{claim} around optima that generalise worse{words}", predictor, networks, "")
      for networks, words in ((ALL, ""), (TRUE, ", true labels only"))
      for name, claim, predictor in (
          ("H3", "runs go further out", "overshoot"),
          ("H3", "more steps lead outward", "outward"),
          ("H3", "runs end further away", "final_distance"),
          ("H5", "runs turn more", "turning"))),
)  # fmt: skip

Array = NDArray[np.float64]


def make(asked: Flags) -> Made:
    chosen, table = cifar.plan(asked), cifar.table(asked)
    resamples = 100 if asked.quick else RESAMPLES
    rows = correlations(table, resamples)
    claims = [*judged(rows), *gains(table, resamples), *trends(table, resamples)]
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
    return drawn(chosen, table, rows, claims), numbers


def correlations(table: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Correlate each predictor with test loss and error: plainly, freed of others, by recipe.

    Returns:
        One row a correlation, with the interval over conditions that are drawn anew, and beside
        it that over networks that are. Fitted networks, ranked within their share of redrawn
        labels, and seeds of one recipe have Fisher's interval, over networks.
    """
    true, targets = table[table["share"] == 0], ("test_loss", "test_error")
    found = [
        {**_named(networks, predictor, target, fixed),
         **correlated(part[[name for name in (predictor, target, fixed) if name]],
                      list(part.reset_index().groupby("condition").indices.values()), resamples)}
        for networks, part in ((ALL, table), (TRUE, true))
        for target in targets
        for fixed in FIXED
        for predictor in PREDICTORS
        if predictor != fixed
    ]  # fmt: skip
    found += [
        {**_named(networks, predictor, target, ""), **inside(part, predictor, target, block)}
        for networks, part, block in ((FITTED, table[cifar.fitted(table)], "share"),
                                      (RECIPE, true, "condition"))
        for target in targets
        for predictor in PREDICTORS
    ]  # fmt: skip
    return pd.DataFrame(found)


def picks(members: Sequence[Sequence[int]], resamples: int) -> NDArray[np.intp]:
    """Draw groups of networks anew, whole.

    Returns:
        Places of networks (resamples, n); groups must be of one size.
    """
    groups, rng = np.asarray(members), np.random.default_rng(0)
    return groups[rng.integers(len(groups), size=(resamples, len(groups)))].reshape(resamples, -1)


def correlated(
    columns: pd.DataFrame, members: Sequence[Sequence[int]], resamples: int
) -> dict[str, float]:
    """Correlate the ranks of two columns, those of a third held fixed where there is one.

    Args:
        columns: One row a network.
        members: Places of the networks of each condition, equally many.
        resamples: Of the bootstraps.

    Returns:
        Spearman's rho, percentiles of the bootstraps of conditions and of networks, and p.
    """
    values = columns.to_numpy(float).T
    rho = float(rhos(values, np.arange(len(columns))[None])[0])
    low, high = ends_of(rhos(values, picks(members, resamples)), rho)
    alone = ends_of(rhos(values, picks([[i] for i in range(len(columns))], resamples)), rho)
    return {"rho": rho, "low": low, "high": high, "low_networks": alone[0],
            "high_networks": alone[1], "p": chance(values, members, PERMUTATIONS * resamples),
            "n": len(columns), "conditions": len(members)}  # fmt: skip


def chance(values: Array, members: Sequence[Sequence[int]], permutations: int) -> float:
    """Permute what is left of one side's ranks among conditions, each with all its seeds.

    Returns:
        The share of orders in which the other side goes with it as closely, either way.
    """
    ranks, groups = rankdata(values, axis=-1), np.asarray(members)
    clear = remover(ranks[2:].T)
    left, right = ranks[:2] @ clear
    if min(np.abs(left).max(), np.abs(right).max()) < TIE * len(left):
        return 1.0
    orders, _ = draw_orders(len(groups), np.random.default_rng(0), permutations)
    moved = np.empty((len(orders), len(left)))
    moved[:, groups.ravel()] = left[groups[orders].reshape(len(orders), -1)]
    moved = moved @ clear
    null = np.abs(moved @ right) / np.maximum(np.linalg.norm(moved, axis=1), TIE)
    return extreme_share(null, abs(left @ right) / np.linalg.norm(left), TIE)


def rhos(values: Array, drawn: NDArray[np.intp]) -> Array:
    """Correlate ranks as `correlated` does, once for each row of places.

    Args:
        values: Two columns, and one held fixed or none (2 or 3, n).
        drawn: Places of networks (B, n).

    Returns:
        The correlations (B,); NaN where a draw leaves nothing to correlate.
    """
    ranks = rankdata(values[:, drawn], axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = ranks / np.linalg.norm(ranks, axis=-1, keepdims=True)
        both = (unit[0] * unit[1]).sum(-1)
        if len(values) == 2:
            return np.asarray(both)
        left, right = (unit[:2] * unit[2]).sum(-1)
        return np.asarray((both - left * right) / np.sqrt((1 - left**2) * (1 - right**2)))


def ends_of(draws: Array, effect: float) -> tuple[float, float]:
    """Take percentiles of draws, no narrower than the effect itself.

    Returns:
        Lower and upper end of 95 %.
    """
    if not np.isfinite(draws).any():
        return np.nan, np.nan
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return float(min(low, effect)), float(max(high, effect))


def inside(table: pd.DataFrame, one: str, other: str, block: str) -> dict[str, float]:
    """Correlate ranks that are taken within blocks of networks, the blocks held fixed.

    Returns:
        The correlation with Fisher's interval, which the blocks cost a degree of freedom each;
        NaN for few networks.
    """
    grouped = table.groupby(block)
    found = {"low_networks": np.nan, "high_networks": np.nan, "n": len(table),
             "conditions": table["condition"].nunique()}  # fmt: skip
    if len(table) < FEWEST:
        return found | dict.fromkeys(("rho", "low", "high", "p"), np.nan)
    dummies = pd.get_dummies(grouped.ngroup(), drop_first=True).to_numpy(float)
    ranks = (grouped[name].rank(pct=True) for name in (one, other))
    return found | asdict(partial_spearman(*ranks, dummies))


def judged(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge H7, H3 and H5 by the correlations with the test loss.

    Returns:
        The claims.
    """
    claims = []
    keyed = rows[rows["target"] == "test_loss"].set_index(["networks", "predictor", "fixed"])
    for name, claim, predictor, networks, fixed in RISING:
        row = keyed.loc[(networks, predictor, fixed)]
        held = f", {HELD[fixed]} held fixed" if fixed else ""
        unit = "over networks" if networks == RECIPE else f"over {row['conditions']} conditions"
        how = (
            f"Spearman's rho of {PREDICTORS[predictor]} and test loss{held}; {networks}; "
            f"interval and p {unit}; {SOURCES.get(predictor, RUNS)}"
        )
        ends = float(row["low"]), float(row["high"])
        n, p = int(row["n"]), float(row["p"])
        found = entry(f"horoi-{name}", claim, how, float(row["rho"]), *ends, n, LEAST_RHO, p=p)
        claims.append(found | beside(row["low_networks"], row["high_networks"]))
    return claims


def beside(low: float, high: float) -> dict[str, list[float] | None]:
    return {"interval_networks": [float(low), float(high)] if np.isfinite([low, high]).all()
            else None}  # fmt: skip


def gains(table: pd.DataFrame, resamples: int) -> list[dict[str, Any]]:
    """Judge whether persistence is more closely tied to the test loss than cheaper numbers.

    Returns:
        The claims, by the difference of absolute correlations.
    """
    conditions = list(table.reset_index().groupby("condition").indices.values())
    drawn = picks(conditions, resamples), picks([[i] for i in range(len(table))], resamples)
    whole = np.arange(len(table))[None]

    def gain(other: str, places: NDArray[np.intp]) -> Array:
        ours, theirs = (rhos(table[[name, "test_loss"]].to_numpy().T, places)
                        for name in ("persistence", other))  # fmt: skip
        return np.abs(ours) - np.abs(theirs)

    claims = []
    for other, word in HELD.items():
        effect = float(gain(other, whole)[0])
        ends, alone = (ends_of(gain(other, places), effect) for places in drawn)
        claim = f"finite persistence tells the test loss better than {word} does"
        how = (
            f"difference of |Spearman's rho| with the test loss, persistence less {word}; "
            f"interval over {len(conditions)} conditions; {FILTRATION}"
        )
        found = entry("horoi-H7", claim, how, effect, *ends, len(table), LEAST_GAIN)
        claims.append(found | beside(*alone))
    return claims


def trends(table: pd.DataFrame, resamples: int) -> list[dict[str, Any]]:
    """Judge H8 within blocks of networks that differ in weight decay alone.

    Ranks within a block are set against the decays'. Its recipe, augmentation and batch size, is
    drawn anew with all seeds; p permutes decays within each recipe, every way.

    Returns:
        The claims, of finite persistence and of the released rule.
    """
    true, recipe = table[table["share"] == 0], ["augmented", "batch_size"]
    names = (("persistence", "finite"), ("released", "released total"))
    return [trend(true, recipe, name, word, resamples) for name, word in names]


def trend(
    true: pd.DataFrame, recipe: list[str], name: str, word: str, resamples: int
) -> dict[str, Any]:
    blocks = [*recipe, "seed"]
    row = true.sort_values([*blocks, "weight_decay"])
    decays = row["weight_decay"].nunique()
    shape = (row.groupby(recipe).ngroups, -1, decays)
    ranks = row.groupby(blocks)[name].rank().to_numpy().reshape(shape) - (decays + 1) / 2
    line = np.arange(decays) - (decays - 1) / 2
    sizes = (ranks**2).sum((1, 2)), np.full(len(ranks), ranks.shape[1] * (line**2).sum())

    def rho(along: Array, places: Any) -> Array:
        with np.errstate(invalid="ignore"):
            spread = np.sqrt(sizes[0][places].sum(-1) * sizes[1][places].sum(-1))
            return np.asarray(along.sum(-1) / spread)

    along, every = (ranks @ line).sum(1), np.arange(len(ranks))
    effect = float(rho(along, every))
    drawn = picks([[i] for i in every], resamples)
    ends = ends_of(rho(along[drawn], drawn), effect)
    orders, _ = draw_orders(decays, np.random.default_rng(0), 1)
    ways = np.array(list(product(*(ranks.sum(1) @ line[orders].T))))
    p = extreme_share(np.abs(ways.sum(1)), abs(along.sum()), TIE)
    claim = f"{word} persistence falls with weight decay, within a block"
    how = (
        f"Spearman's rho of {word} persistence and weight decay, ranks within {blocks}; "
        f"interval and p over {len(ranks)} recipes of {recipe}; {FILTRATION}"
    )
    found = entry("horoi-H8", claim, how, effect, *ends, len(true), LEAST_RHO, -1, p)
    numbered = true.assign(block=true.groupby(blocks).ngroup())
    fisher = inside(numbered, name, "weight_decay", "block")
    return found | beside(fisher["low"], fisher["high"])


def _named(networks: str, predictor: str, target: str, fixed: str) -> dict[str, str]:
    return {"networks": networks, "predictor": predictor, "target": target, "fixed": fixed}
