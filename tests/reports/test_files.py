"""Tables and figures lie where a report says, and none of an earlier report is left."""

import csv

import pandas as pd
import pytest

from jumpretrain.reports.files import write_figures, write_tables


def test_tables_are_written_without_their_index(tmp_path):
    table = pd.DataFrame({"name": ["a, b", '"c"'], "value": [0.1, None]}, index=[7, 8])
    write_tables(tmp_path, {"one.csv": table, "two.csv": table.iloc[:0]})
    found = pd.read_csv(tmp_path / "one.csv")
    pd.testing.assert_frame_equal(found, table.reset_index(drop=True))
    assert (tmp_path / "two.csv").read_text() == "name,value\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_that_a_spreadsheet_would_run_is_kept_as_text(tmp_path, start):
    text = f"{start}1+cmd|' /C calc'!A0"
    table = pd.DataFrame({"group": [text, "plain"], f"{start}metric": [-1.5, 2.0], "n": [-3, 4]})
    write_tables(tmp_path, {"one.csv": table})
    with (tmp_path / "one.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    kept = "\n" if start == "\r" else start
    assert rows == [
        ["group", f"'{kept}metric", "n"],
        [f"'{kept}{text[1:]}", "-1.5", "-3"],
        ["plain", "2.0", "4"],
    ]


def test_figures_that_are_not_drawn_again_are_removed_and_no_other_file(tmp_path):
    folder = write_figures(tmp_path, [("a", b"1"), ("b", b"2"), ("c", b"3")])
    assert folder == tmp_path / "figures"
    write_figures(tmp_path, iter([("b", b"4")]), known=("a", "b", "d"))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "b.png": b"4", "c.png": b"3",
    }  # fmt: skip
