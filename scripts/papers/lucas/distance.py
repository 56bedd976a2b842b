"""How far weights move, how much outputs turn, and whether the loss rises on the way.

After arXiv:2104.11044. Left and middle, for the fully connected classifiers of
`lucas/delta` and others whose weights were pushed far out: the turning of the outputs
along the path (Gauss length) and the largest rise of the training loss (min Delta) against the
weight distance. Right, above: networks trained to zero squared error and random curves against the
theorem that outputs which turn by less than pi / 2 approach their target at every step. Right,
below: the way from unrelated initialisations, also on a spiral. After a review, having seen the
numbers: cells are resampled, not networks, which are alike in a cell; networks with BatchNorm and
without are judged apart as well; turning is also measured in double precision on a finer grid,
which is the one that counts, as kinks add up, of the first network of each cell, as it takes long;
the tolerance of reaching the targets was a residual of an output and is a share of the first
distance; outputs that approach their last ones may rise by 1e-9 of it, not 1e-3 (the same 19).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from itertools import product
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import QUIET, recipe, shared
from evidence.figure import Flags, Made, device
from evidence.judging import entry, within
from evidence.rows import Row, Rows, about
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from papers.lucas import networks as lucas
from papers.lucas import turnings
from papers.lucas.delta import NAMES, hard, rates, shapes
from papers.lucas.turnings import DISTANCES, FALLS, ROUNDING, TURNED, by_norm

import jumpretrain as jr

RADII, PUSH = (10.0, 20.0, 40.0), 0.01
DRAWS, CURVES = 10, 4000
SLOPE, RHO, MOST, EXACT, WORSE = 0.1, 0.2, 0.5, 0.75, 0.1
"""Smallest effects: slope on logarithms, rank correlation, share monotone from unrelated starts,
share monotone where the theorem says all, nats by which unrelated starts are worse on a spiral."""
BLUE, RED = "#0072B2", "#D55E00"
SHORT = {"all": "all", "no normalisation": "none", "BatchNorm": "BatchNorm"}
GROUPS = {
    ("sgd", False): ("SGD", BLUE, "o"),
    ("adam", False): ("Adam", "#56B4E9", "o"),
    ("sgd", True): ("SGD, BatchNorm", RED, "s"),
    ("adam", True): ("Adam, BatchNorm", "#E69F00", "s"),
}
SMALL = {"fontsize": 8, "frameon": False}
RISES = {"y": lucas.RISE, "color": "#888888", "lw": 0.8, "ls": ":"}


class Found(NamedTuple):
    """Trained networks, turning on two grids, fits to both, tests of the theorem, and counts."""

    kept: pd.DataFrame
    grids: Mapping[int, pd.DataFrame]
    fits: Rows
    exact: pd.DataFrame
    curves: pd.DataFrame
    starts: pd.DataFrame
    certified: Rows
    random: Row
    rising: int


def make(asked: Flags) -> Made:
    place = shared(asked)
    cells = hard(asked) + shapes(asked) + rates(asked) + far(asked)
    squared, lrs = turnings.squared(asked), {"sgd": 0.01, "adam": 0.003}
    lrs = {"sgd": 0.1, "adam": 0.01} if asked.quick else lrs
    approached = [lucas.classifier(asked.quick, *pair) for pair in lrs.items()] + [spiral(asked)]
    table = lucas.measured(place, cells)
    kept = table[table["trained"]].reset_index(drop=True)
    fine = lucas.measured(place, cells, turnings.finely, "-turning")
    fine = fine.merge(kept[["cell", "seed", *DISTANCES]], on=["cell", "seed"])
    exact = lucas.measured(place, squared, turnings.certify, "-certified")
    starts = lucas.measured(place, approached, unrelated, "-unrelated")
    curves = turnings.random_curves(CURVES // 20 if asked.quick else CURVES)
    grids = {int(count): some for count, some in fine.groupby("points")}
    most, alphas = max(grids), cells[0].alphas
    fits = fitted({alphas: kept, most: grids[most]})
    certain, random = certified(exact), below(curves)
    rising = sum(grid["rise"] for grid in certain) + random["below_and_rise"]  # against theory
    found = Found(kept, grids, fits, exact, curves, starts, certain, random, rising)
    claims = [*judge(found), *judge_exact(found), *judge_starts(starts[starts["trained"]])]
    return draw(asked, found, claims), {
        "data": {cell.name: " ".join(cell.task.data.history) for cell in [cells[0], *approached]},
        "recipe": {cell.name: asdict(cell.recipe) for cell in [*squared, *approached]},
        "seeds": {cell.name: cell.seeds for cell in [*cells, *squared, *approached]},
        "points": {"all networks": alphas, "fine, one network a cell": most},
        "pushed": {"push": PUSH, "radii": RADII},
        "fits": fits,
        "fits_of_one_network_a_cell_on_the_coarse_grid": fitted({alphas: grids[min(grids)]}),
        "claims": claims,
        "networks": lucas.rows(table),
        "turning": lucas.rows(fine),
        "squared_error": lucas.rows(exact),
        "certified": found.certified,
        "random_curves": {"count": len(curves), "seed": 0, **found.random},
        "starts": lucas.rows(starts),
    }


def fitted(tables: Mapping[int, pd.DataFrame]) -> Rows:
    return [
        {"points": count, "group": group, "x": x, "y": y} | turnings.fit(some, x, y)
        for count, table in tables.items()
        for (group, some), x, y in product(by_norm(table).items(), DISTANCES, TURNED)
    ]


def certified(exact: pd.DataFrame) -> Rows:
    """Count the networks certified on each grid, and those that rise."""
    rise = exact["holds"] & (exact["share"] > FALLS)
    grids = exact.assign(networks=1, rise=rise).groupby("points")
    names = ["networks", "holds", "by_joint_alone", "rise"]
    return grids[names].sum().astype(int).reset_index().to_dict("records")


def below(curves: pd.DataFrame) -> Row:
    """Count the random curves that turn by less than pi / 2, and rise."""
    small, rose = curves["largest"] < np.pi / 2, curves["share"] > ROUNDING
    found = {"below": int(small.sum()), "below_and_rise": int((small & rose).sum())}
    return found | {"smallest_that_rises": float(curves["largest"][rose].min())}


def far(asked: Flags) -> list[lucas.Cell]:
    radii = RADII[1:2] if asked.quick else RADII
    lrs = {"adam": 0.001} if asked.quick else {"sgd": 0.01, "adam": 0.001}
    return [
        lucas.classifier(asked.quick, name, lrs[name], norm, push=PUSH, radius=radius)
        for name, norm, radius in product(lrs, (False, True), radii)
    ]


def spiral(asked: Flags) -> lucas.Cell:
    data = jr.data.spirals(200 if asked.quick else 1000, turns=3.5)
    build = jr.initialise(partial(jr.models.mlp, (2,), 2, hidden=(64, 64, 64)), "he")
    epochs, seeds, alphas = (50, 3, 11) if asked.quick else (1500, 10, 51)
    task, way = jr.Task(build, data, device=device()), recipe(epochs, 0.1, 500)
    name, limit = f"spiral-{len(data.train_x)}", lucas.fitted(asked.quick)
    return lucas.Cell(name, {}, task, way, seeds, limit, alphas=alphas)


def unrelated(cell: lucas.Cell, runs: jr.Runs) -> Iterator[Row]:
    """Take min Delta of paths to each network, from its own initialisation and from others.

    All networks have the same others: an interval over networks does not cover the draw of these.
    """
    others = [cell.task.initial(1000 + draw) for draw in range(DRAWS)]
    for number in np.flatnonzero(runs.status == "ok"):
        starts = (runs.initial[number], *others)
        line = partial(jr.interpolate, cell.task, execution=QUIET)
        paths = [line(start, runs.final[number], cell.alphas) for start in starts]
        own, *rises = (path.monotonicity().min_delta for path in paths)
        trained = bool(paths[0].values("train_loss")[-1] <= cell.threshold)
        yield {"seed": int(runs.seeds[number]), "trained": trained, "own": own, "others": rises}


def judge(found: Found) -> Rows:
    claims, finest = [], max(found.grids)
    for fit in sorted(found.fits, key=itemgetter("points"), reverse=True):
        count, group, x, y = (fit[name] for name in ("points", "group", "x", "y"))
        claim = f"{TURNED[y]} grows with {DISTANCES[x]}, {group}, {count:,} alphas"
        which = ", one network each" if count == finest else " with all their networks"
        how = f"slope of logarithms, cells resampled{which}"
        numbers = fit["slope"], fit["low"], fit["high"], fit["networks"], SLOPE
        claims.append(entry("interpolation-H2", claim, how, *numbers, p=fit["p"]))
    how = "Spearman's rho of distance and min Delta, networks that trained, cells resampled"
    for x, (group, some) in product(DISTANCES, by_norm(found.kept).items()):
        *numbers, p = turnings.ranked(some, x, lucas.rises(some)).values()
        claim = f"min Delta grows with {DISTANCES[x]}, {group}"
        claims.append(entry("interpolation-H2", claim, how, *numbers, len(some), RHO, p=p))
    return claims


def judge_exact(found: Found) -> Rows:
    cases, near = [], "where they turn by less than pi / 2"
    above, beyond = "above a thousandth of the first", "beyond rounding"
    for count, some in found.exact.groupby("points"):
        grid, falls = f"steps of {count:,} alphas", some["share"][some["holds"]] <= FALLS
        turned = some[some[["largest", "joint"]].min(axis=1) < np.pi / 2]
        close = turned["away_share"] <= ROUNDING
        cases.append((f"squared error falls where the certificate holds, {grid}", above, falls))
        cases.append((f"outputs approach their last values {near}, {grid}", beyond, close))
    close = found.curves["share"][found.curves["largest"] < np.pi / 2] <= ROUNDING
    cases.append((f"random curves approach their ends {near}", beyond, close))
    judged, how = partial(lucas.mostly, "interpolation-H4"), "Gauss length below pi / 2"
    return [judged(claim, f"no rise {rise}, {how}", hits, EXACT) for claim, rise, hits in cases]


def judge_starts(fitted: pd.DataFrame) -> Rows:
    others = np.array(fitted["others"].tolist()).reshape(len(fitted), DRAWS)
    round_ = fitted["cell"].str.startswith("spiral").to_numpy(bool)
    share = (others <= lucas.RISE).mean(1)[~round_]
    worse = (others.mean(1) - fitted["own"])[round_]
    images = "unrelated initialisations reach the same end without a rise, images"
    bends = "unrelated initialisations are worse than a network's own on a 3.5-turn spiral"
    claims = []
    for claim, how, values, smallest in (
        (images, "share of monotone paths from ten draws", share, MOST),
        (bends, "mean min Delta of ten draws minus own, nats", worse, WORSE),
    ):
        said, none = ("interpolation-H5", claim, how), (*lucas.NONE, len(values), smallest)
        enough = len(values) > 1
        claims.append(within(*said, values, smallest) if enough else entry(*said, *none))
    return [claims[0] | {"p": None}, claims[1]]  # a share of 0 is no null


def draw(asked: Flags, found: Found, claims: Rows) -> Figure:
    figure = Figure(figsize=(14, 8.6), layout="constrained")
    axes = figure.subplots(2, 3)
    fine, coarse = sorted(found.grids, reverse=True)
    labels = "weight distance from initialisation", "weight distance / norm of the initialisation"
    for x, label, (above, below) in zip(DISTANCES, labels, axes[:, :2].T, strict=True):
        some, name = found.grids[coarse], f"above: the same, {coarse:,} alphas"
        above.plot(some[x], some["gauss_mean"], ".", ms=3, color="#999999", zorder=1, label=name)
        cloud(above, found.grids[fine], x, "gauss_mean")
        slopes(above, found.grids[fine], x, [fit for fit in found.fits if fit["points"] == fine])
        above.set(xlabel=label, ylabel=f"Gauss length (rad, mean, test), {fine:,} alphas")
        cloud(below, found.kept, x, "min_delta")
        from_zero(below, 1e-3)
        below.axhline(**RISES)
        below.set(xlabel=label, ylabel="min Δ of the training loss (nats)")
        below.set_title(correlation(claims, x), fontsize=9)
    axes[1, 0].legend(*axes[0, 0].get_legend_handles_labels(), **SMALL)
    theorem(axes[0, 2], found)
    approach(axes[1, 2], found.starts[found.starts["trained"]])
    figure.suptitle(headline(claims, found), fontsize=11)
    figure.supxlabel(caption(asked, found), fontsize=8)
    return figure


def cloud(ax: Axes, kept: pd.DataFrame, x: str, y: str) -> None:
    """Draw networks by optimiser and BatchNorm; open where norms were pushed."""
    for (optimiser, norm), (name, colour, shape) in GROUPS.items():
        some = kept[(kept["optimiser"] == optimiser) & (kept["batchnorm"] == norm)]
        pushed = some["push"].notna() if "push" in some else np.zeros(len(some), bool)
        style = {"ms": 4, "mec": colour, "mew": 0.8, "alpha": 0.8}
        for part, fill, label in ((some[~pushed], colour, name), (some[pushed], "none", None)):
            ax.plot(part[x], part[y], shape, mfc=fill, label=label, **style)
    ax.set_xscale("log")


def from_zero(ax: Axes, linear: float) -> None:
    """Make the scale logarithmic above a value and linear from 0 to it."""
    ax.set_yscale("symlog", linthresh=linear)
    ax.set_ylim(-0.3 * linear, 2 * max(ax.dataLim.ymax, 5 * linear))


def slopes(ax: Axes, some: pd.DataFrame, x: str, fits: Rows) -> None:
    """Draw the lines fitted, with their slopes in the title."""
    words = []
    fits = [fit for fit in fits if (fit["x"], fit["y"]) == (x, "gauss_mean")]
    groups = by_norm(some).values()
    for found, part, colour in zip(fits, groups, ("black", BLUE, RED), strict=True):
        if np.isfinite(found["slope"]):
            reach = np.geomspace(part[x].min(), part[x].max(), 2)
            height = np.exp(found["level"]) * reach ** found["slope"]
            ax.plot(reach, height, color=colour, lw=2)
            words.append(estimate(found["group"], found["slope"], found["low"], found["high"]))
    ax.axhline(np.pi / 2, color="#888888", lw=0.8, ls=":")
    ax.annotate("π/2", (0.005, np.pi / 2), xycoords=("axes fraction", "data"), fontsize=8)
    ax.set_title("slope: " + split(words), fontsize=9)
    ax.set_yscale("log")
    for pick in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        pick(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "1235" else ""))


def estimate(group: str, effect: float, low: float, high: float) -> str:
    return f"{SHORT[group]} {effect:+.2f} [{low:.2f}, {high:.2f}]"


def split(words: list[str]) -> str:
    """Write what is found of all networks in a line, and of those without and with BatchNorm."""
    return ",\n".join([", ".join(words[:1]), ", ".join(words[1:])])


def correlation(claims: Rows, x: str) -> str:
    """Write the rank correlations of a distance with min Delta."""
    found = zip(SHORT, about(claims, f"min Delta grows with {DISTANCES[x]}, "), strict=True)
    known = [(group, claim) for group, claim in found if claim["effect"] is not None]
    words = [estimate(group, claim["effect"], *claim["interval"]) for group, claim in known]
    return "ranks, ρ: " + split(words)


def theorem(ax: Axes, found: Found) -> None:
    """Draw rises against Gauss lengths: networks on both grids, and random curves."""
    curves, grids = found.curves, found.exact.groupby("points")
    ax.plot(curves["largest"], curves["share"], ".", ms=2, color="#bbbbbb", zorder=1)
    ax.plot([], [], ".", color="#bbbbbb", label=f"{len(curves):,} random curves")
    for (count, some), colour in zip(grids, ("#56B4E9", "#009E73"), strict=True):
        reached = some["missed"] <= turnings.TOLERANCE
        turned, height = some[["largest", "joint"]].min(axis=1), some["share"]
        for part, fill in ((reached, colour), (~reached, "none")):
            ax.plot(turned[part], height[part], "o", ms=5, mfc=fill, mec=colour)
        ax.plot([], [], "o", color=colour, label=f"{len(some)} networks, {count:,} alphas")
    ax.axvline(np.pi / 2, color="black", lw=1, ls="--")
    ax.set_xticks([0, np.pi / 2, 4, 6, 8, 10, 12], ["0", "π/2", "4", "6", "8", "10", "12"])
    from_zero(ax, 1e-6)
    across = "Gauss length (rad), the smaller of joint and the largest example's"
    up = "rise of the squared error / its first value"
    title = f"certified or random, below π/2: {found.rising or 'none'} rise; open: target missed"
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "ncols": 3}
    panels.label(ax, across, up, title, columnspacing=1, **SMALL, **place)


def approach(ax: Axes, starts: pd.DataFrame) -> None:
    """Draw the rises from own and from unrelated initialisations."""
    labels = []
    for place, (_, some) in enumerate(starts.groupby("cell", sort=False)):
        others = np.array(some["others"].tolist())
        jitter = np.linspace(-0.12, 0.12, others.size).reshape(others.shape)
        ax.plot(place + 0.2 + jitter, others, ".", ms=3, color="#CC79A7")
        own = np.linspace(-0.08, 0.08, len(some))
        ax.plot(place - 0.2 + own, some["own"], "o", ms=4, color=BLUE)
        share, base = ((values <= lucas.RISE).mean() for values in (others, some["own"]))
        optimiser = some["optimiser"].iloc[0]
        name = "spiral" if not isinstance(optimiser, str) else f"images, {NAMES[optimiser]}"
        labels.append(f"{name}, n = {len(some)}\nmonotone:\n{base:.0%}, {share:.0%}")
    ax.plot([], [], "o", ms=4, color=BLUE, label="own initialisation")
    ax.plot([], [], ".", color="#CC79A7", label=f"{DRAWS} unrelated ones a network")
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    from_zero(ax, 1e-3)
    ax.axhline(**RISES)
    ax.set_ylabel("min Δ of the training loss (nats)")
    ax.legend(loc="upper left", **SMALL)


def headline(claims: Rows, found: Found) -> str:
    turned = [about(claims, f"distance, {group},")[0] for group in SHORT]
    images, bends = about(claims, name="H5")
    more = {"supported": "more", "contradicted": "no more", "undecided": "not clearly more"}
    worse = {verdict: word.replace("more", "worse") for verdict, word in more.items()}
    over, none, normed = (more[claim["verdict"]] for claim in turned)
    share, (fine, coarse) = images["effect"], found.certified[::-1]
    falls = "does not always fall" if found.rising else "falls"
    finest = turned[0]["claim"].split(", ")[-1]
    words = {"turning": ("H2", finest), "rise of the loss": ("H2", "min Delta")}
    return (
        f"Outputs turn {none} the further weights move without BatchNorm, {normed} with it, "
        f"{over} over all\n{lucas.verdicts(claims, words)}\n"
        f"Where they turn by less than π/2 the error {falls} at every step: certified are "
        f"{coarse['holds']} of {coarse['networks']} networks over {coarse['points']:,} alphas, "
        f"{fine['holds'] or 'none'} over {fine['points']:,}\n"
        + ("" if share is None else f"From unrelated starts {share:.0%} of paths fall on images; ")
        + f"on a spiral they are {worse[bends['verdict']]} than a network's own"
    )


def caption(asked: Flags, found: Found) -> str:
    data = "digits" if asked.quick else "Fashion-MNIST (1,000 images)"
    kept, starts, (coarse, fine) = found.kept, found.starts, sorted(found.grids)
    last = kept.groupby("cell")["seed"].max()
    radii = ", ".join(f"{radius:g}" for radius in RADII)
    return (
        f"left and middle: {data}, final training loss at most {lucas.fitted(asked.quick):g}; "
        f"below n = {len(kept)} networks in {len(last)} cells, seeds 0 to {last.mode().max()}"
        f"{f' (hard data: to {last.max()})' if last.nunique() > 1 else ''}, {coarse:,} "
        "alphas; above the first of each cell that trained "
        f"(n = {len(found.grids[fine])}) in double precision\n"
        f"open symbols: norms pushed to {radii}; intervals resample cells; lines: all (black), "
        "none (blue), BatchNorm (red); dotted: a rise of 1e-3; right: "
        f"{found.exact.groupby(['cell', 'seed']).ngroups} networks with one hidden layer on 16 or "
        f"64 images, seeds 0 to {found.exact['seed'].max()}, double precision\n"
        f"{int(starts['trained'].sum())} networks (seeds 0 to {starts['seed'].max()}) approached "
        f"from their own and from {DRAWS} unrelated initialisations (seeds 1000 to "
        f"{999 + DRAWS}), {coarse:,} alphas"
    )
