"""What a user's code draws from shared generators is keyed by seed and step, and put back."""

import random
import threading
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.execution.randomness import SHARED, seeded, watched

QUIET = jr.Execution(progress=False)
RECIPE = jr.Recipe(epochs=3, batch_size=6, lr=0.1, optimiser="adam")


class Noisy(nn.Module):
    """Draws in training what its kind says; one kind of them skips a layer at times."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.first, self.skipped = kind, nn.Linear(6, 8), nn.Linear(8, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        if not self.training:
            return self.last(self.skipped(x))
        if self.kind == "dropout":
            x = nn.functional.dropout(x, 0.3)
        elif self.kind == "noise":
            x = x + torch.as_tensor(np.random.normal(size=x.shape), dtype=x.dtype)  # noqa: NPY002
        elif self.kind == "choice":
            x = x * torch.as_tensor([random.choice([0.0, 1.0, 2.0]) for _ in range(8)])
        elif self.kind == "all" and random.random() < 0.5:
            x = x * np.random.rand() + torch.rand(8)  # noqa: NPY002
        if self.kind != "skip" or random.random() < 0.5:
            x = self.skipped(x)
        return self.last(x)


KINDS = ["dropout", "noise", "choice", "all", "skip"]


def data():
    x = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    return jr.Dataset(x, np.arange(30) % 3, x[:9], np.arange(9) % 3)


def task(kind):
    return jr.Task(partial(Noisy, kind), data())


def global_states():
    keys, *rest = np.random.get_state()[1:]  # noqa: NPY002
    return random.getstate(), keys.tolist(), rest, torch.get_rng_state().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_global_random_states_neither_matter_nor_move(kind):
    found = []
    for seed in (0, 1):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        np.random.normal()  # noqa: NPY002  (half a pair of normal numbers is kept for later)
        torch.manual_seed(seed)
        before = global_states()
        made = task(kind)
        fit = jr.train(made, RECIPE, [0, 1], execution=QUIET)
        assert made.random and fit.provenance["execution"]["mode"] == "looped"
        assert global_states() == before
        found.append(fit.states)
    np.testing.assert_array_equal(*found)
    assert not np.array_equal(found[0][0], found[0][1])


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_what_a_loop_of_ones_own_makes_of_the_same_draws(kind):
    """Two networks of one seed draw alike in a step, whatever was drawn before."""
    made, start = task(kind), task("none").initial(3)
    alone = jr.train(made, RECIPE, [5], [start], execution=QUIET)
    among = jr.train(made, RECIPE, [4, 5, 6], [start] * 3, execution=QUIET)
    np.testing.assert_array_equal(alone.states[0], among.states[1])


@pytest.mark.parametrize("kind", KINDS)
def test_threads_of_joblib_give_the_bits_of_one_thread(kind):
    made = task(kind)
    serial = jr.train(made, RECIPE, range(8), execution=QUIET)
    before = global_states()
    with joblib.parallel_config(backend="threading"):
        execution = jr.Execution(n_jobs=4, progress=False)
        threaded = jr.train(made, RECIPE, range(8), execution=execution)
    assert global_states() == before
    np.testing.assert_array_equal(threaded.states, serial.states)
    for name, values in serial.metrics.items():
        np.testing.assert_array_equal(threaded.metrics[name], values)


def test_threads_of_a_user_give_the_bits_of_one_thread():
    def work(place, kind, seed):
        made = task(kind)
        fit = jr.train(made, RECIPE, [seed, seed + 1], execution=QUIET)
        jumps = jr.sample(
            made, fit.final[0], RECIPE, (0.5,), directions=2, execution=QUIET, order_seed=seed
        )
        results[place] = [fit.states, jumps.states, torch.is_grad_enabled()]

    asked = [(kind, seed) for seed, kind in enumerate([*KINDS, "none", "none", "dropout"])]
    results, found = {}, []
    torch.set_num_threads(2)
    before = global_states()
    try:
        for number, one in enumerate(asked):
            work(("alone", number), *one)
        threads = [
            threading.Thread(target=work, args=(("at once", number), *one))
            for number, one in enumerate(asked)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = [torch.get_num_threads(), torch.get_default_dtype(), torch.is_anomaly_enabled()]
    finally:
        torch.set_num_threads(1)
    assert found == [2, torch.float32, False] and global_states() == before
    for number in range(len(asked)):
        for one, other in zip(results["alone", number], results["at once", number], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["dropout", "all", "skip"])
def test_training_goes_on_from_a_checkpoint_with_the_same_draws(kind, tmp_path, monkeypatch):
    from jumpretrain.engine import train as room

    made, execution = task(kind), jr.Execution(checkpoint=1, progress=False)
    whole = jr.train(made, RECIPE, [0, 1], execution=QUIET)
    rate, asked = room.Recipe.rate, []

    def stop(recipe, epoch):
        asked.append(epoch)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return rate(recipe, epoch)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(room.Recipe, "rate", stop)
        jr.train(made, RECIPE, [0, 1], folder=tmp_path, execution=execution)
    random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    resumed = jr.train(made, RECIPE, [0, 1], folder=tmp_path, execution=execution)
    np.testing.assert_array_equal(resumed.states[:], whole.states)


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_what_a_step_may_draw_from_is_known(kind):
    assert task(kind).trial.drawn == {"none": set(), "dropout": {"torch"}}.get(kind, SHARED)


def test_generators_are_watched_and_put_back_also_after_an_exception():
    before = global_states()
    with pytest.raises(KeyError), seeded(3):
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        raise KeyError
    assert global_states() == before
    for draw, name in (
        (lambda: torch.rand(1), "torch"),
        (lambda: np.random.normal(), "numpy"),  # noqa: NPY002
        (random.random, "python"),
    ):
        with watched(0) as drawn:
            draw()
        assert drawn == {name}
    assert global_states() == before


def test_what_is_seeded_repeats_as_each_library_has_it():
    with seeded(7):
        found = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002
    expected = torch.rand(1, generator=torch.Generator().manual_seed(7)).item()
    numbers = np.random.RandomState(7).rand(), random.Random(7).random()
    assert found == (expected, *numbers)


def test_a_thread_waits_while_another_draws_under_a_seed():
    drawn = []

    def draw(seed):
        with seeded(seed):
            for _ in range(200):
                value = torch.rand(1).item()
            drawn.append((seed, value))

    threads = [threading.Thread(target=draw, args=(seed % 3,)) for seed in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == 3


class Late(torch.nn.Module):
    """A network that drops units from its sixth step on."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)
        self.register_buffer("step", torch.tensor(0.0))

    def forward(self, x):
        hidden = torch.tanh(self.inner(x))
        if self.training:
            self.step += 1
            hidden = torch.nn.functional.dropout(hidden, 0.3 * float(self.step > 5))
        return self.outer(hidden)


def test_draws_that_begin_later_are_seeded_too():
    task = jr.Task(Late, nets.vectors())
    execution = jr.Execution(progress=False, mode="looped")
    recipe = jr.Recipe(epochs=4, lr=0.05, batch_size=8)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(jr.train(task, recipe, [0, 1], execution=execution).states)
        assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(*found)
