"""The networks that the figures on arXiv:2102.00485 share: trained and sampled once.

All are the same MLP (64-128-128-10) on digits with 1257 training and 540 test examples. Groups
differ in what they were trained on; `few` takes its 3 batches an epoch seven times as often as
the others take their 20, so that all groups are trained, jump and retrain for as many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evidence.figure import Flags, device

from jumpretrain import Dataset, Recipe, Task, Trajectories, data, models, sample, train
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.storage import folders, manifests

SHARES = {"good": 0.0, "noise .5": 0.5, "memorise": 1.0}
GROUPS = {
    "good": "all labels true",
    "few": "true labels, but 150 training examples",
    "noise .5": "half of the training labels redrawn",
    "memorise": "all training labels redrawn",
}
EXAMPLES, LONGER = 150, 7


@dataclass(frozen=True)
class Design:
    """How networks are trained and sampled: the full form, or the quick one."""

    seeds: int
    training: Recipe
    retraining: Recipe
    step_sizes: tuple[float, ...]
    directions: int


FULL = Design(
    seeds=5,
    training=Recipe(epochs=150, lr=0.05, record_every=0, record_early=False),
    retraining=Recipe(epochs=40, lr=0.01),
    step_sizes=(0.0, 0.25, 0.5, 0.75, 1.0),
    directions=4,
)
QUICK = Design(
    seeds=3,
    training=replace(FULL.training, epochs=40),
    retraining=replace(FULL.retraining, epochs=10),
    step_sizes=(0.0, 0.25, 0.5, 1.0),
    directions=3,
)


@dataclass(frozen=True)
class Network:
    """A trained network that was jumped from and retrained."""

    group: str
    seed: int
    task: Task
    trajectories: Trajectories


def design(asked: Flags) -> Design:
    return QUICK if asked.quick else FULL


def networks(asked: Flags, groups: Sequence[str]) -> dict[str, list[Network]]:
    """Train and sample the networks of some groups, or read those of an earlier call.

    Returns:
        The networks of each group, by seed.
    """
    chosen = design(asked)
    folder = asked.work.parent / ("landscapes-quick" if asked.quick else "landscapes")
    cases = [(group, seed) for group in groups for seed in range(chosen.seeds)]
    places = [folder / f"{group}-{seed}" for group, seed in cases]
    with folders.lock(folder):
        manifests.claim(folder / "design.json", vars(chosen))
        pairs = zip(cases, places, strict=True)
        jobs = [(chosen, *case, place) for case, place in pairs if not _finished(place, chosen)]
        each(_sampled, jobs, asked, "training, jumping and retraining")
    loaded = [
        Network(group, seed, _task(group, seed), Trajectories.load(place / "sampled"))
        for (group, seed), place in zip(cases, places, strict=True)
    ]
    return {group: [net for net in loaded if net.group == group] for group in groups}


def each(
    function: Callable[..., Any], jobs: Sequence[Sequence[Any]], asked: Flags, label: str
) -> list[Any]:
    """Call a function once for each job, in worker processes, with a progress bar.

    Returns:
        The results, in the order of the jobs.
    """
    return spread(function, jobs, Execution(n_jobs=asked.jobs), label)


def facts(asked: Flags, groups: Sequence[str]) -> dict[str, Any]:
    """Collect what is needed to train and sample the same networks again.

    Returns:
        Data, model, recipes and seeds.
    """
    chosen = design(asked)
    return {
        "data": "digits (scikit-learn), 1257 training and 540 test examples",
        "model": "mlp 64-128-128-10",
        "groups": {group: GROUPS[group] for group in groups},
        "seeds": list(range(chosen.seeds)),
        "design": asdict(chosen),
        "few": f"{EXAMPLES} examples, {LONGER} times the epochs, every {LONGER}th recorded",
    }


def caption(asked: Flags, groups: Sequence[str]) -> str:
    """Say in one line how the networks were trained and sampled.

    Returns:
        The line.
    """
    chosen = design(asked)
    jumps = ", ".join(f"{size:g}" for size in chosen.step_sizes if size > 0)
    return (
        f"digits, MLP 64-128-128-10; seeds 0-{chosen.seeds - 1} a group; SGD, momentum .9, batch "
        f"64: {chosen.training.epochs} epochs at lr {chosen.training.lr:g}, jumps of {jumps} "
        f"filter norms in {chosen.directions} directions, {chosen.retraining.epochs} epochs of "
        f"retraining at lr {chosen.retraining.lr:g}"
        + (f"; few: {EXAMPLES} training examples, as many steps" if "few" in groups else "")
    )


def _task(group: str, seed: int) -> Task:
    return Task(partial(models.mlp, (1, 8, 8), 10), _data(group, seed), device=device())


def _data(group: str, seed: int) -> Dataset:
    digits = data.digits()
    if group == "few":
        return digits.subset(EXAMPLES, seed=seed)
    return digits.corrupt(SHARES[group], seed) if SHARES[group] else digits


def _longer(recipe: Recipe, group: str) -> Recipe:
    if group != "few":
        return recipe
    every = recipe.record_every * LONGER
    return replace(recipe, epochs=recipe.epochs * LONGER, record_every=every)


def _finished(place: Path, chosen: Design) -> bool:
    runs = chosen.directions * len(chosen.step_sizes)
    return all(folders.run_path(place / "sampled", run).exists() for run in range(runs))


def _sampled(chosen: Design, group: str, seed: int, place: Path) -> None:
    task, quiet = _task(group, seed), Execution(progress=False)
    training, retraining = (_longer(r, group) for r in (chosen.training, chosen.retraining))
    fit = train(task, training, [seed], folder=place / "training", execution=quiet)
    sample(
        task,
        fit.final[0],
        retraining,
        step_sizes=chosen.step_sizes,
        directions=chosen.directions,
        folder=place / "sampled",
        execution=quiet,
    )
