"""Against graphtools, and two clusters far apart."""

import tracemalloc

import graphtools
import numpy as np
import pytest
from scipy.sparse import csgraph
from scipy.spatial.distance import pdist, squareform
from support import cases

from jumpretrain.embedding import affinities
from jumpretrain.embedding import gram as module
from jumpretrain.embedding.embed import embed


def test_affinities_equal_graphtools_on_the_raw_weights():
    runs = cases.bundles()
    rows = runs.points() - runs.points().mean(axis=0)
    wanted = graphtools.Graph(rows, knn=5, decay=40, distance="cosine", verbose=0).kernel
    apart = module.from_gram(module.gram(runs), "cosine", "mean")
    found = affinities.alpha_decay(apart, 5, 40)
    np.testing.assert_allclose(found.toarray(), wanted.toarray(), atol=1e-9)


def duplicated():
    line = np.repeat(np.arange(20.0), 4)
    return np.abs(line[:, None] - line)


@pytest.mark.parametrize(("knn", "decay"), [(5, 40), (60, 2), (1, 0.5), (3, 40), (5, 0.05)])
@pytest.mark.parametrize("points", ["bundles", "duplicated"])
def test_affinities_have_graphtools_bits_also_where_points_coincide(points, knn, decay):
    runs = cases.bundles()
    apart = module.from_gram(module.gram(runs)) if points == "bundles" else duplicated()
    words = {"precomputed": "distance", "knn": knn, "decay": decay, "verbose": 0}
    with np.errstate(all="ignore"):
        wanted = graphtools.Graph(apart.copy(), **words).kernel
    found = affinities.alpha_decay(apart, knn, decay)
    np.testing.assert_array_equal(found.toarray(), wanted)
    assert found.nnz == np.count_nonzero(wanted)


def test_very_slow_decay_reaches_across_any_distance():
    apart = np.array([[0.0, 1, 1e12], [1, 0, 1e12], [1e12, 1e12, 0]])
    found = affinities.alpha_decay(apart, 1, 0.05).toarray()
    wanted = (np.exp(-(10.0 ** (12 * 0.05))) + np.exp(-1)) / 2
    np.testing.assert_allclose(found[2], [wanted, wanted, 1])
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize(("decay", "most"), [(40, 1), (2, 4.5)])
def test_few_matrices_are_held_however_wide_the_kernel(decay, most):
    apart = squareform(pdist(np.random.default_rng(0).normal(size=(3000, 20))))
    tracemalloc.start()
    found = affinities.alpha_decay(apart, 5, decay)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most * apart.nbytes
    assert (found.nnz == apart.size) == (decay == 2)


def test_two_far_clusters_are_two_pieces_and_one_when_joined():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 3)) + np.repeat([[0, 0, 0], [500, 0, 0]], 20, axis=0)
    runs = cases.placed(points, runs=4)
    apart = module.from_gram(module.gram(runs))
    affinity = affinities.alpha_decay(apart, 5, 40)
    assert embed(runs, metric="euclidean", connect=None).components == 2
    assert affinities.joined(affinity, apart, None) is affinity
    bridged = affinities.joined(affinity, apart)
    assert affinities.pieces(bridged).max() == 0
    added = np.argwhere(np.triu((bridged - affinity).toarray()))
    nearest = np.unravel_index(apart[:20, 20:].argmin(), (20, 20))
    assert added.tolist() == [[nearest[0], nearest[1] + 20]]
    assert bridged[tuple(added[0])] == np.exp(-1)
    assert (bridged != bridged.T).nnz == 0
    assert csgraph.connected_components(bridged.toarray())[0] == 1
