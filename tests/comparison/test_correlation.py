import math

import numpy as np
import pytest
import scipy.stats

from jumpretrain.comparison.correlation import partial_spearman, residual_maker, spearman


def correlated(rng, n, rho):
    x = rng.normal(size=n)
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=n)


def test_rho_is_scipys_with_and_without_ties():
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=(2, 30)), rng.integers(0, 5, (2, 30))):
        theirs = scipy.stats.spearmanr(*values).statistic
        assert spearman(*values, resamples=9).rho == pytest.approx(theirs, abs=1e-12)


def test_p_of_few_networks_is_an_exact_count():
    found = spearman([1, 2, 3, 4, 5], [2, 3, 5, 7, 9])
    assert found.rho == pytest.approx(1) and found.p == pytest.approx(2 / 120)
    a, b = [1, 2, 3, 4, 5, 6], [2, 1, 4, 6, 3, 5]
    exact = scipy.stats.permutation_test(
        (a,),
        lambda x: scipy.stats.spearmanr(x, b).statistic,
        permutation_type="pairings",
        n_resamples=np.inf,
    )
    assert spearman(a, b).p == pytest.approx(exact.pvalue)


def test_interval_is_fishers_and_keeps_a_length_for_a_perfect_order():
    a, b = correlated(np.random.default_rng(1), 20, 0.6)
    found = spearman(a, b)
    reach = math.atanh(found.high) - math.atanh(found.rho)
    assert reach == pytest.approx(1.96 * math.sqrt((1 + found.rho**2 / 2) / 17), rel=1e-9)
    assert math.atanh(found.rho) - math.atanh(found.low) == pytest.approx(reach, rel=1e-9)
    few, many = spearman(range(5), range(5)), spearman(range(54), range(54))
    assert few.low < 0 and 0.999 < many.low < many.rho <= many.high


@pytest.mark.parametrize(("n", "rho"), [(6, 0.5), (20, 0.0), (20, 0.9)])
def test_interval_covers_what_it_says(n, rho):
    rng = np.random.default_rng(2)
    truth = 6 / math.pi * math.asin(rho / 2)
    found = [spearman(*correlated(rng, n, rho), resamples=1) for _ in range(400)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.92 < covered <= 1


def test_p_is_uniform_without_correlation():
    rng = np.random.default_rng(3)
    p = np.array([spearman(*rng.normal(size=(2, 6))).p for _ in range(400)])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p <= level) < level + 3 * math.sqrt(level * (1 - level) / 400)
    assert abs(np.mean(p <= 0.5) - 0.5) < 0.1


def test_partial_correlation_is_the_closed_form():
    rng = np.random.default_rng(4)
    control = rng.normal(size=40)
    a, b = control + rng.normal(size=40), control + rng.normal(size=40)
    ab, ac, bc = (spearman(x, y, resamples=1).rho for x, y in ((a, b), (a, control), (b, control)))
    expected = (ab - ac * bc) / math.sqrt((1 - ac**2) * (1 - bc**2))
    assert partial_spearman(a, b, control, resamples=1).rho == pytest.approx(expected, abs=1e-12)


def test_a_shared_cause_is_taken_away_and_a_link_of_their_own_is_kept():
    rng = np.random.default_rng(5)
    shared, own = [], []
    for _ in range(100):
        control, link = rng.normal(size=(2, 25))
        a, b = control + 0.5 * rng.normal(size=(2, 25))
        shared.append((spearman(a, b, resamples=199).p, partial_spearman(a, b, control, 0, 199).p))
        own.append(partial_spearman(a + link, b + link, control, 0, 199).p)
    plain, partial = np.mean(np.array(shared) <= 0.05, axis=0)
    assert plain > 0.9 and partial < 0.13
    assert np.mean(np.array(own) <= 0.05) > 0.8


def test_controls_may_be_several_and_repeated():
    rng = np.random.default_rng(6)
    a, b, c = rng.normal(size=(3, 15))
    once = partial_spearman(a, b, c, resamples=99)
    twice = partial_spearman(a, b, np.column_stack([c, c]), resamples=99)
    assert twice.rho == pytest.approx(once.rho, abs=1e-12) and twice.low < once.low


def test_a_constant_has_no_order():
    for found in (
        spearman([1, 1, 1, 1], [1, 2, 3, 4]),
        partial_spearman(range(6), range(6), range(6)),
    ):
        assert math.isnan(found.rho) and found.p == 1 and math.isnan(found.low + found.high)


def test_remover_leaves_what_is_orthogonal_to_the_line():
    control = 1e6 + np.random.default_rng(7).normal(size=(9, 1))
    clear = residual_maker(control)
    assert np.allclose(clear @ clear, clear, atol=1e-9) and np.allclose(clear, clear.T)
    assert np.abs(clear @ np.column_stack([np.ones(9), control - 1e6])).max() < 1e-7
    assert np.trace(clear) == pytest.approx(7)
    assert np.trace(residual_maker(np.full((9, 1), 0.1))) == pytest.approx(8)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 4 networks"):
        spearman([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        spearman([1, 2, 3, math.nan], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="both values"):
        spearman([1, 2, 3, 4], [1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="controls"):
        partial_spearman([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3])


def test_the_interval_holds_a_correlation_of_one():
    rising = np.arange(54.0)
    for sign in (1, -1):
        found = spearman(rising, sign * rising, resamples=99)
        assert found.low <= found.rho <= found.high
        assert abs(found.rho) == pytest.approx(1)


def test_tables_are_no_values_of_networks():
    table = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0], [6.0, 5.0]]
    with pytest.raises(ValueError, match=r"one value a network, \(n,\), .* column by column"):
        spearman(table, table)
