"""What is printed never costs what was found: results are whole, and a line says what was lost."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jumpretrain.reports.printing import say, unprinted

ROOT = Path(__file__).parents[2]
CODE = "import sys; from jumpretrain.cli import main; sys.exit(main())"
SHORT = (
    "interpolate --train-size 60 --test-size 40 --seeds 1 --training.epochs 1 --alphas 3 "
    "--n-jobs 1 --out out"
).split()


def called(folder, words, **streams):
    known = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", CODE, *words]
    environment = known | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, text=True, **streams)


def test_characters_that_a_terminal_lacks_are_escaped(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", stream)
    say("\u00fc = \u65e5")
    assert stream.buffer.getvalue().decode().strip() == r"\xfc = \u65e5"


def test_without_a_terminal_nothing_is_said(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    say("nothing")


def test_an_error_of_anything_else_is_left_alone():
    with pytest.raises(BrokenPipeError) as found:
        raise BrokenPipeError
    assert unprinted(found.value) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_print_is_one_line_and_all_is_kept(tmp_path):
    with Path("/dev/full").open("w") as full:
        answer = called(tmp_path, SHORT, stdout=full, stderr=subprocess.PIPE)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (
        "jumpretrain: nothing is lost, but it cannot be printed (No space left on device); "
        "print elsewhere"
    )
    assert "Traceback" not in answer.stderr and "Exception ignored" not in answer.stderr
    assert (tmp_path / "out" / "summary.csv").is_file()


@pytest.mark.parametrize("words", [["check"], ["explore", "--help"], [*SHORT, "--progress"]])
def test_a_reader_who_leaves_ends_the_program_in_silence(tmp_path, words):
    reads, writes = os.pipe()
    os.close(reads)
    errors = writes if "--progress" in words else subprocess.PIPE
    answer = called(tmp_path, words, stdout=writes, stderr=errors)
    os.close(writes)
    assert answer.returncode == 141 and not answer.stderr
