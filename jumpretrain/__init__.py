"""Explore the loss landscape around trained networks: jump, retrain, embed, compare.

The names below are loaded when they are first used, so that importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.5.0"

_HOMES = {
    "Comparison": "comparison.compare",
    "Connector": "connectivity.connector",
    "Cost": "studies.costs",
    "Dataset": "tasks.data",
    "Diagrams": "topology.diagrams",
    "Embedding": "embedding.embed",
    "Execution": "execution.execution",
    "Path": "paths.path",
    "Recipe": "engine.recipe",
    "Runs": "engine.train",
    "Study": "studies.design",
    "Task": "tasks.task",
    "Trajectories": "sampling.trajectories",
    "align": "connectivity.alignment",
    "bias_report": "paths.biases",
    "branches": "ensembles.branches",
    "certificate": "paths.certificate",
    "compare": "comparison.compare",
    "connect": "connectivity.connect",
    "cycles": "ensembles.cycles",
    "describe": "comparison.describe",
    "embed": "embedding.embed",
    "ensemble": "ensembles.ensemble",
    "estimate": "studies.costs",
    "estimate_study": "studies.costs",
    "evaluate": "engine.evaluate",
    "explore": "studies.explore",
    "gauss_length": "paths.outputs",
    "grid": "sampling.baselines",
    "initialise": "networks.initialisation",
    "interpolate": "paths.interpolate",
    "interpolation_grid": "paths.interpolate",
    "isotropy": "curvature.tunnels",
    "layerwise": "paths.interpolate",
    "linearity": "paths.certificate",
    "plane_through": "curvature.sections",
    "radial_cut": "curvature.sections",
    "rays": "sampling.baselines",
    "released": "topology.homology",
    "rips": "topology.homology",
    "Saddles": "topology.saddles",
    "measured_sublevel": "topology.measure",
    "merge_tree": "topology.merge_tree",
    "saddles": "topology.measure",
    "sample": "sampling.sample",
    "sharp_directions": "curvature.sharp_directions",
    "signals": "paths.signals",
    "sublevel": "topology.homology",
    "threshold_dimension": "curvature.threshold_dimension",
    "train": "engine.train",
    "train_toys": "toys.bias_toy",
    "tunnel_width": "curvature.tunnels",
    "verify": "storage.verify",
    "walk": "sampling.baselines",
    "weight_distance": "states.layers",
}
_MODULES = {
    "controls": "paths.controls",
    "data": "tasks.data",
    "geometry": "comparison.geometry",
    "measures": "tasks.measures",
    "models": "networks.models",
    "plots": "plots",
    "statistics": "comparison.hypothesis_tests",
    "wedges": "toys.wedges",
}

__all__ = sorted((*_HOMES, *_MODULES))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"jumpretrain.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(import_module(f"jumpretrain.{_HOMES[name]}"), name)
    raise AttributeError(f"jumpretrain has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
