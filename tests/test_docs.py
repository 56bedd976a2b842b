"""What the README and docs/ tell a user to type works, and what they name is there."""

import importlib
import re
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from support import cases

from jumpretrain.comparison.compare import compare
from jumpretrain.comparison.describe import describe
from jumpretrain.studies.path_statistics import MEASURED

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name, text in TEXTS.items()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
]
GLOSSARY = TEXTS["docs/glossary.md"]
CHANGELOG = "docs/changelog.md"
WORDS = 30

by_page = pytest.mark.parametrize("name", TEXTS)


def missing_in_glossary(names):
    return [name for name in names if f"`{name}`" not in GLOSSARY]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_python_runs_as_printed(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    names: dict[str, object] = {}
    exec(compile(block, "block of a page", "exec"), names)
    if "table" in names:
        assert (tmp_path / "trajectories.png").stat().st_size > 10_000
        assert len(names["table"]) >= 80
        assert missing_in_glossary(names["table"]) == []
    elif "ways" in names:
        assert (tmp_path / "paths.png").stat().st_size > 10_000
        plateaus = [names["ways"][kind][0].plateau().error for kind in ("linear", "homogeneous")]
        assert plateaus[0] > plateaus[1] + 0.05
    elif "bent" in names:
        assert (tmp_path / "connector.png").stat().st_size > 10_000
        bent, aligned = names["bent"], names["aligned"]
        assert max(bent.barrier, aligned) < bent.linear_barrier / 2
    elif "found" in names:
        assert names["found"].depth > 0.1
        assert (tmp_path / "tree.png").stat().st_size > 10_000
    else:
        assert len(names["runs"].frame()) == 10 * len(names["runs"].epoch)


def test_the_pages_have_all_blocks():
    assert len(BLOCKS) == 7


def slug(heading):
    """Name a heading as forges do in links."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@by_page
def test_every_relative_link_leads_somewhere(name):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXTS[name]):
        path, _, heading = target.partition("#")
        page = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert page.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)", page.read_text(), flags=re.MULTILINE)
            assert heading in map(slug, headings), target


def test_every_file_they_name_is_there():
    folders = "jumpretrain|scripts|tests|figures|docs|\\.ci"
    named = [
        file
        for text in TEXTS.values()
        for file in re.findall(rf"[`\s]((?:{folders})/[\w./]+\w/?)(?=[`\s])", text)
    ]
    assert len(named) > 50
    assert sorted({file for file in named if not (ROOT / file).exists()}) == []


def test_every_function_that_architecture_names_is_in_its_file():
    text = TEXTS["docs/architecture.md"]
    places = re.findall(r"`([\w/]+\.py)`\s\(((?:`\w+`[,\s]*)+)\)", text)
    assert len(places) > 20
    for file, names in places:
        code = (ROOT / file).read_text()
        for name in re.findall(r"\w+", names):
            assert re.search(rf"\b(def|class) {name}\b|^{name}\b", code, flags=re.M), (file, name)


def test_the_table_of_wings_names_every_room():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", TEXTS["docs/architecture.md"], flags=re.M)
    found = {wing: sorted(re.findall(r"`(\w+)`", rooms)) for wing, rooms in rows}
    inits = (ROOT / "jumpretrain").glob("*/__init__.py")
    wings = {init.parent.name: init.parent.glob("[!_]*.py") for init in inits}
    assert found == {wing: sorted(room.stem for room in rooms) for wing, rooms in wings.items()}


@pytest.mark.parametrize("index", ["README.md", "docs/README.md"])
def test_an_index_leads_to_every_page(index):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXTS[index])
    found = {((ROOT / index).parent / link).resolve() for link in links}
    assert {*PAGES[1:]} - {*found, ROOT / index} == set()


@by_page
def test_pages_are_short(name):
    lines = len(TEXTS[name].splitlines())
    assert lines <= (130 if name == "README.md" else 250) or name == CHANGELOG


def sentences(text):
    """List the sentences of a page: its prose, without code, tables, headings and pictures.

    A list item begins a sentence; a word of code or the text of a link counts as it is read.
    """
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"^(\||#|!\[).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    items = re.split(r"\n\s*\n|^\s*(?:[-*]|\d+\.) ", text, flags=re.MULTILINE)
    return [one for item in items for one in re.split(r"(?<=[.!?])[*)\"]*\s+", item)]


def words(sentence):
    return [word for word in sentence.split() if re.search(r"\w", word)]


def test_sentences_are_told_apart():
    page = (
        "# A b\n\nOne [two three](four.md), `five six`. Seven?\n- Eight\n  nine\n- Ten\n| 11 |\n"
    )
    found = [words(one) for one in sentences(page)]
    told = [["One", "two", "three,", "code."], ["Seven?"], ["Eight", "nine"], ["Ten"]]
    assert [one for one in found if one] == told


@pytest.mark.parametrize("name", sorted(TEXTS.keys() - {CHANGELOG}))
def test_no_sentence_is_long(name):
    assert [one for one in sentences(TEXTS[name]) if len(words(one)) > WORDS] == []


def test_the_glossary_has_every_statistic_and_column():
    described = describe(cases.arms(noise=0.03)) | {
        f"saddles_{metric}_{kind}_{name}": value
        for metric in ("train_loss", "test_loss")
        for kind in ("ends", "snapshots")
        for name, value in cases.planted_saddles().statistics().items()
    }
    groups = {name: [described, described] for name in ("generalise", "memorise")}
    columns = [*compare(groups, resamples=99).frame()]
    columns.remove("mean_memorise")
    assert missing_in_glossary([*described, *columns, *MEASURED]) == []


def test_the_picture_of_wings_is_what_the_imports_say_and_no_arrow_points_up():
    sys.path.append(str(ROOT / "scripts"))
    docs = importlib.import_module("docs")
    picture = (ROOT / "docs" / "architecture.svg").read_text()
    assert picture == docs.drawing(), "run scripts/docs.py"
    curves = re.findall(r'<path d="M[\d.]+,([\d.]+) C.* [\d.]+,([\d.]+)" fill', picture)
    assert len(curves) >= len(docs.imported()) - 2
    assert all(float(begin) < float(end) for begin, end in curves)
