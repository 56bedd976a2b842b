"""Random networks around an optimum, drawn from the subspaces that its snapshots span.

As in the code released with arXiv:1912.02757, whose authors find such networks to predict much as
the optimum does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.sources import StateLike, StatesLike
from jumpretrain.tasks.task import Task

__all__ = ["draw_diagonal", "draw_principal", "draw_uniform"]


def draw_uniform(
    task: Task, state: StateLike, radius: float, count: int, seed: int = 0
) -> NDArray[Any]:
    """Draw states at uniform distances up to a radius, in random directions.

    The code keeps those whose accuracy is high enough; here all are kept.

    Args:
        task: The task of the state.
        state: Where to set out (S,).
        radius: Largest distance, in weight units.
        count: Number K of states.
        seed: Of the draw.

    Returns:
        States (K, S) with the state's buffers and frozen parameters.

    Raises:
        ValueError: If the state or an argument does not fit.
    """
    centre = task.state(state, "state")
    if not 0 < radius < np.inf:
        raise ValueError(f"radius must be a number above 0, but is {radius}")
    rng, width = _stream(count, seed), task.weight_count
    with standard_settings():
        moves = rng.standard_normal((count, width))
        moves *= radius * rng.uniform(size=(count, 1)) / np.linalg.norm(moves, axis=1)[:, None]
    return _placed(centre.astype(np.float64), moves, centre.dtype)


def draw_diagonal(task: Task, snapshots: StatesLike, count: int, seed: int = 0) -> NDArray[Any]:
    """Draw states from the normal law in which each weight varies as in snapshots, alone.

    Args:
        task: The task of the snapshots.
        snapshots: Late states of one training run (T, S), two or more.
        count: Number K of states.
        seed: Of the draw.

    Returns:
        States (K, S) around the mean of the snapshots, buffers and frozen parameters averaged.

    Raises:
        ValueError: If snapshots or an argument do not fit.
    """
    rows, rng = _check_snapshots(task, snapshots), _stream(count, seed)
    spread = rows[:, : task.weight_count].std(axis=0, ddof=1)
    moves = spread * rng.standard_normal((count, task.weight_count))
    return _placed(rows.mean(axis=0), moves, task.layout.numpy_dtype)


def draw_principal(
    task: Task, snapshots: StatesLike, count: int, rank: int = 5, seed: int = 0
) -> NDArray[Any]:
    """Draw states from the normal law of the first principal components of snapshots.

    Args:
        task: The task of the snapshots.
        snapshots: Late states of one training run (T, S), two or more.
        count: Number K of states.
        rank: Number of components, up to T - 1 and P; the code has 5.
        seed: Of the draw.

    Returns:
        States (K, S) around the mean of the snapshots, buffers and frozen parameters averaged.

    Raises:
        ValueError: If snapshots or an argument do not fit.
    """
    rows, rng = _check_snapshots(task, snapshots), _stream(count, seed)
    most = min(len(rows) - 1, task.weight_count)
    if not 1 <= rank <= most:
        raise ValueError(f"{len(rows)} snapshots have 1..{most} principal components, not {rank}")
    with standard_settings():
        weights = rows[:, : task.weight_count]
        _, sizes, axes = np.linalg.svd(weights - weights.mean(axis=0), full_matrices=False)
        scales = sizes[:rank] / np.sqrt(len(rows) - 1)
        moves = (rng.standard_normal((count, rank)) * scales) @ axes[:rank]
    return _placed(rows.mean(axis=0), moves, task.layout.numpy_dtype)


def _check_snapshots(task: Task, snapshots: StatesLike) -> NDArray[np.float64]:
    rows = task.check_states(snapshots).astype(np.float64)
    if len(rows) < 2:
        raise ValueError(f"a law needs at least 2 snapshots, but there are {len(rows)}")
    return rows


def _stream(count: int, seed: int) -> np.random.Generator:
    if count < 1 or seed < 0:
        raise ValueError(
            f"count must be at least 1 and seed at least 0, but are {count} and {seed}"
        )
    return np.random.default_rng((seed, 0, 6))  # training draws from (seed, epoch)


def _placed(
    centre: NDArray[np.float64], moves: NDArray[np.float64], dtype: np.dtype[Any]
) -> NDArray[Any]:
    states = np.repeat(centre[None], len(moves), axis=0)
    states[:, : moves.shape[1]] += moves
    return states.astype(dtype)
