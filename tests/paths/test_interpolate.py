"""Paths equal what one scores by hand, state by state."""

import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.engine.evaluate import evaluate
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.paths import interpolate as module
from jumpretrain.paths.interpolate import interpolate, interpolation_grid, layerwise
from jumpretrain.states.layers import bias_names
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import cross_entropy, squared_error
from jumpretrain.tasks.task import Task

QUIET = Execution(progress=False)


def ends(task):
    return task.initial(0), task.initial(1)


def shifted(task, seed):
    """A state whose biases are not zero."""
    rng = np.random.default_rng(seed)
    return task.initial(seed) + 0.1 * rng.normal(size=task.layout.width) * np.r_[
        np.ones(task.weight_count), np.zeros(task.layout.width - task.weight_count)
    ].astype(task.layout.numpy_dtype)


@pytest.mark.parametrize("name", nets.TASKS)
def test_scores_are_those_of_evaluating_the_straight_line(name):
    task = nets.TASKS[name]()
    start, end = ends(task)
    path = interpolate(task, start, end, alphas=[0, 0.25, 1])
    quarter = (start + 0.25 * (end - start)).astype(task.layout.numpy_dtype)
    for metric, expected in evaluate(task, [start, quarter, end]).items():
        assert path.metrics[metric][[0, 2]].tolist() == expected[[0, 2]].tolist()
        assert path.metrics[metric][1] == pytest.approx(expected[1], rel=1e-9, abs=1e-12)


def test_single_precision_keeps_its_ends_to_the_bit():
    task = Task(lambda: mlp((6,), 3, hidden=(8,)), nets.vectors())
    start, end = ends(task)
    path = interpolate(task, start, end, alphas=7)
    states = np.stack(list(path.states()))
    assert states.dtype == np.float32
    assert states[0].tobytes() == start.tobytes() and states[-1].tobytes() == end.tobytes()
    np.testing.assert_allclose(states[3], (start + end) / 2, atol=1e-7)


@pytest.mark.parametrize("policy", ["stored", "recalibrate", "batch"])
def test_batchnorm_follows_the_policy_of_the_task(policy):
    made = nets.TASKS["conv with BatchNorm"]()
    task = Task(made.model, made.data, batchnorm=policy)
    start, end = ends(task)
    end[task.weight_count :] += np.linspace(0.1, 2, task.layout.width - task.weight_count)
    path = interpolate(task, start, end, alphas=3)
    expected = evaluate(task, [start, (start + end) / 2, end])
    np.testing.assert_allclose(path.metrics["test_loss"], expected["test_loss"], rtol=1e-12)


def test_the_error_of_each_class_is_counted_as_by_hand():
    task = nets.TASKS["mlp"]()
    start, end = ends(task)
    path = interpolate(task, start, end, alphas=5, logits=True)
    labels = {"train": task.data.train_y, "test": task.data.test_y}
    for split, y in labels.items():
        wrong = path.logits[split].argmax(2) != y
        np.testing.assert_allclose(path.metrics[f"{split}_error"], wrong.mean(1), rtol=1e-15)
        accuracy = path.metrics[f"{split}_accuracy"]
        np.testing.assert_allclose(accuracy, 1 - wrong.mean(1), rtol=1e-12)
        by_class = [[row[y == c].mean() for c in range(3)] for row in wrong]
        np.testing.assert_allclose(path.class_error[split], by_class)
    losses = cross_entropy(
        torch.as_tensor(path.logits["test"]).flatten(0, 1), torch.as_tensor(np.tile(y, 5))
    )
    expected = losses.reshape(5, -1).mean(1)
    np.testing.assert_allclose(path.metrics["test_loss"], expected, rtol=1e-12)


def test_a_class_without_examples_has_no_error():
    data = nets.vectors(dtype=np.float64)
    made = Dataset(data.train_x, np.minimum(data.train_y, 1), data.test_x, data.test_y)
    task = Task(nets.double(lambda: mlp((6,), 3, hidden=(8,))), made)
    found = interpolate(task, *ends(task), alphas=2).class_error["train"]
    assert np.isnan(found).tolist() == [[False, False, True]] * 2


