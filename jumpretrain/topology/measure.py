"""Measure saddles: how high the lowest ways between sampled states climb, on straight segments.

A graph of neighbours gives an edge the higher loss of its ends, so that an edge through a wall
looks like a pass and a missing one like a barrier. Here the loss on the way is scored (derived).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from jumpretrain.connectivity.alignment import align as align_units
from jumpretrain.connectivity.connect import RECIPE
from jumpretrain.embedding.gram import from_gram
from jumpretrain.embedding.neighbours import edges
from jumpretrain.engine.evaluate import metric_names
from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, NotNegative, Whole, Within
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.execution.memory import check_memory
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.storage import folders
from jumpretrain.tasks.sources import StatesLike
from jumpretrain.tasks.task import Task, digest
from jumpretrain.topology.bend import bent
from jumpretrain.topology.diagrams import Diagrams
from jumpretrain.topology.homology import graph_bars, sizes
from jumpretrain.topology.merge_tree import MergeTree
from jumpretrain.topology.minimax import measured, spanning_tree
from jumpretrain.topology.saddles import OPTIMUM, Saddles
from jumpretrain.topology.segments import Segments, climbing

__all__ = ["measured_sublevel", "saddles"]

BLOCK = 2**23  # entries
PAIR = 48  # bytes that are held for each pair of states


@checked
@standard_settings()
def saddles(
    task: Task,
    states: Trajectories | Sequence[Trajectories] | StatesLike,
    metric: str = "train_loss",
    alphas: Count = 7,
    tolerance: NotNegative = 0.01,
    least: NotNegative = 1e-4,
    align: bool = False,
    bend: Whole = 0,
    recipe: Recipe = RECIPE,
    folder: str | Path | None = None,
    execution: Execution | None = None,
) -> Saddles:
    """Measure how high the lowest ways between all states climb, and where basins meet.

    States are points at their height. The edge of two states is as high as the highest point of
    the straight segment between them, under the task's BatchNorm policy. Of all ways over edges
    the lowest counts. The merge tree of the complete graph comes out exactly: an edge is looked
    at only while it could be the lowest way out of a basin.

    A straight segment is an upper bound of the pass, since a curved way may be lower. It is the
    barrier of instability analysis (arXiv:1912.05671), here over all pairs and ways of many steps.

    Args:
        task: Network, data, loss and metrics.
        states: Trajectories, whose optimum and snapshots are taken; several of them share one
            tree; or plain states (N, S).
        metric: The height; valleys are low.
        alphas: How many inner points of a segment are looked at first, evenly spread.
        tolerance: Looking closer at the highest point ends when the points beside it are lower
            by no more than this share of its height above the ends,
        least: or by no more than this, in units of the metric.
        align: Whether hidden units are first permuted to come close to those of the first
            optimum (or state): a barrier that goes was one of symmetry.
        bend: How many of the highest merges are replaced by trained curves, where these are
            lower; the tree can only sink.
        recipe: How the points of these curves are trained.
        folder: Where points once scored are kept, for every metric; the same call goes on there.
        execution: Where to compute; it changes no bit.

    Returns:
        The saddles.

    Raises:
        ValueError: If there are no two states, the metric is none of the task's, or a run
            diverged or is missing.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> fit = jr.train(task, jr.Recipe(epochs=5, lr=0.05), seeds=[0, 1, 2])
        >>> found = saddles(task, fit.final)
        >>> bool(found.minimax(0, 1) >= found.tree.values[:2].max())
        True
    """
    execution, place = execution or Execution(), _place(task, metric, folder)
    points, labels = _points(task, states)
    if align:
        jobs = [(task, state, points[0]) for state in points[1:]]
        points = np.stack([points[0], *spread(align_units, jobs, execution, "aligning")])
    choices = {"alphas": alphas, "tolerance": tolerance, "least": least}
    with _segments(task, points, metric, place, execution) as segments:
        measured = _measured(segments, labels, choices)
        if bend:
            measured = bent(segments, measured, bend, recipe)
    more = {"align": align, "bend": bend} | ({"recipe": asdict(recipe)} if bend else {})
    provenance = {"task": task.fingerprint, "states": digest(points)} | choices | more
    provenance["versions"] = {name: version(name) for name in ("torch", "numpy")}
    return replace(measured, evaluations=segments.evaluations, provenance=provenance)


@checked
@standard_settings()
def measured_sublevel(
    task: Task,
    states: StatesLike,
    graph: Any,
    metric: str = "train_loss",
    alphas: Count = 7,
    tolerance: NotNegative = 0.01,
    least: NotNegative = 1e-4,
    complex: Literal["flag", "graph"] = "flag",
    maxdim: Annotated[int, Within(0, 2)] = 1,
    folder: str | Path | None = None,
    execution: Execution | None = None,
) -> Diagrams:
    """Filter a graph of states as `sublevel` does, with edges as high as the way they stand for.

    Args:
        task: Network, data, loss and metrics.
        states: The points of the graph (N, S).
        graph: Symmetric `scipy.sparse` adjacency (N, N); its stored entries are the edges.
        metric: The height.
        alphas: As for `saddles`, like all that follow but two.
        tolerance: When looking closer ends.
        least: When looking closer ends.
        complex: `"flag"` or `"graph"`, as for `sublevel`.
        maxdim: Highest dimension, 0 to 2.
        folder: Where points once scored are kept.
        execution: Where to compute.

    Returns:
        The diagrams of dimensions 0 to `maxdim`.

    Raises:
        ValueError: If the graph is of other points, or the metric is none of the task's.
    """
    execution, place = execution or Execution(), _place(task, metric, folder)
    points, links = task.check_states(states), edges(graph)
    if graph.shape[0] != len(points):
        raise ValueError(
            f"the graph must have a point for each of the {len(points)} states, but has "
            f"{graph.shape[0]}; embed the same states"
        )
    with _segments(task, points, metric, place, execution) as segments:
        values = _heights(segments)
        begin = climbing(values, alphas, tolerance, least)
        heights = measured(values, list(map(tuple, links.tolist())), begin, segments.look)
    passable = np.isfinite(heights)
    bars = graph_bars(values, links[passable], heights[passable], complex, maxdim)
    how = {"filtration": "measured sublevel", "metric": metric, "complex": complex}
    return Diagrams(bars, how | {"maxdim": maxdim} | sizes(values, links))


def _place(task: Task, metric: str, folder: str | Path | None) -> Path | None:
    if metric not in metric_names(task):
        raise ValueError(f"metric must be one of {', '.join(metric_names(task))}, but is {metric}")
    return None if folder is None else folders.located(folder)


def _points(
    task: Task, states: Trajectories | Sequence[Trajectories] | StatesLike
) -> tuple[NDArray[Any], pd.DataFrame]:
    """List all states, each network's optimum before its snapshots.

    Returns:
        The states (N, S), and their labels.

    Raises:
        ValueError: If there are fewer than two, or a run is not finished.
    """
    if networks := _networks(states):
        count = sum(len(t) * len(t.epoch) + 1 for t in networks)
        _check_memory(count, task)
        rows = [row for t in networks for row in (t.optimum[None], *np.asarray(t.states))]
        tables = [t.labels(optimum=True).assign(network=k) for k, t in enumerate(networks)]
        points, labels = task.check_states(np.concatenate(rows)), pd.concat(tables)
    else:
        points = task.check_states(cast("StatesLike", states))
        _check_memory(len(points), task)
        labels = pd.DataFrame({"run": np.arange(len(points)), "direction": -1, "step_size": 0.0})
        labels = labels.assign(order_seed=-1, epoch=0.0, network=0)
    if len(points) < 2:
        raise ValueError(f"saddles lie between states, so there must be 2, but is {len(points)}")
    return points, labels.reset_index(drop=True)


def _networks(states: Any) -> list[Trajectories]:
    """List the trajectories that were given.

    Returns:
        One a network; none where plain states were given.

    Raises:
        ValueError: If a run is not finished.
    """
    given = [states] if isinstance(states, Trajectories) else states
    if not isinstance(given, Sequence) or not all(isinstance(s, Trajectories) for s in given):
        return []
    for trajectories in given:
        left = np.flatnonzero(trajectories.status != "ok")
        if len(left):
            raise ValueError(
                f"saddles need finished runs, but {len(left)} of {len(trajectories)} diverged or "
                f"are missing (first: run {left[0]}); select others, such as .jumps()"
            )
    return list(given)


def _check_memory(count: int, task: Task) -> None:
    held = count * task.layout.width * task.layout.numpy_dtype.itemsize
    wanted = held + PAIR * count**2
    check_memory(wanted, f"{count:,} states and their pairs", "thin them by select(times=...)")


def _distances(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Measure how far states are apart, some weights at a time.

    Returns:
        Euclidean distances (N, N).
    """
    count, width = weights.shape
    inner = np.zeros((count, count))
    for start in range(0, width, columns := max(1, BLOCK // count)):
        block = weights[:, start : start + columns].astype(np.float64)
        block -= block[0]
        inner += block @ block.T
    return from_gram(inner)


@contextmanager
def _segments(
    task: Task, points: NDArray[Any], metric: str, place: Path | None, execution: Execution
) -> Iterator[Segments]:
    """Hold a folder, and keep what is found, come what may.

    Yields:
        What is known of segments.
    """
    with folders.lock(place) if place is not None else nullcontext():
        segments = Segments(task, points, metric, place, execution)
        try:
            yield segments
        finally:
            segments.keep()


def _heights(segments: Segments) -> NDArray[np.float64]:
    values = segments.values()
    if not np.isfinite(values).all():
        raise ValueError(
            f"states must have a finite {segments.metric}, but {np.sum(~np.isfinite(values))} of "
            f"{len(values)} have not (first: state {int(np.argmax(~np.isfinite(values)))}); leave "
            "them out"
        )
    return values


def _measured(segments: Segments, labels: pd.DataFrame, choices: Mapping[str, Any]) -> Saddles:
    """Find the tree, and measure each straight way to an optimum.

    Returns:
        The saddles.
    """
    values, optima = _heights(segments), np.asarray(labels["run"] == OPTIMUM)
    first = np.maximum.accumulate(np.where(optima, np.arange(len(values)), -1))
    ways = [(int(first[k]), int(k)) for k in np.flatnonzero((first >= 0) & ~optima)]
    begin = climbing(values, **choices)
    apart = _distances(segments.states[:, : segments.task.weight_count])
    hidden = not segments.execution.progress
    with tqdm(desc="measuring saddles", total=len(values) - 1, disable=hidden) as bar:
        found, back = spanning_tree(values, apart, begin, segments.look, ways, bar.update)
    to_optimum = np.where(optima, values, np.nan)
    to_optimum[[state for _, state in ways]] = back
    tree = MergeTree(values, found.links, found.heights)
    return Saddles(tree, segments.metric, labels, tree.heights, found.rises, to_optimum, 0)
