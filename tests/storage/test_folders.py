"""Files that are whole or absent, folders that belong to one design."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from support.cases import largest_file

from jumpretrain.storage import arrays, folders


def test_a_write_makes_its_folders_and_replaces_the_file(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    folders.write_bytes(path, b"old")
    folders.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "run.safetensors"
    folders.write_arrays(path, {"states": np.arange(3.0)})
    with largest_file(1000), pytest.raises(ValueError, match=r"too large\); allow larger files"):
        folders.write_arrays(path, {"states": np.zeros(10_000)})
    assert folders.read_arrays(path)[0]["states"].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    folder = tmp_path / "file" / "results"
    with pytest.raises(ValueError, match=r"results cannot be .* move it or name another"):
        folders.write_json(folder / "a.json", {})
    with pytest.raises(ValueError, match="name another folder"), folders.lock(folder):
        pass


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_file_of_arrays_is_named_in_one_line(tmp_path, damage):
    path = tmp_path / "run.safetensors"
    folders.write_arrays(path, {"states": np.arange(30.0)})
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-1], "empty": b"", "text": b"{}" * 50}[damage])
    with pytest.raises(
        ValueError, match=r"run\.safetensors must be a whole .* delete it"
    ) as found:
        folders.read_arrays(path)
    assert "\n" not in str(found.value)


def test_a_file_of_arrays_that_is_no_file_is_not_to_be_deleted(tmp_path):
    with pytest.raises(ValueError, match=r"a cannot be read \(No such file.*\); it was removed"):
        folders.read_arrays(tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"b cannot be read \(Is a directory\); .* move it"):
        folders.read_arrays(tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe\x00binary"])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.json must be whole JSON"):
        folders.read_json(path)


def test_numbers_that_are_not_finite_survive_json_as_words(tmp_path):
    path = tmp_path / "a.json"
    content = {"x": float("nan"), "y": [np.inf, -np.inf], "z": np.array([1.0, np.nan])}
    folders.write_json(path, content)
    strict = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert strict == {"x": "nan", "y": ["inf", "-inf"], "z": [1.0, "nan"]}
    assert np.isnan(float(strict["x"])) and float(strict["y"][1]) == -np.inf


def test_json_takes_what_numpy_and_paths_give(tmp_path):
    content = {1: np.float32(0.5), "b": np.int64(3), "c": (1, np.bool_(True)), "d": tmp_path}
    folders.write_json(tmp_path / "a.json", content)
    assert folders.read_json(tmp_path / "a.json") == {
        "1": 0.5, "b": 3, "c": [1, True], "d": str(tmp_path),
    }  # fmt: skip


def test_equal_content_gives_equal_bytes(tmp_path):
    array = np.arange(4.0)
    folders.write_arrays(tmp_path / "a", {"x": array, "y": array}, {"p": 1, "q": 2, "r": 3})
    folders.write_arrays(tmp_path / "b", {"y": array, "x": array}, {"r": 3, "q": 2, "p": 1})
    folders.write_json(tmp_path / "c", {"p": 1, "q": 2})
    folders.write_json(tmp_path / "d", {"q": 2, "p": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    order=st.randoms(use_true_random=False),
    dtype=st.sampled_from(["f4", "f8", "i8"]),
)
def test_arrays_of_any_layout_come_back_as_they_were(tmp_path_factory, shape, order, dtype):
    folder = tmp_path_factory.getbasetemp() / "layouts"
    axes = list(range(len(shape)))
    order.shuffle(axes)
    base = np.arange(np.prod(shape, dtype=int) * 2, dtype=dtype).reshape(*shape, 2)
    views = {"moved": base[..., 0].transpose(axes), "back": base[..., ::-1], "whole": base}
    folders.write_arrays(folder / "a.safetensors", views, {"note": "ä"})
    found, facts = folders.read_arrays(folder / "a.safetensors")
    assert facts == {"note": "ä"}
    for name, view in views.items():
        assert found[name].dtype == view.dtype
        np.testing.assert_array_equal(found[name], view)


def test_nothing_is_pickled(tmp_path):
    folders.write_run(tmp_path / "run", np.zeros((2, 3)), {"test_loss": np.ones(2)})
    with safe_open(tmp_path / "run", framework="np") as file:
        assert sorted(file.keys()) == ["checksum", "metrics.test_loss", "states"]
    with pytest.raises(TypeError):
        folders.write_json(tmp_path / "a.json", {"model": object()})


def test_runs_are_read_with_gaps_and_statuses(tmp_path):
    states = np.arange(24.0).reshape(2, 3, 4)
    bad = states[1].copy()
    bad[1, 2] = np.inf
    folders.write_run(folders.run_path(tmp_path, 0), states[0], {"test_loss": np.arange(3.0)})
    folders.write_run(folders.run_path(tmp_path, 2), bad, {"test_loss": np.arange(3.0)})
    folders.write_run(folders.run_path(tmp_path, 3), states[1], {"test_loss": np.full(3, 1e39)})
    found, epoch, metrics, marks = folders.read_runs(tmp_path, 5, np.arange(3.0))
    assert marks.tolist() == ["ok", "missing", "diverged", "diverged", "missing"]
    assert found.shape == (5, 3, 4) and epoch.tolist() == [0, 1, 2]
    assert metrics["test_loss"][0].tolist() == [0, 1, 2]
    assert np.isnan(metrics["test_loss"][[1, 4]]).all()
    np.testing.assert_array_equal(found[2], bad)
    with pytest.raises(ValueError, match="none is finished yet"):
        folders.read_runs(tmp_path / "empty", 5, np.arange(3.0))


def test_reading_many_runs_holds_the_states_of_none(tmp_path):
    states = np.zeros((8, 50_000))
    peaks = []
    for folder, count in ((tmp_path / "few", 2), (tmp_path / "many", 16)):
        for run in range(count):
            folders.write_run(folders.run_path(folder, run), states, {"test_loss": np.zeros(8)})
        tracemalloc.start()
        *_, marks = folders.read_runs(folder, count, np.arange(8.0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert marks.tolist() == ["ok"] * count
    assert peaks[0] > arrays.PIECE  # the allocations are seen
    assert peaks[1] < states.nbytes / 4 and peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("size", [10, 100, -8])
def test_a_truncated_run_among_whole_ones_is_named(tmp_path, size):
    for run in range(3):
        folders.write_run(folders.run_path(tmp_path, run), np.zeros((2, 30)), {"a": np.zeros(2)})
    path = folders.run_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"00001\.safetensors must be a whole .* delete it"):
        folders.read_runs(tmp_path, 3, np.arange(2.0))


def test_status_looks_at_states_and_losses():
    states = np.zeros((4, 2, 3))
    states[1, 1, 2] = np.nan
    metrics = {name: np.zeros((4, 2)) for name in ("train_loss", "test_loss_stored", "test_f1")}
    metrics["test_loss_stored"][3, 0] = -np.inf
    metrics["test_f1"][0, 0] = np.nan  # of the user's own: 0 divided by 0, say
    assert folders.status(states, metrics).tolist() == ["ok", "diverged", "ok", "diverged"]
    metrics["train_loss"][2, 1] = 8e175  # finite, but no float32 is as large
    assert folders.status(states, metrics).tolist() == ["ok", *["diverged"] * 3]


def test_more_than_the_disk_holds_is_refused_with_the_number(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    folders.check_space(tmp_path / "new" / "folder", free // 2)
    with pytest.raises(ValueError, match=r"new needs 1e\+06 GB .* disk has [\d.e+]+ GB free"):
        folders.check_space(tmp_path / "new", 10**15)
