"""Connectors lower real barriers, keep their ends, and go on where they were stopped."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.connectivity import connect as module
from jumpretrain.connectivity.connect import connect
from jumpretrain.connectivity.connector import Connector, lengths, score_connector

QUIET = jr.Execution(progress=False)
RECIPE = jr.Recipe(epochs=20, lr=0.001, optimiser="adam", record_every=0, record_early=False)
LONG = jr.Recipe(epochs=60, lr=0.001, optimiser="adam", record_every=0, record_early=False)
FEW = jr.Recipe(epochs=2, lr=0.001, optimiser="adam", record_every=0, record_early=False)


@pytest.fixture(scope="module")
def task():
    return jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(64, 64)), jr.data.digits())


@pytest.fixture(scope="module")
def optima(task):
    recipe = jr.Recipe(epochs=40, lr=0.05, record_every=0, record_early=False)
    return jr.train(task, recipe, range(6), execution=QUIET).final


@pytest.fixture(scope="module")
def joined(task, optima):
    return connect(task, optima[:2], recipe=RECIPE, execution=QUIET)


def test_a_hyperplane_connector_removes_half_of_the_barrier_and_more_when_refined(
    task, optima, joined
):
    assert joined.linear_barrier > 0.2
    assert joined.barrier < 0.5 * joined.linear_barrier
    kept = connect(task, optima[:2], recipe=RECIPE, refine=True, execution=QUIET)
    assert kept.barrier < 0.05 * joined.linear_barrier


def test_nodes_lie_in_planes_normal_to_the_chord_and_ends_to_the_bit(task, optima, joined):
    assert np.array_equal(joined.nodes[[0, -1]], optima[:2])
    chord = np.subtract(optima[1], optima[0], dtype=np.float64)
    along = (joined.nodes - optima[0].astype(np.float64)) @ chord / (chord @ chord)
    np.testing.assert_allclose(along, np.linspace(0, 1, 11), atol=1e-5)
    assert np.linalg.norm(joined.nodes[5] - (optima[0] + optima[1]) / 2) > 0.1


def test_scores_are_those_of_the_states_on_the_pieces(task, optima, joined):
    first, second = joined.nodes[3], joined.nodes[4]
    states = [first, 0.7 * first + 0.3 * second, second]
    values = jr.evaluate(task, states)
    for name, value in values.items():
        np.testing.assert_allclose(joined.metrics[name][[30, 33, 40]], value, rtol=1e-4)
    straight = jr.interpolate(task, *optima[:2], alphas=joined.alphas)
    found = joined.straight_metrics["train_loss"]
    np.testing.assert_allclose(found, straight.metrics["train_loss"], rtol=1e-4, atol=1e-7)


def test_lengths_norms_and_labels_are_as_by_hand(task, joined):
    states = joined.shares @ joined.nodes.astype(np.float64)
    steps = np.linalg.norm(np.diff(states, axis=0), axis=1)
    chord = np.linalg.norm(states[-1] - states[0])
    assert joined.length_ratio == pytest.approx(steps.sum() / chord, rel=1e-6)
    assert joined.length_ratio > 1
    np.testing.assert_allclose(joined.alphas[1:], np.cumsum(steps) / steps.sum(), rtol=1e-6)
    np.testing.assert_allclose(joined.norms, np.linalg.norm(states, axis=1), rtol=1e-6)
    x = task.tensors["test_x"]
    with torch.no_grad():
        labels = [task.module(s).eval()(x).argmax(1) for s in (states[0], states[50], states[-1])]
    expected = [(labels[1] != labels[k]).float().mean().item() for k in (0, 2)]
    np.testing.assert_allclose(joined.changed[50], expected, atol=1e-7)
    assert joined.changed[0, 0] == joined.changed[-1, 1] == 0


@pytest.mark.slow
def test_a_bezier_curve_is_as_good_at_equal_gradient_count(task, optima, joined):
    nine_times = jr.Recipe(
        epochs=180, lr=0.001, optimiser="adam", record_every=0, record_early=False
    )
    curve = connect(task, optima[:2], method="bezier", inner=1, recipe=nine_times, execution=QUIET)
    assert np.array_equal(curve.nodes[[0, -1]], optima[:2])
    assert curve.barrier < max(joined.barrier, 0.05 * joined.linear_barrier)


def test_a_chain_lowers_the_barrier_and_keeps_its_ends(task, optima):
    chain = connect(task, optima[:2], method="polychain", inner=1, recipe=RECIPE, execution=QUIET)
    assert chain.barrier < 0.5 * chain.linear_barrier
    assert np.array_equal(chain.nodes[[0, -1]], optima[:2])


@pytest.mark.slow
@pytest.mark.parametrize("m", [2, 3, 4, 5])
def test_the_mean_over_a_surface_is_under_a_tenth_of_the_flat_simplexs(task, optima, m):
    found = connect(task, optima[: m + 1], recipe=LONG, each=4, execution=QUIET)
    flat = found.straight_metrics["train_loss"]
    assert found.metrics["train_loss"].mean() < 0.1 * flat.mean()
    assert np.array_equal(found.nodes[: m + 1], optima[: m + 1])


@pytest.mark.slow
@pytest.mark.parametrize("m", [2, 3])
def test_refined_surfaces_are_low_everywhere(task, optima, m):
    refined = connect(task, optima[: m + 1], recipe=LONG, refine=True, execution=QUIET)
    assert np.array_equal(refined.optima, optima[: m + 1])
    assert refined.metrics["train_loss"].max() < 0.1
    flat = refined.straight_metrics["train_loss"]
    assert refined.metrics["train_loss"].mean() < 0.1 * flat.mean()


def test_each_node_of_a_surface_lies_over_its_face(task, optima):
    found = connect(task, optima[:3], recipe=FEW, execution=QUIET)
    assert np.array_equal(found.nodes[:3], optima[:3])
    wide = optima.astype(np.float64)
    for node, face in zip(found.nodes[3:], [(0, 1), (0, 2), (1, 2), (0, 1, 2)], strict=True):
        centre = wide[list(face)].mean(0)
        chords = wide[list(face[1:])] - wide[face[0]]
        np.testing.assert_allclose(chords @ (node - centre), 0, atol=1e-4)
        assert np.linalg.norm(node - centre) > 0
    with pytest.raises(ValueError, match="curve between 2 optima"):
        _ = found.alphas


def test_a_stopped_connector_goes_on_to_the_same_bits(task, optima, tmp_path, monkeypatch):
    choices = {"recipe": FEW, "refine": True, "rounds": 2, "tolerance": 0.0}
    whole = connect(task, optima[:2], execution=QUIET, **choices)
    real, calls = module.train, []

    def failing(*arguments, **words):
        calls.append(arguments[6])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **words)

    choices["folder"] = tmp_path
    monkeypatch.setattr(module, "train", failing)
    with pytest.raises(KeyboardInterrupt):
        connect(task, optima[:2], execution=QUIET, **choices)
    monkeypatch.setattr(module, "train", real)
    again = connect(task, optima[:2], execution=QUIET, **choices)
    assert [name[:7] for name in calls] == ["nodes", "round-1"]
    assert np.array_equal(again.nodes, whole.nodes)
    with pytest.raises(ValueError, match=r"recipe\.epochs"):
        connect(task, optima[:2], recipe=RECIPE, folder=tmp_path, execution=QUIET)


def test_batchnorm_is_recalibrated_at_every_point():
    data = jr.data.digits().subset(200, 50)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10)
    )
    task = jr.Task(network, data)
    optima = jr.train(task, jr.Recipe(epochs=5, lr=0.05), [0, 1], execution=QUIET).final
    for method in ("hyperplane", "bezier"):
        found = connect(task, optima, method=method, inner=1, recipe=FEW, execution=QUIET)
        states = (found.shares @ found.nodes.astype(np.float64)).astype(np.float32)
        values = jr.evaluate(task, states[[3, 9]])
        np.testing.assert_allclose(
            found.metrics["train_loss"][[3, 9]], values["train_loss"], rtol=1e-5
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optima": slice(0, 1)}, "joins 2 to 11 optima"),
        ({"optima": [0, 0]}, "must differ in their weights and not lie in line"),
        ({"optima": [0, 1, 1]}, "must differ in their weights and not lie in line"),
        ({"optima": [0] * 12}, "joins 2 to 11 optima"),
        ({"method": "spline"}, "hyperplane, bezier or polychain"),
        ({"optima": [0, 1, 2], "method": "bezier"}, "joins 2 optima"),
        ({"inner": 0}, "inner must be"),
        ({"each": 1}, "each must be"),
        ({"each": 2.5}, "each must be"),
        ({"rounds": -1}, "rounds must be"),
        ({"tolerance": float("nan")}, "tolerance must be"),
        ({"method": "bezier", "refine": True}, "bezier joins 2 optima and is not refined"),
    ],
)
def test_what_cannot_be_joined_is_refused(task, optima, change, message, monkeypatch):
    monkeypatch.setattr(module, "train", lambda *a, **w: pytest.fail("trained"))
    few = optima[change.pop("optima", [0, 1])]
    with pytest.raises((ValueError, TypeError), match=message):
        connect(task, few, execution=QUIET, **change)


def test_states_of_another_model_and_diverged_points_are_refused(task, optima, tmp_path):
    with pytest.raises(ValueError, match="states of this task"):
        connect(task, optima[:2, :-1], execution=QUIET)
    wild = jr.Recipe(epochs=2, lr=1e9, record_every=0, record_early=False)
    with pytest.raises(ValueError, match=r"must converge.* at rate 1000000000\.0; lower it$"):
        connect(task, optima[:2], recipe=wild, execution=QUIET)
    with pytest.raises(ValueError, match=r"lower it, and name another folder$"):
        connect(task, optima[:2], recipe=wild, folder=tmp_path, execution=QUIET)


def test_lengths_of_a_known_polygon():
    corners = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    shares = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(lengths(corners, shares), [0, 1.5, 3, 7])


def test_a_connector_checks_its_shapes():
    with pytest.raises(ValueError, match="must be 2 nodes"):
        Connector(np.zeros((3, 4)), np.ones((5, 2)), np.ones((5, 2)), {}, {}, None, {})


def test_a_mean_of_checkpoints_lies_in_line_with_them_up_to_rounding(task):
    late = jr.Recipe(epochs=3, lr=0.01, record_early=False)
    states = jr.train(task, late, [0], execution=QUIET).states[0, -2:]
    mean = ((states[0].astype(np.float64) + states[1]) / 2).astype(np.float32)
    with pytest.raises(ValueError, match="up to rounding; leave out what is repeated or a mean"):
        connect(task, np.stack([*states, mean]), execution=QUIET)


def small(**words):
    data = jr.data.digits().subset(120, 40)
    return jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(12,)), data, **words)


@pytest.fixture(scope="module")
def pair():
    return jr.train(small(), jr.Recipe(epochs=8, lr=0.05), [0, 1], execution=QUIET).final


def test_another_seed_gives_other_points_and_another_curve_has_its_own_folder(pair, tmp_path):
    made = {
        (method, seed): connect(
            small(), pair, method, recipe=FEW, inner=3, seed=seed, execution=QUIET,
            folder=tmp_path / str(seed),
        ).nodes
        for method in ("hyperplane", "bezier", "polychain")
        for seed in (0, 1)
    }  # fmt: skip
    assert len({nodes.tobytes() for nodes in made.values()}) == 6
    alone = connect(small(), pair, "polychain", recipe=FEW, inner=3, execution=QUIET).nodes
    assert np.array_equal(alone, made["polychain", 0])


def test_middles_are_normal_to_their_piece_and_a_large_tolerance_halves_none(pair):
    share = {"recipe": FEW, "inner": 1, "execution": QUIET}
    plain = connect(small(), pair, **share)
    kept = connect(small(), pair, refine=True, tolerance=5.0, **share)
    assert np.array_equal(kept.nodes, plain.nodes)
    finer = connect(small(), pair, refine=True, tolerance=0.0, rounds=1, **share)
    nodes = finer.nodes.astype(np.float64)
    made = [k for k, node in enumerate(finer.nodes) if not (node == plain.nodes).all(1).any()]
    assert made
    for k in made:
        chord, middle = nodes[k + 1] - nodes[k - 1], (nodes[k - 1] + nodes[k + 1]) / 2
        assert abs((nodes[k] - middle) @ chord) < 1e-5 * (chord @ chord)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_piece_is_halved_above_a_share_of_what_the_line_rises_over_its_higher_end(pair, flipped):
    ends = np.stack([pair[0], 0.7 * pair[1]])[:: -1 if flipped else 1]
    still = jr.Recipe(epochs=1, lr=1e-12, record_every=0, record_early=False)
    share = {"recipe": still, "inner": 1, "execution": QUIET, "each": 10}
    line = connect(small(), ends, **share)
    losses, values = line.metrics["train_loss"], line.straight_metrics["train_loss"]
    rises = [losses[k : k + 11].max() - max(losses[k], losses[k + 10]) for k in (0, 10)]
    over = values.max() - values[[0, -1]].max()
    assert over > 0 and max(rises) > 0 and np.ptp(values[[0, -1]]) > 0.1 * over
    for factor, count in ((0.97, 4), (1.03, 3)):
        tolerance = factor * max(rises) / over
        made = connect(small(), ends, refine=True, rounds=1, tolerance=tolerance, **share)
        assert len(made.nodes) == count


def test_losses_that_are_not_finite_do_not_end_refinement(pair):
    def walled(out, y):
        value = nn.functional.cross_entropy(out, y, reduction="none")
        beyond = len(out) == 120 and value.mean() > wall  # all training examples
        return value + torch.inf if beyond else value

    line = jr.interpolate(small(), *pair, alphas=31).metrics["train_loss"]
    wall = (line.max() + line[[10, 20]].max()) / 2  # beyond it lies the middle, but no node
    share = {"recipe": FEW, "inner": 2, "rounds": 1, "execution": QUIET}
    found = connect(small(loss=walled, metrics={}), pair, refine=True, **share)
    assert np.isinf(found.straight_metrics["train_loss"]).any()
    assert len(found.nodes) > 4


def test_points_are_trained_beside_the_optimas_own_frozen_layer():
    data = jr.data.digits().subset(120, 40)

    def build():
        model = jr.models.mlp((1, 8, 8), 10, hidden=(12,))
        model[1].requires_grad_(False)
        return model

    task = jr.Task(build, data)
    start = np.repeat(task.initial(3)[None], 2, axis=0)
    start[1, : task.weight_count] = task.initial(4)[: task.weight_count]
    optima = jr.train(task, jr.Recipe(epochs=8, lr=0.05), [0, 1], start, execution=QUIET).final
    same = jr.Task(task.module(optima[0]), data)
    curves = [connect(t, optima, "bezier", recipe=FEW, execution=QUIET) for t in (task, same)]
    assert np.array_equal(curves[0].nodes, curves[1].nodes)
    frozen = curves[0].nodes[:, task.weight_count :]
    assert np.abs(frozen - optima[0, task.weight_count :]).max() < 1e-6


def test_stored_statistics_are_of_points_trained_alone():
    data = jr.data.digits().subset(120, 40)
    build = lambda: jr.models.mlp((1, 8, 8), 10, hidden=(12,), batchnorm=True)  # noqa: E731
    task = jr.Task(build, data, batchnorm="stored")
    optima = [task.initial(0), task.initial(1)]
    with pytest.raises(ValueError, match="keep no running statistics of their own"):
        connect(task, optima, "bezier", recipe=FEW, execution=QUIET)
    assert len(connect(task, optima, recipe=FEW, inner=1, execution=QUIET).nodes) == 3


def test_labels_are_those_of_the_largest_output_whatever_the_metrics_are_called(pair):
    without = connect(small(metrics={}), pair, recipe=FEW, inner=1, execution=QUIET)
    labelled = connect(small(), pair, recipe=FEW, inner=1, execution=QUIET)
    np.testing.assert_array_equal(without.changed, labelled.changed)
    data = jr.data.digits().subset(120, 40)
    sign = jr.Dataset(data.train_x, data.train_y % 2, data.test_x, data.test_y % 2)
    logistic = lambda out, y: nn.functional.softplus(out[:, 0] * (1 - 2 * y))  # noqa: E731
    hits = {"accuracy": lambda out, y: ((out[:, 0] > 0) == (y > 0)).float()}
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 1, hidden=(8,)), sign, logistic, hits)
    two = [task.initial(0), task.initial(1)]
    assert connect(task, two, recipe=FEW, inner=1, execution=QUIET).changed is None


def test_provenance_names_every_choice(pair):
    facts = connect(small(), pair, recipe=FEW, inner=1, each=4, execution=QUIET).provenance
    assert facts["each"] == 4 and facts["execution"] == {"mode": "auto", "chunk": 16}
    assert {"method", "refine", "inner", "seed", "recipe", "task", "optima"} <= facts.keys()


def test_buffers_count_neither_in_lengths_nor_in_norms_nor_in_angles():
    data = jr.data.digits().subset(200, 50)
    build = lambda: jr.models.mlp((1, 8, 8), 10, hidden=(12,), batchnorm=True)  # noqa: E731
    task = jr.Task(build, data)
    optima = jr.train(task, jr.Recipe(epochs=5, lr=0.05), [0, 1], execution=QUIET).final
    found = connect(task, optima, recipe=FEW, inner=2, each=3, execution=QUIET)
    weights = found.nodes[:, : task.weight_count].astype(np.float64)
    points = found.shares @ weights
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    chord = weights[-1] - weights[0]
    np.testing.assert_allclose(found.alphas[1:], np.cumsum(steps) / steps.sum(), rtol=1e-6)
    assert found.length_ratio == pytest.approx(steps.sum() / np.linalg.norm(chord))
    np.testing.assert_allclose(found.norms, np.linalg.norm(points, axis=1), rtol=1e-6)
    off = weights[1:3] - weights[0]
    off -= np.outer(off @ chord / (chord @ chord), chord)
    cosine = off[0] @ off[1] / np.linalg.norm(off[0]) / np.linalg.norm(off[1])
    assert found.deviation_cosines()[0, 1] == pytest.approx(cosine, abs=1e-5)


def test_examples_without_a_class_count_as_labelled_otherwise():
    task = jr.Task(lambda: jr.models.mlp((6,), 3, hidden=(5,)), nets.vectors())
    ends = [task.initial(seed) for seed in (0, 1)]
    nodes = np.stack([ends[0], ends[0] * np.float32(1e30), ends[1]])  # outputs overflow between
    places = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    found = score_connector(task, nodes, np.eye(3), places, {}, QUIET)
    assert not np.isfinite(found.metrics["test_loss"][1])
    assert found.changed[1].tolist() == [1, 1]
    assert found.changed[0, 0] == found.changed[2, 1] == 0
    assert found.changed[2, 0] == found.changed[0, 1] < 1


def test_rises_are_above_the_higher_end_of_each_piece():
    # pieces of two steps: 1 4 3 rises by 1, 3 2 6 by nothing, 6 7 0 by 1
    losses = {"train_loss": np.array([1.0, 4, 3, 2, 6, 7, 0])}
    shares = np.eye(7)
    reached = np.arange(7) / 6
    made = Connector(shares, shares, np.c_[1 - reached, reached], losses, losses, None, {})
    assert module._rises(made, 2).tolist() == [1, 0, 1]
