"""Describe one network by numbers: its optimum, the geometry and the topology around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jumpretrain.comparison.geometry import control_displacement, describe_geometry, silhouette
from jumpretrain.embedding.embed import Embedding, embed
from jumpretrain.embedding.gram import gram
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Seed
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.tasks.task import Task
from jumpretrain.topology.diagrams import Diagrams
from jumpretrain.topology.homology import released, rips, sublevel, transform
from jumpretrain.topology.measure import saddles as measure
from jumpretrain.topology.saddles import Saddles

__all__ = ["describe", "evenly", "thinned_rips"]

PERMUTED = 20
RIPS_POINTS = 256
RECOVERED = 0.1
QUIET = Execution(progress=False)


@checked
@standard_settings()
def describe(
    trajectories: Trajectories,
    embedding: Embedding | None = None,
    metric: str = "test_loss",
    k: Count = 20,
    seed: Seed = 0,
    rips_points: Count = RIPS_POINTS,
    connect: Literal["mst"] | None = "mst",
    task: Task | None = None,
    saddles: Saddles | Sequence[Saddles] | None = None,
) -> dict[str, float]:
    """Describe the landscape around one network.

    Names start with where a number comes from: `optimum_` is the network itself, `weights_`
    weight space, `embedding_` the potential distances, `sublevel_<scale>_` the sublevel
    filtration of the metric (scale `values`), of its ranks, logarithms and so on, or of
    the error rate, `rips_` Vietoris-Rips on the potential distances, `released_` the published
    script, `saddles_<metric>_` measured saddles, between the `ends` of all runs or all
    `snapshots` that were measured. `h0_` is pieces, `h1_` loops; only finite bars count as
    persistence.

    Args:
        trajectories: What was sampled; `.jumps()` of them are described, the controls apart.
        embedding: Their embedding without the optimum; made with `embed` if None.
        metric: The value to filter by, named `<split>_<metric>`.
        k: Neighbours in the graph of the sublevel filtration.
        seed: Seed of the embedding, where it is made, and of the permuted values.
        rips_points: Vietoris-Rips sees about so many points, from snapshots that are evenly
            thinned; its time grows with their cube (720 points: 45 s, 240: 1 s).
        connect: Whether the pieces of that graph are joined by the spanning tree, or left apart
            as in the paper's text.
        task: What the states are scored on, to measure the saddles between the ends of the jumps
            on both losses; without it none are measured.
        saddles: What was measured of these jumps already, in place of that.

    Returns:
        Finite numbers by name. What the design cannot show is left out: the control without
        runs of step size 0, the log scale where the metric is not positive, the error rate where
        no accuracy of the same split was recorded, the published script where an embedding with
        landmarks has no potential between all points, a climb that is not finite.

    Raises:
        ValueError: If runs are missing, fewer than two jumps can be used, there are too few points
            for k, or the embedding is of others.
    """
    jumps = _usable(trajectories)
    count = len(jumps.values(metric))
    if not 0 < k < count:
        raise ValueError(f"k must lie in 1..{count - 1} for {count} points, but is {k}")
    inner = gram(jumps)
    placed = embed(jumps, seed=seed, gram=inner) if embedding is None else embedding
    if len(placed.distances) != count:
        raise ValueError(
            f"the embedding must be of the {count} points of .jumps(), but is "
            f"of {len(placed.distances)}; use embed(trajectories.jumps())"
        )
    found = {
        **_outcome(trajectories, jumps, metric),
        **{f"weights_{name}": value for name, value in describe_geometry(jumps, inner).items()},
        **_spread(placed),
        **_sublevels(jumps, placed.graph(k, connect), metric, seed),
        **_holes(jumps, placed, rips_points),
    }
    potential = placed.potential
    if potential is not None and potential.shape == placed.distances.shape:
        published = released(jumps, placed, k, metric)
        found["released_h0_total_persistence_p2"] = published.total_persistence(0, 2)
    return found | _saddles(_measured(jumps, task) if saddles is None else saddles)


def _measured(jumps: Trajectories, task: Task | None) -> list[Saddles]:
    ends = jumps.select(times=[-1])
    losses = [] if task is None else ["train_loss", "test_loss"]
    return [measure(task, ends, loss, execution=QUIET) for loss in losses if task is not None]


def _saddles(given: Saddles | Sequence[Saddles]) -> dict[str, float]:
    found: dict[str, float] = {}
    for saddles in [given] if isinstance(given, Saddles) else given:
        alone = saddles.labels.groupby(["network", "run"]).size().max() == 1
        kind = f"saddles_{saddles.metric}_{'ends' if alone else 'snapshots'}"
        found |= {f"{kind}_{name}": value for name, value in saddles.statistics().items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _usable(trajectories: Trajectories) -> Trajectories:
    missing = int((trajectories.status == "missing").sum())
    if missing:
        raise ValueError(
            f"a description needs every run, but {missing} of {len(trajectories)} are not sampled "
            "yet; finish sampling, or .select those that are"
        )
    jumps = trajectories.jumps()
    if len(jumps) < 2:
        raise ValueError(
            "a description needs two runs or more that jumped and did not diverge, but "
            f"{len(jumps)} of {len(trajectories)} did; sample more, or lower the learning rate"
        )
    return jumps


def _outcome(trajectories: Trajectories, jumps: Trajectories, metric: str) -> dict[str, float]:
    """Say how good the optimum is, how far the metric ranges and how many runs come back.

    A run has recovered when what it was trained on, the training loss where
    recorded, ends within a tenth of the way from the optimum's value to the jump's.

    Returns:
        Statistics by name.
    """
    trained = "train_loss" if "train_loss" in jumps.metrics else metric
    values, best = jumps.metrics[trained], trajectories.optimum_metrics[trained]
    recovered = values[:, -1] <= best + RECOVERED * np.maximum(values[:, 0] - best, 0)
    jumped = trajectories.step_size > 0
    found = {f"optimum_{name}": float(v) for name, v in trajectories.optimum_metrics.items()}
    found["loss_range_squared"] = float(np.ptp(jumps.values(metric))) ** 2
    found["share_of_runs_recovered"] = float(recovered.mean())
    found["share_of_jumps_diverged"] = float((trajectories.status[jumped] == "diverged").mean())
    if ((trajectories.step_size == 0) & (trajectories.status == "ok")).any():
        found["distance_without_jump"] = control_displacement(trajectories)
    return found


def _spread(placed: Embedding) -> dict[str, float]:
    labels = {"direction": ["direction"], "jump": ["direction", "step_size"]}
    found = {
        f"embedding_silhouette_by_{name}": silhouette(placed.distances, placed.labels[columns])
        for name, columns in labels.items()
        if len(placed.labels[columns].drop_duplicates()) > 1
    }
    found["embedding_components"] = float(placed.components)
    found["embedding_diameter"] = float(placed.distances.max())
    return found


def _sublevels(jumps: Trajectories, graph: Any, metric: str, seed: int) -> dict[str, float]:
    found, filtrations = {}, _filtrations(jumps, metric)
    for scale, values in filtrations.items():
        for name, value in sublevel(values, graph).statistics().items():
            # the numbers of bars are the same for every increasing scale
            if scale in {"values", "error_rate"} or not name.endswith("_bars"):
                found[f"sublevel_{scale}_{name}"] = value
    for scale in ("values", "ranks"):
        name = f"sublevel_{scale}_h0_total_persistence"
        permuted = _permuted(filtrations[scale], graph, seed)
        found[f"{name}_over_permuted"] = found[f"{name}_p1"] / permuted if permuted else 1.0
    return found


def _filtrations(jumps: Trajectories, metric: str) -> dict[str, NDArray[np.float64]]:
    values = jumps.values(metric)
    found = {
        "values": values,
        "ranks": transform(values, "rank"),
        "rescaled": transform(values, "unit"),
    }
    if values.min() > 0:
        found["logs"] = transform(values, "log")
    accuracy = f"{metric.partition('_')[0]}_accuracy"
    if accuracy in jumps.metrics:
        found["error_rate"] = 1 - jumps.values(accuracy)
    return found


def _permuted(values: NDArray[np.float64], graph: Any, seed: int) -> float:
    """Take the total persistence of values that are shuffled over the same graph.

    Returns:
        The median over shufflings of the finite total persistence in dimension 0, p = 1.
    """
    rng = np.random.default_rng(seed)
    shuffled = (sublevel(rng.permutation(values), graph, maxdim=0) for _ in range(PERMUTED))
    return float(np.median([diagrams.total_persistence(0) for diagrams in shuffled]))


def thinned_rips(jumps: Trajectories, placed: Embedding, points: int = RIPS_POINTS) -> Diagrams:
    """Compute Vietoris-Rips on evenly thinned snapshots of every run.

    Args:
        jumps: What was sampled.
        placed: Its embedding, whose distances are used.
        points: How many points are kept, about.

    Returns:
        The diagrams; the provenance holds the number of points.
    """
    runs, times = len(jumps), len(jumps.epoch)
    kept = evenly(times, points // runs)
    chosen = (np.arange(runs)[:, None] * times + kept).astype(np.intp).ravel()
    return rips(placed.distances[np.ix_(chosen, chosen)])


def evenly(times: int, count: int) -> NDArray[np.intp]:
    """Choose snapshots of a run, evenly spread: two or more, with both ends.

    Args:
        times: How many there are.
        count: How many to choose, about.

    Returns:
        Their numbers.

    Example:
        >>> evenly(41, 3).tolist()
        [0, 20, 40]
    """
    return np.unique(np.linspace(0, times - 1, max(2, min(times, count))).round()).astype(np.intp)


def _holes(jumps: Trajectories, placed: Embedding, points: int) -> dict[str, float]:
    statistics = thinned_rips(jumps, placed, points).statistics()
    diameter = placed.distances.max() or 1.0
    for name in ("h0_total_persistence", "h1_total_persistence"):
        statistics[f"{name}_over_diameter"] = float(statistics[f"{name}_p1"] / diameter)
    return {f"rips_{name}": value for name, value in statistics.items()}
