"""Low-loss connectors of arXiv:1906.04724, figures 1 and 3, on real networks.

Independent pairs of trained networks are joined by the straight line, the hyperplane connector,
the refined one and a Bezier curve of equal gradient count; untrained networks by a hyperplane
connector of the same budget (the null). Loss along them, cosines between deviations from the
straight line, labels that change, angles between networks. H1 to H3 and H9 are judged.

The small form needs digits only; the other one Fashion-MNIST too, in the folder that the
environment variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import entry, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.fort.connections import FIRST_TWIN, INNER, Found, Setup, connected, dots, told
from papers.fort.networks import recipe
from scipy.stats import binomtest

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.plots import canvas

GRID = np.linspace(0, 1, 101)

LARGE = 0.1  # nats, the least barrier of a straight line
REMOVED = 0.5  # the least share of it that a connector removes
FINER, FLOOR = 1.0, 1e-3  # halvings of what is left by refinement; nats below which none counts
NULL = 2.0  # the least ratio of the null's largest loss to the connector's
SWITCH = 0.5  # the least share of pairs whose highest piece is the one where deviations turn
ALONG, ACROSS, APART = 0.5, 0.2, 0.3  # cosines within a half, across, and their difference
MORE = 0.02  # labels, beyond those in which the optima differ
SMALL_COSINE, SAME = 0.1, 0.1  # of independent optima; the least excess from the same start

FULL = (
    Setup("fashion", (), (1000, 500), recipe(40, 0.002), recipe(12, 0.001), 5, 5, 4),
    Setup("digits", (64, 64), (1257, 540), recipe(40, 0.05, 64, "sgd"), recipe(20, 0.001, 64),
          6, 5, 6),
)  # fmt: skip
QUICK = (
    Setup("digits", (32,), (200, 150), recipe(30, 0.1, 64, "sgd"), recipe(4, 0.005, 64), 3, 3, 1),
)
STYLES: dict[str, tuple[str, Any]] = {
    "straight": ("straight", "--"),
    "hyperplane": ("hyperplane", "-"),
    "refined": ("refined", "-."),
    "bezier": ("Bezier", ":"),
    "null": ("untrained", (0, (1, 3))),
}
COLOURS = dict(zip(STYLES, canvas.colours(len(STYLES)), strict=True))
Results = Mapping[Setup, Sequence[Found]]


def make(asked: Flags) -> Made:
    setups = QUICK if asked.quick else FULL
    jobs = [(asked, setup, number) for setup in setups for number in range(setup.pairs)]
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    found = iter(spread(connected, jobs, execution, "pairs of networks"))
    results = {setup: [next(found) for _ in range(setup.pairs)] for setup in setups}
    claims = [claim for setup, pairs in results.items() for claim in judged(setup, pairs)]
    return drawn(results, claims), {
        "setups": [asdict(setup) for setup in setups],
        "seeds": {setup.name: [0, 2 * setup.pairs - 1] for setup in setups},
        "inner": INNER,
        "claims": claims,
        "pairs": {setup.name: pairs for setup, pairs in results.items()},
    }


def judged(setup: Setup, pairs: Sequence[Found]) -> list[Found]:
    def curve(name: str, value: str) -> NDArray[np.float64]:
        return np.array([found["curves"][name][value] for found in pairs])

    def column(name: str) -> NDArray[np.float64]:
        return np.array([found[name] for found in pairs])

    linear, left = curve("hyperplane", "linear_barrier"), curve("hyperplane", "barrier")
    finer = np.maximum(curve("refined", "barrier"), FLOOR)
    said = (
        ("H1", "the straight line between independent optima has a barrier", "barrier, nats",
         linear, LARGE),
        ("H2", "the hyperplane connector removes half of the barrier or more",
         "share of the straight line's barrier that is removed", 1 - left / linear, REMOVED),
        ("H2", "refinement halves what is left or more",
         f"log2 of the ratio of barriers, at least {FLOOR} nats each",
         np.log2(np.maximum(left, FLOOR) / finer), FINER),
        ("H2", "the same budget between untrained networks leaves a largest loss at least "
         f"{NULL:g} times as high", "log2 of the ratio of largest losses between first and last "
         "node", np.log2(curve("null", "peak") / curve("hyperplane", "peak")), np.log2(NULL)),
        ("H3", "deviations agree within a half", "mean cosine", column("within"), ALONG),
        ("H3", f"deviations of different halves have a mean cosine below {ACROSS}",
         f"{ACROSS} minus the mean cosine", ACROSS - column("across"), 0),
        ("H3", "deviations agree within a half much more than across", "difference of mean "
         "cosines", column("within") - column("across"), APART),
        ("H3", "in the middle more labels have changed than the optima differ in",
         "largest share of labels changed against the first optimum, alpha .4 to .6, minus the "
         "share in which the optima differ", column("most_changed") - column("apart"), MORE),
        ("H9", f"independent optima have a cosine within {SMALL_COSINE} of 0",
         f"{SMALL_COSINE} minus the absolute cosine", SMALL_COSINE - np.abs(column(
             "cosine_optima")), 0),
        ("H9", "from the same start, networks go more nearly the same way than from two starts",
         "difference of cosines between the ways from start to optimum",
         column("cosine_same_start") - column("cosine_ways"), SAME),
    )  # fmt: skip
    claims = [
        within(f"wedges-{name}", f"{setup.name}: {claim}", how, values, smallest)
        for name, claim, how, values, smallest in said
    ]
    return [*claims, counted(setup, column("turn") == column("top"))]


def counted(setup: Setup, holds: NDArray[np.bool_]) -> Found:
    """Judge how often something holds, by Wilson's interval of the share of pairs."""
    share = binomtest(int(holds.sum()), len(holds))
    low, high = share.proportion_ci(method="wilson")
    effect, low = min(share.statistic, high), min(low, share.statistic)
    claim = f"{setup.name}: the loss is highest on the piece where deviations turn most"
    return entry("wedges-H2", claim, "share of pairs", effect, low, high, len(holds), SWITCH)


