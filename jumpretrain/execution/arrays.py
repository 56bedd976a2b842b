"""Numbers in whatever a user holds them in: arrays, tensors, tables, lists."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["as_numbers", "as_reals", "frozen", "instead_of", "is_unlike", "plain", "unfrozen"]

REMEDIES: tuple[tuple[Any, str], ...] = (
    (np.ma.MaskedArray, "fill or drop what is masked, then pass np.asarray of it"),
    (np.matrix, "pass np.asarray of it"),
    (torch.utils.data.DataLoader, "join its batches: torch.cat([x for x, _ in loader])"),
    (torch.utils.data.Dataset, "stack its examples: np.stack([np.asarray(x) for x, _ in data])"),
    ((str, bytes, type(None)), "pass an array"),
    ((dict, set, frozenset), "pass a list or an array"),
)
"""What is taken for no array, though NumPy would make one of it, and what to pass instead."""

FLOATS = "pass np.array(x, dtype=float)"
MOMENTS = "datetime64[us]"
DATED = f"pass np.array(x, dtype={MOMENTS!r}).astype('int64')"
PRESENT = "[value for value in x if not pd.isna(value)]"
MISSING = ("NAType", "NaTType")
"""Names of pandas' types of what is missing."""
UNLIKE = (torch.Tensor, np.ma.MaskedArray)
"""What NumPy reads otherwise, or wrongly, within a list."""


