"""Surfaces of low loss through m + 1 optima, arXiv:1906.04724, section 4.3, on real networks.

Sets of independent digits MLPs are joined by surfaces with one node a face of their simplex,
each trained by itself in the plane normal to the face (the paper's m-connectors), and by refined
ones, whose nodes are then trained on the loss at random points of the surface. Mean and largest
loss on them and on the flat simplex, the loss in the middle, what is removed at the same cost a
node. The paper gives none of these numbers. H13 is judged.
"""

from collections import Counter
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from evidence.cells import QUIET, spread_kept, trained
from evidence.figure import Flags, Made
from evidence.panels import dots, head, label, sheet
from matplotlib.axes import Axes
from papers.fort import networks as fort
from papers.fort.networks import Found, Values

import jumpretrain as jr
from jumpretrain.plots import canvas
from jumpretrain.states.planes import normal_to

LARGEST, REFINED = 0.1, (2, 3)  # nats, the largest barrier on refined surfaces of these m
CENTRE = 2.0  # 1 + tau: the largest ratio of the loss in the middle to that of the optima
COST = 0.1  # the largest difference of the share removed from that of a curve


@dataclass(frozen=True)
class Plan:
    """What a form of the script computes, on digits."""

    hidden: tuple[int, ...]
    sizes: tuple[int, int]  # numbers of training and test examples
    training: jr.Recipe
    points: jr.Recipe  # of nodes
    longer: jr.Recipe  # of nodes of refined surfaces, both times
    sets: int
    dims: tuple[int, ...]  # m of surfaces, each through the first m + 1 networks of a set
    refined: tuple[int, ...]  # those that are refined as well
    alone: tuple[int, ...]  # those of which only the node in the middle is trained
    each: int  # random points scored a node

    @property
    def networks(self) -> int:
        """Networks in a set."""
        return max(self.dims + self.alone) + 1


FULL = Plan(
    (64, 64), (1257, 540), fort.recipe(40, 0.05, 64, "sgd"), fort.recipe(20, 0.001, 64),
    fort.recipe(60, 0.001, 64), 5, (1, 2, 3, 4, 5), (2, 3, 4, 5), (6, 7, 8, 9, 10), 10,
)  # fmt: skip
QUICK = Plan(
    (32,), (200, 150), fort.recipe(30, 0.1, 64, "sgd"), fort.recipe(4, 0.005, 64),
    fort.recipe(8, 0.005, 64), 3, (1, 2, 3), (2,), (4,), 2,
)  # fmt: skip
FLAT = {"mean": "straight_mean", "barrier": "linear_barrier", "middle": "straight_middle"}
KINDS = {"flat simplex": False, "hyperplane": False, "refined": True}
COLOURS = canvas.colours(len(KINDS))


def make(asked: Flags) -> Made:
    plan = QUICK if asked.quick else FULL
    jobs = [(f"set-{number}", replace(plan, sets=0), plan, number) for number in range(plan.sets)]
    found = spread_kept(asked, surveyed, jobs, "sets of networks")
    rows = [row for some in found for row in some]
    table = pd.DataFrame(rows)
    table["removed"] = 1 - table["barrier"] / table["linear_barrier"]
    claims = judged(plan, table)
    panels = (_means, _barriers, _middles, _shares)
    figure = sheet((13, 10), (2, 2), [(draw, table) for draw in panels])
    last, epochs = max(plan.dims), plan.longer.epochs
    note = (
        f"Digits MLP {plan.hidden}, {plan.sizes[0]} training examples; n = {plan.sets} sets of "
        f"{plan.networks} networks (seeds 0 to {plan.sets * plan.networks - 1}), surfaces through "
        f"the first m + 1 of each, for m > {last} the node in the middle only. Networks: "
        f"{fort.told(plan.training)}. Nodes, one a face ({2 ** (last + 1) - last - 2} for m = "
        f"{last}): {fort.told(plan.points)}; of refined surfaces {epochs} epochs, then {epochs} "
        f"all together. {plan.each} random points scored a node, uniform on the simplex. Dots: "
        "sets; lines: medians. Barrier: largest loss minus that of the highest optimum."
    )
    head(figure, finding(claims), claims, note)
    return figure, {"plan": asdict(plan), "data": "digits", "claims": claims, "surfaces": rows}


