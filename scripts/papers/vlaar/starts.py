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

A barrier with a top is one above both ends: on small images few lines from a network's own start
have one without weight decay, so that there the line from unrelated weights is climbed.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import over, recipe, shared, trained
from evidence.figure import Flags, Made, device
from evidence.judging import between, judge, within
from evidence.rows import Array, Row, Rows
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.vlaar import networks as vlaar

import jumpretrain as jr

OWN, TOP, UNRELATED = "fresh weights", "top of a barrier", "unrelated weights"
BOTH = 0.0, vlaar.DECAY
BEFORE = {"Fashion-MNIST": 10, "other images": 10, "random labels": 80}
"""Epochs of pre-training; 10 on 4,000 images are as many steps as 40 on the 1,000."""
AFTER = {"Fashion-MNIST": BOTH[1:], "other images": BOTH, "random labels": BOTH[:1]}
IMAGES, SPIRAL, MNIST = "CIFAR-10", "spiral", "MNIST"
DEFAULT = "spiral, torch's weights"
DRAWS, FEW_DRAWS = 10, 3  # few where statistics are re-estimated or there is weight decay
WAY, MNIST_WAY = recipe(1500, 0.1, 500), recipe(40, 0.05, 64)
SHOWN = "above_ends"
LOSSES = {vlaar.BARRIER: "", SHOWN: ", above both ends", "train_rise": ", training loss"}
"""Barriers that are judged, and what is said of them: the test loss above what was reached unless
said otherwise."""
MONOTONE = 0.01  # nats: a training loss that rises less is called monotone
SMALLEST_RISE, SMALLEST_LOSS = 0.1, 0.02  # nats; of accuracy, by a restart
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
COLOURS = {OWN: "#000000", "Fashion-MNIST": "#E69F00", "other images": "#009E73"}
COLOURS |= {"other spiral": "#009E73", "random labels": "#D55E00", TOP: "#CC79A7"}
COLOURS |= {UNRELATED: "#0072B2", "noise": "#56B4E9", "zero": "0.55"}
DECAYED, FREE = f"weight decay {vlaar.DECAY:g}", f"{IMAGES}, no weight decay"
Case = tuple[str, float, str]  # data, weight decay and how BatchNorm is scored
BASE, PLAIN = (IMAGES, vlaar.DECAY, "stored"), (IMAGES, 0.0, "stored")
AGAIN, BENT = (IMAGES, 0.0, "recalibrate"), (SPIRAL, 0.0, "stored")
PANELS = {
    BASE: f"{IMAGES}, {DECAYED}, interpolated",
    PLAIN: f"{FREE}, interpolated",
    AGAIN: f"{FREE}, re-estimated",
    BENT: f"{SPIRAL}, He's weights",
}
MARKS = {BASE: "o", PLAIN: "D", AGAIN: "s", BENT: "^", (DEFAULT, 0.0, "stored"): "v"}
PLACE = ["data", "weight_decay", "policy", "start"]


