"""The self-check finds the truths, and notices when one is broken."""

import numpy as np

from jumpretrain.studies import check


def test_every_closed_form_holds_here():
    outcomes = check.check()
    assert len(outcomes) >= 8
    assert [outcome.claim for outcome in outcomes if not outcome.holds] == []


def test_a_wrong_number_is_reported_as_failed(monkeypatch):
    flipped = check.sublevel
    monkeypatch.setattr(check, "sublevel", lambda values, graph: flipped(-values, graph))
    outcome = check._basins()
    assert not outcome.holds
    assert str(outcome).startswith("FAIL the path 0, 2, 3, 1, 4 has the bars")


def test_nan_never_holds():
    assert not check.Outcome("a number", np.nan, 1.0).holds
