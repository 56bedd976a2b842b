"""Training against a loop written by hand, in every execution, killed and continued."""

import copy
import random
import warnings
from dataclasses import asdict, replace
from inspect import isclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import nets
from torch import nn

from jumpretrain.engine.checkpoints import Ends
from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution, chunks
from jumpretrain.networks.models import mlp
from jumpretrain.states.planes import random_plane
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import squared_error
from jumpretrain.tasks.task import Task

QUIET = Execution(progress=False)
RATES = {  # of four epochs: (1 + cos(pi e / 4)) / 2; a tenth from each of 1/2 and 3/4 on
    "constant": [1, 1, 1, 1],
    "cosine": [1, (2 + 2**0.5) / 4, 1 / 2, (2 - 2**0.5) / 4],
    "steps": [1, 1, 0.1, 0.01],
}


def by_hand(task, recipe, seed, state):
    """Train one network as a user would write it, and list the state after every step."""
    module = task.module(state)
    inputs, targets = task.tensors["train_x"], task.tensors["train_y"]
    trainable = [p for p in module.parameters() if p.requires_grad]
    kinds = {kind.__name__.lower(): kind for kind in vars(torch.optim).values() if isclass(kind)}
    extra = {"momentum": recipe.momentum} if recipe.optimiser == "sgd" else {}
    optimiser = kinds[recipe.optimiser](
        trainable, lr=recipe.lr, weight_decay=recipe.weight_decay, **extra
    )
    states = [task.layout.read(module).numpy()]
    for epoch in range(recipe.epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(inputs))
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * RATES[recipe.schedule][epoch]
        for start in range(0, len(order), recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            if recipe.drop_last and len(rows) < recipe.batch_size:
                continue
            optimiser.zero_grad()
            task.loss(module(inputs[rows]), targets[rows]).mean().backward()
            for tensor in (t for t in trainable if t.any()):
                norm = float((tensor.detach() ** 2).sum()) ** 0.5
                slope = 2 * recipe.push * (norm - recipe.radius)
                tensor.grad += slope * tensor.detach() / norm
            optimiser.step()
            states.append(task.layout.read(module).numpy())
    return np.stack(states)


RECIPES = [
    Recipe(epochs=3, lr=0.05, batch_size=8, weight_decay=0.01),
    Recipe(epochs=3, lr=0.01, batch_size=10, optimiser="adam", drop_last=True),
    Recipe(epochs=4, lr=0.05, batch_size=16, schedule="cosine"),
    Recipe(epochs=4, lr=0.05, batch_size=16, schedule="steps"),
    Recipe(epochs=3, lr=0.02, batch_size=16, push=0.1, radius=3.0),
]


@pytest.mark.parametrize("name", [name for name in nets.TASKS if name != "dropout"])
@pytest.mark.parametrize("mode", ["auto", "looped"])
@pytest.mark.parametrize(
    "recipe", RECIPES, ids=lambda r: "push" if r.push else f"{r.optimiser}-{r.schedule}"
)
def test_every_execution_equals_the_loop_by_hand(name, mode, recipe):
    task = nets.TASKS[name]()
    runs = train(task, recipe, [4, 5], execution=Execution(mode=mode, progress=False))
    steps = recipe.record_steps(recipe.batches(len(task.data.train_x)))
    for k, seed in enumerate((4, 5)):
        expected = by_hand(task, recipe, seed, task.initial(seed))[steps]
        np.testing.assert_allclose(runs.states[k], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("optimiser", ["adamw", "nadam", "radam", "rmsprop", "adagrad"])
@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_every_elementwise_optimiser_equals_torchs_loop(optimiser, mode):
    task = nets.TASKS["mlp"]()
    recipe = Recipe(epochs=3, lr=0.01, optimiser=optimiser, weight_decay=0.1, batch_size=10)
    runs = train(task, recipe, [4, 5], execution=Execution(mode=mode, progress=False))
    steps = recipe.record_steps(recipe.batches(len(task.data.train_x)))
    for k, seed in enumerate((4, 5)):
        expected = by_hand(task, recipe, seed, task.initial(seed))[steps]
        np.testing.assert_allclose(runs.states[k], expected, rtol=0, atol=1e-9)


def test_the_automatic_choice_stacks_and_loops_as_the_rule_says():
    modes = {
        name: train(build(), Recipe(epochs=1), [0, 1], execution=QUIET).provenance["execution"][
            "mode"
        ]
        for name, build in nets.TASKS.items()
    }
    assert modes["mlp"] == modes["mlp with BatchNorm"] == modes["transformer"] == "stacked"
    assert modes["conv with BatchNorm"] == modes["dropout"] == "looped"


def test_a_stacked_step_that_disagrees_is_looped_and_says_so():
    runs = train(nets.TASKS["padded transformer"](), Recipe(epochs=1), [0, 1], execution=QUIET)
    execution = runs.provenance["execution"]
    assert (execution["mode"], execution["reason"]) == (
        "looped",
        "stacked and looped steps disagree",
    )


def test_a_forward_that_vmap_refuses_is_looped_and_says_why():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(6, 3)

        def forward(self, x):
            return self.inner(x) * (2.0 if x.sum().item() > 0 else 1.0)

    task = Task(Picky, nets.vectors())
    runs = train(task, Recipe(epochs=1), [0, 1], execution=QUIET)
    assert runs.provenance["execution"]["mode"] == "looped"
    assert "Error" in runs.provenance["execution"]["reason"]
    with pytest.raises(ValueError, match="stacked training needs a model that vmap accepts"):
        train(task, Recipe(epochs=1), [0, 1], execution=Execution(mode="stacked"))


def test_float32_steps_agree_one_by_one():
    task = Task(lambda: mlp((6,), 3, hidden=(8,)), nets.vectors())
    recipe = Recipe(epochs=1, batch_size=8)
    path = by_hand(task, recipe, 0, task.initial(0))
    for before, after in pairwise(path):
        assert not np.array_equal(before, after)
    one = Recipe(epochs=1, batch_size=44)
    states = np.stack([path[0], path[2]])
    runs = train(task, one, [0, 0], states, execution=Execution(mode="stacked", progress=False))
    for k in range(2):
        expected = by_hand(task, one, 0, states[k])[-1]
        np.testing.assert_allclose(runs.final[k], expected, rtol=0, atol=1e-5)


def test_a_quadratic_bowl_follows_the_momentum_recursion():
    model = nn.Linear(1, 1, bias=False).double()
    one, zero = np.ones((4, 1)), np.zeros((4, 1))
    task = Task(model, Dataset(one, zero, one, zero), loss=squared_error)
    recipe = Recipe(epochs=25, lr=0.04, momentum=0.8, batch_size=4)
    path = train(task, recipe, [0], [[3.0]], execution=QUIET).states[0, :, 0]
    matrix = np.array([[1 - 0.04 * 2, -0.04 * 0.8], [2, 0.8]])
    vector, expected = np.array([3.0, 0.0]), [3.0]
    for _ in range(25):
        vector = matrix @ vector
        expected.append(vector[0])
    np.testing.assert_allclose(path, expected, atol=1e-13)


def unmoved(width):
    """A linear layer on zeros with zeros as targets: no loss moves it while its bias is zero."""
    zero = np.zeros((4, width))
    model = nn.Linear(width, width).double()
    return Task(model, Dataset(zero, zero, zero, zero), loss=squared_error)


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_the_push_alone_moves_each_norm_to_the_radius_geometrically(mode):
    task, rate = unmoved(3), 0.1
    recipe = Recipe(epochs=7, lr=rate, momentum=0.0, batch_size=4, push=1.5, radius=4.0)
    starts = np.zeros((2, task.weight_count))
    starts[0, :9], starts[1, :9] = np.arange(1, 10), -np.arange(9)
    execution = Execution(mode=mode, progress=False)
    runs = train(task, recipe, [0, 1], starts, execution=execution)
    assert runs.provenance["execution"]["mode"] == mode
    for path, start in zip(runs.states, starts, strict=True):
        norm = np.linalg.norm(start)
        norms = 4 + (norm - 4) * (1 - 2 * rate * 1.5) ** np.arange(8)
        np.testing.assert_allclose(path, norms[:, None] * start / norm, atol=1e-12)
    assert not runs.states[:, :, 9:].any()  # a tensor of zeros has no direction to go
    assert not runs.metrics["train_loss"].any()


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_recorded_losses_are_without_the_push(mode):
    task = nets.TASKS["mlp"]()
    recipe = Recipe(epochs=3, lr=0.02, batch_size=16, push=0.2, radius=5.0)
    execution = Execution(mode=mode, progress=False)
    runs = train(task, recipe, [0, 1], execution=execution)
    np.testing.assert_array_equal(
        runs.metrics["train_loss"][:, -1], evaluate(task, runs.final)["train_loss"]
    )


class Idle(nn.Module):
    """A parameter that no loss depends on: without a gradient, weight decay leaves it alone."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 3)
        self.idle = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_without_push_nothing_is_added_to_the_loss(mode):
    task, execution = Task(Idle, nets.vectors()), Execution(mode=mode, progress=False)
    plain, asked = (
        train(task, Recipe(epochs=2, weight_decay=0.1, radius=r), [0, 1], execution=execution)
        for r in (0.0, 5.0)
    )
    assert np.array_equal(plain.states, asked.states)
    idle = task.layout.split(torch.as_tensor(asked.final))["idle"]
    assert torch.equal(idle, torch.ones(2, 4))


@pytest.mark.parametrize("name", ["mlp", "mlp with BatchNorm", "conv with BatchNorm"])
def test_training_goes_on_from_the_bits_that_pre_training_ended_with(name):
    task = nets.TASKS[name]()
    redrawn = Task(task.model, task.data.corrupt(1.0, seed=3))
    recipe = Recipe(epochs=2, lr=0.05, batch_size=8)
    earlier = train(redrawn, recipe, [0, 1], execution=QUIET)
    later = train(task, recipe, [5, 6], states=earlier.final, execution=QUIET)
    assert np.array_equal(later.initial, earlier.final)
    assert not np.array_equal(later.initial[0], task.initial(5))
    for k, seed in enumerate((5, 6)):
        expected = by_hand(task, recipe, seed, earlier.final[k])
        np.testing.assert_allclose(later.final[k], expected[-1], rtol=0, atol=1e-9)


def test_batchnorm_statistics_are_each_runs_own():
    task = nets.TASKS["mlp with BatchNorm"]()
    runs = train(task, Recipe(epochs=2, batch_size=8), [0, 1], execution=QUIET)
    buffers = runs.final[:, task.weight_count :]
    assert runs.provenance["execution"]["mode"] == "stacked"
    assert buffers.shape[1] == 16
    assert np.abs(buffers[0] - buffers[1]).min() > 0
    assert np.abs(buffers - runs.initial[:, task.weight_count :]).max() > 0.01


def test_dropout_repeats_however_it_is_chunked():
    task, recipe = nets.TASKS["dropout"](), Recipe(epochs=2, batch_size=8)
    together = train(task, recipe, [0, 1, 2], execution=QUIET).states
    for chunk in (1, 2):
        apart = train(task, recipe, [0, 1, 2], execution=Execution(chunk=chunk, progress=False))
        assert np.array_equal(apart.states, together)
    single = train(task, recipe, [2], execution=QUIET).states
    assert np.array_equal(single[0], together[2])


def test_processes_give_the_bits_of_one_process():
    task, recipe = nets.TASKS["mlp"](), Recipe(epochs=2, batch_size=8)
    alone = train(task, recipe, range_(9), execution=Execution(chunk=4, progress=False))
    spread = train(task, recipe, range_(9), execution=Execution(chunk=4, n_jobs=2, progress=False))
    assert np.array_equal(alone.states, spread.states)
    assert all(np.array_equal(alone.metrics[n], spread.metrics[n]) for n in alone.metrics)


def range_(count):
    return list(range(count))


def test_frozen_parameters_stay_and_tied_ones_count_once():
    task = nets.TASKS["tied autoencoder"]()
    runs = train(task, Recipe(epochs=2, batch_size=8), [0], execution=QUIET)
    assert task.weight_count == 18 + 3 + 18 + 6 + 3
    frozen = slice(task.weight_count, task.weight_count + 6)
    assert np.array_equal(runs.final[0, frozen], np.full(6, 0.5))
    module = task.module(runs.final[0])
    assert module.twin.weight is module.encoder.weight


def test_the_model_given_and_all_global_random_states_stay():
    model = nets.normed()
    before = copy.deepcopy(model.state_dict())
    task = Task(model, nets.images())
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    python_state = random.getstate()
    train(task, Recipe(epochs=1), [0, 1], execution=QUIET)
    evaluate(task, [task.initial(3)])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert random.getstate() == python_state
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training and all(p.requires_grad for p in model.parameters())


def test_a_diverged_run_is_kept_and_flagged_beside_the_others():
    task = nets.TASKS["mlp"]()
    starts = np.stack([task.initial(0), 1e200 * task.initial(1)])
    for mode in ("stacked", "looped"):
        runs = train(
            task, Recipe(epochs=3, lr=1.0), [0, 1], starts, execution=Execution(mode=mode)
        )
        assert runs.status.tolist() == ["ok", "diverged"]
        assert np.isfinite(runs.metrics["test_loss"][0]).all()
        assert np.array_equal(runs.initial, starts)


def test_recording_names_the_steps_it_took():
    recipe = Recipe(epochs=2, batch_size=5)
    runs = train(nets.TASKS["mlp"](), recipe, [0], execution=QUIET)
    assert np.allclose(runs.epoch * 9, [0, 1, 2, 4, 8, 9, 18])
    sparse = Recipe(epochs=5, batch_size=5, record_every=0, record_early=False)
    assert sparse.record_steps(9).tolist() == [0, 45]
    assert Recipe(epochs=5, record_every=2, record_early=False).record_steps(9).tolist() == [
        0, 18, 36, 45,
    ]  # fmt: skip


def test_augmentation_changes_training_only_and_repeats():
    data = nets.images()
    plain = Task(nets.normed, data)
    task = Task(nets.normed, data.augment(crop=1, flip=True))
    recipe = Recipe(epochs=2, batch_size=8)
    first, again = (train(task, recipe, [0], execution=QUIET) for _ in range(2))
    other = train(plain, recipe, [0], execution=QUIET)
    assert np.array_equal(first.states, again.states)
    assert not np.array_equal(first.final, other.final)
    assert evaluate(task, first.final)["train_loss"] == evaluate(plain, first.final)["train_loss"]


def test_a_folder_is_continued_and_refuses_another_recipe(tmp_path):
    task, recipe = nets.TASKS["mlp"](), Recipe(epochs=2)
    execution = Execution(chunk=2, progress=False)
    whole = train(task, recipe, range_(4), execution=execution)
    train(task, recipe, range_(4), folder=tmp_path, execution=execution)
    files = sorted((tmp_path / "runs").iterdir())
    stamps = {file: file.stat().st_mtime_ns for file in files}
    files[1].unlink()
    runs = train(task, recipe, range_(4), folder=tmp_path, execution=execution)
    assert np.array_equal(runs.states[:], whole.states)
    assert [file.stat().st_mtime_ns == stamps[file] for file in files] == [True, False, True, True]
    with pytest.raises(ValueError, match=r"recipe.lr is 0.1 here and 0.005 there"):
        train(task, Recipe(epochs=2, lr=0.1), range_(4), folder=tmp_path, execution=execution)
    with pytest.raises(ValueError, match=r"history is .arrays corrupt\(0.5, seed=0\). here"):
        other = Task(task.model, task.data.corrupt(0.5))
        train(other, recipe, range_(4), folder=tmp_path, execution=execution)


def test_a_truncated_file_is_named_and_nothing_else_is_lost(tmp_path):
    task, recipe = nets.TASKS["mlp"](), Recipe(epochs=1)
    train(task, recipe, [0, 1], folder=tmp_path, execution=QUIET)
    broken = tmp_path / "runs" / "00001.safetensors"
    broken.write_bytes(broken.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"00001\.safetensors must be a whole .* delete it"):
        train(task, recipe, [0, 1], folder=tmp_path, execution=QUIET)
    broken.unlink()
    runs = train(task, recipe, [0, 1], folder=tmp_path, execution=QUIET)
    assert runs.status.tolist() == ["ok", "ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, "seeds must be a list of whole numbers in 0"),
        ({"seeds": [-1]}, "seeds must be"),
        ({"seeds": [0], "states": np.zeros((1, 3))}, "states of this task are"),
        ({"seeds": [0, 1], "states": "one"}, "each state needs one seed"),
        ({"seeds": [0], "states": "nan"}, "states must be finite"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    task = nets.TASKS["mlp"]()
    special = {"one": task.initial(0)[None], "nan": task.initial(0)[None] * np.nan}
    if isinstance(arguments.get("states"), str):
        arguments = arguments | {"states": special[arguments["states"]]}
    with pytest.raises(ValueError, match=message):
        train(task, Recipe(epochs=1), **arguments)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"momentum": 1.0}, {"batch_size": 0},
        {"optimiser": "lbfgs"}, {"schedule": "linear"}, {"milestones": (0.9, 0.5)},
        {"weight_decay": -1.0}, {"record_every": -1}, {"push": -0.1}, {"push": float("inf")},
        {"radius": -1.0}, {"radius": float("nan")},
    ],
)  # fmt: skip
def test_a_recipe_names_what_is_out_of_range(change):
    with pytest.raises(ValueError, match=f"^{next(iter(change))} (of a recipe )?must be"):
        Recipe(**change)


def test_dropping_the_only_batch_is_refused():
    with pytest.raises(ValueError, match="no batch of 64 with drop_last"):
        train(nets.TASKS["mlp"](), Recipe(drop_last=True), [0])


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 200), largest=st.integers(1, 40))
def test_chunks_cover_all_runs_once_in_order(count, largest):
    parts = chunks(count, largest)
    assert np.concatenate(parts).tolist() == list(range(count))
    assert max(map(len, parts)) <= largest
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_few_examples_train_stacked():
    task = Task(lambda: mlp((6,), 3, hidden=(8,)), nets.vectors(count=12).subset(train=3))
    runs = train(task, Recipe(epochs=1), [0, 1], execution=QUIET)
    assert runs.provenance["execution"]["mode"] == "stacked"


def test_a_batch_of_one_is_refused_for_batchnorm_before_training():
    task = nets.TASKS["mlp with BatchNorm"]()
    with pytest.raises(ValueError, match="44 examples in batches of 43 leave one alone"):
        train(task, Recipe(epochs=1, batch_size=43), [0])
    train(task, Recipe(epochs=1, batch_size=43, drop_last=True), [0], execution=QUIET)


def pooled(normal):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        normal,
        nn.Flatten(),
        nn.Linear(4, 3),
    )


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda: pooled(nn.BatchNorm2d(4)), 43),
        (lambda: pooled(nn.BatchNorm2d(4)), 1),
        (lambda: nn.Sequential(PairsOnly(), nn.Flatten(), nn.Linear(16, 3)), 41),
    ],
)
def test_a_last_batch_that_the_network_cannot_take_is_refused_before_training(
    build, size, tmp_path
):
    data = nets.images(44)
    task, folder = Task(build, data), tmp_path / "new"
    with pytest.raises(
        ValueError, match=f"44 examples in batches of {size} leave .* alone, which"
    ):
        train(task, Recipe(epochs=1, batch_size=size), [0], folder=folder)
    assert not folder.exists()
    train(task, Recipe(epochs=1, batch_size=42), [0], folder=folder, execution=QUIET)


class PairsOnly(nn.Module):
    """Takes an even number of examples in training, as a loss of pairs does."""

    def forward(self, x):
        return x.unflatten(0, (-1, 2)).flatten(0, 1) if self.training else x


def test_the_order_of_the_data_is_no_other_stream():
    count, seed = 3000, 3
    order = np.random.default_rng((seed, 0)).permutation(count)
    data = nets.Dataset(np.zeros((count, 1), np.float32), np.zeros(count, int), *[np.zeros(1)] * 2)
    data = nets.Dataset(data.train_x, data.train_y, data.train_x[:9], np.full(9, 4))
    changed = data.corrupt(0.5, seed).train_y[order] != 0
    assert abs(changed[: count // 2].mean() - changed[count // 2 :].mean()) < 0.06
    scored = (
        Task(
            lambda: nn.Linear(1, 5),
            nets.Dataset(
                np.arange(count, dtype=np.float32)[:, None], data.train_y, data.test_x, data.test_y
            ),
        )
        .tensors["scored_x"]
        .numpy()
        .ravel()
    )
    first = np.random.default_rng((0, 0)).permutation(count)[:1500]
    assert 900 < len(np.intersect1d(scored, first)) < 1100


def test_equal_planes_are_one_plane():
    task = Task(lambda: mlp((6,), 3, hidden=(5,)), nets.vectors())
    recipe = Recipe(epochs=2, lr=0.1, batch_size=11)
    one, again = (random_plane(task.weight_count, 4, 0) for _ in range(2))
    quiet = Execution(progress=False)
    first = train(task, recipe, [0, 1], execution=quiet, planes=one)
    second = train(task, recipe, [0, 1], execution=quiet, planes=[one, again])
    assert np.array_equal(first.states, second.states)
    with pytest.raises(TypeError, match="planes must be a Plane, a sequence"):
        train(task, recipe, [0, 1], execution=quiet, planes=[one, None])


class Half(nn.Module):
    """A network that asks for bfloat16 in its own forward."""

    def __init__(self):
        super().__init__()
        self.inner = mlp((6,), 3, hidden=(8,))

    def forward(self, x):
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.inner(x).float()


def test_numbers_of_eight_bits_are_taken_where_a_network_asks_for_them_and_nowhere_else():
    tasks = [Task(build, nets.vectors()) for build in (Half, lambda: mlp((6,), 3, hidden=(8,)))]
    recipe, start = Recipe(epochs=2, lr=0.05, batch_size=10), tasks[1].initial(0)
    half, whole = (train(task, recipe, [0], start[None], execution=QUIET) for task in tasks)
    steps = by_hand(tasks[0], recipe, 0, start)
    np.testing.assert_array_equal(half.final[0], steps[-1])
    assert half.final.dtype == np.float32
    apart = np.abs(half.final - whole.final).max() / np.abs(whole.final - whole.initial).max()
    assert 1e-4 < apart < 0.05  # 2^-9 of a number, again and again


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_optimiser_may_be_spelled_otherwise(name):
    recipe = Recipe(optimizer=name)
    assert recipe == Recipe(optimiser=name) and recipe.optimiser == name
    assert replace(recipe, lr=0.5) == Recipe(lr=0.5, optimiser=name)
    assert replace(Recipe(), optimizer=name) == recipe
    assert asdict(recipe) == asdict(Recipe(optimiser=name))


def test_an_unknown_optimiser_or_two_at_once_are_refused():
    with pytest.raises(ValueError, match=r"optimizer must be .* but is 'lion'"):
        Recipe(optimizer="lion")
    with pytest.raises(ValueError, match="'rmsprop' and 'adam'; pass one of them"):
        Recipe(optimiser="rmsprop", optimizer="adam")
    assert Recipe(optimiser="adam", optimizer="adam") == Recipe(optimiser="adam")


def test_what_a_network_draws_differs_from_step_to_step():
    # the slope of the sum of dropped ones is the mask: each step moves by it
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 1, bias=False)).double()
    ones, zero = np.ones((1, 64)), np.zeros((1, 1))
    task = Task(model, Dataset(ones, zero, ones, zero), loss=lambda out, _: out[:, 0])
    recipe = Recipe(epochs=2, lr=0.5, momentum=0.0, batch_size=1)
    moved = np.diff(train(task, recipe, [0], execution=QUIET).states[0], axis=0)
    assert set(np.unique(moved.round(9))) == {-1, 0}
    assert not np.array_equal(*moved.round(9))


class Late(nn.Linear):
    """Changes what it holds from its fiftieth step of training on."""

    def __init__(self, change, **held):
        super().__init__(6, 3)
        self.change, self.late = change, 0.0
        nets.held(self, **held)
        self.register_buffer("clock", torch.zeros(()))
        self.register_buffer("mask", torch.ones(3, dtype=torch.bool))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        if self.training:
            self.clock += 1
            if self.clock > 49:
                self.change(self)
        return super().forward(x) * self.mask * (1 + self.shift())

    def shift(self):
        return 0.0


class Remembering(Late):
    """Scales its outputs by the length of a log."""

    def shift(self):
        return float(len(self.log))


class Box:
    def __init__(self):
        self.inner = [0]


def flip(net):
    net.mask[0] = False


def count(net):
    net.steps += 1


def enter(net):
    net.table["a"] += 1


def enter_deep(net):
    net.box.inner[0] += 1


LATE = {
    "mask": lambda: Late(flip),
    "steps": lambda: Late(count),
    "late": lambda: Late(lambda net: setattr(net, "late", 1.0)),
    r"table\[a\]": lambda: Late(enter, table={"a": 0, "b": "text"}),
    r"box\[inner\]\[0\]": lambda: Late(enter_deep, box=Box()),
    "log": lambda: Remembering(lambda net: net.log.append(0), log=[]),
}


@pytest.mark.parametrize("name", LATE)
def test_what_training_changes_late_and_no_state_holds_is_refused_by_name(name, tmp_path):
    task = Task(LATE[name], nets.vectors())
    train(task, Recipe(epochs=1, batch_size=4), [0], execution=QUIET)  # 11 steps
    long = Recipe(epochs=6, batch_size=4)
    refusal = rf"training (must change only|changes more).* {name}; hold"
    for _ in range(2):
        with pytest.raises(ValueError, match=refusal):
            train(task, long, [0], folder=tmp_path / "new", execution=QUIET)
    assert not list((tmp_path / "new" / "runs").glob("*.safetensors"))


def test_logs_shapes_and_activations_that_no_score_depends_on_do_no_harm():
    def note(net):
        net.log.append(1)
        net.shape, net.last = net.mask.shape, net.mask * 1.0

    task = Task(Late(note, log=[], shape=None), nets.vectors())
    fit = train(task, Recipe(epochs=6, batch_size=4), [0], execution=QUIET)
    assert fit.status.tolist() == ["ok"]


UNTIL = Recipe(epochs=12, lr=0.1, batch_size=16, record_early=False, until={"train_loss": 0.9})


def unending(recipe):
    return replace(recipe, until=None)


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_each_network_ends_after_the_epoch_in_which_it_reaches_its_goal(mode):
    task, execution = Task(nets.normed_mlp, nets.vectors()), Execution(mode=mode, progress=False)
    seeds = [0, 1, 2, 3]
    whole = train(task, unending(UNTIL), seeds, execution=execution)
    found = train(task, UNTIL, seeds, execution=execution)
    losses = whole.metrics["train_loss"]
    ends = [int(np.argmax(row <= 0.9)) or 12 for row in losses]
    assert len(set(ends)) > 1
    for run, end in enumerate(ends):
        assert (found.states[run, : end + 1] == whole.states[run, : end + 1]).all()
        assert (found.states[run, end:] == whole.states[run, end]).all()
        assert found.metrics["epochs_trained"][run].tolist() == np.minimum(range(13), end).tolist()
    assert "epochs_trained" not in whole.metrics


def test_an_accuracy_is_reached_from_below_and_all_goals_count():
    task = Task(nets.normed_mlp, nets.vectors())
    goals = {"train_accuracy": 0.6, "train_loss": 2.0}
    recipe = replace(UNTIL, until=goals, record_every=0)
    found = train(task, recipe, [0, 1], execution=QUIET)
    whole = train(task, unending(UNTIL), [0, 1], execution=QUIET)
    good = (whole.metrics["train_accuracy"] >= 0.6) & (whole.metrics["train_loss"] <= 2.0)
    assert found.metrics["epochs_trained"][:, -1].tolist() == np.argmax(good, axis=1).tolist()
    assert found.states.shape[1] == 2


def test_networks_that_ended_stay_ended_when_training_goes_on_from_a_checkpoint(tmp_path):
    task = Task(nets.normed_mlp, nets.vectors())
    execution = Execution(mode="stacked", checkpoint=1, progress=False)
    recipe = replace(UNTIL, record_every=0)
    whole = train(task, recipe, [0, 1, 2, 3], execution=execution)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jumpretrain.engine.checkpoints.Ends.look", stopping(Ends.look))
        with pytest.raises(KeyboardInterrupt):
            train(task, recipe, [0, 1, 2, 3], folder=tmp_path, execution=execution)
    again = train(task, recipe, [0, 1, 2, 3], folder=tmp_path, execution=execution)
    assert (again.states[:] == whole.states[:]).all()
    assert (again.metrics["epochs_trained"] == whole.metrics["epochs_trained"]).all()


def stopping(look):
    """Interrupt training once a network but not all have ended, and that is written."""

    def stop(ends, states, epochs):
        if 0 < (ends.epochs > 0).sum() < len(ends.epochs):
            raise KeyboardInterrupt
        look(ends, states, epochs)

    return stop


def test_a_goal_is_a_metric_of_the_task():
    with pytest.raises(ValueError, match="'loss'; choose of train_loss"):
        train(Task(nets.normed_mlp, nets.vectors()), replace(UNTIL, until={"loss": 1.0}), [0])
    with pytest.raises(ValueError, match="until must be a mapping"):
        Recipe(until={"train_loss": float("nan")})
    with pytest.raises(
        ValueError, match="until of a recipe must be finite numbers by metric, or None"
    ):
        Recipe(until={})


def test_a_goal_is_another_design(tmp_path):
    task = Task(nets.normed_mlp, nets.vectors())
    train(task, unending(UNTIL), [0], folder=tmp_path / "a", execution=QUIET)
    train(task, UNTIL, [0], folder=tmp_path / "b", execution=QUIET)
    with pytest.raises(ValueError, match=r"recipe\.until"):
        train(task, UNTIL, [0], folder=tmp_path / "a", execution=QUIET)
    with pytest.raises(ValueError, match=r"recipe\.until"):
        train(task, unending(UNTIL), [0], folder=tmp_path / "b", execution=QUIET)


class Bag(nn.Module):
    """Means of words, which vmap goes through one network at a time."""

    def __init__(self):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(12, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.bag(x))


def test_networks_that_vmap_goes_through_one_by_one_are_trained_without_a_warning():
    task = Task(Bag, nets.tokens())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(task, Recipe(epochs=1), [0, 1], execution=Execution(progress=False))
    assert not told
