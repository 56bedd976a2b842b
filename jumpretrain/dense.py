"""Fully connected networks, scored a few states at a time.

Products of small matrices cost less together than one by one, and on a straight line between two
states the first layer is affine in alpha (derived), so that two products serve every state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
FEWEST = 4
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
    own = set(task.measures.values()) <= {accuracy, cross_entropy, squared_error}
    if not own or type(template) is not nn.Sequential:
        return None
    layers = dict(template.named_children())
    if len(layers) < len(template):  # a layer that is used twice is listed once
        return None
    if layers and type(template[0]) is nn.Flatten:
        del layers[next(iter(layers))]
        shape = (math.prod(shape),)
    first = next(iter(layers.values()), None)
    known = all(_known(task, name, part) for name, part in layers.items())
    return layers if known and type(first) is nn.Linear and shape == (first.in_features,) else None


def _known(task: Task, name: str, part: nn.Module) -> bool:
    """Tell whether a layer does what its type says, with tensors of its own in the state.

    Returns:
        Whether its outputs can be computed from the state alone.
    """
    kept = {f"{name}.{key}": p.dtype == task.layout.dtype for key, p in part.named_parameters()}
    plain = not (part._forward_hooks or part._forward_pre_hooks)
    held = all(kept.values()) and kept.keys() <= set(task.layout.names)
    return type(part) in (nn.Linear, *ELEMENTWISE) and plain and held


def groups(task: Task, layers: Layers, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Divide states into as many at a time as the cache holds, by their number alone.

    Returns:
        The rows of each group, in order.
    """
    widest = max(part.out_features for part in layers.values() if isinstance(part, nn.Linear))
    longest = max(len(x) for name in ("scored_x", "test_x") for x in task.batches(name))
    size = min(TOGETHER, max(1, ENTRIES // (widest * longest)))
    return np.array_split(rows, -(-len(rows) // size)) if len(rows) else []


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
    """Compute the first layer at both ends of a curve, where that serves all states.

    Args:
        task: Network and data.
        curve: The states.
        alphas: Where on the curve (K,).

    Returns:
        The first layer; None where the network is not dense, its first layer does not move on a
        straight line, or there are too few states to gain.
    """
    layers = dense_layers(task)
    if layers is None or len(alphas) < FEWEST:
        return None
    first = next(iter(layers))
    names = [name for name in task.layout.names if name.startswith(f"{first}.")]
    if (curve.degree[entries(task.layout, names)] != 1).any():
        return None
    pair = torch.as_tensor(np.stack([curve.start, curve.end]), device=task.device)
    opening = {first: layers[first]}
    ends: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    with torch.no_grad():
        for split in ("scored", "test"):
            both = dense_outputs(task, opening, pair, split)
            ends[split] = [(out[: len(out) // 2], out[len(out) // 2 :]) for out in both]
    return Line(ends, alphas)
