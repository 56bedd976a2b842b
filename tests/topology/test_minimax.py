import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpretrain.topology.merge_tree import MergeTree, merge_tree
from jumpretrain.topology.minimax import measured, spanning_tree


class Costly:
    """Edges of known heights, found at the last of some looks; counts them."""

    def __init__(self, values, heights, looks=3):
        self.values, self.heights, self.looks, self.count = values, heights, looks, 0

    def begin(self, one, other):
        assert one < other
        for look in range(self.looks):
            yield (look + 1) / self.looks
        return 0.125

    def look(self, probes):
        assert len(set(probes)) == len(probes)
        self.count += len(probes)
        floor = [max(self.values[p.one], self.values[p.other]) for p in probes]
        tops = [self.heights[p.one, p.other] for p in probes]
        return [f + (t - f) * p.share for f, t, p in zip(floor, tops, probes, strict=True)]


def landscape(seed, count, ties=False, walls=False):
    rng = np.random.default_rng(seed)
    values = rng.random(count) if not ties else rng.integers(0, 3, count).astype(float)
    rise = rng.exponential(size=(count, count)) * (rng.random((count, count)) < 0.7)
    rise = rise if not ties else rise.round()
    heights = np.maximum(values[:, None], values) + rise + rise.T
    if walls:
        heights[rng.random((count, count)) < 0.3] = np.inf
        heights = np.maximum(heights, heights.T)
    return values, heights, rng.random((count, count))


def tree_of(values, heights, apart, looks=3):
    costly = Costly(values, heights, looks)
    found, _ = spanning_tree(values, apart + apart.T, costly.begin, costly.look)
    return MergeTree(values, found.links, found.heights), costly.count, found


@given(st.integers(0, 10**6), st.integers(1, 25), st.booleans(), st.booleans())
def test_the_tree_is_that_of_all_edges(seed, count, ties, walls):
    values, heights, apart = landscape(seed, count, ties, walls)
    links = np.stack(np.triu_indices(count, k=1), axis=1)
    expected = merge_tree(values, links, heights[tuple(links.T)])
    tree, _, _ = tree_of(values, heights, apart)
    # looks add up what is left of an edge, so heights are the same up to rounding
    assert tree.minimax == pytest.approx(expected.minimax, rel=1e-12)


def test_few_edges_are_looked_at_where_the_way_is_flat():
    values = np.random.default_rng(0).random(200)
    heights = np.maximum(values[:, None], values)
    tree, count, found = tree_of(values, heights, np.random.default_rng(1).random((200, 200)))
    assert count <= 3 * 199 * 2
    assert (found.rises == 0.125).all()
    assert len(tree.diagrams.finite(0)) == 0


def test_no_edge_is_looked_at_that_is_higher_than_the_way_around():
    # two heaps, one pass: every edge between them but one is a wall above both ends
    rng = np.random.default_rng(0)
    values = rng.random(60) / 10
    heights = np.maximum(values[:, None], values)
    heights[:30, 30:] = heights[30:, :30] = 1.0
    heights[3, 40] = heights[40, 3] = 0.5
    tree, count, _ = tree_of(values, heights, rng.random((60, 60)), looks=1)
    assert tree.minimax[0, 59] == 0.5
    assert count <= 900 + 2 * 58  # each of 900 edges could have been the pass


def test_shorter_edges_go_first_among_equals():
    values, apart = np.zeros(3), np.array([[0, 1, 9], [0, 0, 2], [0, 0, 0]], dtype=float)
    _, _, found = tree_of(values, np.zeros((3, 3)), apart)
    assert sorted(map(tuple, found.links.tolist())) == [(0, 1), (1, 2)]


@given(st.integers(0, 10**6), st.integers(2, 12))
def test_a_state_more_raises_no_way(seed, count):
    values, heights, apart = landscape(seed, count + 1)
    some, _, _ = tree_of(values[:-1], heights[:-1, :-1], apart[:-1, :-1])
    more, _, _ = tree_of(values, heights, apart)
    assert (more.minimax[:-1, :-1] <= some.minimax * (1 + 1e-12)).all()


def test_edges_asked_for_are_measured_whatever_the_tree_needs():
    values, heights, apart = landscape(3, 12, walls=True)
    pairs = [(0, k) for k in range(1, 12)]
    costly = Costly(values, heights)
    _, back = spanning_tree(values, apart, costly.begin, costly.look, pairs)
    assert back == pytest.approx(heights[0, 1:])
    costly = Costly(values, heights)
    assert measured(values, pairs, costly.begin, costly.look) == pytest.approx(heights[0, 1:])
    assert costly.count == 33


def test_merges_are_told_one_by_one():
    values, heights, apart = landscape(1, 9)
    told, costly = [], Costly(values, heights)
    spanning_tree(values, apart, costly.begin, costly.look, tell=lambda: told.append(costly.count))
    assert len(told) == 8
    assert told == sorted(told)


def test_an_edge_is_as_high_as_the_highest_look_at_it_whichever_comes_last():
    def begin(one, other):
        for share in (0.25, 0.5, 0.75):
            assert (yield share) > 0
        return 0.0

    def look(probes):
        return [{0.25: 1.0, 0.5: 5.0, 0.75: 3.0}[probe.share] for probe in probes]

    assert measured(np.array([0.0, 2.0]), [(0, 1)], begin, look).tolist() == [5.0]
    flat = measured(np.array([0.0, 9.0]), [(0, 1)], begin, look)
    assert flat.tolist() == [9.0]  # an end counts too
