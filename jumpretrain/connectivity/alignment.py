"""Which permutation of its hidden units brings one network closest to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Seed, Whole
from jumpretrain.execution.settings import standard_settings
from jumpretrain.states.units import (
    Orders,
    Ties,
    check_alike,
    hidden_units,
    permute,
    shuffled,
    take_units,
)
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task

__all__ = ["align"]

ROUNDING = 1e-6

Pairs = list[tuple[NDArray[np.float64], NDArray[np.float64], Mapping[int, int]]]


@checked
@standard_settings()
def align(
    task: Task, state: StateLike, to: StateLike, seed: Seed = 0, restarts: Whole = 2
) -> NDArray[Any]:
    """Permute the hidden units of a network so that its weights come close to another's.

    The weight matching of arXiv:2209.04836: layer by layer, in random order, the units are
    assigned so that the inner product of all weights with the other network's is largest given
    the other layers' assignments, until no layer gains. It climbs from the units as they are,
    from an assignment made once from the input to the output (which finds a permuted copy of the
    other network exactly, derived), and from random ones, and keeps the best; that this is the
    best of all permutations is not promised. Flipping the signs around an odd function such as
    tanh is a symmetry as well, which is left alone.

    Args:
        task: The task of both; its network is an `nn.Sequential` of linear and convolutional
            layers, BatchNorm, and functions without parameters that treat all units alike.
        state: The state (S,) to permute.
        to: The state (S,) to come close to.
        seed: Of the orders of layers and the random restarts.
        restarts: Number of random restarts.

    Returns:
        A new state (S,) that computes the same as `state`, with trainable weights at most as far
        from those of `to`. Frozen parameters and running statistics move with their units.

    Raises:
        ValueError: If the network is of another kind, or a state does not fit.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(16,)), jr.data.digits())
        >>> optimum = task.initial(0)
        >>> copy = jr.controls.permute_units(task, optimum, seed=1)
        >>> bool((align(task, copy, to=optimum) == optimum).all())
        True
    """
    if restarts < 0 or seed < 0:
        raise ValueError(f"restarts and seed must be at least 0, but are {restarts} and {seed}")
    widths, ties = hidden_units(task)
    values, target = task.state(state, "state"), task.state(to, "to")
    rng = np.random.default_rng(seed)
    with standard_settings():
        turned = [np.roll(np.arange(width), 1) for width in widths]
        for orders in (turned, shuffled(widths, rng)):
            check_alike(task, ties, values, orders)
        pairs = _pairs(task, ties, values, target)
        starts = [[np.arange(width) for width in widths], _forward(pairs, widths)]
        starts += [shuffled(widths, rng) for _ in range(restarts)]
        found = [_climb(pairs, start, rng) for start in starts]
        best = max(found, key=lambda orders: _agreement(pairs, orders))
        check_alike(task, ties, values, best)
    return permute(task, ties, values, best)


def _pairs(task: Task, ties: Ties, state: NDArray[Any], to: NDArray[Any]) -> Pairs:
    """Put the trainable tensors of both networks side by side.

    Returns:
        Tensor of `to`, tensor of `state`, and their axes.
    """
    theirs, own = (dict(task.layout.weights(s.astype(np.float64))) for s in (to, state))
    return [(theirs[name], own[name], axes) for name, axes in ties.items() if name in own]


def _similarity(
    pairs: Pairs, layer: int, orders: Orders, axes: tuple[int, ...] = (0, 1)
) -> NDArray[np.float64]:
    """Multiply the weights of each unit of one network with those of each unit of the other.

    Args:
        pairs: The weights of both.
        layer: Whose units.
        orders: The assignment of the layers before and after.
        axes: Which weights count: 0 for the incoming, 1 for the outgoing.

    Returns:
        Inner products (U, U), units of `to` by units of `state`.
    """
    width = len(orders[layer])
    total = np.zeros((width, width))
    for theirs, own, ties in pairs:
        for axis in (axis for axis in axes if ties.get(axis) == layer):
            for other, beside in ties.items():
                own = own if other == axis else take_units(own, other, orders[beside])
            shape = theirs.shape
            blocks = (*shape[:axis], width, -1, *shape[axis + 1 :])
            rows = [
                np.moveaxis(tensor.reshape(blocks), axis, 0).reshape(width, -1)
                for tensor in (theirs, own)
            ]
            total += rows[0] @ rows[1].T
    return total


def _forward(pairs: Pairs, widths: list[int]) -> list[NDArray[np.int64]]:
    """Assign units from the input to the output, by their incoming weights alone.

    Returns:
        For each layer where each unit is taken from.
    """
    orders = [np.arange(width) for width in widths]
    for layer in range(len(widths)):
        orders[layer] = _assigned(_similarity(pairs, layer, orders, axes=(0,)))
    return orders


def _climb(pairs: Pairs, start: Orders, rng: np.random.Generator) -> Orders:
    """Reassign one layer after the other, in random order, until none gains.

    Returns:
        For each layer where each unit is taken from.
    """
    orders, gains = list(start), True
    while gains:
        gains = False
        for layer in rng.permutation(len(orders)):
            similarity = _similarity(pairs, layer, orders)
            order, rows = _assigned(similarity), np.arange(len(similarity))
            before, after = (similarity[rows, columns] for columns in (orders[layer], order))
            if after.sum() - before.sum() > ROUNDING * np.abs(after).sum():
                orders[layer], gains = order, True
    return orders


def _assigned(similarity: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(linear_sum_assignment(similarity, maximize=True)[1])


def _agreement(pairs: Pairs, orders: Orders) -> float:
    total = 0.0
    for theirs, own, axes in pairs:
        for axis, layer in axes.items():
            own = take_units(own, axis, orders[layer])
        total += float((theirs * own).sum())
    return total
