"""Rays leave a state in unit directions and score what lies on them."""

import numpy as np
import pytest
from support import nets

import jumpretrain as jr
from jumpretrain.curvature.outward import (
    Rays,
    check_directions,
    random_streams,
    training_loss_only,
)


def flat(parts):
    return [stream for part in parts for stream in part]


@pytest.mark.parametrize("tangential", [True, False])
def test_directions_have_length_one_and_are_tangential_where_asked_for(tangential):
    task = nets.TASKS["conv with BatchNorm"]()
    state = task.initial(0)
    rays = Rays(task, state, flat(random_streams(20, seed=1)), tangential)
    assert rays.rows.shape == (20, task.weight_count)
    np.testing.assert_allclose(np.linalg.norm(rays.rows, axis=1), 1)
    along = rays.rows @ state[: task.weight_count]
    assert (np.abs(along).max() < 1e-12) == tangential


def test_more_directions_go_on_with_the_same_and_other_seeds_are_others():
    task = nets.TASKS["mlp"]()
    state = task.initial(0)
    few, many, other = (
        Rays(task, state, flat(random_streams(count, seed)), tangential=False).rows
        for count, seed in ((3, 0), (20, 0), (3, 1))
    )
    np.testing.assert_array_equal(few, many[:3])
    assert np.abs(few @ many[3:].T).max() < 0.8
    assert not np.isclose(few, other).any()


def test_losses_are_those_of_the_points_and_buffers_stay():
    task = nets.TASKS["mlp with BatchNorm"]()
    state = task.initial(0)
    rays = Rays(task, state, flat(random_streams(3, seed=0)), tangential=True)
    found = rays.losses(np.array([0, 2]), [0.5, 2.0])
    points = np.stack([state, state])
    points[:, : task.weight_count] += [0.5 * rays.rows[0], 2 * rays.rows[2]]
    np.testing.assert_allclose(found, jr.evaluate(task, points)["train_loss"], rtol=1e-9)
    stored = jr.Task(task.model, task.data, batchnorm="stored")
    still = Rays(stored, state, flat(random_streams(3, seed=0)), tangential=True)
    expected = jr.evaluate(stored, points)["train_loss"]
    np.testing.assert_allclose(still.losses(np.array([0, 2]), [0.5, 2.0]), expected, rtol=1e-9)


@pytest.mark.parametrize("name", nets.TASKS)
@pytest.mark.parametrize("batchnorm", ["recalibrate", "stored", "batch"])
def test_the_training_loss_is_the_same_without_the_rest(name, batchnorm):
    made = nets.TASKS[name]()
    task = jr.Task(made.model, made.data, made.loss, batchnorm=batchnorm, scored=30)
    state = task.initial(3)
    lean, loss = training_loss_only(task, state)
    assert loss == pytest.approx(jr.evaluate(task, [state])["train_loss"][0], rel=1e-12)
    assert list(lean.measures) == ["loss"]
    assert len(lean.data.test_x) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"directions": 0}, "directions must be at least 1"),
        ({"seed": -1}, "seed at least 0, but are 3 and -1"),
        ({"state": np.zeros(83)}, "not all zero"),
        ({"state": np.zeros(5)}, r"must be one state of this task, \(83,\)"),
        ({"state": np.full(83, np.nan)}, "must be finite"),
    ],
)
def test_what_cannot_be_left_is_refused(change, message):
    task = nets.TASKS["mlp"]()
    given = {"state": task.initial(0), "directions": 3, "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        check_directions(task, **given, tangential=True)


def test_a_loss_that_is_not_finite_is_refused():
    task = nets.TASKS["tied autoencoder"]()
    with pytest.raises(ValueError, match="training loss must be finite where rays set out"):
        training_loss_only(task, np.full(task.layout.width, 1e200))
