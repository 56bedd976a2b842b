"""Turning has closed forms, and small turning proves that the squared error falls."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jumpretrain.gauss import certificate, linearity, turning


def arc(times, angle=np.pi):
    return np.c_[np.cos(angle * times), np.sin(angle * times)]


def smooth(count, points=60, size=3, seed=0):
    """Random smooth curves (points, count, size) that end at 0, some nearly straight."""
    rng = np.random.default_rng(seed)
    times = np.linspace(0, 1, points)[:, None, None]
    curves = times * rng.normal(size=(count, size))
    strength = rng.choice([0, 0.02, 0.1, 0.4, 1.5], size=(count, 1))
    for number in (1, 2, 3):
        wave = strength * rng.normal(size=(count, size)) / number
        curves = curves + wave * np.sin(number * np.pi * times + rng.uniform(0, 6, (count, 1)))
    return curves - curves[-1]


def test_a_half_circle_turns_by_pi_and_has_length_pi():
    found = turning(arc(np.linspace(0, 1, 2001)))
    assert found.joint == pytest.approx(np.pi * 1999 / 2000, rel=1e-9)
    assert found.per_example.tolist() == [found.joint] and found.mean == found.joint
    assert found.path_length[0] == pytest.approx(np.pi, rel=1e-6)


def test_straight_lines_do_not_turn_however_they_are_walked():
    times = np.linspace(0, 1, 40)[:, None] ** 3
    assert turning(1 + times * [3.0, -1.0, 2.0]).joint < 1e-6
    assert turning(np.ones((5, 2))).joint == 0
    assert turning(np.ones((1, 2))).joint == 0


def test_turning_back_is_half_a_turn_and_a_corner_is_its_angle():
    assert turning([[0.0, 0], [1, 0], [0.5, 0]]).joint == pytest.approx(np.pi)
    assert turning([[0.0, 0], [1, 0], [1, 0], [1, 2]]).joint == pytest.approx(np.pi / 2)


def test_reparametrising_and_rotating_leave_the_gauss_length():
    rng = np.random.default_rng(0)
    rotation = Rotation.random(rng=0).as_matrix()
    for _ in range(3):
        wave = rng.normal(size=(2, 3))

        def curve(times, wave=wave):
            return np.sin(np.outer(times, [1, 2]) * 2) @ wave

        even = turning(curve(np.linspace(0, 1, 801))).joint
        uneven = turning(7 * curve(np.linspace(0, 1, 801) ** 2)).joint
        assert uneven == pytest.approx(even, rel=2e-2)
        turned = turning(curve(np.linspace(0, 1, 801)) @ rotation).joint
        assert turned == pytest.approx(even, rel=1e-6)


def test_leaving_out_points_never_makes_it_longer():
    rng = np.random.default_rng(1)
    for _ in range(50):
        curve = rng.normal(size=(20, 3))
        keep = np.sort(rng.permutation(20)[:10])
        assert turning(curve[keep]).joint <= turning(curve).joint + 1e-9


def test_examples_are_measured_apart_and_together():
    times = np.linspace(0, 1, 500)
    both = np.stack([arc(times), arc(times, 0.5)], axis=1)
    found = turning(both)
    apart = [turning(both[:, k]).joint for k in (0, 1)]
    np.testing.assert_allclose(found.per_example, apart)
    assert found.joint == pytest.approx(turning(both.reshape(500, 4)).joint)
    streamed = turning(point for point in both)
    np.testing.assert_array_equal(streamed.per_example, found.per_example)


def test_noise_of_single_precision_is_no_turning():
    times = np.linspace(0, 1, 2000)[:, None]
    line = (100 + times * [1.0, 2.0, -3.0]).astype(np.float32)
    assert turning(line).joint < 2
    assert turning(line.astype(float)).joint > 6


def test_no_curve_that_turns_little_rises():
    curves = smooth(4000)
    loss = (curves**2).sum(2)
    small = turning(curves).per_example < np.pi / 2
    falls = (np.diff(loss, axis=0) < 0).all(0)
    assert 400 < small.sum() < 3600 and not falls.all()
    assert falls[small].all()
    for row in range(20):
        assert certificate(curves[:, [row]], np.zeros((1, 3))).holds == small[row]


def test_small_turning_of_all_outputs_together_is_enough():
    curves = smooth(300, seed=1).reshape(60, 100, 3, 3)
    held = [certificate(curves[:, row], np.zeros((3, 3))) for row in range(100)]
    joint = [c.holds and c.length.per_example.max() >= np.pi / 2 for c in held]
    loss = (curves**2).sum((2, 3))
    falls = (np.diff(loss, axis=0) < 0).all(0)
    assert any(joint) and falls[[c.holds for c in held]].all()


def test_the_theorem_is_tight():
    def corner(angle):
        return np.array([[0.0, 0], [1, 0], [1 + 3 * np.cos(angle), 3 * np.sin(angle)]])

    for angle, holds in ((1.5, True), (1.64, False)):
        curve = corner(angle)
        loss = ((curve - curve[-1]) ** 2).sum(1)
        assert certificate(curve[:, None], curve[-1:]).holds == holds
    wide = np.r_[[[0.0, 0]], corner(1.7)[1:] - 0.0]
    fine = np.r_[np.linspace(wide[0], wide[1], 50), np.linspace(wide[1], wide[2], 150)[1:]]
    loss = ((fine - fine[-1]) ** 2).sum(1)
    assert (np.diff(loss) > 0).any()


def test_the_certificate_asks_for_the_target():
    line = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 2, 2))
    assert certificate(line, np.ones((2, 2))).holds
    missed = certificate(line, np.full((2, 2), 0.9))
    assert not missed.holds and missed.residual == pytest.approx(np.full(2, 0.1 * np.sqrt(2)))
    with pytest.raises(ValueError, match=r"outputs are \(2, 2\) \(n, d\), but the targets"):
        certificate(line, np.ones(2))


def test_linearity_is_the_integral_of_the_distance_from_the_chord():
    alphas = np.linspace(0, 1, 2001)
    bent = np.stack([alphas, 0.3 * np.sin(np.pi * alphas)], axis=1)[:, None]
    assert linearity(bent, alphas) == pytest.approx(0.09 / 2, rel=1e-4)
    assert linearity(alphas[:, None, None] ** 2 * np.ones((1, 3, 4)), alphas) < 1e-25
    closed = arc(alphas, 2 * np.pi)[:, None]
    closed[-1] = closed[0]
    assert linearity(closed, alphas) == pytest.approx(2, rel=1e-4)


def test_bad_curves_are_refused():
    with pytest.raises(ValueError, match="those at point 1 are not"):
        turning([[0.0, 1], [np.nan, 0]])
    with pytest.raises(ValueError, match="there is none"):
        turning([])
