"""Count sharp directions between optima and at optima of several learning rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence.cells import trained
from evidence.figure import Flags
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.execution.execution import spread
from jumpretrain.states.planes import normal_to
from jumpretrain.storage import folders
from jumpretrain.tasks.task import digest

CUTS = (0.03, 0.05, 0.1, 0.3, 1.0)  # the first three are the paper's
SHORT, EQUAL, LOSS = "a quarter of the epochs", "as many epochs", "equal loss"
WAYS = (SHORT, EQUAL, LOSS)
HELD = "equal loss, gradient norm held fixed"
SMALL = 500  # weights up to which the whole Hessian is cheaper than Lanczos

Row = dict[str, Any]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Setup:
    """Networks of one kind.

    Attributes:
        name: What the figure calls it.
        network: `mlp` on digits or `cnn` on Fashion-MNIST.
        sizes: Numbers of training and test examples.
        scored: Training examples of the loss and its Hessian.
        hidden: Widths of the MLP's hidden layers.
        sets: Independent sets of networks, and networks for each rate.
        largest: Largest m; a set has so many networks and one more.
        inner: Nodes between two optima.
        epochs: How long optima and nodes are trained.
        rates: Learning rates from low to high; the last for sets.
        long: How long networks of each rate are trained.
        levels: Training losses (nats) at which ends and middle are compared; the first is judged.
        slow: Training loss that networks of all rates reach.
        cut: Curvature above which a direction is sharp, for what is judged.
        higher: Another cut, up to which ratios may grow.
        dtype: Type of the numbers with which eigenvalues are found.
    """

    name: str
    network: Literal["mlp", "cnn"]
    sizes: tuple[int, int]
    scored: int
    hidden: tuple[int, ...]
    sets: int
    largest: int
    inner: int
    epochs: int
    rates: tuple[float, ...]
    long: int
    levels: tuple[float, ...]
    slow: float
    cut: float = 0.03
    higher: float = 0.1
    dtype: Literal["float64", "float32"] = "float64"

    @property
    def cuts(self) -> list[float]:
        """All cuts from the one that is judged on."""
        return [cut for cut in CUTS if cut >= self.cut]

    @property
    def ladder(self) -> dict[str, float]:
        """The levels, by what rows call them."""
        further = {f"{LOSS} {level:g}": level for level in self.levels[1:]}
        return {LOSS: self.levels[0]} | further

    def task(self) -> jr.Task:
        """Build the task."""
        if self.network == "cnn":
            return fort.cnn(fort.fashion(*self.sizes), fort.NARROW, scored=self.scored)
        data = jr.data.digits().subset(*self.sizes)
        return fort.mlp(data, self.hidden, scored=self.scored)


@dataclass(frozen=True, eq=False)
class Counts:
    """What was measured on networks of one kind; counts are log2, one value a set."""

    setup: Setup
    table: pd.DataFrame

    @property
    def missed(self) -> int:
        """Number of states that never come below the loss asked for."""
        return int((self.table["loss"] > 1.001 * self.table["level"]).sum())

    def column(self, name: str, way: str, kind: str, **where: float) -> Array:
        """Take one value a set of what was measured."""
        some = self.table[(self.table["way"] == way) & (self.table["kind"] == kind)]
        for key, value in where.items():
            some = some[np.isclose(some[key].astype(float), value)]
        return some.sort_values("set")[name].to_numpy(dtype=float)

    def of(self, way: str, kind: str, cut: float | None = None, **where: float) -> Array:
        """Take counts above a cut, the judged one where left out; 0 is taken for 1."""
        name = f"above {cut or self.setup.cut:g}"
        if way == HELD:
            steep = np.log2(self.column("gradient_norm", LOSS, kind, **where))
            return np.asarray(self.of(LOSS, kind, cut, **where) - self.slope(name) * steep)
        return np.log2(np.maximum(self.column(name, way, kind, **where), 1))

    def centre(self, way: str, m: int, cut: float | None = None) -> Array:
        """Take those of centroids; for m = 0, of both ends on average."""
        if m:
            return self.of(way, "node", cut, m=m, centre=1)
        return np.asarray(sum(self.of(way, "end", cut, alpha=k) for k in (0, 1)) / 2)

    def rise(self, way: str, cut: float | None = None) -> Array:
        """Compare the middle between two optima with them."""
        return self.centre(way, 1, cut) - self.centre(way, 0, cut)

    def growth(self, way: str) -> Array:
        """Compare the centroid of most optima with that of two."""
        return self.centre(way, self.setup.largest) - self.centre(way, 1)

    def fall(self, way: str) -> Array:
        """Compare the lowest rate with the highest."""
        low, *_, high = (self.of(way, "rate", rate=rate) for rate in self.setup.rates)
        return low - high

    def slope(self, name: str) -> float:
        """Estimate the power of the gradient norm that a count goes with, at equal loss.

        Least squares of logarithms within sets, over the ends and the nodes between two of them.
        """
        some = self.table[(self.table["way"] == LOSS) & (self.table["m"] <= 1)]
        logs = np.log(np.maximum(some[[name, "gradient_norm"]].astype(float), 1e-9))
        inside = (logs - logs.groupby(some["set"]).transform("mean")).to_numpy()
        return float(inside[:, 0] @ inside[:, 1] / (inside[:, 1] @ inside[:, 1]))


def recipe(epochs: int, rate: float) -> jr.Recipe:
    """Write the recipe of networks and nodes; each epoch is recorded."""
    return fort.recipe(epochs, rate, record_every=1)


def measured(asked: Flags, setups: Sequence[Setup], jobs: int) -> pd.DataFrame:
    """Train and measure what some setups ask for, or read what was kept.

    Returns:
        One row a state: where it stands (`set`, `kind`, `m`, `alpha`, `rate`), in which way it
        was chosen (`way`, `epoch`, `level`), its loss and its spectrum.
    """
    work: list[tuple[Any, ...]] = []
    for setup in setups:
        work += [(_join, asked, setup, number) for number in range(setup.sets)]
        work += [(_rate, asked, setup, rate) for rate in setup.rates]
    parts = spread(_call, work, jr.Execution(n_jobs=jobs), "sets and rates")
    return pd.DataFrame([row for part in parts for row in part])


def _call(function: Callable[..., list[Row]], *arguments: Any) -> list[Row]:
    return function(*arguments)


def _join(asked: Flags, setup: Setup, number: int) -> list[Row]:
    """Join the first two networks of a set; find centroids of the first m + 1."""
    task, name = setup.task(), f"{setup.network}-{number}"
    seeds = [number * (setup.largest + 1) + k for k in range(setup.largest + 1)]
    runs = trained(asked, name, task, recipe(setup.epochs, setup.rates[-1]), seeds, jobs=1)
    look = _Look(asked, setup, task)
    rows = []
    for k in (0, 1):
        facts = {"set": number, "kind": "end", "m": 0, "alpha": float(k)}
        epochs = dict.fromkeys((SHORT, EQUAL), setup.epochs)
        rows += look.along(runs, k, facts, epochs, setup.ladder)
    alphas = np.linspace(0, 1, setup.inner + 2)[1:-1]
    for m in range(1, setup.largest + 1):
        shares = np.c_[1 - alphas, alphas] if m == 1 else np.full((1, m + 1), 1 / (m + 1))
        nodes = _relax(asked, setup, task, f"{name}-m{m}", runs.final[: m + 1], shares)
        for k, share in enumerate(shares):
            centre = bool(np.allclose(share, share[0]))
            facts = {"set": number, "kind": "node", "m": m, "alpha": share[1], "centre": centre}
            epochs = {SHORT: setup.epochs // 4} | ({EQUAL: setup.epochs} if centre else {})
            levels = setup.ladder if centre and m == 1 else {LOSS: setup.levels[0]}
            rows += look.along(nodes, k, facts, epochs, levels)
    return rows


def _relax(
    asked: Flags,
    setup: Setup,
    task: jr.Task,
    name: str,
    ends: NDArray[Any],
    shares: NDArray[np.float64],
) -> jr.Runs:
    """Train points between optima in the plane normal to them, in the optima's own way."""
    start = (shares @ ends.astype(np.float64)).astype(ends.dtype)
    plane = normal_to((ends[1:] - ends[0])[:, : task.weight_count])
    execution = jr.Execution(progress=False, chunk=1 if task.convolutional else len(start))
    return jr.train(
        task, recipe(setup.epochs, setup.rates[-1]), np.arange(len(start)), start,
        asked.work / name, execution, planes=plane,
    )  # fmt: skip


