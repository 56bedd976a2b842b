"""The training loss on the straight line from initialisation to solution, for many networks.

After the overlays of arXiv:2104.11044: fully connected classifiers and small residual networks
with BatchNorm (red) and without (blue), residual networks that start as the identity, Fixup's
(green) among them, an autoencoder with a bottleneck, and an LSTM and a transformer that tell the
next character of the descriptions of scikit-learn's data. Networks that did not train are counted,
not drawn. After a review, having seen the numbers: a group of which fewer than 20 of the first
seeds trained gets as many seeds again; learning rates and optimisers are also compared over all
networks that have an end, as most that did not train are at the larger rate, and rates also over
kinds and optimisers alone of which networks trained at both. The full form
reads Fashion-MNIST and CIFAR-10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from evidence.figure import Flags, Made
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.lucas import kinds
from papers.lucas import networks as lucas
from papers.lucas.delta import hard, rates, shapes
from papers.lucas.distance import far
from scipy.stats import binomtest

from jumpretrain.comparison.hypothesis_tests import delta_interval

COLOURS = {"BatchNorm": "#D55E00", "Fixup": "#009E73"}
BLUE = "#0072B2"


def make(asked: Flags) -> Made:
    place = lucas.shared(asked)
    panels = kinds.panels(place)
    cells = [cell for panel in panels for some in panel.groups.values() for cell in some]
    table = lucas.measured(place, cells[::-1])
    tables = {
        (panel.title, name): kinds.of(table, some)
        for panel in panels
        for name, some in panel.groups.items()
    }
    claims = judge(tables)
    groups = [{"panel": panel, "group": name, **shares(some)}
              for (panel, name), some in tables.items()]  # fmt: skip
    numbers = {
        "data": sorted({" ".join(cell.task.data.history) for cell in cells}),
        "recipes": {cell.name: asdict(cell.recipe) for cell in cells},
        "thresholds": {cell.name: cell.limit for cell in cells},
        "seeds": {cell.name: [cell.first, cell.first + cell.seeds - 1] for cell in cells},
        "groups": groups,
        "rates": by_rate(table),
        "distinct": distinct(place, table),
        "claims": claims,
        "networks": lucas.rows(table, curves=True),
    }
    return draw(asked, panels, tables, claims), numbers


def distinct(asked: Flags, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Count the networks that figures hold together; some classifiers are in more than one."""
    cells = rates(asked) if asked.quick else hard(asked) + shapes(asked) + rates(asked)
    others = lucas.measured(asked, cells)
    pushed = lucas.measured(asked, far(asked))
    return [
        {"figures": names, **counted(pd.concat(some).drop_duplicates(["cell", "seed"]))}
        for names, some in (
            (["lucas_paths"], [table]),
            (["lucas_delta", "lucas_paths"], [table, others]),
            (["lucas_delta", "lucas_distance, classifiers", "lucas_paths"],
             [table, others, pushed]),
        )
    ]  # fmt: skip


def counted(some: pd.DataFrame) -> dict[str, int]:
    """Count networks: those that trained, and those that rise."""
    ended = some[~some["diverged"]]
    return {
        "networks": len(some),
        "diverged": int(some["diverged"].sum()),
        "trained": int(some["trained"].sum()),
        "untrained": int((~some["trained"]).sum()),
        "rose": int((lucas.rises(some[some["trained"]]) > 0).sum()),
        "rose_untrained": int((lucas.rises(ended[~ended["trained"]]) > 0).sum()),
    }


def by_rate(table: pd.DataFrame) -> dict[str, Any]:
    """Count by the place of the rate; and what could have been found at most."""
    kept = table[table["trained"]]
    larger = int(kept["faster"].sum())
    most = np.arange(larger) < (lucas.rises(kept) > 0).sum(), np.zeros(len(kept) - larger)
    low, high = delta_interval(*most) if min(map(len, most)) > 1 else (None, None)
    return {
        "smaller": counted(table[~table["faster"]]),
        "larger": counted(table[table["faster"]]),
        "interval_were_all_risers_at_the_larger": [low, high],
    }


