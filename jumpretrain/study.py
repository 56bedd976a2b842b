"""A whole study: train groups of networks, jump and retrain each, describe, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jumpretrain import store
from jumpretrain.comparison import Comparison, compare, describe
from jumpretrain.data import Dataset, load
from jumpretrain.directions import Normalise
from jumpretrain.embedding import Embedding, embed
from jumpretrain.execution import Execution, spread
from jumpretrain.models import BUILDERS
from jumpretrain.recipe import Recipe
from jumpretrain.sampling import STEP_SIZES, sample
from jumpretrain.task import Task
from jumpretrain.training import train
from jumpretrain.trajectories import Trajectories

__all__ = ["Findings", "Network", "Study", "explore"]

TRAINING = Recipe(epochs=150, lr=0.05, record_every=0, record_early=False)
RETRAINING = Recipe(epochs=40, lr=0.01)
CHANGEABLE = frozenset("data_root seeds probes metric distance centre knn connect k seed".split())
"""What another call may change in a folder: nothing that was sampled depends on it."""


@dataclass(frozen=True)
class Study:
    """What is trained, sampled and compared.

    Attributes:
        data: `digits`, `mnist`, `fashion_mnist` or `cifar10`.
        data_root: Folder with the npz file of the data, see `data.load`.
        train_size: Number of training examples to draw; all where left out.
        test_size: Number of test examples to draw; all where left out.
        crop: Random crops of training images, in pixels of padding.
        flip: Random mirror images of training images.
        model: Name of a network in `models.BUILDERS`.
        groups: Names of the groups.
        noise: Share of training labels redrawn in each group (not for a task of one's own).
        seeds: Networks per group; each has its own weights, labels and orders of the data.
        training: How networks are trained.
        retraining: How every network is retrained after a jump, whatever its group.
        probes: `common` retrains all networks by `retraining`; `own` by each group's training
            recipe for as many epochs (the ablation).
        step_sizes: Lengths of the jumps, in filter norms; 0 is the control.
        directions: Number of directions.
        order_seed: Seed of the order of the data during retraining.
        normalise: How directions are scaled.
        include_1d: Whether biases and BatchNorm's scale and shift are perturbed too.
        batchnorm: How BatchNorm is scored.
        metric: What the sublevel filtration follows.
        distance: Distance of the embedding, `cosine` or `euclidean`.
        centre: Where angles are measured from, `mean` or `optimum`.
        knn: Neighbours of PHATE's graph.
        connect: `mst` joins the pieces of a graph, None leaves them apart.
        k: Neighbours of the graph that carries the sublevel filtration.
        seed: Seed of embedding, permutations and bootstrap.
        task: A task of one's own, `module:function`, called as `function(seed, group)`.
        networks: Trained networks, `group=path` each, instead of training.
        trainings: Training recipes of single groups, where they differ (from Python only).
    """

    data: str = "digits"
    data_root: str | None = None
    train_size: int | None = None
    test_size: int | None = None
    crop: int = 0
    flip: bool = False
    model: str = "mlp"
    groups: tuple[str, ...] = ("generalise", "memorise")
    noise: tuple[float, ...] = (0.0, 1.0)
    seeds: int = 5
    training: Recipe = TRAINING
    retraining: Annotated[Recipe, tyro.conf.arg(name="")] = RETRAINING
    probes: tuple[Literal["common", "own"], ...] = ("common",)
    step_sizes: tuple[float, ...] = STEP_SIZES
    directions: int = 4
    order_seed: int = 0
    normalise: Normalise = "filter"
    include_1d: bool = False
    batchnorm: Literal["recalibrate", "stored", "batch"] = "recalibrate"
    metric: str = "test_loss"
    distance: Literal["cosine", "euclidean"] = "cosine"
    centre: Literal["mean", "optimum"] = "mean"
    knn: int = 5
    connect: Literal["mst"] | None = "mst"
    k: int = 20
    seed: int = 0
    task: str | None = None
    networks: tuple[str, ...] = ()
    trainings: Annotated[Mapping[str, Recipe], tyro.conf.Suppress] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.groups) < 2 or self.seeds < 2:
            raise ValueError(
                "a comparison needs 2 groups of 2 networks or more (the network is the unit), "
                f"but there are {len(self.groups)} groups of {self.seeds}"
            )
        if self.task is None and len(self.noise) != len(self.groups):
            raise ValueError(f"each group needs its noise: {self.groups} has {self.noise}")
        if not max(self.step_sizes, default=0) > 0:
            raise ValueError(f"a jump needs a step size above 0, not {list(self.step_sizes)}")
        if self.model not in BUILDERS:
            raise ValueError(f"model must be one of {', '.join(BUILDERS)}, not {self.model!r}")
        if not self.probes:
            raise ValueError("probes must name common, own or both, but are empty")
        points = self.directions * sum(size > 0 for size in self.step_sizes)
        snapshots = self.retraining.epochs // max(self.retraining.record_every, 1) + 1
        if points * snapshots <= max(self.k, self.knn):
            raise ValueError(
                f"{points} jumps of about {snapshots} snapshots are too few for k={self.k} and "
                f"knn={self.knn} neighbours; use more directions or epochs, or fewer neighbours"
            )


@dataclass(frozen=True)
class Network:
    """One trained network, sampled and described.

    Attributes:
        group: Its group.
        seed: Its seed.
        probe: How it was retrained, `"common"` or `"own"`.
        trajectories: Where retraining passed.
        embedding: The jumps in the plane.
        statistics: What was measured on it.
    """

    group: str
    seed: int
    probe: str
    trajectories: Trajectories
    embedding: Embedding
    statistics: dict[str, float]


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Attributes:
        study: What was asked for.
        networks: All networks, by probe, group and seed.
        comparisons: The groups compared, by probe.
        seconds: How long it took.
    """

    study: Study
    networks: tuple[Network, ...]
    comparisons: dict[str, Comparison]
    seconds: float


def explore(
    study: Study | None = None, folder: str | Path = "runs", execution: Execution | None = None
) -> Findings:
    """Run a study; the same call goes on where it was stopped.

    A call with more seeds or probes, or another analysis, takes what its folder holds already.

    Args:
        study: What to do; by default digits, true against redrawn labels.
        folder: Where everything is kept.
        execution: Where and how it is run.

    Returns:
        The findings.

    Raises:
        ValueError: If the study does not fit together, or the folder holds another one.
    """
    study, execution = study or Study(), execution or Execution(n_jobs=-1)
    began, folder = time.monotonic(), Path(folder)
    cases = [(group, seed) for group in study.groups for seed in range(study.seeds)]
    build = task_builder(study)
    trained = _trained_files(study)
    check = build(0, study.groups[0])
    if study.metric not in {
        f"{split}_{name}" for split in ("train", "test") for name in check.measures
    }:
        raise ValueError(f"no metric {study.metric!r}; measured: {', '.join(check.measures)}")
    with store.lock(folder):
        claimed = {name: v for name, v in asdict(study).items() if name not in CHANGEABLE}
        store.claim(folder / "study.json", claimed)
        places = [folder / "networks" / f"{group}-{seed}" for group, seed in cases]
        fits = [(study, build, *c, p, trained) for c, p in zip(cases, places, strict=True)]
        optima = spread(_optimum, fits, execution, "training networks")
        ready = list(zip(cases, places, optima, strict=True))
        jobs = [(study, build, b, *c, p, o) for b in study.probes for c, p, o in ready]
        spread(_sample, jobs, execution, "jumping and retraining")
        described = [(study, probe, *rest[:-1]) for _, _, probe, *rest in jobs]
        networks = spread(_describe, described, execution, "embedding and homology")
    comparisons: dict[str, Comparison] = {
        probe: _compared(study, networks, probe) for probe in study.probes
    }
    return Findings(study, tuple(networks), comparisons, time.monotonic() - began)


def task_builder(study: Study) -> Callable[[int, str], Task]:
    """Make the function that builds the task of a network from its seed and group.

    Returns:
        The user's function where the study names one.

    Raises:
        ValueError: If the function cannot be found.
    """
    if study.task is not None:
        return _imported(study.task)
    data = load(study.data, study.data_root)
    if study.train_size or study.test_size:
        data = data.subset(study.train_size, study.test_size)
    if study.crop or study.flip:
        data = data.augment(study.crop, study.flip)
    return partial(_task, study, data)


def _imported(name: str) -> Callable[[int, str], Task]:
    module, _, function = name.partition(":")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"task must be module:function, but {name!r} fails: {error}") from error
    return found  # type: ignore[no-any-return]


