"""What a jump does to networks with BatchNorm, with stale and with re-estimated statistics.

Released code of arXiv:2102.00485 scores jumps with the running statistics of the optimum, which a
jump leaves as they were. Here every snapshot is scored with those of its state (stale) and, beside
it, with statistics re-estimated on the training examples (recalibrated); networks learnt true
labels, half redrawn ones or redrawn ones. H12 is judged by the size of the gap between groups; the
claim on the gap with its sign was added in a review, after numbers were seen.
"""

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from evidence.cells import QUIET, each, kept
from evidence.figure import Flags, Made, device
from evidence.judging import between, within
from evidence.panels import head, lines
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.fort import networks as fort

import jumpretrain as jr
from jumpretrain.plots import canvas

SHRUNK = math.log(1.25)  # the least factor by which a gap between groups shrinks
HALF = 0.5  # the least share of a jump's loss that counts as most of it
AGREED = math.log(1.1)  # the largest factor between evaluations that agree
SHARES = {"good": 0.0, "half": 0.5, "memorise": 1.0}
REDRAWN = "true labels", "half of the labels redrawn", "all labels redrawn"
NAMES = dict(zip(SHARES, REDRAWN, strict=True))
COLOURS = dict(zip(SHARES, canvas.colours(3), strict=True))
ENDINGS = {"stale": "_stored", "recalibrated": ""}
LINES = {"stale": "o--", "recalibrated": "o-"}
SPLITS = {"test": "test", "train": "training"}
Found = dict[str, Any]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What a form computes: with an MLP on digits, or a wide ResNet on Fashion-MNIST."""

    data: Literal["digits", "fashion"]
    sizes: tuple[int, int]
    training: jr.Recipe
    retraining: jr.Recipe
    step_sizes: tuple[float, ...]
    directions: int
    seeds: int

    @property
    def network(self) -> str:
        """What the figure calls it."""
        return "MLP 64-32-10" if self.data == "digits" else "WRN-10-1"

    def task(self, group: str, seed: int) -> jr.Task:
        """Build the task of one network."""
        if self.data == "digits":
            data = jr.data.digits().subset(*self.sizes)
            build = partial(jr.models.mlp, hidden=(32,), batchnorm=True)
        else:
            data = fort.fashion(*self.sizes)
            build = partial(jr.models.wide_resnet, depth=10, width=1)
        labelled = data.corrupt(SHARES[group], seed) if SHARES[group] else data
        return jr.Task(partial(build, data.train_x.shape[1:], 10), labelled, device=device())


FULL = Plan(
    data="fashion", sizes=(500, 500),
    training=fort.recipe(50, 0.05, 16, "sgd", schedule="cosine"),
    retraining=jr.Recipe(epochs=3, lr=0.01, batch_size=16),
    step_sizes=(0.25, 0.5, 0.75, 1.0), directions=3, seeds=5,
)  # fmt: skip
QUICK = Plan(
    data="digits", sizes=(200, 100),
    training=fort.recipe(20, 0.05, 16, "sgd", schedule="cosine"),
    retraining=jr.Recipe(epochs=2, lr=0.01, batch_size=16),
    step_sizes=(0.5, 1.0), directions=2, seeds=3,
)  # fmt: skip


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    cases = [(asked, plan, group, seed) for group in NAMES for seed in range(plan.seeds)]
    found = each(network, cases, asked, f"{len(cases)} networks")
    first = {kind: [largest(o, kind) == losses(o, kind).max() for o in found] for kind in LINES}
    claims = judged(plan, found)
    return drawn(plan, found, claims), {
        "data": f"{plan.data}, {plan.sizes[0]} training and {plan.sizes[1]} test examples",
        "network": plan.network,
        "plan": asdict(plan),
        "groups": NAMES,
        "seeds": list(range(plan.seeds)),
        "claims": claims,
        "largest_at_the_jump": {kind: float(np.mean(same)) for kind, same in first.items()},
        "networks": [
            one | {"metrics": {name: v for name, v in one["metrics"].items() if "loss" in name}}
            for one in found
        ],
    }


def network(asked: Flags, plan: Plan, group: str, seed: int) -> Found:
    """Train one network, jump from it and retrain, or read what was kept."""
    task = plan.task(group, seed)
    measure = partial(measured, plan, task, seed)
    found = kept(asked.work / f"{group}-{seed}.json", (task.fingerprint, plan), measure)
    return {"group": group, "seed": seed} | found


def measured(plan: Plan, task: jr.Task, seed: int) -> Found:
    optimum = jr.train(task, plan.training, [seed], execution=QUIET).final[0]
    how = plan.retraining, plan.step_sizes, plan.directions
    jumps = jr.sample(task, optimum, *how, execution=QUIET)
    batches = plan.retraining.batches(plan.sizes[0])
    return {
        "optimum": dict(jumps.optimum_metrics),
        "steps": plan.retraining.record_steps(batches).tolist(),
        "epoch": jumps.epoch.tolist(),
        "step_size": jumps.step_size.tolist(),
        "status": jumps.status.tolist(),
        "metrics": {name: value.tolist() for name, value in jumps.metrics.items()},
    }


def losses(one: Found, kind: str, split: str = "test") -> Values:
    """Give the loss of all jumps and snapshots (R, T)."""
    return np.array(one["metrics"][f"{split}_loss{ENDINGS[kind]}"])


def largest(one: Found, kind: str, split: str = "test") -> float:
    """Give the largest loss of the jumps, before any retraining."""
    return float(losses(one, kind, split)[:, 0].max())


def of_group(found: list[Found], group: str) -> list[Found]:
    return [one for one in found if one["group"] == group]


def heights(found: list[Found], group: str, split: str) -> Values:
    """Give the largest losses of the jumps of a group's networks, stale and recalibrated."""
    return np.array([[largest(o, kind, split) for o in of_group(found, group)] for kind in LINES])


