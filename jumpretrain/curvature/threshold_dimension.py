"""How many dimensions training needs: what it reaches in random planes.

After arXiv:1804.08838, the measurement that the wedge model of arXiv:1906.04724 explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.engine.recipe import ELSEWHERE, Recipe, too_fast
from jumpretrain.engine.train import Runs, train
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Seed, Share
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.states.planes import Plane, random_plane
from jumpretrain.storage.files import located
from jumpretrain.tasks.task import Task

__all__ = ["ThresholdDimension", "threshold_dimension"]


@dataclass(frozen=True, eq=False)
class ThresholdDimension:
    """What training reaches in random planes of several dimensions.

    Attributes:
        dims: Dimensions of the planes, rising (D,).
        values: What each run reached (D, K); NaN where it diverged.
        free: What the same networks reached without a plane (K,).
        initial: Where they set out (K,).
        metric: What is measured, a loss or an accuracy.
        share: How much of the free result counts as reached.
        provenance: Everything needed to train them again.

    Raises:
        ValueError: If shapes disagree.
    """

    dims: NDArray[np.int64]
    values: NDArray[np.float64]
    free: NDArray[np.float64]
    initial: NDArray[np.float64]
    metric: str
    share: float
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        shape = (*self.dims.shape, *self.free.shape)
        if self.values.shape != shape or self.initial.shape != self.free.shape:
            raise ValueError(
                f"values must be (D, K), here {shape}, but are {self.values.shape}, and set out "
                f"from {self.initial.shape}"
            )

    @property
    def goal(self) -> float:
        """What must be reached: a share of the free accuracy, or of the free fall of the loss."""
        rising = self.metric.endswith("accuracy")
        base = 0.0 if rising else float(self.initial.mean())
        return base + self.share * (float(self.free.mean()) - base)

    @property
    def dim(self) -> int | None:
        """The smallest dimension whose mean reaches the goal; None where none does."""
        sign = 1 if self.metric.endswith("accuracy") else -1
        reached = self.dims[sign * self.values.mean(axis=1) >= sign * self.goal]
        return int(reached[0]) if len(reached) else None


@checked
@standard_settings()
def threshold_dimension(
    task: Task,
    recipe: Recipe,
    dims: Sequence[Count],
    seeds: Sequence[Seed],
    metric: str = "test_accuracy",
    share: Share = 0.9,
    folder: str | Path | None = None,
    execution: Execution | None = None,
) -> ThresholdDimension:
    """Train in random planes of several dimensions, and without a plane (arXiv:1804.08838).

    A solution is reached from about the dimension on that is as large as the number of short
    directions around solutions (arXiv:1906.04724, section 3.3).

    The optimiser is that of the whole space, whose steps are put back into the plane; Adam in the
    plane's own coordinates, as in the paper, goes another way. Each seed's planes hold P numbers
    for each dimension of the largest and of every smaller one.

    Args:
        task: Network, data, loss and metrics.
        recipe: How training goes.
        dims: Dimensions of the planes, rising (D,).
        seeds: One seed a network (K,): of its fresh weights, the orders of the data, and its
            planes, each of which contains the smaller ones of the same call.
        metric: What counts: `train_loss`, `test_loss`, `train_accuracy` or `test_accuracy`.
        share: How much of the free training's result is to be reached; of the accuracy itself
            (0.9 in the paper), or of the fall of the loss.
        folder: Where finished runs are kept; the same call goes on where it was stopped.
        execution: Where and how it is run.

    Returns:
        What was reached, and from which dimension on.

    Raises:
        ValueError: If an argument does not fit, or training without a plane diverges or does not
            lower the loss.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> recipe = jr.Recipe(epochs=4, lr=0.1)
        >>> found = threshold_dimension(task, recipe, dims=[5, 80], seeds=[0])
        >>> bool((np.diff(found.values.mean(axis=1)) > 0).all())
        True
    """
    sizes, width = np.asarray(dims), task.weight_count
    rising = sizes.ndim == 1 and len(sizes) and (np.diff(sizes) > 0).all()
    if not rising or sizes.dtype.kind not in "iu" or sizes[0] < 1 or sizes[-1] > width:
        raise ValueError(f"dims must be a list that rises within 1..{width}, but is {dims}")
    known = [f"{split}_{name}" for split in ("train", "test") for name in task.measures]
    if metric not in known or metric.partition("_")[2] not in ("loss", "accuracy"):
        raise ValueError(f"metric must be a loss or accuracy among {known}, but is {metric!r}")
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], but is {share}")
    quick = replace(recipe, record_every=0, record_early=False)
    places = [None if folder is None else located(folder) / name for name in ("free", "planes")]
    free = train(task, quick, seeds, None, places[0], execution, "training freely")
    _check_free(free, metric, recipe, folder)
    largest = [_axes(task, int(sizes[-1]), int(seed)) for seed in seeds]
    held = train(
        task,
        quick,
        list(seeds) * len(sizes),
        np.tile(free.initial, (len(sizes), 1)),
        places[1],
        execution,
        "training in planes",
        [Plane(rows[:dim], normal=False) for dim in sizes for rows in largest],
    )
    ended = np.where(held.status == "ok", held.metrics[metric][:, -1], np.nan)
    reached = ended.reshape(len(sizes), len(seeds))
    whole = free.metrics[metric]
    provenance = {"free": free.provenance, "planes": held.provenance}
    return ThresholdDimension(sizes, reached, whole[:, -1], whole[:, 0], metric, share, provenance)


def _check_free(free: Runs, metric: str, recipe: Recipe, folder: str | Path | None) -> None:
    lost = free.seeds[free.status != "ok"].tolist()
    if lost:
        raise ValueError(
            f"training without a plane sets the goal, but seeds {lost} diverged "
            f"{too_fast(recipe, folder, ', or leave these seeds out')}"
        )
    before, after = (float(free.metrics[metric][:, k].mean()) for k in (0, -1))
    if metric.endswith("loss") and after >= before:
        raise ValueError(
            f"training without a plane must lower {metric}, but it went from {before:.4g} to "
            f"{after:.4g}; take another metric, rate or number of epochs"
            f"{'' if folder is None else ELSEWHERE}"
        )


def _axes(task: Task, dim: int, seed: int) -> NDArray[Any]:
    rows = random_plane(task.weight_count, dim, seed).directions
    return rows.astype(task.layout.numpy_dtype, copy=False)
