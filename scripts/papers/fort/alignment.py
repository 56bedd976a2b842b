"""Permuted units and shared beginnings: when the straight line between networks has no barrier.

Independent pairs of networks are joined by the straight line and by the hyperplane connector of
arXiv:1906.04724, before and after the units of one are aligned with the other's (the weight
matching of arXiv:2209.04836), for several widths; pairs that share the first epochs are joined by
the straight line (arXiv:1912.05671), and the directions of weights, of starts and of the ways from
start to optimum are compared. H1, H9 and H12 are judged.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from evidence.cells import QUIET, spread_kept, trained
from evidence.figure import Flags, Made
from evidence.judging import correlated
from evidence.panels import dots, head, label, lines, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import INNER, Found, Rows, Values, column

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import spearman
from jumpretrain.ensembles.ensemble import cosines
from jumpretrain.plots import canvas

GRID = np.linspace(0, 1, 21)
FLOOR = 1e-3  # nats below which no barrier counts
NONE, STABLE = 0.05, 0.02  # nats; test error, as in arXiv:1912.05671


@dataclass(frozen=True)
class Setup:
    """Pairs of networks: MLPs of two hidden layers of a width on digits, or CNNs (width 0)."""

    data: fort.Data
    width: int
    sizes: tuple[int, int]  # numbers of training and test examples
    training: jr.Recipe
    points: jr.Recipe | None  # of connectors, where there are any
    shared: tuple[int, ...]  # epochs that branches share, from none to half of all, if any do
    pairs: int

    @property
    def name(self) -> str:
        """What the figure calls it."""
        return fort.NAMES[self.data] + (f" {self.width}" if self.width else "")

    @property
    def short(self) -> str:
        """The same without the data."""
        return self.name.split(" ", 1)[1]


SGD = fort.recipe(40, 0.05, 64, "sgd")
FULL = (
    Setup("fashion", 0, (1000, 1000), fort.recipe(24, 0.002), fort.recipe(10, 0.001),
          (0, 1, 2, 4, 8, 12), 6),
    *(Setup("digits", width, (1000, 500), SGD, *(
        (fort.recipe(15, 0.001, 64), (0, 1, 2, 5, 10, 20)) if width == 64 else (None, ())
    ), 8) for width in (32, 64, 128, 256, 512)),
)  # fmt: skip
SHORT = fort.recipe(20, 0.1, 32, "sgd")
QUICK = (
    Setup("digits", 16, (150, 150), SHORT, fort.recipe(2, 0.005, 64), (0, 10), 3),
    Setup("digits", 32, (150, 150), SHORT, None, (), 3),
)
KINDS = dict(zip(("plain", "aligned"), canvas.colours(2), strict=True))
Results = Mapping[Setup, Rows]


def make(asked: Flags) -> Made:
    setups = QUICK if asked.quick else FULL
    cells = [(setup, number) for setup in setups for number in range(setup.pairs)]
    jobs = [(folder(*one), replace(one[0], pairs=0), *one) for one in cells]
    found = iter(spread_kept(asked, matched, jobs, "pairs"))
    results = {setup: [next(found) for _ in range(setup.pairs)] for setup in setups}
    claims = judged(results)
    joined = {setup: pairs for setup, pairs in results.items() if setup.points}
    apart = {setup: pairs for setup, pairs in results.items() if setup.shared}
    figure = sheet((17, 10), (2, 3), [
        (_widths, results), (_lines, *next(iter(joined.items()))), (_halves, joined),
        (_branches, apart, "barrier", NONE), (_branches, apart, "instability", STABLE),
        (_angles, apart),
    ])  # fmt: skip
    head(figure, finding(results, claims), claims, caption(results))
    facts = {"setups": [asdict(setup) for setup in setups], "inner": INNER, "alphas": GRID}
    rows = {setup.name: pairs for setup, pairs in results.items()}
    seeds = {name: [one["seeds"] for one in pairs] for name, pairs in rows.items()}
    return figure, facts | {"seeds": seeds, "claims": claims, "pairs": rows}


def folder(setup: Setup, number: int) -> str:
    return f"{setup.name.replace(' ', '-')}/{number}"


def matched(asked: Flags, setup: Setup, number: int) -> Found:
    """Train a pair of networks, align, join and branch them."""
    task = fort.build(setup.data, setup.sizes, (setup.width,) * 2)
    seeds, name = [2 * number, 2 * number + 1], folder(setup, number)
    runs = trained(asked, f"{name}/networks", task, setup.training, seeds, jobs=1)
    place, (one, two) = asked.work / name, runs.final
    near = jr.align(task, two, to=one)
    found: Found = {
        "seeds": seeds,
        "final": {name: values[:, -1] for name, values in runs.metrics.items()},
        "lines": {},
        "angles": angles(task, runs.initial, runs.final),
        "aligned_cosine": float(cosines(np.stack([one, near])[:, : task.weight_count])[0, 1]),
        "branches": [branched(task, setup, seeds[0], k, place) for k in setup.shared],
    }
    for kind, end in (("plain", two), ("aligned", near)):
        found["lines"][kind] = line(jr.interpolate(task, one, end, GRID, execution=QUIET))
        if not setup.points:
            continue
        how = {"recipe": setup.points, "inner": INNER, "each": 5, "folder": place / kind}
        curve = jr.connect(task, np.stack([one, end]), **how, execution=QUIET)
        heights = np.interp(GRID, curve.alphas, curve.metrics["train_loss"])
        both = zip(("within", "across"), curve.half_cosines(), strict=True)
        bent = {"train_loss": heights, "barrier": curve.barrier, **dict(both)}
        found.setdefault("connectors", {})[kind] = bent
    return found


def line(path: jr.Path) -> Found:
    """Keep what is drawn and judged of a straight line; heights as for branches."""
    error = path.values("test_error")
    found = {"instability": float(error.max() - error[[0, -1]].mean())}
    loss, barrier = path.values("train_loss"), path.barrier("above_ends")
    return found | {"train_loss": loss, "barrier": barrier}


def angles(task: jr.Task, starts: Values, optima: Values) -> Found:
    """Compare the directions of two starts, of optima, and of the ways from start to optimum."""
    rows = {"starts": starts, "optima": optima, "ways": optima.astype(float) - starts}
    return {name: float(cosines(row[:, : task.weight_count])[0, 1]) for name, row in rows.items()}


def branched(task: jr.Task, setup: Setup, seed: int, shared: int, folder: Path) -> Found:
    """Train two copies on other orders of the data after a shared beginning."""
    how = {"alphas": GRID, "folder": folder / f"shared-{shared}", "execution": QUIET}
    found = jr.branches(task, setup.training, seed, shared, **how)
    start = np.repeat(task.initial(seed)[None], 2, axis=0)
    more = {"instability": found.instability(), "angles": angles(task, start, found.finals)}
    return {"shared": shared} | line(found.paths[0, 1]) | more


def aligned(pairs: Rows) -> Values:
    return column(pairs, "lines", "aligned", "barrier")


def removed(pairs: Rows) -> Values:
    """Give the share of each straight line's barrier that aligning removes."""
    plain = column(pairs, "lines", "plain", "barrier")
    return 1 - aligned(pairs) / np.where(plain > 0, plain, np.nan)


