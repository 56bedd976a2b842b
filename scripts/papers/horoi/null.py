"""Arms of good and memorising networks beside those of random walks with the same step lengths.

Arms, one a direction, are read off PHATE as a property of good minima (arXiv:2102.00485, section
4.3; H4). Every network is therefore compared with its own null: walks that start at its jumps and
take its step lengths in isotropic random directions. The silhouette by direction is judged
network by network: on distances in weight space, on PHATE's potentials and in its plane.
"""

from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import QUIET
from evidence.figure import Flags, Made
from evidence.judging import between, within
from evidence.panels import label
from evidence.rows import Rows
from matplotlib.axes import Axes
from papers.horoi import landscapes
from papers.horoi.landscapes import GROUPS, POOR, SHOWN, Network, by_group

from jumpretrain import Trajectories, embed, plots
from jumpretrain.comparison.geometry import silhouette
from jumpretrain.embedding.gram import gram
from jumpretrain.plots import canvas
from jumpretrain.sampling.baselines import walk

SMALLEST = 0.05  # of a silhouette, whose best is 1
PICTURED = {"good": "good", "memorise": "memorising"}
WALKS, QUICK_WALKS = 5, 1
DISTANCES = {
    "raw": "in weight space",
    "potential": "on PHATE's potentials",
    "plane": "in PHATE's plane",
}
HOW = "silhouette by direction {}, less the mean of the network's own random walks"
SHARPER = "the arms of {} networks are sharper than those of random walks with the same steps"
CLEARER = "good networks' arms stand out from their random walks more than those of {} networks"
REAL, NULL = canvas.colours(2)
WORDS = {
    "supported": "are sharper",
    "contradicted": "are no sharper",
    "undecided": "may be sharper or not",
}


def make(asked: Flags) -> Made:
    nets, count = landscapes.networks(asked), QUICK_WALKS if asked.quick else WALKS
    jobs = [((net.seed, draw), net, draw) for net in nets for draw in range(-1, count)]
    table = pd.DataFrame(landscapes.each_kept(asked, measured, jobs, "walking and embedding"))
    figure = canvas.new_figure(15.5, 9.6)
    above, below = figure.subfigures(2, 1, height_ratios=(1.12, 1))
    shown = [net for net in nets if net.seed == 0 and net.group in PICTURED]
    cells = [(net, draw) for net in shown for draw in (-1, 0)]
    plane = table.set_index(["group", "seed", "draw"])["plane"]
    for ax, (net, draw) in zip(above.subplots(1, 4), cells, strict=True):
        plots.trajectories(embed(runs_of(net, draw)), ax=ax)
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        name = f"{net.group}: retraining" if draw < 0 else f"random walk for {net.group}"
        found = plane[net.group, net.seed, draw]
        canvas.title(ax, f"{name}\nsilhouette in the plane {found:.2f}")
    canvas.share_legend(above, 2)
    for ax, distance in zip(below.subplots(1, 3), DISTANCES, strict=True):
        pairs(ax, table, distance)
    note = (
        "Top: seed 0 and the first of its walks, colours fade with the epoch, axes in arbitrary "
        f"units. Below: a line a network, {table['seed'].nunique()} a group, to the mean of "
        f"{count} random walks from its own jumps with its own step lengths (bars: their range). "
        "Silhouette by direction: 1 apart, 0 mixed. PHATE knn 5, cosine about the mean, joined by "
        "the spanning tree; the paper's settings, pieces left apart, on potentials: retraining "
        f"less walks {gaps(table, 'paper_potential')}."
    )
    claims = judged(table)
    said = finding(table, claims)
    return landscapes.made(asked, figure, said, claims, note, walks=count, measures=table)


