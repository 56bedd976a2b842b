"""Pooling by slices gives torch's numbers to the bit, and steps aside where it cannot."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.engine.pooling import use_fast_pooling


def quickened(pool):
    model = nn.Sequential(pool)
    use_fast_pooling(model)
    return model


@pytest.mark.parametrize("shape", [(5, 3, 8, 8), (2, 6, 7, 9), (1, 1, 2, 3), (4, 5, 6)])
@pytest.mark.parametrize("last", [False, True])
def test_the_largest_of_four_is_torchs(shape, last):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x[..., 0, 0], x[..., -1, -1] = torch.nan, -torch.inf
    x[0, 0] = 0
    if last and len(shape) == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    model = quickened(nn.MaxPool2d(2))
    assert "forward" in vars(model[0])
    found, expected = model(x), nn.functional.max_pool2d(x, 2)
    np.testing.assert_array_equal(found, expected)
    assert found.stride() == expected.stride()


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3),
        nn.MaxPool2d(2, stride=1),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, dilation=2),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(2, return_indices=True),
        nn.MaxPool2d((2, 1)),
        nn.AvgPool2d(2),
    ],
    ids=str,
)
def test_other_poolings_stay(pool):
    assert "forward" not in vars(quickened(pool)[0])


def test_a_pooling_with_a_hook_stays_and_images_too_small_are_refused_as_ever():
    hooked = nn.MaxPool2d(2)
    hooked.register_forward_hook(lambda module, given, out: 2 * out)
    assert "forward" not in vars(quickened(hooked)[0])
    with pytest.raises(RuntimeError, match="too small"):
        quickened(nn.MaxPool2d(2))(torch.zeros(1, 1, 1, 4))


def test_gradients_are_torchs_own_at_ties():
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    quickened(nn.MaxPool2d((2, 2)))(x).backward()
    assert x.grad.flatten().tolist() == [1, 0, 0, 0]


def test_scores_are_those_of_the_network_as_it_is():
    data = nets.images(dtype=np.float64)
    build = nets.double(lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    ))  # fmt: skip
    task = jr.Task(build, data)
    state = task.initial(0)
    module = task.module(state).eval()
    with torch.no_grad():
        outputs = module(task.tensors["test_x"])
    expected = float(jr.measures.cross_entropy(outputs, task.tensors["test_y"]).mean())
    found = jr.evaluate(task, state[None])["test_loss"][0]
    assert found == pytest.approx(expected, rel=1e-14)
    assert "forward" not in vars(task.template[1]) | vars(task.module()[1])
