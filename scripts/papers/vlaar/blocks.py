"""Paths of single blocks, and networks with a block started anew, for arXiv:2106.16004."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from evidence.figure import Flags
from numpy.typing import NDArray
from papers.vlaar import networks as vlaar

import jumpretrain as jr

NEAR, FINE = 0.94, 0.002  # from where on, and in which steps, the fall of a whole path is found


def layered(asked: Flags, data: jr.Dataset, condition: str, seed: int) -> dict[str, Any]:
    if condition == "base":
        net = vlaar.standard(asked, data, vlaar.DECAY, seed)
    else:
        net = vlaar.network(asked, data, condition, seed, vlaar.DECAY)
    name = f"{condition if condition != 'base' else f'standard-{vlaar.DECAY:g}'}-{seed}"
    paths, falls = {}, {}
    for policy in vlaar.POLICIES:
        score = partial(vlaar.path, asked, data, start=net.start, end=net.end, policy=policy)
        stages = vlaar.STAGES if condition == "base" or policy == "stored" else {}
        whole = [score(name=name)]
        paths[policy] = {"all": vlaar.facts(whole[0])} | {
            stage: vlaar.facts(score(name=f"{name}-{stage}", select=modules))
            for stage, modules in stages.items()
        }
        if policy == "stored":
            whole.append(score(name=f"{name}-near", alphas=near(asked.quick)))
        falls[policy] = fall(whole)
    return {
        "condition": condition,
        "seed": seed,
        "accuracy": net.accuracy,
        "train_accuracy": net.train_accuracy,
        "fall": falls,
        **paths,
    }


def near(quick: bool) -> NDArray[np.float64]:
    """Place points near the end of the line."""
    steps = np.arange(round((1 - NEAR) / FINE) + 1)[:: 10 if quick else 1]
    return np.sort((1 - FINE * steps).round(6))


def fall(paths: list[jr.Path]) -> float:
    """Find where the training loss comes to be below the mean of its ends, between points too.

    Returns:
        Alpha, 1 where the loss does not end lower than it began.
    """
    alphas, first = np.unique(np.concatenate([path.alphas for path in paths]), return_index=True)
    loss = np.concatenate([path.values("train_loss") for path in paths])[first]
    middle = (loss[0] + loss[-1]) / 2
    if loss[-1] >= loss[0]:
        return 1.0
    last = np.flatnonzero(loss > middle)[-1]
    share = (loss[last] - middle) / (loss[last] - loss[last + 1])
    return float(alphas[last] + share * (alphas[last + 1] - alphas[last]))


def renewed(asked: Flags, data: jr.Dataset, block: str, seed: int) -> dict[str, Any]:
    """Draw one block of a trained network afresh and train the whole network again."""
    scratch = vlaar.standard(asked, data, vlaar.DECAY, seed)
    start = scratch.end
    if block != "none":
        modules = vlaar.STAGES[block]
        start = jr.controls.reinitialise(vlaar.task(data), start, modules, 1000 + seed)
    net = vlaar.network(asked, data, f"again-{block}", 100 + seed, vlaar.DECAY, start)
    return {
        "block": block,
        "seed": seed,
        "accuracy": net.accuracy,
        "accuracy_recalibrated": net.recalibrated,
        "scratch": scratch.accuracy,
    }


def excess(
    rows: list[dict[str, Any]], stage: str, policy: str = "stored", condition: str = "base"
) -> NDArray[np.float64]:
    chosen = [row for row in rows if row["condition"] == condition]
    return np.array([row[policy][stage]["excess"] for row in chosen])


def accuracy(rows: list[dict[str, Any]], key: str, value: str) -> NDArray[np.float64]:
    return np.array([row["accuracy"] for row in rows if row[key] == value])


def falls(rows: list[dict[str, Any]], condition: str, policy: str) -> NDArray[np.float64]:
    return np.array([row["fall"][policy] for row in rows if row["condition"] == condition])
