"""Make low-loss connectors between optima: curves between two, surfaces between more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.connectivity.barycentric import (
    RandomPoint,
    bezier_coordinates,
    face_coordinates,
    faces,
    polychain_coordinates,
)
from jumpretrain.connectivity.connector import Connector, lengths, score_connector
from jumpretrain.connectivity.curve_network import CurveNetwork
from jumpretrain.contents.estimates import estimated
from jumpretrain.engine.recipe import Recipe, too_fast
from jumpretrain.engine.train import train
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, NotNegative, Seed, Whole
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.states.planes import normal_to
from jumpretrain.storage.files import located
from jumpretrain.tasks.sources import StatesLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["check_choices", "check_optima", "connect"]

Method = Literal["hyperplane", "bezier", "polychain"]
RECIPE = Recipe(epochs=20, lr=0.001, optimiser="adam", record_every=0, record_early=False)
MOST, MOST_STEPS = 10, 10_000


@checked
@standard_settings()
def connect(
    task: Task,
    optima: StatesLike,
    method: Method = "hyperplane",
    refine: bool = False,
    recipe: Recipe = RECIPE,
    inner: Count = 9,
    each: Count = 10,
    tolerance: NotNegative = 0.02,
    rounds: Whole = 6,
    seed: Seed = 0,
    folder: str | Path | None = None,
    execution: Execution | None = None,
) -> Connector:
    """Join optima by a curve or a surface of low training loss.

    Two optima are joined by a curve: `"hyperplane"` trains independent points of the straight
    line, each in the plane normal to it (arXiv:1906.04724, section 4.2); `"bezier"` and
    `"polychain"` train control points on the loss at random points (arXiv:1802.10026). More
    optima are joined by a surface, piecewise linear on the barycentric subdivision of their
    simplex: each face has a node, trained in the plane normal to the face (section 4.3).

    Args:
        task: Network, data, loss and metrics; its BatchNorm policy holds at every point.
        optima: The states (m + 1, S), with m up to 10.
        method: How a curve is made; surfaces take `"hyperplane"`.
        refine: Whether pieces of a hyperplane curve whose loss rises above their ends are
            halved, the middles trained normal to them; a surface's nodes are trained on its loss
            at random points, which lowers its mean, but from m = 4 on raises it near the small
            faces that uniform points seldom meet (measured).
        recipe: How points are trained, in each round.
        inner: Number of nodes between two optima; surfaces have one a face.
        each: Number of steps scored on each piece of a curve, 2 or more; a surface is scored at
            that many random points a node.
        tolerance: Rise above the higher end of a piece, as a share of the straight line's
            barrier, up to which the piece is not halved.
        rounds: Most rounds of halving.
        seed: Of the order of the data and of random points.
        folder: Where trained points are kept; the same call goes on where it was stopped.
        execution: Where and how it is run.

    Returns:
        The connector with its scores, and those of the straight line or simplex.

    Raises:
        ValueError: If there are fewer than two optima or too many, some are the same or in line,
            the method is unknown, or an argument does not fit it.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> fit = jr.train(task, jr.Recipe(epochs=5, lr=0.05), seeds=[0, 1])
        >>> short = jr.Recipe(epochs=1, lr=0.001, optimiser="adam", record_every=0)
        >>> joined = connect(task, fit.final, recipe=short, inner=3)
        >>> joined.barrier < joined.linear_barrier
        True
    """
    ends = check_optima(task, optima)
    check_choices(len(ends), method, refine, inner, each, tolerance, rounds)
    _check_batchnorm(task, len(ends), method, refine)
    execution = execution or Execution()
    choices: dict[str, Any] = {"method": method, "refine": refine, "each": each, "seed": seed}
    choices |= {"inner": inner} if len(ends) == 2 else {}
    choices |= {"tolerance": tolerance, "rounds": rounds} if refine and len(ends) == 2 else {}
    choices["execution"] = {"mode": execution.mode, "chunk": execution.chunk}
    work = _Work(task, recipe, seed, located(folder) if folder else None, execution, choices)
    if len(ends) > 2:
        return _surface(work, ends, refine, each)
    if method == "hyperplane":
        joined = _curve(work, _hyperplane(work, ends, inner), polychain_coordinates, each)
        return _halved(work, joined, each, tolerance, rounds) if refine else joined
    weigh = bezier_coordinates if method == "bezier" else polychain_coordinates
    start = polychain_coordinates(np.linspace(0, 1, inner + 2), 2) @ ends.astype(np.float64)
    draw = RandomPoint(partial(_ends_first, weigh), 1, inner + 2, method)
    nodes = _train_free_nodes(work, start[[0, -1, *range(1, inner + 1)]], 2, draw)
    return _curve(work, nodes[[0, *range(2, inner + 2), 1]], weigh, each)


@dataclass(frozen=True)
class _Work:
    """What every round of training and scoring needs."""

    task: Task
    recipe: Recipe
    seed: int
    folder: Path | None
    execution: Execution
    choices: Mapping[str, Any]

    def train(self, task: Task, name: str, states: NDArray[Any], planes: Any) -> NDArray[Any]:
        seeds = self.seed + np.arange(len(states))
        folder = None if self.folder is None else self.folder / name
        runs = train(task, self.recipe, seeds, states, folder, self.execution, name, planes)
        if (runs.status != "ok").any():
            raise ValueError(
                f"points of a connector must converge, but {(runs.status != 'ok').sum()} of "
                f"{len(states)} diverged {too_fast(self.recipe, folder)}"
            )
        return np.asarray(runs.final)

    def score(
        self,
        nodes: NDArray[Any],
        shares: NDArray[np.float64],
        coordinates: NDArray[np.float64],
    ) -> Connector:
        choices = {"recipe": asdict(self.recipe), **self.choices}
        return score_connector(self.task, nodes, shares, coordinates, choices, self.execution)


def check_optima(task: Task, optima: StatesLike) -> NDArray[Any]:
    """Check that optima span a line or a simplex.

    Returns:
        The states (m + 1, S).

    Raises:
        ValueError: If they do not.
    """
    ends = task.check_states(optima)
    most = min(MOST, task.weight_count - 1)
    if not 2 <= len(ends) <= most + 1:
        raise ValueError(
            f"a connector joins 2 to {MOST + 1} optima, no more than there are weights "
            f"({task.weight_count}), but there are {len(ends)}"
        )
    chords = _chords(task, ends)
    apart = np.abs(np.diagonal(np.linalg.qr(chords.T, mode="r"))).min()
    size = np.linalg.norm(ends[:, : task.weight_count].astype(np.float64), axis=1).max()
    if apart <= 4 * np.finfo(ends.dtype).eps * size:
        raise ValueError(
            f"optima must differ in their weights and not lie in line, but these {len(ends)} do "
            "up to rounding; leave out what is repeated or a mean of others"
        )
    return ends


def check_choices(
    count: int, method: str, refine: bool, inner: int, each: int, tolerance: float, rounds: int
) -> None:
    """Check how optima are to be joined.

    Args:
        count: How many there are.
        method: As for `connect`, like all that follow.
        refine: Whether the first connector is improved.
        inner: Number of nodes between two optima.
        each: Number of steps a piece.
        tolerance: Rise up to which a piece is not halved.
        rounds: Most rounds of halving.

    Raises:
        ValueError: If a number is out of its range, or the method does not join so many optima.
    """
    if method != "hyperplane" and (count > 2 or refine):
        raise ValueError(
            f"{method} joins 2 optima and is not refined (its points are trained on the whole "
            f"curve), but there are {count} and refine is {refine}; use hyperplane"
        )
    for name, value, least in (("inner", inner, 1), ("each", each, 2), ("rounds", rounds, 0)):
        if not least <= value <= MOST_STEPS:
            raise ValueError(f"{name} must be in {least}..{MOST_STEPS}, but is {value}")
    if tolerance < 0:
        raise ValueError(f"tolerance must be a share from 0, but is {tolerance}; pass such as .02")


def _check_batchnorm(task: Task, count: int, method: str, refine: bool) -> None:
    together = method != "hyperplane" or (refine and count > 2)
    if together and task.batchnorm == "stored" and estimated(task.module()):
        raise ValueError(
            "points that are trained together keep no running statistics of their own, but "
            "batchnorm is 'stored'; use a task with batchnorm='recalibrate', or hyperplane"
        )


def _chords(task: Task, ends: NDArray[Any]) -> NDArray[np.float64]:
    rows = ends[:, : task.weight_count].astype(np.float64)
    return np.asarray(rows[1:] - rows[0])


def _hyperplane(work: _Work, ends: NDArray[Any], inner: int) -> NDArray[Any]:
    """Train points of a straight line in the planes normal to it.

    Returns:
        Nodes along the curve (inner + 2, S).
    """
    shares = polychain_coordinates(np.linspace(0, 1, inner + 2)[1:-1], 2)
    start = (shares @ ends.astype(np.float64)).astype(ends.dtype)
    final = work.train(work.task, "nodes", start, normal_to(_chords(work.task, ends)))
    return np.concatenate([ends[:1], final, ends[1:]])


def _halved(work: _Work, joined: Connector, each: int, tolerance: float, rounds: int) -> Connector:
    """Halve the pieces on which the loss rises above both ends, round after round.

    Returns:
        The curve with more nodes.
    """
    straight = joined.straight_metrics["train_loss"]
    known = straight[np.isfinite(straight)]
    limit = tolerance * max(float(known.max() - straight[[0, -1]].max()), 0.0)
    for number in range(rounds):
        high = ~(_rises(joined, each) <= limit)  # a loss that is not finite is high
        if not high.any():
            break
        pairs = [joined.nodes[k : k + 2] for k in np.flatnonzero(high)]
        middles = np.stack([pair.astype(np.float64).mean(0) for pair in pairs])
        planes = [normal_to(_chords(work.task, pair)) for pair in pairs]
        name = f"round-{number + 1}-{digest(middles)[:8]}"
        found = work.train(work.task, name, middles, planes)
        nodes = np.insert(joined.nodes, np.flatnonzero(high) + 1, found, axis=0)
        joined = _curve(work, nodes, polychain_coordinates, each)
    return joined


def _rises(joined: Connector, each: int) -> NDArray[np.float64]:
    """Measure how far the loss rises above the higher end of each piece.

    Returns:
        One rise a piece (N - 1,).
    """
    losses = joined.metrics["train_loss"]
    starts = np.arange(0, len(losses) - 1, each)
    inside = np.array([losses[k : k + each + 1].max() for k in starts])
    return np.asarray(inside - np.maximum(losses[starts], losses[starts + each]))


def _train_free_nodes(
    work: _Work, nodes: NDArray[Any], fixed: int, draw: RandomPoint
) -> NDArray[Any]:
    """Train free nodes on the loss at random points.

    Returns:
        The nodes (N, S), the fixed ones first and as they were.
    """
    width, moved = work.task.weight_count, nodes.astype(work.task.layout.numpy_dtype)
    curve = _curve_task(work.task, moved, fixed, draw)
    final = work.train(curve, draw.name, curve.state(curve.template)[None], None)
    moved[fixed:, :width] = final[0, : curve.weight_count].reshape(-1, width)
    return moved


def _curve_task(task: Task, nodes: NDArray[Any], fixed: int, draw: RandomPoint) -> Task:
    model = CurveNetwork(task.module(nodes[0]), task.layout, nodes, fixed, draw)
    return replace(task, model=model)


def _ends_first(weigh: Any, alphas: ArrayLike, nodes: int) -> NDArray[np.float64]:
    shares = weigh(alphas, nodes)
    return np.asarray(shares[:, [0, nodes - 1, *range(1, nodes - 1)]])


def _surface(work: _Work, ends: NDArray[Any], refine: bool, each: int) -> Connector:
    """Train a node a face in the plane normal to it, and score random points.

    Returns:
        The surface.
    """
    count = len(ends)
    inner = [face for face in faces(count) if len(face) > 1]
    start = np.stack([ends[list(face)].astype(np.float64).mean(0) for face in inner])
    planes = [normal_to(_chords(work.task, ends[list(face)])) for face in inner]
    start = start.astype(ends.dtype)
    draw = RandomPoint(face_coordinates, count, count + len(start), "surface")
    if refine:
        _curve_task(work.task, np.concatenate([ends, start]), count, draw)  # refuses before work
    found = work.train(work.task, "nodes", start, planes)
    nodes = np.concatenate([ends, found])
    if refine:
        nodes = _train_free_nodes(work, nodes, count, draw)
    centres = np.array([[(k in face) / len(face) for k in range(count)] for face in faces(count)])
    rng = np.random.default_rng((work.seed, 0, 4))  # training draws from (seed, epoch)
    draws = rng.dirichlet(np.ones(count), each * len(nodes))
    coordinates = np.concatenate([centres, draws])
    return work.score(nodes, face_coordinates(coordinates), coordinates)


def _curve(work: _Work, nodes: NDArray[Any], weigh: Any, each: int) -> Connector:
    """Score a curve densely, and the straight line at the same shares of the length.

    Returns:
        The curve.
    """
    shares = weigh(np.linspace(0, 1, each * (len(nodes) - 1) + 1), len(nodes))
    reached = lengths(nodes[:, : work.task.weight_count], shares)
    alphas = reached / reached[-1]
    return work.score(nodes, shares, np.c_[1 - alphas, alphas])
