"""The ledger: one line a hypothesis of the five papers, with effect, p-value and verdict.

Numbers and verdicts are those of the headlines (`hypotheses`) as the figures' JSONs hold them. A
verdict is of the interval and the smallest effect that the claim means. p is of there being any
effect, either way; where the effect is a margin, such as 0.1 minus a distance, that is of its
bound. p of a mean over networks is Student's, which takes the values as normal; networks of one
condition count as independent ones there, and where ranks over several conditions are permuted.
Holm's correction of p runs over the headlines of one paper. Without p are exact statements, fits,
shares of networks, equal values, and correlations that shall be small.

Finer claims are counted by verdict (`parts`), save those without an effect, where nothing is to be
judged.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evidence.hypotheses import HYPOTHESES, PAPERS, Hypothesis
from evidence.judging import adjusted, tally

from jumpretrain.storage import folders

Found = dict[str, Any]
VERDICTS = ("supported", "contradicted", "undecided")
EXPLORATORY = "exploratory"
"""What is judged without a protocol that was committed before its networks were trained."""
LEAST_P = 1e-3
"""Smaller p-values are not told apart."""
HEAD = f"  {'':<4}{'verdict':<13}{'effect [95 %]':<24}{'n':>4} {'p_holm':>8}  claim"


def write_ledger(folder: Path) -> Found:
    """Write claims.json from the JSON files of a folder's figures."""
    found = ledger({path.stem: folders.read_json(path) for path in shown(folder)})
    folders.write_json(folder / "claims.json", found)
    return found


def shown(folder: Path, papers: Iterable[str] = PAPERS) -> list[Path]:
    """Find the JSON files of a folder's figures, paper by paper."""
    return [path for paper in papers for path in sorted(folder.glob(f"{paper}_*.json"))]


def ledger(figures: Mapping[str, Found]) -> Found:
    """Gather the headlines of all hypotheses from what the JSON files hold, by figure.

    `others` are claims that no hypothesis stands for; `left_out` are hypotheses of papers without
    figures, or that small figures leave out. In full form a missing one is a LookupError.
    """
    there = [known for known in HYPOTHESES if known.figure in figures]
    missing = [known for known in HYPOTHESES if known.figure not in figures]
    for known in missing:
        if any(_of(known.paper, stem) and not one["quick"] for stem, one in figures.items()):
            raise LookupError(
                f"every hypothesis needs a headline, but that of {known.id} is not there: make "
                f"{known.figure} into the same folder"
            )
    claims = [_entry(known, figures) for known in there]
    return {
        "quick": any(one["quick"] for one in figures.values()),
        "claims": [claim for paper in PAPERS for claim in _adjusted(claims, paper)],
        "others": sorted(_others(figures), key=lambda row: str(row["id"])),
        "left_out": [known.id for known in missing],
    }


def table(found: Found) -> str:
    """Write the ledger for a terminal of 120 columns: one line a hypothesis, by paper."""
    lines = []
    for paper, (title, place) in PAPERS.items():
        some = [claim for claim in found["claims"] if claim["paper"] == paper]
        if some:
            ids = f"{some[0]['id']} to {_short(some[-1])}"
            lines += ["", f"{title} ({place})", f"{ids}: {tally(some)}", HEAD]
            lines += [_line(claim) for claim in some]
            lines += [line for claim in some for line in _noted(claim)]
    if found["left_out"]:
        lines += ["", f"left out: {', '.join(found['left_out'])}"]
    return "\n".join([*lines, "", f"all: {tally(found['claims'])}"]).lstrip("\n")


def interval(claim: Found) -> str:
    """Write an effect and its interval, of 95 %, such as `0.74 [0.7, 0.78]`."""
    if claim["effect"] is None:
        return "not known"
    return f"{claim['effect']:.2g} [{claim['low']:.2g}, {claim['high']:.2g}]"


def chance(claim: Found) -> str:
    """Write the adjusted p-value, such as `0.012`; `-` where there is none."""
    if claim["p_holm"] is None:
        return "-"
    return f"{claim['p_holm']:.2g}" if claim["p_holm"] >= LEAST_P else "< .001"


def others(claim: Found) -> str:
    """Count the finer claims beside the headline: supported/contradicted/undecided."""
    itself = None if claim["effect"] is None else claim["verdict"]
    return "/".join(str(claim["parts"][verdict] - (verdict == itself)) for verdict in VERDICTS)


def _line(claim: Found) -> str:
    numbers = f"{interval(claim):<24}{claim['n']:>4} {chance(claim):>8}"
    return f"  {_short(claim):<4}{claim['verdict']:<13}{numbers}  {claim['claim']}"


def _noted(claim: Found) -> list[str]:
    indent = f"       {_short(claim)}: "
    return textwrap.wrap(claim["note"], 118, initial_indent=indent, subsequent_indent=" " * 7)


def _short(claim: Found) -> str:
    return str(claim["id"]).split("-")[1]


def _entry(known: Hypothesis, figures: Mapping[str, Found]) -> Found:
    figure = figures[known.figure]
    chosen = _headline(known, figure)
    low, high = chosen["interval"]
    return {
        "id": known.id,
        "paper": known.paper,
        "claim": known.claim,
        "source": known.source,
        "headline": chosen["claim"],
        "statistic": chosen["statistic"],
        "groups": known.groups,
        "n": chosen["n"],
        "effect": chosen["effect"],
        "low": low,
        "high": high,
        "smallest_effect": chosen.get("smallest_effect"),
        "expected": chosen.get("expected"),
        "p": chosen.get("p", chosen.get("p_holm")),
        "verdict": chosen["verdict"],
        "parts": _parts(known.id, figures),
        "data": f"in small, for {known.data}" if figure["quick"] else known.data,
        "note": "" if figure["quick"] else known.note,
        "script": figure["script"],
        "protocol": figure.get("protocol", EXPLORATORY),
    }


def _headline(known: Hypothesis, figure: Found) -> Found:
    """Find the claim that stands for a hypothesis."""
    some = [
        claim
        for claim in figure["claims"]
        if claim["id"] == known.id and known.headline in claim["claim"]
    ]
    there = [claim for claim in some if claim["claim"].startswith(known.on)]
    if figure["quick"]:  # digits in place of other data, and other numbers within claims
        there = [*there, *some, *(one for one in figure["claims"] if one["id"] == known.id)]
    if not there:
        raise LookupError(
            f"every hypothesis needs a headline, but {figure['script']} has no claim {known.id} "
            f"with the words {known.headline!r}: mend evidence/hypotheses.py"
        )
    return dict(there[0])


def _adjusted(claims: list[Found], paper: str) -> list[Found]:
    return adjusted([claim for claim in claims if claim["paper"] == paper])


def _parts(name: str, figures: Mapping[str, Found]) -> dict[str, int]:
    found = [
        claim["verdict"]
        for figure in figures.values()
        for claim in figure["claims"]
        if claim["id"] == name and claim["effect"] is not None
    ]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def _others(figures: Mapping[str, Found]) -> Iterator[Found]:
    """Count the verdicts of what figures judge beside the hypotheses."""
    known = {hypothesis.id for hypothesis in HYPOTHESES}
    scripts = {
        claim["id"]: figure["script"] for figure in figures.values() for claim in figure["claims"]
    }
    for name in scripts.keys() - known:
        yield {"id": name, "script": scripts[name], "parts": _parts(name, figures)}


def _of(paper: str, stem: str) -> bool:
    return stem.startswith(f"{paper}_")
