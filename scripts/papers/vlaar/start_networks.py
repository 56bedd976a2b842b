"""Lines to trained networks from where training began and from elsewhere, for arXiv:2106.16004.

Training began at fresh weights, at weights pre-trained on other images or on random labels, or at
the top of the barrier before a trained network. It did not at unrelated fresh weights, noise and
zero. A barrier with a top is one above both ends: on small images few lines from a network's own
start have one without weight decay, so that there the line from unrelated weights is climbed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from evidence.cells import trained
from evidence.figure import Flags, device
from numpy.typing import NDArray
from papers.vlaar import networks as vlaar

import jumpretrain as jr
from jumpretrain.execution.execution import spread

OWN, TOP, UNRELATED = "fresh weights", "top of a barrier", "unrelated weights"
BEFORE = {"Fashion-MNIST": 10, "other images": 10, "random labels": 80}
"""Epochs of pre-training; 10 on 4,000 images are as many steps as 40 on the 1,000."""
AFTER = {
    "Fashion-MNIST": (vlaar.DECAY,),
    "other images": (0.0, vlaar.DECAY),
    "random labels": (0.0,),
}
"""Weight decays of the training that follows."""
IMAGES, SPIRAL, MNIST = "CIFAR-10", "spiral", "MNIST"
DEFAULT = "spiral, torch's weights"
DRAWS, FEW_DRAWS = 10, 3  # few where statistics are re-estimated or there is weight decay
SMALLEST_TOP = 0.05  # nats above both ends: what is lower is no barrier to begin at the top of
WAY = jr.Recipe(epochs=1500, lr=0.1, batch_size=500, record_every=0, record_early=False)
MNIST_WAY = jr.Recipe(epochs=40, lr=0.05, batch_size=64, record_every=0, record_early=False)


@dataclass(frozen=True)
class Line:
    """The line from one start to one network, or the mean of several.

    Attributes:
        data: What the network was trained on.
        weight_decay: Penalty in training.
        start: Where the line begins.
        seed: The network's.
        policy: How BatchNorm is scored.
        found: What `vlaar.facts` gives; means over draws, with their standard deviation.
        accuracy: Of the network, on test images; None where no training began at the start.
        train_accuracy: Idem, on training images.
        before: Training accuracy at the end of pre-training, if there was any.
        climbed: What `vlaar.facts` gives of the line at whose top training began, if it did.
    """

    data: str
    weight_decay: float
    start: str
    seed: int
    policy: str
    found: dict[str, Any]
    accuracy: float | None = None
    train_accuracy: float | None = None
    before: float | None = None
    climbed: dict[str, Any] | None = None


def sampled(asked: Flags, data: dict[str, jr.Dataset]) -> list[Line]:
    """Train all networks and score all lines, or read what was kept.

    Returns:
        The lines.
    """
    seeds, base = vlaar.seeds(asked), data["base"]
    own = [(asked, base, *pair) for pair in product((0.0, vlaar.DECAY), seeds)]
    elder = [(asked, base, data[kind], kind, seed) for kind, seed in product(BEFORE, seeds)]
    steps = (
        ("from fresh weights", from_fresh, own),
        ("pre-trained", pretrained, elder),
        ("from the top", restarted, own),
        ("from elsewhere", elsewhere, own),
        ("spirals, MNIST", small, [(asked, which) for which in (SPIRAL, DEFAULT, MNIST)]),
    )
    execution = jr.Execution(n_jobs=asked.jobs)
    return [
        line
        for label, function, jobs in steps
        for lines in spread(function, jobs, execution, label)
        for line in lines
    ]


def lined(
    asked: Flags, data: jr.Dataset, kind: str, decay: float, seed: int, net: vlaar.Network
) -> list[Line]:
    name = f"{slug(kind)}-{decay:g}-{seed}"
    if kind == OWN:
        name = f"standard-{decay:g}-{seed}"
    reached = (net.accuracy, net.train_accuracy)
    return [
        Line(IMAGES, decay, kind, seed, policy,
             vlaar.facts(vlaar.path(asked, data, name, net.start, net.end, policy)), *reached)
        for policy in vlaar.POLICIES
    ]  # fmt: skip


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
    """Train from the top of the barrier before a network: from its own start where it decayed.

    Returns:
        Its lines, none where there is no barrier.
    """
    net = vlaar.standard(asked, data, decay, seed)
    name, start = f"standard-{decay:g}-{seed}", net.start
    if not decay:
        name, start = f"{name}-{UNRELATED}0", unrelated(vlaar.task(data), seed, 0)
    climbed = {
        policy: vlaar.path(asked, data, name, start, net.end, policy) for policy in vlaar.POLICIES
    }
    begin = top(climbed["stored"], smallest_top(asked))
    if begin is None:
        return []
    again = vlaar.network(asked, data, f"from-a-barrier-{decay:g}", seed, decay, begin)
    return [
        replace(line, climbed=vlaar.facts(climbed[line.policy]))
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
        made = vlaar.task(data, policy)
        draws = DRAWS if policy == "stored" and not decay else FEW_DRAWS
        score = partial(scored, asked, data, f"standard-{decay:g}-{seed}", net.end, policy)
        for kind, starts in strangers(made, net.start, seed, 2 if asked.quick else draws):
            found = [score(f"{kind}{number}", start) for number, start in enumerate(starts)]
            lines.append(Line(IMAGES, decay, kind, seed, policy, averaged(found)))
    return lines


def scored(
    asked: Flags, data: jr.Dataset, name: str, end: NDArray[Any], policy: vlaar.Policy,
    kind: str, start: NDArray[Any],
) -> dict[str, Any]:  # fmt: skip
    return vlaar.facts(vlaar.path(asked, data, f"{name}-{kind}", start, end, policy))


def strangers(
    task: jr.Task, start: NDArray[Any], seed: int, draws: int
) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """List states that no training of this network began at."""
    yield UNRELATED, [unrelated(task, seed, draw) for draw in range(draws)]
    yield "noise", [jr.controls.noise(task, start, seed)]
    yield "zero", [jr.controls.zero(task, start)]


def unrelated(task: jr.Task, seed: int, draw: int) -> NDArray[Any]:
    return task.initial(1000 + DRAWS * seed + draw)


def averaged(found: list[dict[str, Any]]) -> dict[str, Any]:
    losses = np.array([one["test_loss"] for one in found])
    return {
        "test_loss": losses.mean(0).round(5),
        "sd": losses.std(0, ddof=1).round(5) if len(found) > 1 else None,
        "barrier": {
            kind: float(np.mean([one["barrier"][kind] for one in found])) for kind in vlaar.KINDS
        },
        "half": float(np.mean([one["half"] for one in found])),
        "excess": float(np.mean([one["excess"] for one in found])),
        "train_rise": float(np.mean([one["train_rise"] for one in found])),
        "train_rises": [one["train_rise"] for one in found],
        "draws": len(found),
    }


def small(asked: Flags, which: str) -> list[Line]:
    """Do the same with fully connected networks, five at once."""
    seeds = list(vlaar.seeds(asked))
    fit, made, way = fully_connected(asked, which)
    again = partial(trained, vlaar.shared(asked), task=made, recipe=way, jobs=1)
    fits, climbed = {OWN: (seeds, fit)}, {}
    if which == SPIRAL:
        climbed = {seed: line(asked, made, f"{which}-{OWN}", fit, seed, seed) for seed in seeds}
        highest = {seed: top(climbed[seed], smallest_top(asked)) for seed in seeds}
        tops = {seed: begin for seed, begin in highest.items() if begin is not None}
        if tops:
            states = np.stack(list(tops.values()))
            fits[TOP] = [*tops], again(name="spiral-top", seeds=[*tops], states=states)
        for kind, other in elder_spirals(asked).items():
            name = f"spiral-{slug(kind)}"
            task = replace(made, data=other)
            first = trained(vlaar.shared(asked), f"{name}-before", task, way, seeds, jobs=1)
            fits[kind] = seeds, again(name=name, seeds=seeds, states=first.final)
    lines = []
    for kind, (chosen, runs) in fits.items():
        for place, seed in enumerate(chosen):
            found = vlaar.facts(line(asked, made, f"{which}-{kind}", runs, seed, place))
            last = (float(runs.metrics[m][place, -1]) for m in ("test_accuracy", "train_accuracy"))
            below = vlaar.facts(climbed[seed]) if kind == TOP else None
            lines.append(Line(which, 0.0, kind, seed, "stored", found, *last, climbed=below))
    for seed in seeds:
        draws = 2 if asked.quick else DRAWS
        for kind, starts in strangers(made, fit.initial[seed], seed, draws):
            found = [
                vlaar.facts(vlaar.kept_path(
                    asked, made, f"{slug(which)}-{kind}{n}-{seed}", start, fit.final[seed]))
                for n, start in enumerate(starts)
            ]  # fmt: skip
            lines.append(Line(which, 0.0, kind, seed, "stored", averaged(found)))
    return lines


def line(asked: Flags, made: jr.Task, name: str, runs: jr.Runs, seed: int, place: int) -> jr.Path:
    return vlaar.kept_path(
        asked, made, f"{slug(name)}-{seed}", runs.initial[place], runs.final[place]
    )


def fully_connected(asked: Flags, which: str) -> tuple[jr.Runs, jr.Task, jr.Recipe]:
    if which == MNIST:
        data = jr.data.digits() if asked.quick else jr.data.load("mnist").subset(2000, 1000)
        model: Any = partial(jr.models.mlp, data.train_x.shape[1:], 10, (100, 100))
    else:
        data = spiral(asked, points=1000 if which == SPIRAL else 2000)
        model = partial(jr.models.mlp, (2,), 2, (64, 64, 64))
        model = jr.initialise(model, "he") if which == SPIRAL else model
    way = MNIST_WAY if which == MNIST else WAY
    way = replace(way, epochs=5) if asked.quick else way
    made = jr.Task(model, data, batchnorm="stored", device=device(), scored=1000)
    name, seeds = slug(which), list(vlaar.seeds(asked))
    return trained(vlaar.shared(asked), name, made, way, seeds, jobs=1), made, way


def slug(name: str) -> str:
    return name.replace(" ", "-").replace(",", "").replace("'", "")


def spiral(asked: Flags, turns: float = 3.5, points: int = 1000) -> jr.Dataset:
    return jr.data.spirals(200 if asked.quick else points, turns=turns)


def elder_spirals(asked: Flags) -> dict[str, jr.Dataset]:
    return {"other spiral": spiral(asked, 2.0), "random labels": spiral(asked).corrupt(1.0)}
