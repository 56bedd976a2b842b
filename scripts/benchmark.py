"""The library beside plain loops on the same work, in turn; ratios, since machines are noisy.

    .venv/bin/python scripts/benchmark.py            # benchmark.json and benchmark_costs.png
    .venv/bin/python scripts/benchmark.py --quick --out /tmp/figures
    .venv/bin/python scripts/benchmark.py --device cuda          # benchmark_gpu.json instead

The first takes some ten minutes on a quiet machine. Retraining takes one process with one thread
in the plain loop, and in the library once one and once two, after they have started. Images are
random where no data are needed to time. Other libraries are compared where they are installed:
see scripts/benchmarks/peers.py.
"""

import argparse
import platform
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from benchmarks import clocks, devices, peers, plain, scaling
from benchmarks.clocks import Sides, in_turn, load
from evidence.cells import QUIET
from evidence.figure import ROOT, compute_on
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.storage import folders

MODES: tuple[Literal["looped", "stacked", "compiled"], ...] = ("looped", "stacked", "compiled")
FEW = 4  # jumps with which the losses of all executions are compared
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Work that both sides do: runs that are scored before and after each epoch."""

    name: str
    task: jr.Task
    jumps: int
    recipe: jr.Recipe


def cases(quick: bool) -> list[Case]:
    small, large = pictures((1, 28, 28), 320, 160), pictures((3, 32, 32), 64, 32)
    lenet = jr.Task(partial(jr.models.lenet, (1, 28, 28), 10), small)
    resnet = jr.Task(partial(jr.models.resnet, (3, 32, 32), 10), large)
    recipe = jr.Recipe(epochs=2, lr=0.01, batch_size=64, record_early=False)
    once = replace(recipe, epochs=1)
    several = [
        *(Case(f"MLP {named(hidden)}", digits(*hidden), 64, recipe)
          for hidden in ((64,), (128, 128), (256, 256))),
        Case("LeNet 28x28", lenet, 16, recipe),
        Case("ResNet-8 32x32", resnet, 16, replace(once, batch_size=32)),
    ]  # fmt: skip
    return [replace(several[k], jumps=4, recipe=once) for k in (0, 3)] if quick else several


def mlp(data: jr.Dataset, *hidden: int) -> jr.Task:
    return jr.Task(partial(jr.models.mlp, data.train_x.shape[1:], 10, hidden=hidden), data)


def digits(*hidden: int) -> jr.Task:
    return mlp(jr.data.digits(), *hidden)


def named(hidden: tuple[int, ...]) -> str:
    return "-".join(map(str, (64, *hidden, 10)))


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
    compute_on(asked.device, asked.out)
    asked.out.mkdir(parents=True, exist_ok=True)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "processor_time_counts_workers": clocks.psutil is not None,
    }
    found = {"quick": asked.quick, "machine": machine, "load_before": load()}
    if asked.device == "cpu":
        on_processor(asked.quick, asked.out, found)
    else:
        data = pictures((3, 32, 32), 512, 256)
        found["devices"] = devices.rows(data, asked.device, asked.quick)
        folders.write_json(asked.out / "benchmark_gpu.json", found)
        show(found["devices"])


def on_processor(quick: bool, out: Path, found: Row) -> None:
    """Compare on the processor; write benchmark.json and benchmark_costs.png."""
    began, repeats, peak = time.monotonic(), (1 if quick else 3), matmul_peak()
    found["matmul_peak_gflops"] = peak / 1e9
    found["costs"] = scaling.costs(digits(64), repeats, quick)
    figure = scaling.drawn(found["costs"], "digits MLP 64-64-10, stacked", found["load_before"])
    figure.savefig(out / "benchmark_costs.png", dpi=150)
    parts: dict[str, list[Callable[[], list[Row]]]] = {
        "scoring": [partial(part, quick, repeats) for part in (planes, lines, paths)],
        "peers": [partial(peers.planes, digits(64, 64, 64), 5 if quick else 25, repeats)],
        "training": [partial(trained, case, quick, repeats, peak) for case in cases(quick)],
    }
    if quick:  # that the comparison on a GPU runs
        parts["devices"] = [partial(devices.rows, pictures((3, 32, 32), 64, 32), "cpu", quick)]
    for name, makers in parts.items():
        found[name] = []
        for make in makers:
            rows = make()
            found[name] += rows
            show(rows)
            found |= {"load_after": load(), "seconds": round(time.monotonic() - began)}
            folders.write_json(out / "benchmark.json", found)


def show(rows: list[Row]) -> None:
    for row in rows:
        short = {key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()}
        print(short, flush=True)


def trained(case: Case, quick: bool, repeats: int, peak: float) -> list[Row]:
    """Time retraining in the plain loop, and by the library in one process and in two."""
    task, seeds = case.task, range(case.jumps)
    states = np.stack([task.initial(seed) for seed in seeds])
    two = replace(QUIET, n_jobs=2)
    spread(time.sleep, [(0.1,), (0.1,)], two)
    library = partial(jr.train, task, case.recipe, seeds, states)
    sides: Sides = {
        "plain": partial(plain.retrain, task, case.recipe, states, seeds),
        "one": partial(library, execution=QUIET),
        "two": partial(library, execution=two),
    }
    timing = in_turn(sides, repeats)
    results, share = timing.results, operations(case) / peak
    losses = results["plain"][:, -1, -4]
    return [
        {
            "work": f"{case.name}, {case.jumps} jumps, {case.recipe.epochs} epochs",
            "execution": results["one"].provenance["execution"],
            **timing.ratios("plain", "one", "ratio_one_process"),
            **timing.ratios("plain", "two", "ratio_two_processes"),
            "plain_seconds": float(np.median(timing.wall["plain"])),
            "share_of_peak_plain": share / float(np.median(timing.cpu["plain"])),
            "share_of_peak_one_process": share / float(np.median(timing.cpu["one"])),
            "loss_plain": float(losses.mean()),
            "loss": float(results["one"].metrics["train_loss"][:, -1].mean()),
            "loss_of_executions": executed(case, quick, states[:FEW], losses[:FEW]),
        }
    ]


def executed(case: Case, quick: bool, states: NDArray[Any], losses: NDArray[Any]) -> Row:
    """Train a few jumps in each execution, to compare their losses with the plain loop's.

    In small, convolutions are not compiled: that takes a minute.
    """
    found: Row = {"jumps": len(losses), "plain": float(losses.mean())}
    for mode in MODES[: 2 if quick and case.task.convolutional else 3]:
        execution = replace(QUIET, mode=mode)
        runs = jr.train(case.task, case.recipe, range(FEW), states, execution=execution)
        own = runs.metrics["train_loss"][:, -1]
        found[mode] = {
            "loss": float(own.mean()),
            "largest_difference": float(np.abs(own - losses).max()),
            "execution": runs.provenance["execution"],
        }
    return found


def planes(quick: bool, repeats: int) -> list[Row]:
    size, task = (5 if quick else 25), digits(128, 128)
    ours = partial(jr.plane_through, task, [task.initial(seed) for seed in range(3)], size=size)
    return [bare(f"{size} x {size} plane of a digits MLP", ours, task, size**2, repeats)]


def lines(quick: bool, repeats: int) -> list[Row]:
    rows, alphas = [], (5 if quick else 51)
    for hidden in ((64,), (128, 128), (100,) * 4):
        task = digits(*hidden)
        ours = partial(jr.interpolate, task, task.initial(0), task.initial(1), alphas)
        rows.append(bare(f"{alphas} alphas of MLP {named(hidden)}", ours, task, alphas, repeats))
    return rows


def bare(what: str, ours: Callable[..., Any], task: jr.Task, count: int, repeats: int) -> Row:
    """Time a landscape against bare passes with their loss."""
    sides: Sides = {
        "plain": partial(plain.passes, task, count),
        "one": partial(ours, execution=QUIET),
    }
    ratios = in_turn(sides, repeats).ratios("one", "plain", "over_bare")
    return {"work": f"{what} against as many bare passes", **ratios}


def paths(quick: bool, repeats: int) -> list[Row]:
    """Time straight paths, of all layers and of the last, against load_state_dict."""
    alphas = 5 if quick else 51
    many = pictures((1, 28, 28), 500 if quick else 2000, 500)
    images = pictures((1, 28, 28), 200 if quick else 1000, 100 if quick else 300)
    lenet = jr.Task(partial(jr.models.lenet, (1, 28, 28), 10), images)
    return [
        path("784-256-10", mlp(many, 256), 51, "", repeats),
        path("the last layer of MLP 64-128-128-10", digits(128, 128), alphas, "5", repeats),
        path("the last layer of LeNet 28x28", lenet, alphas, "11", repeats),
    ]


def path(what: str, task: jr.Task, alphas: int, select: str, repeats: int) -> Row:
    how = task, task.initial(0), task.initial(1), alphas
    sides: Sides = {
        "plain": partial(plain.interpolate, *how, select),
        "one": partial(jr.interpolate, *how, select=select or None, execution=QUIET),
    }
    timing = in_turn(sides, repeats)
    apart = timing.results["one"].metrics["train_loss"] - timing.results["plain"]
    row = {"work": f"{alphas} alphas of {what}", "largest_difference": float(np.abs(apart).max())}
    return row | timing.ratios("plain", "one", "ratio")


def matmul_peak() -> float:
    """Measure operations a second of float32 products on one thread, the best of ten."""
    a = torch.rand(1024, 1024)
    return 2 * 1024**3 / min(timeit.repeat(partial(torch.mm, a, a), number=1, repeat=10))


def operations(case: Case) -> float:
    """Count floating-point operations of training (three forward passes) and of scoring."""
    module, x = case.task.module().eval(), case.task.tensors["train_x"][:8]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    forward = counter.get_total_flops() / len(x)
    train, test = len(case.task.data.train_x), len(case.task.data.test_x)
    epochs = case.recipe.epochs
    scores = (epochs + 1) * (min(train, case.task.scored) + test)
    return forward * case.jumps * (3 * epochs * train + scores)


if __name__ == "__main__":
    main()