def gaps(found: list[Found], poor: str, split: str = "test") -> Values:
    """Give the log ratio of the largest losses, poor over good, stale and recalibrated (2, n)."""
    return np.log(heights(found, poor, split)) - np.log(heights(found, "good", split))


def by_size(one: Found, kind: str, split: str) -> Values:
    """Average the loss of the optimum, and of jumps over directions, by step size from 0 on."""
    sizes, jumps = np.array(one["step_size"]), losses(one, kind, split)[:, 0]
    means = [jumps[sizes == size].mean() for size in np.unique(sizes)]
    return np.array([one["optimum"][f"{split}_loss{ENDINGS[kind]}"], *means])


def stale_share(one: Found, split: str = "train") -> float:
    """Give the share of the rise at the largest jumps that recalibration takes away."""
    curves = (by_size(one, kind, split) for kind in ENDINGS)
    stale, recalibrated = (curve[-1] - curve[0] for curve in curves)
    return float(1 - recalibrated / stale)


def apart(one: Found) -> Values:
    """Measure how far both evaluations are apart after each step: |log ratio|, mean over runs."""
    stale, recalibrated = (losses(one, kind) for kind in ENDINGS)
    return np.asarray(np.abs(np.log(stale / recalibrated)).mean(axis=0))


def judged(plan: Plan, found: list[Found]) -> list[Found]:
    size = "|log ratio of the largest {} loss of the jumps, {} over good, same seed|"
    change = "stale less recalibrated"
    cases = (
        ("memorise", "test", "recalibrating BatchNorm statistics at the jump shrinks the gap "
         "between memorising and generalising networks in the largest test loss"),
        ("half", "test", "where half of the labels were redrawn, recalibrating shrinks the gap to "
         "generalising networks in the largest test loss"),
        ("memorise", "train", "recalibrating shrinks the gap between memorising and generalising "
         "networks in the largest training loss"),
    )  # fmt: skip
    claims = []
    for poor, split, claim in cases:
        stale, recalibrated = np.abs(gaps(found, poor, split))
        how = f"{size.format(SPLITS[split], poor)}, {change}"
        claims.append(within("horoi-H12", claim, how, stale - recalibrated, SHRUNK))
    for place, kind in enumerate(ENDINGS):
        claim = f"memorising networks have the larger largest training loss, {kind} statistics"
        how = f"largest training loss of the jumps, {kind}, memorise against good"
        sides = (heights(found, group, "train")[place] for group in ("memorise", "good"))
        claims.append(between("horoi-H12", claim, how, *sides))
    stale, recalibrated = gaps(found, "memorise")
    after = np.array([apart(one)[one["epoch"].index(1.0)] for one in found])
    rows = (
        (f"at jumps of {max(plan.step_sizes):g} filter norms, half of the rise of the training "
         "loss or more is stale statistics", "1 less the rise, recalibrated over stale",
         [stale_share(one) for one in found], HALF),
        ("after one epoch of retraining, stale and recalibrated test loss agree within 10 %",
         "log 1.1 less |log ratio of the test losses after an epoch|, mean over jumps",
         AGREED - after, 0),
        ("with its sign, the gap between memorising and generalising networks in the largest test "
         "loss shrinks by recalibrating (added in a review)",
         f"{size.format('test', 'memorise').strip('|')}, {change}", stale - recalibrated, SHRUNK),
    )  # fmt: skip
    return [*claims, *(within("horoi-H12", *row) for row in rows)]


