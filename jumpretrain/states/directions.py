"""Random directions in weight space, scaled to the weights that they leave from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.contents.layout import Layout
from jumpretrain.execution.arguments import checked

__all__ = ["deviation_cosines", "directions", "single_filters"]

Normalise = Literal["filter", "layer", "none"]


def directions(
    layout: Layout,
    optimum: NDArray[Any],
    seeds: Sequence[int],
    normalise: Normalise = "filter",
    include_1d: bool = False,
) -> tuple[NDArray[Any], int]:
    """Draw Gaussian directions and scale them to the optimum (arXiv:2102.00485, section 3.1).

    A filter of one number has no direction but its sign: scaled to its norm it would be set to
    zero or doubled by a jump of 1. Tensors of such filters (the weight of a linear layer with one
    input or of a depthwise 1x1 convolution, the lengths of `weight_norm`) therefore count as 1-d
    under `"filter"` (derived; the paper's code jumps them).

    Args:
        layout: Where the weights stand in a state.
        optimum: The state that the directions leave from (S,).
        seeds: One seed a direction (D,).
        normalise: `"filter"` gives every filter (first axis of a tensor with two axes or more, as
            in the paper's code: of a transposed convolution these are inputs, not outputs) the
            norm of the optimum's, `"layer"` every tensor, `"none"` the whole direction.
        include_1d: Whether biases and BatchNorm's scale and shift move, scaled as whole tensors;
            they stay otherwise.

    Returns:
        Directions (D, P), and the number of filters that stay because their norm is 0.

    Raises:
        ValueError: If nothing would move.
    """
    if normalise not in ("filter", "layer", "none"):
        raise ValueError(f"normalise must be filter, layer or none, but is {normalise!r}")
    weights = list(layout.weights(optimum))
    rows = [_direction([w for _, w in weights], seed, normalise, include_1d) for seed in seeds]
    result = np.stack(rows).astype(optimum.dtype)
    if not result.any(axis=1).all():
        raise ValueError(
            "a direction must move a weight, but every tensor is 1-d, of filters of one number or "
            "zero here; pass include_1d=True or another optimum"
        )
    moving = [w for _, w in weights if _has_filters(w.shape)]
    still = sum(int((_norms(w) == 0).sum()) for w in moving) if normalise == "filter" else 0
    return result, still


def single_filters(layout: Layout, normalise: Normalise) -> dict[str, int]:
    """Name the weights of two axes or more that count as 1-d, each filter being one number.

    Returns:
        How many filters each has; empty where filters are not normalised.
    """
    if normalise != "filter":
        return {}
    weights = list(zip(layout.names, layout.shapes, strict=True))[: layout.trainable]
    return {
        name: shape[0]
        for name, shape in weights
        if len(shape) > 1 and math.prod(shape) > 0 and not _has_filters(shape)
    }


def _direction(
    weights: list[NDArray[Any]], seed: int, normalise: Normalise, include_1d: bool
) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    pieces = []
    for tensor in weights:
        noise = np.asarray(rng.standard_normal(tensor.shape))
        filters = _has_filters(tensor.shape) if normalise == "filter" else tensor.ndim > 1
        if not (filters or include_1d):
            noise = np.zeros(tensor.shape)
        elif normalise == "filter" and filters:
            scale = _ratio(_norms(tensor), _norms(noise))
            noise *= scale.reshape(len(noise), *[1] * (noise.ndim - 1))
        elif normalise != "none":
            noise = noise * _ratio(np.linalg.norm(tensor), np.linalg.norm(noise))
        pieces.append(noise.ravel())
    whole = np.concatenate(pieces)
    if normalise == "none":
        moved = np.concatenate([w.ravel() for w in weights])[whole != 0]
        whole *= _ratio(np.linalg.norm(moved), np.linalg.norm(whole))
    return whole


def _has_filters(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and math.prod(shape[1:]) > 1


def _norms(tensor: NDArray[Any]) -> NDArray[np.float64]:
    flat = tensor.reshape(len(tensor), math.prod(tensor.shape[1:])).astype(np.float64)
    return np.asarray(np.linalg.norm(flat, axis=1))


def _ratio(wanted: Any, found: Any) -> NDArray[np.float64]:
    found = np.asarray(found, dtype=np.float64)
    return np.asarray(np.divide(wanted, found, out=np.zeros_like(found), where=found > 0))


@checked
def deviation_cosines(nodes: ArrayLike) -> NDArray[np.float64]:
    """Compare in which directions the inner nodes of a polyline lie off the chord.

    On a path from wedge to wedge, cosines are about 1 within each half and about 0 across
    (arXiv:1906.04724 section 3.3).

    Args:
        nodes: Corners, the first and last of which span the chord (T, D).

    Returns:
        Cosines between the parts normal to the chord (T - 2, T - 2); NaN for nodes that lie on it
        up to the rounding of their type.

    Raises:
        ValueError: If there is no inner node, or the ends are the same point.
    """
    given = np.asarray(nodes)
    corners = given.astype(np.float64)
    if corners.ndim != 2 or len(corners) < 3 or (corners[0] == corners[-1]).all():
        raise ValueError(
            "deviations need inner nodes between two different ends, (T, D) with T of 3 or more, "
            f"but nodes are {corners.shape}, {len(np.unique(corners, axis=0))} of them different"
        )
    chord = (corners[-1] - corners[0]) / np.linalg.norm(corners[-1] - corners[0])
    moved = corners[1:-1] - corners[0]
    off = moved - (moved @ chord)[:, None] * chord
    size = np.linalg.norm(off, axis=1, keepdims=True)
    single = given.dtype == np.float32
    rounding = 4 * np.finfo(np.float32).eps * np.linalg.norm(corners, axis=1).max() * single
    straight = size <= max(1e-9 * np.linalg.norm(corners[-1] - corners[0]), rounding)
    unit = np.divide(off, size, out=np.full_like(off, np.nan), where=~straight)
    return np.asarray(unit @ unit.T)
