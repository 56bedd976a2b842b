"""Data as they were asked for: splits, redrawn labels, files, augmentation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from support import nets
from torch import nn

from jumpretrain.engine.evaluate import evaluate
from jumpretrain.tasks.data import Dataset, digits, load, spirals
from jumpretrain.tasks.task import Task, digest

SHARED = Path(__file__).parents[3] / "shared" / "data"
ARRAYS = ("train_x", "train_y", "test_x", "test_y")


def same(found, expected):
    return all(np.array_equal(getattr(found, name), getattr(expected, name)) for name in ARRAYS)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_corruption_redraws_its_share_and_leaves_the_test_labels(share):
    clean = digits()
    before = clean.train_y.copy()
    noisy = clean.corrupt(share, seed=1)
    count = round(share * len(before))
    changed = int((noisy.train_y != before).sum())
    assert abs(changed - 0.9 * count) <= 4 * np.sqrt(0.09 * count)
    assert changed < count or share == 0
    np.testing.assert_array_equal(noisy.test_y, clean.test_y)
    np.testing.assert_array_equal(noisy.train_x, clean.train_x)
    np.testing.assert_array_equal(clean.train_y, before)
    assert noisy.train_y.dtype == before.dtype and set(noisy.train_y) == set(range(10))


def test_redrawn_labels_are_uniform():
    data = Dataset(np.zeros((20_000, 1)), np.zeros(20_000, int), np.zeros((4, 1)), np.arange(4))
    counts = np.bincount(data.corrupt(1.0).train_y, minlength=4)
    assert np.abs(counts - 5000).max() < 4 * np.sqrt(5000 * 0.75)


def test_corruption_depends_on_its_seed_alone():
    data = digits()
    labels = [data.corrupt(0.5, seed=seed).train_y for seed in (0, 0, 1)]
    assert np.array_equal(labels[0], labels[1]) and not np.array_equal(labels[0], labels[2])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_the_unit_interval_is_refused(share):
    with pytest.raises(
        ValueError, match=f"share must be a finite number from 0 to 1, but is {share}"
    ):
        nets.vectors().corrupt(share)


def test_only_class_labels_are_redrawn():
    with pytest.raises(ValueError, match="only class labels can be redrawn, but train_y is float"):
        nets.as_targets(nets.vectors()).corrupt(0.5)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_not_finite_are_named(name, value):
    arrays = {key: np.ones((5, 2)) for key in ARRAYS}
    arrays[name][3, 1] = value
    with pytest.raises(ValueError, match=f"data must be finite, but {name} holds 1 NaN or inf"):
        Dataset(**arrays)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((5, 4, 3, 3), "train_x has 5 rows and train_y has 4"),
        ((5, 5, 3, 2), "test_x has 3 rows and test_y has 2"),
        ((0, 0, 3, 3), "train_x has 0 rows and train_y has 0"),
        ((5, 5, 0, 0), "test_x has 0 rows and test_y has 0"),
    ],
)
def test_lengths_that_disagree_and_empty_splits_are_named(lengths, message):
    with pytest.raises(ValueError, match=f"each example needs one target, but {message}"):
        Dataset(*(np.zeros((length, 2)) for length in lengths))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_row_of_test_examples_may_stand_for_a_column(swapped):
    column, row = np.arange(5.0)[:, None], np.arange(3.0)
    x, tests = (column, row) if not swapped else (column[:, 0], row[:, None])
    data = Dataset(x, x, tests, tests)
    assert data.test_x.shape == (3, *x.shape[1:]) and data.test_y.shape == data.test_x.shape
    with pytest.raises(
        ValueError, match=r"as many axes.* such as test_x\[None\] for one"
    ) as found:
        Dataset(np.ones((5, 4)), np.arange(5), np.ones(4), np.arange(4))
    assert "\n" not in str(found.value)
    assert Dataset(np.ones((5, 4)), np.arange(5), np.ones(4)[None], [0]).test_x.shape == (1, 4)


def test_test_inputs_are_of_the_kind_of_training_inputs():
    x, y, whole = np.ones((5, 4), np.float32), np.arange(5), np.ones((3, 4), int)
    assert Dataset(x, y, whole, y[:3]).test_x.dtype == np.float32
    with pytest.raises(ValueError, match=r"such as train_x\.astype\('float32'\)") as found:
        Dataset(whole, y[:3], x, y)
    assert "\n" not in str(found.value)
    assert Dataset(whole.astype("float32"), y[:3], x, y).train_x.dtype == np.float32


def test_augmentation_needs_images():
    with pytest.raises(ValueError, match=r"crop and flip need images .* \(44, 6\)"):
        nets.vectors().augment()
    changed = nets.images().augment(crop=1, flip=False)
    assert (changed.crop, changed.flip) == (1, False) and same(changed, nets.images())


def test_a_subset_keeps_pairs_and_draws_each_once():
    rows = np.arange(40)
    data = Dataset(rows[:, None], rows + 100, rows[:30, None], rows[:30] + 200)
    small = data.subset(12, 7, seed=3)
    for name, count, shift in (("train", 12, 100), ("test", 7, 200)):
        x, y = getattr(small, f"{name}_x")[:, 0], getattr(small, f"{name}_y")
        assert len(np.unique(x)) == count
        np.testing.assert_array_equal(y, x + shift)
    assert same(data.subset(12, 7, seed=3), small) and not same(data.subset(12, 7, seed=4), small)
    assert same(data.subset(), data) and len(data.subset(train=5).test_x) == 30
    for arguments in ({"train": 41}, {"test": 31}, {"train": 0}, {"test": -1}):
        with pytest.raises(
            ValueError,
            match=f"{next(iter(arguments))} (has .* were asked for|must be .* at least 1)",
        ):
            data.subset(**arguments)


def test_history_tells_what_was_done_in_order():
    data = digits(seed=2).subset(50, seed=1).corrupt(0.5, seed=4).augment(crop=1, flip=False)
    assert data.history == (
        "digits(seed=2)",
        "subset(50, None, seed=1)",
        "corrupt(0.5, seed=4)",
        "augment(crop=1, flip=False)",
    )


def test_digits_are_scikit_learns_split_with_equal_class_shares():
    data, bunch = digits(), load_digits()
    assert data.train_x.shape == (1257, 1, 8, 8) and data.test_x.shape == (540, 1, 8, 8)
    assert data.train_x.dtype == np.float32 and data.train_y.dtype == np.int64
    known = {
        image.tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    found = np.concatenate([data.train_x, data.test_x])[:, 0].astype(float) * 16
    labels = np.concatenate([data.train_y, data.test_y])
    assert {image.tobytes(): label for image, label in zip(found, labels, strict=True)} == known
    shares = np.bincount(data.train_y) / np.bincount(bunch.target)
    assert np.abs(shares - 0.7).max() < 0.01
    assert same(digits(), data) and not same(digits(seed=1), data)


@pytest.mark.parametrize("arms", [2, 3])
def test_spirals_without_noise_lie_on_their_arms(arms):
    data = spirals(300, arms=arms, turns=1.25, noise=0)
    points = np.concatenate([data.train_x, data.test_x]).astype(float)
    labels = np.concatenate([data.train_y, data.test_y])
    radius = np.hypot(*points.T)
    angle = 2 * np.pi * (1.25 * radius + labels / arms)
    np.testing.assert_allclose(
        points, radius[:, None] * np.c_[np.cos(angle), np.sin(angle)], atol=1e-5
    )
    assert np.bincount(labels).tolist() == [300 // arms] * arms
    assert radius.min() >= 0.1 - 1e-6 and radius.max() <= 1 + 1e-6
    assert len(data.train_x) == len(data.test_x) == 150


def test_spirals_depend_on_their_seed_alone():
    assert same(spirals(seed=1), spirals(seed=1)) and not same(spirals(seed=1), spirals(seed=2))
    noisy, plain = spirals(noise=0.1), spirals(noise=0.0)
    assert 0.05 < (noisy.train_x - plain.train_x).std() < 0.15


def test_what_cannot_be_loaded_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("JUMPRETRAIN_DATA", raising=False)
    with pytest.raises(ValueError, match=r"data must be one of digits, mnist, .* but is 'svhn'"):
        load("svhn")
    with pytest.raises(ValueError, match=r"mnist needs the file .*mnist\.npz, which is not there"):
        load("mnist", tmp_path)
    with pytest.raises(ValueError, match=r"cifar10 needs a root folder with cifar10\.npz"):
        load("cifar10")
    monkeypatch.setenv("JUMPRETRAIN_DATA", "")
    with pytest.raises(ValueError, match="cifar10 needs a root folder"):
        load("cifar10")
    assert same(load("digits", tmp_path), digits())


@pytest.mark.parametrize(
    ("name", "sizes", "mean", "deviation"),
    [
        ("mnist", (60_000, 10_000), [0.1307], [0.3081]),
        ("fashion_mnist", (60_000, 10_000), [0.2860], [0.3530]),
        pytest.param(
            "cifar10", (50_000, 10_000), [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616],
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_real_sets_have_their_known_means(name, sizes, mean, deviation):
    if not (SHARED / f"{name}.npz").exists():
        pytest.skip(f"{SHARED} holds no {name}.npz")
    data = load(name, SHARED)
    assert (len(data.train_x), len(data.test_x)) == sizes
    assert np.bincount(data.test_y).tolist() == [1000] * 10 or name == "mnist"
    np.testing.assert_allclose(data.train_x.mean((0, 2, 3), dtype=float), mean, atol=1e-4)
    np.testing.assert_allclose(data.train_x.std((0, 2, 3), dtype=float), deviation, atol=1e-4)


def test_what_is_done_later_to_the_arrays_given_is_not_seen():
    given = [np.ones((4, 2), np.float32), np.arange(4) % 2, np.ones((2, 2)), np.arange(2)]
    views = [array.view() for array in given]
    for view in views:
        view.flags.writeable = False  # the arrays behind are not
    tensors = [torch.as_tensor(array) for array in given]
    for arrays in (given, views, tensors):
        data = Dataset(*arrays)
        task = Task(lambda: nn.Linear(2, 2), data)
        before = [getattr(data, name).copy() for name in ARRAYS], evaluate(task, [task.initial(0)])
        for array in given:
            array += 1
        assert all(map(np.array_equal, before[0], (getattr(data, name) for name in ARRAYS)))
        assert evaluate(task, [task.initial(0)]) == before[1]
        assert digest(*before[0]) == task.fingerprint["data"]
        for array in given:
            array -= 1


def test_the_arrays_of_a_dataset_are_read_only_and_held_once():
    data = nets.vectors()
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = 1
    assert data.corrupt(0.5).train_x is data.train_x and data.subset(4).train_x.flags.owndata
    task = Task(lambda: nn.Linear(6, 3), data)
    for name in ("train_x", "train_y", "test_x"):
        held = getattr(data, name).__array_interface__["data"][0]
        assert task.tensors[name].data_ptr() == held


def test_files_that_are_mapped_read_only_are_not_copied(tmp_path):
    for mode in ("r", "c", "r+"):
        np.save(tmp_path / "x.npy", np.ones((4, 2), np.float32))
        mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
        data = Dataset(mapped, np.arange(4) % 2, mapped[:2], np.arange(2))
        assert np.shares_memory(data.train_x, mapped) == (mode == "r")
        task = Task(lambda: nn.Linear(2, 2), data)
        assert task.tensors["train_x"].sum() == 8
