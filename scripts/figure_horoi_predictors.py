"""Which number measured around an optimum tells how well a small CIFAR-10 network generalises?

Networks of arXiv:2102.00485's conditions in small (weight decay x augmentation x batch size, and
redrawn labels) are jumped from and retrained alike. What is measured on the training loss is set
against the test loss: persistence, geometry, sharpness and what comes for free. All of the paper's
networks fit their labels and many of these do not, so that those that do are judged apart (asked
once the others had been seen, by the same rule). Redo:

    .venv/bin/python scripts/figure_horoi_predictors.py            # --quick: an MLP on digits
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import cifar
import numpy as np
import pandas as pd
from cifar import PREDICTORS
from figure import flags, save
from judging import entry
from numpy.typing import NDArray
from predictions import drawn
from scipy.stats import rankdata

from jumpretrain.statistics import partial_spearman

LEAST_RHO, LEAST_GAIN = 0.3, 0.1
FEWEST = 8
RESAMPLES, PERMUTATIONS = 2000, 5  # permutations a bootstrap draw
ALL, TRUE, FITTED = "all networks", "true labels", "fitted networks"
RECIPE = "seeds of one recipe"
RANGE, SHARPNESS, LOSS = "range_squared", "sharpness", "train_loss"
FIXED = ("", RANGE, SHARPNESS, LOSS)
HELD = {RANGE: "range^2", SHARPNESS: "sharpness", LOSS: "training loss"}
FINITE = "finite persistence rises with the test loss"
RISING = (
    ("H7", FINITE, "persistence", ALL, ""),
    *(("H7", f"{FINITE}, {word} held fixed", "persistence", ALL, name)
      for name, word in HELD.items()),
    ("H7", f"{FINITE}, true labels only", "persistence", TRUE, ""),
    *(("H7", f"{FINITE}, true labels only, {word} held fixed", "persistence", TRUE, name)
      for name, word in HELD.items()),
    ("H7", f"{FINITE}, fitted networks only", "persistence", FITTED, ""),
    *(("H7", f"{FINITE}, fitted networks only, {word} held fixed", "persistence", FITTED, name)
      for name, word in HELD.items()),
    ("H7", f"{FINITE}, among seeds of one recipe", "persistence", RECIPE, ""),
    ("H7", "rank persistence rises with the test loss, range^2 held fixed", "rank_persistence",
     ALL, RANGE),
    *((name, f"{claim} around optima that generalise worse{words}", predictor, networks, "")
      for networks, words in ((ALL, ""), (TRUE, ", true labels only"),
                              (FITTED, ", fitted networks only"))
      for name, claim, predictor in (
          ("H3", "runs go further out", "overshoot"),
          ("H3", "more steps lead outward", "outward"),
          ("H3", "runs end further away", "final_distance"),
          ("H5", "runs turn more", "turning"))),
)  # fmt: skip

Array = NDArray[np.float64]


def main() -> None:
    asked = flags(__file__, "predictors of generalisation around small CIFAR-10 networks")
    chosen, table = cifar.plan(asked), cifar.table(asked)
    resamples = 100 if asked.quick else RESAMPLES
    rows = correlations(table, resamples)
    claims = [*judged(rows), *gains(table, resamples), *trends(table)]
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
    save(drawn(chosen, table, rows, claims), asked, numbers)


def correlations(table: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Correlate each predictor with test loss and error: plainly, freed of others, by recipe.

    Returns:
        One row a correlation, with the interval over networks that are drawn anew, and beside it
        that over conditions that are. Seeds of one recipe have Fisher's interval.
    """
    found = []
    true = table[table["share"] == 0]
    for networks, part in ((ALL, table), (TRUE, true), (FITTED, table[cifar.fitted(table)])):
        draws = [picks([[i] for i in range(len(part))], resamples)]
        if networks != FITTED:  # of which conditions have different numbers
            conditions = part.reset_index().groupby("condition").indices
            draws.append(picks(list(conditions.values()), resamples))
        found += [
            {**_named(networks, predictor, target, fixed),
             **correlated(part[[name for name in (predictor, target, fixed) if name]], draws)}
            for target in ("test_loss", "test_error")
            for fixed in FIXED
            for predictor in PREDICTORS
            if predictor != fixed
        ]  # fmt: skip
    found += [
        {**_named(RECIPE, predictor, target, ""),
         **inside(true, predictor, target, ["condition"])}
        for target in ("test_loss", "test_error")
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


def correlated(columns: pd.DataFrame, draws: list[NDArray[np.intp]]) -> dict[str, float]:
    """Correlate the ranks of two columns, those of a third held fixed where there is one.

    Returns:
        Spearman's rho, p by permutation, and percentiles of the bootstraps; NaN for few networks.
    """
    names = ("rho", "low", "high", "low_conditions", "high_conditions", "p")
    found = dict.fromkeys(names, np.nan) | {"n": len(columns)}
    if len(columns) < FEWEST:
        return found
    values = columns.to_numpy(float).T
    permutations = PERMUTATIONS * len(draws[0])
    plain = partial_spearman(values[0], values[1], values[2:].T, resamples=permutations)
    ends = [end for drawn in draws for end in ends_of(rhos(values, drawn), plain.rho)]
    return found | {"rho": plain.rho, "p": plain.p} | dict(zip(names[1:5], ends, strict=False))


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


def inside(table: pd.DataFrame, one: str, other: str, blocks: list[str]) -> dict[str, float]:
    """Correlate ranks that are taken within blocks, the blocks held fixed.

    Returns:
        The correlation with Fisher's interval, which the blocks cost a degree of freedom each.
    """
    grouped = table.groupby(blocks)
    dummies = pd.get_dummies(grouped.ngroup(), drop_first=True).to_numpy(float)
    found = partial_spearman(grouped[one].rank(), grouped[other].rank(), dummies)
    return {"rho": found.rho, "low": found.low, "high": found.high, "low_conditions": np.nan,
            "high_conditions": np.nan, "p": found.p, "n": len(table)}  # fmt: skip


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
        how = f"Spearman's rho of {PREDICTORS[predictor]} and test loss{held}; {networks}"
        ends = float(row["low"]), float(row["high"])
        n, p = int(row["n"]), float(row["p"])
        found = entry(f"horoi-{name}", claim, how, float(row["rho"]), *ends, n, LEAST_RHO, p=p)
        wide = [float(row[f"{end}_conditions"]) for end in ("low", "high")]
        claims.append(found | {"interval_conditions": None if np.isnan(wide).any() else wide})
    return claims


def gains(table: pd.DataFrame, resamples: int) -> list[dict[str, Any]]:
    """Judge whether persistence is more closely tied to the test loss than cheaper numbers.

    Returns:
        The claims, by the difference of absolute correlations.
    """
    drawn = picks([[i] for i in range(len(table))], resamples)
    whole = np.arange(len(table))[None]

    def strength(name: str, places: NDArray[np.intp]) -> Array:
        return np.abs(rhos(table[[name, "test_loss"]].to_numpy().T, places))

    claims = []
    for other, word in HELD.items():
        effect = float((strength("persistence", whole) - strength(other, whole))[0])
        ends = ends_of(strength("persistence", drawn) - strength(other, drawn), effect)
        claim = f"finite persistence tells the test loss better than {word} does"
        how = f"difference of |Spearman's rho| with the test loss, persistence less {word}"
        found = entry("horoi-H7", claim, how, effect, *ends, len(table), LEAST_GAIN)
        claims.append(found | {"interval_conditions": None})
    return claims


def trends(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge H8 within blocks of networks that differ in weight decay alone.

    Returns:
        The claims, of finite persistence and of the released rule.
    """
    true, blocks = table[table["share"] == 0], ["augmented", "batch_size", "seed"]
    claims = []
    for name, word in (("persistence", "finite"), ("released", "released total")):
        row = inside(true, name, "weight_decay", blocks)
        claim = f"{word} persistence falls with weight decay, within a block"
        how = f"Spearman's rho of {word} persistence and weight decay, ranks within {blocks}"
        ends, n = (row["low"], row["high"]), int(row["n"])
        found = entry("horoi-H8", claim, how, row["rho"], *ends, n, LEAST_RHO, -1, row["p"])
        claims.append(found | {"interval_conditions": None})
    return claims


def _named(networks: str, predictor: str, target: str, fixed: str) -> dict[str, str]:
    return {"networks": networks, "predictor": predictor, "target": target, "fixed": fixed}


if __name__ == "__main__":
    main()
