"""Cycles go on where training ended and resume to the same bits."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from support import nets

import jumpretrain as jr
from jumpretrain.ensembles import cycles as module
from jumpretrain.ensembles.cycles import cycles

QUIET = jr.Execution(progress=False)
RECIPE = jr.Recipe(epochs=2, lr=0.05, schedule="cosine")


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
    real, calls = module.train, []

    def failing(*arguments, **words):
        calls.append(arguments[6])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **words)

    monkeypatch.setattr(module, "train", failing)
    with pytest.raises(KeyboardInterrupt):
        cycles(task, RECIPE, [0, 1], 3, folder=tmp_path, execution=QUIET)
    monkeypatch.setattr(module, "train", real)
    again = cycles(task, RECIPE, [0, 1], 3, folder=tmp_path, execution=QUIET)
    assert calls == ["cycle 1 of 3", "cycle 2 of 3"]
    for one, two in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.final, two.final)
        np.testing.assert_array_equal(one.metrics["test_loss"], two.metrics["test_loss"])
    with pytest.raises(ValueError, match=r"recipe\.lr"):
        cycles(task, jr.Recipe(epochs=2, lr=0.01), [0, 1], 3, folder=tmp_path, execution=QUIET)


def test_cycles_that_diverge_are_refused_by_name(task, tmp_path):
    wild = jr.Recipe(epochs=2, lr=1e30)
    with pytest.raises(ValueError, match=r"seeds \[4\] diverged in cycle 1 at rate 1e\+30"):
        cycles(task, wild, [4], 2, execution=QUIET)
    with pytest.raises(ValueError, match=r"or leave these seeds out, and name another folder$"):
        cycles(task, wild, [4], 2, folder=tmp_path, execution=QUIET)
    assert cycles(task, wild, [4], 1, execution=QUIET)[0].status.tolist() == ["diverged"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "count must be"),
        ({"seeds": []}, "seeds must be a list of whole numbers"),
        ({"seeds": [0.5]}, "seeds must be"),
        ({"seeds": [-1]}, "seeds must be"),
        ({"states": np.ones((1, 3))}, "states of this task"),
    ],
)
def test_bad_cycles_are_refused(task, change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cycles(**{"task": task, "recipe": RECIPE, "seeds": [0], "count": 2} | change)


def test_a_metric_that_is_not_a_number_is_no_divergence():
    metrics = {"x": lambda out, y: torch.where(y == 0, torch.nan, 1.0)}
    task = jr.Task(lambda: jr.models.mlp((6,), 3, hidden=(5,)), nets.vectors(), metrics=metrics)
    found = cycles(task, jr.Recipe(epochs=2, lr=0.05), [0], 2, execution=QUIET)
    assert [runs.status.tolist() for runs in found] == [["ok"], ["ok"]]
    assert np.isnan(found[1].metrics["test_x"]).all()
