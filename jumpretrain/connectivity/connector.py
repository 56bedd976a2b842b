"""Curves and surfaces between optima, scored densely beside the straight ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.engine.evaluate import measure
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.states.directions import deviation_cosines
from jumpretrain.tasks.measures import predicted
from jumpretrain.tasks.task import Task, digest

__all__ = ["Connector", "lengths", "score_connector"]

MIDDLE = 1e-4  # of the chord: rounding of single precision

BLOCK = 32
NO_CLASS = -1
"""Stands for the label of an example whose outputs name none: it differs from any class."""


@dataclass(frozen=True, eq=False)
class Connector:
    """A curve or surface through optima, scored at A points, beside the straight one.

    Attributes:
        nodes: The states that span it (N, S): along a curve from the first optimum to the
            second; of a surface one a face, the m + 1 optima first.
        shares: Weights of the nodes at each point (A, N).
        coordinates: Where each point stands on the straight line or simplex between the optima,
            in barycentric coordinates (A, m + 1); for two optima by its share of the length.
        metrics: Values by name at each point, each (A,).
        straight_metrics: The same on the straight line or simplex.
        changed: Share of test examples with another predicted label than at each optimum
            (A, m + 1); None where the targets are no class labels.
        provenance: Everything needed to make it again.

    Raises:
        ValueError: If shapes disagree.
    """

    nodes: NDArray[Any]
    shares: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]
    straight_metrics: Mapping[str, NDArray[np.float64]]
    changed: NDArray[np.float64] | None
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        points, count = self.shares.shape
        columns = (*self.metrics.values(), *self.straight_metrics.values())
        found = {len(self.coordinates), *map(len, columns)}
        if count != len(self.nodes) or found != {points}:
            raise ValueError(
                f"shares are ({points}, {count}), so there must be {count} nodes and {points} "
                f"points, but there are {len(self.nodes)} and {sorted(found)}"
            )

    @property
    def optima(self) -> NDArray[Any]:
        """The optima (m + 1, S)."""
        count = self.coordinates.shape[1]
        return self.nodes[[0, -1]] if count == 2 else self.nodes[:count]

    @property
    def alphas(self) -> NDArray[np.float64]:
        """Shares of the length of the curve, from the first optimum to the second (A,).

        Raises:
            ValueError: If it is a surface.
        """
        self._check_curve("alphas")
        return self.coordinates[:, 1]

    @property
    def barrier(self) -> float:
        """Largest training loss minus that of the highest optimum."""
        return self._barrier(self.metrics)

    @property
    def linear_barrier(self) -> float:
        """The same on the straight line or simplex."""
        return self._barrier(self.straight_metrics)

    @property
    def length_ratio(self) -> float:
        """Length of the curve over that of the straight line, in weight space.

        Raises:
            ValueError: If it is a surface.
        """
        self._check_curve("length_ratio")
        width = self.provenance["weights"]
        reached = lengths(self.nodes[:, :width], self.shares)
        chord = np.linalg.norm(np.subtract(*self.optima[:, :width].astype(np.float64)))
        return float(reached[-1] / chord)

    @property
    def norms(self) -> NDArray[np.float64]:
        """Norm of the weights at each point (A,)."""
        rows = self.nodes[:, : self.provenance["weights"]].astype(np.float64)
        gram = rows @ rows.T
        inner = np.einsum("an,nm,am->a", self.shares, gram, self.shares, optimize=True)
        return np.asarray(np.sqrt(np.maximum(inner, 0)))

    def deviation_cosines(self) -> NDArray[np.float64]:
        """Compare in which directions the inner nodes of a curve lie off the straight line.

        Returns:
            Cosines (N - 2, N - 2), along the curve (arXiv:1906.04724, section 4.2).

        Raises:
            ValueError: If it is a surface or has no inner node.
        """
        self._check_curve("deviation_cosines")
        return deviation_cosines(self.nodes[:, : self.provenance["weights"]])

    def half_cosines(self) -> tuple[float, float]:
        """Average the cosines between deviations of nodes in the same half, and across halves.

        Nodes in the middle belong to no half.

        Returns:
            Both means; NaN where there is no such pair of nodes.

        Raises:
            ValueError: If it is a surface or has no inner node.
        """
        cosines = self.deviation_cosines()
        rows = self.nodes[:, : self.provenance["weights"]].astype(np.float64)
        chord = rows[-1] - rows[0]
        place = (rows[1:-1] - rows[0]) @ chord / (chord @ chord) - 0.5
        side = np.where(np.abs(place) > MIDDLE, np.sign(place), 0)
        both, pairs = np.outer(side, side), ~np.eye(len(side), dtype=np.bool_) & ~np.isnan(cosines)
        within, across = cosines[pairs & (both > 0)], cosines[pairs & (both < 0)]
        means = (float(some.mean()) if len(some) else np.nan for some in (within, across))
        return next(means), next(means)

    def _barrier(self, metrics: Mapping[str, NDArray[np.float64]]) -> float:
        ends = self.coordinates.max(axis=1) == 1
        losses = metrics["train_loss"]
        return float(losses.max() - self.metrics["train_loss"][ends].max())

    def _check_curve(self, what: str) -> None:
        if self.coordinates.shape[1] != 2:
            raise ValueError(
                f"{what} is of a curve between 2 optima, but there are {self.coordinates.shape[1]}"
            )


def lengths(rows: NDArray[Any], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how far along a curve each of its points lies.

    Args:
        rows: Nodes (N, P).
        shares: Weights of the nodes at each point (A, N).

    Returns:
        Lengths from the first point, along straight steps (A,).
    """
    centred = rows.astype(np.float64) - rows[0]
    gram, steps = centred @ centred.T, np.diff(shares, axis=0)
    squares = np.einsum("an,nm,am->a", steps, gram, steps, optimize=True)
    return np.concatenate([[0.0], np.cumsum(np.sqrt(np.maximum(squares, 0)))])


