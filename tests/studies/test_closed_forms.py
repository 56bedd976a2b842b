"""Closed forms hold, and each notices when what it looks at is broken."""

import dataclasses
import math

import numpy as np
import pytest

from jumpretrain.studies import closed_forms
from jumpretrain.studies.closed_forms import CLOSED_FORMS, Outcome, beside


@pytest.mark.parametrize("form", CLOSED_FORMS, ids=lambda form: form.__name__.strip("_"))
def test_the_program_finds_what_is_known(form):
    outcome = form()
    assert outcome.holds, str(outcome)


def broken(name, change):
    """Replace a function by one whose answer is changed a little."""
    right = getattr(closed_forms, name)
    return lambda *a, **k: change(right(*a, **k))


@pytest.mark.parametrize(
    ("form", "name", "change"),
    [
        ("_outputs", "linearity", lambda found: found * 1.01),
        ("_outputs", "turning_alpha", lambda found: found**2),
        ("_curves", "bezier_coordinates", lambda found: found[:, ::-1]),
        ("_curves", "polychain_coordinates", lambda found: found**2),
        ("_curves", "face_coordinates", lambda found: found[:, ::-1]),
        ("_outputs", "turning", lambda found: dataclasses.replace(found, joint=found.joint / 2)),
        ("_schedules", "Recipe", lambda found: dataclasses.replace(found, lr=2.0)),
    ],
)
def test_a_wrong_number_is_noticed(form, name, change, monkeypatch):
    monkeypatch.setattr(closed_forms, name, broken(name, change))
    assert not getattr(closed_forms, form)().holds


@pytest.mark.parametrize(
    ("form", "name", "wrong"),
    [
        ("_permutations", "holm", lambda p: np.asarray(p)),
        ("_effects", "cliffs_delta", lambda a, b: 4 / 9),
        ("_effects", "eta_squared", lambda *groups: 0.5),
        ("_covariates", "given_covariate", lambda groups, covariates: 0.05),
        ("_intervals", "share_interval", lambda *groups: (0.0, 0.9)),
        ("_intervals", "delta_interval", lambda a, b: (-0.3, 0.87)),
    ],
)
def test_a_wrong_statistic_is_noticed(form, name, wrong, monkeypatch):
    monkeypatch.setattr(closed_forms.tests, name, wrong)
    assert not getattr(closed_forms, form)().holds


def test_numbers_of_other_shapes_or_none_never_hold():
    assert beside("equal", [([1, math.nan, math.inf], [1, math.nan, math.inf])], 0).error == 0
    assert beside("off", [(1, 1), ([1, 2.5], [1, 2])]).error == 0.5
    for found in ([1, 2], [[1]], math.nan, math.inf, -math.inf):
        assert beside("other", [(found, 1)]).error == math.inf
    assert not Outcome("a number", math.nan, 1.0).holds
    assert str(Outcome("a sum", 0.5, 0.1)) == "FAIL a sum: error 5.0e-01, allowed 1e-01"
