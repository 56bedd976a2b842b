"""Convolutional networks on a little of CIFAR-10 in the conditions of arXiv:2102.00485, 4.1.

Weight decay x augmentation x batch size on true labels, and three shares of redrawn ones. All are
jumped from and retrained by one recipe, on the images as they are, so that what is measured tells
of the landscape and not of the protocol. The filtration is the training loss, where the paper's is
the test loss: what shall tell the test loss may not be made of it.
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import QUIET, spread_kept, trained
from evidence.figure import Flags, device
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.curvature.hessian import hessian_product

FILTER = "train_loss"
RADIUS = 0.1
MEASURES = {  # what each predictor is, and the column of `describe` that has it
    "persistence": ("finite persistence", "sublevel_values_h0_total_persistence_p2"),
    "rank_persistence": ("finite persistence of ranks", "sublevel_ranks_h0_total_persistence_p2"),
    "range_squared": ("squared range of the loss", "loss_range_squared"),
    "sharpness": (f"sharpness: rise at {RADIUS:g} filter norms", ""),
    "trace": ("sharpness: trace of the Hessian", ""),
    "train_loss": ("training loss of the optimum", ""),
    "norm": ("norm of the weights", ""),
    "overshoot": ("overshoot", "weights_overshoot"),
    "outward": ("share of outward steps", "weights_outward_steps"),
    "final_distance": ("final distance", "weights_final_distance"),
    "sideways": ("sideways motion", "weights_sideways_distance"),
    "turning": ("turning angle", "weights_turning_angle"),
}
PREDICTORS = {name: words for name, (words, _) in MEASURES.items()}
STATISTICS = {
    "released": "released_h0_total_persistence_p2",
    "recovered": "share_of_runs_recovered",
    **{name: statistic for name, (_, statistic) in MEASURES.items() if statistic},
}


@dataclass(frozen=True)
class Plan:
    """How networks are trained and sampled: the full form, or the quick one.

    Without channels of convolutions it is an MLP on digits. Each batch size has its learning rate,
    which falls to 0 by a cosine; shares of labels are redrawn without decay and augmentation, in
    the smaller batches. Jumps are retrained by a common recipe. Sharpness is averaged over `rays`
    directions, the trace over `draws` random vectors.
    """

    sizes: tuple[int, int]
    channels: tuple[int, ...]
    seeds: int
    decays: tuple[float, ...]
    augmented: tuple[bool, ...]
    rates: tuple[tuple[int, float], ...]
    shares: tuple[float, ...]
    epochs: int
    retraining: jr.Recipe
    step_sizes: tuple[float, ...]
    directions: int
    rays: int = 16
    draws: int = 8


FULL = Plan(
    sizes=(500, 2000), channels=(8, 16, 16), seeds=5,
    decays=(0.0, 1e-3, 5e-3), augmented=(False, True), rates=((32, 0.05), (128, 0.1)),
    shares=(0.25, 0.5, 1.0), epochs=100,
    retraining=jr.Recipe(epochs=8, lr=0.02, record_early=False),
    step_sizes=(0.25, 0.5, 1.0), directions=4,
)  # fmt: skip
QUICK = Plan(
    sizes=(96, 300), channels=(), seeds=3,
    decays=(0.0, 1e-2), augmented=(False,), rates=((16, 0.1), (32, 0.2)),
    shares=(1.0,), epochs=20,
    retraining=jr.Recipe(epochs=6, lr=0.3, batch_size=16, record_early=False),
    step_sizes=(0.25, 1.0), directions=3, rays=2, draws=2,
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A condition of training and a seed."""

    weight_decay: float
    augmented: bool
    batch_size: int
    share: float
    seed: int

    @property
    def condition(self) -> str:
        """All but the seed, in words."""
        if self.share:
            return f"{self.share:.0%} of labels redrawn"
        crops = "crops" if self.augmented else "plain"
        return f"decay {self.weight_decay:g}, {crops}, batch {self.batch_size}"


