"""Tasks take any network, data and loss, and refuse what cannot work before long work."""

import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import nets, zoo
from torch import nn

from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.initialisation import fresh
from jumpretrain.networks.models import mlp
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import cross_entropy, squared_error
from jumpretrain.tasks.task import Task, digest

QUIET = Execution(progress=False)


def small():
    return mlp((6,), 3, hidden=(8,))


class Forward(nn.Module):
    """A linear network whose forward pass does something on the way."""

    def __init__(self, change):
        super().__init__()
        self.inner = nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(()))
        self.change = change

    def forward(self, x):
        return self.change(self, self.inner(x))


def counted(module, outputs):
    module.seen += 1
    return outputs


def rebound(module, outputs):
    module.seen = module.seen + 1
    return outputs


def torch_noise(module, outputs):
    return outputs + torch.randn_like(outputs)


def numpy_noise(module, outputs):
    return outputs + float(np.random.default_rng().normal())


def dropped(module, outputs):
    return nn.functional.dropout(outputs)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range_are_refused(split, label):
    data = nets.vectors()
    arrays = {
        name: getattr(data, name).copy() for name in ("train_x", "train_y", "test_x", "test_y")
    }
    arrays[f"{split}_y"][5] = label
    low, high = min(label, 0), max(label, 2)
    message = rf"labels must lie in 0\.\.2, .* but {split}_y has {low}\.\.{high}; "
    with pytest.raises(ValueError, match=message):
        Task(small, Dataset(**arrays))


def test_labels_that_are_no_whole_numbers_are_refused():
    data = nets.vectors()
    wrong = Dataset(data.train_x, data.train_y.astype(float), data.test_x, data.test_y)
    with pytest.raises(ValueError, match="cross-entropy needs integer labels, but train_y is"):
        Task(small, wrong)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16])
def test_labels_of_any_whole_type_and_arrays_that_are_read_only_work(dtype):
    data = nets.vectors()
    x = data.train_x.copy()
    x.flags.writeable = False
    task = Task(small, Dataset(x, data.train_y.astype(dtype), data.test_x, data.test_y))
    assert task.tensors["train_y"].dtype == torch.int64
    assert task.fingerprint["data"] != Task(small, data).fingerprint["data"]


def test_a_loss_or_metric_that_is_not_of_each_example_is_refused():
    with pytest.raises(ValueError, match=r"loss must give one value for each example, \(2,\)"):
        Task(small, nets.vectors(), loss=nn.functional.cross_entropy)
    with pytest.raises(ValueError, match=r"right must give one value .* gives \(2, 3\)"):
        Task(small, nets.vectors(), metrics={"right": lambda outputs, targets: outputs})


@pytest.mark.parametrize("change", [torch_noise, numpy_noise, dropped])
def test_a_forward_that_is_random_in_evaluation_is_refused(change):
    with pytest.raises(ValueError, match="the forward is random in evaluation mode"):
        Task(Forward(change), nets.vectors())


@pytest.mark.parametrize("change", [counted, rebound])
def test_a_forward_that_changes_buffers_in_evaluation_is_refused(change):
    with pytest.raises(ValueError, match="this forward changes seen in eval mode; update it in"):
        Task(Forward(change), nets.vectors())


def test_randomness_in_training_alone_is_seen_and_allowed():
    assert Task(nets.dropped, nets.vectors()).random
    assert not Task(small, nets.vectors()).random


def test_a_model_that_cannot_be_copied_is_refused():
    locked = small()
    locked.guard = threading.Lock()
    with pytest.raises(ValueError, match=r"a model must allow copy\.deepcopy") as found:
        Task(locked, nets.vectors())
    assert "\n" not in str(found.value)


def test_an_activation_that_a_model_keeps_is_copied():
    cached = small()
    cached.activation = cached(torch.randn(2, 6))
    task = Task(cached, nets.vectors())
    assert torch.equal(task.module().activation, cached.activation)


def test_a_script_module_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Linear(6, 3))
    with pytest.raises(ValueError, match="pass the plain module"):
        Task(scripted, nets.vectors())


def test_an_unknown_batchnorm_policy_is_refused():
    with pytest.raises(ValueError, match="batchnorm must be recalibrate, stored or batch, but is"):
        Task(small, nets.vectors(), batchnorm="keep")


