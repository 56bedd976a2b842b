"""Write the page that shows the ledger of claims and all figures of a folder.

Redo it with `python scripts/reproduce.py`, or `python scripts/claims.py` for committed figures.
"""

import ast
from pathlib import Path
from typing import Any

from evidence.figure import ROOT
from evidence.hypotheses import PAPERS
from evidence.judging import tally
from evidence.ledger import chance, interval, others, shown, write_ledger

from jumpretrain.storage import folders

HEAD = """# Figures and claims

44 hypotheses about loss landscapes, those of five papers and some that follow from them, were
judged here on independently trained networks, at least five a group in the full form. A verdict
follows a rule that stood in the code before the number: *supported* where the whole interval
(95 %) lies beyond the smallest effect that the claim means, *contradicted* where it lies short of
it, else *undecided*. n counts networks, or pairs of them; p is of there being any effect, by
Holm's method over the claims of one paper (`-`: not tested). Of means p is Student's, which takes
values as normal; networks of one condition count as independent ones there, and where ranks over
several conditions are permuted.

One finer claim stands for each hypothesis, by [rules](../scripts/evidence/hypotheses.py); nine
were chosen anew, by these, after reviews that had seen the verdicts. It is not the whole: *others*
counts the finer claims beside it that are supported/contradicted/undecided. `claims.json` names
the one, with what was compared; numbers, seeds and recipes of all are in the figure's JSON. It
also says by which protocol a claim was judged. So far all are *exploratory*: their rules stood
before the numbers, but no protocol was committed before the networks were trained.
"""
ROWS = """| id | claim | verdict | effect | claimed | measured by | n | p | others | figure |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
TAIL = """# What the figures show

Each picture has its numbers, seeds, recipe and claims in the JSON beside it. Small forms of all
figures take minutes: `.venv/bin/python scripts/reproduce.py --quick --out /tmp/figures`.
"""


def write_gallery(folder: Path) -> Path:
    """Write claims.json, and README.md which shows it and the figures of a folder."""
    claims = write_ledger(folder)["claims"]
    ledger, figures = [HEAD], [TAIL]
    for paper, (title, place) in PAPERS.items():
        named = f"{title} ({_linked(place)})"
        some = [claim for claim in claims if claim["paper"] == paper]
        if some:
            ledger += [f"**{named}**: {tally(some)}.\n", ROWS + "".join(map(_row, some))]
        files = shown(folder, [paper])
        figures += [f"## {named}\n"] if files else []
        figures += [_entry(path, folders.read_json(path)) for path in files]
    folders.write_bytes(folder / "README.md", "\n".join([*ledger, *figures]).encode())
    return folder / "README.md"


def _linked(place: str) -> str:
    number = place.removeprefix("arXiv:")
    return place if number == place else f"[{place}](https://arxiv.org/abs/{number})"


def _row(claim: dict[str, Any]) -> str:
    name = "_".join(Path(claim["script"]).with_suffix("").parts[-2:])
    figure = f"[{name}]({name}.png)"
    above = claim["expected"] == 1
    claimed = f"{'>' if above else '<'} {claim['expected'] * claim['smallest_effect']:.2g}"
    words = f"{claim['claim']} (*{claim['note']}*)" if claim["note"] else claim["claim"]
    cells = (claim["id"], words, claim["verdict"], interval(claim), claimed, claim["statistic"],
             claim["n"], chance(claim), others(claim), figure)  # fmt: skip
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |\n"


def _entry(path: Path, found: dict[str, Any]) -> str:
    size = "--quick" if found["quick"] else "--full"
    finding = f" *{found['finding']}.*" if found.get("finding") else ""
    return (
        f"![{path.stem}]({path.stem}.png)\n\n"
        f"{_what(ROOT / found['script'])}{finding} {tally(found['claims'])}. "
        f"`.venv/bin/python scripts/reproduce.py {size} --figure {path.stem}` ({path.name})\n"
    )


def _what(script: Path) -> str:
    """Read the first line of a script's docstring."""
    text = ast.get_docstring(ast.parse(script.read_text())) or ""
    return text.splitlines()[0]
