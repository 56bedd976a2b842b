"""Runs spread over a real cluster of worker processes, one of which is killed."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster
from torch import nn

import jumpretrain as jr

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
IN_TWOS = jr.Execution(progress=False, chunk=2)


@contextmanager
def local_cluster(**words):
    words |= {"dashboard_address": None} | ({"host": "127.0.0.1"} if words["processes"] else {})
    with LocalCluster(**words) as cluster, Client(cluster) as made:
        yield made


@pytest.fixture
def client():
    with local_cluster(n_workers=2, processes=True, threads_per_worker=1) as made:
        yield made


def kill_one_worker_once_runs_are_kept(client, folder, killed):
    victim = next(iter(client.run(os.getpid).values()))
    while not list(folder.glob("runs/*.safetensors")):
        time.sleep(0.02)
    killed.update({path: path.stat().st_mtime_ns for path in folder.glob("runs/*.safetensors")})
    os.kill(victim, signal.SIGKILL)


def test_a_cluster_gives_the_same_bits_even_where_a_worker_is_killed(client, tmp_path):
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(32,)), jr.data.digits())
    recipe = jr.Recipe(epochs=30, lr=0.05)
    alone = jr.train(task, recipe, range(16), execution=IN_TWOS)
    kept = {}
    words = client, tmp_path, kept
    killer = threading.Thread(target=kill_one_worker_once_runs_are_kept, args=words)
    killer.start()
    with joblib.parallel_config(backend="dask"):
        there = jr.train(task, recipe, range(16), folder=tmp_path, execution=IN_TWOS)
    killer.join()
    assert np.array_equal(there.states[:], alone.states)
    assert 0 < len(kept) < 16
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


class Noisy(nn.Module):
    """Draws from all shared generators in training, and attends."""

    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        if self.training and np.random.random() < 0.8:  # noqa: NPY002
            x = x + np.random.normal()  # noqa: NPY002
        return self.head(self.block(x[:, 0]).mean(1))


@pytest.mark.parametrize("processes", [True, False])
def test_workers_with_several_threads_give_the_same_bits(processes):
    tasks = [
        jr.Task(build, jr.data.digits().subset(200, 50))
        for build in (Noisy, lambda: nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10)))
    ]
    recipe, execution = jr.Recipe(epochs=2, lr=0.05), jr.Execution(progress=False)
    alone = [jr.train(task, recipe, range(8), execution=execution) for task in tasks]
    with (
        local_cluster(n_workers=1, processes=processes, threads_per_worker=4),
        joblib.parallel_config(backend="dask"),
    ):
        there = [jr.train(task, recipe, range(8), execution=execution) for task in tasks]
    for one, other in zip(alone, there, strict=True):
        np.testing.assert_array_equal(one.states, other.states)
