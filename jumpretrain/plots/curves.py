"""Draw what happens to every run over the epochs of retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from jumpretrain.comparison import geometry
from jumpretrain.execution.arguments import checked
from jumpretrain.plots import canvas

if TYPE_CHECKING:
    from jumpretrain.sampling.trajectories import Trajectories

__all__ = ["choices", "distance", "loss", "unit"]

CONTROL: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.3, "zorder": 3}
LEVEL: dict[str, Any] = {"color": "0.45", "linestyle": ":", "linewidth": 1, "zorder": 1}


@checked
def loss(trajectories: Trajectories, metric: str = "test_loss", ax: Axes | None = None) -> Axes:
    """Draw a metric over the epochs, one line a run, coloured by step size.

    Args:
        trajectories: Runs with step size 0, the control, are dashed and black.
        metric: Any that was recorded; losses above 0 are on a logarithmic scale.
        ax: Axes to draw on; the first epoch is spread out.

    Returns:
        The Axes.
    """
    ax = canvas.axes(ax, choices(trajectories))
    lowest = np.nanmin(trajectories.values(metric))
    _lines(ax, trajectories, trajectories.metrics[metric], trajectories.optimum_metrics[metric])
    kind, name = metric.split("_")[-1], metric.replace("_", " ")
    measured = unit(trajectories, metric)
    ax.set_ylabel(f"{name} ({measured})" if measured else name)
    if kind == "loss" and lowest > 0:
        ax.set_yscale("log")
        canvas.plain(ax.yaxis)
    _time(ax, trajectories)
    canvas.title(ax, _course(trajectories, metric))
    return ax


@checked
def distance(trajectories: Trajectories, ax: Axes | None = None) -> Axes:
    """Draw how far every run is from the optimum, in units of its own jump.

    Args:
        trajectories: Runs with step size 0, the control, are dashed, black, and in units of the
            shortest jump, as they have none; runs that did not finish are left out.
        ax: Axes to draw on; the first epoch is spread out.

    Returns:
        The Axes.

    Raises:
        ValueError: If no finished run jumped.
    """
    finished = trajectories.select(trajectories.status == "ok")
    jumped = finished.step_size > 0
    if not jumped.any():
        raise ValueError("distances are in units of a jump, but no finished run has one")
    ax = canvas.axes(ax, choices(trajectories))
    radius = _radius(finished)
    relative = radius / np.where(jumped, radius[:, 0], radius[jumped, 0].min())[:, None]
    _lines(ax, finished, relative)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("distance from the optimum (jumps)")
    _time(ax, trajectories)
    final, furthest = np.median(relative[jumped, -1]), relative[jumped].max()
    canvas.title(
        ax,
        f"weights end {100 * final:.3g} % of a jump away (median), never beyond "
        f"{100 * furthest:.3g} %",
    )
    return ax


def _radius(trajectories: Trajectories) -> NDArray[np.float64]:
    sums = geometry.moves(trajectories).cumsum(axis=1).cumsum(axis=2)
    return np.asarray(np.sqrt(np.maximum(np.diagonal(sums, axis1=1, axis2=2), 0)))


def unit(trajectories: Trajectories, metric: str) -> str:
    """Say in which unit a metric is.

    Returns:
        `nats` for a cross-entropy, `fraction` for an accuracy, else nothing.
    """
    kind = metric.split("_")[-1]
    measures = trajectories.provenance.get("task", {}).get("measures", "")
    if kind == "loss" and "loss=cross_entropy" in measures:
        return "nats"
    return "fraction" if kind == "accuracy" else ""


def choices(trajectories: Trajectories) -> str:
    """Write the recipe of retraining as one line.

    Returns:
        Such as `retrained with optimiser sgd, lr 0.01`.
    """
    recipe = trajectories.provenance.get("recipe", {})
    known = ("optimiser", "lr", "momentum", "batch_size", "weight_decay")
    words = [f"{name.replace('_', ' ')} {recipe[name]}" for name in known if name in recipe]
    return f"retrained with {', '.join(words)}" if words else ""


def _lines(
    ax: Axes,
    trajectories: Trajectories,
    values: NDArray[np.float64],
    optimum: float | None = None,
) -> None:
    sizes = np.unique(trajectories.step_size[trajectories.step_size > 0]).tolist()
    palette = dict(zip(sizes, canvas.ramp(len(sizes), "viridis_r"), strict=True))
    for size, row in zip(trajectories.step_size.tolist(), values, strict=True):
        style = {"color": palette[size], "linewidth": 1.2} if size > 0 else CONTROL
        ax.plot(trajectories.epoch, row, **style)
    keys = [Line2D([], [], color=palette[size], label=f"jump of {size:g}") for size in sizes]
    if (trajectories.step_size == 0).any():
        keys.append(Line2D([], [], **CONTROL, label="no jump (control)"))
    if optimum is not None:
        ax.axhline(optimum, **LEVEL)
        keys.append(Line2D([], [], **LEVEL, label="optimum"))
    canvas.legend_below(ax, keys, gap=0.15, columns=3)


def _time(ax: Axes, trajectories: Trajectories) -> None:
    ax.set_xlabel("epochs of retraining")
    later = trajectories.epoch[trajectories.epoch > 0]
    if not len(later):
        return
    ax.set_xscale("symlog", linthresh=later.min(), linscale=0.4)
    ax.xaxis.set_minor_locator(NullLocator())
    ticks = [0.0, *(t for t in (0.1, 1, 3, 10, 30, 100, 300) if later.min() < t <= later.max())]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xlim(0, later.max())


def _course(trajectories: Trajectories, metric: str) -> str:
    values = trajectories.metrics[metric][trajectories.step_size > 0]
    start, end = (np.nanmedian(values[:, time]) for time in (0, -1)) if len(values) else (0, 0)
    best = trajectories.optimum_metrics[metric]
    name = metric.replace("_", " ")
    return (
        f"{name} from {start:.2g} to {end:.2g} (median of {len(values)} runs), optimum {best:.2g}"
    )
