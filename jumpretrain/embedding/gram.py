"""Exact pairwise distances and principal components of states that do not fit memory.

Snapshots of one run lie close together and far from zero, so distances are computed in float64
from differences from the optimum: in float32, or without the differences, rounding hides them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.trajectories import Trajectories

__all__ = ["Centre", "Metric", "check_choice", "from_gram", "gram", "principal", "row_blocks"]

Metric: TypeAlias = Literal["euclidean", "cosine"]
Centre: TypeAlias = Literal["optimum", "mean"]

BLOCK_ENTRIES = 2**23
ROW_ENTRIES = 2**20
TINY = 1e-290
"""Below it, squares of float64 have fewer digits."""


def gram(
    trajectories: Trajectories, optimum: bool = False, columns: int | None = None
) -> NDArray[np.float64]:
    """Multiply all differences from the optimum with one another, some weights at a time.

    Only one block of weights is in memory at once, so the states may stay on disk. One thread
    computes, so that equal states give equal bits.

    Args:
        trajectories: R runs of T snapshots; N = R T.
        optimum: Whether the optimum is point 0; its row and column are zero.
        columns: How many weights make a block; by default as many as fill 64 MiB.

    Returns:
        The inner products (N, N), or (N + 1, N + 1) with the optimum first.

    Raises:
        ValueError: If a run diverged or is missing, or holds a number that is not finite.
    """
    unfinished = np.flatnonzero(trajectories.status != "ok")
    if len(unfinished):
        raise ValueError(
            f"distances need finished runs, but {len(unfinished)} of {len(trajectories)} diverged "
            f"or are missing (first: run {unfinished[0]}); select others, such as .jumps()"
        )
    count = len(trajectories) * len(trajectories.epoch)
    total = np.zeros((count, count))
    with standard_settings(), np.errstate(invalid="ignore", over="ignore"):
        for block in _differences(trajectories, columns or max(1, BLOCK_ENTRIES // max(count, 1))):
            total += block @ block.T
    broken = np.flatnonzero(~np.isfinite(np.diag(total)))
    if len(broken):
        raise ValueError(
            f"distances need finite weights, but point {broken[0]} (run "
            f"{broken[0] // len(trajectories.epoch)}) holds others, or some whose squares are "
            "infinite; select other runs"
        )
    if 0 < np.diag(total).max() < TINY:
        raise ValueError(
            "distances need weights whose squares are floats, but all lie within "
            f"{np.sqrt(np.diag(total).max()):.1e} of the optimum; scale the weights"
        )
    return np.pad(total, ((1, 0), (1, 0))) if optimum else total


def from_gram(
    gram: ArrayLike, metric: Metric = "euclidean", centre: Centre = "optimum"
) -> NDArray[np.float64]:
    """Turn inner products into distances.

    Args:
        gram: Inner products of the differences from the optimum (N, N).
        metric: `"euclidean"`, or `"cosine"`: 1 - cos of the angle at the centre.
        centre: Where angles are measured: at the optimum, or at the mean of all points as in
            arXiv 2102.00485 (its PCA centres). Euclidean distances have no centre.

    Returns:
        The distances (N, N), exactly symmetric with a zero diagonal.

    Raises:
        ValueError: If metric or centre is unknown, or a point lies on the centre and has no angle.

    Example:
        >>> from_gram([[1.0, 0.0], [0.0, 4.0]], metric="cosine")
        array([[0., 1.],
               [1., 0.]])
    """
    check_choice("metric", metric, get_args(Metric))
    products = np.asarray(gram, dtype=np.float64)
    found = np.empty(products.shape)
    if metric == "euclidean":
        squares = np.diag(products)
        for rows in row_blocks(len(products)):
            apart = squares[rows, None] + squares - 2 * products[rows]
            found[rows] = np.sqrt(np.maximum(apart, 0))
        return _tidy(found)
    means = _means(products, centre)
    lengths = np.sqrt(np.maximum(_centred(np.diag(products), means, means, means), 0))
    idle = np.flatnonzero(lengths <= np.sqrt(np.finfo(float).eps) * lengths.max(initial=0))
    if len(idle):
        raise ValueError(
            f"a cosine needs points away from the centre, but point {idle[0]} lies on it "
            f'({centre}); leave it out, or use metric="euclidean"'
        )
    for rows in row_blocks(len(products)):
        turned = _centred(products[rows], means[rows, None], means, means)
        found[rows] = np.clip(1 - turned / (lengths[rows, None] * lengths), 0, 2)
    return _tidy(found)


def principal(
    gram: ArrayLike, centre: Centre = "mean", components: int | None = None
) -> NDArray[np.float64]:
    """Find principal components from inner products alone.

    Each component's sign is such that its largest score is positive.

    Args:
        gram: Inner products (N, N).
        centre: What is subtracted from all points first; `"optimum"` subtracts nothing more.
        components: How many; by default all that stand out of rounding, whose scores reproduce
            all Euclidean distances.

    Returns:
        The scores (N, d), largest variance first.

    Raises:
        ValueError: If the centre is unknown, or there are fewer points than components.

    Example:
        >>> principal([[1.0, -1.0], [-1.0, 1.0]]).round(6)
        array([[ 1.],
               [-1.]])
    """
    products = np.asarray(gram, dtype=np.float64)
    means = _means(products, centre)
    products = _centred(products, means[:, None], means, means)
    if components is not None and not 0 < components <= len(products):
        raise ValueError(
            f"components must lie in 1..{len(products)} (the points), but is {components}"
        )
    with standard_settings():
        values, vectors = linalg.eigh(products)
    kept = _rank(values) if components is None else components
    values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept]
    peaks = vectors[np.abs(vectors).argmax(axis=0), np.arange(kept)]
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)) * np.where(peaks < 0, -1, 1))


def _differences(trajectories: Trajectories, columns: int) -> Iterator[NDArray[np.float64]]:
    runs, times = len(trajectories), len(trajectories.epoch)
    optimum = trajectories.optimum.astype(np.float64)
    block = np.empty((runs, times, 0))
    for start in range(0, trajectories.weight_count, columns):
        stop = min(start + columns, trajectories.weight_count)
        if block.shape[2] != stop - start:
            block = np.empty((runs, times, stop - start))
        for run in range(runs):
            np.subtract(trajectories.states[run, :, start:stop], optimum[start:stop], block[run])
        yield block.reshape(runs * times, stop - start)


def row_blocks(count: int) -> Iterator[slice]:
    """Divide the rows of a matrix (N, N), for work that would hold several copies of the whole.

    Yields:
        Slices of rows that together hold about 2^20 entries, in order.
    """
    size = max(1, ROW_ENTRIES // max(count, 1))
    yield from (slice(start, start + size) for start in range(0, count, size))


def _means(products: NDArray[np.float64], centre: Centre) -> NDArray[np.float64]:
    check_choice("centre", centre, get_args(Centre))
    return np.zeros(len(products)) if centre == "optimum" else products.mean(axis=0)


def _centred(
    products: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    means: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray(products - (row + column) + means.mean())


def _tidy(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    np.fill_diagonal(distances, 0)
    return distances


def _rank(values: NDArray[np.float64]) -> int:
    return int(np.sum(values > len(values) * np.finfo(float).eps * np.abs(values).max(initial=0)))


def check_choice(name: str, found: Any, options: tuple[Any, ...]) -> None:
    """Refuse a choice that is none of the options.

    Raises:
        ValueError: If it is not; the message names the options.
    """
    if found not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}, but is {found!r}")
