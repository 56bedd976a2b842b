"""Figure 3A of arXiv:2102.00485: trajectories with the persistence diagram of their test loss.

One network of each group by PHATE, coloured by the test loss; the sublevel diagrams on the joined
20-nearest-neighbour graph, essential bars at the top; and over the networks of the group what the
released script calls total persistence, beside the squared range of the loss and the total
persistence of bars that do end. H9 is judged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import between, tally
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.horoi.landscapes import caption, each, facts, networks

from jumpretrain import Diagrams, Embedding, Trajectories, embed, plots, released, sublevel
from jumpretrain.plots import canvas

GROUPS = ("good", "few", "memorise")
SHOWN = {"few": "bad (150 examples)"}
NEIGHBOURS = 20
EARLY, LATE = 0.31, 0.74  # the red box of the paper's figure, of the loss scaled to [0, 1]
AMOUNTS = {
    "range_squared": "squared range\nof the test loss",
    "released": "released rule,\ntotal persistence",
    "finite": "joined 20-NN,\nbars that end",
}


def make(asked: Flags) -> Made:
    found = networks(asked, GROUPS)
    jobs = [(net.group, net.seed, net.trajectories) for group in GROUPS for net in found[group]]
    rows, pictures = zip(*each(measured, jobs, asked, "embedding and homology"), strict=True)
    table = pd.DataFrame(rows)
    shown = {job[0]: picture for job, picture in zip(jobs, pictures, strict=True) if picture}
    claims = judged(table)
    return drawn(asked, shown, table, claims), (
        facts(asked, GROUPS)
        | {"claims": claims, "neighbours": NEIGHBOURS, "red_box": [EARLY, LATE]}
        | {"measures": table.to_dict("records")}
    )


Picture = tuple[Embedding, Diagrams, Any]


def measured(
    group: str, seed: int, trajectories: Trajectories
) -> tuple[dict[str, Any], Picture | None]:
    """Measure one network.

    Returns:
        A row of the table, and what is drawn where it is drawn.
    """
    jumps = trajectories.jumps()
    placed = embed(jumps)
    values = jumps.values("test_loss")
    diagrams = sublevel(values, placed.graph(NEIGHBOURS))
    published = released(jumps, placed, NEIGHBOURS)
    births, deaths = ((diagrams.finite(0) - values.min()) / np.ptp(values)).T
    row = {
        "group": group,
        "seed": seed,
        "test_accuracy": trajectories.optimum_metrics["test_accuracy"],
        "range_squared": float(np.ptp(values) ** 2),
        "released": published.total_persistence(0, 2),
        "finite": diagrams.total_persistence(0, 2),
        "finite_bars": len(births),
        "red_box": int(((births < EARLY) & (deaths > LATE)).sum()),
        "mean_birth": float(births.mean()) if len(births) else 0.0,
        "pieces": placed.components,
    }
    return row, (placed, diagrams, values) if seed == 0 else None


def judged(table: pd.DataFrame) -> list[dict[str, Any]]:
    def values(group: str, measure: str) -> Any:
        return table.loc[table["group"] == group, measure].to_numpy()

    claims = []
    for poor in ("few", "memorise"):
        name = SHOWN.get(poor, poor)
        red, green = (values(poor, m) for m in ("red_box", "mean_birth"))
        claims += [
            between(
                "horoi-H9",
                f"{name} has more pieces that are born early and merge late than good",
                f"number of finite bars from below {EARLY} to above {LATE} of the loss's range, "
                f"{name} against good",
                red,
                values("good", "red_box"),
            ),
            between(
                "horoi-H9",
                f"the pieces around good optima are born later than those of {name}",
                f"mean birth of finite bars in units of the loss's range, good against {name}",
                values("good", "mean_birth"),
                green,
            ),
        ]
    return claims


def drawn(
    asked: Flags, shown: dict[str, Picture], table: pd.DataFrame, claims: list[dict[str, Any]]
) -> Figure:
    figure = canvas.new_figure(15.5, 4.7 * len(GROUPS) + 1.6)
    panels = figure.subplots(len(GROUPS), 3)
    amounts = table[list(AMOUNTS)].to_numpy()
    limits = amounts[amounts > 0].min() / 3, amounts.max() * 3
    for row, group in zip(panels, GROUPS, strict=True):
        placed, diagrams, values = shown[group]
        name = SHOWN.get(group, group)
        plots.trajectories(placed, values, row[0], "test loss (nats)")
        accuracy = table.loc[table["group"] == group, "test_accuracy"].iloc[0]
        canvas.title(row[0], f"{name}: test accuracy {accuracy:.2f}, {placed.components} pieces "
                     "joined")  # fmt: skip
        plots.diagram(diagrams, row[1], log=True, unit="test loss, nats")
        canvas.title(row[1], f"{name}: " + row[1].get_title(loc="left").replace("\n", " "))
        _amounts(row[2], table[table["group"] == group], name, limits)
    figure.suptitle(_finding(table, claims), fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        f"{caption(asked, GROUPS)}. Left and middle: seed 0; right: {table['seed'].nunique()} "
        "networks a group, a dot each. PHATE knn 5, cosine about the mean, joined by the spanning "
        f"tree, axes in arbitrary units. Middle: flag complex of the {NEIGHBOURS}-nearest-"
        "neighbour graph of potential distances, joined by the spanning tree. Exponent 2; bars "
        "that never end left out of the joined graph's.",
    )
    return figure


def _amounts(ax: Axes, table: pd.DataFrame, name: str, limits: tuple[float, float]) -> None:
    for place, (measure, colour) in enumerate(zip(AMOUNTS, canvas.colours(3), strict=True)):
        values = np.maximum(table[measure].to_numpy(), limits[0])
        ax.scatter(values, np.full(len(values), place), s=70, color=[colour], alpha=0.7)
    ax.set_yticks(range(3), list(AMOUNTS.values()))
    ax.set_ylim(2.6, -0.6)
    ax.set_xscale("log")
    ax.set_xlim(*limits)
    ax.set_xlabel("nats² (at the left edge: 0)")
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    over = (table["released"] / table["range_squared"]).median()
    share = (table["finite"] / table["range_squared"]).median()
    canvas.title(ax, f"{name}: released rule {over:.3g} x squared range, bars that end "
                 f"{share:.2g} x (medians)")  # fmt: skip


def _finding(table: pd.DataFrame, claims: list[dict[str, Any]]) -> str:
    table = table.assign(ratio=table["released"] / table["range_squared"])
    ratios, boxes = table.groupby("group")["ratio"].median(), table.groupby("group")["red_box"]

    def listed(values: Any, form: str) -> str:
        names = (SHOWN.get(group, group).split()[0] for group in GROUPS)
        return ", ".join(
            f"{name} {values[group]:{form}}" for name, group in zip(names, GROUPS, strict=True)
        )

    return (
        "Total persistence by the released rule over the squared range of the loss (median): "
        f"{listed(ratios, '.2f')}\nPieces born early that merge late (below {EARLY}, above "
        f"{LATE} of the range), a network: {listed(boxes.mean(), '.1f')}; {tally(claims)}"
    )
