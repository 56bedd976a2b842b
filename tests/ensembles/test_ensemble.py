"""What networks predict together is what one computes by hand from their outputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.ensembles import ensemble as module
from jumpretrain.ensembles.ensemble import Ensemble, cosines, disagreement, diversity, ensemble
from jumpretrain.ensembles.ensemble import probabilities as predict

QUIET = jr.Execution(progress=False)


def outputs(task, state):
    module = task.module(state).eval()
    with torch.no_grad():
        return module(task.tensors["test_x"]).numpy()


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def task():
    return nets.TASKS["mlp"]()


@pytest.fixture(scope="module")
def states(task):
    return np.stack([3 * task.initial(seed) for seed in range(4)])


def test_predictions_are_averaged_as_by_hand(task, states):
    found = ensemble(task, states, execution=QUIET)
    p = np.stack([softmax(outputs(task, state)) for state in states])
    y = task.data.test_y
    np.testing.assert_allclose(predict(task, states, QUIET), p, rtol=1e-9)
    mean = p.mean(0)
    assert found.predictions["test_accuracy"] == (mean.argmax(1) == y).mean()
    loss = -np.log(mean[np.arange(len(y)), y]).mean()
    assert found.predictions["test_loss"] == pytest.approx(loss, rel=1e-9)
    middle = jr.evaluate(task, [states.mean(0)])
    for name, values in jr.evaluate(task, states).items():
        np.testing.assert_allclose(found.members[name], values, rtol=1e-12)
        assert found.average[name] == pytest.approx(middle[name][0], rel=1e-12)
    entropy = -(p * np.log(p)).sum(2).mean()
    together = -(mean * np.log(mean)).sum(1).mean()
    assert found.diversity == pytest.approx(together - entropy, rel=1e-9)
    assert found.diversity > 0.05
    labels = p.argmax(2)
    for a in range(4):
        for b in range(4):
            assert found.disagreement[a, b] == np.mean(labels[a] != labels[b])
    assert found.disagreement[0, 1] > 0


@pytest.mark.parametrize("name", ["mlp", "conv with BatchNorm", "mlp with BatchNorm"])
def test_averaging_identical_networks_changes_nothing(name):
    task = nets.TASKS[name]()
    state = task.initial(0)
    found = ensemble(task, np.stack([state] * 3), execution=QUIET)
    alone = {name: values[0] for name, values in jr.evaluate(task, [state]).items()}
    for metric, value in alone.items():
        assert found.average[metric] == pytest.approx(value, rel=1e-9)
        np.testing.assert_allclose(found.members[metric], value, rtol=1e-9)
    for metric, value in found.predictions.items():
        assert value == pytest.approx(alone[metric], rel=1e-9)
    assert found.diversity == pytest.approx(0, abs=1e-12)
    assert not found.disagreement.any()
    np.testing.assert_allclose(found.cosines, 1)
    assert found.displacement_cosines is None


@pytest.mark.parametrize("batchnorm", ["recalibrate", "stored"])
def test_averaged_weights_follow_the_policy_of_batchnorm(batchnorm):
    made = nets.TASKS["mlp with BatchNorm"]()
    task = jr.Task(made.model, made.data, batchnorm=batchnorm)
    states = np.stack([task.initial(seed) for seed in range(3)])
    states[:, task.weight_count :] += np.arange(1, 4)[:, None]
    found = ensemble(task, states, execution=QUIET)
    module = task.module(states.mean(0))
    if batchnorm == "recalibrate":
        norm = next(part for part in module if isinstance(part, nn.BatchNorm1d))
        norm.reset_running_stats()
        norm.momentum = None
        module(task.tensors["scored_x"])
    with torch.no_grad():
        answers = module.eval()(task.tensors["test_x"])
    loss = nn.functional.cross_entropy(answers, task.tensors["test_y"]).item()
    assert found.average["test_loss"] == pytest.approx(loss, rel=1e-9)


def test_sure_networks_that_are_wrong_leave_a_finite_loss_together():
    x = np.eye(2)
    data = jr.Dataset(x, np.arange(2), x, np.arange(2))
    task = jr.Task(nn.Linear(2, 2, bias=False).double(), data)
    sure = np.array([[1, -1, -1, 1], [-1, 1, 1, -1]]) * 1e5  # all right, all wrong
    found = ensemble(task, sure, execution=QUIET)
    assert found.predictions["test_loss"] == pytest.approx(np.log(2))
    assert found.members["test_loss"].tolist() == [0, 2e5]
    assert found.members["test_accuracy"].tolist() == [1, 0]
    assert found.disagreement.tolist() == [[0, 1], [1, 0]]
    assert found.diversity == pytest.approx(np.log(2))
    assert found.average["test_loss"] == pytest.approx(np.log(2))


def test_cosines_are_of_weights_alone_and_of_the_ways_from_the_starts(task):
    made = nets.TASKS["conv with BatchNorm"]()
    states = np.stack([made.initial(seed) for seed in range(2)])
    begin = states - np.array([[1.0], [2.0]])
    begin[1, 0] += 4
    found = ensemble(made, states, starts=begin, execution=QUIET)
    width = made.weight_count
    one, two = states[:, :width]
    expected = one @ two / np.sqrt((one @ one) * (two @ two))
    np.testing.assert_allclose(found.cosines, [[1, expected], [expected, 1]])
    ways = (states - begin)[:, :width]
    angle = ways[0] @ ways[1] / np.linalg.norm(ways[0]) / np.linalg.norm(ways[1])
    np.testing.assert_allclose(found.displacement_cosines[0, 1], angle)
    assert angle < 0.999
    shared = ensemble(made, states, starts=begin[:1], execution=QUIET)
    ways = (states - begin[0])[:, :width]
    angle = ways[0] @ ways[1] / np.linalg.norm(ways[0]) / np.linalg.norm(ways[1])
    np.testing.assert_allclose(shared.displacement_cosines[0, 1], angle)


@settings(deadline=None, max_examples=50)
@given(
    members=st.integers(1, 5), examples=st.integers(1, 4), classes=st.integers(2, 5),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_diversity_is_the_mean_divergence_from_the_mean(members, examples, classes, seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), size=(members, examples))
    found = diversity(p)
    divergence = (p * np.log(p / p.mean(0))).sum(2).mean(0)
    np.testing.assert_allclose(found, divergence, atol=1e-12)
    assert (found <= np.log(members) + 1e-12).all()


@pytest.mark.parametrize("count", [2, 3, 7])
def test_one_hot_networks_that_all_disagree_are_log_k_apart(count):
    np.testing.assert_allclose(diversity(np.eye(count)[:, None]), [np.log(count)])
    np.testing.assert_allclose(diversity(np.eye(count)[[0] * count][:, None]), [0], atol=1e-15)


def test_labels_and_vectors_are_compared_as_by_hand():
    assert disagreement([[0, 1, 2, 3], [0, 1, 2, 0], [3, 2, 1, 0]]).tolist() == [
        [0, 0.25, 1],
        [0.25, 0, 0.75],
        [1, 0.75, 0],
    ]
    found = cosines([[2.0, 0.0], [1.0, 1.0], [-3.0, 0.0], [0.0, 0.0]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found[:3, :3], [[1, half, -1], [half, 1, -half], [-1, -half, 1]])
    assert np.isnan(found[3]).all()


def test_one_network_is_its_own_ensemble(task, states):
    found = ensemble(task, states[:1], execution=QUIET)
    assert found.predictions["test_loss"] == pytest.approx(found.members["test_loss"][0])
    assert found.diversity == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t, s: ensemble(nets.TASKS["tied autoencoder"](), s), "must be cross-entropy"),
        (lambda t, s: predict(nets.TASKS["tied autoencoder"](), s), "must be cross-entropy"),
        (lambda t, s: ensemble(t, s[:0]), "at least 1 network"),
        (lambda t, s: ensemble(t, s[:, 1:]), "states of this task"),
        (lambda t, s: ensemble(t, s * np.inf), "finite"),
        (lambda t, s: ensemble(t, s, starts=s[:2]), "each of 4 networks needs a start"),
    ],
)
def test_what_is_no_ensemble_is_refused_before_work(task, states, make, message, monkeypatch):
    monkeypatch.setattr(module, "spread", lambda *a, **w: pytest.fail("worked"))
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        make(task, states)


def test_an_ensemble_checks_its_tables():
    with pytest.raises(ValueError, match="tables of pairs must be square"):
        Ensemble({"test_loss": np.ones(2)}, {}, {}, np.eye(3), 0.0, np.eye(2), None, {})


def test_outputs_that_are_not_finite_are_refused():
    task = jr.Task(lambda: jr.models.mlp((6,), 3, hidden=(5,)), nets.vectors())
    wild = np.stack([task.initial(0), task.initial(1) * np.float32(1e30)])
    assert np.isnan(jr.evaluate(task, wild)["test_accuracy"]).tolist() == [False, True]
    with pytest.raises(ValueError, match=r"those of \[1\] are not; leave them out"):
        ensemble(task, wild, execution=QUIET)
