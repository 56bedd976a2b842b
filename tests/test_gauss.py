"""Turning has closed forms, and small turning proves that the squared error falls."""

import itertools

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
    assert turning(1 + times * [3.0, -1.0, 2.0]).points == 40
    assert turning(np.ones((5, 2))).joint == 0


def test_turning_back_is_half_a_turn_and_a_corner_is_its_angle():
    assert turning([[0.0, 0], [1, 0], [0.5, 0]]).joint == pytest.approx(np.pi)
    assert turning([[0.0, 0], [1, 0], [1, 0], [1, 2]]).joint == pytest.approx(np.pi / 2)


def halved(curve, parts=2):
    """The same polygon with points between its corners, and each corner twice."""
    steps = np.diff(curve, axis=0)
    between = [curve[:-1] + steps * (k / parts) ** 2 for k in range(parts + 1)]
    return np.stack(between, axis=1).reshape(-1, *curve.shape[1:])


def test_reparametrising_turning_and_stretching_leave_the_gauss_length():
    rng = np.random.default_rng(0)
    rotation = Rotation.random(rng=0).as_matrix()
    for _ in range(20):
        curve = rng.normal(size=(12, 3))
        length = turning(curve).joint
        again = halved(curve, rng.integers(1, 6))
        assert len(again) > len(curve)
        assert turning(again).joint == pytest.approx(length, rel=1e-12, abs=1e-12)
        assert turning(7 * curve @ rotation + 1).joint == pytest.approx(length, rel=1e-12)


def test_a_relu_curve_turns_by_the_angles_at_its_kinks_however_it_is_sampled():
    rng = np.random.default_rng(1)
    slopes, kinks = rng.normal(size=(6, 3)), np.linspace(0.1, 0.9, 5)
    speeds = slopes[0] + np.r_[np.zeros((1, 3)), np.cumsum(slopes[1:], axis=0)]
    cosines = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.pairwise(speeds)
    ]

    def curve(alphas):
        return np.outer(alphas, slopes[0]) + np.maximum(alphas[:, None] - kinks, 0) @ slopes[1:]

    for power in (1, 2, 0.5):
        alphas = np.union1d(np.linspace(0, 1, 30) ** power, kinks)
        assert turning(curve(alphas)).joint == pytest.approx(np.arccos(cosines).sum(), abs=1e-12)
    between = turning(curve(np.linspace(0, 1, 8))).joint
    assert between < np.arccos(cosines).sum()


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


def test_noise_of_single_precision_is_little_turning_and_said():
    times = np.linspace(0, 1, 2000)[:, None]
    line = (100 + times * [1.0, 2.0, -3.0]).astype(np.float32)
    with pytest.warns(UserWarning, match=r"of 1\.\d+ radians \(mean\).*Task\(lambda: build\(\)"):
        found = turning(line)
    assert 0.1 < found.joint < 2 and found.joint < found.joint_rounding
    assert turning(line.astype(float)).joint > 6


def test_rounding_outputs_changes_the_length_by_less_than_is_said():
    curves = np.concatenate([smooth(300, points=200, seed=2), 5 + smooth(300, 200, seed=3)], 1)
    exact, rounded = turning(curves), turning(curves.astype(np.float32))
    gap = np.abs(rounded.per_example - exact.per_example)
    assert (gap <= rounded.rounding + 1e-7).all() and gap.max() > 1e-4
    assert rounded.rounding.mean() < 0.2 and exact.rounding.max() < 1e-8
    assert abs(rounded.joint - exact.joint) <= rounded.joint_rounding + 1e-7


def test_the_rounding_of_a_line_is_its_closed_form():
    line = np.linspace(1, 2, 11)[:, None].astype(np.float32)
    ends = (line[1:] + line[:-1]).sum() / 0.1
    assert turning(line).joint_rounding == pytest.approx(2 * 2**-23 * ends, rel=1e-5)


