"""Cuts through the landscape are scores of states that can be made by hand."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.curvature import sections
from jumpretrain.curvature.sections import plane_through, radial_cut

QUIET = jr.Execution(progress=False)


def bias_free():
    return nn.Sequential(
        nn.Linear(6, 8, bias=False),
        nn.ReLU(),
        nn.Linear(8, 7, bias=False),
        nn.ReLU(),
        nn.Linear(7, 3, bias=False),
    )


def test_weights_times_r_scale_the_outputs_of_three_layers_by_its_cube():
    task = jr.Task(nets.double(bias_free), nets.vectors(dtype=np.float64))
    state, factors = task.initial(0), [0.0, 0.5, 1.0, 1.7, 3.0]
    found = radial_cut(task, state, factors, execution=QUIET)
    x, y = task.tensors["test_x"], task.tensors["test_y"]
    with torch.no_grad():
        outputs = task.module(state)(x)
        for row, factor in enumerate(factors):
            loss = nn.functional.cross_entropy(factor**3 * outputs, y).item()
            assert found["test_loss"][row] == pytest.approx(loss, rel=1e-9)
    assert found["train_loss"][0] == pytest.approx(np.log(3))
    assert len(set(found["train_accuracy"][1:])) == 1


@pytest.mark.parametrize("batchnorm", ["stored", "recalibrate"])
def test_a_radial_cut_leaves_buffers_and_frozen_parameters(batchnorm):
    for name in ("conv with BatchNorm", "tied autoencoder"):
        made = nets.TASKS[name]()
        task = jr.Task(made.model, made.data, made.loss, batchnorm=batchnorm)
        state = task.initial(0)
        state[task.weight_count :] += 0.25
        found = radial_cut(task, state, [1.0, 2.0], execution=QUIET)
        doubled = state.copy()
        doubled[: task.weight_count] *= 2
        for metric, values in jr.evaluate(task, [state, doubled]).items():
            np.testing.assert_allclose(found[metric], values, rtol=1e-9)


def test_three_states_lie_at_their_coordinates():
    task = nets.TASKS["conv with BatchNorm"]()
    states = np.stack([task.initial(seed) for seed in range(3)])
    states[2, task.weight_count :] += 0.25
    found = plane_through(task, states, size=3, margin=0.1, execution=QUIET)
    weights = states[:, : task.weight_count]
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(
        weights[0] + found.coordinates @ found.axes, weights, atol=1e-9, rtol=0
    )
    assert found.coordinates[0].tolist() == [0, 0]
    assert found.coordinates[1, 1] == 0
    assert found.coordinates[1, 0] == pytest.approx(np.linalg.norm(weights[1] - weights[0]))
    assert found.coordinates[2, 1] > 0
    np.testing.assert_allclose(found.project(states), found.coordinates, atol=1e-9)
    off = states[1].copy()
    off[: task.weight_count] += 3 * np.linalg.svd(found.axes)[2][-1]
    np.testing.assert_allclose(found.project(off[None])[0], found.coordinates[1], atol=1e-9)
    extent = np.ptp(found.coordinates, axis=0)
    low, high = found.coordinates.min(0), found.coordinates.max(0)
    np.testing.assert_allclose([found.x[0], found.y[0]], low - 0.1 * extent)
    np.testing.assert_allclose([found.x[-1], found.y[-1]], high + 0.1 * extent)


@pytest.mark.parametrize("batchnorm", ["stored", "recalibrate"])
def test_the_grid_scores_points_made_by_hand(batchnorm):
    made = nets.TASKS["mlp with BatchNorm"]()
    task = jr.Task(made.model, made.data, batchnorm=batchnorm)
    states = np.stack([task.initial(seed) for seed in range(3)])
    states[:, task.weight_count :] += np.arange(3)[:, None] / 4
    found = plane_through(task, states, size=5, margin=0.0, execution=QUIET)
    corner = task.initial(0)
    for row, column in ((0, 0), (1, 3), (4, 2)):
        place = np.array([found.x[column], found.y[row]])
        weights = found.origin + place @ found.axes
        across = place[1] / found.coordinates[2, 1]
        along = (place[0] - across * found.coordinates[2, 0]) / found.coordinates[1, 0]
        between = np.maximum([1 - along - across, along, across], 0)  # no negative variances
        buffers = between / between.sum() @ states[:, task.weight_count :]
        corner = np.concatenate([weights, buffers])
        for metric, values in jr.evaluate(task, [corner]).items():
            assert found.metrics[metric][row, column] == pytest.approx(values[0], rel=1e-9)


def test_grid_points_on_states_score_them():
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
    states = [task.initial(seed) for seed in range(3)]
    found = plane_through(task, states, size=2, margin=0, execution=QUIET)
    assert 0 < found.coordinates[2, 0] < found.coordinates[1, 0]
    expected = jr.evaluate(task, states)["train_loss"][:2]
    np.testing.assert_allclose(found.metrics["train_loss"][0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": [0, 1]}, "a plane goes through 3 states, but there are 2"),
        ({"states": [0, 1, 1]}, "lie in line"),
        ({"size": 1}, "size must be at least 2"),
        ({"margin": -0.1}, "margin must be"),
        ({"margin": np.nan}, "margin must be"),
    ],
)
def test_bad_planes_are_refused_before_work(change, message, monkeypatch):
    task = nets.TASKS["mlp"]()
    change["states"] = [task.initial(seed) for seed in change.get("states", [0, 1, 2])]
    monkeypatch.setattr(sections, "spread", lambda *a, **w: pytest.fail("worked"))
    with pytest.raises(ValueError, match=message):
        plane_through(task, **change)


@pytest.mark.parametrize("factors", [[], [-1.0], [np.inf], [[1.0]]])
def test_bad_factors_are_refused_before_work(factors, monkeypatch):
    task = nets.TASKS["mlp"]()
    monkeypatch.setattr(sections, "spread", lambda *a, **w: pytest.fail("worked"))
    with pytest.raises((ValueError, TypeError), match="factors must be"):
        radial_cut(task, task.initial(0), factors)
    with pytest.raises(ValueError, match="state must be one state"):
        radial_cut(task, np.ones(3), [1.0])


def test_running_statistics_stay_possible_beyond_the_three_states():
    data = jr.data.digits().subset(120, 60)
    build = lambda: jr.models.mlp((1, 8, 8), 10, hidden=(12,), batchnorm=True)  # noqa: E731
    task = jr.Task(build, data, batchnorm="stored")
    fit = jr.train(task, jr.Recipe(epochs=10, lr=0.1, record_every=0), [0, 1], execution=QUIET)
    states = [fit.initial[0], *fit.final]
    found = plane_through(task, states, size=5, margin=0.5, execution=QUIET)
    assert all(np.isfinite(values).all() for values in found.metrics.values())


def test_states_in_line_span_no_plane():
    task = nets.TASKS["mlp with BatchNorm"]()
    a, b = task.initial(0), task.initial(1)
    with pytest.raises(ValueError, match="unless they lie in line"):
        plane_through(task, [a, b, 2 * b - a])
