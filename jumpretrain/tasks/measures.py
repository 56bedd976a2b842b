"""Losses and metrics of single examples, and what targets mean to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = [
    "IGNORED",
    "PerExample",
    "accuracy",
    "as_labels",
    "check_each",
    "check_labels",
    "check_objects",
    "cross_entropy",
    "predicted",
    "squared_error",
]

IGNORED = -100
"""The label of positions that do not count, as in torch."""
SUM = 1e-2  # probabilities may have been kept in half precision

PerExample = Callable[[Any, torch.Tensor], torch.Tensor]


def cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Measure minus the log-probability of the target class.

    Targets are labels, or probabilities of the outputs' shape, one-hot ones among them: then it
    is the mean over the classes. Where there is a label for each position, such as a pixel or a
    token, it is the mean over the positions of an example; those labelled -100 do not count.
    Classes are the second axis of the outputs; they may be the last where no other reading fits.

    Args:
        outputs: One value a class (B, C, ...).
        targets: Labels (B, ...) or (B, 1, ...), or probabilities (B, C, ...).

    Returns:
        Nats for each example (B,).
    """
    outputs, targets, shares = _arranged(outputs, targets)
    values = nn.functional.cross_entropy(outputs, targets, reduction="none")
    counted = torch.ones_like(values, dtype=torch.bool) if shares else targets != IGNORED
    return _mean_over_positions(values, counted)


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Measure the mean squared difference over the entries of each target.

    Returns:
        One value for each example (B,).

    Raises:
        ValueError: If outputs and targets differ in shape: they would be broadcast silently.
    """
    if outputs.shape != targets.shape:
        like = ", ".join(map(str, outputs.shape[1:]))
        remedy = f"targets.reshape(-1, {like})" if like else "targets.reshape(-1)"
        if outputs.numel() != targets.numel():
            remedy = f"np.eye({outputs.shape[-1]})[targets] of labels, or change the last layer"
        raise ValueError(
            f"squared error needs targets of the outputs' shape {tuple(outputs.shape)}, but they "
            f"are {tuple(targets.shape)}; pass {remedy}"
        )
    return (outputs - targets).square().reshape(len(outputs), -1).mean(1)


def accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Tell whether the largest output is the target class.

    Targets are those of `cross_entropy`; of probabilities, the largest is the target. Where there
    is a label for each position, it is the share of those that are right.

    Returns:
        1 or 0 for each example (B,); NaN where it has no class, see `predicted`.
    """
    outputs, targets, shares = _arranged(outputs, targets)
    targets = targets.argmax(1) if shares else targets
    label, known = predicted(outputs)
    right = torch.where(known, (label == targets).to(outputs.dtype), torch.nan)
    return _mean_over_positions(right, targets != IGNORED)


