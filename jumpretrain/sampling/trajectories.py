"""The states that retraining passed through after each jump, with what was measured there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Values
from jumpretrain.storage import files, folders, manifests
from jumpretrain.storage.lazy_states import LazyStates
from jumpretrain.storage.locks import INDEX
from jumpretrain.tasks.task import digest

__all__ = ["Trajectories"]

STATUSES = ("ok", "diverged", "missing")


@dataclass(frozen=True)
class Trajectories:
    """R runs of T snapshots around one optimum; N = R T points, run-major.

    Points, values and labels share one order: run 0 from its jump to its last snapshot, then
    run 1, and so on. The optimum is point 0 only where `optimum=True` is asked for.

    Attributes:
        optimum: The state that training reached (S,).
        states: The recorded states (R, T, S); `states[:, 0]` are the jumps. Read lazily.
        direction: Seed of each run's direction (R,).
        step_size: Length of each jump, in filter norms (R,); 0 is the control.
        order_seed: Seed of each run's order of the data (R,).
        epoch: When each snapshot was taken, in epochs (T,).
        metrics: Values by name, each (R, T).
        optimum_metrics: Values of the optimum by name.
        status: `"ok"`, `"diverged"` or `"missing"` for each run (R,).
        weight_count: P, how many entries of a state are weights; they come first.
        provenance: Everything needed to make the object again.

    Raises:
        ValueError: If shapes disagree; the message names them.
    """

    optimum: NDArray[Any]
    states: NDArray[Any] | LazyStates
    direction: NDArray[np.int64]
    step_size: NDArray[np.float64]
    order_seed: NDArray[np.int64]
    epoch: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]
    optimum_metrics: Mapping[str, float]
    status: NDArray[np.str_]
    weight_count: int
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.states.shape) != 3:
            raise ValueError(f"states must be (R, T, S), but are {self.states.shape}")
        runs, times, width = self.states.shape
        wanted: dict[str, tuple[int, ...]] = {
            "optimum": (width,),
            "direction": (runs,),
            "step_size": (runs,),
            "order_seed": (runs,),
            "epoch": (times,),
            "status": (runs,),
        }
        found = {name: np.shape(getattr(self, name)) for name in wanted}
        wanted |= {f"metrics['{name}']": (runs, times) for name in self.metrics}
        found |= {f"metrics['{name}']": np.shape(value) for name, value in self.metrics.items()}
        for name, shape in wanted.items():
            if found[name] != shape:
                raise ValueError(
                    f"states are {self.states.shape} (R, T, S), but {name} is {found[name]}, "
                    f"not {shape}"
                )
        if not 0 < self.weight_count <= width:
            raise ValueError(f"weight_count must lie in 1..{width}, but is {self.weight_count}")
        unknown = sorted(set(self.status.tolist()) - set(STATUSES))
        if unknown:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, but holds {unknown}")

    def __len__(self) -> int:
        return len(self.direction)

    @property
    def weights(self) -> NDArray[Any]:
        """The trainable part of the states (R, T, P)."""
        return self.states[:, :, : self.weight_count]

    @checked
    def points(self, optimum: bool = False) -> NDArray[Any]:
        """List the weights of all points.

        Returns:
            One row a point (N, P), or (N + 1, P) with the optimum first.
        """
        rows = self.weights.reshape(-1, self.weight_count)
        return np.vstack([self.optimum[: self.weight_count], rows]) if optimum else rows

    @checked
    def values(self, metric: str, optimum: bool = False) -> NDArray[np.float64]:
        """List a metric at all points.

        Returns:
            One value a point (N,), or (N + 1,) with the optimum's first.

        Raises:
            KeyError: If the metric was not recorded; the message names those that were.
        """
        if metric not in self.metrics:
            raise KeyError(f"no metric {metric!r}; recorded: {', '.join(sorted(self.metrics))}")
        rows = np.asarray(self.metrics[metric], dtype=np.float64).reshape(-1)
        return np.r_[self.optimum_metrics[metric], rows] if optimum else rows

    @checked
    def labels(self, optimum: bool = False) -> pd.DataFrame:
        """Say of every point which run, direction, step size, data order and epoch it has.

        Returns:
            One row a point; the optimum, where asked for, comes first with run -1, direction -1,
            step size 0, order -1 and epoch 0.
        """
        runs, times = self.states.shape[:2]
        table = pd.DataFrame({
            "run": np.repeat(np.arange(runs), times),
            "direction": np.repeat(self.direction, times),
            "step_size": np.repeat(self.step_size, times),
            "order_seed": np.repeat(self.order_seed, times),
            "epoch": np.tile(self.epoch, runs),
        })
        if not optimum:
            return table
        first = pd.DataFrame([(-1, -1, 0.0, -1, 0.0)], columns=table.columns)
        return pd.concat([first, table], ignore_index=True)

    def frame(self) -> pd.DataFrame:
        """Lay out labels and metrics as one tidy table.

        Returns:
            One row a point, in the order of `points`, with the run's status.
        """
        table = self.labels()
        table["status"] = np.repeat(self.status, len(self.epoch))
        return table.assign(**{name: self.values(name) for name in self.metrics})

    @checked
    def select(
        self, runs: Values | slice | None = None, times: Values | slice | None = None
    ) -> Trajectories:
        """Keep some runs and snapshots, by mask or index; values stay with their points.

        Returns:
            The selection; states on disk are not read.

        Raises:
            ValueError: If a mask has another length, or an index lies beyond the ends.
        """
        chosen = _positions(runs, len(self), "runs")
        kept = _positions(times, len(self.epoch), "times")
        if isinstance(self.states, LazyStates):
            states: Any = self.states.select(chosen.tolist(), kept)
        else:
            states = self.states[np.ix_(chosen, kept)]
        return replace(
            self,
            states=states,
            epoch=self.epoch[kept],
            metrics={name: value[np.ix_(chosen, kept)] for name, value in self.metrics.items()},
            **{
                name: getattr(self, name)[chosen]
                for name in ("direction", "step_size", "order_seed", "status")
            },
        )

    def jumps(self) -> Trajectories:
        """Keep what was sampled by jumping: step size above 0, and neither diverged nor missing.

        Returns:
            The selection that embedding, homology and geometry work on.
        """
        return self.select((self.step_size > 0) & (self.status == "ok"))

    @checked
    def save(self, folder: str | Path) -> None:
        """Write everything into a folder that `load` reads.

        Stopped, the same call goes on from there.

        Raises:
            ValueError: If the folder holds trajectories already, perhaps the ones that are read.
        """
        folder = folders.located(folder)
        names = ("optimum", "direction", "step_size", "order_seed", "epoch")
        told = ("weight_count", "optimum_metrics", "provenance")
        index = {name: np.asarray(getattr(self, name)) for name in names}
        facts = {name: getattr(self, name) for name in told}
        values = digest(*index.values(), *map(np.asarray, self.metrics.values()))
        owner = manifests.Owner(manifests.identity({"facts": facts, "arrays": values}))
        with folders.lock(folder):
            left = self._left(folder, owner)
            write_index(folder, index, facts, owner)
            for run in left:
                path, mine = folders.run_path(folder, run), owner.facts(run)
                metrics = {name: value[run] for name, value in self.metrics.items()}
                folders.write_run(path, self.states[run], metrics, owner=mine)

    def _left(self, folder: Path, owner: manifests.Owner) -> list[int]:
        """List the runs that a folder lacks.

        Returns:
            Their numbers.

        Raises:
            ValueError: If it lacks none, or holds others.
        """
        runs = np.flatnonzero(self.status != "missing").tolist()
        paths = {run: folders.run_path(folder, run) for run in runs}
        left = [run for run, path in paths.items() if not files.exists(path)]
        there = files.exists(folder / INDEX)
        other = there and folders.read_arrays(folder / INDEX)[1].get("owner") != owner.design
        if other or (there and not left) or files.exists(folder / "manifest.json"):
            raise ValueError(f"{folder} already holds trajectories; name another folder")
        for run in set(runs) - set(left):
            folders.scan(paths[run], owner, run)
        return left

    @classmethod
    @checked
    def load(cls, folder: str | Path) -> Trajectories:
        """Read a folder that `save` or `sample` made, also one whose sampling was interrupted.

        Returns:
            The trajectories; states stay on disk until they are used, and runs that are not
            finished have status `"missing"`.

        Raises:
            ValueError: If the folder holds no trajectories, or one of its files is damaged or
                another's.
        """
        folder = folders.located(folder)
        if not files.exists(folder / INDEX):
            raise ValueError(f"{folder} must hold sampled trajectories, but has no {INDEX}")
        arrays, facts = folders.read_arrays(folder / INDEX)
        path, told = folder / "manifest.json", facts.pop("owner", None)
        owner = manifests.owner_of(path) if files.exists(path) else None
        if owner is None and told is not None:
            owner = manifests.Owner(told)
        elif owner is not None and told is not None:
            owner.match(folder / INDEX, told)
        states, _, metrics, status = folders.read_runs(
            folder, len(arrays["direction"]), arrays["epoch"], owner
        )
        measured = {name: float(value) for name, value in facts.pop("optimum_metrics").items()}
        if files.exists(path):
            manifest = manifests.read(path) | states.remarks
            facts["provenance"].setdefault("training", manifest)
        content: dict[str, Any] = arrays | facts
        return cls(
            **content, states=states, metrics=metrics, status=status, optimum_metrics=measured
        )


def _positions(index: Any, count: int, name: str) -> NDArray[np.intp]:
    key = np.asarray(slice(None) if index is None else index)
    if not key.size and key.dtype.kind == "f":
        key = key.astype(np.intp)  # NumPy takes an empty list for floats
    if key.dtype.kind not in "Obiu" or key.ndim > 1:  # O is a slice
        raise TypeError(
            f"choose by mask, numbers or a slice, but these are {key.dtype} {key.shape}"
        )
    if key.dtype.kind == "b" and key.shape != (count,):
        raise ValueError(
            f"a mask needs one entry for each of the {count} {name}, but has the shape "
            f"{key.shape}; make one of the trajectories that are selected from"
        )
    beyond = key[(key >= count) | (key < -count)] if key.dtype.kind in "iu" else np.empty(0)
    if len(beyond):
        raise ValueError(
            f"{name} are numbered 0..{count - 1}, or from the end -1..-{count}, but one chosen is "
            f"{beyond[0]}; leave it out"
        )
    chosen: NDArray[np.intp] = np.arange(count)[key[()]]
    return chosen


def write_index(
    folder: Path,
    arrays: Mapping[str, NDArray[Any]],
    facts: Mapping[str, Any],
    owner: manifests.Owner,
) -> None:
    """Write everything but the states and metrics of the runs, unless it is there.

    Raises:
        ValueError: If what is there is damaged, or another's.
    """
    path = folder / INDEX
    if not files.exists(path):
        folders.write_arrays(path, arrays, {**facts, "owner": owner.design})
        return
    owner.match(path, folders.read_arrays(path)[1].get("owner"))
