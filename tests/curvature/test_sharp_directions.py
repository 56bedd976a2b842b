"""Spectra are those of quadratics known in closed form, and both methods agree."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.curvature.sharp_directions import SharpDirections, goldilocks, sharp_directions
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task

QUIET = Execution(progress=False)


def quadratic(features=4, outputs=3, scale=None, count=50):
    """Least squares; its Hessian holds 2 X'X / (n d) once for each of d outputs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(count, features)), rng.normal(size=(count, outputs))
    x *= 1 if scale is None else scale
    task = Task(
        nets.double(lambda: nn.Linear(features, outputs)),
        Dataset(x, y, x[:5], y[:5]),
        loss=squared_error,
    )
    inputs = np.c_[x, np.ones(count)]
    block = 2 * inputs.T @ inputs / (count * outputs)
    return task, np.sort(np.repeat(np.linalg.eigvalsh(block), outputs))[::-1]


def bowl(dimensions=6):
    """Least squares whose Hessian is the identity."""
    x = np.sqrt(dimensions / 2) * np.eye(dimensions)
    y = np.random.default_rng(0).normal(size=(dimensions, 1))
    build = nets.double(lambda: nn.Linear(dimensions, 1, bias=False))
    return Task(build, Dataset(x, y, x, y), loss=squared_error)


def levels(distinct, copies):
    """Least squares whose Hessian has evenly spaced eigenvalues, each several times."""
    spectrum = np.linspace(1, 0, distinct, endpoint=False)
    x, y = np.diag(np.sqrt(spectrum * distinct * copies / 2)), np.zeros((distinct, copies))
    build = nets.double(lambda: nn.Linear(distinct, copies, bias=False))
    return Task(build, Dataset(x, y, x, y), loss=squared_error), np.repeat(spectrum, copies)


@pytest.fixture(scope="module")
def trained():
    """A network of about 2,000 weights, trained for a while, with its whole spectrum."""
    data = nets.vectors(count=60)
    task = Task(lambda: mlp((6,), 3, hidden=(40, 40)), data)
    recipe = Recipe(epochs=40, batch_size=20, lr=0.1)
    state = train(task, recipe, seeds=[0], execution=QUIET).final[0]
    return task, state, sharp_directions(task, state, execution=QUIET)


def test_a_quadratic_gives_its_spectrum():
    task, spectrum = quadratic()
    found = sharp_directions(task, task.initial(0), cut=0.6, execution=QUIET)
    np.testing.assert_allclose(found.eigenvalues, spectrum, rtol=1e-10)
    assert 0 < found.count < len(spectrum)
    assert found.count == (spectrum > 0.6).sum()
    assert found.trace == pytest.approx(spectrum.sum())
    assert found.frobenius == pytest.approx(np.sqrt((spectrum**2).sum()))
    assert found.goldilocks == pytest.approx(spectrum.sum() / np.sqrt((spectrum**2).sum()))
    elsewhere = sharp_directions(task, task.initial(1), execution=QUIET)
    np.testing.assert_allclose(elsewhere.eigenvalues, spectrum, rtol=1e-10)
    assert elsewhere.loss != found.loss and elsewhere.gradient_norm != found.gradient_norm


def test_the_spectrum_is_that_of_a_hessian_by_hand():
    task = Task(
        nets.double(lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))),
        nets.vectors(dtype=np.float64),
    )
    x, y = torch.tensor(task.data.train_x), torch.tensor(task.data.train_y)

    def loss(weights):
        first, shift, last, offset = weights.split([24, 4, 12, 3])
        hidden = torch.tanh(x @ first.view(4, 6).T + shift)
        return nn.functional.cross_entropy(hidden @ last.view(3, 4).T + offset, y)

    state = task.initial(0)
    matrix = torch.autograd.functional.hessian(loss, torch.as_tensor(state)).numpy()
    found = sharp_directions(task, state, execution=QUIET)
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(matrix)[::-1], atol=1e-12)
    assert found.trace == pytest.approx(np.trace(matrix))
    assert found.frobenius == pytest.approx(np.linalg.norm(matrix))
    assert found.loss == pytest.approx(float(loss(torch.as_tensor(state))))


@pytest.mark.parametrize("cut", [0.03, 1e-3, 1e9])
def test_lanczos_counts_what_the_whole_spectrum_holds(trained, cut):
    task, state, whole = trained
    assert task.weight_count == 2043
    found = sharp_directions(task, state, cut=cut, method="lanczos")
    assert found.count == whole.above(cut) == len(found.eigenvalues)
    np.testing.assert_allclose(found.eigenvalues, whole.eigenvalues[: found.count], rtol=1e-6)
    assert found.loss == whole.loss
    if cut == 0.03:
        assert found.count > 10
        assert found.trace == pytest.approx(whole.trace, rel=0.02)
        assert found.frobenius == pytest.approx(whole.frobenius, rel=0.01)


