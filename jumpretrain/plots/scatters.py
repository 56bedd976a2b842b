"""Draw trajectories in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.plots import canvas

if TYPE_CHECKING:
    from jumpretrain.embedding.embed import Embedding

__all__ = ["faded", "pieces", "trajectories"]

NAMES = {"phate": "PHATE", "pca": "PCA", "mds": "MDS", "tsne": "t-SNE", "umap": "UMAP"}
MARKERS = "osDP^vX*"
FADED = 0.82  # how white the last epoch is


@checked
def trajectories(
    embedding: Embedding,
    values: ArrayLike | None = None,
    ax: Axes | None = None,
    name: str = "value",
) -> Axes:
    """Draw runs as trains of points, their jumps as markers and the optimum as a star.

    Args:
        embedding: Points in two dimensions; of more, the first two are drawn.
        values: A value of each point (N,) to colour by, on a logarithmic scale if all are above
            0; without it colours are directions, fading towards white with the epoch.
        ax: Axes to draw on.
        name: What the values are, with their unit.

    Returns:
        The Axes.

    Raises:
        ValueError: If the embedding is a line, or there is not one value a point.
    """
    if embedding.coordinates.shape[1] < 2:
        raise ValueError("a picture needs 2 dimensions, but the embedding has 1; embed in more")
    ax = canvas.axes(ax, canvas.caption(embedding.provenance))
    labels = embedding.labels
    directions, sizes = _levels(labels, "direction"), _levels(labels, "step_size")
    if values is None:
        colouring: dict[str, Any] = {"c": faded(labels)}
    else:
        colouring = {"c": _checked(values, len(labels)), **_scale(values)}
    _draw(ax, embedding.coordinates, labels, sizes, colouring)
    if values is not None:
        bar = ax.figure.colorbar(ax.collections[0], ax=ax, label=name, shrink=0.8)
        if isinstance(bar.norm, LogNorm):
            canvas.plain(bar.ax.yaxis)
    _explain(ax, directions if values is None else [], sizes, bool((labels["run"] == -1).any()))
    _frame(ax, embedding)
    return ax


def _levels(labels: pd.DataFrame, column: str) -> list[Any]:
    return sorted(labels.loc[labels["run"] != -1, column].unique().tolist())


def faded(labels: pd.DataFrame) -> NDArray[np.float64]:
    """Colour points by direction, whiter the later the epoch.

    Returns:
        Red, green and blue of each point (N, 3), in [0, 1].
    """
    directions = _levels(labels, "direction")
    palette = np.array(canvas.colours(len(directions)))
    index = np.searchsorted(directions, labels["direction"]) % len(palette)
    fade = FADED * labels["epoch"].to_numpy() / max(labels["epoch"].max(), 1e-12)
    return np.asarray(palette[index] * (1 - fade[:, None]) + fade[:, None])


def _checked(values: ArrayLike, count: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (count,):
        raise ValueError(
            f"there must be one value a point, ({count},), but values are {array.shape}; "
            "take them with .values(metric, optimum) from the trajectories that were embedded"
        )
    return array


def _scale(values: ArrayLike) -> dict[str, Any]:
    low, high = float(np.min(values)), float(np.max(values))
    norm = LogNorm(low, high) if low > 0 and high > low else Normalize(low, high)
    return {"norm": norm, "cmap": "viridis"}


def _draw(
    ax: Axes,
    plane: NDArray[np.float64],
    labels: pd.DataFrame,
    sizes: list[Any],
    colouring: dict[str, Any],
) -> None:
    width = canvas.inches(ax)
    first = labels.groupby("run")["epoch"].transform("min") == labels["epoch"]
    optimum = (labels["run"] == -1).to_numpy()
    jump = (first & ~optimum).to_numpy()
    latest_first = np.argsort(-labels["epoch"].to_numpy(), kind="stable")
    later = latest_first[~(jump | optimum)[latest_first]]

    def mark(rows: NDArray[Any], area: float, **style: Any) -> None:
        chosen = {**colouring, "c": colouring["c"][rows]}
        ax.scatter(plane[rows, 0], plane[rows, 1], s=area * width, **chosen, **style)

    for _, rows in labels[~optimum].groupby("run").indices.items():
        points = np.flatnonzero(~optimum)[rows]
        ax.plot(plane[points, 0], plane[points, 1], color="0.75", linewidth=0.5, zorder=1)
    mark(later, 3.5, zorder=2, linewidths=0)
    for marker, size in zip(_shapes(sizes), sizes, strict=True):
        rows = np.flatnonzero(jump & (labels["step_size"] == size).to_numpy())
        mark(rows, 14, zorder=3, marker=marker, edgecolors="black", linewidths=0.8)
    star = plane[optimum]
    if len(star):
        ax.scatter(
            star[:, 0],
            star[:, 1],
            s=55 * width,
            marker="*",
            c="black",
            edgecolors="white",
            zorder=4,
        )


def _shapes(sizes: list[Any]) -> str:
    return (MARKERS * (1 + len(sizes) // len(MARKERS)))[: len(sizes)]


def _explain(ax: Axes, directions: list[Any], sizes: list[Any], optimum: bool) -> None:
    def key(label: str, marker: str, colour: Any, edge: str, size: float) -> Line2D:
        style = {"markerfacecolor": colour, "markeredgecolor": edge, "markersize": size}
        return Line2D([], [], linestyle="none", marker=marker, label=label, **style)

    above = [
        key(f"direction {name}", "o", colour, "none", 7)
        for name, colour in zip(directions, canvas.colours(len(directions)), strict=True)
    ]
    below = [
        key(f"jump of {size:g}", marker, "0.85", "black", 7)
        for marker, size in zip(_shapes(sizes), sizes, strict=True)
    ]
    below += [key("optimum", "*", "black", "none", 12)] * optimum
    blank = [Line2D([], [], linestyle="none", label=" ")]
    short, long = sorted((above, below), key=len)
    padding = blank * (len(long) - len(short)) if short else []
    rows = (above + padding, below) if short is above else (above, below + padding)
    keys = [entry for pair in zip(*rows, strict=True) for entry in pair] if short else long
    ax.legend(
        handles=keys,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=min(len(long), 6),
        frameon=False,
        fontsize=9,
        handletextpad=0.1,
        columnspacing=0.8,
    )


def _frame(ax: Axes, embedding: Embedding) -> None:
    method = str(embedding.provenance.get("method", "axis"))
    unit = "in weights" if method == "pca" else "arbitrary units"
    ax.set_xlabel(f"{NAMES.get(method, method)} 1 ({unit})")
    ax.set_ylabel(f"{NAMES.get(method, method)} 2 ({unit})")
    ax.set_aspect("equal", adjustable="datalim")
    ax.locator_params(nbins=4)
    ax.tick_params(labelsize=8)
    canvas.title(ax, f"{embedding.labels['run'].max() + 1} runs, {pieces(embedding)}")


def pieces(embedding: Embedding) -> str:
    """Say in how many pieces the neighbour graph was.

    Returns:
        Such as `neighbour graph in 12 pieces, left apart`.
    """
    if embedding.components == 1:
        return "neighbour graph in one piece"
    apart = embedding.provenance.get("connect", "mst") is None
    state = "left apart" if apart else "joined by the spanning tree"
    return f"neighbour graph in {embedding.components} pieces, {state}"
