"""The library beside plain loops on the same work, in turn; ratios, since machines are noisy.

    .venv/bin/python scripts/benchmark.py            # benchmark.json and benchmark_costs.png
    .venv/bin/python scripts/benchmark.py --quick --out /tmp/figures
    .venv/bin/python scripts/benchmark.py --device cuda          # benchmark_gpu.json instead

The first takes some ten minutes on a quiet machine. Retraining takes one process with one thread
in the plain loop, and in the library once one and once two, after they have started. Images are
random where no data are needed to time. Other libraries are compared where they are installed:
see scripts/benchmarks/peers.py.
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
from typing import Any, Literal

import numpy as np
import torch
from benchmarks import devices, peers, plain, scaling
from benchmarks.clocks import Sides, counts_workers, in_turn, load
from evidence.figure import ROOT
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.storage import folders

QUIET = jr.Execution(progress=False)
MODES: tuple[Literal["looped", "stacked", "compiled"], ...] = ("looped", "stacked", "compiled")
FEW = 4  # jumps with which the losses of all executions are compared


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
    small, large = pictures((1, 28, 28), 320, 160), pictures((3, 32, 32), 64, 32)
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
    parser.add_argument("--out", type=Path, default=ROOT / "figures", help="folder of the results")
    parser.add_argument("--device", default="cpu", help="cuda: compare on a GPU instead")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    unusable = devices.usable(asked.device)
    if unusable:
        raise SystemExit(f"--device {asked.device} cannot be used here: {unusable}")
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.device == "cpu":
        on_processor(asked.quick, asked.out)
    else:
        on_device(asked.device, asked.quick, asked.out)


def on_processor(quick: bool, out: Path) -> None:
    """Compare on the processor; write benchmark.json and benchmark_costs.png."""
    began, before = time.monotonic(), load()
    repeats, peak = (1 if quick else 3), matmul_peak()
    small, middle = (mlp(jr.data.digits(), hidden) for hidden in ((64,), (64, 64, 64)))
    found: dict[str, Any] = {"quick": quick, "machine": machine(), "load_before": before}
    found["matmul_peak_gflops"] = peak / 1e9
    found["costs"] = scaling.costs(small, repeats, quick)
    figure = scaling.drawn(found["costs"], "digits MLP 64-64-10, stacked", before)
    figure.savefig(out / "benchmark_costs.png", dpi=150)
    parts: dict[str, list[Callable[[], list[dict[str, Any]]]]] = {
        "scoring": [partial(part, quick, repeats) for part in (planes, lines, paths, layers)],
        "peers": [partial(peers.planes, middle, 5 if quick else 25, repeats)],
        "training": [partial(trained, case, quick, repeats, peak) for case in cases(quick)],
    }
    if quick:  # that the comparison on a GPU runs
        tiny = pictures((3, 32, 32), 64, 32)
        parts["devices"] = [partial(devices.rows, tiny, "cpu", quick)]
    for name, makers in parts.items():
        found[name] = []
        for make in makers:
            rows = make()
            found[name] += rows
            show(rows)
            found |= {"load_after": load(), "seconds": round(time.monotonic() - began)}
            folders.write_json(out / "benchmark.json", found)


def on_device(device: str, quick: bool, out: Path) -> None:
    """Compare on a GPU; write benchmark_gpu.json."""
    data = pictures((3, 32, 32), 512, 256)
    found = {
        "quick": quick,
        "machine": machine(),
        "load_before": load(),
        "devices": devices.rows(data, device, quick),
    }
    folders.write_json(out / "benchmark_gpu.json", found)
    show(found["devices"])  # type: ignore[arg-type]


def machine() -> dict[str, Any]:
    """Describe what computes.

    Returns:
        Facts by name.
    """
    return {
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "processor_time_counts_workers": counts_workers(),
    }


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        short = {key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()}
        print(short, flush=True)


def trained(case: Case, quick: bool, repeats: int, peak: float) -> list[dict[str, Any]]:
    """Time retraining in the plain loop, and by the library in one process and in two."""
    task, seeds = case.task, list(range(case.jumps))
    states = np.stack([task.initial(seed) for seed in seeds])
    two = replace(QUIET, n_jobs=2)
    spread(time.sleep, [(0.1,), (0.1,)], two)
    sides: Sides = {
        "plain": lambda: plain.retrain(task, case.recipe, states, seeds),
        "one": lambda: jr.train(task, case.recipe, seeds, states, execution=QUIET),
        "two": lambda: jr.train(task, case.recipe, seeds, states, execution=two),
    }
    timing = in_turn(sides, repeats)
    one, two_processes = (timing.ratios("plain", name) for name in ("one", "two"))
    work, results = operations(case), timing.results
    row = {
        "work": f"{case.name}, {case.jumps} jumps, {case.epochs} epochs",
        "execution": results["one"].provenance["execution"],
        "wall_ratio_one_process": one["wall"],
        "cpu_ratio_one_process": one["cpu"],
        "wall_ratio_two_processes": two_processes["wall"],
        "cpu_ratio_two_processes": two_processes["cpu"],
        "plain_seconds": statistics.median(timing.wall["plain"]),
        "share_of_peak_plain": work / statistics.median(timing.cpu["plain"]) / peak,
        "share_of_peak_one_process": work / statistics.median(timing.cpu["one"]) / peak,
        "loss_plain": float(results["plain"][:, -1, -4].mean()),
        "loss": float(results["one"].metrics["train_loss"][:, -1].mean()),
        "loss_of_executions": executed(case, quick, states, results["plain"][:FEW, -1, -4]),
    }
    return [row]


def executed(
    case: Case, quick: bool, states: NDArray[Any], losses: NDArray[Any]
) -> dict[str, Any]:
    """Train a few jumps in each execution, to compare their losses with the plain loop's.

    In small, convolutions are not compiled: that takes a minute.

    Returns:
        Mean losses, and the largest difference of a single jump's; for each execution what was
        really run.
    """
    found: dict[str, Any] = {"jumps": len(losses), "plain": float(losses.mean())}
    for mode in MODES[: 2 if quick and case.task.convolutional else 3]:
        execution = replace(QUIET, mode=mode)
        seeds = range(len(losses))
        runs = jr.train(case.task, case.recipe, seeds, states[seeds], execution=execution)
        own = runs.metrics["train_loss"][:, -1]
        found[mode] = {
            "loss": float(own.mean()),
            "largest_difference": float(np.abs(own - losses).max()),
            "execution": runs.provenance["execution"],
        }
    return found


def planes(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Time a loss plane against bare passes with their loss."""
    size, task = (5 if quick else 25), mlp(jr.data.digits(), (128, 128))
    states = [task.initial(seed) for seed in range(3)]
    sides: Sides = {
        "plain": lambda: plain.passes(task, size**2),
        "one": lambda: jr.plane_through(task, states, size=size, execution=QUIET),
    }
    over = in_turn(sides, repeats).ratios("one", "plain")
    return [{"work": f"{size} x {size} plane of a digits MLP against as many bare passes",
             "cpu_over_bare": over["cpu"], "wall_over_bare": over["wall"]}]  # fmt: skip


