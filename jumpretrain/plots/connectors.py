"""Draw connectors: their losses beside the straight ones, where they bend, what they predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.plots import canvas

if TYPE_CHECKING:
    from jumpretrain.connectivity.connector import Connector

__all__ = ["connector", "deviations", "label_change"]

BENT, STRAIGHT = canvas.colours(2)
SIDES = ((0, "-"), (1, "--"))


@checked
def connector(connector: Connector, metric: str = "train_loss", ax: Axes | None = None) -> Axes:
    """Draw a metric along a curve, nodes marked, beside the straight line between its optima.

    Of a surface the sorted values are drawn, beside those of the flat simplex. The scale is
    logarithmic where all values are above 0 and the largest is above ten times the higher end.

    Args:
        connector: Curve or surface with its scores.
        metric: Any that was recorded, such as `train_loss` or `test_accuracy`.
        ax: Axes to draw on.

    Returns:
        The Axes; the title tells the barriers of both, and how much longer a curve is.

    Raises:
        KeyError: If the metric was not recorded.
    """
    bent, straight = (_recorded(connector, metric, flat) for flat in (False, True))
    ax = canvas.axes(ax, _choices(connector))
    if _surface(connector):
        _sorted(ax, connector, bent, straight)
    else:
        _along(ax, connector, bent, straight)
    ax.set_ylabel(canvas.measured(metric, connector.provenance))
    values, top = np.concatenate([bent, straight]), bent[_corners(connector)].max()
    if values.min() > 0 and np.isfinite(values).all() and values.max() > 10 * top:
        ax.set_yscale("log")
        canvas.plain(ax.yaxis)
    ax.legend(frameon=False, fontsize=9)
    canvas.title(ax, _finding(connector, metric, bent, straight))
    return ax


@checked
def deviations(connector: Connector, ax: Axes | None = None) -> Axes:
    """Draw the cosines between the inner nodes' deviations from the straight line.

    Args:
        connector: A curve with two inner nodes or more.
        ax: Axes to draw on; nodes on the line, without a direction, are grey.

    Returns:
        The Axes; the title tells the mean cosine within both halves and across.

    Raises:
        ValueError: If it is a surface or has no inner node.
    """
    cosines = connector.deviation_cosines()
    ax = canvas.axes(ax, _choices(connector))
    ax.set_facecolor("0.8")
    drawn = ax.imshow(cosines, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower")
    ax.figure.colorbar(drawn, ax=ax, label="cosine (1)", shrink=0.85)
    places = range(0, len(cosines), -(-len(cosines) // 12))
    ax.set_xticks(places, [str(place + 1) for place in places])
    ax.set_yticks(places, [str(place + 1) for place in places])
    ax.set_xlabel("inner node, from the first optimum")
    ax.set_ylabel("inner node")
    means = connector.half_cosines()
    within, across = ("no pair" if np.isnan(mean) else f"{mean:.2f}" for mean in means)
    canvas.title(ax, f"mean cosine of deviations: {within} within a half, {across} across")
    return ax


@checked
def label_change(connector: Connector, ax: Axes | None = None) -> Axes:
    """Draw the share of test examples that get another label than at each optimum.

    Args:
        connector: A curve whose targets are class labels.
        ax: Axes to draw on.

    Returns:
        The Axes; the title compares the largest change with that between the optima.

    Raises:
        ValueError: If it is a surface, or there are no labels.
    """
    alphas = connector.alphas
    if connector.changed is None:
        raise ValueError("changed labels need class labels, but this connector's task has none")
    ax = canvas.axes(ax, _choices(connector))
    for (place, dash), colour in zip(SIDES, canvas.colours(2), strict=True):
        said = f"against the {('first', 'second')[place]} optimum"
        ax.plot(alphas, connector.changed[:, place], dash, color=colour, lw=1.8, label=said)
    _frame(ax)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("test labels changed (fraction)")
    ax.legend(frameon=False, fontsize=9)
    most, ends = connector.changed.max(), connector.changed[-1, 0]
    canvas.title(
        ax, f"the optima differ in {ends:.3g} of the labels; at most {most:.3g} change on the way"
    )
    return ax


def _along(
    ax: Axes, connector: Connector, bent: NDArray[np.float64], straight: NDArray[np.float64]
) -> None:
    alphas, nodes = connector.alphas, connector.shares.max(axis=1) > 1 - 1e-9
    method = connector.provenance.get("method", "connector")
    ax.plot(alphas, straight, "--", color=STRAIGHT, lw=1.8, label="straight line")
    ax.plot(alphas, bent, color=BENT, lw=1.8, label=f"{method} connector")
    said = f"nodes ({nodes.sum()})" if nodes.sum() == len(connector.nodes) else "optima"
    ax.plot(
        alphas[nodes], bent[nodes], "o", color=BENT, ms=6, mec="white", label=said, clip_on=False
    )
    _frame(ax)


def _frame(ax: Axes) -> None:
    ax.set_xlabel("alpha, share of the way between the optima (1)")
    ax.set_xlim(0, 1)


def _sorted(
    ax: Axes, connector: Connector, bent: NDArray[np.float64], straight: NDArray[np.float64]
) -> None:
    share = (np.arange(len(bent)) + 0.5) / len(bent)
    ax.plot(share, np.sort(straight), "--", color=STRAIGHT, lw=1.8, label="flat simplex")
    ax.plot(share, np.sort(bent), color=BENT, lw=1.8, label="connector")
    corners = bent[_corners(connector)]
    ax.axhline(corners.max(), color="0.45", ls=":", lw=1, label="highest optimum")
    ax.set_xlabel(f"share of the {len(bent)} points with a lower value (1)")
    ax.set_xlim(0, 1)


def _finding(
    connector: Connector,
    metric: str,
    bent: NDArray[np.float64],
    straight: NDArray[np.float64],
) -> str:
    sign = -1 if metric.endswith("accuracy") else 1
    worst = (sign * bent[_corners(connector)]).max()
    verb, side = ("falls", "low") if sign < 0 else ("rises", "high")
    flat, low = (max(float((sign * values).max() - worst), 0.0) for values in (straight, bent))
    name, count = metric.replace("_", " "), connector.coordinates.shape[1]
    if _surface(connector):
        return (
            f"{name} {verb} by {flat:.2g} from the {side}est of {count} optima on the flat "
            f"simplex, by {low:.2g} on the connector"
        )
    return (
        f"{name} {verb} by {flat:.2g} from the {side}er end on the straight line, by {low:.2g} on "
        f"the connector, {connector.length_ratio:.2f} times as long"
    )


def _recorded(connector: Connector, metric: str, straight: bool) -> NDArray[np.float64]:
    metrics = connector.straight_metrics if straight else connector.metrics
    if metric not in metrics:
        raise KeyError(f"no metric {metric!r}; recorded: {', '.join(sorted(metrics))}")
    return np.asarray(metrics[metric], dtype=np.float64)


def _surface(connector: Connector) -> bool:
    return bool(connector.coordinates.shape[1] > 2)


def _corners(connector: Connector) -> NDArray[np.bool_]:
    return np.asarray(connector.coordinates.max(axis=1) == 1)


def _choices(connector: Connector) -> str:
    found: dict[str, Any] = dict(connector.provenance)
    recipe = found.get("recipe", {})
    words = [str(found["method"])] if "method" in found else []
    words += ["refined"] if found.get("refine") else []
    words += [f"{len(connector.nodes)} nodes, {len(connector.shares)} points"]
    if recipe:
        words += [f"{recipe['optimiser']}, rate {recipe['lr']:g}, {recipe['epochs']} epochs"]
    return ", ".join(words)
