"""The ledger of claims says what the figures hold, and its p-values are those of textbooks."""

import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, ttest_1samp

from jumpretrain.comparison.hypothesis_tests import partial_spearman, spearman, verdict

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))
claims, figure, gallery, hypotheses, judging = (
    importlib.import_module(f"evidence.{name}")
    for name in ("ledger", "figure", "gallery", "hypotheses", "judging")
)
COUNTS = {"horoi": 12, "interpolation": 18, "wedges": 14}
IDS = [f"{group}-H{number + 1}" for group, count in COUNTS.items() for number in range(count)]
FIGURES = {path.stem: json.loads(path.read_text()) for path in claims.shown(ROOT / "figures")}


@pytest.fixture(scope="module")
def committed():
    return json.loads((ROOT / "figures" / "claims.json").read_text())


def invented(p_values, quick=False):
    """Figures of one claim a hypothesis: of those given, and without p of others beside them."""
    figures = {known.figure: {"quick": quick, "script": f"{known.figure}.py", "claims": []}
               for known in hypotheses.HYPOTHESES if known.id in p_values}  # fmt: skip
    for known in hypotheses.HYPOTHESES:
        if known.figure in figures:
            words, p = f"{known.on}: {known.headline}", p_values.get(known.id, math.nan)
            claim = judging.entry(known.id, words, "", 1, 0.5, 2, 5, 0.1, p=p)
            figures[known.figure]["claims"].append(claim)
    return figures


def test_every_hypothesis_has_one_line(committed):
    assert sorted(claim["id"] for claim in committed["claims"]) == sorted(IDS)
    assert committed["left_out"] == [] and not committed["quick"]


def test_the_table_names_figures_that_are_there():
    assert sorted(known.id for known in hypotheses.HYPOTHESES) == sorted(IDS)
    assert {known.paper for known in hypotheses.HYPOTHESES} == hypotheses.PAPERS.keys() - {
        "jumpretrain"
    }
    assert {known.figure for known in hypotheses.HYPOTHESES} <= figure.scripts(
        claims.PAPERS
    ).keys()


@pytest.mark.parametrize("name", IDS)
def test_a_line_is_its_headline_and_follows_from_its_interval(committed, name):
    (claim,) = (claim for claim in committed["claims"] if claim["id"] == name)
    script = ROOT / claim["script"]
    assert script.exists()
    figure_name = f"{script.parent.name}_{script.stem}"
    (headline,) = (
        one
        for one in FIGURES[figure_name]["claims"]
        if (one["id"], one["claim"]) == (name, claim["headline"])
    )
    assert claim["verdict"] == headline["verdict"]
    assert [claim["low"], claim["high"]] == headline["interval"]
    low, high = (math.nan if end is None else end for end in (claim["low"], claim["high"]))
    assert claim["verdict"] == verdict(low, high, claim["smallest_effect"], claim["expected"])
    assert claim["n"] >= 5
    parts = [one["verdict"] for figure in FIGURES.values() for one in figure["claims"]
             if one["id"] == name and one["effect"] is not None]  # fmt: skip
    assert claim["parts"] == {one: parts.count(one) for one in claims.VERDICTS}
    beside = sum(map(int, claims.others(claim).split("/")))
    assert beside == len(parts) - (claim["effect"] is not None)


def test_claims_without_an_effect_do_not_count():
    figures = invented({"horoi-H11": 0.5})
    (claim,) = figures["horoi_released"]["claims"]
    numbers = dict.fromkeys(("effect", "p")) | {"interval": [None, None], "verdict": "undecided"}
    figures["horoi_released"]["claims"] += [
        claim | {"verdict": "contradicted"},
        claim | numbers,
    ]
    figures["horoi_released"]["quick"] = True
    (found,) = claims.ledger(figures)["claims"]
    assert found["parts"] == {"supported": 1, "contradicted": 1, "undecided": 0}
    assert claims.others(found) == "0/1/0"
    assert claims.others(found | {"effect": None, "verdict": "undecided"}) == "1/1/0"


