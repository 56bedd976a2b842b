"""Join networks at a study: train them or take them, connect them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jumpretrain.connectivity.connect import RECIPE, check_choices, check_optima, connect
from jumpretrain.connectivity.connector import Connector
from jumpretrain.engine.recipe import Recipe, same_folder
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.storage import folders, manifests
from jumpretrain.studies.builders import (
    FEW,
    check_recipe,
    check_task,
    few_examples,
    task_builder,
    train_briefly,
    train_network,
)
from jumpretrain.studies.design import SEEDS, Study, check_limits
from jumpretrain.studies.interpolate import RECIPE as TRAINING
from jumpretrain.studies.interpolate import InterpolationStudy
from jumpretrain.tasks.probing import reason
from jumpretrain.tasks.task import Task

__all__ = ["ConnectionStudy", "connect_networks"]

MOST = 11
TRAINED = "data data_root train_size test_size model noise training task group".split()
"""What the networks depend on, beside their number."""
CHOICES = "method refine recipe inner each tolerance rounds seed".split()
"""How they are joined."""
CHANGEABLE = frozenset("data_root seeds each refine rounds".split())
"""What another call may change in a folder: what was trained stays as it is."""
LIMITS = {"seeds": (2, MOST), "seed": SEEDS}


@checked
@dataclass(frozen=True)
class ConnectionStudy:
    """Which networks are trained, and how they are joined.

    Attributes:
        data: `digits`, `mnist`, `fashion_mnist` or `cifar10`.
        data_root: Folder with the npz file of the data, see `data.load`.
        train_size: Number of training examples to draw; all where left out.
        test_size: Number of test examples to draw; all where left out.
        model: Name of a network in `models.BUILDERS`.
        noise: Share of training labels redrawn, the same ones for all networks.
        seeds: Number of networks, 2 for a curve and up to 11 for a surface.
        training: How networks are trained.
        task: A task of one's own, `module:function`, called as `function(0, group)`.
        group: What that function is called with.
        networks: Files with the weights of trained networks, instead of training.
        method: `hyperplane` trains points normal to the straight line, or to each face of the
            simplex of more than two networks; `bezier` and `polychain` train a curve's control
            points.
        refine: Whether pieces of a hyperplane curve that still rise are halved, or a surface is
            trained as a whole.
        recipe: How points are trained, in each round.
        inner: Number of nodes between two networks.
        each: Number of steps scored on each piece of a curve, 2 or more, or random points a node
            of a surface.
        tolerance: Rise of a piece, as a share of the straight line's barrier, up to which it is
            not halved.
        rounds: Most rounds of halving.
        seed: Of the order of the data and of random points, while points are trained.
    """

    data: str = "digits"
    data_root: str | None = None
    train_size: int | None = None
    test_size: int | None = None
    model: str = "mlp"
    noise: float = 0.0
    seeds: int = 2
    training: Recipe = TRAINING
    task: str | None = None
    group: str = "generalise"
    networks: tuple[Path, ...] = ()
    method: Literal["hyperplane", "bezier", "polychain"] = "hyperplane"
    refine: bool = False
    recipe: Recipe = RECIPE
    inner: int = 9
    each: int = 10
    tolerance: float = 0.02
    rounds: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.count <= MOST:
            raise ValueError(
                f"a connector joins 2 to {MOST} networks (seeds or networks), not {self.count}"
            )
        check_limits(self, LIMITS)
        numbers = (getattr(self, name) for name in ("inner", "each", "tolerance", "rounds"))
        check_choices(self.count, self.method, self.refine, *numbers)
        _ = self.as_study

    @property
    def count(self) -> int:
        """How many networks are joined."""
        return len(self.networks) or self.seeds

    @property
    def as_study(self) -> Study:
        """The study of one group that has the same task."""
        return InterpolationStudy(**{name: getattr(self, name) for name in TRAINED}).as_study


@checked
def connect_networks(
    study: ConnectionStudy | None = None,
    folder: str | Path = "runs/connect",
    execution: Execution | None = None,
) -> Connector:
    """Train networks and connect them; the same call goes on where it was stopped.

    A folder holds networks trained in one way; more of them, and connectors made by other
    methods, may join those that are there.

    Args:
        study: What to do; by default two networks on digits.
        folder: Where trained networks and points are kept.
        execution: Where and how it is run.

    Returns:
        The connector.

    Raises:
        ValueError: If the study does not fit together, the folder holds another one, or
            training diverged.
    """
    study, execution = study or ConnectionStudy(), execution or Execution(n_jobs=-1)
    folder, files = folders.located(folder), [folders.located(path) for path in study.networks]
    task = _task(study)  # which may change the working folder
    _rehearse(study, task)
    given = [task.state(path) for path in files]
    if given:
        check_optima(task, given)
    claimed = {name: v for name, v in vars(study).items() if name not in CHANGEABLE}
    shared = {name: claimed.pop(name) for name in TRAINED if name in claimed}
    claimed["count"] = study.count
    with folders.lock(folder):
        manifests.claim(folder / "junction.json", shared, vars(ConnectionStudy()))
        made = folder / "connectors" / f"{study.method}-{_short_digest(claimed)}"
        manifests.claim(made / "connector.json", claimed, vars(ConnectionStudy()))
        inner = replace(execution, n_jobs=1, progress=False)
        places = [folder / "networks" / f"{seed}" for seed in range(study.count)]
        fits = [(task, study.training, inner, k, place) for k, place in enumerate(places)]
        optima = np.stack(given or spread(_optimum, fits, execution, "training networks"))
        choices = {name: getattr(study, name) for name in CHOICES}
        with same_folder():  # which has a place for each recipe
            return connect(task, optima, folder=made, execution=execution, **choices)


def _short_digest(design: Any) -> str:
    return hashlib.sha256(json.dumps(folders.plain(design), sort_keys=True).encode()).hexdigest()[
        :8
    ]


def _task(study: ConnectionStudy) -> Task:
    task = check_task(task_builder(study.as_study)(0, study.group))
    if study.count > task.weight_count:
        raise ValueError(
            f"{study.count} networks span no simplex in {task.weight_count} weights; join fewer"
        )
    for recipe in (study.training, study.recipe):
        check_recipe(task, recipe)
    return task


def _rehearse(study: ConnectionStudy, task: Task) -> None:
    """Train points near a fresh network for a step on few examples: what cannot work is refused.

    Raises:
        ValueError: If the network cannot be trained or scored in this way.
    """
    width = task.weight_count
    states = np.tile(task.initial(0), (min(study.count, 3), 1))
    states[:, :width] += 0.01 * np.random.default_rng(0).normal(size=(len(states), width))
    recipe = replace(study.recipe, epochs=1, lr=1e-6, batch_size=FEW, drop_last=False)
    small, quiet = few_examples(task), Execution(progress=False)
    if not study.networks:
        train_briefly(task, study.training)
    choices: dict[str, Any] = {"inner": 1, "each": 2, "rounds": 1, "execution": quiet}
    try:
        connect(small, states, study.method, study.refine, recipe, **choices)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        why = reason(error)
        raise ValueError(
            f"{study.method} cannot train points with this network ({why}); "
            "use hyperplane without refine, or a network whose output is one tensor"
        ) from error


def _optimum(task: Task, recipe: Recipe, inner: Execution, seed: int, place: Path) -> NDArray[Any]:
    return np.asarray(train_network(task, recipe, seed, place, inner).final[0])
