"""What networks predict together: averaged predictions, averaged weights, how much they differ.

After arXiv:1906.04724, section 4.5, and the analysis of ensembles in arXiv:1912.02757.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, logsumexp

from jumpretrain.engine.evaluate import evaluate, measure
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Names
from jumpretrain.execution.execution import Execution, chunks, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.measures import cross_entropy
from jumpretrain.tasks.sources import StatesLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["Ensemble", "cosines", "disagreement", "diversity", "ensemble", "probabilities"]

TOGETHER = 8


@dataclass(frozen=True, eq=False)
class Ensemble:
    """K networks for class labels, one by one and together.

    Attributes:
        members: The task's metrics of each network, by name (K,).
        predictions: `test_loss` and `test_accuracy` of their averaged probabilities.
        average: The task's metrics of the network whose weights are the average.
        disagreement: Share of test examples to which two networks give different labels (K, K).
        diversity: Jensen-Shannon divergence of their predictions, in nats: the mean over test
            examples, at most log K.
        cosines: Between the networks' weights (K, K).
        displacement_cosines: Between the ways that their weights have gone from their starts
            (K, K); None where no starts are known.
        provenance: Everything needed to measure it again.

    Raises:
        ValueError: If shapes disagree.
    """

    members: Mapping[str, NDArray[np.float64]]
    predictions: Mapping[str, float]
    average: Mapping[str, float]
    disagreement: NDArray[np.float64]
    diversity: float
    cosines: NDArray[np.float64]
    displacement_cosines: NDArray[np.float64] | None
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        count = {len(values) for values in self.members.values()}
        moved = [] if self.displacement_cosines is None else [self.displacement_cosines]
        tables = {array.shape for array in (self.disagreement, self.cosines, *moved)}
        if len(count) != 1 or tables != {(*count, *count)}:
            raise ValueError(
                f"members are {sorted(count)}, so tables of pairs must be square with as many "
                f"rows, but are {sorted(tables)}"
            )


@checked
@standard_settings()
def ensemble(
    task: Task,
    states: StatesLike,
    starts: StatesLike | None = None,
    execution: Execution | None = None,
) -> Ensemble:
    """Compare networks, their averaged predictions and their averaged weights.

    Averaging predictions gains from networks that differ, averaging weights needs networks in
    one valley (arXiv:1906.04724, section 4.5). The averaged network is scored under the task's
    BatchNorm policy; with `"stored"` its running statistics are averages as well.

    Args:
        task: Network, data, cross-entropy and metrics.
        states: The networks (K, S).
        starts: Where each has set out (K, S), or all of them (1, S).
        execution: Where to compute.

    Returns:
        Scores of the networks, alone and together, and how much they differ.

    Raises:
        ValueError: If the task is not one of class labels, states do not fit, or outputs are not
            finite.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(16,)), jr.data.digits())
        >>> fit = jr.train(task, jr.Recipe(epochs=4, lr=0.02), seeds=[0, 1, 2])
        >>> found = ensemble(task, fit.final, starts=fit.initial)
        >>> found.predictions["test_accuracy"] > found.average["test_accuracy"]
        True
    """
    array = _check(task, states)
    begin = None if starts is None else task.check_states(starts)
    if begin is not None and len(begin) not in (1, len(array)):
        raise ValueError(
            f"each of {len(array)} networks needs a start, or all need one, but there are "
            f"{len(begin)}"
        )
    members, logs = _answers(task, array, execution or Execution())
    labels, truth = logs.argmax(axis=2), task.tensors["test_y"].cpu().numpy()
    width = task.weight_count
    together = logsumexp(logs, axis=0) - np.log(len(logs))
    with standard_settings():
        rows = array.astype(np.float64)
        moved = None if begin is None else cosines((rows - begin)[:, :width])
        middle = rows.mean(axis=0).astype(array.dtype)
        alike = cosines(rows[:, :width])
    return Ensemble(
        members=members,
        predictions={
            "test_loss": float(-together[np.arange(len(truth)), truth].mean()),
            "test_accuracy": float((together.argmax(axis=1) == truth).mean()),
        },
        average={name: float(value[0]) for name, value in evaluate(task, [middle]).items()},
        disagreement=disagreement(labels),
        diversity=float(diversity(np.exp(logs)).mean()),
        cosines=alike,
        displacement_cosines=moved,
        provenance={
            "task": task.fingerprint,
            "states": [digest(row) for row in array],
            "starts": None if begin is None else [digest(row) for row in begin],
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
        },
    )


def probabilities(
    task: Task, states: StatesLike, execution: Execution | None = None
) -> NDArray[np.float64]:
    """Compute how probable networks find each class of the test examples.

    Args:
        task: Network, data and cross-entropy.
        states: The networks (K, S).
        execution: Where to compute.

    Returns:
        Probabilities (K, n, C).

    Raises:
        ValueError: If the task is not one of class labels, or states do not fit.
    """
    array = _check(task, states)
    return np.asarray(np.exp(_answers(task, array, execution or Execution())[1]))


@checked
def disagreement(labels: Names) -> NDArray[np.float64]:
    """Compare the labels that networks give.

    Args:
        labels: Labels of n examples by each network (K, n).

    Returns:
        Share of examples whose labels differ (K, K).

    Example:
        >>> disagreement([[0, 1, 2, 2], [0, 1, 1, 1]])
        array([[0. , 0.5],
               [0.5, 0. ]])
    """
    rows = np.asarray(labels)
    return np.stack([(rows != row).mean(axis=1) for row in rows])


@checked
def diversity(shares: ArrayLike) -> NDArray[np.float64]:
    """Measure how much predictions differ: H(mean p) - mean H(p), the Jensen-Shannon divergence.

    Args:
        shares: Probabilities (K, ..., C).

    Returns:
        Nats, from 0 to log K, for each example (...,).

    Example:
        >>> diversity([[[1.0, 0.0]], [[0.0, 1.0]]]).round(3)
        array([0.693])
    """
    p = np.asarray(shares, dtype=np.float64)
    return np.asarray(entr(p.mean(axis=0)).sum(axis=-1) - entr(p).sum(axis=-1).mean(axis=0))


@checked
def cosines(vectors: ArrayLike) -> NDArray[np.float64]:
    """Compare the directions of vectors.

    Args:
        vectors: One a row (K, P).

    Returns:
        Cosines (K, K), of a vector of zeros NaN.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, sizes, out=np.full_like(rows, np.nan), where=sizes > 0)
    return np.asarray(np.clip(unit @ unit.T, -1, 1))