def test_targets_that_are_no_classes_have_no_error_and_many_examples_all_count():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 6))
    task = Task(nets.double(lambda: nn.Linear(6, 6)), Dataset(x, x, x[:5], x[:5]), squared_error)
    path = interpolate(task, *ends(task), alphas=2, logits=True)
    assert path.class_error is None and sorted(path.metrics) == ["test_loss", "train_loss"]
    assert path.logits["train"].shape == (2, 1500, 6)
    expected = ((path.logits["train"] - x) ** 2).mean((1, 2))
    np.testing.assert_allclose(path.metrics["train_loss"], expected)


def test_the_path_of_a_quadratic_is_a_quadratic():
    x = np.random.default_rng(0).normal(size=(40, 6))
    y = np.random.default_rng(1).normal(size=(40, 2))
    task = Task(nets.double(lambda: nn.Linear(6, 2)), Dataset(x, y, x, y), squared_error)
    path = interpolate(task, *ends(task), alphas=11)
    loss = path.metrics["train_loss"]
    low, middle, high = loss[[0, 5, 10]]
    curve = np.polyfit([0, 0.5, 1], [low, middle, high], 2)
    np.testing.assert_allclose(loss, np.polyval(curve, path.alphas), rtol=1e-12)


def free(widths=(6, 8, 7, 3)):
    layers = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out, bias=False), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_outputs_without_biases_scale_with_a_power_of_alpha():
    task = Task(nets.double(free), nets.vectors(dtype=np.float64))
    end = task.initial(0)
    path = interpolate(task, 0 * end, end, alphas=6, logits=True)
    expected = path.alphas[:, None, None] ** 3 * path.logits["test"][-1]
    np.testing.assert_allclose(path.logits["test"], expected, rtol=1e-12, atol=1e-14)


def test_homogeneous_biases_keep_that_power():
    task = nets.TASKS["mlp"]()
    end = shifted(task, 3)
    path = interpolate(task, 0 * end, end, alphas=6, biases="homogeneous", logits=True)
    expected = path.alphas[:, None, None] ** 2 * path.logits["test"][-1]
    np.testing.assert_allclose(path.logits["test"], expected, rtol=1e-12, atol=1e-14)
    assert len(np.unique(path.metrics["test_error"][1:])) == 1
    linear = interpolate(task, 0 * end, end, alphas=6, logits=True).logits["test"]
    assert not np.allclose(linear, expected)


def deep(frozen):
    network = mlp((6,), 3, hidden=(8, 7))
    for name in frozen:
        network.get_submodule(name).requires_grad_(False)
    return network


@pytest.mark.parametrize(
    ("frozen", "select", "degrees"),
    [
        ((), None, {"1.bias": 1, "3.bias": 2, "5.bias": 3}),
        (("1",), None, {"3.bias": 1, "5.bias": 2}),
        (("1", "3"), None, {"5.bias": 1}),
        ((), ["3", "5"], {"3.bias": 1, "5.bias": 2}),
        ((), "5", {"5.bias": 1}),
        (("1",), ["3", "5"], {"3.bias": 1, "5.bias": 2}),
        (("3",), ["1", "5"], None),
    ],
)
def test_layers_that_stay_do_not_add_to_the_degree(frozen, select, degrees):
    task = Task(nets.double(partial(deep, frozen)), nets.vectors(dtype=np.float64))
    end = shifted(task, 3)
    start = np.where(np.arange(len(end)) < task.weight_count, 0, end)
    arguments = task, start, end, [0, 0.5, 1], select
    path = interpolate(*arguments, biases="homogeneous", logits=True)
    found = task.layout.split(torch.as_tensor(path.curve.degree))
    if degrees is None:  # the frozen bias between both layers stays, so that no power is kept
        assert found["1.bias"].max() == 1 and found["5.bias"].max() == 2
        return
    assert {name: int(found[name].max()) for name in degrees} == degrees
    half, whole = path.logits["test"][1:]
    share = 0.5 ** degrees["5.bias"]
    np.testing.assert_allclose(half, share * whole, rtol=1e-10, atol=1e-12)
    asked = interpolate(
        *arguments,
        biases="homogeneous",
        depth=dict.fromkeys(bias_names(task.layout), 1) | degrees,
        logits=True,
    )
    np.testing.assert_array_equal(asked.logits["test"], path.logits["test"])


