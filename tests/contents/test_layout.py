"""States and networks hold the same numbers in a fixed order."""

import copy

import numpy as np
import pytest
import torch
from support import nets, zoo
from torch import nn

from jumpretrain.contents.layout import Layout, cast, run_with, tensors_of
from jumpretrain.tasks.task import Task


@pytest.mark.parametrize("name", nets.TASKS)
def test_a_state_written_is_the_state_read(name):
    task = nets.TASKS[name]()
    layout, module = task.layout, task.module()
    state = torch.randn(layout.width, dtype=layout.dtype)
    layout.write(module, state)
    assert torch.equal(layout.read(module), state)
    other = task.module()
    other.load_state_dict(module.state_dict())
    assert torch.equal(layout.read(other), state)


@pytest.mark.parametrize("name", nets.TASKS)
def test_weights_come_first_then_frozen_parameters_then_buffers(name):
    task = nets.TASKS[name]()
    layout, module = task.layout, task.module()
    weights = [n for n, p in module.named_parameters() if p.requires_grad]
    frozen = [n for n, p in module.named_parameters() if not p.requires_grad]
    buffers = [n for n, b in module.named_buffers() if b.is_floating_point()]
    assert list(layout.names) == weights + frozen + buffers
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    state = torch.cat([tensors[n].detach().flatten() for n in layout.names])
    assert torch.equal(layout.read(module), state)
    assert layout.weight_count == sum(tensors[n].numel() for n in weights)
    assert layout.width == len(state) == sum(layout.sizes)
    for key, tensor in layout.split(state).items():
        assert torch.equal(tensor, tensors[key])
    walked = list(layout.weights(state.numpy()))
    assert [key for key, _ in walked] == weights
    for key, values in walked:
        np.testing.assert_array_equal(values, tensors[key].detach().numpy())


def test_the_order_does_not_follow_the_order_of_definition():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    module[0].weight.requires_grad_(False)
    layout = Layout.of(module)
    assert layout.names == (
        "0.bias", "1.weight", "1.bias", "2.weight", "2.bias",
        "0.weight",
        "1.running_mean", "1.running_var",
    )  # fmt: skip
    assert (layout.trainable, layout.weight_count, layout.width) == (5, 13, 25)


def test_tied_weights_are_counted_once_and_stay_tied():
    module = nets.Tied()
    layout = Layout.of(module)
    assert "twin.weight" not in layout.names and "encoder.weight" in layout.names
    assert layout.width == 18 + 3 + 18 + 6 + 3 + 6
    layout.write(module, torch.arange(layout.width, dtype=torch.float32))
    assert module.twin.weight is module.encoder.weight
    assert module.encoder.weight.flatten().tolist() == list(range(18))
    assert module.shift.tolist() == list(range(48, 54))


def test_split_takes_any_number_of_leading_axes():
    layout = Layout.of(nn.Linear(2, 3))
    states = torch.randn(4, 5, layout.width)
    pieces = layout.split(states)
    assert pieces["weight"].shape == (4, 5, 3, 2) and pieces["bias"].shape == (4, 5, 3)
    assert torch.equal(pieces["weight"][3, 1], layout.split(states[3, 1])["weight"])


def test_what_is_read_is_a_copy_and_writing_keeps_gradients_wanted():
    module = nn.Linear(2, 2, bias=False)
    layout = Layout.of(module)
    state = layout.read(module)
    before = module.weight.detach().clone()
    state += 1
    assert torch.equal(module.weight, before)
    layout.write(module, state)
    assert module.weight.requires_grad and module.weight.is_leaf
    assert torch.equal(module.weight, before + 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64])
def test_parameters_of_another_type_are_refused_by_name(dtype):
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    module[1].weight = nn.Parameter(module[1].weight.detach().to(dtype))
    with pytest.raises(ValueError, match=rf"float32 or float64, but 1\.weight is {dtype}"):
        Layout.of(module)


def test_the_state_is_double_where_a_parameter_is():
    single, double = nn.Linear(2, 3), nn.Linear(3, 2).double()
    assert Layout.of(single).numpy_dtype == np.float32
    mixed = nn.Sequential(single, double)
    layout = Layout.of(mixed)
    assert (layout.dtype, layout.numpy_dtype) == (torch.float64, np.float64)
    state = layout.read(mixed)
    layout.write(mixed, state)
    assert mixed[0].weight.dtype == torch.float32
    assert torch.equal(layout.read(mixed), state)


def test_whole_numbers_stay_out_of_the_state():
    module = nn.BatchNorm1d(3)
    module.register_buffer("steps", torch.tensor(7))
    assert Layout.of(module).names == ("weight", "bias", "running_mean", "running_var")


