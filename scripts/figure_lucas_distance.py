"""How far weights move, how much outputs turn, and whether the loss rises on the way.

After arXiv:2104.11044. Left and middle, for all fully connected classifiers of
`figure_lucas_delta.py` and others whose weights were pushed far out: the turning of the outputs
along the path (Gauss length) and the largest rise of the training loss (min Delta) against the
weight distance. Right, above: networks trained to zero squared error and random curves against the
theorem that outputs which turn by less than pi / 2 approach their target at every step. Right,
below: the way from unrelated initialisations, also on a spiral. Redo it with
`python scripts/figure_lucas_distance.py`; the full form reads Fashion-MNIST (`JUMPRETRAIN_DATA`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from typing import Any

import lucas
import numpy as np
import pandas as pd
from figure import Flags, device, flags, save
from figure_lucas_delta import hard, rates, shapes
from judging import entry, within
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

import jumpretrain as jr
from jumpretrain.gauss import certificate, turning

RADII, PUSH = (10.0, 20.0, 40.0), 0.01
DRAWS = 10
CURVES = 4000
TOLERANCE = 1e-2
"""Largest distance of an output of ten from its target that counts as zero residual."""
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


MEASURES = ("distance", "relative"), ("gauss_mean", "gauss_joint")


def main() -> None:
    asked = flags(__file__, __doc__ or "")
    place = lucas.shared(asked)
    cells = hard(asked) + shapes(asked) + rates(asked) + far(asked)
    table = lucas.measured(place, cells)
    kept = table[table["trained"]].reset_index(drop=True)
    exact = lucas.measured(place, squared(asked), certify, "-certificate")
    starts = lucas.measured(place, ends(asked), unrelated, "-unrelated")
    curves = random_curves(CURVES // 20 if asked.quick else CURVES)
    fits = {
        (group, x, y): fit(some, x, y)
        for (group, some), x, y in product(by_norm(kept).items(), *MEASURES)
    }
    claims = [*judge(kept, fits), *judge_exact(exact, curves), *judge_starts(starts)]
    numbers = {
        "data": {cell.name: " ".join(cell.task.data.history) for cell in [cells[0], *ends(asked)]},
        "recipe": {cell.name: asdict(cell.recipe) for cell in [*squared(asked), *ends(asked)]},
        "pushed": {"push": PUSH, "radii": RADII},
        "fits": [
            {"group": group, "x": x, "y": y, **found} for (group, x, y), found in fits.items()
        ],
        "claims": claims,
        "networks": lucas.rows(table),
        "squared_error": lucas.rows(exact),
        "random_curves": {"count": len(curves), "seed": 0, **counts(curves)},
        "starts": lucas.rows(starts),
    }
    save(draw(asked, kept, fits, exact, curves, starts, claims), asked, numbers)


def by_norm(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    normed = table["batchnorm"].astype(bool)
    return {"all": table, "no normalisation": table[~normed], "BatchNorm": table[normed]}


def far(asked: Flags) -> list[lucas.Cell]:
    radii = RADII[1:2] if asked.quick else RADII
    lrs = {"adam": 0.001} if asked.quick else {"sgd": 0.01, "adam": 0.001}
    return [
        lucas.classifier(asked.quick, name, lrs[name], norm, push=PUSH, radius=radius)
        for name, norm, radius in product(lrs, (False, True), radii)
    ]


def squared(asked: Flags) -> list[lucas.Cell]:
    """Describe networks that reach their targets: few examples, much time, squared error."""
    widths, sizes = ((64,), (16,)) if asked.quick else ((64, 256, 1024), (16, 64))
    lrs = {"adam": 1e-4} if asked.quick else {"sgd": 0.1, "adam": 1e-4}
    return [
        _squared(asked.quick, width, size, name, lr)
        for width, size, (name, lr) in product(widths[::-1], sizes, lrs.items())
    ]


def _squared(quick: bool, width: int, size: int, optimiser: str, lr: float) -> lucas.Cell:
    changes = {"epochs": 200 if quick else 1000, "batch_size": size}
    cell = lucas.classifier(quick, optimiser, lr, depth=1, width=width, examples=size, **changes)
    data, one = cell.task.data, np.eye(10, dtype=np.float32)
    data = replace(data, train_y=one[data.train_y], test_y=one[data.test_y])
    task = jr.Task(cell.task.model, data, loss=jr.measures.squared_error, device=device())
    return replace(cell, name=f"squared-{cell.name}", task=task)


def certify(cell: lucas.Cell, runs: jr.Runs) -> Iterator[dict[str, Any]]:
    """Test the theorem on each network: on its loss, and on the distance to its last outputs.

    Yields:
        One row a network.
    """
    targets = cell.task.tensors["scored_y"].cpu().numpy()
    for number, seed in enumerate(runs.seeds):
        ends = runs.initial[number], runs.final[number]
        path = jr.interpolate(cell.task, *ends, cell.alphas, logits=True, execution=lucas.QUIET)
        outputs = (path.logits or {})["train"].astype(float)
        found = certificate(outputs, targets, TOLERANCE)
        away = jr.Path(path.alphas, {"away": ((outputs - outputs[-1]) ** 2).sum((1, 2))})
        yield {
            "seed": int(seed),
            "largest": float(found.length.per_example.max()),
            "joint": found.length.joint,
            "residual": float(found.residual.max()),
            "holds": found.holds,
            "min_delta": path.monotonicity().min_delta,
            "share": path.monotonicity().min_delta / float(path.values("train_loss")[0]),
            "away_rise": away.monotonicity("away").min_delta,
            "away_first": float(away.values("away")[0]),
        }


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


def random_curves(count: int) -> pd.DataFrame:
    """Draw curves in three dimensions with some bends, and go to their ends."""
    rng, alphas = np.random.default_rng(0), np.linspace(0, 1, 201)[:, None, None]
    line, bend = rng.normal(size=(count, 3)), rng.normal(size=(4, count, 3))
    size, phase = rng.exponential(0.15, (count, 1)), rng.uniform(0, 2 * np.pi, (4, count, 1))
    curve = alphas * line
    for wave in range(4):
        turns = np.pi * (wave + 1) * alphas + phase[wave]
        curve = curve + size * bend[wave] / (wave + 1) * np.sin(turns)
    away = ((curve - curve[-1]) ** 2).sum(2)
    rise = (away - np.minimum.accumulate(away)).max(0)
    return pd.DataFrame({"largest": turning(curve).per_example, "share": rise / away[0]})


def counts(curves: pd.DataFrame) -> dict[str, Any]:
    small = curves["largest"] < np.pi / 2
    rose = curves["share"] > 1e-9
    return {
        "below": int(small.sum()),
        "below_and_rise": int((small & rose).sum()),
        "smallest_that_rises": float(curves["largest"][rose].min()),
    }


def fit(table: pd.DataFrame, x: str, y: str) -> dict[str, Any]:
    """Fit a line to logarithms; the interval of the slope and its p resample networks."""
    across, up = (np.log(table[name].to_numpy(float)) for name in (x, y))
    if len(table) < 4:
        return dict.fromkeys(("slope", "low", "high", "p", "level", "r2"), np.nan)
    slope, level = np.polyfit(across, up, 1)
    drawn = np.random.default_rng(0).integers(len(table), size=(2000, len(table)))
    slopes = [_slope(across[rows], up[rows]) for rows in drawn]
    low, high = np.nanquantile(slopes, [0.025, 0.975])
    r2 = np.corrcoef(across, up)[0, 1] ** 2
    beyond = min(np.sum(np.array(slopes) <= 0), np.sum(np.array(slopes) >= 0))
    p = min(1.0, 2 * (1 + beyond) / (1 + len(slopes)))
    values = {"slope": slope, "low": low, "high": high, "p": p, "level": level, "r2": r2}
    return {name: float(value) for name, value in values.items()}


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    centred = x - x.mean()
    return float(centred @ y / (centred @ centred)) if centred.any() else np.nan


def judge(
    kept: pd.DataFrame, fits: Mapping[tuple[str, str, str], Mapping[str, float]]
) -> list[dict[str, Any]]:
    words = {"distance": "weight distance", "relative": "distance over the initial norm"}
    turned = {
        "gauss_mean": "Gauss length, mean over examples",
        "gauss_joint": "joint Gauss length",
    }
    claims = [
        entry(
            "interpolation-H2",
            f"{turned[y]} grows with {words[x]}",
            "slope of logarithms, networks resampled",
            found["slope"], found["low"], found["high"], max(2, len(kept)), SLOPE,
            p=found["p"],
        )
        for (group, x, y), found in fits.items() if group == "all"
    ]  # fmt: skip
    for x, (group, some) in product(words, by_norm(kept).items()):
        claim = f"min Delta grows with {words[x]}, {group}"
        statistic = "distance and min Delta, networks that trained"
        claims.append(
            lucas.related("interpolation-H2", claim, statistic, some[x], lucas.rises(some), RHO)
        )
    return claims


def judge_exact(exact: pd.DataFrame, curves: pd.DataFrame) -> list[dict[str, Any]]:
    sure = exact[exact["holds"]]
    turned = exact[exact[["largest", "joint"]].min(axis=1) < np.pi / 2]
    below = curves[curves["largest"] < np.pi / 2]
    statistic = "no rise by more than a thousandth of the first value, Gauss length below pi / 2"
    cases = {
        "squared error falls where the certificate holds": sure["share"] <= 1e-3,
        "outputs approach their last values where they turn by less than pi / 2":
            turned["away_rise"] <= 1e-3 * turned["away_first"],
        "random curves approach their ends where they turn by less than pi / 2":
            below["share"] <= 1e-9,
    }  # fmt: skip
    return [
        lucas.mostly("interpolation-H4", claim, statistic, hits, EXACT)
        for claim, hits in cases.items()
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
    return entry(name, claim, statistic, np.nan, np.nan, np.nan, 2, smallest)


def draw(
    asked: Flags,
    kept: pd.DataFrame,
    fits: Mapping[tuple[str, str, str], Mapping[str, float]],
    exact: pd.DataFrame,
    curves: pd.DataFrame,
    starts: pd.DataFrame,
    claims: list[dict[str, Any]],
) -> Figure:
    figure = Figure(figsize=(14, 8.4), layout="constrained")
    axes = figure.subplots(2, 3)
    words = {
        "distance": "weight distance from initialisation",
        "relative": "weight distance / norm of the initialisation",
    }
    for place, (x, label) in enumerate(words.items()):
        cloud(axes[0, place], kept, x, "gauss_mean")
        axes[0, place].set(yscale="log", xlabel=label, ylabel="Gauss length (rad, mean, test)")
        axes[0, place].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes[0, place].yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        lines(axes[0, place], kept, x, fits)
        cloud(axes[1, place], kept, x, "min_delta")
        from_zero(axes[1, place], 1e-3)
        axes[1, place].axhline(lucas.RISE, color="#888888", lw=0.8, ls=":")
        axes[1, place].set(xlabel=label, ylabel="min Δ of the training loss (nats)")
        axes[1, place].set_title(correlation(claims, x), fontsize=9)
    axes[0, 0].legend(fontsize=8, frameon=False)
    theorem(axes[0, 2], exact, curves)
    approach(axes[1, 2], starts[starts["trained"]])
    figure.suptitle(headline(claims))
    figure.supxlabel(caption(asked, kept, exact, starts), fontsize=8)
    return figure


def cloud(ax: Axes, kept: pd.DataFrame, x: str, y: str) -> None:
    for (optimiser, norm), (name, colour, shape) in GROUPS.items():
        some = kept[(kept["optimiser"] == optimiser) & (kept["batchnorm"] == norm)]
        pushed = some["push"].notna() if "push" in some else np.zeros(len(some), bool)
        for part, fill in ((some[~pushed], colour), (some[pushed], "none")):
            ax.plot(
                part[x], part[y], shape, ms=4, mfc=fill, mec=colour, mew=0.8, alpha=0.8,
                label=name if fill == colour else None,
            )  # fmt: skip
    ax.set_xscale("log")


def from_zero(ax: Axes, linear: float) -> None:
    """Make the scale logarithmic above a value and linear from 0 to it."""
    ax.set_yscale("symlog", linthresh=linear)
    ax.set_ylim(-0.3 * linear, 2 * max(ax.dataLim.ymax, 5 * linear))


def lines(
    ax: Axes,
    kept: pd.DataFrame,
    x: str,
    fits: Mapping[tuple[str, str, str], Mapping[str, float]],
) -> None:
    words = []
    for (group, some), colour in zip(by_norm(kept).items(), ("black", BLUE, RED), strict=True):
        found = fits[group, x, "gauss_mean"]
        if not np.isfinite(found["slope"]):
            continue
        reach = np.geomspace(some[x].min(), some[x].max(), 2)
        height = np.exp(found["level"]) * reach ** found["slope"]
        ax.plot(reach, height, color=colour, lw=2)
        words.append((f"{SHORT[group]} {found['slope']:+.2f}", f"{found['r2']:.2f}"))
    ax.axhline(np.pi / 2, color="#888888", lw=0.8, ls=":")
    ax.annotate("π/2", (0.005, np.pi / 2), xycoords=("axes fraction", "data"), fontsize=8)
    slopes, shares = zip(*words, strict=True) if words else ((), ())
    ax.set_title(f"slope: {', '.join(slopes)}\nR²: {', '.join(shares)}", fontsize=9)


def correlation(claims: list[dict[str, Any]], x: str) -> str:
    ending = {"distance": "weight distance", "relative": "initial norm"}[x]
    parts = []
    for group, short in SHORT.items():
        (claim,) = (
            c for c in claims
            if c["claim"].startswith("min Delta") and c["claim"].endswith(f"{ending}, {group}")
        )  # fmt: skip
        effect = claim["effect"]
        parts.append(f"{short} {'–' if effect is None else format(effect, '+.2f')}")
    return "ranks, ρ: " + ", ".join(parts)


def theorem(ax: Axes, exact: pd.DataFrame, curves: pd.DataFrame) -> None:
    ax.plot(curves["largest"], curves["share"], ".", ms=2, color="#bbbbbb", zorder=1)
    ax.plot([], [], ".", color="#bbbbbb", label=f"{len(curves):,} random curves")
    turned = exact[["largest", "joint"]].min(axis=1)
    close = exact["residual"] <= TOLERANCE
    for some, fill, name in (
        (close, "#009E73", "network"),
        (~close, "none", "target not reached"),
    ):
        label = f"{name} (n = {int(some.sum())})"
        ax.plot(turned[some], exact["share"][some], "o", ms=5, mfc=fill, mec="#009E73",
                label=label)  # fmt: skip
    ax.axvline(np.pi / 2, color="black", lw=1, ls="--")
    ax.set_xticks([0, np.pi / 2, 4, 6, 8, 10, 12], ["0", "π/2", "4", "6", "8", "10", "12"])
    from_zero(ax, 1e-6)
    ax.set(xlabel="Gauss length (rad)", ylabel="rise of the squared error / its first value")
    found = counts(curves)
    rose = int((exact["holds"] & (exact["share"] > 1e-3)).sum())
    ax.set_title(
        f"below π/2, {rose} of {int(exact['holds'].sum())} certified networks and "
        f"{found['below_and_rise']} of {found['below']} curves rise",
        fontsize=10,
    )
    ax.legend(fontsize=8, framealpha=0.9, loc="upper left")


def approach(ax: Axes, starts: pd.DataFrame) -> None:
    labels = []
    for place, (_, some) in enumerate(starts.groupby("cell", sort=False)):
        others = np.array(some["others"].tolist())
        jitter = np.linspace(-0.12, 0.12, others.size).reshape(others.shape)
        ax.plot(place + 0.2 + jitter, others, ".", ms=3, color="#CC79A7")
        own = np.linspace(-0.08, 0.08, len(some))
        ax.plot(place - 0.2 + own, some["own"], "o", ms=4, color="#0072B2")
        share, base = ((values <= lucas.RISE).mean() for values in (others, some["own"]))
        optimiser = some["optimiser"].iloc[0]
        name = "spiral" if not isinstance(optimiser, str) else f"images, {optimiser}"
        labels.append(f"{name} (n = {len(some)})\nmonotone: {base:.0%}, {share:.0%}")
    ax.plot([], [], "o", ms=4, color="#0072B2", label="own initialisation")
    ax.plot([], [], ".", color="#CC79A7", label=f"{DRAWS} unrelated ones a network")
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    from_zero(ax, 1e-3)
    ax.axhline(lucas.RISE, color="#888888", lw=0.8, ls=":")
    ax.set_ylabel("min Δ of the training loss (nats)")
    ax.legend(fontsize=8, frameon=False, loc="upper left")


def headline(claims: list[dict[str, Any]]) -> str:
    first = {
        "Outputs turn more the further weights move": ("H2", "Gauss length"),
        "the loss rises more": ("H2", "min Delta"),
    }
    second = {
        "turning below π/2 means no rise": ("H4", ""),
        "unrelated starts: monotone on images": ("H5", "images"),
        "worse on a spiral": ("H5", "spiral"),
    }
    return "\n".join(lucas.verdicts(claims, some) for some in (first, second))


def caption(asked: Flags, kept: pd.DataFrame, exact: pd.DataFrame, starts: pd.DataFrame) -> str:
    data = "digits" if asked.quick else "Fashion-MNIST (1,000 images)"
    return (
        f"left and middle: n = {len(kept)} networks in {kept['cell'].nunique()} cells, {data}, "
        f"final training loss at most {lucas.fitted(asked.quick):g}; open symbols: norms pushed "
        f"to {', '.join(f'{radius:g}' for radius in RADII)}; lines: all (black, judged), none "
        "(blue) and BatchNorm (red), added after the numbers were seen and not judged\n"
        f"right: {len(exact)} networks with one hidden layer on 16 or 64 images; "
        f"{int(starts['trained'].sum())} networks approached from unrelated initialisations; "
        "dotted: a rise of 1e-3; 51 alphas"
    )


if __name__ == "__main__":
    main()