def difference(pairs: Rows, kind: str) -> Values:
    within, across = (column(pairs, "connectors", kind, name) for name in ("within", "across"))
    return within - across


def judged(results: Results) -> list[Found]:
    claims, half = [], "aligning removes half of the straight line's barrier or more"
    for setup, pairs in results.items():
        rows = [("H12", half, "share of the barrier that is removed", removed(pairs), 0.5)]
        rows += said_of_connectors(pairs) if setup.points else []
        rows += said_of_branches(setup, pairs) if setup.shared else []
        claims += fort.judge(f"{setup.name}: ", rows)
    return claims + judged_by_width(results)


def said_of_connectors(pairs: Rows) -> list[tuple[Any, ...]]:
    left = (column(pairs, "connectors", kind, "barrier") for kind in KINDS)
    plain, less = (np.maximum(values, FLOOR) for values in left)
    return [
        ("H12", "aligning halves the barrier that the connector leaves, or more",
         f"log2 of the ratio of barriers, at least {FLOOR} nats each",
         np.log2(plain / less), 1.0),
        ("H12", "aligning lessens the difference between halves of the connector",
         "cosine of deviations within halves minus across, plain minus aligned",
         difference(pairs, "plain") - difference(pairs, "aligned"), 0.1),
    ]  # fmt: skip


