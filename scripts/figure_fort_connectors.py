"""Low-loss connectors of arXiv:1906.04724, figure 3, on real networks.

Independent pairs of trained networks are joined by the straight line, the hyperplane connector,
the refined one and a Bezier curve of equal gradient count; untrained networks by a hyperplane
connector of the same budget (the null). Loss along them, cosines between deviations from the
straight line, labels that change, lengths; surfaces through three and four networks. H1 to H3, H9
and H13 are judged. Redo it:

    .venv/bin/python scripts/figure_fort_connectors.py            # --quick for a small one

The small form needs digits only; the other one Fashion-MNIST too, in the folder that the
environment variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from cells import trained
from figure import Flags, flags, save
from judging import entry, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest

import jumpretrain as jr
from jumpretrain.execution import spread
from jumpretrain.plots import canvas
from jumpretrain.plots.connectors import halves

INNER = 10  # interior points, as in figure 3 of the paper
GRID = np.linspace(0, 1, 101)
QUIET = jr.Execution(progress=False)

LARGE = 0.1  # nats, the least barrier of a straight line
REMOVED = 0.5  # the least share of it that a connector removes
FINER, FLOOR = 1.0, 1e-3  # halvings of what is left by refinement; nats below which none counts
NULL = 2.0  # the least ratio of the null's largest loss to the connector's
SWITCH = 0.5  # the least share of pairs whose highest piece is the one where deviations turn
ALONG, ACROSS, APART = 0.5, 0.2, 0.3  # cosines within a half, across, and their difference
MORE = 0.02  # labels, beyond those in which the optima differ
SMALL_COSINE, SAME = 0.1, 0.1  # of independent optima; the least excess from the same start
CENTRE, COST = 2.0, 0.1  # ratio of losses at the centroid; difference of the share removed


@dataclass(frozen=True)
class Setup:
    """Networks of one kind, in sets of which the first two make the pair.

    Attributes:
        data: `digits` or `fashion_mnist`.
        network: `mlp` or `simple_cnn`.
        hidden: Widths of the MLP's hidden layers.
        sizes: Numbers of training and test examples.
        training: How networks are trained.
        points: How points of connectors are trained.
        sets: Number of sets.
        networks: Networks in a set.
        each: Steps scored on each piece.
        rounds: Most rounds of refinement.
    """

    data: str
    network: str
    hidden: tuple[int, ...]
    sizes: tuple[int, int]
    training: jr.Recipe
    points: jr.Recipe
    sets: int
    networks: int
    each: int
    rounds: int

    @property
    def name(self) -> str:
        """What the figure calls it."""
        return f"{self.data.replace('_', '-')} {self.network}"

    def task(self) -> jr.Task:
        """Build the task."""
        data = jr.data.digits() if self.data == "digits" else jr.data.load(self.data)
        data = data.subset(*self.sizes)
        shape = data.train_x.shape[1:]
        if self.network == "mlp":
            return jr.Task(partial(jr.models.mlp, shape, 10, hidden=self.hidden), data)
        return jr.Task(partial(jr.models.simple_cnn, shape, 10), data)

    def seeds(self, number: int) -> list[int]:
        """List the seeds of a set."""
        return [number * self.networks + k for k in range(self.networks)]


def _recipe(epochs: int, lr: float, batch_size: int, optimiser: Any = "adam") -> jr.Recipe:
    return jr.Recipe(
        epochs=epochs, lr=lr, batch_size=batch_size, optimiser=optimiser,
        record_every=0, record_early=False,
    )  # fmt: skip


FULL = (
    Setup("fashion_mnist", "simple_cnn", (), (1000, 500), _recipe(40, 0.002, 32),
          _recipe(12, 0.001, 32), 5, 2, 5, 4),
    Setup("digits", "mlp", (64, 64), (1257, 540), _recipe(40, 0.05, 64, "sgd"),
          _recipe(20, 0.001, 64), 6, 4, 10, 6),
)  # fmt: skip
QUICK = (
    Setup("digits", "mlp", (32,), (200, 150), _recipe(30, 0.1, 64, "sgd"),
          _recipe(4, 0.005, 64), 3, 3, 3, 1),
)  # fmt: skip
Found = dict[str, Any]


def main() -> None:
    asked = flags(__file__, "connectors between real networks")
    setups = QUICK if asked.quick else FULL
    jobs = [(asked, setup, number) for setup in setups for number in range(setup.sets)]
    execution = jr.Execution(n_jobs=1 if asked.quick else asked.jobs)
    found = iter(spread(connected, jobs, execution, "sets of networks"))
    results = {setup: [next(found) for _ in range(setup.sets)] for setup in setups}
    claims = [claim for setup, sets in results.items() for claim in judged(setup, sets)]
    save(
        drawn(results, claims),
        asked,
        {
            "setups": [asdict(setup) for setup in setups],
            "seeds": {setup.name: setup.networks * setup.sets for setup in setups},
            "inner": INNER,
            "claims": claims,
            "sets": {setup.name: sets for setup, sets in results.items()},
        },
    )


def connected(asked: Flags, setup: Setup, number: int) -> Found:
    """Train a set of networks, join the first two in each way, and all by surfaces."""
    task, seeds = setup.task(), setup.seeds(number)
    name = f"{setup.data}-{number}"
    runs = trained(asked, f"{name}-networks", task, setup.training, seeds, jobs=1)
    starts, optima = runs.initial, runs.final
    folder, longer = asked.work / name, setup.points.epochs * INNER
    share = {"each": setup.each, "execution": QUIET}
    bent = partial(jr.connect, task, recipe=setup.points, inner=INNER, folder=folder, **share)
    plain = bent(optima[:2])
    curves = {
        "hyperplane": plain,
        "refined": bent(optima[:2], refine=True, rounds=setup.rounds),
        "bezier": jr.connect(
            task, optima[:2], "bezier", inner=1, recipe=replace(setup.points, epochs=longer),
            folder=folder / "bezier", each=setup.each * (INNER + 1) // 2, execution=QUIET,
        ),
        "null": bent(starts[:2], folder=folder / "null"),
    }  # fmt: skip
    twin = trained(
        asked, f"{name}-twin", task, setup.training, [10_000 + number], starts[:1], jobs=1
    )
    return {
        "seeds": seeds,
        "final": {name: values[:, -1] for name, values in runs.metrics.items()},
        "curves": {name: scored(curve, name) for name, curve in curves.items()},
        **turning(plain),
        **angles(task, starts, optima, twin.final[0]),
        "twin_barrier": float(
            jr.interpolate(task, optima[0], twin.final[0], 11, execution=QUIET).barrier()
        ),
        "surfaces": surfaces(task, setup, optima, folder),
    }


def scored(curve: jr.Connector, name: str) -> Found:
    """Keep what is drawn and judged of a curve; the peak lies between its first and last node."""
    alphas, losses = curve.alphas, curve.metrics["train_loss"]
    nodes = alphas[np.flatnonzero(curve.shares.max(axis=1) > 1 - 1e-9)]
    low, high = (1 / (INNER + 1), INNER / (INNER + 1)) if name == "bezier" else nodes[[1, -2]]
    inside = (alphas >= low) & (alphas <= high)
    assert curve.changed is not None
    middle = (alphas >= 0.4) & (alphas <= 0.6)
    return {
        "alphas": alphas.round(4),
        "train_loss": losses.round(5),
        "straight_train_loss": curve.straight_metrics["train_loss"].round(5),
        "test_accuracy": curve.metrics["test_accuracy"].round(4),
        "norm": curve.norms.round(4),
        "changed": curve.changed.round(4),
        "nodes": len(curve.nodes),
        "barrier": curve.barrier,
        "linear_barrier": curve.linear_barrier,
        "peak": float(losses[inside].max()),
        "straight_peak": float(curve.straight_metrics["train_loss"][inside].max()),
        "length_ratio": curve.length_ratio,
        "apart": float(curve.changed[-1, 0]),
        "most_changed": float(curve.changed[middle, 0].max()),
    }


def turning(curve: jr.Connector) -> Found:
    """Say where deviations turn, and where the loss is highest, piece by piece."""
    cosines = curve.deviation_cosines()
    along, across = halves(curve)
    aside = sideways(curve)
    losses, pieces = curve.metrics["train_loss"], INNER + 1
    each = (len(losses) - 1) // pieces
    tops = [losses[k * each : (k + 1) * each + 1].max() for k in range(pieces)]
    steps = np.diag(cosines, 1)
    return {
        "cosines": cosines.round(4),
        "within": along,
        "across": across,
        "sideways_within": aside[0],
        "sideways_across": aside[1],
        "piece_tops": tops,
        "turn": int(steps.argmin()) + 1,
        "top": int(np.argmax(tops)),
    }


def sideways(curve: jr.Connector) -> tuple[float, float]:
    """Compare deviations without their part towards larger norms, which all nodes may share.

    The chord of two optima of equal norm comes nearer to the origin than either; the way back
    out is the same for all nodes (derived).

    Returns:
        Mean cosine within halves and across.
    """
    nodes = curve.nodes.astype(np.float64)
    rows = nodes[:, : curve.provenance["weights"]]
    chord, out = rows[-1] - rows[0], rows[-1] + rows[0]
    out -= (out @ chord) / (chord @ chord) * chord
    rows[1:-1] -= np.outer((rows[1:-1] - rows[0]) @ out / (out @ out), out)
    return halves(replace(curve, nodes=nodes))


def angles(task: jr.Task, starts: NDArray[Any], optima: NDArray[Any], twin: NDArray[Any]) -> Found:
    """Compare directions of weights, of starts, and of the ways from start to optimum."""

    def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
        a, b = (row[: task.weight_count].astype(np.float64) for row in (a, b))
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    return {
        "cosine_optima": cosine(optima[0], optima[1]),
        "cosine_starts": cosine(starts[0], starts[1]),
        "cosine_ways": cosine(optima[0] - starts[0], optima[1] - starts[1]),
        "cosine_same_start": cosine(optima[0] - starts[0], twin - starts[0]),
    }


def surfaces(task: jr.Task, setup: Setup, optima: NDArray[Any], folder: Any) -> list[Found]:
    rows = []
    for count in range(3, setup.networks + 1):
        for refine in (False, True):
            found = jr.connect(
                task, optima[:count], refine=refine, recipe=setup.points, each=setup.each,
                folder=folder / f"surface-{count}", execution=QUIET,
            )  # fmt: skip
            losses, flat = found.metrics["train_loss"], found.straight_metrics["train_loss"]
            corners = found.coordinates.max(axis=1) == 1
            rows.append({
                "m": count - 1,
                "refined": refine,
                "barrier": found.barrier,
                "linear_barrier": found.linear_barrier,
                "mean": float(losses.mean()),
                "straight_mean": float(flat.mean()),
                "optima": float(losses[corners].mean()),
                "centroid": float(losses[2**count - 2]),  # faces come first, the whole one last
            })
    return rows


def judged(setup: Setup, sets: Sequence[Found]) -> list[Found]:
    def curve(name: str, value: str) -> NDArray[np.float64]:
        return np.array([found["curves"][name][value] for found in sets])

    def column(name: str) -> NDArray[np.float64]:
        return np.array([found[name] for found in sets])

    linear, left = curve("hyperplane", "linear_barrier"), curve("hyperplane", "barrier")
    finer = np.maximum(curve("refined", "barrier"), FLOOR)
    turned = np.array([found["turn"] == found["top"] for found in sets])
    more = curve("hyperplane", "most_changed") - curve("hyperplane", "apart")
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
         "share in which the optima differ", more, MORE),
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
    claims.append(counted(setup, turned))
    table = pd.DataFrame([row for found in sets for row in found["surfaces"]])
    return claims + (surveyed(setup, table, 1 - left / linear) if len(table) else [])


def counted(setup: Setup, holds: NDArray[np.bool_]) -> Found:
    """Judge how often something holds, by Wilson's interval of the share of pairs."""
    share = binomtest(int(holds.sum()), len(holds))
    low, high = share.proportion_ci(method="wilson")
    effect, low = min(share.statistic, high), min(low, share.statistic)
    claim = f"{setup.name}: the loss is highest on the piece where deviations turn most"
    how = "share of pairs"
    return entry("wedges-H2", claim, how, effect, low, high, len(holds), SWITCH)


