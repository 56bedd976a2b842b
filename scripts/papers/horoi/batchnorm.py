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
from evidence.cells import QUIET, spread_kept
from evidence.contests import Array
from evidence.figure import Flags, Made, device
from evidence.judging import between, within
from evidence.panels import head, label, lines
from matplotlib.axes import Axes
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
SPLITS = {"test": "test", "train": "training"}
Found = dict[str, Any]


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
        data = fort.examples(self.data, self.sizes)
        build = partial(jr.models.wide_resnet, depth=10, width=1)
        if self.data == "digits":
            build = partial(jr.models.mlp, hidden=(32,), batchnorm=True)
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
    tasks = {(group, s): plan.task(group, s) for group in NAMES for s in range(plan.seeds)}
    jobs = [
        (f"{group}-{seed}", (task.fingerprint, plan), plan, task, seed)
        for (group, seed), task in tasks.items()
    ]
    measures = spread_kept(asked, measured, jobs, f"{len(jobs)} networks")
    found = [
        {"group": group, "seed": seed} | one
        for (group, seed), one in zip(tasks, measures, strict=True)
    ]
    whole = losses(found)
    first = (whole[..., 0].max(-1) == whole.max((-2, -1))).mean((1, 2))
    claims = judged(plan, found)
    figure = canvas.new_figure(15.5, 9.4)
    panels = figure.subplots(2, 2)
    for ax, split in zip(panels[0], SPLITS, strict=True):
        after_jump(ax, plan, found, split)
    draw_gaps(panels[1, 0], found)
    repair(panels[1, 1], plan, found)
    head(figure, finding(found, claims), claims, caption(plan, found))
    return figure, {
        "data": f"{plan.data}, {plan.sizes[0]} training and {plan.sizes[1]} test examples",
        "network": plan.network,
        "plan": asdict(plan),
        "groups": NAMES,
        "seeds": list(range(plan.seeds)),
        "claims": claims,
        "largest_at_the_jump": dict(zip(ENDINGS, first.tolist(), strict=True)),
        "networks": [
            one | {"metrics": {name: v for name, v in one["metrics"].items() if "loss" in name}}
            for one in found
        ],
    }


def measured(asked: Flags, plan: Plan, task: jr.Task, seed: int) -> Found:
    """Train one network, jump from it and retrain."""
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


def both(found: list[Found], part: str, name: str) -> Array:
    """Give a measure by evaluation, stale and recalibrated, by group, by seed."""
    rows = np.array([[one[part][name + end] for one in found] for end in ENDINGS.values()])
    return rows.reshape(2, len(NAMES), -1, *rows.shape[2:])


def losses(found: list[Found], split: str = "test") -> Array:
    """Give the loss of all jumps and snapshots (2, groups, n, R, T)."""
    return both(found, "metrics", f"{split}_loss")


def largest(found: list[Found], split: str) -> Array:
    """Give the largest loss of the jumps, before any retraining (2, groups, n)."""
    return np.asarray(losses(found, split)[..., 0].max(-1))


def gaps(found: list[Found], poor: str, split: str = "test") -> Array:
    """Give the log ratio of the largest losses, poor over good, stale and recalibrated (2, n)."""
    logs = np.log(largest(found, split))
    return np.asarray(logs[:, list(NAMES).index(poor)] - logs[:, 0])


def by_size(found: list[Found], split: str) -> Array:
    """Average the loss of the optimum, and of jumps over directions, by step size from 0 on."""
    sizes, jumps = np.array(found[0]["step_size"]), losses(found, split)[..., 0]
    means = [jumps[..., sizes == size].mean(-1) for size in np.unique(sizes)]
    return np.stack([both(found, "optimum", f"{split}_loss"), *means], axis=-1)


def stale_share(found: list[Found], split: str = "train") -> Array:
    """Give the share of the rise at the largest jumps that recalibration takes away."""
    curves = by_size(found, split)
    stale, recalibrated = curves[..., -1] - curves[..., 0]
    return np.asarray(1 - recalibrated / stale)


