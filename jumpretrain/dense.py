"""Fully connected networks, scored a few states at a time.

Products of small matrices cost less together than one by one, and on a straight line between two
states the first layer is affine in alpha (derived), so that two products serve every state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jumpretrain.curves import Curve
from jumpretrain.layers import entries
from jumpretrain.measures import accuracy, cross_entropy, squared_error
from jumpretrain.task import Task

__all__ = ["Line", "dense_layers", "dense_outputs", "groups", "straight_line"]

TOGETHER, ENTRIES = 4, 2**21  # measured: more leave the cache
ALIGNED = 16  # bytes: elsewhere bits depend on the states beside
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh)

Layers = Mapping[str, nn.Module]


@dataclass(frozen=True, eq=False)
class Line:
    """The first layer along a straight line between two states.

    Attributes:
        ends: What leaves the layer at the start and at the end for each batch, (B, h) each, by
            split.
        alphas: Where on the line each state lies (K,).
    """

    ends: Mapping[str, list[tuple[torch.Tensor, torch.Tensor]]]
    alphas: NDArray[np.float64]


def dense_layers(task: Task) -> Layers | None:
    """Recognise a network of linear layers with functions of single entries between them.

    Returns:
        Its layers after flattening, by name, the first of them linear; None where the network is
        of another kind, or a loss or metric of the user's own might not treat each example alone.
    """
    template, shape = task.template, tuple(task.data.train_x.shape[1:])
    own = (accuracy, cross_entropy, squared_error)
    known = all(any(measure is one for one in own) for measure in task.measures.values())
    if not known or type(template) is not nn.Sequential or not _plain(template):
        return None
    layers = dict(template.named_children())
    if len(layers) < len(template):  # a layer that is used twice is listed once
        return None
    begin = next(iter(layers.items()), None)
    if begin and type(begin[1]) is nn.Flatten and _plain(begin[1]):
        if (begin[1].start_dim, begin[1].end_dim) != (1, -1):
            return None
        del layers[begin[0]]
        shape = (math.prod(shape),)
    if not all(_known(task, name, part) for name, part in layers.items()):
        return None
    first = next(iter(layers.values()), None)
    return layers if type(first) is nn.Linear and shape == (first.in_features,) else None


def _plain(part: nn.Module) -> bool:
    hooks = part._forward_hooks or part._forward_pre_hooks
    return not hooks and "forward" not in vars(part)


def _known(task: Task, name: str, part: nn.Module) -> bool:
    """Tell whether a layer does what its type says, with tensors of its own in the state.

    Returns:
        Whether its outputs can be computed from the state alone.
    """
    if type(part) in ELEMENTWISE:
        return _plain(part)
    if type(part) is not nn.Linear or not _plain(part):
        return False
    tensors = {"weight": part.weight} | ({} if part.bias is None else {"bias": part.bias})
    held = {f"{name}.{key}" for key in tensors} <= set(task.layout.names)
    return held and all(tensor.dtype == task.layout.dtype for tensor in tensors.values())


def groups(task: Task, layers: Layers, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Divide states into as many at a time as the cache holds, by their number alone.

    Where the parts of the states would not be aligned in memory, each is alone.

    Returns:
        The rows of each group, in order.
    """
    widths = [part.out_features for part in layers.values() if isinstance(part, nn.Linear)]
    lengths = [len(x) for name in ("scored_x", "test_x") for x in task.batches(name)]
    size = task.layout.dtype.itemsize
    aligned = all(
        size * width * length % ALIGNED == 0 for width in widths[:-1] for length in lengths
    )
    most = ENTRIES // (max(widths) * max(lengths)) if aligned else 1
    together = min(TOGETHER, max(1, most))
    return np.array_split(rows, -(-len(rows) // together)) if len(rows) else []


def dense_outputs(
    task: Task,
    layers: Layers,
    states: torch.Tensor,
    split: str,
    line: Line | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Iterator[torch.Tensor]:
    """Compute what several states answer to each batch.

    Args:
        task: Network and data.
        layers: From `dense_layers`.
        states: The states (K, S).
        split: Whose examples, `"scored"` or `"test"`.
        line: The first layer, where the states lie on a straight line.
        rows: Which of the line's states these are (K,).

    Yields:
        Outputs (K B, d), one state's after another's.
    """
    tensors = task.layout.split(states)
    alphas = None if line is None else torch.as_tensor(line.alphas[rows], device=states.device)
    (first, *_), rest = layers, list(layers.items())[1:]
    for place, x in enumerate(task.batches(f"{split}_x")):
        if line is not None and alphas is not None:
            out = torch.lerp(*line.ends[split][place], alphas.to(states.dtype)[:, None, None])
        else:
            out = _product(tensors, first, x.flatten(1).expand(len(states), -1, -1))
        for name, part in rest:
            if type(part) is nn.Linear:
                out = _product(tensors, name, out)
            else:
                out = out.relu_() if type(part) is nn.ReLU else part(out)
        yield out.flatten(0, 1)


def _product(tensors: Mapping[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias = tensors[f"{name}.weight"].mT, tensors.get(f"{name}.bias")
    return x @ weight if bias is None else torch.baddbmm(bias[:, None], x, weight)


def straight_line(task: Task, curve: Curve, alphas: NDArray[np.float64]) -> Line | None:
    """Compute the first layer at both ends of a curve, which serves all states.

    Args:
        task: Network and data.
        curve: The states.
        alphas: Where on the curve (K,).

    Returns:
        The first layer; None where the network is not dense, or its first layer does not move on
        a straight line or overflows.
    """
    layers = dense_layers(task)
    if layers is None:
        return None
    first = next(iter(layers))
    names = [name for name in task.layout.names if name.startswith(f"{first}.")]
    if (curve.degree[entries(task.layout, names)] != 1).any():
        return None
    ends: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    with torch.no_grad():
        for split in ("scored", "test"):
            start, end = (
                dense_outputs(task, {first: layers[first]}, _row(task, state), split)
                for state in (curve.start, curve.end)
            )
            ends[split] = list(zip(start, end, strict=True))
    steps = [end - start for pairs in ends.values() for start, end in pairs]
    return Line(ends, alphas) if all(bool(step.isfinite().all()) for step in steps) else None


def _row(task: Task, state: NDArray[Any]) -> torch.Tensor:
    return torch.as_tensor(state[None], dtype=task.layout.dtype, device=task.device)
