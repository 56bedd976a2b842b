"""Arrange panels of several networks on one figure, which `canvas.png` turns into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jumpretrain.embedding import Embedding
from jumpretrain.homology import Diagrams
from jumpretrain.plots import canvas, curves, persistence, scatters
from jumpretrain.plots.canvas import caption, note
from jumpretrain.trajectories import Trajectories

__all__ = []
