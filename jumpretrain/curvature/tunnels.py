"""How far random directions lead from a state before the loss is high, and how alike they are.

After arXiv:1906.04724, which finds radial tunnels of low loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.curvature.outward import (
    Rays,
    check_directions,
    random_streams,
    training_loss_only,
)
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Positive, Seed
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["Isotropy", "Width", "isotropy", "tunnel_width"]


@dataclass(frozen=True, eq=False)
class Width:
    """How far one can go from a state along random directions before the loss is high.

    Attributes:
        widths: Distance in each direction, in weight units (n,); infinite where the loss stayed
            low up to the reach.
        radius: Norm of the weights.
        threshold: Training loss that ends the tunnel.
        start_loss: Training loss of the state.
        provenance: Everything needed to measure it again.

    Raises:
        ValueError: If the widths are no row of distances.
    """

    widths: NDArray[np.float64]
    radius: float
    threshold: float
    start_loss: float
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.widths.ndim != 1 or not len(self.widths) or not (self.widths >= 0).all():
            raise ValueError("widths must be a row (n,) of distances from 0, but are not")

    @property
    def median(self) -> float:
        """Median width; infinite where half of the directions do not end."""
        return self._quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile, each the middle of its neighbours."""
        return self._quantile(0.25), self._quantile(0.75)

    @property
    def angle(self) -> NDArray[np.float64]:
        """Widths over the radius (n,): nearly angles, in radians, while they are small."""
        return _ratio(self.widths, np.float64(self.radius))

    @property
    def endless(self) -> int:
        """Number of directions in which the loss stayed low up to the reach."""
        return int(np.isinf(self.widths).sum())

    def _quantile(self, share: float) -> float:
        place, ordered = share * (len(self.widths) - 1), np.sort(self.widths)
        return float((ordered[math.floor(place)] + ordered[math.ceil(place)]) / 2)


@dataclass(frozen=True, eq=False)
class Isotropy:
    """The training loss in random directions at some distances.

    Attributes:
        distances: How far from the state, in weight units (A,).
        losses: The loss in each direction (A, n).
        start_loss: Training loss of the state.
        dimensions: Of the space from which directions are drawn.
        provenance: Everything needed to measure it again.

    Raises:
        ValueError: If shapes disagree, or there is one direction only.
    """

    distances: NDArray[np.float64]
    losses: NDArray[np.float64]
    start_loss: float
    dimensions: int
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        shape = self.losses.shape
        if len(shape) != 2 or shape[1] < 2 or self.distances.shape != shape[:1]:
            raise ValueError(
                "losses must be (A, n) for A distances and 2 or more directions, but are "
                f"{shape} for {self.distances.shape}"
            )

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean loss over directions (A,)."""
        return np.asarray(self.losses.mean(axis=1))

    @property
    def sd(self) -> NDArray[np.float64]:
        """Standard deviation over directions (A,)."""
        return np.asarray(self.losses.std(axis=1, ddof=1))

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation over mean (A,): small where the state seems to lie in a round well.

        Where the loss is the distance from s short axes, it is about 1 / sqrt(2 s) (derived).
        """
        return _ratio(self.sd, self.mean)

    @property
    def short(self) -> NDArray[np.float64]:
        """Effective number of short directions at each distance (A,).

        The participation ratio tr(H)^2 / |H|_F^2 of a quadratic loss around its minimum, from
        variance over squared mean of its rise, 2 (D |H|_F^2 / tr(H)^2 - 1) / (D + 2) over
        directions in D dimensions (derived). Close to a state that is no minimum the slope
        spreads the loss as well, and the number is too small.
        """
        square = _ratio(self.sd, self.mean - self.start_loss) ** 2
        return np.asarray(self.dimensions / (1 + square * (self.dimensions + 2) / 2))


