"""Directions, jumps, baselines and nulls."""

import json

import numpy as np
import pytest
import torch
from support import nets
from torch import nn
from torch.nn.utils import parametrizations

from jumpretrain.engine.recipe import Recipe
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.sampling.baselines import grid, rays, walk
from jumpretrain.sampling.sample import sample
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.states.directions import directions
from jumpretrain.storage import folders
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task

QUIET = Execution(progress=False)
SHORT = Recipe(epochs=2, batch_size=8)


@pytest.fixture
def task():
    return nets.TASKS["mlp"]()


@pytest.fixture
def optimum(task):
    return task.initial(0)


def named(task, row):
    return dict(task.layout.weights(row))


@pytest.mark.parametrize("name", nets.TASKS)
def test_each_filter_has_the_optimums_norm_and_1d_tensors_stay(name):
    task = nets.TASKS[name]()
    optimum = task.initial(1)
    rows, still = directions(task.layout, optimum, [0, 5])
    filters = 0
    for row in rows:
        drawn, weights = named(task, row), named(task, optimum)
        for key, tensor in weights.items():
            if tensor.ndim < 2:
                assert not drawn[key].any()
                continue
            for found, wanted in zip(drawn[key], tensor, strict=True):
                assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(wanted), rel=1e-12)
                filters += 1
    assert filters > 6
    assert still == (1 if name == "padded transformer" else 0)


def test_layer_and_whole_normalisation_have_the_optimums_norms(task, optimum):
    layer = named(task, directions(task.layout, optimum, [0], "layer")[0][0])
    weights = named(task, optimum)
    for key, tensor in weights.items():
        expected = np.linalg.norm(tensor) if tensor.ndim > 1 else 0
        assert np.linalg.norm(layer[key]) == pytest.approx(expected)
    whole = directions(task.layout, optimum, [0], "none", include_1d=True)[0][0]
    assert np.linalg.norm(whole) == pytest.approx(np.linalg.norm(optimum))
    with_biases = named(task, directions(task.layout, optimum, [0], include_1d=True)[0][0])
    assert all(with_biases[key].any() for key in weights)
    with pytest.raises(ValueError, match="normalise must be filter, layer or none"):
        directions(task.layout, optimum, [0], "filters")


def test_directions_are_gaussian_with_both_signs_and_nearly_orthogonal():
    task = Task(lambda: mlp((6,), 3, hidden=(200, 200)), nets.vectors())
    rows, _ = directions(task.layout, task.initial(0), [0, 1, 2])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert abs((rows > 0).sum() / (rows != 0).sum() - 0.5) < 0.01
    assert np.abs(np.triu(unit @ unit.T, 1)).max() < 0.03


def test_a_direction_depends_on_its_seed_and_the_optimum_alone(task, optimum):
    alone = directions(task.layout, optimum, [7])[0][0]
    among = directions(task.layout, optimum, [1, 7, 3])[0][1]
    assert np.array_equal(alone, among)
    runs = [
        sample(task, optimum, SHORT, (0.0, 0.5), [7], order_seed=order, execution=QUIET)
        for order in (0, 9)
    ]
    assert np.array_equal(runs[0].states[1, 0], runs[1].states[1, 0])
    assert not np.array_equal(runs[0].states[1, -1], runs[1].states[1, -1])


def test_zero_filters_stay_and_a_direction_without_motion_is_refused():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.zeros_(model[2].weight)
    task = Task(model, nets.vectors())
    state = task.state(model)
    rows, still = directions(task.layout, state, [0])
    assert still == 3
    assert not named(task, rows[0])["2.weight"].any()
    nn.init.zeros_(model[0].weight)
    with pytest.raises(ValueError, match="a direction must move a weight"):
        directions(task.layout, task.state(model), [0])


