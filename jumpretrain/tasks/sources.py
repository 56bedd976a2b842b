"""Turn what a user holds into a state: a network, a state dict, a file, an array, trained runs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import load_file
from torch import nn

from jumpretrain.contents.layout import Layout
from jumpretrain.execution.arrays import as_numbers
from jumpretrain.tasks.loading import load
from jumpretrain.tasks.probing import reason

__all__ = [
    "Network",
    "StateLike",
    "StatesLike",
    "Trained",
    "state_of",
    "states_of",
]


@runtime_checkable
class Trained(Protocol):
    """Trained networks, such as `Runs`."""

    @property
    def final(self) -> NDArray[Any]:
        """Where they ended (K, S)."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What they were trained on."""


StateLike: TypeAlias = (
    ArrayLike | torch.Tensor | nn.Module | Mapping[str, Any] | str | Path | Trained
)
"""A state (S,), or what holds one: a network, a state dict, a file of one, a single run."""
StatesLike: TypeAlias = StateLike | Sequence[StateLike]
"""States (K, S), or what holds them: runs, or a list in which each entry is a `StateLike`."""


LFS, HTML = b"version https://git-lfs", (b"<!doctype html", b"<html")


class Network(Protocol):
    """What is known of the network whose states are read."""

    @property
    def layout(self) -> Layout:
        """Where each tensor stands in a state."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells its task from others."""

    def module(self) -> nn.Module:
        """Build a copy of one's own."""


def state_of(network: Network, source: StateLike, name: str = "a state") -> NDArray[Any]:
    """Read one state of a network.

    Checkpoints may keep the state dict under `"state_dict"`, `"model_state_dict"` or `"model"`,
    and its names may begin with those of wrappers, such as `"module."` or `"_orig_mod."`.

    Args:
        network: Whose state it is.
        source: A state (S,), a network, a state dict, a file that holds one (safetensors, or what
            `torch.save` wrote, read with `weights_only=True`; a state itself may be in one too,
            or in what `np.save` wrote), or a single run.
        name: What messages call it.

    Returns:
        The state (S,) in the network's type.

    Raises:
        TypeError: If it is nothing of these.
        ValueError: If it is not a finite state of this network, or the file cannot be read.
    """
    if _is_trained(source):
        return _only(_rows(network, source, name), name)
    if isinstance(source, (str, Path)):
        source = _read(Path(source))
    if isinstance(source, (nn.Module, Mapping)):
        module = network.module()
        load(module, source, name)
        source = network.layout.read(module).cpu().numpy()
    if not (isinstance(source, (list, tuple)) or hasattr(source, "__array__")):
        raise TypeError(_no_state(name, source))
    values, width = as_numbers(source, name), network.layout.width
    if values.shape != (width,):
        raise ValueError(
            f"{name} must be one state of this task, ({width},), but is {values.shape}; "
            "take it from train, such as runs.final[0], Task.initial or Task.state"
        )
    return np.array(_checked(network.layout, values[None], name)[0])


def states_of(network: Network, sources: StatesLike) -> NDArray[Any]:
    """Read states of a network.

    Args:
        network: Whose states they are.
        sources: States (K, S), runs, or a list in which each entry is what `state_of` takes; what
            is a network, a state dict or a file by itself counts as a list of one.

    Returns:
        The states (K, S) in the network's type.

    Raises:
        TypeError: If an entry is nothing of these.
        ValueError: If one is not a finite state of this network, or a file cannot be read.
    """
    if _is_trained(sources):
        return _rows(network, sources, "states")
    if isinstance(sources, (nn.Module, Mapping, str, Path)):
        return state_of(network, sources)[None]
    if not (isinstance(sources, (list, tuple)) or hasattr(sources, "__array__")):
        raise TypeError(_no_state("states", sources))
    if isinstance(sources, (list, tuple)) and not all(map(_plain, sources)):
        each = [
            state_of(network, source, f"state {number} of {len(sources)}")
            for number, source in enumerate(sources)
        ]
        return np.stack(each)
    array, width = as_numbers(sources, "states"), network.layout.width
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(
            f"states of this task are (K, {width}), but these are {array.shape}; "
            "take them from train, Task.initial or Task.state, one alone in a list"
        )
    return _checked(network.layout, array, "states")