def measured(net: Network, draw: int) -> dict[str, Any]:
    """Measure the arms of a network's jumps (draw -1), or of one of its random walks."""
    runs = runs_of(net, draw)
    inner = gram(runs)
    joined, apart = (embed(runs, connect=connect, gram=inner) for connect in ("mst", None))
    matrices = landscapes.three_distances(joined, inner)
    paper = landscapes.three_distances(apart, inner)
    matrices |= {f"paper_{name}": paper[name] for name in ("potential", "plane")}
    arms = runs.labels()["direction"]
    row = {"group": net.group, "seed": net.seed, "draw": draw, "pieces": apart.components}
    return row | {name: silhouette(matrix, arms) for name, matrix in matrices.items()}


def runs_of(net: Network, draw: int) -> Trajectories:
    jumps = net.trajectories.jumps()
    return jumps if draw < 0 else walk(net.task, jumps, WALKS * net.seed + draw, QUIET)


def excess(table: pd.DataFrame, distance: str) -> dict[str, Any]:
    """Take each network's silhouette less the mean of its own walks', by group."""
    walks = table[table["draw"] >= 0].groupby(["group", "seed"])[distance].mean()
    less = table[table["draw"] < 0].set_index(["group", "seed"])[distance] - walks
    return {group: less[group].to_numpy() for group in GROUPS}


def judged(table: pd.DataFrame) -> Rows:
    claims = []
    for distance, where in DISTANCES.items():
        found, how = excess(table, distance), HOW.format(where)
        for group, words in PICTURED.items():
            claim = f"{where}, {SHARPER.format(words)}"
            claims.append(within("horoi-H4", claim, f"{how}, {group}", found[group], SMALLEST))
        for group, words in POOR.items():
            claim, sides = f"{where}, {CLEARER.format(words)}", (found["good"], found[group])
            claims.append(between("horoi-H4", claim, f"{how}, good against {group}", *sides))
    return claims


def gaps(table: pd.DataFrame, distance: str) -> str:
    found = excess(table, distance)
    return ", ".join(f"{group} {found[group].mean():+.3f}" for group in PICTURED)


def pairs(ax: Axes, table: pd.DataFrame, distance: str) -> None:
    for place, group in enumerate(GROUPS):
        rows = table[table["group"] == group]
        real = rows.loc[rows["draw"] < 0, distance].to_numpy()
        walks = rows[rows["draw"] >= 0].groupby("seed")[distance].agg(["mean", "min", "max"])
        left = np.full(len(real), place - 0.2)
        right = place + 0.17 + np.linspace(-0.08, 0.08, len(real))
        ax.plot([left, right], [real, walks["mean"]], color="0.7", lw=0.8, zorder=1)
        ax.vlines(right, walks["min"], walks["max"], color=NULL, lw=1.2, zorder=2)
        ax.plot(right, walks["mean"], "s", color=NULL, ms=4.5, zorder=3)
        ax.plot(left, real, "o", color=REAL, ms=5.5, alpha=0.8, zorder=3)
    ax.plot([], [], "o", color=REAL, label="retraining")
    ax.plot([], [], "s-", color=NULL, label="random walks")
    by_group(ax)
    low, high = ax.get_ylim()
    spare = max(0, 4 * SMALLEST - (high - low)) / 2
    ax.set_ylim(low - spare, high + spare)
    title = f"{DISTANCES[distance]}: retraining less walks\n{gaps(table, distance)}"
    label(ax, "", "silhouette by direction", title, fontsize=9)


def finding(table: pd.DataFrame, claims: Rows) -> str:
    where = f"{DISTANCES['potential']}, the arms of"
    good, memorise = (WORDS[c["verdict"]] for c in claims if c["claim"].startswith(where))
    found = excess(table, "potential")
    gaps = ", ".join(f"{SHOWN[g].split(' (')[0]} {gap.mean():+.2f}" for g, gap in found.items())
    arms = f"around good optima {good}, around memorising ones {memorise}"
    if good == memorise:
        arms = f"around good and around memorising optima {good}"
    return (
        f"Beside random walks with the same steps, arms {arms} (by {SMALLEST:g} or more)\n"
        f"Silhouette on potentials, less that of walks: {gaps}"
    )
