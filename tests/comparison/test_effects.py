import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpretrain.comparison.effects import (
    bootstrap_interval,
    cliffs_delta,
    delta_interval,
    eta_squared,
    standardised_difference,
)

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
    assert np.isnan(bootstrap_interval([[2.0] * 3, [1.0] * 3])).all()
    assert bootstrap_interval([[0.1] * 3, [0.1] * 3]) == (0.0, 0.0)


def test_eta_squared_is_that_of_the_f_statistic():
    rng = np.random.default_rng(3)
    groups = [rng.normal(m, 1, n) for m, n in ((0, 4), (1, 6), (0.5, 5))]
    f = scipy.stats.f_oneway(*groups).statistic
    assert eta_squared(*groups) == pytest.approx(2 * f / (2 * f + 12), rel=1e-12)


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
