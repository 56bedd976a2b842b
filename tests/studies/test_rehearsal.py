"""What cannot work is found in small, before anything is trained or claimed."""

import dataclasses
import os

import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.studies.connect import ConnectionStudy, connect_networks
from jumpretrain.studies.interpolate import InterpolationStudy, interpolate_networks
from jumpretrain.studies.rehearsal import rehearse

QUIET = jr.Execution(progress=False)
RECIPE = jr.Recipe(epochs=12, lr=0.01, batch_size=8)
OWN = jr.Study(
    task="tests.studies.test_rehearsal:fine",
    groups=("a", "b"),
    seeds=2,
    directions=2,
    training=jr.Recipe(epochs=3, batch_size=8, record_every=0),
    retraining=RECIPE,
)


def fine(seed, group):
    return jr.Task(lambda: nets.mlp((6,), 3, hidden=(4,)), nets.vectors(seed=seed))


class Failing(nn.Module):
    """Fails in training alone, as no probe in evaluation sees."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            raise RuntimeError("no gradients here")
        return self.layer(x)


def failing(seed, group):
    return jr.Task(Failing, nets.vectors()) if group == "b" else fine(seed, group)


def sound_at_first(seed, group):
    if seed == 1 and group == "b":
        raise KeyError("no data of seed 1")
    return fine(seed, group)


def no_task_later(seed, group):
    return fine(seed, group) if seed == 0 else None


def wider_later(seed, group):
    return jr.Task(lambda: nets.mlp((6,), 3, hidden=(4 + seed,)), nets.vectors(seed=seed))


def failing_later(seed, group):
    return jr.Task(Failing, nets.vectors()) if seed else fine(seed, group)


def another_each_time(seed, group):
    drawn = int.from_bytes(os.urandom(4), "big")
    return jr.Task(lambda: nets.mlp((6,), 3, hidden=(4,)), nets.vectors(seed=drawn))


def lonely(seed, group):
    return jr.Task(nets.normed_mlp, nets.vectors(count=41))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"probes": ("common", "own"), "connect": None, "distance": "euclidean"},
        {"directions": 1, "step_sizes": (0.5, 1.0), "centre": "optimum", "metric": "train_loss"},
        {"step_sizes": (0.25,), "retraining": dataclasses.replace(RECIPE, record_every=6), "k": 5,
         "knn": 4},
        {"normalise": "none", "include_1d": True, "metric": "train_accuracy"},
        {"step_sizes": (0.0, 2.0), "retraining": dataclasses.replace(RECIPE, lr=1e6)},
    ],
)  # fmt: skip
def test_what_works_is_let_through(change):
    study = dataclasses.replace(OWN, **change)
    tasks, _ = rehearse(study, fine)
    assert list(tasks) == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "tests.studies.test_rehearsal:failing"}, "no gradients here"),
        ({"task": "tests.studies.test_rehearsal:lonely"}, "in batches of 8 leave one alone"),
        ({"task": "tests.studies.test_rehearsal:sound_at_first"}, "no data of seed 1"),
        ({"task": "tests.studies.test_rehearsal:no_task_later"}, "must return a Task, not None"),
        (
            {"task": "tests.studies.test_rehearsal:wider_later"},
            "those of seeds 0 and 1 of 'a' have another model; give all seeds of a group the same",
        ),
        ({"task": "tests.studies.test_rehearsal:failing_later"}, "no gradients here"),
        ({"step_sizes": (0.5, 1e30)}, "a jump must leave a loss that is finite"),
        (
            {"training": jr.Recipe(batch_size=64, drop_last=True)},
            "44 examples make no batch of 64 with drop_last",
        ),
        (
            {"retraining": dataclasses.replace(RECIPE, batch_size=64, drop_last=True)},
            "44 examples make no batch of 64 with drop_last",
        ),
        ({"metric": "test_f1"}, "no metric 'test_f1'"),
    ],
)
def test_what_cannot_work_is_refused_and_the_same_folder_takes_what_can(change, message, tmp_path):
    folder = tmp_path / "out"
    with pytest.raises((KeyError, RuntimeError, ValueError), match=message):
        jr.explore(dataclasses.replace(OWN, **change), folder, QUIET)
    assert not folder.exists()


def test_more_states_than_the_machine_can_compare_are_refused():
    wide = dataclasses.replace(OWN, directions=19_000)
    with pytest.raises(ValueError, match="take fewer directions, or a larger record_every"):
        rehearse(wide, fine)


def test_a_task_that_is_another_one_each_time_is_refused():
    _, build = rehearse(OWN, another_each_time)
    with pytest.raises(ValueError, match=r"but data, .* of seed 1 and 'b' changed; draw"):
        build(1, "b")
    _, build = rehearse(OWN, fine)
    assert build(1, "b").fingerprint == fine(1, "b").fingerprint


MATCHES = {
    "sound_at_first": "no data of seed 1",
    "no_task_later": "must return a Task, not None",
    "failing_later": "no gradients here",
}


@pytest.mark.parametrize("name", MATCHES)
def test_paths_try_the_task_of_every_network_too(name, tmp_path):
    task, folder = f"tests.studies.test_rehearsal:{name}", tmp_path / "out"
    study = InterpolationStudy(task=task, group="b", seeds=2, training=OWN.training)
    with pytest.raises((KeyError, RuntimeError, ValueError), match=MATCHES[name]):
        interpolate_networks(study, folder, QUIET)
    assert not folder.exists()


def test_connectors_try_training_too(tmp_path):
    task = "tests.studies.test_rehearsal:failing"
    study = ConnectionStudy(task=task, group="b", training=OWN.training)
    with pytest.raises(ValueError, match="no gradients here"):
        connect_networks(study, tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()
