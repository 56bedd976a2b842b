"""The structure that the README promises, read off the code."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "jumpretrain"
FILES = sorted(PACKAGE.rglob("*.py"))
ORDER = """
    deltas stored locks store measures data residual sequences models layout initialisation
    probing execution recipe task
    curves paths gauss straightness homogeneity layers units lines dense wedges descents crossings
    batches pooling evaluating planes compilation replicas partition checkpoints training
    directions trajectories sampling
    responses interpolation controls biases propagation hessians curvature alignment
    shares bridges connectors connecting
    departures tunnels sections ensembles subspaces restarts thresholds
    distances graphs affinities placements fidelity embedding geometry
    covers filtrations homology
    relabelling effects correlation statistics description comparison
    design builders timing costs study plots page report survey atlas junction checking cli
""".split()
ONLY = {
    "matplotlib": {"plots"},
    "phate": {"affinities", "embedding", "placements", "graphs"},
    "graphtools": {"affinities", "embedding", "graphs"},
    "ripser": {"filtrations", "homology"},
    "persim": {"homology"},
    "tyro": {"cli", "design"},
    "plotly": {"page", "report"},
}


def home(path):
    """The module a file belongs to: a package counts as one."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "jumpretrain" else [node.module]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_imports_from_its_right(path):
    name = home(path)
    if name == "__init__":
        assert not [found for found in imports(path) if found.startswith("jumpretrain")]
        return
    assert name in ORDER, f"say in ORDER where {name} stands"
    inner = [f.split(".")[1] for f in imports(path) if f.startswith("jumpretrain.")]
    assert not set(inner) - set(ORDER[: ORDER.index(name) + 1])


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_in_its_place_only(library):
    places = {home(path) for path in FILES if library in {f.split(".")[0] for f in imports(path)}}
    assert places <= ONLY[library]


def test_modules_are_small():
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[len(lengths) // 2] <= 180
    assert lengths[-1] <= 330


def test_functions_are_small():
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                documented = ast.get_docstring(node) is not None
                body = node.body[documented:]
                size = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if size > 50:
                    long.append(f"{path.name}:{node.name} has {size} lines")
    assert not long


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_and_exports(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    if home(path) in ("__init__", "__main__"):
        return
    module = ".".join(("jumpretrain", *path.relative_to(PACKAGE).with_suffix("").parts))
    found = importlib.import_module(module.removesuffix(".__init__"))
    assert found.__all__
    assert all(hasattr(found, name) for name in found.__all__)


def test_every_module_has_its_test_file():
    tests = {path.stem for path in pathlib.Path(__file__).parent.glob("test_*.py")}
    elsewhere = {
        "__init__",
        "design",
        "directions",
        "measures",
        "recipe",
        "replicas",
        "probing",
        "page",
        "connectors",
    }
    missing = {home(path) for path in FILES} - elsewhere
    assert not {f"test_{name}" for name in missing} - tests


@pytest.mark.parametrize(
    ("module", "light"),
    [
        ("jumpretrain", {"torch", "phate", "matplotlib", "ripser", "pandas", "sklearn"}),
        ("jumpretrain.training", {"phate", "matplotlib", "ripser", "sklearn", "scipy.stats"}),
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
