"""Networks, data, judgements and panels that the figures of arXiv:1906.04724 share.

The paper's tanh CNN (section 4.1) on Fashion-MNIST, at laptop size: images of 14x14 pixels and a
few thousand of them. In its narrow form the Hessian can be computed exactly.
"""

import math
from collections.abc import Iterable, Sequence
from functools import partial, reduce
from operator import getitem
from typing import Any, Literal

import numpy as np
from evidence import cells
from evidence.cells import QUIET
from evidence.figure import device
from evidence.judging import within
from evidence.panels import label
from evidence.proportions import counted
from matplotlib.axes import Axes
from numpy.typing import NDArray

import jumpretrain as jr

PAPER, NARROW = (16, 32, 32), (8, 16, 16)
"""Channels: 14,378 weights, as in the paper but for the last layer; 3,738 weights."""
INNER = 10  # interior points of connectors, as in figure 3 of the paper
THRESHOLD = math.log(10) / 2  # nats, where a tunnel ends: halfway to guessing among 10 classes
NAMES = {"digits": "digits MLP", "fashion": "Fashion-MNIST CNN"}
tunnel_width = partial(jr.tunnel_width, execution=QUIET)
sharp_directions = partial(jr.sharp_directions, execution=QUIET)
Data = Literal["digits", "fashion"]
Found = dict[str, Any]
Rows = Sequence[Found]
Values = NDArray[Any]


def fashion(train: int, test: int) -> jr.Dataset:
    """Draw images of Fashion-MNIST, means of 2x2 pixels: (N, 1, 14, 14), class by class alike."""
    data = jr.data.load("fashion_mnist").subset(train, test)
    shape, images = (-1, 1, 14, 2, 14, 2), (data.train_x, data.test_x)
    train_x, test_x = (x.reshape(shape).mean((3, 5), dtype=np.float32) for x in images)
    history = (*data.history, "2x2 means")
    return jr.Dataset(train_x, data.train_y, test_x, data.test_y, history=history)


def examples(data: Data, sizes: tuple[int, int]) -> jr.Dataset:
    """Take so many training and test examples."""
    return jr.data.digits().subset(*sizes) if data == "digits" else fashion(*sizes)


def network(
    kind: Data, data: jr.Dataset, widths: Sequence[int], dropout: float = 0.0, **task: Any
) -> jr.Task:
    """Build the task of an MLP for digits, or of the paper's CNN, for images of 8x8 or more."""
    shape = data.train_x.shape[1:]
    if kind == "digits":
        build = partial(jr.models.mlp, shape, 10, hidden=widths)
    else:
        build = partial(jr.models.simple_cnn, shape, 10, channels=widths, dropout=dropout)
    return jr.Task(build, data, device=device(), **task)


def build(
    data: Data, sizes: tuple[int, int], hidden: Any, channels: Any = PAPER, **task: Any
) -> jr.Task:
    """Build the task of an MLP on so many digits, or of a CNN on so many images."""
    widths = hidden if data == "digits" else channels
    return network(data, examples(data, sizes), widths, **task)


def recipe(
    epochs: int,
    lr: float,
    batch_size: int = 32,
    optimiser: Literal["adam", "sgd"] = "adam",
    **other: Any,
) -> jr.Recipe:
    """Write a recipe, of the paper's Adam, that records the start and the end only."""
    return cells.recipe(epochs, lr, batch_size, optimiser=optimiser, **other)


def told(recipe: jr.Recipe) -> str:
    """Say how something is trained."""
    rate, epochs = f"{recipe.optimiser}, rate {recipe.lr:g}", f"{recipe.epochs} epochs"
    return f"{rate}, {epochs} of batches of {recipe.batch_size}"


def column(ones: Rows, *keys: Any) -> Values:
    """Take what lies under some keys of each network or pair."""
    return np.array([reduce(getitem, keys, one) for one in ones])


def taken(result: object, *names: str) -> Found:
    """Take what a result calls by some names."""
    return {name: getattr(result, name) for name in names}


def find(claims: Iterable[Found], *words: str) -> Found:
    """Find the first claim with all these words."""
    return next(claim for claim in claims if all(word in claim["claim"] for word in words))


def judge(about: str, rows: Iterable[tuple[Any, ...]]) -> list[Found]:
    """Judge means over networks: rows of hypothesis, claim, and what `within` takes further."""
    return [within(f"wedges-{name}", f"{about}{claim}", *rest) for name, claim, *rest in rows]


def judge_share(claim: str, statistic: str, holds: NDArray[np.bool_], least: float) -> Found:
    """Judge for H2 how often something holds, by Wilson's interval of the share."""
    found = counted("wedges-H2", claim, holds, least) | {"statistic": statistic}
    del found["holds"]
    return found


def show_cosines(ax: Axes, rows: Sequence[Any], over: str, shrink: float, title: str) -> None:
    """Draw the mean of the cosines between deviations of a connector's nodes."""
    drawn = ax.imshow(np.mean(rows, axis=0), cmap="RdBu_r", vmin=-1, vmax=1, origin="lower")
    ax.figure.colorbar(drawn, ax=ax, label=f"cosine (1), {over}", shrink=shrink)
    ticks = range(0, INNER, 3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [str(k + 1) for k in ticks])
    label(ax, "node, from the first optimum", "node, from the first optimum", title)
