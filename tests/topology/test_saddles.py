from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.cases import planted_saddles
from support.landscapes import CENTRES, bowl, landscape, wells

from jumpretrain.execution.execution import Execution
from jumpretrain.topology.measure import saddles
from jumpretrain.topology.merge_tree import merge_tree
from jumpretrain.topology.saddles import Saddles

QUIET = Execution(progress=False)


def test_ways_back_are_counted_from_the_higher_end():
    found = planted_saddles()
    assert found.back.straight.tolist() == [[0.0, 4.0], [0.0, 6.5]]
    assert found.back.best.tolist() == [[0.0, 1.5], [0.0, 3.5]]
    assert found.frame()["best"].tolist() == [0.0, 0.0, 1.5, 0.0, 3.5]


def test_a_way_to_an_optimum_that_lies_higher_is_counted_from_the_optimum():
    tree = merge_tree([1.5, 1.0, 0.5], [[0, 1], [1, 2]], [2.0, 3.5])
    labels = planted_saddles().labels.iloc[[0, 1, 3]]
    straight = np.array([1.5, 4.0, 6.0])
    found = planted_saddles(
        tree=tree, labels=labels, straight=tree.heights, rises=np.zeros(2), to_optimum=straight
    ).frame()
    assert found["straight"].tolist() == [0.0, 2.5, 4.5]
    assert found["best"].tolist() == [0.0, 0.5, 2.0]


def test_numbers_are_those_of_the_tree():
    found = planted_saddles()
    assert found.minimax(2, 4) == 4.0
    assert found.minimax(4, 4) == 0.5
    assert found.depth == pytest.approx(1.5 + 3.5)
    assert found.basins(2.2).tolist() == [0, 0, 2, -1, 1]
    assert found.diagrams.essential(0).tolist() == [0.0]
    with pytest.raises(ValueError, match="from 0 to 4, but one is 5"):
        found.minimax(0, 5)


def test_the_bracket_holds_the_merges():
    found = planted_saddles()
    assert found.bracket.tolist() == [[2.0, 2.0], [1.0, 2.75], [3.0, 3.0], [0.5, 4.5]]


def test_states_without_an_optimum_have_no_way_back():
    found = saddles(landscape(wells), np.array(CENTRES), execution=QUIET)
    assert np.isnan(found.to_optimum).all()
    assert found.frame()["height"].tolist() == [0.0, 0.5, 0.25]
    with pytest.raises(ValueError, match="0 optima"):
        _ = found.back


def test_what_is_saved_is_loaded(tmp_path):
    found = planted_saddles()
    found.save(tmp_path / "saddles.safetensors")
    again = Saddles.load(tmp_path / "saddles.safetensors")
    pd.testing.assert_frame_equal(again.labels, found.labels)
    assert (again.tree.heights == found.tree.heights).all()
    assert (again.bracket == found.bracket).all()
    assert (again.metric, again.evaluations) == ("train_loss", 12)
    with pytest.raises(ValueError, match="is there already"):
        found.save(tmp_path / "saddles.safetensors")


def test_another_file_is_no_saddles(tmp_path):
    saddles(landscape(bowl), np.eye(2), folder=tmp_path, execution=QUIET)
    with pytest.raises(ValueError, match="must hold saddles"):
        Saddles.load(tmp_path / "segments.safetensors")


def test_all_parts_are_of_the_same_states():
    with pytest.raises(ValueError, match="5 states and 4 merges, but rises"):
        planted_saddles(rises=np.zeros(3))


def test_statistics_are_of_basins_and_of_the_last_ways_back():
    assert planted_saddles().statistics() == {
        "total_depth": 5.0,
        "deepest_basin": 3.5,
        "mean_leaf_edge": pytest.approx((2.5 + 1.5 + 3.5) / 3),
        "basins": 3.0,
        "straight_way_back": 5.25,
        "best_way_back": 2.5,
    }
    bare = saddles(landscape(wells), np.array(CENTRES), execution=QUIET).statistics()
    assert set(bare) == {"total_depth", "deepest_basin", "mean_leaf_edge", "basins"}


def test_the_bracket_of_bent_merges_reaches_to_their_straight_segments():
    found = planted_saddles()
    ends = found.tree.values[found.tree.links].max(axis=1)
    heights = np.maximum(found.tree.heights - 0.25, ends)
    sunk = replace(found, tree=replace(found.tree, heights=heights))
    assert sunk.depth < found.depth
    assert sunk.straight.tolist() == found.straight.tolist()
    assert sunk.bracket[:, 1].tolist() == found.bracket[:, 1].tolist()
    assert (sunk.bracket[:, 0] <= sunk.tree.heights).all()
