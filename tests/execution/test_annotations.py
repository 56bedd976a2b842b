"""Annotations are told apart by whether they take numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.annotations import ARRAYS, hints_of, members_of, takes_numbers
from jumpretrain.execution.bounds import Names, Seed, Values
from jumpretrain.tasks.sources import StateLike, StatesLike

NUMBERS = [
    *(ArrayLike, Values, Names, NDArray[Any], Sequence[int], tuple[float, ...], Sequence[Seed]),
    *(int | ArrayLike, Sequence[Values], Sequence[int] | Literal["all"], Values | slice | None),
    *(Mapping[str, int] | ArrayLike, Sequence[NDArray[Any]] | None),
]
NONE = [
    *(int, float, bool, str, Any, Path, Seed, Sequence[str], Mapping[str, float], Literal["all"]),
    *(StateLike, StatesLike, torch.Tensor, torch.Tensor | ArrayLike, Sequence[Any]),
]


@pytest.mark.parametrize("hint", NUMBERS, ids=str)
def test_arrays_and_sequences_of_numbers_take_numbers(hint):
    assert takes_numbers(hint)


@pytest.mark.parametrize("hint", NONE, ids=str)
def test_what_is_no_array_or_takes_tensors_as_such_takes_none(hint):
    assert not takes_numbers(hint)


def test_each_value_of_many_is_of_the_type():
    def call(*groups: Values, level: float = 0.5, **others: int) -> None:
        """Take some."""

    found = hints_of(call, __name__)
    assert found == {"groups": tuple[Values, ...], "level": float}
    assert takes_numbers(found["groups"]) and not takes_numbers(found["level"])


def test_a_name_that_is_imported_for_types_only_is_told_by_its_name():
    def call(runs: Runs) -> None:  # noqa: F821
        """Take runs."""

    kind = hints_of(call, __name__)["runs"]
    assert isinstance(type("Runs", (), {})(), kind) and not isinstance(np.ones(1), kind)


def test_a_union_has_the_members_of_its_unions():
    assert [*members_of(int | None)] == [int, type(None)]
    assert {*members_of(ArrayLike | Path)} == {*ARRAYS, Path}
