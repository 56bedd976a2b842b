"""A report says what the findings say, needs nothing but itself, and trusts no string."""

import base64
import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from support import cases

from jumpretrain.comparison.compare import compare, describe
from jumpretrain.embedding.embed import embed
from jumpretrain.reports import page
from jumpretrain.reports.explore import write_report
from jumpretrain.storage import folders
from jumpretrain.studies.explore import Findings, Network, Study

EVIL = """<script>alert('x') & "co\""""
GROUPS = {"plain": 0.7, EVIL: 0.9}
K = 5


def network(group, seed, probe="common"):
    trajectories = cases.arms(seed=seed, decay=GROUPS[group])
    embedding = embed(trajectories.jumps())
    statistics = describe(trajectories, embedding, k=K)
    found = (cases.planted_saddles(),) * 4
    return Network(group, seed, probe, trajectories, embedding, statistics, found)


def judged(networks, study):
    values = {g: [n.statistics for n in networks if n.group == g] for g in study.groups}
    return Findings(study, tuple(networks), {"common": compare(values)}, 61.0)


@pytest.fixture(scope="module")
def findings():
    networks = [network(group, seed) for group in GROUPS for seed in range(2)]
    return judged(networks, Study(groups=tuple(GROUPS), seeds=2, directions=3, k=K))


@pytest.fixture(scope="module")
def folder(findings, tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    folders.write_json(place / "study.json", {"of": "the study"})
    assert write_report(findings, place, progress=False) == place / "index.html"
    return place


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "index.html").read_text()


@pytest.fixture(scope="module")
def markup(html):
    """The page without what scripts and pictures hold."""
    text = re.sub(r"<script>.*?</script>", "<script></script>", html, flags=re.DOTALL)
    return re.sub(r"data:image/png;base64,[^\"]*", "data:", text)


def test_the_page_loads_nothing_from_anywhere(markup):
    assert "http" not in markup
    assert "@import" not in markup
    assert "url(" not in markup
    assert "<link" not in markup
    assert set(re.findall(r"src=\"([^\"]*)\"", markup)) == {"data:"}
    assert not re.findall(r"<script[^>]+src", markup)


def test_plotly_is_there_once_and_draws_one_plane_a_group(html):
    assert len(re.findall(r"\* plotly\.js v", html)) == 1
    assert len(html) < 12e6
    assert html.count("Plotly.newPlot(") >= 2
    assert all(f'<div id="plane-{index}"' in html for index in range(2))


