"""What retraining does after jumps and without one, for the figure on step size 0."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from evidence.cells import kept
from papers.horoi.landscapes import Network

from jumpretrain import Trajectories, embed, geometry, sublevel
from jumpretrain.topology.homology import transform

NEIGHBOURS = 20
MEASURES = {
    "movement": "start to end (share of the optimum's norm)",
    "rise": "largest rise of the test loss (nats)",
    "turning": "mean angle between epochs' steps (rad)",
    "persistence": "finite total persistence of the test loss (nats²)",
    "rank_persistence": "finite total persistence (ranks from 0 to 1)",
}
Row = dict[str, Any]


def measured(network: Network, path: Path) -> tuple[list[Row], Row]:
    """Measure one network, or read what was kept of the same.

    Returns:
        A row for each step size, over runs, and one on where the jumps' runs end.
    """
    sampled = network.trajectories.provenance
    of = NEIGHBOURS, list(MEASURES), sampled["optimum"], sampled["recipe"]
    sizes, ends = kept(path, of, partial(_measured, network))
    return sizes, ends


def _measured(network: Network) -> tuple[list[Row], Row]:
    trajectories = network.trajectories
    whole = trajectories.select(runs=trajectories.status == "ok")
    name = {"group": network.group, "seed": network.seed}
    sizes = [
        name | {"step_size": float(size)} | described(whole.select(whole.step_size == size))
        for size in np.unique(whole.step_size)
    ]
    return sizes, name | attraction(whole)


def described(runs: Trajectories) -> dict[str, float]:
    """Describe the runs of one step size, 0 or not, by the same measures."""
    optimum = np.linalg.norm(runs.optimum[: runs.weight_count].astype(np.float64))
    every = geometry.moves(runs)
    steps = every[:, 1:, 1:]
    chord = np.sqrt(np.maximum(steps.sum(axis=(1, 2)), 0))
    path = np.sqrt(np.diagonal(steps, axis1=1, axis2=2)).sum(axis=1)
    whole = np.flatnonzero(np.abs(runs.epoch - np.round(runs.epoch)) < 1e-9)
    values = runs.values("test_loss")
    graph = embed(runs).graph(NEIGHBOURS)
    plain, ranked = (
        sublevel(transform(values, scale), graph, maxdim=0).total_persistence(0, p)
        for scale, p in (("raw", 2), ("rank", 1))
    )
    return {
        "movement": float(chord.mean() / optimum),
        "path": float(path.mean() / optimum),
        "turning": float(geometry.turning(geometry.moves(runs.select(times=whole))).mean()),
        "rise": float(values.max() - runs.optimum_metrics["test_loss"]),
        "persistence": plain,
        "rank_persistence": ranked,
    }


def attraction(runs: Trajectories) -> dict[str, float]:
    """Measure where the jumps' runs end, from the optimum and from where the control stands.

    The control is the run of step size 0 that saw the data in the jumps' order.
    """
    jumps = runs.jumps()
    same = (runs.step_size == 0) & (runs.order_seed == jumps.order_seed[0])
    control = np.asarray(runs.select(same).weights[0], dtype=np.float64)
    optimum = jumps.optimum[: jumps.weight_count].astype(np.float64)
    weights = np.asarray(jumps.weights, dtype=np.float64)
    moved = weights - (control - optimum)
    corrected = replace(jumps, states=moved, optimum=optimum, weight_count=len(optimum))
    whole = np.flatnonzero(np.abs(runs.epoch - np.round(runs.epoch)) < 1e-9)
    found = {}
    for kind, which in (("plain", jumps), ("corrected", corrected)):
        found[f"final_{kind}"] = float(geometry.distance(geometry.moves(which))[:, -1].mean())
        steps = geometry.moves(which.select(times=whole))
        found[f"outward_{kind}"] = float(geometry.outward_fraction(steps).mean())
    ends, drift = weights[:, -1] - weights[:, 0], control[-1] - control[0]
    cosines = ends @ drift / (np.linalg.norm(ends, axis=1) * np.linalg.norm(drift))
    return found | {"cosine": float(cosines.mean())}
