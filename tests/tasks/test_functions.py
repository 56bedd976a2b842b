"""Functions are told by what they do; of classes, what a call reaches."""

import torch
from torch import nn

from jumpretrain.networks.models import mlp
from jumpretrain.tasks.functions import instructions, is_own, names_in, used_members


def made(source):
    names = {}
    exec(source, names)
    return names["f"].__code__


def test_ones_own_code_is_told_from_that_of_packages():
    assert is_own(made_here) and is_own(Scaled)
    for thing in (nn.Linear, nn.functional.relu, torch, mlp, dict, instructions):
        assert not is_own(thing)


def made_here():
    return 1


class Scaled(nn.Module):
    factor = 2

    @staticmethod
    def scale(x):
        return x * Scaled.factor

    def forward(self, x):
        return self.scale(x) + self.shift

    @property
    def shift(self):
        return 1

    def unused(self):
        return 0

    def __repr__(self):
        return "?"


def test_of_a_network_what_its_forward_names_takes_part():
    called = {name for _, name, _ in used_members([Scaled], called=True)}
    assert called == {"forward", "scale", "shift", "factor"}
    whole = {name for _, name, _ in used_members([Scaled], called=False)}
    assert whole == called | {"unused"}


def test_instructions_tell_constants_operators_and_signatures_apart_and_heed_no_place():
    sources = ["def f(x): return x + 1", "def f(x): return x + 2", "def f(x): return x - 1"]
    sources += ["def f(x, y): return x + 1", "def f(*x): return x + 1", "f = lambda x: lambda: x"]
    assert len({instructions(made(source)) for source in sources}) == len(sources)
    same = "\n\n\ndef f(x):\n    '''Add.'''\n    # one\n    return x + 1"
    assert instructions(made(same)) == instructions(made(sources[0]))


def test_names_of_functions_inside_count():
    assert names_in(made("def f(x): return [g(y.z) for y in x]")) == {"g", "z"}