def judge(tables: Mapping[tuple[str, str], pd.DataFrame]) -> list[dict[str, Any]]:
    kept = {key: some[some["trained"]] for key, some in tables.items()}
    deltas = {key: lucas.rises(some) for key, some in kept.items()}
    claims = []
    for panel in dict.fromkeys(panel for panel, name in tables if name == "BatchNorm"):
        more, fewer = deltas[panel, "BatchNorm"], deltas[panel, "no normalisation"]
        claim = f"BatchNorm raises min Delta, {panel}"
        claims.append(lucas.larger("interpolation-H3", claim, more, fewer))
    for name in ("BatchNorm", "no normalisation"):
        usual, identity = (deltas[panel, name] for panel in ("residual network", kinds.IDENTITY))
        claim = f"starting as the identity lowers min Delta of residual networks, {name}"
        claims.append(lucas.larger("interpolation-H3", claim, usual, identity))
    every = pd.concat(tables.values())
    ended = "networks that trained or not, without those that diverged"
    for which, some in (
        ("networks that trained", every[every["trained"]]),
        (ended, every[~every["diverged"]]),
    ):
        for claim, column, more in (
            ("the larger of two learning rates has larger min Delta, all panels", "faster", True),
            ("Adam has larger min Delta than SGD, all panels", "optimiser", "adam"),
        ):
            inside = some[column] == more
            groups = (lucas.rises(some[side]) for side in (inside, ~inside))
            said = claim + (f", {which}" if which == ended else "")
            claims.append(lucas.larger("interpolation-H1", said, *groups, which=which))
    return [*claims, judge_both(every[every["trained"]])]


def judge_both(kept: pd.DataFrame) -> dict[str, Any]:
    """Judge rates where a kind with an optimiser has networks at both, all such as one sample."""
    some = kept[kept.groupby(["network", "optimiser"])["faster"].transform("nunique") > 1]
    return lucas.larger(
        "interpolation-H1",
        "the larger of two learning rates has larger min Delta, kinds and optimisers that trained "
        "at both",
        *(lucas.rises(some[side]) for side in (some["faster"], ~some["faster"])),
        which="networks that trained, without kinds x optimisers that have none at one of the "
        "rates",
    )


def shares(some: pd.DataFrame) -> dict[str, Any]:
    """Count a group's networks; the share of those that rise has Wilson's interval."""
    kept = some[some["trained"]]
    values = lucas.rises(kept)
    rose, count = int((values > 0).sum()), len(kept)
    facts = {
        "networks": len(some),
        "diverged": int(some["diverged"].sum()),
        "trained": count,
        "rose": rose,
        "mean_min_delta": float(kept["min_delta"].mean()) if count else None,
        "mean_min_delta_of_those": float(values[values > 0].mean()) if rose else None,
    }
    if not count:
        return facts | {"share": None, "interval": [None, None]}
    low, high = binomtest(rose, count).proportion_ci(method="wilson")
    return facts | {"share": rose / count, "interval": [float(low), float(high)]}


