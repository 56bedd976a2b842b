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
The full form reads Fashion-MNIST.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made, device
from evidence.judging import entry, within
from matplotlib.figure import Figure
from papers.lucas import clouds, turnings
from papers.lucas import networks as lucas
from papers.lucas.delta import hard, rates, shapes
from papers.lucas.turnings import DISTANCES, FALLS, TURNED, Fits, by_norm

import jumpretrain as jr

RADII, PUSH = (10.0, 20.0, 40.0), 0.01
DRAWS = 10
CURVES = 4000
SLOPE, RHO, MOST, EXACT, WORSE = 0.1, 0.2, 0.5, 0.75, 0.1
"""Smallest effects: slope on logarithms, rank correlation, share monotone from unrelated starts,
share monotone where the theorem says all, nats by which unrelated starts are worse on a spiral."""


def make(asked: Flags) -> Made:
    place = lucas.shared(asked)
    cells = hard(asked) + shapes(asked) + rates(asked) + far(asked)
    table = lucas.measured(place, cells)
    kept = table[table["trained"]].reset_index(drop=True)
    fine = lucas.measured(place, cells, turnings.finely, "-turning")
    fine = fine.merge(kept[["cell", "seed", *DISTANCES]], on=["cell", "seed"])
    exact = lucas.measured(place, turnings.squared(asked), turnings.certify, "-certified")
    starts = lucas.measured(place, ends(asked), unrelated, "-unrelated")
    curves = turnings.random_curves(CURVES // 20 if asked.quick else CURVES)
    grids = {int(count): some for count, some in fine.groupby("points")}
    fits = fitted({cells[0].alphas: kept, max(grids): grids[max(grids)]})
    coarse = fitted({cells[0].alphas: grids[min(grids)]})
    claims = [*judge(kept, fits), *judge_exact(exact, curves), *judge_starts(starts)]
    numbers = {
        "data": {cell.name: " ".join(cell.task.data.history) for cell in [cells[0], *ends(asked)]},
        "recipe": {
            cell.name: asdict(cell.recipe) for cell in [*turnings.squared(asked), *ends(asked)]
        },
        "seeds": {
            cell.name: cell.seeds for cell in [*cells, *turnings.squared(asked), *ends(asked)]
        },
        "points": {"all networks": cells[0].alphas, "fine, one network a cell": max(grids)},
        "pushed": {"push": PUSH, "radii": RADII},
        "fits": listed(fits),
        "fits_of_one_network_a_cell_on_the_coarse_grid": listed(coarse),
        "claims": claims,
        "networks": lucas.rows(table),
        "turning": lucas.rows(fine),
        "squared_error": lucas.rows(exact),
        "certified": certified(exact),
        "random_curves": {"count": len(curves), "seed": 0, **turnings.counts(curves)},
        "starts": lucas.rows(starts),
    }
    return draw(asked, kept, grids, fits, exact, curves, starts, claims), numbers


def fitted(tables: Mapping[int, pd.DataFrame]) -> Fits:
    return {
        (count, group, x, y): turnings.fit(some, x, y)
        for count, table in tables.items()
        for (group, some), x, y in product(by_norm(table).items(), DISTANCES, TURNED)
    }


def listed(fits: Fits) -> list[dict[str, Any]]:
    return [
        {"points": count, "group": group, "x": x, "y": y, **found}
        for (count, group, x, y), found in fits.items()
    ]


def certified(exact: pd.DataFrame) -> list[dict[str, int]]:
    """Count the networks certified on each grid, and those that rise."""
    return [
        {
            "points": int(count),
            "networks": len(some),
            "holds": int(some["holds"].sum()),
            "by_joint_alone": int(some["by_joint_alone"].sum()),
            "rise": int((some["share"][some["holds"]] > FALLS).sum()),
        }
        for count, some in exact.groupby("points", sort=True)
    ]


def far(asked: Flags) -> list[lucas.Cell]:
    radii = RADII[1:2] if asked.quick else RADII
    lrs = {"adam": 0.001} if asked.quick else {"sgd": 0.01, "adam": 0.001}
    return [
        lucas.classifier(asked.quick, name, lrs[name], norm, push=PUSH, radius=radius)
        for name, norm, radius in product(lrs, (False, True), radii)
    ]


def ends(asked: Flags) -> list[lucas.Cell]:
    """Describe networks that are approached from unrelated initialisations."""
    rate = 0.1 if asked.quick else 0.01
    images = [
        lucas.classifier(asked.quick, "sgd", rate),
        lucas.classifier(asked.quick, "adam", 0.01 if asked.quick else 0.003),
    ]
    return [*images, spiral(asked)]


def spiral(asked: Flags) -> lucas.Cell:
    data = jr.data.spirals(200 if asked.quick else 1000, turns=3.5)
    build = jr.initialise(partial(jr.models.mlp, (2,), 2, hidden=(64, 64, 64)), "he")
    epochs = 50 if asked.quick else 1500
    recipe = jr.Recipe(epochs, 0.1, batch_size=500, record_every=0, record_early=False)
    seeds, points = (3, 11) if asked.quick else (10, 51)
    limit = lucas.fitted(asked.quick)
    return lucas.Cell(
        f"spiral-{len(data.train_x)}",
        {},
        jr.Task(build, data, device=device()),
        recipe,
        seeds,
        limit,
        alphas=points,
    )


def unrelated(cell: lucas.Cell, runs: jr.Runs) -> Iterator[dict[str, Any]]:
    """Score paths to each network from initialisations that are not its own.

    Their seeds (1000 to 1009) are the same for all networks, so that an interval over networks
    does not cover the draw of these ten.

    Yields:
        One row a network: min Delta of its own path, and of the others.
    """
    for number, seed in enumerate(runs.seeds):
        if runs.status[number] != "ok":
            continue
        end = runs.final[number]
        paths = [
            jr.interpolate(cell.task, start, end, cell.alphas, execution=lucas.QUIET)
            for start in (
                runs.initial[number],
                *(cell.task.initial(1000 + draw) for draw in range(DRAWS)),
            )
        ]
        own, *others = (path.monotonicity().min_delta for path in paths)
        final = float(paths[0].values("train_loss")[-1])
        trained = bool(final <= cell.threshold)
        yield {"seed": int(seed), "trained": trained, "own": own, "others": others}


def judge(kept: pd.DataFrame, fits: Fits) -> list[dict[str, Any]]:
    claims, finest = [], max(fits)[0]
    for (count, group, x, y), found in sorted(fits.items(), key=lambda pair: -pair[0][0]):
        which = f"{group}, {count:,} alphas"
        claims.append(entry(
            "interpolation-H2",
            f"{TURNED[y]} grows with {DISTANCES[x]}, {which}",
            "slope of logarithms, cells resampled"
            + (", one network each" if count == finest else " with all their networks"),
            found["slope"], found["low"], found["high"], found["networks"], SLOPE,
            p=found["p"],
        ))  # fmt: skip
    for x, (group, some) in product(DISTANCES, by_norm(kept).items()):
        found = turnings.ranked(some, x, lucas.rises(some))
        claims.append(entry(
            "interpolation-H2",
            f"min Delta grows with {DISTANCES[x]}, {group}",
            "Spearman's rho of distance and min Delta, networks that trained, cells resampled",
            found["rho"], found["low"], found["high"], len(some), RHO,
            p=found["p"],
        ))  # fmt: skip
    return claims


def judge_exact(exact: pd.DataFrame, curves: pd.DataFrame) -> list[dict[str, Any]]:
    cases = {}
    for count, some in exact.groupby("points"):
        turned = some[some[["largest", "joint"]].min(axis=1) < np.pi / 2]
        grid, falls = f"steps of {count:,} alphas", some["share"][some["holds"]] <= FALLS
        cases |= {
            f"squared error falls where the certificate holds, {grid}":
                (falls, "above a thousandth of the first"),
            f"outputs approach their last values where they turn by less than pi / 2, {grid}":
                (turned["away_share"] <= turnings.ROUNDING, "beyond rounding"),
        }  # fmt: skip
    below = curves[curves["largest"] < np.pi / 2]
    cases["random curves approach their ends where they turn by less than pi / 2"] = (
        below["share"] <= turnings.ROUNDING, "beyond rounding",
    )  # fmt: skip
    return [
        lucas.mostly(
            "interpolation-H4", claim, f"no rise {how}, Gauss length below pi / 2", hits, EXACT
        )
        for claim, (hits, how) in cases.items()
    ]


def judge_starts(starts: pd.DataFrame) -> list[dict[str, Any]]:
    fitted = starts[starts["trained"]]
    round_ = fitted["cell"].str.startswith("spiral")
    share = [np.mean(np.array(row) <= lucas.RISE) for row in fitted["others"][~round_]]
    worse = [np.mean(others) - own for own, others in
             zip(fitted["own"][round_], fitted["others"][round_], strict=True)]  # fmt: skip
    images = "unrelated initialisations reach the same end without a rise, images"
    bends = "unrelated initialisations are worse than a network's own on a 3.5-turn spiral"
    how = "share of monotone paths from ten draws", "mean min Delta of ten draws minus own, nats"
    no_test = {"p": None}  # a share of 0 is no null
    return [
        _mean("interpolation-H5", images, how[0], share, MOST) | no_test,
        _mean("interpolation-H5", bends, how[1], worse, WORSE),
    ]


def _mean(
    name: str, claim: str, statistic: str, values: list[Any], smallest: float
) -> dict[str, Any]:
    if len(values) > 1:
        return within(name, claim, statistic, values, smallest)
    return entry(name, claim, statistic, np.nan, np.nan, np.nan, len(values), smallest)


def draw(
    asked: Flags,
    kept: pd.DataFrame,
    grids: Mapping[int, pd.DataFrame],
    fits: Fits,
    exact: pd.DataFrame,
    curves: pd.DataFrame,
    starts: pd.DataFrame,
    claims: list[dict[str, Any]],
) -> Figure:
    figure = Figure(figsize=(14, 8.6), layout="constrained")
    axes = figure.subplots(2, 3)
    words = {
        "distance": "weight distance from initialisation",
        "relative": "weight distance / norm of the initialisation",
    }
    count, coarse = max(grids), grids[min(grids)]
    for place, (x, label) in enumerate(words.items()):
        axes[0, place].plot(
            coarse[x], coarse["gauss_mean"], ".", ms=3, color="#999999", zorder=1,
            label=f"above: the same, {min(grids):,} alphas",
        )  # fmt: skip
        clouds.cloud(axes[0, place], grids[count], x, "gauss_mean")
        clouds.lines(axes[0, place], grids[count], x, fits)
        axes[0, place].set(
            xlabel=label, ylabel=f"Gauss length (rad, mean, test), {count:,} alphas"
        )
        clouds.cloud(axes[1, place], kept, x, "min_delta")
        clouds.from_zero(axes[1, place], 1e-3)
        axes[1, place].axhline(lucas.RISE, color="#888888", lw=0.8, ls=":")
        axes[1, place].set(xlabel=label, ylabel="min Δ of the training loss (nats)")
        axes[1, place].set_title(clouds.correlation(claims, x), fontsize=9)
    axes[1, 0].legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, frameon=False)
    clouds.theorem(axes[0, 2], exact, curves)
    clouds.approach(axes[1, 2], starts[starts["trained"]])
    figure.suptitle(headline(claims, exact, curves), fontsize=11)
    figure.supxlabel(caption(asked, kept, grids, exact, starts), fontsize=8)
    return figure


