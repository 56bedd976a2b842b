"""Branches share a start, part in the order of the data, and resume to the same bits."""

import numpy as np
import pytest

import jumpretrain as jr
from jumpretrain.ensembles import branches as module
from jumpretrain.ensembles.branches import Branches, branches
from jumpretrain.ensembles.cycles import cycles, order_seed
from jumpretrain.paths.path import Path

QUIET = jr.Execution(progress=False)
RECIPE = jr.Recipe(epochs=2, lr=0.05, schedule="cosine")
STEADY = jr.Recipe(epochs=3, lr=0.1)


@pytest.fixture(scope="module")
def task():
    data = jr.data.digits().subset(200, 50)
    return jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), data)


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
        ({"shared_epochs": 1.5}, "shared_epochs must be"),
        ({"shared_epochs": -1}, "shared_epochs must be"),
        ({"count": 1}, "at least 2 copies"),
        ({"alphas": 1}, "at least 2 alphas"),
    ],
)
def test_bad_branches_are_refused_before_work(task, change, message, monkeypatch):
    monkeypatch.setattr(module, "train", lambda *a, **w: pytest.fail("trained"))
    with pytest.raises((ValueError, TypeError), match=message):
        branches(**{"task": task, "recipe": STEADY, "seed": 0, "shared_epochs": 1} | change)


def test_branches_that_diverge_are_refused(task, tmp_path):
    wild = jr.Recipe(epochs=2, lr=1e30)
    with pytest.raises(ValueError, match=r"shared diverged at rate 1e\+30; lower it$"):
        branches(task, wild, 0, 1, execution=QUIET)
    with pytest.raises(ValueError, match=r"lower it, and name another folder$"):
        branches(task, wild, 0, 1, folder=tmp_path, execution=QUIET)


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


def test_no_copy_goes_on_in_the_order_of_the_shared_part(task):
    found = branches(task, jr.Recipe(epochs=1, lr=0.05), 3, shared_epochs=1, count=3)
    assert found.provenance["orders"] == [order_seed(3, 1), order_seed(3, 2), order_seed(3, 3)]
    assert len({3, *found.provenance["orders"]}) == 4
