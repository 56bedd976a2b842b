"""Samplers that jump and retrain is compared with: rays, a grid, and random walks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.engine.chunking import check_held
from jumpretrain.engine.evaluate import measure_both
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, NotNegative, Positive, Seed
from jumpretrain.execution.execution import Execution, chunks, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.sample import (
    check_seeds,
    check_sizes,
    counted,
    draw,
    jump,
    measure_optimum,
)
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.states.directions import Normalise, single_filters
from jumpretrain.storage import folders
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["grid", "rays", "walk"]


@checked
@standard_settings()
def rays(
    task: Task,
    optimum: StateLike,
    directions: Count | Sequence[Seed] = 32,
    radii: Sequence[NotNegative] = tuple(np.linspace(0.05, 1, 20).tolist()),
    normalise: Normalise = "filter",
    execution: Execution | None = None,
) -> Trajectories:
    """Score points along random directions without retraining (the paper's naive sampler).

    Returns:
        One run of one snapshot for each direction and radius; 640 by default.
    """
    centre = task.state(optimum, "the optimum")
    sizes = check_sizes(radii)
    check_held(task, counted(directions) * len(sizes))
    seeds = check_seeds(directions)
    drawn, _ = draw(task, centre, seeds, normalise, include_1d=False)
    step_size = np.tile(sizes, len(seeds))
    states = jump(centre, np.repeat(drawn, len(sizes), axis=0), step_size)
    choices = {"method": "rays", **_scaling(task, normalise)}
    direction = np.repeat(seeds, len(sizes))
    return _scored(task, centre, states[:, None], direction, step_size, choices, execution)


@checked
@standard_settings()
def grid(
    task: Task,
    optimum: StateLike,
    shape: tuple[Count, Count, Count] = (8, 8, 10),
    reach: Positive = 1.0,
    seeds: tuple[Seed, Seed, Seed] = (0, 1, 2),
    normalise: Normalise = "filter",
    execution: Execution | None = None,
) -> Trajectories:
    """Score the nodes of a three-dimensional grid around the optimum (the paper's grid sampler).

    The paper leaves the layout open; here each axis runs from -reach to reach, and axes of even
    length leave the optimum out. An axis of one node stays at the optimum, so that a shape of
    (a, b, 1) is a plane.

    Returns:
        One run of one snapshot a node; its direction is the node's number, its step size the
        length of its coordinates, which stand in the provenance.
    """
    centre = task.state(optimum, "the optimum")
    check_held(task, math.prod(shape))
    axes, _ = draw(task, centre, np.asarray(seeds), normalise, include_1d=False)
    lines = [np.linspace(-reach, reach, count) if count > 1 else np.zeros(1) for count in shape]
    nodes = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
    with standard_settings():
        moves = (nodes @ axes).astype(centre.dtype)
    states = jump(centre, moves, np.ones(len(nodes)))
    choices = {"method": "grid", **_scaling(task, normalise), "nodes": nodes.tolist()}
    sizes = np.linalg.norm(nodes, axis=1)
    return _scored(task, centre, states[:, None], np.arange(len(nodes)), sizes, choices, execution)


@checked
@standard_settings()
def walk(
    task: Task, trajectories: Trajectories, seed: Seed = 0, execution: Execution | None = None
) -> Trajectories:
    """Replace retraining by a random walk with each run's own step lengths: the null of arms.

    Every run starts at its jump; step t has the length of the run's step t in an isotropic random
    direction. Buffers and frozen parameters stay the run's.

    Returns:
        Trajectories of the same design.
    """
    task.state(trajectories.optimum, "the optimum of trajectories")
    count = trajectories.weight_count
    states = np.array(trajectories.states[:])
    for run, rng in enumerate(np.random.default_rng(seed).spawn(len(states))):
        weights = states[run, :, :count].astype(np.float64)
        lengths = np.linalg.norm(np.diff(weights, axis=0), axis=1, keepdims=True)
        steps = rng.standard_normal((len(lengths), count))
        steps *= lengths / np.linalg.norm(steps, axis=1, keepdims=True)
        states[run, 1:, :count] = weights[0] + np.cumsum(steps, axis=0)
    choices = {"method": "walk", "seed": seed, "of": dict(trajectories.provenance)}
    null = _scored(
        task,
        trajectories.optimum,
        states,
        trajectories.direction,
        trajectories.step_size,
        choices,
        execution,
        trajectories.epoch,
    )
    return replace(null, order_seed=trajectories.order_seed)


def _scaling(task: Task, normalise: Normalise) -> dict[str, Any]:
    single = single_filters(task.layout, normalise)
    return {"normalise": normalise} | ({"single_filters": single} if single else {})


def _scored(
    task: Task,
    centre: NDArray[Any],
    states: NDArray[Any],
    direction: NDArray[np.int64],
    step_size: NDArray[np.float64],
    choices: dict[str, Any],
    execution: Execution | None,
    epoch: NDArray[np.float64] | None = None,
) -> Trajectories:
    flat = states.reshape(-1, states.shape[-1])
    parts = chunks(len(flat), 64)
    jobs = [(task, flat[part]) for part in parts]
    results = spread(measure_both, jobs, execution or Execution(), "scoring")
    metrics = {
        name: np.concatenate([result[name] for result in results]).reshape(states.shape[:2])
        for name in results[0]
    }
    return Trajectories(
        optimum=centre,
        states=states,
        direction=np.asarray(direction),
        step_size=step_size,
        order_seed=np.zeros(len(states), dtype=np.int64),
        epoch=np.zeros(1) if epoch is None else epoch,
        metrics=metrics,
        optimum_metrics=measure_optimum(task, centre),
        status=folders.status(states, metrics),
        weight_count=task.weight_count,
        provenance=folders.plain(choices | {"task": task.fingerprint, "optimum": digest(centre)}),
    )