def surveyed(setup: Setup, table: pd.DataFrame, removed: NDArray[np.float64]) -> list[Found]:
    claims = []
    for m, some in table[~table["refined"]].groupby("m"):
        cut = 1 - some["barrier"] / some["linear_barrier"]
        centre = np.log2(CENTRE * some["optima"] / some["centroid"])
        claims += [
            within(
                "wedges-H13",
                f"{setup.name}: a surface through {m + 1} optima removes half of the flat "
                "simplex's barrier or more",
                "share of the barrier that is removed",
                cut,
                REMOVED,
            ),
            within(
                "wedges-H13",
                f"{setup.name}: the centroid's node of {m + 1} optima has a loss of at most "
                f"{CENTRE:g} times the optima's",
                f"log2 of {CENTRE:g} times the ratio of losses",
                centre,
                0,
            ),
        ]
    claims.append(
        within(
            "wedges-H13",
            f"{setup.name}: a surface through {m + 1} optima removes as much of the barrier as a "
            f"curve, to {COST}",
            f"{COST} minus the share removed by the curve plus that by the surface",
            COST - removed + cut.to_numpy(),
            0,
        )
    )
    return claims


STYLES: dict[str, tuple[str, str]] = {
    "straight": ("straight", "--"),
    "hyperplane": ("hyperplane", "-"),
    "refined": ("refined", "-."),
    "bezier": ("Bezier", ":"),
    "null": ("untrained", (0, (1, 3))),  # type: ignore[dict-item]
}
COLOURS = dict(zip(STYLES, canvas.colours(len(STYLES)), strict=True))
Results = Mapping[Setup, Sequence[Found]]


