"""Which tensors run over which units, and that moving them all moves no output."""

import numpy as np
import pytest
from support import nets
from torch import nn

from jumpretrain.engine.evaluate import evaluate
from jumpretrain.networks.models import lenet, mlp, simple_cnn
from jumpretrain.states.units import check_alike, hidden_units, permute, shuffled, take_units
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.task import Task

TASKS = {
    "mlp": lambda: Task(lambda: mlp((6,), 3, hidden=(5, 4)), nets.vectors()),
    "mlp with BatchNorm": lambda: Task(
        lambda: mlp((6,), 3, hidden=(5, 4), batchnorm=True), nets.vectors()
    ),
    "simple_cnn": lambda: Task(lambda: simple_cnn((1, 4, 4), 3, channels=(4, 3)), nets.images()),
}


def test_units_and_their_tensors_are_those_of_the_layers():
    widths, ties = hidden_units(TASKS["mlp with BatchNorm"]())
    assert widths == [5, 4]
    assert ties["1.weight"] == {0: 0} and ties["1.bias"] == {0: 0}
    assert ties["2.running_var"] == {0: 0} == ties["2.weight"]
    assert ties["4.weight"] == {0: 1, 1: 0}
    assert ties["7.weight"] == {1: 1} and ties["7.bias"] == {}


@pytest.mark.parametrize("kind", TASKS)
def test_permuted_networks_compute_the_same_and_can_be_put_back(kind):
    task = TASKS[kind]()
    state = task.initial(0)
    widths, ties = hidden_units(task)
    orders = shuffled(widths, np.random.default_rng(1))
    moved = permute(task, ties, state, orders)
    assert not np.array_equal(moved, state)
    np.testing.assert_array_equal(np.sort(moved), np.sort(state))
    for name, value in evaluate(task, [state, moved]).items():
        assert value[0] == pytest.approx(value[1], rel=1e-5), name
    back = permute(task, ties, moved, [np.argsort(order) for order in orders])
    np.testing.assert_array_equal(back, state)
    check_alike(task, ties, state, orders)


def test_blocks_of_flattened_pixels_move_with_their_unit():
    rows = np.arange(12).reshape(1, 12)
    found = take_units(rows, 1, np.array([2, 0, 1]))
    assert found.tolist() == [[8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7]]


def test_networks_of_other_kinds_are_refused():
    residual = nets.TASKS["transformer"]()
    with pytest.raises(ValueError, match="residual networks are not known"):
        hidden_units(residual)
    assert hidden_units(Task(lambda: lenet((1, 12, 12), 3), pictures()))[0] == [6, 16, 120, 84]


def test_a_forward_that_fixes_its_type_is_refused():
    class Cast(nn.Module):
        def forward(self, x):
            return x.float()

    build = lambda: nn.Sequential(nn.Linear(6, 4), Cast(), nn.Linear(4, 3))  # noqa: E731
    task = Task(build, nets.vectors())
    _, ties = hidden_units(task)
    with pytest.raises(ValueError, match="must compute in double precision"):
        check_alike(task, ties, task.initial(0), [np.arange(4)])


def pictures():
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 1, 12, 12), dtype=np.float32), rng.integers(3, size=20)
    return Dataset(x, y, x.copy(), y.copy())


def test_each_unit_is_taken_from_where_its_order_says():
    task = TASKS["mlp"]()
    state = task.initial(0)
    _, ties = hidden_units(task)
    orders = [np.array([2, 0, 1, 4, 3]), np.arange(4)]
    old, new = (dict(task.layout.weights(s)) for s in (state, permute(task, ties, state, orders)))
    first, second = [name for name, tensor in old.items() if tensor.ndim == 2][:2]
    assert np.array_equal(new[first], old[first][orders[0]])
    assert np.array_equal(new[second], old[second][:, orders[0]])


class Cumulate(nn.Module):
    """Lets a unit see those before it."""

    def forward(self, x):
        return x.cumsum(1)


def test_functions_that_treat_units_unlike_are_refused():
    task = Task(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 5), Cumulate(), nn.Linear(5, 3)),
        nets.vectors(),
    )
    widths, ties = hidden_units(task)
    with pytest.raises(ValueError, match="must treat all units alike"):
        check_alike(task, ties, task.initial(0), [np.arange(5)[::-1]])
    assert widths == [5]
