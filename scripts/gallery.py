"""Write the page that shows all figures of a folder."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from figure import ROOT
from judging import tally

from jumpretrain import store

PAPERS = {
    "horoi": "Horoi et al., Exploring the geometry and topology of neural network loss landscapes "
    "([arXiv:2102.00485](https://arxiv.org/abs/2102.00485))",
    "lucas": "Lucas et al., Analyzing monotonic linear interpolation in neural network loss "
    "landscapes ([arXiv:2104.11044](https://arxiv.org/abs/2104.11044))",
    "vlaar": "Vlaar and Frankle, What can linear interpolation of neural network loss landscapes "
    "tell us? ([arXiv:2106.16004](https://arxiv.org/abs/2106.16004))",
    "wang": "Wang et al., Plateau in monotonic linear interpolation: a biased view "
    "([arXiv:2210.01019](https://arxiv.org/abs/2210.01019))",
    "fort": "Fort and Jastrzebski, Large scale structure of neural network loss landscapes "
    "([arXiv:1906.04724](https://arxiv.org/abs/1906.04724))",
}
HEAD = """# Figures

Each picture has its numbers, seeds, recipe and claims in the JSON beside it. A claim's verdict
follows a rule that stands in its script. Small forms of all figures take minutes:
`.venv/bin/python scripts/reproduce.py --quick --out /tmp/figures`.
"""


def write_gallery(folder: Path) -> Path:
    """Write README.md into a folder of figures.

    Args:
        folder: With PNG and JSON files of the same names.

    Returns:
        The page.
    """
    lines = [HEAD]
    for paper, title in PAPERS.items():
        files = sorted(folder.glob(f"figure_{paper}_*.json"))
        lines += [f"## {title}\n"] if files else []
        lines += [_entry(path, store.read_json(path)) for path in files]
    store.write_bytes(folder / "README.md", "\n".join(lines).encode())
    return folder / "README.md"


def _entry(path: Path, found: dict[str, Any]) -> str:
    size = " --quick" if found["quick"] else ""
    return (
        f"![{path.stem}]({path.stem}.png)\n\n"
        f"{_what(ROOT / found['script'])} {tally(found['claims'])}. "
        f"`.venv/bin/python {found['script']}{size}` ({path.name})\n"
    )


def _what(script: Path) -> str:
    """Read the first line of a script's docstring.

    Returns:
        The sentence.
    """
    text = ast.get_docstring(ast.parse(script.read_text())) or ""
    return text.splitlines()[0]