def drawn(results: Results, claims: list[Found]) -> Figure:
    figure = canvas.new_figure(5.6 * (len(results) + 1), 10)
    panels = figure.subplots(2, len(results) + 1)
    for column, (setup, pairs) in enumerate(results.items()):
        _losses(panels[0, column], setup, pairs)
        _cosines(panels[1, column], setup, pairs)
    _labels(panels[0, -1], *next(iter(results.items())))
    _angles(panels[1, -1], results)
    figure.suptitle(f"{finding(results, claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        ". ".join(map(described, results)) + f". {INNER} nodes between two optima; Bezier: one "
        "control point, as many gradients as the hyperplane nodes together; refined: pieces are "
        "halved where the loss rises above both ends by 2 % of the straight line's barrier, which "
        "takes more; untrained: hyperplane connector between the initialisations, same budget. "
        "Thin lines and dots: pairs, thick lines: medians.",
    )
    return figure


def described(setup: Setup) -> str:
    hidden = f" {setup.hidden}" if setup.hidden else ""
    return (
        f"{setup.name}{hidden}: {setup.sizes[0]} training examples, n = {setup.pairs} independent "
        f"pairs (seeds 0 to {2 * setup.pairs - 1}, second networks from the same start "
        f"{FIRST_TWIN} and up); networks: {told(setup.training)}; points: {told(setup.points)}"
    )


def finding(results: Results, claims: list[Found]) -> str:
    said = []
    for setup in results:
        some = [claim for claim in claims if claim["claim"].startswith(setup.name)]
        removed = next(c for c in some if "hyperplane connector removes" in c["claim"])
        along = next(c for c in some if "agree within a half" in c["claim"])
        across = next(c for c in some if "of different halves" in c["claim"])
        said.append(
            f"{setup.name}: a hyperplane connector removes {removed['effect']:.0%} of the barrier "
            f"(at least {REMOVED:.0%}: {removed['verdict']})\n"
            f"    cosine of deviations {along['effect']:.2f} within a half (at least {ALONG}: "
            f"{along['verdict']}), {ACROSS - across['effect']:.2f} across (below {ACROSS}: "
            f"{across['verdict']})"
        )
    return "\n".join(said)


def _line(ax: Axes, rows: Sequence[tuple[Any, Any]], key: str, **label: Any) -> None:
    colour, dash = COLOURS[key], STYLES[key][1]
    for alphas, values in rows:
        ax.plot(alphas, values, ls=dash, color=colour, lw=0.7, alpha=0.4)
    middle = np.median([np.interp(GRID, alphas, values) for alphas, values in rows], axis=0)
    ax.plot(GRID, middle, ls=dash, color=colour, lw=2.4, **label)


def _along(ax: Axes) -> None:
    ax.set_xlabel("alpha, share of the way between the networks (1)")
    ax.set_xlim(0, 1)


