"""Controls change what they should and leave the rest."""

import numpy as np
import pytest
import torch
from support import nets

from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.paths.controls import noise, permute_units, reinitialise, zero
from jumpretrain.paths.interpolate import interpolate
from jumpretrain.states.layers import weight_distance
from jumpretrain.tasks.task import Task


@pytest.fixture(scope="module")
def deep():
    data = nets.vectors(dtype=np.float64)
    return Task(nets.double(lambda: mlp((6,), 3, hidden=(8, 7, 5))), data)


def test_permuting_both_ends_alike_changes_nothing(deep):
    start, end = deep.initial(0), deep.initial(1)
    plain = interpolate(deep, start, end, alphas=7)
    both = interpolate(deep, permute_units(deep, start, 3), permute_units(deep, end, 3), alphas=7)
    one = interpolate(deep, start, permute_units(deep, end, 3), alphas=7)
    for metric, values in plain.metrics.items():
        np.testing.assert_allclose(both.metrics[metric], values, rtol=1e-12)
        np.testing.assert_allclose(one.metrics[metric][[0, -1]], values[[0, -1]], rtol=1e-12)
    assert not np.allclose(one.metrics["test_loss"], plain.metrics["test_loss"])


def test_permuting_moves_every_hidden_layer_and_nothing_is_lost(deep):
    state = deep.initial(0)
    moved = permute_units(deep, state, 0)
    np.testing.assert_array_equal(np.sort(moved), np.sort(state))
    before, after = (deep.layout.split(torch.as_tensor(s)) for s in (state, moved))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(before) - {"7.bias"}
    assert not np.array_equal(moved, permute_units(deep, state, 1))


def test_units_of_convolutions_are_permuted_and_of_other_networks_not():
    task = nets.TASKS["conv with BatchNorm"]()
    state = task.initial(0)
    moved = permute_units(task, state, 0)
    assert not np.array_equal(moved, state)
    for values in evaluate(task, [state, moved]).values():
        assert values[0] == pytest.approx(values[1], rel=1e-5)
    other = nets.TASKS["transformer"]()
    with pytest.raises(ValueError, match="residual networks are not known"):
        permute_units(other, other.initial(0), 0)


@pytest.mark.parametrize("hidden", [(), (1, 1)])
def test_nothing_to_permute_is_refused(hidden):
    task = Task(lambda: mlp((6,), 3, hidden=hidden), nets.vectors())
    with pytest.raises(
        ValueError, match=r"2 units or more, but the hidden layers have (none|\[1)"
    ):
        permute_units(task, task.initial(0), 0)


def test_zero_and_noise_leave_statistics_and_match_sizes():
    task = nets.TASKS["conv with BatchNorm"]()
    state = task.initial(0)
    count = task.weight_count
    nothing, noisy = zero(task, state), noise(task, state, 1)
    assert not nothing[:count].any()
    for changed in (nothing, noisy):
        np.testing.assert_array_equal(changed[count:], state[count:])
        assert changed.dtype == state.dtype
    big = Task(lambda: mlp((6,), 3, hidden=(3000,)), nets.vectors())
    start = big.initial(0)
    found = noise(big, start, 0)
    pairs = zip(big.layout.weights(found), big.layout.weights(start), strict=True)
    for (name, after), (_, before) in pairs:
        if after.size > 1000:
            assert np.std(after) == pytest.approx(np.sqrt((before**2).mean()), rel=0.05), name
    assert np.array_equal(found, noise(big, start, 0))
    assert not np.array_equal(found, noise(big, start, 1))


def test_a_block_is_fresh_and_the_others_are_kept(deep):
    state, fresh = 2 * deep.initial(0), deep.initial(5)
    found = deep.layout.split(torch.as_tensor(reinitialise(deep, state, "3", seed=5)))
    kept, new = (deep.layout.split(torch.as_tensor(s)) for s in (state, fresh))
    for name, value in found.items():
        assert torch.equal(value, (new if name.startswith("3.") else kept)[name])
    assert np.isfinite(evaluate(deep, [reinitialise(deep, state, ["1", "7"], 0)])["test_loss"])
    with pytest.raises(ValueError, match="'2' is none"):
        reinitialise(deep, state, "2", 0)
    with pytest.raises(ValueError, match="select must name a parameter or module or more"):
        reinitialise(deep, state, [], 0)


def test_training_again_from_a_fresh_block_moves_all_others_too(deep):
    recipe, quiet = Recipe(epochs=60, lr=0.2, batch_size=44), Execution(progress=False)
    optimum = train(deep, recipe, [0], execution=quiet).final[0]
    start = reinitialise(deep, optimum, "3", seed=5)
    again = train(deep, recipe, [1], states=start[None], execution=quiet)
    assert again.initial[0].tobytes() == start.tobytes()
    assert list(weight_distance(deep, optimum, start).per_layer.values())[1] > 0
    assert min(weight_distance(deep, start, again.final[0]).per_layer.values()) > 0
    learned, lost, found = evaluate(deep, [optimum, start, again.final[0]])["train_loss"]
    assert max(learned, found) < lost
    path = interpolate(deep, start, again.final[0], alphas=5)
    assert path.metrics["train_loss"][[0, -1]].tolist() == [lost, found]
