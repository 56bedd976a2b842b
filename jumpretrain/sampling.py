"""Sample the landscape around an optimum: jump and retrain, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from jumpretrain import store
from jumpretrain.directions import Normalise, directions
from jumpretrain.evaluating import measure_both
from jumpretrain.execution import Execution, chunks, one_thread, spread
from jumpretrain.recipe import Recipe
from jumpretrain.task import Task, digest
from jumpretrain.training import train
from jumpretrain.trajectories import Trajectories, write_index

__all__ = ["grid", "rays", "sample", "walk"]

STEP_SIZES = (0.0, 0.25, 0.5, 0.75, 1.0)


def sample(
    task: Task,
    optimum: ArrayLike | torch.Tensor,
    recipe: Recipe | None = None,
    step_sizes: Sequence[float] = STEP_SIZES,
    directions: int | Sequence[int] = 4,
    order_seed: int = 0,
    normalise: Normalise = "filter",
    include_1d: bool = False,
    folder: str | Path | None = None,
    execution: Execution | None = None,
    label: str = "jumping and retraining",
) -> Trajectories:
    """Jump away from an optimum along random directions and retrain (arXiv:2102.00485, 3.1).

    All jumps see the data in the same order, so that directions and orders are crossed when the
    call is repeated with another `order_seed`. Step size 0 has no direction: there, each run
    takes an order of its own (`order_seed`, `order_seed + 1`, ...) and the runs tell what
    retraining does without a jump.

    Args:
        task: Network, data, loss and metrics.
        optimum: The state that training reached (S,).
        recipe: How retraining goes; by default 40 epochs of SGD with rate 0.005.
        step_sizes: Lengths of the jumps, in filter norms.
        directions: How many directions (seeds 0, 1, ...), or their seeds.
        order_seed: Seed of the order of the data during retraining.
        normalise: How directions are scaled, see `directions`.
        include_1d: Whether biases and BatchNorm's scale and shift are perturbed too.
        folder: Where finished runs are kept; the same call goes on where it was stopped.
        execution: Where and how it is run.
        label: What the progress bar says.

    Returns:
        One run for each direction and step size, direction by direction.

    Raises:
        ValueError: If an argument is out of range, or the folder holds another design.
    """
    recipe, execution = recipe or Recipe(), execution or Execution()
    centre = task.check_states(np.asarray(optimum)[None])[0]
    seeds, sizes = _seeds(directions), _sizes(step_sizes)
    rays_, still = _drawn(task, centre, seeds, normalise, include_1d)
    index = _index(task, recipe, centre, seeds, sizes, order_seed)
    starts = _jump(centre, np.repeat(rays_, len(sizes), axis=0), index["step_size"])
    design = {
        "method": "jump and retrain",
        "task": task.fingerprint,
        "optimum": digest(centre),
        "recipe": asdict(recipe),
        "step_sizes": sizes.tolist(),
        "directions": seeds.tolist(),
        "order_seed": order_seed,
        "normalise": normalise,
        "include_1d": include_1d,
        "zero_filters": still,
    }
    facts: dict[str, Any] = {
        "weight_count": task.weight_count,
        "optimum_metrics": _measured(task, centre),
    }
    if folder is not None:
        store.claim(Path(folder) / "sampling.json", design)
        write_index(Path(folder), index, {**facts, "provenance": design})
    fit = train(task, recipe, index["order_seed"], starts, folder, execution, label)
    return Trajectories(
        **index,
        **facts,
        states=fit.states,
        metrics=fit.metrics,
        status=fit.status,
        provenance=store.plain(design | {"training": fit.provenance}),
    )


def _index(
    task: Task,
    recipe: Recipe,
    centre: NDArray[Any],
    seeds: NDArray[np.int64],
    sizes: NDArray[np.float64],
    order_seed: int,
) -> dict[str, Any]:
    step_size = np.tile(sizes, len(seeds))
    place = np.repeat(np.arange(len(seeds)), len(sizes))
    batches = recipe.batches(len(task.data.train_x))
    return {
        "optimum": centre,
        "direction": np.repeat(seeds, len(sizes)),
        "step_size": step_size,
        "order_seed": np.where(step_size > 0, order_seed, order_seed + place),
        "epoch": recipe.record_steps(batches) / batches,
    }


def rays(
    task: Task,
    optimum: ArrayLike | torch.Tensor,
    directions: int | Sequence[int] = 32,
    radii: Sequence[float] = tuple(np.linspace(0.05, 1, 20).tolist()),
    normalise: Normalise = "filter",
    execution: Execution | None = None,
) -> Trajectories:
    """Score points along random directions without retraining (the paper's naive sampler).

    Returns:
        One run of one snapshot for each direction and radius; 640 by default.
    """
    centre = task.check_states(np.asarray(optimum)[None])[0]
    seeds, sizes = _seeds(directions), _sizes(radii)
    drawn, _ = _drawn(task, centre, seeds, normalise, include_1d=False)
    step_size = np.tile(sizes, len(seeds))
    states = _jump(centre, np.repeat(drawn, len(sizes), axis=0), step_size)
    choices = {"method": "rays", "normalise": normalise}
    direction = np.repeat(seeds, len(sizes))
    return _scored(task, centre, states[:, None], direction, step_size, choices, execution)


def grid(
    task: Task,
    optimum: ArrayLike | torch.Tensor,
    shape: tuple[int, int, int] = (8, 8, 10),
    reach: float = 1.0,
    seeds: tuple[int, int, int] = (0, 1, 2),
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
    centre = task.check_states(np.asarray(optimum)[None])[0]
    axes, _ = _drawn(task, centre, np.asarray(seeds), normalise, include_1d=False)
    lines = [np.linspace(-reach, reach, count) if count > 1 else np.zeros(1) for count in shape]
    nodes = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
    with one_thread():
        moves = (nodes @ axes).astype(centre.dtype)
    states = _jump(centre, moves, np.ones(len(nodes)))
    choices = {"method": "grid", "normalise": normalise, "nodes": nodes.tolist()}
    sizes = np.linalg.norm(nodes, axis=1)
    return _scored(task, centre, states[:, None], np.arange(len(nodes)), sizes, choices, execution)


def walk(
    task: Task, trajectories: Trajectories, seed: int = 0, execution: Execution | None = None
) -> Trajectories:
    """Replace retraining by a random walk with each run's own step lengths: the null of arms.

    Every run starts at its jump; step t has the length of the run's step t in an isotropic random
    direction. Buffers and frozen parameters stay the run's.

    Returns:
        Trajectories of the same design.
    """
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


def _seeds(directions: int | Sequence[int]) -> NDArray[np.int64]:
    counted = np.arange(int(directions)) if isinstance(directions, Integral) else directions
    seeds = np.asarray(counted)
    if not len(seeds) or seeds.min() < 0 or len(np.unique(seeds)) < len(seeds):
        raise ValueError(f"directions must be 1 or more distinct seeds from 0, not {directions}")
    return seeds.astype(np.int64)


def _sizes(step_sizes: Sequence[float]) -> NDArray[np.float64]:
    sizes = np.asarray(step_sizes, dtype=np.float64)
    if not len(sizes) or not np.isfinite(sizes).all() or sizes.min() < 0:
        raise ValueError(f"step sizes must be 1 or more numbers from 0, not {list(step_sizes)}")
    if len(np.unique(sizes)) < len(sizes):
        raise ValueError(f"step sizes must differ, but are {list(step_sizes)}")
    return sizes


@one_thread()
def _drawn(
    task: Task,
    centre: NDArray[Any],
    seeds: NDArray[np.int64],
    normalise: Normalise,
    include_1d: bool,
) -> tuple[NDArray[Any], int]:
    return directions(task.layout, centre, seeds.tolist(), normalise, include_1d)


def _jump(centre: NDArray[Any], moves: NDArray[Any], sizes: NDArray[np.float64]) -> NDArray[Any]:
    states = np.repeat(centre[None], len(moves), axis=0)
    states[:, : moves.shape[1]] += sizes[:, None].astype(centre.dtype) * moves
    return states


@one_thread()
def _measured(task: Task, state: NDArray[Any]) -> dict[str, float]:
    return {name: float(value[0]) for name, value in measure_both(task, state[None]).items()}


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
        optimum_metrics=_measured(task, centre),
        status=store.status(states, metrics),
        weight_count=task.weight_count,
        provenance=store.plain(choices | {"task": task.fingerprint, "optimum": digest(centre)}),
    )
