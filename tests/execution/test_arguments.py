"""What is passed is of the type that the annotation names, or is refused in one line."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray

import jumpretrain as jr
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Positive, Seed, Share, Values


@checked
def call(
    count: int = 1,
    rate: float = 0.1,
    quiet: bool = False,
    name: str = "a",
    mode: Literal["auto", "stacked"] = "auto",
    steps: int | Literal["all"] = "all",
    sizes: Sequence[float] = (1.0,),
    seeds: int | Sequence[int] = 1,
    shape: tuple[int, int] = (1, 2),
    folder: str | Path | None = None,
    loss: Callable[[int], int] | None = None,
    depth: Mapping[str, int] | None = None,
    states: ArrayLike | torch.Tensor = 0,
    chosen: Sequence[int] | NDArray[Any] = (0,),
    anything: Any = None,
    seed: Seed = 0,
    share: Share = 0.5,
    above: Positive = 1.0,
) -> str:
    """Take one argument of each kind."""
    return "taken"


TAKEN = [
    ("count", [3, np.int64(3), np.uint8(3)]),
    ("rate", [1, 0.5, np.float32(0.5), np.int64(2)]),
    ("quiet", [True, np.bool_(True)]),
    ("name", ["b", ""]),
    ("mode", ["auto", "stacked"]),
    ("steps", ["all", 5]),
    ("sizes", [(1,), [0.5, 1], np.array([0.5]), range(3), torch.ones(2)]),
    ("seeds", [3, [3], np.arange(3)]),
    ("shape", [(1, 2), [1, 2], np.array([1, 2])]),
    ("folder", [None, "runs", Path("runs")]),
    ("loss", [None, abs, lambda n: n]),
    ("depth", [None, {}, {"a": 1}]),
    ("states", [0, [1], np.ones(3), torch.ones(3), [[1.0], torch.ones(1)], []]),
    ("chosen", [[1], np.ones((2, 2))]),
    ("anything", [object(), None]),
    ("seed", [0, 2**63 - 1, np.int64(3)]),
    ("share", [0, 1, 0.5]),
    ("above", [1e-300, 3]),
]
REFUSED = [
    ("count", [2.0, "3", None, True, np.float64(2), [1]], TypeError),
    ("rate", ["0.1", None, True, [0.1], 1j], TypeError),
    ("rate", [float("nan"), float("inf"), np.float32("nan")], ValueError),
    ("quiet", [1, 0, "no", None], TypeError),
    ("name", [3, None, b"a", ["a"]], TypeError),
    ("mode", ["loop", "AUTO", ""], ValueError),
    ("mode", [None, 0.5, ["auto"]], TypeError),
    ("steps", [2.0, None, True], TypeError),
    ("steps", ["some"], ValueError),
    ("sizes", [1.0, "12", {1.0}, ["a"], iter([1.0]), np.array(1.0), None], TypeError),
    ("sizes", [[0.5, float("nan")], np.array([np.inf])], ValueError),
    ("seeds", [[0.2, 0.7], 0.5, "3", None], TypeError),
    ("shape", [(1,), (1, 2, 3), (1, 2.5), 2], TypeError),
    ("folder", [3, ["runs"], b"runs"], TypeError),
    ("loss", ["cross_entropy", 3], TypeError),
    ("depth", [{"a": 0.5}, {1: 1}, [("a", 1)]], TypeError),
    ("states", ["abc", None, {}, ["a"], np.array("a"), np.array([None]), object()], TypeError),
    ("chosen", ["012", [0.5], 3], TypeError),
    ("seed", [-1, 2**63], ValueError),
    ("seed", [0.0], TypeError),
    ("share", [-0.1, 1.1], ValueError),
    ("above", [0, -1.0], ValueError),
]


@pytest.mark.parametrize(("name", "values"), TAKEN)
def test_what_is_of_the_type_is_taken(name, values):
    assert {call(**{name: value}) for value in values} == {"taken"}


@pytest.mark.parametrize(("name", "values", "error"), REFUSED)
def test_what_is_of_another_type_is_refused_in_one_line_with_a_remedy(name, values, error):
    for value in values:
        with pytest.raises(error, match=f"^{name} must be .*, but is .*; .* call") as found:
            call(**{name: value})
        assert "\n" not in str(found.value) and len(str(found.value)) < 300


TENSORS = {
    "with a gradient": lambda numbers: torch.tensor(numbers, requires_grad=True),
    "bfloat16": lambda numbers: torch.tensor(numbers, dtype=torch.bfloat16),
    "in a list": lambda numbers: [torch.tensor(n, requires_grad=True) for n in numbers],
}


@checked
def taken(
    *groups: Values,
    sizes: Sequence[float] = (),
    states: ArrayLike | None = None,
    pairs: Sequence[Values] = (),
    chosen: NDArray[Any] | Literal["all"] = "all",
) -> list[Any]:
    """Give what is taken."""
    return [*groups, sizes, states, *pairs, chosen]


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_reach_a_call_as_arrays_that_numpy_can_read(kind):
    given = TENSORS[kind]([1.0, 2.0, 4.0])
    found = taken(given, states=given, pairs=[given, [1.0]])
    for values in (found[0], found[2], found[3]):
        assert np.asarray(values, float).tolist() == [1, 2, 4]
    assert found[1] == () and found[4] == [1.0]
    if isinstance(given, torch.Tensor):
        assert taken(sizes=given)[0].tolist() == [1, 2, 4]
        assert taken(chosen=given)[-1].tolist() == [1, 2, 4]


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x, x], lambda x: [[1.0, 2.0], x]])
@pytest.mark.parametrize("name", ["groups", "sizes", "states", "pairs", "chosen"])
def test_masked_arrays_are_refused_wherever_numbers_are_taken(name, wrap):
    given = wrap(np.ma.masked_equal([1.0, 99.0], 99.0))
    with pytest.raises(TypeError, match=rf"^{name} must be .* MaskedArray; fill or drop"):
        taken(given) if name == "groups" else taken(**{name: given})


@pytest.mark.parametrize("given", [[0.5, 1], (1, 2), np.arange(3), range(3), [[1.0], [2.0, 3.0]]])
def test_what_numpy_reads_reaches_a_call_as_it_is(given):
    assert taken(given)[0] is given


def test_a_default_that_is_left_out_is_not_checked():
    @checked
    def odd(count: int = None) -> int | None:  # type: ignore[assignment] # noqa: RUF013
        return count

    assert odd() is None


def test_too_many_too_few_and_unknown_arguments_are_named():
    with pytest.raises(TypeError, match=r"call takes count, .*unexpected keyword argument 'lr'"):
        call(lr=1)
    with pytest.raises(TypeError, match=r"sample takes task, optimum, .*missing .* 'task'"):
        jr.sample()
    with pytest.raises(TypeError, match=r"Recipe takes epochs, .*unexpected .* 'epoch'"):
        jr.Recipe(epoch=3)


def test_a_dataclass_is_checked_also_when_it_is_changed_and_stays_what_it_is():
    @checked
    @dataclass(frozen=True)
    class Choice:
        count: int = 2

    assert replace(Choice(), count=3) == Choice(3)
    with pytest.raises(TypeError, match=r"count must be a whole number, but is 0\.5"):
        replace(Choice(), count=0.5)
    assert pickle.loads(pickle.dumps(jr.Recipe(epochs=2))) == jr.Recipe(epochs=2)


def test_a_checked_call_keeps_its_signature_and_docstring():
    assert list(inspect.signature(call).parameters)[:2] == ["count", "rate"]
    assert call.__doc__ == "Take one argument of each kind."


PUBLIC = [
    (name, getattr(jr, name)) for name in jr.__all__ if inspect.isfunction(getattr(jr, name))
]
PUBLIC = [(name, call) for name, call in PUBLIC if name != "verify"]  # it takes a folder alone


@pytest.mark.parametrize(("name", "function"), PUBLIC)
def test_every_public_call_is_checked(name, function):
    parameters = list(inspect.signature(function).parameters)
    with pytest.raises(TypeError, match=f"^{name} takes {parameters[0]}"):
        function(no_such_argument=1)


@pytest.mark.parametrize("given", ["AdamW", "torch.optim.AdamW", torch.optim.AdamW])
def test_a_word_in_capitals_or_a_class_is_told_the_word_that_it_means(given):
    with pytest.raises((TypeError, ValueError), match=r"; pass Recipe optimizer='adamw'$"):
        jr.Recipe(optimizer=given)
    assert jr.Recipe(optimizer="adamw").optimiser == "adamw"
