"""The bias report reads off a path what the theory says of small, deep networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.paths import biases
from jumpretrain.paths.biases import bias_report
from jumpretrain.paths.interpolate import interpolate
from jumpretrain.paths.path import Path
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task


class Powers(nn.Module):
    """One output a class: w^3 where the input is the class's unit vector, plus a bias."""

    def __init__(self, classes=4):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(1.5, 2, classes, dtype=torch.float64))
        self.shift = nn.Module()
        self.shift.bias = nn.Parameter(torch.zeros(classes, dtype=torch.float64))

    def forward(self, x):
        return x * self.weight**3 + self.shift.bias


def made(train=(0, 1, 2, 3), size=1.0):
    labels = np.array(train)
    x = np.eye(4)[labels] * np.reshape(size, (-1, 1))
    task = Task(Powers, Dataset(x, labels, x, labels))
    end = task.initial(0)
    end[4:] = [1.0, -2.0, 0.5, 0.25]
    return task, end


def test_the_report_of_a_network_of_known_powers():
    task, end = made()
    path = interpolate(task, 0 * end, end, alphas=1001)
    found = bias_report(task, path, bias="shift.bias", depth=3)
    np.testing.assert_array_equal(found.biases, [1, -2, 0.5, 0.25])
    assert found.gap == 3 and found.order.tolist() == [0, 2, 3, 1] and found.plateau_class == 0
    handicap = 1 - found.biases
    expected = np.sqrt(handicap / np.linspace(1.5, 2, 4) ** 3)
    np.testing.assert_allclose(found.predicted, expected, rtol=1e-12)
    np.testing.assert_allclose(found.turns, expected, atol=1.1e-3)
    assert found.agreement == pytest.approx(1, abs=1e-4)
    assert found.correlation == pytest.approx(np.corrcoef(-found.biases, found.turns)[0, 1])


def test_a_class_turns_right_with_half_of_its_examples():
    size = np.array([1, 1, 0.9, 0.8, 0.7, 0.6, 1, 1])
    task, end = made(train=(0, 1, 1, 1, 1, 1, 2, 3), size=size)
    path = interpolate(task, 0 * end, end, alphas=2001)
    found = bias_report(task, path, bias="shift.bias", depth=3)
    signal = 0.8 * float(end[1]) ** 3
    assert found.turns[1] == pytest.approx(np.sqrt(3 / signal), abs=1e-3)
    assert found.predicted[1] == pytest.approx(np.sqrt(3 / signal), rel=1e-12)


def test_a_class_without_examples_has_no_alpha():
    task, end = made(train=(0, 0, 2, 3))
    path = interpolate(task, 0 * end, end, alphas=11)
    found = bias_report(task, path, bias="shift.bias", depth=3)
    assert np.isnan(found.turns).tolist() == [False, True, False, False]
    assert np.isnan(found.predicted[1]) and np.isfinite(found.agreement)


def test_the_last_bias_and_the_depth_of_sequential_networks_are_found():
    task = nets.TASKS["mlp"]()
    end = task.initial(0)
    end[-3:] = [0.3, 0.1, 0.2]
    path = interpolate(task, task.initial(1), end, alphas=5)
    found = bias_report(task, path)
    assert found.order.tolist() == [0, 2, 1]
    same = bias_report(task, path, bias="3.bias", depth=2)
    np.testing.assert_array_equal(found.predicted, same.predicted)


def test_what_has_no_biases_or_classes_is_refused():
    task = Task(lambda: nn.Sequential(nn.Linear(6, 3, bias=False)), nets.vectors())
    path = interpolate(task, task.initial(0), task.initial(1), alphas=2)
    with pytest.raises(ValueError, match=r"a bias for each of 3 classes, but '0\.bias' is none"):
        bias_report(task, path)
    data = nets.as_targets(nets.vectors())
    other = Task(lambda: nn.Sequential(nn.Linear(6, 6)), data, squared_error)
    path = interpolate(other, other.initial(0), other.initial(1), alphas=2)
    with pytest.raises(ValueError, match="a bias report needs class labels and states"):
        bias_report(other, path)


