"""Crossings bend as the paper shows where wedges are few, and refinement closes the bump."""

import numpy as np
import pytest

from jumpretrain.states.directions import deviation_cosines
from jumpretrain.toys.wedge_crossings import connect, refine, relax, trace
from jumpretrain.toys.wedges import Toy

SEEDS = range(5)


def pair(seed, wedges=8, dim=500, short=50):
    """Draws a landscape and an optimum on each of two of its wedges."""
    toy = Toy(dim, short, wedges, seed)
    optima = toy.project(np.random.default_rng(seed).normal(size=(20, dim)))
    here = toy.short_axes(optima)
    other = (here != here[0]).any(axis=1).argmax()
    return toy, optima[[0, other]]


def walls(toy, optima):
    """Measures each optimum's distance from the other's wedge: the start's, then the end's."""
    return np.linalg.norm(optima * toy.short_axes(optima)[::-1], axis=1)


def triangle(cosines):
    return cosines[np.triu_indices(len(cosines), 1)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_linear_path_rises_to_where_both_wedges_are_equally_far(seed):
    toy, optima = pair(seed)
    path, (start, end) = trace(toy, optima, each=100), walls(toy, optima)
    expected = np.minimum(path.alphas * end, (1 - path.alphas) * start)
    np.testing.assert_allclose(path.values("train_loss"), expected, atol=1e-12)
    np.testing.assert_allclose(path.alphas, np.linspace(0, 1, 101))
    assert path.barrier() == pytest.approx(0.5 * np.sqrt(50), rel=0.15)


def test_a_trace_goes_through_all_corners_at_shares_of_its_length():
    toy = Toy(3, 1, wedges=1)
    corners = np.array([[0.0, 0, 0], [3, 0, 0], [3, 1, 0], [3, 1, 4.0]])
    path = trace(toy, corners, each=4)
    np.testing.assert_allclose(path.alphas[::4], np.array([0, 3, 4, 8]) / 8)
    np.testing.assert_array_equal(path.values("train_loss")[::4], toy.loss(corners))
    axis = np.flatnonzero(toy.normals[0])[0]
    reached = np.interp(path.alphas * 8, [0, 3, 4, 8], corners[:, axis])
    np.testing.assert_allclose(path.values("train_loss"), reached, atol=1e-12)


@pytest.mark.parametrize("wedges", [8, None])
@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_are_optima_in_planes_normal_to_the_chord(wedges, seed):
    toy, optima = pair(seed, wedges)
    nodes = connect(toy, optima, inner=7)
    np.testing.assert_array_equal(nodes[[0, -1]], optima)
    chord = optima[1] - optima[0]
    share = (nodes - optima[0]) @ chord / (chord @ chord)
    np.testing.assert_allclose(share, np.arange(9) / 8, atol=1e-12)
    assert toy.loss(nodes).max() < 1e-9 < trace(toy, optima).barrier()


@pytest.mark.parametrize("seed", SEEDS)
def test_with_few_wedges_deviations_agree_within_a_half_and_not_across(seed):
    toy, optima = pair(seed)
    nodes = connect(toy, optima)
    cosines = deviation_cosines(nodes)
    start, end = walls(toy, optima)
    first = (np.linspace(0, 1, 12)[1:-1] < start / (start + end)).sum()
    assert 4 <= first <= 6
    assert triangle(cosines[:first, :first]).min() > 0.95
    assert triangle(cosines[first:, first:]).min() > 0.95
    across = cosines[:first, first:]
    assert 0 < across.min() and across.max() < 0.15
    rise = np.array([start, end]) ** 2 / ((optima[1] - optima[0]) ** 2).sum()
    expected = np.sqrt(rise.prod() / (1 - rise).prod())
    np.testing.assert_allclose(across, expected, rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_all_subsets_as_wedges_deviations_do_not_agree_within_a_half(seed):
    cosines = deviation_cosines(connect(*pair(seed, wedges=None)))
    within = [triangle(cosines[:5, :5]), triangle(cosines[5:, 5:])]
    assert np.mean(within) < 0.2 and np.max(within) < 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_connector_keeps_half_the_wall_in_one_piece_and_refinement_takes_it_down(seed):
    toy, optima = pair(seed)
    nodes = connect(toy, optima)
    linear, bent = trace(toy, optima).barrier(), trace(toy, nodes)
    pieces = bent.values("train_loss")[1:].reshape(-1, 20).max(axis=1)
    assert 0.4 < pieces.max() / linear < 0.65
    assert (np.sort(pieces)[:-1] < 1e-9).all()
    finer = refine(toy, nodes, times=10)
    assert finer.shape == (22, 500)
    assert all((finer == node).all(axis=1).any() for node in nodes)
    assert trace(toy, finer).barrier() < pieces.max() / 10


def test_a_simplex_is_relaxed_normal_to_all_its_edges():
    toy = Toy(500, 50, wedges=12)
    optima = toy.project(np.random.default_rng(0).normal(size=(40, 500)))
    optima = optima[np.unique(toy.nearest(optima), return_index=True)[1]][:5]
    shares = np.vstack([np.full(5, 0.2), np.random.default_rng(1).dirichlet(np.ones(5), 10)])
    ends = relax(toy, optima, shares)
    edges = (optima[:, None] - optima[None]).reshape(-1, 500)
    np.testing.assert_allclose((ends - shares @ optima) @ edges.T, 0, atol=1e-9)
    assert toy.loss(ends).max() < 1e-9
    assert toy.loss(shares @ optima).min() > 0.1


def test_deviations_of_nodes_on_the_chord_have_no_angle():
    nodes = np.array([[0.0, 0, 0], [1, 1, 0], [2, 0, 0], [3, 0, -2], [4, 0, 0]])
    expected = [[1, np.nan, 0], [np.nan] * 3, [0, np.nan, 1]]
    np.testing.assert_allclose(deviation_cosines(nodes), expected, atol=1e-12)


def test_what_cannot_work_is_refused():
    toy, optima = pair(0)
    with pytest.raises(ValueError, match="a polyline needs at least 2 nodes, but has 1"):
        trace(toy, optima[:1])
    with pytest.raises(ValueError, match="neighbouring nodes must differ, but 1 and 2"):
        refine(toy, optima[[0, 1, 1]])
    with pytest.raises(ValueError, match="must span a simplex, but these 2 do not"):
        connect(toy, optima[[0, 0]])
    with pytest.raises(ValueError, match="must span a simplex, but these 1 do not"):
        relax(toy, optima[:1], [[1.0]])
    with pytest.raises(ValueError, match="must span a simplex, but these 3 do not"):
        relax(toy, [*optima, optima.mean(axis=0)], [[0.2, 0.3, 0.5]])
    with pytest.raises(ValueError, match="but there are 3 optima and inner is 10"):
        connect(toy, [*optima, 2 * optima[0]])
    with pytest.raises(ValueError, match="but there are 2 optima and inner is 0"):
        connect(toy, optima, inner=0)
    with pytest.raises(ValueError, match=r"shares must be \(N, 2\), but are \(1, 3\)"):
        relax(toy, optima, [[0.2, 0.3, 0.5]])
    for shares in ([[0.5, 0.6]], [[-0.5, 1.5]]):
        with pytest.raises(ValueError, match="shares must be at least 0 and sum to 1"):
            relax(toy, optima, shares)
    for nodes in (optima, optima[[0, 1, 0]]):
        with pytest.raises(ValueError, match="deviations need inner nodes between two different"):
            deviation_cosines(nodes)


def test_halving_ends_where_pieces_are_lost_in_rounding():
    toy = Toy(dim=60, short=6, wedges=2)
    optima = np.where(toy.normals, 0.0, np.random.default_rng(0).normal(size=(2, 60)))
    nodes = refine(toy, connect(toy, optima, inner=2), times=120)
    assert 4 < len(nodes) < 124
    assert trace(toy, nodes).barrier() < 1e-6


@pytest.mark.parametrize("wrong", [{"times": -1}, {"each": 1}])
def test_too_small_numbers_of_halvings_are_refused(wrong):
    toy = Toy(dim=6, short=2, wedges=2)
    with pytest.raises(ValueError, match="times must be at least 0 and each at least 2"):
        refine(toy, [[0.0] * 6, [1.0] * 6], **wrong)


def test_nodes_on_the_chord_up_to_rounding_have_no_direction():
    ends = np.random.default_rng(0).normal(size=(2, 5000)).astype(np.float32)
    shares = np.linspace(0, 1, 6)[:, None]
    nodes = ((1 - shares) * ends[0].astype(np.float64) + shares * ends[1]).astype(np.float32)
    assert np.isnan(deviation_cosines(nodes)).all()