def cells(chosen: Plan) -> list[Cell]:
    """List the networks, condition by condition, true labels first."""
    batches, seeds = [size for size, _ in chosen.rates], range(chosen.seeds)
    true = product(chosen.decays, chosen.augmented, batches, (0.0,), seeds)
    redrawn = product((0.0,), (False,), batches[:1], chosen.shares, seeds)
    return [Cell(*row) for row in (*true, *redrawn)]


def table(asked: Flags, chosen: Plan) -> pd.DataFrame:
    """Give a row a network: its cell, how good its optimum is, and the predictors."""
    data, networks, jobs = images(chosen), cells(chosen), []
    alone = replace(chosen, seeds=0, decays=(), augmented=(), shares=())  # what one depends on
    for cell in networks:
        name = "-".join(f"{part:g}" for part in vars(cell).values())
        jobs.append((name, (alone, cell), chosen, data, cell, name))
    found = pd.DataFrame(spread_kept(asked, measured, jobs, f"{len(jobs)} networks"))
    named = [vars(cell) | {"condition": cell.condition} for cell in networks]
    return pd.DataFrame(named).join(found)


def images(chosen: Plan) -> jr.Dataset:
    """Draw images of CIFAR-10, means of 2x2 pixels; digits for the MLP."""
    if not chosen.channels:
        return jr.data.digits().subset(*chosen.sizes)
    data = jr.data.load("cifar10").subset(*chosen.sizes)
    train, test = (
        x.reshape(len(x), 3, 16, 2, 16, 2).mean((3, 5), dtype=np.float32)
        for x in (data.train_x, data.test_x)
    )
    return replace(data, train_x=train, test_x=test, history=(*data.history, "2x2 means"))


def measured(
    asked: Flags, chosen: Plan, data: jr.Dataset, cell: Cell, name: str
) -> dict[str, float]:
    """Train a network, jump from it and retrain, and measure what may tell how it generalises."""
    labelled = data.corrupt(cell.share, cell.seed) if cell.share else data
    shown = labelled.augment(crop=2) if cell.augmented else labelled
    how = {"weight_decay": cell.weight_decay, "schedule": "cosine"}
    rate = dict(chosen.rates)[cell.batch_size]
    training = fort.recipe(chosen.epochs, rate, cell.batch_size, "sgd", **how)
    runs = trained(asked, name, task(chosen, shown), training, [cell.seed], jobs=1)
    # Jumps are scored on training images; a few test images keep that cheap.
    plain, optimum = task(chosen, labelled.subset(test=10)), runs.final[0]
    jump = partial(jr.sample, plain, optimum, chosen.retraining, execution=QUIET)
    sampled = jump(step_sizes=chosen.step_sizes, directions=chosen.directions)
    still = jump(step_sizes=(0.0,), directions=1)
    near = jr.rays(plain, optimum, chosen.rays, (RADIUS,), execution=QUIET)
    described = jr.describe(sampled, metric=FILTER)
    loss = sampled.optimum_metrics[FILTER]
    return {
        "test_loss": float(runs.metrics["test_loss"][0, -1]),
        "test_error": 1 - float(runs.metrics["test_accuracy"][0, -1]),
        "train_loss": loss,
        "train_accuracy": sampled.optimum_metrics["train_accuracy"],
        "loss_after_retraining": float(still.metrics[FILTER][0, -1]),
        **{short: described[long] for short, long in STATISTICS.items()},
        "sharpness": float(near.metrics[FILTER].mean()) - loss,
        "trace": trace(plain, optimum, chosen.draws),
        "norm": float(np.linalg.norm(optimum.astype(np.float64))),
    }


def task(chosen: Plan, data: jr.Dataset) -> jr.Task:
    build = partial(jr.models.mlp, hidden=(32,))
    if chosen.channels:
        build = partial(jr.models.simple_cnn, channels=chosen.channels)
    return jr.Task(partial(build, data.train_x.shape[1:], 10), data, device=device())


def trace(task: jr.Task, optimum: Any, draws: int) -> float:
    """Estimate the trace of the Hessian of the training loss by Hutchinson's random signs."""
    product = hessian_product(task, optimum, "float32")
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(draws, task.weight_count))
    return float(np.mean([sign @ product(sign) for sign in signs]))
