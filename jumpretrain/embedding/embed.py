"""Lay trajectories out in the plane: PHATE, and the methods it is compared with.

Everything is computed from inner products of differences from the optimum, so the weights may be
larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from numbers import Integral
from typing import Annotated, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from jumpretrain.embedding import affinities, fidelity, layouts, neighbours
from jumpretrain.embedding.gram import Centre, Metric, check_choice, from_gram, principal
from jumpretrain.embedding.gram import gram as multiply
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.arrays import as_reals
from jumpretrain.execution.bounds import Count, Positive, Within
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.trajectories import Trajectories

__all__ = ["Embedding", "Method", "embed", "fidelity_table"]

Method: TypeAlias = Literal["phate", "pca", "mds", "tsne", "umap"]
Connect: TypeAlias = Literal["mst"] | None

MANY, LANDMARKS = 5000, 2000
PACKAGES = ("numpy", "scipy", "scikit-learn", "phate", "graphtools")


@dataclass(frozen=True)
class Embedding:
    """N points in d dimensions, with what they were made from.

    Attributes:
        coordinates: The layout (N, d).
        potential: PHATE's diffusion potentials in nats (N, N), one row a point, or (N, L) with
            landmarks; None for other methods. Rows are features: their entries are no distances.
        distances: Distances the layout stands for (N, N): Euclidean ones between rows of the
            potential for PHATE, the metric's own for other methods.
        labels: Run, direction, step size, data order and epoch of each point (N rows).
        components: Connected pieces of the neighbour graph (alpha-decay affinities) before
            joining.
        diffusion_time: How many steps PHATE's random walk took; None for other methods.
        provenance: All choices, versions of packages, and what the packages had to say
            (`messages`).

    Raises:
        ValueError: If shapes disagree; the message names them.
    """

    coordinates: NDArray[np.float64]
    potential: NDArray[np.float64] | None
    distances: NDArray[np.float64]
    labels: pd.DataFrame
    components: int
    diffusion_time: int | None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.coordinates)
        found = {"distances": self.distances.shape, "labels": (len(self.labels),)}
        wanted: dict[str, tuple[int, ...]] = {"distances": (count, count), "labels": (count,)}
        if self.potential is not None:
            found["potential"], wanted["potential"] = self.potential.shape[:1], (count,)
        for name, shape in wanted.items():
            if found[name] != shape:
                raise ValueError(
                    f"coordinates are {self.coordinates.shape} (N, d), but {name} is "
                    f"{found[name]}, not {shape}"
                )

    @checked
    @standard_settings()
    def graph(self, k: Count = 20, connect: Connect = "mst") -> Any:
        """Connect nearest neighbours by `distances`; unless `connect` is None, in one piece.

        Returns:
            The graph: a symmetric scipy.sparse adjacency (N, N) without loops.
        """
        return neighbours.knn_graph(self.distances, k, connect)

    @checked
    @standard_settings()
    def fidelity(
        self, trajectories: Trajectories, gram: NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """Measure what the layout keeps of the trajectories it was made from.

        Args:
            trajectories: Those that were embedded.
            gram: What `gram.gram` returned for them, if it is at hand.

        Returns:
            `continuity`, `trustworthiness`, `rank_correlation_weights` and
            `rank_correlation_along`, as `fidelity.describe_fidelity` defines them.

        Raises:
            ValueError: If these are other trajectories.
        """
        optimum = bool(self.labels["run"].iloc[0] == -1)
        if not self.labels.equals(trajectories.labels(optimum)):
            raise ValueError(
                "fidelity needs the trajectories that were embedded, but these have other labels; "
                "give the same selection, such as .jumps()"
            )
        gram = multiply(trajectories, optimum) if gram is None else _own(gram, len(self.labels))
        run = self.labels["run"].to_numpy()
        return fidelity.describe_fidelity(self.coordinates, from_gram(gram), run)


@checked
@standard_settings()
def embed(
    trajectories: Trajectories,
    method: Method = "phate",
    metric: Metric = "cosine",
    centre: Centre = "mean",
    knn: Count = 5,
    connect: Connect = "mst",
    decay: Positive = affinities.DECAY,
    t: int | Literal["auto"] = "auto",
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0,
    optimum: bool = False,
    components: Count = 2,
    mds_solver: layouts.Solver = "smacof",
    perplexity: Positive = 30,
    gram: NDArray[np.float64] | None = None,
    landmarks: int | Literal["auto"] | None = "auto",
) -> Embedding:
    """Lay the points of trajectories out; `.jumps()` is what one embeds.

    PHATE (arXiv 2102.00485 section 2.1) makes alpha-decay affinities of the distances, joins their
    pieces, walks t steps, and places points by metric MDS of the potentials. The paper's settings
    are `metric="cosine", centre="mean", knn=5, connect=None`; affinities are then in pieces, often
    one a run, that know nothing of each other. Two things that its PHATE 1.0.6 did are left out: a
    PCA to 100 dimensions before all else (some potentials of 640 points differed by .4 to 4.4
    nats, as measured), and its own SGD. It set no seed. One thread computes: equal choices give
    equal bits. A choice that is unknown or does not suit the points is a ValueError before any
    work, a walk so long that all points look alike is one that names t.

    Args:
        trajectories: R runs of T snapshots, none diverged or missing.
        method: `"phate"`; `"pca"`, of Euclidean distances whatever the metric; `"mds"`; `"tsne"`;
            or `"umap"`, if umap-learn is installed.
        metric: Distance in weight space, and PHATE's between potentials: `"cosine"` as in the
            paper, or `"euclidean"`.
        centre: Where the cosine's angles are measured: at the mean of the points as in the paper,
            or at the optimum.
        knn: Which nearest neighbour sets the bandwidth of a point's affinities.
        connect: `"mst"` joins the pieces along the minimum spanning tree, None leaves them.
        decay: How steeply affinities fall beyond the bandwidth.
        t: Steps of the walk, up to 1e9; `"auto"` is the knee of the von Neumann entropy.
        seed: Seed of the layout.
        optimum: Whether the optimum is point 0.
        components: Dimensions d of the layout.
        mds_solver: How PHATE's metric MDS is solved: `"smacof"`, which converges, or `"sgd"`, the
            default of PHATE 2.0 (another algorithm of that name in the paper's PHATE 1.0.6).
        perplexity: Neighbours that t-SNE attends to.
        gram: What `gram.gram(trajectories, optimum)` returned, if it is at hand.
        landmarks: Into how many clusters of points, at most, PHATE's walk is gathered; None for
            none, which takes minutes and more from 5,000 points on. `"auto"`: 2,000 beyond 5,000
            points, else none.

    Returns:
        The embedding.
    """
    labels = trajectories.labels(optimum)
    choices: dict[str, Any] = {
        "method": method,
        "metric": metric,
        "centre": centre,
        "knn": knn,
        "connect": connect,
        "decay": decay,
        "t": t,
        "seed": seed,
        "optimum": optimum,
        "components": components,
        "mds_solver": mds_solver,
        "perplexity": perplexity,
        "landmarks": _landmarks(landmarks, len(labels)) if method == "phate" else None,
    }
    _check(choices, len(labels))
    with layouts.collect_messages() as messages:
        gram = multiply(trajectories, optimum) if gram is None else _own(gram, len(labels))
        distances = from_gram(gram, metric, centre)
        affinity = affinities.alpha_decay(distances, knn, decay)
        pieces = int(affinities.pieces(affinity).max()) + 1
        potential, time = None, None
        if method == "phate":
            affinity = affinities.joined(affinity, distances, connect)
            del gram, distances  # each as large as the one that comes
            coordinates, potential, time = layouts.phate(
                affinity, metric, t, seed, components, mds_solver, choices["landmarks"]
            )
            distances = squareform(pdist(potential))
        else:
            coordinates = _plain(method, gram, distances, seed, components, perplexity)
    versions = {name: metadata.version(name) for name in PACKAGES}
    return Embedding(
        coordinates=np.asarray(coordinates, dtype=np.float64),
        potential=potential,
        distances=distances,
        labels=labels,
        components=pieces,
        diffusion_time=time,
        provenance=choices | {"versions": versions, "messages": messages},
    )


def _own(gram: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    products = as_reals(gram, "gram")
    if products.shape != (count, count):
        raise ValueError(
            f"gram must be the inner products of these points, ({count}, {count}), but is "
            f"{products.shape}; leave it out, or compute it of the same trajectories"
        )
    return products


def _landmarks(asked: int | Literal["auto"] | None, count: int) -> int | None:
    if asked == "auto":
        return LANDMARKS if count > MANY else None
    return int(asked) if isinstance(asked, Integral) else asked


def _plain(
    method: Method,
    gram: NDArray[np.float64],
    distances: NDArray[np.float64],
    seed: int,
    components: int,
    perplexity: float,
) -> NDArray[np.float64]:
    makers: dict[Method, Callable[[], NDArray[np.float64]]] = {
        "pca": partial(principal, gram, components=components),
        "mds": partial(layouts.mds, distances, seed, components),
        "tsne": partial(layouts.tsne, distances, seed, components, perplexity),
        "umap": partial(layouts.umap, distances, seed, components),
    }
    return makers[method]()


@standard_settings()
def fidelity_table(
    trajectories: Trajectories,
    methods: tuple[Method, ...] = ("phate", "pca", "mds", "tsne"),
    seed: int = 0,
    metric: Metric = "cosine",
    centre: Centre = "mean",
    knn: int = 5,
    connect: Connect = "mst",
) -> pd.DataFrame:
    """Compare what several methods keep of the same trajectories.

    Returns:
        One row a method, one column a measure of `Embedding.fidelity`.
    """
    gram = multiply(trajectories)
    rows = {
        method: embed(
            trajectories, method, metric, centre, knn, connect, seed=seed, gram=gram
        ).fidelity(trajectories, gram)
        for method in methods
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def _check(choices: dict[str, Any], count: int) -> None:
    options = {
        "method": Method,
        "metric": Metric,
        "centre": Centre,
        "mds_solver": layouts.Solver,
    }
    allowed = {name: get_args(option) for name, option in options.items()} | {
        "connect": ("mst", None)
    }
    for name, values in allowed.items():
        check_choice(name, choices[name], values)
    if count < 4:
        raise ValueError(f"an embedding needs at least 4 points, but there are {count}")
    if choices["metric"] == "cosine" and choices["centre"] == "optimum" and choices["optimum"]:
        raise ValueError(
            "the optimum has no angle seen from itself, but it is to be a point with "
            'metric="cosine" and centre="optimum"; use centre="mean" or leave it out'
        )
    t = choices["t"]
    if t != "auto" and not (isinstance(t, int) and 0 < t <= affinities.LONGEST):
        raise ValueError(
            f't must be "auto" or a whole number in 1..{affinities.LONGEST}, beyond which '
            f"rounding adds up, but is {t!r}"
        )
    if not 0 < choices["components"] < count:
        raise ValueError(
            f"components must lie in 1..{count - 1} for {count} points, but is "
            f"{choices['components']}"
        )
    few, landmarks = choices["components"], choices["landmarks"]
    if landmarks is not None and not (isinstance(landmarks, int) and few < landmarks < count):
        raise ValueError(
            f'landmarks must be "auto", None or a number in {few + 1}..{count - 1} for {count} '
            f"points in {few} dimensions, but are {landmarks!r}"
        )
    affinities.check(choices["knn"], choices["decay"], count)
    layouts.check(choices["method"], choices["perplexity"], count)
