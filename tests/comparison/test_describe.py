import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import cases
from support.cases import planted_saddles
from support.landscapes import bowl, landscape

from jumpretrain.comparison import describe as module
from jumpretrain.comparison.describe import describe
from jumpretrain.comparison.geometry import describe_geometry
from jumpretrain.embedding.embed import embed
from jumpretrain.topology.homology import released, rips, sublevel
from jumpretrain.topology.measure import saddles


@pytest.fixture(scope="module")
def arms():
    return cases.arms(noise=0.03)


@pytest.fixture(scope="module")
def embedding(arms):
    return embed(arms.jumps(), seed=0)


@pytest.fixture(scope="module")
def described(arms, embedding):
    return describe(arms, embedding)


def test_every_number_is_a_finite_float(described):
    assert all(type(value) is float for value in described.values())
    assert all(math.isfinite(value) for value in described.values())
    starts = {name.partition("_")[0] for name in described}
    assert {"optimum", "loss", "weights", "embedding", "sublevel", "rips", "released"} <= starts


def test_landmarks_leave_out_only_what_the_published_script_needs(arms, described):
    jumps = arms.jumps()
    count = len(jumps.values("test_loss"))
    found = describe(arms, embed(jumps, landmarks=count - count // 4))
    assert set(described) - set(found) == {"released_h0_total_persistence_p2"}
    assert set(found) < set(described)


def test_the_range_is_that_of_the_jumps_alone(arms, described):
    jumped = arms.metrics["test_loss"][arms.step_size > 0]
    assert described["loss_range_squared"] == (jumped.max() - jumped.min()) ** 2
    assert described["optimum_test_loss"] == 0.2
    other = describe(arms, embed(arms.jumps()), metric="train_loss")
    assert other["loss_range_squared"] == pytest.approx(described["loss_range_squared"] / 1.1**2)


def test_it_holds_what_the_parts_say(arms, embedding, described):
    jumps = arms.jumps()
    graph = embedding.graph(20)
    loss = sublevel(jumps.values("test_loss"), graph)
    error = sublevel(1 - jumps.values("test_accuracy"), graph)
    assert described["sublevel_values_h0_total_persistence_p2"] == loss.total_persistence(0, 2)
    assert described["sublevel_error_rate_h0_total_persistence_p1"] == error.total_persistence(
        0, 1
    )
    assert described["rips_h1_total_persistence_p1"] == rips(
        embedding.distances
    ).total_persistence(1)
    assert described["released_h0_total_persistence_p2"] == released(
        jumps, embedding
    ).total_persistence(0, 2)
    for name, value in describe_geometry(jumps).items():
        assert described[f"weights_{name}"] == pytest.approx(value, abs=1e-12)


def test_unit_persistence_is_raw_persistence_over_the_range(described):
    spread = math.sqrt(described["loss_range_squared"])
    raw, unit = (
        described[f"sublevel_{s}_h0_total_persistence_p1"] for s in ("values", "rescaled")
    )
    assert raw > 0 and unit == pytest.approx(raw / spread, rel=1e-9)


def test_a_single_valley_is_less_rugged_than_the_same_values_shuffled(arms, embedding):
    def described(values):
        changed = np.array(arms.metrics["test_loss"])
        changed[arms.step_size > 0] = values.reshape(-1, len(arms.epoch))
        return describe(
            replace(arms, metrics={**arms.metrics, "test_loss": changed}), embedding, k=5
        )

    valley = embedding.distances[0] + 1
    smooth = described(valley)
    shuffled = [described(np.random.default_rng(i).permutation(valley)) for i in range(5)]
    for name in (
        "sublevel_values_h0_total_persistence_over_permuted",
        "sublevel_ranks_h0_total_persistence_over_permuted",
    ):
        assert smooth[name] < 0.4
        assert 0.7 < np.mean([one[name] for one in shuffled]) < 1.3


def test_rank_and_ratio_ignore_the_scale_of_the_loss(arms, embedding, described):
    scaled = replace(arms, metrics={name: 100 * value for name, value in arms.metrics.items()})
    again = describe(scaled, embedding)
    assert again["loss_range_squared"] == pytest.approx(1e4 * described["loss_range_squared"])
    for name in (
        "values_h0_total_persistence_over_permuted",
        "ranks_h0_total_persistence_over_permuted",
        "ranks_h0_total_persistence_p1",
    ):
        assert again[f"sublevel_{name}"] == pytest.approx(described[f"sublevel_{name}"], rel=1e-9)


def test_equal_seeds_give_equal_bits(arms, described):
    assert describe(arms, seed=0) == described == describe(arms, seed=0)
    assert describe(arms, seed=1) != described


def test_recovered_is_back_within_a_tenth_of_the_way():
    arms = cases.arms(directions=2, step_sizes=(0.5, 1.0), noise=0.0)
    loss = arms.metrics["train_loss"].copy()
    loss[:, 0], loss[:, -1] = 1.0, [0.09, 0.11, 0.0, 0.5]
    changed = replace(arms, metrics={**arms.metrics, "train_loss": loss})
    assert describe(changed)["share_of_runs_recovered"] == 0.5
    no_train = {name: v for name, v in arms.metrics.items() if name.startswith("test")}
    assert describe(replace(arms, metrics=no_train))["share_of_runs_recovered"] == 1.0


def test_diverged_runs_are_counted_and_left_out(arms):
    states, status = np.array(arms.states), arms.status.copy()
    states[4], status = np.nan, np.where(np.arange(len(arms)) == 4, "diverged", status)
    loss = arms.metrics["test_loss"].copy()
    loss[4] = np.nan
    broken = replace(
        arms, states=states, status=status, metrics={**arms.metrics, "test_loss": loss}
    )
    described = describe(broken)
    assert described["share_of_jumps_diverged"] == pytest.approx(1 / 6)
    assert all(math.isfinite(value) for value in described.values())


def test_what_the_design_cannot_show_is_left_out(described):
    assert (
        "distance_without_jump" in described
        and "sublevel_logs_h0_persistence_entropy" in described
    )
    arms = cases.arms(directions=1, step_sizes=(0.5, 1.0), times=15)
    metrics = {"test_score": arms.metrics["test_loss"] - 1.0}
    bare = replace(arms, metrics=metrics, optimum_metrics={"test_score": -0.8})
    found = describe(bare, metric="test_score")
    gone = (
        "distance_without_jump",
        "sublevel_logs_h0_persistence_entropy",
        "sublevel_error_rate_h0_persistence_entropy",
        "embedding_silhouette_by_direction",
        "weights_silhouette_by_direction",
    )
    assert not set(gone) & set(found)
    assert "embedding_silhouette_by_jump" in found


def test_thinning_keeps_the_jump_and_the_last_snapshot(arms, embedding):
    few = describe(arms, embedding, rips_points=12)
    kept = (np.arange(6)[:, None] * 8 + np.array([0, 7])).ravel()
    alone = rips(embedding.distances[np.ix_(kept, kept)])
    assert few["rips_h0_total_persistence_p1"] == alone.total_persistence(0)


def test_thinning_shares_the_points_among_the_runs(arms, embedding):
    jumps = arms.jumps()
    runs, times = len(jumps), len(jumps.epoch)
    assert runs != times
    for each in (2, 3, 5):
        found = module.thinned_rips(jumps, embedding, each * runs + runs - 1)
        assert found.provenance["points"] == each * runs


def test_what_cannot_be_described_is_refused(arms, embedding):
    with pytest.raises(ValueError, match="two runs or more"):
        describe(arms.select([0, 1, 3]))
    missing = replace(arms, status=np.where(np.arange(len(arms)) == 2, "missing", arms.status))
    with pytest.raises(ValueError, match="1 of 9 are not sampled"):
        describe(missing)
    with pytest.raises(ValueError, match="the 40 points"):
        describe(arms.select(np.arange(len(arms)) != 1), embedding)
    with pytest.raises(KeyError, match="no metric 'valid_loss'"):
        describe(arms, embedding, metric="valid_loss")
    with pytest.raises(ValueError, match="k must lie in"):
        describe(arms, embedding, k=48)


def test_pieces_left_apart_are_each_an_essential_bar(arms, embedding):
    apart = describe(arms, embedding, k=2, connect=None)
    graph = embedding.graph(2, None)
    bars = sublevel(arms.jumps().values("test_loss"), graph)
    assert apart["sublevel_values_h0_essential_bars"] == len(bars.essential(0)) > 1
    assert describe(arms, embedding, k=2)["sublevel_values_h0_essential_bars"] == 1


def test_a_run_recovers_within_a_tenth_of_its_own_fall(arms):
    jumps = arms.jumps()
    losses = np.full(jumps.metrics["train_loss"].shape, 5.0)
    losses[:, 0] = 11.0  # from an optimum of 1: a tenth of the way is 2
    losses[:, -1] = np.resize([2.0, 2.05, 1.0], len(losses))
    raised = replace(jumps, metrics={**jumps.metrics, "train_loss": losses})
    raised = replace(raised, optimum_metrics={**jumps.optimum_metrics, "train_loss": 1.0})
    found = module._outcome(raised, raised, "test_loss")["share_of_runs_recovered"]
    assert found == pytest.approx(np.mean(losses[:, -1] <= 2))


def test_a_run_that_jumped_below_the_optimum_recovers_at_its_value(arms):
    jumps = arms.jumps()
    losses = np.full(jumps.metrics["train_loss"].shape, 5.0)
    losses[:, 0] = 0.0  # 2 below the optimum, which allows nothing above it
    losses[:, -1] = np.resize([2.0, 2.1, 1.0], len(losses))
    changed = replace(jumps, metrics={**jumps.metrics, "train_loss": losses})
    changed = replace(changed, optimum_metrics={**jumps.optimum_metrics, "train_loss": 2.0})
    found = module._outcome(changed, changed, "test_loss")["share_of_runs_recovered"]
    assert found == pytest.approx(np.mean(losses[:, -1] <= 2))


def test_shuffled_values_stand_for_their_median_and_diameters_divide(arms, embedding, described):
    graph, rng = embedding.graph(3), np.random.default_rng(4)
    values = arms.jumps().values("test_loss")
    totals = [
        sublevel(rng.permutation(values), graph, maxdim=0).total_persistence(0) for _ in range(20)
    ]
    assert module._permuted(values, graph, 4) == np.median(totals) != np.mean(totals)
    for dim in "01":
        total = described[f"rips_h{dim}_total_persistence_p1"]
        over = described[f"rips_h{dim}_total_persistence_over_diameter"]
        assert over == pytest.approx(total / described["embedding_diameter"])


@pytest.mark.parametrize("change", [{"k": 0}, {"k": 48}, {"rips_points": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused_before_anything_is_embedded(arms, change, monkeypatch):
    monkeypatch.setattr(module, "gram", lambda *a: pytest.fail("worked"))
    assert len(arms.jumps().values("test_loss")) == 48
    with pytest.raises(ValueError, match=f"{next(iter(change))} must"):
        describe(arms, **change)


def quadratic(arms):
    """The task of which `arms` has the losses."""
    optimum = torch.as_tensor(arms.optimum)
    return landscape(lambda weights: 0.5 * bowl(weights - optimum), arms.weight_count)


def test_saddles_are_measured_where_the_task_is_given(arms, embedding, described):
    task = quadratic(arms)
    found = describe(arms, embedding, task=task)
    assert {name: found[name] for name in described} == described
    more = {name: value for name, value in found.items() if name not in described}
    assert {name.rpartition("_ends_")[0] for name in more} == {
        "saddles_train_loss",
        "saddles_test_loss",
    }
    # a convex loss: one basin, and no way back climbs
    assert more["saddles_train_loss_ends_basins"] == 1
    assert more["saddles_train_loss_ends_total_depth"] == 0
    assert more["saddles_test_loss_ends_straight_way_back"] == 0


def test_saddles_that_were_measured_are_told_by_metric_and_snapshots(arms, embedding):
    some = planted_saddles()
    ends = saddles(quadratic(arms), arms.jumps().select(times=[-1]))
    found = describe(arms, embedding, task=quadratic(arms), saddles=[some, ends])
    assert found["saddles_train_loss_snapshots_total_depth"] == 5.0
    assert found["saddles_train_loss_snapshots_mean_leaf_edge"] == pytest.approx(
        some.tree.mean_leaf_edge
    )
    assert found["saddles_train_loss_ends_basins"] == 1
    assert not any(name.startswith("saddles_test_loss") for name in found)
    alone = describe(arms, embedding, saddles=some)
    assert {name for name in alone if name.startswith("saddles")} == {
        name for name in found if "snapshots" in name
    }


def test_a_climb_that_is_not_finite_is_left_out(arms, embedding):
    wall = planted_saddles(to_optimum=np.array([0.0, 2.0, 5.0, 3.0, np.inf]))
    found = describe(arms, embedding, saddles=wall)
    assert "saddles_train_loss_snapshots_straight_way_back" not in found
    assert found["saddles_train_loss_snapshots_best_way_back"] == 2.5
