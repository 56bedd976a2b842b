"""Unfinished training, kept every few epochs: networks, optimiser and snapshots so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from jumpretrain.engine.evaluate import measure, metric_names
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.replicas import Looped, Stacked
from jumpretrain.storage import arrays as kept_arrays
from jumpretrain.storage import files, manifests
from jumpretrain.tasks.task import Task

__all__ = ["Checkpoint", "Ends", "check_goals"]

Replicas = Looped | Stacked


class Ends:
    """Where and when the training of K networks ended, each at its own time.

    Attributes:
        epochs: Epochs after which each ended (K,); 0 where it goes on.
        states: Where they ended (K, S); anything where they go on.
    """

    def __init__(self, task: Task, recipe: Recipe, states: torch.Tensor) -> None:
        self.task, self.recipe = task, recipe
        self.epochs = torch.zeros(len(states), dtype=torch.int64)
        self.states = states.clone()

    @property
    def all(self) -> bool:
        """Whether all have ended."""
        return bool(self.epochs.all())

    def epochs_left(self, done: int) -> Iterator[int]:
        """Count on as long as a network goes on.

        Yields:
            The number of each epoch.
        """
        for epoch in range(done, self.recipe.epochs):
            if self.all:
                return
            yield epoch

    def look(self, states: torch.Tensor, epochs: int) -> None:
        """End those that have reached what ends their training, after so many epochs."""
        going = torch.nonzero(self.epochs == 0).ravel()
        if self.recipe.until is None or not len(going):
            return
        values = measure(self.task, states[going].cpu().numpy())
        rows = going[torch.as_tensor(self.recipe.reached(values))]
        self.epochs[rows] = epochs
        self.states[rows] = states[rows]

    def over(self, states: torch.Tensor) -> torch.Tensor:
        """Put those that have ended back to where they did.

        Returns:
            The states (K, S).
        """
        ended = (self.epochs > 0).to(states.device)
        return torch.where(ended[:, None], self.states, states)

    def table(self) -> dict[str, NDArray[np.float64]]:
        """Say for each snapshot how many epochs its network was trained for.

        Returns:
            `epochs_trained` (K, T); nothing where training has no such end.
        """
        if self.recipe.until is None:
            return {}
        batches = self.recipe.batches(len(self.task.data.train_x))
        epochs = self.recipe.record_steps(batches) / batches
        ended = self.epochs.numpy()
        return {"epochs_trained": np.minimum(epochs, np.where(ended, ended, np.inf)[:, None])}


def check_goals(task: Task, recipe: Recipe) -> None:
    """Check that what ends training is measured.

    Raises:
        ValueError: If it is not.
    """
    unknown = [name for name in recipe.until or () if name not in metric_names(task)]
    if unknown:
        raise ValueError(
            f"until must name metrics of the task, but has {unknown[0]!r}; choose of "
            f"{', '.join(metric_names(task))}"
        )


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
        self, replicas: Replicas, optimiser: torch.optim.Optimizer, ends: Ends
    ) -> tuple[int, list[torch.Tensor]]:
        """Put networks and optimiser back to where they were kept.

        Args:
            replicas: The networks, as they set out.
            optimiser: Theirs, fresh.
            ends: Where they ended, fresh.

        Returns:
            How many epochs are done, and the snapshots until then, each (K, S).

        Raises:
            ValueError: If the file is damaged, or of other runs.
        """
        if not files.exists(self.path):
            return 0, [replicas.read().cpu()]
        content = kept_arrays.read(self.path)
        self.owner.check(self.path, content, self.run)
        tensors = {name: torch.as_tensor(array) for name, array in content.arrays.items()}
        snapshots = list(tensors.pop("snapshots"))
        if ends.recipe.until is not None:
            ends.epochs = tensors.pop("ends.epochs")
            ends.states = tensors.pop("ends.states").to(replicas.device)
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
        return int(content.facts["epochs"]), snapshots

    def keep(
        self,
        replicas: Replicas,
        optimiser: torch.optim.Optimizer,
        snapshots: list[torch.Tensor],
        ends: Ends,
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
        if ends.recipe.until is not None:
            tensors |= {"ends.epochs": ends.epochs, "ends.states": ends.states}
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
