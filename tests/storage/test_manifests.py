"""Folders that belong to one design, also where an older version did not know all of it."""

import json
from dataclasses import asdict, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpretrain.engine.recipe import Recipe
from jumpretrain.storage import folders, manifests
from jumpretrain.storage.locks import MANIFESTS

UNUSUAL = {
    "epochs": 3,
    "lr": 0.1,
    "optimiser": "adam",
    "milestones": (0.25,),
    "record_early": False,
    "push": 1.0,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "manifest.json"


def differing(path, design, defaults=None):
    """Claim a folder of another design.

    Returns:
        What the refusal names, one difference after the other.
    """
    before = path.read_bytes()
    with pytest.raises(ValueError, match="a folder holds one design") as found:
        manifests.claim(path, design, defaults)
    assert path.read_bytes() == before and "\n" not in str(found.value)
    return str(found.value).partition("another: ")[2].split("; ")[:-1]


def test_a_claim_is_repeated_freely_and_names_what_differs(path):
    design = {"recipe": {"lr": 0.1, "epochs": 2}, "seeds": np.arange(3), "bound": np.inf}
    first = manifests.claim(path, design)
    before = path.read_bytes()
    assert manifests.claim(path, design) == first == folders.plain(design)
    assert path.read_bytes() == before
    other = design | {"recipe": {"lr": 0.2, "epochs": 2}, "seeds": [0, 1], "more": "new"}
    assert differing(path, other) == [
        'more is "new" here and null there',
        "recipe.lr is 0.2 here and 0.1 there",
        "seeds is [0, 1] here and [0, 1, 2] there",
    ]


def test_a_claim_shortens_long_values_and_many_differences(path):
    manifests.claim(path, {str(k): list(range(500)) for k in range(20)})
    assert len(str(differing(path, {str(k): list(range(501)) for k in range(20)}))) < 1000


def test_a_dataclass_is_kept_by_its_entries_beside_the_format(path):
    manifests.claim(path, {"recipe": Recipe(), "trainings": {"a": Recipe(lr=0.1)}})
    kept = json.loads(path.read_text())
    assert kept["format"] == manifests.FORMAT == 2
    entries = asdict(Recipe())
    assert entries.pop("until") is None  # came later: told only where it is set
    assert kept["recipe"] == folders.plain(entries)
    assert kept["trainings"] == {"a": kept["recipe"] | {"lr": 0.1}}


@settings(max_examples=100, deadline=None)
@given(
    changed=st.sets(st.sampled_from(sorted(UNUSUAL))),
    dropped=st.sets(st.sampled_from([field.name for field in fields(Recipe)])),
)
def test_entries_that_a_recipe_lacks_are_as_by_default(tmp_path_factory, changed, dropped):
    path = tmp_path_factory.getbasetemp() / "lacking" / "manifest.json"
    recipe = Recipe(**{name: UNUSUAL[name] for name in changed})
    whole = folders.plain(recipe)
    kept = {"of": {"a": {name: v for name, v in whole.items() if name not in dropped}}}
    folders.write_json(path, kept)
    if not changed & dropped:
        assert manifests.claim(path, {"of": {"a": recipe}}) == kept
        return
    usual = folders.plain(Recipe())
    expected = [
        f"of.a.{name} is {json.dumps(whole[name])} here and {json.dumps(usual[name])} there"
        for name in sorted(changed & dropped)
    ]
    assert differing(path, {"of": {"a": recipe}}) == expected[:5]


@pytest.mark.parametrize("kept", [{}, {"mode": "a"}, {"mode": "b"}])
@pytest.mark.parametrize("asked", [{}, {"mode": "a"}, {"mode": "b"}])
def test_entries_that_stand_only_where_they_differ_have_defaults_too(path, kept, asked):
    folders.write_json(path, kept)
    here, there = asked.get("mode", "a"), kept.get("mode", "a")
    if here == there:
        assert manifests.claim(path, asked, {"mode": "a"}) == kept
    else:
        assert differing(path, asked, {"mode": "a"}) == [
            f'mode is "{here}" here and "{there}" there'
        ]


def test_a_missing_part_is_by_default_where_the_design_says_so_and_not_by_its_own(path):
    usual = Recipe(epochs=7)
    folders.write_json(path, {})
    manifests.claim(path, {"training": usual}, {"training": usual})
    assert differing(path, {"training": Recipe()}, {"training": usual}) == [
        "training.epochs is 40 here and 7 there"
    ]


def test_entries_that_are_unknown_here_are_of_a_newer_version(path):
    recipe = folders.plain(Recipe())
    folders.write_json(path, {"recipe": recipe | {"warm_up": 2}, "shape": "wide", "by": {"b": 1}})
    assert differing(path, {"recipe": Recipe(), "by": {}}) == [
        "by.b is null here and 1 there",
        "recipe.warm_up is 2 there, as a newer version made it",
        'shape is "wide" there, as a newer version made it',
    ]


def test_reasons_and_versions_stay_as_they_were_first_written(path):
    first = {"execution": {"mode": "looped", "reason": "x"}, "versions": {"torch": "2.4"}, "a": 1}
    manifests.claim(path, first)
    before = path.read_bytes()
    later = {"execution": {"mode": "looped", "reason": "y"}, "versions": {"numpy": "3"}, "a": 1}
    assert manifests.claim(path, later) == first
    assert path.read_bytes() == before
    later["execution"]["mode"] = "stacked"
    assert differing(path, later) == ['execution.mode is "stacked" here and "looped" there']


@pytest.mark.parametrize("version", [3, 0, "1", None, [1]])
def test_a_folder_of_another_format_is_refused_by_it(path, version):
    folders.write_json(path, {"format": version, "a": 1})
    for call in (manifests.read, lambda path: manifests.claim(path, {"a": 2})):
        with pytest.raises(ValueError, match=r"read up to format 2, but .* update") as found:
            call(path)
        assert f"is of format {json.dumps(version)}," in str(found.value)
        assert "\n" not in str(found.value)


def test_starts_that_follow_from_the_rest_are_told_by_a_sketch(path):
    fresh = {"seeds": [0], "start": "aaaa", "start_sketch": "12.3"}
    manifests.claim(path, fresh)
    assert manifests.claim(path, fresh | {"start": "bbbb"})["start"] == "aaaa"
    assert differing(path, fresh | {"start_sketch": "12.4"}) == [
        'start_sketch is "12.4" here and "12.3" there'
    ]
    given = {"seeds": [0], "start": "bbbb"}
    assert differing(path, given) == ['start is "bbbb" here and "aaaa" there']
    manifests.claim(path, given | {"start": "aaaa"})


def test_starts_that_were_given_are_told_by_all_their_digits(path):
    manifests.claim(path, {"start": "aaaa"})
    fresh = {"start": "bbbb", "start_sketch": "12.3"}
    assert differing(path, fresh) == ['start is "bbbb" here and "aaaa" there']


def test_an_older_folder_has_no_sketch(path):
    path.write_text(json.dumps({"start": "aaaa"}))
    fresh = {"start": "bbbb", "start_sketch": "12.3"}
    assert manifests.claim(path, fresh)["start"] == "aaaa"
    assert differing(path, {"start": "bbbb"}) == ['start is "bbbb" here and "aaaa" there']


def made_of(**entries):
    return {"task": {"data": "d", "held": {"with": "any version", **entries}}}


def test_numbers_that_rounding_changes_are_compared_up_to_rounding(path):
    manifests.claim(path, made_of(table="~1.02 0 -3 nan", exact="1.02"))
    manifests.claim(path, made_of(table="~1.0201 1e-7 -3.0001 nan", exact="1.02"))
    for table in ("~1.04 0 -3 nan", "~1.02 1e-4 -3 nan", "~1.02 0 -3", "~1.02 0 -3 0", "1.02 0"):
        (said,) = differing(path, made_of(table=table, exact="1.02"))
        assert said.startswith("task.held.table is ")
    (said,) = differing(path, made_of(table="~1.02 0 -3 nan", exact="1.0201"))
    assert said == 'task.held.exact is "1.0201" here and "1.02" there'


def test_what_a_task_is_made_of_is_compared_where_it_is_told_for_the_same_version(path):
    manifests.claim(path, made_of(a="1"))
    assert differing(path, made_of()) == ['task.held.a is null here and "1" there']
    manifests.claim(path, {"task": {"data": "d", "held": {"with": "another", "a": "2"}}})
    manifests.claim(path, {"task": {"data": "d"}})
    assert differing(path, {"task": {"data": "e"}}) == ['task.data is "e" here and "d" there']


def test_a_manifest_that_holds_no_entries_by_name_is_refused(path):
    folders.write_json(path, [1, 2])
    with pytest.raises(ValueError, match=r"manifest\.json is of format null"):
        manifests.claim(path, {"a": 1})


def test_a_sketch_stays_when_numbers_are_rounded_and_tells_signs_orders_and_laws_apart():
    rng = np.random.default_rng(0)
    array = rng.normal(size=(3, 500)).astype(np.float32)
    said = manifests.sketch(array)
    assert manifests.sketch(array * np.float32(1 + 2e-7)) == said
    others = [-array, array[:, ::-1], rng.normal(size=(3, 500))]
    assert said not in map(manifests.sketch, others)
    assert manifests.sketch(np.zeros(3)) == " ".join(["0.00"] * 16)


@pytest.mark.parametrize("first", MANIFESTS)
def test_a_folder_holds_what_one_kind_of_call_makes_whichever_came_first(tmp_path, first):
    manifests.claim(tmp_path / first, {"a": 1})
    for other in set(MANIFESTS) - {first}:
        if (first, other) == ("sampling.json", "manifest.json"):
            continue
        with pytest.raises(ValueError, match=f"holds what {MANIFESTS[first]} made; name another"):
            manifests.claim(tmp_path / other, {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == [first]
