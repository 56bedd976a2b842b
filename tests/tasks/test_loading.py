"""Networks, state dicts and files are read as torch would load them, or refused by name."""

import re

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


def under(head, tensors):
    return {f"{head}{name}": tensor for name, tensor in tensors.items()}


TASK = Task(lambda: nets.mlp((6,), 3, hidden=(8,)), nets.vectors())


@pytest.mark.parametrize(
    "beside",
    [
        {"criterion.weight": torch.ones(3)},
        {"train_accuracy.total": torch.ones(())},
        under("ema_model.", TASK.template.state_dict()),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_the_remedy_takes_a_network_out_of_what_holds_more(beside, wrapper):
    network = TASK.module()
    x = under(wrapper, under("model.", network.state_dict()) | beside)
    with pytest.raises(ValueError, match="of its state dict x, pass") as found:
        TASK.state({"state_dict": x, "epoch": 3})
    code = re.search(r"pass (\{.*?\})( \(or|$)", str(found.value))[1]
    assert (TASK.state(eval(code, {"x": x})) == TASK.state(network)).all()


class Apart(nn.Module):
    """A network whose own state dict holds more than tensors."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(x)

    def state_dict(self, *args, **kwargs):
        return {"weights": super().state_dict(*args, **kwargs), "version": 2}


def test_networks_with_a_state_dict_of_their_own_are_read_all_the_same():
    task, network = Task(Apart, nets.vectors()), Apart()
    expected = [network.layer.weight.detach().ravel(), network.layer.bias.detach()]
    assert torch.equal(torch.as_tensor(task.state(network)), torch.cat(expected))
    with pytest.raises(ValueError, match="pass what is under 'weights' alone"):
        task.state(network.state_dict())
    inner = network.state_dict()["weights"]
    assert torch.equal(torch.as_tensor(task.state(inner)), torch.cat(expected))


def test_an_optimisers_state_dict_is_told_from_a_networks():
    optimiser = torch.optim.SGD(TASK.module().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="but this state dict is an optimiser's; pass the netw"):
        TASK.state(optimiser.state_dict())
