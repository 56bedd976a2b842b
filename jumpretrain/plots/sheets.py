"""Arrange panels of several networks on one figure, which `canvas.png` turns into a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from jumpretrain import geometry
from jumpretrain.embedding import Embedding
from jumpretrain.homology import Diagrams
from jumpretrain.plots import canvas, curves, persistence, scatters
from jumpretrain.trajectories import Trajectories

__all__ = ["Showcase", "diagrams", "networks", "over_time", "showcases"]


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


def showcases(rows: Mapping[str, Showcase], metric: str) -> Figure:
    """Draw each network by the paper's settings, joined, and joined with the loss as colour.

    Returns:
        One row a network.
    """
    figure = canvas.new_figure(15.5, 5.0 * len(rows) + 0.8)
    panels = figure.subplots(len(rows), 3, squeeze=False)
    kind = f"{metric.replace('_', ' ')}{curves.UNITS.get(metric.split('_')[-1], '')}"
    for (name, (paper, joined, values)), (left, middle, right) in zip(
        rows.items(), panels, strict=True
    ):
        scatters.trajectories(paper, ax=left)
        scatters.trajectories(joined, ax=middle)
        scatters.trajectories(joined, values, right, kind)
        canvas.title(left, f"{name}, the paper's settings: {scatters.pieces(paper)}")
        canvas.title(middle, f"{name}, joined by the spanning tree: {_arms(joined)}")
        low, high = values.min(), values.max()
        canvas.title(right, f"{name}, joined: {kind} from {low:.2g} to {high:.2g}")
    canvas.share_legend(figure, 2)
    first = next(iter(rows.values()))
    left, middle = (canvas.caption(embedding.provenance) for embedding in first[:2])
    canvas.note(figure, f"left: {left}. middle and right: {middle}. Colours fade with the epoch.")
    return figure


def _arms(embedding: Embedding) -> str:
    runs = (embedding.labels["run"] >= 0).to_numpy()
    directions = embedding.labels["direction"][runs]
    if directions.nunique() < 2:
        return "one direction"
    value = geometry.silhouette(squareform(pdist(embedding.coordinates[runs])), directions)
    return f"silhouette of directions {value:.2f}"


def networks(embeddings: Mapping[str, Mapping[Any, Embedding]]) -> Figure:
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


def diagrams(rows: Mapping[str, tuple[Diagrams, Diagrams]], metric: str, choices: str) -> Figure:
    """Draw the sublevel and the Vietoris-Rips diagrams of each network.

    Returns:
        One row a network.
    """
    figure = canvas.new_figure(12, 4.9 * len(rows) + 0.4)
    panels = figure.subplots(len(rows), 2, squeeze=False)
    unit = curves.UNITS.get(metric.split("_")[-1], "").strip(" ()") or "filtration value"
    for (name, (valleys, holes)), (left, right) in zip(rows.items(), panels, strict=True):
        persistence.diagram(valleys, left, log=True, unit=unit)
        persistence.diagram(holes, right, unit="potential distance")
        for ax, what in (
            (left, f"{metric.replace('_', ' ')} sublevels"),
            (right, "Vietoris-Rips"),
        ):
            canvas.title(ax, f"{name}, {what}: {ax.get_title(loc='left')}".replace("\n", " "))
    canvas.note(figure, choices)
    return figure


def over_time(rows: Mapping[str, Trajectories], metric: str) -> Figure:
    """Draw the loss on both splits and the distance from the optimum of each network.

    Returns:
        One row a network.
    """
    other = metric.replace("test_", "train_", 1)
    figure = canvas.new_figure(15.5, 4.4 * len(rows) + 0.8)
    panels = figure.subplots(len(rows), 3, squeeze=False)
    for (name, trajectories), (left, middle, right) in zip(rows.items(), panels, strict=True):
        curves.loss(trajectories, other, left)
        curves.loss(trajectories, metric, middle)
        curves.distance(trajectories, right)
        for ax in (left, middle, right):
            canvas.title(ax, f"{name}: {ax.get_title(loc='left')}".replace("\n", " "))
    canvas.note(
        figure,
        "at the optimum's: off by at most a tenth of what the jump changed; "
        f"{curves.choices(next(iter(rows.values())))}",
    )
    canvas.share_legend(figure)
    return figure
