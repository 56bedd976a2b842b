"""Describe a figure's training, spread it over processes and share it within the paper."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from evidence.figure import Flags

import jumpretrain as jr
from jumpretrain.execution.execution import spread

Result = TypeVar("Result")


def over(
    asked: Flags, function: Callable[..., Result], jobs: Sequence[Sequence[Any]], label: str
) -> list[Result]:
    """Call a function once for each job, in the script's worker processes."""
    return spread(function, jobs, jr.Execution(n_jobs=asked.jobs), label)


def recipe(epochs: int, lr: float, batch: int, **more: Any) -> jr.Recipe:
    """Describe training of which the two ends alone are recorded."""
    return jr.Recipe(epochs, lr, batch_size=batch, record_every=0, record_early=False, **more)


def shared(asked: Flags) -> Flags:
    """Point the script's samples to a folder that all figures of the paper share."""
    paper = asked.name.partition("_")[0]
    return replace(asked, work=asked.work.parent / (f"{paper}-quick" if asked.quick else paper))
