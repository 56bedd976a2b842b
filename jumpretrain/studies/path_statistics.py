"""The numbers of one path that stand in the summary of a study."""

from __future__ import annotations

from typing import get_args

import numpy as np
import torch

from jumpretrain.paths.outputs import gauss_length
from jumpretrain.paths.path import BarrierKind, Path
from jumpretrain.states.layers import weight_distance
from jumpretrain.tasks.task import Task

__all__ = ["MEASURED", "measure"]

MEASURED = (
    *("train_min_delta", "train_rise_from", "train_rise_to"),
    *(f"train_barrier_{kind}" for kind in get_args(BarrierKind)),
    *("train_error_plateau_end", "train_loss_plateau_end", "train_loss_above_chance"),
    *(f"test_gauss_length_{name}" for name in ("mean", "joint", "alphas", "rounding")),
)
"""Names of what is measured on a path, beside its length and the scores at its end."""


def measure(task: Task, path: Path) -> dict[str, float]:
    """Measure what stands in the summary; NaN where losses are not finite.

    Args:
        task: What the path was scored on.
        path: The path, with its curve.

    Returns:
        Numbers by name.
    """
    assert path.curve is not None
    moved = weight_distance(task, path.curve.start, path.curve.end)
    found = dict.fromkeys(MEASURED, np.nan)
    found |= {"weight_distance": moved.absolute, "weight_distance_relative": moved.relative}
    found |= {f"end_{name}": float(values[-1]) for name, values in path.metrics.items()}
    if not all(np.isfinite(path.metrics[name]).all() for name in ("train_loss", "test_loss")):
        return found
    rises, plateau = path.monotonicity(), path.plateau()
    where = rises.where or (np.nan, np.nan)
    barriers = [path.barrier(kind) for kind in get_args(BarrierKind)]
    numbers = [rises.min_delta, *where, *barriers, plateau.error, plateau.loss, plateau.excess]
    return found | dict(zip(MEASURED, [*numbers, *_turned(task, path)], strict=True))


def _turned(task: Task, path: Path) -> tuple[float, ...]:
    """Measure the Gauss length; NaN where outputs are no single tensor.

    Returns:
        Mean over the examples, joint, number of points, and how much of the mean may be rounding.
    """
    with torch.no_grad():
        outputs = task.module().eval()(task.tensors["test_x"][:2])
    if not isinstance(outputs, torch.Tensor):
        return (np.nan,) * 4
    turned = gauss_length(task, path)
    return turned.mean, turned.joint, turned.points, float(turned.rounding.mean())
