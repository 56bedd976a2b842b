"""Data as they were asked for: splits, redrawn labels, files, augmentation."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from support import nets

from jumpretrain.tasks.data import Dataset, augmented, digits, load, spirals

SHARED = Path(__file__).parents[3] / "shared" / "data"
ARRAYS = ("train_x", "train_y", "test_x", "test_y")
SHAPES = {"mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}


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


def pixels(name):
    rng = np.random.default_rng(0)
    shape = SHAPES[name]
    return {
        "x_train": rng.integers(256, size=(7, *shape), dtype=np.uint8),
        "y_train": rng.integers(10, size=7, dtype=np.uint8),
        "x_test": rng.integers(256, size=(4, *shape), dtype=np.uint8),
        "y_test": rng.integers(10, size=4, dtype=np.uint8),
    }


@pytest.mark.parametrize("name", SHAPES)
def test_files_are_read_as_images_with_channels_first(tmp_path, monkeypatch, name):
    content = pixels(name)
    np.savez(tmp_path / f"{name}.npz", **content)
    data = load(name, tmp_path)
    assert data.history == (name,)
    for split in ("train", "test"):
        images, raw = getattr(data, f"{split}_x"), content[f"x_{split}"]
        assert images.dtype == np.float32 and images.shape[0] == len(raw)
        for channel in range(images.shape[1]):
            plane = raw if name != "cifar10" else raw[..., channel]
            np.testing.assert_allclose(images[:, channel], plane / 255, rtol=1e-6)
        labels = getattr(data, f"{split}_y")
        assert labels.dtype == np.int64 and labels.tolist() == content[f"y_{split}"].tolist()
    monkeypatch.setenv("JUMPRETRAIN_DATA", str(tmp_path))
    assert same(load(name), data)


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


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
def test_a_damaged_file_is_named_in_one_line(tmp_path, damage):
    path = tmp_path / "mnist.npz"
    np.savez(path, **pixels("mnist"))
    content = path.read_bytes()
    if damage == "other":
        np.savez(path, images=np.zeros(3))
    else:
        path.write_bytes({"cut": content[:-200], "empty": b"", "text": b"<html>" * 9}[damage])
    with pytest.raises(ValueError, match=r"mnist\.npz must be an npz file with x_train") as found:
        load("mnist", tmp_path)
    assert "\n" not in str(found.value)


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


@settings(max_examples=40, deadline=None)
@given(crop=st.integers(0, 3), flip=st.booleans(), seed=st.integers(0, 9), width=st.integers(2, 5))
def test_augmentation_equals_a_loop_over_images(crop, flip, seed, width):
    images = torch.arange(6 * 2 * 4 * width, dtype=torch.float32).reshape(6, 2, 4, width) + 1
    rng = np.random.default_rng(seed)
    draws = [rng.integers(high, size=6) for high in (2 * crop + 1, 2 * crop + 1, 2)]
    stream = iter(zip((2 * crop + 1, 2 * crop + 1, 2), draws, strict=True))

    def draw(high, count):
        wanted, drawn = next(stream)
        assert (high, count) == (wanted, 6)
        return torch.as_tensor(drawn)

    found = augmented(images, crop, flip, draw).numpy()
    for image, result, down, right, mirror in zip(images.numpy(), found, *draws, strict=True):
        expected = np.zeros_like(image)
        for row in range(4):
            for column in range(width):
                y, x = row + down - crop, column + right - crop
                if 0 <= y < 4 and 0 <= x < width:
                    expected[:, row, column] = image[:, y, x]
        expected = expected[..., ::-1] if flip and mirror else expected
        np.testing.assert_array_equal(result, expected)


def squeezed(path, name, shape):
    """Write arrays of which one has another shape in its header."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in pixels("mnist").items():
            with archive.open(f"{key}.npy", "w") as stream:
                if key != name:
                    np.lib.format.write_array(stream, array)
                    continue
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
                stream.write(bytes(10**6))


@pytest.mark.parametrize("name", ["x_train", "y_test"])
def test_a_file_that_unpacks_to_more_than_can_be_meant_is_refused_unread(tmp_path, name):
    squeezed(tmp_path / "mnist.npz", name, (2_000_000, 28, 28))
    with pytest.raises(ValueError, match=r"up to 4 GB, but .*mnist\.npz unpacks to 6\.27 GB"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("shape", [(-5, 28, 28), (10**6, 28, 28)])
def test_a_header_that_promises_other_data_than_there_are_is_refused(tmp_path, shape):
    squeezed(tmp_path / "mnist.npz", "x_train", shape)
    with pytest.raises(ValueError, match=r"mnist\.npz must be an npz file .* cannot be read"):
        load("mnist", tmp_path)
