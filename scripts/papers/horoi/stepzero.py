"""How much of what jump and retrain finds around an optimum is there without a jump.

The control that arXiv:2102.00485 leaves out: step size 0, retrained with the same recipe, whose
momentum is fresh and whose rate is not the one that training ended with. Movement, loss, turning
and persistence are measured at every step size, 0 among them, over as many runs; and H3, that good
optima attract, once more against where the control of the same data order stands. Of differences
between groups only those that jumps show are looked for without one, a rule of after the first
figure, which looked for all.
"""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import NEGLIGIBLE, between, within
from evidence.panels import label, lines
from evidence.rows import Row, Rows
from matplotlib.axes import Axes
from papers.horoi import landscapes
from papers.horoi.landscapes import COLOURS, GROUPS, NEIGHBOURS, POOR, Network, by_group, column

from jumpretrain import Trajectories, embed, geometry, sublevel
from jumpretrain.comparison.hypothesis_tests import cliffs_delta, delta_interval
from jumpretrain.plots import canvas
from jumpretrain.topology.homology import transform

TWICE = math.log(2)  # the least log ratio of movement with a jump over movement without
TENTH = 0.1  # the largest share of the jumps' rise, or persistence, that counts as little
HALF = 0.5  # the least share that counts as much
BACK = 0.05  # the least share of the way back that counts as coming back
SHOWN = {name: name for name in GROUPS} | {"few": "150 examples"}
MEASURES = {
    "movement": ("Movement", "start to end (share of the optimum's norm)"),
    "rise": ("Rise of the loss", "largest rise of the test loss (nats)"),
    "turning": ("Turning", "mean angle between epochs' steps (rad)"),
    "persistence": ("Finite persistence", "finite total persistence of the test loss (nats²)"),
    "rank_persistence": (
        "Finite persistence of ranks",
        "finite total persistence (ranks from 0 to 1)",
    ),
}
CORRECTED = {
    "final_corrected": "runs end closer to good optima than {} ones",
    "outward_corrected": "more steps lead outward around {} optima than good ones",
}
Laid = dict[str, pd.DataFrame]


def make(asked: Flags) -> Made:
    jobs = [((NEIGHBOURS, list(MEASURES)), net) for net in landscapes.networks(asked)]
    rows = landscapes.each_kept(asked, measured, jobs, "measuring")
    table = pd.DataFrame([row for sizes, _ in rows for row in sizes])
    attracted = pd.DataFrame([row for _, row in rows])
    laid = {measure: still_and_jumped(table, measure) for measure in MEASURES}
    after = after_jumps(laid)
    claims = [*little(laid), *differences(laid, after), *attraction_judged(attracted)]
    figure = canvas.new_figure(16.5, 10)
    panels = figure.subplots(2, 3)
    said = {measure: percent(one) for measure, one in laid.items()}
    for ax, (measure, words) in zip(panels.flat, said.items(), strict=False):
        along(ax, table, measure, words)
    ends(panels[1, 2], attracted)
    panels[0, 0].legend(fontsize=10, frameon=False)
    note = (
        f"n = {table['seed'].nunique()} networks a group: thin lines, marks; thick: mean. Each "
        "step size has as many runs; those of step size 0 differ in the order of the data. Shares "
        "are means over the networks of a group, least and greatest group. Zeros are not drawn on "
        "logarithmic axes. Persistence: bars that end, of the sublevels on the joined "
        f"{NEIGHBOURS}-nearest-neighbour graph of PHATE's potentials, step size by step size."
    )
    shares = pd.concat([one.assign(measure=measure) for measure, one in laid.items()])
    found = {"neighbours": NEIGHBOURS, "differences_after_jumps": after}
    found |= {"shares": shares, "measures": table, "attraction": attracted}
    return landscapes.made(asked, figure, finding(said, claims), claims, note, **found)


def measured(net: Network) -> tuple[Rows, Row]:
    """Measure one network: a row for each step size, over runs, and one on the jumps' ends."""
    runs = net.trajectories
    whole = runs.select(runs=runs.status == "ok")
    name = {"group": net.group, "seed": net.seed}
    sizes = [
        name | {"step_size": float(size)} | described(whole.select(whole.step_size == size))
        for size in np.unique(whole.step_size)
    ]
    return sizes, name | attraction(whole)


