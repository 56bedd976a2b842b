"""The self-check finds the truths, and notices when one is broken."""

from jumpretrain.studies import check


def test_every_comparison_holds_here():
    outcomes = check.check()
    assert len(outcomes) >= 25 and len({outcome.claim for outcome in outcomes}) == len(outcomes)
    assert [outcome.claim for outcome in outcomes if not outcome.holds] == []


def test_a_wrong_loss_is_reported_as_failed(monkeypatch):
    right = check.evaluate
    monkeypatch.setattr(
        check, "evaluate", lambda *a: {name: value / 2 for name, value in right(*a).items()}
    )
    outcome = check._loss()
    assert not outcome.holds and str(outcome).startswith("FAIL the loss of a quadratic bowl")
