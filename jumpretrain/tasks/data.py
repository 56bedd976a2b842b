"""Data in memory: what ships with scikit-learn, what lies on disk, and the user's own arrays."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.arrays import as_numbers, frozen
from jumpretrain.execution.bounds import Count, NotNegative, Seed, Share, Whole, Within
from jumpretrain.storage.files import located
from jumpretrain.tasks.images import as_images, check_images, read_images
from jumpretrain.tasks.measures import IGNORED

__all__ = ["Dataset", "digits", "load", "spirals"]

OPENML = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST"}
NPZ = ("mnist", "fashion_mnist", "cifar10")


@checked
@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples as arrays of any shape.

    They are copied and then read-only, so that what is done later to the arrays given is not seen.
    Those that are mapped read-only from files, or that are read-only with memory of their own, are
    held as they are. `torch.tensor(data.train_x)` copies one into a tensor without a warning.

    Arrays, tensors, tables and lists are taken. Whole numbers reach the network as int64, so that
    tokens stay tokens; images of bytes are not scaled. Targets of cross-entropy are described
    there (`jr.measures.cross_entropy`).

    Crops and mirrorings move targets with their images where these have a value for each pixel:
    where they are (n, H, W) or (n, C, H, W) of the images' height and width. All other targets
    stay, such as labels. So do coordinates, as of boxes, and flattened images, which would be
    wrong for what was moved: leave `crop` and `flip` out for these.

    Attributes:
        train_x: Training inputs (n, ...).
        train_y: Training targets (n, ...): class labels, values, or the inputs themselves.
        test_x: Test inputs (m, ...).
        test_y: Test targets (m, ...).
        crop: Pixels of zero padding for random crops of training images; 0 for none.
        flip: Whether training images are mirrored at random.
        history: What the data are and what was done to them, in order.

    Raises:
        TypeError: If something is no array, such as a DataLoader; the message says what to pass.
        ValueError: If lengths disagree, a split is empty, or an input or target is not finite.

    Example:
        >>> import numpy as np
        >>> Dataset(np.zeros((4, 2)), np.arange(4), np.zeros((1, 2)), np.arange(1)).train_x.shape
        (4, 2)
    """

    train_x: NDArray[Any]
    train_y: NDArray[Any]
    test_x: NDArray[Any]
    test_y: NDArray[Any]
    crop: int = 0
    flip: bool = False
    history: tuple[str, ...] = ("arrays",)

    def __post_init__(self) -> None:
        for name in ("train_x", "train_y", "test_x", "test_y"):
            object.__setattr__(self, name, _check_array(getattr(self, name), name))
        for split in ("train", "test"):
            inputs, targets = (len(getattr(self, f"{split}_{kind}")) for kind in "xy")
            if inputs != targets or not inputs:
                raise ValueError(
                    f"each example needs one target, but {split}_x has {inputs} rows and "
                    f"{split}_y has {targets}"
                )
        for kind in "xy":
            train, test = (getattr(self, f"{split}_{kind}") for split in ("train", "test"))
            object.__setattr__(self, f"test_{kind}", frozen(_like(test, train, kind)))
        if self.crop or self.flip:
            check_images(self.train_x, self.train_y, self.crop)

    @checked
    def corrupt(self, share: Share, seed: Seed = 0) -> Dataset:
        """Redraw a share of the training labels uniformly; test labels stay.

        A redrawn label may be the true one, as in arXiv:2102.00485, section 4.1.

        Returns:
            The same inputs with the new labels.

        Raises:
            ValueError: If the share lies outside [0, 1] or the targets are no class labels.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1], but is {share}")
        if self.train_y.dtype.kind not in "biu" or _one_hot(self.train_y):
            shown = "one-hot" if _one_hot(self.train_y) else self.train_y.dtype
            raise ValueError(
                f"only class labels can be redrawn, but train_y is {shown}; make labels of shares "
                "of classes by .argmax(1)"
            )
        rng = np.random.default_rng((seed, 0, 2))  # training draws from (seed, epoch)
        labels = self.train_y.copy()
        chosen = rng.permutation(len(labels))[: round(share * len(labels))]
        classes = int(max(self.train_y.max(), self.test_y.max())) + 1
        labels[chosen] = rng.integers(classes, size=(len(chosen), *labels.shape[1:]))
        labels[self.train_y == IGNORED] = IGNORED
        return self._changed(f"corrupt({share}, seed={seed})", train_y=labels)

    @checked
    def subset(
        self, train: Count | None = None, test: Count | None = None, seed: Seed = 0
    ) -> Dataset:
        """Draw some examples of each split without replacement.

        Returns:
            The smaller data.

        Raises:
            ValueError: If more examples are asked for than there are.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for split, count in (("train", train), ("test", test)):
            inputs, targets = getattr(self, f"{split}_x"), getattr(self, f"{split}_y")
            count = len(inputs) if count is None else count
            if not 0 < count <= len(inputs):
                raise ValueError(f"{split} has {len(inputs)} examples, but {count} were asked for")
            rows = np.sort(np.random.default_rng(seed).permutation(len(inputs))[:count])
            arrays |= {f"{split}_x": inputs[rows], f"{split}_y": targets[rows]}
        return self._changed(f"subset({train}, {test}, seed={seed})", **arrays)

    @checked
    def augment(self, crop: Whole = 4, flip: bool = True) -> Dataset:
        """Crop and mirror training images at random during training, never in evaluation.

        Targets with a value for each pixel move with their images; see `Dataset`.

        Returns:
            The same data with the option set.
        """
        return self._changed(f"augment(crop={crop}, flip={flip})", crop=crop, flip=flip)

    def _changed(self, step: str, **changes: Any) -> Dataset:
        return replace(self, history=(*self.history, step), **changes)


