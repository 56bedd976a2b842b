"""The map between a network and its state: one vector of weights, then what else it holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

__all__ = ["Layout", "cast", "check_apart", "is_constant", "run_with", "tensors_of"]


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a network stands in its state vector.

    Weights (trainable parameters, tied ones once) come first, then frozen parameters, then
    floating-point buffers. Those that hold infinities or NaN stay out: masks are no numbers to
    move.

    Attributes:
        names: Name of each tensor.
        shapes: Shape of each tensor.
        trainable: How many of the tensors are weights.
        dtype: Type of the state, `torch.float64` if a parameter is, else `torch.float32`.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    trainable: int
    dtype: torch.dtype

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Read the layout off a network.

        Returns:
            The layout.

        Raises:
            ValueError: If nothing is trainable, a tensor is neither float32 nor float64 or a
                buffer finer than all parameters, or two share memory without being one.
        """
        parameters = list(module.named_parameters())
        lazy = [name for name, p in parameters if is_lazy(p)]
        if lazy:
            raise ValueError(
                f"a model must know its shapes, but {lazy[0]} has none yet; "
                "run it once on an input, or name its sizes"
            )
        weights = [(name, p) for name, p in parameters if p.requires_grad]
        still = [(name, p) for name, p in parameters if not p.requires_grad]
        frozen = [(name, p) for name, p in still if not is_constant(p)]
        buffers = [(name, b) for name, b in module.named_buffers() if not is_constant(b)]
        if not weights:
            raise ValueError("a task needs a trainable parameter, but the model has none")
        entries = weights + frozen + buffers
        for name, tensor in entries:
            if tensor.layout != torch.strided:
                raise ValueError(
                    f"tensors of a state must be dense, but {name} is {tensor.layout}; "
                    "convert it with .to_dense()"
                )
            if tensor.dtype not in (torch.float32, torch.float64):
                raise ValueError(
                    f"a state must be float32 or float64, but {name} is {tensor.dtype}; "
                    "convert the model with .float() first"
                )
        check_apart(module)
        double = any(p.dtype == torch.float64 for _, p in parameters)
        fine = [n for n, b in buffers if not double and b.dtype == torch.float64]
        if fine:
            raise ValueError(
                f"a state must hold its buffers whole, but {fine[0]} is float64 and all "
                "parameters are float32; convert the model with .float() or .double()"
            )
        return cls(
            names=tuple(name for name, _ in entries),
            shapes=tuple(tuple(tensor.shape) for _, tensor in entries),
            trainable=len(weights),
            dtype=torch.float64 if double else torch.float32,
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of each tensor."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def width(self) -> int:
        """Length S of a state."""
        return sum(self.sizes)

    @property
    def weight_count(self) -> int:
        """Number P of weights."""
        return sum(self.sizes[: self.trainable])

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Type of the state as NumPy names it."""
        return np.dtype(np.float64 if self.dtype == torch.float64 else np.float32)

    def split(self, states: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cut states into named tensors.

        Args:
            states: States (..., S).

        Returns:
            Views (..., *shape) by name.
        """
        lead = states.shape[:-1]
        pieces = torch.split(states, list(self.sizes), dim=-1)
        named = zip(self.names, pieces, self.shapes, strict=True)
        return {name: piece.reshape((*lead, *shape)) for name, piece, shape in named}

    def split_weights(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cut the weights of one state (P,) into named tensors.

        Returns:
            Views by name.
        """
        pieces = torch.split(weights, list(self.sizes[: self.trainable]))
        named = zip(self.names, pieces, self.shapes, strict=False)
        return {name: piece.reshape(shape) for name, piece, shape in named}

    def weights(self, state: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
        """Walk through the trainable tensors of a state.

        Yields:
            Name and values, as views in their own shape.
        """
        ends = np.cumsum(self.sizes)[: self.trainable]
        for name, shape, end in zip(self.names, self.shapes, ends, strict=False):
            yield name, state[end - math.prod(shape) : end].reshape(shape)

    def read(self, module: nn.Module) -> torch.Tensor:
        """Collect a network's state.

        Returns:
            A new vector (S,).
        """
        tensors = tensors_of(module)
        pieces = [tensors[name].detach().reshape(-1).to(self.dtype) for name in self.names]
        return torch.cat(pieces)

    def write(self, module: nn.Module, state: torch.Tensor) -> None:
        """Set a network's parameters and buffers to a state (S,)."""
        tensors = tensors_of(module)
        pieces = torch.split(state, list(self.sizes))
        with torch.no_grad():
            for name, shape, piece in zip(self.names, self.shapes, pieces, strict=True):
                tensors[name].copy_(piece.reshape(shape))


def is_constant(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is in no state.

    Returns:
        Whether it is not trained and holds anything but floating-point numbers, or some that are
        not finite.
    """
    if tensor.requires_grad:
        return False
    dense = tensor.layout == torch.strided
    return not tensor.is_floating_point() or (dense and not bool(tensor.isfinite().all()))


def tensors_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Collect a network's parameters and buffers, those that no file keeps among them.

    Returns:
        Tensors by name; a tied one under each of its names.
    """
    parameters = module.named_parameters(remove_duplicate=False)
    return dict(parameters) | dict(module.named_buffers(remove_duplicate=False))


def run_with(module: nn.Module, tensors: Mapping[str, torch.Tensor], *inputs: Any) -> Any:
    """Run a network with other tensors in the place of its own.

    A tied tensor is replaced in all its places. `functional_call` by itself would leave a layer
    that stands at two places with what it was given.

    Args:
        module: The network.
        tensors: Tensors by name, a tied one under any of its names.
        inputs: What the network takes.

    Returns:
        What it gives.
    """
    parts = dict(module.named_modules(remove_duplicate=False))
    own = tensors_of(module)
    given = {id(own[name]): tensor for name, tensor in tensors.items()}
    places: dict[tuple[int, str], str] = {}
    for name in own:
        owner, _, key = name.rpartition(".")
        places.setdefault((id(parts[owner]), key), name)
    wanted = {name: given[id(own[name])] for name in places.values() if id(own[name]) in given}
    return functional_call(module, wanted, inputs, tie_weights=False)


def cast(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert what a network of one's own holds to a floating-point type.

    Complex buffers stay complex: their real and imaginary parts are of that type then, where
    `Module.to` drops the imaginary part.

    Returns:
        The network itself.
    """

    def converted(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_complex():
            return tensor.to(dtype.to_complex())
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    module._apply(converted)  # type: ignore[no-untyped-call]  # as Module.double does
    return module


def _span(tensor: torch.Tensor) -> int:
    """Count the places in memory from the first entry of a dense tensor to its last.

    Returns:
        Their number; less than there are entries where these share memory.
    """
    if tensor.layout != torch.strided:
        return tensor.numel()
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return 1 + sum((size - 1) * stride for size, stride in steps) if tensor.numel() else 0


def check_apart(module: nn.Module) -> None:
    """Check that writing one tensor of a network leaves the others as they are.

    Raises:
        ValueError: If two share memory.
    """
    places = sorted(
        (str(t.device), t.data_ptr(), t.data_ptr() + _span(t) * t.element_size(), name)
        for name, t in (*module.named_parameters(), *module.named_buffers())
        if not is_lazy(t) and t.layout == torch.strided and t.numel() and t.device.type != "meta"
    )
    for (device, _, end, first), (other, start, _, second) in pairwise(places):
        if device == other and start < end:
            raise ValueError(
                f"tensors of a state must lie apart, but {first} and {second} share memory; "
                "make one of them a clone(), or both one parameter"
            )
