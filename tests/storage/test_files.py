"""Files that are whole or absent, and what dead writers leave."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import nets

import jumpretrain as jr
from jumpretrain.storage import files

HALF = """
import os, signal, sys
from pathlib import Path
from jumpretrain.storage import files
def stop(descriptor):
    print("half", flush=True)
    sys.stdin.read()
os.fsync = stop
files.write(Path(sys.argv[1]), [b"half"])
"""


@pytest.fixture
def watched(monkeypatch):
    """What is asked of the system, in order."""
    asked = []

    def watch(owner, name, told):
        original = getattr(owner, name)

        def instead(*args, **words):
            asked.append(told(*args))
            return original(*args, **words)

        monkeypatch.setattr(owner, name, instead)

    def kind(descriptor):
        return "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"  # noqa: PTH112

    watch(os, "fsync", lambda descriptor: ("fsync", kind(descriptor)))
    watch(Path, "replace", lambda *_: ("rename",))
    watch(Path, "mkdir", lambda path, *_: ("make", path.name))
    return asked


def test_a_file_is_made_durable_before_it_is_renamed_and_its_folder_after(tmp_path, watched):
    files.write(tmp_path / "a", [b"1", b"23"])
    assert watched == [("fsync", "file"), ("rename",), ("fsync", "folder")]
    assert (tmp_path / "a").read_bytes() == b"123"


def test_each_new_folder_is_made_durable_in_the_one_above(tmp_path, watched):
    made = files.make_folder(tmp_path / "a" / "b")
    assert made == [tmp_path / "a" / "b", tmp_path / "a"]
    assert watched == [("make", "a"), ("fsync", "folder"), ("make", "b"), ("fsync", "folder")]
    assert files.make_folder(tmp_path / "a" / "b") == []


def test_a_folder_that_is_gone_is_not_made_again_by_a_file(tmp_path):
    with pytest.raises(ValueError, match=r"b cannot be written \(No such .* repeat the call"):
        files.write(tmp_path / "a" / "b", [b""])
    with pytest.raises(ValueError, match="No such file"):
        files.make_folder(tmp_path / "a" / "b", parents=False)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_said_to_be(tmp_path):
    for call in (files.exists, files.make_folder, lambda path: files.write(path, [b""])):
        with pytest.raises(ValueError, match=r"name too long\); name a folder with a shorter"):
            call(tmp_path / ("a" * 300))


def test_names_of_half_written_files_are_random_and_lead_nowhere_else(tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.write_text("somebody's own")
    (tmp_path / "a").symlink_to(other)
    files.write(tmp_path / "a", [b"mine"])
    assert other.read_text() == "somebody's own" and (tmp_path / "a").read_bytes() == b"mine"
    drawn = iter(["0" * 16, "1" * 16])
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: next(drawn))
    (tmp_path / f"b.{'0' * 16}.part").symlink_to(other)
    with pytest.raises(ValueError, match="File exists"):
        files.write(tmp_path / "b", [b"mine"])
    assert other.read_text() == "somebody's own"


def test_only_dead_writers_half_written_files_are_swept(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HALF, tmp_path / "a"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"half\n"
        (part,) = tmp_path.iterdir()
        files.sweep(tmp_path)
        assert part.exists() and files.orphans(tmp_path) == []
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert files.orphans(tmp_path) == [part]
    (tmp_path / "my.part").write_text("of somebody else")
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["my.part"]


def test_a_file_that_is_swept_before_it_is_locked_is_begun_again(tmp_path, monkeypatch):
    hold, begun = files.hold, []

    def late(descriptor):
        begun.append(descriptor)
        if len(begun) == 1:
            files.sweep(tmp_path)
        return hold(descriptor)

    monkeypatch.setattr(files, "hold", late)
    files.write(tmp_path / "a", [b"whole"])
    assert (tmp_path / "a").read_bytes() == b"whole" and len(begun) == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_system_that_cannot_sync_folders_or_lock_still_keeps_files(tmp_path, monkeypatch):
    sync = os.fsync

    def refuse(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    def lockless(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(files, "_take", lockless)
    files.write(tmp_path / "a", [b"whole"])
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_path_is_taken_where_it_leads_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.located("~/a") == tmp_path / "home" / "a"
    assert files.located(Path("b/c")) == tmp_path / "b" / "c"
    assert files.located(tmp_path) == tmp_path
    with pytest.raises(ValueError, match=r"must begin with ~ alone or that of a user .*in full"):
        files.located("~nobody-of-this-name/a")
    with pytest.raises(ValueError, match=r"^no path has a zero character, but 'a\\x00b' has; "):
        files.located("a\0b")


def test_results_are_read_from_where_they_were_written_whatever_folder_is_worked_in(
    tmp_path, monkeypatch
):
    task, quiet = nets.TASKS["mlp"](), jr.Execution(progress=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, place in (("runs", tmp_path / "runs"), ("~/runs", tmp_path / "home" / "runs")):
        monkeypatch.chdir(tmp_path)
        fit = jr.train(task, jr.Recipe(epochs=1), [0], folder=name, execution=quiet)
        assert (place / "manifest.json").exists()
        jumps = f"{name}/jumps"
        jr.sample(task, fit, jr.Recipe(epochs=1), (1.0,), 1, folder=jumps, execution=quiet)
        found = jr.Trajectories.load(jumps)
        monkeypatch.chdir(place)
        assert np.isfinite(fit.final).all() and np.isfinite(found.states[:]).all()
    assert not (tmp_path / "~").exists()
