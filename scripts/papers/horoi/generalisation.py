"""Figure 3B of arXiv:2102.00485 in small: does topology tell how well a network generalises?

Left, the paper's claim: total persistence as the released script computes it, against the test
loss at the optimum. Middle, its control: the same numbers against the squared range of the loss.
Right, what is left: finite persistence of the joined graph, with the range held fixed and on ranks
of the loss, which have none.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from evidence.figure import Flags, Made
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray
from papers.horoi.conditions import RETRAINING, WEIGHT_DECAYS, Case, cases

from jumpretrain.comparison.hypothesis_tests import (
    Correlation,
    holm,
    partial_spearman,
    spearman,
    verdict,
)

SMALLEST_EFFECT = 0.2
COLOURS = dict(zip(WEIGHT_DECAYS, ("#D55E00", "#56B4E9", "#000000"), strict=True))
SHAPES = {1257: "o", 200: "^"}


def make(asked: Flags) -> Made:
    networks = cases(asked)
    values = {
        name: np.array([network.statistics[name] for network in networks])
        for name in (
            "released_h0_total_persistence_2",
            "loss_range_squared",
            "sublevel_raw_h0_total_persistence_2",
            "sublevel_rank_h0_total_persistence_2",
        )
    }
    released, squared, finite, ranked = values.values()
    target = np.array([network.test_loss for network in networks])
    control = np.log(squared)
    blocks = np.array([f"{n.data_size} {n.batch_size} {n.seed}" for n in networks])
    decay = np.array([network.weight_decay for network in networks])
    tests = {
        "released total persistence rises with the test loss": spearman(released, target),
        "released total persistence rises with the test loss, range^2 held fixed":
            partial_spearman(released, target, control),
        "finite persistence rises with the test loss": spearman(finite, target),
        "finite persistence rises with the test loss, range^2 held fixed":
            partial_spearman(finite, target, control),
        "rank persistence rises with the test loss, range^2 held fixed":
            partial_spearman(ranked, target, control),
        "total persistence falls with weight decay, within data size, batch size and seed":
            spearman(within(released, blocks), -within(decay, blocks)),
    }  # fmt: skip
    claims = judge(tests, len(networks))
    figure = draw(asked, networks, values, claims)
    rows = [
        {
            "weight_decay": network.weight_decay,
            "data_size": network.data_size,
            "batch_size": network.batch_size,
            "seed": network.seed,
            "test_loss": network.test_loss,
            **{name: float(value[place]) for name, value in values.items()},
        }
        for place, network in enumerate(networks)
    ]
    numbers = {"data": "digits", "retraining": asdict(RETRAINING), "claims": claims}
    return figure, {**numbers, "networks": rows}


def draw(
    asked: Flags,
    networks: list[Case],
    values: dict[str, NDArray[np.float64]],
    claims: list[dict[str, object]],
) -> Figure:
    released, squared, finite, _ = values.values()
    target = np.array([network.test_loss for network in networks])
    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    nats = "test loss at the optimum (nats)"
    persistence = "released total persistence (nats²)"
    scatter(left, networks, target, released, nats, persistence)
    left.set_title(f"the paper's claim:\nρ = {words(claims[0])}", fontsize=10)
    scatter(
        middle, networks, squared, released, "(max − min of the test loss)² (nats²)", persistence
    )
    line = np.array([squared.min(), squared.max()])
    middle.plot(line, line, color="black", lw=0.8)
    middle.set_title(
        f"its control: it is the squared range;\nthat held fixed, ρ = {words(claims[1])}",
        fontsize=10,
    )
    scatter(right, networks, target, finite, nats, "finite persistence, joined graph (nats²)")
    right.set_title(
        f"finite bars, range² held fixed: ρ = {words(claims[3])};\n"
        f"on ranks of the loss: {words(claims[4])}",
        fontsize=10,
    )
    legend(middle)
    figure.suptitle(headline(claims))
    figure.supxlabel(
        f"n = {len(networks)} digits networks (MLP 64-64-10, "
        f"{len({n.seed for n in networks})} seeds); ρ: Spearman, 95 % interval; 4 directions x "
        f"4 step sizes x {10 if asked.quick else 40} epochs, one common recipe; PHATE, cosine, "
        "knn 5, joined; k = 20",
        fontsize=8,
    )
    return figure


def within(values: NDArray[np.float64], blocks: NDArray[np.str_]) -> NDArray[np.float64]:
    """Rank the values inside each block."""
    ranks = np.zeros(len(values))
    for block in np.unique(blocks):
        inside = blocks == block
        ranks[inside] = np.argsort(np.argsort(values[inside]))
    return ranks


def judge(tests: dict[str, Correlation], count: int) -> list[dict[str, object]]:
    adjusted = holm(np.array([test.p for test in tests.values()]))
    return [
        {
            "id": "horoi-H8" if "decay" in claim else "horoi-H7",
            "claim": claim,
            "statistic": "Spearman's rho over networks; the test loss filters",
            "effect": known(test.rho),
            "interval": [known(test.low), known(test.high)],
            "n": count,
            "smallest_effect": SMALLEST_EFFECT,
            "expected": 1,
            "p": known(test.p),
            "p_holm": known(float(p)),
            "verdict": verdict(test.low, test.high, SMALLEST_EFFECT),
        }
        for (claim, test), p in zip(tests.items(), adjusted, strict=True)
    ]


def known(value: float) -> float | None:
    """Give None where nothing can be estimated: the ranks of both are the same."""
    return value if np.isfinite(value) else None


def headline(claims: list[dict[str, object]]) -> str:
    first, held, rest = (str(claims[place]["verdict"]) for place in (0, 3, 4))
    return (
        f"Higher persistence in networks that generalise worse: as released {first}; as finite "
        f"bars, beyond the range, {held}; on ranks of the loss {rest}"
    )


def words(claim: dict[str, object]) -> str:
    if claim["effect"] is None:
        return "none to estimate (same ranks)"
    low, high = claim["interval"]  # type: ignore[misc]
    return f"{claim['effect']:+.2f} [{low:+.2f}, {high:+.2f}]"


def scatter(
    ax: Axes,
    networks: list[Case],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    across: str,
    up: str,
) -> None:
    for place, network in enumerate(networks):
        colour, shape = COLOURS[network.weight_decay], SHAPES[network.data_size]
        ax.plot(x[place], y[place], shape, color=colour, ms=6, alpha=0.8, mec="white", mew=0.4)
    ax.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def legend(ax: Axes) -> None:
    for decay, colour in COLOURS.items():
        ax.plot([], [], "s", color=colour, label=f"weight decay {decay:g}")
    for size, shape in SHAPES.items():
        ax.plot([], [], shape, color="#666666", label=f"{size} examples")
    ax.legend(fontsize=8, frameon=False, loc="lower right")
