"""What a study does: which networks are trained, sampled and compared, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Annotated, Any, Literal

import tyro

from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.arguments import checked
from jumpretrain.networks.models import BUILDERS
from jumpretrain.sampling.sample import STEP_SIZES
from jumpretrain.states.directions import Normalise

__all__ = ["CHANGEABLE", "TRAINING", "Study"]

TRAINING = Recipe(epochs=150, lr=0.05, record_every=0, record_early=False)
RETRAINING = Recipe(epochs=40, lr=0.01)
CHANGEABLE = frozenset(
    "data_root seeds networks probes metric distance centre knn connect t k seed".split()
)
"""What another call may change in a folder: nothing that was sampled depends on it."""
BUILT_IN = frozenset("data data_root train_size test_size crop flip model noise batchnorm".split())
"""What makes the built-in tasks."""


@checked
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
        t: Steps of PHATE's walk; `auto` takes the knee of its entropy.
        k: Neighbours of the graph that carries the sublevel filtration.
        seed: Seed of embedding and permutations.
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
    t: int | Literal["auto"] = "auto"
    k: int = 20
    seed: int = 0
    task: str | None = None
    networks: tuple[str, ...] = ()
    trainings: Annotated[Mapping[str, Recipe], tyro.conf.Suppress] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.groups)) < 2 or self.seeds < 2:
            raise ValueError(
                "a comparison needs 2 groups of 2 networks or more (the network is the unit), "
                f"but there are {len(set(self.groups))} groups of {self.seeds}"
            )
        if len(set(self.groups)) < len(self.groups) or any("/" in name for name in self.groups):
            raise ValueError(f"groups need distinct names without '/', not {self.groups}")
        if not self.probes:
            raise ValueError("probes must name common, own or both, but are empty")
        if not max(self.step_sizes, default=0) > 0:
            raise ValueError(f"a jump needs a step size above 0, not {list(self.step_sizes)}")
        self._check_tasks()
        points = self.directions * sum(size > 0 for size in self.step_sizes)
        snapshots = self.retraining.epochs // max(self.retraining.record_every, 1) + 1
        if points * snapshots <= max(self.k, self.knn):
            raise ValueError(
                f"{points} jumps of about {snapshots} snapshots are too few for k={self.k} and "
                f"knn={self.knn} neighbours; use more directions or epochs, or fewer neighbours"
            )

    def training_of(self, group: str) -> Recipe:
        """Say how the networks of a group are trained.

        Returns:
            The group's own recipe, or that of all.
        """
        return self.trainings.get(group, self.training)

    def retraining_of(self, group: str, probe: str) -> Recipe:
        """Say how the networks of a group are retrained by a probe.

        Returns:
            The common recipe, or that of the group's training for as many epochs and snapshots.
        """
        if probe == "common":
            return self.retraining
        names = ("epochs", "record_every", "record_early")
        kept = {name: getattr(self.retraining, name) for name in names}
        return replace(self.training_of(group), **kept)

    def _check_tasks(self) -> None:
        """Check what the built-in tasks are made of.

        Raises:
            ValueError: If it does not fit, or is given beside a task of one's own.
        """
        if self.task is not None:
            given = [f.name for f in fields(self) if f.name in BUILT_IN and _differs(self, f)]
            if given:
                raise ValueError(f"{given[0]} is the built-in tasks', leave it out beside task")
            return
        if len(self.noise) != len(self.groups):
            raise ValueError(f"each group needs its noise: {self.groups} has {self.noise}")
        if not all(0 <= share <= 1 for share in self.noise):
            raise ValueError(f"noise is a share of the labels, 0 to 1, but is {self.noise}")
        if self.model not in BUILDERS:
            raise ValueError(f"model must be one of {', '.join(BUILDERS)}, not {self.model!r}")


def _differs(study: Study, entry: Field[Any]) -> bool:
    return bool(getattr(study, entry.name) != entry.default)
