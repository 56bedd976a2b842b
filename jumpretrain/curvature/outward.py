"""Random directions along which one leaves a state, and the training loss on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.engine.evaluate import measure
from jumpretrain.execution.execution import chunks
from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task

__all__ = ["Rays", "check_directions", "random_streams", "training_loss_only"]

TOGETHER = 8


class Rays:
    """Straight rays from a state, each in a random direction of length 1.

    Attributes:
        task: What the loss is of.
        start: Where the rays set out (S,).
        rows: Directions in weight space (n, P).
    """

    def __init__(
        self,
        task: Task,
        start: NDArray[np.floating],
        drawn: Sequence[np.random.Generator],
        tangential: bool,
    ) -> None:
        """Draw a direction from each stream, orthogonal to the weights if tangential."""
        self.task, self.start = task, start.astype(np.float64)
        weights = self.start[: task.weight_count]
        rows = np.stack([stream.standard_normal(len(weights)) for stream in drawn])
        if tangential:
            unit = weights / np.linalg.norm(weights)
            rows -= (rows @ unit)[:, None] * unit
        self.rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def __len__(self) -> int:
        return len(self.rows)

    def losses(self, some: NDArray[np.int64], distances: ArrayLike) -> NDArray[np.float64]:
        """Score a point on each of some rays.

        Args:
            some: Which rays (K,).
            distances: How far out, one for each or one for all.

        Returns:
            Training losses (K,).
        """
        states = np.repeat(self.start[None], len(some), axis=0)
        out = np.broadcast_to(np.asarray(distances, dtype=np.float64), len(some))
        states[:, : self.rows.shape[1]] += self.rows[some] * out[:, None]
        return measure(self.task, states.astype(self.task.layout.numpy_dtype))["train_loss"]


def check_directions(
    task: Task, state: StateLike, directions: int, seed: int, tangential: bool
) -> NDArray[np.floating]:
    """Check that random directions can leave a state.

    Returns:
        The state (S,) in the task's type.

    Raises:
        ValueError: If the state does not fit, or there are no such directions.
    """
    start = task.state(state, "state")
    weights = start[: task.weight_count]
    if directions < 1 or seed < 0:
        raise ValueError(
            f"directions must be at least 1 and seed at least 0, but are {directions} and {seed}"
        )
    if tangential and (len(weights) < 2 or not weights.any()):
        raise ValueError(
            "tangential directions need two weights or more, not all zero; pass tangential=False"
        )
    return start


def training_loss_only(task: Task, start: NDArray[np.floating]) -> tuple[Task, float]:
    """Leave out what costs time where only the training loss is asked for.

    Returns:
        The task without metrics and with two test examples, and the training loss of the state.

    Raises:
        ValueError: If that loss is not finite.
    """
    few = {name: getattr(task.data, name)[:2] for name in ("test_x", "test_y")}
    lean = replace(task, data=replace(task.data, **few), metrics={})
    with standard_settings():
        loss = float(measure(lean, start[None])["train_loss"][0])
    if not math.isfinite(loss):
        raise ValueError(
            f"the training loss must be finite where rays set out, but is {loss}; take another "
            "state"
        )
    return lean, loss


def random_streams(directions: int, seed: int) -> list[list[np.random.Generator]]:
    """Make a random stream a direction, so that more directions go on with the same.

    Returns:
        The streams, in the parts that are scored together.
    """
    each = np.random.default_rng((seed, 0, 5)).spawn(directions)  # training draws: (seed, epoch)
    return [[each[k] for k in some] for some in chunks(directions, TOGETHER)]