def described(runs: Trajectories) -> dict[str, float]:
    """Describe the runs of one step size, 0 or not, by the same measures."""
    optimum = np.linalg.norm(runs.optimum[: runs.weight_count].astype(np.float64))
    steps = geometry.moves(runs)[:, 1:, 1:]
    chord = np.sqrt(np.maximum(steps.sum(axis=(1, 2)), 0))
    path = np.sqrt(np.diagonal(steps, axis1=1, axis2=2)).sum(axis=1)
    epochs = geometry.moves(runs.select(times=landscapes.whole_epochs(runs)))
    values = runs.values("test_loss")
    graph = embed(runs).graph(NEIGHBOURS)
    plain, ranked = (
        sublevel(transform(values, scale), graph, maxdim=0).total_persistence(0, p)
        for scale, p in (("raw", 2), ("rank", 1))
    )
    return {
        "movement": float(chord.mean() / optimum),
        "path": float(path.mean() / optimum),
        "turning": float(geometry.turning(epochs).mean()),
        "rise": float(values.max() - runs.optimum_metrics["test_loss"]),
        "persistence": plain,
        "rank_persistence": ranked,
    }


def attraction(runs: Trajectories) -> dict[str, float]:
    """Measure where the jumps' runs end, from the optimum and from where the control stands.

    The control is the run of step size 0 that saw the data in the jumps' order.
    """
    jumps = runs.jumps()
    same = (runs.step_size == 0) & (runs.order_seed == jumps.order_seed[0])
    control = np.asarray(runs.select(same).weights[0], dtype=np.float64)
    optimum = jumps.optimum[: jumps.weight_count].astype(np.float64)
    weights = np.asarray(jumps.weights, dtype=np.float64)
    moved = weights - (control - optimum)
    corrected = replace(jumps, states=moved, optimum=optimum, weight_count=len(optimum))
    found = {}
    for kind, which in (("plain", jumps), ("corrected", corrected)):
        found[f"final_{kind}"] = float(geometry.distance(geometry.moves(which))[:, -1].mean())
        steps = geometry.moves(which.select(times=landscapes.whole_epochs(runs)))
        found[f"outward_{kind}"] = float(geometry.outward_fraction(steps).mean())
    ends, drift = weights[:, -1] - weights[:, 0], control[-1] - control[0]
    cosines = ends @ drift / (np.linalg.norm(ends, axis=1) * np.linalg.norm(drift))
    return found | {"cosine": float(cosines.mean())}