def as_numbers(value: Any, name: str) -> NDArray[Any]:
    """Read numbers as an array in this machine's byte order, without changing them.

    Arrays may be read-only, mapped from a file, reversed or of the other byte order; tensors may
    have gradients, lie on another device or be bfloat16, which becomes float32.

    Args:
        value: An array, a tensor, a table or column, or lists of numbers or of tensors.
        name: What messages call it.

    Returns:
        Booleans, whole, real or complex numbers, in a type that torch has too.

    Raises:
        TypeError: If it is no array of numbers by its type.
        ValueError: If its entries are no numbers, or its rows differ in shape.

    Example:
        >>> as_numbers(torch.ones(2, dtype=torch.bfloat16, requires_grad=True), "x")
        array([1., 1.], dtype=float32)
    """
    remedy = instead_of(value)
    if remedy:
        raise TypeError(f"{name} must be a dense array, but is {_kind(value)}; {remedy}")
    array = _array(value, name)
    if array.dtype.kind == "O" and not array.ndim:
        raise TypeError(f"{name} must be an array, but is {_kind(value)}; pass an array or a list")
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"{name} must be numbers, but is {array.dtype}; {_encoding(value, array)}"
        )
    for kind, whole in (("f", np.float64), ("c", np.complex128)):
        if array.dtype.kind == kind and array.dtype.itemsize > np.dtype(whole).itemsize:
            array = array.astype(whole)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array.copy() if min(array.strides, default=0) < 0 else array


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Take an array that nobody else can change.

    Returns:
        A read-only copy; the array itself where it is one already, or is mapped read-only from a
        file.
    """
    if array.flags.writeable or not (array.flags.owndata or _is_mapped(array)):
        array = array.copy()
        array.flags.writeable = False
    return array


def _is_mapped(array: NDArray[Any]) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        base = base.base
    return isinstance(base, mmap.mmap)


def unfrozen(array: NDArray[Any]) -> NDArray[Any]:
    """Take an array as torch wants it, which knows no read-only ones; nothing may write there.

    Returns:
        The same memory, or a copy where that is mapped from a file.
    """
    if array.flags.writeable:
        return array
    return array.copy() if _is_mapped(array) else np.asarray(_Unfrozen(array))


class _Unfrozen:
    """Offers the memory of an array, which it keeps, without its flag."""

    def __init__(self, array: NDArray[Any]) -> None:
        told = dict(array.__array_interface__)
        self.array, self.__array_interface__ = array, told | {"data": (told["data"][0], False)}


def instead_of(value: Any) -> str:
    """Say what to pass in place of something that holds numbers but is no plain array.

    Args:
        value: Anything.

    Returns:
        The remedy; nothing for what is an array or holds none.
    """
    if hasattr(value, "toarray"):
        return "pass its .toarray()"
    return next((remedy for kind, remedy in REMEDIES if isinstance(value, kind)), "")


def as_reals(value: Any, name: str) -> NDArray[np.float64]:
    """Read real numbers as float64.

    Args:
        value: As for `as_numbers`.
        name: What messages call it.

    Returns:
        The numbers, which may be infinite or NaN.

    Raises:
        TypeError: If it is no array of numbers by its type.
        ValueError: If its entries are no real numbers, or its rows differ in shape.
    """
    array = as_numbers(value, name)
    if array.dtype.kind == "c":
        raise ValueError(f"{name} must be real, but is {array.dtype}; pass its .real")
    return array.astype(np.float64, copy=False)


def is_unlike(value: Any) -> bool:
    """Tell whether something is, or lists hold, what NumPy reads wrongly or not at all.

    Returns:
        Whether there is a tensor or a masked array.
    """
    if isinstance(value, (list, tuple)):
        return any(map(is_unlike, value))
    return isinstance(value, UNLIKE)


def plain(value: Any, name: str) -> Any:
    """Put arrays in the place of tensors, also within lists.

    Args:
        value: Anything.
        name: What messages call it.

    Returns:
        The same with arrays.

    Raises:
        TypeError: If there is a masked array.
        ValueError: If a tensor holds no values, or is not dense.
    """
    if isinstance(value, UNLIKE):
        return as_numbers(value, name)
    if isinstance(value, (list, tuple)) and is_unlike(value):
        entries = [plain(entry, name) for entry in value]
        return tuple(entries) if isinstance(value, tuple) else entries
    return value


def _array(value: Any, name: str) -> NDArray[Any]:
    if isinstance(value, torch.Tensor):
        return _from_tensor(value, name)
    if isinstance(value, (list, tuple)) and any(map(is_unlike, value)):
        value = [as_numbers(row, name) for row in value]
    try:
        return np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{name} must be one array of numbers, but {_kind(value)} makes none ({why}); "
            "give all rows one shape"
        ) from error


def _from_tensor(value: torch.Tensor, name: str) -> NDArray[Any]:
    if value.device.type == "meta":
        raise ValueError(f"{name} must hold values, but is on the meta device; load it elsewhere")
    if value.layout != torch.strided or value.is_quantized or value.is_nested:
        raise ValueError(
            f"{name} must be dense, but is {value.layout} {value.dtype}; pass its .to_dense(), "
            ".dequantize() or .to_padded_tensor(0)"
        )
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    short = plain.is_floating_point() and plain.dtype not in (
        *(torch.float16, torch.float32, torch.float64),
    )
    return np.asarray((plain.float() if short else plain).numpy())


def _kind(value: Any) -> str:
    name = "None" if value is None else type(value).__name__
    return name if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _encoding(value: Any, array: NDArray[Any]) -> str:
    """Say what makes numbers of entries that are none.

    Returns:
        The remedy, for which x stands for the value.
    """
    if array.dtype.kind == "V":
        return f"pass one of its fields, such as x[{(array.dtype.names or ('a',))[0]!r}]"
    if hasattr(value, "columns") and (odd := _odd_columns(value)):
        if all(isinstance(entry, str) for name in odd for entry in value[name]):
            return "encode its words, such as by pd.get_dummies(x).astype(float)"
        return f"leave out or encode what holds no numbers, such as by x.drop(columns={odd})"
    if any(map(_is_missing, array.flat)):
        present = "x.dropna()" if hasattr(value, "dropna") else PRESENT
        return f"fill or drop what is missing, such as by {present}"
    if array.dtype.kind in "mM":
        return "pass np.asarray(x).astype('int64')"
    casts = ((float, FLOATS), (complex, "pass np.array(x, dtype=complex).real"), (MOMENTS, DATED))
    return next((remedy for kind, remedy in casts if _casts(array, kind)), "") or _grouped(array)


def _grouped(array: NDArray[Any]) -> str:
    """Say what becomes of rows within entries, and of words and other things.

    Returns:
        The remedy.
    """
    words = [isinstance(entry, str | bytes) for entry in array.flat]
    if not any(words) and all(hasattr(entry, "__len__") for entry in array.flat):
        alike = len({np.shape(np.asarray(entry, object)) for entry in array.flat}) == 1
        return "pass np.stack(x)" if alike else "give all rows one shape"
    labels = "labels" if all(words) else "np.array(labels, dtype=str)"
    return f"encode it, such as by np.unique({labels}, return_inverse=True)[1]"


def _odd_columns(table: Any) -> list[Any]:
    return [name for name in table.columns if not _casts(table[name].to_numpy(), float)]


def _is_missing(entry: Any) -> bool:
    return entry is None or type(entry).__name__ in MISSING or str(entry) == "NaT"


def _casts(array: NDArray[Any], kind: Any) -> bool:
    if kind is float and array.dtype.kind in "mM":
        return False
    try:
        array.astype(kind)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
