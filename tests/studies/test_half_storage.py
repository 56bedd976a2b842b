"""Samplings whose folder keeps states in half the space."""

import dataclasses

import numpy as np
import pytest
from support import nets

import jumpretrain as jr
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.studies import explore
from jumpretrain.studies.builders import task_builder

EXACT = jr.Execution(progress=False, chunk=2)
HALF = dataclasses.replace(EXACT, storage="half")
SHORT = jr.Recipe(epochs=5, batch_size=8, lr=0.05)


def sampled(name, folder, execution, recipe=SHORT):
    task = nets.TASKS[name]()
    start, words = task.initial(0), {"folder": folder, "execution": execution}
    return jr.sample(task, start, recipe, step_sizes=(0.5, 1.0), directions=2, **words)


def size(folder):
    return sum(path.stat().st_size for path in folder.glob("runs/*"))


@pytest.mark.parametrize("name", ["mlp", "conv with BatchNorm"])
def test_states_are_near_metrics_are_exact_and_the_provenance_says_so(name, tmp_path):
    exact = sampled(name, tmp_path / "exact", EXACT)
    half = sampled(name, tmp_path / "half", HALF)
    assert np.array_equal(half.states[:, 0], exact.states[:, 0])
    assert np.array_equal(half.states[:, -1], exact.states[:, -1])
    weights = exact.weights.astype(float)
    others = [runs.states[:, :, weights.shape[2] :] for runs in (half, exact)]
    assert np.array_equal(*others)
    wrong = np.linalg.norm(half.weights - weights, axis=2)[:, 1:]
    steps = np.linalg.norm(np.diff(weights, axis=1), axis=2)
    training = half.provenance["training"]
    assert training["storage"] == "half" and "storage" not in exact.provenance["training"]
    assert training["storage_error"] == pytest.approx((wrong / steps).max())
    assert 0 < training["storage_error"] < 1e-4 and training["storage_exact"] == 0
    for metric, values in exact.metrics.items():
        assert np.array_equal(half.metrics[metric], values)
    read = Trajectories.load(tmp_path / "half")
    assert read.provenance == half.provenance
    assert np.array_equal(read.states[:], half.states[:])
    small, large = size(tmp_path / "half"), size(tmp_path / "exact")
    assert small < 0.7 * large  # headers and metrics count in networks as small as these


def test_a_folder_goes_on_to_the_same_bits_and_refuses_the_other_storage(tmp_path):
    made = sampled("mlp", tmp_path, HALF).states[:]
    for run in (0, 3):
        (tmp_path / "runs" / f"{run:05d}.safetensors").unlink()
    assert np.array_equal(sampled("mlp", tmp_path, HALF).states[:], made)
    with pytest.raises(ValueError, match='storage is "exact" here and "half" there'):
        sampled("mlp", tmp_path, EXACT)


def test_a_run_that_diverged_is_kept_as_it_is(tmp_path):
    wild = dataclasses.replace(SHORT, lr=1e200)
    with np.errstate(all="ignore"):
        exact, half = (sampled("mlp", tmp_path / e.storage, e, wild) for e in (EXACT, HALF))
    assert set(half.status) == {"diverged"}
    assert half.provenance["training"]["storage_exact"] == 4
    assert half.provenance["training"]["storage_error"] == 0
    assert np.array_equal(half.states[:], exact.states[:], equal_nan=True)


def test_half_the_storage_is_estimated_at_about_half():
    task = nets.TASKS["mlp"]()
    exact, half = (jr.estimate(task, SHORT, 10, execution).bytes for execution in (EXACT, HALF))
    assert half < 0.7 * exact


def test_the_network_that_training_ends_with_is_exact(tmp_path):
    task = nets.TASKS["conv with BatchNorm"]()
    alone = jr.train(task, SHORT, [0, 1], execution=EXACT)
    kept = jr.train(task, SHORT, [0, 1], folder=tmp_path, execution=HALF)
    assert np.array_equal(kept.final, alone.final)
    assert np.array_equal(kept.initial, alone.initial)
    assert not np.array_equal(kept.states[:], alone.states)
    assert set(kept.provenance) - set(alone.provenance) == {
        "storage", "storage_error", "storage_exact",
    }  # fmt: skip


@pytest.mark.parametrize("recipe", [SHORT, dataclasses.replace(SHORT, record_every=3)])
def test_a_study_asks_the_disk_for_what_it_will_write(recipe, tmp_path):
    group, directions, sizes = "generalise", 4, (0.5, 1.0)
    small = jr.Study(train_size=200, test_size=100, directions=directions, step_sizes=sizes, k=9)
    small = dataclasses.replace(small, retraining=recipe)
    task = task_builder(small)(0, group)
    wanted = []
    for execution in (EXACT, HALF):
        folder = tmp_path / execution.storage
        words = {"step_sizes": sizes, "directions": directions, "folder": folder}
        wanted.append(explore._bytes_left(small, {group: task}, [(group, 0)], [folder], execution))
        jr.sample(task, task.initial(0), recipe, execution=execution, **words)
        assert wanted[-1] < size(folder) < 1.1 * wanted[-1]
    assert wanted[1] < wanted[0]


def test_an_unknown_storage_is_refused():
    with pytest.raises(ValueError, match="storage must be exact or half, but is 'quarter'"):
        jr.Execution(storage="quarter")
