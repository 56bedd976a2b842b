"""A whole study: train groups of networks, jump and retrain each, describe, compare."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jumpretrain.comparison.compare import Comparison, compare, describe
from jumpretrain.comparison.describe import evenly
from jumpretrain.embedding.embed import Embedding, embed
from jumpretrain.engine.train import bytes_of
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.sample import sample
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.storage import folders, manifests
from jumpretrain.studies.builders import Build, task_builder, train_network
from jumpretrain.studies.design import CHANGEABLE, Study, folder_name
from jumpretrain.studies.rehearsal import rehearse
from jumpretrain.tasks.task import Task
from jumpretrain.topology.measure import saddles as measure
from jumpretrain.topology.saddles import Saddles

__all__ = ["Findings", "Network", "Study", "explore"]

LEAST = 2
"""Number of jumps that a description needs."""


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
        saddles: Measured saddles of both losses, between the ends of its runs and, where asked
            for, between snapshots.
    """

    group: str
    seed: int
    probe: str
    trajectories: Trajectories
    embedding: Embedding
    statistics: dict[str, float]
    saddles: tuple[Saddles, ...] = ()


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


@checked
@standard_settings()
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
    began, folder = time.monotonic(), folders.located(folder)
    cases = [(group, seed) for group in study.groups for seed in range(study.seeds)]
    trained = _trained_files(study)
    tasks, build = rehearse(study, task_builder(study))
    places = [folder / "networks" / f"{folder_name(group)}-{seed}" for group, seed in cases]
    folders.check_space(folder, _bytes_left(study, tasks, cases, places, execution))
    for group, seed in cases if study.networks else ():
        tasks[group].state(trained[group][seed])
    with folders.lock(folder):
        claimed = {name: v for name, v in vars(study).items() if name not in CHANGEABLE}
        manifests.claim(folder / "study.json", claimed, vars(Study()))
        inner = replace(execution, n_jobs=1, progress=False)
        pairs = zip(cases, places, strict=True)
        fits = [(study, build, inner, *c, p, trained) for c, p in pairs]
        optima = spread(_optimum, fits, execution, "training networks")
        ready = list(zip(cases, places, optima, strict=True))
        jobs = [(study, build, inner, b, *c, p, o) for b in study.probes for c, p, o in ready]
        spread(_sample, jobs, execution, "jumping and retraining")
        placed = [job[:-1] for job in jobs]
        measured = spread(_saddles, placed, execution, "measuring saddles")
        described = [
            (study, probe, *rest, found)
            for (_, _, _, probe, *rest), found in zip(placed, measured, strict=True)
        ]
        networks = spread(_describe, described, execution, "embedding and homology")
    comparisons: dict[str, Comparison] = {
        probe: _compared(study, networks, probe) for probe in study.probes
    }
    return Findings(study, tuple(networks), comparisons, time.monotonic() - began)


def _trained_files(study: Study) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {group: [] for group in study.groups}
    for entry in study.networks:
        group = next((name for name in files if entry.startswith(f"{name}=")), None)
        path = folders.located(entry.removeprefix(f"{group}="))
        if group is None or not path.is_file():
            raise ValueError(
                f"networks are group=file with a group of {', '.join(files)}, but {entry!r} is not"
            )
        files[group].append(str(path))
    if study.networks and {len(paths) for paths in files.values()} != {study.seeds}:
        counts = ", ".join(f"{len(paths)} for {group}" for group, paths in files.items())
        raise ValueError(
            f"each group needs {study.seeds} trained networks (seeds), but has {counts}"
        )
    return files


def _bytes_left(
    study: Study,
    tasks: Mapping[str, Task],
    cases: list[tuple[str, int]],
    places: list[Path],
    execution: Execution,
) -> int:
    runs, left = study.directions * len(study.step_sizes), 0
    for probe in study.probes:
        missing = [
            group
            for (group, _), place in zip(cases, places, strict=True)
            if not (place / probe).exists()
        ]
        for group in set(missing):
            recipe = study.retraining_of(group, probe)
            one = bytes_of(tasks[group], recipe, runs, execution.storage)
            left += missing.count(group) * one
    return left


def _optimum(
    study: Study,
    build: Build,
    inner: Execution,
    group: str,
    seed: int,
    place: Path,
    trained: dict[str, list[str]],
) -> Any:
    task = build(seed, group)
    if study.networks:
        return task.state(trained[group][seed])
    recipe = study.training_of(group)
    return train_network(task, recipe, seed, place / "training", inner, group).final[0]


def _sample(
    study: Study,
    build: Build,
    inner: Execution,
    probe: str,
    group: str,
    seed: int,
    place: Path,
    optimum: Any,
) -> None:
    recipe = study.retraining_of(group, probe)
    found = sample(
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
    jumped, kept = int((found.step_size > 0).sum()), len(found.jumps())
    if kept < min(jumped, LEAST):
        option = "--lr" if probe == "common" else "--training.lr"
        raise ValueError(
            f"retraining must converge after {LEAST} jumps or more, but of network {seed} of "
            f"{group} {jumped - kept} of {jumped} diverged at rate {recipe.lr}; lower it "
            f"({option}) and name another folder"
        )


def _saddles(
    study: Study, build: Build, inner: Execution, probe: str, group: str, seed: int, place: Path
) -> tuple[Saddles, ...]:
    task, jumps = build(seed, group), Trajectories.load(place / probe).jumps()
    if not len(jumps):
        return ()
    kept, there = {"ends": np.array([len(jumps.epoch) - 1])}, place / "saddles" / probe
    if study.saddle_states:
        times = evenly(len(jumps.epoch), study.saddle_states // len(jumps))
        kept[f"{len(times)}-snapshots"] = times
    return tuple(
        measure(task, jumps.select(times=times), loss, folder=there / name, execution=inner)
        for name, times in kept.items()
        for loss in ("train_loss", "test_loss")
    )


def _describe(
    study: Study, probe: str, group: str, seed: int, place: Path, found: tuple[Saddles, ...]
) -> Network:
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
        trajectories,
        embedding,
        study.metric,
        study.k,
        study.seed,
        connect=study.connect,
        saddles=found,
    )
    return Network(group, seed, probe, trajectories, embedding, statistics, found)


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
