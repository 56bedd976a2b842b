"""Runs spread over a real cluster of worker processes, one of which is killed."""

import os
import signal
import threading
import time

import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster

import jumpretrain as jr

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
IN_TWOS = jr.Execution(progress=False, chunk=2)


@pytest.fixture(scope="module")
def client():
    words = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=2, host="127.0.0.1", **words) as cluster, Client(cluster) as made:
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
