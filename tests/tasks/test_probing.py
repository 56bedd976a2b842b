"""A network that cannot be trained or scored is refused when the task is made, in one line."""

import copy
import random
import re
import traceback
from functools import partial

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import cross_entropy
from jumpretrain.tasks.task import Task

QUIET = jr.Execution(progress=False)


class Net(nn.Module):
    """A linear map, then what a function of the network and its outputs makes of them."""

    def __init__(self, change):
        super().__init__()
        self.change, self.linear = change, nn.Linear(6, 3)

    def forward(self, x):
        return self.change(self, self.linear(x))


class Noise(nn.Module):
    """Adds noise of a generator of its own in training."""

    def __init__(self, generator):
        super().__init__()
        self.rng = generator

    def forward(self, x):
        if not self.training:
            return x
        if isinstance(self.rng, torch.Generator):
            return x + torch.rand(x.shape, generator=self.rng)
        draw = self.rng.gauss if isinstance(self.rng, random.Random) else self.rng.normal
        return x + draw(0, 1)


class Counting(nn.Module):
    """Counts its calls in training where no buffer tells."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        return x + 0.1 * self.calls


def pair(net, outputs):
    return (outputs, outputs.sum()) if net.training else outputs


def in_training(call):
    def change(net, outputs):
        if net.training:
            call()
        return outputs

    return change


def fails():
    raise RuntimeError("sizes of tensors\ndo not match")


def built(*parts):
    return lambda: nn.Sequential(nn.Linear(6, 4), *parts, nn.Linear(4, 3))


REFUSED = {
    "auxiliary": (
        lambda: Net(pair),
        r"gives a tuple of 2 in training and a tensor \(2, 3\) in evaluation; leave out",
    ),
    "shape": (
        lambda: Net(lambda net, out: out[None] if net.training else out),
        r"gives a tensor \(1, 2, 3\) in training and a tensor \(2, 3\) in evaluation",
    ),
    "raises": (lambda: Net(in_training(fails)), "fail in a step of training: sizes of tensors do"),
    "in place": (
        lambda: Net(lambda net, out: out.exp().mul_(out).pow(2).add_(1).exp_().mul_(out)),
        "fail in a step of training: one of the variables needed for gradient computation",
    ),
    "torch's generator": (
        built(Noise(torch.Generator())),
        "draw from 1.rng, a generator of",
    ),
    "NumPy's generator": (built(Noise(np.random.default_rng())), "draw from 1.rng"),
    "NumPy's older one": (built(Noise(np.random.RandomState())), "draw from 1.rng"),
    "Python's generator": (built(Noise(random.Random())), "draw from 1.rng"),
    "counts calls": (
        built(nn.Sequential(Counting())),
        r"training must change only what .* changes 1\.0\.calls; hold it",
    ),
}


RNG = np.random.default_rng(0)
OWN = random.Random()


def once_in_a_thousand(net, outputs):
    return outputs + (RNG.random() < 1e-3) if net.training else outputs


def drawn_by_a_loss(outputs, targets, draw=OWN.gauss):
    return cross_entropy(outputs, targets) * (1 if len(outputs) < 1000 else draw(0, 1))


def raising(error):
    def call(*given):
        raise error

    return call


ERRORS = [
    (ValueError("too few\nclasses"), "fail: too few classes;"),
    (AssertionError(), "fail: AssertionError: ;"),
    (KeyError("mask"), "fail: KeyError: 'mask';"),
    (ZeroDivisionError("division by zero"), "fail: ZeroDivisionError: division by zero;"),
    (NotImplementedError("no kernel"), "fail: no kernel;"),
    (FileNotFoundError(2, "No such file", "a.npy"), "fail: FileNotFoundError: .* 'a.npy';"),
]


@pytest.mark.parametrize(("error", "said"), ERRORS)
def test_whatever_a_network_loss_or_metric_raises_comes_out_in_one_line_above_it(error, said):
    fails, works = raising(error), lambda: Net(lambda net, out: out)
    makers = (
        lambda: Task(lambda: Net(fails), nets.vectors()),
        lambda: Task(works, nets.vectors(), fails),
        lambda: Task(works, nets.vectors(), metrics={"m": fails}),
        lambda: Task(lambda: Net(in_training(fails)), nets.vectors()),
    )
    for make, where in zip(makers, ("", "", "", " in a step of training"), strict=True):
        with pytest.raises(ValueError, match="model, loss and metrics must take") as caught:
            make()
        assert re.search(said.replace("fail", f"fail{where}", 1), str(caught.value))
        assert "\n" not in str(caught.value) and caught.value.__cause__ is error
        assert traceback.extract_tb(error.__traceback__)[-1].name == "call"


def test_a_loss_that_fails_in_training_alone_comes_out_in_one_line():
    class Half(nn.Module):
        def forward(self, outputs, targets):
            if outputs.requires_grad:
                raise KeyError("grad")
            return cross_entropy(outputs, targets)

    with pytest.raises(ValueError, match="fail in a step of training: KeyError: 'grad'; change"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), Half())


def test_a_class_in_the_place_of_a_loss_or_metric_is_refused_and_the_remedy_helps():
    message = (
        r"is the class CrossEntropyLoss; pass an object of it, such as .*\(reduction='none'\)"
    )
    with pytest.raises(TypeError, match=f"loss .* {message}"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), nn.CrossEntropyLoss)
    with pytest.raises(TypeError, match=r"m must be .* such as Box\(\)"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), metrics={"m": Box})
    loss = nn.CrossEntropyLoss(reduction="none")
    assert Task(lambda: nn.Linear(6, 3), nets.vectors(), loss).weight_count == 21


def test_a_metric_that_is_a_mean_is_refused_and_the_remedy_helps():
    def right(outputs, targets):
        return (outputs.argmax(1) == targets).float()

    with pytest.raises(ValueError, match=r"m must give one value for each .* leave out its mean"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), metrics={"m": lambda *x: right(*x).mean()})
    assert "m" in Task(lambda: nn.Linear(6, 3), nets.vectors(), metrics={"m": right}).measures


HOLDERS = {
    "a list": lambda: Task(nets.held(Net(lambda net, out: out), x=[RNG]), nets.vectors()),
    "a helper": lambda: Task(nets.held(Net(in_training(fails)), x=Box(RNG)), nets.vectors()),
    "a global": lambda: Task(lambda: Net(once_in_a_thousand), nets.vectors()),
    "a method": lambda: Task(lambda: Net(lambda net, out: out), nets.vectors(), drawn_by_a_loss),
    "a closure": lambda: Task(lambda: Net(in_training(partial(RNG.normal))), nets.vectors()),
}


class Box:
    def __init__(self, rng):
        self.inner = {"rng": rng}


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_generator_of_its_own_is_refused_whether_or_not_it_is_drawn_from(kind):
    with pytest.raises(ValueError, match=r"draw from .* a generator of its own, which no seed"):
        HOLDERS[kind]()


def test_functions_of_the_shared_generators_are_welcome():
    for draw in (random.gauss, np.random.normal):
        assert Task(lambda draw=draw: Net(in_training(partial(draw, 0, 1))), nets.vectors()).random


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_train_is_refused_in_one_line(kind):
    build, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message) as caught:
        Task(build, nets.vectors())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(1), lambda: random.random(), lambda: np.random.normal()],  # noqa: NPY002
)
def test_evaluation_draws_from_no_generator(draw):
    def change(net, outputs):
        draw()
        return outputs

    def metric(outputs, targets):
        draw()
        return outputs[:, 0]

    with pytest.raises(ValueError, match="random in evaluation mode"):
        Task(lambda: Net(change), nets.vectors())
    with pytest.raises(ValueError, match="odd draws random numbers; compute it from outputs and"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), metrics={"odd": metric})
    assert Task(lambda: Net(in_training(draw)), nets.vectors()).random


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, targets: (outputs.argmax(1) != targets).float(),
        lambda outputs, targets: cross_entropy(outputs.detach(), targets),
        lambda outputs, targets: torch.as_tensor(outputs.detach().numpy()[:, 0]),
    ],
)
def test_a_loss_without_a_gradient_scores_but_training_by_it_is_refused(loss, tmp_path):
    task = Task(lambda: nn.Linear(6, 3), nets.vectors(), loss=loss)
    assert np.isfinite(jr.evaluate(task, [task.initial(0)])["train_loss"][0])
    with pytest.raises(ValueError, match="the loss must have a gradient, but none reaches"):
        jr.train(task, jr.Recipe(epochs=1), [0], folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_forward_that_detaches_its_outputs_is_refused_in_training():
    task = Task(lambda: Net(lambda net, out: out.detach()), nets.vectors())
    with pytest.raises(ValueError, match="the loss must have a gradient, but none reaches"):
        jr.train(task, jr.Recipe(epochs=1), [0])


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (lambda outputs, targets: cross_entropy(outputs, targets) / 0, "inf"),
        (lambda outputs, targets: torch.log(outputs - outputs.max() - 1).sum(1), "nan"),
    ],
)
def test_training_by_a_loss_that_is_never_finite_is_refused(loss, value, tmp_path):
    task = Task(lambda: nn.Linear(6, 3), nets.vectors(), loss=loss)
    with pytest.raises(ValueError, match=f"finite at the start, but is {value} on the first"):
        jr.train(task, jr.Recipe(epochs=1), [0], folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_weights_so_large_that_the_loss_overflows_are_no_fault_of_the_loss():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        net[0].weight.mul_(1e30), net[2].weight.mul_(1e30)
    task = Task(net, nets.vectors())
    fit = jr.train(task, jr.Recipe(epochs=1), [0], [task.state(net)], execution=QUIET)
    assert fit.status.tolist() == ["diverged"]


def test_a_part_that_no_gradient_reaches_stays_where_it_is():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(6, 3), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    task = Task(Idle, nets.vectors())
    recipe = jr.Recipe(epochs=2, optimiser="adamw", weight_decay=0.5)
    for mode in ("looped", "stacked"):
        states = jr.train(task, recipe, [0, 1], execution=jr.Execution(mode=mode)).states
        np.testing.assert_array_equal(states[:, 0, -6:], states[:, -1, -6:])
        assert (states[:, 0, :6] != states[:, -1, :6]).all()


def test_a_loss_that_takes_an_auxiliary_output_is_welcome():
    def loss(outputs, targets):
        whole = outputs[0] + outputs[1] if isinstance(outputs, tuple) else outputs
        return cross_entropy(whole, targets)

    task = Task(lambda: Net(pair), nets.vectors(), loss=loss)
    fit = jr.train(task, jr.Recipe(epochs=2, lr=0.1), [0], execution=QUIET)
    assert fit.metrics["train_loss"][0, -1] < fit.metrics["train_loss"][0, 0]


def test_one_training_example_is_probed_as_two():
    data = nets.vectors()
    one = Dataset(data.train_x[:1], data.train_y[:1], data.test_x, data.test_y)
    assert Task(built(nn.BatchNorm1d(4)), one).weight_count == 51


def test_the_probe_leaves_the_users_network_and_all_global_states_alone():
    net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))
    net[0].eval()
    before = copy.deepcopy(net.state_dict())
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    Task(net, nets.vectors())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert [part.training for part in net] == [False, True, True, True]
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_the_probe_costs_a_few_forwards_of_two_examples():
    seen = []

    def count(net, outputs):
        seen.append(len(outputs))
        return outputs

    Task(lambda: Net(count), nets.vectors())
    assert seen == [2] * 12


class Remembering(nn.Linear):
    """Changes something in training that is no buffer."""

    def __init__(self, start):
        super().__init__(6, 3)
        self.kept = start

    def forward(self, x):
        out = super().forward(x)
        if not self.training:
            return out - self.shift()
        if isinstance(self.kept, (int, float)):
            self.kept += 1
        elif isinstance(self.kept, torch.Tensor):
            self.kept = self.kept / 2 + out.detach().mean(0)
        else:
            self.kept.append(out.detach().mean(0))
        return out

    def shift(self):
        if isinstance(self.kept, (int, float)):
            return float(self.kept > 1000)
        return self.kept if isinstance(self.kept, torch.Tensor) else sum(self.kept)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (0, "training must change only what a state holds, .* changes kept; hold it in a float"),
        (0.5, "training must change only what a state holds, .* changes kept; hold it in a float"),
        (torch.zeros(3), "evaluation must follow from the state, but .* depends on: kept; hold"),
        ([], "evaluation must follow from the state, but .* depends on: kept; hold that in"),
    ],
)
def test_what_training_remembers_in_no_buffer_is_refused_by_name(start, message):
    with pytest.raises(ValueError, match=message):
        Task(Remembering(start), nets.vectors())


@pytest.mark.parametrize("count", [0, False, 1j])
def test_buffers_of_other_types_that_training_changes_are_refused_by_name(count):
    class Counting(nn.Linear):
        def forward(self, x):
            if self.training:
                self.steps = ~self.steps if self.steps.dtype is torch.bool else self.steps + 1
            return super().forward(x)

    network = Counting(6, 3)
    network.register_buffer("steps", torch.tensor(count))
    with pytest.raises(ValueError, match=r"training must change only .* changes steps; hold it"):
        Task(network, nets.vectors())


def test_an_activation_that_a_forward_keeps_does_no_harm():
    class Keeping(nn.Linear):
        last = None

        def forward(self, x):
            self.last = super().forward(x)
            return self.last

    assert Task(lambda: Keeping(6, 3), nets.vectors()).weight_count == 21


def test_a_network_of_two_types_that_fails_is_told_to_take_one_and_the_remedy_helps():
    def network():
        mixed = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        mixed[2].double()
        return mixed

    said = (
        r"convert the model with .float\(\) or .double\(\), since 2.weight is torch.float64 and "
    )
    with pytest.raises(
        ValueError, match=said + r"0.weight is torch.float32; or change the shapes"
    ):
        Task(network(), nets.vectors())
    for one in (network().float(), network().double()):
        assert Task(one, nets.vectors()).weight_count == 83
