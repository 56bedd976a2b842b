"""Draw the parts of paths: classes, layers one at a time, the signal in each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.paths.path import Path
from jumpretrain.plots import canvas
from jumpretrain.plots.paths import along, choices, frame, gathered, recorded

if TYPE_CHECKING:
    from jumpretrain.paths.signals import Signals

__all__ = ["classes", "layers", "signals"]

LEGENDS = 24
WHOLE: dict[str, Any] = {"color": "black", "linestyle": "--"}


@checked
def classes(path: Path, ax: Axes | None = None, split: str = "train") -> Axes:
    """Draw the error of each class along a path, and their mean in black.

    Args:
        path: A path with the errors of classes.
        ax: Axes to draw on; colours run from the class that turns right first to the last.
        split: Whose examples, `"train"` or `"test"`.

    Returns:
        The Axes.

    Raises:
        KeyError: If those of the split were not recorded; the message names those that were.
        ValueError: If the path has no errors of classes.
    """
    error = path.errors(split)
    ax = canvas.axes(ax, choices({"": [path]}))
    turns = np.where(error >= 0.5, path.alphas[:, None], 0).max(axis=0)
    seen = np.flatnonzero(~np.isnan(error).all(axis=0))
    order = seen[np.argsort(turns[seen], kind="stable")]
    keys = []
    for label, colour in zip(order, canvas.ramp(len(order), "viridis_r"), strict=True):
        style: dict[str, Any] = {"color": colour, "label": f"class {label}"}
        keys += ax.plot(path.alphas, error[:, label], linewidth=1.4, **style)
    mean = path.metrics.get(f"{split}_error")
    if mean is not None:
        keys += ax.plot(path.alphas, mean, color="black", linewidth=2, label="all")
    if len(keys) <= LEGENDS:
        _aside(ax, keys, "turns right\nfirst to last")
    ax.set(ylim=(-0.03, 1.03), ylabel=f"{split} error of a class (fraction)")
    along(ax)
    canvas.title(ax, _turned(order, turns, error))
    return ax


@checked
def layers(paths: Mapping[str, Path], metric: str = "test_loss", ax: Axes | None = None) -> Axes:
    """Draw a metric while one layer moves and the others are held, one line a layer.

    Args:
        paths: A path for each layer in order of depth, from `layerwise`; one on which all
            weights move may be among them and is dashed and black.
        metric: Any that was recorded.
        ax: Axes to draw on; the scale is chosen as for `paths`.

    Returns:
        The Axes.

    Raises:
        KeyError: If a path lacks the metric.
        ValueError: If there is no path.
    """
    named = gathered(paths)
    ax = canvas.axes(ax, choices(named))
    rows = {name: recorded(path, metric) for name, path in paths.items()}
    whole = {n for n, path in paths.items() if path.provenance.get("select") == "everything"}
    single = {name: row for name, row in rows.items() if name not in whole} or rows
    palette = dict(zip(single, canvas.ramp(len(single), "viridis"), strict=True))
    keys = []
    for name, path in paths.items():
        style = {"color": palette[name]} if name in palette else WHOLE
        keys += ax.plot(path.alphas, rows[name], linewidth=1.8, label=name, **style)
    if len(keys) <= LEGENDS:
        _aside(ax, keys, "what moves")
    frame(ax, named, metric)
    held = {paths[name].provenance.get("others") for name in single}
    canvas.title(ax, (_moved_alone if held == {"start"} else _left_behind)(single, metric))
    return ax


@checked
def signals(signals: Signals, ax: Axes | None = None) -> Axes:
    """Draw how much signal each layer holds, one line an alpha.

    Args:
        signals: Signal of each layer at each alpha.
        ax: Axes to draw on, logarithmic; signals of 0 and below leave gaps.

    Returns:
        The Axes.
    """
    ax = canvas.axes(ax)
    depth = np.arange(1, len(signals.layers) + 1)
    palette = canvas.ramp(len(signals.alphas), "viridis_r")
    keys = []
    for alpha, row, colour in zip(signals.alphas, signals.values, palette, strict=True):
        shown = np.where(row > 0, row, np.nan)
        keys += ax.plot(depth, shown, ".-", color=colour, linewidth=1.3, label=f"{alpha:.2g}")
    step = -(-len(keys) // 12)
    _aside(ax, keys[::-step], "alpha")
    if (signals.values > 0).any():
        ax.set_yscale("log")
        canvas.plain(ax.yaxis)
    ax.set_xticks(depth[:: -(-len(depth) // 20)])
    ax.set_xlabel("layer, from the input (1)")
    ax.set_ylabel("signal (units of the layer's outputs)")
    inner = int(np.abs(signals.alphas - 0.5).argmin())
    share = signals.relative[inner]
    canvas.title(
        ax,
        f"at alpha {signals.alphas[inner]:.2g} layer 1 holds {share[0]:.2g} of its signal at the "
        f"end, layer {len(depth)} {share[-1]:.2g}",
    )
    return ax


def _turned(
    order: NDArray[np.int64], turns: NDArray[np.float64], error: NDArray[np.float64]
) -> str:
    lost = int(np.isnan(error[:, order]).any(axis=0).sum())
    if lost or not len(order):
        return f"{lost or 'all'} of {len(order) or error.shape[1]} classes are undefined somewhere"
    first, last, count = order[0], order[-1], len(order)
    wrong = order[error[-1, order] >= 0.5]
    if len(wrong) == count:
        return "at least half of every class is wrong at the end"
    begun = f"half of class {first} is right beyond alpha {turns[first]:.2g}"
    if len(wrong) == 1:
        return f"{begun}, class {last} is at least half wrong at the end"
    if len(wrong):
        return f"{begun}, {len(wrong)} of {count} classes are at least half wrong at the end"
    return f"{begun}, half of class {last}, the last of {count}, beyond {turns[last]:.2g}"


def _moved_alone(columns: Mapping[str, NDArray[np.float64]], metric: str) -> str:
    least, most = _gains(columns, metric)
    return (
        f"with only layer {most} at its end the {metric.replace('_', ' ')} is "
        f"{columns[most][-1]:.2g}, the best; with only layer {least} at its end "
        f"{columns[least][-1]:.2g}; at the start {columns[most][0]:.2g}"
    )


def _left_behind(columns: Mapping[str, NDArray[np.float64]], metric: str) -> str:
    least, most = _gains(columns, metric)
    name, (worst, end) = metric.replace("_", " "), columns[most][[0, -1]]
    return (
        f"with layer {most} at its start the {name} is {worst:.2g}, the worst; with layer {least} "
        f"at its start {columns[least][0]:.2g}; at the end {end:.2g}"
    )


def _gains(columns: Mapping[str, NDArray[np.float64]], metric: str) -> tuple[str, str]:
    sign = -1 if metric.endswith("accuracy") else 1
    gain = {name: sign * (column[0] - column[-1]) for name, column in columns.items()}
    return min(gain, key=gain.__getitem__), max(gain, key=gain.__getitem__)


def _aside(ax: Axes, keys: list[Line2D], heading: str) -> None:
    ax.legend(
        handles=keys,
        title=heading,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=9,
        title_fontsize=9,
    )