def said_of_branches(setup: Setup, pairs: Rows) -> list[tuple[Any, ...]]:
    first, late = (column(pairs, "branches", k, "barrier") for k in (0, -1))
    unstable = column(pairs, "branches", -1, "instability")
    half = f"pairs that share {setup.shared[-1]} of {setup.training.epochs} epochs"
    return [
        ("H1", f"{half} have no barrier of the training loss", f"{NONE} nats minus the barrier",
         NONE - late, 0),
        ("H1", f"{half} are stable", f"{STABLE} minus the rise of the test error above the mean "
         "of the ends", STABLE - unstable, 0),
        ("H1", f"{half} have a lower barrier than pairs that share the start only",
         "difference of barriers, nats", first - late, 0.05),
        ("H9", "from the same start, networks go more nearly the same way than from two starts",
         "difference of cosines between the ways from start to optimum",
         column(pairs, "branches", 0, "angles", "ways") - column(pairs, "angles", "ways"), 0.1),
    ]  # fmt: skip


def judged_by_width(results: Results) -> list[Found]:
    some = {setup: pairs for setup, pairs in results.items() if setup.width}
    widths = np.array([setup.width for setup, pairs in some.items() for _ in pairs])
    claims, how = [], "Spearman's rho over pairs"
    for words, values, sign in (
        ("the share of the barrier that aligning removes grows with width", removed, 1),
        ("the barrier between aligned networks falls with width", aligned, -1),
    ):
        heights = np.concatenate([values(pairs) for pairs in some.values()])
        known = np.isfinite(heights)  # no share where there is no barrier
        found, claim = spearman(widths[known], heights[known]), f"digits MLP: {words}"
        claims.append(correlated("wedges-H12", claim, how, found, int(known.sum()), 0.3, sign))
    return claims


def finding(results: Results, claims: list[Found]) -> str:
    cuts = [float(np.nanmean(removed(pairs))) for pairs in results.values()]
    held = [c["verdict"] for c in claims if c["claim"].endswith("barrier or more")]
    first, pairs = next((s, found) for s, found in results.items() if s.shared)
    levels = [np.median(column(pairs, "branches", k, "barrier")) for k in (0, -1)]
    gaps = [difference(pairs, kind).mean() for kind in KINDS]
    words = "halves of the connector", "are stable"
    lessened, stable = (fort.find(claims, f"{first.name}: ", one)["verdict"] for one in words)
    return (
        f"Aligning units removes {min(cuts):.0%} to {max(cuts):.0%} of the barrier (half or more: "
        f"supported for {held.count('supported')} of {len(held)} kinds of networks)\n"
        f"{first.name}: cosines within minus across halves of a connector go from {gaps[0]:.2f} "
        f"to {gaps[1]:.2f} (lessened: {lessened});\nfrom one start in two orders a barrier of "
        f"{levels[0]:.2g} nats, {levels[1]:.2g} where {first.shared[-1]} of "
        f"{first.training.epochs} epochs are shared (stable: {stable})"
    )


def caption(results: Results) -> str:
    firsts = {setup.data: setup for setup in reversed(results)}
    return "".join(
        f"{fort.NAMES[data]}: {setup.sizes[0]} training and {setup.sizes[1]} test examples, "
        f"n = {setup.pairs} independent pairs of each kind (seeds 0 to {2 * setup.pairs - 1}), "
        f"{fort.told(setup.training)}. "
        for data, setup in firsts.items()
    ) + (
        "MLPs: two hidden layers. Barrier: largest training loss on the straight line "
        f"({len(GRID)} points) minus that of the higher end; connectors: {INNER} nodes. Dots and "
        "thin lines: pairs, bars and thick lines: medians. Way: from start to optimum."
    )


def _both(ax: Axes, place: float, pairs: Rows, way: str, name: str, least: float) -> None:
    """Draw values of plain and aligned pairs, or the least to be drawn, beside each other."""
    for shift, (kind, colour) in zip((-0.17, 0.17), KINDS.items(), strict=True):
        heights = np.maximum(column(pairs, way, kind, name), least)
        dots(ax, place + shift, heights, colour, "o", 0.14, 0.09, None if place else kind)


def _widths(ax: Axes, results: Results) -> None:
    order = sorted(results, key=lambda setup: setup.width or np.inf)
    for place, setup in enumerate(order):
        _both(ax, place, results[setup], "lines", "barrier", FLOOR)
    ax.set_xticks(range(len(order)), [str(setup.width or "CNN") for setup in order])
    cuts = ", ".join(f"{np.nanmean(removed(results[setup])):.0%}" for setup in order)
    label(
        ax, "width of the digits MLP's hidden layers; Fashion-MNIST CNN",
        f"barrier of the training loss (nats; at least {FLOOR:g})",
        f"share of the barrier that aligning removes: {cuts}", "y",
    )  # fmt: skip