def apart(found: list[Found]) -> Array:
    """Measure how far both evaluations are apart after each step: |log ratio|, mean over runs."""
    stale, recalibrated = losses(found)
    return np.asarray(np.abs(np.log(stale / recalibrated)).mean(axis=-2))


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
    for kind, (good, _, memorise) in zip(ENDINGS, largest(found, "train"), strict=True):
        claim = f"memorising networks have the larger largest training loss, {kind} statistics"
        how = f"largest training loss of the jumps, {kind}, memorise against good"
        claims.append(between("horoi-H12", claim, how, memorise, good))
    stale, recalibrated = gaps(found, "memorise")
    after = apart(found)[..., found[0]["epoch"].index(1.0)].ravel()
    rows = (
        (f"at jumps of {max(plan.step_sizes):g} filter norms, half of the rise of the training "
         "loss or more is stale statistics", "1 less the rise, recalibrated over stale",
         stale_share(found).ravel(), HALF),
        ("after one epoch of retraining, stale and recalibrated test loss agree within 10 %",
         "log 1.1 less |log ratio of the test losses after an epoch|, mean over jumps",
         AGREED - after, 0),
        ("with its sign, the gap between memorising and generalising networks in the largest test "
         "loss shrinks by recalibrating (added in a review)",
         f"{size.format('test', 'memorise').strip('|')}, {change}", stale - recalibrated, SHRUNK),
    )  # fmt: skip
    return [*claims, *(within("horoi-H12", *row) for row in rows)]


def caption(plan: Plan, found: list[Found]) -> str:
    reached = np.reshape([one["optimum"]["test_accuracy"] for one in found], (len(NAMES), -1))
    means = zip(NAMES.values(), reached.mean(1), strict=True)
    accuracy = ", ".join(f"{name} {mean:.0%}" for name, mean in means)
    lost = sum(status != "ok" for one in found for status in one["status"])
    return (
        f"{'digits' if plan.data == 'digits' else 'Fashion-MNIST at 14x14'}, {plan.sizes[0]} "
        f"training and {plan.sizes[1]} test examples; {plan.network} with BatchNorm; n = "
        f"{plan.seeds} networks a group (seeds 0 to {plan.seeds - 1}): thin lines, dots; thick: "
        f"mean. SGD, momentum .9, batch {plan.training.batch_size}: {plan.training.epochs} epochs "
        f"at lr {plan.training.lr:g}, cosine; {plan.directions} directions, filter-normalised; "
        f"{plan.retraining.epochs} epochs of retraining at lr {plan.retraining.lr:g}; {lost} runs "
        f"diverged. Test accuracy: {accuracy}. Recalibrated: statistics re-estimated on the "
        "training examples. Running statistics have momentum .1. Losses are means over directions."
    )


def finding(found: list[Found], claims: list[Found]) -> str:
    stale, recalibrated = np.exp(gaps(found, "memorise").mean(axis=1))
    share = stale_share(found).mean()
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
    for curves, style in zip(by_size(found, split), ("o--", "o-"), strict=True):
        for rows, colour in zip(curves, COLOURS.values(), strict=True):
            lines(ax, [0.0, *plan.step_sizes], rows, colour, style=style, ms=5)
    share = stale_share(found, split).mean()
    words = f"{SPLITS[split].capitalize()} loss: {share:.0%} of its rise at "
    title = f"{words}{max(plan.step_sizes):g} is stale statistics (dashed)"
    across = "step size of the jump (filter norms; 0: the optimum)"
    label(ax, across, f"{SPLITS[split]} loss at the jump (nats)", title, "y")


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
    title = "Gap between groups in the largest loss, same seed (bars: geometric means)"
    label(ax, "", "largest loss of the jumps, over that of true labels", title, "y")


def repair(ax: Axes, plan: Plan, found: list[Found]) -> None:
    steps = np.array(found[0]["steps"])
    for curves, (group, colour) in zip(np.exp(apart(found)), COLOURS.items(), strict=True):
        lines(ax, steps, curves, colour, NAMES[group], style="o-", ms=5)
    ax.set_xscale("symlog", base=2, linthresh=1)
    ax.set_xticks(steps, [f"{step}" for step in steps])
    ax.axhline(math.exp(AGREED), color="0.4", lw=0.8, ls=":")
    epoch = plan.retraining.batches(plan.sizes[0])
    ax.axvline(epoch, color="0.4", lw=0.8)
    ax.text(epoch, 0.97, "one epoch ", transform=ax.get_xaxis_transform(), ha="right", va="top")
    up = "stale and recalibrated test loss: factor apart"
    title = "How fast retraining repairs the statistics (dotted: 10 % apart)"
    label(ax, "steps of retraining", up, title, "y", fontsize=10, loc="lower left")
