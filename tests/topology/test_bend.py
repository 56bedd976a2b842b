import numpy as np
import pytest
import torch
from support.landscapes import landscape

from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.execution import Execution
from jumpretrain.topology.measure import saddles

QUIET = Execution(progress=False)
RECIPE = Recipe(epochs=60, lr=0.02, optimiser="adam", record_every=0, batch_size=2)
STATES = np.array([[-2.0, 0.0], [2.0, 0.0], [2.0, 0.2]])


def hill(weights):
    return torch.exp(-(weights[0] ** 2) - (weights[1] + 0.1) ** 2) + 0.001 * (weights**2).sum()


def test_a_way_around_a_hill_is_lower_than_one_across():
    straight = saddles(landscape(hill), STATES, execution=QUIET)
    bent = saddles(landscape(hill), STATES, bend=1, recipe=RECIPE, execution=QUIET)
    assert straight.tree.heights[-1] == pytest.approx(np.exp(-0.04), rel=0.01)
    assert bent.tree.heights[-1] < 0.5
    assert sorted(bent.straight) == sorted(straight.tree.heights)
    assert (bent.tree.values == straight.tree.values).all()


def two_hills(weights):
    high = torch.exp(-((weights[0] + 2) ** 2) - (weights[1] + 0.1) ** 2)
    low = 0.7 * torch.exp(-((weights[0] - 2) ** 2) - (weights[1] + 0.1) ** 2)
    return high + low + 0.001 * (weights**2).sum()


def test_the_highest_merge_is_bent_first_and_each_keeps_its_straight_segment():
    states = np.array([[-4.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    straight = saddles(landscape(two_hills), states, execution=QUIET)
    assert straight.tree.heights == pytest.approx([0.7, 1.0], rel=0.05)
    bent = saddles(landscape(two_hills), states, bend=1, recipe=RECIPE, execution=QUIET)
    assert bent.tree.heights[0] < 0.5 and bent.tree.heights[1] == straight.tree.heights[0]
    assert bent.straight.tolist() == straight.tree.heights[::-1].tolist()
    assert sorted(bent.tree.links[0].tolist()) == [0, 1]


def test_bending_raises_nothing():
    one = Recipe(epochs=1, lr=1e-9, record_every=0, batch_size=2)
    straight = saddles(landscape(hill), STATES, execution=QUIET)
    bent = saddles(landscape(hill), STATES, bend=9, recipe=one, execution=QUIET)
    assert (bent.tree.minimax <= straight.tree.minimax).all()
    assert bent.tree.minimax == pytest.approx(straight.tree.minimax, rel=1e-3)


def test_curves_that_diverge_are_trained_at_a_lower_rate_in_the_same_folder(tmp_path):
    wild = Recipe(epochs=2, lr=1e30, optimiser="adam", record_every=0, batch_size=2)
    measured = saddles(landscape(hill), STATES, folder=tmp_path, execution=QUIET)
    with pytest.raises(ValueError, match=r"diverged at rate 1e\+30; lower it$"):
        saddles(landscape(hill), STATES, bend=1, recipe=wild, folder=tmp_path, execution=QUIET)
    bent = saddles(
        landscape(hill), STATES, bend=1, recipe=RECIPE, folder=tmp_path, execution=QUIET
    )
    assert bent.evaluations == 0 < measured.evaluations
    assert bent.tree.heights[-1] < 0.5


def test_a_curve_is_kept_where_the_points_are(tmp_path):
    first = saddles(landscape(hill), STATES, bend=1, recipe=RECIPE, folder=tmp_path)
    again = saddles(landscape(hill), STATES, bend=1, recipe=RECIPE, folder=tmp_path)
    assert again.evaluations == 0 < first.evaluations
    assert (again.tree.heights == first.tree.heights).all()
