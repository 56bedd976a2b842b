"""How training goes, and which moments of it are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, NotNegative, Positive, Whole
from jumpretrain.storage.json_files import LATER

__all__ = ["ELSEWHERE", "Recipe", "same_folder", "too_fast"]

Optimiser = Literal["sgd", "adam", "adamw", "nadam", "radam", "rmsprop", "adagrad"]
OPTIMISERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}
MOST = 10**6
"""Number of snapshots of a run."""
ELSEWHERE = ", and name another folder"
"""What a remedy adds that changes a recipe: a folder holds runs of one."""


@checked
@dataclass(frozen=True)
class Recipe:
    """A way of training; it computes the same wherever it is run.

    Attributes:
        epochs: Passes over the training data.
        lr: Learning rate at the start.
        optimiser: `"sgd"`, `"adam"`, `"adamw"`, `"nadam"`, `"radam"`, `"rmsprop"` or `"adagrad"`:
            torch's that treat each weight alone, so that networks can be trained together.
        momentum: Momentum of SGD; the others use torch's defaults.
        weight_decay: L2 penalty on the gradient, as torch applies it.
        batch_size: Examples a step.
        schedule: `"constant"`, `"cosine"` (to zero) or `"steps"` (divided by 10).
        milestones: Shares of the epochs after which `"steps"` divides the rate.
        drop_last: Whether an incomplete last batch is left out.
        record_every: Epochs between snapshots; 0 keeps the first and the last state only.
        record_early: Whether steps 1, 2, 4, 8, ... of the first epoch are recorded too.
        push: Strength of a penalty that holds each trained tensor's norm at `radius`: the loss
            that is trained has push * sum of (norm - radius)^2 over the tensors added, as in the
            code released with arXiv:2104.11044. Recorded losses are without it.
        radius: The norm that the penalty asks for.
        until: Metrics that end the training of a network, such as `{"train_loss": 0.01}`: after
            the first epoch at whose end all are reached (accuracies from below, others from
            above). Its later snapshots repeat that state; the metric `epochs_trained` tells when.
            Networks that are trained together end each at its own time.
        optimizer: Another spelling of `optimiser`, which is what is kept.

    Raises:
        ValueError: If a value is out of its range.

    Example:
        >>> Recipe(epochs=2).record_steps(batches=6).tolist()
        [0, 1, 2, 4, 6, 12]
    """

    epochs: Count = 40
    lr: Positive = 0.005
    optimiser: Optimiser = "sgd"
    momentum: float = 0.9
    weight_decay: NotNegative = 0.0
    batch_size: Count = 64
    schedule: Literal["constant", "cosine", "steps"] = "constant"
    milestones: tuple[float, ...] = (0.5, 0.75, 0.925)
    drop_last: bool = False
    record_every: Whole = 1
    record_early: bool = True
    push: NotNegative = 0.0
    radius: NotNegative = 0.0
    until: Mapping[str, float] | None = field(default=None, metadata=LATER)
    optimizer: InitVar[Optimiser | None] = None

    def __post_init__(self, optimizer: Optimiser | None) -> None:
        if optimizer is not None:
            self._spell(optimizer)
        self._check("until", self.until != {}, "finite numbers by metric, or None")
        self._check("momentum", 0 <= self.momentum < 1, "in [0, 1)")
        if self.snapshots > MOST:
            raise ValueError(
                f"a run has up to {MOST:,} snapshots, but {self.epochs} epochs with one each "
                f"{self.record_every} are more; record less often (record_every), or 0"
            )
        ordered = sorted(self.milestones) == list(self.milestones)
        self._check("milestones", ordered and all(0 < m < 1 for m in self.milestones), "in (0, 1)")

    def reached(self, values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Tell which networks have reached all that ends their training.

        Args:
            values: Metrics by name, one value a network (K,).

        Returns:
            Whether each has (K,); none where nothing ends it.
        """
        shape = np.shape(next(iter(values.values())))
        found = np.full(shape, self.until is not None)
        for name, goal in (self.until or {}).items():
            found &= values[name] >= goal if "accuracy" in name else values[name] <= goal
        return found

    def _spell(self, optimizer: Optimiser) -> None:
        if self.optimiser not in ("sgd", optimizer):
            raise ValueError(
                f"optimiser and optimizer are one, but are {self.optimiser!r} and {optimizer!r}; "
                "pass one of them"
            )
        object.__setattr__(self, "optimiser", optimizer)

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} of a recipe must be {rule}, but is {getattr(self, name)}")

    @property
    def snapshots(self) -> int:
        """How many snapshots a run has, those within the first epoch apart."""
        return 1 + -(-self.epochs // (self.record_every or self.epochs))

    def batches(self, examples: int) -> int:
        """Count the steps of an epoch.

        Returns:
            Number of batches.

        Raises:
            ValueError: If dropping the last batch leaves none.
        """
        count = examples // self.batch_size if self.drop_last else -(-examples // self.batch_size)
        if not count:
            raise ValueError(
                f"an epoch needs a batch, but {examples} examples make no batch of "
                f"{self.batch_size} with drop_last; use a smaller batch_size"
            )
        return count

    def record_steps(self, batches: int) -> NDArray[np.int64]:
        """List the steps after which a snapshot is taken; step 0 is the start.

        Returns:
            Rising numbers of steps (T,).
        """
        every = self.record_every or self.epochs
        steps = {0, self.epochs * batches, *range(0, self.epochs * batches, every * batches)}
        if self.record_early:
            steps |= {2**power for power in range(batches.bit_length()) if 2**power < batches}
        return np.array(sorted(steps))

    def rate(self, epoch: int) -> float:
        """Give the learning rate of an epoch, counted from 0.

        Returns:
            The rate.
        """
        done = epoch / self.epochs
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "steps":
            return float(self.lr * 0.1 ** sum(done >= milestone for milestone in self.milestones))
        return self.lr

    def optimise(self, parameters: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
        """Make torch's optimiser, with no memory of earlier steps.

        Returns:
            The optimiser.
        """
        own = {"momentum": self.momentum} if self.optimiser == "sgd" else {}
        make = OPTIMISERS[self.optimiser]
        return make(parameters, lr=self.lr, weight_decay=self.weight_decay, **own)


def too_fast(recipe: Recipe, folder: str | Path | None, more: str = "") -> str:
    """Say at which rate training diverged, and what helps.

    Args:
        recipe: How it was trained.
        folder: Where its runs are kept, if they are.
        more: What else helps.

    Returns:
        The end of a message.
    """
    return f"at rate {recipe.lr}; lower it{more}{'' if folder is None else ELSEWHERE}"


@contextmanager
def same_folder() -> Iterator[None]:
    """Let remedies name no other folder, where each recipe has a place of its own in this one.

    Raises:
        ValueError: What is raised within.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).endswith(ELSEWHERE):
            raise
        raise ValueError(str(error).removesuffix(ELSEWHERE)) from error
