"""Bounds of arguments, to be stated in annotations; `checked` holds calls to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from numpy.typing import ArrayLike

__all__ = [
    "AnyNumber",
    "Axes",
    "Count",
    "Names",
    "NotNegative",
    "Positive",
    "Seed",
    "Share",
    "Values",
    "Whole",
    "Within",
]

MOST = 2**31 - 1


@dataclass(frozen=True)
class Within:
    """Bounds of a number, in an annotation such as `Annotated[int, Within(1)]`.

    Attributes:
        least: The least number allowed.
        most: The largest.
        above: What the number has to exceed.
        finite: Whether infinity and NaN are refused.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    finite: bool = True

    def holds(self, number: Any) -> bool:
        """Tell whether a number lies within.

        Returns:
            Whether it does.
        """
        within = self.least <= number <= self.most and number > self.above
        return bool(within or not self.finite)

    def __str__(self) -> str:
        if math.isfinite(self.above):
            return f"above {self.above:g}"
        if self.most == math.inf:
            return f"of at least {self.least:g}"
        if self.most in (MOST, 2**63 - 1):
            return f"of at least {self.least:g} and below 2^{int(self.most).bit_length()}"
        return f"from {self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Axes:
    """The number of axes of an array, in an annotation such as `Annotated[ArrayLike, Axes(1)]`.

    Attributes:
        least: The least number allowed.
    """

    least: int
    finite: bool = False

    def holds(self, array: Any) -> bool:
        """Tell whether an array has so many axes.

        Returns:
            Whether it has.
        """
        return _axes(array) >= self.least

    def __str__(self) -> str:
        return f"along {self.least} axis or more"


Count: TypeAlias = Annotated[int, Within(1, MOST)]
Whole: TypeAlias = Annotated[int, Within(0, MOST)]
Seed: TypeAlias = Annotated[int, Within(0, 2**63 - 1)]
Share: TypeAlias = Annotated[float, Within(0, 1)]
Positive: TypeAlias = Annotated[float, Within(above=0)]
NotNegative: TypeAlias = Annotated[float, Within(0)]
AnyNumber: TypeAlias = Annotated[float, Within(finite=False)]
Values: TypeAlias = Annotated[ArrayLike, Axes(1)]
Names: TypeAlias = Annotated[Any, Axes(1)]


def _axes(value: Any) -> int:
    if isinstance(value, (list, tuple, range)):
        return 1 + max(map(_axes, value), default=0)
    return int(getattr(value, "ndim", 0))
