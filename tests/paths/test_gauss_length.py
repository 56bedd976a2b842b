"""Turning has closed forms, whatever the parametrisation; what rounding adds is said."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.cases import arc, smooth

from jumpretrain.paths.gauss_length import turning


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


def test_no_more_than_the_angle_is_said_to_be_rounding():
    bent = arc(np.linspace(0, 1, 2001), 0.01).astype(np.float32)
    with pytest.warns(UserWarning, match="up to") as said:
        found = turning(np.stack([bent, bent], axis=1))
    assert found.joint_rounding > 1 > found.joint
    each, joint = f"{found.mean:.3g}", f"{found.joint:.3g}"
    words = f"up to {each} of {each} radians (mean) and {joint} of {joint} (joint) may be"
    assert words in str(said[0].message)


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


def test_bad_curves_are_refused():
    with pytest.raises(ValueError, match="those at point 1 are not"):
        turning([[0.0, 1], [np.nan, 0]])
    for count in (0, 1, 2):
        with pytest.raises(ValueError, match=f"between 3 points or more, but has {count}"):
            turning(np.ones((count, 4, 2)))


def test_the_mean_is_over_examples_not_the_middle_one():
    curves = np.zeros((3, 3, 2))
    curves[1:, :, 0] = 1
    curves[2, 0] = [1, 1]  # one of three turns by a right angle
    curves[2, 1:, 0] = 2
    assert turning(curves).mean == pytest.approx(np.pi / 6)
