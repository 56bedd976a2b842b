"""Losses and metrics of labels in a row or a column, for positions, and of shares of classes."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.ensembles.ensemble import ensemble
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.paths.interpolate import interpolate
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import accuracy, cross_entropy, predicted
from jumpretrain.tasks.task import Task

inf, nan = torch.inf, torch.nan
QUIET = Execution(progress=False)
X = nets.vectors().train_x
Y = nets.vectors().train_y


def small():
    return mlp((6,), 3, hidden=(8,))


def task_of(y, build=small, x=X):
    return Task(build, Dataset(x, y, x[:12], y[:12]))


def one_hot(labels, dtype=np.float32, classes=3):
    return np.eye(classes, dtype=dtype)[labels]


SAME = {
    "uint8": Y.astype(np.uint8),
    "the other byte order": Y.astype(">i4"),
    "read from its end": Y[::-1].copy()[::-1],
    "a column": Y[:, None],
    "a column of uint8": Y[:, None].astype(np.uint8),
    "a tensor": torch.tensor(Y),
    "a list": Y.tolist(),
}


@pytest.mark.parametrize("kind", SAME)
def test_labels_in_any_whole_type_row_or_column_give_the_same_numbers(kind):
    plain, other = task_of(Y), Task(small, Dataset(X, SAME[kind], X[:12], SAME[kind][:12]))
    state = plain.initial(0)
    expected = evaluate(plain, [state])
    assert {k: v.tolist() for k, v in evaluate(other, [state]).items()} == {
        k: v.tolist() for k, v in expected.items()
    }
    paths = [
        interpolate(t, state, plain.initial(1), 3).class_error["test"] for t in (plain, other)
    ]
    np.testing.assert_array_equal(*paths)
    both = [ensemble(t, [state], execution=QUIET).predictions for t in (plain, other)]
    assert both[0] == both[1]


def test_true_and_false_are_classes():
    whole = task_of((Y > 1).astype(int), lambda: nn.Linear(6, 2))
    truth = task_of(Y > 1, lambda: nn.Linear(6, 2))
    state = whole.initial(0)
    assert evaluate(truth, [state]) == evaluate(whole, [state])
    assert set(truth.data.corrupt(1.0).train_y.tolist()) == {False, True}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool, np.float16])
def test_one_hot_labels_have_the_loss_accuracy_and_training_of_labels(dtype):
    plain, hot = task_of(Y), task_of(one_hot(Y, dtype))
    state = plain.initial(0)
    expected = evaluate(plain, [state])
    for name, values in evaluate(hot, [state]).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-6)
    recipe = Recipe(epochs=2, lr=0.1)
    runs = [train(t, recipe, [0, 1], execution=QUIET).final for t in (plain, hot)]
    np.testing.assert_allclose(*runs, atol=1e-6)
    assert plain.fingerprint["data"] != hot.fingerprint["data"]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_soft_labels_of_half_precision_are_probabilities(kind):
    shares = torch.full((44, 3), 1 / 3, dtype=kind)
    task = task_of(shares)
    assert evaluate(task, [task.initial(0)])["train_loss"][0] == pytest.approx(
        evaluate(task_of(np.full((44, 3), 1 / 3)), [task.initial(0)])["train_loss"][0], rel=5e-3
    )


def test_soft_labels_are_probabilities_and_the_largest_counts_for_accuracy():
    shares = np.random.default_rng(0).dirichlet(np.ones(3), len(X))
    task = task_of(shares)
    state = task.initial(0)
    with torch.no_grad():
        logs = task.module(state).eval()(torch.tensor(X)).log_softmax(1).numpy()
    found = evaluate(task, [state])
    assert found["train_loss"][0] == pytest.approx(-(shares * logs).sum(1).mean(), rel=1e-6)
    right = (logs.argmax(1) == shares.argmax(1)).mean()
    assert found["train_accuracy"][0] == pytest.approx(right)


class PerToken(nn.Module):
    """Three classes for each of five tokens, as the second axis or the last."""

    def __init__(self, last=False):
        super().__init__()
        self.table, self.head, self.last = nn.Embedding(12, 4), nn.Linear(4, 3), last

    def forward(self, x):
        outputs = self.head(self.table(x))
        return outputs if self.last else outputs.movedim(-1, 1)


def tagged(ignored=()):
    rng = np.random.default_rng(1)
    x, y = rng.integers(12, size=(44, 5)), rng.integers(3, size=(44, 5))
    for row, column in ignored:
        y[row, column] = -100
    return x, y


def by_hand(task, state, x, y):
    """Average over the counted positions of each example, then over examples."""
    with torch.no_grad():
        logs = task.module(state).eval()(torch.tensor(x)).log_softmax(1).numpy()
    losses, rights = [], []
    for row, labels in zip(logs, y, strict=True):
        counted = np.flatnonzero(labels.ravel() >= 0)
        chosen = labels.ravel()[counted]
        flat = row.reshape(len(row), -1)[:, counted]
        losses.append(-flat[chosen, np.arange(len(chosen))].mean())
        rights.append((flat.argmax(0) == chosen).mean())
    return np.mean(losses), np.mean(rights)


@pytest.mark.parametrize("ignored", [(), [(0, 0), (0, 3), (7, 1), (20, 4)]])
@pytest.mark.parametrize("last", [False, True])
def test_labels_of_tokens_are_averaged_over_those_that_count(ignored, last):
    x, y = tagged(ignored)
    task = task_of(y, lambda: PerToken(last), x)
    state = task.initial(0)
    loss, right = by_hand(task_of(y, PerToken, x), state, x, y)
    found = evaluate(task, [state])
    assert found["train_loss"][0] == pytest.approx(loss, rel=1e-5)
    assert found["train_accuracy"][0] == pytest.approx(right)
    fit = train(task, Recipe(epochs=3, lr=0.5), [0, 1], execution=QUIET)
    assert (fit.metrics["train_loss"][:, -1] < fit.metrics["train_loss"][:, 0]).all()


@pytest.mark.parametrize("channel", [False, True])
def test_labels_of_pixels_are_averaged_over_those_that_count(channel):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20, 1, 4, 6)).astype(np.float32)
    y = rng.integers(3, size=(20, 4, 6))
    y[:, 0, :3] = -100
    task = task_of(y[:, None] if channel else y, lambda: nn.Conv2d(1, 3, 3, padding=1), x)
    state = task.initial(0)
    loss, right = by_hand(task, state, x, y)
    found = evaluate(task, [state])
    assert found["train_loss"][0] == pytest.approx(loss, rel=1e-5)
    assert found["train_accuracy"][0] == pytest.approx(right)


def test_shares_of_classes_for_each_pixel_are_averaged_over_pixels():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 1, 4, 6)).astype(np.float32)
    shares = np.moveaxis(rng.dirichlet(np.ones(3), (20, 4, 6)), -1, 1)
    task = task_of(shares, lambda: nn.Conv2d(1, 3, 3, padding=1), x)
    state = task.initial(0)
    with torch.no_grad():
        logs = task.module(state).eval()(torch.tensor(x)).log_softmax(1).numpy()
    found = evaluate(task, [state])
    assert found["train_loss"][0] == pytest.approx(-(shares * logs).sum(1).mean(), rel=1e-5)


def test_stacked_and_looped_training_agree_on_labels_of_tokens():
    x, y = tagged([(0, 0), (7, 1)])
    task = task_of(y, lambda: PerToken().double(), x)
    runs = [
        train(
            task, Recipe(epochs=2, lr=0.1), [0, 1], execution=Execution(mode=mode, progress=False)
        )
        for mode in ("looped", "stacked")
    ]
    np.testing.assert_allclose(runs[0].final, runs[1].final, rtol=1e-12, atol=1e-14)


def test_ignored_positions_have_no_gradient():
    outputs = torch.randn(2, 3, 4, requires_grad=True)
    targets = torch.tensor([[0, -100, 2, 1], [-100, -100, -100, 1]])
    cross_entropy(outputs, targets).sum().backward()
    moved = outputs.grad.abs().sum(1) > 0
    assert torch.equal(moved, targets >= 0)
    assert torch.isfinite(cross_entropy(outputs, targets)).all()
    assert torch.isfinite(accuracy(outputs.detach(), targets)).all()


def test_corruption_leaves_ignored_positions_and_refuses_shares():
    x, y = tagged([(0, 0), (7, 1)])
    noisy = Dataset(x, y, x, y).corrupt(1.0)
    np.testing.assert_array_equal(noisy.train_y == -100, y == -100)
    for hot in (one_hot(Y), one_hot(Y, int)):
        with pytest.raises(ValueError, match=r"only class labels can be redrawn.* \.argmax\(1\)"):
            Dataset(X, hot, X, hot).corrupt(1.0)
        assert Dataset(X, hot.argmax(1), X, hot.argmax(1)).corrupt(1.0).train_y.max() == 2


WRONG = {
    "not of sum 1": (one_hot(Y) * 2, r"must be probabilities, .* train_y has sums 2\.\.2"),
    "below zero": (one_hot(Y) * 3 - 2 / 3, "must be probabilities"),
    "several classes": (np.ones((44, 3), int), "must be probabilities"),
    "fractions": (Y + 0.5, "cross-entropy needs integer labels, but train_y is"),
    "a column of floats": (Y[:, None].astype(float), "needs integer labels, but train_y is"),
    "ignored alone": (
        np.where(np.arange(44) == 3, -100, Y),
        r"has -100\.\.2; leave out the examples of -100",
    ),
    "too many classes": (one_hot(Y, classes=4), "needs integer labels, .* shape"),
    "too large": (
        Y + 1,
        r"labels must lie in 0\.\.2, the model's outputs, but train_y has 1\.\.3",
    ),
    "two columns": (np.stack([Y, Y], 1), "model, loss and metrics must take"),
    "complex": (Y + 0j, "needs integer labels, but train_y is torch.complex"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_targets_that_are_no_labels_or_probabilities_are_refused_in_one_line(kind):
    targets, message = WRONG[kind]
    with pytest.raises(ValueError, match=message) as found:
        task_of(targets)
    assert "\n" not in str(found.value)


def test_an_example_without_any_label_is_refused_and_the_remedy_helps():
    x, y = tagged([(5, k) for k in range(5)])
    with pytest.raises(ValueError, match=r"1 of train_y have -100 everywhere; leave these exam"):
        task_of(y, PerToken, x)
    rows = (y >= 0).any(1)
    task = task_of(y[rows], PerToken, x[rows])
    assert np.isfinite(evaluate(task, [task.initial(0)])["train_loss"]).all()


@pytest.mark.parametrize("labels", [Y > 0, np.zeros(44, int)])
def test_a_network_with_one_output_has_no_classes_and_the_remedy_helps(labels):
    for build in (lambda: nn.Linear(6, 1), lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0))):
        with pytest.raises(ValueError, match=r"two classes or more, .* widen its last layer"):
            task_of(labels, build)
    assert task_of(labels, lambda: nn.Linear(6, 2)).labelled


def test_outputs_whose_classes_may_be_second_or_last_are_told():
    x, y = np.random.default_rng(0).integers(3, size=(2, 20, 3))
    with pytest.warns(UserWarning, match="taken to come first, as in torch"):
        task_of(y, PerToken, x)


@pytest.mark.parametrize(
    ("outputs", "label"),
    [
        ([1.0, 3.0, 2.0], 1),
        ([-inf, 0.0, -inf], 1),  # masked classes
        ([-inf, -3.0, -inf], 1),
        ([nan, 0.0, 1.0], None),
        ([0.0, 1.0, nan], None),
        ([inf, 0.0, 1.0], None),
        ([inf, inf, -inf], None),
        ([inf, -inf, nan], None),
        ([-inf, -inf, -inf], None),
    ],
)
def test_an_example_has_a_class_where_its_largest_output_is_a_number(outputs, label):
    row = torch.tensor([outputs])
    found, known = predicted(row)
    assert known.item() == (label is not None)
    for target in range(3):
        right = accuracy(row, torch.tensor([target])).item()
        if label is None:
            assert right != right
        else:
            assert found.item() == label and right == (label == target)


def test_each_position_of_a_sequence_has_a_class_of_its_own():
    outputs = torch.tensor([[[0.0, nan, 2.0], [1.0, 0.0, inf]]])  # (B, C, length)
    label, known = predicted(outputs)
    assert label[0, 0] == 1 and known.tolist() == [[True, False, False]]
