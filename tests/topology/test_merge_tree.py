import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.cluster.hierarchy import is_valid_linkage

from jumpretrain.topology.homology import sublevel
from jumpretrain.topology.merge_tree import MergeTree, merge_tree, pieces

inf = np.inf
PATH = np.array([[0, 1], [1, 2], [2, 3], [3, 4]])
SIX = [5.0, 1.0, 6.0, 2.0, 7.0]


def on_path(values):
    values = np.asarray(values, dtype=float)
    links = np.stack([np.arange(len(values) - 1), np.arange(1, len(values))], axis=1)
    return merge_tree(values, links, values[links].max(axis=1))


def lowest_ways(values, links, heights):
    """Floyd and Warshall, with the highest point of a way for its length."""
    table = np.full((len(values), len(values)), inf)
    table[tuple(links.T)] = heights
    table = np.minimum(table, table.T)
    np.fill_diagonal(table, values)
    for k in range(len(values)):
        table = np.minimum(table, np.maximum(table[:, [k]], table[[k]]))
    return table


@st.composite
def graphs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    count = draw(st.integers(1, 12))
    values = rng.integers(0, draw(st.sampled_from([2, 9, 10**6])), count).astype(float)
    links = np.array([(i, j) for i in range(count) for j in range(i) if rng.random() < 0.5])
    links = links.reshape(-1, 2).astype(int)
    heights = values[links].max(axis=1) + rng.integers(0, 3, len(links)) * rng.random()
    return values, links, heights


def test_leaf_edges_of_a_path_are_counted_up_to_the_first_saddle():
    tree = on_path(SIX)
    assert sorted(tree.leaf_edges.tolist()) == [[1.0, 6.0], [2.0, 6.0]]
    assert tree.mean_leaf_edge == 4.5
    assert tree.diagrams.finite(0).tolist() == [[2.0, 6.0]]  # the mean bar is 4


def test_a_third_basin_meets_two_that_are_joined():
    tree = on_path([0, 3, 1, 9, 2])
    assert sorted(tree.leaf_edges.tolist()) == [[0, 3], [1, 3], [2, 9]]
    assert tree.mean_leaf_edge == 4.0


def test_a_slope_is_no_basin():
    tree = on_path([3, 2, 1, 1, 2])
    assert tree.leaf_edges.shape == (0, 2)
    assert tree.mean_leaf_edge == 0


@given(graphs())
def test_ways_are_those_of_floyd_and_warshall(graph):
    assert (merge_tree(*graph).minimax == lowest_ways(*graph)).all()


@given(graphs())
def test_every_leaf_edge_ends_where_its_lowest_state_meets_another_basin(graph):
    tree = merge_tree(*graph)
    ways = tree.minimax.copy()
    np.fill_diagonal(ways, inf)
    # one lowest state a basin: the first of those that reach each other without climbing
    lowest = [k for k in range(len(tree)) if not (ways[k] <= tree.values[k])[:k].any()]
    lowest = [
        k for k in lowest if (tree.values[ways[k] <= tree.values[k]] >= tree.values[k]).all()
    ]
    meets = [min((ways[k, j] for j in lowest if j != k), default=inf) for k in lowest]
    edges = [(tree.values[k], top) for k, top in zip(lowest, meets, strict=True) if top < inf]
    assert sorted(map(tuple, tree.leaf_edges.tolist())) == sorted(edges)


@given(graphs())
def test_bars_are_those_of_the_sublevel_filtration(graph):
    values, links, _ = graph
    dense = np.zeros((len(values), len(values)))
    dense[tuple(links.T)] = 1
    tree = merge_tree(values, links, values[links].max(axis=1))
    expected = sublevel(values, sparse.csr_array(dense + dense.T), maxdim=0)
    assert tree.diagrams.finite(0).tolist() == expected.finite(0).tolist()
    assert tree.diagrams.essential(0).tolist() == expected.essential(0).tolist()


