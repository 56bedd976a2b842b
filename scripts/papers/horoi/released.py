"""The total persistence of the script published with arXiv:2102.00485 against the loss's range.

Left, the released rule's total persistence against the squared range of the test loss, a dot a
network (H11: whether it follows it; a log-log line does not tell whether it is it, so the title
has ratios too, since a review). Middle, the finite bars of the joined 20-nearest-neighbour graph
against it. Right, what those bars say about test accuracy once the range is held fixed.
"""

from typing import Any

import numpy as np
import pandas as pd
from evidence.cells import over
from evidence.figure import Flags, Made
from evidence.judging import correlated, entry
from evidence.panels import head
from evidence.rows import Rows, effect
from numpy.typing import NDArray
from papers.horoi import landscapes
from papers.horoi.landscapes import GROUPS, NEIGHBOURS, Network
from scipy import sparse

from jumpretrain import plots
from jumpretrain.comparison.hypothesis_tests import partial_spearman, spearman
from jumpretrain.embedding import neighbours
from jumpretrain.plots import canvas

MARKERS = "osD^"
LEAST_R2 = 0.95
LEAST_RHO = 0.3
RESAMPLES = 9999
MORE = "networks that generalise worse have more finite persistence"


def make(asked: Flags) -> Made:
    jobs = [(net,) for net in landscapes.networks(asked)]
    table = pd.DataFrame(over(asked, measured, jobs, "embedding and homology"))
    claims, squared = judged(table), table["range_squared"]
    ratios = (table["released"] / squared).groupby(table["group"]).median().loc[list(GROUPS)]
    slope = float(np.polyfit(np.log(squared), np.log(table["released"]), 1)[0])
    figure = canvas.new_figure(15.5, 6.2)
    left, middle, right = figure.subplots(1, 3)
    plots.range_law(squared, table["released"], table["group"], left)
    plots.range_law(squared, table["finite"], table["group"], middle)
    middle.set(ylabel="finite total persistence, p = 2 (nats²)", xlim=left.get_xlim())
    for axis in (left.xaxis, left.yaxis, middle.xaxis, middle.yaxis):
        canvas.plain(axis)
    left.legend(loc="upper left", frameon=False)
    shares = table.assign(share=table["finite"] / squared).groupby("group")
    for colour, marker, (_, rows) in zip(canvas.colours(4), MARKERS, shares, strict=True):
        right.scatter(
            "test_accuracy", "share", color=[colour], marker=marker, alpha=0.8, data=rows
        )
    right.set(yscale="log", xlabel="test accuracy of the optimum (fraction)")
    right.set_ylabel("finite total persistence over squared range")
    for ax, text in zip((left, middle, right), titles(table, ratios, claims), strict=True):
        canvas.title(ax, text)
    note = (
        f"{len(table)} networks: {', '.join(f'{name}: {GROUPS[name]}' for name in GROUPS)}. "
        f"{landscapes.caption(asked)}. PHATE knn 5, cosine about the mean, joined by the spanning "
        f"tree; {NEIGHBOURS} edges a point. Conditions drive accuracy, range and persistence: all "
        "correlations are across conditions."
    )
    head(figure, finding(slope, ratios, claims), claims, note)
    found = {"claims": claims, "slope_log_log": slope, "neighbours": NEIGHBOURS}
    found |= {"median_ratio_to_squared_range": ratios.to_dict(), "measures": table}
    return figure, landscapes.facts(asked, **found)


def measured(net: Network) -> dict[str, Any]:
    row, (placed, *_) = landscapes.topology(net, maxdim=0)
    links, size = neighbours.farthest(placed.potential, NEIGHBOURS), len(placed.potential)
    graph = sparse.csr_array((np.ones(len(links)), tuple(links.T)), shape=(size, size))
    pieces, _ = sparse.csgraph.connected_components(graph, directed=False)
    return row | {"released_pieces": int(pieces)}


def judged(table: pd.DataFrame) -> Rows:
    """Judge H11, and whether the finite bars of the joined graph go beyond the range."""
    logs = np.log(table[["range_squared", "released"]].to_numpy())
    drawn = np.random.default_rng(0).integers(len(logs), size=(RESAMPLES, len(logs)))
    low, high = np.quantile([fitted(logs[rows]) for rows in drawn], (0.025, 0.975))
    law = "the released rule's total persistence follows the squared range of the loss"
    how = "R squared of the log-log fit; interval: bootstrap of networks, percentiles"
    ends = fitted(logs), float(low), float(high)
    claims = [entry("horoi-H11", law, how, *ends, len(table), LEAST_R2)]
    x, y, held = table[["finite", "test_accuracy", "range_squared"]].to_numpy().T
    words = "Spearman's correlation of finite total persistence and test accuracy"
    fixed = f"partial {words}, squared range of the loss held fixed"
    found = spearman(x, y), partial_spearman(x, y, held)
    rows = zip((MORE, f"{MORE} than the range explains"), (words, fixed), found, strict=True)
    return [*claims, *(correlated("horoi-H7", *row, len(table), LEAST_RHO, -1) for row in rows)]


def fitted(logs: NDArray[np.float64]) -> float:
    """Give the share of variance R^2 that a straight line explains."""
    centred = logs - logs.mean(axis=0)
    sums = centred.T @ centred
    scale = sums[0, 0] * sums[1, 1]
    return float(sums[0, 1] ** 2 / scale) if scale > 0 else 0.0


def titles(table: pd.DataFrame, ratios: pd.Series, claims: Rows) -> tuple[str, ...]:
    few, many = table["released_pieces"].min(), table["released_pieces"].max()
    graph = "one piece" if many == 1 else f"{few} to {many} pieces"
    medians = ", ".join(f"{group} {ratio:.2f}" for group, ratio in ratios.items())
    plain, held = (f"{effect(claim, '.2f')}, {claim['verdict']}" for claim in claims[1:])
    return (
        f"released rule (graph in {graph}): log-log R² {claims[0]['effect']:.3f} with the squared "
        f"range; median ratio {medians}",
        f"joined 20-NN, bars that end: rank correlation with test accuracy {plain}",
        f"with the squared range held fixed: {held}",
    )


def finding(slope: float, ratios: pd.Series, claims: Rows) -> str:
    law, plain, held = (claim["verdict"] for claim in claims)
    least, *_, next_, most = ratios.sort_values()
    return (
        f"That the released rule's total persistence follows the squared range of the loss is "
        f"{law}, at a log-log slope of {slope:.2f}\n"
        f"Its ratio to the squared range (median) is ×{most:.2f} for {ratios.idxmax()}, "
        f"×{least:.2f} to ×{next_:.2f} for the other groups\n"
        f"That bars which end tell poor generalisation is {plain}, beyond the range {held}"
    )
