import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpretrain.comparison.effects import (
    cliffs_delta,
    eta_squared,
    standardised_difference,
)
from jumpretrain.comparison.intervals import (
    _acceleration,
    bootstrap_interval,
    delta_interval,
    difference_interval,
    share_interval,
)

numbers = st.integers(-50, 50).map(lambda x: x / 4)
values = st.lists(numbers, min_size=2, max_size=8)
LEVELS = [0.975, 0.025]


def test_delta_interval_solves_its_equation_and_never_shrinks_to_a_point():
    a, b = [1.0, 3.0, 4.0, 6.0, 8.0], [0.0, 2.0, 2.5, 5.0]
    n, m = len(a), len(b)
    for delta in delta_interval(a, b):
        win = (delta + 1) / 2
        q1, q2 = win / (2 - win), 2 * win**2 / (1 + win)
        size = (n + m) / 2 - 1
        variance = (win * (1 - win) + size * (q1 - win**2) + size * (q2 - win**2)) / (n * m)
        gap = abs(win - (cliffs_delta(a, b) + 1) / 2)
        assert gap == pytest.approx(scipy.stats.norm.ppf(0.975) * math.sqrt(variance), abs=2e-3)
    low, high = delta_interval([6, 7, 8, 9, 10], [1, 2, 3, 4, 5])
    assert 0.2 < low < 0.4 and high == 1
    assert delta_interval([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx((-high, -low))


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_delta_interval_covers_what_it_says(shift):
    rng = np.random.default_rng(7)
    truth = 2 * scipy.stats.norm.cdf(shift / math.sqrt(2)) - 1
    covered = 0
    for _ in range(600):
        low, high = delta_interval(rng.normal(shift, 1, 5), rng.normal(0, 1, 5))
        covered += low <= truth <= high
    assert 0.92 < covered / 600 < 0.99


@pytest.mark.parametrize(
    ("wide", "narrow", "least", "most"),
    [(5, 20, 0.55, 0.72), (20, 5, 0.97, 1), (3, 3, 0.69, 0.83)],
)
def test_delta_interval_covers_what_it_says_where_one_group_is_spread_widely(
    wide, narrow, least, most
):
    rng = np.random.default_rng(0)
    draws = [(100 * rng.normal(size=wide), rng.normal(size=narrow)) for _ in range(500)]
    covered = np.mean([low <= 0 <= high for low, high in (delta_interval(*d) for d in draws)])
    assert least <= covered <= most


def test_bootstrap_interval_agrees_with_scipy():
    rng = np.random.default_rng(2)
    a, b = rng.exponential(2, 12) ** 2, rng.exponential(1, 9)  # skewed: acceleration matters

    def gap(x, y, axis=-1):
        return x.mean(-1) - y.mean(-1)

    theirs = scipy.stats.bootstrap((a, b), gap, method="BCa", n_resamples=20_000, rng=1)
    mine = bootstrap_interval([a, b], gap, resamples=20_000)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert mine == pytest.approx(tuple(theirs.confidence_interval), abs=0.02 * width)


def test_bootstrap_interval_repeats_with_its_seed_and_flips_with_the_groups():
    rng = np.random.default_rng(4)
    a, b = rng.normal(1, 1, 20), rng.normal(0, 1, 20)
    low, high = bootstrap_interval([a, b], seed=5)
    assert (low, high) == bootstrap_interval([a, b], seed=5) != bootstrap_interval([a, b], seed=6)
    assert low < standardised_difference(a, b) < high
    assert bootstrap_interval([b, a]) == pytest.approx((-high, -low), abs=0.1)


@settings(max_examples=40, deadline=None)
@given(st.lists(values, min_size=2, max_size=4))
def test_intervals_are_ordered_or_absent_whatever_the_values(groups):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        statistic = standardised_difference if len(groups) == 2 else eta_squared
        low, high = bootstrap_interval(groups, statistic, resamples=99)
    assert low <= high or (math.isnan(low) and math.isnan(high))


def test_too_few_networks_and_infinite_values_are_refused():
    with pytest.raises(ValueError, match="two or more networks"):
        bootstrap_interval([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval([[1.0, math.nan], [1.0, 2.0]])


def test_difference_interval_is_where_students_t_begins_and_ceases_to_be_extreme():
    for a, b in (([1.0, 2.0, 4.0], [0.5, 1.0]), ([9.0, 11.0, 10.0], [1.0, 2.0, 0.0, 1.5])):
        t, freedom = scipy.stats.ttest_ind(a, b).statistic, len(a) + len(b) - 2
        ends = np.array(difference_interval(a, b)) / math.sqrt(1 / len(a) + 1 / len(b))
        assert scipy.stats.nct.cdf(t, freedom, ends) == pytest.approx(LEVELS, abs=1e-6)
        low, high = difference_interval(b, a)
        assert (-high, -low) == pytest.approx(difference_interval(a, b), rel=1e-12)


def test_difference_interval_of_equal_means_is_the_normal_one():
    # t is 0, so Phi(-centre) is 0.025 and 0.975: 1.96 sqrt(1 / n + 1 / m) on either side
    reach = scipy.stats.norm.ppf(0.975) * math.sqrt(2 / 3)
    found = difference_interval([1.0, 2.0, 3.0], [0.0, 2.0, 4.0])
    assert found == pytest.approx((-reach, reach), rel=1e-9)


def test_difference_interval_of_groups_far_apart_is_that_of_their_spread():
    # without noise of the means only the deviation is unsure: t sqrt(chi^2 / freedom)
    for gap in (1e5, 1e9):
        a, b = np.array([0.0, 1.0, 2.0]) + gap, np.array([0.0, 1.0, 2.0])
        expected = gap * np.sqrt(scipy.stats.chi2.ppf([0.025, 0.975], 4) / 4)
        assert difference_interval(a, b) == pytest.approx(tuple(expected), rel=1e-3)


def test_share_interval_is_where_f_begins_and_ceases_to_be_extreme():
    groups = [[0.0, 1.0, 2.0], [2.0, 3.5, 1.0, 2.0], [4.0, 5.5]]
    f = scipy.stats.f_oneway(*groups).statistic
    ends = np.array(share_interval(*groups))
    centre = 9 * ends / (1 - ends)
    assert scipy.stats.ncf.cdf(f, 2, 6, centre) == pytest.approx(LEVELS, abs=1e-6)
    assert 0 < ends[0] < eta_squared(*groups) < ends[1] < 1


def test_share_interval_begins_at_none_where_f_is_no_larger_than_by_chance():
    alike = [[0.0, 1.0, 2.0], [0.1, 1.0, 2.0], [0.0, 1.1, 2.0]]
    assert share_interval(*alike)[0] == 0
    far = share_interval([0.0, 1.0], [1e7, 1e7 + 1], [2e7, 2e7 + 1])
    assert 1 - 1e-9 < far[0] <= far[1] <= 1


def test_intervals_without_spread_are_absent():
    for groups in ([[2.0] * 3, [1.0] * 3], [[0.1] * 3, [0.1 + 1e-17] * 3]):
        assert np.isnan(difference_interval(*groups)).all()
        assert np.isnan(share_interval(*groups, [0.1] * 2)).all()
    assert np.isnan(bootstrap_interval([[2.0] * 3, [1.0] * 3])).all()
    assert bootstrap_interval([[0.1] * 3, [0.1] * 3]) == (0.0, 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(values, min_size=2, max_size=4), st.integers(-9, 9), st.sampled_from([0.5, 4.0]))
def test_noncentral_intervals_are_ordered_and_keep_under_shifts_and_scales(groups, shift, scale):
    arrays = [np.array(group) for group in groups]
    moved = [scale * array + shift for array in arrays]
    for found, again in (
        (share_interval(*arrays), share_interval(*moved)),
        (difference_interval(*arrays[:2]), difference_interval(*moved[:2])),
    ):
        assert found == pytest.approx(again, abs=1e-7, nan_ok=True)
        assert found[0] <= found[1] or np.isnan(found).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 5, 10])
def test_intervals_cover_what_they_say_however_large_the_effect(size):
    rng = np.random.default_rng(size)

    def covered(interval, truth, means):
        found = [interval(*(rng.normal(mean, 1, size) for mean in means)) for _ in range(1000)]
        return np.mean([low - 1e-12 <= truth <= high + 1e-12 for low, high in found])

    for gap in (0.0, 1.0, 3.0, 5.0):
        delta = 2 * scipy.stats.norm.cdf(gap / math.sqrt(2)) - 1
        assert 0.925 < covered(difference_interval, gap, (gap, 0)) < 0.975
        assert covered(delta_interval, delta, (gap, 0)) > 0.9 - 3 * 0.0095  # 3 and 3 separate
    for share in (0.1, 0.3, 0.5, 0.9):
        step = math.sqrt(1.5 * share / (1 - share))
        assert 0.925 < covered(share_interval, share, (-step, 0, step)) < 0.975
    assert 0.955 < covered(share_interval, 0.0, (0, 0, 0)) < 0.995


def test_share_interval_holds_no_difference_where_there_is_none():
    rng = np.random.default_rng(1)
    found = [share_interval(*rng.normal(size=(3, 5))) for _ in range(250)]
    assert np.mean([low == 0 for low, _ in found]) > 0.94


def test_bias_is_corrected_by_half_of_the_ties():
    # means of two drawn from 0 and 1 are 0, .5 and 1 with chances 1/4, 1/2 and 1/4: half of the
    # ties put the observed .5 in the middle, none or all of them would shift both ends to 0 or 1
    def gap(x, y):
        return x.mean(-1) - y.mean(-1)

    assert bootstrap_interval([[0.0, 1.0], [0.0, 0.0]], gap, level=0.4) == (0.5, 0.5)


def test_levels_and_resamples_have_a_range():
    for level in (0.0, 1.0, 95.0):
        for interval in (delta_interval, difference_interval, share_interval):
            with pytest.raises(ValueError, match="level of an interval must lie between 0 and 1"):
                interval([1.0, 2.0], [1.0, 3.0], level=level)
    with pytest.raises(ValueError, match="resamples must be a whole number of at least 1"):
        bootstrap_interval([[1.0, 2.0], [1.0, 3.0]], resamples=0)


@pytest.mark.parametrize("statistic", [lambda a, b: 3.0, lambda a, b: a.mean() - b.mean()])
def test_a_statistic_of_all_resamples_at_once_is_refused(statistic):
    with pytest.raises(ValueError, match=r"last axis, .* a\.mean\(-1\) - b\.mean\(-1\)"):
        bootstrap_interval([[1, 2, 3], [4, 5, 7]], statistic=statistic)
    assert bootstrap_interval([[1, 2, 3], [4, 5, 7]], lambda a, b: a.mean(-1) - b.mean(-1))[1] < 0


def test_acceleration_of_a_difference_of_means_weighs_each_group_by_its_size():
    # leaving out one of n moves a mean by (mean - x) / (n - 1): its influence is (x - mean) / n
    groups = [np.array([0.0, 1.0, 8.0]), np.array([2.0, 3.0, 4.0, 9.0, 20.0, 1.0, 5.0])]
    signed = [sign * (x - x.mean()) / len(x) for sign, x in zip((1, -1), groups, strict=True)]
    influence = np.concatenate(signed)
    expected = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    found = _acceleration(groups, lambda a, b: a.mean(-1) - b.mean(-1))
    assert found == pytest.approx(expected, rel=1e-12)
