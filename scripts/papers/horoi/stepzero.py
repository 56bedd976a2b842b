"""How much of what jump and retrain finds around an optimum is there without a jump.

The control that arXiv:2102.00485 leaves out: step size 0, retrained with the same recipe, whose
momentum is fresh and whose rate is not the one that training ended with. Movement, loss, turning
and persistence are measured at every step size, 0 among them, over as many runs; and H3, that good
optima attract, once more against where the control of the same data order stands. Of differences
between groups only those that jumps show are looked for without one, a rule of after the first
figure, which looked for all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from evidence.judging import NEGLIGIBLE, between, tally, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.horoi.drifts import MEASURES, NEIGHBOURS, Row, measured
from papers.horoi.landscapes import caption, each, facts, networks

from jumpretrain.comparison.hypothesis_tests import cliffs_delta, delta_interval
from jumpretrain.plots import canvas

TWICE = math.log(2)  # the least log ratio of movement with a jump over movement without
TENTH = 0.1  # the largest share of the jumps' rise, or persistence, that counts as little
HALF = 0.5  # the least share that counts as much
BACK = 0.05  # the least share of the way back that counts as coming back
GROUPS = ("good", "few", "noise .5", "memorise")
SHOWN = {"few": "150 examples"}
WHO = {"few": "bad", "memorise": "memorising"}
COLOURS = dict(zip(GROUPS, canvas.colours(len(GROUPS)), strict=True))
TITLES = {
    "movement": "Movement",
    "rise": "Rise of the loss",
    "turning": "Turning",
    "persistence": "Finite persistence",
    "rank_persistence": "Finite persistence of ranks",
}


def make(asked: Flags) -> Made:
    found = networks(asked, GROUPS)
    nets = [net for group in GROUPS for net in found[group]]
    jobs = [(net, asked.work / f"{net.group}-{net.seed}.json") for net in nets]
    rows = each(measured, jobs, asked, "measuring")
    table = pd.DataFrame([row for sizes, _ in rows for row in sizes])
    attracted = pd.DataFrame([row for _, row in rows])
    claims = judged(table, attracted)
    return drawn(asked, table, attracted, claims), (
        facts(asked, GROUPS)
        | {"claims": claims, "neighbours": NEIGHBOURS, "shares": shares(table)}
        | {"differences_after_jumps": after_jumps(table)}
        | {"measures": table.to_dict("records"), "attraction": attracted.to_dict("records")}
    )


def by_network(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Lay a measure out by network: without a jump, and over all jumps (rises: their largest)."""
    how = "max" if measure == "rise" else "mean"
    named = ["group", "seed"]
    still = table[table["step_size"] == 0].set_index(named)[measure]
    jumped = table[table["step_size"] > 0].groupby(named, sort=False)[measure].agg(how)
    return pd.DataFrame({"still": still, "jumped": jumped}).reset_index()


def by_group(table: pd.DataFrame, measure: str, kind: str) -> Any:
    return by_network(table, measure).groupby("group")[kind].apply(np.array)


def shares(table: pd.DataFrame) -> list[Row]:
    """Divide each network's measures without a jump by those over its jumps."""
    rows = [by_network(table, measure).assign(measure=measure) for measure in MEASURES]
    every = pd.concat(rows)
    return list(every.assign(share=every["still"] / every["jumped"]).to_dict("records"))


def judged(table: pd.DataFrame, attracted: pd.DataFrame) -> list[Row]:
    ratio = {m: by_network(table, m).pipe(lambda t: t["still"] / t["jumped"]) for m in MEASURES}
    group = by_network(table, "movement")["group"]
    claims = [
        within(
            "horoi-step0",
            f"{SHOWN.get(name, name)}: without a jump retraining moves a network less than half "
            "as far as after one",
            "log ratio of the distances from start to end, mean of jumps over mean of controls",
            -np.log(ratio["movement"][group == name]), TWICE,
        )
        for name in GROUPS
    ]  # fmt: skip
    claims += [
        within(
            "horoi-step0", "without a jump the test loss rises by less than a tenth as much",
            "0.1 less the largest rise over the controls over that over the jumps",
            TENTH - ratio["rise"], 0,
        ),
        within(
            "horoi-step0", "without a jump finite persistence is less than a tenth of that after "
            "one, from as many points",
            "0.1 less the ratio of total persistences (p = 2), controls over the mean of step "
            "sizes", TENTH - ratio["persistence"], 0,
        ),
        within(
            "horoi-step0", "on ranks of the test loss, half of the finite persistence or more is "
            "there without a jump",
            "ratio of total persistences of ranks (p = 1), controls over the mean of step sizes",
            ratio["rank_persistence"], HALF,
        ),
        within(
            "horoi-step0", "half of the turning or more is there without a jump",
            "ratio of mean angles, controls over the mean of step sizes", ratio["turning"], HALF,
        ),
    ]  # fmt: skip
    return [*claims, *differences(table), *attractors(attracted)]


def after_jumps(table: pd.DataFrame) -> list[Row]:
    """Compare poor groups with the good one over jumps: Cliff's deltas with their intervals."""
    rows = []
    for measure in MEASURES:
        found = by_group(table, measure, "jumped")
        for poor in WHO:
            low, high = delta_interval(found[poor], found["good"])
            effect = float(cliffs_delta(found[poor], found["good"]))
            row = {"measure": measure, "poor": poor, "effect": effect, "interval": [low, high]}
            rows.append(row | {"clear": bool(max(low, -high) > NEGLIGIBLE)})
    return rows


