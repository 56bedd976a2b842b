import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpretrain.topology.filtrations import check_values, elder, entering, pairwise, transform

losses = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@given(losses, st.sampled_from(["raw", "rank", "unit"]))
def test_scales_keep_the_order(values, scale):
    moved = transform(values, scale)
    order = np.argsort(values, kind="stable")
    assert (np.diff(moved[order]) >= 0).all()
    if scale != "raw":
        assert moved.min() == 0.0
        assert moved.max() == (1.0 if len(set(values)) > 1 else 0.0)


def test_scales_of_known_values():
    values = [1.0, 3.0, 1.0, 9.0]
    assert transform(values).tolist() == values
    assert transform(values, "rank").tolist() == [0.0, 0.5, 0.0, 1.0]
    assert transform(values, "unit").tolist() == [0.0, 0.25, 0.0, 1.0]
    assert np.exp(transform(values, "log")) == pytest.approx(values)
    assert transform([2.0, 2.0], "rank").tolist() == [0.0, 0.0]


def test_raw_values_are_a_copy():
    values = np.ones(3)
    transform(values)[0] = 5.0
    assert values[0] == 1.0


@pytest.mark.parametrize(
    ("values", "scale", "message"),
    [
        ([0.0, 1.0], "log", "log needs values above 0, but 1 of 2"),
        ([np.nan, 1.0], "rank", "finite, but 1 of 2"),
        ([], "unit", "one value a point"),
        ([1.0], "sqrt", "scale must be"),
    ],
)
def test_bad_scales_are_refused(values, scale, message):
    with pytest.raises(ValueError, match=message):
        transform(values, scale)


def test_there_is_one_value_a_point():
    with pytest.raises(ValueError, match=r"\(3,\), but values are \(2,\)"):
        check_values([1.0, 2.0], 3)


def test_entering_ranks_points_and_edges():
    matrix, levels = entering(
        np.array([0.5, 7.0, 0.5]), np.array([[0, 1]]), np.array([9.0]), "flag"
    )
    assert matrix.toarray().tolist() == [[1, 3, 0], [3, 2, 0], [0, 0, 1]]
    assert levels[1:].tolist() == [0.5, 7.0, 9.0]


def test_the_bare_graph_has_no_triangles():
    triangle = np.array([[0, 1], [0, 2], [1, 2]])
    matrix, _ = entering(np.arange(3.0), triangle, np.array([1.0, 2.0, 2.0]), "graph")
    dense = (matrix - np.diag(matrix.diagonal())).astype(bool).astype(int)
    assert matrix.shape == (6, 6)
    assert dense.sum() == 12
    assert np.trace(np.linalg.matrix_power(dense, 3)) == 0


def test_pairwise_ranks_lead_back_to_the_distances():
    distances = np.array([[0, 0, 0.3], [0, 0, 0.1], [0.3, 0.1, 0]])
    ranks, levels = pairwise(distances)
    assert (levels[ranks] == distances).all()


def test_elder_pairs_and_counts():
    links = np.array([[0, 1], [1, 0], [1, 2], [2, 2], [3, 4]])
    merged, left, closing = elder(np.array([1.0, 5.0, 2.0, 0.0, 0.0]), links)
    assert sorted(merged.tolist()) == [[0.0, 0.0], [2.0, 5.0], [5.0, 5.0]]
    assert sorted(left.tolist()) == [0.0, 1.0]
    assert sorted(closing.tolist()) == [2.0, 5.0]


def test_the_unit_scale_reaches_the_ends_of_floats():
    assert transform([-1.5e308, 1.5e308, 0.0], "unit").tolist() == [0.0, 1.0, 0.5]
    assert transform([5e-324, 1e-323, 1.5e-323], "unit").tolist() == [0.0, 0.5, 1.0]
