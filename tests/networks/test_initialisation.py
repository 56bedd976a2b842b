"""Fresh weights depend on the seed alone and leave everything else as it was."""

import copy
import math
import pickle
import random
from functools import partial

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.contents.layout import Layout
from jumpretrain.networks.initialisation import fresh, initialise
from jumpretrain.networks.models import mlp, wide_resnet
from jumpretrain.tasks.task import Task

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


def wide():
    return nn.Sequential(nn.Conv2d(20, 90, 5), nn.ReLU(), nn.Flatten(), nn.Linear(90, 400))


def small(hidden=(8, 7)):
    return mlp((6,), 3, hidden)


def drawn(scheme, scale=1.0):
    network = fresh(initialise(wide, scheme, scale), 0)
    return network[0], network[3]


@pytest.mark.parametrize(
    ("scheme", "variances"),
    [
        ("he", (2 / (20 * 25), 2 / 90)),
        ("xavier", (2 / ((20 + 90) * 25), 2 / (90 + 400))),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_draws_follow_the_normal_law_of_their_fans(scheme, variances, scale):
    for layer, variance in zip(drawn(scheme, scale), variances, strict=True):
        values = layer.weight.detach().double().numpy().ravel() / (scale * math.sqrt(variance))
        error = 5 / math.sqrt(values.size)
        assert np.mean(values) == pytest.approx(0, abs=error)
        assert np.mean(values**2) == pytest.approx(1, abs=error * math.sqrt(2))
        assert np.mean(values**4) == pytest.approx(3, abs=error * math.sqrt(96))
        assert not layer.bias.any()


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_orthogonal_draws_have_orthonormal_rows_or_columns(scale):
    for layer in drawn("orthogonal", scale):
        matrix = layer.weight.detach().double().flatten(1).numpy() / scale
        short = matrix if matrix.shape[0] < matrix.shape[1] else matrix.T
        np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_have_the_fans_of_the_convolution_they_transpose(axes, groups):
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
    build = partial(kind, 24, 90, 3, stride=2, groups=groups)
    fan_in, fan_out = 90 // groups * 3**axes, 24 * 3**axes
    for scheme, variance in (("he", 2 / fan_in), ("xavier", 2 / (fan_in + fan_out))):
        layer = fresh(initialise(build, scheme, 0.5), 0)
        values = layer.weight.detach().double().numpy().ravel() / (0.5 * math.sqrt(variance))
        error = 5 / math.sqrt(values.size)
        assert np.mean(values**2) == pytest.approx(1, abs=error * math.sqrt(2))
        assert np.mean(values**4) == pytest.approx(3, abs=error * math.sqrt(96))
        assert not layer.bias.any()
    rows = fresh(initialise(build, "orthogonal"), 0).weight.detach().double().flatten(1).numpy()
    np.testing.assert_allclose(rows @ rows.T, np.eye(24), atol=1e-6)
    plain, scaled = fresh(build, 1), fresh(initialise(build, scale=3), 1)
    assert torch.equal(3 * plain.weight, scaled.weight) and torch.equal(plain.bias, scaled.bias)


@pytest.mark.parametrize("scheme", ["torch", "he", "xavier", "orthogonal"])
def test_a_scale_of_every_layer_scales_a_homogeneous_network_by_its_power(scheme):
    x = torch.randn(5, 6)
    plain, scaled = (fresh(initialise(small, scheme, s, "none"), 3)(x) for s in (1.0, 0.25))
    assert torch.equal(scaled, plain * 0.25**3) and plain.any()


def test_the_builders_own_law_stays_under_torch():
    plain, kept, scaled = (
        fresh(build, 4)
        for build in (small, initialise(small), initialise(small, scale=2, zero_biases=True))
    )
    assert torch.equal(weights(plain), weights(kept))
    for a, b in ((plain[1], scaled[1]), (plain[5], scaled[5])):
        assert torch.equal(2 * a.weight, b.weight)
        assert a.bias.any() and not b.bias.any()


@pytest.mark.parametrize("scheme", ["torch", "he", "xavier", "orthogonal"])
def test_initialised_networks_depend_on_the_seed_alone(scheme):
    build = initialise(small, scheme, 0.5)
    first, again, other = (weights(fresh(build, seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("biases", "expected"),
    [("all", ["1.bias", "3.bias", "5.bias"]), ("last", ["5.bias"]), ("none", [])],
)
def test_biases_are_kept_where_asked_for(biases, expected):
    network = initialise(small, biases=biases)()
    names = dict(network.named_parameters())
    assert [name for name in names if name.endswith("bias")] == expected
    inner = x = torch.randn(4, 6)
    for place in (1, 3, 5):
        inner = inner @ names[f"{place}.weight"].T + names.get(f"{place}.bias", 0)
        inner = inner if place == 5 else inner.clamp_min(0)
    torch.testing.assert_close(network(x), inner)


def test_the_last_biases_are_those_of_the_last_layer_that_has_some():
    def build():
        return nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3, bias=False))

    names = [name for name, _ in initialise(build, biases="last")().named_parameters()]
    assert names == ["0.weight", "1.weight", "1.bias", "2.weight"]


def test_the_last_layer_may_be_a_transposed_convolution():
    def build():
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 1, 3))

    names = [name for name, _ in initialise(build, biases="last")().named_parameters()]
    assert names == ["0.weight", "1.weight", "1.bias"]