def single(kind):
    layers = {
        "linear": lambda: nn.Linear(1, 16),
        "depthwise": lambda: nn.Conv2d(16, 16, 1, groups=16),
        "lengths": lambda: parametrizations.weight_norm(nn.Linear(6, 16)),
    }
    before = {"linear": nn.Linear(6, 1), "depthwise": nn.Conv2d(1, 16, 3)}.get(kind, nn.Identity())
    after = [nn.Flatten(), nn.LazyLinear(3)]
    network = nn.Sequential(before, layers[kind](), *after)
    data = nets.images() if kind == "depthwise" else nets.vectors()
    network(torch.tensor(data.train_x[:2]))
    return Task(network, data)


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("linear", "1.weight"),
        ("depthwise", "1.weight"),
        ("lengths", "1.parametrizations.weight.original0"),
    ],
)
def test_filters_of_one_number_are_neither_zeroed_nor_doubled(kind, tensor, tmp_path):
    task = single(kind)
    state = task.state(task.template)
    row = named(task, directions(task.layout, state, [0])[0][0])
    assert row[tensor].shape[0] == 16 and not row[tensor].any()
    with_1d = named(task, directions(task.layout, state, [0], include_1d=True)[0][0])
    own = dict(task.layout.weights(state))[tensor]
    ratios = np.abs(with_1d[tensor] / own)
    assert np.linalg.norm(with_1d[tensor]) == pytest.approx(np.linalg.norm(own))
    assert np.abs(ratios - 1).max() > 0.1  # scaled as one
    for normalise in ("layer", "none"):
        assert named(task, directions(task.layout, state, [0], normalise)[0][0])[tensor].all()
    folder = tmp_path / "kept"
    runs = sample(task, state, SHORT, (1.0,), 1, folder=folder, execution=QUIET)
    jumped = dict(task.layout.weights(runs.states[0, 0]))[tensor]
    assert np.array_equal(jumped, own)
    assert runs.provenance["single_filters"] == {tensor: 16}
    assert rays(task, state, 1, (0.5,), execution=QUIET).provenance["single_filters"]
    index = folder / "sampling.json"
    older = json.loads(index.read_text())
    del older["single_filters"], older["checksum"]
    folders.write_sealed(index, older)
    with pytest.raises(ValueError, match=r"single_filters is .* here and null there"):
        sample(task, state, SHORT, (1.0,), 1, folder=folder, execution=QUIET)


def test_only_networks_with_filters_of_one_number_say_so(task, optimum):
    assert "single_filters" not in sample(task, optimum, SHORT, (0.5,), 1).provenance
    alone = Task(lambda: nn.Linear(1, 3), Dataset(*[np.ones((9, 1)), np.zeros(9, int)] * 2))
    with pytest.raises(ValueError, match="1-d, of filters of one number or zero here; pass incl"):
        directions(alone.layout, alone.initial(0), [0])
    assert directions(alone.layout, alone.initial(0), [0], include_1d=True)[0].any()


def test_two_step_sizes_of_a_direction_start_on_one_ray(task, optimum):
    runs = sample(task, optimum, SHORT, (0.0, 0.25, 1.0), [3], execution=QUIET)
    ray = directions(task.layout, optimum, [3])[0][0]
    jumps = runs.weights[:, 0] - optimum[: task.weight_count]
    np.testing.assert_allclose(jumps, np.outer([0.0, 0.25, 1.0], ray), atol=1e-14)


def test_step_0_is_the_identity_and_its_runs_see_orders_of_their_own(task, optimum):
    runs = sample(task, optimum, SHORT, (0.0, 0.5), 3, order_seed=4, execution=QUIET)
    control = runs.step_size == 0
    assert np.array_equal(runs.states[control, 0], np.repeat(optimum[None], 3, axis=0))
    assert runs.order_seed[control].tolist() == [4, 5, 6]
    assert set(runs.order_seed[~control]) == {4}
    for name, value in runs.optimum_metrics.items():
        assert np.array_equal(runs.metrics[name][control, 0], np.full(3, value))
    assert len(runs.jumps()) == 3 and (runs.jumps().step_size > 0).all()


def test_each_metric_comes_from_its_own_split(task, optimum):
    runs = sample(task, optimum, SHORT, (0.0, 0.5), 2, execution=QUIET)
    module = task.module(runs.states[1, -1]).eval()
    for split, x, y in (("train", "train_x", "train_y"), ("test", "test_x", "test_y")):
        with torch.no_grad():
            outputs = module(task.tensors[x])
        loss = nn.functional.cross_entropy(outputs, task.tensors[y]).item()
        share = (outputs.argmax(1) == task.tensors[y]).double().mean().item()
        assert runs.metrics[f"{split}_loss"][1, -1] == pytest.approx(loss, rel=1e-12)
        assert runs.metrics[f"{split}_accuracy"][1, -1] == pytest.approx(share, rel=1e-12)
    assert len(runs.epoch) == len(SHORT.record_steps(6))


