"""Bugs that landscape codes have shipped, each with a test here that would catch it.

Most are caught where the module is tested; this file holds the rest, so that the list is whole.
"""

import inspect
import itertools

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from support import cases, nets
from torch import nn

from jumpretrain.embedding import neighbours
from jumpretrain.embedding.embed import embed
from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.execution import Execution
from jumpretrain.sampling.baselines import grid, rays
from jumpretrain.sampling.sample import sample
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task
from jumpretrain.topology import homology

QUIET = Execution(progress=False)


def bowl():
    """A task whose training loss is the mean of (x . (w - 1))^2 over known x."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3, 2))
    y = x.sum(2)
    model = nn.Linear(2, 1, bias=False).double()
    data = nets.Dataset(x, y[..., None], x[:5], y[:5, :, None])
    return Task(model, data, loss=squared_error)


def test_a_grid_equals_the_closed_form_cell_by_cell():
    task = bowl()
    found = grid(task, np.ones(2), shape=(5, 4, 3), reach=0.7, execution=QUIET)
    moved = found.weights[:, 0] - 1
    expected = [((task.data.train_x @ row) ** 2).mean() for row in moved]
    np.testing.assert_allclose(found.metrics["train_loss"][:, 0], expected, rtol=1e-10)
    axes = np.linalg.lstsq(np.array(found.provenance["nodes"]), moved, rcond=None)[0]
    np.testing.assert_allclose(np.array(found.provenance["nodes"]) @ axes, moved, atol=1e-12)
    rows = {tuple(node) for node in np.round(found.provenance["nodes"], 9)}
    lines = (np.linspace(-0.7, 0.7, n) for n in (5, 4, 3))
    assert rows == {tuple(node) for node in np.round(list(itertools.product(*lines)), 9)}


def test_workers_give_the_numbers_of_the_sequence():
    task = bowl()
    states = np.random.default_rng(1).normal(size=(150, 2))
    alone = evaluate(task, states, QUIET)
    together = evaluate(task, states, Execution(n_jobs=2, progress=False))
    assert all(np.array_equal(alone[name], together[name]) for name in alone)


def test_equal_calls_give_equal_bits():
    task = bowl()
    first, again = (rays(task, np.ones(2), 3, execution=QUIET) for _ in range(2))
    assert np.array_equal(first.states, again.states)
    assert np.array_equal(first.metrics["test_loss"], again.metrics["test_loss"])


def test_a_loss_that_is_not_finite_is_returned_as_it_is():
    task = bowl()
    losses = evaluate(task, [[1.0, 1.0], [1e200, 1.0]])["train_loss"]
    assert losses[0] == 0 and losses[1] == np.inf


@pytest.mark.parametrize("argument", ["order_seed", "normalise", "include_1d", "directions"])
def test_every_argument_of_sample_changes_the_result(argument):
    task = nets.TASKS["mlp"]()
    centre, recipe = task.initial(0), Recipe(epochs=1, batch_size=8)
    other = {"order_seed": 5, "normalise": "layer", "include_1d": True, "directions": [4]}
    plain = {"step_sizes": (0.5,), "directions": [0], "execution": QUIET}
    base = sample(task, centre, recipe, **plain)
    changed = sample(task, centre, recipe, **{**plain, argument: other[argument]})
    assert not np.array_equal(base.states, changed.states)


def test_zero_is_an_argument_like_any_other():
    assert inspect.signature(sample).parameters["order_seed"].default == 0
    task = nets.TASKS["mlp"]()
    seeds = [task.initial(seed) for seed in (0, 1)]
    assert not np.array_equal(*seeds)
    runs = sample(task, seeds[0], Recipe(epochs=1), (0.0,), [0], order_seed=0, execution=QUIET)
    assert runs.step_size.tolist() == [0.0] and runs.order_seed.tolist() == [0]


def test_a_path_of_losses_keeps_its_births_at_their_values():
    path = sp.diags_array([np.ones(4), np.ones(4)], offsets=[-1, 1], shape=(5, 5)).tocsr()
    found = homology.sublevel(np.array([5.0, 1, 6, 2, 7]), path)
    assert found.finite(0).tolist() == [[2, 6]]
    assert found.essential(0).tolist() == [1]


def test_neighbours_are_near_and_the_released_rule_picks_the_far():
    centres = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 30, axis=0)
    points = centres + np.random.default_rng(0).normal(scale=0.3, size=(90, 2))
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
    cluster = np.repeat([0, 1, 2], 30)
    near = sp.coo_array(neighbours.neighbours(gaps, 10)).coords
    far = neighbours.farthest(gaps, 10)
    assert (cluster[near[0]] == cluster[near[1]]).mean() > 0.9
    assert (cluster[far[:, 0]] == cluster[far[:, 1]]).mean() < 0.1


def test_losses_that_are_not_one_a_point_are_refused():
    path = sp.diags_array([np.ones(2), np.ones(2)], offsets=[-1, 1], shape=(3, 3)).tocsr()
    with pytest.raises(ValueError, match="4"):
        homology.sublevel(np.arange(4.0), path)


def test_another_number_of_essential_bars_is_infinitely_far():
    apart = homology.sublevel([0.0, 1.0], sp.csr_array((2, 2)))
    joined = homology.sublevel([0.0, 1.0], sp.csr_array(np.array([[0.0, 1], [1, 0]])))
    assert apart.distance(joined, "bottleneck", 0) == np.inf


def test_the_model_is_as_it_was_even_after_an_exception():
    model = nets.normed()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calls, armed = [], []

    def fails(outputs, targets):
        calls.append(1)
        if armed and len(calls) > armed[0] + 2:
            raise RuntimeError("from the user's loss")
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    task = Task(model, nets.images(), loss=fails, metrics={})
    armed.append(len(calls))
    with pytest.raises(RuntimeError, match="from the user's loss"):
        evaluate(task, [task.state(model)] * 3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training and [p.requires_grad for p in model.parameters()][:2] == [False, True]


def test_every_snapshot_asked_for_is_there_the_last_one_too():
    task = nets.TASKS["mlp"]()
    recipe = Recipe(epochs=5, batch_size=8, record_early=False)
    runs = sample(task, task.initial(0), recipe, (0.5,), 1, execution=QUIET)
    assert runs.epoch.tolist() == [0, 1, 2, 3, 4, 5]
    longer = Recipe(epochs=6, batch_size=8, record_early=False)
    more = sample(task, task.initial(0), longer, (0.5,), 1, execution=QUIET)
    assert np.array_equal(more.states[:, :6], runs.states)
    assert not np.array_equal(more.states[:, 6], more.states[:, 5])


def test_the_optimums_test_values_are_its_test_values():
    task = nets.TASKS["mlp"]()
    runs = sample(task, task.initial(0), Recipe(epochs=1), (0.5,), 1, execution=QUIET)
    assert runs.optimum_metrics["test_loss"] != runs.optimum_metrics["train_loss"]
    scored = evaluate(task, [task.initial(0)])
    assert {name: value[0] for name, value in scored.items()} == dict(runs.optimum_metrics)


def test_an_embedding_and_its_labels_share_the_order_of_the_losses():
    runs = cases.arms(times=10).jumps()
    table = embed(runs, method="pca").labels
    assert table.equals(runs.labels())
    shuffled = runs.select(runs=[3, 0, 5])
    assert np.array_equal(shuffled.values("test_loss")[:10], runs.values("test_loss")[30:40])
