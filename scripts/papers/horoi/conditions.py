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
from evidence.cells import QUIET, over
from evidence.contests import Array
from evidence.figure import Flags, device
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.storage import folders

WEIGHT_DECAYS = (0.0, 1e-3, 1e-2)
RETRAINING = jr.Recipe(epochs=40, lr=0.01, record_early=False)
NAMES = ("weight_decay", "data_size", "batch_size", "seed")


def conditions(asked: Flags) -> tuple[pd.DataFrame, list[dict[str, Array]]]:
    """Train, sample and describe 90 networks (18 in quick form), or read what was kept.

    A row a network has its condition, the test loss of the optimum and what `describe` measured on
    the jumps; features by sampler are log10 of the training loss, then accuracy, at all points.
    """
    seeds = range(1 if asked.quick else 5)
    design = list(product(WEIGHT_DECAYS, (1257, 200), (16, 64, 256), seeds))
    folder = asked.work.parent / ("conditions-quick" if asked.quick else "conditions")
    jobs = [(folder / "-".join(f"{part:g}" for part in row), asked.quick, *row) for row in design]
    rows, features = zip(*over(asked, _kept, jobs, f"{len(jobs)} networks"), strict=True)
    return pd.DataFrame(rows), list(features)


def _kept(folder: Path, quick: bool, *condition: Any) -> tuple[dict[str, Any], Any]:
    path = folder / "described.safetensors"
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
    features = {}
    for name, found in samples.items():
        some = found.select(times=slice(0, 40))  # each sampler has the same number of points
        loss, accuracy = some.values("train_loss"), some.values("train_accuracy")
        features[name] = np.r_[np.log10(loss + 1e-8), accuracy]
    return features, {**kept, "statistics": jr.describe(trajectories)}
