"""What cannot work is found in small, before anything is trained or claimed."""

import dataclasses

import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
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
    rehearse(study, {"a": fine(0, "a"), "b": fine(1, "b")})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "tests.studies.test_rehearsal:failing"}, "no gradients here"),
        ({"task": "tests.studies.test_rehearsal:lonely"}, "in batches of 8 leave one alone"),
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
    with pytest.raises((ValueError, RuntimeError), match=message):
        jr.explore(dataclasses.replace(OWN, **change), folder, QUIET)
    assert not folder.exists()


def test_more_states_than_the_machine_can_compare_are_refused():
    wide = dataclasses.replace(OWN, directions=19_000)
    with pytest.raises(ValueError, match="take fewer directions, or a larger record_every"):
        rehearse(wide, {"a": fine(0, "a"), "b": fine(0, "b")})
