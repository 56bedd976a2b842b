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

from jumpretrain.dense import Line, dense_layers, dense_outputs, groups
from jumpretrain.execution import Execution, chunks, spread
from jumpretrain.task import Task

__all__ = ["evaluate", "measure", "measure_both", "metric_names", "normalisers"]

Watch = Callable[[int, str, Any, torch.Tensor], None]


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
    watch: Watch | None = None,
    line: Line | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Score states; one that is not finite scores NaN.

    Args:
        task: Network, data, loss and metrics.
        states: Points of the landscape (K, S).
        batchnorm: Policy to use instead of the task's.
        watch: Shown the row, the split (`"scored"` or `"test"`), the outputs and the targets of
            each batch.
        line: What is known of the first layer of states on a straight line.

    Returns:
        One value a state (K,) by name.
    """
    rows = np.flatnonzero(np.isfinite(states).all(1))
    values = np.full((len(states), 2 * len(task.measures)), np.nan)
    with torch.no_grad():
        for some, means in _scores(task, states, rows, batchnorm, watch, line):
            values[some] = means
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


def _scores(
    task: Task,
    states: NDArray[Any],
    rows: NDArray[np.int64],
    batchnorm: str | None,
    watch: Watch | None,
    line: Line | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Score states, some at a time.

    Yields:
        Rows (K,) and their means (K, M).
    """
    layers = dense_layers(task)
    if layers is not None:
        for some in groups(task, layers, rows):
            few = torch.as_tensor(states[some], device=task.device).to(task.layout.dtype)
            answers = partial(dense_outputs, task, layers, few, line=line, rows=some)
            yield some, _means(task, some, answers, watch)
        return
    module = task.module()
    renewed = normalisers(module) if (batchnorm or task.batchnorm) != "stored" else []
    module.eval()

    def outputs(split: str) -> Iterator[Any]:
        return map(module, task.batches(f"{split}_x"))

    for row in rows:
        task.layout.write(module, torch.as_tensor(states[row], device=task.device))
        with _statistics(module, renewed, task):
            some = np.array([row])
            yield some, _means(task, some, outputs, watch)


def _means(
    task: Task,
    rows: NDArray[np.int64],
    answers: Callable[[str], Iterator[Any]],
    watch: Watch | None,
) -> NDArray[np.float64]:
    """Average what is measured over the examples.

    Returns:
        One row a state (K, M).
    """
    count, columns = len(rows), []
    for split in ("scored", "test"):
        sums = torch.zeros(len(task.measures), count, dtype=torch.float64, device=task.device)
        examples = 0
        for outputs, y in zip(answers(split), task.batches(f"{split}_y"), strict=True):
            targets = y if count == 1 else y.repeat(count, *(1,) * (y.ndim - 1))
            values = [measure(outputs, targets) for measure in task.measures.values()]
            per_state = [value.view(count, -1).sum(1, dtype=torch.float64) for value in values]
            sums += torch.stack(per_state)
            examples += len(y)
            if watch is not None:
                parts = [outputs] if count == 1 else outputs.tensor_split(count)
                for row, part in zip(rows.tolist(), parts, strict=True):
                    watch(row, split, part, y)
        columns.append(sums / examples)
    return np.asarray(torch.cat(columns).T.cpu().numpy())


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
        for batch in task.batches("scored_x"):
            module(batch)
        for layer in layers:
            layer.eval()
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.eval()
            layer.momentum = momentum
