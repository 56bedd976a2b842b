"""In which order, and how augmented, the examples of each run come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.randomness import watched, widened
from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.images import are_pixelwise
from jumpretrain.tasks.probing import check_start, reason
from jumpretrain.tasks.task import Task

__all__ = [
    "augmented",
    "batch_sizes",
    "check_batches",
    "draws",
    "epoch_batches",
    "seed_of_step",
]


@standard_settings()
def check_batches(task: Task, recipe: Recipe) -> None:
    """Check that the smallest batch is large enough, as for BatchNorm, and the loss will do.

    Raises:
        ValueError: If it is not, or the network fails on some of the first examples.
    """
    count, size = len(task.data.train_x), batch_sizes(task, recipe)[0]
    why, _ = _tried(task, range(size))
    if why:
        _check_examples(task, size)
        raise ValueError(
            f"training needs batches that are large enough, but {count} examples in batches of "
            f"{recipe.batch_size} leave {'one' if size == 1 else size} alone, which fails: {why}; "
            "set drop_last or another batch_size"
        )
    x, y = (task.tensors[name][:size] for name in ("train_x", "train_y"))
    check_start(task.module(), task.layout, task.loss, task.laid_out(x), y)


def batch_sizes(task: Task, recipe: Recipe) -> list[int]:
    """List how many examples a batch may have, the smallest number first.

    Returns:
        One number or two.
    """
    count = len(task.data.train_x)
    whole = min(recipe.batch_size, count)
    last = 0 if recipe.drop_last else count % recipe.batch_size
    return sorted({whole, last or whole})


@standard_settings()
def draws(task: Task, recipe: Recipe) -> frozenset[str]:
    """Say from which shared generators steps of training draw, in batches of any size.

    Returns:
        Names of those to seed.
    """
    found = [_tried(task, range(size))[1] for size in batch_sizes(task, recipe)]
    return widened(task.trial.drawn.union(*found))


def _check_examples(task: Task, size: int) -> None:
    """Check that each of the first examples can be trained on beside one that a task has tried.

    Raises:
        ValueError: If one cannot.
    """
    for number in range(1, size):
        why, _ = _tried(task, [0, number])
        if why:
            raise ValueError(
                f"training needs examples that the network takes, but training example {number} "
                f"(from 0) makes it fail: {why}; leave it out, or change the network or its loss"
            )


def _tried(task: Task, rows: Sequence[int]) -> tuple[str, set[str]]:
    """Compute the loss of training on some examples.

    Returns:
        Why that fails, or an empty string; and from which shared generators it draws.
    """
    x, y = (task.tensors[name][list(rows)] for name in ("train_x", "train_y"))
    try:
        with watched(0) as drawn, torch.no_grad():
            task.loss(task.module()(task.laid_out(x)), y)
    except Exception as error:  # a user's network fails in any way
        return reason(error), set()
    return "", drawn


def epoch_batches(
    task: Task, recipe: Recipe, seeds: NDArray[np.int64], epoch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Walk through the data in each run's own order, keyed by its seed and the epoch.

    Yields:
        Inputs and targets (K, B, ...).
    """
    inputs, targets = task.tensors["train_x"], task.tensors["train_y"]
    rngs = [np.random.default_rng((int(seed), epoch)) for seed in seeds]
    orders = torch.as_tensor(
        np.stack([rng.permutation(len(inputs)) for rng in rngs]), device=inputs.device
    )
    for batch in range(recipe.batches(len(inputs))):
        rows = orders[:, batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        x, y = _chosen(inputs, rows), _chosen(targets, rows)
        if task.data.crop or task.data.flip:
            pairs = [_augment(x[run], y[run], task, rng) for run, rng in enumerate(rngs)]
            x, y = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        yield x, y


def _chosen(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    whole = values.index_select(0, rows.flatten())  # faster than indexing, which goes by entries
    return whole.view(*rows.shape, *values.shape[1:])


def _augment(
    images: torch.Tensor, targets: torch.Tensor, task: Task, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    def draw(high: int, count: int) -> torch.Tensor:
        return torch.as_tensor(rng.integers(high, size=count), device=images.device)

    if not are_pixelwise(targets.shape, images.shape):
        return augmented([images], task.data.crop, task.data.flip, draw)[0], targets
    planes = targets if targets.ndim == images.ndim else targets[:, None]
    moved = augmented([images, planes], task.data.crop, task.data.flip, draw)
    return moved[0], moved[1].reshape(targets.shape)


def augmented(
    parts: Sequence[torch.Tensor],
    crop: int,
    flip: bool,
    draw: Callable[[int, int], torch.Tensor],
) -> list[torch.Tensor]:
    """Shift each image by up to `crop` pixels over zero padding and mirror half of them.

    Args:
        parts: Batches (B, C, H, W) that move alike, such as images and their targets.
        crop: Largest shift, in pixels.
        flip: Whether to mirror.
        draw: Draws integers: `draw(high, B)` lies in 0..high - 1.

    Returns:
        The changed batches (B, C, H, W).
    """
    count, _, height, width = parts[0].shape
    device = parts[0].device
    rows = draw(2 * crop + 1, count)[:, None] + torch.arange(height, device=device)
    columns = draw(2 * crop + 1, count)[:, None] + torch.arange(width, device=device)
    if flip:
        mirrored = draw(2, count)[:, None].bool()
        columns = torch.where(mirrored, columns.flip(1), columns)
    batch = torch.arange(count, device=device)[:, None, None]
    rows, columns = rows[:, :, None], columns[:, None, :]
    padded = [torch.nn.functional.pad(part, (crop,) * 4) for part in parts]
    return [part[batch, :, rows, columns].permute(0, 3, 1, 2) for part in padded]


def seed_of_step(seed: int, step: int) -> int:
    """Derive the seed of what a network draws in a step of a run.

    Returns:
        A whole number below 2^63.
    """
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]) >> 1
