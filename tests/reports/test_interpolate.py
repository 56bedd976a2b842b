"""Tables hold every path once, and figures are those of what was asked for."""

from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch

import jumpretrain as jr
from jumpretrain.paths.path import Path
from jumpretrain.reports.interpolate import overview, write_report
from jumpretrain.storage import folders
from jumpretrain.studies.interpolate import InterpolationStudy, MeasuredPath, interpolate_networks

ALPHAS = np.linspace(0, 1, 4)
NUMBERS = {
    "train_min_delta": 0.0,
    "train_loss_plateau_end": 0.1,
    "train_error_plateau_end": 0.2,
    "end_test_loss": 1.0,
}


def path(loss, labelled=True, biases="linear"):
    metrics = {"train_loss": np.array(loss), "test_loss": np.array(loss) + 0.1}
    error = np.linspace(0.9, 0, 12).reshape(4, 3) if labelled else None
    if labelled:
        metrics["train_error"] = error.mean(axis=1)
    provenance = {"task": {"measures": "loss=cross_entropy"}, "biases": biases, "others": "end"}
    errors = {"train": error, "test": 1 - error} if labelled else None
    return Path(ALPHAS, metrics, errors, provenance=provenance)


MOVES = {"layer": "linear", "random": "linear"}


def measured(seeds=(0, 1), labelled=True):
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
            numbers = {**NUMBERS, "train_min_delta": rise, "train_loss_plateau_end": 0.1 * seed}
            biases = MOVES.get(kind, kind)
            line = path([start, 1.0, 1.0 + rise, 0.5], labelled, biases)
            found.append(MeasuredPath(seed, kind, layer, draw, line, numbers))
    return found


SHORT = InterpolationStudy(
    train_size=100, test_size=50, seeds=1, alphas=3, training=jr.Recipe(epochs=1, record_every=0)
)
SURVEY = InterpolationStudy(seeds=2, alphas=4, biases=("linear", "zero"), layerwise=True, random=2)


def test_the_overview_counts_paths_without_a_rise_and_takes_medians():
    table = overview(measured((0, 1, 7))).set_index(["kind", "layer"])
    assert table["paths"].to_dict() == {
        ("linear", ""): 3, ("zero", ""): 3, ("layer", "fc1"): 3, ("layer", "fc2"): 3,
        ("random", ""): 6,
    }  # fmt: skip
    assert table["paths_that_never_rise"].tolist() == [3, 1, 0, 3, 0]
    small = [
        replace(t, numbers={**t.numbers, "train_min_delta": rise})
        for t, rise in zip(measured((0, 1, 7))[::6], (1.8e-5, 1e-3, 1.1e-3), strict=True)
    ]
    assert overview(small)["paths_that_never_rise"].tolist() == [2]
    assert table["largest_min_delta"].tolist() == [0, 7, 0.2, 0, 1.5]
    assert table["train_loss_plateau_end"].tolist() == pytest.approx([0.1] * 5)
    assert "test_gauss_length_mean" not in table


def test_a_path_without_numbers_counts_but_is_not_said_to_never_rise():
    lost = [
        replace(t, numbers={**t.numbers, "train_min_delta": np.nan}) for t in measured((0,))[:1]
    ]
    row = overview(lost + measured((1,))[:1]).iloc[0]
    assert (row["paths"], row["paths_that_never_rise"]) == (2, 1)


def test_tables_hold_every_path_and_point_once(tmp_path):
    found = measured()
    write_report(SURVEY, found, tmp_path)
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
    deltas = [one.numbers["train_min_delta"] for one in found]
    assert rows["train_min_delta"].tolist() == deltas
    for table in (points, rows):
        expected = [MOVES.get(kind, kind) for kind in table["kind"]]
        assert table["biases"].tolist() == expected


