"""Share what all plots need: Axes, colours that everyone can tell apart, titles and captions."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

__all__ = [
    "Colour",
    "axes",
    "caption",
    "colours",
    "fit",
    "inches",
    "legend_below",
    "new_figure",
    "note",
    "plain",
    "png",
    "ramp",
    "share_legend",
    "standard_style",
    "title",
]

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
GREY = "0.4"
CHOICES = ("method", "metric", "centre", "knn", "connect", "decay", "t", "seed")

MARGIN, PASSES = 8, 6
MATHS = r"\mathdefault"
"""What ticks of a logarithmic axis are written with."""

Colour = tuple[float, float, float]


@contextmanager
def standard_style() -> Iterator[None]:
    """Draw by matplotlib's own defaults, whatever its settings were, then put those back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that pyplot knows nothing of.

    Returns:
        An empty figure of that many inches.
    """
    padding = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(width, height), layout=padding)
    FigureCanvasAgg(figure)
    return figure


def axes(ax: Axes | None, choices: str = "", width: float = 6.4, height: float = 5.6) -> Axes:
    """Take the Axes given, or make a figure with the choices printed underneath.

    Returns:
        The Axes to draw on.
    """
    if ax is not None:
        return ax
    figure = new_figure(width, height)
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


def measured(metric: str, provenance: Mapping[str, Any]) -> str:
    """Write a metric with its unit, where the task of a result tells it.

    Returns:
        Such as `train loss (nats)`.

    Example:
        >>> measured("test_accuracy", {})
        'test accuracy (fraction)'
    """
    entropy = "loss=cross_entropy" in provenance.get("task", {}).get("measures", "")
    share = metric.endswith(("accuracy", "error"))
    unit = "nats" if metric.endswith("loss") and entropy else "fraction" if share else ""
    return metric.replace("_", " ") + (f" ({unit})" if unit else "")


def title(ax: Axes, text: str, size: float = 11) -> None:
    """Write a title, in as many lines as the width of the Axes asks for."""
    wide = max(16, int(inches(ax) * 72 / (0.47 * size)))
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, wide)]
    ax.set_title("\n".join(lines), loc="left", fontsize=size)


def fit(figure: Figure) -> None:
    """Break titles, labels and notes anew that leave the figure, or reach over the next Axes."""
    for _ in range(PASSES):  # broken texts are higher, which moves the Axes
        figure.draw_without_rendering()
        wide = [(text, room) for text, room in _rooms(figure) if _width(text) > room]
        for text, room in wide:
            words, longest = " ".join(text.get_text().split()), _longest(text)
            most = max(MARGIN, int(longest * room / _width(text)))
            text.set_text("\n".join(textwrap.wrap(words, min(most, max(longest - 1, 1)))))
        if not wide:
            return


def _rooms(figure: Figure) -> Iterator[tuple[Text, float]]:
    """Find how wide the texts around the Axes may be.

    Yields:
        Each text, and its room in pixels.
    """
    end = figure.bbox.width - MARGIN
    for ax in figure.axes:
        said, box = ax.get_title(loc="left"), ax.bbox
        beside = [
            other.bbox.x0 - MARGIN
            for other in figure.axes
            if other.bbox.x0 >= box.x1 and other.bbox.y0 < box.y1 <= other.bbox.y1 + 1
        ]
        for text in ax.get_children():
            if said and isinstance(text, Text) and text.get_text() == said:
                yield text, min([*beside, end]) - box.x0
    centred = [*(ax.xaxis.label for ax in figure.axes), *figure.texts]
    for text in centred:
        extent = text.get_window_extent()
        middle = (extent.x0 + extent.x1) / 2
        yield text, 2 * min(middle - MARGIN, end - middle)


def _width(text: Text) -> float:
    return float(text.get_window_extent().width)


def _longest(text: Text) -> int:
    return max(map(len, text.get_text().split("\n")))


def inches(ax: Axes) -> float:
    """Measure how wide Axes are.

    Returns:
        The width in inches, before any layout has adjusted it.
    """
    return float(ax.bbox.width / ax.figure.dpi)


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
    places = np.linspace(0.0, 0.85, count) if count != 1 else [0.0]
    return [to_rgb(matplotlib.colormaps[name](place)) for place in places]


def plain(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers, as many as there is room for."""
    low, high = sorted(axis.get_view_interval())
    span = high / low if low > 0 else np.inf
    subs = (1, 2, 3, 4, 6, 8) if span < 8 else (1, 2, 5) if span < 1e3 else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_below(ax: Axes, keys: list[Line2D], gap: float, columns: int) -> None:
    """Put a legend under the Axes, so many of their heights below."""
    ax.legend(
        handles=keys,
        loc="upper center",
        bbox_to_anchor=(0.5, -gap),
        ncols=columns,
        frameon=False,
        fontsize=9,
    )


def share_legend(figure: Figure, rows: int = 1) -> None:
    """Replace the legends of all Axes by the fullest one, at the top of the figure."""
    legends = [legend for ax in figure.axes if (legend := ax.get_legend())]
    fullest = max(legends, key=lambda legend: len(legend.get_texts()))
    labels = [text.get_text() for text in fullest.get_texts()]
    keys = [handle for handle in fullest.legend_handles if handle is not None]
    for legend in legends:
        legend.remove()
    columns = -(-len(labels) // rows)
    figure.legend(
        keys, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=11
    )


def png(figure: Figure | SubFigure, resolution: int = 130) -> bytes:
    """Render a figure; the bytes depend on nothing but the figure.

    Returns:
        The content of a PNG file.
    """
    whole = figure.figure
    for text in whole.findobj(Text):
        if "$" in text.get_text() and MATHS not in text.get_text():
            text.set_parse_math(False)  # a name may have dollars
    fit(whole)
    buffer = io.BytesIO()
    whole.savefig(buffer, format="png", dpi=resolution, metadata={"Software": None})
    return buffer.getvalue()
