"""Draw what most figures show: each network as dots or thin lines, what is typical as thick."""

from __future__ import annotations

from collections.abc import Callable
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


def dots(
    ax: Axes,
    place: float,
    values: ArrayLike,
    colour: Any,
    mark: str = "o",
    width: float = 0.25,
    spread: float = 0.125,
) -> None:
    """Draw a value a network as dots side by side, and their median as a bar."""
    heights = np.asarray(values, dtype=float)
    shift = np.linspace(-spread, spread, len(heights)) if len(heights) > 1 else 0
    ax.scatter(place + shift, heights, s=26, color=[colour], marker=mark, alpha=0.75, lw=0)
    ax.hlines(float(np.median(heights)), place - width, place + width, color="black", lw=1.6)


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
    ax.plot(x, np.transpose(rows), style.lstrip("os"), color=colour, lw=thin, alpha=0.4)
    ax.plot(x, middle(rows, axis=0), style, color=colour, label=label, **{"lw": 2.4} | thick)


def label(ax: Axes, across: str, up: str, text: str, logs: str = "", **legend: Any) -> None:
    """Name both axes and write the title, once all is drawn.

    Args:
        ax: The panel.
        across: What the horizontal axis shows, with unit.
        up: What the vertical axis shows, with unit.
        text: The title.
        logs: `x`, `y` or both: logarithmic axes, with plain numbers.
        **legend: Of the legend; without any there is none.
    """
    for name in logs:
        ax.set(**{f"{name}scale": "log"})
        canvas.plain(ax.xaxis if name == "x" else ax.yaxis)
    ax.set_xlabel(across)
    ax.set_ylabel(up)
    if legend:
        ax.legend(**{"fontsize": 9, "frameon": False} | legend)
    canvas.title(ax, text)


def named(ax: Axes, title: str, x: str, y: str, legend: float = 9, **limits: Any) -> None:
    """Write what Axes show above them and along both sides; a legend of size 0 is none."""
    ax.set(xlabel=x, ylabel=y, **limits)
    if legend:
        ax.legend(fontsize=legend, frameon=False)
    canvas.title(ax, title)


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
