"""States kept as steps of sixteen bits: how far they are off, beside naive ways, in any order."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jumpretrain.storage import folders
from jumpretrain.storage.compression import BLOCK, TOLERANCE, size
from jumpretrain.storage.compression import encode as encode_part
from jumpretrain.storage.lazy_states import LazyStates

WEIGHTS = 2 * BLOCK + 9
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 3 * BLOCK + 5))


def retrained(times=60, width=2000, seed=0, dtype=np.float32):
    """A run as retraining makes them: steps that shrink a hundredfold, a thousandth of weights."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(times, width)) * rng.gamma(0.3, size=width)  # heavy tails
    steps *= 1e-3 * np.geomspace(1, 0.01, times)[:, None]
    steps[0] = rng.normal(size=width)
    return np.cumsum(steps, axis=0).astype(dtype)


def encode(states):
    """Take all that a state holds for weights."""
    return encode_part(states, states.shape[1])


def decode(arrays):
    """Follow the steps, all at once: the naive way to read."""
    first, last = arrays["ends"]
    reached, blocks = [np.pad(first.astype(float), (0, -len(first) % BLOCK))], (-1, BLOCK)
    for steps, scales in zip(arrays["steps"], arrays["scales"], strict=True):
        reached.append(reached[-1] + (steps.reshape(blocks) * scales[:, None].astype(float)).flat)
    weights = np.array([row[: len(first)] for row in reached] + [last])[: len(arrays["rest"])]
    return np.hstack([weights.astype(first.dtype), arrays["rest"]])


def errors(found, states):
    """Each state's error as a share of the step that led there."""
    wrong = np.linalg.norm(found.astype(float) - states, axis=1)[1:]
    return wrong / np.linalg.norm(np.diff(states.astype(float), axis=0), axis=1)


def open_loop(states):
    """The naive way: float16 of the differences between states, summed up."""
    steps = np.diff(states.astype(float), axis=0).astype(np.float16).astype(float)
    return np.cumsum(np.vstack([states[:1], steps]), axis=0)


def closed_float16(states):
    """The same with each difference taken from what is summed up so far."""
    path = [states[0].astype(float)]
    for state in states[1:]:
        path.append(path[-1] + (state - path[-1]).astype(np.float16).astype(float))
    return np.array(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_errors_stay_below_the_tolerance_where_naive_ways_grow(dtype):
    states = retrained(dtype=dtype)
    arrays, largest = encode(states)
    found = decode(arrays)
    assert found.dtype == dtype and np.array_equal(found[[0, -1]], states[[0, -1]])
    assert errors(found, states).max() == pytest.approx(largest)
    assert 0 < largest < TOLERANCE
    naive, half = errors(open_loop(states), states), errors(closed_float16(states), states)
    assert naive[-10:].min() > 30 * naive[:3].max()  # adds up beside steps that shrink
    assert naive[-2] > 100 * largest
    assert half.max() > TOLERANCE > largest


@settings(max_examples=150, deadline=None)
@given(
    start=SHAPES.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(width=32)))
)
def test_any_states_are_kept_within_the_tolerance_or_not_at_all(start):
    with np.errstate(all="ignore"):
        coded = encode(start)
        if coded is None:
            return
        found = decode(coded[0]).astype(float)
        last = np.zeros(start.shape[1])
        for earlier, state, read in zip(start, start[1:], found[1:], strict=False):
            step, wrong = state - earlier.astype(float), read - state
            step = step if step.any() else last
            unit, last = np.abs(step).max() or 1, step
            assert np.linalg.norm(wrong / unit) <= TOLERANCE * np.linalg.norm(step / unit)


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(-35, 35),
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([np.float32, np.float64]),
    offset=st.sampled_from([0.0, 1.0, 1000.0]),
)
def test_steps_of_any_size_neither_underflow_nor_overflow(scale, seed, dtype, offset):
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(5, 70)) * rng.uniform(0.1, 1, (5, 1))
    states = ((np.cumsum(steps, axis=0) + offset) * 10.0**scale).astype(dtype)
    arrays, largest = encode(states)
    assert largest < TOLERANCE
    assert errors(decode(arrays) / dtype(10.0**scale), states / dtype(10.0**scale)).max() < 1.01e-4


def test_a_spike_spoils_no_more_than_its_block():
    states = np.zeros((3, 10 * BLOCK), np.float64)
    states[1] = np.random.default_rng(0).normal(size=10 * BLOCK)
    states[1, 5] = 1e9
    wrong = np.abs(decode(encode(states)[0])[1] - states[1])
    assert wrong[:BLOCK].max() > 0.1 and wrong[BLOCK:].max() < 1e-4


def test_a_run_that_stands_still_is_exact():
    states = np.repeat(np.random.default_rng(0).normal(size=(1, 50)), 4, axis=0)
    arrays, largest = encode(states)
    assert largest == 0 and np.array_equal(decode(arrays), states)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_run_that_diverged_is_not_turned_into_steps(value):
    states = retrained(times=4)
    states[2, 7] = value
    assert encode(states) is None


def test_a_run_that_stops_at_once_is_not_turned_into_steps():
    states = np.zeros((4, 40))
    states[1] = np.random.default_rng(0).normal(size=40)
    states[2] = states[1]
    states[2, 0] += 1e-12
    assert encode(states) is None


def test_states_that_repeat_the_one_before_are_kept_as_no_step():
    states = retrained(times=9)
    twice = np.repeat(states, [1, 1, 3, 1, 1, 2, 1, 1, 1], axis=0)
    (arrays, largest), (again, also) = encode(states), encode(twice)
    assert also == largest > 0
    np.testing.assert_array_equal(
        decode(again), np.repeat(decode(arrays), [1, 1, 3, 1, 1, 2, 1, 1, 1], axis=0)
    )


