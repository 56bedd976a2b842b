"""A whole study in small: the same bits when repeated, continued, or killed at any moment."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import jumpretrain as jr
from jumpretrain.studies.builders import task_builder

SMALL = jr.Study(
    train_size=200,
    test_size=100,
    seeds=2,
    directions=2,
    step_sizes=(0.0, 0.5, 1.0),
    training=jr.Recipe(epochs=15, lr=0.05, record_every=0, record_early=False),
    retraining=jr.Recipe(epochs=12, lr=0.01),
)
QUIET = jr.Execution(progress=False)
OWN = {"train_size": None, "test_size": None}
ROOT = Path(__file__).parents[2]


def no_task(seed, group):
    return 3


def bits(findings):
    """Everything that a study computed, to compare two of them exactly."""
    return [
        (n.group, n.seed, n.probe, n.trajectories.states[:].tobytes(),
         n.embedding.coordinates.tobytes(), sorted(n.statistics.items()))
        for n in findings.networks
    ]  # fmt: skip


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    return jr.explore(SMALL, tmp_path_factory.mktemp("study"), QUIET)


def test_every_network_is_trained_sampled_described_and_compared(findings):
    assert [(n.group, n.seed) for n in findings.networks] == [
        ("generalise", 0), ("generalise", 1), ("memorise", 0), ("memorise", 1),
    ]  # fmt: skip
    for network in findings.networks:
        assert network.trajectories.states.shape[:2] == (6, 12 + 1 + 2)
        assert len(network.embedding.coordinates) == 4 * 15
        assert set(network.trajectories.status) == {"ok"}
    table = findings.comparisons["common"].frame()
    assert table["p"].dropna().between(1 / 3, 1).all()
    means = table.set_index("statistic").loc["optimum_test_accuracy"]
    assert means["mean_generalise"] > 0.7 > 0.4 > means["mean_memorise"]


def test_saddles_are_measured_on_both_losses_between_ends_and_between_snapshots(findings):
    for network in findings.networks:
        jumps = network.trajectories.jumps()
        losses = [found.metric for found in network.saddles]
        assert losses == ["train_loss", "test_loss"] * 2
        assert [len(found) for found in network.saddles[:2]] == [1 + len(jumps)] * 2
        assert len(network.saddles[2]) > 1 + len(jumps)
        depth = network.saddles[0].depth
        assert network.statistics["saddles_train_loss_ends_total_depth"] == depth


def test_networks_of_a_group_differ_and_share_the_retraining_recipe(findings):
    optima = [network.trajectories.optimum for network in findings.networks]
    assert len({optimum.tobytes() for optimum in optima}) == 4
    recipes = {str(n.trajectories.provenance["recipe"]) for n in findings.networks}
    data = {n.trajectories.provenance["task"]["data"] for n in findings.networks}
    assert len(recipes) == 1
    assert len(data) == 3


def test_repeating_a_study_reads_what_is_there_and_another_study_is_refused(findings, tmp_path):
    folder = tmp_path / "again"
    first = jr.explore(SMALL, folder, QUIET)
    assert bits(first) == bits(findings)
    files = sorted(folder.rglob("*.safetensors"))
    stamps = [file.stat().st_mtime_ns for file in files if "runs" in file.parts]
    again = jr.explore(SMALL, folder, jr.Execution(n_jobs=2, progress=False))
    assert bits(again) == bits(findings)
    assert [f.stat().st_mtime_ns for f in files if "runs" in f.parts] == stamps
    other = dataclasses.replace(SMALL, directions=3)
    with pytest.raises(ValueError, match="directions is 3 here and 2 there"):
        jr.explore(other, folder, QUIET)


def test_an_analysis_can_be_changed_without_sampling_again(tmp_path):
    first = jr.explore(SMALL, tmp_path, QUIET)
    stamps = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("runs/*.safetensors")}
    found = jr.explore(dataclasses.replace(SMALL, knn=8, seeds=3), tmp_path, QUIET)
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())
    assert [n.embedding.provenance["knn"] for n in found.networks] == [8] * 6
    old, new = first.networks[0], found.networks[0]
    assert old.trajectories.frame().equals(new.trajectories.frame())
    assert not np.array_equal(old.embedding.coordinates, new.embedding.coordinates)


def test_the_execution_asked_for_reaches_every_network(tmp_path):
    asked = jr.Execution(mode="looped", chunk=3, progress=False)
    for network in jr.explore(SMALL, tmp_path, asked).networks:
        found = network.trajectories.provenance["training"]["execution"]
        assert (found["mode"], found["reason"], found["chunk"]) == ("looped", "asked for", 3)


def test_both_probes_stand_side_by_side(tmp_path):
    study = dataclasses.replace(
        SMALL,
        probes=("common", "own"),
        trainings={"memorise": jr.Recipe(epochs=15, lr=0.02, weight_decay=1e-3)},
    )
    found = jr.explore(study, tmp_path, QUIET)
    assert set(found.comparisons) == {"common", "own"}
    rates = {(n.probe, n.group): n.trajectories.provenance["recipe"]["lr"] for n in found.networks}
    assert rates == {
        ("common", "generalise"): 0.01,
        ("common", "memorise"): 0.01,
        ("own", "generalise"): 0.05,
        ("own", "memorise"): 0.02,
    }
    epochs = {n.trajectories.provenance["recipe"]["epochs"] for n in found.networks}
    assert epochs == {12}


def test_trained_networks_are_taken_from_files(tmp_path):
    build = task_builder(SMALL)
    entries, states = [], {}
    for group in SMALL.groups:
        for seed in range(2):
            module = build(seed, group).module(build(seed, group).initial(seed + 10))
            ending = "pt" if seed else "safetensors"
            path = tmp_path / f"{group}{seed}.{ending}"
            if seed:
                torch.save(module.state_dict(), path)
            else:
                save_file(module.state_dict(), path)
            entries.append(f"{group}={path}")
            states[group, seed] = build(seed, group).state(module)
    study = dataclasses.replace(SMALL, networks=tuple(entries))
    found = jr.explore(study, tmp_path / "out", QUIET)
    for network in found.networks:
        assert np.array_equal(network.trajectories.optimum, states[network.group, network.seed])
    with pytest.raises(ValueError, match="each group needs 2 trained networks"):
        jr.explore(dataclasses.replace(SMALL, networks=tuple(entries[:3])), tmp_path / "b", QUIET)
    with pytest.raises(ValueError, match="networks are group=file"):
        jr.explore(dataclasses.replace(SMALL, networks=("x=y",)), tmp_path / "c", QUIET)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 1}, "the network is the unit"),
        ({"groups": ("one",), "noise": (0.0,)}, "a comparison needs 2 groups"),
        ({"noise": (0.0, 0.5, 1.0)}, "each group needs its noise"),
        ({"step_sizes": (0.0,)}, "is described from 2 jumps or more"),
        ({"model": "vgg"}, "model must be one of"),
        ({"directions": 1, "step_sizes": (1.0,)}, "there are 1 directions and step sizes"),
        ({"k": 52}, r"k must lie in 1\.\.51 for 52 points, but is 52"),
        ({"probes": ()}, "probes must name"),
        ({"noise": (0.0, 1.5)}, "noise is a share of the labels"),
        ({"groups": ("a", "a")}, "a comparison needs 2 groups"),
        ({"groups": ("a", "b", "a")}, "groups need distinct names"),
        ({"normalise": "layers"}, "normalise must be filter, layer or none"),
        ({"centre": "origin"}, "centre must be mean or optimum"),
        ({"task": "support.nets:vectors"}, "train_size is the built-in tasks'"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_study_is_made(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "imagenet"}, "data must be one of"),
        ({"data": "cifar10", "data_root": "/nowhere"}, "needs the file /nowhere/cifar10.npz"),
        ({"metric": "test_f1"}, "no metric 'test_f1'; measured: train_loss, train_accuracy"),
        ({"task": "nets"} | OWN, "task must be module:function"),
        ({"task": "support.nets:nothing"} | OWN, "task must be module:function"),
        (
            {"task": "tests.studies.test_explore:no_task"} | OWN,
            "a task function must return a Task, not int",
        ),
        ({"train_size": 10**9}, "1257 examples"),
        ({"train_size": 0, "test_size": None}, "train_size must be at least 1, but is 0"),
        ({"train_size": None, "test_size": 0}, "test_size must be at least 1, but is 0"),
        ({"test_size": -1}, "test_size must be at least 1, but is -1"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        jr.explore(dataclasses.replace(SMALL, **change), tmp_path, QUIET)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_study_that_the_disk_cannot_hold_is_refused_first(tmp_path):
    wide = dataclasses.replace(SMALL, directions=500, seeds=10_000)
    with pytest.raises(ValueError, match="name a folder on another disk, or record less"):
        jr.explore(wide, tmp_path, QUIET)
    assert not (tmp_path / "networks").exists()


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ValueError, match="results need a folder that can be written"):
        jr.explore(SMALL, blocked / "out", QUIET)


KILLED = """
import sys, jumpretrain as jr
sys.path.insert(0, "tests")
from tests.studies.test_explore import SMALL
if __name__ == "__main__":
    jr.explore(SMALL, sys.argv[1], jr.Execution(n_jobs=int(sys.argv[2]), progress=False))
