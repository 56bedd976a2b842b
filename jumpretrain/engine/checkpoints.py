"""Unfinished training, kept every few epochs: networks, optimiser and snapshots so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from jumpretrain.engine.replicas import Looped, Stacked
from jumpretrain.storage import folders

__all__ = ["Checkpoint"]

Replicas = Looped | Stacked


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often unfinished training is kept.

    Orders of the data and random draws are keyed by seed, epoch and step, so that they need no
    keeping.

    Attributes:
        path: The file.
        every: Epochs between two writings; 0 writes nothing.
    """

    path: Path
    every: int

    def resume(
        self, replicas: Replicas, optimiser: torch.optim.Optimizer
    ) -> tuple[int, list[torch.Tensor]]:
        """Put networks and optimiser back to where they were kept.

        Args:
            replicas: The networks, as they set out.
            optimiser: Theirs, fresh.

        Returns:
            How many epochs are done, and the snapshots until then, each (K, S).
        """
        if not self.path.exists():
            return 0, [replicas.read()]
        arrays, facts = folders.read_arrays(self.path)
        tensors = {name: torch.as_tensor(array) for name, array in arrays.items()}
        snapshots = list(tensors.pop("snapshots"))
        replicas.restore(_under("network", tensors))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _under("optimiser", tensors).items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
        for place, entries in state.items():  # loading casts scalars to the precision of weights
            scalars = {key: entry for key, entry in entries.items() if entry.ndim == 0}
            optimiser.state[replicas.parameters[place]] |= scalars
        return int(facts["epochs"]), [snapshot.to(replicas.device) for snapshot in snapshots]

    def keep(
        self,
        replicas: Replicas,
        optimiser: torch.optim.Optimizer,
        snapshots: list[torch.Tensor],
        epochs: int,
    ) -> None:
        """Write down where training stands, if it is time to."""
        if not self.every or epochs % self.every:
            return
        tensors = {
            f"network.{name}": tensor for name, tensor in replicas.tensors_by_name().items()
        }
        for number, entries in optimiser.state_dict()["state"].items():
            some = {f"optimiser.{number}.{key}": entry for key, entry in entries.items()}
            tensors |= {name: entry for name, entry in some.items() if entry is not None}
        tensors["snapshots"] = torch.stack(snapshots)
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        folders.write_arrays(self.path, arrays, {"epochs": epochs})

    def drop(self) -> None:
        """Remove the file: training is finished and kept elsewhere."""
        self.path.unlink(missing_ok=True)


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }
