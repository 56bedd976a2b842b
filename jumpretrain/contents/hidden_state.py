"""What a network remembers beside its tensors, so that training does not repeat."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from jumpretrain.contents.layout import tensors_of
from jumpretrain.execution.randomness import seeded

__all__ = [
    "alike",
    "check_generators",
    "is_generator",
    "read_tensors",
    "why_unlike",
    "write_tensors",
]

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
ROUNDING = 1e-5


def is_generator(thing: Any) -> bool:
    """Tell whether something draws random numbers that no seed of a run reaches.

    Returns:
        Whether it is a generator but for the shared ones, or a method of one.
    """
    shared: Any = (np.random.rand, random.gauss)
    known = (torch.default_generator, *(method.__self__ for method in shared))
    owner = getattr(thing, "__self__", thing)
    return isinstance(owner, GENERATORS) and all(owner is not one for one in known)


def check_generators(names: Sequence[str]) -> None:
    """Check that a network, its loss and its metrics hold no generators of their own.

    Args:
        names: What holds one.

    Raises:
        ValueError: If something does.
    """
    if names:
        raise ValueError(
            "training must repeat, but the network, loss or metrics draw from "
            f"{names[0].removeprefix('model.')}, a generator of its own, which no seed of a run "
            "reaches; draw from torch's default generator"
        )


def alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Tell whether two tensors are equal up to rounding.

    Returns:
        Whether they are; NaN equals NaN.
    """
    return torch.allclose(first, second, rtol=ROUNDING, equal_nan=True)


def read_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Copy all parameters and buffers of a network.

    Returns:
        Copies by name.
    """
    return {name: tensor.detach().clone() for name, tensor in tensors_of(module).items()}


def write_tensors(module: nn.Module, start: Mapping[str, torch.Tensor]) -> None:
    """Set all parameters and buffers of a network to what `read_tensors` gave."""
    with torch.no_grad():
        for name, tensor in tensors_of(module).items():
            tensor.copy_(start[name])


def why_unlike(module: nn.Module, start: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> str:
    """Say what makes two forwards differ that have tensors and seeds in common.

    Args:
        module: A network of one's own, which is changed.
        start: Its tensors.
        inputs: A batch (B, ...).

    Returns:
        The text of an error that names it.
    """
    return (
        "training must repeat, but two equal forwards in training differ in "
        f"{_first_unlike(module, start, inputs)}; keep what it remembers in a buffer, and draw "
        "from torch's default generator"
    )


def _first_unlike(
    module: nn.Module, start: Mapping[str, torch.Tensor], inputs: torch.Tensor
) -> str:
    first, second = (_outputs(module, start, inputs) for _ in range(2))
    common = [name for name in first if name in second]
    unlike = [name for name in common if not alike(first[name], second[name])]
    return repr(unlike[0]) if unlike and unlike[0] else "the network or its loss"


def _outputs(
    module: nn.Module, start: Mapping[str, torch.Tensor], inputs: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Run a network in training.

    Returns:
        What each part gives, in the order in which they finish.
    """
    seen: dict[str, torch.Tensor] = {}

    def watch(name: str, part: nn.Module, given: Any, gives: Any) -> None:
        if isinstance(gives, torch.Tensor):
            seen.setdefault(name, gives.detach().clone())

    hooks = [
        part.register_forward_hook(partial(watch, name)) for name, part in module.named_modules()
    ]
    write_tensors(module, start)
    with seeded(0), torch.no_grad():
        module(inputs.clone())
    for hook in hooks:
        hook.remove()
    return seen
