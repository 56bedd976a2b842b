"""What a study does: which networks are trained, sampled and compared, and how."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Annotated, Any, Literal

import tyro

from jumpretrain.embedding import affinities, neighbours
from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.arguments import checked
from jumpretrain.networks.models import BUILDERS
from jumpretrain.sampling.sample import STEP_SIZES, check_sizes
from jumpretrain.states.directions import Normalise

__all__ = ["CHANGEABLE", "SEEDS", "TRAINING", "Study", "check_limits", "folder_name"]

TRAINING = Recipe(epochs=150, lr=0.05, record_every=0, record_early=False)
RETRAINING = Recipe(epochs=40, lr=0.01)
CHANGEABLE = frozenset([
    *("data_root", "seeds", "networks", "probes", "metric", "distance", "centre", "knn"),
    *("connect", "t", "k", "seed", "saddle_states"),
])
"""What another call may change in a folder: nothing that was sampled depends on it."""
BUILT_IN = frozenset("data data_root train_size test_size crop flip model noise batchnorm".split())
"""What makes the built-in tasks."""
SEEDS = (0, 2**32 - 1)
"""What all libraries below take as a seed."""
LIMITS = {
    **dict.fromkeys(("train_size", "test_size", "directions", "knn", "k"), (1, math.inf)),
    "t": (1, affinities.LONGEST),
    **dict.fromkeys(("order_seed", "seed"), SEEDS),
    **dict.fromkeys(("crop", "saddle_states"), (0, math.inf)),
    "seeds": (2, 10_000),
}
MOST_POINTS = 10**6
"""Of one network: the distances between so many take 8 TB."""
NO_FILE = re.compile(r"[/\\]|^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)
"""What would be another folder, or a device."""
ODD = re.compile(r'[<>:"|?*]')
"""What names of files may not have on some systems."""


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
        saddle_states: Saddles are measured between the ends of a network's runs, and between about
            so many of its snapshots; 0 leaves these out.
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
    saddle_states: int = 50
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
        check_limits(self, LIMITS)
        self._check_groups()
        if not 0 < len(self.probes) == len(set(self.probes)):
            raise ValueError(f"probes must name common, own or both, once, not {self.probes}")
        self._check_tasks()
        self._check_points()

    def _check_groups(self) -> None:
        """Check that groups can be told apart, also as folders, whatever the system.

        Raises:
            ValueError: If they cannot, or a recipe is of none of them.
        """
        for name in self.groups:
            if not name.strip() or not name.isprintable() or NO_FILE.search(name) or name[100:]:
                raise ValueError(
                    "groups name folders, so they have 1 to 100 printable characters without / "
                    f"and \\, and no name of a device, but one is {name[:120]!r}; rename it"
                )
        folders = map(folder_name, self.groups)
        alike = {unicodedata.normalize("NFKC", name).casefold() for name in folders}
        if len(alike) < len(self.groups):
            raise ValueError(
                "groups need distinct names (some systems do not tell capitals apart), but are "
                f"{self.groups}; rename one"
            )
        unknown = [name for name in self.trainings if name not in self.groups]
        if unknown:
            raise ValueError(f"trainings are of groups, but {unknown[0]!r} is none; leave it out")

    def _check_points(self) -> None:
        """Check how many states will be embedded.

        Raises:
            ValueError: If they are too few, or too many.
        """
        jumps = self.directions * int((check_sizes(self.step_sizes) > 0).sum())
        if jumps < 2:
            raise ValueError(
                "a landscape is described from 2 jumps or more (directions times step sizes above "
                f"0), but there are {self.directions} directions and step sizes "
                f"{list(self.step_sizes)}; add some"
            )
        if self.retraining.snapshots < 3:
            raise ValueError(
                "a trajectory is described from 3 snapshots or more, at whole epochs, but that of "
                f"{self.retraining.epochs} epochs has {self.retraining.snapshots}; retrain for "
                "longer, or with a smaller record_every"
            )
        points = jumps * self.retraining.snapshots
        if points > MOST_POINTS:
            raise ValueError(
                f"up to {MOST_POINTS:,} states of a network are compared with each other, but "
                f"there would be {points:,}; take fewer directions, or a larger record_every"
            )
        affinities.check(self.knn, affinities.DECAY, points)
        neighbours.check_k(self.k, points)

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


def folder_name(group: str) -> str:
    """Name the folder of a group, by characters that all systems allow.

    Returns:
        The name of the group, each other character as its number.
    """
    return ODD.sub(lambda odd: f"%{ord(odd[0]):02X}", group)


def check_limits(study: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Check that the numbers of a study lie within their limits; None and words are left alone.

    Args:
        study: What has them as attributes.
        limits: The least and the largest value, by name.

    Raises:
        ValueError: If one does not.
    """
    for name, (least, most) in limits.items():
        value = getattr(study, name)
        if isinstance(value, (int, float)) and not least <= value <= most:
            rule = f"in {least}..{most}" if most < math.inf else f"at least {least}"
            raise ValueError(f"{name} must be {rule}, but is {value}; pass such as {name}={least}")


def _differs(study: Study, entry: Field[Any]) -> bool:
    return bool(getattr(study, entry.name) != entry.default)
