"""Folders that belong to one process, and are left whole when it is told to end."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import faults
from support.landscapes import bowl, landscape

from jumpretrain.storage import folders, manifests
from jumpretrain.topology.measure import saddles

HOLD = """
import sys, time
from pathlib import Path
from jumpretrain.storage import folders
with folders.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_is_refused_while_another_lives_and_falls_with_its_process(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    with process:
        try:
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(ValueError, match="is in use; wait"), folders.lock(tmp_path):
                pass
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with folders.lock(tmp_path):
        folders.write_json(tmp_path / "a.json", 1)
    assert folders.read_json(tmp_path / "a.json") == 1


def test_a_lock_is_let_go_after_an_exception_and_leaves_others_alone(tmp_path):
    with pytest.raises(KeyError), folders.lock(tmp_path / "a"):
        raise KeyError
    with folders.lock(tmp_path / "a"), folders.lock(tmp_path / "b"):
        assert {path.name for path in tmp_path.glob("*/*")} == {".lock"}


def test_what_a_killed_writer_left_is_removed_by_the_next_holder_of_the_lock(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from jumpretrain.storage import folders\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        "folders.write_bytes(Path(sys.argv[1]), b'half')"
    )
    paths = [tmp_path / "manifest.json", folders.run_path(tmp_path, 0)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        killed = subprocess.run([sys.executable, "-c", script, path], check=False)
        assert killed.returncode == -signal.SIGKILL
    folders.write_run(folders.run_path(tmp_path, 1), np.zeros((2, 3)), {})
    (tmp_path / "my.part").write_text("of somebody else")
    assert len(list(tmp_path.rglob("*.part"))) == 3
    with folders.lock(tmp_path):
        assert [path.name for path in tmp_path.rglob("*.part")] == ["my.part"]
        assert folders.run_path(tmp_path, 1).exists()


@pytest.fixture
def default():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def told_to_end(folder):
    """Hold a folder, begin to write a file in it, and get a SIGTERM."""
    with folders.lock(folder):
        (folder / "runs").mkdir()
        (folder / "runs" / "00000.safetensors.123.part").write_text("half")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)


@pytest.mark.usefixtures("default")
def test_a_process_told_to_end_unwinds_and_leaves_nothing_half_written(tmp_path):
    with pytest.raises(SystemExit) as ended:
        told_to_end(tmp_path)
    assert ended.value.code == 143
    assert not list(tmp_path.rglob("*.part"))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with folders.lock(tmp_path):
        pass


@pytest.mark.usefixtures("default")
def test_what_others_do_at_a_sigterm_stays_theirs(tmp_path):
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    with folders.lock(tmp_path):
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [1]


@pytest.mark.usefixtures("default")
def test_a_folder_can_be_held_in_a_thread(tmp_path):
    handlers = []

    def hold():
        with folders.lock(tmp_path):
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]


@pytest.mark.usefixtures("default")
def test_of_folders_held_in_each_other_the_outer_one_listens(tmp_path):
    with folders.lock(tmp_path / "outer"):
        handler = signal.getsignal(signal.SIGTERM)
        with folders.lock(tmp_path / "inner"):
            assert signal.getsignal(signal.SIGTERM) is handler
        assert signal.getsignal(signal.SIGTERM) is handler is not signal.SIG_DFL


@pytest.mark.usefixtures("default")
def test_a_handler_that_came_while_a_folder_was_held_stays(tmp_path):
    with folders.lock(tmp_path):
        signal.signal(signal.SIGTERM, mine := lambda *_: None)
    assert signal.getsignal(signal.SIGTERM) is mine


FORK = """
import os, signal, sys, time
from pathlib import Path
from jumpretrain.storage import folders
with folders.lock(Path(sys.argv[1])):
    child = os.fork()
    if not child:
        try:
            time.sleep(60)
        finally:
            os._exit(7)
    time.sleep(0.5)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_dies_of_a_sigterm_as_usual(tmp_path):
    words = [sys.executable, "-c", FORK, tmp_path]
    assert subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout == b"-15\n"


WORKERS = """
import os, signal, sys, time
from concurrent.futures import BrokenExecutor
from pathlib import Path
import joblib
from jumpretrain.storage import folders

