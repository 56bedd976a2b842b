"""Which tensors of a state belong to a layer, how deep layers lie, how far each has moved."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from jumpretrain.contents.layout import Layout
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.settings import standard_settings
from jumpretrain.networks.initialisation import WEIGHTED
from jumpretrain.states.units import is_untouched
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task

__all__ = [
    "REMEDY",
    "WeightDistance",
    "bias_depths",
    "bias_names",
    "entries",
    "layer_degrees",
    "layer_groups",
    "moving_weights",
    "unclear_names",
    "weight_distance",
    "weight_layers",
]

REMEDY = "pass depth={name of a bias: number of its layer, from 1 at the input}"
NORMS = (
    *(_NormBase, nn.CrossMapLRN2d, nn.GroupNorm, nn.LayerNorm),
    *(nn.LocalResponseNorm, nn.RMSNorm),
)


def entries(layout: Layout, select: str | Sequence[str]) -> NDArray[np.bool_]:
    """Find the entries of a state that some tensors and layers hold.

    Args:
        layout: Where each tensor stands.
        select: Names of tensors, or of modules for all that they hold.

    Returns:
        A mask (S,).

    Raises:
        ValueError: If there are no names, or one fits nothing.
    """
    return np.repeat(_hits(layout, select), layout.sizes)


def moving_weights(layout: Layout, select: str | Sequence[str] | None) -> list[str]:
    """List the weights that move where some tensors and layers do; frozen ones do not.

    Args:
        layout: Where each tensor stands.
        select: As for `entries`; None moves everything.

    Returns:
        Names, in the order of the state.

    Raises:
        ValueError: As for `entries`.
    """
    weights = layout.names[: layout.trainable]
    return list(weights if select is None else compress(weights, _hits(layout, select)))


def _hits(layout: Layout, select: str | Sequence[str]) -> NDArray[np.bool_]:
    wanted = [select] if isinstance(select, str) else list(select)
    if not wanted:
        raise ValueError(
            "select must name a parameter or module or more, but is empty; the parameters are "
            f"{', '.join(layout.names)}"
        )
    hit = np.zeros(len(layout.names), dtype=bool)
    for name in wanted:
        fits = [tensor == name or tensor.startswith(f"{name}.") for tensor in layout.names]
        if not any(fits):
            raise ValueError(
                f"select must name parameters or modules, but {name!r} is none; the parameters "
                f"are {', '.join(layout.names)}"
            )
        hit |= fits
    return hit


def bias_names(layout: Layout) -> list[str]:
    """List the weights that are called biases; a parametrised one goes by what it stands for.

    Returns:
        Names, in the order of the state.
    """
    return [name for name in layout.names[: layout.trainable] if "bias" in _holder(name)[1]]


def unclear_names(layout: Layout) -> list[str]:
    """List the weights that may be biases: vectors called neither bias nor weight.

    A vector has at most one axis longer than 1.

    Returns:
        Names, in the order of the state.
    """
    weights = zip(layout.names, layout.shapes, layout.sizes, strict=True)
    return [
        name
        for name, shape, size in list(weights)[: layout.trainable]
        if size == max(shape, default=1) and not re.search("bias|weight", _holder(name)[1])
    ]


def layer_groups(layout: Layout) -> dict[str, list[str]]:
    """Group trainable tensors by the module that holds them; buffers go with their module.

    Returns:
        For each module what `entries` takes, in the order of the state.
    """

    def owner(name: str) -> str:
        holder, own = _holder(name)
        return holder or own

    owners = dict.fromkeys(owner(name) for name in layout.names[: layout.trainable])
    return {group: [name for name in layout.names if owner(name) == group] for group in owners}


def _holder(name: str) -> tuple[str, str]:
    """Split the name of a tensor into that of its module and its own.

    Returns:
        Both; a parametrised tensor's are those of the tensor that it makes up.
    """
    holder, _, own = re.sub(r"\bparametrizations\.(\w+)\..*", r"\1", name).rpartition(".")
    return holder, own


def weight_layers(module: nn.Module, remedy: str = REMEDY) -> list[str]:
    """List the linear and convolutional layers that an input passes in a sequential network.

    Args:
        module: The network.
        remedy: What a user can do where the order of the layers cannot be told.

    Returns:
        Names of the layers, from the input to the output; one used twice stands there twice.

    Raises:
        ValueError: If the order of the layers cannot be told: something else holds parameters,
            computes its weights, normalises, is no module of torch.nn, or has a forward or
            hooks of its own.
    """
    first = {id(part): name for name, part in module.named_modules()}
    layers = []
    for name, leaf in _leaves(module, ""):
        own = {key for key, _ in leaf.named_parameters()}
        if _is_plain(leaf, WEIGHTED) and own <= {"weight", "bias"}:
            layers.append(first[id(leaf)])
        elif own or isinstance(leaf, NORMS) or not _is_known(leaf):
            kept = is_untouched(leaf) and type(leaf) not in WEIGHTED
            changed = "" if kept else "changed "
            raise ValueError(
                "the order of layers is known for nn.Sequential networks of linear and "
                f"convolutional layers, but {name or 'the model'!r} is a {changed}"
                f"{type(leaf).__name__}; {remedy}"
            )
    return layers


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Walk through the layers of a network as often as an input passes them."""
    if not _is_plain(module, (nn.Sequential,)):
        yield name, module
        return
    for child, part in module._modules.items():
        if part is not None:
            yield from _leaves(part, f"{name}.{child}" if name else child)


