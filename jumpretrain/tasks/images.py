"""Images: read from npz files, which may be damaged or far too large, and checked for crops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

import numpy as np
from numpy.typing import NDArray

from jumpretrain.execution.arrays import as_numbers

__all__ = ["are_pixelwise", "as_images", "check_images", "read_images"]

Examples: TypeAlias = tuple[NDArray[Any], NDArray[Any]]

CLASSES = 1000
"""So many there can be whatever the number of examples; one above it needs as many examples."""
RELABELLED = "np.unique(labels, return_inverse=True)[1]"
CHANNELS = (1, 3, 4)
"""Numbers of channels by which one tells that they come last."""
UNREADABLE = (
    *(OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, MemoryError),
    *(BadZipFile, ZlibError),
)
MOST_BYTES = 4 * 10**9
"""Of an npz file, once unpacked; CIFAR-10 takes 0.74 GB as float32."""


def read_images(path: Path) -> list[Examples]:
    """Read the training and test examples of an npz file.

    Returns:
        Images (n, C, H, W) in [0, 1] and labels (n,) of both splits.

    Raises:
        ValueError: If it is not whole or too large, or holds no images with labels.
    """
    try:
        unpacked = _unpacked_bytes(path)
        pairs = _unpacked(path) if unpacked <= MOST_BYTES else []
    except UNREADABLE as error:
        raise ValueError(
            f"{path} must be an npz file with x_train, y_train, x_test and y_test, but cannot be "
            f"read ({error}); fetch it again, or write it by np.savez from arrays of numbers"
        ) from error
    if not pairs:
        raise ValueError(
            f"data are read up to {MOST_BYTES / 1e9:g} GB, but {path} unpacks to "
            f"{unpacked / 1e9:.3g} GB of float32; keep fewer examples in it"
        )
    most = max(CLASSES, *(len(labels) for _, labels in pairs if labels.ndim))
    return [as_images(*pair, most) for pair in pairs]


def _unpacked(path: Path) -> list[Examples]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return [(file[f"x_{part}"], file[f"y_{part}"]) for part in ("train", "test")]


def _unpacked_bytes(path: Path) -> int:
    """Read from the headers of the arrays, and unpack nothing else.

    Returns:
        Bytes of all arrays, as they are or as float32, whichever is more.
    """
    total = 0
    with ZipFile(path) as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            with archive.open(f"{name}.npy") as stream:
                shape, dtype = _header(stream)
            total += math.prod(shape) * max(dtype.itemsize, 4)
    return total


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    newer = np.lib.format.read_magic(stream) > (1, 0)
    read = np.lib.format.read_array_header_2_0 if newer else np.lib.format.read_array_header_1_0
    shape, _, dtype = read(stream)
    return shape, dtype


def as_images(pixels: NDArray[Any], labels: NDArray[Any], most: int = CLASSES) -> Examples:
    """Turn pixels into images with channels first.

    Args:
        pixels: From 0 to 255, (n, H, W) or (n, H, W, channels).
        labels: Whole numbers (n,) or (n, 1).
        most: Number of classes that there can be.

    Returns:
        Images (n, C, H, W) in [0, 1], and the labels as int64.

    Raises:
        ValueError: If labels are no classes, or pixels of another shape or range.
    """
    _check_written(labels)
    array, kinds = as_numbers(pixels, "pixels"), as_numbers(labels, "labels")
    _check_labels(kinds, most)
    if array.dtype.kind not in "iuf":
        remedy = "pass their .real" if array.dtype.kind == "c" else "write 255 * x.astype('uint8')"
        raise ValueError(f"pixels must be 0..255, but are {array.dtype}; {remedy}")
    moved = array.ndim == 4 and array.shape[-1] not in CHANNELS
    if array.ndim not in (3, 4) or moved or not all(array.shape[1:]):
        remedy = _shaped(array.shape)
        raise ValueError(
            f"images must be (n, H, W) or (n, H, W, channels), but are {array.shape}; "
            f"write them with {remedy}"
        )
    low, high = (array.min(), array.max()) if len(array) else (0, 255)
    if low < 0 or high > 255:
        raise ValueError(
            f"pixels must be 0..255, but go from {low:.4g} to {high:.4g}; write them as such, "
            "by 255 * (x - x.min()) / (x.max() - x.min())"
        )
    if array.dtype.kind == "f" and high <= 1:
        raise ValueError(
            f"pixels must be 0..255, but are at most {high:.3g}; pass such images "
            "to jr.Dataset, which leaves them as they are"
        )
    array = array[:, None] if array.ndim == 3 else np.moveaxis(array, -1, 1)
    return np.ascontiguousarray(array, np.float32) / 255, kinds.astype(np.int64)


def _check_written(labels: NDArray[Any]) -> None:
    texts = np.asarray(labels)
    if texts.dtype.kind in "SU" and all(text.isdigit() for text in texts.flat):
        raise ValueError(
            f"labels of images must be whole numbers, but are {texts.dtype}; write them with "
            "np.array(labels, dtype=int)"
        )


def _shaped(shape: tuple[int, ...]) -> str:
    """Say what makes images with channels last of pixels of a shape.

    Returns:
        The remedy, for which x stands for the pixels.
    """
    if len(shape) == 4:
        last = shape[1] not in CHANNELS and shape[2] in CHANNELS  # (H, W, channels, n)
        return "np.moveaxis(x, -1, 0)" if last else "np.moveaxis(x, 1, -1)"
    for channels in (1, 3) if len(shape) == 2 else ():
        side = math.isqrt(shape[1] // channels)
        if side and channels * side**2 == shape[1]:
            whole = f"x.reshape(-1, {side}, {side})"
            planes = f"np.moveaxis(x.reshape(-1, 3, {side}, {side}), 1, -1)"
            return whole if channels == 1 else f"{planes}, where red comes first"
    return "a shape such as x.reshape(-1, 28, 28)"


def _check_labels(labels: NDArray[Any], most: int) -> None:
    if labels.shape not in ((labels.size,), (labels.size, 1)):
        raise ValueError(
            f"images have one label each, (n,), but labels are {labels.shape}; make labels of "
            "shares of classes by .argmax(1)"
        )
    if labels.dtype.kind not in "iu":
        cut = labels.dtype.kind == "f" and (labels != np.floor(labels)).any()  # NaN among them
        remedy = f"{RELABELLED}, without what is missing" if cut else ".astype('int64')"
        raise ValueError(
            f"labels of images must be whole numbers, but are {labels.dtype}; write them with "
            f"{remedy}"
        )
    if labels.size and labels.max() >= most:
        raise ValueError(
            f"labels of images must number up to {most} classes from 0, but one is "
            f"{labels.max()}; write them with {RELABELLED}"
        )


def are_pixelwise(targets: Sequence[int], images: Sequence[int]) -> bool:
    """Tell whether targets have a value for each pixel, so that they move with the images.

    Args:
        targets: Their shape.
        images: That of the images (n, C, H, W).

    Returns:
        Whether it is (n, H, W) or (n, ..., H, W) with one axis more.
    """
    return len(targets) in (3, 4) and tuple(targets[-2:]) == tuple(images[-2:])


def check_images(images: NDArray[Any], targets: NDArray[Any], crop: int) -> None:
    """Refuse what cannot be cropped and mirrored.

    Args:
        images: Training inputs.
        targets: Their targets.
        crop: Pixels of padding.

    Raises:
        ValueError: If they are no images with channels first, the padding leaves nothing, or
            targets of pixels are whole numbers, which have no value for what is padded.
    """
    if images.ndim != 4:
        raise ValueError(
            "crop and flip need images (n, C, H, W), "
            f"but train_x is {images.shape}; reshape it or leave them out"
        )
    _, second, third, last = images.shape
    if last in CHANNELS and second > last != third:
        raise ValueError(
            "crop and flip need images with channels first, (n, C, H, W), but train_x is "
            f"{images.shape}; pass np.moveaxis(x, -1, 1)"
        )
    if crop >= min(third, last):
        raise ValueError(
            f"crop must leave some of the image, 0..{min(third, last) - 1} pixels, but is {crop}"
        )
    if crop and targets.dtype.kind in "biu" and are_pixelwise(targets.shape, images.shape):
        raise ValueError(
            "crop pads targets of pixels by zeros, which mean a class in whole numbers, but "
            f"train_y is {targets.dtype} {targets.shape}; mirror alone, by .augment(crop=0), or "
            "pass values as train_y.astype('float32')"
        )
