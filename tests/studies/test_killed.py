"""Studies from the command line that lose workers, or are told to end: they go on, in one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "jumpretrain"
STUDIES = {
    "explore": "explore --train-size 300 --test-size 100 --seeds 2 --directions 2 --step-sizes 0 "
    "0.5 1 --training.epochs 40 --epochs 25",
    "interpolate": "interpolate --train-size 300 --layerwise --seeds 3 --training.epochs 40",
    "connect": "connect --train-size 300 --training.epochs 40 --inner 4",
}
TABLES = {"explore": "statistics.csv", "interpolate": "summary.csv", "connect": "summary.csv"}


def begin(kind, out):
    words = [*STUDIES[kind].split(), "--n-jobs", "2", "--no-progress", "--out", str(out)]
    return subprocess.Popen(
        [PROGRAM, *words], cwd=out.parent, env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def workers(process):
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "popen_loky" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def wait_for(process, holds):
    while not holds():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def kept(out, pattern):
    return len(list(out.glob(pattern)))


MOMENTS = {
    "training": ("explore", "networks/*/training/**/*.json", 1),
    "sampling": ("explore", "networks/*/common/runs/*.safetensors", 1),
    "describing": ("explore", "networks/*/common/runs/*.safetensors", 4 * 6),
    "interpolating": ("interpolate", "networks/*/runs/*.safetensors", 3),
    "connecting": ("connect", "networks/*/runs/*.safetensors", 1),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    found = {}
    for kind, table in TABLES.items():
        out = tmp_path_factory.mktemp(kind) / "out"
        process = begin(kind, out)
        assert process.communicate()[1] == "" and process.returncode == 0
        found[kind] = (out / table).read_bytes()
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_study_goes_on_when_a_worker_is_killed_and_ends_with_the_same_table(
    moment, tables, tmp_path
):
    kind, pattern, count = MOMENTS[moment]
    out = tmp_path / "out"
    process = begin(kind, out)
    wait_for(process, lambda: workers(process) and kept(out, pattern) >= count)
    workers(process)[0].kill()
    said = process.communicate()
    assert process.returncode == 0 and said[1] == ""
    assert (out / TABLES[kind]).read_bytes() == tables[kind]


def test_workers_that_are_killed_again_and_again_end_in_one_line(tmp_path):
    process = begin("explore", tmp_path / "out")
    while process.poll() is None:
        for worker in workers(process):
            worker.kill()
        time.sleep(0.05)
    said = process.communicate()[1]
    assert process.returncode == 1
    assert said.startswith("jumpretrain: workers must live until their jobs are done, but died 3")
    assert said.count("\n") == 1


@pytest.mark.parametrize("kind", STUDIES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_study_that_is_told_to_end_says_so_in_one_line_and_goes_on(
    kind, number, tables, tmp_path
):
    out = tmp_path / "out"
    process = begin(kind, out)
    wait_for(process, lambda: kept(out, "networks/*/**/*.safetensors"))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert said == "jumpretrain: stopped; the same call goes on from here\n"
    assert not workers(process) and not list(out.rglob("*.part"))
    again = begin(kind, out)
    assert again.communicate()[1] == "" and again.returncode == 0
    assert (out / TABLES[kind]).read_bytes() == tables[kind]
