"""Losses and metrics of single examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["PerExample", "accuracy", "cross_entropy", "predicted", "squared_error"]

PerExample = Callable[[Any, torch.Tensor], torch.Tensor]


def cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Measure minus the log-probability of the target class.

    Returns:
        Nats for each example (B,).
    """
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Measure the mean squared difference over the entries of each target.

    Returns:
        One value for each example (B,).

    Raises:
        ValueError: If outputs and targets differ in shape: they would be broadcast silently.
    """
    if outputs.shape != targets.shape:
        raise ValueError(
            f"squared error needs targets of the outputs' shape {tuple(outputs.shape)}, but they "
            f"are {tuple(targets.shape)}; reshape them, such as targets[:, None]"
        )
    return (outputs - targets).square().reshape(len(outputs), -1).mean(1)


def accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Tell whether the largest output is the target class.

    Returns:
        1 or 0 for each example (B,); NaN where it has no class, see `predicted`.
    """
    label, known = predicted(outputs)
    return torch.where(known, (label == targets).to(outputs.dtype), torch.nan)


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