def still_and_jumped(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Lay a measure out by network: without a jump, over all jumps (of rises, the largest)."""
    named = ["group", "seed"]
    still = table[table["step_size"] == 0].set_index(named)[measure]
    jumps = table[table["step_size"] > 0].groupby(named, sort=False)[measure]
    found = {"still": still, "jumped": jumps.agg("max" if measure == "rise" else "mean")}
    return pd.DataFrame(found).eval("share = still / jumped").reset_index()


def little(laid: Laid) -> Rows:
    share = {measure: one["share"] for measure, one in laid.items()}
    how = "log ratio of the distances from start to end, mean of jumps over mean of controls"
    further = {group: -np.log(column(laid["movement"], group, "share")) for group in GROUPS}
    means = "controls over the mean of step sizes"
    rows = (
        *((f"{SHOWN[group]}: without a jump retraining moves a network less than half as far as "
           "after one", how, further[group], TWICE) for group in GROUPS),
        ("without a jump the test loss rises by less than a tenth as much",
         "0.1 less the largest rise over the controls over that over the jumps",
         TENTH - share["rise"], 0),
        ("without a jump finite persistence is less than a tenth of that after one, from as many "
         "points", f"0.1 less the ratio of total persistences (p = 2), {means}",
         TENTH - share["persistence"], 0),
        ("on ranks of the test loss, half of the finite persistence or more is there without a "
         "jump", f"ratio of total persistences of ranks (p = 1), {means}",
         share["rank_persistence"], HALF),
        ("half of the turning or more is there without a jump", f"ratio of mean angles, {means}",
         share["turning"], HALF),
    )  # fmt: skip
    return [within("horoi-step0", *row) for row in rows]


def attraction_judged(attracted: pd.DataFrame) -> Rows:
    claims, corrected = [], "corrected for step 0"
    for measure, words in CORRECTED.items():
        for poor, who in POOR.items():
            claim = f"{corrected}, {words.format(who)}"
            claims.append(landscapes.compared(attracted, "H3", claim, measure, poor, "good"))
    how = "1 less the distance from where the control stands at the end, over the jump's"
    back = 1 - column(attracted, "good", "final_corrected")
    words = f"{corrected}, runs come back to good optima"
    return [*claims, within("horoi-H3", words, how, back, BACK)]


def after_jumps(laid: Laid) -> Rows:
    """Compare poor groups with the good one over jumps: Cliff's deltas with their intervals."""
    rows = []
    for measure, poor in product(laid, POOR):
        sides = [column(laid[measure], group, "jumped") for group in (poor, "good")]
        low, high = delta_interval(*sides)
        row = {"measure": measure, "poor": poor, "effect": float(cliffs_delta(*sides))}
        clear = bool(max(low, -high) > NEGLIGIBLE)
        rows.append(row | {"interval": [low, high], "clear": clear})
    return rows


def differences(laid: Laid, after: Rows) -> Rows:
    """Judge whether groups differ as they clearly do after jumps; these give the direction."""
    claims = []
    for row in [row for row in after if row["clear"]]:
        measure, poor = row["measure"], row["poor"]
        words = f"{POOR[poor]} and good networks differ in {measure.replace('_', ' ')}"
        claim = f"{words} without a jump as they do after one"
        pair = (poor, "good") if row["effect"] > 0 else ("good", poor)
        how = f"{measure} at step size 0, {pair[0]} against {pair[1]}"
        still = (column(laid[measure], group, "still") for group in pair)
        claims.append(between("horoi-step0", claim, how, *still))
    return claims


def percent(found: pd.DataFrame) -> str:
    """Say which share is there without a jump, on average over the networks of each group."""
    share = found.groupby("group")["share"].mean()
    if share.max() < 1e-4:
        return "less than 0.01 %"
    least, most = (float(f"{100 * value:.2g}") for value in (share.min(), share.max()))
    return f"{least:g} to {most:g} %"


def finding(said: dict[str, str], claims: Rows) -> str:
    same = [claim["verdict"] for claim in claims if "differ in" in claim["claim"]]
    drift = [claim["verdict"] for claim in claims if claim["id"] == "horoi-H3"]
    return (
        f"Without a jump retraining moves a network {said['movement']} as far, raises its loss "
        f"{said['rise']} as much, but turns {said['turning']} as much\n"
        f"Of {len(same)} differences between groups that jumps show {same.count('supported')} are "
        f"there without one ({same.count('contradicted')} vanished or turned); corrected for step "
        f"0, {drift.count('supported')} of {len(drift)} claims that good optima attract are "
        "supported"
    )


def along(ax: Axes, table: pd.DataFrame, measure: str, share: str) -> None:
    for group, colour in COLOURS.items():
        rows = table[table["group"] == group].pivot_table(measure, "seed", "step_size")
        lines(ax, rows.columns, rows, colour, SHOWN[group], style="o-", ms=6)
    if measure in ("movement", "rise", "persistence"):
        ax.set_yscale("log", nonpositive="mask")
        canvas.plain(ax.yaxis)
    else:
        ax.set_ylim(bottom=0)
    ax.axvspan(-0.06, 0.06, color="0.92", zorder=0)
    name, up = MEASURES[measure]
    across = "step size of the jump (filter norms; 0: no jump)"
    label(ax, across, up, f"{name}: step 0 has {share} of the jumps'")


def ends(ax: Axes, attracted: pd.DataFrame) -> None:
    kinds = (("final_plain", "o", "none", -0.15, "optimum"),
             ("final_corrected", "s", None, 0.15, "control of step size 0"))  # fmt: skip
    for measure, mark, face, shift, words in kinds:
        for place, (group, colour) in enumerate(COLOURS.items()):
            back = 100 * (1 - column(attracted, group, measure))
            ax.plot(np.full(len(back), place + shift), back, mark, color=colour, mfc=face, ms=7)
        ax.plot([], [], mark, color="0.3", mfc=face, label=f"to the {words}")
    ax.axhline(0, color="0.4", lw=0.8)
    ax.axhline(100 * BACK, color="0.4", lw=0.8, ls=":")
    by_group(ax, SHOWN)
    moved = np.abs(attracted["final_corrected"] - attracted["final_plain"]).max()
    words = f"at most {100 * moved:.2g} points of difference"
    title = f"The way back, corrected for the control's movement: {words}"
    label(ax, "", "way back that is covered (% of the jump)", title, fontsize=10)
