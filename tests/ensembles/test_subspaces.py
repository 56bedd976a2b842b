"""Draws from subspaces have the moments of their laws and stay within their subspaces."""

import numpy as np
import pytest
from support import nets
from torch import nn

from jumpretrain.ensembles.subspaces import draw_diagonal, draw_principal, draw_uniform
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task

TASK = nets.TASKS["mlp with BatchNorm"]()
WIDTH = TASK.weight_count


def snapshots(count=6, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.linspace(0, 2, TASK.layout.width)
    return TASK.initial(0) + scales * rng.normal(size=(count, TASK.layout.width))


def test_uniform_draws_lie_at_uniform_distances_in_all_directions():
    state = TASK.initial(1)
    drawn = draw_uniform(TASK, state, radius=3.0, count=2000)
    np.testing.assert_array_equal(drawn[:, WIDTH:], np.tile(state[WIDTH:], (2000, 1)))
    moves = (drawn - state)[:, :WIDTH]
    distances = np.linalg.norm(moves, axis=1)
    np.testing.assert_allclose(np.quantile(distances, [0.25, 0.5, 0.75]), [0.75, 1.5, 2.25], 0.1)
    assert distances.max() <= 3
    unit = moves / distances[:, None]
    np.testing.assert_allclose(unit.T @ unit / 2000, np.eye(WIDTH) / WIDTH, atol=0.004)


def test_diagonal_draws_have_the_moments_of_each_weight():
    rows = snapshots()
    drawn = draw_diagonal(TASK, rows, count=20_000)
    np.testing.assert_allclose(drawn[:, WIDTH:], np.tile(rows[:, WIDTH:].mean(0), (20_000, 1)))
    spread = rows[:, :WIDTH].std(0, ddof=1)
    np.testing.assert_allclose(drawn.mean(0), rows.mean(0), atol=0.06)
    np.testing.assert_allclose(drawn[:, :WIDTH].std(0, ddof=1), spread, rtol=0.03, atol=1e-12)
    few = np.corrcoef(drawn[:, 30:40].T) - np.eye(10)
    assert np.abs(few).max() < 0.04
    assert np.abs(np.corrcoef(rows[:, 30:40].T) - np.eye(10)).max() > 0.7


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_principal_draws_have_the_leading_covariance(rank):
    rows = snapshots()
    drawn = draw_principal(TASK, rows, count=20_000, rank=rank)
    centred = (rows - rows.mean(0))[:, :WIDTH]
    values, axes = np.linalg.eigh(centred.T @ centred / (len(rows) - 1))
    leading = axes[:, -rank:]
    moves = (drawn - rows.mean(0))[:, :WIDTH]
    np.testing.assert_allclose(moves, moves @ leading @ leading.T, atol=1e-9)
    found = leading.T @ np.cov(moves.T) @ leading
    np.testing.assert_allclose(found, np.diag(values[-rank:]), atol=0.05 * values[-1])
    np.testing.assert_allclose(drawn[:, WIDTH:], np.tile(rows[:, WIDTH:].mean(0), (20_000, 1)))


@pytest.mark.parametrize("draw", [draw_diagonal, draw_principal])
def test_equal_snapshots_are_drawn_again_and_seeds_count(draw):
    still = draw(TASK, np.stack([TASK.initial(0)] * 6), count=2)
    np.testing.assert_allclose(still, np.stack([TASK.initial(0)] * 2), atol=1e-12)
    one, same, other = (draw(TASK, snapshots(), count=2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: draw_uniform(TASK, TASK.initial(0), 0.0, 3), "radius must be a number above 0"),
        (lambda: draw_uniform(TASK, TASK.initial(0), np.inf, 3), "radius must be"),
        (lambda: draw_uniform(TASK, TASK.initial(0), 1.0, 0), "count must be at least 1"),
        (lambda: draw_uniform(TASK, snapshots(), 1.0, 3), "must be one state"),
        (lambda: draw_diagonal(TASK, snapshots(1), 3), "at least 2 snapshots"),
        (lambda: draw_principal(TASK, snapshots(), 3, rank=6), r"1\.\.5 principal"),
        (lambda: draw_principal(TASK, snapshots(), 3, rank=0), r"1\.\.5 principal"),
        (lambda: draw_diagonal(TASK, np.ones((3, 2)), 3), "states of this task"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_no_more_components_than_weights_are_drawn():
    task = Task(lambda: nn.Linear(1, 2), Dataset(*(np.ones((3, n), "f4") for n in (1, 2, 1, 2))),
                loss=squared_error)  # fmt: skip
    some = np.random.default_rng(0).normal(size=(8, task.layout.width)).astype("f4")
    assert draw_principal(task, some, 2, rank=4).shape == (2, 4)
    with pytest.raises(ValueError, match=r"1\.\.4 principal components, not 5"):
        draw_principal(task, some, 2, rank=5)


def test_seeds_below_zero_are_refused():
    with pytest.raises(ValueError, match="seed at least 0, but are 2 and -1"):
        draw_uniform(TASK, TASK.initial(0), 1.0, 2, seed=-1)
