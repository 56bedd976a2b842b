"""Low-loss connectors of arXiv:1906.04724, figures 1 and 3, on real networks.

Independent pairs of trained networks are joined by the straight line, the hyperplane connector,
the refined one and a Bezier curve of equal gradient count; untrained networks by a hyperplane
connector of the same budget (the null). Loss along them, cosines between deviations from the
straight line, labels that change, angles between networks. H1 to H3 and H9 are judged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from evidence.cells import QUIET, spread_kept, trained
from evidence.figure import Flags, Made
from evidence.panels import dots, head, label, lines, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import INNER, Found, Rows, Values, column, recipe

import jumpretrain as jr
from jumpretrain.plots import canvas

FIRST_TWIN = 10_000  # seed
GRID = np.linspace(0, 1, 101)
REMOVED, FLOOR = 0.5, 1e-3  # share of the barrier; nats below which none counts
NULL = 2.0  # the least ratio of the null's largest loss to the connector's
ALONG, ACROSS = 0.5, 0.2  # cosines within a half and across
SMALL = 0.1  # cosine of independent optima


@dataclass(frozen=True)
class Setup:
    """Pairs of MLPs on digits, or of CNNs."""

    data: fort.Data
    hidden: tuple[int, ...]
    sizes: tuple[int, int]  # numbers of training and test examples
    training: jr.Recipe
    points: jr.Recipe  # of connectors
    pairs: int
    each: int  # steps scored on each piece
    rounds: int  # of refinement, at most

    @property
    def name(self) -> str:
        """What the figure calls it."""
        return fort.NAMES[self.data]


FULL = (
    Setup("fashion", (), (1000, 500), recipe(40, 0.002), recipe(12, 0.001), 5, 5, 4),
    Setup("digits", (64, 64), (1257, 540), recipe(40, 0.05, 64, "sgd"), recipe(20, 0.001, 64),
          6, 5, 6),
)  # fmt: skip
SGD = recipe(30, 0.1, 64, "sgd")
QUICK = (Setup("digits", (32,), (200, 150), SGD, recipe(4, 0.005, 64), 3, 3, 1),)
STYLES = {"straight": "--", "hyperplane": "-", "refined": "-.", "bezier": ":", "null": ":"}
COLOURS = dict(zip(STYLES, canvas.colours(len(STYLES)), strict=True))
ALPHA = "alpha, share of the way between the networks (1)"
Results = Mapping[Setup, Rows]


def make(asked: Flags) -> Made:
    setups = QUICK if asked.quick else FULL
    cells = [(setup, number) for setup in setups for number in range(setup.pairs)]
    jobs = [(f"{setup.data}-{k}", replace(setup, pairs=0), setup, k) for setup, k in cells]
    found = iter(spread_kept(asked, connected, jobs, "pairs of networks"))
    results = {setup: [next(found) for _ in range(setup.pairs)] for setup in setups}
    claims = [claim for setup, pairs in results.items() for claim in judged(setup, pairs)]
    figure = sheet((5.6 * (len(results) + 1), 10), (2, len(results) + 1), [
        *((_losses, *one) for one in results.items()), (_labels, *next(iter(results.items()))),
        *((_cosines, *one) for one in results.items()), (_angles, results),
    ])  # fmt: skip
    head(figure, finding(results, claims), claims, caption(results))
    facts = {"setups": [asdict(setup) for setup in setups], "inner": INNER, "claims": claims}
    seeds = {setup.name: [0, 2 * setup.pairs - 1] for setup in setups}
    pairs = {setup.name: rows for setup, rows in results.items()}
    return figure, facts | {"seeds": seeds, "pairs": pairs}


def connected(asked: Flags, setup: Setup, number: int) -> Found:
    """Train a pair of networks and join them in each way."""
    task, name = fort.build(setup.data, setup.sizes, setup.hidden), f"{setup.data}-{number}"
    train = partial(trained, asked, task=task, recipe=setup.training, jobs=1)
    seeds = [2 * number, 2 * number + 1]
    runs = train(f"{name}-networks", seeds=seeds)
    starts, optima = runs.initial, runs.final
    twin = train(f"{name}-twin", seeds=[FIRST_TWIN + number], states=starts[:1]).final[0]
    curves = joined(setup, task, starts, optima, asked.work / name)
    line = jr.interpolate(task, optima[0], twin, 11, execution=QUIET)
    alphas, changed = curves["hyperplane"].alphas, curves["hyperplane"].changed
    middle = (alphas >= 0.4) & (alphas <= 0.6)
    found = {"seeds": seeds, "twin_barrier": float(line.barrier()), "changed": changed.round(4)}
    found |= {"apart": float(changed[-1, 0]), "most_changed": float(changed[middle, 0].max())}
    found["final"] = {name: values[:, -1] for name, values in runs.metrics.items()}
    found["curves"] = {name: scored(curve, name) for name, curve in curves.items()}
    return found | turning(curves["hyperplane"]) | angles(task, starts, optima, twin)


def joined(
    setup: Setup, task: jr.Task, starts: Values, optima: Values, folder: Path
) -> dict[str, jr.Connector]:
    share = {"each": setup.each, "execution": QUIET}
    bent = partial(jr.connect, task, recipe=setup.points, inner=INNER, **share)
    longer = replace(setup.points, epochs=setup.points.epochs * INNER)
    return {
        "hyperplane": bent(optima, folder=folder),
        "refined": bent(optima, refine=True, rounds=setup.rounds, folder=folder),
        "bezier": jr.connect(
            task, optima, "bezier", inner=1, recipe=longer, folder=folder / "bezier",
            each=setup.each * (INNER + 1) // 2, execution=QUIET,
        ),
        "null": bent(starts, folder=folder / "null"),
    }  # fmt: skip


def scored(curve: jr.Connector, name: str) -> Found:
    """Keep what is drawn and judged of a curve; the peak lies between its first and last node."""
    alphas, losses = curve.alphas, curve.metrics["train_loss"]
    nodes = alphas[np.flatnonzero(curve.shares.max(axis=1) > 1 - 1e-9)]
    low, high = (1 / (INNER + 1), INNER / (INNER + 1)) if name == "bezier" else nodes[[1, -2]]
    found = {"alphas": alphas.round(4), "train_loss": losses.round(5), "nodes": len(curve.nodes)}
    found["straight_train_loss"] = curve.straight_metrics["train_loss"].round(5)
    found["peak"] = float(losses[(alphas >= low) & (alphas <= high)].max())
    found["lowest_test_accuracy"] = float(curve.metrics["test_accuracy"].min())
    return found | fort.taken(curve, "barrier", "linear_barrier", "length_ratio")


def turning(curve: jr.Connector) -> Found:
    """Say where deviations turn, and where the loss is highest, piece by piece."""
    cosines = curve.deviation_cosines()
    names = ("within", "across", "sideways_within", "sideways_across")
    losses, pieces = curve.metrics["train_loss"], INNER + 1
    each = (len(losses) - 1) // pieces
    tops = [losses[k * each : (k + 1) * each + 1].max() for k in range(pieces)]
    found = {"cosines": cosines.round(4), "top": int(np.argmax(tops))}
    found["turn"] = int(np.diag(cosines, 1).argmin()) + 1
    return found | dict(zip(names, (*curve.half_cosines(), *sideways(curve)), strict=True))


def sideways(curve: jr.Connector) -> tuple[float, float]:
    """Compare deviations without their part towards larger norms, within halves and across.

    The chord of two optima of equal norm comes nearer to the origin than either; the way back
    out is the same for all nodes (derived).
    """
    nodes = curve.nodes.astype(np.float64)
    rows = nodes[:, : curve.provenance["weights"]]
    chord, out = rows[-1] - rows[0], rows[-1] + rows[0]
    out -= (out @ chord) / (chord @ chord) * chord
    rows[1:-1] -= np.outer((rows[1:-1] - rows[0]) @ out / (out @ out), out)
    return replace(curve, nodes=nodes).half_cosines()


def angles(task: jr.Task, starts: Values, optima: Values, twin: Values) -> Found:
    """Compare directions of weights, of starts, and of the ways from start to optimum."""

    def cosine(a: Values, b: Values) -> float:
        a, b = (row[: task.weight_count].astype(np.float64) for row in (a, b))
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    ways, same = optima - starts, twin - starts[0]
    pairs = {"starts": starts, "optima": optima, "ways": ways, "same_start": (ways[0], same)}
    return {f"cosine_{name}": cosine(*both) for name, both in pairs.items()}


def judged(setup: Setup, pairs: Rows) -> list[Found]:
    get = partial(column, pairs)
    left, finer = (get("curves", name, "barrier") for name in ("hyperplane", "refined"))
    peak, null = (get("curves", name, "peak") for name in ("hyperplane", "null"))
    linear = get("curves", "hyperplane", "linear_barrier")
    claims = fort.judge(f"{setup.name}: ", (
        ("H1", "the straight line between independent optima has a barrier", "barrier, nats",
         linear, 0.1),
        ("H2", "the hyperplane connector removes half of the barrier or more",
         "share of the straight line's barrier that is removed", 1 - left / linear, REMOVED),
        ("H2", "refinement halves what is left or more",
         f"log2 of the ratio of barriers, at least {FLOOR} nats each",
         np.log2(np.maximum(left, FLOOR) / np.maximum(finer, FLOOR)), 1.0),
        ("H2", "the same budget between untrained networks leaves a largest loss at least "
         f"{NULL:g} times as high", "log2 of the ratio of largest losses between first and last "
         "node", np.log2(null / peak), np.log2(NULL)),
        ("H3", "deviations agree within a half", "mean cosine", get("within"), ALONG),
        ("H3", f"deviations of different halves have a mean cosine below {ACROSS}",
         f"{ACROSS} minus the mean cosine", ACROSS - get("across"), 0),
        ("H3", "deviations agree within a half much more than across", "difference of mean "
         "cosines", get("within") - get("across"), 0.3),
        ("H3", "in the middle more labels have changed than the optima differ in",
         "largest share of labels changed against the first optimum, alpha .4 to .6, minus the "
         "share in which the optima differ", get("most_changed") - get("apart"), 0.02),
        ("H9", f"independent optima have a cosine within {SMALL} of 0",
         f"{SMALL} minus the absolute cosine", SMALL - np.abs(get("cosine_optima")), 0),
        ("H9", "from the same start, networks go more nearly the same way than from two starts",
         "difference of cosines between the ways from start to optimum",
         get("cosine_same_start") - get("cosine_ways"), 0.1),
    ))  # fmt: skip
    highest = f"{setup.name}: the loss is highest on the piece where deviations turn most"
    share = fort.judge_share(highest, "share of pairs", get("turn") == get("top"), 0.5)
    return [*claims, share]


def caption(results: Results) -> str:
    kinds = []
    for setup in results:
        hidden = f" {setup.hidden}" if setup.hidden else ""
        training, points = fort.told(setup.training), fort.told(setup.points)
        kinds.append(
            f"{setup.name}{hidden}: {setup.sizes[0]} training examples, n = {setup.pairs} "
            f"independent pairs (seeds 0 to {2 * setup.pairs - 1}, second networks from the same "
            f"start {FIRST_TWIN} and up); networks: {training}; points: {points}"
        )
    return ". ".join(kinds) + (
        f". {INNER} nodes between two optima; Bezier: one control point, as many gradients as the "
        "hyperplane nodes together; refined: pieces are halved where the loss rises above both "
        "ends by 2 % of the straight line's barrier, which takes more; untrained: hyperplane "
        "connector between the initialisations, same budget. Thin lines and dots: pairs, thick "
        "lines: medians."
    )


def finding(results: Results, claims: list[Found]) -> str:
    said = []
    for setup in results:
        words = "the hyperplane", "deviations agree within", "deviations of different"
        removed, along, across = (fort.find(claims, f"{setup.name}: {one}") for one in words)
        said.append(
            f"{setup.name}: a hyperplane connector removes {removed['effect']:.0%} of the barrier "
            f"(at least {REMOVED:.0%}: {removed['verdict']})\n    cosine of deviations "
            f"{along['effect']:.2f} within a half (at least {ALONG}: {along['verdict']}), "
            f"{ACROSS - across['effect']:.2f} across (below {ACROSS}: {across['verdict']})"
        )
    return "\n".join(said)


def _line(ax: Axes, rows: Iterable[tuple[Any, Any]], key: str, name: str) -> None:
    shown = [np.interp(GRID, alphas, values) for alphas, values in rows]
    lines(ax, GRID, shown, COLOURS[key], name, np.median, STYLES[key])
    ax.set_xlim(0, 1)


def _losses(ax: Axes, setup: Setup, pairs: Rows) -> None:
    names = {"bezier": "Bezier", "null": "untrained"}
    for key in STYLES:
        flat = key == "straight"
        curves = [found["curves"]["hyperplane" if flat else key] for found in pairs]
        value = "straight_train_loss" if flat else "train_loss"
        _line(ax, ((curve["alphas"], curve[value]) for curve in curves), key, names.get(key, key))
    straight = np.median(column(pairs, "curves", "hyperplane", "linear_barrier"))
    left = [np.median(column(pairs, "curves", key, "barrier")) for key in list(STYLES)[1:4]]
    label(
        ax, ALPHA, "training loss (nats)",
        f"{setup.name}: barrier {straight:.2g} nats straight, {left[0]:.2g} hyperplane, "
        f"{left[1]:.2g} refined, {left[2]:.2g} Bezier (medians)", "y", fontsize=8, ncols=5,
        columnspacing=1, handlelength=1.8, loc="upper center", bbox_to_anchor=(0.5, -0.14),
    )  # fmt: skip


def _cosines(ax: Axes, setup: Setup, pairs: Rows) -> None:
    names = ("within", "across", "sideways_within", "sideways_across")
    along, across, *aside = (np.mean(column(pairs, name)) for name in names)
    title = f"{setup.name}: cosine of deviations {along:.2f} within a half, {across:.2f} across; "
    title += f"without the part towards larger norms {aside[0]:.2f} and {aside[1]:.2f}"
    fort.show_cosines(ax, column(pairs, "cosines"), "mean over pairs", 0.85, title)


def _labels(ax: Axes, setup: Setup, pairs: Rows) -> None:
    alphas, changed = column(pairs, "curves", "hyperplane", "alphas"), column(pairs, "changed")
    _line(ax, zip(alphas, changed[..., 0], strict=True), "hyperplane", "from the first optimum")
    _line(ax, zip(alphas, changed[..., 1], strict=True), "straight", "from the second optimum")
    apart, most = (np.median(column(pairs, name)) for name in ("apart", "most_changed"))
    ax.axhline(apart, color="0.4", ls=":", lw=1.2, label="between the optima")
    title = f"{setup.name}, hyperplane connector: the optima differ in {apart:.2g} of the labels; "
    title += f"in the middle up to {most:.2g} differ from the first (medians)"
    look = {"limits": {"ylim": (0, None)}, "fontsize": 8, "loc": "lower center"}
    label(ax, ALPHA, "test labels changed (fraction)", title, **look)


def _angles(ax: Axes, results: Results) -> None:
    names = ("starts", "optima", "ways", "same_start")
    for row, (setup, pairs) in enumerate(results.items()):
        colour, shift = canvas.colours(2)[row], 0.3 * (row - (len(results) - 1) / 2)
        for place, name in enumerate(names):
            cosines = column(pairs, f"cosine_{name}")
            words = None if place else setup.name
            dots(ax, place + shift, cosines, colour, "os"[row], 0.13, 0.065, words)
    ax.axhline(0, color="0.4", ls=":", lw=1.2)
    places = ["starts", "optima", "ways, two\nstarts", "ways, same\nstart"]
    ax.set_xticks(range(4), places, fontsize=9)
    ax.set_ylim(top=1)
    same, barrier = (
        " and ".join(f"{np.median(column(pairs, name)):.2f}" for pairs in results.values())
        for name in ("cosine_same_start", "twin_barrier")
    )
    title = "angles of networks, and of their ways from start to optimum; same start: cosine "
    title += f"{same}, barrier {barrier} nats (medians)"
    label(ax, "", "cosine (1)", title, fontsize=8, loc="upper left")
