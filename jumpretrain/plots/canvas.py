"""Share what all plots need: Axes, colours that everyone can tell apart, titles and captions."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

__all__ = ["axes", "caption", "colours", "inches", "new_figure", "note", "png", "ramp", "title"]

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
GREY = "0.4"
CHOICES = ("method", "metric", "centre", "knn", "connect", "decay", "t", "seed")

Colour = tuple[float, float, float]


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that pyplot knows nothing of.

    Returns:
        An empty figure of that many inches.
    """
    return Figure(figsize=(width, height), layout="constrained")


def axes(ax: Axes | None, choices: str = "") -> Axes:
    """Take the Axes given, or make a figure with the choices printed underneath.

    Returns:
        The Axes to draw on.
    """
    if ax is not None:
        return ax
    figure = new_figure(6.4, 5.6)
    note(figure, choices)
    return figure.add_subplot()


def note(figure: Figure, text: str) -> None:
    """Print small grey text under a figure."""
    wide = int(figure.get_figwidth() * 15)
    figure.supxlabel("\n".join(textwrap.wrap(text, wide)), fontsize=8, color=GREY)


def caption(provenance: Mapping[str, Any]) -> str:
    """Write the choices that changed numbers as one line.

    Args:
        provenance: That of an embedding, or any mapping from choices to values.

    Returns:
        Such as `phate, metric cosine, centre mean, knn 5, connect mst`.

    Example:
        >>> caption({"method": "phate", "metric": "cosine", "connect": None, "versions": {}})
        'phate, metric cosine, connect none'
    """
    known = [(name, provenance[name]) for name in CHOICES if name in provenance]
    words = [(name, "none" if value is None else str(value)) for name, value in known]
    return ", ".join(value if name == "method" else f"{name} {value}" for name, value in words)


def title(ax: Axes, text: str, size: float = 11) -> None:
    """Write a title, in as many lines as the width of the Axes asks for."""
    wide = max(16, int(inches(ax) * 72 / (0.53 * size)))
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, wide)]
    ax.set_title("\n".join(lines), loc="left", fontsize=size)


def inches(ax: Axes) -> float:
    """Measure how wide Axes are.

    Returns:
        The width in inches, before any layout has adjusted it.
    """
    figure = ax.get_figure(root=True)
    width = 6.4 if figure is None else figure.get_figwidth()
    return float(ax.get_position().width * width)


def colours(count: int) -> list[Colour]:
    """Choose colours for names without an order (Okabe and Ito's, then a ramp).

    Returns:
        As many colours as asked for.
    """
    if count > len(OKABE_ITO):
        return ramp(count, "viridis")
    return [to_rgb(name) for name in OKABE_ITO[:count]]


def ramp(count: int, name: str = "cividis") -> list[Colour]:
    """Choose colours for sizes, from dark to light.

    Returns:
        As many colours as asked for.
    """
    places = np.linspace(0, 0.9, count) if count > 1 else [0.0]
    return [to_rgb(matplotlib.colormaps[name](place)) for place in places]


def png(figure: Figure, resolution: int = 130) -> bytes:
    """Render a figure; the bytes depend on nothing but the figure.

    Returns:
        The content of a PNG file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=resolution, metadata={"Software": None})
    return buffer.getvalue()
