"""Write one self-contained page: it loads nothing, so it works offline and can be mailed."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jumpretrain.comparison.compare import FAMILY, Comparison
from jumpretrain.embedding.embed import Embedding
from jumpretrain.plots import contrasts, scatters
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.studies.explore import Findings

__all__ = ["Picture", "interactive", "render"]

LEVEL = 0.05


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
    study, page = findings.study, _templates().get_template("page.html")
    return page.render(
        title=f"Jump and retrain: {' against '.join(study.groups)}",
        summary=_summary(findings),
        comparisons=[_compared(*entry) for entry in findings.comparisons.items()],
        pictures=pictures,
        planes=[(name, _plot(k, figure)) for k, (name, figure) in enumerate(planes.items())],
        study=asdict(study),
        everything=json.dumps(asdict(study), indent=1, default=str),
        files=files,
    )


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("jumpretrain.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"base64": _base64, "number": _number}
    return templates


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.3g}"


def _summary(findings: Findings) -> str:
    study = findings.study
    what = study.task or f"{study.model} on {study.data}"
    sizes = ", ".join(f"{size:g}" for size in study.step_sizes)
    return (
        f"{what}; {len(findings.networks)} networks sampled and described; {study.directions} "
        f"directions, step sizes {sizes}; {findings.seconds / 60:.1f} minutes"
    )


def _compared(probe: str, comparison: Comparison) -> dict[str, Any]:
    table = comparison.frame()
    table["about"] = table["statistic"].map(FAMILY).fillna("")
    family, others = table[table["in_family"]], table[~table["in_family"]]
    return {
        "probe": probe,
        "finding": contrasts.finding(comparison),
        "groups": list(comparison.groups),
        "effect": "Cliff's delta" if len(comparison.groups) == 2 else "eta squared",
        "family": family.to_dict("records"),
        "others": others.to_dict("records"),
        "differences": family[family["p_holm"] <= LEVEL].to_dict("records"),
        "smallest_p": comparison.smallest_p,
        "smallest_corrected_p": min(1.0, len(family) * comparison.smallest_p),
    }


def _plot(index: int, figure: go.Figure) -> Markup:
    return Markup(
        plotly.io.to_html(
            figure,
            full_html=False,
            include_plotlyjs=index == 0,
            div_id=f"plane-{index}",
            config={"displaylogo": False, "responsive": True},
        )
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
