"""Try a study in small, so that what cannot work is refused before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from jumpretrain.comparison.describe import describe
from jumpretrain.embedding.embed import embed
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.sampling.sample import sample
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.studies.builders import FEW, check_recipe, few_examples
from jumpretrain.studies.design import Study
from jumpretrain.tasks.task import Task

__all__ = ["rehearse"]

TIMID = 1e-6
"""Rate at which nothing diverges."""


def rehearse(study: Study, tasks: Mapping[str, Task]) -> None:
    """Train, sample and describe a network in small, for each group and probe that differ.

    Args:
        study: What will be done.
        tasks: A task of each group.

    Raises:
        ValueError: If some of it cannot be done.
    """
    for group, task in tasks.items():
        check_recipe(task, study.training_of(group))
        for probe in study.probes:
            check_recipe(task, study.retraining_of(group, probe))
            _check_memory(study, task, study.retraining_of(group, probe))
    alike = study.task is None and not study.trainings  # but for their labels
    for group in study.groups[:1] if alike else study.groups:
        small = few_examples(tasks[group])
        for probe in study.probes:
            recipes = study.training_of(group), study.retraining_of(group, probe)
            _describe(study, _made_up(_sampled(study, small, *recipes)))


def _check_memory(study: Study, task: Task, recipe: Recipe) -> None:
    jumps = study.directions * sum(size > 0 for size in study.step_sizes)
    points = jumps * len(recipe.record_steps(recipe.batches(len(task.data.train_x))))
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not all(name in getattr(os, "sysconf_names", ()) for name in names):
        return
    wanted, there = 8 * points**2, int(np.prod([os.sysconf(name) for name in names], dtype=float))
    if wanted > there:
        raise ValueError(
            f"the distances between {points:,} states of a network take {wanted / 1e9:,.0f} GB, "
            f"but this machine has {there / 1e9:,.0f} GB; take fewer directions, or a larger "
            "record_every"
        )


def _sampled(study: Study, task: Task, training: Recipe, retraining: Recipe) -> Trajectories:
    """Train and sample for a few steps, whatever the rate.

    Returns:
        What was sampled: up to two directions, and the control and the two largest step sizes.

    Raises:
        ValueError: If the loss of a jump is not finite.
    """
    quiet, times = Execution(progress=False), min(retraining.snapshots, 3)
    short: dict[str, Any] = {
        "lr": TIMID,
        "batch_size": FEW,
        "drop_last": False,
        "record_early": False,
    }
    fit = train(task, replace(training, epochs=1, record_every=0, **short), [0], execution=quiet)
    recipe = replace(retraining, epochs=times - 1, record_every=1, **short)
    sizes = sorted(study.step_sizes)
    jumped = [size for size in sizes if size > 0][-2:]
    runs = sample(
        task,
        fit.final[0],
        recipe,
        step_sizes=[0.0, *jumped] if sizes[0] == 0 else jumped,
        directions=min(study.directions, 2),
        order_seed=study.order_seed,
        normalise=study.normalise,
        include_1d=study.include_1d,
        execution=quiet,
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