def test_homogeneous_is_linear_where_there_are_no_biases():
    task = Task(nets.double(free), nets.vectors(dtype=np.float64))
    paths = [
        interpolate(task, *ends(task), alphas=5, biases=biases, logits=True)
        for biases in ("linear", "homogeneous", "zero", "start", "end")
    ]
    for path in paths[1:]:
        np.testing.assert_array_equal(path.logits["test"], paths[0].logits["test"])


def test_biases_move_as_they_are_told():
    task = nets.TASKS["mlp"]()
    start, end = shifted(task, 0), shifted(task, 1)
    splits = {
        biases: task.layout.split(torch.as_tensor(np.stack(list(path.states()))))
        for biases in ("linear", "homogeneous", "start", "end", "zero")
        for path in [interpolate(task, start, end, alphas=3, biases=biases)]
    }
    first, last = (task.layout.split(torch.as_tensor(state)) for state in (start, end))
    for number, name in enumerate(["1.bias", "3.bias"], start=1):
        a, b = first[name], last[name]
        share = 0.5**number
        middle = {
            "linear": (a + b) / 2,
            "homogeneous": (1 - share) * a + share * b,
            "start": a,
            "end": b,
            "zero": 0 * a,
        }
        for biases, expected in middle.items():
            torch.testing.assert_close(splits[biases][name][1], expected)
    for split in splits.values():
        torch.testing.assert_close(split["1.weight"], splits["linear"]["1.weight"])


def test_the_layers_of_a_sequential_network_number_themselves():
    def build():
        inner = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(), nn.Flatten())
        return nn.Sequential(inner, nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3)).double()

    task = Task(build, nets.images(dtype=np.float64))
    path = interpolate(task, *ends(task), alphas=2, biases="homogeneous")
    degrees = task.layout.split(torch.as_tensor(path.curve.degree))
    assert {name: set(value.flatten().tolist()) for name, value in degrees.items()} == {
        "0.0.weight": {1},
        "1.weight": {1},
        "1.bias": {2},
        "3.weight": {1},
        "3.bias": {3},
    }


def test_an_order_that_is_not_known_must_be_given():
    task = nets.TASKS["tied autoencoder"]()
    start, end = shifted(task, 0), shifted(task, 1)
    with pytest.raises(ValueError, match=r"but 'the model' is a Tied; pass depth="):
        interpolate(task, start, end, biases="homogeneous")
    with pytest.raises(
        ValueError, match=r"nothing tells of decoder\.bias, twin\.bias; pass depth"
    ):
        interpolate(task, start, end, biases="homogeneous", depth={"encoder.bias": 1})
    for strange in ("b", "encoder.weight", "shift"):  # unknown, a matrix, frozen
        with pytest.raises(ValueError, match=f"nor weight, but names {strange}; choose of encod"):
            interpolate(task, start, end, biases="homogeneous", depth={strange: 1})
    depth = {"encoder.bias": 1, "twin.bias": 1, "decoder.bias": 2}
    for wrong in (1.5, np.nan, "1"):
        with pytest.raises(TypeError, match=r"depth must be a mapping \(text to a whole number\)"):
            interpolate(task, start, end, biases="homogeneous", depth=depth | {"twin.bias": wrong})
    for wrong in (-1, 256):
        with pytest.raises(ValueError, match=r"from 1 to 255, .* but holds {'twin\.bias': "):
            interpolate(task, start, end, biases="homogeneous", depth=depth | {"twin.bias": wrong})
    with pytest.raises(ValueError, match="but biases are 'linear'; leave it out"):
        interpolate(task, start, end, depth=depth)
    path = interpolate(task, start, end, 3, biases="homogeneous", depth=depth)
    states = task.layout.split(torch.as_tensor(np.stack(list(path.states()))))["decoder.bias"]
    torch.testing.assert_close(states[1], 0.75 * states[0] + 0.25 * states[2])
    with pytest.raises(ValueError, match="'1' is a BatchNorm1d"):
        normed = nets.TASKS["mlp with BatchNorm"]()
        interpolate(normed, *ends(normed), biases="homogeneous")


class Handwritten(nn.Module):
    """Two layers with biases b, without and with axes of length 1, and a gain."""

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(5))
        self.v, self.c = nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.randn(1, 3))
        self.gain = nn.Parameter(torch.randn(3))

    def forward(self, x):
        return (torch.relu(x @ self.w + self.b) @ self.v + self.c) * self.gain


