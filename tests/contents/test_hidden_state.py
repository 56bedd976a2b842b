"""What makes two equal forwards differ is named."""

import copy

import torch
from torch import nn

from jumpretrain.contents.hidden_state import alike, read_tensors, why_unlike, write_tensors


class Drifting(nn.Module):
    """Adds what it remembers of its earlier calls."""

    def __init__(self):
        super().__init__()
        self.last = 0.0

    def forward(self, x):
        self.last = self.last + x.mean().item() + 1
        return x + self.last


def test_tensors_are_read_and_put_back_with_counters_and_buffers_of_no_state_dict():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    net.register_buffer("table", torch.zeros(2), persistent=False)
    before, tensors = copy.deepcopy(net), read_tensors(net)
    net(torch.randn(4, 3))
    with torch.no_grad():
        net.table.add_(1), net[0].weight.mul_(2)
    assert net[1].num_batches_tracked == 1
    write_tensors(net, tensors)
    put_back = read_tensors(net)
    assert put_back.pop("table").tolist() == [0, 0]
    assert all(torch.equal(put_back[n], tensor) for n, tensor in before.state_dict().items())


def test_nan_equals_nan_and_rounding_counts_for_nothing():
    one = torch.tensor([1.0, torch.nan, torch.inf])
    assert alike(one, one * (1 + 1e-6)) and not alike(one, one + 1e-3)


def test_the_innermost_part_that_differs_first_is_named():
    inner = nn.Sequential(nn.Linear(3, 3), Drifting())
    net = nn.Sequential(nn.Linear(3, 3), inner, nn.Linear(3, 3))
    assert "differ in '1.1';" in why_unlike(net, read_tensors(net), torch.ones(2, 3))


def test_a_network_that_is_the_difference_itself_has_no_part_to_name():
    net = Drifting()
    assert "differ in the network or its loss;" in why_unlike(net, {}, torch.ones(2, 3))