def test_batchnorm_at_the_jump_is_scored_stale_and_recalibrated():
    task = nets.TASKS["conv with BatchNorm"]()
    fit = task.initial(0)
    runs = sample(task, fit, SHORT, (1.0,), 2, execution=QUIET)
    assert np.abs(runs.metrics["train_loss"] - runs.metrics["train_loss_stored"]).max() > 1e-3
    stale = Task(task.model, task.data, batchnorm="stored")
    other = sample(stale, fit, SHORT, (1.0,), 2, execution=QUIET)
    assert np.array_equal(other.metrics["train_loss"], runs.metrics["train_loss_stored"])
    assert np.array_equal(other.metrics["train_loss_recalibrated"], runs.metrics["train_loss"])


def test_rays_are_the_closed_form_on_a_bowl():
    task = Task(
        nn.Linear(6, 6, bias=False).double(),
        nets.as_targets(nets.vectors(dtype=np.float64)),
        loss=squared_error,
    )
    perfect = np.eye(6).ravel()
    found = rays(task, perfect, 3, radii=(0.5, 1.0), execution=QUIET)
    inputs = task.data.train_x
    for row in range(6):
        gap = (found.states[row, 0] - perfect).reshape(6, 6)
        expected = ((inputs @ gap.T) ** 2).mean()
        assert found.metrics["train_loss"][row, 0] == pytest.approx(expected, rel=1e-12)
    ratio = found.metrics["train_loss"][1::2] / found.metrics["train_loss"][::2]
    np.testing.assert_allclose(ratio, 4)


def test_the_grid_visits_the_nodes_that_it_names(task, optimum):
    found = grid(task, optimum, shape=(3, 3, 2), reach=0.5, execution=QUIET)
    nodes = np.array(found.provenance["nodes"])
    axes, _ = directions(task.layout, optimum, [0, 1, 2])
    expected = optimum + np.c_[nodes @ axes]
    np.testing.assert_allclose(found.states[:, 0], expected, atol=1e-12)
    assert len(np.unique(nodes, axis=0)) == 18
    for node, loss in zip(expected, found.metrics["test_loss"][:, 0], strict=True):
        outputs = task.module(node)(task.tensors["test_x"])
        assert loss == pytest.approx(
            nn.functional.cross_entropy(outputs, task.tensors["test_y"]).item()
        )


def test_an_axis_of_one_node_stays_at_the_optimum(task, optimum):
    found = grid(task, optimum, shape=(3, 3, 1), execution=QUIET)
    nodes = np.array(found.provenance["nodes"])
    assert not nodes[:, 2].any() and len(nodes) == 9
    np.testing.assert_array_equal(found.states[4, 0], optimum)


def test_a_walk_keeps_starts_and_step_lengths_but_no_direction(task, optimum):
    runs = sample(task, optimum, SHORT, (0.5, 1.0), 2, execution=QUIET)
    null = walk(task, runs, seed=3, execution=QUIET)

    def lengths(found):
        return np.linalg.norm(np.diff(found.weights, axis=1), axis=2)

    assert np.array_equal(null.states[:, 0], runs.states[:, 0])
    np.testing.assert_allclose(lengths(null), lengths(runs), rtol=1e-9)
    assert np.array_equal(null.states, walk(task, runs, seed=3, execution=QUIET).states)
    assert not np.array_equal(null.states, walk(task, runs, seed=4, execution=QUIET).states)


def test_a_walk_keeps_all_labels(task, optimum):
    runs = sample(task, optimum, SHORT, (0.0, 0.5), 2, order_seed=6, execution=QUIET)
    assert runs.order_seed.tolist() == [6, 6, 7, 6]
    assert walk(task, runs, execution=QUIET).labels().equals(runs.labels())


