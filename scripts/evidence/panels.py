"""Draw what most figures show: each network as dots or thin lines, what is typical as thick."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from evidence.judging import tally
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jumpretrain.plots import canvas


def head(figure: Figure, finding: str, claims: list[dict[str, Any]], note: str) -> None:
    """Write the finding and the count of verdicts above a figure, and how it was made below."""
    figure.suptitle(f"{finding}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(figure, note)


def sheet(
    size: tuple[float, float], shape: tuple[int, int], rows: Iterable[tuple[Any, ...]]
) -> Figure:
    """Draw the panels of a grid: rows of a function and of what it is given after the Axes."""
    figure = canvas.new_figure(*size)
    panels = figure.subplots(*shape, squeeze=False).flat
    for ax, (draw, *shown) in zip(panels, rows, strict=True):
        draw(ax, *shown)
    return figure


def dots(
    ax: Axes,
    place: float,
    values: ArrayLike,
    colour: Any,
    mark: str = "o",
    width: float = 0.25,
    spread: float = 0.125,
    label: str | None = None,
    middle: Callable[..., Any] = np.median,
) -> None:
    """Draw a value a network as dots side by side, and what is typical of them as a bar."""
    heights = np.asarray(values, dtype=float)
    shift = np.linspace(-spread, spread, len(heights)) if len(heights) > 1 else 0
    look = {"s": 26, "color": [colour], "marker": mark, "alpha": 0.75, "lw": 0, "label": label}
    ax.scatter(place + shift, heights, **look)
    ax.hlines(float(middle(heights)), place - width, place + width, color="black", lw=1.6)


def lines(
    ax: Axes,
    x: ArrayLike,
    rows: ArrayLike,
    colour: Any,
    label: str | None = None,
    middle: Callable[..., Any] = np.mean,
    style: str = "-",
    thin: float = 0.7,
    **thick: Any,
) -> None:
    """Draw a line a network (n, points), and what is typical of them as a thick one."""
    ax.plot(x, np.transpose(rows), style.lstrip("os."), color=colour, lw=thin, alpha=0.4)
    ax.plot(x, middle(rows, axis=0), style, color=colour, label=label, **{"lw": 2.4} | thick)


def label(
    ax: Axes,
    across: str,
    up: str,
    text: str,
    logs: str = "",
    limits: Mapping[str, Any] | None = None,
    **legend: Any,
) -> None:
    """Name both axes and write the title, once all is drawn, and a legend of what has a label.

    `logs`, of `x`, `y` or both, makes axes logarithmic, with plain numbers; `limits` is what
    `ax.set` takes further, `legend` what `ax.legend` takes beside a size of 9 without frame.
    """
    ax.set(xlabel=across, ylabel=up, **limits or {})
    for name in logs:
        ax.set(**{f"{name}scale": "log"})
        canvas.plain(ax.xaxis if name == "x" else ax.yaxis)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**{"fontsize": 9, "frameon": False} | legend)
    canvas.title(ax, text)


def equal(ax: Axes, top: float = 1, label: str | None = None) -> None:
    """Dot the line on which both sides are the same."""
    ax.plot([0, top], [0, top], color="0.4", ls=":", lw=1.2, label=label)


def intervals(
    ax: Axes,
    places: ArrayLike,
    middle: ArrayLike,
    ends: tuple[ArrayLike, ArrayLike],
    colour: Any,
    mark: str = "o",
    **dots: Any,
) -> None:
    """Draw effects at heights, each on the line of its interval."""
    ax.hlines(places, *ends, color=colour, lw=1.6)
    ax.plot(middle, places, mark, color=colour, **dots)
