"""States on disk index like the array that they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jumpretrain.storage import folders
from jumpretrain.storage.lazy_states import LazyStates
from jumpretrain.storage.manifests import Owner

SHAPE = (5, 4, 3)
MISSING = 2


@pytest.fixture(scope="module", params=["f4", "f8"])
def both(request, tmp_path_factory):
    """The states on disk and the array that they stand for."""
    folder = tmp_path_factory.mktemp("runs")
    array = np.random.default_rng(0).normal(size=SHAPE).astype(request.param)
    array[MISSING] = np.nan
    paths = [folders.run_path(folder, run) for run in range(SHAPE[0])]
    for run, path in enumerate(paths):
        if run != MISSING:
            folders.write_run(path, array[run], {"test_loss": np.zeros(SHAPE[1])})
    files = tuple(path if path.exists() else None for path in paths)
    return LazyStates(files, np.arange(SHAPE[1]), SHAPE[2], array.dtype), array


def lists(length, size=4):
    return st.lists(st.integers(-length, length - 1), min_size=1, max_size=size)


def masks(length):
    return hnp.arrays(bool, length)


one = st.integers(-SHAPE[0], SHAPE[0] - 1) | st.slices(SHAPE[0])
many = lists(SHAPE[0]) | lists(SHAPE[0]).map(np.array) | masks(SHAPE[0])
plain = hnp.basic_indices(SHAPE[1:], allow_newaxis=True).map(
    lambda key: key if isinstance(key, tuple) else (key,)
)
fancy = st.tuples(lists(SHAPE[1]) | masks(SHAPE[1]), st.slices(SHAPE[2])) | st.tuples(
    st.slices(SHAPE[1]), lists(SHAPE[2]).map(np.array)
)
keys = st.tuples(one | many, plain) | st.tuples(one, fancy)


@settings(max_examples=150, deadline=None)
@given(key=keys)
def test_an_index_gives_what_the_array_gives(both, key):
    stored, array = both
    run, rest = key
    found, expected = stored[(run, *rest)], array[(run, *rest)]
    assert type(found) is np.ndarray and found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(runs=many, times=lists(SHAPE[1]) | masks(SHAPE[1]), key=one | many)
def test_a_selection_gives_what_the_array_gives(both, runs, times, key):
    stored, array = both
    chosen, kept = np.arange(SHAPE[0])[runs], np.arange(SHAPE[1])[times]
    selected = stored.select(chosen.tolist(), kept)
    expected = array[np.ix_(chosen, kept)]
    assert selected.shape == expected.shape
    np.testing.assert_array_equal(np.asarray(selected), expected)
    if len(chosen) and len(kept):
        again = selected.select([len(chosen) - 1, 0], np.array([len(kept) - 1]))
        np.testing.assert_array_equal(again[:], expected[[-1, 0]][:, [-1]])
    if len(chosen) == SHAPE[0]:
        np.testing.assert_array_equal(selected[key], expected[key])


def test_what_an_array_reads_otherwise_is_refused(both):
    stored, _ = both
    for key in (..., (..., 0), None, ([0, 1], [2, 3]), ([0, 1], slice(None), [0, 1])):
        with pytest.raises(TypeError, match="index the runs first"):
            stored[key]
    for key in (5, -6, [0, 5], (0, 4), (0, 0, 0, 0)):
        with pytest.raises(IndexError):
            stored[key]


def test_selecting_reads_nothing_and_indexing_reads_only_its_runs(tmp_path):
    path = tmp_path / "there.safetensors"
    folders.write_run(path, np.ones((4, 3)), {})
    files = (tmp_path / "gone", path, None)
    stored = LazyStates(files, np.arange(4), 3, np.dtype(float))
    selected = stored.select([2, 1, 0], np.array([3, 1]))
    assert selected.shape == (3, 2, 3)
    assert np.array_equal(selected[1], np.ones((2, 3))) and np.isnan(selected[0]).all()
    assert np.array_equal(stored[1:2, -1], np.ones((1, 3)))
    with pytest.raises(
        ValueError, match=r"gone cannot be read \(No such file .*\); it was removed"
    ):
        stored[:]


def test_what_is_read_is_one_s_own(both):
    stored, array = both
    first = stored[0]
    first[:] = 7
    np.testing.assert_array_equal(stored[0], array[0])
    assert np.asarray(stored, dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        ({"owner": "another", "run": 1}, "it is of another design"),
        ({"owner": "ours", "run": 0}, "it is number 0"),
        ({}, "of another design, or of none"),
    ],
)
def test_a_file_that_took_the_place_of_a_run_is_refused(tmp_path, facts, finding):
    owner, states = Owner("ours"), np.zeros((2, *SHAPE[1:]))
    metrics = {"test_loss": np.zeros((2, SHAPE[1]))}
    folders.write_runs(tmp_path, np.arange(2), states, metrics, owner)
    found = folders.read_runs(tmp_path, 2, np.arange(SHAPE[1]) * 1.0, owner)[0].select([1], [0, 1])
    path = folders.run_path(tmp_path, 1)
    values = {name: table[1] for name, table in metrics.items()}
    folders.write_run(path, states[1] + 5, values, owner=facts)
    with pytest.raises(ValueError, match=finding):
        found[0]
    folders.write_run(path, states[1] + 5, values, owner=owner.facts(1))  # made again by its call
    assert found[0, 0, 0] == 5
