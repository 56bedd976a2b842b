"""Descents find the lowest point of a plane, which is a wedge's from s dimensions on."""

import numpy as np
import pytest

from jumpretrain.toys.wedge_descents import descend, draw_plane
from jumpretrain.toys.wedges import Toy

FORMS = [Toy(200, 20, wedges=8), Toy(200, 20, wedges=None)]


def starts(count=3, dim=200, seed=0):
    return np.random.default_rng((seed, 7)).normal(size=(count, dim))


@pytest.mark.parametrize("toy", FORMS, ids=str)
def test_one_step_without_a_plane_is_the_projection(toy):
    np.testing.assert_allclose(descend(toy, starts(), steps=1), toy.project(starts()), atol=1e-15)
    landed = toy.project(starts())
    np.testing.assert_array_equal(descend(toy, landed), landed)


@pytest.mark.parametrize("toy", FORMS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_random_planes_reach_a_wedge_from_s_dimensions_on(toy, seed):
    start = toy.loss(starts(seed=seed)).max()

    def final(size):
        return toy.loss(descend(toy, starts(seed=seed), draw_plane(200, size, seed))) / start

    assert min(final(size).min() for size in (10, 16, 19)) > 1e-5
    assert max(final(size).max() for size in (20, 21, 24, 40)) < 1e-9


@pytest.mark.parametrize("toy", FORMS, ids=str)
@pytest.mark.parametrize("size", [1, 10, 19])
def test_smaller_planes_end_where_least_squares_does(toy, size):
    basis, begin = draw_plane(200, size, seed=1), starts()
    ends = descend(toy, begin, basis)
    for point, end, short in zip(begin, ends, toy.short_axes(ends), strict=True):
        theta, *_ = np.linalg.lstsq(basis[short], -point[short], rcond=None)
        np.testing.assert_allclose(end, point + basis @ theta, atol=1e-6)


@pytest.mark.parametrize("toy", FORMS, ids=str)
@pytest.mark.parametrize("size", [5, 20, 60])
def test_the_loss_never_rises_and_conjugate_steps_are_few(toy, size):
    basis = draw_plane(200, size)
    many = [0, 1, 2, 3, 5, 9, 15, 25, 40]
    losses = np.array([toy.loss(descend(toy, starts(), basis, steps=steps)) for steps in many])
    assert (np.diff(losses, axis=0) <= 1e-12).all()
    assert (losses[-1] < losses[0]).all()
    assert size < 60 or losses[-1].max() < 1e-6


def test_points_stay_in_their_plane():
    toy, begin = FORMS[0], starts()
    basis, normal = draw_plane(200, 30), draw_plane(200, 5, seed=1)
    moved = descend(toy, begin, basis) - begin
    np.testing.assert_allclose(basis @ (basis.T @ moved.T), moved.T, atol=1e-10)
    moved = descend(toy, begin, normal=normal) - begin
    np.testing.assert_allclose(moved @ normal, 0, atol=1e-10)
    assert toy.loss(begin + moved).max() < 1e-9 < toy.loss(begin).min()


def test_each_point_goes_its_own_way():
    toy, basis = FORMS[1], draw_plane(200, 15)
    alone = [descend(toy, point[None], basis)[0] for point in starts()]
    np.testing.assert_allclose(descend(toy, starts(), basis), alone, atol=1e-8)


def test_planes_are_orthonormal_and_uniform():
    plane = draw_plane(30, 7, seed=2)
    np.testing.assert_allclose(plane.T @ plane, np.eye(7), atol=1e-12)
    assert (plane == draw_plane(30, 7, seed=2)).all() and (plane != draw_plane(30, 7)).any()
    spread = [draw_plane(6, 2, seed) for seed in range(500)]
    mean = np.mean([vectors @ vectors.T for vectors in spread], axis=0)
    np.testing.assert_allclose(mean, np.eye(6) / 3, atol=0.05)


def test_what_cannot_work_is_refused():
    toy = FORMS[0]
    for size in (0, 201):
        with pytest.raises(ValueError, match=f"has 1 to 200 of them, but size is {size}"):
            draw_plane(200, size)
    with pytest.raises(ValueError, match=r"basis must be \(200, d\) with d <= 200, .*\(100, 5\)"):
        descend(toy, starts(), draw_plane(100, 5))
    with pytest.raises(ValueError, match=r"normal must be \(200, d\) with d <= 200, .*\(200, 201"):
        descend(toy, starts(), normal=np.ones((200, 201)))
    with pytest.raises(ValueError, match="basis must be orthonormal"):
        descend(toy, starts(), 2 * draw_plane(200, 5))
    with pytest.raises(ValueError, match="basis= or by normal=, but both"):
        descend(toy, starts(), draw_plane(200, 5), draw_plane(200, 5))
    with pytest.raises(ValueError, match=r"points must be \(N, 200\)"):
        descend(toy, np.ones((2, 100)))