def drawn(results: Results, claims: list[Found]) -> Figure:
    rows = len(results) + 1
    figure = canvas.new_figure(18, 4.5 * rows + 1.2)
    panels = figure.subplots(rows, 4, squeeze=False)
    for line, (setup, sets) in zip(panels, results.items(), strict=False):
        _losses(line[0], setup, sets)
        _peaks(line[1], setup, sets)
        _cosines(line[2], setup, sets)
        _labels(line[3], setup, sets)
    _surfaces(panels[-1, 0], results)
    _lengths(panels[-1, 1], results)
    _angles(panels[-1, 2], results)
    _norms(panels[-1, 3], results)
    figure.suptitle(f"{finding(results, claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        ". ".join(map(described, results)) + f". {INNER} nodes between two "
        "optima; Bezier: one control point, as many gradients as the hyperplane nodes "
        "together; untrained: hyperplane connector between the initialisations, same "
        "budget; thin lines and dots: pairs, thick lines: medians. Peak: largest training "
        "loss between first and last node; its dotted line: the highest optimum.",
    )
    return figure


def described(setup: Setup) -> str:
    ways = [
        f"{recipe.optimiser}, rate {recipe.lr:g}, {recipe.epochs} epochs of batches of "
        f"{recipe.batch_size}"
        for recipe in (setup.training, setup.points)
    ]
    hidden = f" {setup.hidden}" if setup.hidden else ""
    return (
        f"{setup.name}{hidden}: {setup.sizes[0]} training examples, n = {setup.sets} independent "
        f"sets of {setup.networks} networks (seeds 0 to {setup.sets * setup.networks - 1}); "
        f"networks: {ways[0]}; points: {ways[1]}"
    )


