"""Fully connected networks, scored a few states at a time.

Products of small matrices cost less together than one by one, and so do measures. What the states
of a line share is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jumpretrain.engine.shared_layers import (
    ComputeRest,
    ComputeShared,
    Line,
    Shared,
    ends_or_input,
    plain,
)
from jumpretrain.tasks.measures import accuracy, cross_entropy, squared_error
from jumpretrain.tasks.task import Task

__all__ = ["batched", "fully_connected_layers", "fully_connected_outputs"]

TOGETHER, ENTRIES = 4, 2**18  # measured: products of more leave the cache
ALIGNED = 64  # bytes of a register: elsewhere bits depend on the states beside
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh)

Layers = Mapping[str, nn.Module]
Tensors = Mapping[str, torch.Tensor]


def fully_connected_layers(task: Task) -> Layers | None:
    """Recognise a network of linear layers with functions of single entries between them.

    Returns:
        Its layers after flattening, by name, the first of them linear; None where the network is
        of another kind, or a loss or metric of the user's own might not treat each example alone.
    """
    template, shape = task.template, tuple(task.data.train_x.shape[1:])
    own = (accuracy, cross_entropy, squared_error)
    known = all(any(measure is one for one in own) for measure in task.measures.values())
    if not known or type(template) is not nn.Sequential or not plain(template):
        return None
    layers = dict(template.named_children())
    if len(layers) < len(template):  # a layer that is used twice is listed once
        return None
    begin = next(iter(layers.items()), None)
    if begin and type(begin[1]) is nn.Flatten and plain(begin[1]):
        if (begin[1].start_dim, begin[1].end_dim) != (1, -1):
            return None
        del layers[begin[0]]
        shape = (math.prod(shape),)
    if not all(_known(task, name, part) for name, part in layers.items()):
        return None
    first = next(iter(layers.values()), None)
    return layers if type(first) is nn.Linear and shape == (first.in_features,) else None


def _known(task: Task, name: str, part: nn.Module) -> bool:
    """Tell whether a layer does what its type says, with tensors of its own in the state.

    Returns:
        Whether its outputs can be computed from the state alone.
    """
    if type(part) in ELEMENTWISE:
        return plain(part)
    if type(part) is not nn.Linear or not plain(part):
        return False
    tensors = {"weight": part.weight} | ({} if part.bias is None else {"bias": part.bias})
    held = {f"{name}.{key}" for key in tensors} <= set(task.layout.names)
    return held and all(tensor.dtype == task.layout.dtype for tensor in tensors.values())


def batched(task: Task, layers: Layers) -> bool:
    """Tell whether a group of states is multiplied at once, by the network and the data alone.

    Returns:
        Whether its products stay in the cache, none is of a single column, and what is computed
        entry by entry is aligned in memory.
    """
    widths = [part.out_features for part in layers.values() if isinstance(part, nn.Linear)]
    lengths = [len(x) for name in ("scored_x", "test_x") for x in task.batches(name)]
    row_by_row = type(list(layers.values())[-1]) is nn.Linear and not any(
        measure is squared_error for measure in task.measures.values()
    )
    size = task.layout.dtype.itemsize
    aligned = all(
        size * width * length % ALIGNED == 0
        for width in (widths[:-1] if row_by_row else widths)
        for length in lengths
    )
    return aligned and min(widths) > 1 and TOGETHER * max(widths) * max(lengths) <= ENTRIES


def fully_connected_outputs(
    task: Task,
    layers: Layers,
    states: NDArray[Any],
    rows: NDArray[np.int64],
    line: Line | None = None,
) -> tuple[ComputeShared, ComputeRest]:
    """Divide the network into what states share and what follows for a few at a time.

    Args:
        task: Network and data.
        layers: From `fully_connected_layers`.
        states: States (K, S).
        rows: Which of them are to be scored.
        line: How they lie, where they lie on a line.

    Returns:
        What is computed once a batch; what follows for each group of states: outputs (G B, d),
        one state's after another's.
    """
    names = [] if line is None else line.still(list(layers))
    still = {name: layers[name] for name in names}
    rest = {name: part for name, part in layers.items() if name not in still}
    first = line.first if line is not None and line.straight else None
    lead = (1,) if batched(task, layers) else ()
    ends = [] if line is None else [line.curve.start, line.curve.end]
    fixed = [_tensors(task, state.reshape(*lead, -1)) for state in ends]
    alphas = np.zeros(len(states)) if line is None else line.alphas
    answers: ComputeRest = []
    for some in np.array_split(rows, -(-len(rows) // TOGETHER)):
        sets = [some] if lead else list(some)
        parts = [(_tensors(task, states[k]), _tensor(task, alphas[k])) for k in sets]
        answers.append((some, partial(_follow, rest, parts)))
    return partial(_shared, still, first, fixed, lead), answers


def _shared(
    still: Layers,
    first: str | None,
    ends: Sequence[Tensors],
    lead: tuple[int, ...],
    x: torch.Tensor,
) -> Shared:
    out = _run(still, ends[-1] if ends else {}, x.reshape(*lead, len(x), -1))
    if first is None:
        return (out,)
    return ends_or_input(out, *(partial(_product, tensors, first) for tensors in ends))


def _follow(
    rest: Layers, parts: Sequence[tuple[Tensors, torch.Tensor]], common: Shared
) -> torch.Tensor:
    later = dict(list(rest.items())[len(common) - 1 :])
    outputs = [_run(later, tensors, _between(alphas, common)) for tensors, alphas in parts]
    return torch.cat(outputs).reshape(-1, outputs[0].shape[-1])


def _between(alphas: torch.Tensor, common: Shared) -> torch.Tensor:
    if len(common) == 2:
        start, end = common
        return torch.lerp(start, end, alphas[:, None, None] if alphas.ndim else alphas)
    same: torch.Tensor = common[0]
    return same.expand(len(alphas), -1, -1) if alphas.ndim else same


def _tensors(task: Task, states: NDArray[Any]) -> Tensors:
    pieces = task.layout.split(_tensor(task, states))
    return {name: piece.clone() for name, piece in pieces.items()}  # bits depend on alignment


def _tensor(task: Task, array: NDArray[Any]) -> torch.Tensor:
    return torch.as_tensor(array, device=task.device).to(task.layout.dtype)


def _run(layers: Layers, tensors: Tensors, out: torch.Tensor) -> torch.Tensor:
    for name, part in layers.items():
        if type(part) is nn.Linear:
            out = _product(tensors, name, out)
        else:
            out = out.relu_() if type(part) is nn.ReLU else part(out)
    return out


def _product(tensors: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias = tensors[f"{name}.weight"].mT, tensors.get(f"{name}.bias")
    if bias is None:
        return x @ weight
    return torch.addmm(bias, x, weight) if x.ndim == 2 else torch.baddbmm(bias[:, None], x, weight)