"""


def test_a_network_that_diverged_in_training_is_named(tmp_path):
    wild = dataclasses.replace(SMALL, training=jr.Recipe(epochs=3, lr=1e9, record_every=0))
    with pytest.raises(ValueError, match="network 0 of generalise diverged at rate"):
        jr.explore(wild, tmp_path, QUIET)


def test_retraining_that_diverges_everywhere_is_named_with_the_first_network(tmp_path):
    wild = dataclasses.replace(SMALL, retraining=jr.Recipe(epochs=12, lr=1e9))
    words = r"network 0 of generalise 4 of 4 diverged at rate 1000000000\.0; lower it \(--lr\) and"
    with pytest.raises(ValueError, match=words):
        jr.explore(wild, tmp_path, QUIET)
    assert [path.parent.name for path in tmp_path.glob("networks/*/common")] == ["generalise-0"]


def start_and_kill(command, folder, target):
    """Run a study until it has kept `target` runs, then kill all its processes at once."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    while len(list(folder.rglob("runs/*.safetensors"))) < target:
        assert process.poll() is None, "the study ended before it could be killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_at_any_moment_the_same_call_ends_with_the_same_bits(findings, tmp_path, n_jobs):
    folder = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(folder), str(n_jobs)]
    targets = np.sort(np.random.default_rng(n_jobs).choice(27, size=3, replace=False)) + 1
    kept: dict[Path, int] = {}
    for target in targets:
        start_and_kill(command, folder, target)
        made = {file: file.stat().st_mtime_ns for file in folder.rglob("runs/*.safetensors")}
        assert all(made[file] == stamp for file, stamp in kept.items())
        kept = made
    assert bits(jr.explore(SMALL, folder, QUIET)) == bits(findings)
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in kept.items())