def test_strings_of_the_user_are_escaped(html, markup):
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(&#39;x&#39;) &amp; &#34;co&#34;" in markup


class Tags(HTMLParser):
    """The tags of a page with their attributes' names, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data):
        self.text += data


def test_no_name_makes_a_tag_and_each_is_read_as_it_was():
    def tagged(name):
        groups = {name: [{name: 1.0}] * 4, "b": [{name: float(k)} for k in range(4)]}
        study = Study(groups=tuple(groups), task=f"module:{name}")
        picture = page.Picture(name, name, name, b"png")
        told = Findings(study, (), {"common": compare(groups)}, 1.0)
        plane = go.Figure()
        return Tags(page.render(told, [picture], {name: plane}, {name: name}))

    name = """<b>&"'"""
    odd, plain = tagged(name), tagged("a")
    assert odd.tags == plain.tags
    assert odd.text.count(name) >= 10


def test_everything_that_is_linked_lies_beside_the_page(folder, markup):
    links = re.findall(r"href=\"([^\"]*)\"", markup)
    assert {"comparison.csv", "statistics.csv", "points.csv", "provenance.json"} < set(links)
    assert all((folder / link).is_file() for link in links)


def test_the_pictures_in_the_page_are_the_files(folder, html):
    inside = [base64.b64decode(x) for x in re.findall(r"<img[^>]+base64,([^\"]*)\"", html)]
    names = re.findall(r"<figure id=\"([^\"]*)\"", html)
    assert names == [
        "saddles",
        "comparison-common",
        "trajectories",
        "epochs",
        "persistence",
        "networks-common",
    ]
    for name, content in zip(names, inside, strict=True):
        assert content.startswith(b"\x89PNG")
        assert (folder / "figures" / f"{name}.png").read_bytes() == content
    assert len(list((folder / "figures").iterdir())) == len(names)


def test_points_keep_their_values_and_their_places(findings, folder):
    table = pd.read_csv(folder / "points.csv")
    assert len(table) == sum(len(n.trajectories.labels()) for n in findings.networks)
    for one in findings.networks:
        rows = table[(table["group"] == one.group) & (table["seed"] == one.seed)]
        for name in one.trajectories.metrics:
            assert rows[name].to_numpy() == pytest.approx(one.trajectories.values(name), rel=1e-15)
        placed = rows[["x1", "x2"]].dropna()
        assert placed.to_numpy() == pytest.approx(one.embedding.coordinates, rel=1e-15)
        jumps = rows.loc[placed.index]
        assert (rows.drop(placed.index)["step_size"] == 0).all()
        assert jumps["epoch"].tolist() == one.embedding.labels["epoch"].tolist()
        assert jumps["step_size"].tolist() == one.embedding.labels["step_size"].tolist()


def test_tables_hold_every_network_and_every_statistic(findings, folder):
    statistics = pd.read_csv(folder / "statistics.csv")
    assert statistics[["group", "seed"]].to_numpy().tolist() == [
        [n.group, n.seed] for n in findings.networks
    ]
    for row, one in zip(statistics.to_dict("records"), findings.networks, strict=True):
        assert {name: row[name] for name in one.statistics} == pytest.approx(one.statistics)
    compared = pd.read_csv(folder / "comparison.csv")
    frame = findings.comparisons["common"].frame()
    assert compared["statistic"].tolist() == frame["statistic"].tolist()
    assert compared["effect"].to_numpy() == pytest.approx(frame["effect"].to_numpy())
    assert set(compared["probe"]) == {"common"}


def test_the_page_tells_what_the_comparison_found(findings, markup):
    family = findings.comparisons["common"].frame().query("in_family")
    assert f"0 of {len(family)} statistics differ" in markup
    assert all(f"<td>{name}<small>" in markup for name in family["statistic"])
    assert "too few networks" in markup


def test_provenance_tells_how_to_do_it_again(findings, folder):
    told = json.loads((folder / "provenance.json").read_text())
    assert told["study"] == json.loads(json.dumps(asdict(findings.study)))
    assert {"python", "jumpretrain", "torch", "phate", "ripser"} <= set(told["versions"])
    for entry, one in zip(told["networks"], findings.networks, strict=True):
        assert (entry["group"], entry["seed"]) == (one.group, one.seed)
        assert entry["sampling"] == one.trajectories.provenance
        assert entry["embedding"]["knn"] == one.embedding.provenance["knn"]
        assert entry["status"] == {"ok": len(one.trajectories)}


def test_the_study_that_lies_in_the_folder_is_left_alone(folder):
    assert folders.read_json(folder / "study.json") == {"of": "the study"}
    assert not list(folder.rglob("*.part"))


@pytest.mark.slow
def test_a_second_report_replaces_the_first_with_equal_bytes(findings, folder):
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_report(findings, folder, progress=False)
    assert {path: path.read_bytes() for path in kept} == kept


def test_diverged_runs_lone_metrics_and_angles_at_the_optimum_are_told_too(findings, tmp_path):
    def odd(one):
        whole = one.trajectories
        status = np.array(["ok"] * (len(whole) - 1) + ["diverged"])
        loss = {"test_loss": whole.metrics["test_loss"]}
        broken = replace(whole, status=status, metrics=loss)
        return replace(one, trajectories=broken, embedding=embed(broken.jumps()))

    study = replace(findings.study, centre="optimum")
    networks = tuple(map(odd, findings.networks))
    write_report(replace(findings, networks=networks, study=study), tmp_path, progress=False)
    table = pd.read_csv(tmp_path / "points.csv")
    assert table.loc[table["status"] == "diverged", "x1"].isna().all()
    placed = (table["step_size"] > 0) & (table["status"] == "ok")
    assert table.loc[placed, "x1"].notna().all()
    told = folders.read_json(tmp_path / "provenance.json")
    assert told["networks"][0]["status"] == {"ok": 8, "diverged": 1}


def test_three_groups_get_a_table_of_their_own(findings):
    rng = np.random.default_rng(0)
    names = ("a", "b", "c")
    groups = {
        name: [{"depth": rng.normal() + 9 * i} for _ in range(4)] for i, name in enumerate(names)
    }
    study = Study(groups=names, noise=(0, 0.5, 1), seeds=4)
    three = Findings(study, (), {"own": compare(groups)}, 1.0)
    text = " ".join(page.render(three, [], {}, {}).split())
    assert "a against b against c" in text
    assert "<th>mean, c</th>" in text
    assert "eta squared, 95 % interval" in text
    assert "Retrained by each group's own recipe" in text
    assert "1 of 1 statistics differ between the groups" in text
    assert "<li>depth: " in text


def test_a_point_tells_what_it_is_under_the_pointer(findings):
    one = findings.networks[0]
    jumps = one.trajectories.jumps()
    embedding = embed(jumps, optimum=True)
    figure = page.interactive(embedding, jumps)
    assert [trace.name for trace in figure.data] == [
        *(f"direction {d}" for d in range(3)),
        "optimum",
    ]
    assert sum(len(trace.x) for trace in figure.data) == len(embedding.coordinates)
    first = figure.data[1]
    rows = (embedding.labels["direction"] == 1).to_numpy()
    assert list(first.x) == pytest.approx(embedding.coordinates[rows, 0], abs=1e-6)
    values = jumps.values("test_loss", optimum=True)[rows]
    for text, value in zip(first.text, values, strict=True):
        assert "direction 1, jump of" in text
        assert f"test loss {value:.4g}" in text
    assert figure.data[-1].text[0].startswith("the optimum")


def test_an_unwritable_folder_is_refused(findings, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ValueError, match="folder that can be written"):
        write_report(findings, tmp_path / "taken", progress=False)
