"""Images come from npz files with channels first, and damaged or strange files are refused."""

import re
import zipfile

import numpy as np
import pytest

from jumpretrain.tasks.data import Dataset, load
from jumpretrain.tasks.images import as_images

ARRAYS = ("train_x", "train_y", "test_x", "test_y")
SHAPES = {"mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}


def same(found, expected):
    return all(np.array_equal(getattr(found, name), getattr(expected, name)) for name in ARRAYS)


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


STRANGE = {
    "labels of floats": (
        {"y_train": np.arange(7) + 0.5},
        r"whole numbers, .* np\.unique",
    ),
    "labels that are NaN": ({"y_test": np.full(4, np.nan)}, "labels of images must be whole"),
    "whole labels of floats": ({"y_train": np.arange(7.0)}, "labels of images must be whole"),
    "labels in words": (
        {"y_train": np.array(["cat"] * 7)},
        r"labels must be numbers, .* np\.uniq",
    ),
    "pixels in words": ({"x_train": np.full((7, 28, 28), "a")}, "pixels must be numbers"),
    "complex pixels": ({"x_test": np.full((4, 28, 28), 9j)}, r"but are complex128; pass their"),
    "logical pixels": ({"x_train": np.ones((7, 28, 28), bool)}, r"write 255 \* x\.astype"),
    "complex labels": ({"y_train": np.arange(7) + 0j}, "whole numbers, but are complex128"),
    "scaled pixels": (
        {"x_train": np.full((7, 28, 28), 0.5)},
        r"pixels must be 0\.\.255, but are at",
    ),
    "flat pixels": ({"x_test": np.full((4, 784), 9)}, r"must be \(n, H, W\) or .* \(4, 784\)"),
    "channels first": ({"x_train": np.full((7, 3, 28, 28), 9)}, r"np\.moveaxis\(x, 1, -1\)"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_was_cut_or_mangled_once_is_refused_in_one_line(tmp_path, kind):
    changes, message = STRANGE[kind]
    np.savez(tmp_path / "mnist.npz", **(pixels("mnist") | changes))
    with pytest.raises(ValueError, match=message) as found:
        load("mnist", tmp_path)
    assert "\n" not in str(found.value)


def test_the_remedies_for_strange_files_help(tmp_path):
    content = pixels("mnist")
    labels = np.arange(7.0).astype("int64")
    first = np.repeat(content["x_train"][:, None], 3, axis=1)
    images = {"x_train": np.moveaxis(first, 1, -1), "x_test": content["x_test"][..., None]}
    np.savez(tmp_path / "mnist.npz", **(content | images | {"y_train": labels}))
    data = load("mnist", tmp_path)
    assert data.train_y.tolist() == labels.tolist() and data.train_x.shape == (7, 3, 28, 28)
    scaled = np.full((7, 28, 28), 0.5)
    np.testing.assert_array_equal(Dataset(scaled, labels, scaled, labels).train_x, scaled)


def test_pixels_and_labels_of_the_other_byte_order_and_labels_in_a_column_are_read(tmp_path):
    content = pixels("mnist")
    np.savez(tmp_path / "mnist.npz", **content)
    plain = load("mnist", tmp_path)
    swapped = {key: array.astype(">i4") for key, array in content.items()}
    np.savez(tmp_path / "mnist.npz", **swapped)
    assert same(load("mnist", tmp_path), plain)
    columns = {key: content[key][:, None] for key in ("y_train", "y_test")}
    np.savez(tmp_path / "mnist.npz", **(content | columns))
    assert load("mnist", tmp_path).train_y[:, 0].tolist() == plain.train_y.tolist()


@pytest.mark.parametrize("shape", [(9, 8, 8, 3), (9, 28, 28, 1), (9, 32, 24, 4), (9, 5, 9, 1)])
def test_images_with_channels_last_are_refused_and_the_remedy_helps(shape):
    data = Dataset(np.ones(shape), np.arange(9), np.ones(shape), np.arange(9))
    with pytest.raises(ValueError, match=r"channels first, .* pass np.moveaxis") as found:
        data.augment(crop=0, flip=True)
    assert "\n" not in str(found.value)
    first = np.moveaxis(data.train_x, -1, 1)
    assert Dataset(first, data.train_y, first, data.train_y).augment(crop=1).crop == 1


@pytest.mark.parametrize("shape", [(9, 3, 8, 8), (9, 1, 4, 4), (9, 64, 4, 4), (9, 3, 32, 3)])
def test_images_with_channels_first_and_small_maps_are_taken(shape):
    data = Dataset(np.ones(shape), np.arange(9), np.ones(shape), np.arange(9))
    assert data.augment(crop=1).flip


def test_a_crop_that_leaves_nothing_is_refused():
    images = np.ones((9, 1, 8, 6))
    with pytest.raises(ValueError, match=r"0\.\.5 pixels, but is 6"):
        Dataset(images, np.arange(9), images, np.arange(9)).augment(crop=6)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
@pytest.mark.parametrize("shape", [(9, 8, 6), (9, 1, 8, 6)])
def test_crops_of_whole_numbers_of_pixels_are_refused_and_the_remedies_help(dtype, shape):
    images, targets = np.ones((9, 1, 8, 6)), np.ones(shape, dtype)
    data = Dataset(images, targets, images, targets)
    with pytest.raises(ValueError, match=r"\.augment\(crop=0\), or pass values as") as found:
        data.augment(crop=2)
    assert "\n" not in str(found.value)
    assert data.augment(crop=0).flip
    values = data.train_y.astype("float32")
    assert Dataset(images, values, images, values).augment(crop=2).crop == 2


ROWS = np.arange(40)
REFUSED = {
    "far": ({"y_train": np.where(ROWS == 3, 10**9, ROWS % 10)}, "up to 1000 classes from 0"),
    "farther": ({"y_test": np.where(ROWS == 3, 10**5, ROWS % 10)}, "but one is 100000; write"),
    "beyond": ({"y_train": np.full(40, 2**64 - 1, np.uint64)}, "up to 1000 classes from 0"),
    "parts": ({"y_train": ROWS + 0.5}, r"with np\.unique\(labels, return_inverse=True\)\[1\]"),
    "missing": ({"y_train": np.where(ROWS == 3, np.nan, 1.0)}, "without what is missing"),
    "floats": ({"y_train": np.ones(40)}, r"but are float64; write them with \.astype\('int64'\)"),
    "flags": ({"y_train": ROWS > 3}, r"but are bool; write them with \.astype\('int64'\)"),
    "one-hot": ({"y_train": np.eye(40, dtype=int)}, r"one label each, \(n,\), but .*argmax\(1\)"),
    "objects": ({"y_train": ROWS.astype(object)}, "write it by np.savez from arrays of numbers"),
    "negative": ({"x_train": np.full((40, 8, 8), -3)}, "but go from -3 to -3"),
    "huge": ({"x_train": np.full((40, 8, 8), 1e300)}, r"but go from 1e\+300 to 1e\+300"),
    "flat": ({"x_train": np.full((40, 64), 3)}, r"write them with x\.reshape\(-1, 8, 8\)"),
    "odd": ({"x_train": np.full((40, 65), 3)}, r"such as x\.reshape\(-1, 28, 28\)"),
    "text": (
        {"y_train": (ROWS % 10).astype(str)},
        r"with np\.array\(labels, dtype=int\)",
    ),
    "without pixels": ({"x_test": np.zeros((40, 0, 8))}, r"but are \(40, 0, 8\)"),
    "complex": ({"x_train": np.full((40, 8, 8), 3 + 1j)}, r"pass their \.real"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("error")
def test_what_are_no_images_with_labels_is_refused_in_one_line(tmp_path, kind):
    change, words = REFUSED[kind]
    images = np.full((40, 8, 8), 200, np.uint8)
    whole = {"x_train": images, "x_test": images, "y_train": ROWS % 10, "y_test": ROWS % 10}
    np.savez(tmp_path / "mnist.npz", **whole)
    assert load("mnist", tmp_path).train_y.max() == 9
    np.savez(tmp_path / "mnist.npz", **whole | change)
    with pytest.raises(ValueError, match=words) as found:
        load("mnist", tmp_path)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("side", [8, 32])
def test_flat_rows_of_planes_of_colours_and_images_counted_last_become_images(tmp_path, side):
    images = np.random.default_rng(0).integers(256, size=(9, side, side, 3))
    planes = np.moveaxis(images, -1, 1).reshape(9, -1)  # all red, then green, then blue
    labels = np.arange(9)
    for given, remedy, remade in (
        (
            planes,
            f"reshape(-1, 3, {side}, {side}), 1, -1)",
            lambda x: np.moveaxis(x.reshape(-1, 3, side, side), 1, -1),
        ),
        (np.moveaxis(images, 0, -1), "np.moveaxis(x, -1, 0)", lambda x: np.moveaxis(x, -1, 0)),
        (np.moveaxis(images, -1, 1), "np.moveaxis(x, 1, -1)", lambda x: np.moveaxis(x, 1, -1)),
    ):
        with pytest.raises(ValueError, match=re.escape(remedy)):
            as_images(given, labels)
        found, wanted = as_images(remade(given), labels)[0], as_images(images, labels)[0]
        np.testing.assert_array_equal(found, wanted)
    written = np.array([str(label) for label in labels])
    with pytest.raises(ValueError, match=r"np\.array\(labels, dtype=int\)"):
        as_images(images, written)
    assert as_images(images, np.array(written, dtype=int))[1].tolist() == labels.tolist()
