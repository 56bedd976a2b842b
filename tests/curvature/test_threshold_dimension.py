"""Training in planes reaches what algebra says, and a solution of codimension c from d = c on."""

import numpy as np
import pytest
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.curvature import threshold_dimension as module
from jumpretrain.curvature.threshold_dimension import ThresholdDimension, threshold_dimension
from jumpretrain.states.planes import random_plane

QUIET = jr.Execution(progress=False)
WIDTH, EXAMPLES = 12, 3


def underdetermined():
    """Least squares with orthonormal inputs, fewer than weights: solutions have codimension 3."""
    rng = np.random.default_rng(0)
    x = np.linalg.qr(rng.normal(size=(WIDTH, EXAMPLES)))[0].T * np.sqrt(EXAMPLES)
    data = jr.Dataset(x, rng.normal(size=(EXAMPLES, 1)) * 3, x[:1], np.zeros((1, 1)))
    network = nn.Linear(WIDTH, 1, bias=False).double()
    return jr.Task(network, data, loss=jr.measures.squared_error)


def test_a_quadratic_of_codimension_c_needs_c_dimensions():
    task, dims, seeds = underdetermined(), [1, 2, 3, 8], [0, 1]
    recipe = jr.Recipe(epochs=500, lr=0.8, batch_size=3)
    found = threshold_dimension(
        task, recipe, dims, seeds, metric="train_loss", share=1 - 1e-3, execution=QUIET
    )
    x, y = task.data.train_x, task.data.train_y[:, 0]
    for k, seed in enumerate(seeds):
        start = task.initial(seed)
        basis = random_plane(WIDTH, 8, seed).directions
        for row, dim in zip(found.values, dims, strict=True):
            reach = x @ basis[:dim].T
            move = np.linalg.lstsq(reach, y - x @ start, rcond=None)[0]
            least = np.mean((x @ start + reach @ move - y) ** 2)
            assert row[k] == pytest.approx(least, abs=1e-3 * found.initial[k])
        assert found.initial[k] == pytest.approx(np.mean((x @ start - y) ** 2))
    assert found.free == pytest.approx(0, abs=1e-12)
    assert found.dim == EXAMPLES
    assert found.values[1].min() > 1e-2


def made(values, metric, share=0.5, free=(1.0, 0.8), initial=(0.1, 0.1)):
    values = np.asarray(values, dtype=float)
    return ThresholdDimension(
        np.arange(1, len(values) + 1), values, np.array(free), np.array(initial), metric, share, {}
    )


def test_the_goal_is_a_share_of_the_accuracy_or_of_the_fall_of_the_loss():
    found = made([[0.2, 0.3], [0.7, 0.3], [0.5, 0.3]], "test_accuracy")
    assert found.goal == pytest.approx(0.45)
    assert found.dim == 2
    loss = made([[3.0, 4.0], [1.0, 2.0], [0.0, 0.5]], "train_loss", 0.75, (0, 0), (4, 4))
    assert loss.goal == pytest.approx(1)
    assert loss.dim == 3
    assert made([[0.2, 0.3]], "test_accuracy").dim is None
    assert made([[np.nan, 0.9], [0.9, 0.9]], "test_accuracy").dim == 2
    with pytest.raises(ValueError, match="values must be"):
        made([[0.1], [0.2]], "test_accuracy")


def test_runs_are_those_of_train_and_are_kept(tmp_path):
    data = jr.data.digits().subset(200, 50)
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(4,)), data)
    recipe = jr.Recipe(epochs=2, lr=0.1)
    asked = (task, recipe, [2, 40], [0, 3])
    found = threshold_dimension(*asked, folder=tmp_path, execution=QUIET)
    free = jr.train(task, recipe, [0, 3], execution=QUIET)
    np.testing.assert_array_equal(found.free, free.metrics["test_accuracy"][:, -1])
    np.testing.assert_array_equal(found.initial, free.metrics["test_accuracy"][:, 0])
    plane = random_plane(task.weight_count, 40, seed=3)
    held = jr.train(task, recipe, [3], execution=QUIET, planes=plane)
    assert found.values[1, 1] == held.metrics["test_accuracy"][0, -1]
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    again = threshold_dimension(*asked, folder=tmp_path, execution=QUIET)
    assert len(stamps) == 6
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    np.testing.assert_array_equal(found.values, again.values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": []}, r"rises within 1\.\.12"),
        ({"dims": [0, 1]}, "dims must be"),
        ({"dims": [2, 1]}, r"rises within 1\.\.12"),
        ({"dims": [1.5]}, "dims must be"),
        ({"dims": [13]}, r"rises within 1\.\.12"),
        ({"metric": "test_accuracy"}, "metric must be a loss or accuracy"),
        ({"share": 0.0}, r"share must lie in \(0, 1\]"),
        ({"share": 1.1}, "share must be"),
    ],
)
def test_bad_thresholds_are_refused_before_work(change, message, monkeypatch):
    monkeypatch.setattr(module, "train", lambda *a, **w: pytest.fail("trained"))
    asked = {"task": underdetermined(), "recipe": jr.Recipe(), "dims": [1, 2], "seeds": [0]}
    with pytest.raises((ValueError, TypeError), match=message):
        threshold_dimension(**asked | {"metric": "train_loss"} | change)


def test_free_training_that_diverges_or_raises_the_loss_sets_no_goal(tmp_path):
    task = jr.Task(lambda: jr.models.mlp((6,), 3, hidden=(5,)), nets.vectors())
    wild = jr.Recipe(epochs=1, lr=1e30, batch_size=44)
    with pytest.raises(
        ValueError, match=r"seeds \[0, 1\] diverged at rate 1e\+30.*, and name another"
    ):
        threshold_dimension(task, wild, [1, 5], [0, 1], folder=tmp_path, execution=QUIET)
    assert not (tmp_path / "planes").exists()
    rising = jr.Recipe(epochs=30, lr=3.0, batch_size=11)
    with pytest.raises(ValueError, match="training without a plane must lower test_loss"):
        threshold_dimension(task, rising, [1, 5], [0], "test_loss", execution=QUIET)


def test_a_run_that_diverges_in_a_plane_counts_as_nothing():
    found = ThresholdDimension(
        np.array([1, 2]),
        np.array([[0.9, np.nan], [0.9, 0.9]]),
        np.array([0.9, 0.9]),
        np.array([0.1, 0.1]),
        "test_accuracy",
        0.9,
        {},
    )
    assert found.dim == 2


@pytest.mark.parametrize(
    ("metric", "values", "dim"),
    [
        ("test_accuracy", [[0.0, 0.9, 0.9], [0.9, 0.9, 0.9]], 2),  # the middle of three has no say
        ("test_accuracy", [[0.5, 0.75, 1.0], [0.9, 0.9, 0.9]], 1),  # the goal itself is reached
        ("train_loss", [[1.0, 1.0, 1.0], [0.9, 0.9, 0.9]], 1),  # as is 3/4 of the fall from 4
        ("train_loss", [[1.01, 1.01, 1.01], [0.9, 0.9, 0.9]], 2),
        ("train_loss", [[0.9, 0.9, np.nan], [2.0, 0.9, 0.9]], None),
    ],
)
def test_the_mean_over_networks_has_to_reach_the_goal(metric, values, dim):
    free, initial = (1.0, 0.2) if metric == "test_accuracy" else (0.0, 4.0)
    found = ThresholdDimension(
        np.array([1, 2]), np.array(values), np.full(3, free), np.full(3, initial), metric, 0.75, {}
    )
    assert found.dim == dim
