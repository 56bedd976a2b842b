"""Draw the plane through three states, and the spectrum of a Hessian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from jumpretrain.execution.arguments import checked
from jumpretrain.plots import canvas

if TYPE_CHECKING:
    from jumpretrain.curvature.sections import Section
    from jumpretrain.curvature.sharp_directions import SharpDirections

__all__ = ["section", "spectrum"]

LEVELS = 14


@checked
def section(section: Section, metric: str = "train_loss", ax: Axes | None = None) -> Axes:
    """Draw a metric in the plane through three states, which are numbered.

    Args:
        section: From `plane_through`.
        metric: Any that was scored; colours are logarithmic where it spans more than a factor of
            ten above 0.
        ax: Axes to draw on.

    Returns:
        The Axes; the title tells the least and the largest value. Where a value is not finite,
        the plane is white.

    Raises:
        KeyError: If the metric was not scored.
    """
    if metric not in section.metrics:
        raise KeyError(f"no metric {metric!r}; scored: {', '.join(section.metrics)}")
    values = np.ma.masked_invalid(section.metrics[metric])
    ax = canvas.axes(ax, f"{len(section.x)} x {len(section.y)} points")
    low, high = float(values.min()), float(values.max())
    wide = low > 0 and high > 10 * low
    edges = np.geomspace(low, high, LEVELS) if wide else np.linspace(low, high, LEVELS)
    drawn = ax.contourf(
        section.x, section.y, values, levels=edges if high > low else 1, cmap="viridis",
        norm=LogNorm() if wide else None,
    )  # fmt: skip
    label = canvas.measured(metric, section.provenance)
    bar = ax.figure.colorbar(drawn, ax=ax, label=label, shrink=0.85)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
    for number, (x, y) in enumerate(section.coordinates, start=1):
        ax.plot(x, y, "o", color="white", markeredgecolor="black", markersize=14)
        ax.text(x, y, str(number), ha="center", va="center", fontsize=9, color="black")
    ax.set_aspect("equal")
    ax.set_xlabel("in the plane (weight units)")
    ax.set_ylabel("in the plane (weight units)")
    canvas.title(ax, f"{metric.replace('_', ' ')}: {low:.3g} to {high:.3g} in the plane")
    return ax


@checked
def spectrum(found: SharpDirections, ax: Axes | None = None) -> Axes:
    """Draw the eigenvalues of a Hessian, from large to small, with the cut.

    Args:
        found: From `sharp_directions`.
        ax: Axes to draw on.

    Returns:
        The Axes; the title tells how many eigenvalues lie above the cut.
    """
    ax = canvas.axes(ax, f"{found.method}, on {found.provenance.get('examples', '?')} examples")
    above, below = canvas.colours(2)
    values, places = found.eigenvalues, np.arange(1, len(found.eigenvalues) + 1)
    sharp = values > found.cut
    ax.plot(places[sharp], values[sharp], ".", color=above, label="above the cut")
    ax.plot(places[~sharp], values[~sharp], ".", color=below, label="others")
    ax.axhline(found.cut, color="0.4", ls=":", lw=1.2)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=found.cut)
    ax.set_xlabel("rank of the eigenvalue (1)")
    ax.set_ylabel("curvature (loss per squared weight)")
    ax.legend(frameon=False, fontsize=9)
    canvas.title(
        ax,
        f"{found.count} directions of curvature above {found.cut:g} at a loss of {found.loss:.3g}",
    )
    return ax
