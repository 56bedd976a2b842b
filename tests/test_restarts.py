"""Cycles and branches go on where training ended, resume to the same bits, and part when told."""

from itertools import pairwise

import nets
import numpy as np
import pytest
import torch

import jumpretrain as jr
from jumpretrain import restarts
from jumpretrain.paths import Path
from jumpretrain.restarts import Branches, branches, cycles

QUIET = jr.Execution(progress=False)
RECIPE = jr.Recipe(epochs=2, lr=0.05, schedule="cosine")
STEADY = jr.Recipe(epochs=3, lr=0.1)


@pytest.fixture(scope="module")
def task():
    data = jr.data.digits().subset(200, 50)
    return jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), data)


def test_each_cycle_goes_on_from_the_last_with_other_orders(task):
    found = cycles(task, RECIPE, [0, 5], count=3, execution=QUIET)
    first = jr.train(task, RECIPE, [0, 5], execution=QUIET)
    np.testing.assert_array_equal(found[0].final, first.final)
    for last, runs in pairwise(found):
        np.testing.assert_array_equal(runs.initial, last.final)
        assert np.abs(runs.final - runs.initial).max() > 1e-3
    seeds = np.concatenate([runs.seeds for runs in found])
    assert len(set(seeds.tolist())) == 6
    same = jr.train(task, RECIPE, [0, 5], first.final, execution=QUIET)
    assert np.abs(same.final - found[1].final).max() > 1e-5


def test_cycles_start_where_they_are_told(task):
    start = np.stack([task.initial(7)])
    found = cycles(task, RECIPE, [0], 1, states=start, execution=QUIET)
    np.testing.assert_array_equal(found[0].initial, start)


def test_stopped_cycles_go_on_to_the_same_bits(task, tmp_path, monkeypatch):
    whole = cycles(task, RECIPE, [0, 1], count=3, execution=QUIET)
    real, calls = restarts.train, []

    def failing(*arguments, **words):
        calls.append(arguments[6])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **words)

    monkeypatch.setattr(restarts, "train", failing)
    with pytest.raises(KeyboardInterrupt):
        cycles(task, RECIPE, [0, 1], 3, folder=tmp_path, execution=QUIET)
    monkeypatch.setattr(restarts, "train", real)
    again = cycles(task, RECIPE, [0, 1], 3, folder=tmp_path, execution=QUIET)
    assert calls == ["cycle 1 of 3", "cycle 2 of 3"]
    for one, two in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.final, two.final)
        np.testing.assert_array_equal(one.metrics["test_loss"], two.metrics["test_loss"])
    with pytest.raises(ValueError, match=r"recipe\.lr"):
        cycles(task, jr.Recipe(epochs=2, lr=0.01), [0, 1], 3, folder=tmp_path, execution=QUIET)


def test_cycles_that_diverge_are_refused_by_name(task):
    wild = jr.Recipe(epochs=2, lr=1e30)
    with pytest.raises(ValueError, match=r"seeds \[4\] diverged in cycle 1 at rate 1e\+30"):
        cycles(task, wild, [4], 2, execution=QUIET)
    assert cycles(task, wild, [4], 1, execution=QUIET)[0].status.tolist() == ["diverged"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "at least 1 cycle"),
        ({"seeds": []}, "seeds must be a list of whole numbers"),
        ({"seeds": [0.5]}, "seeds must be a list of whole numbers"),
        ({"seeds": [-1]}, "seeds must be a list of whole numbers"),
        ({"states": np.ones((1, 3))}, "states of this task"),
    ],
)
def test_bad_cycles_are_refused(task, change, message):
    with pytest.raises(ValueError, match=message):
        cycles(**{"task": task, "recipe": RECIPE, "seeds": [0], "count": 2} | change)


def test_branches_that_share_all_are_one_and_have_no_barrier(task):
    found = branches(task, STEADY, 0, shared_epochs=3, count=3, alphas=5, execution=QUIET)
    final = jr.train(task, STEADY, [0], execution=QUIET).final[0]
    np.testing.assert_array_equal(found.shared, final)
    np.testing.assert_array_equal(found.finals, np.stack([final] * 3))
    assert sorted(found.paths) == [(0, 1), (0, 2), (1, 2)]
    assert found.instability() == found.instability("train_loss") == 0


