"""Time several ways of doing the same work, in turn, with the processor time of all processes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

try:
    import psutil
except ImportError:  # the processor time of workers cannot be seen
    psutil = None

Sides = dict[str, Callable[[], Any]]
Seconds = dict[str, list[float]]


@dataclass(frozen=True)
class Timing:
    """Seconds of each side by clock and by processor, one a repeat, and what it returned last."""

    wall: Seconds
    cpu: Seconds
    results: dict[str, Any]

    def ratios(self, above: str, below: str, words: str) -> dict[str, float]:
        """Say how many times as long one side takes, by processor and clock: medians."""
        return {
            f"{clock}_{words}": float(np.median(np.divide(seconds[above], seconds[below])))
            for clock, seconds in (("cpu", self.cpu), ("wall", self.wall))
        }


def in_turn(sides: Sides, repeats: int, device: str = "cpu") -> Timing:
    """Call each side in turn, in the other order every other time, after one call unmeasured."""
    wall: Seconds = {name: [] for name in sides}
    cpu: Seconds = {name: [] for name in sides}
    results = {name: call() for name, call in sides.items()}
    for turn in range(repeats):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            settle(device)
            began, before = time.perf_counter(), processor_seconds()
            results[name] = sides[name]()
            settle(device)
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(processor_seconds() - before)
    return Timing(wall, cpu, results)


def settle(device: str) -> None:
    """Wait until a GPU has done what it was told."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def processor_seconds() -> float:
    """Add up the processor time of this process and, with psutil, of its living workers."""
    spent = time.process_time()
    for worker in psutil.Process().children(recursive=True) if psutil else ():
        try:
            times = worker.cpu_times()
        except psutil.Error:  # it ended in between
            continue
        spent += times.user + times.system
    return spent


def load() -> list[float]:
    """Read how many processes wait, on average over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]