def lines(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Time straight paths of digits MLPs against bare passes with their loss."""
    rows, alphas = [], (5 if quick else 51)
    for hidden in ((64,), (128, 128), (100,) * 4):
        task = mlp(jr.data.digits(), hidden)
        ends = task.initial(0), task.initial(1)
        sides: Sides = {
            "plain": partial(plain.passes, task, alphas),
            "one": partial(jr.interpolate, task, *ends, alphas, execution=QUIET),
        }
        over = in_turn(sides, repeats).ratios("one", "plain")
        name = "-".join(map(str, (64, *hidden, 10)))
        rows.append({"work": f"{alphas} alphas of MLP {name} against as many bare passes",
                     "cpu_over_bare": over["cpu"], "wall_over_bare": over["wall"]})  # fmt: skip
    return rows


def paths(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Time straight paths against load_state_dict for each alpha."""
    task = mlp(pictures((1, 28, 28), 500 if quick else 2000, 500), (256,))
    return [path("784-256-10", task, 51, "", repeats)]


def layers(quick: bool, repeats: int) -> list[dict[str, Any]]:
    """Time paths on which only the last layer moves, for an MLP and for LeNet."""
    images = pictures((1, 28, 28), 200 if quick else 1000, 100 if quick else 300)
    lenet = jr.Task(partial(jr.models.lenet, (1, 28, 28), 10), images)
    dense, alphas = mlp(jr.data.digits(), (128, 128)), 5 if quick else 51
    return [
        path("the last layer of MLP 64-128-128-10", dense, alphas, "5", repeats),
        path("the last layer of LeNet 28x28", lenet, alphas, "11", repeats),
    ]


def path(what: str, task: jr.Task, alphas: int, select: str, repeats: int) -> dict[str, Any]:
    ends = task.initial(0), task.initial(1)
    sides: Sides = {
        "plain": lambda: plain.interpolate(task, *ends, alphas, select),
        "one": lambda: jr.interpolate(task, *ends, alphas, select=select or None, execution=QUIET),
    }
    timing = in_turn(sides, repeats)
    ratios, results = timing.ratios("plain", "one"), timing.results
    apart = np.abs(results["one"].metrics["train_loss"] - results["plain"]).max()
    return {
        "work": f"{alphas} alphas of {what}",
        "cpu_ratio": ratios["cpu"],
        "wall_ratio": ratios["wall"],
        "largest_difference": float(apart),
    }


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
