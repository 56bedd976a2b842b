"""Arrange panels of several networks on one figure, which `canvas.png` turns into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from jumpretrain.comparison import geometry
from jumpretrain.plots import canvas, curves, persistence, saddles, scatters

if TYPE_CHECKING:
    from jumpretrain.embedding.embed import Embedding
    from jumpretrain.sampling.trajectories import Trajectories
    from jumpretrain.topology.diagrams import Diagrams
    from jumpretrain.topology.saddles import Saddles

__all__ = ["Showcase", "diagrams", "networks", "over_time", "showcases", "trees"]


class Showcase(NamedTuple):
    """One network, embedded twice.

    Attributes:
        paper: By the paper's settings: pieces of the neighbour graph are left apart.
        joined: With the pieces joined by the spanning tree.
        values: The loss of each point of `joined` (N,).
    """

    paper: Embedding
    joined: Embedding
    values: NDArray[np.float64]


def showcases(rows: Mapping[str, Showcase], name: str = "loss") -> Figure:
    """Draw each network by the paper's settings, joined, and joined with the loss as colour.

    Args:
        rows: The networks by name.
        name: What the values are, with their unit.

    Returns:
        One row a network.
    """
    figure = canvas.new_figure(15.5, 5.0 * len(rows) + 0.8)
    panels = figure.subplots(len(rows), 3, squeeze=False)
    for (network, (paper, joined, values)), axes in zip(rows.items(), panels, strict=True):
        scatters.trajectories(paper, ax=axes[0])
        scatters.trajectories(joined, ax=axes[1])
        scatters.trajectories(joined, values, axes[2], name)
        canvas.title(axes[0], f"{network}, the paper's settings: {scatters.pieces(paper)}")
        canvas.title(axes[1], f"{network}, joined by the spanning tree: {_arms(joined)}")
        span = f"from {values.min():.2g} to {values.max():.2g}"
        canvas.title(axes[2], f"{network}, joined: {name} {span}")
    canvas.share_legend(figure, 2)
    paper, joined, _ = next(iter(rows.values()))
    left, right = canvas.caption(paper.provenance), canvas.caption(joined.provenance)
    canvas.note(figure, f"left: {left}; others: {right}. Colours fade with the epoch.")
    return figure


def _arms(embedding: Embedding) -> str:
    runs = (embedding.labels["run"] >= 0).to_numpy()
    directions = embedding.labels["direction"][runs]
    if directions.nunique() < 2:
        return "one direction"
    value = geometry.silhouette(squareform(pdist(embedding.coordinates[runs])), directions)
    return f"arms by direction, silhouette {value:.2f} (apart 1, mixed 0)"


def networks(embeddings: Mapping[str, Mapping[int, Embedding]]) -> Figure:
    """Draw all networks small: one row a group, one column a seed.

    Returns:
        The figure.
    """
    columns = max(len(row) for row in embeddings.values())
    figure = canvas.new_figure(max(2.7 * columns, 8), 2.9 * len(embeddings) + 1.2)
    panels = figure.subplots(len(embeddings), columns, squeeze=False)
    for ax in panels.ravel():
        ax.set_axis_off()
    for row, (group, members) in zip(panels, embeddings.items(), strict=True):
        for ax, (seed, embedding) in zip(row, members.items(), strict=False):
            ax.set_axis_on()
            scatters.trajectories(embedding, ax=ax)
            ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
            canvas.title(ax, f"{group} {seed}: {embedding.components} pieces", 10)
    canvas.share_legend(figure, 2)
    some = next(iter(next(iter(embeddings.values())).values()))
    canvas.note(
        figure,
        f"{canvas.caption(some.provenance)}; pieces: of the neighbour graph before joining; axes "
        "are arbitrary, colours fade with the epoch.",
    )
    return figure


def diagrams(
    rows: Mapping[str, tuple[Diagrams, Diagrams]], name: str, unit: str, choices: str
) -> Figure:
    """Draw the sublevel and the Vietoris-Rips diagrams of each network.

    Args:
        rows: The two diagrams of each network by name.
        name: What the sublevels are of.
        unit: Its unit.
        choices: What to print underneath.

    Returns:
        One row a network.
    """
    figure = canvas.new_figure(12, 4.9 * len(rows) + 0.4)
    panels = figure.subplots(len(rows), 2, squeeze=False)
    for (network, (valleys, holes)), (left, right) in zip(rows.items(), panels, strict=True):
        persistence.diagram(valleys, left, log=True, unit=unit or name)
        persistence.diagram(holes, right, unit="potential distance")
        _prefix(left, f"{network}, {name} sublevels")
        _prefix(right, f"{network}, Vietoris-Rips")
    canvas.note(figure, choices)
    return figure


def trees(rows: Mapping[str, Saddles], over: Mapping[str, Saddles]) -> Figure:
    """Draw the merge tree of each network on one scale, and its ways back over the epochs.

    Args:
        rows: Saddles between the ends of runs, by the network's name.
        over: Saddles between snapshots, for those that have them.

    Returns:
        Trees above, three networks a row; ways back below.
    """
    columns, lines = min(len(rows), 3), -(-len(rows) // 3)
    figure = canvas.new_figure(5.2 * columns, (4.2 * lines) * (1 + bool(over)) + 0.8)
    panels = figure.subplots(lines * (1 + bool(over)), columns, squeeze=False)
    upper, lower = panels[:lines].ravel(), panels[lines:].ravel()
    for ax in (*upper[len(rows) :], *lower[len(rows) :]):
        ax.set_axis_off()
    for (network, found), ax in zip(rows.items(), upper, strict=False):
        saddles.disconnectivity(found, ax, "log")
        _prefix(ax, network)
    low, high = zip(*(ax.get_ylim() for ax in upper[: len(rows)]), strict=True)
    for ax in upper[: len(rows)]:
        ax.set_ylim(min(low), max(high))
        canvas.plain(ax.yaxis)
    for (network, found), ax in zip(over.items(), lower, strict=False):
        saddles.back(found, ax)
        _prefix(ax, network)
    return figure


def over_time(rows: Mapping[str, Trajectories], metrics: Sequence[str]) -> Figure:
    """Draw metrics and the distance from the optimum of each network over the epochs.

    Returns:
        One row a network.
    """
    figure = canvas.new_figure(5.2 * (len(metrics) + 1), 4.4 * len(rows) + 0.8)
    panels = figure.subplots(len(rows), len(metrics) + 1, squeeze=False)
    for (network, trajectories), axes in zip(rows.items(), panels, strict=True):
        for metric, ax in zip(metrics, axes[:-1], strict=True):
            curves.loss(trajectories, metric, ax)
        curves.distance(trajectories, axes[-1])
        for ax in axes:
            _prefix(ax, network)
    canvas.note(figure, curves.choices(next(iter(rows.values()))))
    canvas.share_legend(figure)
    return figure


def _prefix(ax: Axes, words: str) -> None:
    found = ax.get_title(loc="left").replace("\n", " ")
    canvas.title(ax, f"{words}: {found}")