def _lines(ax: Axes, setup: Setup, pairs: Rows) -> None:
    for kind, colour in KINDS.items():
        for way, name, dash in (("lines", "straight", "--"), ("connectors", "connector", "-")):
            rows = column(pairs, way, kind, "train_loss")
            lines(ax, GRID, rows, colour, f"{kind}, {name}", np.median, dash)
    left = [np.median(column(pairs, "connectors", kind, "barrier")) for kind in KINDS]
    label(
        ax, "alpha, share of the way between the networks (1)", "training loss (nats)",
        f"{setup.name}: a connector leaves a barrier of {left[0]:.2g} nats, {left[1]:.2g} between "
        "aligned networks", limits={"xlim": (0, 1)},
    )  # fmt: skip


def _halves(ax: Axes, joined: Results) -> None:
    labels, means = [], []
    for setup, pairs in joined.items():
        for name, words in (("within", "within a half"), ("across", "across")):
            _both(ax, len(labels), pairs, "connectors", name, -1)
            labels.append(f"{setup.short},\n{words}")
        gaps = [difference(pairs, kind).mean() for kind in KINDS]
        means.append(f"{gaps[0]:.2f} plain, {gaps[1]:.2f} aligned ({setup.short})")
    ax.axhline(0, color="0.4", ls=":", lw=1.2)
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    title = f"cosine within minus across: {'; '.join(means)}"
    look = {"limits": {"ylim": (None, 1.15)}, "ncols": 2, "loc": "upper center"}
    label(ax, "", "cosine of deviations from the chord (1)", title, **look)


def _branches(ax: Axes, apart: Results, name: str, limit: float) -> None:
    ends = []
    for place, (setup, pairs) in enumerate(apart.items()):
        look = {"color": canvas.colours(4)[2 + place], "marker": "os"[place]}
        x = np.array(setup.shared) / setup.training.epochs
        rows = [[branch[name] for branch in one["branches"]] for one in pairs]
        middle = np.median(rows, axis=0)
        ax.plot(x, np.transpose(rows), ms=4, alpha=0.5, mew=0, lw=0, **look)
        ax.plot(x, middle, lw=2.4, label=setup.name, **look)
        level = np.median(column(pairs, "lines", "plain", name))
        ax.axhline(level, color=look["color"], ls="--", lw=1.2)
        ends.append(f"{middle[0]:.3f} to {middle[-1]:.3f} ({setup.short})")
    ax.plot([], [], color="0.4", ls="--", lw=1.2, label="two starts")
    ax.axhline(limit, color="0.4", ls=":", lw=1.2, label="limit judged")
    ax.set_yscale("symlog", linthresh=limit)
    ax.yaxis.set_major_formatter("{x:g}")
    up, short = "barrier of the training loss (nats)", "barrier"
    if name == "instability":
        up, short = "rise of the test error above its ends' mean", "test error rises by"
    title = f"{short}, 0 to half of the epochs shared: {', '.join(ends)}"
    look = {"limits": {"ylim": (-0.1 * limit, None)}, "loc": "center right"}
    across = "share of the epochs before the pairs part (1)"
    label(ax, across, up, title, **look, bbox_to_anchor=(1, 0.7))
    if name == "instability":
        ax.get_legend().remove()


def _angles(ax: Axes, apart: Results) -> None:
    names, colours = ("starts", "optima", "ways"), canvas.colours(6)[3:]
    looks = list(zip(names, (-0.27, 0, 0.27), colours, "^so", strict=True))
    labels, said = [], []
    for setup, pairs in apart.items():
        places = ((), ("branches", 0), ("branches", -1))
        for place, keys in enumerate(places, len(labels)):
            for name, shift, *look in looks:
                values = column(pairs, *keys, "angles", name)
                dots(ax, place + shift, values, *look, 0.14, 0.09, None if place else name)
        labels += ["two starts", "same start", f"{setup.shared[-1]} epochs\nshared"]
        two, same = (np.median(column(pairs, *keys, "angles", "ways")) for keys in places[:2])
        said.append(f"{same:.2f} from the same, {two:.2f} from two starts ({setup.short})")
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    ax.axhline(0, color="0.4", ls=":", lw=1.2)
    title = f"cosine of the ways from start to optimum: {'; '.join(said)}"
    across = "; ".join(setup.name for setup in apart)
    look = {"limits": {"ylim": (None, 1.2)}, "ncols": 3, "loc": "upper center"}
    label(ax, across, "cosine between the two networks (1)", title, **look)
