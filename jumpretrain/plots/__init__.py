"""Draw one result on given Axes: result in, Axes out.

Every function takes `ax=None`. Without Axes it makes a figure of its own, apart from pyplot, with
the choices behind the numbers printed underneath; `ax.figure.savefig(path)` keeps it. Nothing here
shows a window or changes matplotlib's settings. Begin with `scatters` and `canvas`.
"""

from jumpretrain.plots import sheets
from jumpretrain.plots.breakdowns import classes, layers, signals
from jumpretrain.plots.canvas import caption
from jumpretrain.plots.connectors import connector, deviations, label_change
from jumpretrain.plots.contrasts import comparison, fidelity
from jumpretrain.plots.curves import distance, loss
from jumpretrain.plots.paths import paths, spread
from jumpretrain.plots.persistence import diagram, range_law
from jumpretrain.plots.saddles import back, basins, disconnectivity, profile
from jumpretrain.plots.scatters import trajectories
from jumpretrain.plots.sections import section, spectrum

__all__ = [
    "back",
    "basins",
    "caption",
    "classes",
    "comparison",
    "connector",
    "deviations",
    "diagram",
    "disconnectivity",
    "distance",
    "fidelity",
    "label_change",
    "layers",
    "loss",
    "paths",
    "profile",
    "range_law",
    "section",
    "sheets",
    "signals",
    "spectrum",
    "spread",
    "trajectories",
]
