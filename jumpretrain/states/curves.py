"""Curves between two states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arrays import as_reals

__all__ = ["Curve", "check_alphas"]

MOST = 100_000
"""Alphas of a path."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve from one state to another on which each entry moves as a power of alpha.

    Attributes:
        start: The state at alpha 0 (S,).
        end: The state at alpha 1 (S,).
        degree: The power of alpha with which each entry moves (S,): 1 on a straight line.

    Raises:
        ValueError: If shapes disagree or a degree is below 1.

    Example:
        >>> Curve(np.zeros(2), np.ones(2), np.array([1, 3])).at([0.5])
        array([[0.5  , 0.125]])
    """

    start: NDArray[Any]
    end: NDArray[Any]
    degree: NDArray[Any]

    def __post_init__(self) -> None:
        shapes = [np.shape(array) for array in (self.start, self.end, self.degree)]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise ValueError(
                f"start, end and degree must each be (S,), but are {', '.join(map(str, shapes))}"
            )
        if (self.degree < 1).any():
            raise ValueError(f"degrees must be at least 1, but one is {self.degree.min()}")

    def at(self, alphas: ArrayLike) -> NDArray[Any]:
        """Build the states at some alphas; at 0 and 1 they are the ends, bit for bit.

        Returns:
            The states (K, S), in the type of the start.
        """
        shares = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
        states = np.empty((len(shares), len(self.start)), self.start.dtype)
        origin = self.start.astype(np.float64)
        move, point = self.end - origin, np.empty_like(origin)
        highest = int(self.degree.max(initial=1))
        for row, alpha in zip(states, shares, strict=True):
            share = (alpha ** np.arange(highest + 1))[self.degree] if highest > 1 else alpha
            row[:] = np.add(np.multiply(move, share, out=point), origin, out=point)
        states[shares == 0], states[shares == 1] = self.start, self.end
        return states


def check_alphas(alphas: int | ArrayLike) -> NDArray[np.float64]:
    """Check alphas, or spread a number of them evenly over [0, 1].

    Returns:
        The alphas (A,).

    Raises:
        ValueError: If there are none, or they are no numbers, unsorted or outside [0, 1].
    """
    if isinstance(alphas, (int, np.integer)):
        if not 2 <= alphas <= MOST:
            raise ValueError(
                f"a path needs at least 2 alphas, both ends, and up to {MOST:,}, but {alphas} was "
                "given; pass such as alphas=51"
            )
        return np.linspace(0, 1, alphas)
    try:
        values = as_reals(alphas, "alphas")
    except (TypeError, ValueError):
        raise ValueError(_unfit(" ".join(repr(alphas).split())[:80])) from None
    inside = bool(((values >= 0) & (values <= 1)).all())
    if values.ndim != 1 or not len(values) or not inside or not (np.diff(values) > 0).all():
        shown = np.array2string(values, threshold=6, edgeitems=3, precision=4)
        raise ValueError(_unfit(shown.replace("\n", "")))
    return values


def _unfit(alphas: str) -> str:
    return (
        f"alphas must be a list that rises within [0, 1], but are {alphas}; sort them, or pass "
        "how many there should be"
    )