def _task(study: Study, data: Dataset, seed: int, group: str) -> Task:
    share = study.noise[study.groups.index(group)]
    labelled = data.corrupt(share, seed) if share else data
    classes = int(data.train_y.max()) + 1
    model = partial(BUILDERS[study.model], data.train_x.shape[1:], classes)
    return Task(model, labelled, batchnorm=study.batchnorm)


def _trained_files(study: Study) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {group: [] for group in study.groups}
    for entry in study.networks:
        group, _, path = entry.partition("=")
        if group not in files or not Path(path).is_file():
            raise ValueError(
                f"networks are group=file with a group of {', '.join(files)}, but {entry!r} is not"
            )
        files[group].append(path)
    if study.networks and {len(paths) for paths in files.values()} != {study.seeds}:
        counts = ", ".join(f"{len(paths)} for {group}" for group, paths in files.items())
        raise ValueError(
            f"each group needs {study.seeds} trained networks (seeds), but has {counts}"
        )
    return files


def _optimum(
    study: Study,
    build: Callable[[int, str], Task],
    group: str,
    seed: int,
    place: Path,
    trained: dict[str, list[str]],
) -> Any:
    task = build(seed, group)
    if study.networks:
        return task.state(trained[group][seed])
    recipe = study.trainings.get(group, study.training)
    quiet = Execution(progress=False)
    return train(task, recipe, [seed], folder=place / "training", execution=quiet).final[0]


