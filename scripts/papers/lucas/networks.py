"""Networks that the figures on arXiv:2104.11044 share: trained, then scored on the way to the end.

A cell is what networks of several seeds have in common. Each network is scored at points of the
straight line from its initialisation to where training ended.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import trained
from evidence.figure import Flags, device
from evidence.judging import NEGLIGIBLE, between, entry
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import Correlation, spearman
from jumpretrain.execution.execution import spread
from jumpretrain.storage import folders

QUIET = jr.Execution(progress=False)
RISE = 1e-3
"""A run is called non-monotone where its training loss rises by more (released code)."""

DEPTH, WIDTH = 4, 128
"""Hidden layers of a classifier and their units, where nothing else is said."""

FITTED = 0.1
"""Final training loss, in nats, up to which a classifier counts as trained (released code); in
quick form every network that did not diverge does."""


@dataclass(frozen=True, eq=False)
class Cell:
    """Networks that are trained the same way, but for the seed.

    Attributes:
        name: Also that of the folder.
        facts: What tells the cell from others, by factor.
        task: Network, data, loss and metrics.
        recipe: How training goes.
        seeds: How many networks.
        threshold: Final training loss up to which a network counts as trained.
        outputs: Whether the turning of the outputs is measured as well.
        alphas: At how many points of the path networks are scored.
        first: The seed of the first network; the others follow.
    """

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


Measure = Callable[[Cell, jr.Runs], Iterator[dict[str, Any]]]


def measured(
    asked: Flags, cells: Sequence[Cell], measure: Measure | None = None, kind: str = ""
) -> pd.DataFrame:
    """Train the networks of some cells and measure them, or read what was kept.

    Args:
        asked: The script's flags.
        cells: What to train.
        measure: Gives one row a network; scores its path where left out.
        kind: Ending of the file in which the rows are kept.

    Returns:
        One row a network: the facts of its cell, then what was measured.
    """
    jobs = [(asked, cell, measure or along, kind) for cell in cells]
    parts = spread(_rows, jobs, jr.Execution(n_jobs=asked.jobs), f"{len(cells)} cells{kind}")
    return pd.DataFrame([row for part in parts for row in part])


def _rows(asked: Flags, cell: Cell, measure: Measure, kind: str) -> list[dict[str, Any]]:
    seeds = range(cell.first, cell.first + cell.seeds)
    fit = trained(asked, cell.name, cell.task, cell.recipe, seeds, jobs=1)
    kept = asked.work / f"{cell.name}{kind}.json"
    if not kept.exists():
        folders.write_json(kept, list(measure(cell, fit)))
    return [{"cell": cell.name, **cell.facts, **row} for row in folders.read_json(kept)]


def along(cell: Cell, fit: jr.Runs) -> Iterator[dict[str, Any]]:
    """Score the path of each network from its initialisation to where training ended.

    Yields:
        One row a network, with its curve.
    """
    for number, seed in enumerate(fit.seeds):
        if fit.status[number] != "ok":
            yield {"seed": int(seed), "trained": False, "diverged": True}
            continue
        ends = fit.initial[number], fit.final[number]
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


@cache
def images(quick: bool, noise: float = 0.0, examples: int = 0) -> jr.Dataset:
    """Load what all classifiers are trained on: Fashion-MNIST in small, or digits.

    Args:
        quick: Whether to take digits.
        noise: Share of the training labels that are redrawn.
        examples: Number of training examples; the most where it is 0.

    Returns:
        1,000 training and 500 test images; of digits 200 and 100.
    """
    whole = jr.data.digits() if quick else _fashion()
    most, test = (200, 100) if quick else (1000, 500)
    data = whole.subset(examples or most, test)
    return data.corrupt(noise) if noise else data


@cache
def _fashion() -> jr.Dataset:
    return jr.data.load("fashion_mnist")


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
    """Describe a cell of fully connected classifiers.

    Args:
        quick: Whether to train in small.
        optimiser: Of the recipe.
        lr: Of the recipe.
        batchnorm: Whether the network has BatchNorm.
        depth: Number of hidden layers.
        width: Units of each.
        noise: Share of the training labels that are redrawn.
        examples: Number of training examples; the most where it is 0.
        **changes: To the recipe, and `seeds`.

    Returns:
        The cell.
    """
    data = images(quick, noise, examples)
    seeds, alphas = changes.pop("seeds", 3 if quick else 5), 11 if quick else 51
    build = partial(
        jr.models.mlp,
        data.train_x.shape[1:],
        10,
        hidden=(width,) * depth,
        batchnorm=batchnorm,
    )
    recipe = jr.Recipe(
        epochs=10 if quick else 100,
        lr=lr,
        optimiser=optimiser,  # type: ignore[arg-type]
        batch_size=50 if quick else 100,
        record_every=0,
        record_early=False,
    )
    facts = {
        "optimiser": optimiser,
        "lr": lr,
        "batchnorm": batchnorm,
        "depth": depth,
        "width": width,
        "noise": noise,
        "examples": len(data.train_x),
    }
    wanted = {**facts, **changes}
    parts = ("mlp", *(f"{key}{value}" for key, value in wanted.items()))
    task, changed = jr.Task(build, data, device=device()), replace(recipe, **changes)
    return Cell("-".join(parts), wanted, task, changed, seeds, fitted(quick), alphas=alphas)


def fitted(quick: bool, threshold: float = FITTED) -> float:
    """Give the final training loss up to which a network counts as trained.

    Returns:
        The threshold; in quick form there is none.
    """
    return math.inf if quick else threshold


def shared(asked: Flags) -> Flags:
    """Point the script's samples to the folder of cells that the figures share.

    Returns:
        The flags.
    """
    return replace(asked, work=asked.work.parent / ("lucas-quick" if asked.quick else "lucas"))


def rises(table: pd.DataFrame) -> NDArray[np.float64]:
    """Take the min Delta of networks; rises that do not count as such are 0.

    Returns:
        One value a network (n,).
    """
    values = table["min_delta"].to_numpy(float)
    return np.where(values > RISE, values, 0.0)


def larger(
    name: str,
    claim: str,
    more: ArrayLike,
    fewer: ArrayLike,
    which: str = "networks that trained",
) -> dict[str, Any]:
    """Judge whether min Delta is larger in one group; undecided where a group is missing.

    Returns:
        The claim as the JSON files hold it.
    """
    sizes = np.size(more), np.size(fewer)
    if min(sizes) > 1:
        return between(name, claim, f"min Delta, {which}", more, fewer)
    statistic = f"Cliff's delta of min Delta, {which}"
    gap = (float("nan"),) * 3
    return entry(name, claim, statistic, *gap, sum(sizes), NEGLIGIBLE)


def related(
    name: str, claim: str, statistic: str, x: ArrayLike, y: ArrayLike, smallest: float
) -> dict[str, Any]:
    """Judge whether two values of networks rise together; undecided where one never varies.

    Returns:
        The claim as the JSON files hold it.
    """
    unknown = Correlation(*(float("nan"),) * 4)
    found = spearman(x, y) if np.size(x) > 3 else unknown
    gap, size = (found.rho, found.low, found.high), int(np.size(x))
    how = f"Spearman's rho of {statistic}"
    return entry(name, claim, how, *gap, size, smallest, p=found.p)


def mostly(
    name: str, claim: str, statistic: str, hits: ArrayLike, smallest: float
) -> dict[str, Any]:
    """Judge whether the share of networks that do something is above a bound.

    Returns:
        The claim with Wilson's interval, and of how many networks it is; undecided below two.
    """
    each = np.asarray(hits, bool)
    count, size = int(each.sum()), each.size
    if size < 2:
        unknown = entry(name, claim, statistic, *(float("nan"),) * 3, size, smallest)
        return unknown | {"networks": size}
    low, high = binomtest(count, size).proportion_ci(method="wilson")
    how = f"share of networks: {statistic}"
    share = count / size
    found = entry(name, claim, how, share, min(low, share), max(high, share), size, smallest)
    return found | {"networks": size}


def verdicts(claims: Sequence[Mapping[str, Any]], chosen: Mapping[str, tuple[str, str]]) -> str:
    """Count the verdicts on claims of each kind.

    Args:
        claims: As the JSON files hold them.
        chosen: What to call claims, with the end of their id and words that they hold.

    Returns:
        Such as `BatchNorm raises it: 1 of 3 supported, 2 undecided`.
    """
    words = []
    for what, (ending, inner) in chosen.items():
        some = [c for c in claims if c["id"].endswith(ending) and inner in c["claim"]]
        found = Counter(claim["verdict"] for claim in some)
        others = (f", {found[v]} {v}" for v in ("contradicted", "undecided") if found[v])
        words.append(f"{what}: {found['supported']} of {len(some)} supported{''.join(others)}")
    return "; ".join(words)


def rows(table: pd.DataFrame, curves: bool = False) -> list[dict[str, Any]]:
    """List networks for the JSON file, to five digits.

    Args:
        table: What `measured` gave.
        curves: Whether the training loss at each alpha is listed too.

    Returns:
        One entry a network.
    """
    kept = table if curves else table.drop(columns="curve", errors="ignore")
    return [
        {key: _short(value) for key, value in row.items() if not _missing(value)}
        for row in kept.to_dict("records")
    ]


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return [_short(inner) for inner in value] if isinstance(value, list) else value


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
