"""Score many points of the landscape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from jumpretrain.contents.estimates import estimated, has_vectors, normalisers, renew_vectors
from jumpretrain.engine.fully_connected import fully_connected_layers, fully_connected_outputs
from jumpretrain.engine.pooling import use_fast_pooling
from jumpretrain.engine.shared_layers import ComputeRest, ComputeShared, Line, line_outputs
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.attention import attention_kernels
from jumpretrain.execution.execution import Execution, chunks, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.sources import StatesLike
from jumpretrain.tasks.task import Task

__all__ = ["evaluate", "measure", "measure_both", "metric_names"]

TOGETHER = 64  # states: so many are copied at a time

Watch = Callable[[int, str, Any, torch.Tensor], None]


@checked
@standard_settings()
def evaluate(
    task: Task, states: StatesLike, execution: Execution | None = None
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
    jobs = [(task, array[chunk]) for chunk in chunks(len(array), TOGETHER)] if len(array) else []
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
        line: How the states lie, where they lie on a line.

    Returns:
        One value a state (K,) by name.
    """
    rows = np.flatnonzero(np.isfinite(states).all(1))
    values = np.full((len(states), 2 * len(task.measures)), np.nan)
    with torch.no_grad(), attention_kernels(task.trial.attends):
        for some, means in _scores(task, states, rows, batchnorm, watch, line):
            values[some] = means
    return dict(zip(metric_names(task), values.T, strict=True))


def measure_both(task: Task, states: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Score states under the task's BatchNorm policy and, where it matters, under the other.

    Returns:
        What `measure` gives; for networks with running statistics or `spectral_norm` also
        `<name>_stored` (those of the state: stale after a jump), or `<name>_recalibrated` where
        stored is the policy.
    """
    values = measure(task, states)
    if not estimated(task.module()):
        return values
    other = "recalibrate" if task.batchnorm == "stored" else "stored"
    ending = "recalibrated" if task.batchnorm == "stored" else "stored"
    more = measure(task, states, batchnorm=other)
    return values | {f"{name}_{ending}": value for name, value in more.items()}


def _scores(
    task: Task,
    states: NDArray[Any],
    rows: NDArray[np.int64],
    batchnorm: str | None,
    watch: Watch | None,
    line: Line | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Score states, at once those that share work.

    Yields:
        Rows (K,) and their means (K, M).
    """
    layers = fully_connected_layers(task)
    if not len(rows):
        return
    if layers is not None:
        for some in np.array_split(rows, -(-len(rows) // TOGETHER)):
            yield (
                some,
                _means(task, *fully_connected_outputs(task, layers, states, some, line), watch),
            )
        return
    module, renew = task.module(), (batchnorm or task.batchnorm) != "stored"
    if line is not None:
        used, share, answers = line_outputs(task, module, states, rows, line)
        use_fast_pooling(used)
        renewed = normalisers(used) if renew else []
        used.eval()
        with _statistics(task, renewed, share, answers):
            yield rows, _means(task, share, answers, watch)
        return
    use_fast_pooling(module)
    renewed = normalisers(module) if renew else []
    turned = renew and has_vectors(module)
    module.eval()
    for row in rows:
        task.layout.write(module, torch.as_tensor(states[row], device=task.device))
        if turned:
            renew_vectors(module)
        answers = [(np.array([row]), partial(_whole, module))]
        with _statistics(task, renewed, _alone, answers):
            yield answers[0][0], _means(task, _alone, answers, watch)


def _alone(x: torch.Tensor) -> tuple[torch.Tensor]:
    return (x,)


def _whole(module: nn.Module, common: tuple[Any, ...]) -> Any:
    return module(*common)


def _means(
    task: Task, share: ComputeShared, answers: ComputeRest, watch: Watch | None
) -> NDArray[np.float64]:
    """Average what is measured over the examples, batch by batch.

    Returns:
        One row a state (K, M), in the order of the answers.
    """
    columns = []
    for split in ("scored", "test"):
        sums: list[Any] = [0.0] * len(answers)
        batches = zip(task.batches(f"{split}_x"), task.batches(f"{split}_y"), strict=True)
        for x, y in batches:
            common = share(x)
            repeated = {n: _repeat(y, n) for n in {len(rows) for rows, _ in answers}}
            for place, (rows, answer) in enumerate(answers):
                outputs = answer(common)
                sums[place] = sums[place] + _sums(task, outputs, repeated[len(rows)], len(rows))
                if watch is not None:
                    _show(watch, rows, split, outputs, y)
        columns.append(torch.cat(sums, dim=1) / len(task.tensors[f"{split}_y"]))
    return np.asarray(torch.cat(columns).T.cpu().numpy())


def _repeat(targets: torch.Tensor, count: int) -> torch.Tensor:
    return targets if count == 1 else targets.repeat(count, *(1,) * (targets.ndim - 1))


def _sums(task: Task, outputs: Any, targets: torch.Tensor, count: int) -> torch.Tensor:
    values = [measure(outputs, targets) for measure in task.measures.values()]
    return torch.stack([value.view(count, -1).sum(1, dtype=torch.float64) for value in values])


def _show(
    watch: Watch, rows: NDArray[np.int64], split: str, outputs: Any, targets: torch.Tensor
) -> None:
    parts = [outputs] if len(rows) == 1 else outputs.tensor_split(len(rows))
    for row, part in zip(rows.tolist(), parts, strict=True):
        watch(row, split, part, targets)


@contextmanager
def _statistics(
    task: Task, layers: list[_NormBase], share: ComputeShared, answers: ComputeRest
) -> Iterator[None]:
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.train()
        layer.momentum = 0.0
    if layers and task.batchnorm != "batch":
        _recalibrate(task, layers, share, answers)
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.eval()
            layer.momentum = momentum


def _recalibrate(
    task: Task, layers: list[_NormBase], share: ComputeShared, answers: ComputeRest
) -> None:
    """Set running statistics to the mean over all calls with batches of the scored examples."""
    hooks = [layer.register_forward_pre_hook(_average(count(1))) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
    for number, batch in enumerate(task.batches("scored_x"), 1):
        for layer in layers:
            layer.momentum = 1 / number  # for one whose numbers are used, but that is not called
        common = share(batch)
        for _, answer in answers:
            answer(common)
    for layer, hook in zip(layers, hooks, strict=True):
        hook.remove()
        layer.eval()


def _average(calls: Iterator[int]) -> Callable[[_NormBase, Any], None]:
    """Make a hook that lets a layer average what it is called with.

    Returns:
        The hook; InstanceNorm has no other mean than that of its momentum.
    """

    def weigh(layer: _NormBase, _: Any) -> None:
        layer.momentum = 1 / next(calls)

    return weigh
