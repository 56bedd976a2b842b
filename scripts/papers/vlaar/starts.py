"""Where the linear path begins: arXiv:2106.16004 (H9, H5, and H7 for a restart).

Test loss along the line to the trained network, for networks that began at fresh weights, at
weights pre-trained on other images, on random labels (an adversarial initialisation) or at the top
of the barrier before a trained network; and along lines from points where no training began:
unrelated fresh weights, zero and noise. On small CIFAR-10 images with both treatments of BatchNorm
statistics, on spirals, and on MNIST for unrelated weights.

After a review, having seen the numbers: pre-training is judged with weight decay too, as the
paper's base network has it; restarts, which had begun at the highest point of lines that in three
of five networks have no barrier, begin at tops of .05 nats or more, and their lines are compared
with those climbed; unrelated weights are judged with both treatments of statistics, both weight
decays and both spirals; title and panel of barriers go by those above both ends.

These are nearly 0 by construction where the start is high, as after another spiral (mean test loss
5.64), random labels (5.21 on CIFAR-10) or at tops of barriers (3.29 without decay and 2.43 with,
statistics interpolated). "Other images" are 4,000 more of CIFAR-10's own classes: their start
(test loss 1.37 to 1.43) lies below every end (1.76 to 1.89 with decay, higher without), so that
their line has to climb. The full form needs MNIST, too.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from itertools import product

import numpy as np
from evidence.figure import Flags, Made
from evidence.judging import between, within
from evidence.rows import Row, Rows
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.vlaar import networks as vlaar
from papers.vlaar import start_networks as begun
from papers.vlaar.start_networks import DEFAULT, IMAGES, MNIST, OWN, SPIRAL, TOP, UNRELATED, Line

SHOWN = "above_ends"
LOSSES = {vlaar.BARRIER: "", SHOWN: ", above both ends", "train_rise": ", training loss"}
"""Barriers that are judged, and what is said of them: the test loss above what was reached unless
said otherwise."""
HIGH = {SHOWN: " (nearly 0 by construction where the start is high)"}
MONOTONE = 0.01  # nats: a training loss that rises less is called monotone
SMALLEST_RISE = 0.1  # nats
SMALLEST_LOSS = 0.02  # of accuracy, by a restart
CHEAP = "starting at the top of a barrier costs no accuracy"
FAR = "the barrier is higher from unrelated weights than from its own"
FORWARD, LOWERS = "brings the fall forward", "lowers the barrier"
ORDERED = (
    (IMAGES, vlaar.DECAY, "half", OWN, "Fashion-MNIST", f"Fashion-MNIST {FORWARD}"),
    (IMAGES, vlaar.DECAY, "half", OWN, "other images", f"other images {FORWARD}"),
    (IMAGES, vlaar.DECAY, vlaar.BARRIER, OWN, "Fashion-MNIST", f"Fashion-MNIST {LOWERS}"),
    (IMAGES, vlaar.DECAY, vlaar.BARRIER, OWN, "other images", f"other images {LOWERS}"),
    (IMAGES, 0.0, vlaar.BARRIER, OWN, "other images", f"other images {LOWERS}"),
    (IMAGES, 0.0, vlaar.BARRIER, "random labels", OWN, "random labels raises the barrier"),
    (SPIRAL, 0.0, vlaar.BARRIER, OWN, "other spiral", f"another spiral {LOWERS}"),
    (SPIRAL, 0.0, vlaar.BARRIER, "random labels", OWN, "random labels raises the barrier"),
)
"""Data, weight decay, barriers or the place of the fall; which start has more, which less."""
STYLES = {
    OWN: ("#000000", "-"),
    "Fashion-MNIST": ("#E69F00", "-"),
    "other images": ("#009E73", "-"),
    "other spiral": ("#009E73", "-"),
    "random labels": ("#D55E00", "-"),
    TOP: ("#CC79A7", "-"),
    UNRELATED: ("#0072B2", "--"),
    "noise": ("#56B4E9", ":"),
    "zero": ("0.55", ":"),
}
DECAYED, FREE = f"weight decay {vlaar.DECAY:g}", f"{IMAGES}, no weight decay"
Case = tuple[str, float, str]
"""Data, weight decay and how BatchNorm is scored."""
BASE, PLAIN = (IMAGES, vlaar.DECAY, "stored"), (IMAGES, 0.0, "stored")
BENT = SPIRAL, 0.0, "stored"
PANELS = (
    (*BASE, f"{IMAGES}, {DECAYED}, interpolated"),
    (*PLAIN, f"{FREE}, interpolated"),
    (IMAGES, 0.0, "recalibrate", f"{FREE}, re-estimated"),
    (*BENT, f"{SPIRAL}, He's weights"),
)
CASES = (
    (*BASE, "o", f"{IMAGES}, {DECAYED}"),
    (*PLAIN, "D", FREE),
    (IMAGES, 0.0, "recalibrate", "s", "the same, re-estimated"),
    (*BENT, "^", f"{SPIRAL}, He's weights"),
    (DEFAULT, 0.0, "stored", "v", DEFAULT),
)


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    lines = begun.sampled(asked, data)
    claims = judged(lines)
    numbers = {
        "data": {name: list(part.history) for name, part in data.items()},
        "recipe": asdict(vlaar.recipe(asked.quick, 0.0)),
        "epochs_of_pretraining": begun.BEFORE,
        "spiral": asdict(begun.WAY),
        "mnist": asdict(begun.MNIST_WAY),
        "seeds": list(vlaar.seeds(asked)),
        "barrier_shown": SHOWN,
        "smallest_top": begun.smallest_top(asked),
        "claims": claims,
        "lines": [asdict(line) for line in lines],
    }
    return drawn(asked, lines, claims, vlaar.describe(data)), numbers


def chosen(lines: list[Line], case: Case, start: str) -> list[Line]:
    return [x for x in lines if (x.data, x.weight_decay, x.policy, x.start) == (*case, start)]


def values(lines: list[Line], case: Case, start: str, measure: str) -> NDArray[np.float64]:
    return np.array([vlaar.number(line.found, measure) for line in chosen(lines, case, start)])


def named(case: Case, measure: str) -> str:
    data, decay, policy = case
    where = f"{data}, weight decay {decay:g}, {policy}" if data == IMAGES else data
    return where + LOSSES.get(measure, "")


def cases(data: str, decay: float, *measures: str) -> list[tuple[Case, str]]:
    policies = vlaar.POLICIES if data == IMAGES else ("stored",)
    return [((data, decay, policy), measure) for policy, measure in product(policies, measures)]


def judged(lines: list[Line]) -> Rows:
    tops = (IMAGES, 0.0), (IMAGES, vlaar.DECAY), (SPIRAL, 0.0)
    elsewhere = [case for place in (*tops, (DEFAULT, 0.0)) for case in cases(*place, *LOSSES)]
    return [
        *(claim for row in ORDERED for claim in ordered(lines, *row)),
        *(claim for place in tops for claim in restart(lines, *place)),
        *(farther(lines, *case) for case in elsewhere),
        *map(partial(monotone, lines), (MNIST, SPIRAL, DEFAULT)),
    ]


def ordered(
    lines: list[Line], data: str, decay: float, place: str, larger: str, smaller: str, claim: str
) -> Rows:
    claims = []
    for case, measure in cases(data, decay, *(LOSSES if place == vlaar.BARRIER else (place,))):
        found = [values(lines, case, start, measure) for start in (larger, smaller)]
        said = f"pre-training on {claim} ({named(case, measure)})"
        how = f"{measure}, {larger} against {smaller}"
        claims.append(between("interpolation-H9", said, how, *found))
    return claims


def restart(lines: list[Line], data: str, decay: float) -> Rows:
    """Judge networks from the top of a barrier; nothing where fewer than two have one."""
    claims = []
    for case, measure in cases(data, decay, *LOSSES):
        again = chosen(lines, case, TOP)
        if len(again) > 1:
            climbed = [vlaar.number(line.climbed, measure) for line in again if line.climbed]
            after = [vlaar.number(line.found, measure) for line in again]
            claim = f"from the top of a barrier the barrier is lower ({named(case, measure)})"
            how = f"{measure}, the line climbed against that from its top{HIGH.get(measure, '')}"
            claims.append(between("interpolation-H9", claim, how, climbed, after))
    own, again = (chosen(lines, (data, decay, "stored"), start) for start in (OWN, TOP))
    before = {line.seed: line.accuracy for line in own}
    gains = [line.accuracy - before[line.seed] + SMALLEST_LOSS for line in again]
    if len(gains) > 1:
        where = f"{data}, weight decay {decay:g}" if data == IMAGES else data
        how = f"gain of accuracy plus {SMALLEST_LOSS}"
        claims.append(within("interpolation-H7", f"{CHEAP} ({where})", how, gains, 0.0))
    return claims


def farther(lines: list[Line], case: Case, measure: str) -> Row:
    far, own = (values(lines, case, start, measure) for start in (UNRELATED, OWN))
    claim, how = f"{FAR} ({named(case, measure)})", "difference of barriers, in nats"
    return within("interpolation-H5", claim, how, far - own, SMALLEST_RISE)


def monotone(lines: list[Line], data: str) -> Row:
    rises = values(lines, (data, 0.0, "stored"), UNRELATED, "train_rises")
    claim = f"the training loss falls monotonically from most unrelated weights ({data})"
    how = f"share of draws that rise less than {MONOTONE} nats, minus one half"
    return within("interpolation-H5", claim, how, (rises < MONOTONE).mean(1) - 0.5, 0.0)


def drawn(asked: Flags, lines: list[Line], claims: Rows, what: str) -> Figure:
    figure = Figure(figsize=(15, 9), layout="constrained")
    upper, lower = figure.add_gridspec(2, 1)
    above = upper.subgridspec(1, 3).subplots()
    below = lower.subgridspec(1, 4, width_ratios=(1, 1, 1.3, 1.1)).subplots()
    for ax, (*place, title) in zip((*above, below[0]), PANELS, strict=True):
        some = [x for x in lines if [x.data, x.weight_decay, x.policy] == place]
        curves(ax, some, *STYLES)
        ax.set_title(title, fontsize=10)
        ax.legend(fontsize=7, frameon=False, ncols=1 if SPIRAL in place else 2)
    for data in (DEFAULT, MNIST):
        some = [line for line in lines if line.data == data]
        curves(below[1], some, OWN, UNRELATED)
        first = np.mean([line.found["test_loss"][0] for line in some if line.start == OWN])
        place = {"xytext": (0, -20), "textcoords": "offset points", "fontsize": 8}
        below[1].annotate(data.partition(",")[0], (0, first), **place)
    below[1].set_title(f"{DEFAULT}; {MNIST}", fontsize=10)
    barriers(below[2], lines)
    accuracies(below[3], lines)
    note = described(asked, lines, what)
    return vlaar.framed(figure, headline(lines, claims), note, claims, size=10.5)


def described(asked: Flags, lines: list[Line], what: str) -> str:
    free, decayed = (len(chosen(lines, case, TOP)) for case in (PLAIN, BASE))
    return (
        f"n = {len({line.seed for line in lines})} networks (seeds) a start; from the top of a "
        f"barrier only those whose line has one of {begun.smallest_top(asked):g} nats above both "
        f"ends: {IMAGES} {free} without decay (line from unrelated weights), {decayed} with (own "
        "line);\nthick: means, thin: networks, band: standard deviation over "
        f"{begun.DRAWS} unrelated draws ({begun.FEW_DRAWS} where decayed or re-estimated); "
        "statistics of BatchNorm interpolated or re-estimated at each state;\n"
        f"{what}; MLPs 2-64-64-64-2 and 784-100-100-10"
    )


def curves(ax: Axes, lines: list[Line], *starts: str) -> None:
    for start in starts:
        colour, style = STYLES[start]
        of = [line.found for line in lines if line.start == start]
        if not of:
            continue
        losses = np.array([found["test_loss"] for found in of])
        if start == UNRELATED:
            alphas, mean = np.linspace(0, 1, losses.shape[1]), losses.mean(0)
            reach = np.mean([found["sd"] for found in of], axis=0)
            ax.fill_between(alphas, mean - reach, mean + reach, color=colour, alpha=0.2, lw=0)
            ax.plot(alphas, mean, color=colour, ls=style, lw=2, label=start)
        else:
            vlaar.curves(ax, losses, colour, start, style=style, lw=2)
    ax.set(yscale="log", xlabel="α, from start (0) to trained (1)", ylabel="test loss (nats)")
    vlaar.plain(ax)


def barriers(ax: Axes, lines: list[Line]) -> None:
    starts = [start for start in STYLES if start not in {"noise", "zero"}]
    for (row, start), (shift, (*case, mark, _)) in product(enumerate(starts), enumerate(CASES)):
        found = values(lines, tuple(case), start, SHOWN)
        where = np.full(len(found), row + 0.16 * (shift - 2))
        ax.plot(found, where, mark, color=STYLES[start][0], ms=4.5, alpha=0.7, mec="white")
    for *_, mark, name in CASES:
        ax.plot([], [], mark, color="0.4", label=name)
    ax.set_yticks(range(len(starts)), starts)
    ax.set(ylim=(len(starts) + 1.9, -0.6), xlabel="test loss above both ends (nats)")
    ax.set_title("barrier by start", fontsize=10)
    ax.legend(fontsize=7, frameon=False, loc="lower right")


def accuracies(ax: Axes, lines: list[Line]) -> None:
    starts = [OWN, *begun.BEFORE, TOP]
    marks = (PLAIN, "o", -0.15, "no weight decay"), (BASE, "D", 0.15, DECAYED)
    for (row, start), (case, mark, shift, _) in product(enumerate(starts), marks):
        nets = chosen(lines, case, start)
        if nets:
            found = np.array([100 * line.accuracy for line in nets if line.accuracy is not None])
            where = np.full(len(found), row + shift)
            ax.plot(found, where, mark, color=STYLES[start][0], ms=5, alpha=0.6, mec="white")
            ax.plot([found.mean()] * 2, [row + shift - 0.14, row + shift + 0.14], "k", lw=1.5)
    for _, mark, _, name in marks:
        ax.plot([], [], mark, color="0.4", label=name)
    ax.set_yticks(range(len(starts)), starts)
    ax.set_ylim(len(starts) + 0.4, -0.6)  # leaves room for the legend
    ax.set(xlabel="test accuracy after training (%)")
    ax.set_title(f"accuracy by start, {IMAGES}; line: mean", fontsize=10)
    ax.legend(fontsize=8, frameon=False, loc="lower right")


def headline(lines: list[Line], claims: Rows) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}
    decay, images = vlaar.DECAY, f"pre-training on other images {LOWERS}"

    def on(claim: str, case: Case) -> str:
        return verdicts[f"{claim} ({named(case, SHOWN)})"]

    def heights(case: Case) -> str:
        own, other = (values(lines, case, start, SHOWN).mean() for start in (OWN, "other images"))
        return f"{own:.2f} to {other:.2f}"

    cheap = ", ".join(
        f"{verdicts.get(f'{CHEAP} ({where})', 'not judged')} ({where})"
        for where in (f"{IMAGES}, weight decay 0", f"{IMAGES}, weight decay {decay:g}", SPIRAL)
    )
    plain, plain_again, base, base_again = (
        on(FAR, (IMAGES, *pair)) for pair in product((0.0, decay), vlaar.POLICIES)
    )
    return (
        "Barriers above both ends: pre-training on other images lowers them: "
        f"{on(images, BASE)} at weight decay {decay:g} ({heights(BASE)} nats), "
        f"{on(images, PLAIN)} without decay ({heights(PLAIN)});\n"
        f"a start at the top of one costs no accuracy: {cheap};\n"
        f"from unrelated weights they are higher: on {IMAGES} {plain} without decay "
        f"({plain_again} re-estimated), {base} with ({base_again}); on a spiral from He's weights "
        f"{on(FAR, BENT)}, from torch's {on(FAR, (DEFAULT, 0.0, 'stored'))}"
    )