def finding(results: Results, claims: list[Found]) -> str:
    said = []
    for setup in results:
        verdicts = {
            claim["claim"]: claim for claim in claims if claim["claim"].startswith(setup.name)
        }
        removed = next(c for name, c in verdicts.items() if "hyperplane connector removes" in name)
        apart = next(c for name, c in verdicts.items() if "much more than across" in name)
        said.append(
            f"{setup.name}: a hyperplane connector removes {removed['effect']:.0%} of the barrier "
            f"({removed['verdict']}); cosines of deviations are {apart['effect']:+.2f} higher "
            f"within halves than across ({apart['verdict']}: at least {APART})"
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


def _losses(ax: Axes, setup: Setup, sets: Sequence[Found]) -> None:
    for key, (label, _) in STYLES.items():
        name, value = (
            ("hyperplane", "straight_train_loss") if key == "straight" else (key, "train_loss")
        )
        curves = [found["curves"][name] for found in sets]
        _line(ax, [(curve["alphas"], curve[value]) for curve in curves], key, label=label)
    ax.set_yscale("log")
    canvas.plain(ax.yaxis)
    _along(ax)
    ax.set_ylabel("training loss (nats)")
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
    ax.legend(fontsize=8, frameon=False, ncols=5, columnspacing=1, handlelength=1.8, **place)
    canvas.title(ax, f"{setup.name}: loss on the way")


def _peaks(ax: Axes, setup: Setup, sets: Sequence[Found]) -> None:
    peaks = {
        key: [
            found["curves"]["hyperplane"]["straight_peak"]
            if key == "straight"
            else found["curves"][key]["peak"]
            for found in sets
        ]
        for key in STYLES
    }
    for place, (key, values) in enumerate(peaks.items()):
        _dots(ax, place, values, COLOURS[key])
    ends = [max(np.asarray(f["curves"]["hyperplane"]["train_loss"])[[0, -1]]) for f in sets]
    ax.axhline(float(np.median(ends)), color="0.4", ls=":", lw=1.2)
    ax.set_yscale("log")
    canvas.plain(ax.yaxis)
    ax.set_xticks(range(len(STYLES)), [label for label, _ in STYLES.values()], fontsize=9)
    ax.set_ylabel("peak of the training loss (nats)")
    medians = {key: float(np.median(values)) for key, values in peaks.items()}
    canvas.title(
        ax,
        f"{setup.name}: peak {medians['straight']:.2g} nats straight, "
        f"{medians['hyperplane']:.2g} hyperplane, {medians['null']:.2g} untrained (medians)",
    )


def _dots(
    ax: Axes,
    place: float,
    values: Sequence[float],
    colour: Any,
    mark: str = "o",
    width: float = 0.25,
) -> None:
    shift = np.linspace(-width / 2, width / 2, len(values))
    ax.scatter(place + shift, values, s=26, color=[colour], marker=mark, alpha=0.75, lw=0)
    ax.hlines(float(np.median(values)), place - width, place + width, color="black", lw=1.6)


def _cosines(ax: Axes, setup: Setup, sets: Sequence[Found]) -> None:
    mean = np.mean([found["cosines"] for found in sets], axis=0)
    drawn = ax.imshow(mean, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower")
    ax.figure.colorbar(drawn, ax=ax, label="cosine (1), mean over pairs", shrink=0.85)
    ax.set_xticks(range(0, INNER, 3), [str(k + 1) for k in range(0, INNER, 3)])
    ax.set_yticks(range(0, INNER, 3), [str(k + 1) for k in range(0, INNER, 3)])
    ax.set_xlabel("node, from the first optimum")
    ax.set_ylabel("node")
    names = ("within", "across", "sideways_within", "sideways_across")
    along, across, *aside = (np.mean([found[name] for found in sets]) for name in names)
    canvas.title(
        ax,
        f"{setup.name}: cosine of deviations {along:.2f} within a half, {across:.2f} across; "
        f"without the part towards larger norms {aside[0]:.2f} and {aside[1]:.2f}",
    )


def _labels(ax: Axes, setup: Setup, sets: Sequence[Found]) -> None:
    curves = [found["curves"]["hyperplane"] for found in sets]
    for side, key in enumerate(("hyperplane", "straight")):
        rows = [(curve["alphas"], np.asarray(curve["changed"])[:, side]) for curve in curves]
        _line(ax, rows, key, label=f"against the {('first', 'second')[side]} optimum")
    apart, most = (
        np.median([curve[name] for curve in curves]) for name in ("apart", "most_changed")
    )
    ax.axhline(apart, color="0.4", ls=":", lw=1.2, label="between the optima")
    _along(ax)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("test labels changed (fraction)")
    ax.legend(fontsize=8, frameon=False, loc="lower center")
    canvas.title(
        ax,
        f"{setup.name}: the optima differ in {apart:.2g} of the labels; in the middle {most:.2g} "
        "differ from the first (medians)",
    )


def _surfaces(ax: Axes, results: Results) -> None:
    setup, sets = next((s, found) for s, found in results.items() if found[0]["surfaces"])
    table = pd.DataFrame([row for found in sets for row in found["surfaces"]])
    curves = [found["curves"]["hyperplane"] for found in sets]
    ones = {
        "straight": [curve["linear_barrier"] for curve in curves],
        "hyperplane": [curve["barrier"] for curve in curves],
        "refined": [found["curves"]["refined"]["barrier"] for found in sets],
    }
    for shift, key in zip((-0.27, 0, 0.27), ones, strict=True):
        _dots(ax, 1 + shift, ones[key], COLOURS[key], width=0.11)
        for m, some in table.groupby("m"):
            rows = some[some["refined"] == (key == "refined")]
            value = "linear_barrier" if key == "straight" else "barrier"
            _dots(ax, float(m) + shift, rows[value].tolist(), COLOURS[key], width=0.11)
        label = {"straight": "straight, flat"}.get(key, STYLES[key][0])
        ax.scatter([], [], color=[COLOURS[key]], label=label)
    ax.set_yscale("log")
    canvas.plain(ax.yaxis)
    ax.set_xticks(range(1, setup.networks))
    ax.set_xlabel("m, of m + 1 optima joined")
    ax.set_ylabel("barrier of the training loss (nats)")
    ax.legend(fontsize=8, frameon=False)
    canvas.title(ax, f"{setup.name}: curves (m = 1) and surfaces")


def _lengths(ax: Axes, results: Results) -> None:
    shown = [key for key in STYLES if key != "straight"]
    names = []
    for row, (setup, sets) in enumerate(results.items()):
        for place, key in enumerate(shown):
            ratios = [found["curves"][key]["length_ratio"] for found in sets]
            shift = 0.3 * (row - (len(results) - 1) / 2)
            _dots(ax, place + shift, ratios, COLOURS[key], "os"[row], 0.13)
        ax.scatter([], [], color="0.3", marker="os"[row], label=setup.name)
        names.append(setup.name)
    ax.set_xticks(range(len(shown)), [STYLES[key][0] for key in shown], fontsize=9)
    ax.set_ylabel("length (chords)")
    ax.set_yscale("log")
    canvas.plain(ax.yaxis)
    ax.legend(fontsize=8, frameon=False)
    canvas.title(ax, "length of connectors over that of the straight line")


def _angles(ax: Axes, results: Results) -> None:
    shown = {
        "cosine_starts": "starts",
        "cosine_optima": "optima",
        "cosine_ways": "ways, two\nstarts",
        "cosine_same_start": "ways, same\nstart",
    }
    for row, (setup, sets) in enumerate(results.items()):
        colour = canvas.colours(2)[row]
        for place, name in enumerate(shown):
            values = [found[name] for found in sets]
            shift = 0.3 * (row - (len(results) - 1) / 2)
            _dots(ax, place + shift, values, colour, "os"[row], 0.13)
        ax.scatter([], [], color=[colour], marker="os"[row], label=setup.name)
    ax.axhline(0, color="0.4", ls=":", lw=1.2)
    ax.set_xticks(range(len(shown)), list(shown.values()), fontsize=9)
    ax.set_ylabel("cosine (1)")
    ax.set_ylim(top=1)
    ax.legend(fontsize=8, frameon=False, loc="upper left")
    canvas.title(ax, "angles between independent networks; way: from start to optimum")


def _norms(ax: Axes, results: Results) -> None:
    for row, (setup, sets) in enumerate(results.items()):
        curves = [found["curves"]["hyperplane"] for found in sets]
        colour, dash = canvas.colours(2)[row], ("-", "--")[row]
        relative = [
            np.interp(GRID, curve["alphas"], np.asarray(curve["norm"]) / curve["norm"][0])
            for curve in curves
        ]
        for values in relative:
            ax.plot(GRID, values, ls=dash, color=colour, lw=0.7, alpha=0.4)
        ax.plot(GRID, np.median(relative, axis=0), ls=dash, color=colour, lw=2.4, label=setup.name)
    level = np.sqrt(GRID**2 + (1 - GRID) ** 2)
    ax.plot(GRID, level, color="0.4", ls=":", lw=1.2, label="chord between orthogonal optima")
    _along(ax)
    ax.set_ylabel("norm of the weights (first optimum's)")
    ax.legend(fontsize=8, frameon=False)
    canvas.title(ax, "norm of the weights on the hyperplane connector")


if __name__ == "__main__":
    main()
