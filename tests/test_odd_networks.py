"""Every public call takes the networks that `train` takes, or refuses them by name."""

import copy

import numpy as np
import pytest
import torch
from support import nets, zoo

import jumpretrain as jr
from jumpretrain.contents.estimates import normalisers, renew_vectors
from jumpretrain.tasks.task import Task

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
QUIET = jr.Execution(progress=False)
RECIPE = jr.Recipe(epochs=2, lr=0.05, batch_size=11)
SHORT = jr.Recipe(epochs=1, lr=0.001, optimiser="adam", record_every=0, batch_size=11)


@pytest.fixture(scope="module", params=zoo.ZOO)
def trained(request):
    task = zoo.task(request.param)
    return task, jr.train(task, RECIPE, [0, 1, 2], execution=QUIET)


def by_hand(task, state):
    """Load a state into a network of one's own, and score it as the policy says."""
    network, x = task.module(state), task.tensors["train_x"]
    layers = normalisers(network)
    network.eval()
    renew_vectors(network)
    with torch.no_grad():
        for layer in layers:
            layer.train()
            layer.momentum = 1.0  # all examples in one batch
        network(x)
        outputs = network.eval()(x)
    return task.loss(outputs, task.tensors["train_y"]).double().mean().item()


def test_scores_are_those_of_the_network_itself(trained):
    task, fit = trained
    expected = [by_hand(task, state) for state in fit.final]
    np.testing.assert_allclose(fit.metrics["train_loss"][:, -1], expected, rtol=2e-5)
    np.testing.assert_allclose(jr.evaluate(task, fit.final)["train_loss"], expected, rtol=2e-5)
    assert np.array_equal(task.state(task.module(fit.final[1])), fit.final[1])


def test_training_alone_and_at_once_agree(trained):
    task, fit = trained
    alone = jr.train(task, RECIPE, [1], execution=QUIET)
    np.testing.assert_allclose(alone.final[0], fit.final[1], atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spectral_norm", "weight_norm", "own parametrization"])
def test_workers_train_parametrized_networks_to_the_same_bits(name, tmp_path):
    network = zoo.ZOO[name]()
    task = Task(network, nets.vectors())
    starts = np.repeat(task.state(network)[None], 3, axis=0)
    alone = jr.Execution(progress=False, mode="looped")
    pair = jr.Execution(progress=False, mode="looped", n_jobs=2)
    one = jr.train(task, RECIPE, [0, 1, 2], starts, execution=alone)
    two = jr.train(task, RECIPE, [0, 1, 2], starts, tmp_path, execution=pair)
    assert np.array_equal(one.states, two.states[:])


def test_jumps_and_paths_pass_through_their_states(trained):
    task, fit = trained
    loss = fit.metrics["train_loss"][:, -1]
    runs = jr.sample(task, fit.final[0], RECIPE, (0.0, 1.0), directions=1, execution=QUIET)
    assert np.array_equal(runs.states[0, 0], fit.final[0])
    assert runs.metrics["train_loss"][0, 0] == pytest.approx(loss[0], rel=1e-5)
    assert runs.metrics["train_loss"][1, 0] == pytest.approx(
        by_hand(task, runs.states[1, 0]), rel=2e-5
    )
    path = jr.interpolate(task, fit.final[0], fit.final[1], alphas=3, execution=QUIET)
    middle = by_hand(task, (fit.final[0].astype(float) + fit.final[1]) / 2)
    np.testing.assert_allclose(path.metrics["train_loss"], [loss[0], middle, loss[1]], rtol=5e-5)
    for one in jr.layerwise(task, *fit.final[:2], alphas=2, execution=QUIET).values():
        assert one.metrics["train_loss"][-1] == pytest.approx(loss[1], rel=1e-5)
    plane = jr.plane_through(task, fit.final, size=2, execution=QUIET)
    assert np.isfinite(plane.metrics["train_loss"]).all()


@pytest.mark.parametrize("method", ["hyperplane", "bezier", "surface"])
def test_connectors_end_at_the_optima(trained, method):
    task, fit = trained
    count = 3 if method == "surface" else 2
    choices = {"method": "hyperplane", "refine": True} if count == 3 else {"method": method}
    joined = jr.connect(
        task, fit.final[:count], recipe=SHORT, inner=1, each=2, execution=QUIET, **choices
    )
    ends = joined.metrics["train_loss"][joined.coordinates.max(axis=1) == 1]
    np.testing.assert_allclose(
        np.sort(ends), np.sort(fit.metrics["train_loss"][:count, -1]), rtol=1e-5
    )
    assert np.isfinite(joined.metrics["train_loss"]).all()


def test_curvature_is_measured_where_the_loss_is(trained):
    task, fit = trained
    state = fit.final[0]
    sharp = jr.sharp_directions(task, state, execution=QUIET)
    if not normalisers(task.module()):  # a Hessian has the statistics of its state
        assert sharp.loss == pytest.approx(fit.metrics["train_loss"][0, -1], rel=1e-5)
    assert len(sharp.eigenvalues) == task.weight_count and sharp.eigenvalues[0] > 0
    width = jr.tunnel_width(task, state, 9.0, directions=2, steps=2, execution=QUIET)
    assert width.start_loss == pytest.approx(fit.metrics["train_loss"][0, -1], rel=1e-5)
    found = jr.threshold_dimension(
        task, RECIPE, dims=[3], seeds=[0], metric="train_loss", execution=QUIET
    )
    assert found.free[0] == pytest.approx(fit.metrics["train_loss"][0, -1], rel=1e-4)
    assert np.isfinite(found.values).all()


def test_ensembles_average_the_networks(trained):
    task, fit = trained
    found = jr.ensemble(task, fit.final, execution=QUIET)
    np.testing.assert_allclose(
        found.members["test_loss"], fit.metrics["test_loss"][:, -1], rtol=1e-5
    )


def test_alignment_keeps_the_function_or_refuses_the_layer_by_name(trained, request):
    task, fit = trained
    if request.node.callspec.params["trained"] == "one input":
        same = jr.align(task, fit.final[1], to=fit.final[0])
        assert jr.evaluate(task, [same])["train_loss"][0] == pytest.approx(
            fit.metrics["train_loss"][1, -1], rel=1e-5
        )
        return
    with pytest.raises(ValueError, match=r"units are known in .*, but '.*', a .* is something"):
        jr.align(task, fit.final[1], to=fit.final[0])


def test_nothing_of_it_changes_the_network_given(trained):
    task, _ = trained
    template = copy.deepcopy(task.template)
    jr.sharp_directions(task, task.initial(0), execution=QUIET)
    jr.evaluate(task, [task.initial(1)])
    assert np.array_equal(task.state(template), task.state(task.template))
