"""Timed steps and scores beside the work that they foretell; machines are noisy."""

import time

import numpy as np
import pytest

import jumpretrain as jr
from jumpretrain.engine.evaluate import measure_both
from jumpretrain.engine.timing import score_seconds, step_seconds
from jumpretrain.execution.settings import standard_settings

QUIET = jr.Execution(progress=False)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def task():
    return jr.Task(lambda: jr.models.mlp((1, 8, 8), 10), jr.data.digits())


def took(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_a_step_takes_its_share_of_training(task, mode):
    execution = jr.Execution(progress=False, mode=mode)
    recipe = jr.Recipe(epochs=40, record_every=0, record_early=False)
    taken = took(lambda: jr.train(task, recipe, range(16), execution=execution)) / (40 * 20)
    assert taken / 8 < step_seconds(task, recipe, 16, execution) < 8 * taken


def test_a_score_takes_its_share_of_many(task):
    states = np.repeat(task.initial(0)[None], 400, axis=0)
    with standard_settings():
        taken = took(lambda: measure_both(task, states)) / 400
    assert taken / 8 < score_seconds(task, 4) < 8 * taken
