"""Draw what happens to every run over the epochs of retraining."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from jumpretrain import geometry
from jumpretrain.plots import canvas
from jumpretrain.trajectories import Trajectories

__all__ = ["distance", "loss"]

UNITS = {"loss": "nats", "accuracy": "fraction"}
RETURNED = 0.1  # of the way from the optimum's value to the jump's, as in `description`
CONTROL = {"color": "black", "linestyle": "--", "linewidth": 1.3, "zorder": 3}


def loss(
    trajectories: Trajectories, metric: str = "test_loss", ax: Axes | None = None
) -> Axes:
    """Draw a metric over the epochs, one line a run, coloured by step size.

    Args:
        trajectories: Runs with step size 0, the control, are dashed and black.
        metric: Any that was recorded; losses are on a logarithmic scale.
        ax: Axes to draw on; the first epoch is spread out.

    Returns:
        The Axes.
    """
    ax = canvas.axes(ax, _choices(trajectories))
    trajectories.values(metric)  # names the metrics there are, if this is none
    sampled = trajectories.select(trajectories.status != "missing")
    _lines(ax, sampled, sampled.metrics[metric])
    best = sampled.optimum_metrics.get(metric)
    if best is not None:
        ax.axhline(best, color="0.45", linewidth=1, linestyle=":", zorder=1)
    kind = metric.split("_")[-1]
    name = metric.replace("_", " ")
    unit = f" ({UNITS[kind]})" if kind in UNITS else ""
    ax.set_ylabel(f"{name}{unit}")
    if kind == "loss" and np.nanmin(sampled.metrics[metric]) > 0:
        ax.set_yscale("log")
    _time(ax, sampled, best is not None)
    canvas.title(ax, _return(sampled, metric, name))
    return ax


def distance(trajectories: Trajectories, ax: Axes | None = None) -> Axes:
    """Draw how far every run is from the optimum, in units of its own jump.

    Args:
        trajectories: Runs with step size 0, the control, are dashed, black, and in units of the
            shortest jump, as they have none.
        ax: Axes to draw on; the first epoch is spread out.

    Returns:
        The Axes.

    Raises:
        ValueError: If no run jumped.
    """
    finished = trajectories.select(trajectories.status == "ok")
    if not (finished.step_size > 0).any():
        raise ValueError("distances are in units of a jump, but no finished run has one")
    ax = canvas.axes(ax, _choices(trajectories))
    radius = _radius(finished)
    jumped = finished.step_size > 0
    shortest = radius[jumped, 0].min()
    relative = radius / np.where(jumped, radius[:, 0], shortest)[:, None]
    _lines(ax, finished, relative)
    ax.axhline(1, color="0.45", linewidth=1, linestyle=":", zorder=1)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("distance from the optimum (jumps)")
    _time(ax, finished, False)
    final = 100 * np.median(relative[jumped, -1])
    outward = int((relative[jumped].max(axis=1) > 1.01).sum())
    canvas.title(
        ax,
        f"weights end {final:.0f} % of a jump away (median); "
        f"{outward} of {jumped.sum()} runs first go further out",
    )
    return ax


def _radius(trajectories: Trajectories) -> NDArray[np.float64]:
    sums = geometry.moves(trajectories).cumsum(axis=1).cumsum(axis=2)
    return np.asarray(np.sqrt(np.maximum(np.diagonal(sums, axis1=1, axis2=2), 0)))


def _choices(trajectories: Trajectories) -> str:
    recipe = trajectories.provenance.get("recipe", {})
    known = ("optimiser", "lr", "momentum", "batch_size", "weight_decay")
    words = ", ".join(f"{name.replace('_', ' ')} {recipe[name]}" for name in known if name in recipe)
    return f"retrained with {words}" if words else ""


def _lines(ax: Axes, trajectories: Trajectories, values: NDArray[np.float64]) -> None:
    sizes = np.unique(trajectories.step_size[trajectories.step_size > 0]).tolist()
    palette = dict(zip(sizes, canvas.ramp(len(sizes), "viridis_r"), strict=True))
    for size, row in zip(trajectories.step_size.tolist(), values, strict=True):
        style = {"color": palette[size], "linewidth": 1.1} if size > 0 else CONTROL
        ax.plot(trajectories.epoch, row, **style)
    keys = [Line2D([], [], color=palette[size], label=f"jump of {size:g}") for size in sizes]
    if (trajectories.step_size == 0).any():
        keys.append(Line2D([], [], **CONTROL, label="no jump (control)"))
    ax.legend(handles=keys)


def _time(ax: Axes, trajectories: Trajectories, optimum: bool) -> None:
    later = trajectories.epoch[trajectories.epoch > 0]
    ax.set_xlabel("epochs of retraining")
    keys = list(ax.get_legend().legend_handles)
    if optimum:
        keys.append(Line2D([], [], color="0.45", linestyle=":", label="optimum"))
    ax.legend(
        handles=keys, loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False,
        fontsize=9, ncols=min(3, len(keys)), columnspacing=1,
    )  # fmt: skip
    if not len(later):
        return
    ax.set_xscale("symlog", linthresh=later.min(), linscale=0.4)
    ax.xaxis.set_minor_locator(NullLocator())
    ticks = [0.0, *(t for t in (0.1, 1, 3, 10, 30, 100, 300) if later.min() < t <= later.max())]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xlim(0, later.max())


def _return(trajectories: Trajectories, metric: str, name: str) -> str:
    jumped = trajectories.step_size > 0
    values, best = trajectories.metrics[metric][jumped], trajectories.optimum_metrics.get(metric)
    if best is None or not len(values):
        return name
    near = np.abs(values[:, -1] - best) <= RETURNED * np.abs(values[:, 0] - best)
    better = values[:, -1] >= best if metric.endswith("accuracy") else values[:, -1] <= best
    return (
        f"{name}: {int((near | better).sum())} of {len(values)} runs return "
        f"(to within {RETURNED:.0%} of the rise)"
    )