def test_estimates_are_right_on_average():
    task, spectrum = quadratic(features=24, outputs=5, scale=np.geomspace(1, 0.05, 24))
    state, cut = task.initial(0), float(spectrum[40])
    found = [
        sharp_directions(task, state, cut, "lanczos", seed=seed, draws=64) for seed in range(12)
    ]
    traces, squares = [f.trace for f in found], [f.frobenius**2 for f in found]
    for estimates, truth in ((traces, spectrum.sum()), (squares, (spectrum**2).sum())):
        error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
        assert 0 < error < 0.02 * truth
        assert abs(np.mean(estimates) - truth) < 3.5 * error
    none = sharp_directions(task, state, 1e9, "lanczos", draws=64)
    assert none.count == 0
    assert none.trace == pytest.approx(spectrum.sum(), rel=0.2)


def test_lanczos_finds_every_copy_of_an_eigenvalue():
    task, spectrum = quadratic(features=29, outputs=10, scale=np.geomspace(1, 0.05, 29))
    for place in (20, 160):
        cut = float(spectrum[place - 1] + spectrum[place]) / 2
        found = sharp_directions(task, task.initial(0), cut, "lanczos", draws=1)
        assert found.count == place
        np.testing.assert_allclose(found.eigenvalues, spectrum[:place], rtol=1e-8)
    every = sharp_directions(task, task.initial(0), 1e-9, "lanczos", draws=1)
    np.testing.assert_allclose(every.eigenvalues, spectrum, rtol=1e-8)
    assert every.trace == pytest.approx(spectrum.sum())


@pytest.mark.parametrize("place", [10, 50, 100])
def test_lanczos_finds_copies_that_one_round_misses(place, monkeypatch):
    monkeypatch.setattr("jumpretrain.curvature.sharp_directions.SOUGHT", 8)
    task, spectrum = levels(distinct=20, copies=10)
    cut = float(spectrum[place - 1] + spectrum[place]) / 2
    found = sharp_directions(task, task.initial(0), cut, "lanczos", draws=1)
    np.testing.assert_allclose(found.eigenvalues, spectrum[:place], rtol=1e-6)


def test_equal_seeds_give_equal_bits(trained):
    task, state, _ = trained
    pair = [sharp_directions(task, state, 0.1, "lanczos", seed=3) for _ in range(2)]
    other = sharp_directions(task, state, 0.1, "lanczos", seed=4)
    np.testing.assert_array_equal(pair[0].eigenvalues, pair[1].eigenvalues)
    assert (pair[0].trace, pair[0].frobenius) == (pair[1].trace, pair[1].frobenius)
    assert other.trace != pair[0].trace and other.count == pair[0].count
    assert pair[0].provenance["seed"] == 3 and pair[0].provenance["draws"] == 32


@pytest.mark.slow
def test_workers_change_nothing():
    small = nets.TASKS["mlp with BatchNorm"]()
    alone = sharp_directions(small, small.initial(0), execution=QUIET)
    spread = Execution(progress=False, n_jobs=2)
    both = sharp_directions(small, small.initial(0), execution=spread)
    np.testing.assert_array_equal(alone.eigenvalues, both.eigenvalues)


def test_single_precision_counts_alike(trained):
    task, state, whole = trained
    found = sharp_directions(task, state, 0.05, "lanczos", dtype="float32")
    assert found.count == whole.above(0.05)
    np.testing.assert_allclose(found.eigenvalues, whole.eigenvalues[: found.count], rtol=1e-4)
    assert found.provenance["dtype"] == "float32" and found.provenance["examples"] == 60


def test_goldilocks_ratio_in_planes():
    round_bowl = bowl()
    for dimensions in (1, 4, 6):  # the identity in every plane is the identity
        ratio = goldilocks(round_bowl, round_bowl.initial(0), dimensions)
        assert ratio == pytest.approx(np.sqrt(dimensions))
    task, spectrum = quadratic()
    state, whole = task.initial(0), spectrum.sum() / np.linalg.norm(spectrum)
    assert goldilocks(task, state, task.weight_count, seed=1) == pytest.approx(whole)
    planes = [goldilocks(task, state, 3, seed=seed) for seed in (0, 0, 1)]
    assert planes[0] == planes[1] != planes[2]
    flat = Task(lambda: nn.Linear(6, 3), nets.vectors(), loss=lambda outputs, _: outputs.sum(1))
    assert np.isnan(goldilocks(flat, flat.initial(0), 2))
    assert np.isnan(sharp_directions(flat, flat.initial(0), execution=QUIET).goldilocks)


