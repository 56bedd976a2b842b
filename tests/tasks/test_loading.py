"""Networks, state dicts and files are read as torch would load them, or refused by name."""

import pytest
import torch
from safetensors.torch import load_file, save_model
from support import nets, zoo
from torch import nn

from jumpretrain.tasks.task import Task


def test_one_name_of_a_tied_tensor_is_enough(tmp_path):
    network = zoo.Tied()
    save_model(network, str(tmp_path / "tied.safetensors"))
    assert "twin.weight" not in load_file(tmp_path / "tied.safetensors")
    task = zoo.task("tied and frozen")
    expected = task.layout.read(network).numpy()
    assert (task.state(tmp_path / "tied.safetensors") == expected).all()
    other = network.state_dict()
    del other["encoder.weight"]
    assert (task.state(other) == expected).all()
    del other["twin.weight"]
    with pytest.raises(ValueError, match=r"must belong to the task's model: .*encoder.weight"):
        task.state(other)


def test_a_network_without_the_tie_is_refused():
    network = zoo.Tied()
    network.twin.weight = nn.Parameter(network.encoder.weight.detach() + 1)
    with pytest.raises(ValueError, match=r"encoder\.weight and twin.weight are one tensor, but"):
        zoo.task("tied and frozen").state(network)


def test_buffers_that_no_file_has_come_with_the_network():
    task, network = zoo.task("rebound"), zoo.Averaging()
    network(torch.randn(8, 6))
    assert "size" not in network.state_dict() and network.size != 1
    state = task.layout.split(torch.as_tensor(task.state(network)))
    assert state["size"] == network.size and torch.equal(state["mean"], network.mean)
    assert task.layout.split(torch.as_tensor(task.state(network.state_dict())))["size"] == 1


def test_versions_of_layers_are_heeded():
    network = nets.normed_mlp()
    old = network.state_dict()
    del old["1.num_batches_tracked"]
    old._metadata["1"]["version"] = 1  # as torch 0.4 wrote
    task = Task(nets.normed_mlp, nets.vectors())
    assert (task.state(old) == task.state(network)).all()
