"""Planes hold training, by both executions, to what a hand-written projected descent finds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import jumpretrain as jr
from jumpretrain.states.planes import Plane, normal_to, random_plane, spanned_by

RNG = np.random.default_rng(0)
DATA = jr.Dataset(
    RNG.normal(size=(24, 3)), RNG.integers(2, size=24), RNG.normal(size=(5, 3)),
    RNG.integers(2, size=5),
)  # fmt: skip
TASK = jr.Task(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), DATA)
RECIPE = jr.Recipe(epochs=3, lr=0.1, batch_size=8)


@settings(deadline=None, max_examples=25)
@given(m=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_plane_and_its_normals_make_up_the_whole(m, seed):
    rows = np.random.default_rng(seed).normal(size=(m, 7))
    moves = torch.as_tensor(np.random.default_rng(seed + 1).normal(size=(3, 7)))
    inside, outside = spanned_by(rows).project(moves), normal_to(rows).project(moves)
    np.testing.assert_allclose(inside + outside, moves, atol=1e-12)
    np.testing.assert_allclose(outside.numpy() @ rows.T, 0, atol=1e-12)
    np.testing.assert_allclose(spanned_by(rows).project(inside), inside, atol=1e-12)


@pytest.mark.parametrize("mode", ["looped", "stacked"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_training_is_projected_step_by_step(mode, optimiser):
    recipe = jr.Recipe(epochs=3, lr=0.05, batch_size=8, optimiser=optimiser)
    seeds, normals = [0, 1, 2], np.random.default_rng(3).normal(size=(2, TASK.weight_count))
    execution = jr.Execution(mode=mode, progress=False)
    found = jr.train(TASK, recipe, seeds, execution=execution, planes=normal_to(normals))
    basis, _ = np.linalg.qr(normals.T)
    for k, seed in enumerate(seeds):
        expected = by_hand(TASK.initial(seed), recipe, seed, torch.as_tensor(basis))
        np.testing.assert_allclose(found.final[k], expected, atol=1e-9)
        np.testing.assert_allclose((found.final[k] - found.initial[k]) @ basis, 0, atol=1e-12)


def by_hand(start, recipe, seed, basis):
    module = TASK.module(start)
    weights = list(module.parameters())
    begin = nn.utils.parameters_to_vector(weights).detach()
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.SGD
    more = {} if recipe.optimiser == "adam" else {"momentum": recipe.momentum}
    optimiser = kind(weights, recipe.lr, **more)
    x, y = torch.tensor(DATA.train_x), torch.tensor(DATA.train_y)
    for epoch in range(recipe.epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(x))
        for rows in np.split(order, range(8, len(x), 8)):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(x[rows]), y[rows]).backward()
            optimiser.step()
            with torch.no_grad():
                moved = nn.utils.parameters_to_vector(weights) - begin
                moved -= basis @ (basis.T @ moved)
                nn.utils.vector_to_parameters(begin + moved, weights)
    return nn.utils.parameters_to_vector(weights).detach().numpy()


def test_each_run_has_its_own_plane_and_the_folder_knows_it(tmp_path):
    planes = [random_plane(TASK.weight_count, dim, seed=1) for dim in (1, 5, 20)]
    runs = jr.train(TASK, RECIPE, [0, 1, 2], folder=tmp_path, planes=planes)
    for k, plane in enumerate(planes):
        moves = torch.as_tensor(np.asarray(runs.states[k]) - runs.initial[k])
        np.testing.assert_allclose(plane.project(moves), moves, atol=1e-12)
        assert moves[-1].norm() > 1e-3
        alone = jr.train(TASK, RECIPE, [k], planes=plane)
        np.testing.assert_allclose(alone.final[0], runs.final[k], atol=1e-9)
    with pytest.raises(ValueError, match="planes"):
        jr.train(TASK, RECIPE, [0, 1, 2], folder=tmp_path, planes=planes[0])


def test_a_plane_takes_lists():
    row = np.eye(TASK.weight_count)[0].tolist()
    found, same = (
        jr.train(TASK, RECIPE, [0], planes=Plane(rows, normal=True)).final
        for rows in ([row], np.array([row]))
    )
    np.testing.assert_array_equal(found, same)


def test_a_plane_of_all_directions_holds_nothing():
    whole = random_plane(TASK.weight_count, TASK.weight_count, seed=0)
    free, held = jr.train(TASK, RECIPE, [0]), jr.train(TASK, RECIPE, [0], planes=whole)
    np.testing.assert_allclose(held.final, free.final, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: normal_to([[1.0, 2.0], [2.0, 4.0]]), "independent"),
        (lambda: normal_to([[0.0, 0.0]]), "independent"),
        (lambda: spanned_by(np.ones((3, 2))), "independent"),
        (lambda: spanned_by([[np.nan, 1.0]]), "finite"),
        (lambda: Plane(np.ones((1, 2)), normal=True), "orthonormal"),
        (lambda: random_plane(5, 6, 0), r"1\.\.5, not 6"),
        (lambda: random_plane(5, 0, 0), r"1\.\.5, not 0"),
        (lambda: jr.train(TASK, RECIPE, [0], planes=random_plane(5, 2, 0)), "26 weights"),
        (
            lambda: jr.train(TASK, RECIPE, [0, 1], planes=[random_plane(26, 2, 0)]),
            "each of 2 runs",
        ),
    ],
)
def test_what_is_no_plane_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_planes_of_other_seeds_are_others():
    planes = [random_plane(6, 2, seed).directions for seed in (0, 1, 0)]
    assert np.array_equal(planes[0], planes[2])
    assert np.abs(planes[0] @ planes[1].T).max() < 1 - 1e-6
