"""Time several ways of doing the same work, in turn, with the processor time of all processes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Sides = dict[str, Callable[[], Any]]
Seconds = dict[str, list[float]]


@dataclass(frozen=True)
class Timing:
    """Seconds and results of each side.

    Attributes:
        wall: Seconds on the clock, one for each repeat.
        cpu: Processor seconds of this process and of its workers; of this process alone where
            psutil is not installed.
        results: What each side returned last.
    """

    wall: Seconds
    cpu: Seconds
    results: dict[str, Any]

    def ratios(self, above: str, below: str) -> dict[str, float]:
        """Compare two sides, repeat by repeat.

        Returns:
            How many times as long one takes as the other: medians by clock and by processor.
        """
        return {"wall": _ratio(self.wall, above, below), "cpu": _ratio(self.cpu, above, below)}


def in_turn(sides: Sides, repeats: int, device: str = "cpu") -> Timing:
    """Call each side in turn, in the other order every other time, after one call unmeasured.

    Returns:
        The seconds and the last results.
    """
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
    """Add up the processor time of this process and of its living workers.

    Returns:
        Seconds.
    """
    spent = time.process_time()
    try:
        import psutil
    except ImportError:
        return spent
    for worker in psutil.Process().children(recursive=True):
        try:
            times = worker.cpu_times()
        except psutil.Error:  # it ended in between
            continue
        spent += times.user + times.system
    return spent


def counts_workers() -> bool:
    """Tell whether the processor time of workers can be seen.

    Returns:
        Whether psutil is installed.
    """
    try:
        import psutil  # noqa: F401
    except ImportError:
        return False
    return True


def load() -> list[float]:
    """Read how busy the machine is.

    Returns:
        Mean number of waiting processes over 1, 5 and 15 minutes.
    """
    return [round(value, 2) for value in os.getloadavg()]


def _ratio(seconds: Seconds, above: str, below: str) -> float:
    pairs = zip(seconds[above], seconds[below], strict=True)
    return statistics.median(a / b for a, b in pairs)
