"""Name the axes of a panel, scale them and write its title and legend."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from jumpretrain.plots import canvas


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
