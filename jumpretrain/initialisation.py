"""Fresh weights for a network, from a seed alone."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

__all__ = ["fresh"]


def fresh(model: nn.Module | Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network with fresh weights; the global random state stays as it was.

    A function is called under the seed. A network is copied and every module that knows how to
    reset its parameters does so, children first.

    Returns:
        A network of one's own.

    Raises:
        ValueError: If a network holds a random parameter that no module resets.
    """
    if not isinstance(model, nn.Module):
        return _called(model, seed)
    _check_reset(model, seed)
    return _reset(model, seed)


def _called(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    with _seeded(seed):
        module = factory()
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"a model must be an nn.Module or a function that builds one, but the function gave a "
            f"{type(module).__name__}"
        )
    return module


def _reset(model: nn.Module, seed: int) -> nn.Module:
    module = copy.deepcopy(model)
    with _seeded(seed):
        for part in reversed(list(module.modules())):
            reset = getattr(part, "reset_parameters", getattr(part, "_reset_parameters", None))
            if callable(reset):
                reset()
    return module


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and put them back afterwards."""
    numpy, python = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)


def _check_reset(model: nn.Module, seed: int) -> None:
    other = dict(_reset(model, seed + 1).named_parameters())
    given = dict(model.named_parameters())
    for name, parameter in _reset(model, seed).named_parameters():
        if not parameter.requires_grad or parameter.numel() < 2:
            continue
        same = torch.equal(parameter, other[name])
        if same and bool((parameter != parameter.flatten()[0]).any()):
            raise ValueError(
                f"fresh weights must differ from seed to seed, but nothing resets {name!r}; "
                "pass a function that builds the model instead of the model"
            )
        if not same and bool((given[name] == given[name].flatten()[0]).all()):
            warnings.warn(
                f"{name!r} is constant in the model given but random after a reset; "
                "pass a function that builds the model to keep its own initialisation",
                stacklevel=4,
            )
