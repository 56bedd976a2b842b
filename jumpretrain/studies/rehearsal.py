"""Try a study in small, so that what cannot work is refused before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from jumpretrain.comparison.describe import describe
from jumpretrain.embedding.embed import embed
from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.memory import check_memory
from jumpretrain.sampling.sample import sample
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.studies.builders import (
    FEW,
    SHORT,
    Build,
    Builder,
    check_recipe,
    few_examples,
    train_briefly,
)
from jumpretrain.studies.design import Study
from jumpretrain.tasks.task import Task

__all__ = ["rehearse"]

ALIKE = ("model", "measures", "batchnorm")
"""What all networks of a group share."""


def rehearse(study: Study, build: Build) -> tuple[dict[str, Task], Builder]:
    """Train, sample and describe networks in small.

    Of built-in tasks, which differ in labels alone, it takes one; of a function of the user's own
    the task of every network, for its code may fail or do something else with any seed.

    Args:
        study: What will be done.
        build: What makes its tasks.

    Returns:
        A task of each group, and what makes tasks that must be those rehearsed.

    Raises:
        ValueError: If some of it cannot be done.
    """
    own, checked = study.task is not None, Builder(build, study.metric)
    tasks: dict[str, Task] = {}
    for group in study.groups:
        for seed in range(study.seeds if own else 1):
            task = checked(seed, group)
            _check_recipes(study, group, task)
            if own:
                checked = checked.knowing(seed, group, task)
                _check_alike(checked, seed, group)
            if own or study.trainings or not tasks:
                _rehearse(study, group, task, described=not seed)
            tasks.setdefault(group, task)
    return tasks, checked


def _check_recipes(study: Study, group: str, task: Task) -> None:
    check_recipe(task, study.training_of(group))
    for probe in study.probes:
        check_recipe(task, study.retraining_of(group, probe))
        _check_memory(study, task, study.retraining_of(group, probe))


def _check_alike(build: Builder, seed: int, group: str) -> None:
    first, this = build.known[0, group], build.known[seed, group]
    unlike = [name for name in ALIKE if first.get(name) != this.get(name)]
    if unlike:
        raise ValueError(
            "networks of a group differ by their seed alone, but those of seeds 0 and "
            f"{seed} of {group!r} have another {' and '.join(unlike)}; give all seeds of a group "
            "the same, and make what differs a group of its own"
        )


def _rehearse(study: Study, group: str, task: Task, described: bool) -> None:
    small = few_examples(task)
    for probe in study.probes:
        recipes = study.training_of(group), study.retraining_of(group, probe)
        runs = _sampled(study, small, *recipes)
        if described:
            _describe(study, _made_up(runs))


def _check_memory(study: Study, task: Task, recipe: Recipe) -> None:
    jumps = study.directions * sum(size > 0 for size in study.step_sizes)
    points = jumps * len(recipe.record_steps(recipe.batches(len(task.data.train_x))))
    what = f"the distances between {points:,} states of a network"
    check_memory(8 * points**2, what, "take fewer directions, or a larger record_every")


def _sampled(study: Study, task: Task, training: Recipe, retraining: Recipe) -> Trajectories:
    """Train and sample for a few steps, whatever the rate.

    Returns:
        What was sampled: up to two directions, and the control and the two largest step sizes.

    Raises:
        ValueError: If the loss of a jump is not finite.
    """
    times = min(retraining.snapshots, 3)
    recipe = replace(retraining, epochs=times - 1, record_every=1, **SHORT)
    sizes = sorted(study.step_sizes)
    jumped = [size for size in sizes if size > 0][-2:]
    runs = sample(
        task,
        train_briefly(task, training),
        recipe,
        step_sizes=[0.0, *jumped] if sizes[0] == 0 else jumped,
        directions=min(study.directions, 2),
        order_seed=study.order_seed,
        normalise=study.normalise,
        include_1d=study.include_1d,
        execution=Execution(progress=False),
    )
    if (runs.status != "ok").any():
        raise ValueError(
            "a jump must leave a loss that is finite, but those of step sizes "
            f"{jumped} leave a fresh network with one that is not; take smaller step sizes"
        )
    return runs


def _made_up(runs: Trajectories) -> Trajectories:
    """Put points in general position in the place of those that were sampled.

    Returns:
        As many runs and snapshots, of made-up states and metrics.
    """
    rng, shape = np.random.default_rng(0), runs.states.shape[:2]
    states = rng.normal(size=(*shape, FEW)).cumsum(1)
    metrics = {name: rng.uniform(size=shape) for name in runs.metrics}
    made_up: dict[str, Any] = {
        "optimum": rng.normal(size=FEW),
        "states": states,
        "weight_count": FEW,
    }
    return replace(runs, **made_up, metrics=metrics)


def _describe(study: Study, runs: Trajectories) -> None:
    jumps = runs.jumps()
    points = len(jumps.points())
    choices: dict[str, Any] = {"metric": study.distance, "centre": study.centre}
    choices |= {"knn": min(study.knn, points - 2), "connect": study.connect, "seed": study.seed}
    placed = embed(jumps, **choices)
    k = min(study.k, points - 1)
    describe(runs, placed, study.metric, k, study.seed, connect=study.connect)
