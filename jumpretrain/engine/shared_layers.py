"""What states on a curve compute alike, in networks whose layers stand in a row.

The layers before the first that moves give the same at every alpha. That one, where it is linear
or a convolution and moves on a straight line, gives what is affine in alpha, so that what it
gives at both ends serves every state (derived).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jumpretrain.contents.layout import Layout
from jumpretrain.states.curves import Curve
from jumpretrain.tasks.task import Task

__all__ = [
    "ComputeRest",
    "ComputeShared",
    "Line",
    "ends_or_input",
    "line_outputs",
    "plain",
    "straight_line",
]

KNOWN = ("torch.nn.modules.", "jumpretrain.networks.residual")
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WORTH = 64  # measured: with fewer products an output, a convolution is faster than mixing

Shared = tuple[Any, ...]
ComputeShared = Callable[[torch.Tensor], Shared]
ComputeRest = list[tuple[NDArray[np.int64], Callable[[Shared], Any]]]


@dataclass(frozen=True, eq=False)
class Line:
    """Where on a curve states lie, and where along the network they begin to differ.

    Attributes:
        curve: The curve.
        alphas: Where on it each state lies (K,).
        first: Name of the first layer that moves; None where all stand still.
        straight: Whether what that layer gives is affine in alpha.
    """

    curve: Curve
    alphas: NDArray[np.float64]
    first: str | None
    straight: bool

    def still(self, names: Sequence[str]) -> list[str]:
        """Take the layers, in their order, before the first that moves.

        Returns:
            Their names.
        """
        return list(takewhile(lambda name: name != self.first, names))


def straight_line(task: Task, curve: Curve, alphas: NDArray[np.float64]) -> Line | None:
    """Find what the states on a curve compute alike.

    Args:
        task: Network and data.
        curve: The states.
        alphas: Where on the curve (K,).

    Returns:
        The line; None where nothing is shared, or the network's layers might not stand in a row.
    """
    row = _row(task.template)
    if row is None:
        return None
    moves = curve.start != curve.end
    moved, bent = (_holders(task.layout, mask) for mask in (moves, moves & (curve.degree != 1)))
    first = next((name for name in row if _within(name, moved)), None)
    straight = first is not None and _affine(row[first]) and not _within(first, bent)
    return Line(curve, alphas, first, straight) if straight or first != next(iter(row)) else None


def _holders(layout: Layout, mask: NDArray[np.bool_]) -> list[str]:
    pieces = np.split(mask, np.cumsum(layout.sizes)[:-1])
    return [name for name, piece in zip(layout.names, pieces, strict=True) if piece.any()]


def _within(layer: str, tensors: Sequence[str]) -> bool:
    return any(name.startswith(f"{layer}.") for name in tensors)


def _affine(part: nn.Module) -> bool:
    if type(part) in CONVOLUTIONS:
        return part.weight[0].numel() >= WORTH  # type: ignore[index]
    return type(part) is nn.Linear


def _row(network: nn.Module) -> dict[str, nn.Module] | None:
    """List the layers of a network that surely does nothing but run them one after the other.

    Returns:
        The layers by name; None where a layer or tensor has two places, something was hung onto
        a layer, or one is of a class that is not known.
    """
    walks = (network.named_modules, network.named_parameters, network.named_buffers)
    once = all(len([*walk()]) == len([*walk(remove_duplicate=False)]) for walk in walks)
    parts = list(network.modules())
    known = all(type(part).__module__.startswith(KNOWN) and plain(part) for part in parts)
    row = type(network) is nn.Sequential and once and known
    return dict(_leaves(network, "")) if row else None


def plain(part: nn.Module) -> bool:
    """Tell whether a layer does what its class says.

    Returns:
        Whether it has no hooks and no forward of its own.
    """
    hooks = part._forward_hooks or part._forward_pre_hooks
    return not hooks and "forward" not in vars(part)


def _leaves(part: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    if type(part) is not nn.Sequential:
        yield name, part
        return
    for child, inner in part.named_children():
        yield from _leaves(inner, f"{name}.{child}" if name else child)


def line_outputs(
    task: Task, module: nn.Module, states: NDArray[Any], rows: NDArray[np.int64], line: Line
) -> tuple[nn.Module, ComputeShared, ComputeRest]:
    """Divide a network into what the states of a line share and what each computes alone.

    Args:
        task: Of the network.
        module: The network; it becomes part of what is returned.
        states: States (K, S).
        rows: Which of them are to be scored.
        line: How they lie.

    Returns:
        All layers that are used, what is computed once a batch, and what follows for each state.
    """
    row = _row(module) or {}
    layers = {name: row[name] for name in line.still(list(row))}
    tail = {name: part for name, part in row.items() if name not in layers}
    _write(task, layers, line.curve.end)
    still = list(layers.values())
    ends = []
    if line.straight and line.first is not None:
        ends = [copy.deepcopy(row[line.first]) for _ in range(2)]
        for end, state in zip(ends, (line.curve.start, line.curve.end), strict=True):
            _write(task, {line.first: end}, state)
    tails = [copy.deepcopy(tail) for _ in rows]
    for own, place in zip(tails, rows, strict=True):
        _write(task, own, states[place])
    used = nn.ModuleList([*still, *ends, *chain(*(own.values() for own in tails))])
    answers: ComputeRest = [
        (np.array([place]), partial(_follow, list(own.values()), float(line.alphas[place])))
        for own, place in zip(tails, rows, strict=True)
    ]
    return used, partial(_shared, still, ends), answers


def _shared(still: list[nn.Module], ends: list[nn.Module], x: torch.Tensor) -> Shared:
    out = _run(still, x)
    return ends_or_input(out, *ends) if ends else (out,)


def ends_or_input(x: Any, *layers: Callable[[Any], torch.Tensor]) -> Shared:
    """Give an input to a layer as it is at both ends of a line.

    Returns:
        What it gives at the start and at the end; where these overflow, the input.
    """
    start, end = (layer(x) for layer in layers)
    return (start, end) if bool((end - start).isfinite().all()) else (x,)


def _follow(tail: list[nn.Module], alpha: float, common: Shared) -> Any:
    if not tail:  # a measure may write into what it is given
        return copy.deepcopy(common[0])
    if len(common) == 1:
        return _run(tail, *common)
    start, end = common
    return _run(tail[1:], torch.lerp(start, end, alpha))


def _run(layers: Sequence[nn.Module], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def _write(task: Task, layers: Mapping[str, nn.Module], state: NDArray[Any]) -> None:
    values = task.layout.split(torch.as_tensor(state, device=task.device))
    for name, part in layers.items():
        for key, tensor in chain(part.named_parameters(name), part.named_buffers(name)):
            if key in values:
                tensor.copy_(values[key])
