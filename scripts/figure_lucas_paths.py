"""The training loss on the straight line from initialisation to solution, for many networks.

After the overlays of arXiv:2104.11044: fully connected classifiers and small residual networks
with BatchNorm (red) and without (blue), residual networks that start as the identity, Fixup's
(green) among them, an autoencoder with a bottleneck, and an LSTM and a transformer that tell the
next character of the descriptions of scikit-learn's data. Networks that did not train are counted,
not drawn. Redo it with `python scripts/figure_lucas_paths.py`; the full form reads Fashion-MNIST
and CIFAR-10 (`JUMPRETRAIN_DATA`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import lucas
import numpy as np
import pandas as pd
from figure import Flags, device, flags, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn import datasets

import jumpretrain as jr

COLOURS = {"BatchNorm": "#D55E00", "Fixup": "#009E73"}
BLUE = "#0072B2"
IDENTITY = "residual network started as the identity"
LENGTH = 16
"""Characters that a language model sees."""
TRAINED = {"images": 1.0, "text": 1.5}
"""Final training loss, in nats, up to which residual networks (the released code's) and language
models (chosen: half of what letter frequencies alone give) count as trained."""


@dataclass(frozen=True)
class Panel:
    """Networks that are drawn together: those with BatchNorm in red."""

    title: str
    unit: str
    groups: Mapping[str, Sequence[lucas.Cell]]


def main() -> None:
    asked = flags(__file__, __doc__ or "")
    panels = [
        classifiers(asked),
        autoencoders(asked),
        *sequences(asked),
        *residual(asked),
    ]
    cells = [cell for panel in panels for some in panel.groups.values() for cell in some]
    table = lucas.measured(lucas.shared(asked), cells[::-1])
    tables = {
        (panel.title, name): table[table["cell"].isin([cell.name for cell in some])]
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
        "seeds": max(cell.seeds for cell in cells),
        "groups": groups,
        "claims": claims,
        "networks": lucas.rows(table, curves=True),
    }
    save(draw(asked, panels, tables, claims), asked, numbers)


def cells(
    name: str,
    task: jr.Task,
    rates: Mapping[str, Sequence[float]],
    recipe: jr.Recipe,
    threshold: float,
    quick: bool,
) -> list[lucas.Cell]:
    """Describe a cell for each optimiser and learning rate."""
    return [
        lucas.Cell(
            name=f"{name}-{optimiser}-{lr:g}",
            facts={"optimiser": optimiser, "lr": lr, "faster": bool(place), "network": name},
            task=task,
            recipe=replace(recipe, optimiser=optimiser, lr=lr),  # type: ignore[arg-type]
            seeds=3 if quick else 5,
            threshold=lucas.fitted(quick, threshold),
            outputs=False,
            alphas=11 if quick else 51,
        )
        for optimiser, lr, place in chosen(rates, quick)
    ]


def chosen(rates: Mapping[str, Sequence[float]], quick: bool) -> list[tuple[str, float, int]]:
    """List optimisers with their rates and the place of each; quickly, one of each."""
    every = [(name, lr, place) for name, both in rates.items() for place, lr in enumerate(both)]
    return every[::3] if quick else every


def classifiers(asked: Flags) -> Panel:
    rates = {"sgd": (0.03, 0.1), "adam": (0.001, 0.01)}
    groups = {
        name: [
            replace(cell, facts={**cell.facts, "faster": bool(place), "network": "classifier"})
            for optimiser, lr, place in chosen(rates, asked.quick)
            for cell in [lucas.classifier(asked.quick, optimiser, lr, name == "BatchNorm")]
        ]
        for name in ("no normalisation", "BatchNorm")
    }
    return Panel("fully connected classifier", "nats", groups)


def autoencoders(asked: Flags) -> Panel:
    images = lucas.images(asked.quick)
    data = replace(images, train_y=images.train_x, test_y=images.test_x)
    shape = images.train_x.shape[1:]
    hidden, code = ((32,), 4) if asked.quick else ((128,), 8)
    build = partial(jr.models.autoencoder, shape, hidden=hidden, code=code)
    task = jr.Task(build, data, loss=jr.measures.squared_error, device=device())
    recipe = recipe_of(20 if asked.quick else 100, 100)
    threshold = float(images.train_x.var(axis=0).mean()) / 2
    rates = {"sgd": (0.3, 1.0), "adam": (0.001, 0.01)}
    some = cells("autoencoder", task, rates, recipe, threshold, asked.quick)
    return Panel(f"autoencoder, bottleneck of {code}", "squared error a pixel", {"": some})


def sequences(asked: Flags) -> list[Panel]:
    data, tokens = characters(asked.quick)
    width = 16 if asked.quick else 32
    nets = {
        "LSTM": partial(jr.models.lstm, tokens, tokens, width=width),
        "transformer": partial(jr.models.transformer, tokens, tokens, LENGTH, width=width),
    }
    rates = {
        "LSTM": {"sgd": (0.3, 1.0), "adam": (0.01, 0.03)},
        "transformer": {"sgd": (0.1, 0.3), "adam": (0.003, 0.01)},
    }
    recipe = recipe_of(2 if asked.quick else 50, 100)
    return [
        Panel(
            f"{name}, next character",
            "nats",
            {"": cells(name.lower(), jr.Task(build, data, device=device()), rates[name], recipe,
                       TRAINED["text"], asked.quick)},
        )
        for name, build in nets.items()
    ]  # fmt: skip


def residual(asked: Flags) -> list[Panel]:
    data = small_images(asked.quick)
    epochs, width = (2, 4) if asked.quick else (80, 8)
    rates = {"sgd": (0.03, 0.1), "adam": (0.003, 0.01)}

    def group(kind: str, identity: bool = False) -> list[lucas.Cell]:
        build = partial(
            jr.models.resnet, data.train_x.shape[1:], 10, (1, 1, 1), width, kind, identity
        )
        name = f"residual-{kind}{'-identity' if identity else ''}"
        task = jr.Task(build, data, device=device())
        return cells(name, task, rates, recipe_of(epochs, 32), TRAINED["images"], asked.quick)

    pair = {"none": "no normalisation", "batch": "BatchNorm"}
    return [
        Panel(
            "residual network", "nats", {name: group(kind) for kind, name in pair.items()}
        ),
        Panel(
            IDENTITY,
            "nats",
            {name: group(kind, identity=True) for kind, name in pair.items()}
            | {"Fixup": group("fixup")},
        ),
    ]  # fmt: skip


def recipe_of(epochs: int, batch: int) -> jr.Recipe:
    return jr.Recipe(epochs, batch_size=batch, record_every=0, record_early=False)


def characters(quick: bool) -> tuple[jr.Dataset, int]:
    """Cut a text into windows of characters with the next one as target."""
    names = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
    text = " ".join(getattr(datasets, f"load_{name}")().DESCR.lower() for name in names)
    alphabet = {letter: place for place, letter in enumerate(sorted(set(text)))}
    codes = np.array([alphabet[letter] for letter in text])
    windows = np.lib.stride_tricks.sliding_window_view(codes, LENGTH + 1)
    cut = int(0.8 * len(windows))
    rng = np.random.default_rng(0)
    train, test = (200, 100) if quick else (1000, 300)
    parts = windows[:cut][rng.permutation(cut)[:train]], windows[cut + LENGTH :][:test]
    (train_x, train_y), (test_x, test_y) = ((part[:, :-1], part[:, -1]) for part in parts)
    history = (f"{', '.join(names)}: descriptions, {train} and {test} windows of {LENGTH}",)
    return jr.Dataset(train_x, train_y, test_x, test_y, history=history), len(alphabet)


def small_images(quick: bool) -> jr.Dataset:
    """Take 256 images of CIFAR-10 at half their size; quickly, digits."""
    if quick:
        return jr.data.digits().subset(100, 50)
    data = jr.data.load("cifar10").subset(256, 100)
    halves = {
        name: getattr(data, name).reshape(-1, 3, 16, 2, 16, 2).mean((3, 5)).astype(np.float32)
        for name in ("train_x", "test_x")
    }
    return replace(data, **halves, history=(*data.history, "2x2 means"))


def judge(tables: Mapping[tuple[str, str], pd.DataFrame]) -> list[dict[str, Any]]:
    kept = {key: some[some["trained"]] for key, some in tables.items()}
    deltas = {key: lucas.rises(some) for key, some in kept.items()}
    claims = []
    for panel in dict.fromkeys(panel for panel, name in tables if name == "BatchNorm"):
        more, fewer = deltas[panel, "BatchNorm"], deltas[panel, "no normalisation"]
        claim = f"BatchNorm raises min Delta, {panel}"
        claims.append(lucas.larger("interpolation-H3", claim, more, fewer))
    for name in ("BatchNorm", "no normalisation"):
        usual, identity = (deltas[panel, name] for panel in ("residual network", IDENTITY))
        claim = f"starting as the identity lowers min Delta of residual networks, {name}"
        claims.append(lucas.larger("interpolation-H3", claim, usual, identity))
    every = pd.concat(kept.values())
    for claim, column, more in (
        ("the larger of two learning rates has larger min Delta, all panels", "faster", True),
        ("Adam has larger min Delta than SGD, all panels", "optimiser", "adam"),
    ):
        inside = every[column] == more
        groups = (lucas.rises(every[side]) for side in (inside, ~inside))
        claims.append(lucas.larger("interpolation-H1", claim, *groups))
    return claims


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
    panels: Sequence[Panel],
    tables: Mapping[tuple[str, str], pd.DataFrame],
    claims: list[dict[str, Any]],
) -> Figure:
    figure = Figure(figsize=(15.5, 7.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[3.4, 1.2])
    for ax, panel in zip(left.subplots(2, 3).ravel(), panels, strict=True):
        curves(ax, panel, tables)
    bars(right.subplots(), tables)
    figure.suptitle(headline(tables, claims))
    every = pd.concat(tables.values())
    figure.supxlabel(
        f"n = {len(every)} networks, {every['seed'].max() + 1:.0f} seeds x "
        "2 learning rates x SGD (momentum .9) and Adam; "
        f"{'digits' if asked.quick else '1,000 images of Fashion-MNIST, 256 of CIFAR-10 at 16x16'}"
        f", 1,000 windows of {LENGTH} characters; thin: networks, thick: those that rise by more "
        "than 1e-3; only networks that trained (final training loss at most "
        f"{lucas.FITTED:g}, {TRAINED['text']:g} for text, {TRAINED['images']:g} for residual "
        "networks, half the pixel variance for the autoencoder); BatchNorm scored with "
        "statistics estimated anew",
        fontsize=8,
        wrap=True,
    )
    return figure


def curves(ax: Axes, panel: Panel, tables: Mapping[tuple[str, str], pd.DataFrame]) -> None:
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


if __name__ == "__main__":
    main()
