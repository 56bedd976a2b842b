"""Score many points of the landscape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from jumpretrain.execution import Execution, chunks, spread
from jumpretrain.task import Task

__all__ = ["evaluate", "measure", "measure_both", "metric_names", "normalisers"]

BATCH = 1024


def evaluate(
    task: Task, states: ArrayLike | torch.Tensor, execution: Execution | None = None
) -> dict[str, NDArray[np.float64]]:
    """Score states on the training and test examples, without augmentation.

    Args:
        task: Network, data, loss and metrics.
        states: Points of the landscape (K, S).
        execution: Where to compute.

    Returns:
        One value a state (K,) for `train_loss`, `test_loss` and each metric, as means over the
        examples. A finite state whose loss is not finite keeps that value.

    Raises:
        ValueError: If the states are of another network or not finite.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10), jr.data.digits())
        >>> sorted(jr.evaluate(task, [task.initial(0)]))
        ['test_accuracy', 'test_loss', 'train_accuracy', 'train_loss']
    """
    execution = execution or Execution()
    array = task.check_states(states)
    jobs = [(task, array[chunk]) for chunk in chunks(len(array), 64)] if len(array) else []
    parts = spread(measure, jobs, execution, "scoring" if len(jobs) > 1 else "")
    return {
        name: np.concatenate([part[name] for part in parts] or [np.empty(0)])
        for name in metric_names(task)
    }


def metric_names(task: Task) -> list[str]:
    """Name what a task measures.

    Returns:
        `<split>_<measure>` for both splits.
    """
    return [f"{split}_{name}" for split in ("train", "test") for name in task.measures]


def measure(
    task: Task,
    states: NDArray[Any],
    batchnorm: str | None = None,
    watch: Callable[[int, str, Any, torch.Tensor], None] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Score states one after the other; a state that is not finite scores NaN.

    Args:
        task: Network, data, loss and metrics.
        states: Points of the landscape (K, S).
        batchnorm: Policy to use instead of the task's.
        watch: Shown the row, the split (`"scored"` or `"test"`), the outputs and the targets of
            each batch.

    Returns:
        One value a state (K,) by name.
    """
    module = task.module()
    layers = normalisers(module) if (batchnorm or task.batchnorm) != "stored" else []
    module.eval()
    values = np.full((len(states), 2 * len(task.measures)), np.nan)
    for row in np.flatnonzero(np.isfinite(states).all(1)):
        task.layout.write(module, torch.as_tensor(states[row], device=task.device))
        with torch.no_grad(), _statistics(module, layers, task):
            seen = None if watch is None else partial(watch, int(row))
            parts = [_means(module, task, split, seen) for split in ("scored", "test")]
            values[row] = [*parts[0], *parts[1]]
    return dict(zip(metric_names(task), values.T, strict=True))


def measure_both(task: Task, states: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Score states under the task's BatchNorm policy and, where it matters, under the other.

    Returns:
        What `measure` gives; for networks with BatchNorm also `<name>_stored` (statistics of the
        state: stale after a jump), or `<name>_recalibrated` where stored is the policy.
    """
    values = measure(task, states)
    if not normalisers(task.module()):
        return values
    other = "recalibrate" if task.batchnorm == "stored" else "stored"
    ending = "recalibrated" if task.batchnorm == "stored" else "stored"
    more = measure(task, states, batchnorm=other)
    return values | {f"{name}_{ending}": value for name, value in more.items()}


def normalisers(module: nn.Module) -> list[BatchNorm]:
    """List the BatchNorm layers with running statistics that the user did not freeze.

    Returns:
        The layers, in the module's order.
    """
    layers = [part for part in module.modules() if isinstance(part, BatchNorm)]
    return [layer for layer in layers if layer.training and layer.track_running_stats]


def _means(
    module: nn.Module,
    task: Task,
    split: str,
    watch: Callable[[str, Any, torch.Tensor], None] | None,
) -> list[float]:
    inputs, targets = task.tensors[f"{split}_x"], task.tensors[f"{split}_y"]
    sums = torch.zeros(len(task.measures), dtype=torch.float64, device=task.device)
    for x, y in zip(_batches(inputs), _batches(targets), strict=True):
        outputs = module(x)
        if watch is not None:
            watch(split, outputs, y)
        values = [measure(outputs, y) for measure in task.measures.values()]
        sums += torch.stack([value.sum(dtype=torch.float64) for value in values])
    return [float(value) for value in sums / len(inputs)]


def _batches(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tensor.tensor_split(-(-len(tensor) // BATCH))


@contextmanager
def _statistics(module: nn.Module, layers: list[BatchNorm], task: Task) -> Iterator[None]:
    momenta = [layer.momentum for layer in layers]
    recalibrate = task.batchnorm != "batch"
    for layer in layers:
        layer.train()
        layer.momentum = None if recalibrate else 0.0
    if layers and recalibrate:
        for layer in layers:
            layer.reset_running_stats()
        for batch in _batches(task.tensors["scored_x"]):
            module(batch)
        for layer in layers:
            layer.eval()
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.eval()
            layer.momentum = momentum
