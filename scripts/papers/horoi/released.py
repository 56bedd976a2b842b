"""The total persistence of the script published with arXiv:2102.00485 against the loss's range.

Left, the released rule's total persistence against the squared range of the test loss, a dot a
network (H11: whether it follows it; a log-log line does not tell whether it is it, so the title
has ratios too, since a review). Middle, the finite bars of the joined 20-nearest-neighbour graph
against it. Right, what those bars say about test accuracy once the range is held fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import entry, tally
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.horoi.landscapes import GROUPS as NAMES
from papers.horoi.landscapes import caption, each, facts, networks
from scipy import sparse

from jumpretrain import Trajectories, embed, plots, released, sublevel
from jumpretrain.comparison.hypothesis_tests import partial_spearman, spearman
from jumpretrain.embedding import neighbours
from jumpretrain.plots import canvas

GROUPS = ("good", "few", "noise .5", "memorise")
MARKERS = "osD^"
NEIGHBOURS = 20
LEAST_R2 = 0.95
LEAST_RHO = 0.3
RESAMPLES = 9999


def make(asked: Flags) -> Made:
    found = networks(asked, GROUPS)
    jobs = [(net.group, net.seed, net.trajectories) for group in GROUPS for net in found[group]]
    table = pd.DataFrame(each(measured, jobs, asked, "embedding and homology"))
    claims = judged(table)
    numbers = {"claims": claims, "slope_log_log": _slope(table), "neighbours": NEIGHBOURS}
    numbers["median_ratio_to_squared_range"] = _ratios(table)
    measures = {"measures": table.to_dict("records")}
    return drawn(asked, table, claims), facts(asked, GROUPS) | numbers | measures


def measured(group: str, seed: int, trajectories: Trajectories) -> dict[str, Any]:
    jumps = trajectories.jumps()
    placed = embed(jumps)
    values = jumps.values("test_loss")
    published = released(jumps, placed, NEIGHBOURS)
    finite = sublevel(values, placed.graph(NEIGHBOURS), maxdim=0)
    return {
        "group": group,
        "seed": seed,
        "test_accuracy": trajectories.optimum_metrics["test_accuracy"],
        "range_squared": float(np.ptp(values) ** 2),
        "released": published.total_persistence(0, 2),
        "released_pieces": _pieces(placed.potential),
        "finite": finite.total_persistence(0, 2),
        "finite_bars": len(finite.finite(0)),
        "pieces": placed.components,
    }


def _pieces(potential: NDArray[np.float64]) -> int:
    links = neighbours.farthest(potential, NEIGHBOURS)
    ones, size = np.ones(len(links)), len(potential)
    graph = sparse.csr_array((ones, tuple(links.T)), shape=(size, size))
    return int(sparse.csgraph.connected_components(graph, directed=False)[0])


def judged(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge H11, and whether the finite bars of the joined graph go beyond the range.

    Returns:
        The claims.
    """
    logs = np.log(table[["range_squared", "released"]].to_numpy())
    drawn = np.random.default_rng(0).integers(len(logs), size=(RESAMPLES, len(logs)))
    low, high = np.quantile([_r2(logs[rows]) for rows in drawn], (0.025, 0.975))
    law = entry(
        "horoi-H11",
        "the released rule's total persistence follows the squared range of the loss",
        "R squared of the log-log fit; interval: bootstrap of networks, percentiles",
        _r2(logs),
        float(low),
        float(high),
        len(table),
        LEAST_R2,
    )
    x, y = table["finite"].to_numpy(), table["test_accuracy"].to_numpy()
    plain = spearman(x, y)
    beyond = partial_spearman(x, y, table["range_squared"].to_numpy())
    size = len(table)
    return [
        law,
        entry(
            "horoi-H7",
            "networks that generalise worse have more finite persistence",
            "Spearman's correlation of finite total persistence and test accuracy",
            plain.rho, plain.low, plain.high, size, LEAST_RHO, -1,
        ) | {"p": plain.p},
        entry(
            "horoi-H7",
            "networks that generalise worse have more finite persistence than the range explains",
            "partial Spearman's correlation of finite total persistence and test accuracy, "
            "squared range of the loss held fixed",
            beyond.rho, beyond.low, beyond.high, size, LEAST_RHO, -1,
        ) | {"p": beyond.p},
    ]  # fmt: skip


