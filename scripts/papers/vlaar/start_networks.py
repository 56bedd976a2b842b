"""Lines to trained networks from where training began and from elsewhere, for arXiv:2106.16004.

Training began at fresh weights, at weights pre-trained on other images or on random labels, or at
the top of the barrier before a trained network. It did not at unrelated fresh weights, noise and
zero. A barrier with a top is one above both ends: on small images few lines from a network's own
start have one without weight decay, so that there the line from unrelated weights is climbed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from evidence.cells import trained
from evidence.figure import Flags, device
from evidence.jobs import over, recipe, shared
from evidence.rows import Row, Rows
from numpy.typing import NDArray
from papers.vlaar import networks as vlaar

import jumpretrain as jr

OWN, TOP, UNRELATED = "fresh weights", "top of a barrier", "unrelated weights"
BEFORE = {"Fashion-MNIST": 10, "other images": 10, "random labels": 80}
"""Epochs of pre-training; 10 on 4,000 images are as many steps as 40 on the 1,000."""
BOTH = 0.0, vlaar.DECAY
AFTER = {"Fashion-MNIST": BOTH[1:], "other images": BOTH, "random labels": BOTH[:1]}
"""Weight decays of the training that follows."""
IMAGES, SPIRAL, MNIST = "CIFAR-10", "spiral", "MNIST"
DEFAULT = "spiral, torch's weights"
DRAWS, FEW_DRAWS = 10, 3  # few where statistics are re-estimated or there is weight decay
SMALLEST_TOP = 0.05  # nats above both ends: what is lower is no barrier to begin at the top of
WAY, MNIST_WAY = recipe(1500, 0.1, 500), recipe(40, 0.05, 64)


@dataclass(frozen=True)
class Line:
    """The line from one start to one network, or the mean of several.

    `found` is what `vlaar.facts` gives, or means over draws with their standard deviation;
    `climbed` is that of the line at whose top training began, if it did. Accuracies are of the
    network, None where no training began at the start, and `before` of the end of pre-training.
    """

    data: str
    weight_decay: float
    start: str
    seed: int
    policy: str
    found: Row
    accuracy: float | None = None
    train_accuracy: float | None = None
    before: float | None = None
    climbed: Row | None = None


def sampled(asked: Flags, data: dict[str, jr.Dataset]) -> list[Line]:
    """Train all networks and score all lines, or read what was kept."""
    seeds, base = vlaar.seeds(asked), data["base"]
    own = [(asked, base, *pair) for pair in product(BOTH, seeds)]
    elder = [(asked, base, data[kind], kind, seed) for kind, seed in product(BEFORE, seeds)]
    steps = (
        ("from fresh weights", from_fresh, own),
        ("pre-trained", pretrained, elder),
        ("from the top", restarted, own),
        ("from elsewhere", elsewhere, own),
        ("spirals, MNIST", small, [(asked, which) for which in (SPIRAL, DEFAULT, MNIST)]),
    )
    found = [over(asked, function, jobs, label) for label, function, jobs in steps]
    return [line for step in found for lines in step for line in lines]


def lined(
    asked: Flags, data: jr.Dataset, kind: str, decay: float, seed: int, net: vlaar.Network
) -> list[Line]:
    name = f"{'standard' if kind == OWN else slug(kind)}-{decay:g}-{seed}"
    lines = []
    for policy in vlaar.POLICIES:
        found = vlaar.facts(vlaar.path(asked, data, name, net.start, net.end, policy))
        reached = found, net.accuracy, net.train_accuracy
        lines.append(Line(IMAGES, decay, kind, seed, policy, *reached))
    return lines


def from_fresh(asked: Flags, data: jr.Dataset, decay: float, seed: int) -> list[Line]:
    return lined(asked, data, OWN, decay, seed, vlaar.standard(asked, data, decay, seed))


def pretrained(
    asked: Flags, data: jr.Dataset, other: jr.Dataset, kind: str, seed: int
) -> list[Line]:
    name = slug(kind)
    first = vlaar.network(asked, other, f"before-{name}", seed, 0.0, epochs=BEFORE[kind])
    lines = []
    for decay in AFTER[kind]:
        net = vlaar.network(asked, data, f"after-{name}-{decay:g}", seed, decay, first.end)
        lines += lined(asked, data, kind, decay, seed, net)
    return [replace(line, before=first.train_accuracy) for line in lines]


def restarted(asked: Flags, data: jr.Dataset, decay: float, seed: int) -> list[Line]:
    """Train from the top of the barrier before a network, if any: from its start where decayed."""
    net = vlaar.standard(asked, data, decay, seed)
    name, start = f"standard-{decay:g}-{seed}", net.start
    if not decay:
        name, start = f"{name}-{UNRELATED}0", unrelated(vlaar.task(data), seed, 0)
    climb = partial(vlaar.path, asked, data, name, start, net.end)
    begin = top(climb("stored"), smallest_top(asked))
    if begin is None:
        return []
    again = vlaar.network(asked, data, f"from-a-barrier-{decay:g}", seed, decay, begin)
    return [
        replace(line, climbed=vlaar.facts(climb(line.policy)))
        for line in lined(asked, data, TOP, decay, seed, again)
    ]


def smallest_top(asked: Flags) -> float:
    """Give the least height of a barrier; in quick form, where there is none, any line has one."""
    return 0.0 if asked.quick else SMALLEST_TOP


def top(path: jr.Path, smallest: float) -> NDArray[Any] | None:
    """Take the state of the highest test loss, if that lies above both ends."""
    assert path.curve is not None
    if path.barrier("above_ends", "test_loss") < smallest:
        return None
    return path.curve.at(path.alphas[path.values("test_loss").argmax()])[0]


def elsewhere(asked: Flags, data: jr.Dataset, decay: float, seed: int) -> list[Line]:
    net = vlaar.standard(asked, data, decay, seed)
    lines = []
    for policy in vlaar.POLICIES:
        draws = DRAWS if policy == "stored" and not decay else FEW_DRAWS
        score = partial(vlaar.path, asked, data, end=net.end, policy=policy)
        name, task = f"standard-{decay:g}-{seed}-{{}}", vlaar.task(data, policy)
        for kind, found in strangers(asked, task, score, name, net.start, seed, draws):
            lines.append(Line(IMAGES, decay, kind, seed, policy, found))
    return lines


def strangers(
    asked: Flags,
    task: jr.Task,
    score: Callable[..., jr.Path],
    name: str,
    start: NDArray[Any],
    seed: int,
    draws: int = DRAWS,
) -> Iterator[tuple[str, Row]]:
    """Score lines from states that no training of this network began at."""
    several = range(2 if asked.quick else draws)
    states = {
        UNRELATED: [unrelated(task, seed, draw) for draw in several],
        "noise": [jr.controls.noise(task, start, seed)],
        "zero": [jr.controls.zero(task, start)],
    }
    for kind, some in states.items():
        paths = [score(name=name.format(f"{kind}{n}"), start=one) for n, one in enumerate(some)]
        yield kind, averaged([vlaar.facts(path) for path in paths])


def unrelated(task: jr.Task, seed: int, draw: int) -> NDArray[Any]:
    return task.initial(1000 + DRAWS * seed + draw)


def averaged(found: Rows) -> Row:
    losses = np.array([one["test_loss"] for one in found])
    kinds = {kind: np.mean([one["barrier"][kind] for one in found]) for kind in vlaar.KINDS}
    measures = "half", "excess", "train_rise"
    return {
        "test_loss": losses.mean(0).round(5),
        "sd": losses.std(0, ddof=1).round(5) if len(found) > 1 else None,
        "barrier": {kind: float(height) for kind, height in kinds.items()},
        **{measure: float(np.mean([one[measure] for one in found])) for measure in measures},
        "train_rises": [one["train_rise"] for one in found],
        "draws": len(found),
    }


def small(asked: Flags, which: str) -> list[Line]:
    """Do the same with fully connected networks, five at once."""
    task, way = fully_connected(asked, which)
    score, name = partial(vlaar.kept_path, asked, task), slug(which)
    train = partial(trained, shared(asked), recipe=way, jobs=1)
    seeds = list(vlaar.seeds(asked))
    fits = {OWN: (seeds, train(name, task, seeds=seeds))}
    own = dict(zip(seeds, zip(fits[OWN][1].initial, fits[OWN][1].final, strict=True), strict=True))
    if which == SPIRAL:
        climbed = {seed: score(f"{name}-{slug(OWN)}-{seed}", *ends) for seed, ends in own.items()}
        fits |= begun_high(asked, task, train, climbed)
    lines = []
    for kind, (chosen, runs) in fits.items():
        accuracies = (runs.metrics[key][:, -1] for key in ("test_accuracy", "train_accuracy"))
        networks = zip(chosen, runs.initial, runs.final, *accuracies, strict=True)
        for seed, start, end, *reached in networks:
            found = vlaar.facts(score(f"{name}-{slug(kind)}-{seed}", start, end))
            below = vlaar.facts(climbed[seed]) if kind == TOP else None
            last = found, *map(float, reached)
            lines.append(Line(which, 0.0, kind, seed, "stored", *last, climbed=below))
    for seed, (start, end) in own.items():
        line = partial(score, end=end)
        for kind, found in strangers(asked, task, line, f"{name}-{{}}-{seed}", start, seed):
            lines.append(Line(which, 0.0, kind, seed, "stored", found))
    return lines


def begun_high(
    asked: Flags, task: jr.Task, train: Callable[..., jr.Runs], climbed: dict[int, jr.Path]
) -> dict[str, tuple[list[int], jr.Runs]]:
    """Train on a spiral from tops of barriers, and after another spiral and random labels."""
    fits, seeds = {}, list(climbed)
    highest = {seed: top(path, smallest_top(asked)) for seed, path in climbed.items()}
    tops = {seed: begin for seed, begin in highest.items() if begin is not None}
    if tops:
        states = np.stack(list(tops.values()))
        fits[TOP] = [*tops], train("spiral-top", task, seeds=[*tops], states=states)
    elder = {"other spiral": spiral(asked, 2.0), "random labels": spiral(asked).corrupt(1.0)}
    for kind, data in elder.items():
        name = f"spiral-{slug(kind)}"
        first = train(f"{name}-before", replace(task, data=data), seeds=seeds)
        fits[kind] = seeds, train(name, task, seeds=seeds, states=first.final)
    return fits


def fully_connected(asked: Flags, which: str) -> tuple[jr.Task, jr.Recipe]:
    if which == MNIST:
        data = jr.data.digits() if asked.quick else jr.data.load("mnist").subset(2000, 1000)
        model: Any = partial(jr.models.mlp, data.train_x.shape[1:], 10, (100, 100))
    else:
        data = spiral(asked, points=1000 if which == SPIRAL else 2000)
        model = partial(jr.models.mlp, (2,), 2, (64, 64, 64))
        model = jr.initialise(model, "he") if which == SPIRAL else model
    way = MNIST_WAY if which == MNIST else WAY
    task = jr.Task(model, data, batchnorm="stored", device=device(), scored=1000)
    return task, replace(way, epochs=5) if asked.quick else way


def slug(name: str) -> str:
    return name.replace(" ", "-").replace(",", "").replace("'", "")


def spiral(asked: Flags, turns: float = 3.5, points: int = 1000) -> jr.Dataset:
    return jr.data.spirals(200 if asked.quick else points, turns=turns)