def test_notes_say_what_the_figures_hold(committed):
    notes = {claim["id"]: claim["note"] for claim in committed["claims"]}

    table = pd.DataFrame(FIGURES["horoi_generalisation"]["networks"])
    cells = table.groupby(["weight_decay", "data_size", "batch_size"])
    middle, name = cells.median(), "sublevel_values_h0_total_persistence_p2"
    over = partial_spearman(middle[name], middle.test_loss, np.log(middle.loss_range_squared))
    ranks = cells[[name, "test_loss"]].rank()
    among = spearman(ranks[name], ranks.test_loss).rho
    said = f"{len(cells)} cells: {over.rho:.2f} [{over.low:.2f}, {over.high:.1f}]"
    assert f"{said}; seeds of one: {among:.2f};" in notes["horoi-H7"]

    around = pd.DataFrame(FIGURES["horoi_released"]["measures"])
    ratios = (around.released / around.range_squared)[around.group == "memorise"]
    assert ratios.min() > 1 and round(ratios.max()) == 5
    assert "up to five times" in notes["horoi-H11"]

    (tied,) = (claim for claim in FIGURES["horoi_trajectories"]["claims"]
               if claim["claim"].startswith("more steps lead outward around bad"))  # fmt: skip
    assert tied["mean_larger"] == tied["mean_smaller"] == 0

    rates = [cell for cell in FIGURES["lucas_delta"]["cells"]
             if cell.get("row") == "SGD, BatchNorm"]  # fmt: skip
    rose, trained = (sum(cell[key] for cell in rates) for key in ("rose", "trained"))
    assert (rose, trained) == (1, 35) and "one of 35 rises" in notes["interpolation-H1"]
    toys = FIGURES["wang_toy"]["degrees"]
    last, count = (sum(one[key] for one in toys) for key in ("last_is_largest", "networks"))
    assert f"{last} of {count} toys" in notes["interpolation-H16"]
    rising = FIGURES["wang_classes"]["rising"]["fashion_mnist"]
    said = f"rises by more than .001 on {rising['rise_by_more']} of {rising['networks']} paths"
    assert said in notes["interpolation-H18"]


@pytest.mark.parametrize(
    ("name", "claim", "expected"),
    [
        ("lucas_distance", "Gauss length, mean over examples grows with weight distance, "
         "no normalisation, 501 alphas", "supported"),
        ("lucas_distance", "Gauss length, mean over examples grows with weight distance, "
         "BatchNorm, 501 alphas", "contradicted"),
        ("lucas_distance", "squared error falls where the certificate holds, steps of 1,001 "
         "alphas", "undecided"),
        ("vlaar_decay", "the barrier above both ends (stored) says little of accuracy, at equal "
         "weight decay", "supported"),
        ("vlaar_decay", "the barrier falls with weight decay (stored)", "supported"),
        ("vlaar_starts", "pre-training on other images lowers the barrier (CIFAR-10, weight decay "
         "0.01, stored, above both ends)", "contradicted"),
        ("wang_plateau", "digits: the error plateau of the linear path grows with each halving of "
         "the initial scale", "undecided"),
        ("wang_plateau", "fashion_mnist: the error plateau of the linear path grows with each "
         "halving of the initial scale", "supported"),
        ("wang_classes", "fashion_mnist: the class learned last has the largest bias",
         "contradicted"),
        ("wang_toy", "over cells of degree and scale: classes with smaller biases turn right "
         "later on the linear path", "undecided"),
    ],
)  # fmt: skip
def test_notes_name_the_verdicts_of_other_claims(name, claim, expected):
    found = FIGURES[name]["claims"]
    (verdict_,) = (one["verdict"] for one in found if one["claim"] == claim)
    assert verdict_ == expected


