"""Fresh weights depend on the seed alone and leave everything else as it was."""

import copy

import nets
import numpy as np
import pytest
import torch
from torch import nn

from jumpretrain.initialisation import fresh
from jumpretrain.layout import Layout
from jumpretrain.models import wide_resnet

KINDS = {
    "factory": nets.normed,
    "instance": nets.normed(),
    "transformer": nets.Tokens(),
    "tied": nets.Tied(),
    "wide": lambda: wide_resnet((1, 8, 8), 3),
}


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_repeat_and_others_differ(kind):
    model = KINDS[kind]
    first, again, other = (weights(fresh(model, seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_global_random_state_stays_and_does_not_matter(kind):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = weights(fresh(KINDS[kind], 3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(weights(fresh(KINDS[kind], 3)), first)


def test_a_factory_sees_the_seed_as_torch_does():
    torch.manual_seed(11)
    expected = weights(nets.normed())
    assert torch.equal(weights(fresh(nets.normed, 11)), expected)


def test_a_network_is_copied_and_reset_with_its_statistics_ties_and_frozen_values():
    model = nets.normed()
    model[1].running_mean.fill_(3)
    before = copy.deepcopy(model.state_dict())
    found = fresh(model, 0)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not found[1].running_mean.any() and not torch.equal(found[0].weight, model[0].weight)
    tied = fresh(nets.Tied(), 0)
    assert tied.twin.weight is tied.encoder.weight
    assert tied.shift.tolist() == [0.5] * 6 and not tied.shift.requires_grad


def test_fresh_weights_follow_the_layers_own_law():
    model = nn.Sequential(nn.Linear(400, 300))
    nn.init.normal_(model[0].weight, std=10)
    found = fresh(model, 0)[0].weight.detach().numpy()
    bound = 1 / np.sqrt(400)
    assert np.abs(found).max() <= bound
    assert found.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)


class Bare(nn.Module):
    """A parameter that no module knows how to reset."""

    def __init__(self, start):
        super().__init__()
        self.inner = nn.Linear(6, 3)
        self.token = nn.Parameter(start)


def test_a_random_parameter_that_nothing_resets_is_named():
    with pytest.raises(ValueError, match=r"nothing resets 'token'; pass a function that builds"):
        fresh(Bare(torch.randn(5)), 0)
    built = [fresh(lambda: Bare(torch.randn(5)), seed).token for seed in (0, 1)]
    assert not torch.equal(*built)
    assert torch.equal(fresh(Bare(torch.ones(5)), 0).token, torch.ones(5))
    frozen = Bare(torch.randn(5))
    frozen.token.requires_grad_(False)
    assert torch.equal(fresh(frozen, 0).token, frozen.token)


def test_weight_normalisation_is_refused_as_nothing_resets_it():
    model = nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))
    with pytest.raises(ValueError, match="nothing resets 'parametrizations"):
        fresh(model, 0)


def test_a_constant_that_became_random_warns_by_name():
    model = nets.normed_mlp()
    nn.init.zeros_(model[3].weight)
    with pytest.warns(UserWarning, match=r"'3\.weight' is constant .* but random after a reset"):
        found = fresh(model, 0)
    assert found[3].weight.any()


@pytest.mark.parametrize("gift", [None, 3, nn.Linear])
def test_a_function_that_gives_no_network_is_refused(gift):
    message = f"must be an nn.Module .* the function gave a {type(gift).__name__}"
    with pytest.raises(ValueError, match=message):
        fresh(lambda: gift, 0)


def test_the_state_of_a_fresh_copy_fits_the_layout_of_the_model():
    for name, build in nets.TASKS.items():
        task = build()
        state = task.initial(2)
        assert state.shape == (task.layout.width,), name
        assert Layout.of(fresh(task.model, 2)) == task.layout, name