def test_state_model_and_random_numbers_are_untouched():
    model = mlp((6,), 3, hidden=(12,), batchnorm=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    task = Task(model, nets.vectors())
    state = task.state(model)
    kept = state.copy()
    legacy, python, drawn = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    sharp_directions(task, state, execution=QUIET)
    sharp_directions(task, state, method="lanczos")
    goldilocks(task, state, 2)
    assert random.getstate() == python and torch.equal(torch.get_rng_state(), drawn)
    assert all(np.array_equal(a, b) for a, b in zip(legacy, np.random.get_state(), strict=True))  # noqa: NPY002
    np.testing.assert_array_equal(state, kept)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_what_does_not_fit_is_refused(trained):
    task, state, _ = trained
    for cut in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"cut must be .* above 0, but is {cut}"):
            sharp_directions(task, state, cut=cut)
    with pytest.raises(ValueError, match="method must be exact or lanczos, but is 'power'"):
        sharp_directions(task, state, method="power")
    with pytest.raises(ValueError, match=r"\(2043,\), but is \(7,\); take it from train"):
        sharp_directions(task, np.zeros(7))
    with pytest.raises(ValueError, match=r"draws must be a whole number of at least 1 .*is 0"):
        sharp_directions(task, state, method="lanczos", draws=0, budget=1)
    with pytest.raises(ValueError, match=r"with 40 Hessian products.*raise the cut or the budget"):
        sharp_directions(task, state, method="lanczos", budget=40)
    big = Task(lambda: mlp((6,), 3, hidden=(600,)), nets.vectors())
    with pytest.raises(ValueError, match="up to 5000 weights, but the network has 6003; pass"):
        sharp_directions(big, big.initial(0))
    small = nets.TASKS["mlp"]()
    with pytest.raises(ValueError, match="takes 100 weights or more, but the network has 83"):
        sharp_directions(small, small.initial(0), method="lanczos")
    for dimensions in (0, 84):
        with pytest.raises(ValueError, match=rf"dimensions must be 1\.\.83.*is {dimensions}"):
            goldilocks(small, small.initial(0), dimensions)


def test_a_result_checks_itself():
    parts = {"trace": 3.0, "frobenius": 2.0, "loss": 0.1, "gradient_norm": 0.0, "provenance": {}}
    found = SharpDirections(np.array([2.0, 1.0, -1.0]), 0.5, method="exact", **parts)
    assert (found.count, found.above(1.5), found.above(1e-3)) == (2, 1, 2)
    assert found.goldilocks == 1.5
    partial = dataclasses.replace(found, method="lanczos", eigenvalues=np.array([2.0, 1.0]))
    assert partial.above(1.5) == 1
    with pytest.raises(ValueError, match=r"known above 0\.5, but the cut is 0\.1; call"):
        partial.above(0.1)
    for values in ([1.0, 2.0], [np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="one finite row from large to small"):
            dataclasses.replace(found, eigenvalues=np.array(values))
    with pytest.raises(ValueError, match="cut must be a positive curvature"):
        dataclasses.replace(found, cut=0.0)


def test_lanczos_ends_where_the_landscape_is_flat():
    flat = Task(lambda: nn.Linear(60, 2, bias=False), Dataset(*flat_arrays()), loss=squared_error)
    found = sharp_directions(flat, flat.initial(0), method="lanczos", execution=QUIET)
    assert found.count == 0 and found.trace == 0
    exact = sharp_directions(flat, flat.initial(0), execution=QUIET)
    assert exact.count == 0 and np.isnan(exact.goldilocks)


def test_lanczos_ends_where_what_is_left_is_flat():
    x, y, *test = flat_arrays()
    x[:, 0] = 2
    task = Task(lambda: nn.Linear(60, 2, bias=False), Dataset(x, y, *test), loss=squared_error)
    found = sharp_directions(task, task.initial(0), method="lanczos", execution=QUIET)
    np.testing.assert_allclose(found.eigenvalues, [4, 4])  # x'x over two outputs' mean, twice
    assert found.provenance["products"] > found.provenance["draws"]
    assert found.provenance["task"] == task.fingerprint


def flat_arrays():
    x, y = np.zeros((8, 60), dtype=np.float32), np.zeros((8, 2), dtype=np.float32)
    return x, y, x.copy(), y.copy()


def test_an_eigenvalue_at_the_cut_is_not_above_it():
    found = SharpDirections(np.array([2.0, 1, 1, 0.5]), 1.0, 4.5, 6.25**0.5, 0, 0, "exact", {})
    assert found.count == 1 and found.above(0.5) == 3
    assert found.goldilocks == pytest.approx(4.5 / 2.5)
