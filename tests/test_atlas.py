"""Tables hold every path once, and figures are those of what was asked for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jumpretrain.atlas import overview, write_atlas
from jumpretrain.paths import Path
from jumpretrain.survey import Survey, Traced

ALPHAS = np.linspace(0, 1, 4)
NUMBERS = {"min_delta": 0.0, "excess": 0.1, "plateau_error": 0.2, "final_test_loss": 1.0}


def path(loss, labelled=True):
    metrics = {"train_loss": np.array(loss), "test_loss": np.array(loss) + 0.1}
    error = np.linspace(0.9, 0, 12).reshape(4, 3) if labelled else None
    if labelled:
        metrics["train_error"] = error.mean(axis=1)
    provenance = {"task": {"measures": "loss=cross_entropy"}, "biases": "linear", "others": "end"}
    return Path(ALPHAS, metrics, error, provenance=provenance)


def traced(seeds=(0, 1), labelled=True):
    found = []
    for seed in seeds:
        start = 2.0 + seed
        for kind, layer, draw, rise in (
            ("linear", "", None, 0.0),
            ("zero", "", None, seed),
            ("layer", "fc1", None, 0.2),
            ("layer", "fc2", None, 0.0),
            ("random", "", 0, 1.5),
            ("random", "", 1, 0.5),
        ):
            numbers = {**NUMBERS, "min_delta": rise, "excess": 0.1 * seed}
            line = path([start, 1.0, 1.0 + rise, 0.5], labelled)
            found.append(Traced(seed, kind, layer, draw, line, numbers))
    return found


SURVEY = Survey(seeds=2, alphas=4, biases=("linear", "zero"), layerwise=True, random=2)


def test_the_overview_counts_paths_without_a_rise_and_takes_medians():
    table = overview(traced((0, 1, 7))).set_index(["kind", "layer"])
    assert table["paths"].to_dict() == {
        ("linear", ""): 3, ("zero", ""): 3, ("layer", "fc1"): 3, ("layer", "fc2"): 3,
        ("random", ""): 6,
    }  # fmt: skip
    assert table["never_rise"].tolist() == [3, 1, 0, 3, 0]
    assert table["largest_min_delta"].tolist() == [0, 7, 0.2, 0, 1.5]
    assert table["excess"].tolist() == pytest.approx([0.1] * 5)
    assert "gauss_mean" not in table


def test_a_path_without_numbers_counts_but_is_not_said_to_never_rise():
    lost = [replace(t, numbers={**t.numbers, "min_delta": np.nan}) for t in traced((0,))[:1]]
    row = overview(lost + traced((1,))[:1]).iloc[0]
    assert (row["paths"], row["never_rise"]) == (2, 1)


def test_tables_hold_every_path_and_point_once(tmp_path):
    found = traced()
    write_atlas(SURVEY, found, tmp_path)
    points, rows = pd.read_csv(tmp_path / "paths.csv"), pd.read_csv(tmp_path / "summary.csv")
    assert len(points) == 12 * 4 and len(rows) == 12
    key = ["seed", "kind", "layer", "draw"]
    assert not points.duplicated([*key, "alpha"]).any() and not rows.duplicated(key).any()
    for one in found:
        same = (points["seed"] == one.seed) & (points["kind"] == one.kind)
        same &= points["layer"].fillna("") == one.layer
        same &= points["draw"].fillna(-1) == (-1 if one.draw is None else one.draw)
        assert points.loc[same, "alpha"].tolist() == ALPHAS.tolist()
        np.testing.assert_array_equal(points.loc[same, "test_loss"], one.path.metrics["test_loss"])
    assert rows["min_delta"].tolist() == [one.numbers["min_delta"] for one in found]


@pytest.mark.parametrize(
    ("labelled", "kinds", "names"),
    [
        (True, {"linear"}, {"train_loss", "test_loss", "train_error", "classes"}),
        (False, {"linear", "layer"}, {"train_loss", "test_loss", "layers"}),
        (False, {"linear", "zero", "random"}, {"train_loss", "test_loss", "random"}),
    ],
)
def test_figures_are_those_of_what_was_asked_for(tmp_path, labelled, kinds, names):
    some = [one for one in traced(labelled=labelled) if one.kind in kinds]
    biases = tuple(kind for kind in ("linear", "zero") if kind in kinds)
    folder = write_atlas(replace(SURVEY, biases=biases), some, tmp_path)
    assert {file.stem for file in folder.iterdir()} == names
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in folder.iterdir())


def test_the_same_paths_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_atlas(SURVEY, traced(), tmp_path / name)
    files = [file for file in (tmp_path / "a").rglob("*") if file.is_file()]
    assert len(files) == 3 + 6
    for file in files:
        other = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == other.read_bytes()
