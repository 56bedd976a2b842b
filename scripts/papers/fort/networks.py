"""Networks and data that the figures of arXiv:1906.04724 share.

The paper's tanh CNN (section 4.1) on Fashion-MNIST, at laptop size: images of 14x14 pixels and a
few thousand of them. In its narrow form the Hessian can be computed exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from evidence.figure import device
from numpy.typing import NDArray

import jumpretrain as jr

PAPER, NARROW = (16, 32, 32), (8, 16, 16)
"""Channels: 14,378 weights, as in the paper but for the last layer; 3,738 weights."""


def fashion(train: int, test: int) -> jr.Dataset:
    """Draw images of Fashion-MNIST, means of 2x2 pixels.

    Returns:
        The data, of shape (N, 1, 14, 14), class by class alike.
    """
    data = jr.data.load("fashion_mnist").subset(train, test)
    history = (*data.history, "2x2 means")
    return jr.Dataset(
        _halved(data.train_x), data.train_y, _halved(data.test_x), data.test_y, history=history
    )


def cnn(
    data: jr.Dataset, channels: Sequence[int] = PAPER, dropout: float = 0.0, **task: Any
) -> jr.Task:
    """Build the paper's network for images of 8 pixels a side or more.

    Returns:
        The task; further arguments are its own.
    """
    shape = data.train_x.shape[1:]
    build = partial(jr.models.simple_cnn, shape, 10, channels=channels, dropout=dropout)
    return jr.Task(build, data, device=device(), **task)


def mlp(data: jr.Dataset, hidden: Sequence[int], **task: Any) -> jr.Task:
    """Build a fully connected network.

    Returns:
        The task; further arguments are its own.
    """
    build = partial(jr.models.mlp, data.train_x.shape[1:], 10, hidden=hidden)
    return jr.Task(build, data, device=device(), **task)


def recipe(
    epochs: int,
    lr: float,
    batch_size: int = 32,
    optimiser: Literal["adam", "sgd"] = "adam",
    **other: Any,
) -> jr.Recipe:
    """Write a recipe that records the start and the end only, unless told otherwise.

    Returns:
        The recipe; further arguments are its own. Adam is the paper's optimiser.
    """
    return jr.Recipe(
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        optimiser=optimiser,
        **{"record_every": 0, "record_early": False} | other,
    )


def _halved(x: NDArray[Any]) -> NDArray[Any]:
    n, channels, height, width = x.shape
    return x.reshape(n, channels, height // 2, 2, width // 2, 2).mean((3, 5), dtype=np.float32)
