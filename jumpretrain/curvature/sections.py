"""Scores along a ray from the origin and in the plane through three states.

After figure 2 of arXiv:1906.04724, where low loss lies in radial tunnels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from jumpretrain.engine.evaluate import measure
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, NotNegative
from jumpretrain.execution.execution import Execution, chunks, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.states.planes import spanned_by
from jumpretrain.tasks.sources import StateLike, StatesLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["Section", "plane_through", "radial_cut"]

TOGETHER = 32


@dataclass(frozen=True, eq=False)
class Section:
    """Scores on a grid in the plane through three states.

    The first state lies at (0, 0), the second on the positive x-axis, the third above it. Buffers
    and frozen parameters are mixed as the weights are between the three; beyond them negative
    shares count as none, since a running variance below 0 means nothing.

    Attributes:
        coordinates: Where the three states lie, in weight units (3, 2).
        x: Places of the grid's columns (A,).
        y: Places of the grid's rows (B,).
        metrics: Values by name, each (B, A).
        origin: Weights of the first state (P,).
        axes: Orthonormal axes (2, P).
        provenance: Everything needed to measure it again.

    Raises:
        ValueError: If shapes disagree.
    """

    coordinates: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]
    origin: NDArray[np.float64]
    axes: NDArray[np.float64]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        shapes = {values.shape for values in self.metrics.values()}
        grid, width = (len(self.y), len(self.x)), len(self.origin)
        if shapes != {grid} or self.axes.shape != (2, width) or self.coordinates.shape != (3, 2):
            raise ValueError(
                f"metrics must be {grid}, axes (2, {width}) and coordinates (3, 2), but are "
                f"{sorted(shapes)}, {self.axes.shape} and {self.coordinates.shape}"
            )

    def project(self, states: ArrayLike) -> NDArray[np.float64]:
        """Drop states (K, S) onto the plane.

        Returns:
            Their coordinates (K, 2).
        """
        weights = np.asarray(states, dtype=np.float64)[:, : len(self.origin)]
        with standard_settings():
            return np.asarray((weights - self.origin) @ self.axes.T)


@checked
@standard_settings()
def radial_cut(
    task: Task,
    state: StateLike,
    factors: Sequence[float],
    execution: Execution | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Score the states whose weights are a state's times some factors.

    Args:
        task: Network, data, loss and metrics.
        state: The state at factor 1 (S,); its buffers and frozen parameters stay.
        factors: What the weights are multiplied with (F,).
        execution: Where to compute.

    Returns:
        One value a factor (F,) for each of the task's metrics.

    Raises:
        ValueError: If the state does not fit, or a factor is below 0.
    """
    end = task.state(state, "state")
    scales = np.asarray(factors, dtype=np.float64)
    if scales.ndim != 1 or not len(scales) or not ((scales >= 0) & (scales < np.inf)).all():
        raise ValueError(f"factors must be a list of numbers from 0, but are {factors}")
    origin = end.copy()
    origin[: task.weight_count] = 0
    nodes, shares = np.stack([origin, end]), np.c_[1 - scales, scales]
    return _mixed(task, nodes, shares, execution or Execution())


@checked
@standard_settings()
def plane_through(
    task: Task,
    states: StatesLike,
    size: Count = 21,
    margin: NotNegative = 0.2,
    execution: Execution | None = None,
) -> Section:
    """Score a grid in the plane through three states, as figure 2 of arXiv:1906.04724 draws it.

    A plane of random directions is `jr.grid`. For the plane of two optima and the origin,
    let the first state have weights of zero.

    Args:
        task: Network, data, loss and metrics.
        states: Three states (3, S).
        size: Number of points along each axis.
        margin: How far the grid goes beyond the three, as a share of their extent.
        execution: Where to compute.

    Returns:
        Coordinates and scores.

    Raises:
        ValueError: If there are not three states, they lie in line, or an argument does not fit.
    """
    nodes = task.check_states(states)
    if len(nodes) != 3:
        raise ValueError(f"a plane goes through 3 states, but there are {len(nodes)}")
    if size < 2 or not 0 <= margin < np.inf:
        raise ValueError(
            f"size must be at least 2 and margin at least 0, but are {size}, {margin}"
        )
    with standard_settings():
        weights = nodes[:, : task.weight_count].astype(np.float64)
        moved = weights - weights[0]
        try:
            axes = spanned_by(moved[1:]).directions
        except ValueError as error:
            raise ValueError(
                "three states span a plane unless they lie in line, but these do; take another"
            ) from error
        axes = axes * np.sign(np.diagonal(moved[1:] @ axes.T))[:, None]
        coordinates = moved @ axes.T
    coordinates[1, 1] = 0
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    x, y = np.linspace(low - margin * (high - low), high + margin * (high - low), size).T
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    shares = np.linalg.solve(coordinates[1:].T, points.T).T
    shares = np.c_[1 - shares.sum(axis=1), shares]
    found = _mixed(task, nodes, shares, execution or Execution())
    metrics = {name: values.reshape(size, size) for name, values in found.items()}
    provenance = {
        "task": task.fingerprint,
        "states": [digest(node) for node in nodes],
        "size": size,
        "margin": margin,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    return Section(coordinates, x, y, metrics, weights[0], axes, provenance)


def _mixed(
    task: Task, nodes: NDArray[Any], shares: NDArray[np.float64], execution: Execution
) -> dict[str, NDArray[np.float64]]:
    """Score mixtures of states, built where they are scored.

    Returns:
        One value a mixture by name.
    """
    jobs = [(task, nodes, shares[some]) for some in chunks(len(shares), TOGETHER)]
    parts = spread(_score, jobs, execution, "scoring")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _score(
    task: Task, nodes: NDArray[Any], shares: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    rows, count = nodes.astype(np.float64), task.weight_count
    between = np.clip(shares, 0, None)
    between /= between.sum(axis=1, keepdims=True)
    states = np.hstack([shares @ rows[:, :count], between @ rows[:, count:]])
    return measure(task, states.astype(nodes.dtype))
