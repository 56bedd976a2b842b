"""Figure 2 of arXiv:2102.00485: trajectories around good, bad and memorising optima, and a null.

One network of each group by PHATE: the paper's settings, joined, and joined with the log loss as
colour; the last row replaces retraining of the good one by a random walk with its step lengths.
H3 to H6 are judged in weight space and on potential distances, over the networks of each group.
`bad` is trained on true labels, but on 150 examples.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import QUIET, over
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from evidence.rows import Rows
from papers.horoi import landscapes
from papers.horoi.landscapes import POOR, Network, caption, column, compared, facts

from jumpretrain import embed
from jumpretrain.comparison.geometry import control_displacement, describe_geometry, silhouette
from jumpretrain.embedding.gram import gram
from jumpretrain.plots import canvas, sheets
from jumpretrain.sampling.baselines import walk

SMALLEST_SLOPE = 0.05  # share of outward steps, from a jump of 0 to one of 1 filter norm
GROUPS = ("good", "few", "memorise")
NULL = "walk"
SHOWN = landscapes.SHOWN | {NULL: "random walk for good"}
ARMS = "potential_silhouette"
ORDERED = (
    ("H3", "overshoot", POOR, "runs go further out around {} optima than good ones"),
    ("H3", "outward_steps", POOR, "more steps lead outward around {} optima than good ones"),
    ("H3", "final_distance", POOR, "runs end closer to good optima than {} ones"),
    ("H4", ARMS, {"few": "bad ones", "memorise": "memorising ones", NULL: "in random walks"},
     "directions keep an arm of their own around good optima more than {}"),
    ("H5", "turning_angle", POOR, "runs turn more around {} optima than good ones"),
    ("H6", "sideways_distance", {"memorise": "memorising"},
     "runs move sideways more around {} optima than good ones"),
)  # fmt: skip


def make(asked: Flags) -> Made:
    nets = landscapes.networks(asked, GROUPS)
    good = [(net,) for net in nets if net.group == "good"]
    cases = [(net,) for net in (*nets, *over(asked, walked, good, "random walks"))]
    table = pd.DataFrame(over(asked, measured, cases, "embedding"))
    shown = [case for case in cases if case[0].seed == 0]
    sheet = dict(over(asked, showcase, shown, "drawing"))
    claims = judged(table)
    still: dict[str, list[float]] = {group: [] for group in GROUPS}
    for net in nets:
        still[net.group].append(control_displacement(net.trajectories))
    figure = sheets.showcases(sheet, "test loss (nats)")
    figure.legends[0].set_title(finding(table, claims) + "\n", prop={"size": 15})
    figure.legends[0].set_alignment("left")
    moved = ", ".join(f"{group} {100 * np.mean(value):.2g} %" for group, value in still.items())
    canvas.note(
        figure,
        f"Without a jump, retraining moves the weights by (of their length, mean): {moved}. "
        f"{caption(asked, GROUPS)}. Panels: seed 0; numbers in the title and the JSON: mean over "
        f"{table['seed'].nunique()} networks a group. PHATE knn 5, cosine about the mean, "
        "without the optimum, as in the released script; left: connect none, others: spanning "
        "tree; axes in arbitrary units; colours fade with the epoch.",
    )
    found = {"claims": claims, "measures": table, "displacement_without_jump": still}
    return figure, facts(asked, GROUPS, **found)


def walked(net: Network) -> Network:
    walks = walk(net.task, net.trajectories.jumps(), net.seed, QUIET)
    return replace(net, group=NULL, trajectories=walks)


def measured(net: Network) -> dict[str, Any]:
    jumps = net.trajectories.jumps()
    inner = gram(jumps)
    placed = embed(jumps, gram=inner)
    arms = silhouette(placed.distances, placed.labels["direction"])
    accuracy = net.trajectories.optimum_metrics["test_accuracy"]
    row = {"group": net.group, "seed": net.seed, "test_accuracy": accuracy, ARMS: arms}
    return row | describe_geometry(jumps, inner)


def showcase(net: Network) -> tuple[str, sheets.Showcase]:
    jumps = net.trajectories.jumps()
    paper, joined = (embed(jumps, connect=connect) for connect in (None, "mst"))
    return SHOWN[net.group], sheets.Showcase(paper, joined, jumps.values("test_loss"))


def judged(table: pd.DataFrame) -> Rows:
    claims = []
    for name, measure, others, words in ORDERED:
        for other, who in others.items():
            pair = ("good", other) if measure == ARMS else (other, "good")
            claims.append(compared(table, name, words.format(who), measure, *pair))
    words = "around memorising optima, larger jumps move outward less"
    how = "the slope of the share of outward steps over the jump, memorise"
    slopes = column(table, "memorise", "outward_steps_by_step_size")
    return [*claims, within("horoi-H6", words, how, slopes, SMALLEST_SLOPE, -1)]


def finding(table: pd.DataFrame, claims: Rows) -> str:
    means = table.assign(back=1 - table["final_distance"]).groupby("group").mean()

    def listed(measure: str, form: str, groups: tuple[str, ...] = GROUPS) -> str:
        return ", ".join(f"{SHOWN[group]} {means.loc[group, measure]:{form}}" for group in groups)

    arms = next(claim for claim in claims if claim["claim"].endswith("than in random walks"))
    return (
        f"Of the way back to the optimum, retraining covers {listed('back', '.1%')}"
        f"\nSteps that lead outward: {listed('outward_steps', '.0%')}; {tally(claims)}\n"
        f"Arms by direction, silhouette (good above random walks: {arms['verdict']}): "
        f"{listed(ARMS, '.2f', (*GROUPS, NULL))}"
    )