def draw(
    asked: Flags,
    panels: Sequence[kinds.Panel],
    tables: Mapping[tuple[str, str], pd.DataFrame],
    claims: list[dict[str, Any]],
) -> Figure:
    figure = Figure(figsize=(15.5, 7.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[3.4, 1.2])
    for ax, panel in zip(left.subplots(2, 3).ravel(), panels, strict=True):
        curves(ax, panel, tables)
    bars(right.subplots(), tables)
    figure.suptitle(headline(tables, claims))
    figure.supxlabel(caption(asked, pd.concat(tables.values())), fontsize=8)
    return figure


def caption(asked: Flags, every: pd.DataFrame) -> str:
    found = by_rate(every)
    lost, rose = (
        [f"{found[side][key]} of {found[side][of]}" for side in ("larger", "smaller")]
        for key, of in (("untrained", "networks"), ("rose", "trained"))
    )
    ended = [found[side]["rose_untrained"] for side in ("larger", "smaller")]
    least = every[every["trained"]].groupby(["network", "batchnorm"], dropna=False).size().min()
    data = "digits" if asked.quick else (
        "1,000 images of Fashion-MNIST, 256 of CIFAR-10 at 16x16, 1,000 windows of "
        f"{kinds.LENGTH} characters"
    )  # fmt: skip
    first, last = every["seed"].min(), every.groupby("cell")["seed"].max()
    seeds = f"seeds {first} to {last.min()}" + (
        f", to {last.max()} in groups of which fewer than {kinds.ENOUGH} of these trained"
        if last.max() > last.min() else ""
    )  # fmt: skip
    return (
        f"n = {len(every)} networks: {seeds}, x 2 learning rates x SGD (momentum .9) and Adam; "
        f"{data}; {least} or more trained networks a kind; 51 alphas\n"
        "thin: networks, thick: those that rise by more than 1e-3; "
        f"drawn: those that trained (final training loss at most {lucas.FITTED:g}, "
        f"{kinds.TRAINED['text']:g} for text, {kinds.TRAINED['images']:g} for residual networks, "
        f"half the pixel variance for the autoencoder)\n{lost[0]} at the larger rate did not, "
        f"{lost[1]} at the smaller; of those that did {rose[0]} and {rose[1]} rise, of "
        f"untrained networks with an end {ended[0]} (larger rate) and {ended[1]} (smaller); "
        "BatchNorm scored with statistics estimated anew"
    )


def curves(ax: Axes, panel: kinds.Panel, tables: Mapping[tuple[str, str], pd.DataFrame]) -> None:
    words = []
    for name in panel.groups:
        some = tables[panel.title, name]
        found, kept = shares(some), some[some["trained"]]
        colour = COLOURS.get(name, BLUE)
        for values, rise in zip(kept["curve"], lucas.rises(kept), strict=True):
            thick = {"lw": 1.8, "alpha": 0.9} if rise else {"lw": 0.7, "alpha": 0.6}
            ax.plot(np.linspace(0, 1, len(values)), values, color=colour, **thick)
        lost = found["networks"] - found["trained"]
        said = f"{name}: " if name else ""
        said += f"{found['rose']} of {found['trained']} rise"
        words.append(said + (f" ({lost} did not train)" if lost else ""))
        ax.plot([], [], color=colour, label=words[-1])
    ax.legend(fontsize=8, frameon=False, loc="upper right")
    bottom, top = ax.get_ylim()
    ax.set(
        xlim=(0, 1),
        ylim=(min(0, bottom), top + 0.25 * (top - bottom)),
        xlabel="α, share of the way",
        ylabel=f"training loss ({panel.unit})",
    )
    ax.set_title(panel.title, fontsize=10)


def bars(ax: Axes, tables: Mapping[tuple[str, str], pd.DataFrame]) -> None:
    labels = []
    for place, ((panel, name), some) in enumerate(tables.items()):
        found = shares(some)
        labels.append(panel.split(", ")[0].replace(" started", "\nstarted") + f"\n{name}")
        if found["share"] is None:
            continue
        low, high = found["interval"]
        colour = COLOURS.get(name, BLUE)
        ax.plot([low, high], [place, place], color=colour, lw=2)
        ax.plot(found["share"], place, "o", color=colour)
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(-0.02, 1.02), xlabel="share that rises by more than 1e-3, 95 % interval")
    ax.set_title("summary", fontsize=10)


def headline(tables: Mapping[tuple[str, str], pd.DataFrame], claims: list[dict[str, Any]]) -> str:
    every = [shares(some) for some in tables.values()]
    rose, count = (sum(found[key] for found in every) for key in ("rose", "trained"))
    words = lucas.verdicts(claims, {
        "BatchNorm raises it": ("H3", "BatchNorm raises"),
        "starting as the identity lowers it": ("H3", "starting as the identity"),
        "larger rates and Adam raise it": ("H1", ""),
    })  # fmt: skip
    return f"{rose} of {count} trained networks rise on the way to the solution\n{words}"
