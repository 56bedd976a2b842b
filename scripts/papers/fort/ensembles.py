"""Ensembles of snapshots from cyclic learning rates: figure 6 of arXiv:1906.04724 in small.

From a network trained for four fifths, cycles of the learning rate go on, for maximal rates over a
twelvefold range: accuracy of single snapshots, of averaged weights and of averaged predictions,
angles and label changes between successive snapshots. Beside them, after arXiv:1912.02757, how
differently independent networks, snapshots and random networks from subspaces around one optimum
predict. H10 is judged.
"""

from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from evidence.cells import QUIET, kept, spread_kept, trained
from evidence.figure import Flags, Made
from evidence.panels import head, label, lines, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import Found, Rows, Values, column
from scipy.stats import spearmanr

import jumpretrain as jr
from jumpretrain.ensembles import subspaces
from jumpretrain.ensembles.ensemble import Ensemble, probabilities
from jumpretrain.plots import canvas

LAWS = ("uniform", "diagonal", "principal")
RADIUS, RANK, LOST = 0.3, 5, 0.05  # of the norm; components; accuracy that a draw may lose
MONOTONE = 0.3  # the least mean of Spearman's rho over rates
TURN, REACH = 30.0, 10.0  # degrees: weights stop averaging well between 20 and 40
APART = 0.05  # the least difference of disagreement over error rate
NEVER = 90.0  # degrees, where a seed's gain never falls below 0


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes, with the paper's CNN, or an MLP on digits."""

    data: fort.Data
    sizes: tuple[int, int]  # numbers of training and test examples
    training: jr.Recipe  # at first, each epoch recorded
    begin: int  # the epoch from which cycles go on
    late: int  # epochs at the end that span the subspaces
    cycle: jr.Recipe  # of one; its rate is replaced
    rates: tuple[float, ...]  # maximal ones
    count: int  # cycles
    seeds: int  # networks
    draws: int  # networks from each subspace


