"""Shapes whose answers are known are found, and each notices what is broken."""

import pytest

from jumpretrain.studies import known_shapes
from jumpretrain.studies.known_shapes import KNOWN_SHAPES


@pytest.mark.parametrize("form", KNOWN_SHAPES, ids=lambda form: form.__name__.strip("_"))
def test_the_program_finds_what_is_known(form):
    outcome = form()
    assert outcome.holds, str(outcome)


@pytest.mark.parametrize(
    ("form", "name", "change"),
    [
        ("_directions", "directions", lambda found: (-found[0], found[1])),
        ("_deviations", "deviation_cosines", abs),
        ("_scales", "transform", lambda found: found / 2),
        ("_graphs", "farthest", lambda found: found[::-1]),
        ("_graphs", "neighbours", lambda found: 0 * found),
        ("_graphs", "spanning_tree", lambda found: found[::-1]),
        ("_affinities", "alpha_decay", lambda found: found**2),
        ("_distances", "from_gram", lambda found: found**2),
        ("_distances", "principal", lambda found: -found),
        ("_cycles", "elder", lambda found: found[::-1]),
    ],
)
def test_a_wrong_number_is_noticed(form, name, change, monkeypatch):
    right = getattr(known_shapes, name)
    monkeypatch.setattr(known_shapes, name, lambda *a, **k: change(right(*a, **k)))
    assert not getattr(known_shapes, form)().holds


def test_values_upside_down_are_reported_as_failed(monkeypatch):
    right = known_shapes.sublevel
    monkeypatch.setattr(known_shapes, "sublevel", lambda values, graph: right(-values, graph))
    outcome = known_shapes._basins()
    assert not outcome.holds
    assert str(outcome).startswith("FAIL the path 0, 2, 3, 1, 4 has the bars")
