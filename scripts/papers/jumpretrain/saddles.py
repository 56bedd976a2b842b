"""One network under two rules: the graph of neighbours, and measured saddles of the same states.

The graph of arXiv:2102.00485 gives an edge the higher loss of its two ends; its bars are found for
many neighbour counts of PHATE (knn) and of the graph (k). Measured saddles score the loss on the
straight segments; they are found for several numbers of snapshots and of looks. Exploratory: what
is shown was known before, from seeds that are not these alone, and no claim is judged.
"""

from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import kept, over
from evidence.figure import Flags, Made, device
from evidence.rows import Row, Rows
from matplotlib.axes import Axes

import jumpretrain as jr
from jumpretrain.comparison.describe import evenly
from jumpretrain.plots import canvas

NAMES = {"good": "true labels", "memorise": "all labels redrawn"}
TRAINING = jr.Recipe(epochs=150, lr=0.05, record_every=0, record_early=False)
RETRAINING = jr.Recipe(epochs=40, lr=0.05)
SIZES, DIRECTIONS, SNAPSHOTS = (0.25, 0.5, 0.75, 1.0), 4, 8
KNN, K = (3, 5, 10, 20, 40), (3, 5, 10, 20, 40, 80)
LOOKS = (3, 7, 15)
COUNTS = (2, 4, 8, 16)
LOSSES = ("train_loss", "test_loss")
FLOOR = 1e-5  # nats: what is less is drawn there
QUIET = jr.Execution(progress=False)


def make(asked: Flags) -> Made:
    found = over(asked, measured, [(asked, group) for group in NAMES], "networks")
    rows = [row for some in found for row in some]
    table = pd.DataFrame(rows)
    figure = panels.sheet(
        (15.5, 9.6), (2, 2), [(drawn, table, *case) for case in product(LOSSES, NAMES)]
    )
    figure.suptitle(finding(table), fontsize=13, x=0.01, ha="left")
    used = QUICK if asked.quick else FULL
    canvas.note(
        figure,
        "Digits, MLP 64-128-128-10, one network a group (seed 0), SGD with momentum .9: "
        f"{used['epochs']} epochs at rate .05, jumps of {', '.join(map(str, SIZES))} filter norms "
        f"in {DIRECTIONS} directions, retrained for {used['again']} epochs at .05. "
        f"Graph rule: {SNAPSHOTS} snapshots a run, PHATE (cosine about the mean), k nearest "
        "neighbours by potential distance, joined by the spanning tree, flag complex. Measured: "
        f"the same states, {LOOKS[1]} inner points first; band: {', '.join(map(str, LOOKS))} "
        f"points and {', '.join(map(str, COUNTS))} snapshots. Totals below {FLOOR:g} are drawn "
        "at the lower edge. Exploratory: no claim is judged.",
    )
    return figure, {
        "data": "digits (scikit-learn), 1257 training and 540 test examples",
        "model": "mlp 64-128-128-10",
        "groups": NAMES,
        "seeds": [0],
        "recipe": {"training": vars(TRAINING), "retraining": vars(RETRAINING), **used},
        "protocol": "exploratory",
        "measures": rows,
        "claims": [],
    }


FULL = {"epochs": 150, "again": 40}
QUICK = {"epochs": 30, "again": 8}


def measured(asked: Flags, group: str) -> Rows:
    """Train, sample and measure one network by both rules, or read what was kept."""
    used = QUICK if asked.quick else FULL
    data = jr.data.digits()
    data = data.corrupt(1.0, seed=0) if group == "memorise" else data
    task = jr.Task(partial(jr.models.mlp, (1, 8, 8), 10), data, device=device())
    place = asked.work / group
    training = jr.Recipe(**vars(TRAINING) | {"epochs": used["epochs"]})
    again = jr.Recipe(**vars(RETRAINING) | {"epochs": used["again"]})
    fit = jr.train(task, training, [0], folder=place / "training", execution=QUIET)
    jumps = jr.sample(
        task, fit.final[0], again, SIZES, DIRECTIONS, folder=place / "sampled", execution=QUIET
    ).jumps()
    of = (used, KNN, K, LOOKS, COUNTS, jumps.provenance["optimum"])
    rows: Rows = kept(
        place / "rules.json", of, lambda: [*by_graph(jumps), *by_saddles(task, jumps)]
    )
    return [row | {"group": group} for row in rows]