def headline(claims: list[dict[str, Any]], exact: pd.DataFrame, curves: pd.DataFrame) -> str:
    by_group = {group: next(c for c in claims if f"distance, {group}," in c["claim"])
                for group in clouds.SHORT}  # fmt: skip
    starts = {name: next(c for c in claims if c["id"].endswith("H5") and name in c["claim"])
              for name in ("images", "spiral")}  # fmt: skip
    more = {"supported": "more", "contradicted": "no more", "undecided": "not clearly more"}
    worse = {"supported": "worse", "contradicted": "no worse", "undecided": "not clearly worse"}
    over, none, normed = (more[claim["verdict"]] for claim in by_group.values())
    share, (fine, coarse) = starts["images"]["effect"], certified(exact)[::-1]
    rose = turnings.counts(curves)["below_and_rise"] + fine["rise"] + coarse["rise"]
    tallies = lucas.verdicts(claims, {
        "turning": ("H2", by_group["all"]["claim"].split(", ")[-1]),
        "rise of the loss": ("H2", "min Delta"),
    })  # fmt: skip
    return (
        f"Outputs turn {none} the further weights move without BatchNorm, {normed} with it, "
        f"{over} over all\n{tallies}\n"
        f"Where they turn by less than π/2 the error {'does not always fall' if rose else 'falls'}"
        f" at every step: certified are {coarse['holds']} of {coarse['networks']} networks over "
        f"{coarse['points']:,} alphas, {fine['holds'] or 'none'} over {fine['points']:,}\n"
        + ("" if share is None else f"From unrelated starts {share:.0%} of paths fall on images; ")
        + f"on a spiral they are {worse[starts['spiral']['verdict']]} than a network's own"
    )


