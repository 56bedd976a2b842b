"""Scores equal what torch gives directly, in any order and under each BatchNorm policy."""

import copy

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

from jumpretrain.contents.estimates import normalisers
from jumpretrain.engine.evaluate import evaluate, measure, measure_both, metric_names
from jumpretrain.execution.execution import Execution
from jumpretrain.execution.settings import standard_settings
from jumpretrain.networks.models import mlp
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import cross_entropy, squared_error
from jumpretrain.tasks.task import Task

QUIET = Execution(progress=False)


def by_hand(task, state, split):
    """Score a state as a user would, with the statistics that the state holds."""
    module = task.module(state).eval()
    x, y = task.tensors[f"{split}_x"], task.tensors[f"{split}_y"]
    with torch.no_grad():
        outputs = module(x)
        return {name: float(f(outputs, y).double().mean()) for name, f in task.measures.items()}


@pytest.mark.parametrize("name", nets.TASKS)
def test_scores_equal_a_direct_evaluation(name):
    made = nets.TASKS[name]()
    task = Task(made.model, made.data, made.loss, batchnorm="stored")
    states = np.stack([task.initial(seed) for seed in (0, 1)])
    found = evaluate(task, states)
    assert sorted(found) == sorted(metric_names(task))
    for row, state in enumerate(states):
        for split in ("train", "test"):
            for measured, value in by_hand(task, state, split).items():
                assert found[f"{split}_{measured}"][row] == pytest.approx(value, rel=1e-12)
                assert found[f"{split}_{measured}"].dtype == np.float64


def test_training_scores_are_those_of_the_scored_examples_and_no_augmentation():
    data = nets.images()
    plain = Task(nets.normed, data, scored=9, batchnorm="stored")
    task = Task(nets.normed, data.augment(crop=1), scored=9, batchnorm="stored")
    state = task.initial(0)
    found = evaluate(task, [state])
    assert found["train_loss"][0] == pytest.approx(by_hand(plain, state, "scored")["loss"])
    assert found["train_loss"] == evaluate(plain, [state])["train_loss"]
    assert found["train_loss"][0] != pytest.approx(by_hand(plain, state, "train")["loss"])