@checked
def digits(seed: Annotated[int, Within(0, 2**32 - 1)] = 0) -> Dataset:
    """Load scikit-learn's 1,797 handwritten digits, split 70/30 with equal class shares.

    Returns:
        Inputs (n, 1, 8, 8) in [0, 1] and labels 0..9.

    Example:
        >>> digits().train_x.shape
        (1257, 1, 8, 8)
    """
    from sklearn.datasets import load_digits  # with scipy.stats, seconds that workers need not
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = (bunch.images[:, None] / 16).astype(np.float32)
    train, test = train_test_split(
        np.arange(len(images)), test_size=0.3, stratify=bunch.target, random_state=seed
    )
    labels = bunch.target.astype(np.int64)
    history = (f"digits(seed={seed})",)
    return Dataset(images[train], labels[train], images[test], labels[test], history=history)


@checked
def spirals(
    count: Annotated[int, Within(2, 2**31 - 1)] = 1000,
    arms: Count = 2,
    turns: float = 1.5,
    noise: NotNegative = 0.02,
    seed: Seed = 0,
) -> Dataset:
    """Draw points on interleaved spirals, one class an arm, split in halves.

    Returns:
        Inputs (count / 2, 2) in [-1, 1] up to noise and labels 0..arms - 1.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % arms
    radius = np.sqrt(rng.uniform(0.01, 1, count))
    angle = 2 * np.pi * (turns * radius + labels / arms)
    points = radius[:, None] * np.c_[np.cos(angle), np.sin(angle)]
    points = (points + noise * rng.normal(size=points.shape)).astype(np.float32)
    order = rng.permutation(count)
    train, test = order[: count // 2], order[count // 2 :]
    history = (f"spirals({count}, arms={arms}, turns={turns}, noise={noise}, seed={seed})",)
    return Dataset(points[train], labels[train], points[test], labels[test], history=history)


@checked
def load(name: str, root: str | Path | None = None) -> Dataset:
    """Load MNIST, Fashion-MNIST or CIFAR-10.

    Args:
        name: `"digits"`, `"mnist"`, `"fashion_mnist"` or `"cifar10"`.
        root: Folder with `<name>.npz` (`x_train`, `y_train`, `x_test`, `y_test`; pixels 0..255).
            Where it is not given, the environment variable `JUMPRETRAIN_DATA` is, if set;
            otherwise the MNIST-like sets come from OpenML through scikit-learn.

    Returns:
        Images (n, C, H, W) in [0, 1] and labels 0..9, in the original splits.

    Raises:
        ValueError: If the name is unknown, or the file is not there, not whole or too large.
    """
    if name == "digits":
        return digits()
    if name not in NPZ:
        raise ValueError(f"data must be one of digits, {', '.join(NPZ)}, but is {name!r}")
    root = root or os.environ.get("JUMPRETRAIN_DATA") or None
    if root is None:
        return _from_openml(name)
    path = located(root) / f"{name}.npz"
    if not path.exists():
        raise ValueError(f"{name} needs the file {path}, which is not there; name another root")
    train, test = read_images(path)
    return Dataset(*train, *test, history=(name,))


def _from_openml(name: str) -> Dataset:
    if name not in OPENML:
        raise ValueError(f"{name} needs a root folder with {name}.npz; pass root or --data-root")
    from sklearn.datasets import fetch_openml

    try:
        bunch = fetch_openml(OPENML[name], version=1, as_frame=False)
    except OSError as error:
        raise ValueError(
            f"{name} could not be fetched from OpenML ({error}); "
            f"name a root folder with {name}.npz (--data-root)"
        ) from error
    images = bunch.data.reshape(-1, 28, 28)
    labels = bunch.target.astype(np.int64)
    train, test = slice(None, 60_000), slice(60_000, None)
    return Dataset(
        *as_images(images[train], labels[train]),
        *as_images(images[test], labels[test]),
        history=(name,),
    )


def _check_array(value: Any, name: str) -> NDArray[Any]:
    array = as_numbers(value, name)
    if not array.ndim:
        raise ValueError(f"{name} must have one row an example, but is a single number; pass [it]")
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"data must be finite, but {name} holds {count} NaN or infinite values; "
            "drop or impute those examples"
        )
    if array.dtype == np.uint64 and array.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(
            f"whole numbers must fit int64, but {name} reaches {array.max()}; pass floats"
        )
    return frozen(array)


def _like(test: NDArray[Any], train: NDArray[Any], kind: str) -> NDArray[Any]:
    """Let test examples have the axes of training examples, and inputs be of their kind.

    A row may stand for a column, and whole numbers for others.

    Returns:
        The test examples.

    Raises:
        ValueError: If they have more axes or fewer, or are fractions where those are whole.
    """
    if kind == "x" and train.dtype.kind != test.dtype.kind:
        if train.dtype.kind not in "fc":
            raise ValueError(
                f"test_x must be of the kind of train_x, {train.dtype}, but is {test.dtype}; "
                f"convert one, such as train_x.astype({str(test.dtype)!r})"
            )
        test = test.astype(train.dtype)
    if {train.shape[1:], test.shape[1:]} == {(), (1,)}:
        return test.reshape(-1, *train.shape[1:])
    if kind == "y" and (train.ndim, test.ndim) == (2, 1) and test.dtype.kind in "iu":
        raise ValueError(
            f"train_y and test_y must be of one kind, but are {train.shape} and {test.shape}; "
            f"pass np.eye({train.shape[1]})[test_y] of labels, or train_y.argmax(1)"
        )
    if train.ndim != test.ndim:
        raise ValueError(
            f"train_{kind} and test_{kind} must have as many axes, but are {train.shape} and "
            f"{test.shape}; reshape one, such as test_{kind}[None] for one example"
        )
    return test


def _one_hot(labels: NDArray[Any]) -> bool:
    if labels.ndim != 2 or labels.shape[1] < 2:
        return False
    return bool((labels.min() >= 0) and (labels.sum(1) == 1).all())
