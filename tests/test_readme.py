"""What the README tells a user to type works."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_of_python_runs_as_printed(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    names: dict[str, object] = {}
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), names)
    if "table" in names:
        assert (tmp_path / "trajectories.png").stat().st_size > 10_000
        assert len(names["table"]) >= 80
    elif "ways" in names:
        assert (tmp_path / "paths.png").stat().st_size > 10_000
        plateaus = [names["ways"][kind][0].plateau().error for kind in ("linear", "homogeneous")]
        assert plateaus[0] > plateaus[1] + 0.05
    elif "bent" in names:
        assert (tmp_path / "connector.png").stat().st_size > 10_000
        bent, aligned = names["bent"], names["aligned"]
        assert max(bent.barrier, aligned) < bent.linear_barrier / 2
    else:
        assert len(names["runs"].frame()) == 10 * len(names["runs"].epoch)


def test_every_file_it_names_is_there():
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    named = re.findall(r"`((?:jumpretrain|scripts)/[\w./]+)`", TEXT)
    assert linked and named
    missing = [name for name in (*linked, *named) if not (ROOT / name).exists()]
    assert missing == []
