"""Persistence diagrams: bars by dimension, their numbers, and how far two diagrams are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from persim import bottleneck, sliced_wasserstein, wasserstein

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import NotNegative
from jumpretrain.execution.settings import standard_settings

__all__ = ["Bars", "Diagrams"]

Bars = tuple[NDArray[np.float64], ...]
FAR = 500
"""Powers of two from which on squares, or their sums, may leave the range of floats."""
KINDS = {"bottleneck": bottleneck, "wasserstein": wasserstein, "sliced": sliced_wasserstein}


@dataclass(frozen=True)
class Diagrams:
    """Persistence diagrams of one filtration, dimension by dimension.

    A bar that never dies is essential and has death infinity. Essential bars are counted and
    compared apart: they enter neither persistence nor entropy.

    Attributes:
        bars: Births and deaths, one array (n, 2) a dimension.
        provenance: How they were made.

    Raises:
        ValueError: If an array is no list of bars.

    Example:
        >>> diagrams = Diagrams((np.array([[0.0, np.inf], [1.0, 3.0]]),))
        >>> diagrams.finite(0), diagrams.essential(0), diagrams.total_persistence(0, p=2)
        (array([[1., 3.]]), array([0.]), 4.0)
    """

    bars: Bars
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for dim, bars in enumerate(self.bars):
            if bars.ndim != 2 or bars.shape[1] != 2:
                raise ValueError(f"bars are (n, 2), but those of dimension {dim} are {bars.shape}")
            if not (np.isfinite(bars[:, 0]) & (bars[:, 1] >= bars[:, 0])).all():
                raise ValueError(
                    f"bars need a finite birth and no earlier death, but dimension {dim} has "
                    "others; births come first"
                )

    @checked
    def finite(self, dim: int = 0) -> NDArray[np.float64]:
        """List the bars that die.

        Returns:
            Births and deaths (n, 2), in ascending order.
        """
        bars = self._dimension(dim)
        bars = bars[np.isfinite(bars[:, 1])]
        return bars[np.lexsort(bars.T[::-1])]

    @checked
    def essential(self, dim: int = 0) -> NDArray[np.float64]:
        """List the births of the bars that never die.

        Returns:
            Births (n,), in ascending order.
        """
        bars = self._dimension(dim)
        return np.sort(bars[np.isinf(bars[:, 1]), 0])

    @checked
    def total_persistence(self, dim: int = 0, p: NotNegative = 1) -> float:
        """Sum the lifetimes of the finite bars, each to the power p.

        The exponent 2 is that of arXiv 2102.00485, section 3.3.

        Returns:
            The total, in units of the filtration to the power p; infinite where no float is as
            large.
        """
        with np.errstate(over="ignore"):
            return float((np.diff(self.finite(dim)) ** p).sum())

    @checked
    def entropy(self, dim: int = 0) -> float:
        """Measure how evenly persistence is spread over the finite bars.

        It is -sum q log q over the shares q of the total lifetime (arXiv 1512.07613).

        Returns:
            The persistence entropy in nats; 0 without bars.
        """
        (bars,), _ = _scaled([self.finite(dim)])
        lifetimes = np.diff(bars).ravel()
        shares = lifetimes[lifetimes > 0] / (lifetimes.sum() or 1.0)
        return float(-np.log(shares) @ shares) if len(shares) > 1 else 0.0

    def statistics(self) -> dict[str, float]:
        """Summarise every dimension.

        Returns:
            Numbers of bars, total persistence for p = 1 and 2, entropy (nats) and the largest
            finite bar, named such as `h0_total_persistence_p2`.
        """
        return {
            f"h{dim}_{name}": float(value)
            for dim in range(len(self.bars))
            for name, value in {
                "finite_bars": len(self.finite(dim)),
                "essential_bars": len(self.essential(dim)),
                "total_persistence_p1": self.total_persistence(dim, 1),
                "total_persistence_p2": self.total_persistence(dim, 2),
                "persistence_entropy": self.entropy(dim),
                "longest_bar": self._longest(dim),
            }.items()
        }

    @checked
    @standard_settings()
    def distance(
        self,
        other: Diagrams,
        kind: Literal["bottleneck", "wasserstein", "sliced"] = "bottleneck",
        dim: int = 0,
    ) -> float:
        """Measure how far two diagrams are apart.

        Finite bars are matched with each other or with the diagonal: bottleneck is the largest
        maximum-norm move of the best matching, wasserstein the sum of its Euclidean moves (order
        1), sliced the mean over 50 directions of the one-dimensional transport cost (arXiv
        1706.03358). persim rounds to about 1e-8 of the diagrams' extent. Essential bars are
        matched in the order of their births a and b:

            bottleneck = max(finite part, max |a - b|)
            wasserstein, sliced = finite part + sum |a - b|

        Returns:
            The distance; infinite if the numbers of essential bars differ.

        Raises:
            ValueError: If there is no such kind or dimension.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, but is {kind!r}")
        mine, theirs = self.essential(dim), other.essential(dim)
        if len(mine) != len(theirs):
            return float("inf")
        with np.errstate(over="ignore"):
            parts = [_finite_distance(self, other, kind, dim), *np.abs(mine - theirs)]
            return float(max(parts) if kind == "bottleneck" else sum(parts))

    def _longest(self, dim: int) -> float:
        with np.errstate(over="ignore"):
            return float(np.diff(self.finite(dim)).max(initial=0.0))

    def _dimension(self, dim: int) -> NDArray[np.float64]:
        if not 0 <= dim < len(self.bars):
            raise ValueError(
                f"dim must lie in 0..{len(self.bars) - 1}, but is {dim}; ask for a larger maxdim"
            )
        return self.bars[dim]


def _finite_distance(one: Diagrams, other: Diagrams, kind: str, dim: int) -> float:
    pair = one.finite(dim), other.finite(dim)
    if np.array_equal(*pair):
        return 0.0
    # persim reflects bars about zero and rounds by their size, so both start at zero.
    (mine, theirs), power = _scaled(pair)
    low = np.vstack([mine, theirs]).min()
    return float(np.ldexp(KINDS[kind](mine - low, theirs - low), power))


def _scaled(bars: Sequence[NDArray[np.float64]]) -> tuple[list[NDArray[np.float64]], int]:
    """Divide bars by one power of two, exactly, where sums of their squares leave the range.

    Returns:
        The bars, and the power.
    """
    largest = max(np.abs(some).max(initial=0.0) for some in bars)
    power = math.frexp(largest)[1]
    power = power if abs(power) > FAR else 0
    return [np.ldexp(some, -power) for some in bars], power
