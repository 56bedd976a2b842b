import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import cases

from jumpretrain.comparison import compare as module
from jumpretrain.comparison.compare import FAMILY, compare
from jumpretrain.comparison.hypothesis_tests import (
    cliffs_delta,
    difference_interval,
    given_covariate,
    permutation_test,
    share_interval,
    standardised_difference,
)

RANGE = "loss_range_squared"


def networks(rng, n=5, shifted=(), by=50.0):
    """Described networks whose statistics are pure noise, but for those shifted."""
    names = [*FAMILY, "flat", "rip"]
    return [
        {
            name: 1.0 if name == "flat" else math.exp(rng.normal()) + by * (name in shifted)
            for name in names
        }
        for _ in range(n)
    ]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rows(comparison):
    return comparison.frame().set_index("statistic")


def test_a_shifted_statistic_alone_reaches_the_smallest_p(rng):
    found = compare({"a": networks(rng, shifted=["weights_turning_angle"]), "b": networks(rng)})
    table = rows(found)
    assert found.smallest_p == pytest.approx(2 / 252)
    turning = table.loc["weights_turning_angle"]
    assert turning["p"] == pytest.approx(found.smallest_p) and turning["effect"] == 1
    assert turning["p_holm"] == pytest.approx(6 * found.smallest_p) and turning["p_holm"] < 0.05
    assert (
        turning["differs_at_equal_range"] is True
        and turning["low"] > 0
        and turning["hedges_g_low"] > 0
    )
    assert (table["p"].drop("weights_turning_angle") > found.smallest_p).all()


def test_the_family_can_reach_five_percent_with_five_networks_a_group():
    assert len(FAMILY) * 2 / 252 < 0.05 < (len(FAMILY) + 1) * 2 / 252


def test_rows_hold_what_the_statistics_say(rng):
    groups = {"a": networks(rng, 4), "b": networks(rng, 6)}
    row = rows(compare(groups)).loc["rip"]
    a, b = ([network["rip"] for network in group] for group in groups.values())
    assert row["mean_a"] == pytest.approx(np.mean(a)) and row["mean_b"] == pytest.approx(
        np.mean(b)
    )
    assert row["effect"] == cliffs_delta(a, b) and row["hedges_g"] == standardised_difference(a, b)
    assert row["p"] == permutation_test([a, b]).p
    assert (
        row["low"] <= row["effect"] <= row["high"] and row["hedges_g_low"] <= row["hedges_g_high"]
    )


def test_swapping_the_groups_flips_the_effects(rng):
    a, b = networks(rng), networks(rng, shifted=["rip"], by=1.0)
    one, other = rows(compare({"a": a, "b": b})), rows(compare({"b": b, "a": a}))
    assert one["effect"].to_numpy() == pytest.approx(-other["effect"].to_numpy())
    assert one["hedges_g"].to_numpy() == pytest.approx(-other["hedges_g"].to_numpy())
    assert one["low"].to_numpy() == pytest.approx(-other["high"].to_numpy())
    assert one["p"].to_numpy() == pytest.approx(other["p"].to_numpy())


def test_groups_alike_are_rarely_told_apart():
    rng, p, corrected = np.random.default_rng(1), [], []
    for _ in range(40):
        table = compare({"a": networks(rng), "b": networks(rng)}, resamples=19).frame()
        p.extend(table.loc[table["in_family"], "p"])
        corrected.append(table["p_holm"].min())
    assert np.mean(np.array(p) <= 0.05) < 0.09
    assert np.mean(np.array(corrected) <= 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 40)


def test_primary_rows_come_first_and_holm_runs_over_them_alone(rng):
    table = compare({"a": networks(rng), "b": networks(rng)}).frame()
    assert (
        list(table["statistic"][:6]) == list(FAMILY)
        and table["in_family"].tolist() == [True] * 6 + [False] * 2
    )
    assert table["p_holm"].notna().tolist() == table["in_family"].tolist()
    chosen = compare({"a": networks(rng), "b": networks(rng)}, family=["rip"]).frame()
    assert chosen["statistic"][0] == "rip" and chosen["in_family"].sum() == 1
    assert chosen["p_holm"][0] == chosen["p"][0]


def test_a_users_own_statistics_are_all_the_family(rng):
    groups = {name: [{"x": rng.normal(), "y": rng.normal()} for _ in range(3)] for name in "ab"}
    table = compare(groups).frame()
    assert table["in_family"].all() and table["p_given_range"].isna().all()
    assert set(table["differs_at_equal_range"]) == {None}