def test_a_layer_that_is_used_twice_counts_twice():
    def build():
        shared = nn.Linear(8, 8, bias=False)
        return nn.Sequential(
            nn.Linear(6, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.Linear(8, 3)
        )

    data = nets.vectors(dtype=np.float64)
    task = Task(nets.double(build), data)
    end = 3 * task.initial(0)
    own = task.module(end)(task.tensors["train_x"]).argmax(1).numpy()
    task = replace(task, data=replace(data, train_y=own))
    path = interpolate(task, 0 * end, end, alphas=5)
    found, deep, shallow = (
        bias_report(task, path, "5.bias", depth).predicted for depth in (None, 4, 3)
    )
    np.testing.assert_array_equal(found, deep)
    assert ((deep > shallow) & (deep < 1)).any()


def test_no_class_is_predicted_where_there_is_no_plateau():
    task, end = made()
    for alphas in (3, 1001):
        path = interpolate(task, end, end, alphas=alphas)
        assert path.plateau().error == 0
        assert bias_report(task, path, bias="shift.bias", depth=3).plateau_class is None
    short = end.copy()
    short[4:] *= 1e-3
    path = interpolate(task, 0 * end, short, alphas=1001)
    assert 0 < path.plateau().error < 0.1
    assert bias_report(task, path, bias="shift.bias", depth=3).plateau_class is None


@pytest.mark.parametrize(
    ("choice", "fault"),
    [
        ({"biases": "homogeneous"}, "biases move with powers of alpha"),
        ({"biases": "start"}, "biases are 'start'"),
        ({"biases": "end"}, "biases are 'end'"),
        ({"biases": "zero"}, "biases are 'zero'"),
        ({"select": "3"}, "'3' alone moves"),
        ({"select": ["1", "3"]}, r"\['1', '3'\] alone moves"),
        ({"select": "3", "biases": "zero"}, "biases are 'zero' and '3' alone moves"),
    ],
)
def test_only_whole_linear_paths_are_reported_on(choice, fault):
    task = nets.TASKS["mlp"]()
    ends = task.initial(0), task.initial(1)
    with pytest.raises(ValueError, match=r"needs alphas from 0 to 1, but they go from 0\.5 to 1"):
        bias_report(task, interpolate(task, *ends, alphas=[0.5, 1]))
    path = interpolate(task, *ends, alphas=3, **choice)
    for asked in ({}, {"bias": "3.bias", "depth": 2}):
        with pytest.raises(ValueError, match=f"degree counting predicts linear paths .*{fault}"):
            bias_report(task, path, **asked)


def test_paths_that_do_not_tell_how_they_were_made_are_known_by_their_degree():
    task = nets.TASKS["mlp"]()
    ends = task.initial(0), task.initial(1)
    linear, bent = (
        replace(interpolate(task, *ends, alphas=3, biases=biases), provenance={})
        for biases in ("linear", "homogeneous")
    )
    assert np.isfinite(bias_report(task, linear).gap)
    with pytest.raises(ValueError, match="degree counting predicts linear paths"):
        bias_report(task, bent)


@pytest.mark.parametrize("depth", [2.5, np.nan, np.inf])
def test_a_depth_that_is_not_whole_is_refused(depth):
    task, end = made()
    path = interpolate(task, 0 * end, end, alphas=3)
    with pytest.raises(TypeError, match=f"depth must be a whole number or None, but is {depth}"):
        bias_report(task, path, bias="shift.bias", depth=depth)


def test_frozen_layers_do_not_count_in_the_depth():
    def build():
        network = nn.Sequential(*(
            nn.Linear(6, 8),
            nn.ReLU(),
            nn.Linear(8, 8, bias=False),
            nn.ReLU(),
            nn.Linear(8, 3),
        ))
        network[0].requires_grad_(False)
        return network

    task = Task(nets.double(build), nets.vectors(dtype=np.float64))
    end = 3 * task.initial(0)
    own = task.module(end)(task.tensors["train_x"]).argmax(1).numpy()
    task = replace(task, data=replace(task.data, train_y=own))
    start = np.where(np.arange(len(end)) < task.weight_count, 0, end)
    path = interpolate(task, start, end, alphas=5)
    found, two, three = (
        bias_report(task, path, "4.bias", depth).predicted for depth in (None, 2, 3)
    )
    np.testing.assert_array_equal(found, two)
    assert (two != three).any()


def test_networks_whose_layers_have_no_known_order_are_asked_about():
    functions = Task(lambda: nn.Sequential(nn.Flatten(), nets.Tied()), nets.vectors())
    path = interpolate(functions, functions.initial(0), functions.initial(1), alphas=2)
    with pytest.raises(ValueError, match="'1' is a Tied; pass bias= and depth="):
        bias_report(functions, path)


def test_half_of_the_examples_count_as_wrong_and_the_plateau_is_read_at_its_middle():
    alphas = np.array([0, 0.2, 0.4, 0.6, 1])
    classes = np.array([[0.9, 0.9, 0.8], [0.5, 0.9, 0.9], [0.9, 0.2, 0.9], [0.9, 0.8, 0.4]])
    classes = np.r_[classes, np.zeros((1, 3))]
    metrics = {"train_loss": np.ones(5), "train_error": np.array([0.8, 0.8, 0.7, 0.7, 0])}
    path = Path(alphas, metrics, {"train": classes})
    assert biases._plateau_class(path) == 1
    assert biases._turns(alphas, np.minimum(classes, 0.5)[:, :1]).tolist() == [0.6]
