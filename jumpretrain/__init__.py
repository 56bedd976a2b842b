"""Explore the loss landscape around trained networks: jump, retrain, embed, compare.

The names below are loaded when they are first used, so that importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.5.0"

_HOMES = {
    "Comparison": "comparison",
    "Connector": "connectors",
    "Cost": "costs",
    "Dataset": "data",
    "Diagrams": "homology",
    "Embedding": "embedding",
    "Execution": "execution",
    "Path": "paths",
    "Recipe": "recipe",
    "Runs": "training",
    "Study": "design",
    "Task": "task",
    "Trajectories": "trajectories",
    "align": "alignment",
    "bias_report": "biases",
    "branches": "restarts",
    "certificate": "straightness",
    "compare": "comparison",
    "connect": "connecting",
    "cycles": "restarts",
    "describe": "description",
    "embed": "embedding",
    "ensemble": "ensembles",
    "estimate": "costs",
    "estimate_study": "costs",
    "evaluate": "evaluating",
    "explore": "study",
    "gauss_length": "responses",
    "grid": "sampling",
    "initialise": "initialisation",
    "interpolate": "interpolation",
    "interpolation_grid": "interpolation",
    "isotropy": "tunnels",
    "layerwise": "interpolation",
    "linearity": "straightness",
    "plane_through": "sections",
    "radial_cut": "sections",
    "rays": "sampling",
    "released": "homology",
    "rips": "homology",
    "sample": "sampling",
    "sharp_directions": "curvature",
    "signals": "propagation",
    "sublevel": "homology",
    "threshold_dimension": "thresholds",
    "train": "training",
    "train_toys": "homogeneity",
    "tunnel_width": "tunnels",
    "walk": "sampling",
    "weight_distance": "layers",
}
_MODULES = ("controls", "data", "geometry", "measures", "models", "plots", "statistics", "wedges")

__all__ = sorted((*_HOMES, *_MODULES))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"jumpretrain.{name}")
    if name in _HOMES:
        return getattr(import_module(f"jumpretrain.{_HOMES[name]}"), name)
    raise AttributeError(f"jumpretrain has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