FULL = Plan(
    "fashion", (2000, 2000), fort.recipe(20, 0.002, record_every=1), 16, 9,
    fort.recipe(10, 0.002, schedule="cosine"), (0.0032, 0.0064, 0.0128, 0.02, 0.04), 8, 6, 10,
)  # fmt: skip
QUICK = Plan(
    "digits", (300, 300), fort.recipe(10, 0.01, record_every=1), 8, 7,
    fort.recipe(4, 0.01, schedule="cosine"), (0.01, 0.03, 0.1), 3, 3, 4,
)  # fmt: skip
WAYS = {"single": "single", "weights": "averaged weights", "predictions": "averaged predictions"}
AVERAGED = ("weights", "predictions")
ANGLE = "angle between successive snapshots (degrees)"
COLOURS = dict(zip(WAYS, ("0.45", *canvas.colours(2)), strict=True))


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    alike = replace(plan, seeds=0)
    jobs = [(f"seed-{seed}", alike, plan, seed) for seed in range(plan.seeds)]
    found = spread_kept(asked, cycled, jobs, "networks")
    apart = kept(asked.work / "independent.json", plan, partial(independent, asked, plan))
    claims = judged(plan, found, apart)
    shown = (0, len(plan.rates) // 2, len(plan.rates) - 1)
    figure = sheet((17, 10), (2, 3), [
        *((_curves, plan, found, place) for place in shown),
        (_gains, plan, found), (_steps, plan, found), (_plane, plan, kinds_of(plan, found, apart)),
    ])  # fmt: skip
    first, cycle = plan.training, plan.cycle
    note = (
        f"{fort.NAMES[plan.data]}, {plan.sizes[0]} training and {plan.sizes[1]} test examples; "
        f"n = {plan.seeds} independent networks (seeds 0 to {plan.seeds - 1}), each trained for "
        f"{plan.begin} epochs ({first.optimiser}, rate {first.lr:g}, batches of "
        f"{first.batch_size}), then {plan.count} cycles of {cycle.epochs} epochs at each maximal "
        f"rate (cosine); a snapshot ends each. Thin lines and dots: networks, thick lines: means. "
        f"Top row: minus the mean of a network's snapshots. Independent networks and subspaces: "
        f"after {first.epochs} epochs of the first rate; {plan.draws} draws each (uniform: up to "
        f"{RADIUS:g} of the norm; diagonal, principal: of the last {plan.late} epochs), those "
        f"that lose more than {LOST:g} of accuracy left out."
    )
    head(figure, finding(found, claims), claims, note)
    facts = {"plan": asdict(plan), "seeds": list(range(plan.seeds)), "claims": claims}
    return figure, facts | {"networks": found, "independent": apart}


def start(asked: Flags, plan: Plan, task: jr.Task, seed: int) -> Values:
    """Train one network: its states after each epoch (epochs + 1, S)."""
    states = trained(asked, f"start-{seed}", task, plan.training, [seed], jobs=1).states
    return np.asarray(states[0, : plan.training.epochs + 1])


def independent(asked: Flags, plan: Plan) -> list[Found]:
    """Compare each network, trained to the end, with those of other seeds."""
    task = fort.build(plan.data, plan.sizes, (16,))
    ends = np.stack([start(asked, plan, task, seed)[-1] for seed in range(plan.seeds)])
    together = jr.ensemble(task, ends, execution=QUIET)
    accuracy, shares = together.members["test_accuracy"], normalised(together)
    others = ~np.eye(plan.seeds, dtype=bool)
    rows = zip(shares, others, strict=True)
    return [{"accuracy": accuracy[row].mean(), "diversity": one[row].mean()} for one, row in rows]


def normalised(together: Ensemble) -> Values:
    """Divide how often labels differ by the mean error rate of the two networks."""
    errors = 1 - together.members["test_accuracy"]
    return 2 * together.disagreement / (errors[:, None] + errors)


def cycled(asked: Flags, plan: Plan, seed: int) -> Found:
    """Measure what comes out of one network."""
    task = fort.build(plan.data, plan.sizes, (16,))
    states = start(asked, plan, task, seed)
    rates = []
    for rate in plan.rates:
        runs = jr.cycles(
            task, replace(plan.cycle, lr=rate), [seed], plan.count, states[plan.begin][None],
            asked.work / f"cycles-{seed}-{rate:g}", QUIET,
        )  # fmt: skip
        rates.append(combined(task, np.stack([run.final[0] for run in runs])))
    return {"seed": seed, "rates": rates, "subspaces": around(plan, task, states, seed)}


def combined(task: jr.Task, snapshots: Values) -> Found:
    """Average the first 1, 2, ... snapshots: their weights, their predictions."""
    whole = jr.ensemble(task, snapshots, execution=QUIET)
    counts = np.arange(1, len(snapshots) + 1)
    middles = np.cumsum(snapshots, axis=0, dtype=float) / counts[:, None]
    shares = np.cumsum(probabilities(task, snapshots, QUIET), axis=0)
    pairs = np.triu_indices(len(snapshots), 1)
    averaged = jr.evaluate(task, middles.astype(snapshots.dtype), execution=QUIET)
    found = {"single": whole.members["test_accuracy"], "weights": averaged["test_accuracy"]}
    found["predictions"] = (shares.argmax(axis=2) == task.data.test_y).mean(axis=1)
    found["angles"] = np.degrees(np.arccos(np.diag(whole.cosines, 1)))
    diversity = float(normalised(whole)[pairs].mean())
    return found | {"changes": np.diag(whole.disagreement, 1), "diversity": diversity}


def around(plan: Plan, task: jr.Task, states: Values, seed: int) -> Found:
    """Compare an optimum with random networks around it, but for those that lose accuracy."""
    optimum, late = states[-1], states[-plan.late :]
    radius = RADIUS * float(np.linalg.norm(optimum[: task.weight_count]))
    laws = {
        "uniform": subspaces.draw_uniform(task, optimum, radius, plan.draws, seed),
        "diagonal": subspaces.draw_diagonal(task, late, plan.draws, seed),
        "principal": subspaces.draw_principal(task, late, plan.draws, RANK, seed),
    }
    found = {}
    for name, draws in laws.items():
        together = jr.ensemble(task, np.concatenate([optimum[None], draws]), execution=QUIET)
        accuracy = together.members["test_accuracy"]
        least = min(accuracy[0] - LOST, accuracy[1:].max())  # the best is kept anyway
        good = np.flatnonzero(accuracy[1:] >= least) + 1
        diversity = float(normalised(together)[0, good].mean())
        mean = float(accuracy[good].mean())
        found[name] = {"kept": len(good), "accuracy": mean, "diversity": diversity}
    return found


def means(found: Rows, name: str) -> Values:
    """Give the mean over snapshots for each network and rate (seeds, rates)."""
    return np.array([column(one["rates"], name).mean(axis=1) for one in found])


def gains(found: Rows, name: str) -> Values:
    """Give the accuracy of all snapshots together minus their mean (seeds, rates)."""
    last = np.array([column(one["rates"], name, -1) for one in found])
    return last - means(found, "single")


def turns(found: Rows) -> Values:
    """Find the last angle at which the gain of averaged weights falls to 0, interpolated."""
    last = []
    for angles, gain in zip(means(found, "angles"), gains(found, "weights"), strict=True):
        order = np.argsort(angles)
        x, y = angles[order], gain[order]
        last.append(NEVER if y[-1] > 0 else 0.0)
        for k in np.flatnonzero((y[:-1] > 0) & (y[1:] <= 0)):
            last[-1] = x[k] + (x[k + 1] - x[k]) * y[k] / (y[k] - y[k + 1])
    return np.array(last)


def kinds_of(plan: Plan, found: Rows, apart: Rows) -> dict[str, list[Values]]:
    """Give accuracy and diversity of each kind of networks (2, seeds)."""
    groups = {"independent": apart} | {law: column(found, "subspaces", law) for law in LAWS}
    keys = "accuracy", "diversity"
    kinds = {name: [column(ones, key) for key in keys] for name, ones in groups.items()}
    for place, rate in enumerate(plan.rates):
        single, diversity = (column(found, "rates", place, key) for key in ("single", "diversity"))
        kinds[f"rate {rate:g}"] = [single.mean(axis=1), diversity]
    return kinds


def diversities(plan: Plan, kinds: dict[str, list[Values]]) -> list[Values]:
    """Give the diversity of independent networks, of snapshots and of draws (seeds)."""
    rates = [f"rate {rate:g}" for rate in plan.rates]
    groups = (["independent"], rates, LAWS)
    return [np.mean([kinds[name][1] for name in names], axis=0) for names in groups]


def judged(plan: Plan, found: Rows, apart: Rows) -> list[Found]:
    angles = means(found, "angles")
    falls, grows = (
        [spearmanr(*pair).statistic for pair in zip(angles, gains(found, name), strict=True)]
        for name in AVERAGED
    )
    others, snapshots, draws = diversities(plan, kinds_of(plan, found, apart))
    rho = f"Spearman's rho over {len(plan.rates)} rates, network by network"
    return fort.judge(f"{fort.NAMES[plan.data]}: ", (
        ("H10", "the gain in accuracy from averaging weights falls with the angle between "
         "successive snapshots", rho, falls, MONOTONE, -1),
        ("H10", f"it changes its sign between {TURN - REACH:g} and {TURN + REACH:g} degrees",
         f"{REACH:g} minus the distance from {TURN:g} degrees of the last angle at which it falls "
         f"to 0 (0 or {NEVER:g} where it never does)", REACH - np.abs(turns(found) - TURN), 0),
        ("H10", "the gain in accuracy from averaging predictions grows with the angle", rho, grows,
         MONOTONE),
        ("H10", "independent networks predict more differently than snapshots of one network",
         "difference of disagreement over error rate; snapshots: mean over rates",
         others - snapshots, APART),
        ("H10", "snapshots of one network predict more differently than random networks from "
         "subspaces around it", "difference of disagreement over error rate; means over rates and "
         "over laws", snapshots - draws, APART),
    ))  # fmt: skip


def finding(found: Rows, claims: list[Found]) -> str:
    falls, sign, grows, apart, near = (claim["verdict"] for claim in claims)
    angles = means(found, "angles").mean(axis=0)
    ends = [int(angles.argmin()), int(angles.argmax())]
    least, most = (f"{angles[end]:.0f}°" for end in ends)
    weights, predictions = (100 * gains(found, name).mean(axis=0)[ends] for name in AVERAGED)
    return (
        f"Averaging weights: {weights[0]:+.1f} points of accuracy where snapshots are {least} "
        f"apart, {weights[1]:+.1f} at {most} (falls: {falls}; turns between {TURN - REACH:g}° and "
        f"{TURN + REACH:g}°: {sign}).\nAveraging predictions: {predictions[0]:+.1f} and "
        f"{predictions[1]:+.1f} (grows: {grows}). Predictions differ more between independent "
        f"networks than between snapshots ({apart}),\nand more there than around one optimum "
        f"({near})"
    )


def _curves(ax: Axes, plan: Plan, found: Rows, place: int) -> None:
    counts = np.arange(1, plan.count + 1)
    single = column(found, "rates", place, "single").mean(axis=1)
    for name, words in WAYS.items():
        rows = 100 * (column(found, "rates", place, name) - single[:, None])
        lines(ax, counts, rows, COLOURS[name], None if place else words)
    ax.set_xticks(counts)
    angle = means(found, "angles")[:, place].mean()
    rate = f"maximal rate {plan.rates[place]:g}"
    title = f"{rate}: snapshots {angle:.0f}° apart, {single.mean():.1%} each"
    up = "test accuracy minus the mean single one (points)"
    label(ax, "number of snapshots", up, title, loc="lower right")


def _gains(ax: Axes, plan: Plan, found: Rows) -> None:
    angles = means(found, "angles")
    for name, mark in (("weights", "o"), ("predictions", "^")):
        values, look = 100 * gains(found, name), {"color": COLOURS[name], "marker": mark}
        ax.plot(angles.ravel(), values.ravel(), lw=0, ms=6, alpha=0.6, mew=0, **look)
        middles = angles.mean(axis=0), values.mean(axis=0)
        ax.plot(*middles, lw=2.4, label=WAYS[name], **look)
    ax.axhline(0, color="0.4", lw=1)
    ax.set_yscale("symlog", linthresh=1, linscale=0.7)
    ax.set_yticks([-10, -5, -2, -1, 0, 1, 2, 5])
    ax.yaxis.set_major_formatter("{x:g}")
    ax.axvspan(TURN - REACH, TURN + REACH, color="0.9", lw=0, zorder=0)
    title = f"averaged weights gain up to {np.median(turns(found)):.0f}° (median); grey: where "
    title += "they should begin to lose"
    up = f"gain of {plan.count} snapshots over single (points)"
    label(ax, ANGLE, up, title)


def _steps(ax: Axes, plan: Plan, found: Rows) -> None:
    angles, changes = means(found, "angles"), means(found, "changes")
    ax.set_prop_cycle(color=canvas.ramp(len(plan.rates), "viridis"))
    ax.plot(angles, changes, "o", ms=7, mew=0, label=[f"{rate:g}" for rate in plan.rates])
    low, high = changes.mean(axis=0)[[0, -1]]
    said = f"from cycle to cycle {low:.2g} to {high:.2g} of the labels change"
    limits = {"xlim": (0, None), "ylim": (0, None)}
    label(ax, ANGLE, "test labels changed (fraction)", said, limits=limits, title="maximal rate")


def _plane(ax: Axes, plan: Plan, kinds: dict[str, list[Values]]) -> None:
    looks = {"independent": ("*", canvas.OKABE_ITO[3])}
    ramp = canvas.ramp(len(plan.rates), "viridis")
    looks |= {f"rate {rate:g}": ("o", c) for rate, c in zip(plan.rates, ramp, strict=True)}
    looks |= {law: (mark, canvas.OKABE_ITO[4]) for law, mark in zip(LAWS, "^sD", strict=True)}
    for name, (mark, colour) in looks.items():
        ax.scatter(*kinds[name], marker=mark, color=colour, s=90 if mark == "*" else 34, lw=0,
                   alpha=0.8, label=name.replace("rate", "snapshots,"))  # fmt: skip
    others, snapshots, draws = (values.mean() for values in diversities(plan, kinds))
    title = f"how differently two predict: {others:.2f} independent, {snapshots:.2f} snapshots, "
    title += f"{draws:.2f} around an optimum"
    look = {"limits": {"ylim": (0, None)}, "fontsize": 8, "ncols": 2}
    label(ax, "test accuracy (fraction)", "disagreement / error rate (1)", title, **look)
