"""Draw one result on given Axes: result in, Axes out.

Every function takes `ax=None`. Without Axes it makes a figure of its own, apart from pyplot, with
the choices behind the numbers printed underneath; `ax.figure.savefig(path)` keeps it. Nothing here
shows a window or changes matplotlib's settings.
"""

from jumpretrain.plots import sheets
from jumpretrain.plots.canvas import caption
from jumpretrain.plots.contrasts import comparison, fidelity
from jumpretrain.plots.curves import distance, loss
from jumpretrain.plots.persistence import diagram, range_law
from jumpretrain.plots.scatters import trajectories

__all__ = [
    "caption",
    "comparison",
    "diagram",
    "distance",
    "fidelity",
    "loss",
    "range_law",
    "sheets",
    "trajectories",
]
