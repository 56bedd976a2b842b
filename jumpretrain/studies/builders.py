"""How the tasks of a study are made, its own or the user's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from jumpretrain.engine.evaluate import metric_names
from jumpretrain.networks.models import BUILDERS
from jumpretrain.studies.design import Study
from jumpretrain.tasks.data import Dataset, load
from jumpretrain.tasks.task import Task

__all__ = ["check_task", "task_builder"]


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


def check_task(task: Task, metric: str) -> None:
    """Check that a function of the user's own gave a task with a metric.

    Raises:
        ValueError: If it did not.
    """
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
