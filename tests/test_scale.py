"""Thousands of points, states larger than memory: how much is held, and that all is exact."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from support import cases

from jumpretrain.embedding import affinities, neighbours
from jumpretrain.embedding import gram as module
from jumpretrain.sampling.trajectories import Trajectories, write_index
from jumpretrain.storage import folders
from jumpretrain.storage.manifests import Owner

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
CODE = "import sys; sys.path.insert(0, 'tests')\n"
CODE += "from tests import test_scale as t; t.{}(*sys.argv[1:])"


def in_child(function, *words):
    """Call a function of this module in a fresh process; what it prints is JSON."""
    call = [sys.executable, "-c", CODE.format(function.__name__), *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(call, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)


def peak():
    """The most memory that this program has held, in bytes (ru_maxrss knows its parent's too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def arms(count):
    sizes = (0.25, 0.5, 0.75, 1.0)
    return cases.arms(directions=count // 400, step_sizes=sizes, times=100, width=200, decay=0.95)


def embed_many(count, folder):
    import jumpretrain as jr

    runs, embed, sublevel = arms(int(count)), jr.embed, jr.sublevel
    before = peak()
    found = embed(runs, landmarks=500)
    graph = found.graph(k=20)
    diagram = sublevel(runs.values("test_loss"), graph)
    held = peak() - before
    some = np.random.default_rng(0).choice(int(count), 40, replace=False)
    np.savez(folder, some=some, rows=found.distances[some], potential=found.potential)
    np.save(f"{folder}.edges.npy", neighbours.edges(graph))
    answer = {"held": held, "bars": len(diagram.finite(0)), "pieces": neighbours.components(graph)}
    print(json.dumps(answer | {"essential": len(diagram.essential(0))}))


def test_thousands_of_points_take_two_matrices_of_distances(tmp_path):
    count = 4800
    found = in_child(embed_many, count, tmp_path / "embedded.npz")
    assert found["held"] < 2.6 * 8 * count**2
    assert found["pieces"] == found["essential"] == 1 and found["bars"] > 0
    content = np.load(tmp_path / "embedded.npz")
    some, rows, potential = (content[name] for name in ("some", "rows", "potential"))
    np.testing.assert_allclose(rows, cdist(potential[some], potential), atol=1e-12)
    links = {*map(tuple, np.load(tmp_path / "embedded.npz.edges.npy").tolist())}
    for point, row in zip(some.tolist(), rows, strict=True):
        order = np.argsort(row, kind="stable")
        near = order[order != point][:20].tolist()
        assert {(min(point, other), max(point, other)) for other in near} <= links


def test_in_blocks_of_rows_all_is_as_from_the_whole_matrix():
    runs = arms(3200)
    gram = module.gram(runs)
    points = runs.points() - runs.points().mean(axis=0)
    found = module.from_gram(gram, "cosine", "mean")
    some = np.random.default_rng(0).choice(len(found), 40, replace=False)
    np.testing.assert_allclose(found[some], cdist(points[some], points, "cosine"), atol=1e-12)
    near = affinities.alpha_decay(found, 5, 40)
    widths = np.sort(found, axis=1)[:, 5]
    with np.errstate(under="ignore", over="ignore"):
        both = [np.exp(-((found[some] / width) ** 40)) for width in (widths[some, None], widths)]
    wanted = sum(np.where(each < 1e-4, 0, each) for each in both) / 2
    np.testing.assert_allclose(near[some].toarray(), wanted, atol=1e-12)


def states_of(run, optimum, times):
    """A run that takes small steps far from the optimum, without a call to a generator."""
    noise = np.roll(optimum[::-1], 7919 * run)
    jump = optimum + np.float32(0.5) * noise
    steps = (np.roll(noise, 104729 * (time + 1)) for time in range(times))
    return np.stack([jump + np.float32(1e-3 * (time + 1)) * s for time, s in enumerate(steps)])


def multiply_stored(folder):
    before = peak()
    stored, start = Trajectories.load(folder), time.process_time()
    gram = module.gram(stored)
    taken, held = time.process_time() - start, peak() - before
    count = len(gram)
    columns = module.BLOCK_ENTRIES // count
    block = np.random.default_rng(0).normal(size=(count, columns))
    total, start = np.zeros((count, count)), time.process_time()
    for _ in range(stored.weight_count // columns):
        total += block @ block.T
    least = time.process_time() - start
    print(json.dumps({"held": held, "ratio": taken / least, "seconds": taken}))
    np.save(folder + "/gram.npy", gram)


def keep(folder, runs, times, width):
    """Write runs of float32 states as sampling does; the optimum is given back."""
    optimum, owner = np.random.default_rng(0).standard_normal(width, dtype=np.float32), Owner("of")
    for run in range(runs):
        states, path = states_of(run, optimum, times), folders.run_path(folder, run)
        folders.write_run(path, states, {"train_loss": np.zeros(times)}, owner=owner.facts(run))
    index = {
        "optimum": optimum,
        "direction": np.arange(runs),
        "step_size": np.ones(runs),
        "order_seed": np.zeros(runs, np.int64),
        "epoch": np.arange(float(times)),
    }
    facts = {"weight_count": width, "optimum_metrics": {}, "provenance": {}}
    write_index(folder, index, facts, owner)
    return optimum


def test_states_that_fill_the_disk_are_multiplied_in_little_memory_at_full_speed(tmp_path):
    runs, times, width = 16, 40, int(os.environ.get("JUMPRETRAIN_WIDTH", "200000"))
    size = 4 * runs * times * width
    if shutil.disk_usage(tmp_path).free < 1.5 * size:
        pytest.skip(f"{1.5e-9 * size:.1f} GB of disk are needed")
    optimum = keep(tmp_path, runs, times, width)
    found = in_child(multiply_stored, tmp_path)
    shutil.rmtree(tmp_path / "runs")
    assert found["held"] < 380e6 < size
    assert found["ratio"] < 2
    apart = module.from_gram(np.load(tmp_path / "gram.npy"))
    for run in (0, runs - 1):
        states = states_of(run, optimum, times).astype(np.float64)
        exact = np.linalg.norm(np.diff(states, axis=0), axis=1)
        places = run * times + np.arange(times)
        assert np.abs(apart[places[:-1], places[1:]] / exact - 1).max() < 1e-6
