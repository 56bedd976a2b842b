"""Arms of good and memorising networks beside those of random walks with the same step lengths.

Arms, one a direction, are read off PHATE as a property of good minima (arXiv:2102.00485, section
4.3; H4). Every network is therefore compared with its own null: walks that start at its jumps and
take its step lengths in isotropic random directions. The silhouette by direction is judged
network by network: on distances in weight space, on PHATE's potentials and in its plane.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import kept
from evidence.figure import Flags, Made
from evidence.judging import between, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.horoi.landscapes import Network, caption, each, facts, networks
from scipy.spatial.distance import pdist, squareform

from jumpretrain import Embedding, Trajectories, embed, plots
from jumpretrain.comparison.geometry import silhouette
from jumpretrain.embedding.gram import from_gram, gram
from jumpretrain.execution.execution import Execution
from jumpretrain.plots import canvas
from jumpretrain.sampling.baselines import walk

SMALLEST = 0.05  # of a silhouette, whose best is 1
GROUPS = ("good", "few", "noise .5", "memorise")
SHOWN = {"few": "bad (150 examples)", "noise .5": "half redrawn"}
PICTURED = ("good", "memorise")
WALKS, QUICK_WALKS = 5, 1
DISTANCES = {
    "raw": "in weight space",
    "potential": "on PHATE's potentials",
    "plane": "in PHATE's plane",
}
LESS = "less the mean of the network's own random walks"
REAL, NULL = canvas.colours(2)
WORDS = {
    "supported": "are sharper",
    "contradicted": "are no sharper",
    "undecided": "may be sharper or not",
}


def make(asked: Flags) -> Made:
    found = networks(asked, GROUPS)
    count = QUICK_WALKS if asked.quick else WALKS
    nets = [net for group in GROUPS for net in found[group]]
    jobs = [
        (net, draw, asked.work / f"{net.group}-{net.seed}-{draw}.json")
        for net in nets
        for draw in range(-1, count)
    ]
    table = pd.DataFrame(each(measured, jobs, asked, "walking and embedding"))
    cells = [(found[group][0], draw) for group in PICTURED for draw in (-1, 0)]
    placed = each(pictured, cells, asked, "drawing")
    shown = {(net.group, draw): p for (net, draw), p in zip(cells, placed, strict=True)}
    claims = judged(table)
    return drawn(asked, shown, table, claims), (
        facts(asked, GROUPS)
        | {"walks": count, "claims": claims, "measures": table.to_dict("records")}
    )


def measured(network: Network, draw: int, path: Path) -> dict[str, Any]:
    """Measure the arms of a network's jumps (draw -1), or of one of its random walks.

    Returns:
        A row of the table, or what was kept of the same.
    """
    sampled = network.trajectories.provenance
    of = network.seed, draw, sampled["optimum"], sampled["recipe"]
    return dict(kept(path, of, partial(_measured, network, draw)))


def _measured(network: Network, draw: int) -> dict[str, Any]:
    runs = _runs(network, draw)
    inner = gram(runs)
    joined, apart = (embed(runs, connect=connect, gram=inner) for connect in ("mst", None))
    matrices = {
        "raw": from_gram(inner),
        "potential": joined.distances,
        "plane": squareform(pdist(joined.coordinates)),
        "paper_potential": apart.distances,
        "paper_plane": squareform(pdist(apart.coordinates)),
    }
    arms = runs.labels()["direction"]
    row = {"group": network.group, "seed": network.seed, "draw": draw, "pieces": apart.components}
    return row | {name: silhouette(matrix, arms) for name, matrix in matrices.items()}


def pictured(network: Network, draw: int) -> Embedding:
    return embed(_runs(network, draw))


def _runs(network: Network, draw: int) -> Trajectories:
    jumps = network.trajectories.jumps()
    if draw < 0:
        return jumps
    quiet = Execution(progress=False)
    return walk(network.task, jumps, WALKS * network.seed + draw, quiet)


def excess(table: pd.DataFrame, distance: str, group: str) -> Any:
    """Take each network's silhouette less the mean of its own walks'.

    Returns:
        One value a network, by seed.
    """
    rows = table[table["group"] == group]
    real = rows[rows["draw"] < 0].set_index("seed")[distance]
    return (real - rows[rows["draw"] >= 0].groupby("seed")[distance].mean()).to_numpy()


def judged(table: pd.DataFrame) -> list[dict[str, Any]]:
    claims = []
    for distance, where in DISTANCES.items():
        less = f"silhouette by direction {where}, {LESS}"
        gaps = {group: excess(table, distance, group) for group in GROUPS}
        claims += [
            within(
                "horoi-H4",
                f"{where}, the arms of {words} networks are sharper than those of random walks "
                "with the same steps",
                f"{less}, {group}",
                gaps[group],
                SMALLEST,
            )
            for group, words in (("good", "good"), ("memorise", "memorising"))
        ]
        claims += [
            between(
                "horoi-H4",
                f"{where}, good networks' arms stand out from their random walks more than those "
                f"of {words} networks",
                f"{less}, good against {group}",
                gaps["good"],
                gaps[group],
            )
            for group, words in (("few", "bad"), ("memorise", "memorising"))
        ]
    return claims


def drawn(
    asked: Flags,
    shown: dict[tuple[str, int], Embedding],
    table: pd.DataFrame,
    claims: list[dict[str, Any]],
) -> Figure:
    figure = canvas.new_figure(15.5, 9.6)
    above, below = figure.subfigures(2, 1, height_ratios=(1.12, 1))
    cells = [(group, draw) for group in PICTURED for draw in (-1, 0)]
    for ax, (group, draw) in zip(above.subplots(1, 4), cells, strict=True):
        _picture(ax, shown[group, draw], group, draw, table)
    canvas.share_legend(above, 2)
    for ax, distance in zip(below.subplots(1, 3), DISTANCES, strict=True):
        _pairs(ax, table, distance)
    figure.suptitle(_finding(table, claims), fontsize=12.5, x=0.01, ha="left")
    canvas.note(
        figure,
        f"{caption(asked, GROUPS)}. Top: seed 0 and the first of its walks, colours fade with "
        "the epoch, axes in arbitrary units. Below: a line a network, "
        f"{table['seed'].nunique()} a group, to the mean of {table['draw'].max() + 1} random "
        "walks from its own jumps with its own step lengths (bars: their range). Silhouette by "
        "direction: 1 apart, 0 mixed. PHATE knn 5, cosine about the mean, joined by the spanning "
        f"tree; the paper's settings, pieces left apart, on potentials: {_apart(table)}.",
    )
    return figure


def _picture(ax: Axes, placed: Embedding, group: str, draw: int, table: pd.DataFrame) -> None:
    plots.trajectories(placed, ax=ax)
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    rows = table[(table["group"] == group) & (table["seed"] == 0) & (table["draw"] == draw)]
    name = f"{group}: retraining" if draw < 0 else f"random walk for {group}"
    canvas.title(ax, f"{name}\nsilhouette in the plane {rows['plane'].iloc[0]:.2f}")


def _pairs(ax: Axes, table: pd.DataFrame, distance: str) -> None:
    for place, group in enumerate(GROUPS):
        rows = table[table["group"] == group]
        real = rows[rows["draw"] < 0].set_index("seed")[distance]
        walks = rows[rows["draw"] >= 0].groupby("seed")[distance].agg(["mean", "min", "max"])
        spots = place + 0.17 + np.linspace(-0.08, 0.08, len(real))
        for spot, seed in zip(spots, real.index, strict=True):
            mean, low, high = walks.loc[seed]
            ax.plot([place - 0.2, spot], [real[seed], mean], color="0.7", lw=0.8, zorder=1)
            ax.plot([spot, spot], [low, high], color=NULL, lw=1.2, zorder=2)
            ax.plot(spot, mean, "s", color=NULL, ms=4.5, zorder=3)
            ax.plot(place - 0.2, real[seed], "o", color=REAL, ms=5.5, alpha=0.8, zorder=3)
    ax.plot([], [], "o", color=REAL, label="retraining")
    ax.plot([], [], "s-", color=NULL, label="random walks")
    ax.set_xticks(range(len(GROUPS)), [SHOWN.get(g, g).replace(" (", "\n(") for g in GROUPS])
    low, high = ax.get_ylim()
    spare = max(0, 4 * SMALLEST - (high - low)) / 2
    ax.set_ylim(low - spare, high + spare)
    ax.set_ylabel("silhouette by direction")
    ax.legend(frameon=False, fontsize=9)
    gaps = ", ".join(f"{g} {excess(table, distance, g).mean():+.3f}" for g in PICTURED)
    canvas.title(ax, f"{DISTANCES[distance]}: retraining less walks\n{gaps}")


def _apart(table: pd.DataFrame) -> str:
    gaps = (f"{g} {excess(table, 'paper_potential', g).mean():+.3f}" for g in PICTURED)
    return "retraining less walks " + ", ".join(gaps)


def _finding(table: pd.DataFrame, claims: list[dict[str, Any]]) -> str:
    good, memorise = (
        next(
            c for c in claims if c["statistic"].endswith(f"{DISTANCES['potential']}, {LESS}, {g}")
        )
        for g in PICTURED
    )
    alike = good["verdict"] == memorise["verdict"]
    words = (
        f"around good and around memorising optima {WORDS[good['verdict']]}"
        if alike
        else f"around good optima {WORDS[good['verdict']]}, around memorising ones "
        f"{WORDS[memorise['verdict']]}"
    )
    gaps = (
        f"{SHOWN.get(g, g).split(' (')[0]} {excess(table, 'potential', g).mean():+.2f}"
        for g in GROUPS
    )
    return (
        f"Beside random walks with the same steps, arms {words} (by {SMALLEST:g} or more)\n"
        f"Silhouette on potentials, less that of walks: {', '.join(gaps)}; "
        f"{tally(claims)}"
    )