def _sample(
    study: Study,
    build: Callable[[int, str], Task],
    probe: str,
    group: str,
    seed: int,
    place: Path,
    optimum: Any,
) -> None:
    recipe = study.retraining
    if probe == "own":
        kept = {name: getattr(recipe, name) for name in ("epochs", "record_every", "record_early")}
        recipe = replace(study.trainings.get(group, study.training), **kept)
    sample(
        build(seed, group),
        optimum,
        recipe,
        step_sizes=study.step_sizes,
        directions=study.directions,
        order_seed=study.order_seed,
        normalise=study.normalise,
        include_1d=study.include_1d,
        folder=place / probe,
        execution=Execution(progress=False),
    )


def _describe(study: Study, probe: str, group: str, seed: int, place: Path) -> Network:
    trajectories = Trajectories.load(place / probe)
    embedding = embed(
        trajectories.jumps(),
        metric=study.distance,
        centre=study.centre,
        knn=study.knn,
        connect=study.connect,
        seed=study.seed,
    )
    statistics = describe(
        trajectories, embedding, study.metric, study.k, study.seed, connect=study.connect
    )
    return Network(group, seed, probe, trajectories, embedding, statistics)


def _compared(study: Study, networks: list[Network], probe: str) -> Comparison:
    chosen = [network for network in networks if network.probe == probe]
    shared = set.intersection(*(set(network.statistics) for network in chosen))
    groups = {
        group: [
            {name: value for name, value in network.statistics.items() if name in shared}
            for network in chosen
            if network.group == group
        ]
        for group in study.groups
    }
    return compare(groups, metric=study.metric, seed=study.seed)
