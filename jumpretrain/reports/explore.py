"""Write what a study found: figures, tables, everything to redo it, and a page to look at."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from jumpretrain import plots
from jumpretrain.comparison.compare import Comparison
from jumpretrain.comparison.describe import thinned_rips
from jumpretrain.embedding.embed import Embedding, embed
from jumpretrain.plots import canvas, curves, sheets
from jumpretrain.reports.files import write_figures, write_tables
from jumpretrain.reports.page import Picture, interactive, render
from jumpretrain.storage import folders
from jumpretrain.studies.explore import Findings, Network, Study
from jumpretrain.topology.diagrams import Diagrams
from jumpretrain.topology.homology import sublevel

__all__ = ["write_report"]

FILES = {
    "comparison.csv": "one row a statistic and probe",
    "statistics.csv": "one row a network",
    "points.csv": "one row a state that was recorded, with its metrics and its place in the plane",
    "provenance.json": "every choice, the versions of all packages, and what each network was",
}
PACKAGES = (
    *("graphtools", "matplotlib", "numpy", "pandas", "persim", "phate", "plotly", "ripser"),
    *("scikit-learn", "scipy", "torch"),
)


@canvas.standard_style()
def write_report(findings: Findings, folder: str | Path, progress: bool = True) -> Path:
    """Write figures, tables, provenance and one self-contained page into a folder.

    Args:
        findings: What `explore` returned.
        folder: Where to; files of the same names are replaced, each in one step.
        progress: Whether to show a bar.

    Returns:
        The path of `index.html`.
    """
    folder, shown = folders.located(folder), _shown(findings)
    quiet = not progress
    showcases = {
        name: _showcase(findings.study, network)
        for name, network in tqdm(shown.items(), "embedding with the optimum", disable=quiet)
    }
    count = 4 + 2 * len(findings.comparisons)
    drawing = _pictures(findings, shown, showcases)
    pictures = list(tqdm(drawing, "drawing", total=count, disable=quiet))
    planes = {
        name: interactive(showcases[name].joined, network.trajectories.jumps())
        for name, network in shown.items()
    }
    page, content = folder / "index.html", render(findings, pictures, planes, FILES)
    with folders.lock(folder):
        write_tables(folder, _tables(findings))
        folders.write_sealed(folder / "provenance.json", _provenance(findings))
        write_figures(folder, ((picture.name, picture.png) for picture in pictures))
        folders.write_bytes(page, content.encode())
    return page


def _shown(findings: Findings) -> dict[str, Network]:
    """Take the first network of each group by the first probe.

    Returns:
        The networks by name.
    """
    probe = findings.networks[0].probe
    first: dict[str, Network] = {}
    for network in findings.networks:
        if network.probe == probe:
            first.setdefault(network.group, network)
    return {f"{network.group} {network.seed}": network for network in first.values()}


def _showcase(study: Study, network: Network) -> sheets.Showcase:
    jumps = network.trajectories.jumps()
    with_optimum = study.distance != "cosine" or study.centre != "optimum"
    joined = embed(
        jumps,
        metric=study.distance,
        centre=study.centre,
        knn=study.knn,
        seed=study.seed,
        optimum=with_optimum,
    )
    paper = embed(jumps, connect=None, seed=study.seed, optimum=True)
    return sheets.Showcase(paper, joined, jumps.values(study.metric, with_optimum))


def _pictures(
    findings: Findings, shown: Mapping[str, Network], showcases: Mapping[str, sheets.Showcase]
) -> Iterator[Picture]:
    study = findings.study
    yield _trees(shown)
    for probe, comparison in findings.comparisons.items():
        yield _forest(probe, comparison)
    yield _trajectories(study, shown, showcases)
    yield _epochs(study, shown)
    yield _persistence(study, shown)
    for probe in findings.comparisons:
        yield _networks(findings, probe)


def _trees(shown: Mapping[str, Network]) -> Picture:
    first = {name: network.saddles[0] for name, network in shown.items()}
    over = {
        name: found
        for name, network in shown.items()
        for found in network.saddles[2:]
        if found.metric == "train_loss"
    }
    return Picture(
        "saddles",
        "How deep the basins are in which runs end: measured saddles of the training loss",
        "Each line is one run's end, from its loss up to where its basin meets another; the star "
        "is the optimum. Long lines are barriers, on straight segments between states. Below: how "
        "high ways from snapshots back to the optimum climb, straight and at best.",
        canvas.png(sheets.trees(first, over)),
    )


def _forest(probe: str, comparison: Comparison) -> Picture:
    return Picture(
        f"comparison-{probe}",
        f"How far apart the groups are (retrained by the {probe} recipe)",
        "Each line is one statistic chosen beforehand: effect and 95 % interval over networks. "
        "Filled: the corrected p is .05 or less.",
        canvas.png(plots.comparison(comparison).figure),
    )


def _trajectories(
    study: Study, shown: Mapping[str, Network], showcases: Mapping[str, sheets.Showcase]
) -> Picture:
    name, unit = _measured(study, shown)
    return Picture(
        "trajectories",
        "The first network of each group: by the paper's settings, joined, and by loss",
        "Left: pieces of the neighbour graph left apart, as in the paper; how they lie to each "
        "other means nothing. Middle: joined by the spanning tree. Right: the same, coloured by "
        f"{name}. Colours fade with the epoch; large markers are the jumps.",
        canvas.png(sheets.showcases(showcases, f"{name} ({unit})" if unit else name)),
    )


def _epochs(study: Study, shown: Mapping[str, Network]) -> Picture:
    rows = {name: network.trajectories for name, network in shown.items()}
    split, _, kind = study.metric.partition("_")
    other = f"{'train' if split == 'test' else 'test'}_{kind}"
    recorded = next(iter(rows.values())).metrics
    return Picture(
        "epochs",
        "What retraining does to the loss, and to the distance from the optimum",
        "Dashed black: retraining without a jump, the control (its distance is in units of the "
        "shortest jump). The first epoch is spread out.",
        canvas.png(sheets.over_time(rows, [m for m in (other, study.metric) if m in recorded])),
    )


def _persistence(study: Study, shown: Mapping[str, Network]) -> Picture:
    name, unit = _measured(study, shown)
    rows = {label: _diagrams(study, network) for label, network in shown.items()}
    choices = (
        f"valleys: {study.k} nearest neighbours by potential distance, connect {study.connect}; "
        "Vietoris-Rips: potential distances, snapshots evenly thinned to about 256 points"
    )
    return Picture(
        "persistence",
        f"Valleys of the {name}, and holes among the points",
        "Far above the diagonal is a deep valley (left) or a lasting gap (right). Triangles on "
        "the dashed line never die.",
        canvas.png(sheets.diagrams(rows, name, unit, choices)),
    )


def _networks(findings: Findings, probe: str) -> Picture:
    rows: dict[str, dict[int, Embedding]] = {}
    for network in findings.networks:
        if network.probe == probe:
            rows.setdefault(network.group, {})[network.seed] = network.embedding
    return Picture(
        f"networks-{probe}",
        f"Every network (retrained by the {probe} recipe)",
        "One row a group, one panel a network: what all of a row share is the group's, the rest "
        "is one network's.",
        canvas.png(sheets.networks(rows)),
    )


def _measured(study: Study, shown: Mapping[str, Network]) -> tuple[str, str]:
    unit = curves.unit(next(iter(shown.values())).trajectories, study.metric)
    return study.metric.replace("_", " "), unit


def _diagrams(study: Study, network: Network) -> tuple[Diagrams, Diagrams]:
    graph = network.embedding.graph(study.k, study.connect)
    jumps = network.trajectories.jumps()
    values = jumps.values(study.metric)
    return sublevel(values, graph), thinned_rips(jumps, network.embedding)


def _tables(findings: Findings) -> dict[str, pd.DataFrame]:
    compared = [
        comparison.frame().assign(probe=probe)
        for probe, comparison in findings.comparisons.items()
    ]
    return {
        "comparison.csv": _first(pd.concat(compared), "probe"),
        "statistics.csv": pd.DataFrame([
            _name(network) | network.statistics for network in findings.networks
        ]),
        "points.csv": pd.concat([_points(network) for network in findings.networks]),
    }


def _first(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table[[column, *table.columns.drop(column)]]


def _name(network: Network) -> dict[str, Any]:
    return {"probe": network.probe, "group": network.group, "seed": network.seed}


def _points(network: Network) -> pd.DataFrame:
    """Set every state's place in the plane beside its metrics; controls have none.

    Returns:
        One row a point.
    """
    table = network.trajectories.frame()
    placed = (table["step_size"] > 0) & (table["status"] == "ok")
    coordinates = network.embedding.coordinates
    plane = np.full((len(table), coordinates.shape[1]), np.nan)
    plane[placed] = coordinates
    columns = {f"x{axis + 1}": plane[:, axis] for axis in range(plane.shape[1])}
    return pd.DataFrame(_name(network), index=table.index).join(table.assign(**columns))


def _provenance(findings: Findings) -> dict[str, Any]:
    return {
        "study": asdict(findings.study),
        "seconds": findings.seconds,
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("jumpretrain", *PACKAGES)},
        "comparisons": {
            probe: dict(comparison.provenance) | {"smallest_p": comparison.smallest_p}
            for probe, comparison in findings.comparisons.items()
        },
        "networks": [
            _name(network)
            | {
                "optimum": dict(network.trajectories.optimum_metrics),
                "status": pd.Series(network.trajectories.status).value_counts().to_dict(),
                "sampling": dict(network.trajectories.provenance),
                "embedding": network.embedding.provenance,
                "components": network.embedding.components,
                "diffusion_time": network.embedding.diffusion_time,
            }
            for network in findings.networks
        ],
    }
