"""The loss on straight segments between states, looked at where asked for, each place once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.engine.evaluate import measure, metric_names
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.storage import files, folders, manifests
from jumpretrain.tasks.task import Task, digest
from jumpretrain.topology.minimax import Begin, Measuring, Probe

__all__ = ["Segments", "climb", "climbing", "inner_shares"]

UNIT = 16
"""States that are scored by one call: so many whatever the number of processes."""
ENTRIES = 2**25
"""Entries of states that are held at once for scoring, about."""
SECONDS = 10
"""How often what was measured is written."""


def inner_shares(count: int) -> list[float]:
    """Spread shares evenly within (0, 1), the middle first and then ever finer.

    Returns:
        The shares, in the order of van der Corput.

    Example:
        >>> inner_shares(7)
        [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]
    """
    bits = count.bit_length()
    turned = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1, 2**bits))
    return [number / (count + 1) for number in turned if number <= count]


def climb(
    ends: tuple[float, float], shares: Sequence[float], tolerance: float, least: float
) -> Measuring:
    """Look for the highest point of a segment: at some shares, then ever closer to the highest.

    Between two points that lie beside the highest one, a concave curve rises above it by no more
    than the larger of its drops to them (derived). Looking ends when that is no more than a share
    of the height above the ends, or than the least height that matters. Beside an end that is the
    highest point it looks once.

    Args:
        ends: Heights of the two ends.
        shares: Where to look first.
        tolerance: The share.
        least: The least height that matters.

    Yields:
        Where to look next; what was found there is sent in.

    Returns:
        By how much a concave curve could be higher than what was found.
    """
    known = {0.0: ends[0], 1.0: ends[1]}
    for share in shares:
        known[share] = yield share
    looked = False
    while True:
        top, near, drop = _summit(known)
        over = drop <= max(tolerance * (top - max(ends)), least) and (looked or len(near) == 2)
        if np.isinf(top) or over or near[0] in known:
            return 0.0 if np.isinf(top) else drop
        for share in near:
            known[share] = yield share
        looked = True


def _summit(known: Mapping[float, float]) -> tuple[float, list[float], float]:
    """Find the highest point.

    Returns:
        Its height, the middles of the intervals beside it, and the larger drop across these; for
        an end 0.
    """
    shares = sorted(known)
    place = max(range(len(shares)), key=lambda place: known[shares[place]])
    beside = [shares[k] for k in (place - 1, place + 1) if 0 <= k < len(shares)]
    top = known[shares[place]]
    drop = max(top - known[share] for share in beside) if len(beside) == 2 else 0.0
    middles = [float(np.float32((shares[place] + share) / 2)) for share in beside]
    return top, middles, drop


def climbing(values: NDArray[np.float64], alphas: int, tolerance: float, least: float) -> Begin:
    """Say how all edges between states are measured.

    Args:
        values: The heights of the states (N,).
        alphas: How many inner points are looked at first.
        tolerance: As for `climb`.
        least: As for `climb`.

    Returns:
        A function that begins to measure the edge of two states.
    """
    shares = inner_shares(alphas)

    def begin(one: int, other: int) -> Measuring:
        return climb((float(values[one]), float(values[other])), shares, tolerance, least)

    return begin


class Segments:
    """What is known of the segments between states.

    With a folder it survives: what was looked at, with any metric, is never looked at again.

    Attributes:
        evaluations: How many points were scored here, beside those found in the folder.
    """

    def __init__(
        self,
        task: Task,
        states: NDArray[Any],
        metric: str,
        folder: Path | None,
        execution: Execution,
    ) -> None:
        self.task, self.states, self.metric = task, states, metric
        self.folder, self.execution = folder, execution
        self.known: dict[Probe, tuple[float, ...]] = {}  # all metrics, whichever is asked for
        self.evaluations, self._written, self._kept = 0, time.monotonic(), 0
        if folder is not None:
            self._open(folder)

    def look(self, probes: Sequence[Probe]) -> NDArray[np.float64]:
        """Find the metric at points of segments.

        Returns:
            One value a point.
        """
        new = [probe for probe in dict.fromkeys(probes) if probe not in self.known]
        block = UNIT * max(1, ENTRIES // (UNIT * self.states.shape[1]))
        for start in range(0, len(new), block):
            some = new[start : start + block]
            self.known.update(zip(some, self._scores(self._points(some)), strict=True))
            self.evaluations += len(some)
        if new and time.monotonic() - self._written > SECONDS:
            self.keep()
        column = metric_names(self.task).index(self.metric)
        return np.array([self.known[probe][column] for probe in probes])

    def values(self) -> NDArray[np.float64]:
        """Find the metric at the states themselves.

        Returns:
            One value a state (N,).
        """
        return self.look([Probe(row, row, 0.0) for row in range(len(self.states))])

    def _points(self, probes: Sequence[Probe]) -> NDArray[Any]:
        one, other, share = (np.array(column) for column in zip(*probes, strict=True))
        share = share[:, None].astype(self.states.dtype)
        return np.asarray((1 - share) * self.states[one] + share * self.states[other])

    def _scores(self, points: NDArray[Any]) -> Iterator[tuple[float, ...]]:
        jobs = [(self.task, points[k : k + UNIT]) for k in range(0, len(points), UNIT)]
        for found in spread(measure, jobs, self.execution):
            yield from zip(*(found[n].tolist() for n in metric_names(self.task)), strict=True)

    def _open(self, folder: Path) -> None:
        design = {"task": self.task.fingerprint, "states": digest(self.states)}
        manifests.claim(folder / "saddles.json", design)
        if files.exists(self._file):
            arrays, facts = folders.read_arrays(self._file)
            manifests.owner_of(folder / "saddles.json").match(self._file, facts.get("owner"))
            ends, shares, values = arrays["ends"], arrays["shares"], arrays["values"]
            probes = map(Probe, *ends.T.tolist(), shares.tolist())
            self.known = dict(zip(probes, map(tuple, values.tolist()), strict=True))
            self._kept = len(self.known)

    @property
    def _file(self) -> Path:
        assert self.folder is not None
        return self.folder / "segments.safetensors"

    def keep(self) -> None:
        """Write what is known into the folder, if there is one that lacks some of it."""
        self._written = time.monotonic()
        if self.folder is not None and len(self.known) > self._kept:
            probes = list(self.known)
            content = {
                "ends": np.array([probe[:2] for probe in probes]),
                "shares": np.array([probe.share for probe in probes]),
                "values": np.array(list(self.known.values())),
            }
            owner = manifests.owner_of(self.folder / "saddles.json").design
            folders.write_arrays(self._file, content, {"owner": owner})
            self._kept = len(probes)
