import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from jumpretrain.comparison.effects import (
    cliffs_delta,
    eta_squared,
    standardised_difference,
)
from jumpretrain.comparison.hypothesis_tests import given_covariate, permutation_test
from jumpretrain.comparison.intervals import delta_interval, difference_interval, share_interval

numbers = st.integers(-50, 50).map(lambda x: x / 4)  # exact under shifts by integers
values = st.lists(numbers, min_size=2, max_size=8)


@given(values, values)
def test_cliffs_delta_is_the_naive_count(a, b):
    count = sum((x > y) - (x < y) for x in a for y in b)
    assert cliffs_delta(a, b) == pytest.approx(count / (len(a) * len(b)), abs=1e-12)
    assert -1 <= cliffs_delta(a, b) <= 1


@given(values, values, st.integers(-9, 9), st.sampled_from([0.5, 2.0, 4.0]))
def test_effects_keep_under_shifts_and_scales_and_flip_with_the_groups(a, b, shift, scale):
    a, b = np.array(a), np.array(b)
    for effect in (cliffs_delta, standardised_difference):
        moved = effect(scale * a + shift, scale * b + shift)
        assert moved == pytest.approx(effect(a, b), abs=1e-9)
        assert effect(b, a) == pytest.approx(-effect(a, b), abs=1e-12)
    assert eta_squared(scale * a + shift, b * scale + shift) == pytest.approx(
        eta_squared(b, a), abs=1e-9
    )


def test_separated_groups_have_delta_one_and_ties_none():
    assert cliffs_delta([4, 5], [1, 2, 3]) == 1
    assert cliffs_delta([1, 2], [4, 4]) == -1
    assert cliffs_delta([1, 1], [1, 1]) == 0


def test_hedges_g_by_hand():
    # means 3 and 2, pooled variance (2 + 2) / 4 = 1, factor 1 - 3 / (4 * 4 - 1) is approximate
    exact = math.gamma(2) / (math.sqrt(2) * math.gamma(1.5))
    assert standardised_difference([2, 3, 4], [1, 2, 3]) == pytest.approx(exact, rel=1e-12)
    assert exact == pytest.approx(1 - 3 / 15, abs=0.01)


def test_hedges_g_is_unbiased_for_normal_values():
    rng = np.random.default_rng(0)
    g = standardised_difference(rng.normal(1.5, 1, (40_000, 4)), rng.normal(0, 1, (40_000, 4)))
    assert g.shape == (40_000,)
    assert abs(g.mean() - 1.5) < 4 * g.std() / 200


def test_groups_without_spread_agree_or_differ_without_end():
    assert standardised_difference([0.3] * 3, [0.1 + 0.2] * 3) == 0  # differ by rounding alone
    assert standardised_difference([2.0] * 3, [1.0] * 3) == math.inf
    assert standardised_difference([1.0] * 3, [2.0] * 3) == -math.inf
    assert eta_squared([1.0, 1.0], [1.0, 1.0]) == 0
    assert eta_squared([1.0, 1.0], [2.0, 2.0]) == 1


def test_eta_squared_is_that_of_the_f_statistic():
    rng = np.random.default_rng(3)
    groups = [rng.normal(m, 1, n) for m, n in ((0, 4), (1, 6), (0.5, 5))]
    f = scipy.stats.f_oneway(*groups).statistic
    assert eta_squared(*groups) == pytest.approx(2 * f / (2 * f + 12), rel=1e-12)


def test_no_order_is_made_of_nan_or_of_nothing():
    for a, b in (([math.nan, 1], [0, 2]), ([1.0], [math.nan])):
        with pytest.raises(ValueError, match="1 of them NaN; leave those out"):
            cliffs_delta(a, b)
    with pytest.raises(ValueError, match="0 and 2 values"):
        cliffs_delta([], [1, 2])
    assert cliffs_delta([math.inf, 1], [0, 2]) == 0.5


def test_three_networks_have_no_unbiased_difference():
    assert math.isnan(standardised_difference([1.0], [2.0, 3.0]))
    assert (
        np.isnan(standardised_difference(np.ones((7, 1)), np.ones((7, 2)))).tolist() == [True] * 7
    )
    # means 4 and 2, pooled variance 2 / 2, factor gamma(1) / gamma(1/2) = 1 / sqrt(pi)
    assert standardised_difference([4.0], [1.0, 2.0, 3.0]) == pytest.approx(2 / math.sqrt(math.pi))


def test_eta_squared_by_hand():
    # means 1, 3, 8 around 4: between 2 (9 + 1 + 16) = 52, within 3 * 2 = 6
    assert eta_squared([0, 2], [2, 4], [7, 9]) == pytest.approx(52 / 58, rel=1e-12)


def test_a_share_between_groups_needs_two():
    for groups in ((), ([1.0, 2.0],)):
        with pytest.raises(ValueError, match="needs two or more"):
            eta_squared(*groups)


NEAR = ([1.0, 2.0, 3.5], [4.0, 5.0, 7.0], [2.0, 6.0, 8.0])


@pytest.mark.parametrize("power", [-1070, -600, 530, 1020])
def test_effects_and_their_tests_have_no_scale_up_to_the_ends_of_floats(power):
    groups, far = NEAR, [np.ldexp(group, power) for group in NEAR]
    assert all(
        (np.ldexp(group, -power) == near).all() for group, near in zip(far, NEAR, strict=True)
    )
    assert standardised_difference(*far[:2]) == standardised_difference(*groups[:2])
    assert eta_squared(*far) == eta_squared(*groups)
    for interval in (difference_interval, delta_interval):
        assert interval(*far[:2]) == interval(*groups[:2])
    assert share_interval(*far) == share_interval(*groups)
    for some in (2, 3):
        assert permutation_test(far[:some]).p == permutation_test(groups[:some]).p
        assert given_covariate(far[:some], groups[::-1][:some]) == given_covariate(
            groups[:some], groups[::-1][:some]
        )


def test_a_difference_larger_than_any_float_is_infinite_and_its_p_is_right():
    found = permutation_test([[1.5e308, 1.6e308, 1.7e308], [-1.5e308, -1.6e308, -1.7e308]])
    assert (found.p, found.statistic) == (2 / 20, np.inf)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"two or more with values, but they have \[0, 2\]"):
        eta_squared([], [1, 2])


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("effect", [standardised_difference, eta_squared])
def test_effects_of_what_is_not_finite_are_refused(effect, odd):
    for a, b in (([odd, 1.0], [0.0, 2.0]), ([0.0, 2.0], [1.0, odd])):
        with pytest.raises(ValueError, match=r"must be finite, but 1 of 4 .*; leave those out"):
            effect(a, b)
