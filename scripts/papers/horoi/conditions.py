"""Networks over weight decay x data size x batch size x seed, each sampled in three ways.

The conditions of arXiv:2102.00485, section 4.1, at laptop size: digits, an MLP 64-64-10 and data
size in place of augmentation. Every network is retrained by one common recipe.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import QUIET, each
from evidence.figure import Flags, device
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.storage import folders

WEIGHT_DECAYS = (0.0, 1e-3, 1e-2)
DATA_SIZES = (1257, 200)
BATCH_SIZES = (16, 64, 256)
SEEDS = 5
RETRAINING = jr.Recipe(epochs=40, lr=0.01, record_early=False)
METRICS = ("train_loss", "train_accuracy")
NAMES = ("weight_decay", "data_size", "batch_size", "seed")
Features = list[dict[str, NDArray[np.float64]]]


def conditions(asked: Flags) -> tuple[pd.DataFrame, Features]:
    """Train, sample and describe 90 networks (18 in quick form), or read what was kept.

    A row a network has its condition, the test loss of the optimum and what `describe` measured on
    the jumps; features by sampler are log10 of the training loss, then accuracy, at all points.
    """
    seeds = range(1 if asked.quick else SEEDS)
    design = list(product(WEIGHT_DECAYS, DATA_SIZES, BATCH_SIZES, seeds))
    folder = asked.work.parent / ("conditions-quick" if asked.quick else "conditions")
    jobs = [(folder / "-".join(f"{part:g}" for part in row), asked.quick, *row) for row in design]
    rows, features = zip(*each(_kept, jobs, asked, f"{len(jobs)} networks"), strict=True)
    return pd.DataFrame(rows), list(features)


def _kept(folder: Path, quick: bool, *condition: Any) -> tuple[dict[str, Any], Any]:
    path = folder / "case.safetensors"
    if not path.exists():
        folders.write_arrays(path, *_sampled(folder, quick, *condition))
    features, found = folders.read_arrays(path)
    row = dict(zip(NAMES, condition, strict=True)) | found.pop("statistics") | found
    return row, features


def _sampled(
    folder: Path, quick: bool, decay: float, size: int, batch_size: int, seed: int
) -> Any:
    data = jr.data.digits().subset(train=size, seed=seed)
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(64,)), data, device=device())
    recipe = fort.recipe(20 if quick else 100, 0.05, batch_size, "sgd", weight_decay=decay)
    optimum = jr.train(task, recipe, [seed], execution=QUIET).final[0]
    retraining = replace(RETRAINING, epochs=10) if quick else RETRAINING
    trajectories = jr.sample(task, optimum, retraining, folder=folder / "jumps", execution=QUIET)
    samples = {
        "jump and retrain": trajectories.jumps(),
        "rays": jr.rays(task, optimum, directions=8 if quick else 32, execution=QUIET),
        "grid": jr.grid(task, optimum, (4, 4, 10) if quick else (8, 8, 10), execution=QUIET),
    }
    kept = {name: trajectories.optimum_metrics[name] for name in ("test_loss", "test_accuracy")}
    features = {name: _features(found) for name, found in samples.items()}
    return features, {**kept, "statistics": jr.describe(trajectories)}


def _features(found: jr.Trajectories) -> NDArray[np.float64]:
    """Use 40 snapshots a run at most, so that each sampler has the same number of points."""
    kept = found.select(times=slice(0, 40))
    loss, accuracy = (kept.values(name) for name in METRICS)
    return np.r_[np.log10(loss + 1e-8), accuracy]