def test_states_of_another_network_or_not_finite_are_refused():
    task = nets.TASKS["mlp"]()
    state = task.initial(0)
    width = task.layout.width
    with pytest.raises(
        ValueError, match=rf"states of this task are \(K, {width}\), but these are"
    ):
        task.check_states(state[None, :-1])
    with pytest.raises(ValueError, match=rf"these are \({width},\)"):
        task.check_states(state)
    bad = np.stack([state, state, state])
    bad[1:, 3] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"state 1 of 3 is not \(2 in all\)"):
        task.check_states(bad)
    assert task.check_states(torch.as_tensor(state)[None]).shape == (1, width)
    with pytest.raises(ValueError, match=r"the optimum must be one state of this task, \(83,\)"):
        task.state(state[:5], "the optimum")


@pytest.fixture
def saved(tmp_path):
    """A network, and the files that hold its state."""
    module = nets.normed()
    module[1].running_mean.fill_(3)
    paths = [tmp_path / name for name in ("state.pt", "state.safetensors")]
    torch.save(module.state_dict(), paths[0])
    save_file(module.state_dict(), paths[1])
    return module, paths


def test_a_state_comes_from_a_module_a_dict_or_a_file(saved):
    module, paths = saved
    task = Task(nets.normed, nets.images())
    expected = task.layout.read(module).numpy()
    for source in (module, module.state_dict(), *paths, *map(str, paths)):
        np.testing.assert_array_equal(task.state(source), expected)
    assert np.array_equal(expected[-8:-4], np.full(4, 3))
    again = task.module(task.state(paths[0]))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in module.state_dict().items())


def test_a_state_of_another_model_is_refused_in_one_line(saved):
    _, paths = saved
    wider = Task(lambda: mlp((6,), 3, hidden=(9,)), nets.vectors())
    for source in (*paths, small(), {}, {"0.weight": 3}):
        with pytest.raises(ValueError, match="a state must belong to the task's model") as found:
            wider.state(source)
        assert "\n" not in str(found.value)


class Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_that_holds_code_or_no_state_is_refused_unread(tmp_path):
    task = Task(small, nets.vectors())
    torch.save({"0.weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    torch.save(small(), tmp_path / "module.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "list.pt").read_bytes()[:50])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    names = ("trap.pt", "module.pt", "list.pt", "cut.pt", "empty.safetensors", "gone.pt")
    for name in names:
        with pytest.raises(ValueError, match=rf"{name} must hold a state dict") as found:
            task.state(tmp_path / name)
        assert "\n" not in str(found.value)
    assert not (tmp_path / "sprung").exists()


def frozen_norm():
    model = fresh(nets.normed_mlp, 0)
    model[1].eval()
    model[1].running_mean.fill_(-2.0)
    model[1].running_var.fill_(0.1)
    return model


def test_a_frozen_batchnorm_stays_so_in_training_and_evaluation():
    model = frozen_norm()
    task = Task(model, nets.vectors())
    assert task.module().training and not task.module()[1].training
    runs = train(
        task, Recipe(epochs=2, batch_size=8), [0], task.state(model)[None], execution=QUIET
    )
    after = task.module(runs.final[0])
    assert torch.equal(after[1].running_mean, model[1].running_mean)
    assert torch.equal(after[1].running_var, model[1].running_var)
    assert not torch.equal(after[1].weight, model[1].weight)
    with torch.no_grad():
        losses = cross_entropy(after.eval()(task.tensors["train_x"]), task.tensors["train_y"])
    assert evaluate(task, runs.final)["train_loss"][0] == pytest.approx(losses.mean().item())
    free = evaluate(Task(nets.normed_mlp, nets.vectors()), runs.final)["train_loss"][0]
    assert free != pytest.approx(losses.mean().item(), rel=1e-3)


def test_the_model_given_may_change_later_without_changing_the_task():
    model = small()
    task = Task(model, nets.vectors())
    before = task.layout.read(task.module())
    nn.init.zeros_(model[1].weight)
    assert torch.equal(task.layout.read(task.module()), before)
    task.module()[1].weight.data.zero_()
    assert torch.equal(task.layout.read(task.module()), before)


def test_custom_metrics_and_regression_are_the_means_over_examples():
    def worst(outputs, targets):
        return (outputs - targets).abs().amax(1)

    data = nets.as_targets(nets.vectors())
    task = Task(lambda: nn.Linear(6, 6), data, loss=squared_error, metrics={"worst": worst})
    state = task.initial(0)
    found = evaluate(task, state[None])
    assert sorted(found) == ["test_loss", "test_worst", "train_loss", "train_worst"]
    pieces = dict(task.layout.weights(state))
    gap = data.test_x @ pieces["weight"].T + pieces["bias"] - data.test_x
    assert found["test_loss"][0] == pytest.approx((gap**2).mean(), rel=1e-5)
    assert found["test_worst"][0] == pytest.approx(np.abs(gap).max(1).mean(), rel=1e-5)


