"""States in half the space: the first whole, the others as steps of sixteen bits a weight.

A step leads from what the reader has so far to the next state (a closed loop), so that errors do
not add up. Each 32 weights share a scale, which holds the error of a step below
sqrt(32) / (2 * 32767) = 8.7e-5 of its length, whatever the step; float16 has about 2e-4 (derived).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "TOLERANCE", "Storage", "decode", "encode", "size"]

Storage: TypeAlias = Literal["exact", "half"]

BLOCK = 32
LARGEST = 32767
TOLERANCE = 1e-4


def encode(states: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], float] | None:
    """Turn the states of a run into steps.

    Args:
        states: The states (T, S).

    Returns:
        Arrays by name: `first` (1, S); `steps` (T - 1, S rounded up to blocks), whole numbers; and
        `scales` (T - 1, blocks), what a one of them stands for. Beside them the largest error of a
        state, as a share of the length of the step that led there. None where a state is not
        finite, or an error above 1e-4: such a run has to be kept as it is.
    """
    if not np.isfinite(states).all():
        return None
    reached, largest = _padded(states[0]), 0.0
    steps = np.empty((len(states) - 1, len(reached)), np.int16)
    scales = np.empty((len(steps), len(reached) // BLOCK), states.dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for number, state in enumerate(states[1:]):
            steps[number], scales[number] = _rounded(_padded(state) - reached, states.dtype)
            reached += _moved(steps[number], scales[number])
            found = reached[: len(state)].astype(states.dtype)
            largest = max(largest, _error(found, states[number], state))
            if not largest <= TOLERANCE:
                return None
    return {"first": states[:1], "steps": steps, "scales": scales}, largest


def decode(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Follow the steps from the first state.

    Args:
        arrays: Those of `encode`, or the same whole blocks and first steps of each.

    Returns:
        The states (T, S).
    """
    first = arrays["first"]
    path = np.vstack([_padded(first[0]), _moved(arrays["steps"], arrays["scales"])])
    np.cumsum(path, axis=0, out=path)
    return path[:, : first.shape[1]].astype(first.dtype)


def size(times: int, width: int, dtype: np.dtype[Any], storage: Storage = "exact") -> int:
    """Say how large the states of a run (T, S) are on disk.

    Returns:
        Bytes.

    Example:
        >>> size(41, 320_000, np.dtype("f4"), "half") / size(41, 320_000, np.dtype("f4"))
        0.542682...
    """
    if storage == "exact":
        return times * width * dtype.itemsize
    blocks = -(-width // BLOCK)
    return width * dtype.itemsize + (times - 1) * blocks * (2 * BLOCK + dtype.itemsize)


def _padded(state: NDArray[Any]) -> NDArray[np.float64]:
    return np.pad(state.astype(np.float64), (0, -len(state) % BLOCK))


def _rounded(gap: NDArray[np.float64], dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    blocks = gap.reshape(-1, BLOCK)
    scales = (np.abs(blocks).max(axis=1) / LARGEST).astype(dtype)
    scales = np.maximum(scales, np.finfo(dtype).smallest_subnormal)
    steps = np.rint(blocks / scales[:, None].astype(np.float64))
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int16).ravel(), scales


def _moved(steps: NDArray[Any], scales: NDArray[Any]) -> NDArray[np.float64]:
    blocks = steps.reshape(*scales.shape, BLOCK) * scales[..., None].astype(np.float64)
    return np.asarray(blocks.reshape(steps.shape))


def _error(found: NDArray[Any], earlier: NDArray[Any], state: NDArray[Any]) -> float:
    wrong = found.astype(np.float64) - state
    if not wrong.any():
        return 0.0
    step = state - earlier.astype(np.float64)
    unit = np.abs(step).max()  # squares neither overflow nor vanish
    return float(np.linalg.norm(wrong / unit) / np.linalg.norm(step / unit)) if unit else np.inf
