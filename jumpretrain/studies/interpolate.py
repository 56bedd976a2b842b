"""InterpolationStudy straight paths: train networks, interpolate from start to end, measure."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from numpy.typing import NDArray
from torch import nn

from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.networks.initialisation import Biases as Kept
from jumpretrain.networks.initialisation import Scheme, initialise
from jumpretrain.networks.models import BUILDERS
from jumpretrain.paths.interpolate import Biases, interpolate, layerwise
from jumpretrain.paths.path import Path
from jumpretrain.states.curves import check_alphas
from jumpretrain.storage import folders, manifests
from jumpretrain.studies.builders import (
    Builder,
    few_examples,
    task_builder,
    train_briefly,
    train_network,
)
from jumpretrain.studies.design import TRAINING, Study, check_limits
from jumpretrain.studies.path_statistics import measure
from jumpretrain.tasks.task import Task

__all__ = ["InterpolationStudy", "MeasuredPath", "interpolate_networks"]

RECIPE = replace(TRAINING, epochs=60)
SHARED = "data data_root train_size test_size model task".split()
CHANGEABLE = frozenset("data_root seeds alphas biases layerwise random".split())
"""What another call may change in a folder: no training depends on it."""
SHAPE = {"hidden", "with_batchnorm"}
BUILT_IN = "scheme scale trained_biases hidden with_batchnorm".split()
"""What can be changed of the networks of the built-in tasks."""
LIMITS = {"seeds": (1, 10_000), "random": (0, 10_000)}
WIDEST = 100_000
UNRELATED = 1_000_000
"""First seed of the unrelated initialisations, beyond those of all networks."""
Build = Callable[[int], Task]
Ends = tuple[NDArray[Any], NDArray[Any]]


@checked
@dataclass(frozen=True)
class InterpolationStudy:
    """Which networks are trained and how their paths are scored.

    Attributes:
        data: `digits`, `mnist`, `fashion_mnist` or `cifar10`.
        data_root: Folder with the npz file of the data, see `data.load`.
        train_size: Number of training examples to draw; all where left out.
        test_size: Number of test examples to draw; all where left out.
        model: Name of a network in `models.BUILDERS`.
        scheme: Law of its fresh weights, see `initialise`; `torch` keeps the builder's.
        scale: What its fresh weights are multiplied by.
        trained_biases: Which biases of the linear and convolutional layers there are, and are
            trained: `all`, that of the `last` layer, or `none`.
        hidden: Width of each hidden layer of the `mlp`; the builder's where empty.
        with_batchnorm: Whether BatchNorm stands in each hidden layer of the `mlp`.
        noise: Share of training labels redrawn.
        seeds: Number of networks.
        training: How networks are trained.
        task: A task of one's own, `module:function`, called as `function(seed, group)`.
        group: What that function is called with.
        start: File with one network's weights at alpha 0, instead of training; goes with `end`.
        end: File with the weights at alpha 1.
        alphas: How many points a path has, 3 or more, or the points themselves, from 0 to 1.
            Gauss lengths are lower bounds, which grow with their number.
        biases: How biases move along a path, one path a network for each: `linear`,
            `homogeneous`, `start`, `end`, `zero`; see `interpolate`.
        layerwise: Whether each layer is moved alone as well, the others at the end.
        random: Number of unrelated initialisations from which a path leads to each end.
    """

    data: str = "digits"
    data_root: str | None = None
    train_size: int | None = None
    test_size: int | None = None
    model: str = "mlp"
    scheme: Scheme = "torch"
    scale: float = 1.0
    trained_biases: Kept = "all"
    hidden: tuple[int, ...] = ()
    with_batchnorm: bool = False
    noise: float = 0.0
    seeds: int = 5
    training: Recipe = RECIPE
    task: str | None = None
    group: str = "generalise"
    start: pathlib.Path | None = None
    end: pathlib.Path | None = None
    alphas: int | tuple[float, ...] = 51
    biases: tuple[Biases, ...] = ("linear",)
    layerwise: bool = False
    random: int = 0

    def __post_init__(self) -> None:
        check_limits(self, LIMITS)
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise is a share of the labels, 0 to 1, but is {self.noise}")
        if (self.start is None) != (self.end is None):
            raise ValueError("start and end go together, but only one is given; name both files")
        alphas = check_alphas(self.alphas).tolist()
        if (alphas[0], alphas[-1]) != (0, 1) or len(alphas) < 3:
            raise ValueError(
                f"alphas of a study are 3 or more from 0 to 1, but {len(alphas)} from "
                f"{alphas[0]} to {alphas[-1]}"
            )
        if not 0 < len(self.biases) == len(set(self.biases)):
            raise ValueError(
                f"biases must be 1 or more, each once, but are {self.biases}; pass linear"
            )
        _ = self.as_study
        self._check_changes()

    def _check_changes(self) -> None:
        if self.task is not None and self.changes:
            raise ValueError(f"{self.changes[0]} is the built-in tasks', leave it out beside task")
        for name in self.changes:
            if self.model != "mlp" and name in SHAPE:
                raise ValueError(f"{name} is the mlp's, leave it out beside model {self.model}")
        _model(self, BUILDERS[self.model])
        if not all(1 <= width <= WIDEST for width in self.hidden):
            raise ValueError(f"hidden layers have a width in 1..{WIDEST}, but are {self.hidden}")

    @property
    def changes(self) -> list[str]:
        """What makes the networks other than the builder's."""
        return [
            name for name in BUILT_IN if getattr(self, name) != getattr(InterpolationStudy, name)
        ]

    @property
    def as_study(self) -> Study:
        """The study of one group that has the same networks."""
        shared = {name: getattr(self, name) for name in SHARED}
        if self.task is None or self.noise:
            shared["noise"] = (self.noise, self.noise)
        return Study(groups=(self.group, f"not {self.group}"), training=self.training, **shared)


