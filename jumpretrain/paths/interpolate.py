"""Score the states between two: all at once, layer by layer, weights and biases apart.

After arXiv:2106.16004 (layers), arXiv:2104.11044 (paths and their Gauss length) and
arXiv:2210.01019 (biases).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import joblib
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.paths.outputs import score
from jumpretrain.paths.path import Path
from jumpretrain.states.curves import Curve, check_alphas
from jumpretrain.states.layers import (
    REMEDY,
    bias_depths,
    bias_names,
    entries,
    layer_groups,
    moving_weights,
    unclear_names,
)
from jumpretrain.tasks.sources import StateLike, StatesLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["interpolate", "interpolation_grid", "layerwise"]

Biases = Literal["linear", "homogeneous", "start", "end", "zero"]
Others = Literal["end", "start"]
BLOCK_ENTRIES = 2**24


@checked
@standard_settings()
def interpolate(
    task: Task,
    start: StateLike,
    end: StateLike,
    alphas: int | ArrayLike = 51,
    select: str | Sequence[str] | None = None,
    others: Others = "end",
    biases: Biases = "linear",
    depth: Mapping[str, int] | None = None,
    logits: bool = False,
    execution: Execution | None = None,
) -> Path:
    """Score the states between two, without augmentation.

    BatchNorm follows the task's policy: `"stored"` uses interpolated statistics. The states are
    built in blocks, so that memory does not grow with their number.

    Args:
        task: Network, data, loss and metrics.
        start: The state at alpha 0 (S,).
        end: The state at alpha 1 (S,).
        alphas: Where to score, rising within [0, 1], or how many points, evenly spread.
        select: Names of the parameters or modules that move; None moves everything.
        others: The state at which everything else is held.
        biases: How the trained biases that move do: `"linear"` as the weights, `"homogeneous"`
            with alpha^h in layer h, so that bias and signal are of the same degree, or held at
            the `"start"`, the `"end"` or `"zero"`. Biases are tensors with "bias" in their name.
        depth: For each bias, by name, the number of its layer, from 1 at the input. For
            `"homogeneous"` biases it is found where the network is an `nn.Sequential` of linear
            and convolutional layers: layers whose weights are frozen or not selected do not
            count, as the signal does not grow in them (frozen ones are taken to be the same in
            both states), but a bias moves with alpha at least. Vectors called neither bias nor
            weight must be named for all but `"linear"` biases, which take no depth; 0 says that
            one is none, but moves as the weights.
        logits: Whether the outputs are kept.
        execution: Where to compute; it changes no bit.

    Returns:
        Scores along the path: the task's metrics, and for class labels `train_error`,
        `test_error` and the error of each class.

    Raises:
        ValueError: If states, alphas or names do not fit, it cannot be told which weights are
            biases or in which layer, or a depth is given that nothing asks for.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> path = jr.interpolate(task, task.initial(0), task.initial(1), alphas=3)
        >>> path.class_error["test"].shape
        (3, 10)
    """
    shares = check_alphas(alphas)
    ends = task.state(start, "start"), task.state(end, "end")
    curve = _curve(task, *ends, select, others, biases, depth)
    execution = execution or Execution()
    jobs = [(task, curve, block, logits) for block in _blocks(shares, curve, execution)]
    parts = spread(score, jobs, execution, "interpolating" if len(jobs) > 1 else "")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    by_split = {
        kind: {split: columns.pop(f"{kind}.{split}") for split in ("train", "test")}
        for kind in ("logits", "class_error")
        if f"{kind}.train" in columns
    }
    provenance = {
        "task": task.fingerprint,
        "ends": [digest(state) for state in ends],
        "select": "everything" if select is None else select,
        "others": others,
        "biases": biases,
        "depth": None if depth is None else dict(depth),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    return Path(shares, columns, **by_split, curve=curve, provenance=provenance)


@checked
@standard_settings()
def layerwise(
    task: Task,
    start: StateLike,
    end: StateLike,
    groups: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
    alphas: int | ArrayLike = 51,
    others: Others = "end",
    execution: Execution | None = None,
) -> dict[str, Path]:
    """Move one layer or block at a time, all others held: arXiv:2106.16004, section 3.

    Args:
        task: Network, data, loss and metrics.
        start: The state at alpha 0 (S,).
        end: The state at alpha 1 (S,).
        groups: Names of modules, or for each label the names that move together; None takes
            each module that holds weights.
        alphas: As for `interpolate`.
        others: The state at which the others are held; the paper's is the end.
        execution: Where to compute.

    Returns:
        A path for each layer or block.

    Raises:
        ValueError: If states, alphas or names do not fit.
    """
    if groups is None:
        groups = layer_groups(task.layout)
    groups = [groups] if isinstance(groups, str) else groups
    if not groups:
        raise ValueError(
            "groups must name a module or more, but are empty; leave them out to move each "
            "module that holds weights"
        )
    named = groups if isinstance(groups, Mapping) else {name: name for name in groups}
    for names in named.values():
        entries(task.layout, names)
    ends = task.state(start, "start"), task.state(end, "end")
    return {
        label: interpolate(task, *ends, alphas, names, others, execution=execution)
        for label, names in named.items()
    }


@checked
@standard_settings()
def interpolation_grid(
    task: Task,
    starts: StatesLike,
    ends: StatesLike,
    alphas: int | ArrayLike = 51,
    biases: Biases = "linear",
    depth: Mapping[str, int] | None = None,
    execution: Execution | None = None,
) -> list[list[Path]]:
    """Interpolate from every state to every other: initialisations, optima, controls.

    Args:
        task: Network, data, loss and metrics.
        starts: States (I, S).
        ends: States (J, S).
        alphas: As for `interpolate`.
        biases: As for `interpolate`.
        depth: As for `interpolate`.
        execution: Where to compute.

    Returns:
        The path from start i to end j at `[i][j]`.

    Raises:
        ValueError: As for `interpolate`.
    """
    shares = check_alphas(alphas)
    first, last = task.check_states(starts), task.check_states(ends)
    return [
        [
            interpolate(task, a, b, shares, biases=biases, depth=depth, execution=execution)
            for b in last
        ]
        for a in first
    ]


def _curve(
    task: Task,
    first: NDArray[Any],
    last: NDArray[Any],
    select: str | Sequence[str] | None,
    others: str,
    biases: str,
    depth: Mapping[str, int] | None,
) -> Curve:
    if others not in ("end", "start"):
        raise ValueError(f"others must be end or start, but is {others!r}")
    if biases not in ("linear", "homogeneous", "start", "end", "zero"):
        raise ValueError(
            f"biases must be linear, homogeneous, start, end or zero, but is {biases!r}"
        )
    layout = task.layout
    moves = np.ones(layout.width, bool) if select is None else entries(layout, select)
    layers = np.repeat(_bias_layers(task, select, biases, depth), layout.sizes)
    degree = np.ones(layout.width, dtype=np.uint8)
    if biases == "homogeneous":
        degree = np.maximum(layers, 1)
    elif biases != "linear":
        still = {"start": first, "end": last, "zero": np.zeros_like(first)}[biases]
        held = moves & (layers > 0)
        first, last = np.where(held, still, first), np.where(held, still, last)
    rest = {"start": first, "end": last}[others]
    return Curve(np.where(moves, first, rest), np.where(moves, last, rest), degree)


def _bias_layers(
    task: Task,
    select: str | Sequence[str] | None,
    biases: str,
    depth: Mapping[str, int] | None,
) -> NDArray[np.uint8]:
    """Number the layer of each tensor that is a bias.

    Returns:
        The numbers, 0 for what moves as the weights (L,).

    Raises:
        ValueError: If they cannot be told, or the depths given do not fit.
    """
    layout, found = task.layout, dict(depth or {})
    named, unclear = bias_names(layout), unclear_names(layout)
    if depth is not None:
        _check_depth(found, biases, [*named, *unclear])
    if biases == "linear":
        named, unclear = [], []
    elif biases != "homogeneous":  # held, in whichever layer
        found = dict.fromkeys(named, 1) | found
    elif depth is None and named and not unclear:
        known = bias_depths(task.template, moving_weights(layout, select))
        found = {name: known[name] for name in named if name in known}
    missing = [name for name in (*named, *unclear) if name not in found]
    if missing:
        raise ValueError(
            f"biases={biases!r} must know which weights are biases and in which layer, but "
            f"nothing tells of {', '.join(missing)}; {REMEDY}, 0 for a vector that is none"
        )
    return np.array([found.get(name, 0) for name in layout.names], dtype=np.uint8)


def _check_depth(depth: Mapping[str, int], biases: str, possible: Sequence[str]) -> None:
    if biases == "linear":
        raise ValueError(
            "depth is for biases that move otherwise than the weights, but biases are 'linear'; "
            "leave it out"
        )
    strange = [name for name in depth if name not in possible]
    if strange:
        raise ValueError(
            "depth must name trained biases, or vectors called neither bias nor weight, but names "
            f"{', '.join(map(str, strange))}; choose of {', '.join(possible) or 'none'}"
        )
    wrong = {name: number for name, number in depth.items() if number not in range(256)}
    if wrong:
        raise ValueError(
            "depth must number layers from 1 to 255, or say 0 for a vector that is no bias, but "
            f"holds {wrong}"
        )


def _blocks(
    alphas: NDArray[np.float64], curve: Curve, execution: Execution
) -> list[NDArray[np.float64]]:
    largest = max(1, min(64, BLOCK_ENTRIES // len(curve.start)))
    workers = min(joblib.effective_n_jobs(execution.n_jobs), len(alphas))
    return np.array_split(alphas, max(workers, -(-len(alphas) // largest)))