def test_no_curve_that_turns_little_rises():
    curves, target = smooth(4000), np.zeros((40, 3))
    loss = (curves**2).sum(2)
    length = turning(curves).per_example
    small = length < np.pi / 2
    falls = (np.diff(loss, axis=0) < 0).all(0)
    assert 400 < small.sum() < 3600 and not falls.all()
    assert falls[small].all()
    assert certificate(curves[:, small], np.zeros((small.sum(), 3))).holds
    together = 0
    for some in np.argsort(length).reshape(100, 40):
        held = certificate(curves[:, some], target)
        assert held.holds == (small[some].all() or held.length.joint < np.pi / 2)
        together += held.holds
        assert not held.holds or (np.diff(loss[:, some].sum(1)) < 0).all()
    assert 10 < together < 90


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


def test_the_certificate_asks_for_the_target_on_the_scale_of_the_path():
    line = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 2, 2))
    assert certificate(line, np.ones((2, 2))).holds
    missed = certificate(line, np.full((2, 2), 0.9))
    assert not missed.holds and missed.residual == pytest.approx(np.full(2, 0.1 * np.sqrt(2)))
    assert missed.first == pytest.approx(np.full(2, 0.9 * np.sqrt(2)))
    for scale in (1e-9, 1, 1e9):
        assert certificate(scale * line, scale * np.ones((2, 2))).holds
        assert not certificate(scale * line, scale * np.full((2, 2), -0.5)).holds
        assert not certificate(scale * line, scale * np.full((2, 2), 0.9)).holds


def test_with_a_residual_the_error_rises_by_twice_that_at_most():
    curves, rng, tolerance = smooth(2000, seed=4), np.random.default_rng(5), 0.05
    targets = 0.05 * rng.normal(size=(2000, 3))
    away = np.linalg.norm(curves - targets, axis=2)
    rise = (away - np.minimum.accumulate(away)).max(0)
    found = turning(curves).per_example < np.pi / 2
    held = found & (away[-1] <= tolerance * away[0])
    assert held.sum() > 100 and rise[held].max() > 1e-3
    assert (rise[held] <= 2 * away[-1, held]).all()
    first, last = (np.linalg.norm(away[row, held]) for row in (0, -1))
    assert certificate(curves[:, held], targets[held], last / first * 1.001).holds
    assert not certificate(curves[:, held], targets[held], last / first * 0.999).holds
    last = certificate(np.array([0, 0.5, 1 - 5e-7, 1])[:, None, None], [[1 - 5e-7]])
    assert last.holds and last.residual[0] == pytest.approx(5e-7)  # it rises by 5e-7


def test_certificates_of_other_shapes_are_refused():
    line = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 2, 2))
    with pytest.raises(ValueError, match=r"outputs are \(2, 2\) \(n, d\), but the targets"):
        certificate(line, np.ones(2))
    for test in (
        lambda z: certificate(z, np.ones(2)),
        lambda z: linearity(z, np.linspace(0, 1, 5)),
    ):
        with pytest.raises(ValueError, match=r"must be \(A, n, d\), but are \(5, 2\)"):
            test(line[:, 0])
    with pytest.raises(ValueError, match="targets must be finite"):
        certificate(line, np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="but has 2; sample more"):
        certificate(line[:2], np.ones((2, 2)))


def test_linearity_needs_an_alpha_for_each_finite_output():
    line = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 2, 2))
    with pytest.raises(ValueError, match="but 5 have 2"):
        linearity(line, [0, 1])
    with pytest.raises(ValueError, match="rises within"):
        linearity(line, np.linspace(1, 0, 5))
    with pytest.raises(ValueError, match="must be finite to be near a line"):
        linearity(np.where(line == 0.5, np.nan, line), np.linspace(0, 1, 5))


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
    for count in (0, 1, 2):
        with pytest.raises(ValueError, match=f"between 3 points or more, but has {count}"):
            turning(np.ones((count, 4, 2)))
