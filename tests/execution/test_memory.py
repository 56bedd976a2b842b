"""What no machine of this size can hold is refused with its size, before it is allocated."""

import math
import re

import numpy as np
import pytest
from support import nets

import jumpretrain as jr
from jumpretrain.execution.memory import check_memory, machine_memory

QUIET = jr.Execution(progress=False)
MANY = 10**9
CALLS = {
    "sample": lambda task, state: jr.sample(task, state, directions=MANY, execution=QUIET),
    "sample by seeds": lambda task, state: jr.sample(task, state, directions=range(MANY)),
    "rays": lambda task, state: jr.rays(task, state, directions=MANY),
    "grid": lambda task, state: jr.grid(task, state, shape=(10**4, 10**4, 10**4)),
    "train": lambda task, state: jr.train(task, jr.Recipe(), range(MANY), execution=QUIET),
    "estimate": lambda task, state: jr.estimate(task, jr.Recipe(), runs=MANY),
}


def test_memory_is_that_of_the_machine():
    there = machine_memory()
    assert there > 2**28
    check_memory(2**20, "it", "")
    if there < math.inf:
        with pytest.raises(ValueError, match=r"^3 things take .* GB, but this machine .*; take"):
            check_memory(int(2 * there), "3 things", "take one")


@pytest.mark.skipif(machine_memory() > 2**38, reason="would fit this machine")
@pytest.mark.parametrize("name", CALLS)
def test_states_that_no_memory_holds_are_refused_before_they_are_made(name):
    task = nets.TASKS["mlp"]()
    with pytest.raises(ValueError, match=r"states of this task take [\d,]+ GB, .*fewer at a time"):
        CALLS[name](task, task.initial(0))


@pytest.mark.parametrize("number", [10**12, 2**64, -1])
def test_a_number_beyond_a_limit_is_refused_with_the_limit(number):
    task = nets.TASKS["mlp"]()
    for call in (
        lambda: jr.sample(task, task.initial(0), directions=number),
        lambda: jr.estimate(task, jr.Recipe(), runs=number),
    ):
        with pytest.raises(ValueError, match=re.escape("of at least 1 and below 2^31")):
            call()


@pytest.mark.parametrize("seed", [2**64, 2**63, -1])
def test_a_seed_beyond_its_limits_is_refused_with_them(seed):
    task = nets.TASKS["mlp"]()
    with pytest.raises(ValueError, match=re.escape("of at least 0 and below 2^63")):
        jr.train(task, jr.Recipe(), [seed])
    if 0 < seed < 2**64:
        with pytest.raises(ValueError, match=re.escape("whole numbers in 0..2^63 - 1")):
            jr.train(task, jr.Recipe(), np.array([seed], np.uint64))


def test_the_limits_themselves_are_taken():
    task = nets.TASKS["mlp"]()
    fit = jr.train(task, jr.Recipe(epochs=1), [2**63 - 1], execution=QUIET)
    assert fit.seeds.tolist() == [2**63 - 1] and (fit.status == "ok").all()