def test_the_committed_pages_are_what_the_figures_say(tmp_path):
    for stem, figure in FIGURES.items():
        (tmp_path / f"{stem}.json").write_text(json.dumps(figure))
    gallery.write_gallery(tmp_path)
    for name in ("claims.json", "README.md"):
        assert (tmp_path / name).read_text() == (ROOT / "figures" / name).read_text()


def test_holm_runs_over_one_paper():
    p_values = {"interpolation-H1": 0.01, "interpolation-H2": 0.04, "interpolation-H3": 0.03,
                "interpolation-H8": 0.02}  # fmt: skip
    found = claims.ledger(invented(p_values, quick=True))
    adjusted = {claim["id"]: claim["p_holm"] for claim in found["claims"]}
    assert adjusted["interpolation-H4"] is None
    by_hand = {"interpolation-H1": 3 * 0.01, "interpolation-H2": 2 * 0.03,
               "interpolation-H3": 2 * 0.03, "interpolation-H8": 0.02}  # fmt: skip
    assert all(math.isclose(adjusted[name], p) for name, p in by_hand.items())


def test_only_small_figures_and_other_papers_may_be_left_out():
    some = {name: 0.5 for name in IDS if name.startswith("wedges")}
    assert len(claims.ledger(invented(some))["left_out"]) == 30
    del some["wedges-H14"]
    with pytest.raises(LookupError, match=r"wedges-H14 is not there.*fort_goldilocks"):
        claims.ledger(invented(some))
    assert "wedges-H14" in claims.ledger(invented(some, quick=True))["left_out"]


def test_a_headline_that_is_gone_is_an_error():
    figures = invented({"horoi-H11": 0.5}, quick=True)
    for claim in figures["horoi_released"]["claims"]:
        claim["id"] = "horoi-H7"
    with pytest.raises(LookupError, match=r"no claim horoi-H11.*hypotheses\.py"):
        claims.ledger(figures)


def test_the_table_fits_a_terminal(committed):
    lines = claims.table(committed).splitlines()
    assert max(map(len, lines)) <= 120
    rows = [line for line in lines if line.startswith("  H")]
    assert len(rows) == len(IDS)


def test_p_values_of_claims_are_those_of_textbooks():
    draw = np.random.default_rng(0).normal
    for _ in range(20):
        a, b = draw(0.5, size=5), draw(size=4)
        exact = mannwhitneyu(a, b, method="exact").pvalue
        assert math.isclose(judging.between("", "", "", a, b)["p"], exact)
        student = ttest_1samp(a, 0)
        found = judging.within("", "", "", a, 0.1)
        assert math.isclose(found["p"], student.pvalue)
        assert np.allclose(found["interval"], student.confidence_interval(0.95))
    assert judging.within("", "", "", [0.1] * 7, 0)["p"] is None


def test_equal_values_leave_nothing_to_judge():
    found = judging.between("", "", "", [0.3] * 5, [0.3] * 4)
    assert (found["effect"], found["interval"], found["p"]) == (None, [None, None], None)
    assert (found["verdict"], found["n"]) == ("undecided", 9)
    some = judging.between("", "", "", [0.3] * 5, [0.3] * 3 + [0.2])
    assert some["effect"] == 0.25 and some["p"] is not None


def test_small_p_values_are_not_told_apart():
    written = {p: claims.chance({"p_holm": p}) for p in (None, 0.0009, 0.001, 0.05)}
    assert list(written.values()) == ["-", "< .001", "0.001", "0.05"]


def test_a_claim_says_by_which_protocol_it_was_judged(committed):
    assert {claim["protocol"] for claim in committed["claims"]} == {"exploratory"}
    known = next(known for known in hypotheses.HYPOTHESES if known.id == "horoi-H1")
    judged = {**FIGURES, known.figure: FIGURES[known.figure] | {"protocol": "0123abc"}}
    found = {claim["id"]: claim["protocol"] for claim in claims.ledger(judged)["claims"]}
    assert found["horoi-H1"] == "0123abc"
    assert found["wedges-H1"] == "exploratory"
