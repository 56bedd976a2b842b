"""Every figure script runs in small: it leaves a picture, and numbers with the full keys."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))
figure = importlib.import_module("evidence.figure")
NAMES = sorted(figure.scripts(["horoi", "lucas", "vlaar", "wang", "fort", "jumpretrain"]))
KEYS = {"id", "claim", "statistic", "effect", "interval", "n", "p", "verdict"}
VERDICTS = {"supported", "contradicted", "undecided"}
SAMPLE = "vlaar_decay"
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def call(script, *words, cwd=None):
    """Run a script as a user does."""
    words = [sys.executable, str(ROOT / "scripts" / script), *map(str, words)]
    return subprocess.run(words, cwd=cwd, env=ONE_THREAD, capture_output=True, text=True)


def paper_of(name):
    return name.partition("_")[0]


def numbers_of(path):
    found = json.loads(path.read_text())
    del found["seconds"]
    return found


def kind(value):
    """Name what a JSON value is; a whole number may stand where another has a fraction."""
    return "number" if type(value) in (int, float) else type(value).__name__


def of_kind(name, side):
    return [value for value in side if kind(value) == name]


def differences(small, full, place=""):
    """Compare the trees of keys of two JSONs, all values of one place together.

    Elements of lists have one place. None may stand for anything, and an empty list for any list.
    Where keys differ they must be labels, such as names of cells and of data: the values under
    them, labels of both forms together, then have one place too, and all are of one kind.
    """
    sides = [[value for value in side if value is not None] for side in (small, full)]
    if not all(sides):
        return
    kinds = [{kind(value) for value in side} for side in sides]
    if kinds[0] != kinds[1]:
        yield f"{place or '/'} is {kinds[0]} in small, {kinds[1]} in full"
    lists, dicts = ([of_kind(name, side) for side in sides] for name in ("list", "dict"))
    yield from differences(*([one for value in side for one in value] for side in lists), place)
    keys = [{key for value in side for key in value} for side in dicts]
    under = [[one for value in side for one in value.values() if one is not None]
             for side in dicts]  # fmt: skip
    if keys[0] == keys[1]:
        for key in sorted(keys[0]):
            there = ([value[key] for value in side if key in value] for side in dicts)
            yield from differences(*there, f"{place}/{key}")
    elif place and len({kind(value) for side in under for value in side}) == 1:
        yield from differences(*under, f"{place}/*")
    else:
        yield f"{place or '/'} has the keys {sorted(keys[0] ^ keys[1])} in one form only"


def test_trees_of_keys_are_told_apart():
    full = {"rows": [{"id": "a", "low": 1.5}], "cells": {"one": [1, 2], "two": [3]}, "n": None}
    fewer = {"rows": [{"id": "b", "low": 2}] * 2, "cells": {"digits": []}, "n": 5}
    assert list(differences([fewer], [full])) == []
    for wrong in (
        full | {"more": 1},
        full | {"rows": [{"id": "a"}]},
        full | {"rows": [{"id": "a", "low": "1.5"}]},
        full | {"rows": {"id": "a", "low": 1.5}},
        full | {"cells": {"one": ["1"]}},
        full | {"cells": {"three": 1}},
    ):
        assert list(differences([wrong], [full])) != []


def test_the_gallery_shows_every_figure():
    page = (ROOT / "figures" / "README.md").read_text()
    pictures = {path.stem for path in (ROOT / "figures").glob("*_*.png")}
    assert pictures - {"explore_digits", "benchmark_costs"} == {*NAMES}
    assert [name for name in NAMES if f"({name}.png)" not in page] == []


def test_small_figures_never_replace_those_of_the_project():
    done = call("reproduce.py", "--quick")
    assert done.returncode == 2 and "pass --out" in done.stderr


def test_figures_are_made_once_and_twice_alike(tmp_path):
    places = [("--out", tmp_path / f"out {k}", "--work", tmp_path / f"work {k}") for k in "ab"]
    for place in places:
        done = call("reproduce.py", "--quick", "--figure", SAMPLE, "--jobs", "1", *place)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (tmp_path / f"out {k}" / f"{SAMPLE}.json" for k in "ab")
    assert numbers_of(one) == numbers_of(two)
    ledger = json.loads(one.with_name("claims.json").read_text())
    assert [claim["id"] for claim in ledger["claims"]] == ["interpolation-H7", "interpolation-H8"]
    assert f"({SAMPLE}.png)" in one.with_name("README.md").read_text()
    before = one.stat().st_mtime_ns
    done = call("reproduce.py", "--quick", "--figure", SAMPLE, *places[0])
    assert done.returncode == 0 and one.stat().st_mtime_ns == before
    assert "2 claims" in done.stdout


def test_a_device_that_is_not_there_is_refused_in_one_line(tmp_path):
    words = ["--quick", "--figure", SAMPLE, "--device", "cuda:99", "--out", tmp_path / "out"]
    done = call("reproduce.py", *words)
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    assert len(done.stderr.splitlines()) == 1 and "--device" in done.stderr


def test_workers_compute_on_the_device_asked_for(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from evidence import figure\n"
        "from jumpretrain import Execution\n"
        "from jumpretrain.execution.execution import spread\n"
        "place = figure.compute_on('meta', Path('runs'))\n"
        "print(place, *spread(figure.device, [(), ()], Execution(n_jobs=2, progress=False), ''))"
    )
    words = [sys.executable, "-c", code, str(ROOT / "scripts")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == [str(Path("runs") / "meta"), "meta", "meta"], done.stderr


def test_the_benchmark_does_the_same_work_on_both_sides(tmp_path):
    words = ["--quick", "--out", str(tmp_path)]
    done = call("benchmark.py", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "benchmark.json").read_text())
    for row in found["training"]:
        assert abs(row["loss"] - row["loss_plain"]) < 0.05 * row["loss_plain"]
        assert row["wall_ratio_one_process"] > 0
    apart = [row["largest_difference"] for row in found["scoring"] if "largest_difference" in row]
    assert len(apart) == 3 and max(apart) < 1e-5


def grouped(name):
    """Group a figure with those of its paper where they share what was trained."""
    paper = paper_of(name)
    group = paper if paper in ("horoi", "lucas", "vlaar") else name
    return pytest.param(name, marks=pytest.mark.xdist_group(group))


@pytest.mark.parametrize("name", [grouped(name) for name in NAMES])
def test_a_figure_leaves_a_picture_and_its_numbers(name, work, tmp_path):
    words = ["--quick", "--figure", name, "--jobs", "1", "--out", tmp_path, "--work", work]
    done = call("reproduce.py", *words, cwd=tmp_path)
    assert done.returncode == 0, (work / "logs" / f"{name}.log").read_text()[-2000:]
    picture, numbers = (tmp_path / f"{name}{ending}" for ending in (".png", ".json"))
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000
    found = json.loads(numbers.read_text())
    assert found["quick"] and (ROOT / found["script"]) == figure.scripts([paper_of(name)])[name]
    assert found["claims"] or found["protocol"] == "exploratory"
    assert found["finding"] and found["device"] == "cpu"
    for claim in found["claims"]:
        assert claim.keys() >= KEYS
        assert claim["verdict"] in VERDICTS
        assert claim["n"] > 1 or claim["effect"] is None
        numbers = [claim["effect"], *claim["interval"]]
        if None in numbers:  # nothing could be estimated
            assert claim["verdict"] == "undecided"
        else:
            effect, low, high = numbers
            assert all(math.isfinite(number) for number in numbers) and low <= effect <= high
    names = [(claim["id"], claim["claim"]) for claim in found["claims"]]
    assert len(set(names)) == len(names)
    full = json.loads((ROOT / "figures" / f"{name}.json").read_text())
    assert not full["quick"] and list(differences([found], [full])) == []