def caption(
    asked: Flags,
    kept: pd.DataFrame,
    grids: Mapping[int, pd.DataFrame],
    exact: pd.DataFrame,
    starts: pd.DataFrame,
) -> str:
    data = "digits" if asked.quick else "Fashion-MNIST (1,000 images)"
    last = kept.groupby("cell")["seed"].max()
    radii = ", ".join(f"{radius:g}" for radius in RADII)
    return (
        f"left and middle: {data}, final training loss at most {lucas.fitted(asked.quick):g}; "
        f"below n = {len(kept)} networks in {len(last)} cells, seeds 0 to {last.mode().max()}"
        f"{f' (hard data: to {last.max()})' if last.nunique() > 1 else ''}, {min(grids):,} "
        "alphas; above the first of each cell that trained "
        f"(n = {len(grids[max(grids)])}) in double precision\n"
        f"open symbols: norms pushed to {radii}; intervals resample cells; lines: all (black), "
        "none (blue), BatchNorm (red); dotted: a rise of 1e-3; right: "
        f"{exact.groupby(['cell', 'seed']).ngroups} networks with one hidden layer on 16 or 64 "
        f"images, seeds 0 to {exact['seed'].max()}, double precision\n"
        f"{int(starts['trained'].sum())} networks (seeds 0 to {starts['seed'].max()}) approached "
        f"from their own and from {DRAWS} unrelated initialisations (seeds 1000 to "
        f"{999 + DRAWS}), {min(grids):,} alphas"
    )
