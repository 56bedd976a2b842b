"""Retraining on one device: the library, stacked and looped, beside the plain loop."""

from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks import plain
from benchmarks.clocks import in_turn

import jumpretrain as jr

SHAPE = (3, 32, 32)
NETWORKS = {
    "MLP 3072-128-128-10": partial(jr.models.mlp, SHAPE, 10),
    "LeNet 3x32x32": partial(jr.models.lenet, SHAPE, 10),
    "WRN-10-1": partial(jr.models.wide_resnet, SHAPE, 10),
    "WRN-16-2": partial(jr.models.wide_resnet, SHAPE, 10, depth=16, width=2),
}


def rows(data: jr.Dataset, device: str, quick: bool) -> list[dict[str, Any]]:
    """Time one epoch for 16 and 256 replicas of each network; 4 of an MLP in small."""
    names = list(NETWORKS)[:1] if quick else list(NETWORKS)
    counts = (4,) if quick else (16, 256)
    return [row(name, data, count, device, quick) for name in names for count in counts]


def row(name: str, data: jr.Dataset, count: int, device: str, quick: bool) -> dict[str, Any]:
    """Compare jumps a second, and mean losses; the plain loop runs eight of the replicas."""
    task = jr.Task(NETWORKS[name], data, device=device)
    recipe = jr.Recipe(epochs=1, lr=0.01, record_early=False)
    states, few = np.stack([task.initial(seed) for seed in range(count)]), min(8, count)

    def trained(mode: Any) -> jr.Runs:
        execution = jr.Execution(mode=mode, chunk=count, progress=False)
        return jr.train(task, recipe, range(count), states, execution=execution)

    modes = ("looped", "stacked")
    sides = {"plain": partial(plain.retrain, task, recipe, states[:few], range(few))}
    sides |= {mode: partial(trained, mode) for mode in modes}
    timing = in_turn(sides, 1 if quick else 3, device)
    done = {"plain": few} | dict.fromkeys(modes, count)
    rates = {name: done[name] / float(np.median(timing.wall[name])) for name in sides}
    losses = {"plain": timing.results["plain"][:, -1, -4]}
    losses |= {mode: timing.results[mode].metrics["train_loss"][:few, -1] for mode in modes}
    return {
        "work": f"{name}, {count} replicas, 1 epoch of {len(data.train_x)} images",
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "jumps_per_second": rates,
        "rate_ratio": {mode: rates[mode] / rates["plain"] for mode in modes},
        "loss": {name: float(loss.mean()) for name, loss in losses.items()},
        "execution": timing.results["stacked"].provenance["execution"],
    }
