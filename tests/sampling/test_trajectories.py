"""Values stay with their points, in memory and on disk, under any selection."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import cases

from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.storage import folders
from jumpretrain.storage.lazy_states import LazyStates

RUNS, TIMES, WIDTH = 9, 8, 30
FIELDS = ("optimum", "direction", "step_size", "order_seed", "epoch", "status")


def spoilt():
    """Nine runs, of which one has diverged and one is missing."""
    made = cases.arms()
    status = made.status.astype("<U8")
    status[[4, 8]] = "diverged", "missing"
    states = made.states.copy()
    states[4, 5:], states[8] = np.inf, np.nan
    metrics = {name: value.copy() for name, value in made.metrics.items()}
    for value in metrics.values():
        value[4, 5:], value[8] = np.nan, np.nan
    return replace(made, states=states, metrics=metrics, status=status)


def same(found, expected):
    """Tell whether two trajectories are equal, entry by entry."""
    fields = all(np.array_equal(getattr(found, n), getattr(expected, n)) for n in FIELDS)
    metrics = found.metrics.keys() == expected.metrics.keys() and all(
        np.array_equal(found.metrics[n], expected.metrics[n], equal_nan=True)
        for n in found.metrics
    )
    return (
        fields
        and metrics
        and np.array_equal(found.states[:], expected.states[:], equal_nan=True)
        and found.optimum_metrics == expected.optimum_metrics
        and found.weight_count == expected.weight_count
        and found.provenance == expected.provenance
    )


@pytest.fixture(scope="module")
def in_memory():
    return cases.arms()


@pytest.fixture(scope="module")
def on_disk(in_memory, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arms")
    in_memory.save(folder)
    return Trajectories.load(folder)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimum", np.zeros(29), r"optimum is \(29,\), not \(30,\)"),
        ("direction", np.zeros(8, int), r"direction is \(8,\), not \(9,\)"),
        ("step_size", np.zeros((9, 1)), r"step_size is \(9, 1\), not \(9,\)"),
        ("order_seed", np.zeros(10, int), r"order_seed is \(10,\), not \(9,\)"),
        ("epoch", np.zeros(9), r"epoch is \(9,\), not \(8,\)"),
        ("status", np.full(3, "ok"), r"status is \(3,\), not \(9,\)"),
        ("metrics", {"a": np.zeros((9, 8)), "b": np.zeros((8, 9))}, r"metrics\['b'\] is \(8, 9\)"),
        ("states", np.zeros((9, 8)), r"states must be \(R, T, S\), but are \(9, 8\)"),
        ("states", np.zeros((9, 7, 30)), r"states are \(9, 7, 30\) .* epoch is \(8,\)"),
        ("weight_count", 0, r"weight_count must lie in 1..30, but is 0"),
        ("weight_count", 31, r"weight_count must lie in 1..30, but is 31"),
        ("status", np.full(9, "fine"), r"status must be one of ok, .* but holds \['fine'\]"),
    ],
)
def test_a_wrong_shape_is_named(arms, name, value, message):
    with pytest.raises(ValueError, match=message):
        replace(arms, **{name: value})


@pytest.mark.parametrize("optimum", [False, True])
def test_points_values_and_labels_share_one_order(on_disk, optimum):
    first = int(optimum)
    points, labels = on_disk.points(optimum), on_disk.labels(optimum)
    loss = on_disk.values("train_loss", optimum)
    assert len(points) == len(labels) == len(loss) == RUNS * TIMES + first
    np.testing.assert_allclose(0.5 * ((points - on_disk.optimum) ** 2).sum(1), loss, atol=1e-14)
    if optimum:
        assert labels.iloc[0].tolist() == [-1, -1, 0, -1, 0]
        assert on_disk.values("test_loss", optimum)[0] == 0.2
        np.testing.assert_array_equal(points[0], on_disk.optimum)
    for point, row in zip(points[first:], labels.iloc[first:].itertuples(), strict=True):
        np.testing.assert_array_equal(point, on_disk.states[row.run, int(row.epoch)])
        assert row.direction == on_disk.direction[row.run]
        assert row.step_size == on_disk.step_size[row.run]


indices = st.one_of(
    st.none(),
    st.slices(RUNS),
    st.lists(st.integers(-RUNS, RUNS - 1), min_size=1),
    hnp.arrays(bool, RUNS),
)
snapshots = st.lists(st.integers(-TIMES, TIMES - 1), min_size=1)
moments = st.none() | snapshots | hnp.arrays(bool, TIMES)


@settings(max_examples=80, deadline=None)
@given(runs=indices, times=moments)
def test_values_stay_with_their_points_under_any_selection(in_memory, on_disk, runs, times):
    chosen = np.arange(RUNS)[slice(None) if runs is None else runs]
    kept = np.arange(TIMES)[slice(None) if times is None else times]
    found = on_disk.select(runs, times)
    assert isinstance(found.states, LazyStates)
    assert same(found, in_memory.select(runs, times))
    points, loss = found.points(), found.values("train_loss")
    np.testing.assert_allclose(0.5 * ((points - found.optimum) ** 2).sum(1), loss, atol=1e-14)
    np.testing.assert_array_equal(found.values("test_loss"), 1.1 * loss + 0.2)
    labels = found.labels()
    np.testing.assert_array_equal(labels["epoch"], np.tile(kept, len(chosen)))
    np.testing.assert_array_equal(labels["direction"], np.repeat(chosen // 3, len(kept)))
    sizes = np.array([0.0, 0.5, 1.0])[chosen % 3]
    np.testing.assert_array_equal(labels["step_size"], np.repeat(sizes, len(kept)))


def test_selections_follow_one_another(in_memory, on_disk):
    for made in (in_memory, on_disk):
        twice = made.select([8, 2, 5], [7, 0, 3]).select([2, 0], [1])
        assert same(twice, in_memory.select([5, 8], [0]))


@pytest.mark.parametrize("odd", [[99], [0, -99], np.ones(3, bool), [True], [[0, 1]]])
@pytest.mark.parametrize("name", ["runs", "times"])
def test_what_lies_beyond_or_has_another_length_is_refused(in_memory, on_disk, name, odd):
    for made in (in_memory, on_disk):
        with pytest.raises((ValueError, TypeError), match=r"numbered 0\.\.|a mask needs|by mask"):
            made.select(**{name: odd})
    last = in_memory.select(**{name: [-1]})
    assert len(last.direction if name == "runs" else last.epoch) == 1


def test_an_empty_list_selects_nothing(in_memory, on_disk):
    for made in (in_memory, on_disk):
        assert made.select(runs=[]).states.shape == (0, TIMES, WIDTH)
        assert made.select(times=[]).states[:].shape == (RUNS, 0, WIDTH)
        nothing = made.select([], [])
        assert len(nothing) == 0 and nothing.points().shape == (0, WIDTH)
        assert nothing.frame().empty and nothing.values("test_loss").shape == (0,)
        with pytest.raises(TypeError, match="choose by mask, numbers or a slice"):
            made.select([0.5])


def test_an_unknown_metric_names_those_that_were_recorded(arms):
    recorded = "test_accuracy, test_loss, train_accuracy, train_loss"
    with pytest.raises(KeyError, match=f"no metric 'loss'; recorded: {recorded}"):
        arms.values("loss")
    with pytest.raises(ValueError, match="but one chosen is 9; leave it out"):
        arms.select([RUNS])


def test_jumps_leave_out_controls_and_what_diverged_or_is_missing():
    made = spoilt()
    jumps = made.jumps()
    assert jumps.labels()["run"].nunique() == len(jumps) == 4
    assert (jumps.step_size > 0).all() and (jumps.status == "ok").all()
    np.testing.assert_array_equal(jumps.states, made.states[[1, 2, 5, 7]])
    assert same(jumps.jumps(), jumps)
    none = made.select([0, 3]).jumps()
    assert len(none) == 0 and none.points().shape == (0, WIDTH) and none.frame().empty


def test_weights_are_the_first_entries_of_states(arms):
    part = replace(arms, weight_count=7)
    np.testing.assert_array_equal(part.weights, arms.states[:, :, :7])
    np.testing.assert_array_equal(part.points(optimum=True)[0], arms.optimum[:7])
    assert part.points().shape == (RUNS * TIMES, 7)


def test_the_frame_holds_labels_metrics_and_status():
    made = spoilt()
    frame = made.frame()
    assert list(frame.columns) == [*made.labels().columns, "status", *made.metrics]
    diverged = frame[(frame["run"] == 4) & (frame["epoch"] >= 5)]
    assert len(diverged) == 3 and diverged["test_loss"].isna().all()
    assert set(frame.loc[frame["run"] == 4, "status"]) == {"diverged"}
    row = frame[(frame["run"] == 5) & (frame["epoch"] == 6)].iloc[0]
    assert row["test_accuracy"] == made.metrics["test_accuracy"][5, 6]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_saving_and_loading_give_the_same(tmp_path, dtype):
    made = spoilt()
    made = replace(
        made, optimum=made.optimum.astype(dtype), states=made.states.astype(dtype), weight_count=20
    )
    made.save(tmp_path)
    read = Trajectories.load(tmp_path)
    assert same(read, made) and read.states.dtype == made.states.dtype
    assert len(list((tmp_path / "runs").iterdir())) == RUNS - 1
    read.select([1, 2]).save(tmp_path / "part")
    assert same(Trajectories.load(tmp_path / "part"), made.select([1, 2]))


def test_a_selection_is_not_saved_over_what_it_selects_from(tmp_path, arms):
    arms.save(tmp_path)
    read = Trajectories.load(tmp_path)
    with pytest.raises(ValueError, match="already holds trajectories; name another folder"):
        read.select([8, 0]).save(tmp_path)
    assert same(Trajectories.load(tmp_path), arms)


def test_values_that_are_not_finite_survive_the_disk(tmp_path, arms):
    measured = dict.fromkeys(arms.optimum_metrics, 1.0)
    measured |= {"train_loss": float("nan"), "test_loss": float("-inf")}
    replace(arms, optimum_metrics=measured).save(tmp_path)
    found = Trajectories.load(tmp_path).optimum_metrics
    assert np.isnan(found["train_loss"]) and found["test_loss"] == -np.inf


def test_an_interrupted_folder_is_read_as_far_as_it_goes(tmp_path, arms):
    arms.save(tmp_path)
    for run in (0, 4):
        folders.run_path(tmp_path, run).unlink()
    (tmp_path / "runs" / "tmpabc.part").write_bytes(b"half a file")
    read = Trajectories.load(tmp_path)
    assert np.flatnonzero(read.status == "missing").tolist() == [0, 4]
    assert np.isnan(read.states[4]).all() and np.isnan(read.metrics["test_loss"][0]).all()
    rest = np.delete(np.arange(RUNS), [0, 4])
    assert same(read.select(rest), arms.select(rest))


def test_a_folder_without_trajectories_or_with_a_damaged_run_is_named(tmp_path, arms):
    with pytest.raises(ValueError, match=r"has no trajectories\.safetensors"):
        Trajectories.load(tmp_path)
    arms.save(tmp_path)
    path = folders.run_path(tmp_path, 3)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"00003\.safetensors must be a whole"):
        Trajectories.load(tmp_path)
    for file in (tmp_path / "runs").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="none is finished yet"):
        Trajectories.load(tmp_path)
