"""What tells one task from another, in short words that folders keep.

Parts that vary with versions or processors say under `with` what they hold for; elsewhere they
are not compared.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jumpretrain.contents.layout import Layout
from jumpretrain.execution.randomness import seeded
from jumpretrain.execution.threads import versions
from jumpretrain.tasks.ingredients import ABOUT, Ingredients
from jumpretrain.tasks.measures import PerExample

__all__ = [
    "as_entries",
    "check_sent",
    "describe_model",
    "digest",
    "name_of",
    "training_values",
    "values",
]

ANY = "any version"
COARSE, TINY = 1e-2, 1e-5
"""Shares and numbers by which processes may differ: numbers of three digits and their rounding."""


def digest(*arrays: NDArray[Any]) -> str:
    """Hash arrays with their shapes and types.

    Returns:
        Sixteen hexadecimal digits.
    """
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.shape}{array.dtype}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()[:16]


def name_of(function: Callable[..., Any]) -> str:
    """Name a function, or the class of what is called like one.

    Returns:
        The name.
    """
    return str(getattr(function, "__qualname__", type(function).__name__))


def describe_model(layout: Layout, model: nn.Module) -> str:
    """Hash what a network says of itself.

    Returns:
        Sixteen hexadecimal digits.
    """
    said = re.sub(r" at 0x[0-9a-f]+", "", repr((layout, model)))
    return digest(np.frombuffer(said.encode(), np.uint8))


def values(
    module: nn.Module,
    layout: Layout,
    measures: Mapping[str, PerExample],
    batch: tuple[torch.Tensor, torch.Tensor],
) -> str:
    """Score a fixed state: what the names of model and measures do not tell.

    Args:
        module: A network of one's own, which is changed.
        layout: Where its tensors stand in a state.
        measures: Loss and metrics by name.
        batch: Inputs and targets (B, ...).

    Returns:
        The measures of the examples, to three digits.
    """
    _settle(module, layout)
    inputs, targets = batch
    with torch.no_grad():
        outputs = module.eval()(inputs.clone())
        means = {n: float(f(outputs, targets).mean()) for n, f in measures.items()}
    return ", ".join(f"{name} {mean:.3g}" for name, mean in means.items())


def training_values(
    module: nn.Module,
    layout: Layout,
    loss: PerExample,
    batch: tuple[torch.Tensor, torch.Tensor],
    drawn: bool,
) -> dict[str, str]:
    """Take a gradient at a fixed state in training: what only training depends on.

    Args:
        module: A network of one's own in training mode, which is changed.
        layout: Where its tensors stand in a state.
        loss: Loss of each example.
        batch: Inputs and targets (B, ...).
        drawn: Whether that draws random numbers, which processors draw otherwise.

    Returns:
        The mean loss and the length of its gradient.
    """
    _settle(module, layout)
    inputs, targets = batch
    weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with seeded(0), torch.enable_grad():
        mean = loss(module(inputs.clone()), targets).mean()
        slopes = (
            torch.autograd.grad(mean, weights, allow_unused=True) if mean.requires_grad else ()
        )
    total = sum(float(slope.to_dense().square().sum()) for slope in slopes if slope is not None)
    found = {"loss": f"{ABOUT}{float(mean.detach()):.7g}", "gradient": f"{ABOUT}{total**0.5:.7g}"}
    return {"with": _processor(inputs.device) if drawn else ANY, **found}


def check_sent(told: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Check that a task computes in this process what it computed where it came from.

    Args:
        told: The `values` and `training` there.
        found: The same here.

    Raises:
        ValueError: If they differ by more than rounding.
    """
    there, here = ({"values": t["values"], **t["training"]} for t in (told, found))
    names = ("values", "loss", "gradient") if there["with"] == here["with"] else ("values",)
    unlike = [name for name in names if not _close(there[name], here[name])]
    if unlike:
        one, other = there[unlike[0]], here[unlike[0]]
        raise ValueError(
            "a worker must compute what the program does that started it, but at a fixed state "
            f"the program has {unlike[0]} {one} and the worker {other}; keep in the network what "
            "was set at run time (a global, an attribute of a class), or take n_jobs=1"
        )


def _close(one: str, other: str) -> bool:
    texts = (
        [part.rpartition(" ")[2].strip(ABOUT) for part in t.split(", ")] for t in (one, other)
    )
    first, second = (np.array(numbers, float) for numbers in texts)
    same = first.shape == second.shape
    return same and np.allclose(first, second, rtol=COARSE, atol=TINY, equal_nan=True)


def as_entries(found: Ingredients) -> dict[str, dict[str, str]]:
    """Say for which versions descriptions of code and values hold.

    Returns:
        The entries of a fingerprint.
    """
    packages = f"torch {torch.__version__}, jumpretrain {version('jumpretrain')}"
    return {
        "code": {"with": f"{sys.implementation.cache_tag} -O{sys.flags.optimize}", **found.code},
        "held": {"with": ANY, **found.held},
        "layers": {"with": packages, **found.layers},
    }


def _settle(module: nn.Module, layout: Layout) -> None:
    state = np.full(layout.width, 0.5)
    state[: layout.weight_count] = np.random.default_rng(0).normal(0, 0.1, layout.weight_count)
    layout.write(module, torch.as_tensor(state, device=next(module.parameters()).device))


def _processor(device: torch.device) -> str:
    chip = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return ", ".join(f"{name} {told}" for name, told in (versions() | chip).items())
