"""Training that was killed goes on from its checkpoint, to the same bits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support import nets, zoo
from torch import nn

import jumpretrain as jr
from jumpretrain.engine import train
from jumpretrain.networks.models import simple_cnn

ROOT = Path(__file__).parents[2]
EVERY_OTHER = jr.Execution(progress=False, checkpoint=2)
KINDS = {
    "stacked sgd": ("mlp", "sgd"),
    "stacked adam": ("mlp", "adam"),
    "looped, with BatchNorm's counters": ("conv with BatchNorm", "sgd"),
    "looped, with dropout": ("dropout", "adam"),
}


class Stopped(BaseException):
    """Ends training as a signal would."""


def recipe(optimiser):
    return jr.Recipe(epochs=7, lr=0.02, optimiser=optimiser, batch_size=16, schedule="cosine")


def stopping(monkeypatch, at):
    """Watch which epochs are walked through, and stop in one of them."""
    walked, batches = [], train.epoch_batches

    def watched(task, recipe, seeds, epoch):
        walked.append(epoch)
        if epoch == at:
            raise Stopped
        return batches(task, recipe, seeds, epoch)

    monkeypatch.setattr(train, "epoch_batches", watched)
    return walked


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_from_its_checkpoint_to_the_same_bits(kind, tmp_path, monkeypatch):
    name, optimiser = KINDS[kind]
    task = nets.TASKS[name]()
    whole = jr.train(task, recipe(optimiser), [3, 4], execution=EVERY_OTHER)
    with monkeypatch.context() as patch:
        stopping(patch, at=5)
        with pytest.raises(Stopped):
            jr.train(task, recipe(optimiser), [3, 4], folder=tmp_path, execution=EVERY_OTHER)
    assert len(list(tmp_path.glob("checkpoints/*"))) == 1
    walked = stopping(monkeypatch, at=None)
    again = jr.train(task, recipe(optimiser), [3, 4], folder=tmp_path, execution=EVERY_OTHER)
    assert walked[:3] == [4, 5, 6]
    assert np.array_equal(again.states[:], whole.states)
    for metric, values in whole.metrics.items():
        np.testing.assert_array_equal(again.metrics[metric], values)
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.parametrize("name", ["rebound", "spectral_norm", "without axes and empty"])
def test_buffers_that_no_state_dict_has_are_kept_too(name, tmp_path, monkeypatch):
    task = zoo.task(name)
    whole = jr.train(task, recipe("sgd"), [3, 4], execution=EVERY_OTHER)
    with monkeypatch.context() as patch:
        stopping(patch, at=5)
        with pytest.raises(Stopped):
            jr.train(task, recipe("sgd"), [3, 4], folder=tmp_path, execution=EVERY_OTHER)
    again = jr.train(task, recipe("sgd"), [3, 4], folder=tmp_path, execution=EVERY_OTHER)
    assert np.array_equal(again.states[:], whole.states)


class Masked(nn.Module):
    """Counts its batches as its running statistics do; its mask is of a type NumPy has not."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.norm = nn.BatchNorm1d(8, momentum=None)
        self.register_buffer("mask", torch.tensor([0, -np.inf], dtype=torch.bfloat16))

    def forward(self, x):
        return self.head(self.norm(self.layer(x))) + self.mask[0]


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_a_cumulative_average_goes_on_where_it_was(mode, tmp_path, monkeypatch):
    task = jr.Task(Masked, nets.vectors())
    execution = jr.Execution(progress=False, checkpoint=2, mode=mode)
    whole = jr.train(task, recipe("sgd"), [3, 4], execution=execution)
    with monkeypatch.context() as patch:
        stopping(patch, at=5)
        with pytest.raises(Stopped):
            jr.train(task, recipe("sgd"), [3, 4], folder=tmp_path, execution=execution)
    again = jr.train(task, recipe("sgd"), [3, 4], folder=tmp_path, execution=execution)
    assert np.array_equal(again.states[:], whole.states)


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_numbers_that_are_no_weights_keep_their_precision(mode, tmp_path, monkeypatch):
    data = nets.vectors()
    task = jr.Task(lambda: jr.models.mlp(data.train_x.shape[1:], 3).double(), data)
    execution = jr.Execution(progress=False, checkpoint=2, mode=mode)
    whole = jr.train(task, recipe("nadam"), [3, 4], execution=execution)
    with monkeypatch.context() as patch:
        stopping(patch, at=5)
        with pytest.raises(Stopped):
            jr.train(task, recipe("nadam"), [3, 4], folder=tmp_path, execution=execution)
    again = jr.train(task, recipe("nadam"), [3, 4], folder=tmp_path, execution=execution)
    assert np.array_equal(whole.final, again.final)


def test_runs_without_checkpoints_leave_none(tmp_path):
    task, quiet = nets.TASKS["mlp"](), jr.Execution(progress=False)
    jr.train(task, recipe("sgd"), [0], folder=tmp_path, execution=quiet)
    assert not (tmp_path / "checkpoints").exists()


def test_checkpoints_are_no_part_of_the_design(tmp_path):
    task = nets.TASKS["mlp"]()
    first = jr.train(task, recipe("sgd"), [0], folder=tmp_path, execution=EVERY_OTHER)
    second = jr.train(task, recipe("sgd"), [0], folder=tmp_path, execution=jr.Execution())
    assert np.array_equal(first.states[:], second.states[:])


def long_task():
    rng = np.random.default_rng(0)
    x, y = rng.random((400, 1, 8, 8), dtype=np.float32), rng.integers(3, size=400)
    return jr.Task(lambda: simple_cnn((1, 8, 8), 3), jr.Dataset(x, y, x[:20], y[:20]))


LONG = jr.Recipe(epochs=12, lr=0.02, optimiser="adam", record_every=0)
EACH = jr.Execution(progress=False, checkpoint=1)


@pytest.mark.slow
def test_a_killed_process_goes_on_from_its_checkpoint(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests'); from tests.engine import test_checkpoints as t; "
        "t.jr.train(t.long_task(), t.LONG, [0], folder=sys.argv[1], execution=t.EACH)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    child = subprocess.Popen(words, cwd=ROOT, start_new_session=True)
    while child.poll() is None and not list(tmp_path.glob("checkpoints/00000")):
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    again = jr.train(long_task(), LONG, [0], folder=tmp_path, execution=EACH)
    assert np.array_equal(again.states[:], jr.train(long_task(), LONG, [0], execution=EACH).states)