def test_accuracy_is_measured_by_default_where_the_loss_is_cross_entropy():
    assert list(Task(small, nets.vectors()).measures) == ["loss", "accuracy"]
    assert list(Task(small, nets.vectors(), metrics={}).measures) == ["loss"]
    assert list(nets.TASKS["tied autoencoder"]().measures) == ["loss"]


def test_tokens_stay_whole_numbers():
    task = nets.TASKS["transformer"]()
    assert task.tensors["train_x"].dtype == torch.int64
    assert np.isfinite(evaluate(task, task.initial(0)[None])["test_loss"]).all()


def test_data_take_the_type_of_the_network():
    assert Task(small, nets.vectors(dtype=np.float64)).tensors["train_x"].dtype == torch.float32
    task = Task(nets.double(small), nets.vectors())
    assert task.tensors["test_x"].dtype == torch.float64 and task.initial(0).dtype == np.float64


def test_the_scored_examples_are_one_fixed_part_of_the_training_set():
    task = Task(small, nets.vectors(), scored=10)
    x, scored = task.tensors["train_x"].numpy(), task.tensors["scored_x"].numpy()
    rows = [int(np.flatnonzero((x == row).all(1))[0]) for row in scored]
    assert len(set(rows)) == 10
    assert task.tensors["scored_y"].tolist() == task.tensors["train_y"][rows].tolist()
    again = Task(small, nets.vectors(), scored=10)
    assert torch.equal(again.tensors["scored_x"], task.tensors["scored_x"])
    assert len(Task(small, nets.vectors()).tensors["scored_x"]) == 44


def test_a_fingerprint_tells_tasks_apart():
    data = nets.images()
    tasks = {
        "same": Task(nets.normed, nets.images()),
        "data": Task(nets.normed, nets.images(seed=1)),
        "history": Task(nets.normed, data.corrupt(0.0)),
        "augmentation": Task(nets.normed, data.augment(crop=1)),
        "model": Task(nets.double(nets.normed), data),
        "measures": Task(nets.normed, data, metrics={}),
        "batchnorm": Task(nets.normed, data, batchnorm="stored"),
        "scored": Task(nets.normed, data, scored=9),
    }
    base = Task(nets.normed, data).fingerprint
    for name, task in tasks.items():
        changed = {key for key, value in task.fingerprint.items() if value != base[key]}
        told_twice = {"history", "values", "training", "held"}
        assert changed - told_twice == {name} - {"same", "history"}, name


def test_a_digest_sees_shapes_types_and_values():
    array = np.arange(6.0)
    others = [array + 1, array.reshape(2, 3), array.astype(np.float32), array[::-1]]
    assert len({digest(array), *map(digest, others)}) == 5
    assert digest(array[::2]) == digest(array[::2].copy())


def test_a_task_with_another_function_has_another_fingerprint():
    data = nets.as_targets(nets.vectors())
    build = lambda: nn.Linear(6, 6)  # noqa: E731
    losses = [lambda out, y: (out - y).square().mean(1), lambda out, y: (out - y).abs().mean(1)]
    tasks = [Task(build, data, loss=loss) for loss in losses]
    assert tasks[0].fingerprint["values"] != tasks[1].fingerprint["values"]
    again = Task(build, data, loss=losses[0])
    assert again.fingerprint == tasks[0].fingerprint

    class Active(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.inner, self.function = nn.Linear(6, 3), function

        def forward(self, x):
            return self.function(self.inner(x))

    kinds = [
        Task(lambda function=function: Active(function), nets.vectors())
        for function in (torch.relu, torch.sin)
    ]
    assert kinds[0].fingerprint != kinds[1].fingerprint


def test_shapes_that_would_be_broadcast_are_refused():
    data = nets.vectors()
    values = nets.Dataset(data.train_x, data.train_x[:, 0], data.test_x, data.test_x[:, 0])
    with pytest.raises(ValueError, match=r"targets of the outputs' shape \(2, 1\), but they are"):
        Task(lambda: nn.Linear(6, 1), values, loss=squared_error)
    flat = Task(lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), values, loss=squared_error)
    state = np.zeros(7)
    state[0] = 1
    assert evaluate(flat, [state])["train_loss"][0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["loss", "error_stored", "error_recalibrated"])