def drawn(plan: Plan, found: list[Found], claims: list[Found]) -> Figure:
    figure = canvas.new_figure(15.5, 9.4)
    panels = figure.subplots(2, 2)
    for ax, split in zip(panels[0], SPLITS, strict=True):
        after_jump(ax, plan, found, split)
    draw_gaps(panels[1, 0], found)
    repair(panels[1, 1], plan, found)
    accuracy = ", ".join(
        f"{name} {np.mean([o['optimum']['test_accuracy'] for o in of_group(found, group)]):.0%}"
        for group, name in NAMES.items()
    )
    lost = sum(status != "ok" for one in found for status in one["status"])
    note = (
        f"{'digits' if plan.data == 'digits' else 'Fashion-MNIST at 14x14'}, {plan.sizes[0]} "
        f"training and {plan.sizes[1]} test examples; {plan.network} with BatchNorm; n = "
        f"{plan.seeds} networks a group (seeds 0 to {plan.seeds - 1}): thin lines, dots; thick: "
        f"mean. SGD, momentum .9, batch {plan.training.batch_size}: {plan.training.epochs} epochs "
        f"at lr {plan.training.lr:g}, cosine; {plan.directions} directions, filter-normalised; "
        f"{plan.retraining.epochs} epochs of retraining at lr {plan.retraining.lr:g}; "
        f"{lost} runs diverged. Test accuracy: {accuracy}. Recalibrated: statistics re-estimated "
        "on the training examples. Running statistics have momentum .1. Losses are means over "
        "directions."
    )
    head(figure, finding(found, claims), claims, note)
    return figure


def finding(found: list[Found], claims: list[Found]) -> str:
    stale, recalibrated = np.exp(gaps(found, "memorise").mean(axis=1))
    share = np.mean([stale_share(one) for one in found])
    left = math.exp(AGREED - claims[-2]["effect"])  # which is less the mean log ratio
    return (
        f"That recalibrating BatchNorm at the jump shrinks the gap in the largest test loss is "
        f"{claims[0]['verdict']} by its size, {claims[-1]['verdict']} with its sign:\n"
        f"memorising over generalising networks ×{stale:.2f} before, ×{recalibrated:.2f} after "
        "(geometric means)\n"
        f"Stale statistics make {share:.0%} of the rise of the training loss at the largest "
        f"jumps; after an epoch of retraining evaluations are ×{left:.2f} apart"
    )


def after_jump(ax: Axes, plan: Plan, found: list[Found], split: str) -> None:
    for group, colour in COLOURS.items():
        for kind, style in LINES.items():
            curves = [by_size(one, kind, split) for one in of_group(found, group)]
            lines(ax, [0.0, *plan.step_sizes], curves, colour, style=style, ms=5)
    ax.set(yscale="log", xlabel="step size of the jump (filter norms; 0: the optimum)")
    ax.set_ylabel(f"{SPLITS[split]} loss at the jump (nats)")
    canvas.plain(ax.yaxis)
    share = np.mean([stale_share(one, split) for one in found])
    words = f"{SPLITS[split].capitalize()} loss: {share:.0%} of its rise at "
    canvas.title(ax, f"{words}{max(plan.step_sizes):g} is stale statistics (dashed)")


def draw_gaps(ax: Axes, found: list[Found]) -> None:
    pairs = [(split, poor) for split in SPLITS for poor in ("half", "memorise")]
    below = {"transform": ax.get_xaxis_transform(), "ha": "center", "va": "top"}
    for column, (split, poor) in enumerate(pairs):
        logs, ends = gaps(found, poor, split), 3 * column + np.arange(2)
        ax.plot(ends, np.exp(logs), "o-", color=COLOURS[poor], lw=1, ms=5, alpha=0.6)
        ax.plot(ends, np.exp(logs.mean(axis=1)), "_", color="black", ms=24, mew=2.5)
        ax.text(ends.mean(), -0.085, f"{SPLITS[split]} loss,\n{NAMES[poor]}", **below)
    ax.axhline(1, color="0.4", lw=0.8)
    places = [3 * column + end for column in range(len(pairs)) for end in range(2)]
    ax.set_xticks(places, ["stale", "recalib."] * len(pairs))
    ax.margins(y=0.12)
    ax.set(yscale="log", ylabel="largest loss of the jumps, over that of true labels")
    canvas.plain(ax.yaxis)
    canvas.title(ax, "Gap between groups in the largest loss, same seed (bars: geometric means)")


def repair(ax: Axes, plan: Plan, found: list[Found]) -> None:
    steps = np.array(found[0]["steps"])
    for group, colour in COLOURS.items():
        curves = np.exp([apart(one) for one in of_group(found, group)])
        lines(ax, steps, curves, colour, NAMES[group], style="o-", ms=5)
    ax.set_xscale("symlog", base=2, linthresh=1)
    ax.set_xticks(steps, [f"{step}" for step in steps])
    ax.set(yscale="log", xlabel="steps of retraining")
    ax.set_ylabel("stale and recalibrated test loss: factor apart")
    ax.axhline(math.exp(AGREED), color="0.4", lw=0.8, ls=":")
    epoch = plan.retraining.batches(plan.sizes[0])
    ax.axvline(epoch, color="0.4", lw=0.8)
    ax.text(epoch, 0.97, "one epoch ", transform=ax.get_xaxis_transform(), ha="right", va="top")
    ax.legend(fontsize=10, frameon=False, loc="lower left")
    canvas.plain(ax.yaxis)
    canvas.title(ax, "How fast retraining repairs the statistics (dotted: 10 % apart)")
