"""Numbers are read as they are from whatever holds them, and what holds none is refused."""

import datetime
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from jumpretrain.execution.arrays import as_numbers

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def mapped(folder):
    path = folder / "rows.npy"
    np.save(path, ROWS)
    return np.load(path, mmap_mode="r")


HELD = {
    "an array": lambda _: ROWS,
    "an array of the other byte order": lambda _: ROWS.astype(">f4"),
    "whole numbers of the other byte order": lambda _: ROWS.astype(">i8"),
    "float16": lambda _: ROWS.astype(np.float16),
    "long double": lambda _: ROWS.astype(np.longdouble),
    "read from the end": lambda _: ROWS[::-1, ::-1].copy()[::-1, ::-1],
    "Fortran's order": np.asfortranarray,
    "every second row": lambda _: np.repeat(ROWS, 2, axis=0)[::2],
    "a file mapped into memory": mapped,
    "lists": lambda _: ROWS.tolist(),
    "a tensor with a gradient": lambda _: torch.tensor(ROWS, requires_grad=True),
    "bfloat16": lambda _: torch.tensor(ROWS).bfloat16(),
    "a list of tensors with gradients": lambda _: list(torch.tensor(ROWS, requires_grad=True)),
    "a conjugated tensor": lambda _: torch.complex(torch.tensor(ROWS), torch.zeros(4, 3)).conj(),
    "a table": lambda _: pd.DataFrame(ROWS),
}


@pytest.mark.parametrize("kind", HELD)
def test_numbers_are_read_as_they_are(tmp_path, kind):
    held = HELD[kind](tmp_path if "file" in kind else ROWS)
    found = as_numbers(held, "x")
    np.testing.assert_array_equal(found, ROWS)
    assert found.dtype.isnative and min(found.strides) > 0
    tensor = torch.as_tensor(found.copy())
    assert tensor.shape == (4, 3)


def test_what_needs_no_change_is_not_copied():
    assert np.shares_memory(as_numbers(ROWS, "x"), ROWS)
    assert as_numbers(ROWS[:, :2], "x").base is ROWS or np.shares_memory(ROWS[:, :2], ROWS)


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, number):
        if number >= 4:
            raise IndexError
        return torch.tensor(ROWS[number]), number


LOADER = torch.utils.data.DataLoader(Pairs(), batch_size=3)
FULL = np.ma.masked_array(ROWS, ROWS > 5)

REFUSED = [
    (FULL, "fill or drop what is masked", lambda x: np.asarray(x.filled(0))),
    (ROWS.view(np.matrix), r"pass np\.asarray of it", np.asarray),
    (sparse.csr_array(ROWS), r"pass its \.toarray\(\)", lambda x: x.toarray()),
    (torch.tensor(ROWS).to_sparse(), r"pass its \.to_dense\(\)", lambda x: x.to_dense()),
    (LOADER, "join its batches", lambda loader: torch.cat([x for x, _ in loader])),
    (Pairs(), "stack its examples", lambda data: np.stack([np.asarray(x) for x, _ in data])),
    (
        np.array(["cat", "dog", "cat"]),
        r"np\.unique\(labels, return_inverse=True\)\[1\]",
        lambda labels: np.unique(labels, return_inverse=True)[1],
    ),
    (
        pd.DataFrame(ROWS.astype(int)).astype("Int64"),
        r"np\.array\(x, dtype=float\)",
        lambda x: np.array(x, dtype=float),
    ),
    (ROWS.astype(object), r"np\.array\(x, dtype=float\)", lambda x: np.array(x, dtype=float)),
    (
        np.array(["2020-01-01"], "datetime64[D]"),
        r"np\.asarray\(x\)\.astype\('int64'\)",
        lambda x: x.astype("int64"),
    ),
    ([[1.0, 2.0], [3.0]], "give all rows one shape", lambda rows: [row[:1] for row in rows]),
    ("numbers", "pass an array", lambda _: np.ones(3)),
    (None, "pass an array", lambda _: np.ones(3)),
    ({1, 2}, "pass a list or an array", list),
    ({"x": [1]}, "pass a list or an array", lambda table: table["x"]),
]