def _losses(ax: Axes, setup: Setup, pairs: Sequence[Found]) -> None:
    for key, (label, _) in STYLES.items():
        name, value = (
            ("hyperplane", "straight_train_loss") if key == "straight" else (key, "train_loss")
        )
        curves = [found["curves"][name] for found in pairs]
        _line(ax, [(curve["alphas"], curve[value]) for curve in curves], key, label=label)
    ax.set_yscale("log")
    canvas.plain(ax.yaxis)
    _along(ax)
    ax.set_ylabel("training loss (nats)")
    ax.legend(
        fontsize=8, frameon=False, ncols=5, columnspacing=1, handlelength=1.8,
        loc="upper center", bbox_to_anchor=(0.5, -0.14),
    )  # fmt: skip
    curves = [found["curves"] for found in pairs]
    straight = np.median([curve["hyperplane"]["linear_barrier"] for curve in curves])
    left = [np.median([curve[key]["barrier"] for curve in curves]) for key in list(STYLES)[1:4]]
    canvas.title(
        ax,
        f"{setup.name}: barrier {straight:.2g} nats straight, {left[0]:.2g} hyperplane, "
        f"{left[1]:.2g} refined, {left[2]:.2g} Bezier (medians)",
    )


def _cosines(ax: Axes, setup: Setup, pairs: Sequence[Found]) -> None:
    mean = np.mean([found["cosines"] for found in pairs], axis=0)
    drawn = ax.imshow(mean, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower")
    ax.figure.colorbar(drawn, ax=ax, label="cosine (1), mean over pairs", shrink=0.85)
    ax.set_xticks(range(0, INNER, 3), [str(k + 1) for k in range(0, INNER, 3)])
    ax.set_yticks(range(0, INNER, 3), [str(k + 1) for k in range(0, INNER, 3)])
    ax.set_xlabel("node, from the first optimum")
    ax.set_ylabel("node, from the first optimum")
    names = ("within", "across", "sideways_within", "sideways_across")
    along, across, *aside = (np.mean([found[name] for found in pairs]) for name in names)
    canvas.title(
        ax,
        f"{setup.name}: cosine of deviations {along:.2f} within a half, {across:.2f} across; "
        f"without the part towards larger norms {aside[0]:.2f} and {aside[1]:.2f}",
    )


def _labels(ax: Axes, setup: Setup, pairs: Sequence[Found]) -> None:
    for side, key in enumerate(("hyperplane", "straight")):
        rows = [
            (found["curves"]["hyperplane"]["alphas"], np.asarray(found["changed"])[:, side])
            for found in pairs
        ]
        _line(ax, rows, key, label=f"from the {('first', 'second')[side]} optimum")
    apart, most = (
        np.median([found[name] for found in pairs]) for name in ("apart", "most_changed")
    )
    ax.axhline(apart, color="0.4", ls=":", lw=1.2, label="between the optima")
    _along(ax)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("test labels changed (fraction)")
    ax.legend(fontsize=8, frameon=False, loc="lower center")
    canvas.title(
        ax,
        f"{setup.name}, hyperplane connector: the optima differ in {apart:.2g} of the labels; in "
        f"the middle up to {most:.2g} differ from the first (medians)",
    )


def _angles(ax: Axes, results: Results) -> None:
    shown = {
        "cosine_starts": "starts",
        "cosine_optima": "optima",
        "cosine_ways": "ways, two\nstarts",
        "cosine_same_start": "ways, same\nstart",
    }
    for row, (setup, pairs) in enumerate(results.items()):
        colour, shift = canvas.colours(2)[row], 0.3 * (row - (len(results) - 1) / 2)
        for place, name in enumerate(shown):
            dots(ax, place + shift, [found[name] for found in pairs], colour, "os"[row], 0.13)
        ax.scatter([], [], color=[colour], marker="os"[row], label=setup.name)
    ax.axhline(0, color="0.4", ls=":", lw=1.2)
    ax.set_xticks(range(len(shown)), list(shown.values()), fontsize=9)
    ax.set_ylabel("cosine (1)")
    ax.set_ylim(top=1)
    ax.legend(fontsize=8, frameon=False, loc="upper left")
    same, barrier = (
        [float(np.median([found[name] for found in pairs])) for pairs in results.values()]
        for name in ("cosine_same_start", "twin_barrier")
    )
    canvas.title(
        ax,
        "angles of networks, and of their ways from start to optimum; same start: cosine "
        f"{_listed(same)}, barrier {_listed(barrier)} nats (medians)",
    )


def _listed(values: Sequence[float]) -> str:
    return " and ".join(f"{value:.2f}" for value in values)
