"""Figure 3A of arXiv:2102.00485: trajectories with the persistence diagram of their test loss.

One network of each group by PHATE, coloured by the test loss; the sublevel diagrams on the joined
20-nearest-neighbour graph, essential bars at the top; and over the networks of the group what the
released script calls total persistence, beside the squared range of the loss and the total
persistence of bars that do end. H9 is judged.
"""

from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import over
from evidence.figure import Flags, Made
from evidence.judging import between
from evidence.rows import Rows
from matplotlib.axes import Axes
from papers.horoi import landscapes
from papers.horoi.landscapes import NEIGHBOURS, SHOWN, Network, Topology, column

from jumpretrain import plots
from jumpretrain.plots import canvas

GROUPS = ("good", "few", "memorise")
EARLY, LATE = 0.31, 0.74  # the red box of the paper's figure, of the loss scaled to [0, 1]
AMOUNTS = {
    "range_squared": "squared range\nof the test loss",
    "released": "released rule,\ntotal persistence",
    "finite": "joined 20-NN,\nbars that end",
}


def make(asked: Flags) -> Made:
    jobs = [(net,) for net in landscapes.networks(asked, GROUPS)]
    measures = over(asked, measured, jobs, "embedding and homology")
    table = pd.DataFrame([row for row, _ in measures])
    figure = canvas.new_figure(15.5, 4.7 * len(GROUPS) + 1.6)
    panels = figure.subplots(len(GROUPS), 3)
    amounts = table[list(AMOUNTS)].to_numpy()
    limits = amounts[amounts > 0].min() / 3, amounts.max() * 3
    shown = [(row, *seen) for row, seen in measures if seen]
    for ax, (row, placed, loss, diagrams) in zip(panels, shown, strict=True):
        name, words = SHOWN[row["group"]], f"test accuracy {row['test_accuracy']:.2f}"
        plots.trajectories(placed, loss, ax[0], "test loss (nats)")
        canvas.title(ax[0], f"{name}: {words}, {placed.components} pieces joined")
        plots.diagram(diagrams, ax[1], log=True, unit="test loss, nats")
        canvas.title(ax[1], f"{name}: " + ax[1].get_title(loc="left").replace("\n", " "))
        draw_amounts(ax[2], table[table["group"] == row["group"]], name, limits)
    note = (
        f"Left and middle: seed 0; right: {table['seed'].nunique()} "
        "networks a group, a dot each. PHATE knn 5, cosine about the mean, joined by the spanning "
        f"tree, axes in arbitrary units. Middle: flag complex of the {NEIGHBOURS}-nearest-"
        "neighbour graph of potential distances, joined by the spanning tree. Exponent 2; bars "
        "that never end left out of the joined graph's."
    )
    found = {"neighbours": NEIGHBOURS, "red_box": [EARLY, LATE], "measures": table}
    claims = judged(table)
    return landscapes.made(asked, figure, finding(table), claims, note, GROUPS, **found)


def measured(net: Network) -> tuple[dict[str, Any], Topology | None]:
    """Measure one network; seeds 0 are drawn."""
    row, seen = landscapes.topology(net)
    _, loss, diagrams = seen
    births, deaths = ((diagrams.finite(0) - loss.min()) / np.ptp(loss)).T
    row["red_box"] = int(((births < EARLY) & (deaths > LATE)).sum())
    row["mean_birth"] = float(births.mean()) if len(births) else 0.0
    return row, seen if net.seed == 0 else None


def judged(table: pd.DataFrame) -> Rows:
    claims = []
    for poor in ("few", "memorise"):
        name = SHOWN[poor]
        boxes, births = (
            [column(table, group, measure) for group in (poor, "good")]
            for measure in ("red_box", "mean_birth")
        )
        rows = (
            (f"{name} has more pieces that are born early and merge late than good",
             f"number of finite bars from below {EARLY} to above {LATE} of the loss's range, "
             f"{name} against good", *boxes),
            (f"the pieces around good optima are born later than those of {name}",
             f"mean birth of finite bars in units of the loss's range, good against {name}",
             *births[::-1]),
        )  # fmt: skip
        claims += [between("horoi-H9", *row) for row in rows]
    return claims


def draw_amounts(ax: Axes, table: pd.DataFrame, name: str, limits: tuple[float, float]) -> None:
    for place, (measure, colour) in enumerate(zip(AMOUNTS, canvas.colours(3), strict=True)):
        values = np.maximum(table[measure].to_numpy(), limits[0])
        ax.scatter(values, np.full(len(values), place), s=70, color=[colour], alpha=0.7)
    ax.set_yticks(range(3), list(AMOUNTS.values()))
    ax.set(xscale="log", xlim=limits, ylim=(2.6, -0.6), xlabel="nats² (at the left edge: 0)")
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    over, share = (
        (table[measure] / table["range_squared"]).median() for measure in ("released", "finite")
    )
    words = f"released rule {over:.3g} x squared range, bars that end {share:.2g} x (medians)"
    canvas.title(ax, f"{name}: {words}")


def finding(table: pd.DataFrame) -> str:
    ratios = (table["released"] / table["range_squared"]).groupby(table["group"]).median()
    boxes = table.groupby("group")["red_box"].mean()
    over, pieces = (
        ", ".join(f"{SHOWN[group].split()[0]} {values[group]:{form}}" for group in GROUPS)
        for values, form in ((ratios, ".2f"), (boxes, ".1f"))
    )
    return (
        "Total persistence by the released rule over the squared range of the loss (median): "
        f"{over}\nPieces born early that merge late (below {EARLY}, above {LATE} of the range), "
        f"a network: {pieces}"
    )
