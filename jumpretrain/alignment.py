"""Which permutation of its hidden units brings one network closest to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from torch import nn

from jumpretrain.execution import one_thread
from jumpretrain.layers import check_state
from jumpretrain.task import Task

__all__ = ["align"]

PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMAL = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
EXAMPLES, ROUNDING = 8, 1e-6

Orders = Sequence[NDArray[np.int64]]  # for each hidden layer, where each unit is taken from
Ties = Mapping[str, Mapping[int, int]]  # for each tensor, over which layer's units an axis runs
Pairs = list[tuple[NDArray[np.float64], NDArray[np.float64], Mapping[int, int]]]


def align(
    task: Task, state: ArrayLike, to: ArrayLike, seed: int = 0, restarts: int = 2
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
    widths, ties = _units(task)
    values, target = check_state(task, state, "state"), check_state(task, to, "to")
    rng = np.random.default_rng(seed)
    with one_thread():
        turned = [np.roll(np.arange(width), 1) for width in widths]
        for orders in (turned, _shuffled(widths, rng)):
            _check_alike(task, ties, values, orders)
        pairs = _pairs(task, ties, values, target)
        starts = [[np.arange(width) for width in widths], _forward(pairs, widths)]
        starts += [_shuffled(widths, rng) for _ in range(restarts)]
        found = [_climb(pairs, start, rng) for start in starts]
        best = max(found, key=lambda orders: _agreement(pairs, orders))
        _check_alike(task, ties, values, best)
    return _permuted(task, ties, values, best)


def _units(task: Task) -> tuple[list[int], Ties]:
    """Find the hidden units and the tensors that run over them.

    Returns:
        The number of units of each hidden layer, and the axes of each tensor.

    Raises:
        ValueError: If the network is of another kind.
    """
    widths: list[int] = []
    ties: dict[str, dict[int, int]] = {}
    for name, part in task.template.named_modules(remove_duplicate=False):
        if type(part) is nn.Sequential:
            continue
        _check_part(task, name, part, first=not widths)
        prefix, here = f"{name}." if name else "", len(widths)
        if isinstance(part, PLAIN):
            ties[f"{prefix}weight"] = {0: here} | ({1: here - 1} if widths else {})
            ties[f"{prefix}bias"] = {0: here}
            widths.append(len(part.weight))
        elif isinstance(part, NORMAL) and widths:
            keys = ("weight", "bias", "running_mean", "running_var")
            ties |= {f"{prefix}{key}": {0: here - 1} for key in keys}
    hidden = widths[:-1]
    shapes = dict(zip(task.layout.names, task.layout.shapes, strict=True))
    kept = {
        name: {axis: layer for axis, layer in axes.items() if layer < len(hidden)}
        for name, axes in ties.items()
        if name in shapes
    }
    for name, axes in kept.items():
        for axis, layer in axes.items():
            if shapes[name][axis] % hidden[layer]:
                raise ValueError(
                    f"each of {hidden[layer]} units must hold equally many entries, but {name} "
                    f"is {shapes[name]}; flatten before a linear layer"
                )
    return hidden, kept


def _check_part(task: Task, name: str, part: nn.Module, first: bool) -> None:
    """Check that it is known how a part of the network treats units.

    Raises:
        ValueError: If it is not.
    """
    kinds = (*PLAIN, *NORMAL)
    tensors = dict(part.named_parameters()) | ({} if first else dict(part.named_buffers()))
    known = type(part) in kinds if tensors else not any(True for _ in part.children())
    plain = getattr(part, "groups", 1) == 1
    own = [f"{name}.{key}" if name else key for key, p in tensors.items() if p.is_floating_point()]
    if not (known and plain and set(own) <= set(task.layout.names)):
        reason = "" if known and plain else f", a {type(part).__name__}"
        raise ValueError(
            "units are aligned in an nn.Sequential of linear and convolutional layers without "
            "groups, BatchNorm and functions without parameters, none used twice, but "
            f"{name or 'the model'!r}{reason} is something else; residual networks are not known"
        )


def _check_alike(task: Task, ties: Ties, values: NDArray[Any], orders: Orders) -> None:
    """Check on a few examples that permuting units leaves the outputs as they are.

    Raises:
        ValueError: If it does not.
    """
    inputs = task.tensors["scored_x"][:EXAMPLES]
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    states = values, _permuted(task, ties, values, orders)
    try:
        with torch.no_grad():
            plain, moved = (task.module(state).double().eval()(inputs) for state in states)
    except RuntimeError as error:
        raise ValueError(
            f"the network must compute in double precision, but does not ({error}); leave out "
            "what fixes a type in its forward"
        ) from error
    scale = float(plain.abs().nan_to_num().max())
    if not torch.allclose(plain, moved, rtol=0, atol=ROUNDING * scale, equal_nan=True):
        raise ValueError(
            "functions between layers must treat all units alike, but the network with permuted "
            "units computes something else; align networks without such functions"
        )


def _shuffled(widths: list[int], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    return [rng.permutation(width) for width in widths]


def _pairs(task: Task, ties: Ties, state: NDArray[Any], to: NDArray[Any]) -> Pairs:
    """Put the trainable tensors of both networks side by side.

    Returns:
        Tensor of `to`, tensor of `state`, and their axes.
    """
    theirs, own = (dict(task.layout.weights(s.astype(np.float64))) for s in (to, state))
    return [(theirs[name], own[name], axes) for name, axes in ties.items() if name in own]


def _moved(tensor: NDArray[Any], axis: int, order: NDArray[np.int64]) -> NDArray[Any]:
    """Take units along an axis, on which each holds a block of entries (flattened pixels).

    Returns:
        A new tensor of the same shape.
    """
    shape = tensor.shape
    blocks = tensor.reshape(*shape[:axis], len(order), -1, *shape[axis + 1 :])
    return np.take(blocks, order, axis=axis).reshape(shape)


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
                own = own if other == axis else _moved(own, other, orders[beside])
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
            own = _moved(own, axis, orders[layer])
        total += float((theirs * own).sum())
    return total


def _permuted(task: Task, ties: Ties, values: NDArray[Any], orders: Orders) -> NDArray[Any]:
    permuted = values.copy()
    tensors = task.layout.split(torch.as_tensor(permuted))
    for name, axes in ties.items():
        tensor = tensors[name].numpy()
        for axis, layer in axes.items():
            tensor[...] = _moved(tensor, axis, orders[layer])
    return permuted
