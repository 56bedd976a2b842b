"""Every figure script runs in small and leaves a picture with numbers beside it."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("figure_*.py"))
KEYS = {"id", "claim", "statistic", "effect", "interval", "n", "verdict"}
VERDICTS = {"supported", "contradicted", "undecided"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def test_there_are_figure_scripts():
    assert len(SCRIPTS) >= 4


def test_the_gallery_shows_every_figure():
    page = (ROOT / "figures" / "README.md").read_text()
    pictures = {path.name for path in (ROOT / "figures").glob("figure_*.png")}
    assert pictures == {f"{script.stem}.png" for script in SCRIPTS}
    assert [name for name in pictures if f"({name})" not in page] == []


def test_small_figures_never_replace_those_of_the_project():
    call = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "--quick"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2 and "pass --out" in done.stderr


def test_the_benchmark_does_the_same_work_on_both_sides(tmp_path):
    words = ["--quick", "--out", str(tmp_path)]
    call = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), *words]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "benchmark.json").read_text())
    for row in found["training"]:
        assert abs(row["loss"] - row["loss_plain"]) < 0.05 * row["loss_plain"]
        assert row["wall_ratio_one_process"] > 0
    assert found["scoring"][1]["largest_difference"] < 1e-5


def grouped(script):
    """Group a script with those of its paper where they share what was trained."""
    paper = script.stem.split("_")[1]
    group = paper if paper in ("horoi", "lucas", "vlaar") else script.stem
    return pytest.param(script, id=script.stem, marks=pytest.mark.xdist_group(group))


@pytest.mark.parametrize("script", [grouped(script) for script in SCRIPTS])
def test_a_figure_script_leaves_a_picture_and_its_numbers(script, work, tmp_path):
    words = ["--quick", "--jobs", "1", "--out", str(tmp_path), "--work", str(work)]
    done = subprocess.run(
        [sys.executable, str(script), *words],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    picture, numbers = (tmp_path / f"{script.stem}{ending}" for ending in (".png", ".json"))
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000
    found = json.loads(numbers.read_text())
    assert found["quick"] and found["script"] == f"scripts/{script.name}"
    assert found["claims"]
    for claim in found["claims"]:
        assert claim.keys() >= KEYS
        assert claim["verdict"] in VERDICTS
        assert claim["n"] > 1
        numbers = [claim["effect"], *claim["interval"]]
        if None in numbers:  # nothing could be estimated
            assert claim["verdict"] == "undecided"
        else:
            effect, low, high = numbers
            assert all(math.isfinite(number) for number in numbers) and low <= effect <= high
    names = [(claim["id"], claim["claim"]) for claim in found["claims"]]
    assert len(set(names)) == len(names)
