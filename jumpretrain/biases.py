"""What the biases of the last layer say about the order in which classes turn right on a path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.homogeneity import turning_alpha
from jumpretrain.layers import weight_layers
from jumpretrain.paths import Path
from jumpretrain.responses import outputs_at
from jumpretrain.task import Task

__all__ = ["BiasReport", "bias_report"]


@dataclass(frozen=True, eq=False)
class BiasReport:
    """Biases of the last layer beside the classes' errors along a path: arXiv:2210.01019.

    Attributes:
        biases: One a class (C,).
        gap: Largest minus smallest.
        order: Classes from the largest bias to the smallest, the order in which they should turn
            right on the path (C,).
        plateau_class: The class with the lowest error half way along the error's plateau; by
            the theory it has the largest bias.
        turns: Last alpha at which at least half of each class's examples are wrong (C,); 0 if
            none, NaN for a class without examples.
        predicted: Median alpha at which its examples turn right by degree counting, at most 1.
        correlation: Pearson's, between minus the biases and `turns`.
        agreement: Pearson's, between `predicted` and `turns`.
    """

    biases: NDArray[np.float64]
    gap: float
    order: NDArray[np.int64]
    plateau_class: int
    turns: NDArray[np.float64]
    predicted: NDArray[np.float64]
    correlation: float
    agreement: float


def bias_report(
    task: Task, path: Path, bias: str | None = None, depth: int | None = None
) -> BiasReport:
    """Compare the biases of the last layer with the classes' errors along a path.

    Args:
        task: The task of the path.
        path: A linear path to a trained network, from `interpolate`.
        bias: Name of the last layer's bias; found where the network is sequential.
        depth: Number of layers with weights, at least 2; found where the network is sequential.

    Returns:
        Biases, the alphas at which classes turn right, and those that degree counting predicts.

    Raises:
        ValueError: If the targets are no classes, the path has no states, or there is no such
            bias.
    """
    if path.class_error is None or path.curve is None:
        raise ValueError("a bias report needs class labels and states; take a path of interpolate")
    if bias is None or depth is None:
        layers = list(weight_layers(task.template, "pass bias= and depth="))
        bias, depth = bias or f"{layers[-1]}.bias", depth or len(layers)
    biases = _values(task, path.curve.end, bias, path.class_error["train"].shape[1])
    outputs = next(outputs_at(task, path.curve, [1.0], "train")).astype(np.float64)
    labels = task.tensors["scored_y"].cpu().numpy()
    alphas = np.minimum(turning_alpha(outputs - biases, biases, labels, depth), 1)
    classes = range(len(biases))
    predicted = [
        np.median(alphas[labels == c]) if (labels == c).any() else np.nan for c in classes
    ]
    turns = _turns(path.alphas, path.class_error["train"])
    middle = np.searchsorted(path.alphas, path.plateau().error / 2)
    return BiasReport(
        biases=biases,
        gap=float(np.ptp(biases)),
        order=np.argsort(-biases, kind="stable"),
        plateau_class=int(np.nanargmin(path.class_error["train"][middle])),
        turns=turns,
        predicted=np.array(predicted),
        correlation=_correlation(-biases, turns),
        agreement=_correlation(np.array(predicted), turns),
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


def _turns(alphas: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    last = np.where(error >= 0.5, alphas[:, None], 0).max(axis=0)
    return np.where(np.isnan(error[0]), np.nan, last)


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    both = np.isfinite(first) & np.isfinite(second)
    pair = np.array([first[both], second[both]])
    if both.sum() < 2 or (np.ptp(pair, axis=1) == 0).any():
        return np.nan
    return float(np.corrcoef(pair)[0, 1])
