"""The networks that the figures on arXiv:2102.00485 share: trained and sampled once.

All are the same MLP (64-128-128-10) on digits with 1257 training and 540 test examples. Groups
differ in what they were trained on; `few` takes its 3 batches an epoch seven times as often as
the others take their 20, so that all groups are trained, jump and retrain for as many steps.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import QUIET, kept, over
from evidence.figure import Flags, Made, device
from evidence.judging import between
from evidence.panels import head
from evidence.rows import Rows
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist, squareform

import jumpretrain as jr
from jumpretrain.embedding.gram import from_gram
from jumpretrain.plots import canvas
from jumpretrain.storage import folders, manifests

SHARES = {"good": 0.0, "noise .5": 0.5, "memorise": 1.0}
GROUPS = {
    "good": "all labels true",
    "few": "true labels, but 150 training examples",
    "noise .5": "half of the training labels redrawn",
    "memorise": "all training labels redrawn",
}
POOR = {"few": "bad", "memorise": "memorising"}
SHOWN = {name: name for name in GROUPS} | {"few": "bad (150 examples)", "noise .5": "half redrawn"}
COLOURS = dict(zip(GROUPS, canvas.colours(len(GROUPS)), strict=True))
EXAMPLES, LONGER = 150, 7
NEIGHBOURS = 20
Topology = tuple[jr.Embedding, Any, jr.Diagrams]


@dataclass(frozen=True)
class Design:
    """How networks are trained and sampled: the full form, or the quick one."""

    seeds: int
    training: jr.Recipe
    retraining: jr.Recipe
    step_sizes: tuple[float, ...]
    directions: int


TRAINING = jr.Recipe(epochs=150, lr=0.05, record_every=0, record_early=False)
RETRAINING = jr.Recipe(epochs=40, lr=0.01)
FULL = Design(5, TRAINING, RETRAINING, step_sizes=(0.0, 0.25, 0.5, 0.75, 1.0), directions=4)
SHORT = replace(TRAINING, epochs=40), replace(RETRAINING, epochs=10)
QUICK = Design(3, *SHORT, step_sizes=(0.0, 0.25, 0.5, 1.0), directions=3)


@dataclass(frozen=True)
class Network:
    """A trained network that was jumped from and retrained."""

    group: str
    seed: int
    task: jr.Task
    trajectories: jr.Trajectories


def networks(asked: Flags, groups: Iterable[str] = GROUPS) -> list[Network]:
    """Train and sample the networks of some groups, one by one, or read those of before."""
    chosen = QUICK if asked.quick else FULL
    folder = asked.work.parent / ("landscapes-quick" if asked.quick else "landscapes")
    cases = [(chosen, folder, group, seed) for group in groups for seed in range(chosen.seeds)]
    with folders.lock(folder):
        manifests.claim(folder / "design.json", vars(chosen))
        return over(asked, _network, cases, "training, jumping and retraining")


def each_kept(
    asked: Flags, function: Callable[..., Any], jobs: Iterable[Sequence[Any]], label: str
) -> list[Any]:
    """Call a function in worker processes, or read what was kept.

    A job holds what tells measurements apart, a network, and what else the function takes.
    """
    work = []
    for of, net, *more in jobs:
        name = "-".join(map(str, (net.group, net.seed, *more)))
        whole = (*of, *(net.trajectories.provenance[part] for part in ("optimum", "recipe")))
        work.append((asked.work / f"{name}.json", whole, partial(function, net, *more)))
    return over(asked, kept, work, label)


def made(
    asked: Flags,
    figure: Figure,
    finding: str,
    claims: Rows,
    note: str,
    groups: Iterable[str] = GROUPS,
    **found: Any,
) -> Made:
    """Write the finding above a figure, what was done below, and give it with what was found."""
    head(figure, finding, claims, f"{caption(asked, groups)}. {note}")
    return figure, facts(asked, groups, claims=claims, **found)


def facts(asked: Flags, groups: Iterable[str] = GROUPS, **found: Any) -> dict[str, Any]:
    """Collect what is needed to make the same networks again, and what was found."""
    chosen = QUICK if asked.quick else FULL
    tables = {name: one for name, one in found.items() if isinstance(one, pd.DataFrame)}
    return {
        "data": "digits (scikit-learn), 1257 training and 540 test examples",
        "model": "mlp 64-128-128-10",
        "groups": {group: GROUPS[group] for group in groups},
        "seeds": list(range(chosen.seeds)),
        "design": asdict(chosen),
        "few": f"{EXAMPLES} examples, {LONGER} times the epochs, every {LONGER}th recorded",
        **found,
        **{name: table.to_dict("records") for name, table in tables.items()},
    }


def caption(asked: Flags, groups: Iterable[str] = GROUPS) -> str:
    """Say in one line how the networks were trained and sampled."""
    chosen = QUICK if asked.quick else FULL
    jumps = ", ".join(f"{size:g}" for size in chosen.step_sizes if size > 0)
    return (
        f"digits, MLP 64-128-128-10; seeds 0-{chosen.seeds - 1} a group; SGD, momentum .9, batch "
        f"64: {chosen.training.epochs} epochs at lr {chosen.training.lr:g}, jumps of {jumps} "
        f"filter norms in {chosen.directions} directions, {chosen.retraining.epochs} epochs of "
        f"retraining at lr {chosen.retraining.lr:g}"
        + (f"; few: {EXAMPLES} training examples, as many steps" if "few" in groups else "")
    )


def column(table: pd.DataFrame, group: str, measure: str) -> Any:
    """Give a measure of the networks of a group."""
    return table.loc[table["group"] == group, measure].to_numpy()


def compared(
    table: pd.DataFrame, name: str, claim: str, measure: str, larger: str, smaller: str
) -> dict[str, Any]:
    """Judge whether a measure is larger in the networks of one group than in another's."""
    sides = (column(table, group, measure) for group in (larger, smaller))
    return between(f"horoi-{name}", claim, f"{measure}, {larger} against {smaller}", *sides)


