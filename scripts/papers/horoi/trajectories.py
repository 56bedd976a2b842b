"""Figure 2 of arXiv:2102.00485: trajectories around good, bad and memorising optima, and a null.

One network of each group by PHATE: the paper's settings, joined, and joined with the log loss as
colour; the last row replaces retraining of the good one by a random walk with its step lengths.
H3 to H6 are judged in weight space and on potential distances, over the networks of each group.
`bad` is trained on true labels, but on 150 examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import between, tally, within
from matplotlib.figure import Figure
from papers.horoi.landscapes import Network, caption, each, facts, networks

from jumpretrain import Trajectories, embed
from jumpretrain.comparison.geometry import control_displacement, describe_geometry, silhouette
from jumpretrain.embedding.gram import gram
from jumpretrain.execution.execution import Execution
from jumpretrain.plots import canvas, sheets
from jumpretrain.sampling.baselines import walk

SMALLEST_SLOPE = 0.05  # share of outward steps, from a jump of 0 to one of 1 filter norm
GROUPS = ("good", "few", "memorise")
NULL = "walk"
SHOWN = {"few": "bad (150 examples)", NULL: "random walk for good"}
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
    found = networks(asked, GROUPS)
    nets = [net for group in GROUPS for net in found[group]]
    nulls = each(nulled, [(net,) for net in found["good"]], asked, "random walks")
    cases = [(net.group, net.seed, net.trajectories) for net in nets]
    cases += [(NULL, seed, null) for seed, null in enumerate(nulls)]
    table = pd.DataFrame(each(measured, cases, asked, "embedding"))
    shown = [case for case in cases if case[1] == 0]
    sheet = dict(each(showcase, [(g, t) for g, _, t in shown], asked, "drawing"))
    claims = judged(table)
    still = {group: [control_displacement(net.trajectories) for net in found[group]]
             for group in GROUPS}  # fmt: skip
    return drawn(asked, sheet, table, still, claims), (
        facts(asked, GROUPS)
        | {"claims": claims, "measures": table.to_dict("records")}
        | {"displacement_without_jump": still}
    )


def nulled(network: Network) -> Trajectories:
    quiet = Execution(progress=False)
    return walk(network.task, network.trajectories.jumps(), network.seed, quiet)


def measured(group: str, seed: int, trajectories: Trajectories) -> dict[str, Any]:
    jumps = trajectories.jumps()
    inner = gram(jumps)
    placed = embed(jumps, gram=inner)
    arms = silhouette(placed.distances, placed.labels["direction"])
    values = describe_geometry(jumps, inner) | {"potential_silhouette": arms}
    accuracy = trajectories.optimum_metrics["test_accuracy"]
    return {"group": group, "seed": seed, "test_accuracy": accuracy, **values}


def showcase(group: str, trajectories: Trajectories) -> tuple[str, sheets.Showcase]:
    jumps = trajectories.jumps()
    inner = gram(jumps)
    paper, joined = (embed(jumps, connect=connect, gram=inner) for connect in (None, "mst"))
    return group, sheets.Showcase(paper, joined, jumps.values("test_loss"))


def judged(table: pd.DataFrame) -> list[dict[str, Any]]:
    def values(group: str, measure: str) -> Any:
        return table.loc[table["group"] == group, measure].to_numpy()

    claims = [
        between(
            f"horoi-{name}",
            claim,
            f"{measure}, {larger} against {smaller}",
            values(larger, measure),
            values(smaller, measure),
        )
        for name, measure, larger, smaller, claim in ORDERED
    ]
    slope = within(
        "horoi-H6",
        "around memorising optima, larger jumps move outward less",
        "the slope of the share of outward steps over the jump, memorise",
        values("memorise", "outward_by_step_size"),
        SMALLEST_SLOPE,
        -1,
    )
    return [*claims, slope]


def drawn(
    asked: Flags,
    sheet: dict[str, sheets.Showcase],
    table: pd.DataFrame,
    still: dict[str, list[float]],
    claims: list[dict[str, Any]],
) -> Figure:
    names = {SHOWN.get(group, group): sheet[group] for group in (*GROUPS, NULL)}
    figure = sheets.showcases(names, "test loss (nats)")
    legend = figure.legends[0]
    legend.set_title(_finding(table, claims) + "\n", prop={"size": 15})
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


def _mean(table: pd.DataFrame, group: str, measure: str) -> float:
    return float(table.loc[table["group"] == group, measure].mean())


def _finding(table: pd.DataFrame, claims: list[dict[str, Any]]) -> str:
    def list_of(table: pd.DataFrame, measure: str, groups: tuple[str, ...], form: str) -> str:
        return ", ".join(
            f"{SHOWN.get(group, group)} {_mean(table, group, measure):{form}}" for group in groups
        )

    arms = next(claim for claim in claims if claim["claim"].endswith("than in random walks"))
    back = table.assign(back=1 - table["final_distance"])
    return (
        f"Of the way back to the optimum, retraining covers {list_of(back, 'back', GROUPS, '.1%')}"
        f"\nSteps that lead outward: {list_of(table, 'outward', GROUPS, '.0%')}; {tally(claims)}\n"
        f"Arms by direction, silhouette (good above random walks: {arms['verdict']}): "
        f"{list_of(table, 'potential_silhouette', (*GROUPS, NULL), '.2f')}"
    )
