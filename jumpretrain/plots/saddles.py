"""Draw measured saddles: trees and profiles of basins, basins in the plane, ways back."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import AnyNumber
from jumpretrain.plots import canvas

if TYPE_CHECKING:
    from jumpretrain.embedding.embed import Embedding
    from jumpretrain.topology.merge_tree import MergeTree
    from jumpretrain.topology.saddles import Saddles

__all__ = ["back", "basins", "disconnectivity", "profile"]

Scale = Literal["linear", "log"]
OPTIMUM = -1
MARKERS = "osD^vPX*"
ROOM = 1.4  # for markers, above and below
FLAT = 1e-4  # nats: a climb that is not worth a scale of its own
BLACK: canvas.Colour = (0.0, 0.0, 0.0)
GREY: canvas.Colour = (0.4, 0.4, 0.4)


@checked
def disconnectivity(saddles: Saddles, ax: Axes | None = None, scale: Scale = "linear") -> Axes:
    """Draw the merge tree: one line a basin, from its lowest state up to where it meets another.

    The ends of all runs and the optimum have a line too, so that none is lost. Lines have the
    colour of the jump's direction, markers the shape of its step size; the optimum is a star.
    What nothing joins is left apart.

    Args:
        saddles: What was measured.
        ax: Axes to draw on.
        scale: Of the height; a logarithmic one is linear below the lowest height above 0.

    Returns:
        The Axes.
    """
    ax = canvas.axes(ax, _choices(saddles))
    shown = _shown(saddles)
    tree, labels, shades = saddles.tree.among(shown), saddles.labels.iloc[shown], _shades(saddles)
    place = np.argsort(tree.order).astype(np.float64)
    x, y = [*place, *tree.heights], [*tree.values, *tree.heights]
    tints = [shades[state] for state in shown] + [GREY] * len(tree.heights)
    for merge, (one, other) in enumerate(tree.linkage[:, :2].astype(int).tolist(), len(tree)):
        x[merge] = (x[one] + x[other]) / 2
        if np.isfinite(y[merge]):
            for piece in (one, other):
                ax.plot(2 * [x[piece]], [y[piece], y[merge]], color=tints[piece], linewidth=1.2)
            ax.plot([x[one], x[other]], 2 * [y[merge]], color=GREY, linewidth=0.8)
    _mark(ax, labels, place, tree.values, np.array(tints))
    _scale(ax, tree, scale)
    _name(ax, saddles, f"{len(shown)} of {len(saddles)} states, those of one basin side by side")
    return ax


@checked
def profile(saddles: Saddles, ax: Axes | None = None, scale: Scale = "linear") -> Axes:
    """Draw nested basins as a landscape in section: as wide as there are states in them.

    Between two states that stand side by side the land is as high as the lowest way between them
    (after topological landscape profiles, arXiv:2602.07135).

    Args:
        saddles: What was measured.
        ax: Axes to draw on.
        scale: Of the height, as for `disconnectivity`.

    Returns:
        The Axes.
    """
    ax = canvas.axes(ax, _choices(saddles))
    tree = saddles.tree
    ways = tree.minimax[tree.order[:-1], tree.order[1:]]
    top = np.max(ways[np.isfinite(ways)], initial=tree.values.max())
    land = np.empty(2 * len(tree) + 1)
    land[1::2], land[2:-1:2], land[[0, -1]] = tree.values[tree.order], ways, top
    edges = np.arange(len(land) + 1) / 2 - 0.5
    ax.stairs(np.minimum(land, top), edges, fill=True, color="0.8", baseline=tree.values.min())
    ax.stairs(np.minimum(land, top), edges, color="0.3", linewidth=0.8, baseline=None)
    _scale(ax, tree, scale)
    _name(ax, saddles, f"{len(saddles)} states, those of one basin side by side")
    return ax


@checked
def basins(
    embedding: Embedding, saddles: Saddles, height: AnyNumber, ax: Axes | None = None
) -> Axes:
    """Colour the points of the plane by the basin in which they lie below a height.

    Args:
        embedding: The states in the plane.
        saddles: The same states in the same order.
        height: How high the water stands.
        ax: Axes to draw on.

    Returns:
        The Axes.

    Raises:
        ValueError: If they are of other states.
    """
    shared = list(embedding.labels)
    if not embedding.labels.equals(saddles.labels[shared].reset_index(drop=True)):
        raise ValueError(
            "basins are drawn where the same states were embedded, but these have other labels; "
            "embed the trajectories that were measured, with optimum=True"
        )
    ax = canvas.axes(ax, canvas.caption(embedding.provenance))
    found, plane = saddles.basins(height), embedding.coordinates
    count = int(found.max()) + 1
    above = found < 0
    ax.scatter(plane[above, 0], plane[above, 1], s=12, color="0.85", label=f"{above.sum()} above")
    for basin, colour in enumerate(canvas.colours(count)):
        rows = found == basin
        label = f"basin of {rows.sum()}" if basin < 6 else None
        ax.scatter(plane[rows, 0], plane[rows, 1], s=18, color=colour, label=label)
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    ax.set_xlabel("embedding 1 (arbitrary units)")
    ax.set_ylabel("embedding 2 (arbitrary units)")
    unit = canvas.measured(saddles.metric, saddles.provenance)
    canvas.title(ax, f"{_counted(count)} below {height:.3g}, {unit}")
    return ax


@checked
def back(saddles: Saddles, ax: Axes | None = None) -> Axes:
    """Draw how high the ways from snapshots back to the optimum climb, as retraining goes on.

    Args:
        saddles: Of trajectories; means over the runs of a step size are drawn.
        ax: Axes to draw on.

    Returns:
        The Axes.
    """
    ax = canvas.axes(ax, _choices(saddles))
    table = saddles.frame()
    table = table[table["run"] != OPTIMUM]
    sizes = sorted(table["step_size"].unique())
    for size, colour in zip(sizes, canvas.ramp(len(sizes), "viridis"), strict=True):
        means = table[table["step_size"] == size].groupby("epoch")[["straight", "best"]].mean()
        ax.plot(means.index, means["straight"], "--", color=colour, marker="o", markersize=3)
        ax.plot(means.index, means["best"], color=colour, marker="o", markersize=3)
    keys = [
        Line2D([], [], color=colour, label=f"jump of {size:g}")
        for size, colour in zip(sizes, canvas.ramp(len(sizes), "viridis"), strict=True)
    ]
    keys += [Line2D([], [], color="0.3", label="best way")]
    keys += [Line2D([], [], color="0.3", linestyle="--", label="straight way")]
    _explain(ax, keys, 0.16)
    ax.set_ylim(0, 1.05 * max(table[["straight", "best"]].max().max(), FLAT))
    ax.set_xlabel("epochs of retraining")
    ax.set_ylabel(f"climb, {canvas.measured(saddles.metric, saddles.provenance)}")
    last = table[table["epoch"] == table["epoch"].max()][["straight", "best"]].mean()
    canvas.title(
        ax,
        f"At the end, ways back climb {last['straight']:.2g} when straight and "
        f"{last['best']:.2g} at best (means of {table['run'].nunique()} runs)",
    )
    return ax


def _choices(saddles: Saddles) -> str:
    known = ("alphas", "tolerance", "align", "bend")
    told = [f"{name} {saddles.provenance[name]}" for name in known if name in saddles.provenance]
    return ", ".join([f"{saddles.evaluations} points scored", *told])


def _finding(saddles: Saddles) -> str:
    bars = len(saddles.diagrams.finite(0)) + len(saddles.diagrams.essential(0))
    unit = canvas.measured(saddles.metric, saddles.provenance).partition(" (")[2]
    return f"{_counted(bars)}, total depth {saddles.depth:.2g} {unit.rstrip(')')}".strip()


def _counted(basins: int) -> str:
    return f"{basins} basin{'s' * (basins != 1)}"


def _name(ax: Axes, saddles: Saddles, states: str) -> None:
    ax.set_xticks([])
    ax.set_xlabel("\n".join(textwrap.wrap(states, max(16, int(9 * canvas.inches(ax))))))
    ax.set_ylabel(canvas.measured(saddles.metric, saddles.provenance))
    canvas.title(ax, _finding(saddles))


def _shown(saddles: Saddles) -> NDArray[np.intp]:
    """Choose the states that have a line: lowest of a basin, last of a run, optima.

    Returns:
        Their numbers.
    """
    ways, labels = saddles.tree.minimax.copy(), saddles.labels
    np.fill_diagonal(ways, np.inf)
    lowest = ways.min(axis=1, initial=np.inf) > saddles.tree.values
    last = labels.groupby(["network", "run"])["epoch"].transform("max") == labels["epoch"]
    return np.flatnonzero(lowest | last.to_numpy())


def _shades(saddles: Saddles) -> list[canvas.Colour]:
    names = sorted(set(saddles.labels["direction"]) - {OPTIMUM})
    palette = dict(zip(names, canvas.colours(len(names)), strict=True))
    return [palette.get(name, BLACK) for name in saddles.labels["direction"]]


def _mark(
    ax: Axes,
    labels: pd.DataFrame,
    place: NDArray[np.float64],
    heights: NDArray[np.float64],
    tints: NDArray[np.float64],
) -> None:
    """Mark each line's lower end by its step size, and optima by a star."""
    sizes, optima = labels["step_size"].to_numpy(), (labels["run"] == OPTIMUM).to_numpy()
    keys = []
    for number, size in enumerate(np.unique(sizes[~optima])):
        rows, marker = np.flatnonzero(~optima & (sizes == size)), MARKERS[number % len(MARKERS)]
        ax.scatter(place[rows], heights[rows], s=22, c=tints[rows], marker=marker, zorder=3)
        keys.append(Line2D([], [], ls="none", marker=marker, c="0.5", label=f"jump of {size:g}"))
    if optima.any():
        ax.scatter(place[optima], heights[optima], s=90, c="black", marker="*", zorder=4)
        keys.append(Line2D([], [], ls="none", marker="*", c="black", ms=10, label="optimum"))
    _explain(ax, keys, 0.12)


def _explain(ax: Axes, keys: list[Line2D], gap: float) -> None:
    canvas.legend_below(ax, keys, gap, max(1, int(canvas.inches(ax) / 1.25)))


def _scale(ax: Axes, tree: MergeTree, scale: Scale) -> None:
    if scale == "log":
        heights = np.r_[tree.values, tree.heights[np.isfinite(tree.heights)]]
        above = heights[heights > 0]
        if len(above) < len(heights):
            ax.set_yscale("symlog", linthresh=above.min(initial=1.0))
        else:
            ax.set_yscale("log")
            ax.set_ylim(heights.min() / ROOM, heights.max() * ROOM)
        canvas.plain(ax.yaxis)
