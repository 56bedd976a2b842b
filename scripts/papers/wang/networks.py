"""What figures on arXiv:2210.01019 share: ReLU networks, and how their findings are said."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from evidence.cells import recipe
from evidence.figure import device
from evidence.proportions import quotient
from evidence.rows import Rows, about
from numpy.typing import NDArray
from torch import nn

import jumpretrain as jr

WIDTH, CLASSES = 100, 10
TRAINED = 0.1  # nats, as in arXiv:2104.11044
RECIPE, QUICK = recipe(120, 0.05, 128, schedule="steps", milestones=(0.8,)), recipe(12, 0.1, 32)
RISE = 0.5  # the least share of the loss that biases alone make
MIDDLE = "alpha² Var(b) / 2 (nats), a dot a network", "training loss − log k (nats)"
NAMES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
Biases = Literal["all", "last", "none"]


@dataclass(frozen=True)
class Cell:
    """Networks that differ in their seed only; He's initial weights are multiplied by `scale`."""

    data: str
    depth: int
    scale: float
    biases: Biases


def network(shape: tuple[int, ...], depth: int) -> nn.Module:
    """Build a fully connected network with so many layers that have weights."""
    return jr.models.mlp(shape, CLASSES, hidden=(WIDTH,) * (depth - 1))


def images(name: str, train: int, test: int) -> jr.Dataset:
    """Load so many images at most."""
    whole = jr.data.digits() if name == "digits" else jr.data.load(name)
    return whole.subset(min(train, len(whole.train_x)), min(test, len(whole.test_x)))


def task(cell: Cell, size: int) -> jr.Task:
    data = images(cell.data, size, size)
    build = partial(network, data.train_x.shape[1:], cell.depth)
    scaled = jr.initialise(build, "he", cell.scale, biases=cell.biases)
    return jr.Task(scaled, data, device=device())


def trainings(recipe: jr.Recipe) -> str:
    """Say how networks are trained."""
    return (
        f"SGD, momentum {recipe.momentum}, learning rate {recipe.lr} ({recipe.schedule}), "
        f"batches of {recipe.batch_size}, {recipe.epochs} epochs"
    )


def listed(claims: Rows, *words: str, number: str = "") -> str:
    """List the verdicts of a claim on each data set, with its effect where that has a format."""
    said = []
    for claim in about(claims, *words):
        data = claim["claim"].split(":")[0]
        verdict = f"({claim['verdict']})" if number or "holds" in claim else claim["verdict"]
        count = f"{claim['holds']} of {claim['n']} " if "holds" in claim else ""
        effect = f"{claim['effect']:{number}} " if number else ""
        said.append(f"{NAMES.get(data, data)} {count}{effect}{verdict}")
    return ", ".join(said)


def middle(path: jr.Path, biases: NDArray[np.float64]) -> dict[str, float]:
    """Compare the loss half way along the error plateau with what the biases alone make it."""
    place = int(np.searchsorted(path.alphas, path.plateau().error / 2))
    expected = float(path.alphas[place]) ** 2 * float(biases.var()) / 2
    above = float(path.values("train_loss")[place]) - math.log(len(biases))
    return {"middle_excess": above, "middle_expected": expected}


def lifted(held: pd.DataFrame, start: str, shortest: float) -> Rows:
    """Judge the loss on error plateaus that are long enough; nothing of fewer than two."""
    if len(held) < 2:
        return []
    what = "the loss above log k and of alpha² Var(b) / 2"
    claim = (
        f"{start}half way along the error plateau the loss lies above log k by at least "
        f"{RISE:.0%} of alpha² Var(b) / 2, where that plateau is {shortest} or longer"
    )
    sums = held["middle_excess"], held["middle_expected"]
    return [quotient("interpolation-H18", claim, what, *sums, RISE)]
