"""What is in no state must be alike in all networks of a task, and stay as it is."""

import numpy as np
import pytest
import torch
from support import nets, zoo
from torch import nn

from jumpretrain.contents.constants import check_alike, check_kept, constants, numbers
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.tasks.task import Task


def changed(name):
    network = zoo.Fixed()
    buffer = getattr(network, name)
    setattr(network, name, buffer.logical_not() if buffer.dtype is torch.bool else buffer.roll(1))
    return network


@pytest.mark.parametrize("name", ["mask", "order", "turn"])
def test_a_buffer_of_another_type_that_differs_is_refused_by_name(name):
    task = zoo.task("other types")
    assert len(task.state(zoo.Fixed())) == task.layout.width
    for source in (changed(name), changed(name).state_dict()):
        with pytest.raises(ValueError, match=rf"differs from the task's model in {name}; make a"):
            task.state(source)


class Unsaved(nn.Linear):
    """Buffers and attributes that no state dict has."""

    def __init__(
        self, mask=1, scale=1.0, shift=0.0, cut=0.1, kind=nn.ReLU, function=torch.tanh, table=None
    ):
        super().__init__(6, 3)
        self.register_buffer("mask", torch.tensor([mask]), persistent=False)
        self.register_buffer("shift", torch.tensor(shift), persistent=False)
        self.scale, self.function = scale, function
        self.table = np.full(3, scale) if table is None else table
        self.name = f"run of {scale}"
        self.after = nn.Sequential(nn.LeakyReLU(cut), kind())

    def forward(self, x):
        return self.after(super().forward(x) * self.mask * self.scale + self.shift)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mask": 0}, "in mask"),
        ({"scale": 2.0}, "in scale, table"),
        ({"cut": 0.2}, r"in after\.0\.negative_slope"),
        ({"kind": nn.Tanh}, r"in the kind of after\.1"),
        ({"function": torch.sigmoid}, "in function"),
        ({"table": {"gain": [2.0]}}, "in table"),
    ],
)
def test_what_no_file_holds_is_compared_where_a_network_is_given(change, named):
    task = Task(Unsaved(), nets.vectors())
    other = Unsaved(**change)
    with pytest.raises(ValueError, match=rf"a state .* {named}; .* pass its state_dict\(\)"):
        task.state(other)
    task.state(other.state_dict())  # the remedy
    task.state(Unsaved())


def test_an_extra_state_that_differs_is_refused_by_name():
    task, other = zoo.task("extra state"), zoo.Own()
    assert len(task.state(other)) == task.layout.width
    other.kept = 2.0
    for source in (other, other.state_dict()):
        with pytest.raises(ValueError, match="in _extra_state; make a task of the network"):
            task.state(source)


def test_fresh_networks_that_differ_in_more_than_their_state_are_refused():
    def masked():
        network = zoo.Fixed()
        network.mask = torch.rand(8) < 0.5
        return network

    task = Task(masked, nets.vectors())
    assert len(task.initial(0)) == task.layout.width
    with pytest.raises(ValueError, match=r"the network of seed 1 differs .* in mask; draw that"):
        task.initial(1)


class Stepping(nn.Linear):
    """Counts its forwards in some way, in training or always."""

    def __init__(self, count, always=False):
        super().__init__(6, 3)
        self.register_buffer("steps", torch.tensor(count))
        self.always = always

    def forward(self, x):
        if self.training or self.always:
            self.steps = self.steps + 1 if self.steps.dtype != torch.bool else ~self.steps
        return super().forward(x)


@pytest.mark.parametrize("count", [0, False, 1j])
def test_a_forward_that_changes_what_no_state_holds_is_refused_by_name(count):
    with pytest.raises(ValueError, match=r"evaluation must change only .* forward changes steps"):
        Task(Stepping(count, always=True), nets.vectors())
    network = Stepping(count)
    before = constants(network)
    network(torch.zeros(2, 6))
    with pytest.raises(ValueError, match=r"training must change only .* forward changes steps"):
        check_kept(before, constants(network), "training")


