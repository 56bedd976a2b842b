"""Train in cycles of the learning rate and compare what comes out, for the ensembles' figure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from evidence.cells import QUIET, kept, trained
from evidence.figure import Flags
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.ensembles.ensemble import Ensemble, probabilities
from jumpretrain.ensembles.subspaces import draw_diagonal, draw_principal, draw_uniform

LAWS = ("uniform", "diagonal", "principal")
RADIUS, RANK, LOST = 0.3, 5, 0.05  # of the norm; components; accuracy that a draw may lose
Found = dict[str, Any]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes.

    Attributes:
        data: `digits` goes with an MLP, `fashion` with the paper's CNN.
        sizes: Numbers of training and test examples.
        training: How networks are trained first, each epoch recorded.
        begin: The epoch from which cycles go on.
        late: Number of epochs at the end that span the subspaces.
        cycle: A cycle; its rate is replaced.
        rates: Maximal rates.
        count: Number of cycles.
        seeds: Number of networks.
        draws: Number of networks drawn from each subspace.
    """

    data: Literal["digits", "fashion"]
    sizes: tuple[int, int]
    training: jr.Recipe
    begin: int
    late: int
    cycle: jr.Recipe
    rates: tuple[float, ...]
    count: int
    seeds: int
    draws: int

    @property
    def name(self) -> str:
        """What the figure calls it."""
        return "digits MLP" if self.data == "digits" else "Fashion-MNIST CNN"

    def task(self) -> jr.Task:
        """Build the task."""
        if self.data == "digits":
            return fort.mlp(jr.data.digits().subset(*self.sizes), (16,))
        return fort.cnn(fort.fashion(*self.sizes))


def start(asked: Flags, plan: Plan, task: jr.Task, seed: int) -> NDArray[Any]:
    """Train one network.

    Returns:
        The states after each epoch (epochs + 1, S).
    """
    states = trained(asked, f"start-{seed}", task, plan.training, [seed], jobs=1).states
    return np.asarray(states[0, : plan.training.epochs + 1])


def independent(asked: Flags, plan: Plan) -> list[Found]:
    """Compare each network, trained to the end, with those of other seeds."""
    task = plan.task()
    ends = np.stack([start(asked, plan, task, seed)[-1] for seed in range(plan.seeds)])
    together = jr.ensemble(task, ends, execution=QUIET)
    accuracy, shares = together.members["test_accuracy"], normalised(together)
    others = ~np.eye(plan.seeds, dtype=bool)
    return [
        {"accuracy": float(accuracy[row].mean()), "diversity": float(share[row].mean())}
        for share, row in zip(shares, others, strict=True)
    ]


def normalised(together: Ensemble) -> Values:
    """Divide how often labels differ by the mean error rate of the two networks."""
    errors = 1 - together.members["test_accuracy"]
    return np.asarray(2 * together.disagreement / (errors[:, None] + errors))


def cycled(asked: Flags, plan: Plan, seed: int) -> Found:
    """Measure what comes out of one network, or read what was kept."""
    path = asked.work / f"seed-{seed}.json"
    found: Found = kept(path, replace(plan, seeds=0), partial(_cycled, asked, plan, seed))
    return found


def _cycled(asked: Flags, plan: Plan, seed: int) -> Found:
    task = plan.task()
    states = start(asked, plan, task, seed)
    rates = []
    for rate in plan.rates:
        runs = jr.cycles(
            task, replace(plan.cycle, lr=rate), [seed], plan.count, states[plan.begin][None],
            asked.work / f"cycles-{seed}-{rate:g}", QUIET,
        )  # fmt: skip
        rates.append(combined(task, np.stack([run.final[0] for run in runs])))
    return {"seed": seed, "rates": rates, "subspaces": subspaces(plan, task, states, seed)}


def combined(task: jr.Task, snapshots: NDArray[Any]) -> Found:
    """Average the first 1, 2, ... snapshots: their weights, their predictions."""
    whole = jr.ensemble(task, snapshots, execution=QUIET)
    counts = np.arange(1, len(snapshots) + 1)
    middles = np.cumsum(snapshots, axis=0, dtype=float) / counts[:, None]
    shares = np.cumsum(probabilities(task, snapshots, QUIET), axis=0)
    pairs = np.triu_indices(len(snapshots), 1)
    averaged = jr.evaluate(task, middles.astype(snapshots.dtype), execution=QUIET)
    return {
        "single": whole.members["test_accuracy"],
        "weights": averaged["test_accuracy"],
        "predictions": (shares.argmax(axis=2) == task.data.test_y).mean(axis=1),
        "angles": np.degrees(np.arccos(np.diag(whole.cosines, 1))),
        "changes": np.diag(whole.disagreement, 1),
        "diversity": float(normalised(whole)[pairs].mean()),
    }


def subspaces(plan: Plan, task: jr.Task, states: NDArray[Any], seed: int) -> Found:
    """Compare an optimum with random networks around it, but for those that lose accuracy."""
    optimum, late = states[-1], states[-plan.late :]
    radius = RADIUS * float(np.linalg.norm(optimum[: task.weight_count]))
    laws = {
        "uniform": draw_uniform(task, optimum, radius, plan.draws, seed),
        "diagonal": draw_diagonal(task, late, plan.draws, seed),
        "principal": draw_principal(task, late, plan.draws, RANK, seed),
    }
    found = {}
    for name, draws in laws.items():
        together = jr.ensemble(task, np.concatenate([optimum[None], draws]), execution=QUIET)
        accuracy = together.members["test_accuracy"]
        least = min(accuracy[0] - LOST, accuracy[1:].max())  # the best is kept anyway
        good = np.flatnonzero(accuracy[1:] >= least) + 1
        found[name] = {
            "kept": len(good),
            "accuracy": float(accuracy[good].mean()),
            "diversity": float(normalised(together)[0, good].mean()),
        }
    return found