def surveyed(asked: Flags, plan: Plan, number: int) -> list[Found]:
    """Train a set of networks and join them by surfaces."""
    task, name = fort.build("digits", plan.sizes, plan.hidden), f"set-{number}"
    seeds = [number * plan.networks + k for k in range(plan.networks)]
    optima = trained(asked, f"{name}-networks", task, plan.training, seeds, jobs=1).final
    rows = []
    for m, refine in [(m, False) for m in plan.dims] + [(m, True) for m in plan.refined]:
        surface = jr.connect(
            task, optima[: m + 1], refine=refine, recipe=plan.longer if refine else plan.points,
            inner=1, each=plan.each, execution=QUIET,
            folder=asked.work / f"{name}-{m}{'-refined' if refine else ''}",
        )  # fmt: skip
        rows.append({"set": number, "m": m, "refined": refine, **measured(surface)})
    for m in plan.alone:
        found = middle(task, plan.points, optima[: m + 1])
        rows.append({"set": number, "m": m, "refined": False, **found})
    return rows


def middle(task: jr.Task, points: jr.Recipe, optima: Values) -> Found:
    """Train the node in the middle of optima by itself."""
    rows = optima.astype(np.float64)
    chords = (rows[1:] - rows[0])[:, : task.weight_count]
    start = rows.mean(0).astype(optima.dtype)
    found = jr.train(task, points, [0], start[None], execution=QUIET, planes=normal_to(chords))
    losses = found.metrics["train_loss"][0]
    ends = float(jr.evaluate(task, optima, execution=QUIET)["train_loss"].mean())
    return {"optima": ends, "middle": float(losses[-1]), "straight_middle": float(losses[0])}


def measured(surface: jr.Connector) -> Found:
    """Keep what is drawn and judged; means are those of random points, uniform on the simplex."""
    losses, flat = surface.metrics["train_loss"], surface.straight_metrics["train_loss"]
    nodes = surface.shares.max(axis=1) > 1 - 1e-9
    corners = surface.coordinates.max(axis=1) == 1
    middle = int(surface.coordinates.max(axis=1).argmin())
    accuracy = surface.metrics["test_accuracy"]
    found = {"nodes": len(surface.nodes) - int(corners.sum()), "points": len(losses)}
    found |= {"mean": losses[~nodes].mean(), "straight_mean": flat[~nodes].mean()}
    found |= {"mean_with_nodes": losses.mean(), "straight_mean_with_nodes": flat.mean()}
    found |= {"optima": losses[corners].mean(), "highest_optimum": losses[corners].max()}
    found |= {"middle": losses[middle], "straight_middle": flat[middle]}
    found["mean_test_accuracy"] = accuracy[~nodes].mean()
    found["optima_test_accuracy"] = accuracy[corners].mean()
    return found | fort.taken(surface, "barrier", "linear_barrier")


def judged(plan: Plan, table: pd.DataFrame) -> list[Found]:
    table = table.assign(
        less=np.log10(table["straight_mean"] / table["mean"]),
        left=LARGEST - table["barrier"],
        centre=np.log2(CENTRE * table["optima"] / table["middle"]),
    )

    def values(name: str, m: int, refined: bool = False) -> pd.Series:
        return table[(table["m"] == m) & (table["refined"] == refined)][name]

    tenth = "has a mean loss under a tenth of the flat simplex's"
    less = tenth, "log10 of the ratio of mean losses", "less", 1.0
    several, finer, last = plan.dims[1:], [m for m in plan.refined if m in REFINED], max(plan.dims)
    rules = (
        ("a surface through {} optima", *less, several, False),
        ("a refined surface through {} optima", *less, plan.refined, True),
        ("a surface through {} optima", "removes half of the flat simplex's barrier or more",
         "share of the barrier that is removed", "removed", 0.5, several, False),
        ("a refined surface through {} optima", f"has a barrier of at most {LARGEST:g} nats",
         f"{LARGEST:g} minus the barrier", "left", 0, finer, True),
        ("the node in the middle of {} optima", f"has a loss of at most {CENTRE:g} times theirs",
         f"log2 of {CENTRE:g} times the ratio of losses", "centre", 0,
         several + plan.alone, False),
    )  # fmt: skip
    lost = values("removed", 1).to_numpy() - values("removed", last).to_numpy()
    return fort.judge("", [
        *(
            ("H13", f"{what.format(m + 1)} {does}", how, values(name, m, refined), least)
            for what, does, how, name, least, dims, refined in rules
            for m in dims
        ),
        ("H13", f"a surface through {last + 1} optima removes as much of the barrier as a curve "
         f"with as many gradients a node, to {COST:g}",
         f"{COST:g} minus the share removed by the curve plus that by the surface",
         COST - lost, 0),
    ])  # fmt: skip


