"""Networks that the figures on arXiv:2104.11044 share: trained, then scored on the way to the end.

A cell is what networks of several seeds have in common. Each network is scored at points of the
straight line from its initialisation to where training ended.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import QUIET, over, recipe, trained
from evidence.figure import Flags, device
from evidence.judging import NEGLIGIBLE, between, entry
from evidence.proportions import counted
from evidence.rows import Row, Rows, about
from numpy.typing import ArrayLike, NDArray

import jumpretrain as jr
from jumpretrain.storage import folders

RISE = 1e-3  # nats; a run is non-monotone where its training loss rises by more (released code)
DEPTH, WIDTH = 4, 128  # hidden layers of a classifier and their units, unless said otherwise
FITTED = 0.1  # final training loss of trained classifiers, in nats (released code)
NONE = (math.nan,) * 3  # effect and interval where nothing can be estimated


@dataclass(frozen=True, eq=False)
class Cell:
    """Networks trained the same way, up to a loss of `threshold`; `outputs`: with turning."""

    name: str
    facts: Mapping[str, Any]
    task: jr.Task
    recipe: jr.Recipe
    seeds: int
    threshold: float
    outputs: bool = True
    alphas: int = 51
    first: int = 0

    @property
    def limit(self) -> float | None:
        """The threshold as JSON files hold it: None where every network counts."""
        return self.threshold if math.isfinite(self.threshold) else None


Measure = Callable[[Cell, jr.Runs], Iterator[Row]]


def _rows(asked: Flags, cell: Cell, measure: Measure, kind: str) -> Rows:
    seeds = range(cell.first, cell.first + cell.seeds)
    fit = trained(asked, cell.name, cell.task, cell.recipe, seeds, jobs=1)
    kept = asked.work / f"{cell.name}{kind}.json"
    if not kept.exists():
        folders.write_json(kept, list(measure(cell, fit)))
    return [{"cell": cell.name, **cell.facts, **row} for row in folders.read_json(kept)]


def along(cell: Cell, fit: jr.Runs) -> Iterator[Row]:
    """Score the path of each network from its initialisation to where training ended."""
    for seed, status, *ends in zip(fit.seeds, fit.status, fit.initial, fit.final, strict=True):
        if status != "ok":
            yield {"seed": int(seed), "trained": False, "diverged": True}
            continue
        path = jr.interpolate(cell.task, *ends, cell.alphas, logits=cell.outputs, execution=QUIET)
        moved, loss = jr.weight_distance(cell.task, *ends), path.values("train_loss")
        rise = path.monotonicity()
        row = {
            "seed": int(seed),
            "trained": bool(loss[-1] <= cell.threshold),
            "diverged": False,
            "min_delta": rise.min_delta,
            "rise_ends": rise.where[1] if rise.where else None,
            "test_min_delta": path.monotonicity("test_loss").min_delta,
            "final_loss": float(loss[-1]),
            "distance": moved.absolute,
            "relative": moved.relative,
            "curve": loss,
        }
        if cell.outputs:
            turned = jr.gauss_length(path)
            row |= {"gauss_mean": turned.mean, "gauss_joint": turned.joint}
        yield row


def measured(
    asked: Flags, cells: Sequence[Cell], measure: Measure = along, kind: str = ""
) -> pd.DataFrame:
    """Train and measure networks, or read what was kept in files whose names end in `kind`."""
    jobs = [(asked, cell, measure, kind) for cell in cells]
    parts = over(asked, _rows, jobs, f"{len(cells)} cells{kind}")
    return pd.DataFrame([row for part in parts for row in part])


@cache
def images(quick: bool, noise: float = 0.0, examples: int = 0) -> jr.Dataset:
    """Load images of Fashion-MNIST, or digits, with a share of training labels redrawn."""
    most, test = (200, 100) if quick else (1000, 500)
    data = jr.data.digits() if quick else jr.data.load("fashion_mnist")
    data = data.subset(examples or most, test)
    return data.corrupt(noise) if noise else data


def classifier(
    quick: bool,
    optimiser: str,
    lr: float,
    batchnorm: bool = False,
    depth: int = DEPTH,
    width: int = WIDTH,
    noise: float = 0.0,
    examples: int = 0,
    **changes: Any,
) -> Cell:
    """Describe fully connected classifiers; changes are to the recipe, and `seeds`."""
    data = images(quick, noise, examples)
    seeds, alphas = changes.pop("seeds", 3 if quick else 5), 11 if quick else 51
    shape, hidden = data.train_x.shape[1:], (width,) * depth
    build = partial(jr.models.mlp, shape, 10, hidden=hidden, batchnorm=batchnorm)
    wanted = {"optimiser": optimiser, "lr": lr, "batchnorm": batchnorm, "depth": depth}
    wanted |= {"width": width, "noise": noise, "examples": len(data.train_x), **changes}
    name = "-".join(("mlp", *(f"{key}{value}" for key, value in wanted.items())))
    way = recipe(10 if quick else 100, lr, 50 if quick else 100, optimiser=optimiser)
    task, way = jr.Task(build, data, device=device()), replace(way, **changes)
    return Cell(name, wanted, task, way, seeds, fitted(quick), alphas=alphas)


def fitted(quick: bool, threshold: float = FITTED) -> float:
    """Give the final training loss up to which a network counts as trained; quickly, any."""
    return math.inf if quick else threshold


def rises(table: pd.DataFrame) -> NDArray[np.float64]:
    """Take the min Delta of networks (n,); rises that do not count as such are 0."""
    values = table["min_delta"].to_numpy(float)
    return np.where(values > RISE, values, 0.0)


def counts(some: pd.DataFrame) -> Row:
    """Count networks; means are None where there are none to take them of."""
    kept = some[some["trained"]]
    values = rises(kept)
    rose = values > 0
    return {
        "networks": len(some),
        "diverged": int(some["diverged"].sum()),
        "trained": len(kept),
        "rose": int(rose.sum()),
        "mean_min_delta": float(kept["min_delta"].mean()) if len(kept) else None,
        "mean_min_delta_of_those": float(values[rose].mean()) if rose.any() else None,
    }


def larger(
    name: str, claim: str, more: ArrayLike, fewer: ArrayLike, which: str = "networks that trained"
) -> Row:
    """Judge whether min Delta is larger in one group; undecided where a group is missing."""
    sizes = np.size(more), np.size(fewer)
    if min(sizes) > 1:
        return between(name, claim, f"min Delta, {which}", more, fewer)
    how = f"Cliff's delta of min Delta, {which}"
    return entry(name, claim, how, *NONE, sum(sizes), NEGLIGIBLE)


def mostly(name: str, claim: str, statistic: str, hits: ArrayLike, smallest: float) -> Row:
    """Judge whether a share of networks is above a bound; undecided below two networks."""
    size = {"networks": np.size(hits)}
    if np.size(hits) < 2:
        return entry(name, claim, statistic, *NONE, np.size(hits), smallest) | size
    found = counted(name, claim, hits, smallest)
    del found["holds"]
    return found | {"statistic": f"share of networks: {statistic}"} | size


def verdicts(claims: Rows, chosen: Mapping[str, tuple[str, str]]) -> str:
    """Count the verdicts on claims by what to call them: the end of their id, words in them."""
    words = []
    for what, (ending, inner) in chosen.items():
        some = about(claims, inner, name=ending)
        found = Counter(claim["verdict"] for claim in some)
        others = (f", {found[v]} {v}" for v in ("contradicted", "undecided") if found[v])
        words.append(f"{what}: {found['supported']} of {len(some)} supported{''.join(others)}")
    return "; ".join(words)


def rows(table: pd.DataFrame, curves: bool = False) -> Rows:
    """List networks for the JSON file to five digits, with their curves where asked."""
    kept = table if curves else table.drop(columns="curve", errors="ignore")
    return [
        {key: _short(value) for key, value in row.items() if pd.isna(value) is not True}
        for row in kept.to_dict("records")
    ]


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return [_short(inner) for inner in value] if isinstance(value, list) else value
