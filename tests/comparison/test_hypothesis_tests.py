import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpretrain.comparison.hypothesis_tests import (
    bootstrap_interval,
    cliffs_delta,
    delta_interval,
    difference_interval,
    eta_squared,
    given_covariate,
    holm,
    partial_spearman,
    permutation_test,
    share_interval,
    spearman,
    standardised_difference,
    verdict,
)

values = st.lists(st.integers(-20, 20).map(float), min_size=2, max_size=4)


def naive_p(groups):
    pooled, sizes = [x for group in groups for x in group], [len(group) for group in groups]
    ends = np.cumsum(sizes)[:-1]

    def between(order):
        parts = np.split(np.array([pooled[i] for i in order]), ends)
        return sum(len(part) * (part.mean() - np.mean(pooled)) ** 2 for part in parts)

    null = [between(order) for order in itertools.permutations(range(len(pooled)))]
    return np.mean(np.array(null) >= null[0] - 1e-9)


def test_two_groups_of_two_by_hand():
    # splits of 1, 2, 3, 5: differences of means .5, 1.5 and 2.5, each twice
    test = permutation_test([[1, 2], [3, 5]])
    assert (test.p, test.smallest, test.exact) == (
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
        True,
    )
    assert test.statistic == pytest.approx(2.5)
    assert permutation_test([[1, 3], [2, 5]]).p == pytest.approx(2 / 3)
    assert permutation_test([[1, 5], [2, 3]]).p == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(st.tuples(values, values))
def test_p_is_the_naive_count_for_two_groups(groups):
    if sum(map(len, groups)) <= 6:
        assert permutation_test(groups).p == pytest.approx(naive_p(groups))


def test_p_is_the_naive_count_for_three_groups():
    groups = [[1.0, 4.0], [2.0, 2.0], [7.0, 3.0]]
    assert permutation_test(groups).p == pytest.approx(naive_p(groups))


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (4, 5)])
def test_exact_p_is_scipys(sizes):
    rng = np.random.default_rng(sum(sizes))
    for shift in (0, 1):
        a, b = rng.normal(shift, 1, sizes[0]), rng.normal(0, 1, sizes[1])
        theirs = scipy.stats.permutation_test(
            (a, b),
            lambda x, y: abs(x.mean() - y.mean()),
            alternative="greater",
            n_resamples=np.inf,
        )
        assert permutation_test([a, b]).p == pytest.approx(theirs.pvalue)


def test_separated_groups_reach_the_smallest_p():
    for sizes, smallest in [((5, 5), 2 / 252), ((3, 5), 1 / 56), ((3, 3, 3), 6 / 1680)]:
        groups = [100 * 2**g + np.arange(n) for g, n in enumerate(sizes)]
        test = permutation_test(groups)
        assert test.exact and test.p == pytest.approx(test.smallest) == pytest.approx(smallest)
    many = permutation_test([np.arange(20), 100 + np.arange(20)], resamples=999)
    assert not many.exact and many.p == many.smallest == 1 / 1000


def test_p_is_uniform_under_the_null_exact():
    rng = np.random.default_rng(0)
    p = np.array([permutation_test(rng.exponential(size=(2, 5))).p for _ in range(1500)])
    for level in np.arange(2, 253, 10) / 252:
        share = np.mean(p <= level + 1e-9)
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / 1500) + 1e-9


@pytest.mark.parametrize("sizes", [(12, 9), (6, 7, 8)])
def test_p_is_uniform_under_the_null_random(sizes):
    rng = np.random.default_rng(1)
    p = [
        permutation_test([rng.normal(size=n) for n in sizes], seed=i, resamples=99).p
        for i in range(500)
    ]
    for level in (0.05, 0.1, 0.3, 0.5, 0.8):
        assert abs(np.mean(np.array(p) <= level + 1e-9) - level) < 4 * math.sqrt(
            level * (1 - level) / 500
        )


