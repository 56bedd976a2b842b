"""Attention gives the same bits in threads whose kernels differ."""

import joblib
import numpy as np
import torch
from support import nets
from torch import nn
from torch.nn import functional

import jumpretrain as jr
from jumpretrain.execution.attention import AttentionSeen, attention_by_formula


def test_attention_is_seen_in_layers_and_as_a_function_and_nowhere_else():
    x = torch.randn(2, 5, 8)
    layer, linear = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 8)
    calls = [
        lambda: layer(x, x, x),
        lambda: functional.scaled_dot_product_attention(x, x, x),
        lambda: linear(x).softmax(-1),
    ]
    found = []
    for call in calls:
        with AttentionSeen() as mode:
            call()
        found.append(mode.seen)
    assert found == [True, True, False]


def test_tasks_know_whether_their_networks_attend():
    assert jr.Task(nets.Tokens, nets.tokens()).trial.attends
    assert not jr.Task(lambda: nn.Linear(6, 3), nets.vectors()).trial.attends


def test_the_users_choice_of_kernels_is_as_before_after_the_formula():
    cuda = torch.backends.cuda
    kept = cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()
    with attention_by_formula(True), attention_by_formula(True):
        assert not cuda.flash_sdp_enabled() and cuda.math_sdp_enabled()
    assert kept == (
        cuda.flash_sdp_enabled(),
        cuda.mem_efficient_sdp_enabled(),
        cuda.math_sdp_enabled(),
    )


def test_threads_that_train_stacked_while_others_score_give_the_bits_of_one():
    task, recipe = jr.Task(nets.Tokens, nets.tokens()), jr.Recipe(epochs=4, batch_size=6)
    serial, threads = (jr.Execution(progress=False, chunk=2, n_jobs=n) for n in (1, 4))
    alone = jr.train(task, recipe, range(16), execution=serial)
    assert alone.provenance["execution"]["mode"] == "stacked"
    with joblib.parallel_config(backend="threading"):
        for _ in range(3):
            found = jr.train(task, recipe, range(16), execution=threads)
            np.testing.assert_array_equal(found.states, alone.states)
            for name, values in alone.metrics.items():
                np.testing.assert_array_equal(found.metrics[name], values)
