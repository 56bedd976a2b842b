"""Figure 1 of arXiv:2102.00485: the same jump-and-retrain samples embedded by several methods.

One network that generalises and one that memorises, by PHATE (the paper's settings, and with the
pieces of its graph joined), PCA, MDS, t-SNE and, where umap-learn is installed, UMAP. The table
underneath says what each keeps of the trajectories, over the networks of each group (H10).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.horoi.landscapes import Network, caption, each, facts, networks

from jumpretrain import Embedding, embed, plots
from jumpretrain.embedding.gram import gram
from jumpretrain.plots import canvas

SMALLEST = 0.05  # of each measure, which all have 1 as their best
GROUPS = ("good", "memorise")
METHODS: dict[str, dict[str, Any]] = {
    "PHATE, paper": {"method": "phate", "connect": None},
    "PHATE, joined": {"method": "phate", "connect": "mst"},
    "PCA": {"method": "pca"},
    "MDS": {"method": "mds"},
    "t-SNE": {"method": "tsne"},
    "UMAP": {"method": "umap"},
}
MEASURES = {
    "continuity": "continuity",
    "trustworthiness": "trustworthiness",
    "rank_correlation_weights": "rank corr.,\nweight space",
    "rank_correlation_along": "rank corr.,\nalong the run",
}
COMPARED = (
    ("t-SNE", "continuity", "keeps trajectories that t-SNE shatters"),
    ("UMAP", "continuity", "keeps trajectories that UMAP shatters"),
    ("PCA", "continuity", "keeps trajectories that PCA hides"),
    ("t-SNE", "rank_correlation_weights", "keeps more of the whole than t-SNE"),
    ("UMAP", "rank_correlation_weights", "keeps more of the whole than UMAP"),
)
FORMS = {"PHATE, paper": "PHATE with the paper's settings", "PHATE, joined": "PHATE joined"}


def make(asked: Flags) -> Made:
    methods = [name for name in METHODS if name != "UMAP" or find_spec("umap")]
    found = networks(asked, GROUPS)
    jobs = [(net, name) for group in GROUPS for net in found[group] for name in methods]
    rows, made = zip(*each(kept, jobs, asked, "embedding"), strict=True)
    table = pd.DataFrame(rows)
    shown = {(net.group, name): m for (net, name), m in zip(jobs, made, strict=True) if m}
    claims = judged(table)
    return drawn(asked, shown, methods, table, claims), (
        facts(asked, GROUPS)
        | {"methods": {name: METHODS[name] for name in methods}, "claims": claims}
        | {"fidelity": table.to_dict("records"), "umap": "UMAP" in methods}
    )


def kept(network: Network, name: str) -> tuple[dict[str, Any], Embedding | None]:
    """Embed one network by one method and measure what is kept.

    Returns:
        A row of the table, and the embedding where it is drawn.
    """
    jumps = network.trajectories.jumps()
    inner = gram(jumps)
    made = embed(jumps, **METHODS[name], gram=inner)
    row = {"group": network.group, "seed": network.seed, "method": name}
    row |= {"pieces": made.components, **made.fidelity(jumps, inner)}
    return row, made if network.seed == 0 else None


def judged(table: pd.DataFrame) -> list[dict[str, Any]]:
    claims = []
    for form, words in FORMS.items():
        for other, measure, claim in COMPARED:
            wide = table.pivot(index=["group", "seed"], columns="method", values=measure)
            if other in wide:
                how = f"{measure} of {form} less that of {other}"
                gap = wide[form] - wide[other]
                claims.append(within("horoi-H10", f"{words} {claim}", how, gap, SMALLEST))
    return claims


def drawn(
    asked: Flags,
    shown: dict[tuple[str, str], Embedding],
    methods: list[str],
    table: pd.DataFrame,
    claims: list[dict[str, Any]],
) -> Figure:
    figure = canvas.new_figure(2.9 * len(methods), 11.2)
    above, below = figure.subfigures(2, 1, height_ratios=(2, 1.05))
    panels = above.subplots(2, len(methods))
    for row, group in zip(panels, GROUPS, strict=True):
        for ax, name in zip(row, methods, strict=True):
            _panel(ax, shown[group, name], f"{group}: {name}", table)
    canvas.share_legend(above)
    for ax, group in zip(below.subplots(1, 2, sharey=True), GROUPS, strict=True):
        _table(ax, table[table["group"] == group], methods, group)
    figure.suptitle(_finding(table, claims), fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        f"{caption(asked, GROUPS)}. Panels: seed 0, colours fade with the epoch; axes in "
        "arbitrary units, PCA's in weights, to one scale a panel. Table: mean and range over "
        f"{table['seed'].nunique()} networks; continuity: consecutive snapshots among each "
        "other's 5 nearest. PHATE knn 5, cosine about the mean, smacof; paper: connect none; "
        "joined: spanning tree; t-SNE perplexity 30; one seed of each layout (0)"
        + ("." if "UMAP" in methods else "; UMAP left out, as umap-learn is not installed."),
    )
    return figure


def _panel(ax: Axes, embedding: Embedding, name: str, table: pd.DataFrame) -> None:
    plots.trajectories(embedding, ax=ax)
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    group, _, method = name.partition(": ")
    row = table[(table["group"] == group) & (table["method"] == method) & (table["seed"] == 0)]
    canvas.title(ax, f"{name}\ncontinuity {row['continuity'].iloc[0]:.2f}", 10)


def _table(ax: Axes, table: pd.DataFrame, methods: list[str], group: str) -> None:
    grouped = table.groupby("method")[list(MEASURES)]
    means, low, high = (getattr(grouped, how)().loc[methods] for how in ("mean", "min", "max"))
    plots.fidelity(means.rename(columns=MEASURES), ax)
    for text in ax.texts:
        text.set(y=text.get_position()[1] - 0.14)
    for row, column in [(r, c) for r in range(len(methods)) for c in range(len(MEASURES))]:
        colour = "black" if means.iat[row, column] > 0.55 else "white"
        span = f"{low.iat[row, column]:.2f} to {high.iat[row, column]:.2f}"
        ax.text(column, row + 0.22, span, ha="center", va="center", color=colour, fontsize=8)
    best = means["continuity"].idxmax()
    canvas.title(ax, f"{group}: continuity is best with {best} ({means['continuity'].max():.2f})")


def _finding(table: pd.DataFrame, claims: list[dict[str, Any]]) -> str:
    means = table.groupby("method")["continuity"].mean().sort_values(ascending=False)
    numbers = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
    return (
        f"Trajectories hold together best in {means.index[0]}; consecutive snapshots that stay "
        f"neighbours: {numbers}\n{tally(claims)}"
    )
