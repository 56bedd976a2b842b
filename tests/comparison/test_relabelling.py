import itertools
import math

import numpy as np
import pytest

from jumpretrain.comparison.relabelling import draw_permutations, p_value, relabel, symmetries

RNG = np.random.default_rng


@pytest.mark.parametrize("sizes", [(1, 2), (2, 2), (5, 5), (2, 3, 1), (2, 2, 2, 1)])
def test_all_distinct_relabellings_are_listed_once(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rows, exact = relabel(labels, [np.arange(len(labels))], RNG(0), 99)
    count = math.factorial(sum(sizes)) // math.prod(map(math.factorial, sizes))
    assert exact and rows.shape == (count, len(labels))
    if len(labels) < 8:
        assert set(map(tuple, rows)) == set(itertools.permutations(labels.tolist()))
    assert len(np.unique(rows, axis=0)) == count


def test_blocks_keep_their_labels_to_themselves():
    labels = np.array([0, 1, 0, 1, 1, 0])
    blocks = [np.array([0, 1, 4]), np.array([2, 3, 5])]
    rows, exact = relabel(labels, blocks, RNG(0), 99)
    assert exact and len(np.unique(rows, axis=0)) == len(rows) == 9
    for block in blocks:
        assert (np.sort(rows[:, block], axis=1) == np.sort(labels[block])).all()


@pytest.mark.parametrize("blocks", [[np.arange(40)], [np.arange(0, 40, 2), np.arange(1, 40, 2)]])
def test_random_relabellings_begin_with_the_observed_one_and_repeat(blocks):
    labels = np.repeat([0, 1], 20)
    rows, exact = relabel(labels, blocks, RNG(1), 200)
    again, _ = relabel(labels, blocks, RNG(1), 200)
    assert not exact and rows.shape == (201, 40)
    assert np.array_equal(rows[0], labels) and np.array_equal(rows, again)
    assert (np.sort(rows, axis=1) == labels).all()
    assert abs(rows[1:].mean(0) - 0.5).max() < 5 * 0.5 / math.sqrt(200)


def test_symmetries_count_the_ways_to_rename_groups_of_equal_sizes():
    def count(*sizes):
        labels = np.repeat(np.arange(len(sizes)), sizes)
        return symmetries(labels, [np.arange(len(labels))])

    assert (count(5, 5), count(4, 5), count(3, 3, 3), count(2, 3, 3, 2)) == (2, 1, 6, 4)
    crossed = np.array([0, 0, 1, 1, 1, 0])
    assert symmetries(crossed, [np.arange(3), np.arange(3, 6)]) == 1


def test_orders_are_all_up_to_seven_and_random_beyond():
    rows, exact = draw_permutations(4, RNG(0), 10)
    assert exact and set(map(tuple, rows)) == set(itertools.permutations(range(4)))
    rows, exact = draw_permutations(8, RNG(0), 10)
    assert not exact and rows.shape == (11, 8) and np.array_equal(rows[0], np.arange(8))
    assert (np.sort(rows, axis=1) == np.arange(8)).all()


def test_ties_within_the_tolerance_count_as_extreme():
    null = np.array([1.0, 1.0 - 1e-12, 0.5, 2.0])
    assert p_value(null, 1.0, 1e-9) == 0.75
    assert p_value(null, 1.0, 0.0) == 0.5