def test_the_printed_table_has_columns_of_the_summary_and_few_of_its_own(tmp_path):
    found = interpolate_networks(SHORT, tmp_path, jr.Execution(progress=False))
    write_report(SHORT, found, tmp_path)
    rows, shown = pd.read_csv(tmp_path / "summary.csv"), overview(found)
    own = {"paths", "paths_that_never_rise", "largest_min_delta"}
    assert set(shown) - set(rows) == own and len(shown.columns) <= 13
    measured = [name for name in rows if name not in ("seed", "kind", "layer", "draw", "biases")]
    assert all(
        name.startswith(("train_", "test_", "end_", "weight_distance")) for name in measured
    )


@pytest.mark.parametrize(
    ("labelled", "kinds", "names"),
    [
        (
            True,
            {"linear"},
            {"train_loss", "test_loss", "train_error", "train_classes", "test_classes"},
        ),
        (False, {"linear", "layer"}, {"train_loss", "test_loss", "layers"}),
        (False, {"linear", "zero", "random"}, {"train_loss", "test_loss", "random"}),
    ],
)
def test_figures_are_those_of_what_was_asked_for(tmp_path, labelled, kinds, names):
    some = [one for one in measured(labelled=labelled) if one.kind in kinds]
    biases = tuple(kind for kind in ("linear", "zero") if kind in kinds)
    folder = write_report(replace(SURVEY, biases=biases), some, tmp_path)
    assert {file.stem for file in folder.iterdir()} == names
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in folder.iterdir())


def test_figures_of_an_earlier_wider_call_are_removed_and_no_other_file(tmp_path):
    folder = write_report(SURVEY, measured(), tmp_path)
    before = {file.name for file in folder.iterdir()}
    (folder / "mine.png").write_text("a figure of the user's own")
    narrow = [one for one in measured(labelled=False) if one.kind == "linear"]
    write_report(replace(SURVEY, biases=("linear",), layerwise=False, random=0), narrow, tmp_path)
    after = {file.name for file in folder.iterdir()}
    assert after == {"train_loss.png", "test_loss.png", "mine.png"} and len(before) == 7


def test_the_same_paths_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_report(SURVEY, measured(), tmp_path / name)
    files = [file for file in (tmp_path / "a").rglob("[!.]*") if file.is_file()]
    assert len(files) == 3 + 7
    for file in files:
        other = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == other.read_bytes()


def test_a_report_is_not_written_while_another_process_holds_its_folder(tmp_path):
    with folders.lock(tmp_path), pytest.raises(ValueError, match="is in use; wait"):
        write_report(SURVEY, measured(), tmp_path)
    with folders.lock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_networks_that_leave_the_numbers_are_drawn_with_gaps(tmp_path):
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, (8,)), jr.data.digits().subset(30, 20))
    start = task.initial(0)
    files = {name: tmp_path / f"{name}.pt" for name in ("start", "end")}
    for name, scale in (("start", 1), ("end", 1e25)):
        torch.save(task.module(start * np.float32(scale)).state_dict(), files[name])
    study = InterpolationStudy(train_size=30, test_size=20, hidden=(8,), alphas=4, **files)
    found = interpolate_networks(study, tmp_path / "out", jr.Execution(progress=False))
    assert np.isnan(found[0].path.metrics["train_error"][1:]).all()
    folder = write_report(study, found, tmp_path / "out")
    assert {"train_error.png", "test_classes.png"} <= {file.name for file in folder.iterdir()}
    assert overview(found)["paths_that_never_rise"].tolist() == [0]
    rows = pd.read_csv(tmp_path / "out" / "paths.csv")
    assert rows["train_error"].isna().tolist() == [False, True, True, True]


def test_pictures_are_the_same_whatever_matplotlib_is_set_to(tmp_path):
    write_report(SURVEY, measured(), tmp_path / "plain")
    odd = {"text.usetex": True, "font.size": 40, "savefig.bbox": "tight", "axes.grid": True}
    with matplotlib.rc_context(odd):
        write_report(SURVEY, measured(), tmp_path / "odd")
        assert {name: matplotlib.rcParams[name] for name in odd} == odd
    pictures = [file.name for file in (tmp_path / "plain" / "figures").iterdir()]
    assert len(pictures) >= 4
    for name in pictures:
        made = [(tmp_path / kind / "figures" / name).read_bytes() for kind in ("plain", "odd")]
        assert made[0] == made[1]
