"""A study of connectors gives the same connector as its parts, once or after it was killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support import nets

import jumpretrain as jr
from jumpretrain.reports.connect import FIGURES, overview, write_report
from jumpretrain.storage.folders import read_arrays
from jumpretrain.studies import connect as module
from jumpretrain.studies.connect import ConnectionStudy, connect_networks

TRAINING = jr.Recipe(epochs=6, lr=0.05, record_every=0, record_early=False)
POINTS = jr.Recipe(epochs=2, lr=0.003, optimiser="adam", record_every=0, record_early=False)
SMALL = ConnectionStudy(
    train_size=150, test_size=80, training=TRAINING, recipe=POINTS, inner=4, each=5, tolerance=0.0
)
QUIET = jr.Execution(progress=False)


def own(seed, group):
    data = nets.vectors(seed=seed)
    return nets.Task(
        lambda: nets.mlp((6,), 3, hidden=(8,)), data.corrupt(1.0, seed) if group == "b" else data
    )


def coder(seed, group):
    return nets.TASKS["tied autoencoder"]()


def tiny(seed, group):
    x = np.random.default_rng(0).normal(size=(40, 1)).astype("float32")
    return nets.Task(
        lambda: torch.nn.Linear(1, 1), jr.Dataset(x, x, x, x), jr.measures.squared_error
    )


class Pair(torch.nn.Linear):
    """A network with two outputs, which the control points of a curve cannot be trained on."""

    def forward(self, x):
        return super().forward(x), x


def first_loss(outputs, y):
    return torch.nn.functional.cross_entropy(outputs[0], y, reduction="none")


def paired(seed, group):
    return nets.Task(lambda: Pair(6, 3), nets.vectors(), first_loss)


def nothing(seed, group):
    return "no task"


OWN = ConnectionStudy(
    task="tests.studies.test_connect:own",
    training=replace(TRAINING, batch_size=8),
    recipe=replace(POINTS, batch_size=8),
    inner=2,
    each=3,
)


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    return connect_networks(SMALL, tmp_path_factory.mktemp("study"), QUIET)


def test_a_study_is_training_and_connecting_by_hand(joined):
    data = jr.data.digits().subset(150, 80)
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10), data)
    optima = [jr.train(task, TRAINING, [seed], execution=QUIET).final[0] for seed in (0, 1)]
    expected = jr.connect(task, optima, recipe=POINTS, inner=4, each=5, execution=QUIET)
    assert np.array_equal(joined.nodes, expected.nodes)
    for name, values in expected.metrics.items():
        np.testing.assert_array_equal(joined.metrics[name], values)


def test_the_overview_holds_the_numbers_of_the_connector(joined):
    table = overview(joined).set_index("number")
    assert table.loc["barrier"].tolist() == [joined.linear_barrier, joined.barrier]
    smallest = [part["test_accuracy"].min() for part in (joined.straight_metrics, joined.metrics)]
    assert table.loc["smallest test_accuracy"].tolist() == smallest
    assert table.loc["largest train_loss", "connector"] == joined.metrics["train_loss"].max()
    assert table.loc["length in chords"].tolist() == [1, joined.length_ratio]
    cosines = table["connector"][["cosine within a half", "cosine across halves"]]
    assert tuple(cosines) == joined.half_cosines()
    apart = joined.changed[0, 1]  # the first optimum's labels against the second's
    assert table.loc["labels changed between the optima", "connector"] == apart


def test_files_hold_what_was_found(joined, tmp_path):
    figures = write_report(SMALL, joined, tmp_path)
    arrays, facts = read_arrays(tmp_path / "nodes.safetensors")
    assert np.array_equal(arrays["nodes"], joined.nodes) and facts["inner"] == 4
    table = pd.read_csv(tmp_path / "points.csv")
    states = arrays["shares"] @ arrays["nodes"].astype(np.float64)
    np.testing.assert_allclose(table["norm"], np.linalg.norm(states, axis=1), rtol=1e-6)
    np.testing.assert_array_equal(table["train_loss"], joined.metrics["train_loss"])
    flat = joined.straight_metrics["test_loss"]
    np.testing.assert_array_equal(table["straight_test_loss"], flat)
    np.testing.assert_array_equal(table["share_1"], joined.alphas)
    np.testing.assert_array_equal(table["labels_changed_0"], joined.changed[:, 0])
    assert {file.stem for file in figures.iterdir()} == set(FIGURES)
    assert pd.read_csv(tmp_path / "summary.csv").equals(overview(joined).astype({"number": "str"}))


def test_a_curve_of_one_node_and_a_surface_take_away_figures_that_are_not_theirs(tmp_path):
    labelled = {"train_loss", "test_loss", "train_accuracy", "test_accuracy"}
    for change, names in (
        ({"inner": 3}, {*labelled, "deviations", "label_change"}),
        ({"method": "bezier", "inner": 1}, {*labelled, "label_change"}),
        ({"seeds": 3}, labelled),
    ):
        study = replace(OWN, **change)
        found = connect_networks(study, tmp_path, QUIET)
        figures = write_report(study, found, tmp_path)
        assert {file.stem for file in figures.iterdir()} == names
        assert len(found.optima) == study.seeds
    shares = pd.read_csv(tmp_path / "points.csv")[["share_0", "share_1", "share_2"]]
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_a_folder_takes_more_networks_other_connectors_and_refinement(tmp_path):
    connect_networks(OWN, tmp_path, QUIET)
    kept = [*tmp_path.glob("networks/*/runs/*"), *tmp_path.glob("connectors/*/nodes/runs/*")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert len(before) == 4
    others = {"recipe": replace(OWN.recipe, lr=1e-4)}, {"seed": 1}, {"tolerance": 0.5}
    finer = {"refine": True, "rounds": 1}, {"refine": True, "rounds": 1, "each": 9}
    for change in (*finer, {"method": "polychain"}, {"seeds": 3}, *others):
        connect_networks(replace(OWN, **change), tmp_path, QUIET)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert len(list(tmp_path.glob("networks/*"))) == 3


@pytest.mark.slow
def test_a_study_killed_at_any_moment_goes_on_to_the_same_bits(tmp_path, joined):
    code = (
        "import sys; sys.path.insert(0, 'tests'); from tests.studies import test_connect as t; "
        "t.connect_networks(t.SMALL, sys.argv[1], t.QUIET)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    for pattern in ("networks/1/manifest.json", "connectors/*/nodes/manifest.json"):
        child = subprocess.Popen(words, cwd=Path(__file__).parents[2], start_new_session=True)
        while child.poll() is None and not list(tmp_path.glob(pattern)):
            time.sleep(0.01)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    again = connect_networks(SMALL, tmp_path, QUIET)
    assert np.array_equal(again.nodes, joined.nodes)
    for name, values in joined.metrics.items():
        np.testing.assert_array_equal(again.metrics[name], values)


def test_a_folder_of_another_study_is_refused_before_training(tmp_path, monkeypatch):
    connect_networks(OWN, tmp_path, QUIET)
    monkeypatch.setattr(module, "train_network", lambda *a, **w: pytest.fail("trained"))
    for change, words in (
        ({"training": replace(OWN.training, lr=0.01)}, r"training\.lr is 0\.01 here and 0\.05"),
        ({"group": "b"}, r'group is "b" here and "generalise" there'),
    ):
        with pytest.raises(ValueError, match=words):
            connect_networks(replace(OWN, **change), tmp_path, QUIET)


def test_networks_of_files_are_joined_and_nothing_is_trained(tmp_path):
    task = own(0, "a")
    files = tuple(tmp_path / f"{seed}.pt" for seed in (5, 6, 7))
    for path, seed in zip(files, (5, 6, 7), strict=True):
        torch.save(task.module(task.initial(seed)).state_dict(), path)
    found = connect_networks(replace(OWN, networks=files), tmp_path / "out", QUIET)
    expected = [task.initial(seed) for seed in (5, 6, 7)]
    assert np.array_equal(found.optima, expected)
    assert not (tmp_path / "out" / "networks").exists()


def test_all_networks_are_trained_on_the_same_labels(tmp_path):
    study = replace(SMALL, noise=1.0)
    task = module._task(study)
    redrawn = jr.data.digits().subset(150, 80).corrupt(1.0, 0)
    np.testing.assert_array_equal(task.data.train_y, redrawn.train_y)


def test_a_task_without_labels_has_no_figure_of_them(tmp_path):
    short = {"training": replace(OWN.training, epochs=1), "recipe": replace(POINTS, batch_size=8)}
    study = replace(OWN, task="tests.studies.test_connect:coder", **short)
    found = connect_networks(study, tmp_path, QUIET)
    figures = write_report(study, found, tmp_path)
    assert {file.stem for file in figures.iterdir()} == {"train_loss", "test_loss", "deviations"}
    assert not overview(found)["number"].str.contains("labels").any()
    assert "labels_changed_0" not in pd.read_csv(tmp_path / "points.csv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 1}, "joins 2 to 11 networks"),
        ({"seeds": 12}, "joins 2 to 11 networks"),
        ({"networks": (Path("a.pt"),)}, "joins 2 to 11 networks"),
        ({"seeds": 3, "method": "bezier"}, "bezier joins 2 optima and is not refined"),
        ({"inner": 0}, "inner must be in 1..10000, but is 0"),
        ({"each": 1}, "each must be in 2..10000, but is 1"),
        ({"method": "bezier", "refine": True}, "there are 2 and refine is True; use hyperplane"),
        ({"rounds": -1}, "rounds must be in 0..10000"),
        ({"tolerance": float("nan")}, "tolerance must be a finite number"),
        ({"seed": -1}, "seed must be in 0..4294967295"),
        ({"noise": 1.5}, "noise is a share of the labels"),
        ({"model": "mpl"}, "model must be one of mlp"),
        ({"task": "a:b", "noise": 0.5}, "noise is the built-in tasks'"),
    ],
)
def test_a_study_that_does_not_fit_together_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        ConnectionStudy(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "imagenet"}, "data must be one of"),
        (
            {"task": "tests.studies.test_connect:nothing"},
            "a task function must return a Task, not str",
        ),
        ({"task": "tests.studies.test_connect:missing"}, "task must be module:function"),
        ({"networks": (Path("no.pt"), Path("no.pt"))}, "no.pt must hold a state dict"),
        (
            {"recipe": replace(POINTS, batch_size=9999, drop_last=True)},
            "an epoch needs a batch",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        connect_networks(ConnectionStudy(**change), tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()


def test_more_networks_than_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match="span no simplex"):
        connect_networks(
            replace(OWN, task="tests.studies.test_connect:tiny", seeds=3), tmp_path / "out", QUIET
        )
    assert not (tmp_path / "out").exists()


def test_a_network_that_a_method_cannot_take_is_refused_before_training(tmp_path):
    pair = replace(OWN, task="tests.studies.test_connect:paired")
    assert len(connect_networks(pair, tmp_path / "a", QUIET).nodes) == 4
    with pytest.raises(ValueError, match="bezier cannot train points with this network"):
        connect_networks(replace(pair, method="bezier"), tmp_path / "b", QUIET)
    assert not (tmp_path / "b").exists()


def test_a_diverged_network_is_named(tmp_path):
    hot = replace(OWN, training=replace(OWN.training, lr=1e8))
    with pytest.raises(ValueError, match="network 0 diverged at rate"):
        connect_networks(hot, tmp_path, QUIET)


def test_points_that_diverged_are_trained_at_a_lower_rate_in_the_same_folder(tmp_path):
    hot = replace(OWN, recipe=replace(OWN.recipe, lr=1e30))
    with pytest.raises(ValueError, match=r"diverged at rate 1e\+30; lower it$"):
        connect_networks(hot, tmp_path, QUIET)
    assert np.isfinite(connect_networks(OWN, tmp_path, QUIET).barrier)


def test_every_choice_reaches_the_connector():
    assert {*module.CHOICES, *module.TRAINED, "seeds", "networks"} == set(
        asdict(ConnectionStudy())
    )
