"""The toy of biases keeps its closed forms: sums, orders, degrees and the predicted alphas."""

import dataclasses

import numpy as np
import pytest

from jumpretrain.paths.biases import turning_alpha
from jumpretrain.toys.bias_toy import BiasToy, train_toys

DESIGNS = (
    [(2, scale) for scale in (0.03, 0.1, 0.3)]
    + [(3, scale) for scale in (0.1, 0.2, 0.3, 0.4)]
    + [(4, scale) for scale in (0.4, 0.5)]
    + [(5, 0.6), (6, 0.7)]
)


@pytest.fixture(scope="module")
def toys():
    return [toy for degree, scale in DESIGNS for toy in train_toys(range(3), 4, degree, scale)]


def test_classes_learned_later_have_larger_biases_in_every_run(toys):
    assert len(toys) == 33
    for toy in toys:
        assert len(set(toy.learned)) == 4
        np.testing.assert_array_equal(np.argsort(toy.learned), np.argsort(toy.biases))
        assert toy.learned.argmax() == toy.biases.argmax()


def test_biases_sum_to_zero_at_all_times(toys):
    assert max(toy.drift for toy in toys) < 1e-12
    assert max(abs(toy.biases.sum()) for toy in toys) < 1e-12
    assert min(np.ptp(toy.biases) for toy in toys) > 0.1


def test_training_is_gradient_descent_step_by_step():
    toy = train_toys([5], classes=3, degree=3, scale=0.3, lr=0.2, until=0.5)[0]
    weights, bias = toy.initial.copy(), np.zeros(3)
    for _ in range(toy.steps):
        slopes, shift = np.zeros((3, 3)), np.zeros(3)
        for label in range(3):
            outputs = weights[:, label] ** 3 + bias
            error = np.exp(outputs) / np.exp(outputs).sum() - np.eye(3)[label]
            slopes[:, label] = 3 * weights[:, label] ** 2 * error / 3
            shift += error / 3
        weights, bias = weights - 0.2 * slopes, bias - 0.2 * shift
    np.testing.assert_allclose(toy.weights, weights, rtol=1e-9)
    np.testing.assert_allclose(toy.biases, bias, rtol=1e-9)
    assert toy.path(2).metrics["train_loss"][1] <= 0.5


def test_a_toy_does_not_depend_on_the_others():
    alone, together = train_toys([3]), train_toys([1, 3, 2])
    np.testing.assert_allclose(alone[0].weights, together[1].weights, rtol=1e-12)
    assert alone[0].steps == together[1].steps


def from_zero(toy):
    none = np.zeros_like(toy.initial)
    return BiasToy(none, toy.weights, toy.biases, toy.learned, 0.0, toy.degree, toy.steps)


def test_homogeneous_paths_from_zero_scale_all_outputs_and_keep_the_error(toys):
    for toy in toys:
        path = from_zero(toy).path(11, biases="homogeneous")
        outputs = path.logits["train"]
        expected = path.alphas[:, None, None] ** toy.degree * outputs[-1]
        np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-15)
        assert not path.metrics["train_error"][1:].any()
        assert path.monotonicity().min_delta < 1e-12


def test_from_zero_each_class_turns_right_where_degree_counting_says(toys):
    for toy in toys:
        path = from_zero(toy).path(2001)
        turned = np.array([
            path.alphas[column > 0].max(initial=0) for column in path.class_error["train"].T
        ])
        np.testing.assert_allclose(turned, toy.predicted, atol=1.1 / 2000)
        assert path.plateau().error == pytest.approx(np.sort(toy.predicted)[1], abs=1.1 / 2000)


def test_linear_plateaus_are_long_and_homogeneous_ones_short_and_loss_rises_above_log_k():
    for toy in train_toys(range(3), degree=4, scale=0.2):
        linear, homogeneous = toy.path().plateau(), toy.path(biases="homogeneous").plateau()
        assert 0.55 < linear.error < 0.65 and homogeneous.error < 0.1
        assert linear.loss > homogeneous.loss + 0.15
        assert linear.excess > 0.1 and homogeneous.excess < 0.01
        assert (toy.predicted[toy.biases.argmax()], toy.predicted.argmax()) == (
            0,
            toy.biases.argmin(),
        )


def test_turning_alpha_solves_its_equation():
    rng = np.random.default_rng(0)
    signal, biases = rng.normal(size=(200, 5)), rng.normal(size=5)
    labels = rng.integers(5, size=200)
    found = turning_alpha(signal, biases, labels, depth=4)
    reached = np.isfinite(found) & (found > 0)
    assert 20 < reached.sum() < 180
    for factor, expected in ((0.999, False), (1.001, True)):
        alpha = factor * found[reached, None]
        outputs = alpha**4 * signal[reached] + alpha * biases
        own = np.take_along_axis(outputs, labels[reached, None], axis=1)
        held_back = biases > biases[labels[reached], None]
        ahead = (own > outputs) | ~held_back
        assert (ahead.all(axis=1) == expected).all()
    lead = signal[np.arange(200), labels, None] - signal
    hopeless = ((lead <= 0) & (biases > biases[labels, None])).any(axis=1)
    np.testing.assert_array_equal(np.isinf(found), hopeless)


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="depth 2 or more, but depth is 1"):
        turning_alpha([[1.0, 0.0]], [0, 0], [0], depth=1)
    with pytest.raises(ValueError, match=r"toys must reach loss 0\.02, but 2 have not after 5"):
        train_toys([0, 1], most=5)
    with pytest.raises(ValueError, match="biases must be linear or homogeneous"):
        train_toys([0], degree=2)[0].path(biases="zero")


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("a seed or more, from 0, but seeds are \\[\\]", {"seeds": []}),
        ("from 0, but seeds are \\[3, -1\\]", {"seeds": [3, -1]}),
        ("classes must be whole and at least 2, but is 1", {"classes": 1}),
        ("degree must be whole and at least 1, but is 0", {"degree": 0}),
        ("degree must be a whole number, but is 1.5", {"degree": 1.5}),
        ("most must be a whole number, but is inf", {"most": np.inf}),
        ("scale must be finite and above 0, but is 0", {"scale": 0}),
        ("scale must be a finite number, but is nan", {"scale": np.nan}),
        ("lr must be finite and above 0, but is -1", {"lr": -1}),
        ("until must be finite and above 0, but is -1", {"until": -1}),
    ],
)
def test_toys_that_cannot_be_trained_are_refused_before_the_first_step(
    fault, arguments, monkeypatch
):
    monkeypatch.setattr("jumpretrain.toys.bias_toy._softmax", None)
    with pytest.raises((ValueError, TypeError), match=fault):
        train_toys(**{"seeds": [0]} | arguments)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
def test_toys_that_diverge_stop_at_once():
    with pytest.raises(ValueError, match=r"have not after \d{1,2} steps; lower the learning rate"):
        train_toys([0, 1], lr=1e200)


def test_a_class_that_was_never_learned_says_so():
    toy = train_toys([0], until=10.0)[0]
    assert toy.steps == 0 and toy.learned.tolist() == [-1] * 4


def test_outputs_that_overflow_have_no_error(toys):
    with np.errstate(over="ignore", invalid="ignore"):
        path = dataclasses.replace(toys[0], weights=1e200 * toys[0].weights).path(3)
    assert np.isfinite(path.metrics["train_error"][0])
    assert np.isnan(path.metrics["train_error"][1:]).all()
    assert np.isnan(path.class_error["train"][-1]).all()
