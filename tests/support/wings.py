"""The wings of the package and which may import which: each those before it, never one behind."""

WINGS = (
    "storage execution networks contents tasks states engine sampling paths connectivity "
    "curvature ensembles embedding topology comparison toys plots studies reports cli"
).split()

NUMPY = {"embedding", "topology", "comparison", "toys", "plots", "reports", "cli"}
"""Wings without torch: they call those above them."""

ONLY = {
    "torch": {*WINGS} - NUMPY,
    "matplotlib": {"plots"},
    "phate": {"embedding"},
    "graphtools": {"embedding"},
    "ripser": {"topology"},
    "persim": {"topology"},
    "jinja2": {"reports"},
    "tyro": {"cli", "studies"},
    "plotly": {"reports"},
}
"""Wings in which a library is imported."""
