"""Place points in the plane, given their affinities or distances: PHATE, MDS, t-SNE, UMAP."""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Literal, TypeAlias

import numpy as np
import phate as phate_package
from numpy.typing import NDArray
from scipy import sparse
from sklearn.manifold import TSNE, smacof

from jumpretrain.embedding import affinities
from jumpretrain.embedding.gram import Metric, principal

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        import umap as umap_package
except ModuleNotFoundError:
    umap_package = None

__all__ = ["Solver", "check", "collect_messages", "mds", "phate", "tsne", "umap"]

ALONE = threading.RLock()
"""Held by the thread that has the process's standard output and warnings."""
Solver: TypeAlias = Literal["smacof", "sgd"]

LEAST_SPREAD = 1e-6
UMAP_NEIGHBOURS = 15


def check(method: str, perplexity: float, count: int) -> None:
    """Refuse what a method cannot lay out, before any work.

    Raises:
        ValueError: If a method needs more points, or is not installed.
    """
    if method == "tsne" and not 0 < perplexity < count:
        raise ValueError(
            f"perplexity must lie between 0 and the {count} points, but is {perplexity}; "
            "take a smaller one"
        )
    if method == "umap" and umap_package is None:
        raise ValueError(
            'method="umap" needs umap-learn, which is not installed; pip install jumpretrain[umap]'
        )
    if method == "umap" and count <= UMAP_NEIGHBOURS:
        raise ValueError(f"UMAP needs more than {UMAP_NEIGHBOURS} points, but there are {count}")


def phate(
    affinity: Any,
    metric: Metric,
    t: int | Literal["auto"],
    seed: int,
    components: int,
    solver: Solver,
    landmarks: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Walk at random along affinities and place points by how they see the others then.

    Args:
        affinity: Symmetric affinities, 1 on the diagonal (N, N), sparse.
        metric: Distance between potentials that MDS keeps.
        t: Steps of the walk; `"auto"` is the knee of the von Neumann entropy.
        seed: Seed of the MDS.
        components: Dimensions d.
        solver: How metric MDS is solved.
        landmarks: Into how many clusters of points, L at most, the walk is gathered; None for
            none.

    Returns:
        Coordinates (N, d), potentials -log(P^t + 1e-7) in nats (N, N), and t. With landmarks,
        walk and MDS are between them, and a point has the mean of their coordinates and
        potentials (N, L), weighted by its affinities for their points, as in PHATE's package.
    """
    operator = phate_package.PHATE(
        n_components=components,
        n_landmark=landmarks,
        knn=1,
        knn_dist="precomputed_affinity",
        mds_dist=metric,
        mds_solver=solver,
        n_jobs=1,
        random_state=int(seed),
        verbose=0,
        thresh=0,
    )
    with warnings.catch_warnings():  # pieces are counted and reported as Embedding.components
        warnings.filterwarnings("ignore", "Graph is disconnected", RuntimeWarning)
        operator.fit(affinity.toarray() if landmarks is None else sparse.csr_matrix(affinity))
    if t == "auto":
        entropy = phate_package.vne.compute_von_neumann_entropy(operator.diff_op)
        t = int(phate_package.vne.find_knee_point(entropy))
    operator.set_params(t=t)
    potential = np.asarray(operator.diff_potential, dtype=np.float64)
    _check_spread(potential, affinities.pieces(affinity), t)
    return np.asarray(operator.transform()), potential, t


def mds(distances: NDArray[np.float64], seed: int, components: int) -> NDArray[np.float64]:
    """Place points by metric MDS (SMACOF), from classical scaling on.

    Returns:
        Coordinates (N, d).
    """
    start = principal(-0.5 * distances**2, components=components)
    placed, _ = smacof(distances, n_components=components, init=start, n_init=1, random_state=seed)
    return np.asarray(placed)


def tsne(
    distances: NDArray[np.float64], seed: int, components: int, perplexity: float
) -> NDArray[np.float64]:
    """Place points by t-SNE, from a random start.

    Returns:
        Coordinates (N, d).
    """
    placer = TSNE(
        n_components=components,
        perplexity=perplexity,
        metric="precomputed",
        init="random",
        method="barnes_hut" if components < 4 else "exact",
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(placer.fit_transform(distances))


def umap(distances: NDArray[np.float64], seed: int, components: int) -> NDArray[np.float64]:
    """Place points by UMAP with 15 neighbours, its default.

    Returns:
        Coordinates (N, d).
    """
    placer = umap_package.UMAP(
        n_components=components,
        n_neighbors=UMAP_NEIGHBOURS,
        metric="precomputed",
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(placer.fit_transform(distances))


@contextmanager
def collect_messages() -> Iterator[list[str]]:
    """Keep what packages print, log and warn of, instead of letting it through.

    PHATE logs through "graphtools", whose handlers hold the stdout of the day they were made.

    Yields:
        The list that holds one message a line afterwards.
    """
    messages: list[str] = []
    printed = io.StringIO()
    handlers = [
        handler
        for handler in logging.getLogger("graphtools").handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    streams = [handler.stream for handler in handlers]
    with ALONE, warnings.catch_warnings(record=True) as caught, redirect_stdout(printed):
        warnings.simplefilter("always")
        for handler in handlers:
            handler.stream = printed  # setStream flushes the former one, which may be closed
        try:
            yield messages
        finally:
            for handler, stream in zip(handlers, streams, strict=True):
                handler.stream = stream
    messages += [line.strip() for line in printed.getvalue().splitlines()]
    messages += [str(warning.message) for warning in caught]


def _check_spread(potential: NDArray[np.float64], piece: NDArray[np.intp], t: int) -> None:
    spread = max(
        np.ptp(potential[piece == name], axis=0).max() for name in range(int(piece.max()) + 1)
    )
    if spread < LEAST_SPREAD:
        raise ValueError(
            f"potentials must differ by more than rounding, but after t={t} steps of the walk "
            f"they differ by {spread:.1e} within every connected piece; take a smaller t"
        )
