"""Sharp directions of arXiv:1906.04724, figure 4, beside comparisons at equal loss.

Hessian eigenvalues above a cut are counted at points of the hyperplane connector between two
optima, at the centroids of connectors of more optima, and at optima of several learning rates.
Where the loss is higher, more directions are sharp for that reason alone, so each comparison is
made after so many epochs and again at the first snapshots below one training loss, as they are and
with the gradient norm held fixed. H4 and the curvature half of H5 are judged. Claims with the
gradient norm held fixed were added when the others had been seen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence.cells import kept, over, trained
from evidence.figure import Flags, Made
from evidence.panels import head, label, lines, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import Found, Rows, Values
from scipy.stats import gmean

import jumpretrain as jr
from jumpretrain.plots import canvas
from jumpretrain.states.planes import normal_to
from jumpretrain.tasks.task import digest

CUTS = (0.03, 0.05, 0.1, 0.3, 1.0)  # the first three are the paper's
SHORT, EQUAL, LOSS = "a quarter of the epochs", "as many epochs", "equal loss"
WAYS = (SHORT, EQUAL, LOSS)
HELD = "equal loss, gradient norm held fixed"
SMALL = 500  # weights up to which the whole Hessian is cheaper than Lanczos
MORE = float(np.log2(1.25))  # the least ratio of counts that is called more
TWICE = 1.0  # the model's ratio of the middle to the ends
FALLS = float(np.log2(1.5))  # the least ratio of counts over eightfold rates


@dataclass(frozen=True)
class Setup:
    """Networks of one kind."""

    name: str
    network: Literal["mlp", "cnn"]  # on digits, on Fashion-MNIST
    sizes: tuple[int, int]  # numbers of training and test examples
    scored: int  # training examples of the loss and its Hessian
    hidden: tuple[int, ...]  # widths of the MLP's hidden layers
    sets: int  # independent sets of networks, and networks for each rate
    largest: int  # m; a set has so many networks and one more
    inner: int  # nodes between two optima
    epochs: int  # of optima and nodes
    rates: tuple[float, ...]  # from low to high; the last for sets
    long: int  # epochs of networks of each rate
    levels: tuple[float, ...]  # training losses (nats) at which all is compared; one is judged
    slow: float  # training loss that networks of all rates reach
    cut: float = 0.03  # curvature above which a direction is sharp, for what is judged
    higher: float = 0.1  # another, up to which ratios may grow
    dtype: Literal["float64", "float32"] = "float64"  # in which eigenvalues are found

    @property
    def cuts(self) -> list[float]:
        """All cuts from the one that is judged on."""
        return [cut for cut in CUTS if cut >= self.cut]

    @property
    def ladder(self) -> dict[str, float]:
        """The levels, by what rows call them."""
        return {f"{LOSS} {level:g}" if k else LOSS: level for k, level in enumerate(self.levels)}


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
Kinds = Sequence["Counts"]
recipe = partial(fort.recipe, record_every=1)
STYLES = (("-", "o"), ("--", "s"))
IN_THE_MIDDLE = "more directions are sharp in the middle than at the ends"


def make(asked: Flags) -> Made:
    setups = QUICK if asked.quick else FULL
    work: list[tuple[Any, ...]] = []
    for setup in setups:
        work += [(asked, setup, joined, number) for number in range(setup.sets)]
        work += [(asked, setup, sped, rate) for rate in setup.rates]
    parts = over(asked, measured, work, "sets and rates")
    table = pd.DataFrame([row for part in parts for row in part])
    missed = int((table["loss"] > 1.001 * table["level"]).sum())
    kinds = [Counts(setup, table[table["setup"] == setup.name]) for setup in setups]
    claims = [claim for counts in kinds for claim in judged(counts)]
    figure = sheet((16, 10), (2, 3), [
        (_profile, kinds[0]), (_centroids, kinds[0]), (_rates, kinds),
        (_cuts, kinds), (_losses, kinds), (_gradients, kinds),
    ])  # fmt: skip
    head(figure, finding(kinds, claims), claims, caption(kinds, missed))
    facts = {"setups": [asdict(setup) for setup in setups], "missed": missed, "claims": claims}
    return figure, facts | {
        "recipe": asdict(recipe(setups[0].epochs, RATES[-1])),
        "seeds": "network k of a set: set * (largest + 1) + k; of a rate: 0 to sets - 1",
        "spectra": f"by Lanczos above the judged cut; whole up to {SMALL} weights",
        "note": f"claims of {HELD} were added when the others had been seen",
        "states": table.astype(object).where(table.notna(), None).to_dict("records"),
    }


def measured(asked: Flags, setup: Setup, measure: Callable[..., Rows], which: float) -> Rows:
    """Train and measure a set of networks, or those of a rate: rows say how states were chosen."""
    data: fort.Data = "digits" if setup.network == "mlp" else "fashion"
    task = fort.build(data, setup.sizes, setup.hidden, fort.NARROW, scored=setup.scored)
    return measure(asked, setup, task, which, partial(along, asked, setup, task))


def joined(asked: Flags, setup: Setup, task: jr.Task, number: int, look: Any) -> Rows:
    """Join the first two networks of a set, and find centroids, in the planes normal to them."""
    name, rows = f"{setup.network}-{number}", []
    seeds = [number * (setup.largest + 1) + k for k in range(setup.largest + 1)]
    how = recipe(setup.epochs, setup.rates[-1])
    runs = trained(asked, name, task, how, seeds, jobs=1)
    for k in (0, 1):
        facts = {"set": number, "kind": "end", "m": 0, "alpha": float(k)}
        epochs = dict.fromkeys((SHORT, EQUAL), setup.epochs)
        rows += look(runs, k, facts, epochs, setup.ladder)
    alphas = np.linspace(0, 1, setup.inner + 2)[1:-1]
    for m in range(1, setup.largest + 1):
        shares = np.c_[1 - alphas, alphas] if m == 1 else np.full((1, m + 1), 1 / (m + 1))
        ends = runs.final[: m + 1]
        start = (shares @ ends.astype(np.float64)).astype(ends.dtype)
        plane = normal_to((ends[1:] - ends[0])[:, : task.weight_count])
        execution = jr.Execution(progress=False, chunk=1 if task.convolutional else len(start))
        place, numbers = asked.work / f"{name}-m{m}", range(len(start))
        nodes = jr.train(task, how, numbers, start, place, execution, planes=plane)
        for k, share in enumerate(shares):
            centre = bool(np.allclose(share, share[0]))
            facts = {"set": number, "kind": "node", "m": m, "alpha": share[1], "centre": centre}
            epochs = {SHORT: setup.epochs // 4} | ({EQUAL: setup.epochs} if centre else {})
            levels = setup.ladder if centre and m == 1 else {LOSS: setup.levels[0]}
            rows += look(nodes, k, facts, epochs, levels)
    return rows


def sped(asked: Flags, setup: Setup, task: jr.Task, rate: float, look: Any) -> Rows:
    """Train networks at a rate."""
    name, seeds = f"{setup.network}-rate-{rate:g}", range(setup.sets)
    runs = trained(asked, name, task, recipe(setup.long, rate), seeds, jobs=1)
    facts, how = {"kind": "rate", "rate": rate}, ({EQUAL: setup.long}, {LOSS: setup.slow})
    return [row for k in seeds for row in look(runs, k, {"set": k} | facts, *how)]


def along(
    asked: Flags, setup: Setup, task: jr.Task, runs: jr.Runs, run: int, facts: Found,
    epochs: Mapping[str, int], levels: Mapping[str, float],
) -> Rows:  # fmt: skip
    """Measure a run after some epochs, and where it first reaches losses, or is lowest."""
    losses = runs.metrics["train_loss"][run]
    wanted = [(way, epoch, np.nan) for way, epoch in epochs.items()]
    for way, level in levels.items():
        below = np.flatnonzero(losses <= level)
        wanted.append((way, int(below[0] if len(below) else losses.argmin()), level))
    return [
        {"setup": setup.name, **facts, "way": way, "epoch": epoch, "level": level}
        | spectrum(asked, setup, task, runs.states[run, epoch])
        for way, epoch, level in wanted
    ]


def spectrum(asked: Flags, setup: Setup, task: jr.Task, state: Values) -> Found:
    """Count sharp directions, or read what was kept of the same state."""

    def measure() -> Found:
        method = "exact" if task.weight_count <= SMALL else "lanczos"
        found = fort.sharp_directions(task, state, setup.cut, method, setup.dtype)
        norm = np.linalg.norm(state[: task.weight_count].astype(np.float64))
        more = {"largest": found.eigenvalues.max(initial=0.0), "norm": norm}
        more |= {f"above {cut:g}": found.above(cut) for cut in setup.cuts}
        return fort.taken(found, "trace", "frobenius", "loss", "gradient_norm") | more

    folder = asked.work / f"{setup.network}-sharp-{setup.scored}-{setup.cut:g}"
    return dict(kept(folder / f"{digest(state)}.json", setup.cuts, measure))


@dataclass(frozen=True, eq=False)
class Counts:
    """What was measured on networks of one kind; counts are log2, one value a set."""

    setup: Setup
    table: pd.DataFrame

    def column(self, name: str, way: str, kind: str, **where: float) -> Values:
        """Take one value a set of what was measured."""
        some = self.table
        for key, value in {"way": way, "kind": kind, **where}.items():
            some = some[some[key] == value]
        return some.sort_values("set")[name].to_numpy(dtype=float)

    def of(self, way: str, kind: str, cut: float | None = None, **where: float) -> Values:
        """Take counts above a cut, the judged one where left out; 0 is taken for 1."""
        name = f"above {cut or self.setup.cut:g}"
        counts = np.maximum(self.column(name, LOSS if way == HELD else way, kind, **where), 1)
        if way != HELD:
            return np.log2(counts)
        steep = self.column("gradient_norm", LOSS, kind, **where)
        return np.log2(counts) - self.slope(name) * np.log2(steep)

    def centre(self, way: str, m: int, cut: float | None = None) -> Values:
        """Take those of centroids; for m = 0, of both ends on average."""
        if m:
            return self.of(way, "node", cut, m=m, centre=1)
        return np.mean([self.of(way, "end", cut, alpha=k) for k in (0, 1)], axis=0)

    def rise(self, way: str, cut: float | None = None) -> Values:
        """Compare the middle between two optima with them."""
        return self.centre(way, 1, cut) - self.centre(way, 0, cut)

    def growth(self, way: str) -> Values:
        """Compare the centroid of most optima with that of two."""
        return self.centre(way, self.setup.largest) - self.centre(way, 1)

    def gain(self, way: str) -> Values:
        """Compare the highest rate with the lowest."""
        low, *_, high = (self.of(way, "rate", rate=rate) for rate in self.setup.rates)
        return high - low

    def slope(self, name: str) -> float:
        """Estimate the power of the gradient norm that a count goes with, at equal loss.

        Least squares of logarithms within sets, over the ends and the nodes between two of them.
        """
        some = self.table[(self.table["way"] == LOSS) & (self.table["m"] <= 1)]
        logs = np.log(np.maximum(some[[name, "gradient_norm"]].astype(float), 1e-9))
        count, norm = (logs - logs.groupby(some["set"]).transform("mean")).to_numpy().T
        return float(count @ norm / (norm @ norm))


def judged(counts: Counts) -> list[Found]:
    name, ways = counts.setup.name, (*WAYS, HELD)
    return [one for way in ways for one in fort.judge(f"{name}, {way}: ", said(counts, way))]


def said(counts: Counts, way: str) -> list[tuple[Any, ...]]:
    """Say what is judged of one way; with the gradient norm held fixed, less."""
    setup, ratio, last = counts.setup, counts.rise(way), counts.setup.largest
    above, half = f"log2 of the ratio of counts above {setup.cut:g}", (last + 1) // 2
    unit, one, middle, many = (2 ** counts.centre(way, m) for m in (0, 1, half, last))
    rows = [
        ("H4", IN_THE_MIDDLE, f"{above}, middle over ends", ratio, MORE),
        ("H4", "more than twice as many are", f"{above}, middle over ends", ratio, TWICE),
        ("H4", f"the ratio is larger for a cut of {setup.higher:g} than for {setup.cut:g}",
         "difference of log2 ratios", counts.rise(way, setup.higher) - ratio, 0.25),
        ("H4", f"more directions are sharp at the centroid for m = {last} than for m = 1",
         above, counts.growth(way), MORE),
        ("H4", f"the count gains less from m = {half} to {last} than from 1 to {half}",
         "difference of gains, in counts of the ends", (2 * middle - one - many) / unit, 0.1),
    ][: 5 if last > 1 else 3]  # fmt: skip
    if way != SHORT:
        fewer = f"fewer directions are sharp for a rate {RATES[-1] / RATES[0]:g} times as high"
        rows.append(("H5", fewer, f"{above}, lowest rate over highest", -counts.gain(way), FALLS))
    return [row for row in rows if way != HELD or row[-1] in (MORE, FALLS)]


def finding(kinds: Kinds, claims: Rows) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}

    def chain(measure: Callable[[str], Values], first: str) -> str:
        return " → ".join(_times(measure(way)) for way in (first, LOSS, HELD))

    middles = {}
    for one in kinds:
        said = (f"{one.setup.name}, {way}: {IN_THE_MIDDLE}" for way in (SHORT, LOSS))
        middles[one] = " / ".join(verdicts[claim] for claim in said)
    return (
        "More sharp directions in the middle than at the ends, after brief training / at equal "
        f"loss: {_listed(middles)}\n"
        "ratio of counts, as trained → at equal loss → with the gradient norm held fixed too: "
        f"middle over ends {_listed({one: chain(one.rise, SHORT) for one in kinds})};\n"
        f"m = {kinds[0].setup.largest} over m = 1: "
        f"{_listed({kinds[0]: chain(kinds[0].growth, SHORT)})}; "
        f"highest over lowest rate: {_listed({one: chain(one.gain, EQUAL) for one in kinds})}"
    )


def caption(kinds: Kinds, missed: int) -> str:
    said = ""
    for counts in kinds:
        setup, steep = counts.setup, partial(counts.column, "gradient_norm", LOSS)
        said += (
            f"{setup.name}: n = {setup.sets} sets of {setup.largest + 1} networks, and "
            f"{setup.sets} networks a rate, one seed each; Adam, batches of 32, {setup.epochs} "
            f"epochs (rates: {setup.long}); Hessian of the training loss on {setup.scored} of "
            f"{setup.sizes[0]} images; median gradient norm at a loss of {setup.levels[0]:g}: "
            f"nodes {np.median(steep('node')):.2g}, ends {np.median(steep('end')):.2g}. "
        )
    return said + (
        "Thin: sets; thick: geometric means. Equal loss: each run's first epoch below it; "
        f"{missed} states never come below and stand where they come nearest. Otherwise ends are "
        "trained fully, nodes as the colour says."
    )


def _listed(said: Mapping[Counts, str], joint: str = ", ") -> str:
    return joint.join(f"{words} ({counts.setup.name})" for counts, words in said.items())


def _times(values: Values) -> str:
    return f"{2 ** np.mean(values):.2f}"


def _lines(ax: Axes, x: Any, rows: Sequence[Values], style: Any, color: Any, name: str) -> None:
    """Draw a thin line a set through log2 values (X, sets), and a thick one for their means."""
    counts, (dash, mark) = 2 ** np.transpose(rows), style
    lines(ax, x, counts, color, name, gmean, dash, marker=mark, ms=5)


def _finish(ax: Axes, across: str, kinds: Kinds, text: str, logs: str = "y") -> None:
    ax.margins(y=0.3)
    first, *others = (f"{counts.setup.cut:g}" for counts in kinds)
    above = f"eigenvalues above {first}" + "".join(f" (dashed, squares: {cut})" for cut in others)
    label(ax, across, above, text, logs)


def _profile(ax: Axes, counts: Counts) -> None:
    setup = counts.setup
    inner = np.linspace(0, 1, setup.inner + 2)[1:-1]
    for way in WAYS:
        middle = [0.5] if way == EQUAL else inner
        nodes = [counts.of(way, "node", m=1, alpha=alpha) for alpha in middle]
        first, last = (counts.of(way, "end", alpha=k) for k in (0, 1))
        name = f"{way} ({setup.levels[0]:g} nats)" if way == LOSS else f"nodes: {way}"
        _lines(ax, [0, *middle, 1], [first, *nodes, last], STYLES[0], COLOURS[way], name)
    short, equal, loss = (_times(counts.rise(way)) for way in WAYS)
    text = f"{setup.name}, middle over ends: {short} after a quarter of the epochs, {equal} after "
    text += f"all, {loss} at equal loss"
    _finish(ax, "node of the hyperplane connector, alpha", [counts], text)


def _centroids(ax: Axes, counts: Counts) -> None:
    places = range(counts.setup.largest + 1)
    for way in WAYS:
        rows = [counts.centre(way, m) for m in places]
        _lines(ax, list(places), rows, STYLES[0], COLOURS[way], way)
    ax.set_xticks(list(places))
    short, _, loss = (_times(counts.growth(way)) for way in WAYS)
    text = f"{counts.setup.name}, centroids, m = {counts.setup.largest} over m = 1: {short} after "
    text += f"a quarter of the epochs, {loss} at equal loss"
    _finish(ax, "m, of m + 1 optima joined (0: the optima)", [counts], text)


def _losses(ax: Axes, kinds: Kinds) -> None:
    end, middle = canvas.colours(5)[3:]
    for style, counts in zip(STYLES, kinds, strict=False):
        ways, name = counts.setup.ladder, counts.setup.name
        ends = [counts.of(way, "end", alpha=0) for way in ways]
        _lines(ax, counts.setup.levels, ends, style, end, f"{name}, on the way to an end")
        nodes = [counts.centre(way, 1) for way in ways]
        _lines(ax, counts.setup.levels, nodes, style, middle, f"{name}, to the middle node")
    text = "sharp directions against the loss, at first epochs below it"
    _finish(ax, "training loss (nats)", kinds, text, "xy")


def _cuts(ax: Axes, kinds: Kinds) -> None:
    for style, counts in zip(STYLES, kinds, strict=False):
        for way in WAYS:
            rows = [counts.rise(way, cut) for cut in counts.setup.cuts]
            name = way if counts is kinds[0] else "_"
            _lines(ax, counts.setup.cuts, rows, style, COLOURS[way], name)
        ax.plot([], [], style[0], marker=style[1], color="0.3", label=counts.setup.name)
    ax.axhline(1, color="0.4", lw=1.2)
    ax.axhline(2, color="0.4", ls=":", lw=1.2, label="the model's")
    highs = [(counts, counts.setup.higher) for counts in kinds]
    grown = {counts: f"{_times(counts.rise(LOSS, cut))} above {cut:g}" for counts, cut in highs}
    text = f"middle over ends by the cut, at equal loss: {_listed(grown)}"
    ax.margins(y=0.3)
    up = "ratio of counts, middle over ends (1)"
    label(ax, "cut (nats per squared weight)", up, text, "xy", ncols=2)


def _gradients(ax: Axes, kinds: Kinds) -> None:
    places = {"ends": (0, 0), "nodes between two": (1, 1), "centroids of more": (2, np.inf)}
    powers = {}
    for (_, mark), counts in zip(STYLES, kinds, strict=False):
        table, name = counts.table[counts.table["way"] == LOSS], f"above {counts.setup.cut:g}"
        for colour, (words, ms) in zip(canvas.colours(3), places.items(), strict=True):
            some = table[table["m"].between(*ms)]
            look = {"color": colour, "ms": 5, "alpha": 0.6, "mew": 0}
            look |= {"label": f"{counts.setup.name}, {words}"} if len(some) else {}
            ax.plot(some["gradient_norm"], some[name], mark, **look)
        powers[counts] = f"{counts.slope(name):.2f}"
    text = f"at equal loss counts go as the gradient norm to the power {_listed(powers, ' and ')}"
    _finish(ax, "gradient norm (nats per weight)", kinds, text, "xy")


def _rates(ax: Axes, kinds: Kinds) -> None:
    found = {}
    for style, counts in zip(STYLES, kinds, strict=False):
        setup = counts.setup
        names = {EQUAL: f"{setup.long} epochs", LOSS: f"{LOSS} ({setup.slow:g} nats)"}
        for way, name in names.items():
            rows = [counts.of(way, "rate", rate=rate) for rate in setup.rates]
            _lines(ax, setup.rates, rows, style, COLOURS[way], f"{setup.name}, {name}")
        found[counts] = " → ".join(_times(counts.gain(way)) for way in names)
    ax.set_xscale("log")
    ax.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    ax.minorticks_off()
    text = f"optima, highest over lowest rate, as trained → at equal loss: {_listed(found)}"
    _finish(ax, "learning rate of Adam", kinds, text)
