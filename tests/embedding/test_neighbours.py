import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from jumpretrain.embedding.neighbours import (
    check_distances,
    components,
    edges,
    farthest,
    join,
    knn_graph,
    neighbours,
    spanning_tree,
)


def cloud(count, seed=0, width=3):
    return squareform(pdist(np.random.default_rng(seed).normal(size=(count, width))))


def clusters(each=12, seed=0):
    """Three groups far apart, with distances and the group of every point."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(3), each)
    points = 100.0 * np.eye(3)[group] + rng.normal(size=(len(group), 3))
    return squareform(pdist(points)), group


def naive_neighbours(distances, k):
    found = set()
    for i, row in enumerate(distances):
        others = sorted((value, j) for j, value in enumerate(row) if j != i)
        found |= {(min(i, j), max(i, j)) for _, j in others[:k]}
    return sorted(found)


def is_simple(graph):
    dense = graph.toarray()
    stored_once = graph.nnz == np.count_nonzero(dense)
    return stored_once and set(graph.data) <= {1.0} and not np.diag(dense).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 14), st.integers(0, 10**6), st.booleans(), st.data())
def test_neighbours_equal_a_loop_also_with_ties_and_duplicates(count, seed, tied, data):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, size=(count, 2)) if tied else rng.normal(size=(count, 2))
    distances = squareform(pdist(points.astype(float)))
    k = data.draw(st.integers(1, count - 1))
    graph = neighbours(distances, k)
    assert edges(graph).tolist() == [list(edge) for edge in naive_neighbours(distances, k)]
    assert is_simple(graph)
    assert (graph != graph.T).nnz == 0
    assert (graph.sum(axis=1) >= k).all()


def test_duplicate_points_are_neighbours():
    distances = squareform(pdist(np.array([[0.0], [0.0], [0.0], [5.0]])))
    assert neighbours(distances, 2).toarray()[:3, :3].sum() == 6


def test_a_point_is_left_out_by_index_not_by_value():
    distances = np.zeros((4, 4))
    graph = neighbours(distances, 3)
    assert is_simple(graph)
    assert len(edges(graph)) == 6


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 25), st.integers(0, 10**6))
def test_tree_is_as_short_as_scipys_when_no_distance_is_zero(count, seed):
    distances = cloud(count, seed)
    tree = spanning_tree(distances)
    links = edges(tree)
    assert len(links) == count - 1
    assert components(tree) == 1
    length = distances[links[:, 0], links[:, 1]].sum()
    assert length == pytest.approx(minimum_spanning_tree(distances).sum())


def test_tree_keeps_edges_of_length_zero():
    points = np.repeat(np.arange(4.0), 3)[:, None]
    distances = squareform(pdist(points))
    links = edges(spanning_tree(distances))
    assert components(spanning_tree(distances)) == 1
    assert sorted(distances[links[:, 0], links[:, 1]]) == [0.0] * 8 + [1.0] * 3


def test_join_connects_pieces_and_keeps_their_edges():
    distances, _ = clusters()
    pieces = neighbours(distances, 3)
    joined = join(pieces, distances)
    assert components(pieces) == 3
    assert components(joined) == 1
    assert is_simple(joined)
    assert {*map(tuple, edges(pieces))} <= {*map(tuple, edges(joined))}


def test_knn_graph_joins_only_where_asked():
    distances, _ = clusters()
    assert components(knn_graph(distances, 3, connect=None)) == 3
    assert components(knn_graph(distances, 3)) == 1


def test_neighbours_stay_in_their_cluster_and_the_released_rule_leaves_it():
    distances, group = clusters()
    near, far = edges(neighbours(distances, 6)), farthest(distances, 6)
    assert np.mean(group[near[:, 0]] == group[near[:, 1]]) > 0.9
    assert np.mean(group[far[:, 0]] == group[far[:, 1]]) < 0.05


def test_farthest_takes_the_largest_entries_of_every_row():
    potential = np.random.default_rng(3).random((9, 9))
    links = farthest(potential, 4)
    assert links.shape == (36, 2)
    assert links[:, 0].tolist() == np.repeat(np.arange(9), 4).tolist()
    for i in range(9):
        taken = potential[i, links[4 * i : 4 * i + 4, 1]]
        assert taken.tolist() == sorted(potential[i], reverse=True)[:4]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6), st.data())
def test_of_equally_far_points_the_first_are_taken(count, seed, data):
    potential = np.random.default_rng(seed).integers(0, 3, size=(count, count)).astype(float)
    k = data.draw(st.integers(1, count - 1))
    for i, links in enumerate(farthest(potential, k).reshape(count, k, 2)):
        ordered = sorted(range(count), key=lambda j: (-potential[i, j], j))
        assert links.tolist() == [[i, j] for j in ordered[:k]]


def test_farthest_keeps_an_edge_that_is_drawn_from_both_ends():
    assert farthest([[0, 1, 3], [1, 0, 2], [3, 2, 0]], 1).tolist() == [[0, 2], [1, 2], [2, 0]]


def test_renaming_points_renames_the_graph():
    distances, order = cloud(20), np.random.default_rng(1).permutation(20)
    graph, renamed = knn_graph(distances, 3), knn_graph(distances[np.ix_(order, order)], 3)
    assert (graph.toarray()[np.ix_(order, order)] == renamed.toarray()).all()


def test_components_count_stored_zeros_as_edges():
    entries = (np.zeros(2), ([0, 1], [1, 0]))
    graph = sparse.csr_array(entries, shape=(3, 3))
    assert edges(graph).tolist() == [[0, 1]]
    assert components(graph) == 2


def test_edges_accept_repeated_entries_of_a_coo_matrix():
    graph = sparse.coo_array((np.ones(3), ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert edges(graph).tolist() == [[0, 1]]


@pytest.mark.parametrize("k", [0, -1, 5, 6])
def test_k_must_leave_a_point_out(k):
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.4 for 5 points"):
        neighbours(cloud(5), k)
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.4 for 5 points"):
        farthest(cloud(5), k)


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.zeros((3, 2)), "square"),
        (np.zeros((0, 0)), "square"),
        (np.zeros(3), "square"),
        (np.full((2, 2), np.nan), "finite, but 4"),
        ([[0, np.inf], [np.inf, 0]], "finite, but 2"),
        ([[0, 1], [2, 0]], "symmetric"),
        ([[1, 2], [2, 1]], "zero diagonal"),
        ([[0, -1], [-1, 0]], "negative"),
    ],
)
def test_what_is_no_matrix_of_distances_is_refused(distances, message):
    with pytest.raises(ValueError, match=message):
        check_distances(distances)


@pytest.mark.parametrize(
    ("value", "message"),
    [(2.0, "symmetric"), (np.nan, "finite, but 1"), (np.inf, "finite, but 1")],
)
@pytest.mark.parametrize("place", [(0, 1), (1199, 3), (3, 1199), (1199, 1198)])
def test_one_bad_entry_among_many_is_found(place, value, message):
    distances = np.ones((1200, 1200)) - np.eye(1200)
    check_distances(distances)
    distances[place] = value
    with pytest.raises(ValueError, match=message):
        check_distances(distances)


@pytest.mark.parametrize(
    ("graph", "error", "message"),
    [
        (np.eye(2)[::-1], TypeError, "csr_array"),
        (sparse.csr_array(np.ones((2, 3))), ValueError, "square"),
        (sparse.csr_array(np.eye(2)), ValueError, "no loops"),
        (sparse.csr_array(np.eye(3, k=1)), ValueError, "2 edges go one way"),
    ],
)
def test_what_is_no_graph_is_refused(graph, error, message):
    with pytest.raises(error, match=message):
        edges(graph)


def test_other_bad_requests_are_refused():
    with pytest.raises(ValueError, match="same points"):
        join(neighbours(cloud(5), 2), cloud(6))
    with pytest.raises(ValueError, match='"mst" or None'):
        knn_graph(cloud(5), 2, connect="tree")
    with pytest.raises(ValueError, match="potential must be finite, but 9 entries are not"):
        farthest(np.full((3, 3), np.nan), 1)
    with pytest.raises(ValueError, match=r"square potential.*\(3, 2\); .*landmarks=None"):
        farthest(np.zeros((3, 2)), 1)