def test_a_constant_statistic_has_no_effect(rng):
    flat = rows(compare({"a": networks(rng), "b": networks(rng)})).loc["flat"]
    assert (flat["effect"], flat["hedges_g"], flat["p"]) == (0, 0, 1)
    assert math.isnan(flat["hedges_g_low"]) and flat["differs_at_equal_range"] is None


def test_a_difference_that_is_the_ranges_does_not_survive(rng):
    def group(shift):
        logs = rng.normal(shift, 1, 8)
        return [
            {RANGE: math.exp(x), "follows": 2 * x + 0.1 * rng.normal(), "own": x + 9 * shift}
            for x in logs
        ]

    table = rows(compare({"a": group(0), "b": group(2)}, family=["follows", "own"]))
    assert table["p"].max() < 0.05
    assert table.loc["follows", "differs_at_equal_range"] is False
    assert table.loc["own", "differs_at_equal_range"] is True
    assert math.isnan(table.loc[RANGE, "p_given_range"])


def test_a_range_of_zero_leaves_the_control_out(rng):
    groups = {"a": networks(rng), "b": networks(rng)}
    groups["a"][0][RANGE] = 0.0
    assert compare(groups).frame()["p_given_range"].isna().all()


def test_three_groups(rng):
    groups = {
        "a": networks(rng, 3),
        "b": networks(rng, 3, ["rip"]),
        "c": networks(rng, 3, ["rip"], by=200.0),
    }
    found = compare(groups)
    row = rows(found).loc["rip"]
    assert found.smallest_p == pytest.approx(6 / 1680) == pytest.approx(row["p"])
    arrays = [[network["rip"] for network in group] for group in groups.values()]
    assert (row["low"], row["high"]) == share_interval(*arrays)
    assert 0.95 < row["low"] <= row["effect"] <= row["high"] <= 1
    assert found.frame()["hedges_g"].isna().all() and "eta squared" in str(found)
    assert {"mean_a", "mean_b", "mean_c"} <= set(found.frame().columns)


def test_it_prints_what_one_needs_to_read_it(rng):
    text = str(compare({"generalise": networks(rng), "memorise": networks(rng, 4)}))
    assert "generalise (n = 5) against memorise (n = 4)" in text
    assert "smallest attainable p 0.007937" in text and "0.04762 after Holm over 6" in text
    assert all(name in text for name in FAMILY) and "2 more statistics" in text
    assert "Cliff's delta" in text and max(map(len, text.splitlines())) < 190


def test_values_and_choices_are_kept_and_equal_seeds_give_equal_bits(rng):
    groups = {"a": networks(rng), "b": networks(rng, 3)}
    found = compare(groups, seed=3)
    assert found.groups == {"a": 5, "b": 3}
    assert found.values["rip"].tolist() == [n["rip"] for group in groups.values() for n in group]
    assert found.provenance["seed"] == 3 and found.provenance["exact"] is True
    assert found.frame().equals(compare(groups, seed=3).frame())
    copy = found.frame()
    copy["p"] = 0.0
    assert (found.frame()["p"] > 0).all()


def test_trajectories_are_described_first():
    def group(seeds, noise):
        return [cases.arms(seed=seed, noise=noise) for seed in seeds]

    groups = {"calm": group(range(2), 0.01), "wild": group(range(2, 4), 0.05)}
    found = compare(groups, resamples=99)
    described = {
        name: [module.describe(network) for network in group] for name, group in groups.items()
    }
    assert found.frame().equals(compare(described, resamples=99).frame())
    turning = rows(found).loc["weights_turning_angle"]
    assert turning["effect"] == -1 and turning["p"] == found.smallest_p
    assert (
        found.provenance["metric"] == "test_loss"
        and list(found.frame()["in_family"][:6]) == [True] * 6
    )


def test_bad_groups_are_refused_before_any_work(rng):
    one, two = networks(rng, 1), networks(rng, 2)
    with pytest.raises(ValueError, match=r"unit of replication.*'b': 1"):
        compare({"a": two, "b": one})
    with pytest.raises(ValueError, match="two or more groups"):
        compare({"a": two})
    with pytest.raises(TypeError, match="'a' is a Trajectories"):
        compare({"a": cases.arms(), "b": two})
    with pytest.raises(ValueError, match="'b' lacks rip;"):
        compare({"a": two, "b": [two[0], {k: v for k, v in two[1].items() if k != "rip"}]})
    with pytest.raises(ValueError, match="'a' lacks rip;"):
        compare({"a": [{**two[0], "rip": math.nan}, two[1]], "b": two})
    with pytest.raises(ValueError, match="lacks any"):
        compare({"a": [{}, {}], "b": [{}, {}]})
    with pytest.raises(ValueError, match=r"family.*nonsense"):
        compare({"a": two, "b": two}, family=["nonsense"])


