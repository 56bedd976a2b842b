"""Permuted units and shared beginnings: when the straight line between networks has no barrier.

Independent pairs of networks are joined by the straight line and by the hyperplane connector of
arXiv:1906.04724, before and after the units of one are aligned with the other's (the weight
matching of arXiv:2209.04836), for several widths; pairs that share the first epochs are joined by
the straight line (arXiv:1912.05671), and the directions of weights, of starts and of the ways from
start to optimum are compared. H1, H9 and H12 are judged.

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
from papers.fort import networks as fort
from papers.fort.alignment_networks import (
    GRID,
    INNER,
    Found,
    Setup,
    Values,
    bends,
    difference,
    matched,
    removed,
    shares,
    straight,
)

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import spearman
from jumpretrain.execution.execution import spread
from jumpretrain.plots import canvas

REMOVED = 0.5  # the least share of the barrier that aligning removes
TREND = 0.3  # the least Spearman's rho with width
HALVED, FLOOR = 1.0, 1e-3  # halvings of a connector's barrier; nats below which none counts
LESS = 0.1  # of the difference of cosines within halves and across
NONE, STABLE = 0.05, 0.02  # nats; test error, as in arXiv:1912.05671
FALL = 0.05  # nats by which sharing lowers the barrier at least
SAME = 0.1  # the least excess of a cosine from the same start

WIDTHS = (32, 64, 128, 256, 512)
SGD = fort.recipe(40, 0.05, 64, "sgd")
FULL = (
    Setup("fashion", 0, (1000, 1000), fort.recipe(24, 0.002), fort.recipe(10, 0.001),
          (0, 1, 2, 4, 8, 12), 6),
    *(Setup("digits", width, (1000, 500), SGD, *(
        (fort.recipe(15, 0.001, 64), (0, 1, 2, 5, 10, 20)) if width == 64 else (None, ())
    ), 8) for width in WIDTHS),
)  # fmt: skip
SHORT = fort.recipe(20, 0.1, 32, "sgd")
QUICK = (
    Setup("digits", 16, (150, 150), SHORT, fort.recipe(2, 0.005, 64), (0, 10), 3),
    Setup("digits", 32, (150, 150), SHORT, None, (), 3),
)
KINDS = dict(zip(("plain", "aligned"), canvas.colours(2), strict=True))
Results = Mapping[Setup, Sequence[Found]]


def make(asked: Flags) -> Made:
    setups = QUICK if asked.quick else FULL
    jobs = [(asked, setup, number) for setup in setups for number in range(setup.pairs)]
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    found = iter(spread(matched, jobs, execution, "pairs"))
    results = {setup: [next(found) for _ in range(setup.pairs)] for setup in setups}
    claims = judged(results)
    return drawn(results, claims), {
        "setups": [asdict(setup) for setup in setups],
        "seeds": {s.name: [one["seeds"] for one in pairs] for s, pairs in results.items()},
        "inner": INNER,
        "alphas": GRID,
        "claims": claims,
        "pairs": {setup.name: pairs for setup, pairs in results.items()},
    }


def judged(results: Results) -> list[Found]:
    claims = []
    for setup, pairs in results.items():
        rows = [("H12", "aligning removes half of the straight line's barrier or more",
                 "share of the barrier that is removed", removed(pairs), REMOVED)]  # fmt: skip
        rows += said_of_connectors(pairs) if setup.points else []
        rows += said_of_branches(setup, pairs) if setup.shared else []
        claims += [
            within(f"wedges-{name}", f"{setup.name}: {claim}", how, values, smallest)
            for name, claim, how, values, smallest in rows
        ]
    return claims + judged_by_width(results)


def said_of_connectors(pairs: Sequence[Found]) -> list[tuple[Any, ...]]:
    apart, barriers = (
        [difference(pairs, kind), np.maximum(bends(pairs, kind, "barrier"), FLOOR)]
        for kind in ("plain", "aligned")
    )
    apart, barriers = zip(apart, barriers, strict=True)
    return [
        ("H12", "aligning halves the barrier that the connector leaves, or more",
         f"log2 of the ratio of barriers, at least {FLOOR} nats each",
         np.log2(barriers[0] / barriers[1]), HALVED),
        ("H12", "aligning lessens the difference between halves of the connector",
         "cosine of deviations within halves minus across, plain minus aligned",
         apart[0] - apart[1], LESS),
    ]  # fmt: skip


def said_of_branches(setup: Setup, pairs: Sequence[Found]) -> list[tuple[Any, ...]]:
    first, late = (shares(setup, pairs, k, "barrier") for k in (0, setup.half))
    unstable = shares(setup, pairs, setup.half, "instability")
    same, other = (
        np.array([one["angles"]["ways"] for one in ones])
        for ones in ([one["branches"][setup.shared.index(0)] for one in pairs], pairs)
    )
    half = f"pairs that share {setup.half} of {setup.training.epochs} epochs"
    return [
        ("H1", f"{half} have no barrier of the training loss", f"{NONE} nats minus the barrier",
         NONE - late, 0),
        ("H1", f"{half} are stable", f"{STABLE} minus the rise of the test error above the mean "
         "of the ends", STABLE - unstable, 0),
        ("H1", f"{half} have a lower barrier than pairs that share the start only",
         "difference of barriers, nats", first - late, FALL),
        ("H9", "from the same start, networks go more nearly the same way than from two starts",
         "difference of cosines between the ways from start to optimum", same - other, SAME),
    ]  # fmt: skip


def judged_by_width(results: Results) -> list[Found]:
    some = {setup: pairs for setup, pairs in results.items() if setup.width}
    widths = np.array([setup.width for setup, pairs in some.items() for _ in pairs])
    cut = np.concatenate([removed(pairs) for pairs in some.values()])
    left = np.concatenate([straight(pairs, "aligned") for pairs in some.values()])
    claims = []
    for claim, values, sign in (
        ("the share of the barrier that aligning removes grows with width", cut, 1),
        ("the barrier between aligned networks falls with width", left, -1),
    ):
        known = np.isfinite(values)  # no share where there is no barrier
        found = spearman(widths[known], values[known])
        claims.append(
            entry("wedges-H12", f"digits MLP: {claim}", "Spearman's rho over pairs", found.rho,
                  found.low, found.high, int(known.sum()), TREND, sign, found.p)
        )  # fmt: skip
    return claims


def drawn(results: Results, claims: list[Found]) -> Figure:
    figure = canvas.new_figure(17, 10)
    panels = figure.subplots(2, 3)
    _widths(panels[0, 0], results)
    joined = {setup: pairs for setup, pairs in results.items() if setup.points}
    _lines(panels[0, 1], *next(iter(joined.items())))
    _halves(panels[0, 2], joined)
    apart = {setup: pairs for setup, pairs in results.items() if setup.shared}
    _branches(panels[1, 0], apart, "barrier", NONE)
    _branches(panels[1, 1], apart, "instability", STABLE)
    _angles(panels[1, 2], apart)
    figure.suptitle(f"{finding(results, claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(figure, caption(results))
    return figure


def finding(results: Results, claims: list[Found]) -> str:
    cuts = [float(np.nanmean(removed(pairs))) for pairs in results.values()]
    verdicts = {c["claim"]: c["verdict"] for c in claims}
    held = [verdict for claim, verdict in verdicts.items() if claim.endswith("barrier or more")]
    first, pairs = next((s, found) for s, found in results.items() if s.shared)
    levels = [np.median(shares(first, pairs, k, "barrier")) for k in (0, first.half)]
    gaps = [difference(pairs, kind).mean() for kind in KINDS]
    lessened, stable = (
        next(verdict for claim, verdict in verdicts.items() if claim.startswith(first.name)
             and claim.endswith(end)) for end in ("halves of the connector", "are stable")
    )  # fmt: skip
    return (
        f"Aligning units removes {min(cuts):.0%} to {max(cuts):.0%} of the barrier (half or more: "
        f"supported for {held.count('supported')} of {len(held)} kinds of networks)\n"
        f"{first.name}: cosines within minus across halves of a connector go from {gaps[0]:.2f} "
        f"to {gaps[1]:.2f} (lessened: {lessened});\nfrom one start in two orders a barrier of "
        f"{levels[0]:.2g} nats, {levels[1]:.2g} where {first.half} of {first.training.epochs} "
        f"epochs are shared (stable: {stable})"
    )


def caption(results: Results) -> str:
    firsts = {setup.data: setup for setup in reversed(results)}
    said = [
        f"{setup.name.removesuffix(f' {setup.width}')}: {setup.sizes[0]} training and "
        f"{setup.sizes[1]} test examples, n = {setup.pairs} independent pairs of each kind (seeds "
        f"0 to {2 * setup.pairs - 1}), {setup.training.optimiser}, rate {setup.training.lr:g}, "
        f"{setup.training.epochs} epochs of batches of {setup.training.batch_size}"
        for setup in firsts.values()
    ]
    return ". ".join(said) + (
        ". MLPs: two hidden layers. Barrier: largest training loss on the straight line "
        f"({len(GRID)} points) minus that of the higher end; connectors: {INNER} nodes. Dots and "
        "thin lines: pairs, bars and thick lines: medians. Way: from start to optimum."
    )


def _dots(ax: Axes, place: float, values: Values, colour: Any, mark: str = "o") -> None:
    shift = np.linspace(-0.09, 0.09, len(values))
    ax.scatter(place + shift, values, s=26, color=[colour], marker=mark, alpha=0.75, lw=0)
    ax.hlines(float(np.median(values)), place - 0.14, place + 0.14, color="black", lw=1.6)


def _widths(ax: Axes, results: Results) -> None:
    order = sorted(results, key=lambda setup: setup.width or np.inf)
    for place, setup in enumerate(order):
        for shift, (kind, colour) in zip((-0.17, 0.17), KINDS.items(), strict=True):
            _dots(ax, place + shift, np.maximum(straight(results[setup], kind), FLOOR), colour)
    for kind, colour in KINDS.items():
        ax.scatter([], [], color=[colour], label=kind)
    ax.set_yscale("log")
    canvas.plain(ax.yaxis)
    ax.set_xticks(range(len(order)), [str(setup.width or "CNN") for setup in order])
    ax.set_xlabel("width of the digits MLP's hidden layers; Fashion-MNIST CNN")
    ax.set_ylabel(f"barrier of the training loss (nats; at least {FLOOR:g})")
    ax.legend(fontsize=9, frameon=False)
    cuts = ", ".join(f"{np.nanmean(removed(results[setup])):.0%}" for setup in order)
    canvas.title(ax, f"share of the barrier that aligning removes: {cuts}")


def _lines(ax: Axes, setup: Setup, pairs: Sequence[Found]) -> None:
    for kind, colour in KINDS.items():
        for way, dash in (("lines", "--"), ("connectors", "-")):
            rows = np.array([one[way][kind]["train_loss"] for one in pairs])
            for row in rows:
                ax.plot(GRID, row, ls=dash, color=colour, lw=0.5, alpha=0.35)
            label = f"{kind}, {'straight' if way == 'lines' else 'connector'}"
            ax.plot(GRID, np.median(rows, axis=0), ls=dash, color=colour, lw=2.4, label=label)
    ax.set_xlim(0, 1)
    ax.set_xlabel("alpha, share of the way between the networks (1)")
    ax.set_ylabel("training loss (nats)")
    ax.legend(fontsize=9, frameon=False)
    left = [np.median(bends(pairs, kind, "barrier")) for kind in KINDS]
    canvas.title(
        ax,
        f"{setup.name}: a connector leaves a barrier of {left[0]:.2g} nats, {left[1]:.2g} between "
        "aligned networks",
    )


def _halves(ax: Axes, joined: Results) -> None:
    labels, means = [], []
    for row, (setup, pairs) in enumerate(joined.items()):
        for place, name in enumerate(("within", "across")):
            for shift, (kind, colour) in zip((-0.17, 0.17), KINDS.items(), strict=True):
                _dots(ax, 2 * row + place + shift, bends(pairs, kind, name), colour)
            labels.append(f"{setup.short},\n{'within a half' if name == 'within' else name}")
        gaps = [difference(pairs, kind).mean() for kind in KINDS]
        means.append(f"{gaps[0]:.2f} plain, {gaps[1]:.2f} aligned ({setup.short})")
    for kind, colour in KINDS.items():
        ax.scatter([], [], color=[colour], label=kind)
    ax.axhline(0, color="0.4", ls=":", lw=1.2)
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    ax.set_ylabel("cosine of deviations from the chord (1)")
    ax.set_ylim(top=1.15)
    ax.legend(fontsize=9, frameon=False, ncols=2, loc="upper center")
    canvas.title(ax, f"cosine within minus across: {'; '.join(means)}")


def _branches(ax: Axes, apart: Results, name: str, limit: float) -> None:
    label, short = {
        "barrier": ("barrier of the training loss (nats)", "barrier"),
        "instability": ("rise of the test error above its ends' mean", "test error rises by"),
    }[name]
    ends = []
    for (setup, pairs), colour, mark in zip(
        apart.items(), canvas.colours(4)[2:], "os", strict=False
    ):
        x = np.array(setup.shared) / setup.training.epochs
        rows = np.array([shares(setup, pairs, k, name) for k in setup.shared])
        middle = np.median(rows, axis=1)
        ax.plot(x, rows, mark, color=colour, ms=4, alpha=0.5, mew=0)
        ax.plot(x, middle, color=colour, lw=2.4, marker=mark, label=setup.name)
        level = np.median([one["lines"]["plain"][name] for one in pairs])
        ax.axhline(level, color=colour, ls="--", lw=1.2)
        ends.append(f"{middle[0]:.3f} to {middle[-1]:.3f} ({setup.short})")
    ax.plot([], [], color="0.4", ls="--", lw=1.2, label="two starts")
    ax.axhline(limit, color="0.4", ls=":", lw=1.2, label="limit judged")
    ax.set_yscale("symlog", linthresh=limit)
    ax.set_ylim(bottom=-0.1 * limit)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("share of the epochs before the pairs part (1)")
    ax.set_ylabel(label)
    if name == "barrier":
        ax.legend(fontsize=9, frameon=False, loc="center right", bbox_to_anchor=(1, 0.7))
    canvas.title(ax, f"{short}, 0 to half of the epochs shared: {', '.join(ends)}")


def _angles(ax: Axes, apart: Results) -> None:
    labels, ways = [], []
    for row, (setup, pairs) in enumerate(apart.items()):
        first, late = (
            [one["branches"][setup.shared.index(k)] for one in pairs] for k in (0, setup.half)
        )
        for place, ones in enumerate((pairs, first, late)):
            for shift, name, mark, colour in zip(
                (-0.27, 0, 0.27), ("starts", "optima", "ways"), "^so", canvas.colours(6)[3:],
                strict=True,
            ):  # fmt: skip
                values = np.array([one["angles"][name] for one in ones])
                _dots(ax, 3 * row + place + shift, values, colour, mark)
                if not labels:
                    ax.scatter([], [], color=[colour], marker=mark, label=name)
            labels.append(("two starts", "same start", f"{setup.half} epochs\nshared")[place])
        two, same = (np.median([one["angles"]["ways"] for one in ones]) for ones in (pairs, first))
        ways.append(f"{same:.2f} from the same, {two:.2f} from two starts ({setup.short})")
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    ax.set_xlabel("; ".join(setup.name for setup in apart))
    ax.axhline(0, color="0.4", ls=":", lw=1.2)
    ax.set_ylabel("cosine between the two networks (1)")
    ax.set_ylim(top=1.2)
    ax.legend(fontsize=9, frameon=False, ncols=3, loc="upper center")
    canvas.title(ax, f"cosine of the ways from start to optimum: {'; '.join(ways)}")