@given(graphs())
def test_what_is_joined_at_a_height_is_one_basin(graph):
    tree = merge_tree(*graph)
    height = float(np.median(tree.minimax))
    found, ways = tree.basins(height), tree.minimax
    assert ((found == -1) == (tree.values > height)).all()
    below = found >= 0
    same = found[below][:, None] == found[below]
    assert (same == (ways[np.ix_(below, below)] <= height)).all()
    lowest = [tree.values[found == k].min() for k in range(found.max() + 1)]
    assert lowest == sorted(lowest)


@given(graphs())
def test_no_way_between_the_lowest_states_of_two_pieces_is_below_the_floor(graph):
    tree = merge_tree(*graph)
    assert (tree.floors <= tree.heights).all()
    finite = np.isfinite(tree.heights)
    bars = tree.diagrams.finite(0)
    depths = np.sort((tree.heights - tree.floors)[finite])
    assert depths[len(depths) - len(bars) :] == pytest.approx(np.sort(np.diff(bars)[:, 0]))


@given(graphs())
def test_the_linkage_is_one_of_scipy_and_no_branches_cross(graph):
    tree = merge_tree(*graph)
    if len(tree) > 1:
        assert is_valid_linkage(np.nan_to_num(tree.linkage, posinf=1e9))
    assert sorted(tree.order) == list(range(len(tree)))
    for height in tree.heights:
        names = tree.basins(height)[tree.order]
        changes = np.flatnonzero(np.diff(names)) + 1
        blocks = [part[0] for part in np.split(names, changes) if part[0] >= 0]
        assert len(set(blocks)) == len(blocks)


@given(graphs())
def test_a_tree_of_some_states_keeps_the_ways_through_all(graph):
    tree = merge_tree(*graph)
    some = np.random.default_rng(0).permutation(len(tree))[: 1 + len(tree) // 2]
    assert (tree.among(some).minimax == tree.minimax[np.ix_(some, some)]).all()


def test_what_no_edge_joins_is_joined_at_infinity():
    tree = merge_tree([1.0, 0.0, 2.0], [[0, 1]], [3.0])
    assert tree.heights.tolist() == [3.0, inf]
    assert tree.diagrams.essential(0).tolist() == [0.0, 2.0]
    assert tree.basins(5.0).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("links", "heights", "message"),
    [
        ([[0, 1]], [2.0], r"\(2, 2\) and heights \(2,\), but they are \(1, 2\)"),
        ([[0, 1], [1, 2]], [0.5, 3.0], "merge 0 is not"),
        ([[0, 1], [1, 2]], [3.0, 2.0], "merge 1 is not"),
    ],
)
def test_merges_are_in_rising_order_and_above_their_states(links, heights, message):
    with pytest.raises(ValueError, match=message):
        MergeTree(np.array([0.0, 1.0, 2.0]), np.array(links), np.array(heights))


def test_heights_are_one_number_an_edge():
    with pytest.raises(ValueError, match=r"\(2,\), but are \(1,\)"):
        merge_tree([0.0, 1.0, 2.0], [[0, 1], [1, 2]], [3.0])
    with pytest.raises(ValueError, match="1 NaN"):
        merge_tree([0.0, 1.0], [[0, 1]], [np.nan])


@pytest.mark.parametrize("links", [[[0, 3]], [[-1, 0]], [[0, 0.5]], [0, 1], [[0, 1, 2]]])
def test_links_are_pairs_of_states(links):
    with pytest.raises(ValueError, match=r"pairs \(E, 2\) of numbers from 0 to 2"):
        merge_tree([0.0, 1.0, 2.0], links, [3.0])


def test_pieces_are_joined_once():
    find, join = pieces(4)
    join(0, 1)
    assert find(0) == find(1) != find(2)
    assert join(1, 0) == find(0)
    join(2, 3)
    join(1, 2)
    assert len({find(k) for k in range(4)}) == 1
