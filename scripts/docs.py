"""Draw the wings of the package from their imports: docs/architecture.svg.

    .venv/bin/python scripts/docs.py

A wing stands below all that it imports. Arrows that follow from others are left out.
"""

import ast
import textwrap
from collections.abc import Iterator
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "jumpretrain"
PICTURE = ROOT / "docs" / "architecture.svg"
WIDTH, BOX, GAP, LINE = 1000, 220, 34, 14  # pixels
TORCH, NUMPY = "#d7e8f5", "#fdeccb"
Wings = dict[str, set[str]]


def main() -> None:
    PICTURE.write_text(drawing())
    print(f"look at {PICTURE}")


def drawing() -> str:
    """Draw the wings, level by level, and an arrow from each to those that build on it."""
    direct = imported()
    rows = levels(direct)
    tops, places, top = {}, {}, 40
    for row in rows:
        left = (WIDTH - len(row) * BOX - (len(row) - 1) * GAP) / 2
        for number, name in enumerate(row):
            places[name] = left + number * (BOX + GAP)
            tops[name] = top
        top += max(map(height, row)) + GAP
    level = {name: number for number, row in enumerate(rows) for name in row}
    pairs = [(other, name) for name in places for other in sorted(needed(direct, name))]
    pairs.sort(key=lambda pair: level[pair[0]] - level[pair[1]])  # long arrows lie behind others
    arrows = [
        arrow(
            (places[other] + BOX / 2, tops[other] + height(other)),
            (places[name] + BOX / 2, tops[name] - 1),
            "#555" if level[name] - level[other] == 1 else "#bbb",
        )
        for other, name in pairs
    ]
    boxes = [box(name, places[name], tops[name]) for name in places]
    legend = (
        f'<rect width="{WIDTH}" height="{top}" fill="white"/>\n'
        '<text x="20" y="22">Each wing builds on those above it: '
        "blue with torch, yellow with NumPy alone</text>"
    )
    head = '<marker id="head" markerWidth="7" markerHeight="6" refX="6" refY="3" orient="auto">'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
        'font-family="sans-serif" font-size="12">',
        f'<defs>{head}<path d="M0,0 L7,3 L0,6 z" fill="#555"/></marker></defs>',
        legend, *arrows, *boxes, "</svg>\n",
    ])  # fmt: skip


def imported() -> Wings:
    """Find which wings each imports directly; the command counts as one."""
    found: Wings = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, set()).update(set(wings_in(path)) - {name})
    return found


def wings_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jumpretrain."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "jumpretrain":
            yield from (alias.name for alias in node.names)


def levels(direct: Wings) -> list[list[str]]:
    """Sort wings into rows, each wing one row below the last that it imports.

    In a row come first those that most others build on, so that long arrows stay at one side.
    """
    depth: dict[str, int] = {}
    for name in TopologicalSorter(direct).static_order():
        depth[name] = 1 + max((depth[other] for other in direct[name]), default=-1)
    built_on = {name: sum(name in reached(direct, other) for other in direct) for name in direct}
    rows = range(max(depth.values()) + 1)
    order = sorted(depth, key=lambda name: (-built_on[name], name))
    return [[name for name in order if depth[name] == number] for number in rows]


def needed(direct: Wings, name: str) -> set[str]:
    """Leave out the imports that others import already."""
    return {
        other
        for other in direct[name]
        if not any(other in reached(direct, between) for between in direct[name] - {other})
    }


def reached(direct: Wings, name: str) -> set[str]:
    return direct[name].union(*(reached(direct, other) for other in direct[name]))


def uses_torch(name: str) -> bool:
    paths = [*(PACKAGE / name).glob("*.py"), *PACKAGE.glob(f"{name}.py")]
    words = ("import torch", "from torch")
    return any(
        line.strip().startswith(words) for p in paths for line in p.read_text().splitlines()
    )


def rooms(name: str) -> list[str]:
    names = [path.stem for path in sorted((PACKAGE / name).glob("*.py"))]
    return textwrap.wrap(", ".join(room for room in names if room != "__init__"), 38)


def height(name: str) -> int:
    return 30 + LINE * len(rooms(name))


def box(name: str, left: float, top: int) -> str:
    lines = [
        f'<text x="{left + 10}" y="{top + 34 + LINE * row}" font-size="11">{escape(text)}</text>'
        for row, text in enumerate(rooms(name))
    ]
    fill = TORCH if uses_torch(name) else NUMPY
    return "\n".join([
        f'<rect x="{left}" y="{top}" width="{BOX}" height="{height(name)}" rx="6" fill="{fill}" '
        'stroke="#888"/>',
        f'<text x="{left + 10}" y="{top + 18}" font-weight="bold">{name}</text>',
        *lines,
    ])


def arrow(start: tuple[float, float], end: tuple[float, float], colour: str) -> str:
    middle = (start[1] + end[1]) / 2
    curve = f"M{start[0]},{start[1]} C{start[0]},{middle} {end[0]},{middle} {end[0]},{end[1]}"
    return f'<path d="{curve}" fill="none" stroke="{colour}" marker-end="url(#head)"/>'


if __name__ == "__main__":
    main()
