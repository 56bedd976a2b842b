"""A loss plane by this library and by others that are installed: seconds, and right cells.

A cell is correct where its loss is that of the point that the library's documentation says,
computed in double precision. Nothing here is needed by the package. To compare with
loss-landscapes 3.0.6 (MIT), install it where this script finds it:

    .venv/bin/pip install --no-deps loss-landscapes==3.0.6
"""

import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks.clocks import in_turn
from numpy.typing import NDArray
from torch import nn

import jumpretrain as jr

TOLERANCE = 1e-4  # of the loss: single precision keeps seven digits
QUIET = jr.Execution(progress=False)


def planes(task: jr.Task, size: int, repeats: int) -> list[dict[str, Any]]:
    """Score a size x size plane through three trained networks: one row a library."""
    recipe = jr.Recipe(epochs=20, lr=0.05, record_every=0, record_early=False)
    states = jr.train(task, recipe, range(3), execution=QUIET).final
    ours = partial(jr.plane_through, task, states, size=size, execution=QUIET)
    timing = in_turn({"plane": ours}, repeats)
    section = timing.results["plane"]
    points = np.stack(np.meshgrid(section.x, section.y), axis=-1).reshape(-1, 2)
    right = [
        close(section.metrics[f"{split}_loss"], expected)
        for split, expected in losses(task, section.origin + points @ section.axes).items()
    ]
    name = "jumpretrain (losses and accuracies)"
    return [
        row(name, np.logical_and(*right), timing.cpu["plane"]),
        loss_landscapes(task, states, size, repeats),
    ]


def close(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.bool_]:
    return np.abs(found.ravel() - expected) <= TOLERANCE * expected


def row(library: str, right: NDArray[np.bool_], seconds: list[float]) -> dict[str, Any]:
    return {
        "library": library,
        "cells": right.size,
        "correct": int(right.sum()),
        "cpu_seconds_per_cell": float(np.median(seconds)) / right.size,
    }


def loss_landscapes(
    task: jr.Task, states: NDArray[Any], size: int, repeats: int
) -> dict[str, Any]:
    """Score the same states' plane with loss-landscapes, all examples at once.

    It says to put cell (i, j) at start + i / size (second - start) + j / size (third - start).
    """
    try:
        import loss_landscapes as peer
        from loss_landscapes.metrics import Loss
    except ImportError as error:
        reason = f"{error}; see scripts/benchmarks/peers.py for how to install it"
        return {"library": "loss-landscapes", "skipped": reason}
    x, y = (
        torch.cat([task.tensors[f"{split}_{part}"] for split in ("scored", "test")])
        for part in ("x", "y")
    )
    metric = Loss(nn.functional.cross_entropy, x, y)

    def plane() -> NDArray[Any]:
        networks = [task.module(state).eval() for state in states]
        found = peer.planar_interpolation(*networks, metric, size, deepcopy_model=True)
        return np.asarray(found, dtype=float)

    timing = in_turn({"plane": plane}, repeats)
    start, *ends = (state[: task.weight_count].astype(float) for state in states)
    shares = np.stack(np.meshgrid(*[np.arange(size) / size] * 2, indexing="ij"), axis=-1)
    parts = losses(task, start + shares.reshape(-1, 2) @ np.stack([end - start for end in ends]))
    counts = [len(task.tensors[f"{split}_y"]) for split in ("scored", "test")]
    expected = np.average(list(parts.values()), axis=0, weights=counts)
    right = close(timing.results["plane"], expected)
    return row("loss-landscapes 3.0.6 (losses)", right, timing.cpu["plane"])


@torch.no_grad()
def losses(task: jr.Task, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Compute training and test losses at weights (K, P) in double precision, by hand."""
    model = copy.deepcopy(task.template).double().eval()
    found: dict[str, list[float]] = {"train": [], "test": []}
    for weights in points:
        nn.utils.vector_to_parameters(torch.as_tensor(weights), model.parameters())
        for split, source in (("train", "scored"), ("test", "test")):
            outputs, y = model(task.tensors[f"{source}_x"].double()), task.tensors[f"{source}_y"]
            found[split].append(nn.functional.cross_entropy(outputs, y).item())
    return {split: np.array(values) for split, values in found.items()}
