"""Outputs come block by block, and their turning is the same from every source."""

import itertools

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.paths.certificate import certificate, linearity
from jumpretrain.paths.interpolate import interpolate
from jumpretrain.paths.outputs import gauss_length, outputs_at
from jumpretrain.paths.path import Path
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task


@pytest.fixture(scope="module")
def walked():
    task = nets.TASKS["mlp"]()
    return task, interpolate(task, task.initial(0), task.initial(1), alphas=19, logits=True)


@pytest.mark.parametrize("split", ["train", "test"])
def test_outputs_block_by_block_are_those_of_the_path(walked, split):
    task, path = walked
    outputs = np.stack(list(outputs_at(task, path.curve, path.alphas, split)))
    np.testing.assert_array_equal(outputs, path.logits[split])
    assert outputs.dtype == np.float64


def test_the_gauss_length_is_the_same_from_outputs_paths_and_tasks(walked):
    task, path = walked
    plain = Path(path.alphas, path.metrics, curve=path.curve)
    found = [gauss_length(path), gauss_length(task, plain), gauss_length(path.logits["test"])]
    for other in found[1:]:
        np.testing.assert_array_equal(other.per_example, found[0].per_example)
        assert other.joint == found[0].joint
    assert found[0].per_example.shape == (12,) and found[0].mean > 0.01
    assert gauss_length(task, plain, "train").per_example.shape == (44,)


def test_linear_networks_move_straight_and_the_certificate_holds_for_their_targets():
    x = np.random.default_rng(0).normal(size=(30, 6))
    model = nn.Linear(6, 2).double()
    task = Task(model, Dataset(x, x[:, :2], x, x[:, :2]), squared_error)
    end = task.initial(1)
    path = interpolate(task, task.initial(0), end, alphas=12, logits=True)
    assert gauss_length(path).per_example.max() < 1e-9
    assert linearity(path.logits["test"], path.alphas) < 1e-20
    held = certificate(path.logits["train"], path.logits["train"][-1])
    assert held.holds and held.residual.max() == 0
    again = Dataset(x, path.logits["train"][-1], x, path.logits["test"][-1])
    fitted = interpolate(Task(model, again, squared_error), task.initial(0), end, alphas=12)
    assert fitted.monotonicity().min_delta == 0


def test_sources_that_do_not_fit_are_refused(walked):
    task, path = walked
    bare = Path(path.alphas, path.metrics)
    with pytest.raises(ValueError, match="needs a path with its states"):
        gauss_length(task)
    with pytest.raises(ValueError, match="needs a path with its states"):
        gauss_length(task, bare)
    with pytest.raises(ValueError, match="kept no test outputs; pass its task as well"):
        gauss_length(bare)
    with pytest.raises(TypeError, match="a path goes with its task, but the source is a Path"):
        gauss_length(path, path)
    with pytest.raises(ValueError, match="split must be train or test, but is 'all'"):
        gauss_length(task, path, "all")


def test_an_accuracy_of_the_users_own_makes_no_class_errors():
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)

    def right(outputs, targets):
        return ((outputs[:, 0] > 0) == targets.bool()).float()

    def loss(outputs, targets):
        return torch.nn.functional.binary_cross_entropy_with_logits(
            outputs[:, 0], targets.float(), reduction="none"
        )

    for labels in (y, y.astype(np.float32)):
        data = jr.Dataset(x, labels, x, labels)
        task = jr.Task(lambda: jr.models.mlp((3,), 1, (4,)), data, loss, {"accuracy": right})
        path = jr.interpolate(task, task.initial(0), task.initial(1), alphas=3)
        assert path.class_error is None and "train_error" not in path.metrics
        assert "train_accuracy" in path.metrics


def test_classes_without_numbers_have_no_error():
    data = nets.vectors()
    task = Task(lambda: jr.models.mlp((6,), 3, (8,)), data)
    path = interpolate(task, task.initial(0), task.initial(0) * np.float32(1e25), alphas=3)
    assert np.isnan(path.metrics["train_loss"][1:]).all()
    for split in ("train", "test"):
        error = path.metrics[f"{split}_error"]
        np.testing.assert_allclose(error, 1 - path.metrics[f"{split}_accuracy"], atol=1e-7)
        assert np.isfinite(error[0]) and np.isnan(error[1:]).all()
        assert np.isfinite(path.class_error[split][0]).all()
        assert np.isnan(path.class_error[split][1:]).all()


def test_one_example_without_a_number_leaves_the_other_classes_theirs():
    data = nets.vectors()
    broken = Dataset(np.where(np.arange(44)[:, None] == 7, 3e38, data.train_x), data.train_y,
                     data.test_x, data.test_y)  # fmt: skip
    task = Task(lambda: jr.models.mlp((6,), 3, (8,)), broken)
    state = task.initial(0) * np.float32(1e3)
    path = interpolate(task, state, state, alphas=2)
    lost = np.isnan(path.class_error["train"])
    assert (lost == (np.arange(3) == data.train_y[7])).all()
    assert np.isnan(path.metrics["train_error"]).all()
    assert np.isfinite(path.metrics["test_error"]).all()


def test_a_metric_that_is_called_error_does_not_replace_the_share_of_wrong_labels():
    def none_wrong(outputs, targets):
        return torch.zeros(len(targets))

    data = nets.vectors()
    named = {"accuracy": jr.measures.accuracy, "error": none_wrong}
    task = Task(lambda: jr.models.mlp((6,), 3, (8,)), data, metrics=named)
    with pytest.raises(ValueError, match=r"'error' is the share of wrong labels.*rename"):
        interpolate(task, task.initial(0), task.initial(1), alphas=3)
    x = data.train_x
    task = Task(
        nn.Linear(6, 2), Dataset(x, x[:, :2], x, x[:, :2]), squared_error, {"error": none_wrong}
    )
    path = interpolate(task, task.initial(0), task.initial(1), alphas=3)
    assert (path.metrics["train_error"] == 0).all() and path.class_error is None


def test_single_precision_overshoots_by_no_more_than_is_said_and_warns_first():
    data = jr.data.digits().subset(2, 40)
    single = Task(lambda: jr.models.mlp((1, 8, 8), 10), data)
    double = Task(lambda: jr.models.mlp((1, 8, 8), 10).double(), data)
    ends = single.initial(0), 3 * single.initial(1)
    found = {51: [gauss_length(t, interpolate(t, *ends, 51)) for t in (single, double)]}
    with pytest.warns(UserWarning, match="take a task of double precision"):
        rounded = gauss_length(single, interpolate(single, *ends, 1601))
    found[1601] = [rounded, gauss_length(double, interpolate(double, *ends, 1601))]
    for points, (rough, exact) in found.items():
        assert rough.points == exact.points == points
        gap = np.abs(rough.per_example - exact.per_example)
        assert (gap < rough.rounding).all()
        assert abs(rough.joint - exact.joint) < rough.joint_rounding
        assert exact.rounding.max() < 1e-6
    assert found[51][0].rounding.mean() < 1e-3 and rounded.mean > found[1601][1].mean + 0.02


def test_finer_grids_find_more_kinks():
    data = jr.data.digits().subset(8, 40)
    task = Task(lambda: jr.models.mlp((1, 8, 8), 10).double(), data)
    ends = task.initial(0), task.initial(1)
    lengths = [gauss_length(task, interpolate(task, *ends, n)) for n in (51, 201, 801)]
    for coarse, fine in itertools.pairwise(lengths):
        assert (fine.per_example >= coarse.per_example - 1e-9).all()
        assert fine.mean > coarse.mean and fine.joint > coarse.joint
