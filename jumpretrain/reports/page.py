"""Write one self-contained page: it loads nothing, so it works offline and can be mailed."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib import resources
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io

from jumpretrain.comparison.compare import FAMILY, Comparison
from jumpretrain.embedding.embed import Embedding
from jumpretrain.plots import contrasts, scatters
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.studies.explore import Findings, Study

__all__ = ["Picture", "interactive", "render"]

LEVEL = 0.05

STYLE = resources.files("jumpretrain.reports").joinpath("page.css").read_text()

READING = (
    "Each network is pushed off its optimum along random directions and retrained. A run is the "
    "train of states that it then passes through.",
    "In the planes, near points are near in the diffusion that the embedding runs on the points. "
    "Axes have no unit, and areas and densities mean nothing.",
    "By the paper's settings the neighbour graph falls into pieces that know nothing of each "
    "other, so how the pieces lie to each other is an artefact. Joined by the spanning tree, it "
    "is one graph.",
    "A bar of the sublevel diagram is a valley of the loss among the sampled points: born at its "
    "floor, dead where it merges with a deeper one. Bars that never die are drawn apart.",
    "Cliff's delta is 1 where every network of the first group exceeds every one of the second, "
    "and 0 where neither does more often.",
)
LIMITS = (
    "The network is the unit of replication, and there are few: no permutation test of these "
    "groups can give a p below the smallest attainable one that is printed, whatever the effect.",
    "The correction runs over the few statistics named beforehand. All others are exploration.",
    "Total persistence grows with the square of the loss's range. What does not survive holding "
    "the range fixed may say no more than that losses were higher; where the groups' ranges do "
    "not overlap, that control extrapolates.",
    "A few directions in a space of this many weights see little of the landscape, and "
    "consecutive snapshots are near by construction: arms alone are no evidence.",
    "All depends on the retraining recipe. Groups that were trained differently are compared by "
    "one common recipe unless it says otherwise.",
)


@dataclass(frozen=True)
class Picture:
    """One figure of the page.

    Attributes:
        name: Its file is `figures/<name>.png`.
        heading: What it shows.
        text: How to read it.
        png: The content of the file.
    """

    name: str
    heading: str
    text: str
    png: bytes


def render(
    findings: Findings,
    pictures: Sequence[Picture],
    planes: Mapping[str, go.Figure],
    files: Mapping[str, str],
) -> str:
    """Write the page.

    Args:
        findings: What to tell.
        pictures: Figures, in order.
        planes: Interactive embeddings by the name of their network.
        files: What lies beside the page: a description of each by name.

    Returns:
        HTML that loads nothing from anywhere.
    """
    title = f"Jump and retrain: {' against '.join(findings.study.groups)}"
    everything = json.dumps(asdict(findings.study), indent=1, default=str)
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_summary(findings))}</p>',
        *(_compared(probe, comparison) for probe, comparison in findings.comparisons.items()),
        "<h2>Figures</h2>",
        *map(_figure, pictures),
        *_planes(planes),
        "<h2>How to read it</h2>",
        _list(map(escape, READING)),
        "<h2>What it cannot say</h2>",
        _list(map(escape, LIMITS)),
        "<h2>Choices</h2>",
        _list(map(escape, _choices(findings.study))),
        f"<details><summary>All choices</summary><pre>{escape(everything)}</pre></details>",
        "<h2>Files</h2>",
        _list(
            f'<a href="{escape(name)}">{escape(name)}</a>: {escape(text)}'
            for name, text in files.items()
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def interactive(embedding: Embedding, trajectories: Trajectories) -> go.Figure:
    """Draw an embedding that tells of each point under the pointer.

    Args:
        embedding: The points in the plane.
        trajectories: Those that were embedded.

    Returns:
        A plotly figure with one trace a direction, and the optimum.
    """
    labels = embedding.labels
    optimum = bool((labels["run"] == -1).any())
    table = labels.assign(
        x=embedding.coordinates[:, 0],
        y=embedding.coordinates[:, 1],
        colour=[f"rgb({r:.0f},{g:.0f},{b:.0f})" for r, g, b in 255 * scatters.faded(labels)],
        jump=labels.groupby("run")["epoch"].transform("min") == labels["epoch"],
        text=_hover(labels, trajectories, optimum),
    )
    figure = go.Figure(layout={"template": "none", "hovermode": "closest"})
    for direction, points in table[table["run"] >= 0].groupby("direction"):
        figure.add_trace(_trace(points, f"direction {direction}"))
    if optimum:
        star = {"symbol": "star", "size": 16, "color": "black"}
        figure.add_trace(_trace(table[table["run"] < 0], "optimum").update(marker=star))
    figure.update_layout(
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h"},
        xaxis={"visible": False},
        yaxis={"visible": False, "scaleanchor": "x"},
    )
    return figure


def _hover(labels: pd.DataFrame, trajectories: Trajectories, optimum: bool) -> list[str]:
    lines = [
        f"direction {row.direction}, jump of {row.step_size:g}<br>epoch {row.epoch:.3g}"
        if row.run >= 0
        else "the optimum"
        for row in labels.itertuples()
    ]
    for name in sorted(trajectories.metrics):
        values = trajectories.values(name, optimum)
        label = escape(name.replace("_", " "))
        lines = [f"{a}<br>{label} {v:.4g}" for a, v in zip(lines, values, strict=True)]
    return lines


def _trace(points: pd.DataFrame, name: str) -> go.Scatter:
    return go.Scatter(
        x=points["x"].round(6).tolist(),
        y=points["y"].round(6).tolist(),
        text=points["text"].tolist(),
        mode="markers",
        name=name,
        hovertemplate="%{text}<extra></extra>",
        marker={
            "color": points["colour"].tolist(),
            "size": [11 if jump else 6 for jump in points["jump"]],
            "symbol": ["diamond" if jump else "circle" for jump in points["jump"]],
            "line": {"color": "black", "width": [1 if jump else 0 for jump in points["jump"]]},
        },
    )


def _planes(planes: Mapping[str, go.Figure]) -> Iterable[str]:
    yield "<h2>The joined embeddings, point by point</h2>"
    yield '<p class="soft">Point at a state to read what it is; click a direction to hide it.</p>'
    yield '<div class="pair">'
    for index, (name, figure) in enumerate(planes.items()):
        plot = plotly.io.to_html(
            figure,
            full_html=False,
            include_plotlyjs=index == 0,
            div_id=f"plane-{index}",
            config={"displaylogo": False, "responsive": True},
        )
        yield f'<div><h3>{escape(name)}</h3><div class="plot">{plot}</div></div>'
    yield "</div>"


def _summary(findings: Findings) -> str:
    study = findings.study
    what = study.task or f"{study.model} on {study.data}"
    sizes = ", ".join(f"{size:g}" for size in study.step_sizes)
    return (
        f"{what}; {len(findings.networks)} networks sampled and described; {study.directions} "
        f"directions, step sizes {sizes}; {findings.seconds / 60:.1f} minutes"
    )


def _choices(study: Study) -> Iterable[str]:
    recipes = [("Trained", study.training), ("Retrained", study.retraining)]
    if study.networks:
        yield f"Trained elsewhere: {len(study.networks)} networks read from files."
        del recipes[0]
    for name, recipe in recipes:
        words = ", ".join(f"{key.replace('_', ' ')} {v}" for key, v in asdict(recipe).items())
        yield f"{name} with {words}."
    yield (
        f"Embedded by PHATE: {study.distance} distance, centred on the {study.centre}, "
        f"knn {study.knn}, connect {study.connect}, seed {study.seed}."
    )
    yield (
        f"Filtered by the {study.metric.replace('_', ' ')} on the graph of {study.k} nearest "
        f"neighbours by potential distance, connect {study.connect}."
    )


def _compared(probe: str, comparison: Comparison) -> str:
    table = comparison.frame()
    primary, others = table[table["primary"]], table[~table["primary"]]
    recipe = "one common recipe" if probe == "common" else "each group's own recipe"
    more = (
        f"<details><summary>{len(others)} more statistics, uncorrected</summary>"
        f"{_table(others, comparison)}</details>"
    )
    least = min(1.0, len(primary) * comparison.smallest_p)
    return "\n".join((
        f'<p class="headline">Retrained by {recipe}, {escape(contrasts.finding(comparison))}.</p>',
        _list(map(escape, _differences(primary, comparison))),
        _table(primary, comparison),
        f"<p><small>Smallest attainable p {comparison.smallest_p:.3g}, {least:.3g} once corrected "
        f"over {len(primary)} statistics (Holm); p given range holds the squared range of the "
        "loss fixed.</small></p>",
        more if len(others) else "",
    ))


def _differences(primary: pd.DataFrame, comparison: Comparison) -> Iterable[str]:
    for row in primary[primary["p_holm"] <= LEVEL].to_dict("records"):
        groups = comparison.groups
        means = ", ".join(f"{_number(row[f'mean_{group}'])} for {group}" for group in groups)
        survives = {True: "survives", False: "does not survive"}.get(row["survives_range"])
        rest = f"; {survives} holding the loss's range fixed" if survives else ""
        yield f"{row['statistic'].replace('_', ' ')}: {means} (effect {row['effect']:.2f}{rest})"


def _table(table: pd.DataFrame, comparison: Comparison) -> str:
    groups = list(comparison.groups)
    effect = "Cliff's delta" if len(groups) == 2 else "eta squared"
    names = ["statistic", *(f"mean, {group}" for group in groups), f"{effect}, 95 % interval"]
    names += ["p", "p corrected", "p given range", "survives"]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(_row(row, groups) for row in table.to_dict("records"))
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>'
        "</table></div>"
    )


def _row(row: Mapping[str, Any], groups: Sequence[str]) -> str:
    about = FAMILY.get(row["statistic"], "")
    cells = [
        f"{escape(row['statistic'])}<small>{escape(about)}</small>",
        *(_number(row[f"mean_{group}"]) for group in groups),
        f"{row['effect']:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
        *(_number(row[name]) for name in ("p", "p_holm", "p_given_range")),
        {True: "yes", False: "no"}.get(row["survives_range"], "–"),
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.3g}"


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    return (
        f'<figure id="{escape(picture.name)}"><h3>{escape(picture.heading)}</h3>'
        f'<a href="figures/{escape(picture.name)}.png">'
        f'<img alt="{escape(picture.heading)}" src="data:image/png;base64,{data}"></a>'
        f"<figcaption>{escape(picture.text)}</figcaption></figure>"
    )


def _list(entries: Iterable[str]) -> str:
    lines = "".join(f"<li>{entry}</li>\n" for entry in entries)
    return f"<ul>\n{lines}</ul>" if lines else ""