@dataclass(frozen=True)
class MeasuredPath:
    """One path and what was measured on it.

    Attributes:
        seed: The network's.
        kind: How biases move; `layer` or `random` for the other kinds of path.
        layer: What moves; empty for everything.
        draw: Number of the unrelated start, or None.
        path: Scores along it.
        numbers: What was measured, by name.
    """

    seed: int
    kind: str
    layer: str
    draw: int | None
    path: Path
    numbers: dict[str, float]


@checked
def interpolate_networks(
    study: InterpolationStudy | None = None,
    folder: str | pathlib.Path = "runs/interpolate",
    execution: Execution | None = None,
) -> list[MeasuredPath]:
    """Train networks and score the paths to them; the same call goes on where it was stopped.

    Args:
        study: What to do; by default five networks on digits.
        folder: Where the trained networks are kept.
        execution: Where and how it is run.

    Returns:
        The paths, network by network.

    Raises:
        ValueError: If the study does not fit together, the folder holds another one, or training
            diverged.
    """
    study, execution = study or InterpolationStudy(), execution or Execution(n_jobs=-1)
    folder, seeds = folders.located(folder), range(1 if study.end else study.seeds)
    files = [folders.located(path) for path in (study.start, study.end) if path]
    build = _rehearsed(study, seeds)  # a task may change the working folder
    given = [_states(build(0), *files)] if files else []
    with folders.lock(folder):
        claimed = {name: v for name, v in vars(study).items() if name not in CHANGEABLE}
        manifests.claim(folder / "survey.json", claimed, vars(InterpolationStudy()))
        inner = replace(execution, n_jobs=1, progress=False)
        fits = [(build, study, inner, s, folder / "networks" / f"{s}") for s in seeds]
        ends = given or spread(_ends, fits, execution, "training networks")
        jobs = [(build, study, inner, s, pair) for s, pair in zip(seeds, ends, strict=True)]
        return list(chain.from_iterable(spread(_measure_paths, jobs, execution, "interpolating")))


def _rehearsed(study: InterpolationStudy, seeds: range) -> Build:
    """Rehearse the task of each network; built-in tasks differ in labels alone.

    Returns:
        What makes them.
    """
    made = Builder(task_builder(study.as_study))
    for seed in seeds if study.task else seeds[:1]:
        task = _task(study, made, seed)
        _rehearse(study, task)
        made = made.knowing(seed, study.group, task) if study.task else made
    return partial(_task, study, made)


def _task(study: InterpolationStudy, made: Builder, seed: int) -> Task:
    task = made(seed, study.group)
    return replace(task, model=_model(study, task.model)) if study.changes else task


def _model(study: InterpolationStudy, model: Any) -> Callable[[], nn.Module]:
    shape: dict[str, Any] = {"batchnorm": True} if study.with_batchnorm else {}
    shape |= {"hidden": study.hidden} if study.hidden else {}
    return initialise(partial(model, **shape), study.scheme, study.scale, study.trained_biases)


def _rehearse(study: InterpolationStudy, task: Task) -> None:
    """Train, and measure three points for each kind of path, on few examples.

    Raises:
        ValueError: If biases cannot move as asked for, or there is no batch to train on.
    """
    small, state, quiet = few_examples(task), task.initial(0), Execution(progress=False)
    if study.end is None:
        train_briefly(task, study.training)
    for biases in study.biases:
        try:
            path = interpolate(small, state, state, 3, biases=biases, execution=quiet)
        except ValueError as error:
            reason, _, depth = str(error).partition("; pass depth=")
            if not depth:
                raise
            remedy = f"leave {biases} out of biases, or {_remedy(study, biases)}"
            raise ValueError(f"{reason}; {remedy}") from error
        measure(small, path)


def _remedy(study: InterpolationStudy, biases: str) -> str:
    if biases != "homogeneous":
        return "give its biases a name with 'bias' and its other vectors one with 'weight'"
    sequential = "take a sequential network, such as mlp"
    return "leave with_batchnorm out" if study.with_batchnorm else sequential


def _states(task: Task, start: pathlib.Path, end: pathlib.Path) -> Ends:
    return task.state(start), task.state(end)


def _ends(
    build: Build, study: InterpolationStudy, inner: Execution, seed: int, place: pathlib.Path
) -> Ends:
    fit = train_network(build(seed), study.training, seed, place, inner)
    return fit.initial[0], fit.final[0]


def _measure_paths(
    build: Build, study: InterpolationStudy, inner: Execution, seed: int, ends: Ends
) -> list[MeasuredPath]:
    task, alphas, (start, end), found = build(seed), study.alphas, ends, []

    def note(kind: str, path: Path, layer: str = "", draw: int | None = None) -> None:
        numbers = measure(task, path)
        found.append(MeasuredPath(seed, kind, layer, draw, replace(path, curve=None), numbers))

    for biases in study.biases:
        note(biases, interpolate(task, start, end, alphas, biases=biases, execution=inner))
    if study.layerwise:
        for layer, path in layerwise(task, start, end, None, alphas, execution=inner).items():
            note("layer", path, layer)
    for draw in range(study.random):
        fresh, first = task.initial(UNRELATED + draw), study.biases[0]
        path = interpolate(task, fresh, end, alphas, biases=first, execution=inner)
        note("random", path, draw=draw)
    return found