def by_both(task: jr.Task, jumps: jr.Trajectories) -> Rows:
    return [*by_graph(jumps), *by_saddles(task, jumps)]


def by_graph(jumps: jr.Trajectories) -> Rows:
    """Sum the bars of the neighbour graph, for each pair of neighbour counts."""
    thin = jumps.select(times=evenly(len(jumps.epoch), SNAPSHOTS))
    rows = []
    for knn in KNN:
        placed = jr.embed(thin, knn=knn)
        for k, loss in product(K, LOSSES):
            bars = jr.sublevel(thin.values(loss), placed.graph(k), maxdim=0)
            rows.append(total("graph", loss, bars) | {"knn": knn, "k": k})
    return rows


def by_saddles(task: jr.Task, jumps: jr.Trajectories) -> Rows:
    """Sum the bars of measured saddles, for each number of looks and of snapshots."""
    rows = []
    cases = [(looks, SNAPSHOTS) for looks in LOOKS] + [(LOOKS[1], count) for count in COUNTS]
    for (looks, count), loss in product(dict.fromkeys(cases), LOSSES):
        thin = jumps.select(times=evenly(len(jumps.epoch), count))
        found = jr.saddles(task, thin, loss, alphas=looks, execution=QUIET)
        more = {"alphas": looks, "snapshots": count, "evaluations": found.evaluations}
        rows.append(total("measured", loss, found.diagrams) | more)
    return rows


def total(rule: str, loss: str, bars: jr.Diagrams) -> Row:
    found = {"depth": bars.total_persistence(0), "bars": len(bars.finite(0))}
    return {"rule": rule, "loss": loss, **found}


def drawn(ax: Axes, table: pd.DataFrame, loss: str, group: str) -> None:
    rows = table[(table["loss"] == loss) & (table["group"] == group)]
    graph, known = rows[rows["rule"] == "graph"], rows[rows["rule"] == "measured"]
    for knn, colour in zip(KNN, canvas.ramp(len(KNN), "viridis"), strict=True):
        line = graph[graph["knn"] == knn]
        heights = np.maximum(line["depth"], FLOOR)
        ax.plot(line["k"], heights, "o-", color=colour, ms=5, label=f"graph rule, PHATE knn {knn}")
    ends = np.maximum([known["depth"].min(), known["depth"].max()], FLOOR)
    ax.axhspan(*ends, color="0.75", zorder=0)
    main = known[(known["alphas"] == LOOKS[1]) & (known["snapshots"] == SNAPSHOTS)]
    ax.axhline(max(main["depth"].iloc[0], FLOOR), color="black", lw=2.4, label="measured saddles")
    ax.set_ylim(FLOOR / 2, 3 * max(table["depth"].max(), 1.0))
    words = f"graph rule {span(graph)}, measured {span(known)} nats"
    name = "training" if loss == "train_loss" else "test"
    panels.label(
        ax,
        "neighbours of the graph (k)",
        f"total depth, {name} loss (nats)",
        f"{NAMES[group]}, {name} loss: {words}",
        "y",
    )
    ax.set(xscale="log", xticks=K, xticklabels=[str(k) for k in K])
    ax.minorticks_off()
    if (loss, group) != (LOSSES[0], "good"):
        ax.get_legend().remove()


def span(rows: pd.DataFrame) -> str:
    low, high = rows["depth"].min(), rows["depth"].max()
    return f"{low:.2g} to {high:.2g}"


def finding(table: pd.DataFrame) -> str:
    rows = table[(table["loss"] == "train_loss") & (table["group"] == "good")]
    other = table[(table["loss"] == "train_loss") & (table["group"] == "memorise")]
    said = [
        f"{NAMES[group]} {span(some[some['rule'] == rule])}"
        for rule in ("graph", "measured")
        for group, some in (("good", rows), ("memorise", other))
    ]
    return (
        "The depth of basins by neighbour graphs depends on how many neighbours are taken; "
        "measured saddles take none\n"
        f"Training loss, nats, over all choices: graph rule {said[0]}, {said[1]}; measured "
        f"{said[2]}, {said[3]}"
    )
