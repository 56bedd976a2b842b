"""Toys of one degree and scale are alike: claims on them are of cells, and of each cell."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
claims, paths, toys = (
    importlib.import_module(f"papers.{name}")
    for name in ("vlaar.starts", "lucas.paths", "wang.toy")
)
NAMES = ("linear_error", "homogeneous_error", "homogeneous_loss", "correlation", "off", "rise",
         "variance", "middle_excess", "middle_expected")  # fmt: skip


@pytest.fixture
def table():
    """Toys of five cells; all of a cell are alike but for a small error."""
    rng, rows = np.random.default_rng(0), []
    for place, (degree, scale) in enumerate([(2, 0.1), (2, 0.3), (3, 0.1), (3, 0.3), (4, 0.1)]):
        for seed in range(10):
            values = dict(zip(NAMES, 0.3 + place / 10 + rng.normal(0, 1e-3, 9), strict=True))
            rows.append({"degree": degree, "scale": scale, "seed": seed, "same_order": True,
                         "last_is_largest": True} | values)  # fmt: skip
    return pd.DataFrame(rows)


def test_a_cell_is_one_of_the_sample(table):
    found = toys.judged(table)
    over = [one for one in found if one["claim"].startswith("over cells")]
    assert [one["id"][-3:] for one in over] == ["H13", "H14", "H17", "H17", "H18", "H18"]
    assert {one["n"] for one in over} == {5}
    assert all("cells of means over networks" in one["statistic"] for one in over)
    twice = toys.judged(pd.concat([table, table.assign(seed=table["seed"] + 10)]))
    again = [one for one in twice if one["claim"].startswith("over cells")]
    for one, other in zip(over, again, strict=True):  # more seeds alike say nothing more
        np.testing.assert_allclose(one["interval"], other["interval"], atol=1e-9)
    assert [one["n"] for one in found if one["id"].endswith("H16")] == [50, 50]


def test_every_cell_is_judged_and_scales_are_not_pooled(table):
    apart = [one for one in toys.judged(table) if one["claim"].startswith("r = ")]
    assert len(apart) == 5 * 3 and all(", scale " in one["claim"] for one in apart)
    assert {one["n"] for one in apart} == {10}
    before = toys.pooled(table)
    words = "r = 2: classes with smaller biases turn right later on the linear path"
    assert [one["n"] for one in before if one["claim"] == words] == [20]


def test_cells_with_one_lasting_plateau_are_left_out(table):
    table.loc[(table["degree"] == 4) & (table["seed"] > 0), "linear_error"] = 0.1
    assert set(toys.lasting(table)["degree"]) == {2, 3}
    few = toys.judged(table[table["degree"] == 2])
    assert not [one for one in few if "vary more" in one["claim"]]


def test_kinds_with_one_rate_alone_are_left_out():
    rows = [
        {"network": kind, "optimiser": "adam", "faster": faster, "min_delta": 0.5 * faster}
        for kind, faster in [("a", True), ("a", False), ("b", True)]
        for _ in range(4)
    ]
    found = paths.judge_both(pd.DataFrame(rows))
    assert (found["n"], found["effect"]) == (8, 1.0)
    assert "without kinds x optimisers" in found["statistic"]


def test_claims_on_tops_say_where_a_barrier_is_none_by_construction():
    heights = dict.fromkeys([f"climbed.{name}" for name in claims.LOSSES], 1.0)
    heights |= dict.fromkeys([f"found.{name}" for name in claims.LOSSES], 0.0)
    place = {"data": claims.SPIRAL, "weight_decay": 0.0, "policy": "stored"}
    table = pd.DataFrame([
        {**place, "start": start, "seed": seed, "accuracy": 0.5 + seed / 10, **heights}
        for start in (claims.OWN, claims.TOP) for seed in (0, 1)
    ])  # fmt: skip
    said = [one["statistic"] for one in claims.restart(table, claims.SPIRAL, 0.0)]
    assert [("by construction" in how) for how in said] == [claims.SHOWN in how for how in said]
    assert any("by construction" in how for how in said)


def test_dots_of_short_plateaus_are_open_and_the_rest_are_counted():
    classes = importlib.import_module("papers.wang.classes")
    rows = pd.DataFrame({"data": "digits", "error_plateau": [0.3, 0.05, 0.2],
                         "middle_expected": [1.0, 2.0, 3.0], "middle_excess": 0.5})  # fmt: skip
    ax = Figure().subplots()
    classes._excess(ax, rows, {"rise_by_more": 1, "networks": 3, "largest": 0.1}, [])
    full, empty = ax.collections
    assert (len(full.get_offsets()), len(empty.get_offsets())) == (2, 1)
    assert len(full.get_facecolor()) == 1 and not len(empty.get_facecolor())
    assert "n = 2; open: plateau shorter than 0.1" in " ".join(ax.get_title(loc="left").split())
