"""Sample the landscape around an optimum: jump away from it and retrain."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.engine.chunking import check_held
from jumpretrain.engine.evaluate import measure_both
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import plan_training
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, NotNegative, Seed
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.trajectories import Trajectories, write_index
from jumpretrain.states.directions import Normalise, directions, single_filters
from jumpretrain.storage import folders, manifests
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["check_seeds", "check_sizes", "counted", "draw", "jump", "measure_optimum", "sample"]

STEP_SIZES = (0.0, 0.25, 0.5, 0.75, 1.0)
LARGEST = 1e30  # float32 ends soon after


@checked
@standard_settings()
def sample(
    task: Task,
    optimum: StateLike,
    recipe: Recipe | None = None,
    step_sizes: Sequence[NotNegative] = STEP_SIZES,
    directions: Count | Sequence[Seed] = 4,
    order_seed: Seed = 0,
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
    centre, sizes = task.state(optimum, "the optimum"), check_sizes(step_sizes)
    steps = recipe.record_steps(recipe.batches(len(task.data.train_x)))
    check_held(task, counted(directions) * len(sizes), len(steps) if folder is None else 1)
    seeds = check_seeds(directions)
    rays_, still = draw(task, centre, seeds, normalise, include_1d)
    index = _index(task, recipe, centre, seeds, sizes, order_seed)
    starts = jump(centre, np.repeat(rays_, len(sizes), axis=0), index["step_size"])
    design = {
        "method": "jump and retrain",
        "task": task.fingerprint,
        "optimum": digest(centre),
        "recipe": recipe,
        "step_sizes": sizes.tolist(),
        "directions": seeds.tolist(),
        "order_seed": order_seed,
        "normalise": normalise,
        "include_1d": include_1d,
        "zero_filters": still,
    }
    single = single_filters(task.layout, normalise)
    design |= {"single_filters": single} if single else {}
    facts: dict[str, Any] = {
        "weight_count": task.weight_count,
        "optimum_metrics": measure_optimum(task, centre),
    }
    planned = plan_training(task, recipe, index["order_seed"], starts, execution, derived=True)
    if folder is None:
        fit = planned.run(label)
    else:
        place = folders.located(folder)
        with folders.lock(place):
            kept = manifests.claim(place / "sampling.json", design)
            design |= {"task": kept["task"]}  # in the words of the version that made it
            owner = planned.claim(place)
            write_index(place, index, {**facts, "provenance": design}, owner)
            fit = planned.keep(place, label)
    return Trajectories(
        **index,
        **facts,
        states=fit.states,
        metrics=fit.metrics,
        status=fit.status,
        provenance=folders.plain(design | {"training": fit.provenance}),
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


def counted(directions: int | Sequence[int]) -> int:
    """Count directions.

    Returns:
        Their number.
    """
    return int(directions) if isinstance(directions, Integral | int) else len(directions)


def check_seeds(directions: int | Sequence[int]) -> NDArray[np.int64]:
    """Check the seeds of directions.

    Args:
        directions: How many (seeds 0, 1, ...), or the seeds.

    Returns:
        The seeds.

    Raises:
        ValueError: If they are not distinct whole numbers from 0.
    """
    seeds = np.asarray(range(directions) if isinstance(directions, Integral) else directions)
    if not len(seeds) or seeds.min() < 0 or len(np.unique(seeds)) < len(seeds):
        raise ValueError(f"directions must be 1 or more distinct seeds from 0, not {directions}")
    return seeds.astype(np.int64)


def check_sizes(step_sizes: Sequence[float]) -> NDArray[np.float64]:
    """Check lengths of jumps.

    Args:
        step_sizes: In filter norms.

    Returns:
        The same as an array.

    Raises:
        ValueError: If they are not distinct finite numbers from 0.
    """
    sizes = np.asarray(step_sizes, dtype=np.float64)
    if not len(sizes) or not np.all((sizes >= 0) & (sizes <= LARGEST)):
        raise ValueError(
            f"step sizes must be 1 or more numbers from 0 (to {LARGEST:g}), not {list(step_sizes)}"
        )
    if len(np.unique(sizes)) < len(sizes):
        raise ValueError(f"step sizes must differ, but are {list(step_sizes)}")
    return sizes


@standard_settings()
def draw(
    task: Task,
    centre: NDArray[Any],
    seeds: NDArray[np.int64],
    normalise: Normalise,
    include_1d: bool,
) -> tuple[NDArray[Any], int]:
    """Draw random directions, on one thread.

    Args:
        task: Whose network it is.
        centre: The state whose filters give the norms (S,).
        seeds: One a direction (R,).
        normalise: How directions are scaled.
        include_1d: Whether biases and BatchNorm's scale and shift are moved too.

    Returns:
        The directions (R, P), and how many filters are zero and so never move.
    """
    return directions(task.layout, centre, seeds.tolist(), normalise, include_1d)


def jump(centre: NDArray[Any], moves: NDArray[Any], sizes: NDArray[np.float64]) -> NDArray[Any]:
    """Move the weights of a state; frozen parameters and buffers stay.

    Args:
        centre: The state (S,).
        moves: One a jump (R, P).
        sizes: How far each goes (R,).

    Returns:
        States (R, S).
    """
    states = np.repeat(centre[None], len(moves), axis=0)
    states[:, : moves.shape[1]] += sizes[:, None].astype(centre.dtype) * moves
    return states


@standard_settings()
def measure_optimum(task: Task, state: NDArray[Any]) -> dict[str, float]:
    """Score one state.

    Args:
        task: Network, data, loss and metrics.
        state: The state (S,).

    Returns:
        Values by name.
    """
    return {name: float(value[0]) for name, value in measure_both(task, state[None]).items()}
