"""A whole study: train groups of networks, jump and retrain each, describe, compare."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from jumpretrain import store
from jumpretrain.comparison import Comparison, compare, describe
from jumpretrain.data import Dataset, load
from jumpretrain.design import CHANGEABLE, Study
from jumpretrain.embedding import Embedding, embed
from jumpretrain.evaluating import metric_names
from jumpretrain.execution import Execution, spread
from jumpretrain.models import BUILDERS
from jumpretrain.sampling import sample
from jumpretrain.task import Task
from jumpretrain.training import train
from jumpretrain.trajectories import Trajectories

__all__ = ["Findings", "Network", "Study", "explore"]


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
    for group in study.groups:
        _check_task(build(0, group), study.metric)
    with store.lock(folder):
        claimed = {name: v for name, v in asdict(study).items() if name not in CHANGEABLE}
        store.claim(folder / "study.json", claimed)
        places = [folder / "networks" / f"{group}-{seed}" for group, seed in cases]
        inner = replace(execution, n_jobs=1, progress=False)
        pairs = zip(cases, places, strict=True)
        fits = [(study, build, inner, *c, p, trained) for c, p in pairs]
        optima = spread(_optimum, fits, execution, "training networks")
        ready = list(zip(cases, places, optima, strict=True))
        jobs = [(study, build, inner, b, *c, p, o) for b in study.probes for c, p, o in ready]
        spread(_sample, jobs, execution, "jumping and retraining")
        described = [(study, probe, *rest[:-1]) for _, _, _, probe, *rest in jobs]
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
    if study.train_size is not None or study.test_size is not None:
        data = data.subset(study.train_size, study.test_size)
    if study.crop or study.flip:
        data = data.augment(study.crop, study.flip)
    return partial(_task, study, data)


def _check_task(task: Task, metric: str) -> None:
    if not isinstance(task, Task):
        raise ValueError(f"a task function must return a Task, not {type(task).__name__}")
    names = metric_names(task)
    if metric not in names:
        raise ValueError(f"no metric {metric!r}; measured: {', '.join(names)}")


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
    inner: Execution,
    group: str,
    seed: int,
    place: Path,
    trained: dict[str, list[str]],
) -> Any:
    task = build(seed, group)
    if study.networks:
        return task.state(trained[group][seed])
    recipe = study.trainings.get(group, study.training)
    fit = train(task, recipe, [seed], folder=place / "training", execution=inner)
    if not np.isfinite(fit.final).all():
        raise ValueError(
            f"training must converge, but network {seed} of {group} diverged at rate {recipe.lr}; "
            "lower it (--training.lr) and name another folder"
        )
    return fit.final[0]


def _sample(
    study: Study,
    build: Callable[[int, str], Task],
    inner: Execution,
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
        execution=inner,
    )


def _describe(study: Study, probe: str, group: str, seed: int, place: Path) -> Network:
    trajectories = Trajectories.load(place / probe)
    embedding = embed(
        trajectories.jumps(),
        metric=study.distance,
        centre=study.centre,
        knn=study.knn,
        connect=study.connect,
        t=study.t,
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
