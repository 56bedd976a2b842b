"""Tests of `jumpretrain.affinities`: against graphtools, and two clusters far apart."""

import cases
import graphtools
import numpy as np
import pytest
from scipy.sparse import csgraph

from jumpretrain import affinities, distances
from jumpretrain.embedding import embed


def test_affinities_equal_graphtools_on_the_raw_weights():
    runs = cases.bundles()
    rows = runs.points() - runs.points().mean(axis=0)
    wanted = graphtools.Graph(rows, knn=5, decay=40, distance="cosine", verbose=0).kernel
    apart = distances.from_gram(distances.gram(runs), "cosine", "mean")
    found = affinities.alpha_decay(apart, 5, 40)
    np.testing.assert_allclose(found.toarray(), wanted.toarray(), atol=1e-9)


def duplicated():
    line = np.repeat(np.arange(20.0), 4)
    return np.abs(line[:, None] - line)


@pytest.mark.parametrize(("knn", "decay"), [(5, 40), (60, 2), (1, 0.5), (3, 40)])
@pytest.mark.parametrize("points", ["bundles", "duplicated"])
def test_affinities_have_graphtools_bits_also_where_points_coincide(points, knn, decay):
    runs = cases.bundles()
    apart = distances.from_gram(distances.gram(runs)) if points == "bundles" else duplicated()
    words = {"precomputed": "distance", "knn": knn, "decay": decay, "verbose": 0}
    with np.errstate(all="ignore"):
        wanted = graphtools.Graph(apart.copy(), **words).kernel
    found = affinities.alpha_decay(apart, knn, decay)
    np.testing.assert_array_equal(found.toarray(), wanted)
    assert found.nnz == np.count_nonzero(wanted)


def test_two_far_clusters_are_two_pieces_and_one_when_joined():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 3)) + np.repeat([[0, 0, 0], [500, 0, 0]], 20, axis=0)
    runs = cases.placed(points, runs=4)
    apart = distances.from_gram(distances.gram(runs))
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
