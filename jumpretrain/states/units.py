"""Hidden units of a network, and what permuting them moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jumpretrain.contents.layout import cast
from jumpretrain.tasks.task import Task

__all__ = [
    "Orders",
    "Ties",
    "check_alike",
    "hidden_units",
    "is_untouched",
    "permute",
    "shuffled",
    "take_units",
]

PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMAL = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
EXAMPLES, ROUNDING = 8, 1e-6

Orders = Sequence[NDArray[np.int64]]  # for each hidden layer, where each unit is taken from
Ties = Mapping[str, Mapping[int, int]]  # for each tensor, over which layer's units an axis runs


def hidden_units(task: Task) -> tuple[list[int], Ties]:
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


def is_untouched(part: nn.Module) -> bool:
    """Tell whether a layer does what its class says.

    Returns:
        Whether it has no hooks and no forward of its own.
    """
    return not ("forward" in vars(part) or part._forward_hooks or part._forward_pre_hooks)


def _check_part(task: Task, name: str, part: nn.Module, first: bool) -> None:
    """Check that it is known how a part of the network treats units.

    Raises:
        ValueError: If it is not.
    """
    kinds = (*PLAIN, *NORMAL)
    tensors = dict(part.named_parameters()) | ({} if first else dict(part.named_buffers()))
    known = type(part) in kinds if tensors else not any(True for _ in part.children())
    single = getattr(part, "groups", 1) == 1
    own = [f"{name}.{key}" if name else key for key, p in tensors.items() if p.is_floating_point()]
    if not (known and single and is_untouched(part) and set(own) <= set(task.layout.names)):
        changed = "" if is_untouched(part) else "changed "
        reason = "" if known and single and not changed else f", a {changed}{type(part).__name__}"
        raise ValueError(
            "units are known in an nn.Sequential of linear and convolutional layers without "
            "groups, BatchNorm and functions without parameters, none used twice, but "
            f"{name or 'the model'!r}{reason} is something else; residual networks are not known"
        )


def check_alike(task: Task, ties: Ties, values: NDArray[Any], orders: Orders) -> None:
    """Check on a few examples that permuting units leaves the outputs as they are.

    Raises:
        ValueError: If it does not.
    """
    inputs = task.tensors["scored_x"][:EXAMPLES]
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    states = values, permute(task, ties, values, orders)
    try:
        with torch.no_grad():
            modules = (cast(task.module(state), torch.float64).eval() for state in states)
            plain, moved = (module(inputs) for module in modules)
    except RuntimeError as error:
        raise ValueError(
            f"the network must compute in double precision, but does not ({error}); leave out "
            "what fixes a type in its forward"
        ) from error
    scale = float(plain.abs().nan_to_num().max())
    if not torch.allclose(plain, moved, rtol=0, atol=ROUNDING * scale, equal_nan=True):
        raise ValueError(
            "functions between layers must treat all units alike, but the network with permuted "
            "units computes something else; leave such functions out"
        )


def shuffled(widths: Sequence[int], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Draw an order of the units of each layer.

    Returns:
        For each layer where each unit is taken from.
    """
    return [rng.permutation(width) for width in widths]


def permute(task: Task, ties: Ties, values: NDArray[Any], orders: Orders) -> NDArray[Any]:
    """Put the units of a state in other orders.

    Returns:
        A new state (S,).
    """
    permuted = values.copy()
    tensors = task.layout.split(torch.as_tensor(permuted))
    for name, axes in ties.items():
        tensor = tensors[name].numpy()
        for axis, layer in axes.items():
            tensor[...] = take_units(tensor, axis, orders[layer])
    return permuted


def take_units(tensor: NDArray[Any], axis: int, order: NDArray[np.int64]) -> NDArray[Any]:
    """Take units along an axis, on which each holds a block of entries (flattened pixels).

    Returns:
        A new tensor of the same shape.
    """
    shape = tensor.shape
    blocks = tensor.reshape(*shape[:axis], len(order), -1, *shape[axis + 1 :])
    return np.take(blocks, order, axis=axis).reshape(shape)
