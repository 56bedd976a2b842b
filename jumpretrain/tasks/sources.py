"""Turn what a user holds into a state: a network, a state dict, a file, an array, trained runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import load_file
from torch import nn

from jumpretrain.execution.arrays import as_numbers
from jumpretrain.tasks.layout import Layout
from jumpretrain.tasks.loading import load
from jumpretrain.tasks.modules import unwrapped
from jumpretrain.tasks.probing import reason

__all__ = [
    "Network",
    "StateLike",
    "StatesLike",
    "Trained",
    "state_of",
    "states_of",
]

NESTED = ("state_dict", "model_state_dict", "model")
"""Where checkpoints keep the state dict among other things."""


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


class Network(Protocol):
    """What is known of the network whose states are read."""

    @property
    def layout(self) -> Layout:
        """Where each tensor stands in a state."""

    @property
    def fingerprint(self) -> Mapping[str, str]:
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
        source = _loaded(network, source, name)
    if not (isinstance(source, (list, tuple)) or hasattr(source, "__array__")):
        raise TypeError(_no_state(name, source))
    values, width = as_numbers(source, name), network.layout.width
    if values.shape != (width,):
        raise ValueError(
            f"{name} must be one state of this task, ({width},), but is {values.shape}; "
            "take it from train, such as runs.final[0], Task.initial or Task.state"
        )
    return np.asarray(_checked(network.layout, values[None], name)[0])


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


def _loaded(network: Network, source: nn.Module | Mapping[str, Any], name: str) -> NDArray[Any]:
    module, source = network.module(), _innermost(source)
    if isinstance(source, nn.Module):
        load(module, unwrapped(source), name)
    else:
        load(module, _named_as(module.state_dict(), source, name), name)
    return network.layout.read(module).cpu().numpy()


def _innermost(source: nn.Module | Mapping[str, Any]) -> nn.Module | Mapping[str, Any]:
    if isinstance(source, nn.Module):
        return source
    inner = [source[key] for key in NESTED if isinstance(source.get(key), (Mapping, nn.Module))]
    return _innermost(inner[0]) if inner else source


def _named_as(
    own: Mapping[str, torch.Tensor], given: Mapping[str, Any], name: str
) -> OrderedDict[str, Any]:
    """Name the tensors of a state dict as the task's network does.

    Returns:
        The tensors by name; what has no counterpart keeps its name.

    Raises:
        ValueError: If one is no tensor, or complex where the network's is real.
    """
    before, keys = 0, [key for key in map(str, given) if key != "n_averaged"]
    while not {_shortened(key, before) for key in keys} & own.keys():
        heads = {_shortened(key, before).partition(".")[0] for key in keys}
        if len(heads) != 1 or any("." not in _shortened(key, before) for key in keys):
            break
        before += 1
    found = OrderedDict((_shortened(k, before), _tensor(k, given[k], name)) for k in keys)
    for key in found.keys() & own.keys():
        if torch.is_tensor(found[key]) and found[key].is_complex() and not own[key].is_complex():
            raise ValueError(
                f"{name} must belong to the task's model, but its {key} is complex; make a task "
                "of the network that it comes from"
            )
    versions = {_shortened(k, before): v for k, v in getattr(given, "_metadata", {}).items()}
    found._metadata = versions  # type: ignore[attr-defined]
    return found


def _shortened(key: str, before: int) -> str:
    """Leave out the names of wrappers: any that `torch.compile` gave, and the first few.

    Returns:
        The name of the tensor in the network itself.
    """
    return ".".join([part for part in key.split(".") if part != "_orig_mod"][before:])


def _tensor(key: str, value: Any, name: str) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if key.endswith("_extra_state"):
        return value
    if not isinstance(value, np.ndarray):
        raise ValueError(
            f"{name} must belong to the task's model, but its {key!r} is no tensor but of type "
            f"{type(value).__name__}; pass the state dict alone, such as model.state_dict()"
        )
    return torch.as_tensor(as_numbers(value, key).copy())


def _read(path: Path) -> Mapping[str, Any] | torch.Tensor | NDArray[Any]:
    readers: dict[str, Callable[[], Any]] = {
        ".safetensors": lambda: load_file(path),
        ".npy": lambda: np.load(path, allow_pickle=False),
    }
    try:
        content = readers.get(path.suffix, lambda: _unpickled(path))()
    except Exception as error:
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


def _unpickled(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)
