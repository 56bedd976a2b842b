"""What the biases of the last layer say about the order in which classes turn right on a path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.settings import standard_settings
from jumpretrain.paths.outputs import outputs_at
from jumpretrain.paths.path import Path
from jumpretrain.states.curves import Curve
from jumpretrain.states.layers import layer_degrees
from jumpretrain.tasks.task import Task

__all__ = ["BiasReport", "bias_report", "turning_alpha"]

SHORTEST = 0.1  # plateau of the error, in alpha, on which a class is said to be predicted


@dataclass(frozen=True, eq=False)
class BiasReport:
    """Biases of the last layer beside the classes' errors along a path: arXiv:2210.01019.

    Attributes:
        biases: One a class (C,).
        gap: Largest minus smallest.
        order: Classes from the largest bias to the smallest, the order in which they should turn
            right on the path (C,).
        plateau_class: The class with the lowest error half way along the error's plateau; by
            the theory it has the largest bias. None where that plateau is shorter than 0.1.
        turns: Last alpha at which at least half of each class's examples are wrong (C,); 0 if
            none, NaN for a class without examples.
        predicted: Median alpha at which a class's examples turn right by degree counting, at
            most 1 (C,). It takes the weights to start small and biases to be in the last layer
            only and to start at 0.
        correlation: Pearson's, between minus the biases and `turns`.
        agreement: Pearson's, between `predicted` and `turns`.
    """

    biases: NDArray[np.float64]
    gap: float
    order: NDArray[np.int64]
    plateau_class: int | None
    turns: NDArray[np.float64]
    predicted: NDArray[np.float64]
    correlation: float
    agreement: float


@checked
@standard_settings()
def bias_report(
    task: Task, path: Path, bias: str | None = None, depth: int | None = None
) -> BiasReport:
    """Compare the biases of the last layer with the classes' errors along a path.

    Args:
        task: The task of the path.
        path: A linear path from a start to a trained network, from `interpolate`.
        bias: Name of the last layer's bias; found where the network is sequential.
        depth: Number of layers with trained weights that an input passes, whole and at least 2;
            found where the network is sequential.

    Returns:
        Biases, the alphas at which classes turn right, and those that degree counting predicts.

    Raises:
        ValueError: If the targets are no classes, the path has no states, does not go from end to
            end, is not linear or does not move everything, the depth is not whole, or there is
            no such bias.
    """
    if path.class_error is None or path.curve is None:
        raise ValueError(
            "a bias report needs class labels and states, but this path has none; take a path of "
            "interpolate, of a task with one label an example"
        )
    path.check_ends()
    _check_linear(path, path.curve)
    if bias is None or depth is None:
        layers = layer_degrees(task.template, remedy="pass bias= and depth=")
        last, count = layers[-1] if layers else ("", 0)
        bias = f"{last}.bias".lstrip(".") if bias is None else bias
        depth = count if depth is None else depth
    if depth % 1 != 0:
        raise ValueError(
            f"depth must be whole, but is {depth}; count the layers with trained weights that an "
            "input passes"
        )
    biases = _values(task, path.curve.end, bias, path.errors("train").shape[1])
    outputs = next(outputs_at(task, path.curve, [1.0], "train")).astype(np.float64)
    labels = task.tensors["scored_y"].cpu().numpy()
    alphas = np.minimum(turning_alpha(outputs - biases, biases, labels, depth), 1)
    classes = range(len(biases))
    predicted = [
        np.median(alphas[labels == c]) if (labels == c).any() else np.nan for c in classes
    ]
    turns = _turns(path.alphas, path.errors("train"))
    return BiasReport(
        biases=biases,
        gap=float(np.ptp(biases)),
        order=np.argsort(-biases, kind="stable"),
        plateau_class=_plateau_class(path),
        turns=turns,
        predicted=np.array(predicted),
        correlation=_correlation(-biases, turns),
        agreement=_correlation(np.array(predicted), turns),
    )


def turning_alpha(
    signal: ArrayLike, biases: ArrayLike, labels: ArrayLike, depth: int
) -> NDArray[np.float64]:
    """Predict where on a linear path from small weights each example turns right.

    With outputs alpha^r s + alpha b, the label y wins from
    max_j ((b_j - b_y)_+ / (s_y - s_j))^(1/(r - 1)) on (derived).

    Args:
        signal: Outputs at the end without the biases (n, C).
        biases: Biases of the last layer (C,).
        labels: Classes (n,).
        depth: Number r of layers with weights, at least 2.

    Returns:
        An alpha for each example (n,): 0 where it is right at once, infinite where it never is.

    Raises:
        ValueError: If the depth is below 2.

    Example:
        >>> turning_alpha([[4.0, 0.0]], [0.0, 1.0], [0], depth=3).tolist()
        [0.5]
    """
    if depth < 2:
        raise ValueError(f"signal and biases part at depth 2 or more, but depth is {depth}")
    outputs, rows = np.asarray(signal, dtype=np.float64), np.asarray(labels)[:, None]
    offsets = np.asarray(biases, dtype=np.float64)
    lead = np.take_along_axis(outputs, rows, axis=1) - outputs
    handicap = np.maximum(offsets - offsets[rows], 0)
    never = np.where(handicap > 0, np.inf, 0.0)
    ratio = np.divide(handicap, lead, out=never, where=lead > 0)
    return np.asarray(ratio.max(axis=1) ** (1 / (depth - 1)))


def _check_linear(path: Path, curve: Curve) -> None:
    made = path.provenance
    faults = {
        "biases move with powers of alpha": curve.degree.max() > 1,
        f"biases are {made.get('biases')!r}": made and made.get("biases") != "linear",
        f"{made.get('select')!r} alone moves": made and made.get("select") != "everything",
    }
    found = [fault for fault, holds in faults.items() if holds]
    if found:
        raise ValueError(
            "degree counting predicts linear paths on which everything moves, but on this one "
            f"{' and '.join(found)}; interpolate with biases='linear' and without select="
        )


def _values(task: Task, state: NDArray[Any], name: str, classes: int) -> NDArray[np.float64]:
    ends = np.cumsum(task.layout.sizes)
    spans = dict(
        zip(task.layout.names, zip(ends - task.layout.sizes, ends, strict=True), strict=True)
    )
    if name not in spans or np.diff(spans[name]) != classes:
        raise ValueError(
            f"the last layer needs a bias for each of {classes} classes, but {name!r} is none; "
            f"the parameters are {', '.join(task.layout.names)}"
        )
    return state[slice(*spans[name])].astype(np.float64)


def _plateau_class(path: Path) -> int | None:
    length = path.plateau().error
    if path.class_error is None or not length >= SHORTEST:
        return None
    middle = np.searchsorted(path.alphas, length / 2)
    return int(np.nanargmin(path.errors("train")[middle]))


def _turns(alphas: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    last = np.where(error >= 0.5, alphas[:, None], 0).max(axis=0)
    return np.where(np.isnan(error[0]), np.nan, last)


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    both = np.isfinite(first) & np.isfinite(second)
    pair = np.array([first[both], second[both]])
    if both.sum() < 2 or (np.ptp(pair, axis=1) == 0).any():
        return np.nan
    return float(np.corrcoef(pair)[0, 1])
