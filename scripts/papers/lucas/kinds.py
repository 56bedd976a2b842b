"""Kinds of network whose paths are drawn together, and the cells of each.

Fully connected classifiers, an autoencoder, models of the next character, and residual networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from evidence.figure import Flags, device
from papers.lucas import networks as lucas
from sklearn import datasets

import jumpretrain as jr

IDENTITY = "residual network started as the identity"
ENOUGH = 20
"""Trained networks that a group shall have."""
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


def panels(asked: Flags) -> list[Panel]:
    """Describe all networks, with more seeds where too few train.

    Returns:
        One panel a kind.
    """
    return widened(
        asked, [classifiers(asked), autoencoders(asked), *sequences(asked), *residual(asked)]
    )


def of(table: pd.DataFrame, some: Sequence[lucas.Cell]) -> pd.DataFrame:
    return table[table["cell"].isin([cell.name for cell in some])]


def widened(asked: Flags, panels: Sequence[Panel]) -> list[Panel]:
    """Give the cells of groups of which too few networks trained as many seeds again."""
    cells = [cell for panel in panels for some in panel.groups.values() for cell in some]
    table = lucas.measured(asked, cells[::-1])

    def wider(some: Sequence[lucas.Cell]) -> Sequence[lucas.Cell]:
        if asked.quick or of(table, some)["trained"].sum() >= ENOUGH:
            return some
        more = (replace(cell, name=f"{cell.name}-more", first=cell.seeds) for cell in some)
        return [*some, *more]

    return [
        replace(panel, groups={name: wider(some) for name, some in panel.groups.items()})
        for panel in panels
    ]


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
