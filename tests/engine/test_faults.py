"""What can go wrong while a folder is filled; the same call then ends with the same bits.

Beside these, tests of `execution` and of a cluster kill workers, tests of `checkpoints` kill a
training between its checkpoints, and those of `locks` and `store` fail single files.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.cases import largest_file

import jumpretrain as jr

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let jobs behind them ignore it
sys.path.insert(0, "tests")
from tests.engine import test_faults
test_faults.sampled(*sys.argv[1:])
"""
RUNS = 10
ENDS = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


def sampled(folder=None, n_jobs=1):
    """Jump ten times and retrain, one run at a time."""
    rng = np.random.default_rng(0)
    x, y = rng.random((240, 1, 8, 8), dtype=np.float32), rng.integers(10, size=240)
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10), jr.Dataset(x, y, x[:50], y[:50]))
    execution = jr.Execution(n_jobs=int(n_jobs), chunk=1, progress=False)
    words = {"step_sizes": (0.5, 1.0), "directions": 5, "folder": folder, "execution": execution}
    return jr.sample(
        task, task.initial(0), jr.Recipe(epochs=8, batch_size=16, record_every=4), **words
    )


@pytest.fixture(scope="module")
def whole():
    return sampled()


def finished(folder):
    return sorted(Path(folder).glob("runs/*.safetensors"))


def marks(paths):
    """What changes when a file is made again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


@contextmanager
def sampling(folder, n_jobs):
    """Sample in another process, and let it come to its second run."""
    words = [sys.executable, "-c", CODE, str(folder), str(n_jobs)]
    with subprocess.Popen(
        words, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True
    ) as child:
        try:
            while child.poll() is None and len(finished(folder)) < 2:
                time.sleep(0.002)
            yield child
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)


def check_going_on(folder, whole, kept):
    """Repeat the call: what was finished stays, the rest is made, all with the same bits."""
    assert 0 < len(kept) < RUNS
    again = sampled(folder)
    assert marks(kept) == kept and len(finished(folder)) == RUNS
    assert np.array_equal(again.states[:], whole.states)
    for name, values in whole.metrics.items():
        assert np.array_equal(again.metrics[name], values)


@pytest.mark.parametrize(
    ("number", "n_jobs"),
    [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2), (signal.SIGKILL, 2)],
)
def test_a_sampling_that_is_ended_goes_on_to_the_same_bits(number, n_jobs, whole, tmp_path):
    with sampling(tmp_path, n_jobs) as child:
        workers = psutil.Process(child.pid).children(recursive=True)
        assert (len(workers) >= n_jobs) == (n_jobs > 1)
        child.send_signal(number)
        assert child.wait() == ENDS[number]
        assert psutil.wait_procs(workers, timeout=30)[1] == []
    if number != signal.SIGKILL:
        assert not list(tmp_path.rglob("*.part"))
    check_going_on(tmp_path, whole, marks(finished(tmp_path)))
    assert not list(tmp_path.rglob("*.part"))


def test_two_processes_do_not_fill_one_folder_and_a_dead_one_holds_nothing(whole, tmp_path):
    with sampling(tmp_path, 1) as child:
        with pytest.raises(ValueError, match="one process works in a folder at a time"):
            sampled(tmp_path)
        assert child.poll() is None and len(finished(tmp_path)) < RUNS
        child.kill()
    check_going_on(tmp_path, whole, marks(finished(tmp_path)))


def test_a_sampling_that_the_disk_refuses_goes_on_when_there_is_room(whole, tmp_path):
    sampled(tmp_path)
    for path in finished(tmp_path)[3:7]:
        path.unlink()
    kept = marks(finished(tmp_path))
    size = next(iter(kept)).stat().st_size
    with largest_file(size // 2), pytest.raises(ValueError, match="too large"):
        sampled(tmp_path)
    assert not list(tmp_path.rglob("*.part")) and marks(finished(tmp_path)) == kept
    check_going_on(tmp_path, whole, kept)


def keep_on(folder):
    """Train in a process of one's own, whose parent ends at once, and write a file after that."""
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 1, 8, 8), dtype=np.float32), np.arange(40) % 10
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(4,)), jr.Dataset(x, y, x, y))
    jr.train(task, jr.Recipe(epochs=1), [0], execution=jr.Execution(progress=False))
    Path(folder, "trained").touch()
    time.sleep(4)
    Path(folder, "done").touch()


def leave(folder):
    """Start that process, and end before it."""
    multiprocessing.get_context("spawn").Process(target=keep_on, args=[folder]).start()
    while not Path(folder, "trained").exists():
        time.sleep(0.05)
    os._exit(0)


def test_a_process_of_one_s_own_outlives_its_parent(tmp_path):
    call = CODE.replace("sampled", "leave")
    subprocess.run([sys.executable, "-c", call, tmp_path], cwd=ROOT, check=True)
    until = time.monotonic() + 60
    while not (tmp_path / "done").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert (tmp_path / "done").exists()
