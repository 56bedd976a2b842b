"""The self-check finds the truths, and notices when one is broken."""

import numpy as np

from jumpretrain import checking


def test_every_closed_form_holds_here():
    outcomes = checking.check()
    assert len(outcomes) >= 8
    assert [outcome.claim for outcome in outcomes if not outcome.holds] == []


def test_a_wrong_number_is_reported_as_failed(monkeypatch):
    flipped = checking.sublevel
    monkeypatch.setattr(checking, "sublevel", lambda values, graph: flipped(-values, graph))
    outcome = checking._basins()
    assert not outcome.holds
    assert str(outcome).startswith("FAIL the path 0, 2, 3, 1, 4 has the bars")


def test_nan_never_holds():
    assert not checking.Outcome("a number", np.nan, 1.0).holds