def test_a_floating_buffer_may_change_its_values_and_not_its_shape():
    network = Stepping(0.0)
    before = constants(network)
    network(torch.zeros(2, 6))
    check_kept(before, constants(network), "training")
    network.steps = torch.zeros(2)
    with pytest.raises(ValueError, match="changes steps; hold it in a floating-point buffer of"):
        check_kept(before, constants(network), "training")


class Widening(nn.Linear):
    """Binds its average anew, in double precision, in training."""

    def __init__(self):
        super().__init__(6, 3)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        if self.training:
            self.mean = self.mean * 0.5 + super().forward(x).detach().double().mean(0)
        return (super().forward(x) + self.mean).float()


def test_a_buffer_that_becomes_finer_in_training_is_refused_by_name():
    with pytest.raises(ValueError, match=r"training must .* forward changes the type of mean; "):
        Task(Widening, nets.vectors())


def test_counters_of_normalising_layers_are_no_constants():
    network = nets.normed_mlp()
    before = constants(network)
    network(torch.randn(4, 6))
    assert network[1].num_batches_tracked == 1
    check_kept(before, constants(network), "training")


def test_what_one_network_alone_has_was_left_by_a_forward():
    one, other = Unsaved(), Unsaved()
    other.last = torch.randn(3)
    check_alike(one, other, "it", "")
    one.last = torch.randn(3)
    with pytest.raises(ValueError, match="it differs from the task's model in last; "):
        check_alike(one, other, "it", "")


class Masked(nn.Linear):
    """A mask of minus infinities, as attention has it, and a network that is no part."""

    def __init__(self, cut=2):
        super().__init__(6, 3)
        self.register_buffer(
            "mask", torch.zeros(3).masked_fill(torch.arange(3) >= cut, -torch.inf)
        )
        self.helpers = [nn.Linear(3, 3).requires_grad_(False)]

    def forward(self, x):
        return super().forward(x) + 0 * self.helpers[0](x[:, :3]) + self.mask.exp()


def test_a_mask_of_infinities_is_no_number_of_the_state():
    model = Masked()
    task = Task(model, nets.vectors())
    assert task.layout.names == ("weight", "bias")
    fit = train(task, Recipe(epochs=1), [0], execution=Execution(progress=False))
    assert np.isfinite(fit.metrics["train_loss"]).all()
    assert torch.equal(task.module(fit.final[0]).mask, model.mask)
    with pytest.raises(ValueError, match="in mask; make a task of the network"):
        task.state(Masked(cut=1).state_dict())


def test_networks_that_are_no_registered_part_are_compared():
    task = Task(Masked, nets.vectors())
    with pytest.raises(ValueError, match=r"the network of seed 1 differs .* in helpers; draw"):
        task.initial(1)


@pytest.mark.parametrize("values", [torch.tensor([2, 0, 1]), torch.tensor([1 + 1j, 1, 1])])
def test_frozen_parameters_of_other_types_are_constants(values):
    class Ordered(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            return out * self.order.real if self.order.is_complex() else out[:, self.order]

    model, other = Ordered(6, 3), Ordered(6, 3)
    model.order = nn.Parameter(values, requires_grad=False)
    other.order = nn.Parameter(values.flip(0), requires_grad=False)
    task = Task(model, nets.vectors())
    assert task.layout.names == ("weight", "bias")
    with pytest.raises(ValueError, match="in order; make a task of the network"):
        task.state(other)


def test_a_state_that_overflowed_is_called_by_its_own_name():
    network = nets.normed_mlp()
    network[1].running_var.fill_(torch.inf)
    with pytest.raises(ValueError, match="must be finite, but 8 of its"):
        Task(nets.normed_mlp, nets.vectors()).state(network)


def test_numbers_are_found_in_lists_dictionaries_and_objects_beside_text():
    class Config:
        def __init__(self, depth):
            self.depth, self.act = depth, "relu"

    def made(depth):
        network = nn.Linear(6, 3)
        network.config, network.sizes = (
            {"act": "relu", "at": Config(depth)},
            [1, "a", {"b": depth}],
        )
        return network

    found = numbers(made(3))
    assert found["config[at][depth]"] == found["sizes[2][b]"] == "3" and found["sizes[0]"] == "1"
    task = Task(made(3), nets.vectors())
    with pytest.raises(ValueError, match=r"the task's model in config\[at\]\[depth\]"):
        task.state(made(4))
