"""The numbers that a recipe stands for, each worked out by hand."""

import numpy as np
import pytest
import torch

from jumpretrain.engine.recipe import Recipe


def rates(recipe):
    return [recipe.rate(epoch) for epoch in range(recipe.epochs)]


def test_a_cosine_falls_from_the_whole_rate_towards_zero():
    # (1 + cos(pi e / 4)) / 2 for e = 0, 1, 2, 3; zero would be reached in the epoch after
    expected = [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]
    found = rates(Recipe(epochs=4, lr=0.2, schedule="cosine"))
    assert found == pytest.approx([0.2 * share for share in expected], rel=1e-12)
    assert rates(Recipe(epochs=1, lr=0.2, schedule="cosine")) == [0.2]


def test_steps_divide_by_ten_from_each_share_of_the_epochs_on():
    recipe = Recipe(epochs=8, lr=3.0, schedule="steps", milestones=(0.25, 0.5, 0.9))
    expected = [3, 3, 0.3, 0.3, 0.03, 0.03, 0.03, 0.03]
    assert rates(recipe) == pytest.approx(expected, rel=1e-12)
    assert rates(Recipe(epochs=3, lr=3.0)) == [3, 3, 3]


def test_the_last_batch_counts_unless_it_is_dropped():
    assert [Recipe(batch_size=4).batches(n) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]
    assert [Recipe(batch_size=4, drop_last=True).batches(n) for n in (4, 5, 8)] == [1, 1, 2]
    with pytest.raises(ValueError, match="3 examples make no batch of 4"):
        Recipe(batch_size=4, drop_last=True).batches(3)


def test_snapshots_are_the_start_each_epoch_and_powers_of_two_within_the_first():
    assert Recipe(epochs=2).record_steps(8).tolist() == [0, 1, 2, 4, 8, 16]
    assert Recipe(epochs=2).record_steps(9).tolist() == [0, 1, 2, 4, 8, 9, 18]
    assert Recipe(epochs=1).record_steps(1).tolist() == [0, 1]
    late = Recipe(epochs=7, record_every=3, record_early=False)
    assert late.record_steps(5).tolist() == [0, 15, 30, 35]
    ends = Recipe(epochs=7, record_every=0, record_early=False)
    assert ends.record_steps(5).tolist() == [0, 35]
    early = Recipe(epochs=2, record_every=0)
    assert early.record_steps(8).tolist() == [0, 1, 2, 4, 16]


@pytest.mark.parametrize("epochs", [1, 2, 6, 7, 8])
@pytest.mark.parametrize("every", [0, 1, 2, 3, 9])
def test_snapshots_are_counted_as_they_are_listed(epochs, every):
    recipe = Recipe(epochs=epochs, record_every=every, record_early=False)
    assert recipe.snapshots == len(recipe.record_steps(5))


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "radam", "rmsprop", "adagrad"])
def test_the_other_optimisers_keep_torchs_numbers_whatever_the_momentum(name):
    weights = [torch.zeros(1, requires_grad=True)]
    made = Recipe(lr=0.3, momentum=0.7, weight_decay=0.01, optimiser=name).optimise(weights)
    plain = type(made)(weights, lr=0.3, weight_decay=0.01)
    assert type(made).__name__.lower() == name and made.defaults == plain.defaults


def test_the_optimiser_has_the_recipes_numbers():
    weights = [torch.zeros(1, requires_grad=True)]
    group = Recipe(lr=0.3, momentum=0.7, weight_decay=0.01).optimise(weights).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.3, 0.7, 0.01)
    adam = Recipe(lr=0.3, optimiser="adam", weight_decay=0.02).optimise(weights)
    assert type(adam) is torch.optim.Adam and adam.param_groups[0]["weight_decay"] == 0.02


def test_one_step_of_decayed_momentum_by_hand():
    # speed = gradient + decay w = 2 + .1 * 4, w - rate speed; then speed .5 of itself more
    weight = torch.tensor([4.0], dtype=torch.float64, requires_grad=True)
    optimiser = Recipe(lr=0.25, momentum=0.5, weight_decay=0.1).optimise([weight])
    found = []
    for _ in range(2):
        weight.grad = torch.tensor([2.0], dtype=torch.float64)
        optimiser.step()
        found.append(weight.item())
    second = 0.5 * 2.4 + 2 + 0.1 * 3.4
    assert found == pytest.approx([3.4, 3.4 - 0.25 * second], rel=1e-12)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"lr": 0.0}, "above 0"),
        ({"momentum": 1.0}, r"in \[0, 1\)"),
        ({"weight_decay": -0.1}, "at least 0"),
        ({"record_every": -1}, "at least 0"),
        ({"milestones": (0.5, 0.2)}, r"in \(0, 1\)"),
        ({"milestones": (0.5, 1.0)}, r"in \(0, 1\)"),
    ],
)
def test_numbers_at_the_border_are_refused(change, rule):
    with pytest.raises(ValueError, match=rule):
        Recipe(**change)
    assert np.isfinite(Recipe(epochs=1, batch_size=1, momentum=0.0, record_every=0).lr)
