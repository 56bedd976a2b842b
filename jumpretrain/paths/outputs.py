"""What a network answers along a curve: scores, errors of classes, outputs, their turning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from jumpretrain.engine.evaluate import measure
from jumpretrain.engine.shared_layers import straight_line
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.arrays import as_numbers
from jumpretrain.execution.settings import standard_settings
from jumpretrain.paths.gauss_length import GaussLength, turning
from jumpretrain.paths.path import Path
from jumpretrain.states.curves import Curve, check_alphas
from jumpretrain.tasks.measures import predicted
from jumpretrain.tasks.task import Task

__all__ = ["gauss_length", "outputs_at", "score"]


def score(
    task: Task, curve: Curve, alphas: NDArray[np.float64], logits: bool
) -> dict[str, NDArray[Any]]:
    """Score states along a curve in one pass over the data.

    Args:
        task: Network, data, loss and metrics.
        curve: The states.
        alphas: Where on the curve (K,).
        logits: Whether outputs are kept.

    Returns:
        Metrics (K,), `class_error.<split>` (K, C) and `logits.<split>` (K, n, d) by name; errors
        are NaN where an example has no class.

    Raises:
        ValueError: If a metric of the user's own has the name of the share of wrong labels.
    """
    watch = _Watch(task, logits)
    line = straight_line(task, curve, alphas)
    found: dict[str, NDArray[Any]] = dict(measure(task, curve.at(alphas), watch=watch, line=line))
    rows = range(len(alphas))
    for split, name in (("train", "scored_y"), ("test", "test_y")):
        if watch.classes:
            wrong = torch.stack([watch.wrong[split, row] for row in rows]).cpu().numpy()
            found[f"{split}_error"] = wrong.sum(1) / len(task.tensors[name])
            labels = task.tensors[name].cpu().numpy()
            sizes = np.bincount(labels, minlength=wrong.shape[1])
            found[f"class_error.{split}"] = np.divide(
                wrong, sizes, out=np.full(wrong.shape, np.nan), where=sizes > 0
            )
        if logits:
            found[f"logits.{split}"] = np.stack([
                np.concatenate(watch.outputs[split, row]) for row in rows
            ])
    return found


@checked
@standard_settings()
def gauss_length(
    source: Task | Path | ArrayLike, path: Path | None = None, split: str = "test"
) -> GaussLength:
    """Measure how much outputs turn along a path: arXiv:2104.11044, section 4.

    Every length is a lower bound, which belongs to the path's grid of alphas. Outputs of ReLU
    networks turn at kinks, of whose angles 51 alphas saw half on digits, and `joint`, which has
    the kinks of all examples, keeps growing with the number of alphas: compare lengths of equal
    grids only. Warns where more than 0.2 radians may be rounding, as from some thousand alphas on
    in single precision.

    Args:
        source: Outputs (A, n, d), a path that kept them, or the task of a path that did not.
        path: The path, where the source is a task.
        split: Whose examples, `"train"` (the scored ones) or `"test"`.

    Returns:
        Angles in radians: of each example, their mean, and of all outputs as one curve.

    Raises:
        ValueError: If the source is a task without a path, a path without outputs, or one of
            fewer than 3 alphas.
        TypeError: If a path comes with a source that is no task.
    """
    if isinstance(source, Task):
        if path is None or path.curve is None:
            raise ValueError("a task's Gauss length needs a path with its states; interpolate one")
        return turning(outputs_at(source, path.curve, path.alphas, split))
    if path is not None:
        raise TypeError(f"a path goes with its task, but the source is a {type(source).__name__}")
    if not isinstance(source, Path):
        return turning(_curves(source))
    if source.logits is None or split not in source.logits:
        raise ValueError(
            f"the path kept no {split} outputs; pass its task as well, or interpolate with "
            "logits=True"
        )
    return turning(source.logits[split])


def outputs_at(
    task: Task, curve: Curve, alphas: ArrayLike, split: str = "test"
) -> Iterator[NDArray[Any]]:
    """Compute the outputs at states along a curve, a few states at a time.

    Args:
        task: Network and data.
        curve: The states.
        alphas: Where on the curve (A,).
        split: Whose examples, `"train"` (the scored ones) or `"test"`.

    Yields:
        The outputs (n, d) at each alpha.

    Raises:
        ValueError: If the split is unknown.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be train or test, but is {split!r}")
    shares = check_alphas(alphas)
    for block in np.array_split(shares, -(-len(shares) // 8)):
        with standard_settings():
            part = score(task, curve, block, logits=True)
        yield from part[f"logits.{split}"]


def _curves(source: ArrayLike) -> NDArray[Any]:
    outputs = as_numbers(source, "outputs")
    if outputs.ndim < 2 or outputs.dtype.kind == "c":
        raise ValueError(
            f"outputs must be real numbers (A, n, d), but are {outputs.shape} {outputs.dtype}; "
            "pass those of all alphas, or a path"
        )
    return outputs


class _Watch:
    """What is noted of each batch: wrong examples by class, and outputs where asked for."""

    def __init__(self, task: Task, logits: bool) -> None:
        self.classes = task.labelled
        if self.classes and "error" in task.measures:
            raise ValueError(
                "'error' is the share of wrong labels where targets are labels; rename that metric"
            )
        self.logits = logits
        self.wrong: dict[tuple[str, int], torch.Tensor] = {}
        self.outputs: dict[tuple[str, int], list[NDArray[Any]]] = {}

    def __call__(self, row: int, split: str, outputs: Any, targets: torch.Tensor) -> None:
        key = ("train" if split == "scored" else split, row)
        if self.classes:
            label, known = predicted(outputs)
            wrong = torch.where(known, (label != targets).double(), torch.nan)
            counts = torch.bincount(targets, weights=wrong, minlength=outputs.shape[1])
            self.wrong[key] = self.wrong.get(key, 0) + counts
        if self.logits:
            batch = outputs.detach().reshape(len(outputs), -1).cpu().numpy()
            self.outputs.setdefault(key, []).append(batch)
