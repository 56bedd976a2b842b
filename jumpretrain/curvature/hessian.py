"""The Hessian of the training loss, by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.weight_norm import WeightNorm

from jumpretrain.contents.estimates import renew_vectors
from jumpretrain.contents.layout import cast, run_with, tensors_of
from jumpretrain.execution.attention import attention_by_formula
from jumpretrain.tasks.probing import reason
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task

__all__ = ["Hessian", "hessian_product"]

Dtype = Literal["float64", "float32"]
FEW, ALIKE, ASIDE, ROUNDINGS = 8, 0.1, 1e-2, 1e3
STEPS = (1e-5, 1e-6, 1e-4, 1e-3)
"""By how much of their length weights are moved to measure a curvature."""
Product = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def hessian_product(task: Task, state: StateLike, dtype: Dtype = "float64") -> Product:
    """Prepare to multiply vectors by the Hessian of the mean training loss.

    The loss is that of the scored training examples in evaluation mode. BatchNorm uses the state's
    own statistics whatever the task's policy: re-estimated ones would depend on the weights, and
    a jump leaves stale ones behind. The vectors of `spectral_norm` are the state's own under
    `"stored"`, else those of its weights; either way they are held, as torch does. At a kink (ReLU
    at exactly 0) the derivatives are torch's. The gradient is differentiated again, so that no
    matrix is built.

    Args:
        task: The task of the state.
        state: A state (S,).
        dtype: Type of the copy of the network.

    Returns:
        A function of a vector (P,) that returns Hessian times vector (P,).

    Raises:
        ValueError: If the state does not fit, or its loss is not finite.
    """
    return Hessian(task, state, dtype).product


class Hessian:
    """The mean training loss around a state, up to second order, over the trainable weights.

    Attributes:
        loss: Mean loss of the scored training examples.
        gradient_norm: Euclidean length of its gradient.
        examples: Number of examples.

    Raises:
        ValueError: If the state does not fit, or its loss is not finite.
    """

    def __init__(self, task: Task, state: StateLike, dtype: Dtype) -> None:
        if dtype not in ("float64", "float32"):
            raise ValueError(f"dtype must be float64 or float32, but is {dtype!r}")
        array = task.state(state, "state")
        if dtype == "float32":
            self._check_in_double(task, array)
        self._prepare(task, array, getattr(torch, dtype))
        why = self._why_not_differentiable()
        if why:
            other = torch.float32 if self.dtype == torch.float64 else torch.float64
            self._prepare(task, array, other)
            helps = not self._why_not_differentiable()
            word = f"pass dtype={str(other).removeprefix('torch.')!r}" if helps else "change them"
            raise ValueError(
                f"loss and network must be twice differentiable in {dtype}, but fail: {why}; "
                f"{word}"
            )
        if self.dtype == torch.float64:
            self._check_curvature()
        few = len(self.batches) == 1
        self.kept = [self._slope(*self.batches[0])] if few else None  # then needs no second pass
        self.loss, gradient = 0.0, torch.zeros_like(self.weights)
        for loss, part in self.kept or self._slopes():
            self.loss += loss.item()
            gradient += part.detach()
        self.gradient_norm = gradient.norm().item()
        if not np.isfinite([self.loss, self.gradient_norm]).all():
            raise ValueError(
                "loss and gradient must be finite, but are not here; take another state"
            )

    def _prepare(self, task: Task, array: NDArray[Any], dtype: torch.dtype) -> None:
        self.task, self.dtype = task, dtype
        values = torch.as_tensor(array, device=task.device)
        self.module = cast(task.module(array), dtype).eval()
        _write_out_weight_norm(self.module)
        if task.batchnorm != "stored":
            renew_vectors(self.module)
        self.weights = values[: task.weight_count].to(dtype, copy=True).requires_grad_()
        held = tensors_of(self.module)
        self.others = {n: held[n].detach() for n in task.layout.names[task.layout.trainable :]}
        self.examples = len(task.tensors["scored_y"])
        batches = zip(task.batches("scored_x"), task.batches("scored_y"), strict=True)
        self.batches = [(self._cast(x), self._cast(y)) for x, y in batches]

    def _why_not_differentiable(self) -> str:
        """Try one product on two examples.

        Returns:
            Why loss or network cannot be differentiated twice in this type, or nothing.
        """
        inputs, targets = self.batches[0]
        try:
            _, gradient = self._slope(inputs[:2], targets[:2])
            _derivative(gradient, self.weights, torch.zeros_like(self.weights))
        except RuntimeError as error:
            return reason(error)
        return ""

    def _check_in_double(self, task: Task, array: NDArray[Any]) -> None:
        self._prepare(task, array, torch.float64)
        if not self._why_not_differentiable():  # networks may be written for one type alone
            self._check_curvature()

    def _check_curvature(self) -> None:
        """Compare a product with how the gradient changes, near the state but off its kinks.

        A function whose backward is cut off from the weights has second derivatives of zero that
        are none.

        Raises:
            ValueError: If they differ at each of some distances.
        """
        inputs, targets = (tensor[:FEW] for tensor in self.batches[0])
        rng, size = np.random.default_rng(0), len(self.weights)
        scale = self.weights.norm().detach().clamp(min=1)
        draws = (self.weights.new_tensor(rng.normal(size=size)) / size**0.5 for _ in range(2))
        aside, along = (scale * draw for draw in draws)
        centre = self.weights.detach() + ASIDE * aside

        def at(step: float) -> tuple[torch.Tensor, torch.Tensor]:
            place = (centre + step * along).requires_grad_()
            return place, self._slope(inputs, targets, place)[1]

        place, slope = at(0)
        along = along * (slope != 0)  # what has no slope of its own, as rows of padding
        computed = _derivative(slope, place, along)
        rounding = ROUNDINGS * torch.finfo(torch.float64).eps * slope.norm()
        for step in STEPS:
            measured = (at(step)[1] - at(-step)[1]).detach() / (2 * step)
            gap = (measured - computed).norm() - ALIKE * measured.norm() - rounding / step
            if not gap > 0:  # NaN where the loss is not finite
                return
        raise ValueError(
            "loss and network must be twice differentiable, but the gradient changes by "
            f"{float(measured.norm()):.3g} along a direction in which its derivative is "
            f"{float(computed.norm()):.3g}; compute backward by torch's functions of all that it "
            "depends on, without once_differentiable or detach"
        )

    def product(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Multiply a vector (P,) by the Hessian.

        Returns:
            The product (P,).
        """
        total = torch.zeros_like(self.weights)
        along = torch.as_tensor(vector, dtype=self.dtype, device=self.weights.device)
        for _, gradient in self.kept or self._slopes():
            total += _derivative(gradient, self.weights, along)
        return total.double().cpu().numpy()

    def _slopes(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for inputs, targets in self.batches:
            yield self._slope(inputs, targets)

    def _slope(
        self, inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Differentiate a batch's share of the mean loss, here or at other weights.

        Returns:
            The share and its gradient (P,), which can be differentiated again.
        """
        weights = self.weights if weights is None else weights
        tensors = self.task.layout.split_weights(weights)
        with attention_by_formula(self.task.trial.attends):  # others differentiate once only
            outputs = run_with(self.module, tensors | self.others, inputs)
        loss = self.task.loss(outputs, targets).sum() / self.examples
        (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
        return loss, gradient

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor


def _derivative(
    gradient: torch.Tensor, weights: torch.Tensor, along: torch.Tensor
) -> torch.Tensor:
    """Differentiate a gradient along a direction, as often as one likes.

    Returns:
        Hessian times direction (P,); zeros where the gradient depends on no weight.
    """
    if not gradient.requires_grad:
        return torch.zeros_like(weights)
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    (product,) = torch.autograd.grad(gradient, weights, along, **options)
    return product


def _write_out_weight_norm(module: nn.Module) -> None:
    """Let `weight_norm` be computed by its formula: torch's own has other second derivatives.

    Measured with torch 2.13: the derivative of its gradient is not how that changes.
    """

    def normed(dim: int, g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        over = tuple(axis for axis in range(v.ndim) if axis != dim % v.ndim or dim == -1)
        lengths: torch.Tensor = torch.linalg.vector_norm(v, dim=over, keepdim=True)
        return v * (g / lengths)

    def normed_by_hook(hook: WeightNorm, part: nn.Module) -> torch.Tensor:
        return normed(hook.dim, *(getattr(part, f"{hook.name}_{key}") for key in "gv"))

    for part in module.modules():
        if isinstance(part, _WeightNorm):
            part.forward = partial(normed, part.dim)  # type: ignore[method-assign]
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm):
                hook.compute_weight = partial(normed_by_hook, hook)  # type: ignore[method-assign]
