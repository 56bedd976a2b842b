"""The wheel holds every wing, and what rooms read beside their code."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_that_is_installed_has_all_files_and_its_command(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "jumpretrain", tmp_path / "jumpretrain", ignore=unwanted)
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "-w", "wheels"]
    subprocess.run([*pip, "--no-build-isolation", "."], cwd=tmp_path, check=True)
    (wheel,) = (tmp_path / "wheels").glob("jumpretrain-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        held = {name for name in packed.namelist() if name.startswith("jumpretrain/")}
        packed.extractall(tmp_path / "site")
    files = (path for path in (tmp_path / "jumpretrain").rglob("*") if path.is_file())
    assert held == {str(path.relative_to(tmp_path)) for path in files}
    code = (
        "import jumpretrain, jumpretrain.reports.page; print(jumpretrain.__file__); "
        "[getattr(jumpretrain, name) for name in jumpretrain.__all__]"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert Path(answer.stdout.strip()) == tmp_path / "site" / "jumpretrain" / "__init__.py"
