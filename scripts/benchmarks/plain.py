"""The plain loops that a user writes, to compare the library with."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.utils.data import DataLoader, TensorDataset

import jumpretrain as jr

Scores = list[float]


def retrain(
    task: jr.Task, recipe: jr.Recipe, states: NDArray[Any], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Retrain jump by jump: load_state_dict, DataLoader, SGD; record states and scores (K, T, M).

    Scores are losses and accuracies on training and test examples, with stale and with
    recalibrated statistics where there is BatchNorm; the training loss to compare is at -4.
    """
    model = copy.deepcopy(task.template).to(task.device)
    train, test = (dataset(task, split) for split in ("train", "test"))
    found = []
    for state, seed in zip(states, seeds, strict=True):
        model.load_state_dict(copy.deepcopy(task.module(state).state_dict()))
        order = torch.Generator().manual_seed(int(seed))
        loader = DataLoader(train, recipe.batch_size, shuffle=True, generator=order)
        optimiser = torch.optim.SGD(model.parameters(), recipe.lr, momentum=recipe.momentum)
        rows, kept = [scored(model, train, test)], []
        for _ in range(recipe.epochs):
            model.train()
            for x, y in loader:
                optimiser.zero_grad()
                outputs = model(x.to(task.device))
                nn.functional.cross_entropy(outputs, y.to(task.device)).backward()
                optimiser.step()
            kept.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
            rows.append(scored(model, train, test))
        found.append(rows)
    return np.array(found)


def dataset(task: jr.Task, split: str) -> TensorDataset:
    arrays = (getattr(task.data, f"{split}_{part}") for part in ("x", "y"))
    return TensorDataset(*(torch.tensor(array) for array in arrays))


def scored(model: nn.Module, train: TensorDataset, test: TensorDataset) -> Scores:
    """Score a network as it stands and, with BatchNorm, once more with fresh statistics."""
    values = _scored(model, train) + _scored(model, test)
    if not any(isinstance(part, BatchNorm) for part in model.modules()):
        return values
    fresh = copy.deepcopy(model).train()
    for layer in fresh.modules():
        if isinstance(layer, BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        for x, _ in DataLoader(train, 512):
            fresh(x.to(next(model.parameters()).device))
    return values + _scored(fresh, train) + _scored(fresh, test)


@torch.no_grad()
def _scored(model: nn.Module, data: TensorDataset) -> Scores:
    """Give the mean loss and the accuracy."""
    model.eval()
    loss = hits = 0.0
    place = next(model.parameters()).device
    for x, y in ((x.to(place), y.to(place)) for x, y in DataLoader(data, 512)):
        out = model(x)
        loss += nn.functional.cross_entropy(out, y, reduction="sum").item()
        hits += (out.argmax(1) == y).sum().item()
    return [loss / len(data), hits / len(data)]


@torch.no_grad()
def interpolate(
    task: jr.Task, start: NDArray[Any], end: NDArray[Any], alphas: int, select: str = ""
) -> Scores:
    """Score a straight path: load_state_dict and a pass over all data for each alpha.

    Only tensors whose name begins with `select` move; the others are held at the end.
    """
    ends = [task.module(state).state_dict() for state in (start, end)]
    model = copy.deepcopy(task.template)
    train, test = (dataset(task, split) for split in ("train", "test"))
    found = []
    for alpha in np.linspace(0, 1, alphas):
        mixed = {
            name: (1 - alpha) * a + alpha * b if name.startswith(select) else b
            for (name, a), b in zip(ends[0].items(), ends[1].values(), strict=True)
        }
        model.load_state_dict(mixed)
        found.append(_scored(model, train)[0])
        _scored(model, test)
    return found


@torch.no_grad()
def passes(task: jr.Task, count: int) -> None:
    """Pass over all data with its loss, again and again, with the same weights."""
    model = task.module().eval()
    for name in ("scored", "test") * count:
        for x, y in zip(task.batches(f"{name}_x"), task.batches(f"{name}_y"), strict=True):
            nn.functional.cross_entropy(model(x), y).item()
