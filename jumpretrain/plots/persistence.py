"""Draw persistence diagrams, and what total persistence measures."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.plots import canvas

if TYPE_CHECKING:
    from jumpretrain.topology.diagrams import Diagrams

__all__ = ["diagram", "range_law"]

MARKERS = "osD^vPX"
KINDS = ("pieces", "loops", "holes")
ENDS = ("merge", "fill", "fill")


@checked
def diagram(
    diagrams: Diagrams, ax: Axes | None = None, log: bool = False, unit: str = "filtration value"
) -> Axes:
    """Draw when features are born and die; those that never die lie on a line at the top.

    Args:
        diagrams: All dimensions are drawn.
        ax: Axes to draw on.
        log: Logarithmic axes, linear below the smallest value above 0.
        unit: Unit of births and deaths.

    Returns:
        The Axes.
    """
    how = diagrams.provenance
    known = ("filtration", "complex", "points", "edges")
    ax = canvas.axes(ax, ", ".join(f"{name} {how[name]}" for name in known if name in how))
    values = np.concatenate([bars.ravel() for bars in diagrams.bars])
    values = values[np.isfinite(values)] if np.isfinite(values).any() else np.array([0.0, 1.0])
    low, high, top = _extent(ax, values, log)
    ax.plot([low, high], [low, high], color="0.7", linewidth=1, zorder=1)
    for dim, colour in enumerate(canvas.colours(len(diagrams.bars))):
        _bars(ax, diagrams, dim, colour, top)
    if any(len(diagrams.essential(dim)) for dim in range(len(diagrams.bars))):
        ax.axhline(top, color="0.5", linewidth=0.8, linestyle="--", zorder=1)
        ax.annotate(
            "never dies", (1, top), (-4, 4), xycoords=("axes fraction", "data"), ha="right",
            textcoords="offset points", fontsize=9, color=canvas.GREY,
        )  # fmt: skip
    ax.legend(loc="lower right", fontsize=9, framealpha=0.9)
    ax.set_xlabel(f"birth ({unit})")
    ax.set_ylabel(f"death ({unit})")
    canvas.title(ax, _finding(diagrams))
    return ax


def _extent(ax: Axes, values: NDArray[np.float64], log: bool) -> tuple[float, float, float]:
    low, high = float(values.min()), float(values.max())
    if log and high > 0:
        smallest = float(values[values > 0].min())
        scale: dict[str, Any] = {"linthresh": smallest, "linscale": 0.4} if low <= 0 else {}
        ax.set_xscale("symlog" if scale else "log", **scale)
        ax.set_yscale("symlog" if scale else "log", **scale)
        factor = (high / smallest) ** 0.07 if high > smallest else 1.1
        margin = 0.0 if low <= 0 else low - low / factor
        ax.set_xlim(low - margin, high * factor)
        ax.set_ylim(low - margin, high * factor**2)
        canvas.plain(ax.xaxis)
        canvas.plain(ax.yaxis)
        return low, high, high * factor
    margin = 0.05 * (high - low) or 0.5
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(low - margin, high + 3.2 * margin)
    return low, high, high + 1.6 * margin


def _bars(ax: Axes, diagrams: Diagrams, dim: int, colour: canvas.Colour, top: float) -> None:
    finite, births = diagrams.finite(dim), diagrams.essential(dim)
    kind, end = KINDS[dim], ENDS[dim]
    ax.scatter(
        finite[:, 0],
        finite[:, 1],
        s=26,
        color=[colour],
        marker=MARKERS[dim],
        alpha=0.75,
        linewidths=0,
        clip_on=False,
        zorder=2,
        label=f"{len(finite)} {kind} {end}",
    )
    if len(births):
        ax.scatter(
            births,
            np.full(len(births), top),
            s=90,
            facecolors="none" if dim else [colour],
            edgecolors=[colour if dim else (0, 0, 0)],
            marker="^",
            linewidths=1.2,
            clip_on=False,
            zorder=3,
            label=f"{len(births)} never {end if len(births) > 1 or not dim else end + 's'}",
        )


def _finding(diagrams: Diagrams) -> str:
    parts = []
    for dim in range(len(diagrams.bars)):
        lives = np.diff(diagrams.finite(dim)).ravel()
        essential = len(diagrams.essential(dim))
        never = f"{essential} {KINDS[dim]} never {ENDS[dim]}"
        if len(lives):
            longest = f"longest bar {lives.max():.2g}"
            parts.append(f"{len(lives)} {KINDS[dim]} {ENDS[dim]} ({longest})")
        elif dim:
            parts.append(never if essential else f"no {KINDS[dim]}")
    return "; ".join(parts) or "nothing merges"


@checked
def range_law(
    range_squared: ArrayLike,
    total_persistence: ArrayLike,
    groups: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Set total persistence beside the squared range of the filtration, network by network.

    Args:
        range_squared: (max - min) squared of each network's loss (n,), in nats squared.
        total_persistence: Its total persistence of exponent 2 (n,), in nats squared.
        groups: A name for each network (n,), to colour by.
        ax: Axes to draw on.

    Returns:
        The Axes, both logarithmic, with the line on which the two are equal.
    """
    ax = canvas.axes(ax)
    x, y = np.asarray(range_squared, float), np.asarray(total_persistence, float)
    names = np.full(len(x), "network") if groups is None else np.asarray(groups)
    levels = np.unique(names)
    for colour, level, marker in zip(
        canvas.colours(len(levels)), levels, cycle(MARKERS), strict=False
    ):
        rows = names == level
        ax.scatter(x[rows], y[rows], color=[colour], marker=marker, alpha=0.8, label=str(level))
    ends = [min(x.min(), y[y > 0].min(initial=x.min())), max(x.max(), y.max())]
    ax.plot(ends, ends, color="0.5", linewidth=1, zorder=1, label="equal")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("squared range of the loss (nats²)")
    ax.set_ylabel("total persistence, p = 2 (nats²)")
    ax.legend(fontsize=9)
    low, middle, high = np.quantile(y / x, (0, 0.5, 1))
    canvas.title(
        ax,
        f"total persistence over squared range: median {middle:.3g}, from {low:.3g} to "
        f"{high:.3g} ({len(x)} networks)",
    )
    return ax
