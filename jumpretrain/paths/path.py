"""Scores along a curve between two states, and what is read off them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.states.curves import Curve, check_alphas

__all__ = ["RISE", "Bump", "Monotonicity", "Path", "Plateau"]

RISE = 1e-3
"""Rise of a metric, in its own units, up to which a curve is counted as never rising."""
BarrierKind = Literal["running_minimum", "above_ends", "above_chord"]


@dataclass(frozen=True)
class Bump:
    """A stretch on which a curve lies above a minimum that it had reached.

    Attributes:
        start: Alpha before the first rise.
        end: Alpha at which the curve is below the minimum again; the last where it never is.
        height: Highest value minus the minimum.
    """

    start: float
    end: float
    height: float


@dataclass(frozen=True)
class Monotonicity:
    """How far a curve is from never rising: arXiv:2104.11044, section 3.

    Attributes:
        min_delta: Largest rise from any value to a later one; 0 for a curve that never rises,
            as for a single point.
        where: The two alphas of that rise, or None.
        bumps: Stretches above a minimum reached before, in order.
        rising: Share of steps that go up.
    """

    min_delta: float
    where: tuple[float, float] | None
    bumps: tuple[Bump, ...]
    rising: float


@dataclass(frozen=True)
class Plateau:
    """How long a curve stays high before it falls: after arXiv:2210.01019 (thresholds derived).

    Attributes:
        error: Last alpha at which the error is at least (1 - 1/k)(1 - epsilon) for k classes, 0
            if none; NaN without classes.
        loss: Last alpha at which the loss is at least (1 - epsilon) of the first; NaN where the
            first is infinite or not above 0.
        half: First alpha from which on the loss stays at or below the mean of both ends; NaN
            where the last loss is not below the first, or that is infinite.
        excess: Largest loss minus log k, in nats; NaN without classes.
        epsilon: The tolerance.
    """

    error: float
    loss: float
    half: float
    excess: float
    epsilon: float


@dataclass(frozen=True, eq=False)
class Path:
    """Scores at A states along a curve.

    Attributes:
        alphas: Where the states lie on the curve, rising within [0, 1] (A,).
        metrics: Values by name, each (A,), such as `train_loss` and `test_error`.
        class_error: Share of each class's examples that is wrong, by split, each (A, C); NaN for
            a class without any, or with an output that is NaN. None or empty where the targets are
            no class labels.
        logits: Outputs by split, each (A, n, d), where they were asked for.
        curve: The states themselves, built when needed.
        provenance: Everything needed to make the path again.

    Raises:
        ValueError: If shapes disagree, alphas are unsorted or outside [0, 1], or errors of classes
            are not by split.

    Example:
        >>> path = Path(np.linspace(0, 1, 4), {"train_loss": np.array([2.0, 1.0, 1.5, 0.0])})
        >>> path.monotonicity().min_delta
        0.5
    """

    alphas: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]
    class_error: Mapping[str, NDArray[np.float64]] | None = None
    logits: Mapping[str, NDArray[Any]] | None = None
    curve: Curve | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas", check_alphas(self.alphas))
        count = len(self.alphas)
        columns = {f"metrics['{name}']": (value, 1) for name, value in self.metrics.items()}
        logits = self.logits or {}
        columns |= {f"logits['{name}']": (value, 3) for name, value in logits.items()}
        errors = {} if self.class_error is None else self.class_error
        if not isinstance(errors, Mapping):
            raise ValueError(
                "class_error must hold the errors of classes by split, but is a "
                f"{type(errors).__name__}; pass {{'train': errors}}"
            )
        object.__setattr__(self, "class_error", errors or None)
        columns |= {f"class_error['{name}']": (value, 2) for name, value in errors.items()}
        for name, (value, axes) in columns.items():
            shape = np.shape(value)
            if len(shape) != axes or shape[0] != count:
                raise ValueError(
                    f"alphas are ({count},), so {name} must have {axes} axes and {count} rows, "
                    f"but is {shape}"
                )

    def states(self) -> Iterator[NDArray[Any]]:
        """Walk through the states, one at a time.

        Yields:
            Each state (S,), in the order of the alphas.

        Raises:
            ValueError: If the path was made without its curve.
        """
        if self.curve is None:
            raise ValueError("a path's states need its curve, but it has none; pass curve=")
        for alpha in self.alphas:
            yield self.curve.at(alpha)[0]

    @checked
    def values(self, metric: str) -> NDArray[np.float64]:
        """Look up a metric.

        Returns:
            One value an alpha (A,).

        Raises:
            KeyError: If the metric was not recorded; the message names those that were.
            ValueError: If it holds NaN.
        """
        if metric not in self.metrics:
            raise KeyError(f"no metric {metric!r}; recorded: {', '.join(sorted(self.metrics))}")
        values = np.asarray(self.metrics[metric], dtype=np.float64)
        if np.isnan(values).any():
            alpha = self.alphas[np.isnan(values)][0]
            raise ValueError(f"a curve needs values, but {metric} is NaN at alpha {alpha:.3g}")
        return values

    @checked
    def errors(self, split: str = "train") -> NDArray[np.float64]:
        """Look up the errors of classes.

        Returns:
            One row an alpha, one column a class (A, C).

        Raises:
            KeyError: If those of the split were not recorded; the message names those that were.
            ValueError: If there are none.
        """
        if self.class_error is None:
            raise ValueError("errors of classes need class labels, but the path has none")
        if split not in self.class_error:
            known = ", ".join(sorted(self.class_error))
            raise KeyError(f"no errors of classes of split {split!r}; recorded: {known}")
        return np.asarray(self.class_error[split], dtype=np.float64)

    @checked
    def monotonicity(self, metric: str = "train_loss") -> Monotonicity:
        """Measure rises along the path; a rise at the last point counts.

        Returns:
            The largest rise, where it is, all bumps and the share of rising steps.
        """
        values = self.values(metric)
        rise = _rise(values)
        top = int(rise.argmax())
        bottom = int(values[: top + 1].argmin())
        pair = (float(self.alphas[bottom]), float(self.alphas[top]))
        steps = values[1:] > values[:-1]
        return Monotonicity(
            min_delta=float(rise[top]),
            where=pair if rise[top] > 0 else None,
            bumps=tuple(_bumps(self.alphas, values)),
            rising=float(steps.mean()) if len(steps) else 0.0,
        )

    @checked
    def barrier(self, kind: BarrierKind = "above_chord", metric: str = "train_loss") -> float:
        """Measure the height of what stands between the ends.

        Args:
            kind: Above what the height is taken: the lowest value reached before
                (`"running_minimum"`, which is min Delta), the higher end (`"above_ends"`), or the
                straight line between the ends' values (`"above_chord"`).
            metric: What is measured.

        Returns:
            The height, never below 0.

        Raises:
            ValueError: If the kind is unknown, or needs ends that the path lacks or whose values
                are infinite.
        """
        values = self.values(metric)
        if kind == "running_minimum":
            return float(_rise(values).max())
        self.check_ends()
        if not np.isfinite(values[[0, -1]]).all():
            raise ValueError(
                f"a height against the ends needs finite ends, but {metric} is {values[0]} and "
                f"{values[-1]} there; take running_minimum"
            )
        if kind == "above_ends":
            return float(values.max() - max(values[0], values[-1]))
        if kind == "above_chord":
            ends = self.alphas[[0, -1]]
            return float((values - np.interp(self.alphas, ends, values[[0, -1]])).max())
        raise ValueError(
            f"kind must be running_minimum, above_ends or above_chord, but is {kind!r}"
        )

    def check_ends(self) -> None:
        """Check that the path goes from end to end.

        Raises:
            ValueError: If its alphas do not begin at 0 and end at 1.
        """
        if self.alphas[0] != 0 or self.alphas[-1] != 1:
            raise ValueError(
                "what is measured against the ends needs alphas from 0 to 1, but they go from "
                f"{self.alphas[0]} to {self.alphas[-1]}"
            )

    @checked
    def plateau(self, split: str = "train", epsilon: float = 0.1) -> Plateau:
        """Measure how long error and loss stay high.

        Args:
            split: Whose examples, `"train"` or `"test"`.
            epsilon: Share by which a value may be lower and still be on the plateau.

        Returns:
            The ends of the plateaus of error and loss, the half drop and the excess over log k.

        Raises:
            KeyError: If the split's metrics or errors of classes were not recorded.
            ValueError: If epsilon lies outside [0, 1), or the path does not go from end to end.
        """
        self.check_ends()
        if not 0 <= epsilon < 1:
            raise ValueError(f"epsilon must lie in [0, 1), but is {epsilon}")
        loss = self.values(f"{split}_loss")
        middle = (loss[0] + loss[-1]) / 2
        below = np.flatnonzero(np.r_[True, loss[:-1] > middle])[-1]
        error = excess = np.nan
        if self.class_error is not None:
            classes = self.errors(split).shape[1]
            floor = (1 - 1 / classes) * (1 - epsilon)
            error = self._last(self.values(f"{split}_error") >= floor)
            excess = float(loss.max() - np.log(classes))
        positive, falls = 0 < loss[0] < np.inf, loss[-1] < loss[0] < np.inf
        return Plateau(
            error=error,
            loss=self._last(loss >= (1 - epsilon) * loss[0]) if positive else np.nan,
            half=float(self.alphas[below]) if falls else np.nan,
            excess=excess,
            epsilon=epsilon,
        )

    def _last(self, holds: NDArray[np.bool_]) -> float:
        return float(self.alphas[holds].max(initial=0.0))


def _rise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    lowest = np.minimum.accumulate(values)
    higher = values > lowest
    return np.subtract(values, lowest, out=np.zeros(len(values)), where=higher)


def _bumps(alphas: NDArray[np.float64], values: NDArray[np.float64]) -> Iterator[Bump]:
    lowest = np.minimum.accumulate(values)
    records = np.flatnonzero(np.r_[True, lowest[1:] < lowest[:-1]])
    for first, after in pairwise([*records.tolist(), len(values)]):
        above = np.flatnonzero(values[first:after] > values[first])
        if len(above):
            end = min(after, len(values) - 1)
            height = values[first:after].max() - values[first]
            yield Bump(float(alphas[first + above[0] - 1]), float(alphas[end]), float(height))
