"""Losses and metrics of single examples."""

import pytest
import torch

from jumpretrain.tasks.measures import accuracy, predicted

inf, nan = torch.inf, torch.nan


@pytest.mark.parametrize(
    ("outputs", "label"),
    [
        ([1.0, 3.0, 2.0], 1),
        ([-inf, 0.0, -inf], 1),  # masked classes
        ([-inf, -3.0, -inf], 1),
        ([nan, 0.0, 1.0], None),
        ([0.0, 1.0, nan], None),
        ([inf, 0.0, 1.0], None),
        ([inf, inf, -inf], None),
        ([inf, -inf, nan], None),
        ([-inf, -inf, -inf], None),
    ],
)
def test_an_example_has_a_class_where_its_largest_output_is_a_number(outputs, label):
    row = torch.tensor([outputs])
    found, known = predicted(row)
    assert known.item() == (label is not None)
    for target in range(3):
        right = accuracy(row, torch.tensor([target])).item()
        if label is None:
            assert right != right
        else:
            assert found.item() == label and right == (label == target)


def test_each_position_of_a_sequence_has_a_class_of_its_own():
    outputs = torch.tensor([[[0.0, nan, 2.0], [1.0, 0.0, inf]]])  # (B, C, length)
    label, known = predicted(outputs)
    assert label[0, 0] == 1 and known.tolist() == [[True, False, False]]
