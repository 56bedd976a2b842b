"""Estimates against what the work then took."""

import numpy as np
import pytest
from torch import nn

import jumpretrain as jr
from jumpretrain.engine.chunking import plan_chunks
from jumpretrain.studies.costs import Cost, _rounds, estimate, estimate_study

QUIET = jr.Execution(progress=False)
STUDY = jr.Study(
    train_size=200,
    test_size=100,
    seeds=2,
    directions=2,
    step_sizes=(0.0, 0.5, 1.0),
    training=jr.Recipe(epochs=15, lr=0.05, record_every=0, record_early=False),
    retraining=jr.Recipe(epochs=12, lr=0.01, record_every=3),
    k=8,
)


def normalised():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10)
    )


def held(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


@pytest.mark.parametrize("build", [lambda: jr.models.mlp((1, 8, 8), 10), normalised])
def test_runs_take_the_steps_snapshots_and_bytes_foretold(build, tmp_path):
    task = jr.Task(build, jr.data.digits().subset(300, 100))
    recipe = jr.Recipe(epochs=5, record_every=2)
    cost = estimate(task, recipe, runs=6, execution=QUIET)
    fit = jr.train(task, recipe, range(6), folder=tmp_path, execution=QUIET)
    assert cost.runs == 6 and cost.steps == 6 * 5 * 5
    assert cost.snapshots == 6 * len(fit.epoch)
    assert cost.bytes == pytest.approx(held(tmp_path), rel=0.05)
    assert cost.memory > fit.states[:].nbytes


def test_looped_runs_are_held_and_spread_one_by_one():
    build, data = (lambda: jr.models.simple_cnn((1, 8, 8), 10)), jr.data.digits().subset(64, 20)
    task, recipe = jr.Task(build, data), jr.Recipe(epochs=1)
    one, many = (estimate(task, recipe, runs, QUIET) for runs in (1, 16))
    assert many.memory == one.memory and many.bytes == 16 * one.bytes
    parts = plan_chunks(task, recipe, np.stack([task.initial(0)] * 2), 16, QUIET)[2]
    assert [len(part) for part in parts] == [1] * 16


def test_a_study_takes_what_was_foretold(tmp_path):
    cost = estimate_study(STUDY, QUIET)
    found = jr.explore(STUDY, tmp_path, QUIET)
    training = 4 * 15 * 4
    assert cost.runs == 4 * (1 + 6) and cost.steps == training + 4 * 6 * 12 * 4
    snapshots = sum(n.trajectories.states[:].shape[0] * len(n.trajectories.epoch)
                    for n in found.networks)  # fmt: skip
    assert cost.snapshots == snapshots + 4 * 2
    optima = sum(n.trajectories.optimum.nbytes for n in found.networks)
    assert cost.bytes == pytest.approx(held(tmp_path) - optima, rel=0.05)


def test_networks_of_the_users_own_are_not_trained():
    given = jr.Study(**{**vars(STUDY), "networks": ("generalise=a.pt",)})
    assert estimate_study(given, QUIET).runs == 4 * 6


def test_processes_share_the_chunks_in_rounds():
    jobs = (1, 2, 3, 4, 9)
    assert [_rounds(4, jr.Execution(n_jobs=n)) for n in jobs] == [4, 2, 2, 1, 1]


def test_a_cost_reads_as_a_sentence():
    cost = Cost(20, 4000, 120, 1_516_800_000, 96_000, 9000.0)
    assert str(cost).splitlines() == [
        "20 runs: 4,000 steps, 120 snapshots",
        "1.52 GB on disk, at least 96 kB of memory a process",
        "about 2.5 hours",
    ]


def test_no_runs_are_refused():
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, (4,)), jr.data.digits())
    with pytest.raises(ValueError, match=r"runs must be a whole number of at least 1 .*is 0"):
        estimate(task, jr.Recipe(), 0)