def test_random_p_comes_near_the_exact_one():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.5, 1, 10), rng.normal(0, 1, 10)  # 184,756 relabellings
    theirs = scipy.stats.ttest_ind(a, b).pvalue
    assert permutation_test([a, b]).p == pytest.approx(theirs, abs=0.03)


@settings(max_examples=40, deadline=None)
@given(st.lists(values, min_size=2, max_size=3), st.integers(-1000, 1000))
def test_p_keeps_under_shifts_scales_and_the_order_of_groups(groups, shift):
    test = permutation_test(groups, resamples=99)
    assert test.smallest <= test.p + 1e-12 <= 1 + 1e-12
    if test.exact:
        moved = [[4 * x + shift for x in group] for group in groups[::-1]]
        assert permutation_test(moved, resamples=99).p == pytest.approx(test.p)


def test_rounding_does_not_untie():
    groups = [[0.1 + 0.2, 0.3, 0.7], [0.3, 0.1 * 3, 0.7]]
    assert permutation_test(groups).p == 1
    far = [[1e9 + 1, 1e9 + 2, 1e9 + 3], [1e9 + 1, 1e9 + 2, 1e9 + 6]]
    near = [[1, 2, 3], [1, 2, 6]]
    assert permutation_test(far).p == pytest.approx(permutation_test(near).p)
    assert permutation_test([[0.1] * 5, [0.1] * 5]).p == 1


def test_strata_take_away_what_belongs_to_them():
    # within each stratum the first group is 1 higher; the strata are 100 apart
    a, b = [1, 2, 101, 102], [0, 1.2, 100, 101.2]
    strata = [[0, 0, 1, 1]] * 2
    blind, blocked = permutation_test([a, b]), permutation_test([a, b], strata=strata)
    assert blocked.p < 0.25 < blind.p
    assert blocked.smallest == pytest.approx(2 / 36)
    swapped = permutation_test([b, a], strata=strata)
    assert swapped.p == pytest.approx(blocked.p)
    with pytest.raises(ValueError, match="label for every network"):
        permutation_test([a, b], strata=[[0, 0, 1], [0, 0, 1, 1]])


def test_a_stratum_may_lie_anywhere_though_groups_share_it_unevenly():
    strata = [np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1])]
    groups = [np.array([1.0, 4.0, 2.0, 9.0]), np.array([3.0, 7.0, 6.0, 8.0])]
    moved = [group + 100 * stratum for group, stratum in zip(groups, strata, strict=True)]
    here, there = (permutation_test(values, strata=strata) for values in (groups, moved))
    assert here.p == pytest.approx(there.p) and here.statistic == pytest.approx(there.statistic)


def test_equal_seeds_give_equal_p_and_leave_the_global_state_alone():
    rng = np.random.default_rng(3)
    groups = rng.normal(size=(2, 20))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = permutation_test(groups, seed=4, resamples=200)
    assert first == permutation_test(groups, seed=4, resamples=200)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("groups", "rule"),
    [
        ([[1.0, math.nan], [1.0, 2.0]], "finite"),
        ([[1.0, math.inf], [1.0, 2.0]], "finite"),
        ([[1.0], [1.0, 2.0]], "two or more networks"),
        ([[1.0, 2.0]], "two or more groups"),
        ([[[1.0, 2.0]], [[1.0, 2.0]]], "two or more networks"),
    ],
)
def test_bad_groups_are_refused(groups, rule):
    with pytest.raises(ValueError, match=rule):
        permutation_test(groups)
    with pytest.raises(ValueError, match=rule):
        given_covariate(groups, [np.arange(len(group)) for group in groups])


def rejections(make, trials=150):
    rng = np.random.default_rng(5)
    p = [given_covariate(*make(rng), resamples=199) for _ in range(trials)]
    return np.mean(np.array(p) <= 0.05)


def networks(rng, gap, slope, sizes=(8, 8), shift=1.0):
    covariates = [rng.normal(shift * g, 1, n) for g, n in enumerate(sizes)]
    noise = (0.5 * rng.normal(size=n) for n in sizes)
    groups = [
        slope * c + gap * g + e for g, (c, e) in enumerate(zip(covariates, noise, strict=True))
    ]
    return groups, covariates