def test_seed_and_resamples_reach_every_random_number(rng):
    groups = {
        name: [{"loss_range_squared": v + 3, "x": v} for v in rng.normal(mean, size=10)]
        for mean, name in enumerate(("low", "high"))
    }
    for network in (one for group in groups.values() for one in group):
        network["x"] += rng.normal()
    a, b = ([one["x"] for one in group] for group in groups.values())
    ranges = [[np.log(one["loss_range_squared"]) for one in group] for group in groups.values()]
    for seed, resamples in ((0, 99), (1, 99), (1, 199)):
        row = rows(compare(groups, seed=seed, resamples=resamples)).loc["x"]
        assert row["p"] == permutation_test([a, b], seed, resamples).p
        assert row["p_given_range"] == given_covariate([a, b], ranges, seed, resamples)
        assert (row["hedges_g_low"], row["hedges_g_high"]) == difference_interval(a, b)


def test_a_difference_that_is_none_at_five_percent_is_asked_no_further():
    # of 70 splits of 4 and 4, 4 are as far apart: p is .057
    groups = {
        name: [{RANGE: float(k + 1 + 3 * i), "x": x} for i, x in enumerate(values)]
        for k, (name, values) in enumerate({"a": [1.0, 2, 3, 5], "b": [4.0, 6, 7, 8]}.items())
    }
    row = rows(compare(groups, family=["x"])).loc["x"]
    assert 0.05 < row["p"] < 0.1 and not math.isnan(row["p_given_range"])
    assert row["differs_at_equal_range"] is None


@pytest.mark.parametrize("change", [{"resamples": 0}, {"seed": -1}, {"k": 0}])
def test_numbers_out_of_range_are_refused_before_networks_are_described(change, monkeypatch):
    monkeypatch.setattr(module, "describe", lambda *a, **k: pytest.fail("described"))
    with pytest.raises(ValueError, match=rf"{next(iter(change))} must be"):
        compare({name: [cases.arms(), cases.arms()] for name in "ab"}, **change)


def statistics(values, name="s"):
    return [{name: value} for value in values]


def test_a_statistic_may_have_the_name_of_any_column_but_that_of_the_groups():
    for name in ("statistic", "effect", "p", "mean_a", "in_family", "low"):
        found = compare({"a": statistics([1.0, 2.0], name), "b": statistics([3.0, 5.0], name)})
        assert found.frame()["statistic"].item() == name and found.frame()["effect"].item() == -1
    with pytest.raises(ValueError, match="in a column `group`, but a statistic has that name; re"):
        compare({"a": statistics([1.0, 2.0], "group"), "b": statistics([3.0, 5.0], "group")})


@pytest.mark.parametrize("power", [-1070, 600, 1020])
def test_values_at_the_ends_of_floats_are_compared_as_others_are(power):
    near = {"a": [1.0, 2.0, 4.0], "b": [5.0, 6.0, 6.5]}
    far = {name: statistics(np.ldexp(values, power)) for name, values in near.items()}
    expected = compare({name: statistics(values) for name, values in near.items()}).frame()
    found = compare(far).frame()
    means = ["mean_a", "mean_b"]
    pd.testing.assert_frame_equal(found.drop(columns=means), expected.drop(columns=means))
    assert np.isfinite(found[means].to_numpy()).all()


@pytest.mark.parametrize("value", [pd.NA, None, "1", 1j, 10**400, np.array([1.0, 2.0]), np.inf])
def test_what_is_no_finite_number_is_named(value):
    with pytest.raises(ValueError, match="a finite value of every statistic, but one of 'a'"):
        compare({"a": statistics([value, 2.0]), "b": statistics([3.0, 4.0])})


def test_numbers_of_every_kind_count():
    kinds = [True, np.float32(2), Decimal(3), Fraction(4), np.array(5.0), 6, pd.Series([7])[0]]
    found = compare({"a": statistics(kinds), "b": statistics([0, 0.5])}).frame()
    assert found["mean_a"].item() == 4 and found["effect"].item() == 1


@pytest.mark.parametrize("odd", [0.9, None, "deep", Path("run"), np.ones(2)])
def test_a_network_that_is_neither_trajectories_nor_statistics_is_refused(odd):
    groups = {"g": [{"depth": 1.0}, odd], "h": [{"depth": 1.0}, {"depth": 2.0}]}
    with pytest.raises(TypeError, match=r"a network is trajectories or a dict .*'g' is of type"):
        compare(groups)
