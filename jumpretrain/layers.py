"""Which tensors of a state belong to a layer, how deep layers lie, how far each has moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from jumpretrain.initialisation import WEIGHTED
from jumpretrain.layout import Layout
from jumpretrain.task import Task

__all__ = [
    "WeightDistance",
    "bias_names",
    "check_state",
    "entries",
    "layer_groups",
    "weight_distance",
    "weight_layers",
]

REMEDY = "pass depth={parameter name: number of its layer, from 1 at the input}"


def check_state(task: Task, state: ArrayLike | torch.Tensor, name: str) -> NDArray[Any]:
    """Check that a state belongs to a task and is finite.

    Returns:
        The state (S,) in the task's type.

    Raises:
        ValueError: If it does not; the message calls it by name.
    """
    if isinstance(state, torch.Tensor):
        state = state.detach().cpu()
    shape = np.shape(state)
    if shape != (task.layout.width,):
        raise ValueError(
            f"{name} must be one state of this task, ({task.layout.width},), but is {shape}; "
            "take it from train, Task.initial or Task.state"
        )
    array = np.asarray(state)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"{name} must be finite, but {count} of its {len(array)} entries are not; "
            "leave out diverged runs"
        )
    return np.asarray(task.check_states(array[None])[0])


def entries(layout: Layout, select: str | Sequence[str]) -> NDArray[np.bool_]:
    """Find the entries of a state that some tensors and layers hold.

    Args:
        layout: Where each tensor stands.
        select: Names of tensors, or of modules for all that they hold.

    Returns:
        A mask (S,).

    Raises:
        ValueError: If a name fits nothing.
    """
    wanted = [select] if isinstance(select, str) else list(select)
    hit = np.zeros(len(layout.names), dtype=bool)
    for name in wanted:
        fits = [tensor == name or tensor.startswith(f"{name}.") for tensor in layout.names]
        if not any(fits):
            raise ValueError(
                f"select must name parameters or modules, but {name!r} is none; the parameters "
                f"are {', '.join(layout.names)}"
            )
        hit |= fits
    return np.repeat(hit, layout.sizes)


def bias_names(layout: Layout) -> list[str]:
    """List the parameters that are biases by their name.

    Returns:
        Names, in the order of the state.
    """
    return [name for name in layout.names if "bias" in name.rpartition(".")[2]]


def layer_groups(layout: Layout) -> dict[str, list[str]]:
    """Group trainable tensors by the module that holds them; buffers go with their module.

    Returns:
        For each module what `entries` takes, in the order of the state.
    """

    def owner(name: str) -> str:
        return name.rpartition(".")[0] or name

    owners = dict.fromkeys(owner(name) for name in layout.names[: layout.trainable])
    return {group: [name for name in layout.names if owner(name) == group] for group in owners}


def weight_layers(module: nn.Module, remedy: str = REMEDY) -> dict[str, nn.Module]:
    """List the linear and convolutional layers of a sequential network.

    Args:
        module: The network.
        remedy: What a user can do where the order of the layers cannot be told.

    Returns:
        Layers by name, from the input to the output.

    Raises:
        ValueError: If the order of the layers cannot be told.
    """
    layers: dict[str, nn.Module] = {}
    for name, leaf in _leaves(module):
        if isinstance(leaf, WEIGHTED):
            layers[name] = leaf
        elif any(True for _ in leaf.parameters()):
            raise ValueError(
                "the order of layers is known for nn.Sequential networks of linear and "
                f"convolutional layers, but {name or 'the model'!r} is a {type(leaf).__name__}; "
                f"{remedy}"
            )
    return layers


def _leaves(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        yield name, module
        return
    for child, part in module.named_children():
        yield from _leaves(part, f"{name}.{child}" if name else child)


@dataclass(frozen=True)
class WeightDistance:
    """How far weights moved; frozen parameters and running statistics do not count.

    Attributes:
        absolute: Euclidean distance.
        relative: Distance over the norm of the start (arXiv:2104.11044, released code).
        cosine: Cosine of the angle between both vectors of weights.
        per_layer: Distance by the module that holds the weights.
    """

    absolute: float
    relative: float
    cosine: float
    per_layer: Mapping[str, float]


def weight_distance(task: Task, start: ArrayLike, end: ArrayLike) -> WeightDistance:
    """Measure how far apart the weights of two states are.

    Args:
        task: The task of both.
        start: A state (S,), usually the initialisation.
        end: Another (S,).

    Returns:
        The distance in all weights and in each layer.

    Raises:
        ValueError: If the states are of another network or not finite.
    """
    layout, count = task.layout, task.weight_count
    first = check_state(task, start, "start").astype(np.float64)
    last = check_state(task, end, "end").astype(np.float64)
    norms = [float(np.linalg.norm(state[:count])) for state in (first, last)]
    inner, product = float(first[:count] @ last[:count]), norms[0] * norms[1]
    moved = (last - first) * (np.arange(layout.width) < count)
    absolute = float(np.linalg.norm(moved))
    return WeightDistance(
        absolute=absolute,
        relative=absolute / norms[0] if norms[0] else np.inf,
        cosine=inner / product if product else np.nan,
        per_layer={
            group: float(np.linalg.norm(moved[entries(layout, names)]))
            for group, names in layer_groups(layout).items()
        },
    )
