"""Sharp directions of arXiv:1906.04724, figure 4, beside comparisons at equal loss.

Hessian eigenvalues above a cut are counted at points of the hyperplane connector between two
optima, at the centroids of connectors of more optima, and at optima of several learning rates.
Where the loss is higher, more directions are sharp for that reason alone, so each comparison is
made after so many epochs and again at the first snapshots below one training loss, as they are and
with the gradient norm held fixed. H4 and the curvature half of H5 are judged.

The small form needs digits only; the other one Fashion-MNIST too, in the folder that the
environment variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.fort.sharpness_networks import (
    EQUAL,
    HELD,
    LOSS,
    SHORT,
    SMALL,
    WAYS,
    Counts,
    Setup,
    measured,
    recipe,
)

from jumpretrain.plots import canvas

MORE = float(np.log2(1.25))  # the least ratio of counts that is called more
TWICE = 1.0  # the model's ratio of the middle to the ends
GROWS = 0.25  # log2 by which that ratio is larger at the higher cut, at least
FLATTENS = 0.1  # of the ends' count, by which the later gain is smaller than the earlier
FALLS = float(np.log2(1.5))  # the least ratio of counts over eightfold rates

RATES = (0.0004, 0.0008, 0.0016, 0.0032)  # of Adam, as in the paper
FULL = (
    Setup("digits MLP", "mlp", (500, 540), 500, (24, 24), 5, 5, 5, 60, RATES, 240,
          (0.02, 0.05, 0.1, 0.2), 0.05),
    Setup("Fashion CNN", "cnn", (500, 500), 200, (), 5, 1, 1, 100, RATES, 160, (0.2, 0.4), 0.55,
          0.1, 0.3, "float32"),
)  # fmt: skip
QUICK = (
    Setup("digits MLP", "mlp", (100, 100), 100, (2,), 3, 3, 1, 12, (RATES[0], RATES[-1]), 16,
          (2.1,), 2.2),
)  # fmt: skip
COLOURS = dict(zip(WAYS, canvas.colours(3), strict=True))
STYLES = (("-", "o"), ("--", "s"))
IN_THE_MIDDLE = "more directions are sharp in the middle than at the ends"
Found = dict[str, Any]
Array = NDArray[np.float64]


def make(asked: Flags) -> Made:
    setups = QUICK if asked.quick else FULL
    table = measured(asked, setups, 1 if asked.quick else asked.jobs)
    kinds = [Counts(setup, table[table["setup"] == setup.name]) for setup in setups]
    claims = [claim for counts in kinds for claim in judged(counts)]
    return drawn(kinds, claims), {
        "setups": [asdict(setup) for setup in setups],
        "recipe": asdict(recipe(setups[0].epochs, RATES[-1])),
        "seeds": "network k of a set: set * (largest + 1) + k; of a rate: 0 to sets - 1",
        "spectra": f"by Lanczos above the judged cut; whole up to {SMALL} weights",
        "missed": sum(counts.missed for counts in kinds),
        "claims": claims,
        "note": f"claims of {HELD} were added when the others had been seen",
        "states": table.astype(object).where(table.notna(), None).to_dict("records"),
    }


def judged(counts: Counts) -> list[Found]:
    claims = []
    for way in (*WAYS, HELD):
        parts = [_crossing(counts, way)]
        if counts.setup.largest > 1:
            parts.append(_joining(counts, way))
        if way != SHORT:
            parts.append(_speeding(counts, way))
        said = [one for part in parts for one in (part[:1] if way == HELD else part)]
        claims += [
            within(f"wedges-{name}", f"{counts.setup.name}, {way}: {claim}", how, values, smallest)
            for name, claim, how, values, smallest in said
        ]
    return claims


def _crossing(counts: Counts, way: str) -> list[Any]:
    setup, ratio = counts.setup, counts.rise(way)
    how = f"log2 of the ratio of counts above {setup.cut:g}, middle over ends"
    return [
        ("H4", IN_THE_MIDDLE, how, ratio, MORE),
        ("H4", "more than twice as many are", how, ratio, TWICE),
        ("H4", f"the ratio is larger for a cut of {setup.higher:g} than for {setup.cut:g}",
         "difference of log2 ratios", counts.rise(way, setup.higher) - ratio, GROWS),
    ]  # fmt: skip


def _joining(counts: Counts, way: str) -> list[Any]:
    last, half = counts.setup.largest, (counts.setup.largest + 1) // 2
    unit, one, middle, many = (2 ** counts.centre(way, m) for m in (0, 1, half, last))
    return [
        ("H4", f"more directions are sharp at the centroid for m = {last} than for m = 1",
         f"log2 of the ratio of counts above {counts.setup.cut:g}", counts.growth(way), MORE),
        ("H4", f"the count gains less from m = {half} to {last} than from 1 to {half}",
         "difference of gains, in counts of the ends", (2 * middle - one - many) / unit, FLATTENS),
    ]  # fmt: skip


def _speeding(counts: Counts, way: str) -> list[Any]:
    return [
        ("H5", f"fewer directions are sharp for a rate {RATES[-1] / RATES[0]:g} times as high",
         f"log2 of the ratio of counts above {counts.setup.cut:g}, lowest rate over highest",
         counts.fall(way), FALLS),
    ]  # fmt: skip


def drawn(kinds: Sequence[Counts], claims: Sequence[Found]) -> Figure:
    figure = canvas.new_figure(16, 10)
    axes = figure.subplots(2, 3).ravel()
    _profile(axes[0], kinds[0])
    _centroids(axes[1], kinds[0])
    _rates(axes[2], kinds)
    _cuts(axes[3], kinds)
    _losses(axes[4], kinds)
    _gradients(axes[5], kinds)
    figure.suptitle(f"{headline(kinds, claims)}\n{tally(list(claims))}", fontsize=13)
    canvas.note(figure, caption(kinds))
    return figure


def headline(kinds: Sequence[Counts], claims: Sequence[Found]) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}

    def said(counts: Counts) -> str:
        name = counts.setup.name
        short, loss = (verdicts[f"{name}, {way}: {IN_THE_MIDDLE}"] for way in (SHORT, LOSS))
        return f"{short} / {loss} ({name})"

    def chain(counts: Counts, measure: Callable[[str], Array], first: str) -> str:
        found = " → ".join(_times(measure(way)) for way in (first, LOSS, HELD))
        return f"{found} ({counts.setup.name})"

    crossing = ", ".join(chain(counts, counts.rise, SHORT) for counts in kinds)
    speeding = ", ".join(chain(c, lambda way, c=c: -c.fall(way), EQUAL) for c in kinds)
    return (
        "More sharp directions in the middle than at the ends, after brief training / at equal "
        f"loss: {', '.join(map(said, kinds))}\n"
        "ratio of counts, as trained → at equal loss → with the gradient norm held fixed too: "
        f"middle over ends {crossing};\nm = {kinds[0].setup.largest} over m = 1: "
        f"{chain(kinds[0], kinds[0].growth, SHORT)}; highest over lowest rate: {speeding}"
    )


def caption(kinds: Sequence[Counts]) -> str:
    parts = []
    for counts in kinds:
        setup = counts.setup
        node, end = (
            np.median(counts.column("gradient_norm", LOSS, *place))
            for place in (("node",), ("end",))
        )
        parts.append(
            f"{setup.name}: n = {setup.sets} sets of {setup.largest + 1} networks, and "
            f"{setup.sets} networks a rate, one seed each; Adam, batches of 32, {setup.epochs} "
            f"epochs (rates: {setup.long}); Hessian of the training loss on {setup.scored} of "
            f"{setup.sizes[0]} images; median gradient norm at a loss of {setup.levels[0]:g}: "
            f"nodes {node:.2g}, ends {end:.2g}."
        )
    return " ".join(parts) + (
        " Thin: sets; thick: geometric means. Equal loss: each run's first epoch below it; "
        f"{sum(counts.missed for counts in kinds)} states never come below and stand where they "
        "come nearest. Otherwise ends are trained fully, nodes as the colour says."
    )


def _times(values: Array) -> str:
    return f"{2 ** np.mean(values):.2f}"


def _lines(
    ax: Axes, x: Any, rows: Sequence[Array], style: tuple[str, str], color: Any, label: str
) -> None:
    """Draw a thin line a set through log2 values (X, sets), and a thick one for their means."""
    for values in 2 ** np.transpose(rows):
        ax.plot(x, values, style[0], color=color, lw=0.6, alpha=0.35)
    means = 2 ** np.mean(rows, axis=1)
    ax.plot(x, means, style[0], marker=style[1], ms=5, lw=2.4, color=color, label=label)


def _finish(ax: Axes, across: str, up: str, text: str, columns: int = 1) -> None:
    ax.set_yscale("log")
    ax.margins(y=0.3)
    canvas.plain(ax.yaxis)
    ax.set_xlabel(across)
    ax.set_ylabel(up)
    ax.legend(fontsize=9, frameon=False, ncols=columns)
    canvas.title(ax, text)


def _above(kinds: Sequence[Counts]) -> str:
    first, *others = (f"{counts.setup.cut:g}" for counts in kinds)
    return f"eigenvalues above {first}" + "".join(f" (dashed, squares: {cut})" for cut in others)


def _profile(ax: Axes, counts: Counts) -> None:
    setup = counts.setup
    inner = np.linspace(0, 1, setup.inner + 2)[1:-1]
    for way in WAYS:
        middle = [0.5] if way == EQUAL else inner
        nodes = [counts.of(way, "node", m=1, alpha=alpha) for alpha in middle]
        first, last = (counts.of(way, "end", alpha=k) for k in (0, 1))
        label = f"{way} ({setup.levels[0]:g} nats)" if way == LOSS else f"nodes: {way}"
        _lines(ax, [0, *middle, 1], [first, *nodes, last], STYLES[0], COLOURS[way], label)
    short, equal, loss = (_times(counts.rise(way)) for way in WAYS)
    _finish(
        ax, "node of the hyperplane connector, alpha", _above([counts]),
        f"{setup.name}, middle over ends: {short} after a quarter of the epochs, {equal} after "
        f"all, {loss} at equal loss",
    )  # fmt: skip


def _centroids(ax: Axes, counts: Counts) -> None:
    places = range(counts.setup.largest + 1)
    for way in WAYS:
        rows = [counts.centre(way, m) for m in places]
        _lines(ax, list(places), rows, STYLES[0], COLOURS[way], way)
    ax.set_xticks(list(places))
    short, _, loss = (_times(counts.growth(way)) for way in WAYS)
    _finish(
        ax, "m, of m + 1 optima joined (0: the optima)", _above([counts]),
        f"{counts.setup.name}, centroids, m = {counts.setup.largest} over m = 1: {short} after a "
        f"quarter of the epochs, {loss} at equal loss",
    )  # fmt: skip


def _losses(ax: Axes, kinds: Sequence[Counts]) -> None:
    end, middle = canvas.colours(5)[3:]
    for style, counts in zip(STYLES, kinds, strict=False):
        ways, name = counts.setup.ladder, counts.setup.name
        levels = list(ways.values())
        rows = [counts.of(way, "end", alpha=0) for way in ways]
        _lines(ax, levels, rows, style, end, f"{name}, on the way to an end")
        rows = [counts.centre(way, 1) for way in ways]
        _lines(ax, levels, rows, style, middle, f"{name}, to the middle node")
    ax.set_xscale("log")
    canvas.plain(ax.xaxis)
    _finish(
        ax, "training loss (nats)", _above(kinds),
        "sharp directions against the loss, at first epochs below it",
    )  # fmt: skip


def _cuts(ax: Axes, kinds: Sequence[Counts]) -> None:
    for style, counts in zip(STYLES, kinds, strict=False):
        for way in WAYS:
            rows = [counts.rise(way, cut) for cut in counts.setup.cuts]
            label = way if counts is kinds[0] else "_"
            _lines(ax, counts.setup.cuts, rows, style, COLOURS[way], label)
        ax.plot([], [], style[0], marker=style[1], color="0.3", label=counts.setup.name)
    ax.axhline(1, color="0.4", lw=1.2)
    ax.axhline(2, color="0.4", ls=":", lw=1.2, label="the model's")
    ax.set_xscale("log")
    canvas.plain(ax.xaxis)
    grown = ", ".join(
        f"{_times(counts.rise(LOSS, counts.setup.higher))} above {counts.setup.higher:g} "
        f"({counts.setup.name})"
        for counts in kinds
    )
    _finish(
        ax, "cut (nats per squared weight)", "ratio of counts, middle over ends (1)",
        f"middle over ends by the cut, at equal loss: {grown}", columns=2,
    )  # fmt: skip


def _gradients(ax: Axes, kinds: Sequence[Counts]) -> None:
    places = {"ends": (0, 0), "nodes between two": (1, 1), "centroids of more": (2, np.inf)}
    for style, counts in zip(STYLES, kinds, strict=False):
        table = counts.table[counts.table["way"] == LOSS]
        name = f"above {counts.setup.cut:g}"
        for colour, (label, ms) in zip(canvas.colours(3), places.items(), strict=True):
            some = table[table["m"].between(*ms)]
            if some.empty:
                continue
            ax.plot(some["gradient_norm"], some[name], style[1], color=colour, ms=5, alpha=0.6,
                    mew=0, label=f"{counts.setup.name}, {label}")  # fmt: skip
    ax.set_xscale("log")
    canvas.plain(ax.xaxis)
    powers = " and ".join(
        f"{counts.slope(f'above {counts.setup.cut:g}'):.2f} ({counts.setup.name})"
        for counts in kinds
    )
    _finish(
        ax, "gradient norm (nats per weight)", _above(kinds),
        f"at equal loss counts go as the gradient norm to the power {powers}",
    )  # fmt: skip


def _rates(ax: Axes, kinds: Sequence[Counts]) -> None:
    found = []
    for style, counts in zip(STYLES, kinds, strict=False):
        setup = counts.setup
        labels = {EQUAL: f"{setup.long} epochs", LOSS: f"{LOSS} ({setup.slow:g} nats)"}
        for way, label in labels.items():
            rows = [counts.of(way, "rate", rate=rate) for rate in setup.rates]
            _lines(ax, setup.rates, rows, style, COLOURS[way], f"{setup.name}, {label}")
        equal, loss = (_times(-counts.fall(way)) for way in labels)
        found.append(f"{equal} → {loss} ({setup.name})")
    ax.set_xscale("log")
    ax.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    ax.minorticks_off()
    _finish(
        ax, "learning rate of Adam", _above(kinds),
        f"optima, highest over lowest rate, as trained → at equal loss: {', '.join(found)}",
    )  # fmt: skip