@dataclass(frozen=True)
class Line:
    """The line from one start to one network, or the mean of several.

    `climbed` is of the line at whose top training began; accuracies are of the network, None
    where no training began at the start, and `before` of the end of pre-training.
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


Lines = list[Line]


def make(asked: Flags) -> Made:
    data = vlaar.images(asked.quick)
    lines = sampled(asked, data)
    table = vlaar.tabled([asdict(line) for line in lines])
    claims = judged(table)
    return drawn(asked, table, claims, vlaar.describe(data)), {
        "data": {name: list(part.history) for name, part in data.items()},
        "recipe": asdict(vlaar.recipe(asked.quick, 0.0)),
        "epochs_of_pretraining": BEFORE,
        "spiral": asdict(WAY),
        "mnist": asdict(MNIST_WAY),
        "seeds": list(vlaar.seeds(asked)),
        "barrier_shown": SHOWN,
        "smallest_top": smallest_top(asked),
        "claims": claims,
        "lines": [asdict(line) for line in lines],
    }


def sampled(asked: Flags, data: dict[str, jr.Dataset]) -> Lines:
    """Train all networks and score all lines, or read what was kept."""
    seeds, base = vlaar.seeds(asked), data["base"]
    own = [(asked, base, *pair) for pair in product(BOTH, seeds)]
    fresh = [(asked, base, OWN, *pair) for pair in product(BOTH, seeds)]
    elder = [(asked, base, data[kind], kind, seed) for kind, seed in product(BEFORE, seeds)]
    steps = (
        ("from fresh weights", lined, fresh),
        ("pre-trained", pretrained, elder),
        ("from the top", restarted, own),
        ("from elsewhere", elsewhere, own),
        ("spirals, MNIST", small, [(asked, which) for which in (SPIRAL, DEFAULT, MNIST)]),
    )
    found = [lines for label, *step in steps for lines in over(asked, *step, label)]
    return [line for lines in found for line in lines]


def lined(
    asked: Flags, data: jr.Dataset, kind: str, decay: float, seed: int, net: Any = None
) -> Lines:
    """Score the lines to a network, trained from fresh weights unless given."""
    net = net or vlaar.standard(asked, data, decay, seed)
    name = f"{'standard' if kind == OWN else slug(kind)}-{decay:g}-{seed}"
    score = partial(vlaar.path, asked, data, name, net.start, net.end)
    reached = net.accuracy, net.train_accuracy
    return [
        Line(IMAGES, decay, kind, seed, policy, vlaar.facts(score(policy=policy)), *reached)
        for policy in vlaar.POLICIES
    ]


def pretrained(asked: Flags, data: jr.Dataset, other: jr.Dataset, kind: str, seed: int) -> Lines:
    name = slug(kind)
    first = vlaar.network(asked, other, f"before-{name}", seed, 0.0, epochs=BEFORE[kind])
    lines = []
    for decay in AFTER[kind]:
        net = vlaar.network(asked, data, f"after-{name}-{decay:g}", seed, decay, first.end)
        lines += lined(asked, data, kind, decay, seed, net)
    return [replace(line, before=first.train_accuracy) for line in lines]


def restarted(asked: Flags, data: jr.Dataset, decay: float, seed: int) -> Lines:
    """Train from the top of the barrier before a network, if any: from its start where decayed."""
    net = vlaar.standard(asked, data, decay, seed)
    name, start = f"standard-{decay:g}-{seed}", net.start
    if not decay:
        name, start = f"{name}-{UNRELATED}0", unrelated(vlaar.task(data), seed, 0)
    climb = partial(vlaar.path, asked, data, name, start, net.end)
    begin = top(asked, climb())
    if begin is None:
        return []
    again = vlaar.network(asked, data, f"from-a-barrier-{decay:g}", seed, decay, begin)
    lines = lined(asked, data, TOP, decay, seed, again)
    return [replace(line, climbed=vlaar.facts(climb(policy=line.policy))) for line in lines]


def smallest_top(asked: Flags) -> float:
    """Give the height above both ends, in nats, below which no line has a top to begin at."""
    return 0.0 if asked.quick else 0.05


def top(asked: Flags, path: jr.Path) -> Any:
    """Take the state (S,) of the highest test loss, if that lies above both ends, or None."""
    if path.barrier("above_ends", "test_loss") < smallest_top(asked):
        return None
    return path.curve.at(path.alphas[path.values("test_loss").argmax()])[0]


def elsewhere(asked: Flags, data: jr.Dataset, decay: float, seed: int) -> Lines:
    net = vlaar.standard(asked, data, decay, seed)
    lines, name = [], f"standard-{decay:g}-{seed}-{{}}"
    for policy in vlaar.POLICIES:
        draws = DRAWS if policy == "stored" and not decay else FEW_DRAWS
        score = partial(vlaar.path, asked, data, end=net.end, policy=policy)
        task = vlaar.task(data, policy)
        for kind, found in strangers(asked, task, score, name, net.start, seed, draws):
            lines.append(Line(IMAGES, decay, kind, seed, policy, found))
    return lines


def strangers(
    asked: Flags,
    task: jr.Task,
    score: Callable[..., jr.Path],
    name: str,
    start: Array,
    seed: int,
    draws: int = DRAWS,
) -> Iterator[tuple[str, Row]]:
    """Score lines from states that no training of this network began at."""
    several = [unrelated(task, seed, draw) for draw in range(2 if asked.quick else draws)]
    noise, zero = [jr.controls.noise(task, start, seed)], [jr.controls.zero(task, start)]
    for kind, some in ((UNRELATED, several), ("noise", noise), ("zero", zero)):
        paths = [score(name=name.format(f"{kind}{n}"), start=one) for n, one in enumerate(some)]
        yield kind, averaged([vlaar.facts(path) for path in paths])


def unrelated(task: jr.Task, seed: int, draw: int) -> Array:
    return task.initial(1000 + DRAWS * seed + draw)


def averaged(found: Rows) -> Row:
    losses = np.array([one["test_loss"] for one in found])
    return {
        "test_loss": losses.mean(0).round(5),
        "sd": losses.std(0, ddof=1).round(5) if len(found) > 1 else None,
        "barrier": pd.DataFrame([one["barrier"] for one in found]).mean().to_dict(),
        **pd.DataFrame(found)[["half", "excess", "train_rise"]].mean().to_dict(),
        "train_rises": [one["train_rise"] for one in found],
        "draws": len(found),
    }


def small(asked: Flags, which: str) -> Lines:
    """Do the same with fully connected networks, five at once."""
    task, way = fully_connected(asked, which)
    score, name = partial(vlaar.kept_path, asked, task), slug(which)
    train = partial(trained, shared(asked), recipe=way, jobs=1)
    seeds = list(vlaar.seeds(asked))
    fits = {OWN: train(name, task, seeds=seeds)}
    own = dict(zip(seeds, zip(fits[OWN].initial, fits[OWN].final, strict=True), strict=True))
    if which == SPIRAL:
        climbed = {seed: score(f"{name}-{slug(OWN)}-{seed}", *ends) for seed, ends in own.items()}
        fits |= begun_high(asked, task, train, climbed)
    lines = []
    for kind, runs in fits.items():
        accuracies = (runs.metrics[key][:, -1] for key in ("test_accuracy", "train_accuracy"))
        networks = zip(map(int, runs.seeds), runs.initial, runs.final, *accuracies, strict=True)
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
) -> dict[str, jr.Runs]:
    """Train on a spiral from tops of barriers, and after another spiral and random labels."""
    fits, seeds = {}, list(climbed)
    highest = {seed: top(asked, path) for seed, path in climbed.items()}
    tops = {seed: begin for seed, begin in highest.items() if begin is not None}
    if tops:
        fits[TOP] = train("spiral-top", task, seeds=[*tops], states=np.stack([*tops.values()]))
    elder = {"other spiral": spiral(asked, 2.0), "random labels": spiral(asked).corrupt(1.0)}
    for kind, data in elder.items():
        name = f"spiral-{slug(kind)}"
        first = train(f"{name}-before", replace(task, data=data), seeds=seeds)
        fits[kind] = train(name, task, seeds=seeds, states=first.final)
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


def chosen(table: pd.DataFrame, case: Case, start: str) -> pd.DataFrame:
    return table[table[PLACE].eq([*case, start]).all(axis=1)]


def values(table: pd.DataFrame, case: Case, start: str, measure: str) -> Array:
    return np.array(chosen(table, case, start)[f"found.{measure}"].tolist())


def named(case: Case, measure: str) -> str:
    data, decay, policy = case
    where = f"{data}, weight decay {decay:g}, {policy}" if data == IMAGES else data
    return where + LOSSES.get(measure, "")


def cases(data: str, decay: float, *measures: str) -> list[tuple[Case, str]]:
    policies = vlaar.POLICIES if data == IMAGES else ("stored",)
    return [((data, decay, policy), measure) for policy, measure in product(policies, measures)]


def judged(table: pd.DataFrame) -> Rows:
    tops = (IMAGES, 0.0), (IMAGES, vlaar.DECAY), (SPIRAL, 0.0)
    rows, how = [], "difference of barriers, in nats"
    for case, measure in [x for place in (*tops, (DEFAULT, 0.0)) for x in cases(*place, *LOSSES)]:
        far, own = (values(table, case, start, measure) for start in (UNRELATED, OWN))
        rows.append(("H5", f"{FAR} ({named(case, measure)})", how, far - own, SMALLEST_RISE))
    for data in (MNIST, SPIRAL, DEFAULT):
        rises = values(table, (data, 0.0, "stored"), UNRELATED, "train_rises")
        claim = f"the training loss falls monotonically from most unrelated weights ({data})"
        how = f"share of draws that rise less than {MONOTONE} nats, minus one half"
        rows.append(("H5", claim, how, (rises < MONOTONE).mean(1) - 0.5, 0.0))
    again = [claim for place in tops for claim in restart(table, *place)]
    return [*ordered(table), *again, *judge("interpolation-", rows)]


def ordered(table: pd.DataFrame) -> Rows:
    claims = []
    for data, decay, place, larger, smaller, claim in ORDERED:
        for case, measure in cases(data, decay, *(LOSSES if place == vlaar.BARRIER else (place,))):
            found = [values(table, case, start, measure) for start in (larger, smaller)]
            said = f"pre-training on {claim} ({named(case, measure)})"
            how = f"{measure}, {larger} against {smaller}"
            claims.append(between("interpolation-H9", said, how, *found))
    return claims


def restart(table: pd.DataFrame, data: str, decay: float) -> Rows:
    """Judge networks from the top of a barrier; nothing where fewer than two have one."""
    claims = []
    own, again = (chosen(table, (data, decay, "stored"), start) for start in (OWN, TOP))
    if len(again) < 2:
        return claims
    for case, measure in cases(data, decay, *LOSSES):
        some = chosen(table, case, TOP)
        claim = f"from the top of a barrier the barrier is lower ({named(case, measure)})"
        how = f"{measure}, the line climbed against that from its top"
        how += " (nearly 0 by construction where the start is high)" if measure == SHOWN else ""
        pair = some[f"climbed.{measure}"], some[f"found.{measure}"]
        claims.append(between("interpolation-H9", claim, how, *pair))
    before, after = (nets.set_index("seed")["accuracy"] for nets in (own, again))
    gains = after - before[after.index] + SMALLEST_LOSS
    where = f"{data}, weight decay {decay:g}" if data == IMAGES else data
    how = f"gain of accuracy plus {SMALLEST_LOSS}"
    return [*claims, within("interpolation-H7", f"{CHEAP} ({where})", how, gains, 0.0)]


def drawn(asked: Flags, table: pd.DataFrame, claims: Rows, what: str) -> Figure:
    figure = Figure(figsize=(15, 9), layout="constrained")
    upper, lower = figure.add_gridspec(2, 1)
    above = upper.subgridspec(1, 3).subplots()
    below = lower.subgridspec(1, 4, width_ratios=(1, 1, 1.3, 1.1)).subplots()
    for ax, (case, title) in zip((*above, below[0]), PANELS.items(), strict=True):
        some = table[table[PLACE[:3]].eq([*case]).all(axis=1)]
        curves(ax, some, title, fontsize=7, ncols=1 if case == BENT else 2)
    for data in (DEFAULT, MNIST):
        some = table[(table["data"] == data) & table["start"].isin([OWN, UNRELATED])]
        curves(below[1], some, f"{DEFAULT}; {MNIST}")
        first = some[some["start"] == OWN]["found.test_loss"].str[0].mean()
        place = {"xytext": (0, -20), "textcoords": "offset points", "fontsize": 8}
        below[1].annotate(data.partition(",")[0], (0, first), **place)
    barriers(below[2], table)
    accuracies(below[3], table)
    free, decayed = (len(chosen(table, case, TOP)) for case in (PLAIN, BASE))
    note = (
        f"n = {table['seed'].nunique()} networks (seeds) a start; from the top of a barrier only "
        f"those whose line has one of {smallest_top(asked):g} nats above both ends: {IMAGES} "
        f"{free} without decay (line from unrelated weights), {decayed} with (own line);\nthick: "
        f"means, thin: networks, band: standard deviation over {DRAWS} unrelated draws "
        f"({FEW_DRAWS} where decayed or re-estimated); statistics of BatchNorm interpolated or "
        f"re-estimated at each state;\n{what}; MLPs 2-64-64-64-2 and 784-100-100-10"
    )
    return vlaar.framed(figure, headline(table, claims), note, claims, size=10.5)


def curves(ax: Axes, table: pd.DataFrame, title: str, **legend: Any) -> None:
    for start, colour in COLOURS.items():
        style = {UNRELATED: "--", "noise": ":", "zero": ":"}.get(start, "-")
        rows = table[table["start"] == start]
        if len(rows) and start != UNRELATED:
            vlaar.curves(ax, rows["found.test_loss"].tolist(), colour, start, style=style, lw=2)
        elif len(rows):
            both = (rows[f"found.{what}"].tolist() for what in ("test_loss", "sd"))
            mean, reach = (np.mean(some, axis=0) for some in both)
            alphas = np.linspace(0, 1, len(mean))
            ax.fill_between(alphas, mean - reach, mean + reach, color=colour, alpha=0.2, lw=0)
            ax.plot(alphas, mean, color=colour, ls=style, lw=2, label=start)
    sides = "α, from start (0) to trained (1)", "test loss (nats)"
    panels.label(ax, *sides, title, logs="y", **legend)


def barriers(ax: Axes, table: pd.DataFrame) -> None:
    starts = [start for start in COLOURS if start not in {"noise", "zero"}]
    for (row, start), (shift, case) in product(enumerate(starts), enumerate(MARKS)):
        found = values(table, case, start, SHOWN)
        where = np.full(len(found), row + 0.16 * (shift - 2))
        ax.plot(found, where, MARKS[case], color=COLOURS[start], ms=4.5, alpha=0.7, mec="white")
    titles = "test loss above both ends (nats)", "barrier by start"
    meant = f"{IMAGES}, {DECAYED}", FREE, "the same, re-estimated", PANELS[BENT], DEFAULT
    by_start(ax, starts, dict(zip(meant, MARKS.values(), strict=True)), 1.9, *titles)


def accuracies(ax: Axes, table: pd.DataFrame) -> None:
    starts = [OWN, *BEFORE, TOP]
    cases = (PLAIN, "o", -0.15), (BASE, "D", 0.15)
    for (row, start), (case, mark, shift) in product(enumerate(starts), cases):
        found = 100 * chosen(table, case, start)["accuracy"].dropna()
        if len(found):
            where = np.full(len(found), row + shift)
            ax.plot(found, where, mark, color=COLOURS[start], ms=5, alpha=0.6, mec="white")
            ax.plot([found.mean()] * 2, [row + shift - 0.14, row + shift + 0.14], "k", lw=1.5)
    titles = "test accuracy after training (%)", f"accuracy by start, {IMAGES}; line: mean"
    by_start(ax, starts, {"no weight decay": "o", DECAYED: "D"}, 0.4, *titles)


def by_start(
    ax: Axes, starts: list[str], marks: dict[str, str], room: float, across: str, title: str
) -> None:
    """Name starts from top to bottom, and what marks mean below them, for which there is room."""
    for name, mark in marks.items():
        ax.plot([], [], mark, color="0.4", label=name)
    ax.set_yticks(range(len(starts)), starts)
    ax.set_ylim(len(starts) + room, -0.6)
    panels.label(ax, across, "", title, fontsize=8, loc="lower right")


def headline(table: pd.DataFrame, claims: Rows) -> str:
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}
    decay, images = vlaar.DECAY, f"pre-training on other images {LOWERS}"

    def on(claim: str, case: Case) -> str:
        return verdicts[f"{claim} ({named(case, SHOWN)})"]

    def heights(case: Case) -> str:
        own, other = (values(table, case, start, SHOWN).mean() for start in (OWN, "other images"))
        return f"{own:.2f} to {other:.2f}"

    places = f"{IMAGES}, weight decay 0", f"{IMAGES}, weight decay {decay:g}", SPIRAL
    found = (verdicts.get(f"{CHEAP} ({where})", "not judged") for where in places)
    cheap = ", ".join(f"{said} ({where})" for said, where in zip(found, places, strict=True))
    several = [(IMAGES, *pair) for pair in product(BOTH, vlaar.POLICIES)]
    plain, plain_again, base, base_again = (on(FAR, case) for case in several)
    return (
        "Barriers above both ends: pre-training on other images lowers them: "
        f"{on(images, BASE)} at weight decay {decay:g} ({heights(BASE)} nats), "
        f"{on(images, PLAIN)} without decay ({heights(PLAIN)});\n"
        f"a start at the top of one costs no accuracy: {cheap};\n"
        f"from unrelated weights they are higher: on {IMAGES} {plain} without decay "
        f"({plain_again} re-estimated), {base} with ({base_again}); on a spiral from He's weights "
        f"{on(FAR, BENT)}, from torch's {on(FAR, (DEFAULT, 0.0, 'stored'))}"
    )
