"""Networks in training: one alone, or many stacked along a first axis.

Both kinds have `parameters`, `backward(x, y)`, `norms()` and `read()`, so that one training loop
serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import vmap

from jumpretrain.contents.constants import check_kept
from jumpretrain.contents.layout import run_with, tensors_of
from jumpretrain.engine.compilation import Gradients, compile_gradients
from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.attention import attention_by_formula, attention_kernels
from jumpretrain.states.planes import Plane
from jumpretrain.tasks.dependence import check_as_fresh, check_used, held, used_values
from jumpretrain.tasks.task import Task

__all__ = [
    "REPLICAS",
    "Looped",
    "Stacked",
    "check_memory",
    "descend",
    "hold_to_planes",
    "optimise",
    "stacking_refusal",
]

FEW = 4  # examples that are tried


class Looped:
    """One network, trained as the module that it is."""

    def __init__(self, task: Task, states: NDArray[Any]) -> None:
        """Take the first of states (1, S)."""
        self.task, self.device = task, torch.device(task.device)
        self.module = task.module(states[0])
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]

        self.start = self.read()[:, : task.weight_count]
        self.used = used_values(task.template, task.measures)

    def tensors_by_name(self) -> dict[str, torch.Tensor]:
        """Collect all that training changes, counters of BatchNorm included.

        Returns:
            Tensors by name.
        """
        own = tensors_of(self.module)
        return {name: own[name] for name in self.task.layout.names} | _counters(self.module)

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take tensors that `tensors_by_name` gave."""
        _copy(tensors, tensors_of(self.module))

    def backward(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Add the gradient of the mean training loss of a batch (1, B, ...)."""
        with attention_kernels(self.task.trial.attends):
            outputs = self.module(self.task.laid_out(x[0]))
        torch.autograd.backward(self.task.loss(outputs, y[0]).mean())
        for parameter in self.parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.to_dense()

    def norms(self) -> torch.Tensor:
        """Measure each trained tensor.

        Returns:
            Euclidean norms (1, N); the gradient of a norm of zero is zero.
        """
        return torch.stack([torch.linalg.vector_norm(p) for p in self.parameters])[None]

    def read(self) -> torch.Tensor:
        """Collect the state.

        Returns:
            One row (1, S).
        """
        return self.task.layout.read(self.module)[None]


class Stacked:
    """K networks whose tensors are stacked, trained by one vectorised forward and backward."""

    def __init__(self, task: Task, states: NDArray[Any], compiled: bool = False) -> None:
        """Stacked states (K, S); compiled are steps of the shape of the first."""
        self.task, self.device = task, torch.device(task.device)
        self.module = task.module()
        layout = task.layout
        pieces = layout.split(torch.tensor(states, device=task.device))  # memmaps are read-only
        own = tensors_of(self.module)
        self.tensors = {name: t.to(own[name].dtype).clone() for name, t in pieces.items()}
        self.parameters = [
            self.tensors[name].requires_grad_() for name in layout.names[: layout.trainable]
        ]
        self.start = self.read()[:, : task.weight_count]
        self.used = used_values(task.template, task.measures)
        self.compiled = compiled
        self._gradients: tuple[torch.Size, Gradients] | None = None

    def tensors_by_name(self) -> dict[str, torch.Tensor]:
        """Collect all that training changes, counters of BatchNorm included.

        Returns:
            Stacked tensors by name; counters, which are one for all networks, as they are.
        """
        return self.tensors | _counters(self.module)

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take tensors that `tensors_by_name` gave."""
        _copy(tensors, tensors_of(self.module) | self.tensors)

    def backward(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Set the gradients of the mean training losses of batches (K, B, ...)."""
        if self.compiled and self._gradients is None:
            weights = self.task.layout.names[: self.task.layout.trainable]
            compiled = compile_gradients(self._losses, self.tensors, weights, x, y)
            self._gradients = x.shape, compiled
        if self._gradients is None or x.shape != self._gradients[0]:  # an incomplete last batch
            torch.autograd.backward(self._losses(self.tensors, x, y).sum())
            return
        for parameter, gradient in zip(self.parameters, self._gradients[1](x, y), strict=True):
            parameter.grad = gradient

    def _losses(
        self, tensors: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        def one(
            tensors: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
        ) -> torch.Tensor:
            return self.task.loss(run_with(self.module, tensors, x), y).mean()

        with attention_by_formula(self.task.trial.attends):  # other kernels know no vmap
            return vmap(one, randomness="error")(dict(tensors), x, y)

    def norms(self) -> torch.Tensor:
        """Measure each trained tensor of each network.

        Returns:
            Euclidean norms (K, N); the gradient of a norm of zero is zero.
        """
        flat = [_rows(p) for p in self.parameters]
        return torch.stack([torch.linalg.vector_norm(p, dim=1) for p in flat], dim=1)

    def read(self) -> torch.Tensor:
        """Collect the states.

        Returns:
            One row a network (K, S).
        """
        flat = [_rows(tensor.detach()).to(self.task.layout.dtype) for tensor in self._ordered()]
        return torch.cat(flat, dim=1)

    def _ordered(self) -> list[torch.Tensor]:
        return [self.tensors[name] for name in self.task.layout.names]


def _counters(module: nn.Module) -> dict[str, torch.Tensor]:
    """Find the tensors of whole numbers and of truths, which are in no state.

    Returns:
        Tensors by name.
    """
    found = {n: t for n, t in tensors_of(module).items() if t.layout == torch.strided}
    return {n: t for n, t in found.items() if not (t.is_floating_point() or t.is_complex())}


@torch.no_grad()
def _copy(tensors: Mapping[str, torch.Tensor], into: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        into[name].copy_(tensor)


REPLICAS: dict[str, Callable[[Task, NDArray[Any]], Looped | Stacked]] = {
    "looped": Looped,
    "stacked": Stacked,
    "compiled": partial(Stacked, compiled=True),
}
"""Networks at states, by the name of how they are trained."""


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(len(tensor), math.prod(tensor.shape[1:]))  # -1 is unclear where empty


def hold_to_planes(replicas: Looped | Stacked, planes: Sequence[Plane]) -> None:
    """Put the weights of K networks back into planes through their starts."""
    count = replicas.start.shape[1]
    moves = replicas.read()[:, :count] - replicas.start
    same = all(plane is planes[0] for plane in planes)
    if same:
        moves = planes[0].project(moves)
    else:
        moves = torch.stack([p.project(move) for p, move in zip(planes, moves, strict=True)])
    place, weights = 0, replicas.start + moves
    with torch.no_grad():
        for parameter in replicas.parameters:
            size = parameter.numel() // (len(weights) if isinstance(replicas, Stacked) else 1)
            parameter.copy_(weights[:, place : place + size].reshape(parameter.shape))
            place += size


def check_memory(replicas: Looped | Stacked) -> None:
    """Check after training that a network keeps nothing that is in no state.

    What starts late is seen here only, not when the task is made.

    Raises:
        ValueError: If it does; the message names what changed.
    """
    task, fresh = replicas.task, replicas.task.module()
    check_used(replicas.used, task.template, task.measures)
    check_kept(before := held(fresh), held(replicas.module, before), "training")
    if isinstance(replicas, Looped):
        examples = task.tensors["train_x"], task.tensors["train_y"]
        check_as_fresh(replicas.module, fresh, task.loss, examples)


def stacking_refusal(
    task: Task, states: NDArray[Any], sizes: Sequence[int], compiled: bool = False
) -> str:
    """Try training steps on two states, alone and stacked, and say why stacking is refused.

    Args:
        task: Network, data and loss.
        states: At least two states (K, S).
        sizes: How many examples batches have; a few are tried first.
        compiled: Whether the stacked step is compiled, for the few.

    Returns:
        The reason, or an empty string where both agree.
    """
    singles = [Looped(task, states[k : k + 1]) for k in (0, 1)]
    stacked = Stacked(task, states[:2], compiled)
    tried = (_disagreement(task, singles, stacked, size) for size in (FEW, *sizes))
    return next(filter(None, tried), "")


def _disagreement(task: Task, singles: list[Looped], stacked: Stacked, size: int) -> str:
    few = [task.tensors[name][:size] for name in ("train_x", "train_y")]
    x, y = (torch.stack([tensor, tensor]) for tensor in few)
    buffers = dict(singles[0].module.named_buffers())
    alone = torch.cat([_step(single, x[:1], y[:1]) for single in singles])
    rebound = [n for n, b in singles[0].module.named_buffers() if b is not buffers.get(n)]
    if rebound:  # what a stacked forward binds is lost, and may be too small to be seen
        return f"the forward binds {rebound[0]} anew"
    try:
        together = _step(stacked, x, y)
    except Exception as error:  # vmap and compilers fail in any way
        return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    scale = float(alone[alone.isfinite()].abs().max())
    if not torch.allclose(alone, together, rtol=1e-3, atol=1e-4 * scale, equal_nan=True):
        return "stacked and looped steps disagree"
    return ""


def _step(replicas: Looped | Stacked, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    for _ in range(2):  # the second tells what a trace took for constant
        for parameter in replicas.parameters:
            parameter.grad = None
        replicas.backward(x, y)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in replicas.parameters]
    rows = [gradient.reshape(len(x), gradient.numel() // len(x)) for gradient in gradients]
    return torch.cat([*rows, replicas.read()], dim=1)


def optimise(replicas: Looped | Stacked, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the optimiser of a recipe for networks.

    Returns:
        The optimiser, fresh.
    """
    optimiser = recipe.optimise(replicas.parameters)
    if isinstance(replicas, Stacked) and replicas.device.type == "cpu":
        for group in optimiser.param_groups:  # one pass; wrong where strides differ, unlike here
            group["fused"] = True
    return optimiser


def descend(
    replicas: Looped | Stacked,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    x: torch.Tensor,
    y: torch.Tensor,
) -> None:
    """Take one step of the optimiser on a batch."""
    optimiser.zero_grad()
    replicas.backward(x, y)
    if recipe.push:
        away = (replicas.norms() - recipe.radius).square().sum()
        torch.autograd.backward(recipe.push * away)
    if isinstance(replicas, Stacked) and recipe.optimiser == "sgd" and recipe.momentum:
        _begin_momentum(replicas.parameters, optimiser)
    optimiser.step()


def _begin_momentum(parameters: Sequence[torch.Tensor], optimiser: torch.optim.Optimizer) -> None:
    """Give weights that were skipped until now a momentum of zero, which a fused step needs."""
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    begun = [optimiser.state[p].get("momentum_buffer") is not None for p in moved]
    if any(begun) and not all(begun):
        for parameter in moved:
            if optimiser.state[parameter].get("momentum_buffer") is None:
                optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
