"""Whose code failed is said in one line, with the user's traceback below where it is theirs."""

import importlib
import os
import subprocess
import sys
from functools import partial
from operator import truediv
from pathlib import Path

import pytest

from jumpretrain.cli import main
from jumpretrain.studies.own_code import find_function

ROOT = Path(__file__).parents[2]
CODE = """
import numpy as np, torch
import jumpretrain as jr

x = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
data = jr.Dataset(x, (x[:, 0] > 0).astype(int), x[:20], (x[:20, 0] > 0).astype(int))

def network():
    return jr.models.mlp((6,), 2, hidden=(8,))

def build(seed, group):
    return jr.Task(network, data)

def key(seed, group):
    raise KeyError("oops")

def attribute(seed, group):
    return jr.nothing

def value(seed, group):
    raise ValueError("my own")

def chained(seed, group):
    try:
        value(seed, group)
    except ValueError as error:
        raise RuntimeError("in the end") from error

def wrapping(seed, group):
    try:
        refused(seed, group)
    except ValueError as error:
        raise RuntimeError("whose fault") from error

def leaving(seed, group):
    raise SystemExit(0)

def speechless(seed, group):
    raise SpeechlessError

class SpeechlessError(Exception):
    def __str__(self):
        raise TypeError("no words")

def moving(seed, group):
    import os, tempfile
    os.chdir(tempfile.mkdtemp())
    print("a word")
    return build(seed, group)

def refused(seed, group):
    return jr.Task(network, data, scored=0)

def three(seed, group, more):
    return build(seed, group)

def late(outputs, targets):
    losses = torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
    if outputs.abs().max() > 4:
        raise LateError(len(targets), "late")
    return losses

class LateError(Exception):
    def __init__(self, count, what):
        super().__init__(f"{what} among {count}")

def slow(seed, group):
    return jr.Task(network, data, loss=late)
"""
SMALL = (
    "--groups a b --k 5 --batch-size 8 --training.batch-size 8 --seeds 2 --directions 2 "
    "--step-sizes 0 0.5 1 --training.epochs 60 --epochs 11 --no-progress"
).split()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "own_study.py").write_text(CODE)
    (tmp_path / "own_typo.py").write_text("def build(seed, group)\n    return 3\n")
    (tmp_path / "own_leaves.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "own_wants.py").write_text("import nothing_like_it\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("own_study", "own_typo", "own_wants"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("task", "last"),
    [
        ("own_study:key", "KeyError: 'oops'"),
        ("own_study:attribute", "AttributeError: jumpretrain has no 'nothing'"),
        ("own_study:value", "ValueError: my own"),
        ("own_study:chained", "RuntimeError: in the end"),
        ("own_study:wrapping", "RuntimeError: whose fault"),
        ("own_study:leaving", "SystemExit: 0"),
        ("own_study:speechless", "own_study.SpeechlessError: <exception str() failed>"),
        ("own_leaves:build", "SystemExit: 0"),
        ("own_typo:build", "SyntaxError: expected ':'"),
        ("own_wants:build", "ModuleNotFoundError: No module named 'nothing_like_it'"),
    ],
)
@pytest.mark.parametrize("command", ["explore", "interpolate", "connect", "estimate"])
def test_code_of_ones_own_that_fails_shows_its_own_traceback(folder, capsys, task, last, command):
    assert main([command, "--task", task]) == 1
    first, *trace = capsys.readouterr().err.splitlines()
    assert first == f"jumpretrain: {task} failed, not the program: mend it and call again"
    assert trace[0].startswith(f'  File "{folder}/own_') and trace[-1].startswith(last)
    assert not any("studies/explore.py" in line or "cli.py" in line for line in trace)
    assert not (folder / "runs").exists()


def test_what_led_to_an_error_stands_above_it(folder, capsys):
    assert main(["interpolate", "--task", "own_study:chained"]) == 1
    printed = capsys.readouterr().err
    first, last = printed.split("\n\nThis led to:\n\n")
    assert first.endswith("ValueError: my own") and last.endswith("RuntimeError: in the end\n")
    assert main(["interpolate", "--task", "own_study:wrapping"]) == 1
    first, _ = capsys.readouterr().err.split("\n\nThis led to:\n\n")
    assert first.endswith("ValueError: scored must be at least 1 example, but is 0")


def test_a_task_that_changes_the_working_folder_changes_no_place_of_results(folder):
    words = "--alphas 3 --training.epochs 1 --training.batch-size 8 --no-progress --n-jobs 1"
    task = ["--task", "own_study:moving", "--seeds", "1", "--out", "out"]
    assert main(["interpolate", *words.split(), *task]) == 0
    assert (folder / "out" / "summary.csv").is_file() and Path.cwd() != folder


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            "own_study:three",
            "own_study:three takes (seed, group, more); let it take (seed, group)",
        ),
        ("own_study:none", "own_study.py has no function 'none'; correct the name of either"),
        ("own_study:x", "own_study.py has no function 'x'"),
        (
            "own_nowhere:build",
            "there is no module 'own_nowhere'; work in the folder that holds it",
        ),
        (
            "own_study",
            "task must be module:function, but is 'own_study'; write own_study:build",
        ),
        ("own_study.py:build", "but is 'own_study.py:build'; write own_study:build"),
        ("./own_study.py", "but is './own_study.py'; write own_study:build"),
        ("own/tasks.py:make", "write own.tasks:make"),
        ("own/tasks:make", "write own.tasks:make"),
        ("/tmp/own_study:build", "write own_study:build in the folder /tmp"),
        ("../a.b/mine.py:build", "write mine:build in the folder ../a.b"),
        ("my-own.py:build", "but is 'my-own.py:build'; write such as mine:build"),
        ("", "task must be module:function, but is ''; write such as mine:build"),
        ("own_study:refused", "scored must be at least 1 example, but is 0"),
    ],
)
def test_a_task_that_cannot_be_taken_is_refused_in_one_line(folder, capsys, task, said):
    assert main(["interpolate", "--task", task]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("jumpretrain: ") and said in printed and printed.count("\n") == 1
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("name", ["own_bytes", "own_package", "own_package.tasks"])
@pytest.mark.parametrize("spoil", [lambda s: s.encode("utf-16"), lambda s: s.encode() + b"\0"])
def test_a_file_that_is_no_text_is_named(folder, capsys, name, spoil):
    files = {"own_bytes": "own_bytes.py", "own_package": "own_package/__init__.py"}
    place = folder / files.get(name, "own_package/tasks.py")
    (folder / "own_package").mkdir()
    (folder / "own_package" / "__init__.py").touch()
    place.write_bytes(spoil("def build(seed, group):\n    return 3\n"))
    importlib.invalidate_caches()
    assert main(["interpolate", "--task", f"{name}:build"]) == 1
    said = capsys.readouterr().err
    assert str(place) in said and "not foreseen" not in said
    for module in ("own_package", "own_package.tasks"):
        sys.modules.pop(module, None)


def test_the_working_folder_is_searched_last_and_for_a_task_of_ones_own_alone(folder, capsys):
    before = list(sys.path)
    (folder / "colorsys.py").write_text("raise KeyError('shadowed')\n")
    sys.modules.pop("colorsys", None)
    assert main(["interpolate", "--task", "own_study:three"]) == 1
    assert "takes (seed, group, more)" in capsys.readouterr().err and sys.path == before
    assert main(["interpolate", "--task", "colorsys:build"]) == 1
    assert "colorsys.py has no function 'build'" in capsys.readouterr().err
    assert main(["interpolate", "--data", "imagenet"]) == 1
    assert sys.path == before
    sys.modules.pop("own_study")
    with pytest.raises(ValueError, match="there is no module 'own_study'"):
        find_function("own_study:build")


def test_what_nobody_foresaw_is_one_line_that_says_where(monkeypatch, capsys):
    monkeypatch.setattr("jumpretrain.studies.check.COMPARISONS", (partial(truediv, 1, 0),))
    assert main(["check"]) == 1
    assert capsys.readouterr().err == (
        "jumpretrain: ZeroDivisionError: division by zero (not foreseen, in check.py); check the "
        "network and the data, and report this line if they are right\n"
    )


def spoilt(folder):
    """Write modules that end whatever imports them, under names that the program imports."""
    for name in ("joblib", "matplotlib", "numpy", "pandas", "random", "torch", "json"):
        (folder / f"{name}.py").write_text(f"open('ran-{name}', 'w')\nraise SystemExit(9)\n")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--task", "own_study:slow"], []])
def test_files_beside_a_task_shadow_nothing_and_its_errors_come_out_of_workers(folder, words):
    spoilt(folder)
    small = SMALL if words else ["--quick", "--train-size", "100", "--no-progress"]
    command = [Path(sys.executable).parent / "jumpretrain", "explore", "--n-jobs", "2"]
    whole = [*command, *small, *words, "--out", folder / "out"]
    known = os.environ | {"PYTHONPATH": str(ROOT)}
    answer = subprocess.run(whole, cwd=folder, env=known, capture_output=True, text=True)
    assert not list(folder.glob("ran-*"))
    if not words:
        assert answer.returncode == 0 and answer.stderr == ""
        return
    first, *trace = answer.stderr.splitlines()
    assert answer.returncode == 1
    assert first == "jumpretrain: own_study:slow failed, not the program: mend it and call again"
    assert any(line.endswith("in late") for line in trace)
    assert trace[-1] == "own_study.LateError: late among 8"
