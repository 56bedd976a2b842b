"""The library beside plain loops on the same work, in turn; ratios, since machines are noisy.

    .venv/bin/python scripts/benchmark.py            # figures/benchmark.json, some ten minutes
    .venv/bin/python scripts/benchmark.py --quick --out /tmp/figures

Retraining takes one process with one thread in the plain loop, and in the library once one and
once two, after they have started. Images are random where no data are needed to time.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import plain
import torch
from figure import ROOT
from torch.utils.flop_counter import FlopCounterMode

import jumpretrain as jr
from jumpretrain import store
from jumpretrain.execution import spread

QUIET = jr.Execution(progress=False)


@dataclass(frozen=True)
class Case:
    """Work that both sides do.

    Attributes:
        name: The network.
        task: Network and data.
        jumps: Number of runs.
        epochs: Epochs of each; scores are taken before and after each.
        batch_size: Examples a step.
    """

    name: str
    task: jr.Task
    jumps: int
    epochs: int
    batch_size: int

    @property
    def recipe(self) -> jr.Recipe:
        """The way of training."""
        return jr.Recipe(
            epochs=self.epochs, lr=0.01, batch_size=self.batch_size, record_early=False
        )


def cases(quick: bool) -> list[Case]:
    digits = jr.data.digits()
    small, large = pictures((1, 28, 28), 640, 320), pictures((3, 32, 32), 128, 64)
    mlps = [
        Case(f"MLP 64-{'-'.join(map(str, hidden))}-10", mlp(digits, hidden), 64, 2, 64)
        for hidden in ((64,), (128, 128), (256, 256))
    ]
    nets = [
        Case("LeNet 28x28", jr.Task(partial(jr.models.lenet, (1, 28, 28), 10), small), 16, 2, 64),
        Case(
            "ResNet-8 32x32", jr.Task(partial(jr.models.resnet, (3, 32, 32), 10), large), 16, 1, 32
        ),
    ]
    if quick:
        return [replace(case, jumps=4, epochs=1) for case in (mlps[0], nets[0])]
    return mlps + nets


def mlp(data: jr.Dataset, hidden: tuple[int, ...]) -> jr.Task:
    return jr.Task(partial(jr.models.mlp, data.train_x.shape[1:], 10, hidden=hidden), data)


def pictures(shape: tuple[int, ...], train: int, test: int) -> jr.Dataset:
    rng = np.random.default_rng(0)
    x = rng.random((train + test, *shape), dtype=np.float32)
    y = rng.integers(10, size=train + test)
    return jr.Dataset(x[:train], y[:train], x[train:], y[train:])


def main() -> None:
    parser = argparse.ArgumentParser(description="compare with plain loops")
    parser.add_argument("--quick", action="store_true", help="in small")
    parser.add_argument("--out", type=Path, default=ROOT / "figures", help="folder of the JSON")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    repeats = 1 if asked.quick else 3
    peak = matmul_peak()
    found = {
        "quick": asked.quick,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
        },
        "matmul_peak_gflops": peak / 1e9,
        "training": [trained(case, repeats, peak) for case in cases(asked.quick)],
        "scoring": [*planes(asked.quick, repeats), *paths(asked.quick, repeats)],
    }
    store.write_json(asked.out / "benchmark.json", found)
    for row in found["training"] + found["scoring"]:
        print({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()})


def trained(case: Case, repeats: int, peak: float) -> dict[str, Any]:
    """Time retraining in the plain loop, and by the library in one process and in two."""
    task, seeds = case.task, list(range(case.jumps))
    states = np.stack([task.initial(seed) for seed in seeds])
    two = replace(QUIET, n_jobs=2)
    spread(time.sleep, [(0.1,), (0.1,)], two)
    sides: dict[str, Callable[[], Any]] = {
        "plain": lambda: plain.retrain(task, case.recipe, states, seeds),
        "one": lambda: jr.train(task, case.recipe, seeds, states, execution=QUIET),
        "two": lambda: jr.train(task, case.recipe, seeds, states, execution=two),
    }
    wall, cpu, results = in_turn(sides, repeats)
    work = operations(case)
    losses = results["one"].metrics["train_loss"][:, -1].mean()
    return {
        "work": f"{case.name}, {case.jumps} jumps, {case.epochs} epochs",
        "execution": results["one"].provenance["execution"],
        "wall_ratio_two_processes": ratio(wall, "plain", "two"),
        "wall_ratio_one_process": ratio(wall, "plain", "one"),
        "cpu_ratio_one_process": ratio(cpu, "plain", "one"),
        "plain_seconds": statistics.median(wall["plain"]),
        "share_of_peak_plain": work / statistics.median(cpu["plain"]) / peak,
        "share_of_peak_one_process": work / statistics.median(cpu["one"]) / peak,
        "loss_plain": float(results["plain"][:, -1, 0].mean()),
        "loss": float(losses),
    }


def planes(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Time a loss plane against bare passes with their loss."""
    size, task = (5 if quick else 25), mlp(jr.data.digits(), (128, 128))
    states = [task.initial(seed) for seed in range(3)]
    sides: dict[str, Callable[[], Any]] = {
        "plain": lambda: plain.passes(task, size**2),
        "one": lambda: jr.plane_through(task, states, size=size, execution=QUIET),
    }
    wall, cpu, _ = in_turn(sides, repeats)
    return [{"work": f"{size} x {size} plane of a digits MLP against as many bare passes",
             "cpu_over_bare": 1 / ratio(cpu, "plain", "one"),
             "wall_over_bare": 1 / ratio(wall, "plain", "one")}]  # fmt: skip