def predicted(outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Name the class of each example, that of its largest output.

    An example has no class where an output is NaN or the largest one is not finite: which of the
    two an overflow leaves depends on the processor. Classes masked by -inf lose, as they should.

    Args:
        outputs: One value a class (B, C, ...).

    Returns:
        The class (B, ...), and whether there is one (B, ...).

    Example:
        >>> predicted(torch.tensor([[1.0, 3.0], [-torch.inf, 0.0], [torch.inf, -torch.inf]]))
        (tensor([1, 1, 0]), tensor([ True,  True, False]))
    """
    largest, label = outputs.max(1)  # NaN counts as largest
    return label, largest.isfinite()


def check_objects(measures: Mapping[str, Any]) -> None:
    """Check that losses and metrics are functions or objects, not classes of these.

    Args:
        measures: Loss and metrics by name.

    Raises:
        TypeError: If one is a class; the message names it.
    """
    for name, measure in measures.items():
        if isinstance(measure, type):
            made = measure.__name__
            given = "reduction='none'" if issubclass(measure, nn.modules.loss._Loss) else ""
            raise TypeError(
                f"{name} must be a function of outputs and targets, but is the class {made}; pass "
                f"an object of it, such as {made}({given})"
            )


def as_labels(targets: NDArray[Any]) -> NDArray[Any]:
    """Write labels as whole numbers, one an example where there is a column of them.

    Args:
        targets: Targets (n, ...) of any type.

    Returns:
        The same, with True and False as 1 and 0, and labels (n, 1) as (n,).
    """
    if targets.dtype.kind == "b":
        targets = targets.astype(np.int64)
    column = targets.dtype.kind in "iu" and targets.ndim == 2 and targets.shape[1] == 1
    return targets[:, 0] if column else targets


def _arranged(
    outputs: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """Bring outputs and targets to the shapes that torch's cross-entropy takes.

    Targets of the outputs' shape are shares of the classes, one-hot ones among them. Labels may
    have an axis of length 1 for the class. Classes come second, as in torch; where the shapes
    leave no other reading, they may come last.

    Args:
        outputs: One value a class, (B, C, ...) or (B, ..., C).
        targets: Labels (B, ...), or shares of the outputs' shape.

    Returns:
        Outputs (B, C, ...), their targets, and whether these are shares.
    """
    if targets.shape == outputs.shape:
        return outputs, targets.to(outputs.dtype), True
    if targets.ndim == outputs.ndim and targets.shape[1] == 1:
        targets = targets.squeeze(1)
    if outputs.ndim > 2 and _classes_last(outputs, targets):
        outputs = outputs.movedim(-1, 1)
    return outputs, targets, False


def _classes_last(outputs: torch.Tensor, targets: torch.Tensor) -> bool:
    return targets.shape == outputs.shape[:-1] and targets.shape[1:] != outputs.shape[2:]


def _mean_over_positions(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Average over the positions of each example that count.

    Args:
        values: One value a position (B, ...).
        counted: Whether it counts (B, ...).

    Returns:
        One value an example (B,).
    """
    if values.ndim == 1:
        return values
    some, total = counted.flatten(1), values.flatten(1)
    return total.where(some, 0).sum(1) / some.sum(1)


def check_labels(outputs: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> None:
    """Check that targets are labels or shares of the classes that a network has.

    Args:
        outputs: What the network gives for some training examples.
        tensors: The targets `train_y` and `test_y`.

    Raises:
        ValueError: If they are not.
    """
    if outputs.ndim < 2 or outputs.shape[1] < 2 or outputs.is_complex():
        raise ValueError(
            "cross-entropy needs one real output for each of two classes or more, (B, C), but the "
            f"model gives {tuple(outputs.shape)} {outputs.dtype}; widen its last layer, or pass "
            "another loss"
        )
    for name in ("train_y", "test_y"):
        targets = tensors[name]
        like = outputs[:1].expand(len(targets), *outputs.shape[1:])
        if targets.shape == like.shape:
            _check_shares(targets, name)
        elif targets.is_floating_point() or targets.is_complex():
            raise ValueError(
                f"cross-entropy needs integer labels, but {name} is {targets.dtype}; "
                "convert them, pass probabilities of the outputs' shape "
                f"{tuple(like.shape)}, or pass loss=squared_error"
            )
        else:
            _check_classes(like, targets, name)


def _check_shares(targets: torch.Tensor, name: str) -> None:
    sums = targets.sum(1, dtype=torch.float64)
    if bool((targets < 0).any()) or float((sums - 1).abs().max()) > SUM:
        raise ValueError(
            "targets of the outputs' shape must be probabilities, which sum to 1 over the second "
            f"axis, but {name} has sums {float(sums.min()):.6g}..{float(sums.max()):.6g} and "
            f"values from {float(targets.min()):.3g}; pass labels, or loss=squared_error"
        )


def _check_classes(outputs: torch.Tensor, targets: torch.Tensor, name: str) -> None:
    outputs, targets, _ = _arranged(outputs, targets)
    counted = (targets != IGNORED) | (targets.ndim == 1)
    lost = int((~counted.reshape(len(targets), -1).any(1)).sum())
    if lost:
        raise ValueError(
            f"each example needs a position with a label, but {lost} of {name} have {IGNORED} "
            "everywhere; leave these examples out"
        )
    low, high = int(targets[counted].min()), int(targets[counted].max())
    if low < 0 or high >= outputs.shape[1]:
        raise ValueError(
            f"labels must lie in 0..{outputs.shape[1] - 1}, the model's outputs, but {name} has "
            f"{low}..{high}; {_relabelled(targets[counted], name)}"
            + (f" ({IGNORED} are positions that do not count)" if targets.ndim > 1 else "")
        )
    if outputs.ndim == 3 and outputs.shape[1] == outputs.shape[2] and name == "train_y":
        warnings.warn(
            f"outputs {tuple(outputs.shape[1:])} of each example may have their classes first or "
            "last; they are taken to come first, as in torch",
            stacklevel=6,
        )


def _relabelled(labels: torch.Tensor, name: str) -> str:
    """Say what makes classes of labels that are none.

    Returns:
        The remedy.
    """
    found = set(np.unique(labels.cpu().numpy()).tolist())
    if min(found) >= 0:
        return "relabel them or widen the last layer"
    if found == {-1, 1}:
        return f"pass ({name} + 1) // 2"
    if IGNORED in found and min(found - {IGNORED}, default=0) >= 0:
        return f"leave out the examples of {IGNORED}: keep = {name} != {IGNORED}"
    return f"pass np.unique({name}, return_inverse=True)[1], with one numbering for both splits"


def check_each(name: str, values: Any, count: int) -> None:
    """Check what a loss or metric gives.

    Args:
        name: Which it is.
        values: What it gives.
        count: Number of examples.

    Raises:
        ValueError: If that is not one value for each example.
    """
    if not isinstance(values, torch.Tensor):
        raise ValueError(
            f"{name} must give one value for each example, ({count},), but gives "
            f"{type(values).__name__}; return a tensor of torch"
        )
    if tuple(values.shape) != (count,):
        spread = values.ndim > 1 and len(values) == count
        remedy = "average the rest, .flatten(1).mean(1)" if spread else "use reduction='none'"
        if not values.ndim:
            remedy = "leave out its mean or sum over the examples, such as by reduction='none'"
        raise ValueError(
            f"{name} must give one value for each example, ({count},), but gives "
            f"{tuple(values.shape)}; {remedy}"
        )
    if name == "loss" and not values.is_floating_point():
        raise ValueError(
            f"the loss must give floating-point values, but gives {values.dtype}; compute it from "
            "the outputs by torch's functions, and pass what counts as metrics"
        )
