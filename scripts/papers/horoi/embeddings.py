"""Figure 1 of arXiv:2102.00485: the same jump-and-retrain samples embedded by several methods.

One network that generalises and one that memorises, by PHATE (the paper's settings, and with the
pieces of its graph joined), PCA, MDS, t-SNE and, where umap-learn is installed, UMAP. The table
underneath says what each keeps of the trajectories, over the networks of each group (H10).
"""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import over
from evidence.figure import Flags, Made
from evidence.judging import within
from evidence.rows import Rows
from matplotlib.axes import Axes
from papers.horoi import landscapes
from papers.horoi.landscapes import Network

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
    methods = {name: how for name, how in METHODS.items() if name != "UMAP" or find_spec("umap")}
    jobs = [(net, name) for net in landscapes.networks(asked, GROUPS) for name in methods]
    made = over(asked, embedded, jobs, "embedding")
    table = pd.DataFrame([row for row, _ in made])
    figure = canvas.new_figure(2.9 * len(methods), 11.2)
    above, below = figure.subfigures(2, 1, height_ratios=(2, 1.05))
    shown = [(row, seen) for row, seen in made if seen]
    for ax, (row, seen) in zip(above.subplots(2, len(methods)).flat, shown, strict=True):
        plots.trajectories(seen, ax=ax)
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        words = f"{row['group']}: {row['method']}\ncontinuity {row['continuity']:.2f}"
        canvas.title(ax, words, 10)
    canvas.share_legend(above)
    for ax, group in zip(below.subplots(1, 2, sharey=True), GROUPS, strict=True):
        fidelity(ax, table[table["group"] == group], list(methods), group)
    note = (
        "Panels: seed 0, colours fade with the epoch; axes "
        "in arbitrary units, PCA's in weights, to one scale a panel. Table: mean and range over "
        f"{table['seed'].nunique()} networks; continuity: consecutive snapshots among each "
        "other's 5 nearest. PHATE knn 5, cosine about the mean, smacof; paper: connect none; "
        "joined: spanning tree; t-SNE perplexity 30; one seed of each layout (0)"
        + ("." if "UMAP" in methods else "; UMAP left out, as umap-learn is not installed.")
    )
    means = table.groupby("method")["continuity"].mean().sort_values(ascending=False)
    finding = (
        f"Trajectories hold together best in {means.index[0]}; consecutive snapshots that stay "
        f"neighbours: {', '.join(f'{name} {mean:.2f}' for name, mean in means.items())}"
    )
    found = {"methods": methods, "umap": "UMAP" in methods, "fidelity": table}
    return landscapes.made(asked, figure, finding, judged(table), note, GROUPS, **found)


def embedded(net: Network, name: str) -> tuple[dict[str, Any], Embedding | None]:
    """Measure what one method keeps of one network; seeds 0 are drawn."""
    jumps = net.trajectories.jumps()
    inner = gram(jumps)
    made = embed(jumps, **METHODS[name], gram=inner)
    row = {"group": net.group, "seed": net.seed, "method": name, "pieces": made.components}
    return row | made.fidelity(jumps, inner), made if net.seed == 0 else None


def judged(table: pd.DataFrame) -> Rows:
    claims = []
    for form, words in FORMS.items():
        for other, measure, claim in COMPARED:
            wide = table.pivot(index=["group", "seed"], columns="method", values=measure)
            if other in wide:
                how = f"{measure} of {form} less that of {other}"
                gap = wide[form] - wide[other]
                claims.append(within("horoi-H10", f"{words} {claim}", how, gap, SMALLEST))
    return claims


def fidelity(ax: Axes, table: pd.DataFrame, methods: list[str], group: str) -> None:
    grouped = table.groupby("method")[list(MEASURES)]
    means, low, high = (getattr(grouped, how)().loc[methods] for how in ("mean", "min", "max"))
    plots.fidelity(means.rename(columns=MEASURES), ax)
    for text in ax.texts:
        text.set(y=text.get_position()[1] - 0.14)
    for row, column in np.ndindex(means.shape):
        colour = "black" if means.iat[row, column] > 0.55 else "white"
        span = f"{low.iat[row, column]:.2f} to {high.iat[row, column]:.2f}"
        ax.text(column, row + 0.22, span, ha="center", va="center", color=colour, fontsize=8)
    best = means["continuity"].idxmax()
    canvas.title(ax, f"{group}: continuity is best with {best} ({means['continuity'].max():.2f})")
