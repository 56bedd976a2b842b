"""The gradient of one step as machine code, through the compiler behind torch.compile."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

__all__ = ["compile_gradients"]

Tensors = Mapping[str, torch.Tensor]
Losses = Callable[[Tensors, torch.Tensor, torch.Tensor], torch.Tensor]
Gradients = Callable[[torch.Tensor, torch.Tensor], Sequence[torch.Tensor | None]]


def compile_gradients(
    losses: Losses, tensors: Tensors, weights: Sequence[str], x: torch.Tensor, y: torch.Tensor
) -> Gradients:
    """Compile the gradients of summed losses, for batches of one shape.

    The step is traced once and compiled forward and backward together, so that no Python and no
    autograd is left in it. What it writes into the tensors on the way (running statistics) is
    written by the machine code as well.

    Args:
        losses: Computes losses (K,) of tensors by name and batches (K, B, ...).
        tensors: What it computes with, by name; later calls see what they hold then.
        weights: Names of those that are differentiated.
        x: Inputs of the shape to compile for (K, B, ...); a trace writes nothing.
        y: Their targets.

    Returns:
        A function of inputs and targets: a gradient for each of the weights, None where the
        losses do not depend on them.

    Raises:
        Exception: Whatever tracing and compiling raise; there are many ways to be no graph.
    """
    names = list(tensors)

    def gradients(*values: torch.Tensor) -> list[torch.Tensor | None]:
        held = dict(zip(names, values[:-2], strict=True))
        sources = [held[name].detach().requires_grad_() for name in weights]
        total = losses(held | dict(zip(weights, sources, strict=True)), *values[-2:]).sum()
        found = torch.autograd.grad(total, sources, allow_unused=True)
        return [None if one is None else one.contiguous() for one in found]

    values = [tensor.detach() for tensor in tensors.values()]
    run = _machine_code(gradients, [*(value.clone() for value in values), x, y])

    @torch.no_grad()
    def compiled(x: torch.Tensor, y: torch.Tensor) -> Sequence[torch.Tensor | None]:
        found: Sequence[torch.Tensor | None] = run(*values, x, y)
        return found

    return compiled


def _machine_code(
    function: Callable[..., Any], values: Sequence[torch.Tensor]
) -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of torch's own
        from torch._inductor import compile, config  # seconds, for those alone who ask for it
        from torch.fx.experimental.proxy_tensor import make_fx

        graph = make_fx(function)(*values)
        with config.patch(compile_threads=1), torch.no_grad():
            compiled: Callable[..., Any] = compile(graph, list(values))
        return compiled