def by_group(ax: Axes, names: Mapping[str, str] = SHOWN) -> None:
    """Write the groups along an axis."""
    ax.set_xticks(range(len(GROUPS)), [names[group].replace(" (", "\n(") for group in GROUPS])


def whole_epochs(runs: jr.Trajectories) -> Any:
    """Find the snapshots at the ends of epochs."""
    return np.flatnonzero(np.abs(runs.epoch - np.round(runs.epoch)) < 1e-9)


def three_distances(placed: jr.Embedding, inner: Any) -> dict[str, Any]:
    """Give the distances between snapshots in weight space, PHATE's potentials, and its plane."""
    return {
        "raw": from_gram(inner),
        "potential": placed.distances,
        "plane": squareform(pdist(placed.coordinates)),
    }


def topology(net: Network, maxdim: int = 1) -> tuple[dict[str, Any], Topology]:
    """Measure persistence of the test loss, by the released rule and on the joined graph."""
    jumps = net.trajectories.jumps()
    placed, loss = jr.embed(jumps), jumps.values("test_loss")
    diagrams = jr.sublevel(loss, placed.graph(NEIGHBOURS), maxdim=maxdim)
    row = {
        "group": net.group,
        "seed": net.seed,
        "test_accuracy": net.trajectories.optimum_metrics["test_accuracy"],
        "range_squared": float(np.ptp(loss) ** 2),
        "released": jr.released(jumps, placed, NEIGHBOURS).total_persistence(0, 2),
        "finite": diagrams.total_persistence(0, 2),
        "finite_bars": len(diagrams.finite(0)),
        "pieces": placed.components,
    }
    return row, (placed, loss, diagrams)


def _network(chosen: Design, folder: Path, group: str, seed: int) -> Network:
    data, longer, place = jr.data.digits(), 1, folder / f"{group}-{seed}"
    if group == "few":
        data, longer = data.subset(EXAMPLES, seed=seed), LONGER
    elif SHARES[group]:
        data = data.corrupt(SHARES[group], seed)
    task = jr.Task(partial(jr.models.mlp, (1, 8, 8), 10), data, device=device())
    runs = chosen.directions * len(chosen.step_sizes)
    if not all(folders.run_path(place / "sampled", run).exists() for run in range(runs)):
        training, retraining = (
            replace(how, epochs=how.epochs * longer, record_every=how.record_every * longer)
            for how in (chosen.training, chosen.retraining)
        )
        fit = jr.train(task, training, [seed], folder=place / "training", execution=QUIET)
        jumps = retraining, chosen.step_sizes, chosen.directions
        jr.sample(task, fit.final[0], *jumps, folder=place / "sampled", execution=QUIET)
    return Network(group, seed, task, jr.Trajectories.load(place / "sampled"))
