"""In which order, and how augmented, the examples of each run come."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.engine.recipe import Recipe
from jumpretrain.tasks.data import augmented
from jumpretrain.tasks.task import Task

__all__ = ["epoch_batches", "seed_of_step"]


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
        x = _chosen(inputs, rows)
        if task.data.crop or task.data.flip:
            pairs = zip(x, rngs, strict=True)
            x = torch.stack([_augment(images, task, rng) for images, rng in pairs])
        yield x, _chosen(targets, rows)


def _chosen(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    whole = values.index_select(0, rows.flatten())  # faster than indexing, which goes by entries
    return whole.view(*rows.shape, *values.shape[1:])


def _augment(images: torch.Tensor, task: Task, rng: np.random.Generator) -> torch.Tensor:
    def draw(high: int, count: int) -> torch.Tensor:
        return torch.as_tensor(rng.integers(high, size=count), device=images.device)

    return augmented(images, task.data.crop, task.data.flip, draw)


def seed_of_step(seed: int, step: int) -> int:
    """Derive the seed of what a network draws in a step of a run.

    Returns:
        A whole number below 2^63.
    """
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)