def test_biases_by_another_name_are_asked_for_and_then_move():
    task = Task(nets.double(Handwritten), nets.vectors(dtype=np.float64))
    start, end = ends(task)
    for biases in ("homogeneous", "start", "end", "zero"):
        for depth in (None, {}, {"c": 2}):
            with pytest.raises(ValueError, match=r"nothing tells of b, .*gain; pass depth=.*, 0"):
                interpolate(task, start, end, 3, biases=biases, depth=depth)
    depth = {"b": 1, "c": 2, "gain": 0}
    path = interpolate(task, 0 * end, end, 6, biases="homogeneous", depth=depth, logits=True)
    expected = path.alphas[:, None, None] ** 3 * path.logits["test"][-1]
    np.testing.assert_allclose(path.logits["test"], expected, rtol=1e-12, atol=1e-14)
    zero = interpolate(task, start, end, 3, biases="zero", depth=depth)
    states = task.layout.split(torch.as_tensor(np.stack(list(zero.states()))))
    assert {name for name, value in states.items() if not value.any()} == {"b", "c"}


def grouped():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), *nets.normed()[2:])


def weight_normed():
    first = nn.utils.parametrizations.weight_norm(nn.Linear(6, 5))
    return nn.Sequential(first, nn.ReLU(), nn.Linear(5, 3))


def tasks(build, data):
    return Task(nets.double(build), data)