@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 3e38), (np.float64, 1.5e308)])
def test_steps_too_long_for_their_type_are_not_kept_wrongly(dtype, far):
    states = np.array([[far] * 40, [-far] * 40, [far] * 40], dtype)
    coded = encode(states)
    assert coded is None if dtype is np.float64 else errors(decode(coded[0]), states).max() < 1e-4


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e8])
def test_large_buffers_leave_the_weights_alone(scale):
    weights, buffers = retrained(times=9, width=BLOCK + 5), retrained(times=9, width=20, seed=1)
    states = np.hstack([weights, np.float32(scale) * buffers])
    arrays, largest = encode_part(states, BLOCK + 5)
    found = decode(arrays)
    assert np.array_equal(found[:, BLOCK + 5 :], states[:, BLOCK + 5 :])
    assert errors(found[:, : BLOCK + 5], weights).max() == pytest.approx(largest)
    assert largest < TOLERANCE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs kept in half: two retrained, one diverged, one missing."""
    place = tmp_path_factory.mktemp("half")
    runs = [retrained(times=9, width=3 * BLOCK + 7, seed=seed) for seed in range(3)]
    runs[2][4, 3] = np.nan
    for run, states in enumerate(runs):
        path, values = folders.run_path(place, run), {"test_loss": np.ones(9)}
        folders.write_run(path, states, values, "half", WEIGHTS)
    return place, runs


def test_a_folder_of_steps_reads_like_one_of_states(folder):
    place, runs = folder
    stored, _, metrics, marks = folders.read_runs(place, 4, np.arange(9.0))
    assert isinstance(stored, LazyStates) and stored.shape == (4, 9, 3 * BLOCK + 7)
    assert marks.tolist() == ["ok", "ok", "diverged", "missing"]
    assert (metrics["test_loss"][:3] == 1).all()
    assert stored.remarks["storage_exact"] == 1  # that diverged
    largest = max(encode_part(states, WEIGHTS)[1] for states in runs[:2])
    assert 0 < stored.remarks["storage_error"] == largest < TOLERANCE
    assert stored.select([2], np.arange(9)).remarks == stored.remarks
    whole = stored[:]
    for run in range(2):
        np.testing.assert_array_equal(whole[run], decode(encode_part(runs[run], WEIGHTS)[0]))
    np.testing.assert_array_equal(whole[2], runs[2])
    assert np.isnan(whole[3]).all()


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_part_of_it_is_the_part_of_the_whole(folder, data):
    stored = folders.read_runs(folder[0], 4, np.arange(9.0))[0]
    times = data.draw(st.lists(st.integers(0, 8), min_size=1, max_size=5))
    stored = stored.select([1, 0, 2], np.array(times))
    key = data.draw(hnp.basic_indices(stored.shape[1:]))
    key = key if isinstance(key, tuple) else (key,)
    run = data.draw(st.integers(0, 2) | st.slices(3))
    np.testing.assert_array_equal(stored[(run, *key)], stored[:][(run, *key)])


def test_it_takes_half_the_disk_and_equal_states_give_equal_bytes(tmp_path):
    states = retrained(times=40, width=20_000)
    sizes = []
    for storage in ("exact", "half"):
        paths = [tmp_path / f"{storage}{number}" for number in range(2)]
        for path in paths:
            folders.write_run(path, states, {"test_loss": np.ones(40)}, storage)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        sizes.append(paths[0].stat().st_size)
        said = size(40, 20_000, 20_000, states.dtype, storage)
        assert 0 < sizes[-1] - said < 2000  # metrics and what says where all is
    assert 0.5 < sizes[1] / sizes[0] < 0.56


@pytest.mark.parametrize("times", [1, 2, 3])
def test_few_states_are_kept_too(times, tmp_path):
    states, path = retrained(times=times, width=40), tmp_path / "runs" / "00000.safetensors"
    folders.write_run(path, states, {"test_loss": np.ones(times)}, "half", 35)
    stored = folders.read_runs(tmp_path, 1, np.arange(times))[0]
    assert stored.shape == (1, times, 40)
    assert np.array_equal(stored[0, [0, -1]], states[[0, -1]])
    assert np.array_equal(stored[0], decode(encode_part(states, 35)[0]))


def test_reading_one_state_takes_the_memory_of_few(tmp_path):
    states = retrained(times=100, width=20_000)
    folders.write_run(folders.run_path(tmp_path, 0), states, {"test_loss": np.ones(100)}, "half")
    stored = folders.read_runs(tmp_path, 1, np.arange(100))[0]
    for time, most in ((50, 12), (99, 4), (0, 4)):
        tracemalloc.start()
        found = stored[0, time]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most * found.nbytes + 50_000


@pytest.mark.parametrize("storage", ["exact", "half"])
def test_a_file_that_is_cut_is_named_when_it_is_found_and_when_it_is_read(storage, tmp_path):
    path = folders.run_path(tmp_path, 0)
    folders.write_run(path, retrained(times=4, width=100), {"test_loss": np.ones(4)}, storage)
    stored = folders.read_runs(tmp_path, 1, np.arange(4.0))[0]
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"00000\.safetensors must be a whole .* delete it"):
        stored[:]
    with pytest.raises(ValueError, match=r"00000\.safetensors must be a whole .* delete it"):
        folders.read_runs(tmp_path, 1, np.arange(4.0))


def test_the_last_block_counts_whole():
    # ends 2 x 33 and 7 others three times, of 4 bytes; one step of 2 blocks of 2 x 32 + 4 bytes
    assert size(3, 40, 33, np.dtype("f4"), "half") == (66 + 21) * 4 + 2 * 68
    assert size(3, 40, 32, np.dtype("f4"), "half") == (64 + 24) * 4 + 68