def test_a_metric_cannot_take_a_name_of_the_programs_own(name):
    with pytest.raises(ValueError, match="rename that metric"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), metrics={name: nn.functional.mse_loss})


def test_batchnorm_frozen_in_a_model_on_eval_stays_frozen():
    model = nets.normed_mlp()
    model[1].requires_grad_(False)
    task = Task(model.eval(), nets.vectors())
    assert not task.module()[1].training and task.module()[0].training
    fit = train(
        task, Recipe(epochs=2), [0], [task.state(model)], execution=Execution(progress=False)
    )
    buffers = slice(task.weight_count, None)
    assert np.array_equal(fit.final[0, buffers], fit.initial[0, buffers])
    open_ = Task(nets.normed_mlp().eval(), nets.vectors())
    assert open_.module()[1].training


def test_a_forward_random_in_a_dict_is_found():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(6, 3)

        def forward(self, x):
            return {"out": self.inner(x) + torch.randn(())}

    def measured(outputs, targets):
        return outputs["out"].sum(1)

    with pytest.raises(ValueError, match="random in evaluation mode"):
        Task(Noisy, nets.vectors(), loss=measured)


@pytest.mark.parametrize(
    ("build", "data"),
    [
        (lambda: nn.Linear(5, 3), nets.vectors()),
        (
            lambda: nn.Linear(6, 3),
            nets.Dataset(*[np.ones((4, 6), np.uint8), np.zeros(4, int)] * 2),
        ),
        (
            lambda: nn.Linear(6, 3),
            nets.Dataset(*[np.ones((4, 6), np.float32), np.zeros((4, 2), int)] * 2),
        ),
    ],
)
def test_what_does_not_fit_is_one_line_with_shapes_and_types(build, data):
    with pytest.raises(ValueError, match=r"must take inputs \(2, 6\) .* but fail: .* change the"):
        Task(build, data)


def test_what_is_no_task_is_named():
    with pytest.raises(TypeError, match=r"data must be a Dataset, but is \(1, 2\)"):
        Task(lambda: nn.Linear(6, 3), (1, 2))
    with pytest.raises(ValueError, match="scored must be at least 1"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), scored=0)
    with pytest.raises(ValueError, match="a model must know its shapes"):
        Task(lambda: nn.LazyLinear(3), nets.vectors())


@pytest.mark.parametrize(
    ("channels", "strided", "last"), [(8, 2, False), (16, 2, True), (8, 1, True)]
)
def test_strided_pixels_of_few_channels_stay_in_plain_memory(channels, strided, last):
    images = np.zeros((4, channels, 4, 4), np.float32)
    data = Dataset(images, np.arange(4) % 2, images, np.arange(4) % 2)
    layers = nn.Conv2d(channels, 2, 1, strided), nn.Flatten(), nn.LazyLinear(2)
    model = nn.Sequential(*layers)
    model(torch.zeros(1, channels, 4, 4))
    task = Task(model, data)
    images = task.laid_out(torch.zeros(4, channels, 4, 4))
    assert images.is_contiguous(memory_format=torch.channels_last) == last


def test_a_forward_that_changes_the_data_is_refused():
    inputs = np.linspace(-1, 1, 12).reshape(4, 3)
    data = Dataset(inputs, np.arange(4) % 2, inputs, np.arange(4) % 2)
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)).double()
    with pytest.raises(ValueError, match="changes its inputs in place"):
        Task(model, data)
    assert inputs.min() == -1


def test_later_changes_to_the_users_model_are_not_seen():
    model = mlp((6,), 3, hidden=(4,))
    task = Task(model, nets.vectors())
    before = task.initial(3)
    model.half()
    assert np.array_equal(task.initial(3), before) and task.initial(3).dtype == np.float32


def test_a_copy_that_was_sent_computes_what_the_task_does_also_in_a_scoring(monkeypatch):
    task = Task(zoo.Set, nets.vectors())
    sent = pickle.dumps(task)
    state = task.initial(0)[None]
    assert evaluate(pickle.loads(sent), state) == evaluate(task, state)
    monkeypatch.setattr(zoo.Set, "factor", 1.1)
    with pytest.raises(ValueError, match=r"the program has .* and the worker"):
        evaluate(pickle.loads(sent), state)