@pytest.mark.parametrize("sizes", [(8, 8), (5, 5), (6, 6, 6)])
def test_a_difference_that_is_the_covariates_does_not_survive(sizes):
    assert rejections(lambda rng: networks(rng, 0.0, 3.0, sizes)) < 0.05 + 3 * 0.0178
    rng = np.random.default_rng(6)
    plain = [
        permutation_test(networks(rng, 0.0, 3.0, sizes)[0], resamples=199).p for _ in range(60)
    ]
    assert np.mean(np.array(plain) <= 0.05) > 0.2


def test_a_difference_of_its_own_survives():
    assert rejections(lambda rng: networks(rng, 1.5, 3.0)) > 0.7
    assert rejections(lambda rng: networks(rng, 1.5, -3.0, shift=0.0)) > 0.9


def test_conditional_p_is_uniform_under_the_null():
    rng = np.random.default_rng(7)
    p = np.array([given_covariate(*networks(rng, 0.0, 1.0), resamples=99) for _ in range(400)])
    for level in (0.1, 0.3, 0.5, 0.8):
        assert abs(np.mean(p <= level + 1e-9) - level) < 4 * math.sqrt(level * (1 - level) / 400)


def test_conditional_p_agrees_with_the_f_test():
    groups, covariates = networks(np.random.default_rng(8), 0.4, 1.0, (15, 15))
    y, c = np.concatenate(groups), np.concatenate(covariates)
    reduced = np.column_stack([np.ones(30), c])
    full = np.column_stack([reduced, np.repeat([0, 1], 15)])
    small, large = (np.linalg.lstsq(x, y, rcond=None)[1][0] for x in (full, reduced))
    p = scipy.stats.f.sf((large - small) / (small / 27), 1, 27)
    assert given_covariate(groups, covariates) == pytest.approx(p, abs=0.02)


def partial_f(y, covariate, labels):
    reduced = np.column_stack([np.ones(len(y)), covariate])
    full = np.column_stack([reduced, labels[:, None] == np.arange(1, labels.max() + 1)])
    left = [y - x @ np.linalg.lstsq(x, y, rcond=None)[0] for x in (reduced, full)]
    return (left[0] @ left[0]) / (left[1] @ left[1]), left[0]


def test_conditional_p_is_the_naive_count_over_permuted_residuals():
    rng = np.random.default_rng(9)
    for sizes in [(3, 3), (2, 2, 2)]:
        groups, covariates = networks(rng, 0.5, 1.0, sizes)
        y, c = np.concatenate(groups), np.concatenate(covariates)
        labels = np.repeat(np.arange(len(sizes)), sizes)
        observed, residual = partial_f(y, c, labels)
        null = [
            partial_f(y - residual + np.array(order), c, labels)[0]
            for order in itertools.permutations(residual)
        ]
        p = np.mean(np.array(null) >= observed * (1 - 1e-9))
        assert given_covariate(groups, covariates) == pytest.approx(p, abs=1e-9)


def test_conditional_test_at_its_borders():
    groups = [[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]]
    assert math.isnan(given_covariate(groups, [[1, 1, 1], [2, 2, 2]]))
    assert given_covariate(groups, groups) == 1
    flat = given_covariate(groups, [[2, 2, 2], [2, 2, 2]])
    assert flat == pytest.approx(permutation_test(groups).p)
    with pytest.raises(ValueError, match="one covariate"):
        given_covariate(groups, [[1, 2, 3, 4], [1, 2]])


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1: .04 .06 .06 .04, then never falling
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1, 1])
    assert holm([0.2]) == pytest.approx([0.2]) and holm([]).shape == (0,)


