"""What was measured of the saddles between sampled states: basins, barriers, ways back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import AnyNumber, Whole
from jumpretrain.storage import files, folders
from jumpretrain.topology.diagrams import Diagrams
from jumpretrain.topology.merge_tree import MergeTree

__all__ = ["OPTIMUM", "Back", "Saddles"]

OPTIMUM = -1
"""Stands for the run of an optimum, which lies on none."""
SAVED = "jumpretrain saddles"


class Back(NamedTuple):
    """How high ways from the snapshots of R runs to their optimum climb above the higher end.

    `straight` (R, T) is the straight segment, `best` (R, T) the best way over measured saddles,
    which is never higher.
    """

    straight: NDArray[np.float64]
    best: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Saddles:
    """N states and the saddles between them: upper bounds, as a curved way may be lower.

    Attributes:
        tree: Which states become one basin at which height.
        metric: What the height is.
        labels: Network, run, direction, step size, data order and epoch of each state (N rows);
            optima have run -1.
        straight: The height of each merge on its straight segment (N - 1,): that of the tree,
            unless merges were bent.
        rises: How much higher each straight segment could be, if it is concave beside its highest
            point (N - 1,).
        to_optimum: The highest point of the straight segment between each state and its optimum
            (N,); NaN where there is none.
        evaluations: How many points were scored, beside those that the folder held.
        provenance: Everything needed to make it again.

    Raises:
        ValueError: If shapes disagree.
    """

    tree: MergeTree
    metric: str
    labels: pd.DataFrame
    straight: NDArray[np.float64]
    rises: NDArray[np.float64]
    to_optimum: NDArray[np.float64]
    evaluations: int
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = {name: len(getattr(self, name)) for name in ("labels", "to_optimum")}
        found |= {name: len(getattr(self, name)) + 1 for name in ("straight", "rises")}
        wrong = [name for name, length in found.items() if length != len(self)]
        if wrong:
            raise ValueError(
                f"the tree has {len(self)} states and {len(self) - 1} merges, but "
                f"{', '.join(wrong)} another number"
            )

    def __len__(self) -> int:
        return len(self.tree)

    @property
    def diagrams(self) -> Diagrams:
        """The bars of basins, for every statistic and distance that diagrams have."""
        return self.tree.diagrams

    @property
    def depth(self) -> float:
        """The total depth of all basins but the deepest: the summed length of the bars."""
        return self.diagrams.total_persistence(0, p=1)

    @checked
    def minimax(self, one: Whole, other: Whole) -> float:
        """Say how high the lowest way between two states climbs.

        Returns:
            The height of its highest point; a state's own where both are the same.

        Raises:
            ValueError: If there is no such state.
        """
        if max(one, other) >= len(self):
            raise ValueError(
                f"states are numbered from 0 to {len(self) - 1}, but one is {max(one, other)}"
            )
        return float(self.tree.minimax[one, other])

    @checked
    def basins(self, height: AnyNumber) -> NDArray[np.intp]:
        """Say in which basin each state lies when the water stands at a height.

        Returns:
            Numbers from 0, that of the basin with the lowest state (N,); -1 for states above.
        """
        return self.tree.basins(height)

    @property
    def bracket(self) -> NDArray[np.float64]:
        """The least and the largest height of each merge that further work could find (N - 1, 2).

        More states can join two basins no lower than the higher of their lowest states. Closer
        looks can raise the straight segment by `rises`, where it is concave at its highest point.
        """
        return np.stack([self.tree.floors, self.straight + self.rises], axis=1)

    @property
    def back(self) -> Back:
        """How high the ways from each snapshot back to the optimum of its network climb.

        Raises:
            ValueError: If states without an optimum were measured, or runs differ in length.
        """
        table = self.frame()
        table = table[table["run"] != OPTIMUM]
        runs = table.groupby(["network", "run"], sort=False).size()
        if runs.nunique() != 1 or table["straight"].isna().any():
            raise ValueError(
                "ways back lead from runs of one length to their optimum, but these states have "
                f"{int(self._optima().sum())} optima and runs of {sorted(set(runs))} snapshots; "
                "measure trajectories, with select(times=...) of one length"
            )
        columns = (table[name].to_numpy().reshape(len(runs), -1) for name in ("straight", "best"))
        return Back(*columns)

    def frame(self) -> pd.DataFrame:
        """Lay out the states with their heights and ways to their optimum.

        Returns:
            One row a state: its labels, its `height`, and how far the `straight` and the `best`
            way to its optimum climb above the higher end.
        """
        heights, best = self.tree.values, np.full(len(self), np.nan)
        networks, optima = self.labels["network"].to_numpy(), np.flatnonzero(self._optima())
        ends = heights.copy()
        for optimum in optima.tolist():
            own = networks == networks[optimum]
            ends[own] = np.maximum(ends[own], heights[optimum])
            best[own] = self.tree.minimax[optimum, own]
        return self.labels.assign(
            height=heights, straight=self.to_optimum - ends, best=best - ends
        )

    def statistics(self) -> dict[str, float]:
        """Summarise basins, and the ways back from the last snapshot of each run.

        Returns:
            `total_depth`, `deepest_basin`, `mean_leaf_edge`, the number of `basins`, and, where
            there are optima, `straight_way_back` and `best_way_back`, means over the runs.
        """
        bars = self.diagrams.finite(0)
        found = {
            "total_depth": self.depth,
            "deepest_basin": float(np.diff(bars).max(initial=0.0)),
            "mean_leaf_edge": self.tree.mean_leaf_edge,
            "basins": float(len(bars) + len(self.diagrams.essential(0))),
        }
        if self._optima().any():
            straight, best = (ways[:, -1].mean() for ways in self.back)
            found |= {"straight_way_back": float(straight), "best_way_back": float(best)}
        return found

    def _optima(self) -> NDArray[np.bool_]:
        return np.asarray(self.labels["run"] == OPTIMUM)

    @checked
    def save(self, file: str | Path) -> None:
        """Write everything into a file that `load` reads.

        Raises:
            ValueError: If there is such a file already.
        """
        if files.exists(Path(file)):
            raise ValueError(f"{file} is there already; name another file")
        arrays = {name: getattr(self, name) for name in ("straight", "rises", "to_optimum")}
        arrays |= {
            f"tree.{part.name}": getattr(self.tree, part.name) for part in fields(self.tree)
        }
        arrays |= {f"labels.{name}": self.labels[name].to_numpy() for name in self.labels}
        told = {name: getattr(self, name) for name in ("metric", "evaluations", "provenance")}
        told |= {"kind": SAVED, "columns": list(self.labels)}
        folders.write_arrays(Path(file), arrays, told)

    @classmethod
    @checked
    def load(cls, file: str | Path) -> Saddles:
        """Read what `save` wrote.

        Returns:
            The saddles.

        Raises:
            ValueError: If the file holds no saddles, or is damaged.
        """
        arrays, told = folders.read_arrays(Path(file))
        if told.pop("kind", None) != SAVED:
            raise ValueError(f"{file} must hold saddles that `save` wrote, but holds others")
        columns = told.pop("columns")
        parts: dict[str, dict[str, Any]] = {"tree": {}, "labels": {}, "": told}
        for name, array in arrays.items():
            part, _, key = name.rpartition(".")
            parts[part][key] = array
        tree, labels = MergeTree(**parts["tree"]), pd.DataFrame(parts["labels"])[columns]
        return cls(tree=tree, labels=labels, **parts[""])