KINDS = {
    "GroupNorm": lambda: tasks(grouped, nets.images(dtype=np.float64)),
    "weight norm": lambda: tasks(weight_normed, nets.vectors(dtype=np.float64)),
    "LSTM": lambda: tasks(partial(jr.models.lstm, 12, 3, width=4), nets.tokens()),
    "transformer": nets.TASKS["transformer"],
    "residual": lambda: tasks(
        partial(jr.models.wide_resnet, (1, 4, 4), 3, width=1), nets.images(dtype=np.float64)
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_layers_whose_order_or_degree_is_not_known_ask_for_depth_and_take_it(name):
    task = KINDS[name]()
    start, end = shifted(task, 0), shifted(task, 1)
    with pytest.raises(ValueError, match=r"; pass depth="):
        interpolation_grid(task, [start], [end], 2, "homogeneous")
    depth = {key: 1 + place % 3 for place, key in enumerate(bias_names(task.layout))}
    ((path,),) = interpolation_grid(task, [start], [end], 3, "homogeneous", depth)
    states = task.layout.split(torch.as_tensor(np.stack(list(path.states()))))
    assert len(depth) > 1
    for key, (first, middle, last) in states.items():
        share = 0.5 ** depth.get(key, 1)
        torch.testing.assert_close(middle, (1 - share) * first + share * last)
    held = interpolate(task, start, end, 2, biases="zero")
    kept = task.layout.split(torch.as_tensor(held.curve.end))
    assert {key for key, value in kept.items() if not value.any()} >= set(depth)
    np.testing.assert_array_equal(held.curve.end[task.weight_count :], end[task.weight_count :])


def test_frozen_biases_and_buffers_called_so_are_left_alone():
    class Masked(nn.Linear):
        def __init__(self):
            super().__init__(6, 3)
            self.bias.requires_grad_(False)
            self.register_buffer("bias_mask", torch.ones(3))

        def forward(self, x):
            return super().forward(x) * self.bias_mask

    task = tasks(Masked, nets.vectors(dtype=np.float64))
    start, end = ends(task)
    for biases in ("zero", "start", "end", "homogeneous"):
        path = interpolate(task, start, end, 2, biases=biases)
        np.testing.assert_array_equal(np.stack(list(path.states())), [start, end])


def test_a_layer_passed_twice_adds_two_to_the_degree():
    def build():
        shared = nn.Linear(5, 5, bias=False)
        return nn.Sequential(*(
            nn.Linear(6, 5),
            nn.ReLU(),
            shared,
            nn.ReLU(),
            shared,
            nn.ReLU(),
            nn.Linear(5, 3),
        ))

    task = tasks(build, nets.vectors(dtype=np.float64))
    end = shifted(task, 0)
    path = interpolate(task, 0 * end, end, 6, biases="homogeneous", logits=True)
    expected = path.alphas[:, None, None] ** 4 * path.logits["test"][-1]
    np.testing.assert_allclose(path.logits["test"], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("others", ["end", "start"])
def test_layers_move_alone_and_the_others_are_held(others):
    task = nets.TASKS["conv with BatchNorm"]()
    start, end = shifted(task, 0), shifted(task, 1)
    paths = layerwise(task, start, end, alphas=3, others=others)
    assert list(paths) == ["0", "1", "4"]
    rest = {"start": start, "end": end}[others]
    held = task.layout.split(torch.as_tensor(rest))
    first, last = (task.layout.split(torch.as_tensor(state)) for state in (start, end))
    for layer, path in paths.items():
        states = task.layout.split(torch.as_tensor(np.stack(list(path.states()))))
        for name, values in states.items():
            moves = name.startswith(f"{layer}.")
            ends_of = (first[name], last[name]) if moves else (held[name], held[name])
            assert torch.equal(values[0], ends_of[0]) and torch.equal(values[2], ends_of[1])
        assert path.metrics["test_loss"][{"end": 2, "start": 0}[others]] == pytest.approx(
            evaluate(task, [rest])["test_loss"][0], rel=1e-12
        )


def test_blocks_are_named_by_the_user():
    task = nets.TASKS["transformer"]()
    start, end = ends(task)
    blocks = layerwise(task, start, end, ["embedding", "block"], alphas=2)
    assert list(blocks) == ["embedding", "block"]
    both = layerwise(task, start, end, {"both": ["embedding", "block", "head"]}, alphas=2)["both"]
    whole = interpolate(task, start, end, alphas=2)
    assert both.metrics["test_loss"].tolist() == whole.metrics["test_loss"].tolist()
    assert list(layerwise(task, start, end, "block.linear1", alphas=2)) == ["block.linear1"]
    one = interpolate(task, start, end, alphas=2, select="block")
    np.testing.assert_array_equal(one.metrics["test_loss"], blocks["block"].metrics["test_loss"])


def test_a_grid_holds_every_path():
    task = nets.TASKS["mlp"]()
    starts = np.stack([task.initial(seed) for seed in (0, 1)])
    targets = np.stack([task.initial(seed) for seed in (2, 3, 0)])
    grid = interpolation_grid(task, starts, targets, alphas=3)
    assert [len(row) for row in grid] == [3, 3]
    for i, row in enumerate(grid):
        for j, path in enumerate(row):
            alone = interpolate(task, starts[i], targets[j], alphas=3)
            assert path.metrics["test_loss"].tolist() == alone.metrics["test_loss"].tolist()
    assert len(set(grid[0][2].metrics["test_loss"])) == 1


def test_processes_and_blocks_do_not_change_a_bit(monkeypatch):
    task = nets.TASKS["conv with BatchNorm"]()
    start, end = ends(task)
    whole = interpolate(task, start, end, alphas=9)
    spread = interpolate(task, start, end, alphas=9, execution=Execution(2, progress=False))
    monkeypatch.setattr("jumpretrain.paths.interpolate.BLOCK_ENTRIES", 1)
    single = interpolate(task, start, end, alphas=9)
    for other in (spread, single):
        assert all(np.array_equal(whole.metrics[m], other.metrics[m]) for m in whole.metrics)
        for split in ("train", "test"):
            np.testing.assert_array_equal(whole.class_error[split], other.class_error[split])


def walk():
    """Print by how many states the peak of all memory grows from 20 alphas to 120."""

    def peak():  # ru_maxrss knows the parent's too
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    task = Task(lambda: mlp((6,), 3, hidden=(700, 700)), nets.vectors())
    start, end = ends(task)
    module.BLOCK_ENTRIES = 5 * len(start)
    interpolate(task, start, end, alphas=20, execution=QUIET)
    before = peak()
    interpolate(task, start, end, alphas=120, execution=QUIET)
    print((peak() - before) / start.nbytes)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_alphas():
    call = [
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, 'tests')\n"
        "from tests.paths import test_interpolate as t; t.walk()",
    ]
    place = Path(__file__).parents[2]
    answer = subprocess.run(call, cwd=place, capture_output=True, text=True, check=True)
    assert float(answer.stdout) < 20


def test_the_model_and_the_states_stay_as_they_were():
    model = nets.normed_mlp()
    task = Task(model, nets.vectors())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start, end = ends(task)
    kept = start.copy(), end.copy()
    torch_state = torch.get_rng_state()
    first = interpolate(task, start, end, alphas=3)
    again = interpolate(task, torch.as_tensor(start), torch.as_tensor(end), alphas=3)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (start == kept[0]).all() and (end == kept[1]).all()
    np.testing.assert_array_equal(first.metrics["test_loss"], again.metrics["test_loss"])


def test_what_was_chosen_is_recorded():
    task = nets.TASKS["mlp"]()
    start, end = ends(task)
    path = interpolate(task, start, end, 3, select="3", others="start", biases="zero")
    found = path.provenance
    assert found["select"] == "3" and found["others"] == "start" and found["biases"] == "zero"
    assert found["task"]["batchnorm"] == "recalibrate" and len(set(found["ends"])) == 2


def test_bad_input_is_refused_before_the_work(monkeypatch):
    task = nets.TASKS["mlp"]()
    start, end = ends(task)
    monkeypatch.setattr("jumpretrain.paths.interpolate.spread", None)
    nan = np.where(np.arange(len(end)) == 3, np.nan, end)
    for fault, arguments in {
        r"start must be one state of this task, \(83,\), but is \(82,\)": (start[1:], end),
        r"end must be one state of this task, \(83,\), but is \(1, 83\)": (start, end[None]),
        r"end must be finite, but 1 of its 83 entries": (start, nan),
        r"alphas must be a list that rises within \[0, 1\]": (start, end, [0.5, 0.2]),
        r"a path needs at least 2 alphas": (start, end, 1),
        r"select must name parameters or modules, but 'head' is none": (start, end, 3, "head"),
        r"others must be end or start": (start, end, 3, None, "middle"),
        r"biases must be linear": (start, end, 3, None, "end", "cubic"),
    }.items():
        with pytest.raises(ValueError, match=fault):
            interpolate(task, *arguments, execution=QUIET)
    with pytest.raises(ValueError, match="but 'nowhere' is none"):
        layerwise(task, start, end, ["1", "nowhere"])
    with pytest.raises(ValueError, match="select must name a parameter or module or more"):
        interpolate(task, start, end, select=[])
    for nothing in ([], {}, ""):
        with pytest.raises(ValueError, match=r"groups must name a module or more|but '' is none"):
            layerwise(task, start, end, nothing)


@pytest.fixture(scope="module")
def deep_digits():
    """Five seeds of a deep network from small weights, with and without last-layer biases."""
    data, quiet = jr.data.digits(), jr.Execution(progress=False)
    recipe = jr.Recipe(epochs=60, lr=0.05, batch_size=128, record_every=0, record_early=False)
    found = {}
    for biases in ("last", "none"):
        build = partial(jr.models.mlp, (1, 8, 8), 10, hidden=(100,) * 4)
        task = jr.Task(jr.initialise(build, "he", 0.25, biases=biases), data)
        found[biases] = task, jr.train(task, recipe, range(5), execution=quiet)
    return found


def plateaus(task, runs, biases="linear"):
    pairs = zip(runs.initial, runs.final, strict=True)
    return [jr.interpolate(task, *pair, biases=biases).plateau().error for pair in pairs]


@pytest.mark.slow
def test_last_biases_make_a_plateau_that_homogeneous_biases_have_not(deep_digits):
    linear = np.median(plateaus(*deep_digits["last"]))
    homogeneous = np.median(plateaus(*deep_digits["last"], "homogeneous"))
    assert linear > homogeneous + 0.08
    assert homogeneous < 0.05
    assert np.median(plateaus(*deep_digits["none"])) < 0.05


@pytest.mark.slow
def test_paths_on_a_long_spiral_rise():
    data = jr.data.spirals(1000, turns=3.5, noise=0.0)
    build = partial(jr.models.mlp, (2,), 2, hidden=(64, 64, 64))
    task = jr.Task(jr.initialise(build, "he"), data)
    recipe = jr.Recipe(epochs=1500, lr=0.1, batch_size=500, record_every=0, record_early=False)
    runs = jr.train(task, recipe, range(5), execution=jr.Execution(progress=False))
    assert np.median(runs.metrics["train_loss"][:, -1]) < 0.1
    pairs = zip(runs.initial, runs.final, strict=True)
    rises = [jr.interpolate(task, *pair).monotonicity().min_delta for pair in pairs]
    assert np.median(rises) > 0.2
