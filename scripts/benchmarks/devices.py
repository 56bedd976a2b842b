"""Retraining on one device: the library, stacked and looped, beside the plain loop."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks import plain
from benchmarks.clocks import in_turn
from torch import nn

import jumpretrain as jr

NETWORKS = {
    "MLP 3072-128-128-10": partial(jr.models.mlp, (3, 32, 32), 10),
    "LeNet 3x32x32": partial(jr.models.lenet, (3, 32, 32), 10),
    "WRN-10-1": partial(jr.models.wide_resnet, (3, 32, 32), 10),
    "WRN-16-2": partial(jr.models.wide_resnet, (3, 32, 32), 10, depth=16, width=2),
}


def rows(data: jr.Dataset, device: str, quick: bool) -> list[dict[str, Any]]:
    """Time one epoch for 16 and 256 replicas of each network; 4 of an MLP in small.

    Returns:
        One row a network and number of replicas.
    """
    names = list(NETWORKS)[:1] if quick else list(NETWORKS)
    counts = (4,) if quick else (16, 256)
    return [row(name, data, count, device, quick) for name in names for count in counts]


def row(name: str, data: jr.Dataset, count: int, device: str, quick: bool) -> dict[str, Any]:
    """Compare jumps a second; the plain loop runs eight of the replicas.

    Returns:
        Rates, and the mean loss of the replicas that all sides have trained.
    """
    task = jr.Task(NETWORKS[name], data, device=device)
    recipe = jr.Recipe(epochs=1, lr=0.01, record_early=False)
    states, few = np.stack([task.initial(seed) for seed in range(count)]), min(8, count)

    def trained(mode: Any) -> jr.Runs:
        execution = jr.Execution(mode=mode, chunk=count, progress=False)
        return jr.train(task, recipe, range(count), states, execution=execution)

    sides = {
        "plain": lambda: plain.retrain(task, recipe, states[:few], range(few)),
        "looped": lambda: trained("looped"),
        "stacked": lambda: trained("stacked"),
    }
    timing = in_turn(sides, 1 if quick else 3, device)
    done = {"plain": few, "looped": count, "stacked": count}
    rates = {name: done[name] / float(np.median(timing.wall[name])) for name in sides}
    results = timing.results
    return {
        "work": f"{name}, {count} replicas, 1 epoch of {len(data.train_x)} images",
        "device": named(device),
        "jumps_per_second": rates,
        "rate_ratio": {name: rates[name] / rates["plain"] for name in ("looped", "stacked")},
        "loss": {
            "plain": float(results["plain"][:, -1, -4].mean()),
            "looped": float(results["looped"].metrics["train_loss"][:few, -1].mean()),
            "stacked": float(results["stacked"].metrics["train_loss"][:few, -1].mean()),
        },
        "execution": results["stacked"].provenance["execution"],
    }


def named(device: str) -> str:
    """Say which device computes.

    Returns:
        The name of the GPU, or of the device's kind.
    """
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def usable(device: str) -> str | None:
    """Try a device.

    Returns:
        Why it cannot be used; None where it can.
    """
    try:
        nn.Linear(1, 1, device=device)(torch.ones(1, 1, device=device))
    except (RuntimeError, AssertionError) as error:
        return " ".join(str(error).split())[:200]
    return None