def _rate(asked: Flags, setup: Setup, rate: float) -> list[Row]:
    """Train networks at a rate."""
    task, name = setup.task(), f"{setup.network}-rate-{rate:g}"
    runs = trained(asked, name, task, recipe(setup.long, rate), range(setup.sets), jobs=1)
    look = _Look(asked, setup, task)
    rows = []
    for seed in range(setup.sets):
        facts = {"set": seed, "kind": "rate", "rate": rate}
        rows += look.along(runs, seed, facts, {EQUAL: setup.long}, {LOSS: setup.slow})
    return rows


@dataclass(frozen=True)
class _Look:
    """What is needed to measure states."""

    asked: Flags
    setup: Setup
    task: jr.Task

    def along(
        self,
        runs: jr.Runs,
        run: int,
        facts: Row,
        epochs: Mapping[str, int],
        levels: Mapping[str, float],
    ) -> list[Row]:
        """Measure a run after some epochs, and where it first reaches some losses."""
        losses = runs.metrics["train_loss"][run]
        wanted = [(way, epoch, np.nan) for way, epoch in epochs.items()]
        wanted += [(way, _first(losses, level), level) for way, level in levels.items()]
        return [
            {"setup": self.setup.name, **facts, "way": way, "epoch": epoch, "level": level}
            | self.spectrum(runs.states[run, epoch])
            for way, epoch, level in wanted
        ]

    def spectrum(self, state: NDArray[Any]) -> Row:
        """Count sharp directions, or read what was kept of the same state."""
        setup, task = self.setup, self.task
        folder = self.asked.work / f"{setup.network}-spectra-{setup.scored}-{setup.cut:g}"
        kept = folder / f"{digest(state)}.json"
        if not kept.exists():
            found = jr.sharp_directions(
                task, state, setup.cut, "exact" if task.weight_count <= SMALL else "lanczos",
                setup.dtype, execution=jr.Execution(progress=False),
            )  # fmt: skip
            folders.write_json(kept, {
                **{f"above {cut:g}": found.above(cut) for cut in setup.cuts},
                "largest": found.eigenvalues.max(initial=0.0),
                "trace": found.trace,
                "frobenius": found.frobenius,
                "loss": found.loss,
                "gradient_norm": found.gradient_norm,
                "norm": np.linalg.norm(state[: task.weight_count].astype(np.float64)),
            })  # fmt: skip
        return dict(folders.read_json(kept))


def _first(losses: NDArray[np.float64], level: float) -> int:
    """Find the first snapshot at or below a loss, or the lowest where none is."""
    below = np.flatnonzero(losses <= level)
    return int(below[0] if len(below) else losses.argmin())
