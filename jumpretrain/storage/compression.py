"""Weights in half the space: the ends whole, those between as steps of sixteen bits a weight.

A step leads from what the reader has so far to the next state (a closed loop), so that errors do
not add up. Each 32 weights share a scale, which holds the error of a step below
sqrt(32) / (2 * 32767) = 8.7e-5 of its length, whatever the step; float16 has about 2e-4 (derived).
What is no weight, as BatchNorm's running means are, has other sizes and is kept as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "TOLERANCE", "Storage", "encode", "follow", "size"]

Storage: TypeAlias = Literal["exact", "half"]

BLOCK = 32
LARGEST = 32767
TOLERANCE = 1e-4


def encode(
    states: NDArray[Any], weight_count: int
) -> tuple[dict[str, NDArray[Any]], float] | None:
    """Turn the weights of a run into steps; the first and the last state stay whole.

    Args:
        states: The states (T, S).
        weight_count: P, how many entries of a state are weights; they come first.

    Returns:
        Arrays by name: `ends`, the first and last weights (2, P); `steps` (T - 2, P rounded up to
        blocks), whole numbers; `scales` (T - 2, blocks), what a one of them stands for; and
        `rest`, what is no weight (T, S - P). Beside them the largest error of the weights, as a
        share of the length of the step that led there; where a state repeats the one before, of
        the last step that led anywhere. None where a state is not finite, or an error above 1e-4:
        such a run has to be kept as it is.
    """
    if not np.isfinite(states).all():
        return None
    weights = states[:, :weight_count]
    reached, largest = _padded(weights[0]), 0.0
    steps = np.zeros((max(len(weights) - 2, 0), len(reached)), np.int16)
    scales = np.zeros((len(steps), len(reached) // BLOCK), states.dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for number, (earlier, state) in enumerate(pairwise(weights[:-1])):
            if np.array_equal(earlier, state):
                continue
            steps[number], scales[number] = _rounded(_padded(state) - reached, states.dtype)
            reached += _moved(steps[number], scales[number])
            error = _error(reached[:weight_count].astype(states.dtype), earlier, state)
            if not error <= TOLERANCE:  # neither is NaN
                return None
            largest = max(largest, error)
    rest = states[:, weight_count:]
    return {"ends": weights[[0, -1]], "steps": steps, "scales": scales, "rest": rest}, largest


def follow(
    first: NDArray[Any], moves: Iterable[tuple[NDArray[Any], NDArray[Any]]]
) -> Iterator[NDArray[Any]]:
    """Follow steps from the first weights, one at a time.

    Args:
        first: The first weights (P,), or whole blocks of them.
        moves: Rows of `steps` and `scales`, as `encode` made them, for the same blocks.

    Yields:
        The weights that each step leads to (P,).
    """
    reached = _padded(first)
    for steps, scales in moves:
        reached += _moved(steps, scales)
        yield reached[: len(first)].astype(first.dtype)


def size(
    times: int, width: int, weight_count: int, dtype: np.dtype[Any], storage: Storage = "exact"
) -> int:
    """Say how large the states of a run (T, S) are on disk, P of their entries weights.

    Returns:
        Bytes.

    Example:
        >>> whole = size(41, 320_000, 320_000, np.dtype("f4"))
        >>> size(41, 320_000, 320_000, np.dtype("f4"), "half") / whole
        0.554115...
    """
    if storage == "exact":
        return times * width * dtype.itemsize
    blocks, rest = -(-weight_count // BLOCK), width - weight_count
    step = blocks * (2 * BLOCK + dtype.itemsize)
    return (2 * weight_count + times * rest) * dtype.itemsize + max(times - 2, 0) * step


def _padded(weights: NDArray[Any]) -> NDArray[np.float64]:
    return np.pad(weights.astype(np.float64), (0, -len(weights) % BLOCK))


def _rounded(gap: NDArray[np.float64], dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    blocks = gap.reshape(-1, BLOCK)
    scales = (np.abs(blocks).max(axis=1) / LARGEST).astype(dtype)
    scales = np.maximum(scales, np.finfo(dtype).smallest_subnormal)
    steps = np.rint(blocks / scales[:, None].astype(np.float64))
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int16).ravel(), scales


def _moved(steps: NDArray[Any], scales: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray((steps.reshape(-1, BLOCK) * scales[:, None].astype(np.float64)).ravel())


def _error(found: NDArray[Any], earlier: NDArray[Any], state: NDArray[Any]) -> float:
    step, wrong = state - earlier.astype(np.float64), found.astype(np.float64) - state
    unit = np.abs(step).max()  # squares neither overflow nor vanish
    return float(np.linalg.norm(wrong / unit) / np.linalg.norm(step / unit))
