"""A copy computes what the network computes, and shares nothing with it."""

import copy
import pickle

import pytest
import torch
from support import zoo
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.weight_norm import weight_norm as weight_hook

from jumpretrain.networks.copying import copied, packed, unpacked


def hooked():
    network = nn.Sequential(weight_hook(nn.Linear(6, 4)), nn.Linear(4, 3))
    prune.random_unstructured(network[1], "weight", 0.5)
    return network


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = parametrizations.spectral_norm(nn.LSTM(6, 3), "weight_hh_l0")

    def forward(self, x):
        return self.layer(x[:, None])[0][:, 0]


class Keeping(nn.Linear):
    def __init__(self):
        super().__init__(6, 3)
        self.last = {"outputs": [], "number": 3}

    def forward(self, x):
        out = super().forward(x)
        self.last["outputs"].append(out)
        return out


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("build", [hooked, Recurrent, Keeping])
def test_tensors_that_a_network_computed_are_copied_as_numbers(build):
    network, x = build(), torch.randn(5, 6)
    network(x).sum().backward()
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(network if build is not Recurrent else copy.deepcopy(network))
    other = copied(copied(network))
    assert torch.equal(other.eval()(x), network.eval()(x))
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert one.data_ptr() != two.data_ptr() and one.requires_grad == two.requires_grad


@pytest.mark.parametrize("build", [Recurrent, zoo.spectral, zoo.own_parametrization])
def test_parametrized_layers_can_be_sent_to_another_process(build):
    network, x = build().eval(), torch.randn(5, 6)
    with pytest.raises(RuntimeError, match="Serialization of parametrized modules"):
        pickle.dumps(network)
    other = unpacked(pickle.loads(pickle.dumps(packed(network))))
    assert torch.equal(other(x), network(x))
    assert list(other.state_dict()) == list(network.state_dict())
    assert "parametrizations" in repr(network) and repr(other) == repr(network)


def test_other_networks_are_sent_as_they_are():
    network = nn.Linear(6, 3)
    assert packed(network) is network and unpacked(network) is network


def test_entries_that_share_memory_have_memory_of_their_own():
    network = nn.Linear(6, 3)
    network.register_buffer("shift", torch.ones(1).expand(3))
    network.scale = nn.Parameter(torch.ones(1).expand(2, 3), requires_grad=False)
    network.table = nn.Parameter(torch.ones(4, 3).T)
    other = copied(network)
    with torch.no_grad():
        other.shift.copy_(torch.arange(3.0))
        other.scale.copy_(torch.arange(6.0).reshape(2, 3))
    assert other.shift.tolist() == [0, 1, 2] and other.scale.shape == (2, 3)
    assert isinstance(other.scale, nn.Parameter) and not other.scale.requires_grad
    assert other.table.stride() == network.table.stride()
    assert torch.equal(network.shift, torch.ones(3))


def test_ties_stay():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    other = copied(network)
    assert other[1].weight is other[0].weight
