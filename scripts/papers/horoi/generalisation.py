"""Figure 3B of arXiv:2102.00485 in small: does topology tell how well a network generalises?

Left, the paper's claim: total persistence as the released script computes it, against the test
loss at the optimum. Middle, its control: the same numbers against the squared range of the loss.
Right, what is left: finite persistence of the joined graph, with the range held fixed and on ranks
of the loss, which have none.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import adjusted, correlated
from evidence.panels import head, label
from evidence.rows import Rows, effect
from matplotlib.axes import Axes
from papers.horoi.conditions import NAMES, RETRAINING, WEIGHT_DECAYS, conditions

from jumpretrain.comparison.hypothesis_tests import partial_spearman, spearman
from jumpretrain.plots import canvas

SMALLEST = 0.2
COLOURS = dict(zip(WEIGHT_DECAYS, ("#D55E00", "#56B4E9", "#000000"), strict=True))
SHAPES = {1257: "o", 200: "^"}
RELEASED = "released_h0_total_persistence_p2"
SQUARED = "loss_range_squared"
FINITE = "sublevel_values_h0_total_persistence_p2"
RANKED = "sublevel_ranks_h0_total_persistence_p2"
SHOWN = [*NAMES, "test_loss", RELEASED, SQUARED, FINITE, RANKED]
FALLS = "total persistence falls with weight decay, within data size, batch size and seed"


def make(asked: Flags) -> Made:
    table, _ = conditions(asked)
    claims = judged(table)
    figure = canvas.new_figure(13.5, 5.6)
    left, middle, right = figure.subplots(1, 3)
    nats, persistence = "test loss at the optimum (nats)", "released total persistence (nats²)"
    all_, alone, _, held, ranked, _ = (effect(claim) for claim in claims)
    title = f"the paper's claim:\nρ = {all_}"
    scatter(left, table, "test_loss", RELEASED, nats, persistence, title)
    line = [table[SQUARED].min(), table[SQUARED].max()]
    middle.plot(line, line, color="black", lw=0.8)
    across = "(max − min of the test loss)² (nats²)"
    title = f"its control: it is the squared range;\nthat held fixed, ρ = {alone}"
    scatter(middle, table, SQUARED, RELEASED, across, persistence, title)
    up = "finite persistence, joined graph (nats²)"
    title = f"finite bars, range² held fixed:\nρ = {held}; on ranks of the loss: {ranked}"
    scatter(right, table, "test_loss", FINITE, nats, up, title)
    for decay, colour in COLOURS.items():
        middle.plot([], [], "s", color=colour, label=f"weight decay {decay:g}")
    for size, shape in SHAPES.items():
        middle.plot([], [], shape, color="#666666", label=f"{size} examples")
    middle.legend(fontsize=8, frameon=False, loc="lower right")
    first, beyond, rest = (claims[place]["verdict"] for place in (0, 3, 4))
    finding = (
        f"Higher persistence in networks that generalise worse:\nas released {first}; as finite "
        f"bars, beyond the range, {beyond}; on ranks of the loss {rest}"
    )
    note = (
        f"n = {len(table)} digits networks (MLP 64-64-10, {table['seed'].nunique()} seeds); ρ: "
        f"Spearman, 95 % interval; 4 directions x 4 step sizes x {10 if asked.quick else 40} "
        "epochs, one common recipe; PHATE, cosine, knn 5, joined; k = 20"
    )
    head(figure, finding, claims, note)
    numbers = {"data": "digits", "retraining": asdict(RETRAINING), "claims": claims}
    return figure, numbers | {"networks": table[SHOWN].to_dict("records")}


def judged(table: pd.DataFrame) -> Rows:
    target, control = table["test_loss"], np.log(table[SQUARED])
    tests = {}
    for name, words in ((RELEASED, "released total"), (FINITE, "finite"), (RANKED, "rank")):
        claim = f"{words} persistence rises with the test loss"
        if name != RANKED:
            tests[claim] = spearman(table[name], target)
        tests[f"{claim}, range^2 held fixed"] = partial_spearman(table[name], target, control)
    blocks = table.groupby(["data_size", "batch_size", "seed"])
    ranks, decays = (blocks[name].rank(method="first") for name in (RELEASED, "weight_decay"))
    tests[FALLS] = spearman(ranks, -decays)
    how = "Spearman's rho over networks; the test loss filters"
    numbers = len(table), SMALLEST
    return adjusted([
        correlated("horoi-H8" if claim == FALLS else "horoi-H7", claim, how, test, *numbers)
        for claim, test in tests.items()
    ])


def scatter(
    ax: Axes, table: pd.DataFrame, x: str, y: str, across: str, up: str, title: str
) -> None:
    for (decay, size), rows in table.groupby(["weight_decay", "data_size"]):
        mark = {"color": COLOURS[decay], "ms": 6, "alpha": 0.8, "mec": "white", "mew": 0.4}
        ax.plot(rows[x], rows[y], SHAPES[size], **mark)
    ax.set_yscale("log")
    label(ax, across, up, title, "x")
