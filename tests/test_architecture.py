"""The structure that `docs/architecture.md` promises, read off the code."""

import ast
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest
from support.wings import ONLY, WINGS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jumpretrain"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = [path for path in FILES if path.stem != "__init__"]
INITS = [path for path in FILES if path.stem == "__init__" and path.parent != PACKAGE]


def named(path):
    return str(path.relative_to(PACKAGE))


def wing(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports(path):
    """Name what a file imports, down to each name that it takes from a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inner(path):
    return [name for name in imports(path) if name.startswith("jumpretrain.")]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_wing_imports_only_those_before_it(path):
    if path.parent == PACKAGE and path.stem == "__init__":
        assert not inner(path)
        return
    assert wing(path) in WINGS, f"say in tests/support/wings.py where {wing(path)} stands"
    before = WINGS[: WINGS.index(wing(path)) + 1]
    assert {name.split(".")[1] for name in inner(path)} <= set(before)


def test_rooms_import_one_another_one_way():
    known = {module(path): path for path in FILES}
    graph = {
        name: {found if found in known else found.rpartition(".")[0] for found in inner(path)}
        for name, path in known.items()
    }
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(known)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_private_names_stay_in_their_room(path):
    assert [name for name in inner(path) if any(p.startswith("_") for p in name.split("."))] == []


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_in_its_wings_only(library):
    places = {wing(path) for path in FILES if library in {f.split(".")[0] for f in imports(path)}}
    assert places <= ONLY[library]


def test_wings_have_a_few_rooms():
    counts = [sum(wing(path) == name for path in ROOMS) for name in WINGS if name != "cli"]
    assert min(counts) >= 2 and max(counts) <= 12
    assert 5 <= median(counts) <= 7


def test_rooms_are_small():
    lengths = [len(path.read_text().splitlines()) for path in ROOMS]
    assert median(lengths) <= 200
    assert max(lengths) <= 330


def test_functions_are_small():
    sizes = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                size = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                sizes[f"{named(path)}:{node.lineno} {node.name}"] = size
    assert {name: size for name, size in sizes.items() if size > 50} == {}
    assert median(sizes.values()) <= 9


@pytest.mark.parametrize("path", INITS, ids=named)
def test_a_wing_says_which_question_it_answers_and_where_to_begin(path):
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert 3 <= len(docstring.splitlines()) <= 8
    if wing(path) != "plots":
        assert docstring.splitlines()[0].endswith(("?", "."))
        assert len(ast.parse(text).body) == 1
        begun = re.findall(r"Begin\s+with\s+(.*)\.", docstring, flags=re.DOTALL)
        rooms = re.findall(r"`(\w+)", " ".join(begun))
        assert rooms and all((path.parent / f"{room}.py").exists() for room in rooms)


@pytest.mark.parametrize("path", ROOMS, ids=named)
def test_a_room_says_what_it_is_and_exports(path):
    found = importlib.import_module(module(path))
    assert found.__doc__ and found.__all__
    assert all(hasattr(found, name) for name in found.__all__)


def test_every_room_has_its_test_file():
    elsewhere = {
        "engine/replicas.py",  # trained with in tests/engine/test_train.py
        "reports/connect.py",  # read in tests/studies/test_connect.py
        "reports/page.py",  # written in test_explore.py
        "sampling/baselines.py",  # beside what they are baselines of, in test_sample.py
        "execution/threads.py",  # in test_execution.py
    }
    rooms = [path for path in ROOMS if wing(path) not in {"plots", "cli"}]
    missing = [
        named(path)
        for path in rooms
        if not (ROOT / "tests" / wing(path) / f"test_{path.stem}.py").exists()
    ]
    assert sorted(set(missing) ^ elsewhere) == []


@pytest.mark.parametrize(
    ("module", "light"),
    [
        ("jumpretrain", {"torch", "phate", "matplotlib", "ripser", "pandas", "sklearn"}),
        ("jumpretrain.engine.train", {"phate", "matplotlib", "ripser", "sklearn", "scipy.stats"}),
        ("jumpretrain.cli", {"phate", "matplotlib", "ripser", "sklearn", "scipy.stats", "plotly"}),
    ],
)
def test_what_is_imported_loads_no_library_that_it_does_not_use_yet(module, light):
    code = f"import sys, {module}; print(*({light} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == ""


def test_every_public_name_loads():
    package = importlib.import_module("jumpretrain")
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="jumpretrain has no 'landscape'"):
        _ = package.landscape