def _check(task: Task, states: StatesLike) -> NDArray[Any]:
    if task.loss is not cross_entropy or not task.labelled:
        raise ValueError(
            "ensembles average class probabilities, so the loss must be cross-entropy with one "
            f"label an example, but is {getattr(task.loss, '__name__', task.loss)} with targets "
            f"{task.data.test_y.shape} {task.data.test_y.dtype}; make a task of labels"
        )
    array = task.check_states(states)
    if not len(array):
        raise ValueError("an ensemble needs at least 1 network, but there is none")
    return array


def _answers(
    task: Task, states: NDArray[Any], execution: Execution
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Score states and keep what they answer.

    Returns:
        Metrics (K,) by name, and log-probabilities of the test examples (K, n, C).

    Raises:
        ValueError: If outputs are NaN.
    """
    jobs = [(task, states[some]) for some in chunks(len(states), TOGETHER)]
    parts = spread(_answer, jobs, execution, "predicting")
    metrics = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    logs = np.concatenate([part[1] for part in parts])
    lost = np.flatnonzero(np.isnan(logs).any((1, 2)))
    if len(lost):
        raise ValueError(
            f"networks need finite outputs, but those of {lost.tolist()} are not; leave them out"
        )
    return metrics, logs


def _answer(
    task: Task, states: NDArray[Any]
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    found: dict[int, list[torch.Tensor]] = {row: [] for row in range(len(states))}

    def watch(row: int, split: str, outputs: Any, targets: torch.Tensor) -> None:
        if split == "test":
            found[row].append(outputs.double().log_softmax(1).cpu())

    metrics = measure(task, states, watch=watch)
    return metrics, np.stack([torch.cat(found[row]).numpy() for row in found])
