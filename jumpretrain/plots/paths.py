"""Draw what happens along paths between two states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.paths.path import RISE, Path
from jumpretrain.plots import canvas

__all__ = [
    "Bundle",
    "along",
    "choices",
    "finding",
    "frame",
    "gathered",
    "paths",
    "recorded",
    "spread",
]

Bundle = Path | Sequence[Path] | Mapping[str, Path | Sequence[Path]]
"""One path, several, or one or several a name."""
CHANCE: dict[str, Any] = {"color": "0.45", "linestyle": ":", "linewidth": 1, "zorder": 1}
HALO = [withStroke(linewidth=4.5, foreground="white")]
MANY = 5


@checked
def paths(paths: Bundle, metric: str = "train_loss", ax: Axes | None = None) -> Axes:
    """Draw a metric along paths: one thin line a path, one colour a name.

    Names with five paths or more have their median as a thick line. The scale is logarithmic where
    all values are above 0 and the largest is above ten times the median of the paths' higher ends,
    else linear. For class labels a dotted line marks the loss or error of chance.

    Args:
        paths: One path, several, or one or several a name.
        metric: Any that was recorded, such as `train_loss` or `test_error`.
        ax: Axes to draw on.

    Returns:
        The Axes; the title tells how many paths never rise by more than 0.001, and the largest
        min Delta.

    Raises:
        KeyError: If a path lacks the metric.
        ValueError: If a name has no path.
    """
    named = gathered(paths)
    ax = canvas.axes(ax, choices(named))
    few = sum(map(len, named.values())) <= 3
    keys = []
    for (name, some), style in zip(named.items(), _styles(len(named)), strict=True):
        rows = [recorded(path, metric) for path in some]
        thick = len(some) >= MANY and _aligned(some)
        thin: dict[str, Any] = {"linewidth": 1.8 if few else 0.9, "alpha": 1 if few else 0.55}
        thin |= {**style, "linestyle": "-"} if thick else style
        for path, row in zip(some, rows, strict=True):
            ax.plot(path.alphas, row, zorder=2, **thin)
        if thick:
            middle = np.median(rows, axis=0)
            ax.plot(some[0].alphas, middle, linewidth=2.4, path_effects=HALO, zorder=3, **style)
        said = f"{name} (n = {len(some)}{', thick: median' if thick else ''})"
        keys.append(Line2D([], [], linewidth=2, label=said, **style))
    return _finish(ax, named, metric, keys)


@checked
def spread(paths: Bundle, metric: str = "train_loss", ax: Axes | None = None) -> Axes:
    """Draw mean and standard deviation of a metric over paths, such as from random starts.

    The band's lower edge stops at the lowest path, so that a logarithmic scale can show it.

    Args:
        paths: As for `paths`; those of one name need the same alphas.
        metric: Any that was recorded.
        ax: Axes to draw on; the scale is chosen as for `paths`.

    Returns:
        The Axes.

    Raises:
        KeyError: If a path lacks the metric.
        ValueError: If a name has no path, or paths of different alphas.
    """
    named = gathered(paths)
    mixed = [name for name, some in named.items() if not _aligned(some)]
    if mixed:
        raise ValueError(
            f"a mean needs paths of the same alphas, but those of {mixed[0]!r} differ"
        )
    ax = canvas.axes(ax, f"line: mean, band: one standard deviation; {choices(named)}")
    keys = []
    for (name, some), style in zip(named.items(), _styles(len(named)), strict=True):
        rows = np.array([recorded(path, metric) for path in some])
        with np.errstate(invalid="ignore"):  # an infinite loss has no deviation
            mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        lower, upper = np.maximum(mean - deviation, rows.min(axis=0)), mean + deviation
        band: dict[str, Any] = {"color": style["color"], "alpha": 0.25, "linewidth": 0}
        ax.fill_between(some[0].alphas, lower, upper, **band)
        ax.plot(some[0].alphas, mean, linewidth=2, zorder=3, **style)
        keys.append(Line2D([], [], linewidth=2, label=f"{name} (n = {len(some)})", **style))
    return _finish(ax, named, metric, keys)


def gathered(bundle: Bundle) -> dict[str, list[Path]]:
    """List paths by name; those without are under the empty name.

    Returns:
        The paths of each name.

    Raises:
        ValueError: If a name has no path.
    """
    some = bundle if isinstance(bundle, Mapping) else {"": bundle}
    named = {n: [paths] if isinstance(paths, Path) else list(paths) for n, paths in some.items()}
    empty = [name for name, paths in named.items() if not paths]
    if empty or not named:
        raise ValueError(f"a picture needs a path, but {empty[0] if empty else 'it'!r} has none")
    return named


def recorded(path: Path, metric: str) -> NDArray[np.float64]:
    """Look up a metric, gaps and all.

    Returns:
        One value an alpha (A,); NaN where it is undefined.

    Raises:
        KeyError: If the metric was not recorded; the message names those that were.
    """
    if metric not in path.metrics:
        raise KeyError(f"no metric {metric!r}; recorded: {', '.join(sorted(path.metrics))}")
    return np.asarray(path.metrics[metric], dtype=np.float64)


def finding(named: Mapping[str, Sequence[Path]], metric: str) -> str:
    """Say how many paths never rise by more than 0.001, or for an accuracy never fall.

    Returns:
        Such as `train loss never rises by > 0.001 on 18 of 20 paths; largest min Delta 0.31`.
    """
    verb = "falls" if _kind(metric) == "accuracy" else "rises"
    rises = {name: [_rise(path, metric) for path in some] for name, some in named.items()}
    every = [rise for some in rises.values() for rise in some]
    largest = max((rise for rise in every if not np.isnan(rise)), default=0.0)
    told = {"": every} if len(rises) > 4 else rises
    counts = [
        f"{sum(rise <= RISE for rise in some)} of {len(some)}{f' ({name})' if name else ''}"
        for name, some in told.items()
    ]
    plural = "path" if len(every) == 1 else "paths"
    said = f"{metric.replace('_', ' ')} never {verb} by > {RISE} on {', '.join(counts)} {plural}"
    lost = int(np.isnan(every).sum())
    return (
        said
        + (f"; largest min Δ {largest:.2g}" if largest else "")
        + (f"; {lost} undefined somewhere" if lost else "")
    )


def _rise(path: Path, metric: str) -> float:
    values = recorded(path, metric)
    if np.isnan(values).any():
        return np.nan
    sign = -1 if _kind(metric) == "accuracy" else 1
    return Path(path.alphas, {"value": sign * values}).monotonicity("value").min_delta


def _finish(
    ax: Axes, named: Mapping[str, Sequence[Path]], metric: str, keys: list[Line2D]
) -> Axes:
    if list(named) != [""]:
        canvas.legend_below(ax, keys, gap=0.13, columns=2)
    frame(ax, named, metric)
    canvas.title(ax, finding(named, metric))
    return ax


def _styles(count: int) -> list[dict[str, Any]]:
    """Choose a colour and a dash for each name, so that equal curves show both.

    Returns:
        As many styles as asked for.
    """
    dashes = ("-", "--", "-.", ":")
    return [
        {"color": colour, "linestyle": dashes[place % len(dashes)]}
        for place, colour in enumerate(canvas.colours(count))
    ]


def _aligned(paths: Sequence[Path]) -> bool:
    return all(np.array_equal(path.alphas, paths[0].alphas) for path in paths)


def frame(ax: Axes, named: Mapping[str, Sequence[Path]], metric: str) -> None:
    """Name both axes, choose the scale of a metric, mark the level of chance."""
    rows = [recorded(path, metric) for some in named.values() for path in some]
    first = next(iter(named.values()))[0]
    unit, name = _unit(first, metric), metric.replace("_", " ")
    ax.set_ylabel(f"{name} ({unit})" if unit else name)
    values, ends = np.concatenate(rows), np.array([max(row[0], row[-1]) for row in rows])
    finite, ends = values[np.isfinite(values)], ends[np.isfinite(ends)]
    if len(finite) and len(ends) and finite.min() > 0 and finite.max() > 10 * np.median(ends):
        ax.set_yscale("log")
        canvas.plain(ax.yaxis)
    level, text = _chance(first, metric, unit)
    if text:
        ax.axhline(level, **CHANCE)
        at: dict[str, Any] = {"xytext": (-3, 2), "textcoords": "offset points", "ha": "right"}
        place = ("axes fraction", "data")
        ax.annotate(text, (1, level), xycoords=place, fontsize=8, color=canvas.GREY, **at)
    along(ax)


def along(ax: Axes) -> None:
    """Name the axis of alphas."""
    ax.set_xlabel("alpha, share of the way from start to end (1)")
    ax.set_xlim(0, 1)


def _chance(path: Path, metric: str, unit: str) -> tuple[float, str]:
    errors = path.class_error or {}
    count = max((np.shape(error)[1] for error in errors.values()), default=0)
    if count and unit == "nats":
        return float(np.log(count)), f"log {count}"
    if count and _kind(metric) == "error":
        return 1 - 1 / count, f"1 − 1/{count}"
    return 0.0, ""


def _kind(metric: str) -> str:
    return (*metric.split("_"), "")[1]


def _unit(path: Path, metric: str) -> str:
    measures = path.provenance.get("task", {}).get("measures", "")
    if _kind(metric) == "loss" and "loss=cross_entropy" in measures:
        return "nats"
    return "fraction" if _kind(metric) in ("accuracy", "error") else ""


def choices(named: Mapping[str, Sequence[Path]]) -> str:
    """Write how the states were built as one line.

    Returns:
        Such as `51 alphas, biases linear, others end`.
    """
    every = [path for some in named.values() for path in some]
    points = sorted({len(path.alphas) for path in every})
    words = [f"{' or '.join(map(str, points))} alphas"]
    for name in ("biases", "others"):
        found = dict.fromkeys(path.provenance.get(name, "") for path in every)
        words += [f"{name} {' or '.join(found)}"] if "" not in found else []
    return ", ".join(words)