def test_the_last_layer_is_the_one_that_was_registered_last():
    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.trunk = nn.Linear(4, 3), nn.Linear(6, 4)

        def forward(self, x):
            return self.head(self.trunk(x))

    names = [name for name, _ in initialise(Crossed, biases="last")().named_parameters()]
    assert names == ["head.weight", "trunk.weight", "trunk.bias"]


def test_normalisation_frozen_layers_and_other_modules_stay():
    network = initialise(nets.normed, "he", 3.0, biases="none")()
    assert network[1].weight.tolist() == [1.0] * 4 and network[1].bias is not None

    def frozen():
        network = small()
        network[1].requires_grad_(False)
        return network

    plain, found = fresh(frozen, 0), fresh(initialise(frozen, "he", 2.0, "none"), 0)
    assert torch.equal(plain[1].weight, found[1].weight)
    assert torch.equal(plain[1].bias, found[1].bias) and found[3].bias is None
    tokens = [fresh(build, 0).embedding.weight for build in (nets.Tokens, initialise(nets.Tokens))]
    assert torch.equal(*tokens)


def test_a_tied_weight_is_scaled_once():
    plain, scaled = (fresh(build, 0) for build in (nets.Tied, initialise(nets.Tied, scale=3)))
    assert torch.equal(3 * plain.encoder.weight, scaled.encoder.weight)
    assert scaled.twin.weight is scaled.encoder.weight


def test_a_task_takes_an_initialised_network_to_other_processes():
    build = partial(mlp, (6,), 3, (8,))
    task = Task(initialise(build, "he", 0.25, biases="last"), nets.vectors())
    assert task.weight_count == 6 * 8 + 8 * 3 + 3
    there = pickle.loads(pickle.dumps(task))
    assert np.array_equal(there.initial(1), task.initial(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "zero"}, "scheme must be torch, he, xavier or orthogonal, but is 'zero'"),
        ({"biases": "first"}, "biases must be all, last or none, but is 'first'"),
        ({"scale": 0.0}, "scale must be"),
        ({"scale": -1.0}, "scale must be"),
        ({"scale": math.inf}, "scale must be"),
        ({"scale": math.nan}, "scale must be"),
        ({"build": nn.Linear(2, 2)}, "a function that builds a network, not a Linear"),
    ],
)
def test_a_law_that_cannot_be_is_refused_at_once(change, message):
    with pytest.raises(ValueError, match=message):
        initialise(**({"build": small} | change))


@pytest.mark.parametrize(
    ("build", "biases", "message"),
    [
        (lambda: nn.Embedding(3, 2), "all", "the network has none that is trained"),
        (lambda: nn.Linear(3, 2).requires_grad_(False), "all", "has none that is trained"),
        (lambda: nn.Linear(3, 2, bias=False), "last", "no layer has any; use 'none'"),
        (lambda: nn.LazyLinear(3), "all", "have no shape yet"),
        (
            lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
            "all",
            "some are computed",
        ),
        (lambda: None, "all", "the function gave a NoneType"),
    ],
)
def test_a_network_without_what_is_drawn_is_refused_when_built(build, biases, message):
    with pytest.raises(ValueError, match=message):
        fresh(initialise(build, "he", biases=biases), 0)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.default_rng().normal(),
        lambda: np.random.RandomState().normal(),
        lambda: random.SystemRandom().random(),
    ],
)
def test_a_function_that_builds_another_network_each_time_is_refused(draw):
    def build():
        network = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))
        with torch.no_grad():
            network[1].running_mean.add_(draw())
        return network

    with pytest.raises(ValueError, match=r"under the same seed, but '1.running_mean'"):
        Task(build, nets.vectors())