def hold(number):
    with folders.lock(Path(sys.argv[1]) / str(number)):
        if number:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

with folders.lock(Path(sys.argv[1])):
    try:
        joblib.Parallel(n_jobs=2)(joblib.delayed(hold)(number) for number in range(2))
    except BrokenExecutor:
        print("a worker was lost")
"""


def test_a_worker_told_to_end_is_lost_and_its_parent_told(tmp_path):
    words = [sys.executable, "-c", WORKERS, tmp_path]
    assert subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout == (
        b"a worker was lost\n"
    )


def test_a_call_that_fails_leaves_the_folder_within_that_another_holds(tmp_path):
    inner = tmp_path / "networks" / "0"
    with pytest.raises(KeyError), folders.lock(tmp_path):
        manifests.claim(tmp_path / "study.json", {"seeds": 1})
        (tmp_path / "networks" / "1").mkdir(parents=True)
        manifests.claim(tmp_path / "networks" / "1" / "manifest.json", {"seeds": [1]})
        process = subprocess.Popen([sys.executable, "-c", HOLD, inner], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"held\n"
        manifests.claim(inner / "manifest.json", {"seeds": [0]})
        folders.write_run(folders.run_path(inner, 0), np.zeros((2, 3)), {})
        raise KeyError
    with process:
        assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
            ".lock", "00000.safetensors", "manifest.json"
        ]  # fmt: skip
        with pytest.raises(ValueError, match="is in use"), folders.lock(inner):
            pass
        process.kill()


def test_what_stands_in_the_place_of_a_lock_is_named_and_the_remedy_helps(tmp_path):
    path = tmp_path / "a" / ".lock"
    path.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"\.lock must be a file .* but is no file; remove it"):
        folders.lock(path.parent).__enter__()
    path.rmdir()
    for target in (tmp_path / "elsewhere", path):
        path.symlink_to(target)
        with pytest.raises(ValueError, match=r"but is a symbolic link; remove it and repeat"):
            folders.lock(path.parent).__enter__()
        assert not (tmp_path / "elsewhere").exists()
        path.unlink()
    with folders.lock(path.parent):
        assert path.is_file()


@pytest.mark.parametrize("place", ["runs", "checkpoints", "figures"])
def test_a_file_in_the_place_of_a_folder_is_named_before_anything_is_done(tmp_path, place):
    (tmp_path / place).write_text("a user's own")
    with pytest.raises(ValueError, match=f"{place} must be a folder, but is a file; move it away"):
        folders.lock(tmp_path).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == [place]


READ_ONLY = """
import sys
from pathlib import Path
import numpy as np
from support import faults
from support.landscapes import bowl, landscape
from jumpretrain.topology.measure import saddles

folder = Path(sys.argv[1])
faults.study(folder)
saddles(landscape(bowl), np.eye(2), folder=folder / "measured", execution=faults.QUIET)
faults.jr.train(faults.TASK, faults.RECIPE, [0], folder=folder, execution=faults.QUIET)
"""
READS = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" "$1"'


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"]).returncode,
    reason="only a user of their own name space can mount",
)
def test_what_is_finished_is_read_from_a_read_only_file_system_and_the_rest_is_refused(tmp_path):
    tests = Path(__file__).parents[1]
    known = os.environ | {"PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"}
    faults.study(tmp_path)
    saddles(landscape(bowl), np.eye(2), folder=tmp_path / "measured", execution=faults.QUIET)
    command = ["unshare", "-rm", "sh", "-c", READS, "sh", tmp_path, sys.executable, READ_ONLY]
    answer = subprocess.run(command, env=known, capture_output=True, text=True)
    said = answer.stderr.splitlines()[-1]
    assert f"{tmp_path / 'manifest.json'} cannot be written (Read-only" in said, answer.stderr
    assert said.endswith("name a folder on one")
