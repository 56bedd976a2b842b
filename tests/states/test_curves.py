"""Curves meet their ends and their powers exactly."""

import numpy as np
import pytest

from jumpretrain.states.curves import Curve, check_alphas


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_are_exact_to_the_bit(dtype):
    rng = np.random.default_rng(0)
    start, end = (rng.normal(size=999) * 10.0 ** rng.integers(-9, 9, 999) for _ in range(2))
    start[:3], end[:3] = [-0.0, 0.0, 1.0], [1.0, -0.0, -0.0]
    start, end = start.astype(dtype), end.astype(dtype)
    states = Curve(start, end, np.ones(999, np.uint8)).at([0.0, 0.3, 1.0])
    assert states.dtype == dtype
    assert states[0].tobytes() == start.tobytes() and states[2].tobytes() == end.tobytes()
    expected = start.astype(float) + 0.3 * (end.astype(float) - start)
    np.testing.assert_array_equal(states[1], expected.astype(dtype))


def test_each_entry_moves_with_its_own_power():
    curve = Curve(np.full(4, 2.0), np.full(4, 6.0), np.array([1, 2, 3, 7]))
    np.testing.assert_allclose(curve.at(0.5)[0], 2 + 4 * 0.5 ** np.array([1, 2, 3, 7]))


def test_what_does_not_move_stays_exactly():
    held = np.random.default_rng(0).normal(size=50).astype(np.float32)
    states = Curve(held, held, np.ones(50, int)).at(np.linspace(0, 1, 20))
    assert (states == held).all()


def test_a_number_of_alphas_is_spread_evenly():
    np.testing.assert_array_equal(check_alphas(5), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(check_alphas([0.2]), [0.2])


@pytest.mark.parametrize(
    "alphas", [1, 0, [], [0.5, 0.2], [0, 0, 1], [-0.1, 1], [0, 1.1], [0, np.nan, 1], [[0, 1]], 0.5]
)
def test_bad_alphas_are_refused(alphas):
    with pytest.raises(ValueError, match="alphas"):
        check_alphas(alphas)


@pytest.mark.parametrize("alphas", ["abc", [0, "b"], [[0], [0, 1]], {"from": 0}, [0, None, 1]])
def test_what_are_no_numbers_is_refused_by_the_same_rule(alphas):
    with pytest.raises(ValueError, match=r"rises within \[0, 1\], but are .*; sort them, or pass"):
        check_alphas(alphas)


def test_curves_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"must each be \(S,\), but are \(3,\), \(2,\), \(3,\)"):
        Curve(np.zeros(3), np.zeros(2), np.ones(3))
    with pytest.raises(ValueError, match="degrees must be at least 1, but one is 0"):
        Curve(np.zeros(2), np.zeros(2), np.array([1, 0]))