def paths(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Time straight paths against load_state_dict for each alpha."""
    data = pictures((1, 28, 28), 500 if quick else 2000, 500)
    task, alphas = mlp(data, (256,)), 51
    ends = task.initial(0), task.initial(1)
    sides: dict[str, Callable[[], Any]] = {
        "plain": lambda: plain.interpolate(task, *ends, alphas),
        "one": lambda: jr.interpolate(task, *ends, alphas, execution=QUIET),
    }
    wall, cpu, results = in_turn(sides, repeats)
    apart = np.abs(results["one"].metrics["train_loss"] - results["plain"]).max()
    return [{"work": f"{alphas} alphas of 784-256-10", "cpu_ratio": ratio(cpu, "plain", "one"),
             "wall_ratio": ratio(wall, "plain", "one"),
             "largest_difference": float(apart)}]  # fmt: skip


def in_turn(
    sides: dict[str, Callable[[], Any]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, Any]]:
    """Call each side in turn, in the other order every other time, after one call unmeasured.

    Returns:
        Wall and processor seconds of this process, and the last results.
    """
    wall, cpu = ({name: [] for name in sides} for _ in range(2))
    results = {name: call() for name, call in sides.items()}
    for turn in range(repeats):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            began, spent = time.perf_counter(), time.process_time()
            results[name] = sides[name]()
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - spent)
    return wall, cpu, results


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> float:
    pairs = zip(seconds[above], seconds[below], strict=True)
    return statistics.median(a / b for a, b in pairs)


def matmul_peak() -> float:
    """Measure float32 products of one thread.

    Returns:
        Operations a second, the best of ten.
    """
    a = torch.rand(1024, 1024)
    best = 0.0
    for _ in range(10):
        began = time.perf_counter()
        torch.mm(a, a)
        best = max(best, 2 * 1024**3 / (time.perf_counter() - began))
    return best


def operations(case: Case) -> float:
    """Count the operations of training (three forward passes) and scoring.

    Returns:
        Floating-point operations.
    """
    module, x = case.task.module().eval(), case.task.tensors["train_x"][:8]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    forward = counter.get_total_flops() / len(x)
    train, test = len(case.task.data.train_x), len(case.task.data.test_x)
    scores = (case.epochs + 1) * (min(train, case.task.scored) + test)
    return forward * case.jumps * (3 * case.epochs * train + scores)


if __name__ == "__main__":
    main()