def test_a_model_without_weights_is_refused():
    for module in (nn.ReLU(), nn.Linear(2, 2).requires_grad_(False)):
        with pytest.raises(ValueError, match="a task needs a trainable parameter"):
            Layout.of(module)


def test_tensors_without_axes_and_empty_ones_are_split_and_read():
    module = zoo.Scaled()
    layout = Layout.of(module)
    assert layout.sizes == (1, 0, 18, 3, 1)
    state = torch.arange(layout.width, dtype=torch.float32)
    layout.write(module, state)
    assert torch.equal(layout.read(module), state)
    pieces, stacked = layout.split(state), layout.split(torch.stack([state, state]))
    assert pieces["temperature"].shape == () and pieces["nothing"].shape == (0, 4)
    assert stacked["temperature"].shape == (2,) and stacked["nothing"].shape == (2, 0, 4)
    walked = dict(layout.weights(state.numpy()))
    assert walked["temperature"] == 0 and walked["nothing"].shape == (0, 4)
    weights = layout.split_weights(state[: layout.weight_count])
    assert list(weights) == list(walked)
    assert all(torch.equal(weights[name], pieces[name]) for name in walked)


def test_tensors_that_share_memory_are_refused_by_name():
    module = nn.Linear(2, 3)
    module.register_buffer("table", module.weight.detach()[1:])
    with pytest.raises(ValueError, match="must lie apart, but weight and table share memory"):
        Layout.of(module)
    module.table = module.table.clone()  # the remedy
    assert Layout.of(module).width == 13
    transposed = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    transposed[1].weight = nn.Parameter(transposed[0].weight.detach().T)
    with pytest.raises(ValueError, match=r"0\.weight and 1\.weight share memory"):
        Layout.of(transposed)


def test_networks_whose_parameters_share_memory_are_refused_before_they_are_copied():
    def shared():
        network = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3))
        network[1].weight.data = network[0].weight.data
        return network

    for model in (shared, shared()):
        with pytest.raises(ValueError, match=r"0\.weight and 1\.weight share memory"):
            Task(model, nets.vectors())


def test_a_buffer_beyond_single_precision_is_refused_by_name():
    module = nn.Linear(2, 3)
    module.register_buffer("large", torch.tensor([1e300], dtype=torch.float64))
    with pytest.raises(ValueError, match=r"but large is float64 and .* \.float\(\) or \.double"):
        Layout.of(module)
    assert Layout.of(module.double()).width == 10


def test_a_sparse_buffer_is_refused_by_name():
    module = nn.Linear(2, 3)
    module.register_buffer("adjacency", torch.eye(3).to_sparse())
    with pytest.raises(ValueError, match=r"must be dense, but adjacency is torch\.sparse_coo"):
        Layout.of(module)


def test_a_network_is_cast_with_its_imaginary_parts():
    module = zoo.Fixed()
    module.turn = module.turn * 1j
    wide = cast(copy.deepcopy(module), torch.float64)
    assert (wide.turn.dtype, wide.head.weight.dtype) == (torch.complex128, torch.float64)
    assert (wide.mask.dtype, wide.order.dtype) == (torch.bool, torch.int64)
    assert torch.equal(wide.turn, module.turn.to(torch.complex128))


class Twice(nn.Module):
    """A layer at two places, and a tensor in two layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.again, self.twin = self.first, nn.Linear(3, 3)
        self.twin.weight = self.first.weight

    def forward(self, x):
        return self.twin(self.again(self.first(x)))


def test_a_network_runs_with_other_tensors_and_keeps_its_own():
    module, other, x = Twice(), Twice(), torch.randn(4, 3)
    held = {name: tensor.clone() for name, tensor in tensors_of(module).items()}
    given = dict(other.named_parameters())
    assert list(given) == ["first.weight", "first.bias", "twin.bias"]
    assert torch.equal(run_with(module, given, x), other(x))
    given["twin.weight"] = given.pop("first.weight")
    assert torch.equal(run_with(module, given, x), other(x))
    assert all(torch.equal(tensor, held[name]) for name, tensor in tensors_of(module).items())
    assert module.twin.weight is module.first.weight


def test_a_buffer_finer_than_all_parameters_is_refused_not_rounded():
    module = nn.Linear(2, 3)
    module.register_buffer("mean", torch.tensor([1 / 3], dtype=torch.float64))
    with pytest.raises(ValueError, match="must hold its buffers whole, but mean is float64"):
        Layout.of(module)
    for remedy in (copy.deepcopy(module).float(), copy.deepcopy(module).double()):
        layout = Layout.of(remedy)
        state = layout.read(remedy)
        assert state.dtype == remedy.mean.dtype and state[-1] == remedy.mean
    table = torch.tensor([1 / 3, -np.inf], dtype=torch.float64)
    module.mean = table  # constant, since a mask: not in the state, so never rounded
    assert "mean" not in Layout.of(module).names
