"""Figure 2 of arXiv:2102.00485: trajectories around good, bad and memorising optima, and a null.

One network of each group by PHATE: the paper's settings, joined, and joined with the log loss as
colour; the last row replaces retraining of the good one by a random walk with its step lengths.
H3 to H6 are judged in weight space and on potential distances, over the networks of each group.
`bad` is trained on true labels, but on 150 examples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import QUIET, each
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from evidence.wording import Claims
from matplotlib.figure import Figure
from papers.horoi import landscapes
from papers.horoi.landscapes import Network, caption, column, compared, facts

from jumpretrain import embed
from jumpretrain.comparison.geometry import control_displacement, describe_geometry, silhouette
from jumpretrain.embedding.gram import gram
from jumpretrain.plots import canvas, sheets
from jumpretrain.sampling.baselines import walk

SMALLEST_SLOPE = 0.05  # share of outward steps, from a jump of 0 to one of 1 filter norm
GROUPS = ("good", "few", "memorise")
NULL = "walk"
SHOWN = landscapes.SHOWN | {NULL: "random walk for good"}
ORDERED = (
    ("H3", "overshoot", "few", "good", "runs go further out around bad optima than good ones"),
    ("H3", "overshoot", "memorise", "good",
     "runs go further out around memorising optima than good ones"),
    ("H3", "outward", "few", "good", "more steps lead outward around bad optima than good ones"),
    ("H3", "outward", "memorise", "good",
     "more steps lead outward around memorising optima than good ones"),
    ("H3", "final_distance", "few", "good", "runs end closer to good optima than bad ones"),
    ("H3", "final_distance", "memorise", "good",
     "runs end closer to good optima than memorising ones"),
    ("H4", "potential_silhouette", "good", "few",
     "directions keep an arm of their own around good optima more than bad ones"),
    ("H4", "potential_silhouette", "good", "memorise",
     "directions keep an arm of their own around good optima more than memorising ones"),
    ("H4", "potential_silhouette", "good", NULL,
     "directions keep an arm of their own around good optima more than in random walks"),
    ("H5", "turning", "few", "good", "runs turn more around bad optima than good ones"),
    ("H5", "turning", "memorise", "good",
     "runs turn more around memorising optima than good ones"),
    ("H6", "sideways", "memorise", "good",
     "runs move sideways more around memorising optima than good ones"),
)  # fmt: skip


def make(asked: Flags) -> Made:
    nets = landscapes.networks(asked, GROUPS)
    good = [(net,) for net in nets if net.group == "good"]
    cases = [(net,) for net in (*nets, *each(walked, good, asked, "random walks"))]
    table = pd.DataFrame(each(measured, cases, asked, "embedding"))
    shown = [case for case in cases if case[0].seed == 0]
    sheet = dict(each(showcase, shown, asked, "drawing"))
    claims = judged(table)
    still: dict[str, list[float]] = {group: [] for group in GROUPS}
    for net in nets:
        still[net.group].append(control_displacement(net.trajectories))
    found = {"claims": claims, "measures": table, "displacement_without_jump": still}
    return drawn(asked, sheet, table, still, claims), facts(asked, GROUPS, **found)


def walked(net: Network) -> Network:
    walks = walk(net.task, net.trajectories.jumps(), net.seed, QUIET)
    return replace(net, group=NULL, trajectories=walks)


def measured(net: Network) -> dict[str, Any]:
    jumps = net.trajectories.jumps()
    inner = gram(jumps)
    placed = embed(jumps, gram=inner)
    arms = silhouette(placed.distances, placed.labels["direction"])
    values = describe_geometry(jumps, inner) | {"potential_silhouette": arms}
    accuracy = net.trajectories.optimum_metrics["test_accuracy"]
    return {"group": net.group, "seed": net.seed, "test_accuracy": accuracy, **values}


def showcase(net: Network) -> tuple[str, sheets.Showcase]:
    jumps = net.trajectories.jumps()
    inner = gram(jumps)
    paper, joined = (embed(jumps, connect=connect, gram=inner) for connect in (None, "mst"))
    return SHOWN[net.group], sheets.Showcase(paper, joined, jumps.values("test_loss"))


def judged(table: pd.DataFrame) -> Claims:
    claims = [
        compared(table, name, claim, measure, larger, smaller)
        for name, measure, larger, smaller, claim in ORDERED
    ]
    words = "around memorising optima, larger jumps move outward less"
    how = "the slope of the share of outward steps over the jump, memorise"
    slopes = column(table, "memorise", "outward_by_step_size")
    return [*claims, within("horoi-H6", words, how, slopes, SMALLEST_SLOPE, -1)]


def drawn(
    asked: Flags,
    sheet: dict[str, sheets.Showcase],
    table: pd.DataFrame,
    still: dict[str, list[float]],
    claims: Claims,
) -> Figure:
    figure = sheets.showcases(sheet, "test loss (nats)")
    legend = figure.legends[0]
    legend.set_title(finding(table, claims) + "\n", prop={"size": 15})
    legend.set_alignment("left")
    moved = ", ".join(f"{group} {100 * np.mean(value):.2g} %" for group, value in still.items())
    canvas.note(
        figure,
        f"Without a jump, retraining moves the weights by (of their length, mean): {moved}. "
        f"{caption(asked, GROUPS)}. Panels: seed 0; numbers in the title and the JSON: mean over "
        f"{table['seed'].nunique()} networks a group. PHATE knn 5, cosine about the mean, "
        "without the optimum, as in the released script; left: connect none, others: spanning "
        "tree; axes in arbitrary units; colours fade with the epoch.",
    )
    return figure


def finding(table: pd.DataFrame, claims: Claims) -> str:
    means = table.assign(back=1 - table["final_distance"]).groupby("group").mean()

    def listed(measure: str, form: str, groups: tuple[str, ...] = GROUPS) -> str:
        return ", ".join(f"{SHOWN[group]} {means.loc[group, measure]:{form}}" for group in groups)

    arms = next(claim for claim in claims if claim["claim"].endswith("than in random walks"))
    return (
        f"Of the way back to the optimum, retraining covers {listed('back', '.1%')}"
        f"\nSteps that lead outward: {listed('outward', '.0%')}; {tally(claims)}\n"
        f"Arms by direction, silhouette (good above random walks: {arms['verdict']}): "
        f"{listed('potential_silhouette', '.2f', (*GROUPS, NULL))}"
    )
