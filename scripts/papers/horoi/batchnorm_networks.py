"""Networks with BatchNorm that are jumped from, scored in two ways, for the figure on them.

Stale: with the running statistics that a state holds, which a jump leaves as they were.
Recalibrated: with statistics re-estimated on the training examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from evidence.cells import QUIET, kept
from evidence.figure import Flags, device
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr

SHARES = {"good": 0.0, "half": 0.5, "memorise": 1.0}
ENDINGS = {"stale": "_stored", "recalibrated": ""}
Found = dict[str, Any]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes.

    Attributes:
        data: `digits` goes with an MLP, `fashion` with a wide ResNet; both have BatchNorm.
        sizes: Numbers of training and test examples.
        training: How networks are trained.
        retraining: How jumps are retrained.
        step_sizes: Lengths of the jumps, in filter norms.
        directions: Number of directions.
        seeds: Number of networks of each group.
    """

    data: Literal["digits", "fashion"]
    sizes: tuple[int, int]
    training: jr.Recipe
    retraining: jr.Recipe
    step_sizes: tuple[float, ...]
    directions: int
    seeds: int

    @property
    def network(self) -> str:
        """What the figure calls it."""
        return "MLP 64-32-10" if self.data == "digits" else "WRN-10-1"

    def task(self, group: str, seed: int) -> jr.Task:
        """Build the task of one network."""
        digits = self.data == "digits"
        data = jr.data.digits().subset(*self.sizes) if digits else fort.fashion(*self.sizes)
        shape = data.train_x.shape[1:]
        build: Callable[[], Any] = (
            partial(jr.models.mlp, shape, 10, hidden=(32,), batchnorm=True)
            if digits
            else partial(jr.models.wide_resnet, shape, 10, depth=10, width=1)
        )
        labelled = data.corrupt(SHARES[group], seed) if SHARES[group] else data
        return jr.Task(build, labelled, device=device())


def measured(asked: Flags, plan: Plan, group: str, seed: int) -> Found:
    """Train one network, jump from it and retrain, or read what was kept."""
    path = asked.work / f"{group}-{seed}.json"
    of = plan.task(group, seed).fingerprint, plan
    found: Found = kept(path, of, partial(_measured, plan, group, seed))
    return found


def _measured(plan: Plan, group: str, seed: int) -> Found:
    task = plan.task(group, seed)
    optimum = jr.train(task, plan.training, [seed], execution=QUIET).final[0]
    jumps = jr.sample(
        task, optimum, plan.retraining, plan.step_sizes, plan.directions, execution=QUIET
    )
    batches = plan.retraining.batches(plan.sizes[0])
    return {
        "group": group,
        "seed": seed,
        "optimum": dict(jumps.optimum_metrics),
        "steps": plan.retraining.record_steps(batches).tolist(),
        "epoch": jumps.epoch.tolist(),
        "step_size": jumps.step_size.tolist(),
        "status": jumps.status.tolist(),
        "metrics": {name: value.tolist() for name, value in jumps.metrics.items()},
    }


def losses(one: Found, kind: str, split: str = "test") -> Values:
    """Give the loss of all jumps and snapshots (R, T) of one network."""
    return np.array(one["metrics"][f"{split}_loss{ENDINGS[kind]}"])


def largest(one: Found, kind: str, split: str = "test") -> float:
    """Give the largest loss of a network's jumps, before any retraining."""
    return float(losses(one, kind, split)[:, 0].max())


def at_jump(one: Found, kind: str) -> bool:
    """Tell whether no later snapshot has a larger test loss than the jumps."""
    return largest(one, kind) == losses(one, kind).max()


def gap(found: list[Found], poor: str, kind: str, split: str = "test") -> Values:
    """Compare groups, seed by seed: log ratio of the largest losses, poor over good."""
    logs = {
        group: np.log([largest(one, kind, split) for one in found if one["group"] == group])
        for group in ("good", poor)
    }
    return np.asarray(logs[poor] - logs["good"])


def closed(found: list[Found], poor: str) -> Values:
    """Measure by how much recalibration lowers the poor group against the good, seed by seed.

    Unlike `shrunk` it keeps the sign of the gap, so a gap that changes sides counts as one.
    """
    return gap(found, poor, "stale") - gap(found, poor, "recalibrated")


def shrunk(found: list[Found], poor: str, split: str = "test") -> Values:
    """Measure by how much recalibration brings the groups together, seed by seed."""
    stale, recalibrated = (np.abs(gap(found, poor, kind, split)) for kind in ENDINGS)
    return np.asarray(stale - recalibrated)


def stale_share(one: Found, split: str = "train") -> float:
    """Give the share of a jump's rise of the loss that recalibration takes away.

    Jumps are those of the largest step size; rises are averaged over directions first.
    """
    sizes = np.array(one["step_size"])
    rise = {
        kind: losses(one, kind, split)[sizes == sizes.max(), 0].mean()
        - one["optimum"][f"{split}_loss{ending}"]
        for kind, ending in ENDINGS.items()
    }
    return float(1 - rise["recalibrated"] / rise["stale"])


def apart(one: Found) -> Values:
    """Measure how far both evaluations are apart after each step: |log ratio|, mean over runs."""
    stale, recalibrated = (losses(one, kind) for kind in ENDINGS)
    return np.asarray(np.abs(np.log(stale / recalibrated)).mean(axis=0))


def epoch_one(one: Found) -> int:
    return one["epoch"].index(1.0)
