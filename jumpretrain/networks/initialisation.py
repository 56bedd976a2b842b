"""Fresh weights for a network, from a seed alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Positive
from jumpretrain.execution.randomness import seeded
from jumpretrain.execution.settings import standard_settings
from jumpretrain.networks.copying import copied

__all__ = ["WEIGHTED", "check_repeats", "fresh", "initialise"]

Scheme = Literal["torch", "he", "xavier", "orthogonal"]
Biases = Literal["all", "last", "none"]
WEIGHTED = (
    nn.Linear,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""Linear and convolutional layers."""
DRAWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "he": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "xavier": nn.init.xavier_normal_,
    "orthogonal": nn.init.orthogonal_,
}


@standard_settings()
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


def check_repeats(first: nn.Module, second: nn.Module) -> None:
    """Check that a function builds the same network under the same seed.

    Args:
        first: What it built under a seed.
        second: What it built under the same seed again.

    Raises:
        ValueError: If they differ.
    """
    again = _tensors(second)
    for name, tensor in _tensors(first).items():
        if name not in again or not _equal(tensor, again[name]):
            raise ValueError(
                "a function that builds a network must build the same one under the same seed, "
                f"but {name!r} differs from call to call; draw from torch's default generator"
            )


@checked
def initialise(
    build: Callable[[], nn.Module],
    scheme: Scheme = "torch",
    scale: Positive = 1.0,
    biases: Biases = "all",
    zero_biases: bool = False,
) -> Callable[[], nn.Module]:
    """Choose the law of fresh weights and which layers have biases.

    This concerns linear and convolutional layers (`nn.Linear`, `nn.Conv1d` to `nn.Conv3d` and
    `nn.ConvTranspose1d` to `nn.ConvTranspose3d`) whose weights are trained. Frozen layers and
    what other modules hold, BatchNorm's shifts among it, stay as the builder left them.

    Fans are torch's: the fan-in of a convolution is in / groups x kernel, that of a transposed
    one out / groups x kernel, as of the convolution that it transposes; the fan-out is out x
    kernel, of a transposed one in x kernel.

    Args:
        build: A function without arguments that builds the network.
        scheme: `"torch"` keeps the builder's weights and biases. The others draw weights and set
            biases to zero: `"he"` from a normal law of variance 2 / fan-in (arXiv:1502.01852),
            `"xavier"` of variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010),
            `"orthogonal"` matrices (arXiv:1312.6120), a convolution as (out, in x kernel), a
            transposed one as (in, out x kernel).
        scale: What the weights are multiplied by afterwards; biases are not.
        biases: `"last"` removes all biases but those of the last layer that has some, in the
            order in which the network registered its layers; `"none"` removes all.
        zero_biases: Whether the builder's biases are set to zero under `"torch"` as well.

    Returns:
        A function that builds the network, as `Task` takes it; it refuses a network without
        such layers.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jumpretrain as jr
        >>> build = lambda: jr.models.mlp((1, 8, 8), 10, hidden=(16,))
        >>> [tuple(p.shape) for p in initialise(build, "he", 0.25, biases="last")().parameters()]
        [(16, 64), (10, 16), (10,)]
    """
    if isinstance(build, nn.Module) or not callable(build):
        raise ValueError(
            f"build must be a function that builds a network, not a {type(build).__name__}; "
            "write lambda: ..."
        )
    if scale <= 0:
        raise ValueError(f"scale must be above 0, but is {scale}")
    return partial(_initialised, build, scheme, scale, biases, zero_biases)


def _initialised(
    build: Callable[[], nn.Module], scheme: Scheme, scale: float, biases: Biases, zero_biases: bool
) -> nn.Module:
    network = _built(build)
    layers = _trained_layers(network, biases)
    with torch.no_grad():
        for weight in {id(part.weight): part.weight for part in layers}.values():  # tied once
            if scheme != "torch":
                DRAWS[scheme](weight)
            weight.mul_(scale)
    biased = [part for part in layers if part.bias is not None]
    for part in biased:
        if biases == "none" or (biases == "last" and part is not biased[-1]):
            part.register_parameter("bias", None)
        elif zero_biases or scheme != "torch":
            nn.init.zeros_(part.bias)
    return network


def _trained_layers(network: nn.Module, biases: Biases) -> list[Any]:
    found = [part for part in network.modules() if isinstance(part, WEIGHTED)]
    layers = [part for part in found if part.weight.requires_grad]
    if not layers:
        raise ValueError(
            "initialise draws linear and convolutional layers, but the network has none that is "
            "trained; pass the function itself as the model"
        )
    if any(not isinstance(part.weight, nn.Parameter) or is_lazy(part.weight) for part in layers):
        raise ValueError(
            "initialise draws weights that are parameters of their layer, but some are computed "
            "or have no shape yet; draw them in the function itself"
        )
    if biases == "last" and all(part.bias is None for part in layers):
        raise ValueError("biases='last' keeps the last biases, but no layer has any; use 'none'")
    return layers


def _called(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    with seeded(seed):
        return _built(factory)


def _built(factory: Callable[[], nn.Module]) -> nn.Module:
    module = factory()
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"a model must be an nn.Module or a function that builds one, but the function gave a "
            f"{type(module).__name__}"
        )
    return module


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor for name, tensor in named if not is_lazy(tensor)}


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.shape == second.shape and bool(
        ((first == second) | ((first != first) & (second != second))).all()
    )


def _reset(model: nn.Module, seed: int) -> nn.Module:
    module = copied(model)
    with seeded(seed):
        for part in reversed(list(module.modules())):
            reset = getattr(part, "reset_parameters", getattr(part, "_reset_parameters", None))
            if callable(reset):
                reset()
    return module


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
                stacklevel=5,
            )