@pytest.mark.parametrize(("value", "remedy", "mended"), REFUSED)
@pytest.mark.filterwarnings("ignore:.*matrix subclass:PendingDeprecationWarning")
def test_what_is_no_array_of_numbers_is_refused_and_the_remedy_helps(value, remedy, mended):
    with pytest.raises((TypeError, ValueError), match=f"^x must .*{remedy}") as found:
        as_numbers(value, "x")
    assert "\n" not in str(found.value)
    assert as_numbers(mended(value), "x").dtype.kind in "biufc"


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(3, device="meta"),
        np.zeros(2, dtype=[("a", float), ("b", int)]),
        (number for number in range(3)),
        object(),
        np.array([1, None]),
    ],
)
def test_what_holds_no_numbers_at_all_is_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"^x must .*; "):
        as_numbers(value, "x")


ROW = np.ones(3)
OBJECTS = np.empty(2, object)
OBJECTS[:] = [ROW, ROW]
DAYS = pd.to_datetime(["2020-01-01", "2020-01-02"])
ENTRIES = {
    "numbers in words": ["1", "2.5"],
    "numbers in words of a column": pd.Series(["1", "2"], dtype="string"),
    "numbers in bytes": np.array([b"1", b"2"]),
    "words": ["cat", "dog"],
    "words among numbers": ["cat", 1],
    "words among numbers as objects": np.array(["cat", 1], object),
    "categories": pd.Series(["cat", "dog"], dtype="category"),
    "a table of words": pd.DataFrame({"a": [1, 2], "b": ["cat", "dog"]}),
    "a table of numbers in words": pd.DataFrame({"a": ["1", "2"]}),
    "a table with days": pd.DataFrame({"a": [1.0, 2.0], "b": DAYS}),
    "a table with flags": pd.DataFrame({"a": [1.0, 2.0], "b": [True, False]}),
    "a table of nullable numbers": pd.DataFrame({"a": pd.array([1, 2], "Int64"), "b": [1.0, 2.0]}),
    "a table that misses one": pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": [1.0, 2.0]}),
    "a list that misses one": [1, pd.NA, 3],
    "a list with None": [1.0, None],
    "flags that miss one": pd.array([True, None], dtype="boolean"),
    "words that miss one": ["cat", None, "dog"],
    "days": DAYS.to_numpy(),
    "a column of days": pd.Series(DAYS),
    "days of a zone": pd.Series(DAYS.tz_localize("UTC")),
    "days that miss one": np.array(["2020-01-01", "NaT"], "datetime64[D]"),
    "days of Python": [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)],
    "lengths of time": np.array([1, 2], "timedelta64[s]"),
    "intervals": pd.Series(pd.interval_range(0, 2)),
    "decimals": [Decimal("1.5"), Decimal(2)],
    "fractions": [Fraction(1, 2)],
    "whole numbers beyond int64": [2**70, 1],
    "complex objects": np.array([1j, 2], object),
    "objects": np.array([1, 2.5, True], object),
    "rows as objects": OBJECTS,
    "a column of rows": pd.Series([ROW, ROW]),
    "fields": np.zeros(2, dtype=[("a", float)]),
}


@pytest.mark.filterwarnings("ignore:.*timezones:UserWarning")
@pytest.mark.parametrize("kind", ENTRIES)
def test_what_a_message_says_to_write_makes_numbers_in_the_end(kind):
    value = ENTRIES[kind]
    for _ in range(3):
        try:
            found = as_numbers(value, "x")
            break
        except ValueError as error:
            code = re.search(r"(?:by|pass|such as) ((?:np|pd|x|\[).*)$", str(error))[1]
            value = eval(code, {"np": np, "pd": pd, "x": value, "labels": value})
    assert value is not ENTRIES[kind]
    assert found.dtype.kind in "biuf" and len(found)


def test_what_numpy_would_read_otherwise_within_a_list_is_refused():
    with pytest.raises(TypeError, match="fill or drop what is masked"):
        as_numbers([np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2])], "x")
    assert as_numbers(np.ones(2, np.clongdouble), "x").dtype == complex


def test_rows_of_several_lengths_are_given_one_shape():
    ragged = np.array([np.ones(2), np.ones(3)], object)
    with pytest.raises(ValueError, match="but is object; give all rows one shape"):
        as_numbers(ragged, "x")
