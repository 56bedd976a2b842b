"""Greedy covers against their definition and the best of all covers."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from jumpretrain.topology.subsampling import cover


def distances(seed, count=9):
    return squareform(pdist(np.random.default_rng(seed).normal(size=(count, 3))))


@given(seed=st.integers(0, 10**6), count=st.integers(1, 9), first=st.integers(0, 8))
def test_each_point_is_the_furthest_from_those_before(seed, count, first):
    matrix = distances(seed)
    found = cover(matrix, count, first)
    assert found.points[0] == first and len(set(found.points)) == count
    for place in range(1, count):
        nearest = matrix[:, found.points[:place]].min(axis=1)
        assert nearest[found.points[place]] == nearest.max()
    assert found.radius == matrix[:, found.points].min(axis=1).max()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 4))
def test_the_radius_is_at_most_twice_the_best(seed, count):
    matrix = distances(seed)
    choices = combinations(range(len(matrix)), count)
    best = min(matrix[:, list(choice)].min(axis=1).max() for choice in choices)
    assert best <= cover(matrix, count).radius <= 2 * best + 1e-12


@pytest.mark.parametrize(("count", "first"), [(0, 0), (4, 0), (2, 3)])
def test_more_points_than_there_are_are_refused(count, first):
    with pytest.raises(ValueError, match="1 to 3 points can be chosen"):
        cover(np.zeros((3, 3)), count, first)