def test_more_examples_than_a_batch_are_all_counted_once():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2500, 6))
    data = Dataset(x, x, x[:1025], x[:1025])
    task = Task(nets.double(lambda: nn.Linear(6, 6)), data, loss=squared_error, scored=2500)
    state = task.initial(0)
    found = evaluate(task, [state])
    for split in ("train", "test"):
        expected = by_hand(task, state, split)["loss"]
        assert found[f"{split}_loss"][0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_states_that_are_not_finite_are_refused(value):
    task = nets.TASKS["mlp"]()
    states = np.stack([task.initial(0)] * 3)
    states[1, 4] = value
    with pytest.raises(ValueError, match=r"states must be finite, but state 1 of 3 is not"):
        evaluate(task, states)
    found = measure(task, states)
    assert np.isnan(found["test_loss"]).tolist() == [False, True, False]


def test_a_finite_state_keeps_a_loss_that_is_not_finite():
    def unlike(outputs, targets):
        return cross_entropy(outputs, targets) + torch.log(outputs - outputs)[:, 0].abs()

    made = nets.TASKS["mlp"]()
    task = Task(made.model, made.data, loss=unlike, metrics={"error": cross_entropy})
    found = evaluate(task, [task.initial(0)])
    assert found["train_loss"][0] == np.inf and np.isfinite(found["train_error"][0])
    single = Task(lambda: mlp((6,), 3, hidden=(8,)), nets.vectors())
    wild = evaluate(single, [1e30 * single.initial(0)])
    assert not np.isfinite(wild["test_loss"][0]) and wild["test_accuracy"].shape == (1,)


@pytest.mark.parametrize("name", ["conv with BatchNorm", "mlp with BatchNorm"])
def test_recalibration_uses_the_mean_and_unbiased_variance_of_the_scored_examples(name):
    task = nets.TASKS[name]()
    state = task.initial(0)
    module = task.module(state).eval()
    first, norm = module[0], module[1]
    with torch.no_grad():
        before = first(task.tensors["scored_x"])
        axes = [axis for axis in range(before.ndim) if axis != 1]
        norm.running_mean.copy_(before.mean(axes))
        norm.running_var.copy_(before.var(axes, correction=1))
    closed = task.layout.read(module).numpy()
    found = evaluate(task, [state])
    for split in ("train", "test"):
        expected = by_hand(task, closed, split)
        assert found[f"{split}_loss"][0] == pytest.approx(expected["loss"], rel=1e-9)
        stale = by_hand(task, state, split)["loss"]
        assert found[f"{split}_loss"][0] != pytest.approx(stale, rel=1e-3)


class Shared(nn.Module):
    """Calls one stem more than once, each time with other numbers."""

    def __init__(self, layer):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(2, 8), layer, nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        first, second, third = x.split(2, 1)
        return self.head(self.stem(first) - self.stem(3 * second + 1) * self.stem(third - 2))


@pytest.mark.parametrize("count", [60, 2500])
def test_a_normalising_layer_that_is_called_more_than_once_averages_over_all_calls(count):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(count, 6)).astype("float32"), np.arange(count) % 3
    task = Task(lambda: Shared(nn.BatchNorm1d(8)), Dataset(x, y, x[:9], y[:9]), scored=count)
    state = task.initial(0)
    network = task.module(state)
    network.stem[1].momentum = None  # torch's own average over calls
    network.stem[1].reset_running_stats()
    with torch.no_grad():
        for batch in task.batches("scored_x"):
            network(batch)
        outputs = network.eval()(task.tensors["test_x"])
    expected = float(cross_entropy(outputs, task.tensors["test_y"]).double().mean())
    assert evaluate(task, [state])["test_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_recalibration_does_not_look_at_the_statistics_of_the_state():
    task = nets.TASKS["conv with BatchNorm"]()
    state = task.initial(0)
    other = state.copy()
    other[task.weight_count :] += 1.5
    assert evaluate(task, [state]) == evaluate(task, [other])
    stored = Task(task.model, task.data, batchnorm="stored")
    assert evaluate(stored, [state]) != evaluate(stored, [other])


def test_batch_statistics_are_those_of_each_batch():
    made = nets.TASKS["mlp with BatchNorm"]()
    task = Task(made.model, made.data, batchnorm="batch")
    state = task.initial(0)
    module = task.module(state).train()
    with torch.no_grad():
        expected = cross_entropy(module(task.tensors["test_x"]), task.tensors["test_y"]).mean()
    assert evaluate(task, [state])["test_loss"][0] == pytest.approx(float(expected), rel=1e-12)
    assert evaluate(task, [state, state])["test_loss"].tolist() == [pytest.approx(expected)] * 2


@pytest.mark.parametrize("policy", ["recalibrate", "stored", "batch"])
def test_both_policies_stand_side_by_side(policy):
    made = nets.TASKS["conv with BatchNorm"]()
    task = Task(made.model, made.data, batchnorm=policy)
    state = task.initial(0)[None]
    with standard_settings():
        found = measure_both(task, state)
    ending, other = ("recalibrated", "recalibrate") if policy == "stored" else ("stored", "stored")
    second = evaluate(Task(made.model, made.data, batchnorm=other), state)
    assert found == evaluate(task, state) | {f"{n}_{ending}": v for n, v in second.items()}
    plain = nets.TASKS["mlp"]()
    assert measure_both(plain, plain.initial(0)[None]).keys() == set(metric_names(plain))


def test_normalisers_are_those_with_statistics_that_nobody_froze():
    module = nn.Sequential(
        nn.BatchNorm1d(3),
        nn.BatchNorm1d(3).eval(),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.LayerNorm(3),
        nn.Sequential(nn.BatchNorm2d(3)),
    )
    assert normalisers(module) == [module[0], module[4][0]]


@pytest.mark.parametrize("name", ["mlp", "conv with BatchNorm", "padded transformer"])
def test_a_score_depends_on_its_state_alone(name):
    task = nets.TASKS[name]()
    states = np.stack([(1 + seed / 40) * task.initial(seed) for seed in range(70)])
    order = np.random.default_rng(0).permutation(70)
    whole, shuffled = evaluate(task, states), evaluate(task, states[order])
    alone = [evaluate(task, states[[row]]) for row in (0, 63, 64, 69)]
    for key, values in whole.items():
        assert len(np.unique(whole["test_loss"])) == 70
        np.testing.assert_array_equal(shuffled[key], values[order])
        np.testing.assert_array_equal([one[key][0] for one in alone], values[[0, 63, 64, 69]])


def test_no_states_give_empty_arrays():
    task = nets.TASKS["conv with BatchNorm"]()
    found = evaluate(task, np.empty((0, task.layout.width)))
    assert set(found) == set(metric_names(task))
    assert all(value.shape == (0,) and value.dtype == np.float64 for value in found.values())


def test_processes_give_the_bits_of_one_process():
    task = nets.TASKS["conv with BatchNorm"]()
    states = np.stack([task.initial(seed) for seed in range(70)])
    alone = evaluate(task, states, QUIET)
    spread = evaluate(task, states, Execution(n_jobs=2, progress=False))
    assert all(np.array_equal(alone[key], spread[key]) for key in alone)


class Moody(nn.Module):
    """A network that fails in evaluation once its bias is large."""

    def __init__(self):
        super().__init__()
        self.body = nets.normed_mlp()

    def forward(self, x):
        if float(self.body[3].bias.detach()[0]) > 10:
            raise ArithmeticError("moody")
        return self.body(x)


def everything(model):
    """List all that a call could change in a model."""
    tensors = {key: value.clone() for key, value in model.state_dict().items()}
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    grads = [parameter.grad is None for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    momenta = [module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    return tensors, (wanted, grads, modes, momenta)


@pytest.mark.parametrize("policy", ["recalibrate", "stored", "batch"])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_stays_as_it_was_also_after_an_exception(policy, training):
    model = Moody().train(training)
    model.body[0].weight.requires_grad_(False)
    tensors, rest = everything(model)
    tensors = copy.deepcopy(tensors)
    task = Task(model, nets.vectors(), batchnorm=policy)
    state = task.initial(0)
    broken = state.copy()
    broken[: task.weight_count] += 50
    threads = torch.get_num_threads()
    before = evaluate(task, [state])
    with pytest.raises(ArithmeticError, match="moody"):
        evaluate(task, [state, broken])
    after, other = everything(model)
    assert other == rest and torch.get_num_threads() == threads
    assert all(torch.equal(after[key], value) for key, value in tensors.items())
    assert evaluate(task, [state]) == before


class Idle(nn.Module):
    """A linear network with a weight that no output depends on."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Linear(3, 2), nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.used(x)


def test_a_state_that_is_not_finite_scores_nan_whether_or_not_it_shows():
    rng = np.random.default_rng(0)
    data = Dataset(*[rng.normal(size=(6, 3)), rng.integers(2, size=6)] * 2)
    task = Task(Idle, data)
    states = np.repeat(task.initial(0)[None], 3, axis=0)
    states[1, task.layout.names.index("idle")] = np.nan  # stands first
    states[1, 0] = np.nan
    for values in measure(task, states).values():
        assert np.isnan(values).tolist() == [False, True, False]


def test_more_states_than_are_copied_at_a_time_are_all_scored():
    rng = np.random.default_rng(0)
    data = Dataset(*[rng.normal(size=(6, 3)), rng.integers(2, size=6)] * 2)
    task = Task(lambda: mlp((3,), 2, hidden=(4,)), data)
    states = np.stack([task.initial(seed) for seed in range(70)])
    some = measure(task, states[[0, 63, 64, 69]])
    for name, values in measure(task, states).items():
        assert np.isfinite(values).all()
        assert values[[0, 63, 64, 69]] == pytest.approx(some[name], rel=1e-6)
