"""A study of paths gives the same numbers as its parts, once or after it was killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.studies.interpolate import (
    RECIPE,
    UNRELATED,
    InterpolationStudy,
    interpolate_networks,
)

SMALL = InterpolationStudy(
    train_size=150,
    test_size=80,
    seeds=2,
    training=replace(RECIPE, epochs=3),
    alphas=5,
    biases=("linear", "homogeneous"),
    layerwise=True,
    random=2,
)
TURNED = ("mean", "joint", "alphas", "rounding")
QUIET = jr.Execution(progress=False)
BARE = replace(SMALL, biases=("linear",), layerwise=False, random=0)


def own(seed, group):
    data = nets.vectors(seed=seed)
    return nets.Task(
        lambda: nets.mlp((6,), 3, hidden=(8,)), data.corrupt(1.0, seed) if group == "b" else data
    )


def nothing(seed, group):
    return "no task"


class Shifted(nn.Linear):
    """A layer whose bias is called otherwise."""

    def __init__(self):
        super().__init__(6, 3, bias=False)
        self.b = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return super().forward(x) + self.b


def shifted(seed, group):
    return nets.Task(Shifted, nets.vectors(seed=seed))


def only_the_first(seed, group):
    return None if seed else own(seed, group)


def fewer_for_the_second(seed, group):
    task = own(seed, group)
    return replace(task, data=task.data.subset(5)) if seed else task


def bits(measured):
    """Everything that a study found, to compare two of them exactly."""
    return [
        (t.seed, t.kind, t.layer, t.draw, repr(t.numbers), t.path.alphas.tobytes(),
         *(values.tobytes() for _, values in sorted(t.path.metrics.items())))
        for t in measured
    ]  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return interpolate_networks(SMALL, tmp_path_factory.mktemp("study"), QUIET)


def test_every_network_has_its_paths(measured):
    kinds = [
        *(("linear", "", None), ("homogeneous", "", None)),
        *(("layer", name, None) for name in ("1", "3", "5")),
        *(("random", "", 0), ("random", "", 1)),
    ]
    expected = [(seed, *kind) for seed in (0, 1) for kind in kinds]
    assert [(t.seed, t.kind, t.layer, t.draw) for t in measured] == expected


@pytest.mark.parametrize("seed", [0, 1])
def test_paths_and_numbers_are_those_of_training_and_interpolation_by_hand(measured, seed):
    data = jr.data.digits().subset(150, 80)
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10), data)
    fit = jr.train(task, SMALL.training, [seed])
    start, end = fit.initial[0], fit.final[0]
    expected = [
        jr.interpolate(task, start, end, 5),
        jr.interpolate(task, start, end, 5, biases="homogeneous"),
        *jr.layerwise(task, start, end, alphas=5).values(),
        *(jr.interpolate(task, task.initial(UNRELATED + draw), end, 5) for draw in (0, 1)),
    ]
    found = [t for t in measured if t.seed == seed]
    for one, path in zip(found, expected, strict=True):
        for name, values in path.metrics.items():
            np.testing.assert_array_equal(one.path.metrics[name], values)
        numbers, rises = one.numbers, path.monotonicity()
        length = jr.gauss_length(task, path)
        moved = jr.weight_distance(task, path.curve.start, path.curve.end)
        assert numbers["train_min_delta"] == rises.min_delta
        assert numbers["train_barrier_running_minimum"] == rises.min_delta
        assert (numbers["train_rise_from"], numbers["train_rise_to"]) == pytest.approx(
            rises.where or (np.nan, np.nan), nan_ok=True
        )
        assert numbers["train_barrier_above_ends"] == path.barrier("above_ends")
        assert numbers["train_barrier_above_chord"] == path.barrier("above_chord")
        plateau = path.plateau()
        names = ("train_error_plateau_end", "train_loss_plateau_end", "train_loss_above_chance")
        assert [numbers[name] for name in names] == [plateau.error, plateau.loss, plateau.excess]
        turned = [numbers[f"test_gauss_length_{n}"] for n in TURNED]
        expected = (length.mean, length.joint, 5, length.rounding.mean())
        assert turned == pytest.approx(expected, rel=1e-9)
        distances = numbers["weight_distance"], numbers["weight_distance_relative"]
        assert distances == pytest.approx((moved.absolute, moved.relative), rel=1e-12)
        assert numbers["end_test_accuracy"] == fit.metrics["test_accuracy"][0, -1]


def test_unrelated_starts_are_the_same_for_all_networks_and_none_is_a_networks_own(measured):
    first = {
        (t.seed, t.draw): t.path.metrics["test_loss"][0] for t in measured if t.kind == "random"
    }
    own_start = [t.path.metrics["test_loss"][0] for t in measured if t.kind == "linear"]
    assert first[0, 0] == first[1, 0] and first[0, 1] == first[1, 1]
    assert len({first[0, 0], first[0, 1], *own_start}) == 4


def test_a_repeated_study_reads_its_networks_and_another_may_widen_it(tmp_path, measured):
    interpolate_networks(BARE, tmp_path, QUIET)
    file = tmp_path / "networks" / "0" / "runs" / "00000.safetensors"
    before = file.stat().st_mtime_ns
    assert bits(interpolate_networks(SMALL, tmp_path, QUIET)) == bits(measured)
    more = interpolate_networks(replace(BARE, seeds=3, alphas=(0, 0.3, 1)), tmp_path, QUIET)
    assert [t.seed for t in more] == [0, 1, 2]
    assert file.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_study_killed_at_any_moment_goes_on_to_the_same_bits(tmp_path, measured):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from tests.studies import test_interpolate as t; "
        "import jumpretrain as jr; t.interpolate_networks(t.SMALL, sys.argv[1], t.QUIET)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    child = subprocess.Popen(words, cwd=Path(__file__).parents[2], start_new_session=True)
    while child.poll() is None and not list(tmp_path.glob("networks/*/manifest.json")):
        time.sleep(0.01)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert bits(interpolate_networks(SMALL, tmp_path, QUIET)) == bits(measured)


def test_a_folder_of_another_study_is_refused_by_name(tmp_path):
    interpolate_networks(BARE, tmp_path, QUIET)
    for change, words in (
        ({"training": replace(BARE.training, lr=0.01)}, r"training\.lr is 0\.01 here and 0\.05"),
        ({"scale": 0.5}, r"scale is 0\.5 here and 1\.0 there"),
        ({"noise": 0.5}, r"noise is 0\.5 here and 0\.0 there"),
    ):
        with pytest.raises(ValueError, match=words):
            interpolate_networks(replace(BARE, **change), tmp_path, QUIET)


def test_files_are_the_ends_and_nothing_is_trained(tmp_path):
    task = own(0, "a")
    for name, seed in (("start", 5), ("end", 6)):
        torch.save(task.module(task.initial(seed)).state_dict(), tmp_path / f"{name}.pt")
    files = {name: tmp_path / f"{name}.pt" for name in ("start", "end")}
    found = interpolate_networks(
        InterpolationStudy(task="tests.studies.test_interpolate:own", **files, alphas=3),
        tmp_path / "out",
        QUIET,
    )
    assert len(found) == 1 and not (tmp_path / "out" / "networks").exists()
    path = jr.interpolate(task, task.initial(5), task.initial(6), 3)
    np.testing.assert_array_equal(found[0].path.metrics["train_loss"], path.metrics["train_loss"])


def test_a_task_of_ones_own_is_called_with_seed_and_group(tmp_path):
    short = replace(RECIPE, epochs=1, batch_size=8)
    study = InterpolationStudy(
        task="tests.studies.test_interpolate:own", group="b", seeds=2, alphas=3, training=short
    )
    found = interpolate_networks(study, tmp_path, QUIET)
    for seed, one in enumerate(found):
        task = own(seed, "b")
        assert one.path.metrics["train_loss"][0] == pytest.approx(
            jr.evaluate(task, [task.initial(seed)])["train_loss"][0]
        )


def test_labels_and_fresh_weights_are_as_asked_for(tmp_path):
    study = replace(BARE, scheme="he", scale=0.1, noise=1.0, seeds=1)
    found = interpolate_networks(study, tmp_path, QUIET)[0]
    data = jr.data.digits().subset(150, 80).corrupt(1.0, 0)
    build = jr.initialise(lambda: jr.models.mlp((1, 8, 8), 10), "he", 0.1)
    task = jr.Task(build, data)
    first = jr.evaluate(task, [task.initial(0)])
    assert found.path.metrics["train_loss"][0] == first["train_loss"][0]


def test_depth_normalisation_and_biases_are_as_asked_for(tmp_path):
    data, shape = jr.data.digits().subset(150, 80), {"hidden": (20, 20, 20)}
    for biases, norm in (("last", False), ("none", False), ("all", True), ("none", True)):
        changes = {**shape, "trained_biases": biases, "with_batchnorm": norm}
        study = replace(BARE, scheme="he", scale=0.25, seeds=1, **changes)
        found = interpolate_networks(study, tmp_path / f"{biases}{norm}", QUIET)[0]

        def build(norm=norm):
            return jr.models.mlp((1, 8, 8), 10, (20, 20, 20), norm)

        task = jr.Task(jr.initialise(build, "he", 0.25, biases), data)
        ends = jr.train(task, study.training, [0])
        assert (
            task.weight_count
            == 64 * 20
            + 2 * 400
            + 200
            + {"last": 10, "none": 0}.get(biases, 70)
            + norm * 2 * 3 * 20
        )
        path = jr.interpolate(task, ends.initial[0], ends.final[0], 5)
        for name, values in path.metrics.items():
            np.testing.assert_array_equal(found.path.metrics[name], values)


def test_paths_that_leave_the_numbers_are_kept_with_what_can_be_measured(tmp_path):
    task = own(0, "a")
    for name, scale in (("start", 1), ("end", 1e25)):
        state = task.initial(0) * np.float32(scale)
        torch.save(task.module(state).state_dict(), tmp_path / f"{name}.pt")
    files = {name: tmp_path / f"{name}.pt" for name in ("start", "end")}
    numbers = interpolate_networks(
        InterpolationStudy(task="tests.studies.test_interpolate:own", **files, alphas=3),
        tmp_path,
        QUIET,
    )[0].numbers
    assert np.isnan([numbers["train_min_delta"], numbers["test_gauss_length_mean"]]).all()
    assert np.isfinite(numbers["weight_distance"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 0}, "seeds must be in 1..10000, but is 0"),
        ({"random": -1}, "random must be in 0..10000, but is -1"),
        ({"noise": 1.5}, "noise is a share of the labels, 0 to 1, but is 1.5"),
        ({"end": Path("a.pt")}, "start and end go together"),
        ({"alphas": 1}, "a path needs at least 2 alphas"),
        ({"alphas": (0.0, 0.9, 0.5, 1.0)}, "alphas must be a list that rises"),
        ({"alphas": (0.5, 1.0)}, "are 3 or more from 0 to 1, but 2 from 0.5 to 1.0"),
        ({"alphas": 2}, "are 3 or more from 0 to 1, but 2 from 0.0 to 1.0"),
        ({"biases": ()}, "biases must be 1 or more"),
        ({"biases": ("squared",)}, r"biases must be a sequence \(each linear, "),
        ({"biases": ("linear", "end", "linear")}, "biases must be 1 or more, each once"),
        ({"model": "mpl"}, "model must be one of mlp"),
        ({"task": "a:b", "scale": 2.0}, "scale is the built-in tasks'"),
        ({"task": "a:b", "trained_biases": "last"}, "trained_biases is the built-in tasks'"),
        ({"task": "a:b", "hidden": (3,)}, "hidden is the built-in tasks'"),
        ({"model": "lenet", "hidden": (3,)}, "hidden is the mlp's, leave it out beside model"),
        ({"model": "lenet", "with_batchnorm": True}, "with_batchnorm is the mlp's"),
        ({"trained_biases": "first"}, "trained_biases must be all, last or none, but is 'first'"),
        ({"hidden": (3, 0)}, "hidden layers have a width in 1..100000"),
        ({"task": "a:b", "noise": 0.5}, "noise is the built-in tasks'"),
    ],
)
def test_a_study_that_does_not_fit_together_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        InterpolationStudy(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "imagenet"}, "data must be one of"),
        (
            {"task": "tests.studies.test_interpolate:nothing"},
            "a task function must return a Task, not str",
        ),
        (
            {"task": "tests.studies.test_interpolate:only_the_first"},
            "must return a Task, not NoneType",
        ),
        (
            {
                "task": "tests.studies.test_interpolate:fewer_for_the_second",
                "training": replace(RECIPE, batch_size=16, drop_last=True),
            },
            "5 examples make no batch of 16",
        ),
        ({"task": "tests.studies.test_interpolate:missing"}, "task must be module:function"),
        (
            {"model": "wide_resnet", "biases": ("homogeneous",)},
            "the order of layers is known .*; leave homogeneous out of biases, or take a sequen",
        ),
        (
            {"with_batchnorm": True, "biases": ("linear", "homogeneous")},
            "is a BatchNorm1d; leave homogeneous out of biases, or leave with_batchnorm out$",
        ),
        (
            {"task": "tests.studies.test_interpolate:shifted", "biases": ("linear", "zero")},
            "nothing tells of b; leave zero out of biases, or give its biases a name with 'bias'",
        ),
        (
            {"task": "tests.studies.test_interpolate:shifted", "biases": ("homogeneous",)},
            "nothing tells of b; leave homogeneous out of biases, or take a sequential network",
        ),
        ({"scale": -1.0}, "scale must be a finite number above 0"),
        ({"start": Path("no.pt"), "end": Path("no.pt")}, "no.pt must hold a state dict"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        interpolate_networks(InterpolationStudy(**change), tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()


def test_a_diverged_network_is_named(tmp_path):
    hot = replace(BARE, training=replace(RECIPE, epochs=5, lr=1e8))
    with pytest.raises(ValueError, match="network 0 diverged at rate"):
        interpolate_networks(hot, tmp_path, QUIET)