def _is_plain(part: nn.Module, kinds: Sequence[type[nn.Module]]) -> bool:
    return type(part) in kinds and is_untouched(part)


def _is_known(part: nn.Module) -> bool:
    return type(part).__module__.startswith("torch.nn.") and is_untouched(part)


def layer_degrees(
    module: nn.Module, moving: Collection[str] | None = None, remedy: str = REMEDY
) -> list[tuple[str, int]]:
    """Count the layers whose weights move up to each layer of a sequential network.

    Args:
        module: The network.
        moving: Names of the parameters that move; None means all that are trained.
        remedy: As for `weight_layers`.

    Returns:
        For each of `weight_layers` its name and how many layers with moving weights an input has
        passed with it.

    Raises:
        ValueError: If the order of the layers cannot be told.
    """
    tensors = list(module.named_parameters())
    if moving is None:
        moving = [name for name, tensor in tensors if tensor.requires_grad]
    free = {id(tensor) for name, tensor in tensors if name in moving}
    layers, parts = weight_layers(module, remedy), dict(module.named_modules())
    degrees = np.cumsum([id(parts[layer].weight) in free for layer in layers], dtype=int)
    return list(zip(layers, degrees.tolist(), strict=True))


def bias_depths(module: nn.Module, moving: Collection[str] | None = None) -> dict[str, int]:
    """Number the layers of the biases of a sequential network; layers that stay do not count.

    Args:
        module: The network.
        moving: Names of the parameters that move; None means all that are trained.

    Returns:
        For each bias, by name, how many layers with moving weights an input has passed with its
        own, at least 1.

    Raises:
        ValueError: If the order of the layers cannot be told, or a bias has two places in it.
    """
    names = {id(tensor): name for name, tensor in module.named_parameters()}
    parts, found = dict(module.named_modules()), dict[str, int]()
    for layer, degree in layer_degrees(module, moving):
        name, number = names.get(id(parts[layer].bias)), max(degree, 1)
        if name is not None and found.setdefault(name, number) != number:
            raise ValueError(
                f"a bias must belong to one layer, but {name!r} is used in layers {found[name]} "
                f"and {number}; {REMEDY}"
            )
    return found


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


@checked
@standard_settings()
def weight_distance(task: Task, start: StateLike, end: StateLike) -> WeightDistance:
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
    first = task.state(start, "start").astype(np.float64)
    last = task.state(end, "end").astype(np.float64)
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