@checked
@standard_settings()
def tunnel_width(
    task: Task,
    state: StateLike,
    threshold: float,
    directions: Count = 32,
    tangential: bool = True,
    reach: Positive | None = None,
    steps: Count = 16,
    precision: Positive = 1e-3,
    seed: Seed = 0,
    execution: Execution | None = None,
) -> Width:
    """Measure how far from a state the training loss stays low (arXiv:1906.04724, section 4.4).

    The paper leaves open which directions and what loss is high. Here each direction is scanned in
    even steps until the loss exceeds the threshold, and that step is halved until the distance
    is known; where the loss rises and falls again within one step, it is not seen.

    Args:
        task: Network, data and loss.
        state: Where to set out (S,).
        threshold: Training loss that ends the tunnel, in the units of the task's loss.
        directions: How many random directions.
        tangential: Whether directions are orthogonal to the weights.
        reach: How far to look, in weight units; the norm of the weights where left out.
        steps: Number of even steps up to the reach.
        precision: Largest error of a width, as a share of the reach.
        seed: Of the directions; more of them go on with the same.
        execution: Where to compute.

    Returns:
        The widths.

    Raises:
        ValueError: If the state or an argument does not fit, or its loss is not below the
            threshold.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> optimum = jr.train(task, jr.Recipe(epochs=5, lr=0.05), seeds=[0]).final[0]
        >>> found = tunnel_width(task, optimum, threshold=1.5, directions=4)
        >>> 0 < found.median < found.radius
        True
    """
    start = check_directions(task, state, directions, seed, tangential)
    radius = float(np.linalg.norm(start[: task.weight_count]))
    if reach is None and not radius:
        raise ValueError("all weights are zero, so how far to look must be given as reach")
    reach = radius if reach is None else reach
    if not (0 < reach < np.inf and steps >= 1 and 0 < precision < 1):
        raise ValueError(
            "reach must be above 0, steps at least 1 and precision in (0, 1), but are "
            f"{reach}, {steps} and {precision}"
        )
    lean, start_loss = training_loss_only(task, start)
    if not start_loss < threshold < np.inf:
        raise ValueError(
            f"the threshold must lie above the state's own training loss {start_loss:.4g}, but is "
            f"{threshold}; raise it, or take a state that is trained further"
        )
    halvings = max(0, math.ceil(-math.log2(2 * steps * precision)))
    places = np.linspace(0, reach, steps + 1)
    rays = [(lean, start, some, tangential) for some in random_streams(directions, seed)]
    jobs = [(*ray, threshold, places, halvings) for ray in rays]
    parts = spread(_widths, jobs, execution or Execution(), "tunnel widths")
    provenance = _provenance(task, start) | {
        "directions": directions,
        "tangential": tangential,
        "reach": reach,
        "steps": steps,
        "precision": precision,
        "seed": seed,
    }
    return Width(np.concatenate(parts), radius, threshold, start_loss, provenance)


@checked
@standard_settings()
def isotropy(
    task: Task,
    state: StateLike,
    distances: Sequence[Positive],
    directions: Count = 32,
    tangential: bool = True,
    seed: Seed = 0,
    execution: Execution | None = None,
) -> Isotropy:
    """Measure how much the training loss depends on the direction in which one leaves a state.

    The wedge model predicts that it hardly does: sqrt(L0^2 + a^2 s / D) at distance a in every
    direction (derived from arXiv:1906.04724, section 3.2), see `wedges.predict_loss`.

    Args:
        task: Network, data and loss.
        state: Where to set out (S,).
        distances: How far, in weight units (A,).
        directions: How many random directions, those of `tunnel_width`.
        tangential: Whether directions are orthogonal to the weights.
        seed: Of the directions.
        execution: Where to compute.

    Returns:
        The losses and their spread.

    Raises:
        ValueError: If the state or an argument does not fit.
    """
    start = check_directions(task, state, directions, seed, tangential)
    places = np.asarray(distances, dtype=np.float64)
    if places.ndim != 1 or not len(places) or not ((places > 0) & (places < np.inf)).all():
        raise ValueError(f"distances must be a list of numbers above 0, but are {distances}")
    if directions < 2:
        raise ValueError(f"a spread needs at least 2 directions, but there is {directions}")
    lean, start_loss = training_loss_only(task, start)
    rays = [(lean, start, some, tangential) for some in random_streams(directions, seed)]
    parts = spread(_losses, [(*ray, places) for ray in rays], execution or Execution(), "rays")
    provenance = _provenance(task, start) | {"tangential": tangential, "seed": seed}
    losses = np.concatenate(parts, axis=1)
    return Isotropy(places, losses, start_loss, task.weight_count - tangential, provenance)


def _ratio(above: NDArray[np.float64], below: Any) -> NDArray[np.float64]:
    """Divide; infinite or NaN where the divisor is 0: a flat loss, weights of zero.

    Returns:
        Ratios.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)


def _widths(
    task: Task,
    state: NDArray[Any],
    drawn: Sequence[np.random.Generator],
    tangential: bool,
    threshold: float,
    places: NDArray[np.float64],
    halvings: int,
) -> NDArray[np.float64]:
    rays = Rays(task, state, drawn, tangential)
    low, high = np.zeros(len(rays)), np.full(len(rays), np.inf)

    def look(some: NDArray[np.int64], distances: Any) -> NDArray[np.int64]:
        below = rays.losses(some, distances) <= threshold  # a loss that is NaN is high
        low[some] = np.where(below, distances, low[some])
        high[some] = np.where(below, high[some], distances)
        return some[below]

    inside = np.arange(len(rays))
    for place in places[1:]:
        inside = look(inside, place)
    ended = np.flatnonzero(np.isfinite(high))
    for _ in range(halvings):
        look(ended, (low[ended] + high[ended]) / 2)
    return np.asarray((low + high) / 2)


def _losses(
    task: Task,
    state: NDArray[Any],
    drawn: Sequence[np.random.Generator],
    tangential: bool,
    places: NDArray[np.float64],
) -> NDArray[np.float64]:
    rays = Rays(task, state, drawn, tangential)
    return np.stack([rays.losses(np.arange(len(rays)), place) for place in places])


def _provenance(task: Task, state: NDArray[Any]) -> dict[str, Any]:
    return {
        "task": task.fingerprint,
        "state": digest(state),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
