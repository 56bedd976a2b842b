"""Where work is run never changes what comes out."""

import os
import pathlib
import platform
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from multiprocessing.connection import Connection

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpretrain.execution.execution import LOSSES, Execution, chunks, spread
from jumpretrain.execution.threads import keep_memory, versions
from jumpretrain.storage import files

QUIET = Execution(progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "vmap"}, "mode must be auto, stacked, looped or compiled, but is 'vmap'"),
        ({"n_jobs": 0}, "n_jobs must be -1 or at least 1, but is 0"),
        ({"n_jobs": -2}, "n_jobs must be a whole number from -1 to 4096, but is -2"),
        ({"chunk": 0}, "chunk must be a whole number of at least 1 .*, but is 0"),
    ],
)
def test_what_is_out_of_range_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Execution(**change)


@settings(max_examples=80, deadline=None)
@given(count=st.integers(1, 300), largest=st.integers(1, 70))
def test_chunks_are_equal_and_even_in_number_where_they_can(count, largest):
    parts = chunks(count, largest)
    assert np.concatenate(parts).tolist() == list(range(count))
    sizes = [len(part) for part in parts]
    assert 1 <= min(sizes) and max(sizes) <= largest and max(sizes) - min(sizes) <= 1
    assert count < 8 or len(parts) % 2 == 0 or len(parts) == count
    assert len(parts) <= -(-count // largest) + 1


def test_a_provenance_names_what_rounding_depends_on():
    found = versions()
    assert found["torch"] == torch.__version__ and found["numpy"] == np.__version__
    assert found["processor"] == f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def described(number):
    return number**2, torch.get_num_threads(), os.getpid()


def failing(number):
    raise ArithmeticError(f"job {number}")


def test_results_come_in_the_order_of_the_jobs_on_one_thread_each():
    found = spread(described, [(number,) for number in range(7)], QUIET)
    assert found == [(number**2, 1, os.getpid()) for number in range(7)]
    assert spread(described, [], QUIET) == []


def test_processes_take_closures_and_keep_the_order():
    shift = 3

    def late(number):
        time.sleep(0.3 * (number == 0))
        return described(number + shift)

    jobs = [(number,) for number in range(6)]
    execution = Execution(n_jobs=2, progress=False)
    found = spread(late, jobs, execution)
    assert [value for value, _, _ in found] == [(number + 3) ** 2 for number in range(6)]
    assert {threads for _, threads, _ in found} == {1}
    assert os.getpid() not in {process for _, _, process in found}
    assert spread(described, jobs[:1], execution)[0][2] == os.getpid()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_of_a_job_reaches_the_caller(n_jobs):
    threads = torch.get_num_threads()
    with pytest.raises(ArithmeticError, match="job 0"):
        spread(failing, [(0,), (0,)], Execution(n_jobs=n_jobs, progress=False))
    assert torch.get_num_threads() == threads


def test_joblibs_own_configuration_is_followed():
    with joblib.parallel_config(backend="threading"):
        found = spread(described, [(number,) for number in range(4)], Execution(n_jobs=2))
    assert {process for _, _, process in found} == {os.getpid()}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_backend_that_gives_results_at_the_end_only_is_refused_and_the_remedy_helps(n_jobs):
    jobs, execution = [(k,) for k in range(3)], Execution(n_jobs=n_jobs, progress=False)
    message = r"must give results as they come, but .* multiprocessing\); choose loky, threading"
    with (
        joblib.parallel_config(backend="multiprocessing"),
        pytest.raises(ValueError, match=message),
    ):
        spread(abs, jobs, execution)
    for backend in ("threading", "sequential"):
        with joblib.parallel_config(backend=backend):
            assert spread(abs, jobs, execution) == [0, 1, 2]


def test_a_bar_is_shown_where_it_has_a_label_and_is_wanted(capfd):
    jobs = [(number,) for number in range(3)]
    spread(described, jobs, QUIET, "hidden")
    spread(described, jobs, Execution())
    spread(described, [], Execution(), "nothing to do")
    assert capfd.readouterr().err == ""
    spread(described, jobs, Execution(), "shown")
    printed = capfd.readouterr()
    assert "shown: 100%" in printed.err and printed.out == ""


def counted_or_dying(folder, job):
    """Count the calls of each job; the first to come to job 3 takes its process down."""
    tries = len(list(folder.glob(f"{job}-*")))
    (folder / f"{job}-{tries}").touch()
    if job == 3 and not tries:
        while not list(folder.glob("5-*")):  # by then the other worker has sent what came before
            time.sleep(0.02)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return job**2


def test_what_a_dead_worker_had_begun_is_begun_again_and_what_was_done_is_kept(tmp_path):
    jobs = [(tmp_path, job) for job in range(6)]
    found = spread(counted_or_dying, jobs, Execution(n_jobs=2, progress=False), "counting")
    assert found == [0, 1, 4, 9, 16, 25]
    assert len(list(tmp_path.glob("3-*"))) == 2
    assert {len(list(tmp_path.glob(f"{job}-*"))) for job in (0, 1, 2)} == {1}


class Odd(Exception):
    """An error that cannot be made again from its message, as pickle would."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def odd(number):
    raise Odd(number, number)


def test_an_error_that_cannot_travel_still_says_what_it_was():
    with pytest.raises(RuntimeError, match="Odd: 1 and 1"):
        spread(odd, [(1,), (1,)], Execution(n_jobs=2, progress=False))


def interrupts_are_held(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="a system without signal masks")
def test_ctrl_c_is_heard_by_who_started_the_workers_alone():
    assert spread(interrupts_are_held, [(0,), (1,)], Execution(n_jobs=2)) == [True] * 2
    assert not interrupts_are_held(0)


def dying(folder, number):
    (folder / f"{number}-{time.time_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_workers_that_die_without_an_end_are_one_line_and_never_take_the_caller_along(tmp_path):
    two = Execution(n_jobs=2, progress=False)
    with pytest.raises(BrokenExecutor, match="died 3 times without a job being finished") as stop:
        spread(dying, [(tmp_path, 9), (tmp_path, 9)], two)
    assert "\n" not in str(stop.value)
    assert LOSSES <= len(list(tmp_path.iterdir())) <= 2 * LOSSES


@pytest.mark.slow
def test_the_last_job_is_never_brought_into_a_process_that_it_would_kill(tmp_path):
    with pytest.raises(BrokenExecutor, match="workers must live"):
        spread(_die_last, [(0,), (9,)], Execution(n_jobs=2, progress=False))


def _die_last(number):
    if number:
        _die(number)


def _die(number):
    os.kill(os.getpid(), number)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="how others free is theirs")
def test_workers_keep_the_memory_that_they_free():
    assert spread(_pages_cleared, [(), ()], Execution(n_jobs=2)) == [0, 0]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="how others free is theirs")
def test_a_process_whose_user_told_glibc_what_to_do_stays_as_it_is():
    child = "from tests.execution.test_execution import _before_and_after as f; print(*f())"
    place, choice = pathlib.Path(__file__).parents[2], {"MALLOC_MMAP_THRESHOLD_": "131072"}
    told = subprocess.run(
        [sys.executable, "-c", child], cwd=place, env=os.environ | choice, capture_output=True
    )
    assert min(map(float, told.stdout.split())) > 1000


def _before_and_after():
    before = _pages_cleared()
    keep_memory()
    return before, _pages_cleared()


def _pages_cleared():
    """Pages that the system clears anew where three tensors of 4 MiB are made again and again."""
    counts = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
    for _ in range(11):
        first, second = torch.zeros(2**20), torch.zeros(2**20)
        third = first + second
        del first, second, third
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return float(np.median(np.diff(counts)))


class Late:
    """What takes a worker until its program is gone to unpack, as a slow import would."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return _unpacked, (self.folder,)


def _unpacked(folder):
    (folder / str(os.getpid())).touch()
    while not (folder / "gone").exists():
        time.sleep(0.02)
    return Late(folder)


def _write_and_go_on(late):
    files.write(late.folder / "written", [b"a result"])
    time.sleep(120)


def _start_two(folder):
    spread(_write_and_go_on, [(Late(pathlib.Path(folder)),)] * 2, Execution(n_jobs=2), "late")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_workers_whose_program_dies_before_their_first_job_end_and_write_nothing(tmp_path):
    call = f"from tests.execution.test_execution import _start_two as f; f({str(tmp_path)!r})"
    program = subprocess.Popen(
        [sys.executable, "-c", call],
        cwd=pathlib.Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    while len(workers := list(tmp_path.iterdir())) < 2:
        assert program.poll() is None
        time.sleep(0.05)
    program.kill()
    program.wait()
    (tmp_path / "gone").touch()
    ends = time.monotonic() + 60
    while any(pathlib.Path("/proc", worker.name).exists() for worker in workers):
        assert time.monotonic() < ends
        time.sleep(0.1)
    assert {path.name for path in tmp_path.iterdir()} == {"gone", *(w.name for w in workers)}


def half_sent(folder, number):
    """Let this worker be killed when half of its result is sent, but only once."""
    mark = pathlib.Path(folder, "killed")

    def send(connection, message):
        os.write(connection.fileno(), bytes(message)[: len(message) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    if number == 0 and not mark.exists():
        mark.touch()
        Connection._send = send
    return number


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_a_worker_that_is_killed_while_it_sends_a_result_holds_nobody_up(
    tmp_path, n_jobs, monkeypatch
):
    monkeypatch.setattr("jumpretrain.execution.execution.PATIENCE", 1)
    jobs = [(tmp_path, number) for number in range(4)]
    found = spread(half_sent, jobs, Execution(n_jobs=n_jobs, progress=False), "sending")
    assert found == [0, 1, 2, 3] and (tmp_path / "killed").exists()