def _r2(logs: NDArray[np.float64]) -> float:
    centred = logs - logs.mean(axis=0)
    sums = centred.T @ centred
    scale = sums[0, 0] * sums[1, 1]
    return float(sums[0, 1] ** 2 / scale) if scale > 0 else 0.0


def _slope(table: pd.DataFrame) -> float:
    x, y = np.log(table["range_squared"]), np.log(table["released"])
    return float(np.polyfit(x, y, 1)[0])


def _ratios(table: pd.DataFrame) -> dict[str, float]:
    """Give the median over networks of released persistence over squared range, by group."""
    ratios = (table["released"] / table["range_squared"]).groupby(table["group"]).median()
    return {group: float(ratios[group]) for group in GROUPS}


def drawn(asked: Flags, table: pd.DataFrame, claims: list[dict[str, Any]]) -> Figure:
    law, plain, beyond = claims
    figure = canvas.new_figure(15.5, 6.2)
    left, middle, right = figure.subplots(1, 3)
    plots.range_law(table["range_squared"], table["released"], table["group"], left)
    plots.range_law(table["range_squared"], table["finite"], table["group"], middle)
    _beyond(right, table)
    few, many = table["released_pieces"].min(), table["released_pieces"].max()
    pieces = "one piece" if many == 1 else f"{few} to {many} pieces"
    words = ", ".join(f"{group} {ratio:.2f}" for group, ratio in _ratios(table).items())
    canvas.title(left, f"released rule (graph in {pieces}): log-log R² {law['effect']:.3f} with "
                 f"the squared range; median ratio {words}")  # fmt: skip
    canvas.title(middle, "joined 20-NN, bars that end: rank correlation with test accuracy "
                 f"{_words(plain)}")  # fmt: skip
    canvas.title(right, f"with the squared range held fixed: {_words(beyond)}")
    middle.set_ylabel("finite total persistence, p = 2 (nats²)")
    middle.set_xlim(left.get_xlim())
    for ax in (left, middle):
        canvas.plain(ax.xaxis)
        canvas.plain(ax.yaxis)
    left.legend(loc="upper left", frameon=False)
    figure.suptitle(_finding(table, claims), fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        f"{len(table)} networks: {', '.join(f'{name}: {NAMES[name]}' for name in GROUPS)}. "
        f"{caption(asked, GROUPS)}. PHATE knn 5, cosine about the mean, joined by the spanning "
        f"tree; {NEIGHBOURS} edges a point. Conditions drive accuracy, range and persistence: all "
        f"correlations are across conditions. {tally(claims)}.",
    )
    return figure


def _finding(table: pd.DataFrame, claims: list[dict[str, Any]]) -> str:
    law, plain, beyond = (claim["verdict"] for claim in claims)
    *others, (most, group) = sorted((ratio, group) for group, ratio in _ratios(table).items())
    return (
        f"That the released rule's total persistence follows the squared range of the loss is "
        f"{law}, at a log-log slope of {_slope(table):.2f}\n"
        f"Its ratio to the squared range (median) is ×{most:.2f} for {group}, ×{others[0][0]:.2f} "
        f"to ×{others[-1][0]:.2f} for the other groups\n"
        f"That bars which end tell poor generalisation is {plain}, beyond the range {beyond}"
    )


def _words(claim: dict[str, Any]) -> str:
    low, high = claim["interval"]
    if claim["effect"] is None:
        return "unknown"
    return f"{claim['effect']:.2f} ({low:.2f} to {high:.2f}), {claim['verdict']}"


def _beyond(ax: Axes, table: pd.DataFrame) -> None:
    levels = np.unique(table["group"])
    for colour, marker, group in zip(canvas.colours(len(levels)), MARKERS, levels, strict=False):
        rows = table[table["group"] == group]
        share = rows["finite"] / rows["range_squared"]
        ax.scatter(rows["test_accuracy"], share, color=[colour], marker=marker, alpha=0.8)
    ax.set_yscale("log")
    ax.set_xlabel("test accuracy of the optimum (fraction)")
    ax.set_ylabel("finite total persistence over squared range")
