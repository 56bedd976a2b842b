"""Write what a study found: tables and figures."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from jumpretrain import plots
from jumpretrain.paths.path import RISE, Path
from jumpretrain.plots import canvas
from jumpretrain.reports.files import write_figures, write_tables
from jumpretrain.storage import folders
from jumpretrain.studies.interpolate import InterpolationStudy, MeasuredPath

__all__ = ["overview", "write_report"]

MEDIANS = (
    *(
        "train_barrier_above_ends",
        "train_error_plateau_end",
        "train_loss_plateau_end",
        "test_gauss_length_mean",
    ),
    *("weight_distance_relative", "end_train_loss", "end_test_loss", "end_test_accuracy"),
)
FIGURES = (
    "train_loss test_loss train_error test_error train_classes test_classes layers random".split()
)


def overview(measured: Sequence[MeasuredPath]) -> pd.DataFrame:
    """Sum up the paths of each kind over the networks.

    Args:
        measured: Paths, from `interpolate_networks`.

    Returns:
        One row a kind and layer: how many paths, how many on which the training loss never rises
        by more than 0.001, the largest min Delta, and medians of the rest.
    """
    table = _summary(measured)
    rows = []
    for (kind, layer), some in table.groupby(["kind", "layer"], sort=False):
        rows.append({
            "kind": kind,
            "layer": layer,
            "paths": len(some),
            "paths_that_never_rise": int((some["train_min_delta"] <= RISE).sum()),
            "largest_min_delta": some["train_min_delta"].max(),
            **some[[n for n in MEDIANS if n in some]].median().to_dict(),
        })
    return pd.DataFrame(rows)


def _summary(measured: Sequence[MeasuredPath]) -> pd.DataFrame:
    return pd.DataFrame([_whose(t) | t.numbers for t in measured]).astype({"draw": "Int64"})


def _whose(measured: MeasuredPath) -> dict[str, Any]:
    biases = measured.path.provenance["biases"]
    names = {"seed": measured.seed, "kind": measured.kind, "biases": biases}
    return names | {"layer": measured.layer, "draw": measured.draw}


@canvas.standard_style()
def write_report(
    study: InterpolationStudy, measured: Sequence[MeasuredPath], folder: str | pathlib.Path
) -> pathlib.Path:
    """Write paths.csv, summary.csv, provenance.json and figures into a folder.

    Args:
        study: What was asked for.
        measured: Paths, from `interpolate_networks`.
        folder: Where to; files of the same names are replaced, each in one step, and figures of
            an earlier call that are not drawn again are removed.

    Returns:
        The folder of the figures.
    """
    folder = folders.located(folder)
    points = [
        pd.DataFrame(_whose(t) | {"alpha": t.path.alphas} | dict(t.path.metrics)) for t in measured
    ]
    tables = {
        "paths.csv": pd.concat(points).astype({"draw": "Int64"}),
        "summary.csv": _summary(measured),
    }
    whole = {"survey": asdict(study), "first path": measured[0].path.provenance}
    with folders.lock(folder):
        write_tables(folder, tables)
        folders.write_sealed(folder / "provenance.json", whole)
        return write_figures(folder, _figures(study, measured), FIGURES)


def _figures(
    study: InterpolationStudy, measured: Sequence[MeasuredPath]
) -> Iterator[tuple[str, bytes]]:
    kinds = {
        kind: [t.path for t in measured if t.kind == kind] for kind in (*study.biases, "random")
    }
    unrelated, first = kinds.pop("random"), measured[0].path
    for metric in ("train_loss", "test_loss", "train_error", "test_error"):
        if metric in first.metrics:
            yield metric, canvas.png(plots.paths(kinds, metric).figure)
    for split in first.class_error or ():
        ax = canvas.axes(None, f"network {measured[0].seed}, biases {measured[0].kind}")
        yield f"{split}_classes", canvas.png(plots.classes(first, ax, split).figure)
    names = dict.fromkeys(t.layer for t in measured if t.kind == "layer")
    if names:
        layers = {name: _mean([t.path for t in measured if t.layer == name]) for name in names}
        count = len({t.seed for t in measured})
        ax = canvas.axes(None, f"mean over {count} networks, all other layers at the end")
        layers["all"] = _mean(kinds[study.biases[0]])
        yield "layers", canvas.png(plots.layers(layers, ax=ax).figure)
    if unrelated:
        starts = {"own start": kinds[study.biases[0]], "unrelated starts": unrelated}
        yield "random", canvas.png(plots.spread(starts).figure)


def _mean(some: Sequence[Path]) -> Path:
    metrics = {n: np.mean([path.metrics[n] for path in some], axis=0) for n in some[0].metrics}
    return replace(some[0], metrics=metrics)
