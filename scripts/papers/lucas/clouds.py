"""Panels of the figure on distance: networks with lines, the theorem, unrelated starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from papers.lucas import networks as lucas
from papers.lucas import turnings
from papers.lucas.delta import NAMES
from papers.lucas.turnings import DISTANCES, Fits, by_norm

BLUE, RED = "#0072B2", "#D55E00"
SHORT = {"all": "all", "no normalisation": "none", "BatchNorm": "BatchNorm"}
GROUPS = {
    ("sgd", False): ("SGD", BLUE, "o"),
    ("adam", False): ("Adam", "#56B4E9", "o"),
    ("sgd", True): ("SGD, BatchNorm", RED, "s"),
    ("adam", True): ("Adam, BatchNorm", "#E69F00", "s"),
}


def cloud(ax: Axes, kept: pd.DataFrame, x: str, y: str) -> None:
    """Draw networks by optimiser and BatchNorm; open where norms were pushed."""
    for (optimiser, norm), (name, colour, shape) in GROUPS.items():
        some = kept[(kept["optimiser"] == optimiser) & (kept["batchnorm"] == norm)]
        pushed = some["push"].notna() if "push" in some else np.zeros(len(some), bool)
        for part, fill in ((some[~pushed], colour), (some[pushed], "none")):
            ax.plot(
                part[x], part[y], shape, ms=4, mfc=fill, mec=colour, mew=0.8, alpha=0.8,
                label=name if fill == colour else None,
            )  # fmt: skip
    ax.set_xscale("log")


def from_zero(ax: Axes, linear: float) -> None:
    """Make the scale logarithmic above a value and linear from 0 to it."""
    ax.set_yscale("symlog", linthresh=linear)
    ax.set_ylim(-0.3 * linear, 2 * max(ax.dataLim.ymax, 5 * linear))


def lines(ax: Axes, some: pd.DataFrame, x: str, fits: Fits) -> None:
    """Draw the lines fitted on the finest grid, with their slopes in the title."""
    words = []
    for (group, part), colour in zip(by_norm(some).items(), ("black", BLUE, RED), strict=True):
        found = fits[max(fits)[0], group, x, "gauss_mean"]
        if not np.isfinite(found["slope"]):
            continue
        reach = np.geomspace(part[x].min(), part[x].max(), 2)
        height = np.exp(found["level"]) * reach ** found["slope"]
        ax.plot(reach, height, color=colour, lw=2)
        words.append(f"{SHORT[group]} {slope(found)}")
    ax.axhline(np.pi / 2, color="#888888", lw=0.8, ls=":")
    ax.annotate("π/2", (0.005, np.pi / 2), xycoords=("axes fraction", "data"), fontsize=8)
    ax.set_title("slope: " + ",\n".join([", ".join(words[:1]), ", ".join(words[1:])]), fontsize=9)
    ax.set_yscale("log")
    for pick in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        pick(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "1235" else ""))


def slope(found: Mapping[str, float]) -> str:
    """Write a slope with its interval.

    Returns:
        Such as `+0.04 [-0.08, 0.16]`.
    """
    return f"{found['slope']:+.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def correlation(claims: list[dict[str, Any]], x: str) -> str:
    """Write the rank correlations of a distance with min Delta.

    Returns:
        Two lines: of all networks, then of those without and with BatchNorm.
    """
    parts = []
    for group, short in SHORT.items():
        wanted = f"min Delta grows with {DISTANCES[x]}, {group}"
        (claim,) = (claim for claim in claims if claim["claim"] == wanted)
        if claim["effect"] is not None:
            low, high = claim["interval"]
            parts.append(f"{short} {claim['effect']:+.2f} [{low:.2f}, {high:.2f}]")
    return "ranks, ρ: " + ",\n".join([", ".join(parts[:1]), ", ".join(parts[1:])])


def theorem(ax: Axes, exact: pd.DataFrame, curves: pd.DataFrame) -> None:
    """Draw rises against Gauss lengths: networks on both grids, and random curves."""
    ax.plot(curves["largest"], curves["share"], ".", ms=2, color="#bbbbbb", zorder=1)
    ax.plot([], [], ".", color="#bbbbbb", label=f"{len(curves):,} random curves")
    for (count, some), colour in zip(exact.groupby("points"), ("#56B4E9", "#009E73"), strict=True):
        reached = some["missed"] <= turnings.TOLERANCE
        turned, height = some[["largest", "joint"]].min(axis=1), some["share"]
        for part, fill in ((reached, colour), (~reached, "none")):
            ax.plot(turned[part], height[part], "o", ms=5, mfc=fill, mec=colour)
        ax.plot([], [], "o", color=colour, label=f"{len(some)} networks, {count:,} alphas")
    ax.axvline(np.pi / 2, color="black", lw=1, ls="--")
    ax.set_xticks([0, np.pi / 2, 4, 6, 8, 10, 12], ["0", "π/2", "4", "6", "8", "10", "12"])
    from_zero(ax, 1e-6)
    ax.set(
        xlabel="Gauss length (rad), the smaller of joint and the largest example's",
        ylabel="rise of the squared error / its first value",
    )
    rose = int((exact["holds"] & (exact["share"] > turnings.FALLS)).sum())
    rose += turnings.counts(curves)["below_and_rise"]
    ax.set_title(f"certified or random, below π/2: {rose or 'none'} rise; open: target missed",
                 fontsize=9)  # fmt: skip
    handles, names = ax.get_legend_handles_labels()
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "ncols": 3}
    ax.legend(handles, names, fontsize=8, frameon=False, columnspacing=1, **place)


def approach(ax: Axes, starts: pd.DataFrame) -> None:
    """Draw the rises from own and from unrelated initialisations."""
    labels = []
    for place, (_, some) in enumerate(starts.groupby("cell", sort=False)):
        others = np.array(some["others"].tolist())
        jitter = np.linspace(-0.12, 0.12, others.size).reshape(others.shape)
        ax.plot(place + 0.2 + jitter, others, ".", ms=3, color="#CC79A7")
        own = np.linspace(-0.08, 0.08, len(some))
        ax.plot(place - 0.2 + own, some["own"], "o", ms=4, color="#0072B2")
        share, base = ((values <= lucas.RISE).mean() for values in (others, some["own"]))
        optimiser = some["optimiser"].iloc[0]
        name = "spiral" if not isinstance(optimiser, str) else f"images, {NAMES[optimiser]}"
        labels.append(f"{name}, n = {len(some)}\nmonotone:\n{base:.0%}, {share:.0%}")
    ax.plot([], [], "o", ms=4, color="#0072B2", label="own initialisation")
    ax.plot([], [], ".", color="#CC79A7", label=f"{others.shape[1]} unrelated ones a network")
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    from_zero(ax, 1e-3)
    ax.axhline(lucas.RISE, color="#888888", lw=0.8, ls=":")
    ax.set_ylabel("min Δ of the training loss (nats)")
    ax.legend(fontsize=8, frameon=False, loc="upper left")
