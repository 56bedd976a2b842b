"""Write what a connector found: its nodes, tables and figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from jumpretrain.connectivity.connector import Connector
from jumpretrain.reports.files import write_figures, write_tables
from jumpretrain.storage import folders
from jumpretrain.studies.connect import ConnectionStudy

__all__ = ["overview", "write_report"]

FIGURES = "train_loss test_loss train_accuracy test_accuracy deviations label_change".split()


def overview(connector: Connector) -> pd.DataFrame:
    """Sum up a connector beside the straight line or simplex.

    Args:
        connector: From `connect_networks` or `connect`.

    Returns:
        One row a number, with columns `straight` and `connector`: the barrier of the training
        loss, the worst value of each metric, and for curves the length in chords, the mean
        cosine of deviations within halves and across, and the labels that change.
    """
    rows = {"barrier": (connector.linear_barrier, connector.barrier)}
    for name, values in connector.metrics.items():
        which = "smallest" if name.endswith("accuracy") else "largest"
        worst = np.min if which == "smallest" else np.max
        rows[f"{which} {name}"] = (worst(connector.straight_metrics[name]), worst(values))
    if connector.coordinates.shape[1] == 2:
        rows["length in chords"] = (1.0, connector.length_ratio)
        if len(connector.nodes) > 3:
            within, across = connector.half_cosines()
            rows["cosine within a half"] = (np.nan, within)
            rows["cosine across halves"] = (np.nan, across)
        if connector.changed is not None:
            rows["labels changed between the optima"] = (np.nan, connector.changed[-1, 0])
    if connector.changed is not None:
        most = connector.changed.max()
        rows["labels changed at most"] = (np.nan, most)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["straight", "connector"])
    return table.rename_axis("number").reset_index()


def write_report(study: ConnectionStudy, connector: Connector, folder: str | Path) -> Path:
    """Write nodes.safetensors, points.csv, summary.csv, provenance.json and figures.

    Args:
        study: What was asked for.
        connector: From `connect_networks`.
        folder: Where to; files of the same names are replaced, each in one step.

    Returns:
        The folder of the figures.
    """
    from jumpretrain.plots.canvas import standard_style  # seconds, that `--help` need not wait

    folder = folders.located(folder)
    arrays = {name: getattr(connector, name) for name in ("nodes", "shares", "coordinates")}
    tables = {"points.csv": _points(connector), "summary.csv": overview(connector)}
    whole = {"junction": asdict(study), "connector": connector.provenance}
    with folders.lock(folder), standard_style():
        folders.write_arrays(folder / "nodes.safetensors", arrays, connector.provenance)
        write_tables(folder, tables)
        folders.write_sealed(folder / "provenance.json", whole)
        return write_figures(folder, _figures(connector), FIGURES)


def _points(connector: Connector) -> pd.DataFrame:
    corners = range(connector.coordinates.shape[1])
    places = {f"share_{k}": connector.coordinates[:, k] for k in corners}
    changed = connector.changed
    labels = {} if changed is None else {f"labels_changed_{k}": changed[:, k] for k in corners}
    straight = {f"straight_{name}": v for name, v in connector.straight_metrics.items()}
    return pd.DataFrame(
        places | dict(connector.metrics) | straight | {"norm": connector.norms} | labels
    )


def _figures(connector: Connector) -> Iterator[tuple[str, bytes]]:
    from jumpretrain import plots
    from jumpretrain.plots import canvas

    for metric in FIGURES:
        if metric in connector.metrics:
            yield metric, canvas.png(plots.connector(connector, metric).figure)
    if connector.coordinates.shape[1] > 2:
        return
    if len(connector.nodes) > 3:
        yield "deviations", canvas.png(plots.deviations(connector).figure)
    if connector.changed is not None:
        yield "label_change", canvas.png(plots.label_change(connector).figure)