def test_holm_leaves_what_is_no_member_of_the_family_alone():
    given_p = np.array([0.01, math.nan, 0.04])
    adjusted = holm(given_p)
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04]) and math.isnan(adjusted[1])
    assert given_p[0] == 0.01


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers(p):
    adjusted, order = holm(p), np.argsort(p, kind="stable")
    assert (adjusted >= p).all() and (adjusted <= 1).all()
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-15).all()


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1), st.sampled_from([1, -1]))
def test_verdicts_mirror_and_exclude_each_other(x, y, smallest, expected):
    low, high = min(x, y), max(x, y)
    found = verdict(low, high, smallest, expected)
    assert found == verdict(-high, -low, smallest, -expected)
    inside = low <= expected * smallest <= high
    assert (found == "undecided") == inside


def test_verdicts_without_an_interval_or_a_claim():
    assert verdict(math.nan, math.nan, 0.3) == "undecided"
    assert verdict(0.4, 0.9, 0.3, -1) == "contradicted"
    with pytest.raises(ValueError, match="expected must be 1 or -1"):
        verdict(0.1, 0.2, 0.3, 0)
    with pytest.raises(ValueError, match="smallest effect"):
        verdict(0.1, 0.2, -0.3)


def test_statistics_of_uneven_groups_and_strata_by_hand():
    # means 1, 4 and 8 around 30 / 7: 2 (23 / 7)^2 + 3 (2 / 7)^2 + 2 (26 / 7)^2
    uneven = permutation_test([[0, 2], [3, 5, 4], [8, 8]])
    assert uneven.statistic == pytest.approx(math.sqrt(2422 / 49), rel=1e-12)
    # strata 1, 2, 6 and 9, 4 less their means: -2, -1, 2.5 against 3, -2.5
    blocked = permutation_test([[1, 2, 9], [6, 4]], strata=[[0, 0, 1], [0, 1]])
    assert blocked.statistic == pytest.approx(5 / 12, rel=1e-12)


def test_strata_without_a_label_are_refused():
    with pytest.raises(ValueError, match="a label for every network, but 2 lack one; add it"):
        permutation_test([[1, 2], [3, 4]], strata=[[np.nan, 1], [np.nan, 1]])
    for missing in (None, pd.NA, np.nan):
        with pytest.raises(ValueError, match="but 1 lack one; add it"):
            permutation_test([[1, 2], [3, 4]], strata=[[missing, "b"], ["a", "b"]])


ODD = [3.0, 1.0, 4.0, 1.5, 9.0, 2.5]
OTHER = [2.0, 7.0, 1.0, 8.0, 2.5, 8.5]
STATISTICS = {
    "cliffs_delta": lambda x: cliffs_delta(x, OTHER),
    "standardised_difference": lambda x: standardised_difference(OTHER, x),
    "eta_squared": lambda x: eta_squared(x, OTHER),
    "delta_interval": lambda x: delta_interval(x, OTHER),
    "difference_interval": lambda x: difference_interval(x, OTHER),
    "share_interval": lambda x: share_interval(x, OTHER),
    "bootstrap_interval": lambda x: bootstrap_interval([x, OTHER], resamples=99),
    "spearman": lambda x: spearman(x, OTHER, resamples=99),
    "partial_spearman": lambda x: partial_spearman(OTHER, np.arange(6.0), x, resamples=99),
    "given_covariate": lambda x: given_covariate([OTHER, x], [x, OTHER], resamples=99),
    "permutation_test": lambda x: permutation_test([x, OTHER]),
    "strata": lambda x: permutation_test([[1, 2, 3], [5, 2, 4]], strata=[x[:3], x[:3]]),
    "holm": lambda x: holm(x / 10 if hasattr(x, "dtype") else [v / 10 for v in x]).tolist(),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_are_those_of_a_list_for_tensors_and_refuse_masked_arrays(name):
    plain = STATISTICS[name](ODD)
    assert STATISTICS[name](torch.tensor(ODD, dtype=float, requires_grad=True)) == plain
    if name != "holm":  # tenths are rounded there
        assert STATISTICS[name](torch.tensor(ODD, dtype=torch.bfloat16)) == plain
    with pytest.raises(TypeError, match="MaskedArray; fill or drop what is masked"):
        STATISTICS[name](np.ma.masked_equal(ODD, 9.0))