def _is_trained(source: Any) -> TypeGuard[Trained]:
    kind = type(source)  # asking the object itself would read its states
    return hasattr(kind, "final") and hasattr(source, "provenance")


def _no_state(name: str, source: Any) -> str:
    kind = "None" if source is None else f"of type {type(source).__name__}"
    return (
        f"{name} must be given as an array, a network, a state dict, a file or runs, but is "
        f"{kind}; take it from train, such as runs.final"
    )


def _plain(source: Any) -> bool:
    return isinstance(source, (int, float, list, tuple, np.number))


def _checked(layout: Layout, array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.dtype.kind == "c":
        raise ValueError(f"{name} must be real, but is complex; pass its .real")
    with np.errstate(over="ignore"):
        states = np.ascontiguousarray(array, dtype=layout.numpy_dtype)
    bad = np.flatnonzero(~np.isfinite(states).all(1))
    if not len(bad):
        return states
    if np.isfinite(array[bad]).all():
        raise ValueError(
            f"{name} must fit {states.dtype}, but holds values up to "
            f"{np.abs(array[bad]).max():.3g}; give the task a model in float64"
        )
    if name == "states":
        raise ValueError(
            f"states must be finite, but state {bad[0]} of {len(array)} is not "
            f"({len(bad)} in all); leave out diverged runs"
        )
    count = int((~np.isfinite(states)).sum())
    raise ValueError(
        f"{name} must be finite, but {count} of its {states.shape[1]} entries are not; "
        "leave out diverged runs"
    )


def _rows(network: Network, runs: Trained, name: str) -> NDArray[Any]:
    """Take the ends of runs.

    Returns:
        States (K, S).

    Raises:
        ValueError: If the runs are of another network, or not finite.
    """
    known = runs.provenance.get("task", {}).get("model")
    if known not in (None, network.fingerprint["model"]):
        raise ValueError(
            f"{name} must be of the task's model, but these runs are of another one; make a task "
            "of that model, or pass runs.final for the weights alone"
        )
    return _checked(network.layout, np.asarray(runs.final), "states")


def _only(rows: NDArray[Any], name: str) -> NDArray[Any]:
    if len(rows) != 1:
        raise ValueError(
            f"{name} must be one state, but there are {len(rows)} runs; pass one's state, such as "
            "runs.final[0]"
        )
    return np.asarray(rows[0])


def _read(path: Path) -> Mapping[str, Any] | torch.Tensor | NDArray[Any]:
    try:
        content = _content(path.expanduser())
    except pickle.UnpicklingError as error:
        _check_begins(path.expanduser())
        raise ValueError(
            f"{path} must hold a state dict, but cannot be read without running what it holds "
            "beside tensors; save model.state_dict() alone"
        ) from error
    except Exception as error:
        _check_begins(path.expanduser())
        raise ValueError(
            f"{path} must hold a state dict, but cannot be read: {reason(error)}; save "
            "model.state_dict() anew"
        ) from error
    if not isinstance(content, (Mapping, torch.Tensor, np.ndarray)):
        raise ValueError(
            f"{path} must hold a state dict, but holds a {type(content).__name__}; save "
            "model.state_dict()"
        )
    return content


def _check_begins(path: Path) -> None:
    """Say what a file is that holds no state, where its first bytes tell.

    Raises:
        ValueError: If they do.
    """
    if not path.is_file():
        return
    with path.open("rb") as stream:
        start = stream.read(64)
    kinds = {
        "is empty; save model.state_dict() anew": not start,
        "is a pointer of Git LFS; fetch the file itself by git lfs pull": start.startswith(LFS),
        "is a page of the web; fetch the file itself": start.lstrip().lower().startswith(HTML),
        "is of safetensors; name it .safetensors": path.suffix != ".safetensors"
        and start[8:10] == b'{"',
    }
    for kind in (kind for kind, found in kinds.items() if found):
        raise ValueError(f"{path} must hold a state dict, but {kind}")


def _content(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        return load_file(path)
    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False)
    return torch.load(path, map_location="cpu", weights_only=True)
