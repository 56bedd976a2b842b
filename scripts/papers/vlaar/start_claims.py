"""Judge where the linear path begins, for arXiv:2106.16004 (H9, H5, and H7 for a restart).

A barrier above both ends is nearly 0 by construction where the start is high, as after another
spiral (mean test loss 5.64), random labels (5.21 on CIFAR-10) or at tops of barriers (3.29 without
decay and 2.43 with, statistics interpolated). "Other images" are 4,000 more of CIFAR-10's own
classes: their start (test loss 1.37 to 1.43) lies below every end (1.76 to 1.89 with decay, higher
without), so that their line has to climb.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
from evidence.judging import between, within
from numpy.typing import NDArray
from papers.vlaar import networks as vlaar
from papers.vlaar.start_networks import DEFAULT, IMAGES, MNIST, OWN, SPIRAL, TOP, UNRELATED, Line

SHOWN = "above_ends"
LOSSES = {
    vlaar.BARRIER: "",
    SHOWN: ", above both ends",
    "train_rise": ", training loss",
}
"""Barriers that are judged, and what is said of them: the test loss above what was reached unless
said otherwise."""
HIGH = {SHOWN: " (nearly 0 by construction where the start is high)"}
MONOTONE = 0.01  # nats: a training loss that rises less is called monotone
SMALLEST_RISE = 0.1  # nats
SMALLEST_LOSS = 0.02  # of accuracy, by a restart
ORDERED = (
    (IMAGES, vlaar.DECAY, "half", OWN, "Fashion-MNIST",
     "pre-training on Fashion-MNIST brings the fall forward"),
    (IMAGES, vlaar.DECAY, "half", OWN, "other images",
     "pre-training on other images brings the fall forward"),
    (IMAGES, vlaar.DECAY, vlaar.BARRIER, OWN, "Fashion-MNIST",
     "pre-training on Fashion-MNIST lowers the barrier"),
    (IMAGES, vlaar.DECAY, vlaar.BARRIER, OWN, "other images",
     "pre-training on other images lowers the barrier"),
    (IMAGES, 0.0, vlaar.BARRIER, OWN, "other images",
     "pre-training on other images lowers the barrier"),
    (IMAGES, 0.0, vlaar.BARRIER, "random labels", OWN,
     "pre-training on random labels raises the barrier"),
    (SPIRAL, 0.0, vlaar.BARRIER, OWN, "other spiral",
     "pre-training on another spiral lowers the barrier"),
    (SPIRAL, 0.0, vlaar.BARRIER, "random labels", OWN,
     "pre-training on random labels raises the barrier"),
)  # fmt: skip


def chosen(lines: list[Line], data: str, decay: float, start: str, policy: str) -> list[Line]:
    place = data, decay, start, policy
    return [
        line for line in lines
        if (line.data, line.weight_decay, line.start, line.policy) == place
    ]  # fmt: skip


def values(
    lines: list[Line], data: str, decay: float, start: str, policy: str, measure: str
) -> NDArray[np.float64]:
    found = chosen(lines, data, decay, start, policy)
    return np.array([vlaar.number(line.found, measure) for line in found])


def named(data: str, decay: float, policy: str, measure: str) -> str:
    where = f"{data}, weight decay {decay:g}, {policy}" if data == IMAGES else data
    return where + LOSSES.get(measure, "")


def cases(data: str) -> tuple[tuple[str, str], ...]:
    policies = vlaar.POLICIES if data == IMAGES else ("stored",)
    return tuple(product(policies, LOSSES))


def judged(lines: list[Line]) -> list[dict[str, Any]]:
    both, tops = (0.0, vlaar.DECAY), ((IMAGES, 0.0), (IMAGES, vlaar.DECAY), (SPIRAL, 0.0))
    elsewhere = (*product((IMAGES,), both), (SPIRAL, 0.0), (DEFAULT, 0.0))
    return [
        *(claim for row in ORDERED for claim in ordered(lines, *row)),
        *(claim for place in tops for claim in restart(lines, *place)),
        *(farther(lines, *place, *case) for place in elsewhere for case in cases(place[0])),
        *map(partial(monotone, lines), (MNIST, SPIRAL, DEFAULT)),
    ]


def ordered(
    lines: list[Line], data: str, decay: float, place: str, larger: str, smaller: str, claim: str
) -> list[dict[str, Any]]:
    several = cases(data) if place == vlaar.BARRIER else product(vlaar.POLICIES, (place,))
    claims = []
    for policy, measure in several:
        take = partial(values, lines, data, decay, policy=policy, measure=measure)
        claims.append(
            between("interpolation-H9", f"{claim} ({named(data, decay, policy, measure)})",
                    f"{measure}, {larger} against {smaller}",
                    take(start=larger), take(start=smaller))
        )  # fmt: skip
    return claims


def restart(lines: list[Line], data: str, decay: float) -> list[dict[str, Any]]:
    """Judge networks from the top of a barrier; nothing where fewer than two have one."""
    claims = []
    for policy, measure in cases(data):
        begun = chosen(lines, data, decay, TOP, policy)
        if len(begun) > 1:
            climbed = [vlaar.number(line.climbed, measure) for line in begun if line.climbed]
            where = named(data, decay, policy, measure)
            claim = f"from the top of a barrier the barrier is lower ({where})"
            how = f"{measure}, the line climbed against that from its top{HIGH.get(measure, '')}"
            after = [vlaar.number(line.found, measure) for line in begun]
            claims.append(between("interpolation-H9", claim, how, climbed, after))
    own = {line.seed: line.accuracy for line in chosen(lines, data, decay, OWN, "stored")}
    again = chosen(lines, data, decay, TOP, "stored")
    gains = [line.accuracy - own[line.seed] for line in again]
    if len(gains) > 1:
        where = f"{data}, weight decay {decay:g}" if data == IMAGES else data
        claim = f"starting at the top of a barrier costs no accuracy ({where})"
        how = f"gain of accuracy plus {SMALLEST_LOSS}"
        claims.append(within("interpolation-H7", claim, how, np.add(gains, SMALLEST_LOSS), 0.0))
    return claims


def farther(
    lines: list[Line], data: str, decay: float, policy: str, measure: str
) -> dict[str, Any]:
    take = partial(values, lines, data, decay, policy=policy, measure=measure)
    return within(
        "interpolation-H5",
        "the barrier is higher from unrelated weights than from its own "
        f"({named(data, decay, policy, measure)})",
        "difference of barriers, in nats",
        take(start=UNRELATED) - take(start=OWN),
        SMALLEST_RISE,
    )


def monotone(lines: list[Line], data: str) -> dict[str, Any]:
    rises = values(lines, data, 0.0, UNRELATED, "stored", "train_rises")
    return within(
        "interpolation-H5",
        f"the training loss falls monotonically from most unrelated weights ({data})",
        f"share of draws that rise less than {MONOTONE} nats, minus one half",
        (rises < MONOTONE).mean(1) - 0.5,
        0.0,
    )
