"""States to interpolate from or to instead of a network's own: controls, and fresh blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Seed
from jumpretrain.execution.settings import standard_settings
from jumpretrain.states.layers import entries
from jumpretrain.states.units import check_alike, hidden_units, permute, shuffled
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task

__all__ = ["noise", "permute_units", "reinitialise", "zero"]


@checked
@standard_settings()
def zero(task: Task, state: StateLike) -> NDArray[Any]:
    """Set all weights to zero; frozen parameters and running statistics stay.

    Returns:
        A new state (S,).

    Raises:
        ValueError: If the state is of another network or not finite.
    """
    return np.where(_trainable(task), 0, task.state(state, "state"))


@checked
@standard_settings()
def noise(task: Task, state: StateLike, seed: Seed) -> NDArray[Any]:
    """Replace each tensor of weights by normal noise of the same root mean square.

    Returns:
        A new state (S,); frozen parameters and running statistics stay.

    Raises:
        ValueError: If the state is of another network or not finite.
    """
    values = task.state(state, "state").astype(np.float64)
    squares = np.add.reduceat(values**2, np.r_[0, np.cumsum(task.layout.sizes)[:-1]])
    sizes = np.asarray(task.layout.sizes)
    draws = np.random.default_rng(seed).normal(size=len(values))
    noisy = draws * np.repeat(np.sqrt(squares / sizes), sizes)
    return np.where(_trainable(task), noisy, values).astype(task.layout.numpy_dtype)


@checked
@standard_settings()
def reinitialise(
    task: Task, state: StateLike, select: str | Sequence[str], seed: Seed
) -> NDArray[Any]:
    """Give one block the values of a fresh initialisation: arXiv:2106.16004, section 5.

    Args:
        task: The task of the state.
        state: A state (S,), usually trained.
        select: Names of the parameters or modules of the block.
        seed: Of the initialisation.

    Returns:
        A new state (S,) from which to train again.

    Raises:
        ValueError: If the state or a name does not fit.
    """
    kept = task.state(state, "state")
    return np.where(entries(task.layout, select), task.initial(seed), kept)


@checked
@standard_settings()
def permute_units(task: Task, state: StateLike, seed: Seed) -> NDArray[Any]:
    """Shuffle the hidden units of a network, which computes the same.

    Args:
        task: A task whose network is an `nn.Sequential` of linear and convolutional layers,
            BatchNorm, and functions without parameters that treat all units alike.
        state: A state (S,).
        seed: Of the permutations, one a hidden layer.

    Returns:
        A new state (S,).

    Raises:
        ValueError: If the network is of another kind or has no hidden units to shuffle, or the
            state does not fit.
    """
    widths, ties = hidden_units(task)
    if max(widths, default=0) < 2:
        raise ValueError(
            "permuting needs a hidden layer of 2 units or more, but the hidden layers have "
            f"{widths or 'none'}; take noise or zero as a control"
        )
    values = task.state(state, "state")
    orders = shuffled(widths, np.random.default_rng(seed))
    with standard_settings():
        check_alike(task, ties, values, orders)
    return permute(task, ties, values, orders)


def _trainable(task: Task) -> NDArray[np.bool_]:
    return np.arange(task.layout.width) < task.weight_count
