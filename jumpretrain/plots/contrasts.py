"""Draw how groups of networks differ, and what embeddings keep."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from jumpretrain.execution.arguments import checked
from jumpretrain.plots import canvas

if TYPE_CHECKING:
    from jumpretrain.comparison.compare import Comparison

__all__ = ["comparison", "fidelity", "finding"]

LEVEL = 0.05


@checked
def comparison(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the effect on every statistic of the family, with its interval.

    Args:
        comparison: What differs between groups; filled markers have a corrected p up to .05.
        ax: Axes to draw on.

    Returns:
        The Axes.
    """
    table = comparison.frame()
    family = table[table["in_family"]].reset_index(drop=True)
    own = ax is None
    ax = canvas.axes(ax, _reading(comparison, len(family)), 10, 2.2 + 0.5 * len(family))
    for row, entry in family.iterrows():
        _interval(ax, row, entry)
        _numbers(ax, row, entry)
    _numbers(ax, -0.75, None)
    two = len(comparison.groups) == 2
    ax.set_yticks(range(len(family)), family["statistic"].str.replace("_", " "))
    ax.set_ylim(len(family) - 0.5, -1.1)
    ax.set_xlim(-1.08 if two else -0.05, 1.08)
    ax.axvline(0, color="0.5", linewidth=1, zorder=1)
    ax.grid(axis="y", color="0.92", zorder=0)
    ax.set_axisbelow(True)
    ax.set_xlabel(_sides(list(comparison.groups)))
    canvas.title(ax, finding(comparison))
    if own:
        canvas.fit(ax.figure.figure)
    return ax


def finding(comparison: Comparison) -> str:
    """Say how many statistics of the family differ.

    Returns:
        One sentence.
    """
    family = comparison.frame().query("in_family")
    names = " and ".join(comparison.groups) if len(comparison.groups) == 2 else "the groups"
    differ = int((family["p_holm"] <= LEVEL).sum())
    least = min(1.0, len(family) * comparison.smallest_p)
    said = f"{differ} of {len(family)} statistics differ between {names}"
    if least > LEVEL and not differ:
        return f"{said}: too few networks, corrected p is at least {least:.2g}"
    return f"{said} (corrected p up to {LEVEL:.2f})"


def _interval(ax: Axes, row: int, entry: pd.Series) -> None:
    clear = entry["p_holm"] <= LEVEL
    colour = canvas.colours(1)[0] if clear else "0.45"
    ax.plot([entry["low"], entry["high"]], [row, row], color=colour, linewidth=2.5, zorder=2)
    ax.plot(
        entry["effect"],
        row,
        marker="o",
        markersize=9,
        markerfacecolor=colour if clear else "white",
        markeredgecolor=colour,
        clip_on=False,
        zorder=3,
    )


def _numbers(ax: Axes, row: float, entry: pd.Series | None) -> None:
    texts = ["p\ncorrected", "p given\nrange"]
    if entry is not None:
        texts = [_p(entry["p_holm"]), _p(entry["p_given_range"])]
    for offset, text in zip((42, 118), texts, strict=True):
        ax.annotate(
            text,
            (1, row),
            (offset, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=10,
            color="black" if entry is not None else canvas.GREY,
            annotation_clip=False,
        )


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _sides(groups: list[str]) -> str:
    if len(groups) > 2:
        return "share of the variance that lies between groups (eta squared)"
    return f"larger in {groups[1]}  ←  Cliff's delta  →  larger in {groups[0]}"


def _reading(comparison: Comparison, count: int) -> str:
    sizes = " against ".join(f"{size} {name}" for name, size in comparison.groups.items())
    exact = "exact " if comparison.provenance.get("exact") else ""
    least = min(1.0, count * comparison.smallest_p)
    return (
        f"{sizes} networks; 95 % intervals; {exact}permutation test, smallest attainable p "
        f"{comparison.smallest_p:.2g}, {least:.2g} after Holm's correction over {count}; filled: "
        f"corrected p up to {LEVEL:.2f}; given range: the squared range of the loss held fixed"
    )


@checked
def fidelity(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw what several embeddings keep of the same trajectories.

    Args:
        table: One row a method, one column a measure, as `embedding.fidelity_table` makes it.
        ax: Axes to draw on.

    Returns:
        The Axes.
    """
    ax = canvas.axes(ax, width=1.5 + 1.7 * table.shape[1], height=1.8 + 0.5 * len(table))
    numbers = table.to_numpy(dtype=float)
    ax.imshow(numbers, cmap="cividis", vmin=min(0.0, float(numbers.min())), vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(numbers):
        colour = "black" if value > 0.55 else "white"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=12)
    names = [str(name).replace("_", "\n") for name in table.columns]
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(table)), [str(name) for name in table.index])
    ax.tick_params(length=0)
    wins = table.idxmax().value_counts(sort=True)
    best = ", ".join(f"{count} by {method}" for method, count in wins.items())
    canvas.title(ax, f"of {table.shape[1]} measures, kept best: {best} (1 is perfect)")
    return ax
