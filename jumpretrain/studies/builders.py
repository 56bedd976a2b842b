"""How the tasks of a study are made, its own or the user's, and its networks trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from jumpretrain.engine.batches import check_batches
from jumpretrain.engine.evaluate import metric_names
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import Runs, train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import BUILDERS
from jumpretrain.storage import manifests
from jumpretrain.studies.design import Study
from jumpretrain.studies.own_code import find_function
from jumpretrain.tasks.data import Dataset, load
from jumpretrain.tasks.task import Task

__all__ = [
    "FEW",
    "SHORT",
    "Build",
    "Builder",
    "check_recipe",
    "check_task",
    "few_examples",
    "task_builder",
    "train_briefly",
    "train_network",
]

Build = Callable[[int, str], Task]

FEW = 8
"""Number of examples on which a study is rehearsed."""

TIMID = 1e-6
"""Rate at which nothing diverges."""
SHORT: dict[str, Any] = {
    "lr": TIMID,
    "batch_size": FEW,
    "drop_last": False,
    "record_early": False,
}
"""What makes training short."""


def task_builder(study: Study) -> Build:
    """Make the function that builds the task of a network from its seed and group.

    Returns:
        The user's function where the study names one.

    Raises:
        ValueError: If the function cannot be found.
    """
    if study.task is not None:
        return find_function(study.task)
    data = load(study.data, study.data_root)
    if min(data.train_y.min(), data.test_y.min()) == max(data.train_y.max(), data.test_y.max()):
        raise ValueError(
            f"networks tell two classes or more apart, but all labels are {data.train_y[0]}; "
            "take other data"
        )
    if study.train_size is not None or study.test_size is not None:
        data = data.subset(study.train_size, study.test_size)
    if study.crop or study.flip:
        data = data.augment(study.crop, study.flip)
    return partial(_task, study, data)


@dataclass(frozen=True)
class Builder:
    """A task function whose tasks are checked whenever it is called, in workers too.

    Attributes:
        function: What makes a task of a seed and a group.
        metric: What its tasks have to measure.
        known: Fingerprints of the tasks that were rehearsed, by seed and group.
    """

    function: Build
    metric: str | None = None
    known: Mapping[tuple[int, str], Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, seed: int, group: str) -> Task:
        """Build a task.

        Returns:
            The task.

        Raises:
            ValueError: If it is none, or another one than was rehearsed.
        """
        task = check_task(self.function(seed, group), self.metric)
        if (seed, group) not in self.known:
            return task
        before, now = self.known[seed, group], task.fingerprint
        pairs = {
            name: [{"task": {name: told.get(name)}} for told in (now, before)] for name in now
        }
        changed = [name for name, pair in pairs.items() if manifests.differences(*pair)]
        if changed:
            raise ValueError(
                "a task function must give the same task each time it is called with one seed and "
                f"group, but {', '.join(changed)} of seed {seed} and {group!r} changed; draw "
                "whatever is random in it from the seed"
            )
        return task

    def knowing(self, seed: int, group: str, task: Task) -> Builder:
        """Remember a task.

        Returns:
            A builder that refuses another one in its place.
        """
        return replace(self, known={**self.known, (seed, group): task.fingerprint})


def train_network(
    task: Task, recipe: Recipe, seed: int, folder: Path, execution: Execution, group: str = ""
) -> Runs:
    """Train one network of a study, or read it where it is kept.

    Args:
        task: Its task.
        recipe: How it is trained.
        seed: Its seed.
        folder: Where it is kept.
        execution: How it is trained and kept.
        group: Its group, where there are several.

    Returns:
        The run.

    Raises:
        ValueError: If it diverged.
    """
    fit = train(task, recipe, [seed], folder=folder, execution=execution)
    if fit.status[0] != "ok":
        whose = f"network {seed} of {group}" if group else f"network {seed}"
        raise ValueError(
            f"training must converge, but {whose} diverged at rate {recipe.lr}; "
            "lower it (--training.lr) and name another folder"
        )
    return fit


def check_task(task: Task, metric: str | None = None) -> Task:
    """Check that a function of the user's own gave a task, with a metric if one is asked for.

    Returns:
        The task.

    Raises:
        ValueError: If it did not.
    """
    if not isinstance(task, Task):
        raise ValueError(f"a task function must return a Task, not {type(task).__name__}")
    names = metric_names(task)
    if metric not in (None, *names):
        raise ValueError(f"no metric {metric!r}; measured: {', '.join(names)}")
    return task


def few_examples(task: Task) -> Task:
    """Take some examples of a task.

    Returns:
        The task with up to 8 examples of each split.
    """
    sizes = (min(FEW, len(inputs)) for inputs in (task.data.train_x, task.data.test_x))
    return replace(task, data=task.data.subset(*sizes))


def check_recipe(task: Task, recipe: Recipe) -> None:
    """Check that a task has the examples that a recipe needs.

    Raises:
        ValueError: If no batch is whole, or one is too small.
    """
    recipe.batches(len(task.data.train_x))
    check_batches(task, recipe)


def train_briefly(task: Task, recipe: Recipe) -> Any:
    """Train a network for a step or two, so that what fails in training alone fails now.

    Args:
        task: Its task.
        recipe: How it will be trained.

    Returns:
        The state.

    Raises:
        ValueError: If no batch is whole, or the network cannot be trained.
    """
    check_recipe(task, recipe)
    short = replace(recipe, epochs=1, record_every=0, **SHORT)
    return train(few_examples(task), short, [0], execution=Execution(progress=False)).final[0]


def _task(study: Study, data: Dataset, seed: int, group: str) -> Task:
    share = study.noise[study.groups.index(group)]
    labelled = data.corrupt(share, seed) if share else data
    classes = int(max(data.train_y.max(), data.test_y.max())) + 1
    model = partial(BUILDERS[study.model], data.train_x.shape[1:], classes)
    return Task(model, labelled, batchnorm=study.batchnorm)