def score_connector(
    task: Task,
    nodes: NDArray[Any],
    shares: NDArray[np.float64],
    coordinates: NDArray[np.float64],
    choices: Mapping[str, Any],
    execution: Execution,
) -> Connector:
    """Score points of a curve or surface, and where they stand on the straight one.

    Args:
        task: Network, data, loss and metrics.
        nodes: The states that span it (N, S), ordered as `Connector` says.
        shares: Weights of the nodes at each point (A, N).
        coordinates: Barycentric coordinates on the straight one (A, m + 1); every optimum is
            among them.
        choices: How the nodes were made.
        execution: Where to compute.

    Returns:
        The connector.
    """
    count = coordinates.shape[1]
    optima = nodes[[0, -1]] if count == 2 else nodes[:count]
    both = []
    for states, weights in ((nodes, shares), (optima, coordinates)):
        blocks = np.array_split(weights, -(-len(weights) // BLOCK))
        jobs = [(task, states, block) for block in blocks]
        parts = spread(_score, jobs, execution, "scoring")
        both.append({n: np.concatenate([part[n] for part in parts]) for n in parts[0]})
    (bent, straight), changed = both, None
    if "labels" in bent:
        labels, _ = bent.pop("labels"), straight.pop("labels")
        corners = [int(np.flatnonzero(coordinates[:, k] == 1)[0]) for k in range(count)]
        changed = np.stack([(labels != labels[k]).mean(axis=1) for k in corners], axis=1)
    provenance = {
        "task": task.fingerprint,
        "optima": [digest(optimum) for optimum in optima],
        **choices,
        "weights": task.weight_count,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    return Connector(nodes, shares, coordinates, bent, straight, changed, provenance)


def _labelled(outputs: Any, targets: torch.Tensor) -> bool:
    whole = not targets.is_floating_point() and targets.ndim == 1
    return whole and isinstance(outputs, torch.Tensor) and outputs.ndim == 2 < 1 + outputs.shape[1]


def _score(
    task: Task, nodes: NDArray[Any], shares: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    labels: dict[int, list[torch.Tensor]] = {}

    def watch(row: int, split: str, outputs: Any, targets: torch.Tensor) -> None:
        if split == "test" and _labelled(outputs, targets):
            label, known = predicted(outputs)
            labels.setdefault(row, []).append(label.where(known, NO_CLASS).cpu())

    states = (shares @ nodes.astype(np.float64)).astype(nodes.dtype)
    found: dict[str, NDArray[Any]] = dict(measure(task, states, watch=watch))
    if labels:
        found["labels"] = np.stack([torch.cat(labels[k]).numpy() for k in range(len(states))])
    return found