def finding(claims: list[Found]) -> str:
    means = [claim for claim in claims if "mean loss under a tenth" in claim["claim"]]
    said = []
    for kind, refined in (("hyperplane surfaces", False), ("refined ones", True)):
        some = [claim for claim in means if ("refined" in claim["claim"]) == refined]
        shares = sorted(10 ** -claim["effect"] for claim in some)
        verdicts = Counter(claim["verdict"] for claim in some)
        counts = ", ".join(f"{count} {name}" for name, count in verdicts.items())
        reach = " to ".join(dict.fromkeys(f"{share:.1%}" for share in (shares[0], shares[-1])))
        said.append(f"{kind} {reach} ({counts})")
    first = "Mean loss between optima, of the flat simplex's (claimed: under a tenth):\n"
    return first + ";\n".join(said)


def medians(table: pd.DataFrame, refined: bool) -> pd.DataFrame:
    """Average over the sets, by m."""
    return table[table["refined"] == refined].groupby("m").median()


def _means(ax: Axes, table: pd.DataFrame) -> None:
    some, finer = medians(table, False), medians(table, True)["mean"]
    last = max(finer.index)
    title = f"mean loss at random points, m = {last}: {some['straight_mean'][last]:.2g} nats on "
    title += f"the flat simplex, {some['mean'][last]:.2g} on the hyperplane surface, "
    title += f"{finer[last]:.2g} on the refined one"
    _spots(ax, table, "mean", "mean training loss (nats)", title, "y")


def _barriers(ax: Axes, table: pd.DataFrame) -> None:
    ax.axhline(LARGEST, color="0.4", ls=":", lw=1.2)
    finer = medians(table, True)["barrier"]
    lower = finer < medians(table, False)["barrier"].reindex(finer.index)
    said = [
        f"{verb} the barrier for m = {', '.join(map(str, lower.index[lower == low]))}"
        for verb, low in (("lowers", True), ("raises", False))
        if (lower == low).any()
    ]
    title = f"refinement {', '.join(said)} (medians); dotted: {LARGEST:g} nats"
    up = "barrier of the training loss (nats)"
    _spots(ax, table, "barrier", up, title, "y")


def _middles(ax: Axes, table: pd.DataFrame) -> None:
    both = table[["middle", "straight_middle"]].div(table["optima"], axis=0)
    times = table.assign(**both)
    ax.axhline(CENTRE, color="0.4", ls=":", lw=1.2)
    values, losses = medians(times, False)["middle"], medians(table, False)["middle"]
    said = " to ".join(f"{values[m]:.2g} (m = {m})" for m in (values.index[0], values.index[-1]))
    title = f"loss of the hyperplane node in the middle: {said} times the optima's, at most "
    title += f"{losses.max():.2g} nats (medians); dotted: {CENTRE:g} times"
    up = "loss in the middle over that of the optima (1)"
    _spots(ax, times, "middle", up, title, "y")


def _shares(ax: Axes, table: pd.DataFrame) -> None:
    ax.set_ylim(0, 1)
    values = medians(table, False)["removed"].dropna()
    last = values.index[-1]
    title = f"at the same cost a node, curves (m = 1) remove {values[1]:.0%} of the barrier, "
    title += f"surfaces {values[last]:.0%} (m = {last}, medians)"
    _spots(ax, table, "removed", "share of the barrier removed (1)", title, "")


def _spots(ax: Axes, table: pd.DataFrame, bent: str, up: str, title: str, logs: str) -> None:
    """Draw values of surfaces by m, and of the flat simplex beside them."""
    for place, (name, refined) in enumerate(KINDS.items()):
        look, words = (COLOURS[place], "os^"[place], 0.1, 0.05), name
        column = FLAT.get(bent) if name == "flat simplex" else bent
        some = table[table["refined"] == refined].dropna(subset=column) if column else table[:0]
        for m, values in some.groupby("m")[column or bent]:
            dots(ax, m + 0.26 * (place - 1), values, *look, words)
            words = None
    ax.set_xticks(range(1, max(table.dropna(subset=bent)["m"]) + 1))
    label(ax, "m, of m + 1 optima joined", up, title, logs, fontsize=8)