@pytest.mark.parametrize("shared", [0, 1])
def test_branches_are_runs_from_the_shared_state_in_their_own_orders(task, shared):
    found = branches(task, STEADY, 2, shared_epochs=shared, count=2, alphas=5, execution=QUIET)
    early = jr.train(task, STEADY, [2], execution=QUIET)
    at = np.flatnonzero(early.epoch == shared)[0]
    np.testing.assert_array_equal(found.shared, early.states[0, at])
    assert np.abs(found.finals[0] - found.finals[1]).max() > 1e-3
    assert np.abs(found.finals - found.shared).max() > 1e-3
    path = jr.interpolate(task, *found.finals, alphas=5)
    np.testing.assert_array_equal(
        path.metrics["test_error"], found.paths[0, 1].metrics["test_error"]
    )


def test_instability_is_the_rise_above_the_mean_of_the_ends():
    def line(*errors):
        return Path(np.linspace(0, 1, len(errors)), {"test_error": np.array(errors)})

    paths = {(0, 1): line(0.1, 0.9, 0.3), (0, 2): line(0.1, 0.1, 0.1), (1, 2): line(0.4, 0.2, 0.2)}
    found = Branches(np.zeros(2), np.zeros((3, 2)), paths, {})
    assert found.instability() == pytest.approx((0.7 + 0 + 0.1) / 3)
    with pytest.raises(ValueError, match="a line for each pair"):
        Branches(np.zeros(2), np.zeros((2, 2)), paths, {})


def test_branches_go_on_from_their_folder(task, tmp_path, monkeypatch):
    one = branches(task, STEADY, 0, 1, alphas=3, folder=tmp_path, execution=QUIET)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    two = branches(task, STEADY, 0, 1, alphas=3, folder=tmp_path, execution=QUIET)
    assert len(stamps) == 3
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    np.testing.assert_array_equal(one.finals, two.finals)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": RECIPE}, "constant rate"),
        ({"shared_epochs": 4}, r"a whole number in 0\.\.3"),
        ({"shared_epochs": 1.5}, r"a whole number in 0\.\.3"),
        ({"shared_epochs": -1}, r"a whole number in 0\.\.3"),
        ({"count": 1}, "at least 2 copies"),
        ({"alphas": 1}, "at least 2 alphas"),
    ],
)
def test_bad_branches_are_refused_before_work(task, change, message, monkeypatch):
    monkeypatch.setattr(restarts, "train", lambda *a, **w: pytest.fail("trained"))
    with pytest.raises(ValueError, match=message):
        branches(**{"task": task, "recipe": STEADY, "seed": 0, "shared_epochs": 1} | change)


def test_branches_that_diverge_are_refused(task):
    wild = jr.Recipe(epochs=2, lr=1e30)
    with pytest.raises(ValueError, match=r"shared diverged at rate 1e\+30; lower it"):
        branches(task, wild, 0, 1, execution=QUIET)


@pytest.mark.parametrize("alphas", [[0.4, 0.5, 0.6], [0, 0.25, 0.5], [0.5, 1.0]])
def test_lines_without_both_ends_are_refused(task, alphas, tmp_path):
    with pytest.raises(ValueError, match="alphas must go from 0 to 1, but go from"):
        branches(task, STEADY, 0, 1, alphas=alphas, folder=tmp_path, execution=QUIET)
    assert not list(tmp_path.iterdir())


def test_a_folder_holds_one_design(task, tmp_path):
    cycles(task, RECIPE, [0], 1, folder=tmp_path / "cycles", execution=QUIET)
    branches(task, STEADY, 0, 1, alphas=2, folder=tmp_path / "branches", execution=QUIET)
    cycles(task, RECIPE, [0], 2, folder=tmp_path / "cycles", execution=QUIET)
    with pytest.raises(ValueError, match="shared_epochs is 0 here and 1 there"):
        branches(task, STEADY, 0, 0, alphas=2, folder=tmp_path / "branches", execution=QUIET)
    with pytest.raises(ValueError, match="a folder holds one design"):
        cycles(task, RECIPE, [9], 1, folder=tmp_path / "branches", execution=QUIET)
    assert not (tmp_path / "branches" / "cycle-1").exists()


def test_a_metric_that_is_not_a_number_is_no_divergence():
    metrics = {"x": lambda out, y: torch.where(y == 0, torch.nan, 1.0)}
    task = jr.Task(lambda: jr.models.mlp((6,), 3, hidden=(5,)), nets.vectors(), metrics=metrics)
    found = cycles(task, jr.Recipe(epochs=2, lr=0.05), [0], 2, execution=QUIET)
    assert [runs.status.tolist() for runs in found] == [["ok"], ["ok"]]
    assert np.isnan(found[1].metrics["test_x"]).all()