def test_all_is_measured_on_one_thread_whatever_the_caller_has(optimum):
    def threads(outputs, targets):
        return torch.full((len(outputs),), float(torch.get_num_threads()))

    made = nets.TASKS["mlp"]()
    task = Task(made.model, made.data, metrics={"threads": threads})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = sample(task, optimum, SHORT, (0.5,), 1, execution=QUIET)
        scored = rays(task, optimum, 1, radii=(0.5,), execution=QUIET)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for found in (runs, scored):
        assert found.optimum_metrics["test_threads"] == 1
        assert (found.metrics["test_threads"] == 1).all()


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint16])
def test_a_number_of_numpy_counts_directions(task, optimum, kind):
    found = rays(task, optimum, kind(2), radii=(0.5,), execution=QUIET)
    assert found.direction.tolist() == [0, 1]


def test_bars_are_shown_on_stderr_alone_unless_silenced(task, optimum, capfd):
    sample(task, optimum, SHORT, (0.5,), 1)
    rays(task, optimum, 1, radii=(0.5,))
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "jumping and retraining: 100%" in printed.err
    assert "scoring: 100%" in printed.err
    sample(task, optimum, SHORT, (0.5,), 1, execution=QUIET)
    rays(task, optimum, 1, radii=(0.5,), execution=QUIET)
    assert capfd.readouterr().err == ""


def test_a_folder_holds_what_was_sampled_and_refuses_another_design(task, optimum, tmp_path):
    made = sample(task, optimum, SHORT, (0.0, 0.5), 2, folder=tmp_path, execution=QUIET)
    read = Trajectories.load(tmp_path)
    assert np.array_equal(read.states[:], made.states[:])
    assert read.frame().equals(made.frame())
    assert read.optimum_metrics == made.optimum_metrics
    assert read.provenance == made.provenance
    assert read.provenance["training"]["recipe"]["lr"] == SHORT.lr
    with pytest.raises(ValueError, match=r"directions is \[0, 1, 2\] here and \[0, 1\] there"):
        sample(task, optimum, SHORT, (0.0, 0.5), 3, folder=tmp_path, execution=QUIET)
    (tmp_path / "runs" / "00002.safetensors").unlink()
    partial = Trajectories.load(tmp_path)
    assert partial.status.tolist() == ["ok", "ok", "missing", "ok"]
    assert np.isnan(partial.metrics["test_loss"][2]).all()
    assert partial.jumps().direction.tolist() == [0, 1]
    assert partial.provenance == made.provenance
    partial.select([0, 1]).save(tmp_path / "part")
    assert Trajectories.load(tmp_path / "part").provenance == made.provenance
    again = sample(task, optimum, SHORT, (0.0, 0.5), 2, folder=tmp_path, execution=QUIET)
    assert np.array_equal(again.states[:], made.states[:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step_sizes": ()}, "step sizes must be"),
        ({"step_sizes": (-0.5,)}, "step_sizes must be"),
        ({"step_sizes": (0.5, 0.5)}, "step sizes must differ"),
        ({"step_sizes": (float("nan"),)}, "step_sizes must be"),
        ({"directions": 0}, "directions must be"),
        ({"directions": [1, 1]}, "directions must be"),
        ({"normalise": "weight"}, "normalise must be"),
    ],
)
def test_bad_input_is_refused(task, optimum, arguments, message):
    with pytest.raises(ValueError, match=message):
        sample(task, optimum, SHORT, **arguments)
    with pytest.raises(ValueError, match="the optimum must be one state of this task"):
        sample(task, optimum[:-1], SHORT)


def test_rays_say_which_direction_and_distance_each_run_has(task, optimum):
    found = rays(task, optimum, [5, 7], (0.5, 1.0, 2.0), execution=QUIET)
    assert found.direction.tolist() == [5, 5, 5, 7, 7, 7]
    assert found.step_size.tolist() == [0.5, 1, 2, 0.5, 1, 2]
    moved = found.weights[:, 0] - optimum[: task.weight_count]
    expected = directions(task.layout, optimum, [5, 7])[0]
    assert moved[[1, 4]] == pytest.approx(expected, abs=1e-6)


def test_the_step_size_of_a_node_is_its_distance_from_the_middle(task, optimum):
    found = grid(task, optimum, shape=(2, 2, 2), reach=0.5, execution=QUIET)
    assert found.step_size == pytest.approx(np.full(8, 0.75**0.5))
