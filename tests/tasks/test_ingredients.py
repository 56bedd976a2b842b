"""All that a network and its measures hold is found once, whatever holds it."""

import enum
import logging
import threading

import numpy as np
import torch
from torch import nn

from jumpretrain.tasks.ingredients import ingredients


class Kind(enum.Enum):
    ONE = 1


class Slotted:
    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number


def net(**held):
    made = nn.Sequential(nn.Linear(2, 2))
    for name, value in held.items():
        setattr(made, name, value)
    return made


def found(**held):
    return ingredients(net(**held), {}).layers


def test_equal_values_have_equal_descriptions_and_others_have_others():
    values = [
        1,
        1.0,
        True,
        "1",
        b"1",
        None,
        1j,
        (1,),
        {1, 2},
        {"a": 1},
        {"a": 2},
        Kind.ONE,
        range(1),
    ]
    values += [torch.float32, Slotted(1), Slotted(2), np.arange(3), np.arange(3.0)]
    values += [
        torch.eye(2),
        torch.eye(2) > 0,
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Dropout(0.2),
        torch.relu,
        np.exp,
    ]
    told = [str(found(x=value)) for value in values]
    assert len(set(told)) == len(told)
    assert told == [str(found(x=value)) for value in values]


def test_what_stands_for_nothing_that_repeats_is_told_by_its_type():
    for pair in ((threading.Lock(), threading.Lock()), (object(), object())):
        assert found(x=pair[0]) == found(x=pair[1])
    assert found(x=logging.getLogger("a")) == found(x=logging.getLogger("b"))
    assert found(x="/home/one/data") == found(x="/home/two/data")


def test_circles_end_and_weights_are_left_out():
    made = net()
    made.itself, made.shared = [made], made[0].weight
    made.items = [made.itself]
    made.items.append(made.items)
    before = ingredients(made, {})
    with torch.no_grad():
        made[0].weight.add_(1)
    assert ingredients(made, {}) == before and "model.shared in numbers" not in before.layers


def test_buffers_that_are_in_no_state_count():
    one, two = net(), net()
    for made, value in ((one, 0), (two, 1)):
        made.register_buffer("mask", torch.tensor([value, 1]))
        made.register_buffer("mean", torch.tensor([float(value)]))
    differing = {
        key
        for key, text in ingredients(one, {}).layers.items()
        if ingredients(two, {}).layers[key] != text
    }
    assert differing == {"model.mask"}


def test_what_calls_change_is_left_out():
    one, two = (ingredients(net(calls=k, rate=0.1), {}) for k in (0, 1))
    kept = one.unchanged(two)
    assert "model.calls" not in kept.layers and "model.rate" in kept.layers


def test_hooks_and_the_values_they_close_over_count():
    def hooked(scale):
        made = net()
        made.register_forward_hook(lambda part, given, out: out * scale)
        return ingredients(made, {})

    assert hooked(1) == hooked(1) != hooked(2)
