"""Networks over weight decay x data size x batch size x seed, each sampled in three ways.

The conditions of arXiv:2102.00485, section 4.1, at laptop size: digits, an MLP 64-64-10 and data
size in place of augmentation. Every network is retrained by one common recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from evidence.figure import Flags, device
from numpy.typing import NDArray

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.storage import folders

WEIGHT_DECAYS = (0.0, 1e-3, 1e-2)
DATA_SIZES = (1257, 200)
BATCH_SIZES = (16, 64, 256)
SEEDS = 5
RETRAINING = jr.Recipe(epochs=40, lr=0.01, record_early=False)
METRICS = ("train_loss", "train_accuracy")
QUIET = jr.Execution(progress=False)


@dataclass(frozen=True)
class Case:
    """One trained network and what was sampled around it.

    Attributes:
        weight_decay: Penalty in training.
        data_size: Number of training examples.
        batch_size: Examples a step in training.
        seed: Seed of weights, data and order.
        test_loss: Test loss of the optimum, in nats.
        test_accuracy: Test accuracy of the optimum.
        features: Log10 of the training loss, then accuracy, at the points of each sampler.
        statistics: What `describe` measured on the jumps.
    """

    weight_decay: float
    data_size: int
    batch_size: int
    seed: int
    test_loss: float
    test_accuracy: float
    features: dict[str, NDArray[np.float64]]
    statistics: dict[str, float]


def cases(asked: Flags) -> list[Case]:
    """Train, sample and describe all networks, or read what was kept.

    Returns:
        90 networks; 18 in quick form.
    """
    seeds = range(1 if asked.quick else SEEDS)
    design = list(product(WEIGHT_DECAYS, DATA_SIZES, BATCH_SIZES, seeds))
    folder = asked.work.parent / ("conditions-quick" if asked.quick else "conditions")
    jobs = [(folder / "-".join(f"{part:g}" for part in row), asked.quick, *row) for row in design]
    execution = jr.Execution(n_jobs=asked.jobs)
    return spread(_case, jobs, execution, f"{len(jobs)} networks")


def _case(
    folder: Path, quick: bool, weight_decay: float, data_size: int, batch_size: int, seed: int
) -> Case:
    kept = folder / "case.safetensors"
    if not kept.exists():
        _make(folder, quick, weight_decay, data_size, batch_size, seed)
    features, facts = folders.read_arrays(kept)
    return Case(weight_decay, data_size, batch_size, seed, features=features, **facts)


def _make(
    folder: Path, quick: bool, weight_decay: float, data_size: int, batch_size: int, seed: int
) -> None:
    data = jr.data.digits().subset(train=data_size, seed=seed)
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(64,)), data, device=device())
    recipe = jr.Recipe(
        epochs=20 if quick else 100,
        lr=0.05,
        weight_decay=weight_decay,
        batch_size=batch_size,
        record_every=0,
        record_early=False,
    )
    optimum = jr.train(task, recipe, [seed], execution=QUIET).final[0]
    retraining = jr.Recipe(epochs=10, lr=0.01, record_early=False) if quick else RETRAINING
    trajectories = jr.sample(task, optimum, retraining, folder=folder / "jumps", execution=QUIET)
    samples = {
        "jump and retrain": trajectories.jumps(),
        "rays": jr.rays(task, optimum, directions=8 if quick else 32, execution=QUIET),
        "grid": jr.grid(task, optimum, (4, 4, 10) if quick else (8, 8, 10), execution=QUIET),
    }
    facts = {
        "test_loss": trajectories.optimum_metrics["test_loss"],
        "test_accuracy": trajectories.optimum_metrics["test_accuracy"],
        "statistics": jr.describe(trajectories),
    }
    features = {name: _features(found) for name, found in samples.items()}
    folders.write_arrays(folder / "case.safetensors", features, facts)


def _features(found: jr.Trajectories) -> NDArray[np.float64]:
    """Use 40 snapshots a run at most, so that each sampler has the same number of points."""
    kept = found.select(times=slice(0, 40 if len(found.epoch) > 40 else len(found.epoch)))
    loss, accuracy = (kept.values(name) for name in METRICS)
    return np.r_[np.log10(loss + 1e-8), accuracy]
