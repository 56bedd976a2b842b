"""Random directions in weight space, scaled to the weights that they leave from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jumpretrain.layout import Layout

__all__ = ["directions"]

Normalise = Literal["filter", "layer", "none"]


def directions(
    layout: Layout,
    optimum: NDArray[Any],
    seeds: Sequence[int],
    normalise: Normalise = "filter",
    include_1d: bool = False,
) -> tuple[NDArray[Any], int]:
    """Draw Gaussian directions and scale them to the optimum (arXiv:2102.00485, section 3.1).

    Args:
        layout: Where the weights stand in a state.
        optimum: The state that the directions leave from (S,).
        seeds: One seed a direction (D,).
        normalise: `"filter"` gives every filter (first axis of a tensor with two axes or more)
            the norm of the optimum's, `"layer"` every tensor, `"none"` the whole direction.
        include_1d: Whether biases and BatchNorm's scale and shift move; they stay otherwise.

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
            "a direction must move a weight, but every tensor is 1-d or zero here; "
            "pass include_1d=True or another optimum"
        )
    moving = [w for _, w in weights if w.ndim > 1]
    still = sum(int((_norms(w) == 0).sum()) for w in moving) if normalise == "filter" else 0
    return result, still


def _direction(
    weights: list[NDArray[Any]], seed: int, normalise: Normalise, include_1d: bool
) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    pieces = []
    for tensor in weights:
        noise = rng.standard_normal(tensor.shape)
        if tensor.ndim < 2 and not include_1d:
            noise = np.zeros(tensor.shape)
        elif normalise == "filter" and tensor.ndim > 1:
            noise *= _ratio(_norms(tensor), _norms(noise)).reshape(-1, *[1] * (tensor.ndim - 1))
        elif normalise != "none":
            noise *= _ratio(np.linalg.norm(tensor), np.linalg.norm(noise))
        pieces.append(noise.ravel())
    whole = np.concatenate(pieces)
    if normalise == "none":
        moved = np.concatenate([w.ravel() for w in weights])[whole != 0]
        whole *= _ratio(np.linalg.norm(moved), np.linalg.norm(whole))
    return whole


def _norms(tensor: NDArray[Any]) -> NDArray[np.float64]:
    flat = tensor.reshape(len(tensor), -1).astype(np.float64)
    return np.asarray(np.linalg.norm(flat, axis=1))


def _ratio(wanted: Any, found: Any) -> NDArray[np.float64]:
    found = np.asarray(found, dtype=np.float64)
    return np.asarray(np.divide(wanted, found, out=np.zeros_like(found), where=found > 0))
