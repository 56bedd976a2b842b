"""Bounds hold for numbers on them, and say in words what they are."""

import math

import numpy as np
import pytest
import torch

from jumpretrain.execution.bounds import Axes, Within


@pytest.mark.parametrize(
    ("bound", "inside", "outside", "words"),
    [
        (Within(1), [1, 2.5, math.inf], [0.99, -1, math.nan], "of at least 1"),
        (Within(1, 2**31 - 1), [1, 2**31 - 1], [0, 2**31], "of at least 1 and below 2^31"),
        (Within(0, 2**63 - 1), [0, 2**63 - 1], [-1, 2**64], "of at least 0 and below 2^63"),
        (Within(0, 1), [0, 1, np.float32(0.5)], [-1e-9, 1 + 1e-9, math.nan], "from 0 to 1"),
        (Within(above=0), [5e-324, 1], [0, -1, math.nan], "above 0"),
        (Within(finite=False), [0, math.inf, math.nan], [], "of at least -inf"),
        (Axes(1), [[1], np.ones(3), torch.ones(1, 1), [], [[1]]], [1, np.float64(2)], "along 1"),
        (Axes(2), [[[1]], np.ones((1, 1))], [[1], 3, np.ones(1)], "along 2"),
    ],
)
def test_a_bound_holds_for_what_lies_within(bound, inside, outside, words):
    assert all(map(bound.holds, inside)) and not any(map(bound.holds, outside))
    assert words in str(bound)