def differences(table: pd.DataFrame) -> list[Row]:
    """Judge whether groups differ as they clearly do after jumps; these give the direction."""
    claims = []
    for row in after_jumps(table):
        if not row["clear"]:
            continue
        measure, poor = row["measure"], row["poor"]
        still = by_group(table, measure, "still")
        larger, smaller = (poor, "good") if row["effect"] > 0 else ("good", poor)
        claims.append(between(
            "horoi-step0",
            f"{WHO[poor]} and good networks differ in {measure.replace('_', ' ')} without a jump "
            "as they do after one",
            f"{measure} at step size 0, {larger} against {smaller}", still[larger], still[smaller],
        ))  # fmt: skip
    return claims


def attractors(attracted: pd.DataFrame) -> list[Row]:
    def values(group: str, measure: str) -> NDArray[np.float64]:
        return attracted.loc[attracted["group"] == group, measure].to_numpy()

    words = {
        "final_corrected": "corrected for step 0, runs end closer to good optima than {} ones",
        "outward_corrected":
            "corrected for step 0, more steps lead outward around {} optima than good ones",
    }  # fmt: skip
    claims = [
        between(
            "horoi-H3", form.format(who), f"{measure}, {poor} against good",
            values(poor, measure), values("good", measure),
        )
        for measure, form in words.items()
        for poor, who in WHO.items()
    ]  # fmt: skip
    return [
        *claims,
        within(
            "horoi-H3", "corrected for step 0, runs come back to good optima",
            "1 less the distance from where the control stands at the end, over the jump's",
            1 - values("good", "final_corrected"), BACK,
        ),
    ]  # fmt: skip


def drawn(asked: Flags, table: pd.DataFrame, attracted: pd.DataFrame, claims: list[Row]) -> Figure:
    figure = canvas.new_figure(16.5, 10)
    panels = figure.subplots(2, 3)
    for ax, measure in zip(panels.flat, MEASURES, strict=False):
        along(ax, table, measure)
        share = shared(table, measure)
        canvas.title(ax, f"{TITLES[measure]}: step 0 has {percent(share)} of the jumps'")
    ends(panels[1, 2], attracted)
    panels[0, 0].legend(fontsize=10, frameon=False)
    figure.suptitle(f"{finding(table, claims)}\n{tally(claims)}", fontsize=13, x=0.01, ha="left")
    canvas.note(
        figure,
        f"{caption(asked, GROUPS)}. n = {table['seed'].nunique()} networks a group: thin lines, "
        "marks; thick: mean. Each step size has as many runs; those of step size 0 differ in the "
        "order of the data. Shares are means over the networks of a group, least and greatest "
        "group. Zeros are not drawn on logarithmic axes. Persistence: bars that "
        "end, of the sublevels on the joined "
        f"{NEIGHBOURS}-nearest-neighbour graph of PHATE's potentials, step size by step size.",
    )
    return figure


def shared(table: pd.DataFrame, measure: str) -> NDArray[np.float64]:
    """Average the share that is there without a jump over the networks of each group."""
    values = by_network(table, measure)
    share = (values["still"] / values["jumped"]).groupby(values["group"]).mean()
    return np.sort(share.to_numpy())


def percent(share: NDArray[np.float64]) -> str:
    if share[-1] < 1e-4:
        return "less than 0.01 %"
    least, most = (float(f"{100 * value:.2g}") for value in (share[0], share[-1]))
    return f"{least:g} to {most:g} %"


def finding(table: pd.DataFrame, claims: list[Row]) -> str:
    said = {measure: percent(shared(table, measure)) for measure in MEASURES}
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


def along(ax: Axes, table: pd.DataFrame, measure: str) -> None:
    for group, colour in COLOURS.items():
        rows = table[table["group"] == group]
        lines = rows.pivot(index="step_size", columns="seed", values=measure)
        ax.plot(lines.index, lines, color=colour, lw=0.7, alpha=0.4)
        ax.plot(lines.index, lines.mean(axis=1), "o-", color=colour, lw=2.4, ms=6,
                label=SHOWN.get(group, group))  # fmt: skip
    if measure in ("movement", "rise", "persistence"):
        ax.set_yscale("log", nonpositive="mask")
        canvas.plain(ax.yaxis)
    else:
        ax.set_ylim(bottom=0)
    ax.axvspan(-0.06, 0.06, color="0.92", zorder=0)
    ax.set(xlabel="step size of the jump (filter norms; 0: no jump)", ylabel=MEASURES[measure])


def ends(ax: Axes, attracted: pd.DataFrame) -> None:
    kinds = {"plain": ("o", "none", "optimum"), "corrected": ("s", None, "control of step size 0")}
    for kind, (mark, face, words) in kinds.items():
        for place, group in enumerate(GROUPS):
            back = 100 * (1 - attracted.loc[attracted["group"] == group, f"final_{kind}"])
            across = place + (0.15 if kind == "corrected" else -0.15)
            ax.plot(np.full(len(back), across), back, mark, color=COLOURS[group], mfc=face, ms=7)
        ax.plot([], [], mark, color="0.3", mfc=face, label=f"to the {words}")
    ax.axhline(0, color="0.4", lw=0.8)
    ax.axhline(100 * BACK, color="0.4", lw=0.8, ls=":")
    ax.set_xticks(range(len(GROUPS)), [SHOWN.get(group, group) for group in GROUPS])
    ax.set_ylabel("way back that is covered (% of the jump)")
    ax.legend(fontsize=10, frameon=False)
    moved = np.abs(attracted["final_corrected"] - attracted["final_plain"]).max()
    canvas.title(
        ax,
        f"The way back, corrected for the control's movement: at most {100 * moved:.2g} points "
        "of difference",
    )
