"""Unfinished training, kept every few epochs: networks, optimiser and snapshots so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from jumpretrain.engine.replicas import Looped, Stacked
from jumpretrain.storage import arrays as kept_arrays
from jumpretrain.storage import files, manifests

__all__ = ["Checkpoint"]

Replicas = Looped | Stacked


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often unfinished training is kept.

    Orders of the data and random draws are keyed by seed, epoch and step, so that they need no
    keeping.

    Attributes:
        folder: Where finished runs are kept.
        run: The first run of those that are trained.
        every: Epochs between two writings; 0 writes nothing.
        owner: Whose they are.
    """

    folder: Path
    run: int
    every: int
    owner: manifests.Owner

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "checkpoints" / f"{self.run:05d}"

    def resume(
        self, replicas: Replicas, optimiser: torch.optim.Optimizer
    ) -> tuple[int, list[torch.Tensor]]:
        """Put networks and optimiser back to where they were kept.

        Args:
            replicas: The networks, as they set out.
            optimiser: Theirs, fresh.

        Returns:
            How many epochs are done, and the snapshots until then, each (K, S).

        Raises:
            ValueError: If the file is damaged, or of other runs.
        """
        if not files.exists(self.path):
            return 0, [replicas.read()]
        content = kept_arrays.read(self.path)
        self.owner.check(self.path, content, self.run)
        tensors = {name: torch.as_tensor(array) for name, array in content.arrays.items()}
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
        return int(content.facts["epochs"]), [
            snapshot.to(replicas.device) for snapshot in snapshots
        ]

    def keep(
        self,
        replicas: Replicas,
        optimiser: torch.optim.Optimizer,
        snapshots: list[torch.Tensor],
        epochs: int,
    ) -> None:
        """Write down where training stands, if it is time to.

        Raises:
            ValueError: If the folder is gone, or the system refuses.
        """
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
        manifests.confirm(self.folder / "manifest.json", self.owner)
        files.make_folder(self.path.parent, parents=False)
        facts = {"epochs": epochs, **self.owner.facts(self.run)}
        kept_arrays.write(self.path, arrays, facts)

    def drop(self) -> None:
        """Remove the file: training is finished and kept elsewhere."""
        files.remove(self.path)


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }
