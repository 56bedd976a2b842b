"""The toy landscape is the distance to the nearest wedge and keeps its closed forms."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jumpretrain.toys.wedges import (
    Toy,
    predict_average,
    predict_loss,
    predict_short,
    predict_width,
)

FORMS = [Toy(12, 4, wedges=6), Toy(7, 3, wedges=35), Toy(7, 3, wedges=None)]
POINTS = arrays(float, (4, 7), elements=st.floats(-10, 10).map(lambda x: round(x, 3)))


def every_wedge(toy):
    """Lists the short axes of each wedge, by hand where all subsets are wedges."""
    if toy.wedges is None:
        return [list(axes) for axes in combinations(range(toy.dim), toy.short)]
    return [np.flatnonzero(row) for row in toy.normals]


def unit(rng, count, dim):
    draws = rng.normal(size=(count, dim))
    return draws / np.linalg.norm(draws, axis=1, keepdims=True)


@pytest.mark.parametrize("toy", FORMS, ids=str)
def test_projection_is_the_nearest_point_of_all_wedges(toy):
    points = np.random.default_rng(0).normal(size=(200, toy.dim))
    landed = toy.project(points)
    distances = np.array([np.linalg.norm(points[:, axes], axis=1) for axes in every_wedge(toy)])
    np.testing.assert_allclose(toy.loss(points), distances.min(axis=0), rtol=1e-12)
    moved = np.linalg.norm(points - landed, axis=1)
    np.testing.assert_allclose(moved, distances.min(axis=0), rtol=1e-12)
    assert (toy.loss(landed) == 0).all()
    nearest = [every_wedge(toy)[row] for row in distances.argmin(axis=0)]
    assert all((point[axes] == 0).all() for point, axes in zip(landed, nearest, strict=True))
    assert ((landed == 0).sum(axis=1) == toy.short).all()


def test_nearest_names_the_wedge_and_short_axes_marks_it():
    toy = FORMS[0]
    points = np.random.default_rng(1).normal(size=(50, toy.dim))
    distances = [np.linalg.norm(points[:, axes], axis=1) for axes in every_wedge(toy)]
    np.testing.assert_array_equal(toy.nearest(points), np.argmin(distances, axis=0))
    np.testing.assert_array_equal(toy.short_axes(points), toy.normals[toy.nearest(points)])
    assert len(set(toy.nearest(points))) > 3


def test_wedges_are_different_random_subsets_of_axes():
    complete = Toy(7, 3, wedges=35).normals
    assert {tuple(np.flatnonzero(row)) for row in complete} == set(combinations(range(7), 3))
    toy = Toy(50, 10, wedges=400, seed=3)
    assert (toy.normals.sum(axis=1) == 10).all()
    share = toy.normals.mean(axis=0)
    assert abs(share - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 400)
    np.testing.assert_array_equal(toy.normals, Toy(50, 10, wedges=400, seed=3).normals)
    assert (toy.normals != Toy(50, 10, wedges=400, seed=4).normals).any()


@pytest.mark.parametrize("toy", FORMS, ids=str)
def test_gradient_agrees_with_finite_differences(toy):
    points = np.random.default_rng(2).normal(size=(30, toy.dim))
    step = 1e-6 * np.eye(toy.dim)
    slopes = np.stack([(toy.loss(points + h) - toy.loss(points - h)) / 2e-6 for h in step], axis=1)
    np.testing.assert_allclose(toy.gradient(points), slopes, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(toy.gradient(points), axis=1), 1)
    assert not toy.gradient(toy.project(points)).any()


@pytest.mark.parametrize("wedges", [5, None])
@given(points=POINTS, others=POINTS, scale=st.floats(1e-3, 1e3))
def test_the_loss_grows_with_scale_and_never_faster_than_the_distance(
    wedges, points, others, scale
):
    toy = Toy(7, 3, wedges=wedges)
    np.testing.assert_allclose(toy.loss(scale * points), scale * toy.loss(points), rtol=1e-12)
    rise = np.abs(toy.loss(points) - toy.loss(others))
    assert (rise <= np.linalg.norm(points - others, axis=1) + 1e-12).all()
    np.testing.assert_array_equal(toy.project(toy.project(points)), toy.project(points))


@pytest.mark.parametrize("height", [0.0, 0.4])
@pytest.mark.parametrize("toy", [Toy(400, 40), Toy(1000, 100, wedges=None)], ids=str)
def test_the_loss_along_random_directions_looks_like_a_round_well(toy, height):
    rng = np.random.default_rng(5)
    point = rng.normal(size=(1, toy.dim))
    point = toy.project(point) + height * toy.gradient(point)
    start = float(toy.loss(point)[0])
    for distance in (0.2, 0.7):
        squares = toy.loss(point + distance * unit(rng, 4000, toy.dim)) ** 2
        expected = predict_loss(toy, distance, start) ** 2
        # where all subsets are wedges, some other one is soon a little nearer
        slack = 0 if toy.wedges else 0.01 * expected
        assert abs(squares.mean() - expected) < 4 * squares.std() / np.sqrt(4000) + slack


def test_a_well_is_round_up_to_one_over_the_root_of_two_s():
    toy = Toy(400, 40, wedges=1)
    point = toy.project(np.ones((1, 400)))
    losses = toy.loss(point + unit(np.random.default_rng(0), 4000, 400))
    assert losses.std() / losses.mean() == pytest.approx(1 / np.sqrt(2 * 40), rel=0.1)


def test_far_out_another_of_all_subsets_is_nearer():
    toy, rng = Toy(1000, 100, wedges=None), np.random.default_rng(0)
    point = toy.project(rng.normal(size=(1, 1000)))
    far = toy.loss(point + 3 * unit(rng, 100, 1000)).mean()
    assert 0.5 < far < 0.7 < predict_loss(toy, 3.0)


def test_a_tunnel_ends_where_the_well_meets_the_threshold_and_is_wider_with_fewer_short_axes():
    wide, narrow = Toy(400, 10, wedges=1), Toy(400, 40, wedges=1)
    point = 0.3 * narrow.gradient(np.ones((1, 400))) + narrow.project(np.ones((1, 400)))
    width = predict_width(narrow, threshold=1.0, loss=0.3)
    squares = narrow.loss(point + width * unit(np.random.default_rng(1), 4000, 400)) ** 2
    assert abs(squares.mean() - 1) < 4 * squares.std() / np.sqrt(4000)
    assert predict_width(wide, 1.0) == pytest.approx(2 * predict_width(narrow, 1.0))
    assert predict_width(wide, 0.5, loss=0.5) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_short_axes_of_what_wedges_have_in_common_are_counted_right_in_the_mean(count):
    ranks = []
    for seed in range(300):
        toy = Toy(60, 12, wedges=count, seed=seed)
        stacked = np.vstack([np.eye(60)[row] for row in toy.normals])
        ranks.append(np.linalg.matrix_rank(stacked))
    error = np.std(ranks) / np.sqrt(len(ranks))
    assert abs(np.mean(ranks) - predict_short(toy, count)) <= 4 * error + 1e-9
    assert predict_short(toy, 2) == pytest.approx(2 * 12 - 12**2 / 60)
    assert predict_short(toy, 100) == pytest.approx(60)


def test_averages_within_a_wedge_are_free_and_between_two_cost_half_the_root_of_s():
    toys = [Toy(400, 40, wedges=2, seed=seed) for seed in range(400)]
    found, losses = [], []
    for toy, rng in zip(toys, np.random.default_rng(0).spawn(400), strict=True):
        one, two = np.where(toy.normals, 0, rng.normal(size=(2, 400)))
        middle = (one + two) / 2
        found.append(np.sum(middle[toy.normals[0]] ** 2))
        losses.append(toy.loss(middle[None])[0])
        same = np.where(toy.normals[0], 0, rng.normal(size=(2, 400))).mean(axis=0)
        assert toy.loss(same[None]) == 0
    expected = predict_average(toys[0])
    assert abs(np.mean(found) - expected**2) < 4 * np.std(found) / np.sqrt(400)
    assert 0.9 * expected < np.mean(losses) < expected
    assert expected == pytest.approx(0.5 * np.sqrt(40), rel=0.06)


def test_what_cannot_work_is_refused():
    for short in (0, 5, 6):
        with pytest.raises(
            ValueError, match=rf"short must lie in 1\.\.dim - 1 = 4, but is {short}"
        ):
            Toy(5, short)
    for wedges in (0, 11):
        with pytest.raises(ValueError, match=rf"wedges must lie in 1\.\.10, .* but is {wedges}"):
            Toy(5, 2, wedges=wedges)
    with pytest.raises(ValueError, match=r"points must be \(N, 5\), but are \(5,\)"):
        Toy(5, 2).loss(np.ones(5))
    with pytest.raises(ValueError, match=r"points must be \(N, 5\), but are \(0, 5\)"):
        Toy(5, 2).loss(np.ones((0, 5)))
    with pytest.raises(ValueError, match="points must be finite"):
        Toy(5, 2).project([[1, 2, np.nan, 4, 5]])
    with pytest.raises(ValueError, match="wedges are numbered where a few were drawn"):
        Toy(5, 2, wedges=None).nearest(np.ones((1, 5)))
    with pytest.raises(ValueError, match=r"threshold >= loss >= 0, but has 0\.1 and 0\.2"):
        predict_width(Toy(5, 2), 0.1, loss=0.2)
    with pytest.raises(ValueError, match="wedges must be"):
        predict_short(Toy(5, 2), 0)
