"""Tests of `jumpretrain.affinities`: against graphtools, and two clusters far apart."""

import dataclasses

import cases
import graphtools
import numpy as np

from jumpretrain import affinities, distances
from jumpretrain.embedding import embed


def bundles(times=20, width=30, seed=0):
    """Nine jumps along three directions, with noise enough to tell all snapshots apart."""
    return cases.arms(step_sizes=(0.5, 0.75, 1.0), times=times, width=width, seed=seed, decay=0.95)


def placed(points, runs):
    """Trajectories that visit given points (N, P) in order, around an optimum of zero."""
    states = points.reshape(runs, -1, points.shape[1])
    shape = cases.arms(
        directions=runs, step_sizes=(1.0,), times=states.shape[1], width=points.shape[1]
    )
    return dataclasses.replace(shape, optimum=np.zeros(points.shape[1]), states=states)


def test_affinities_equal_graphtools_on_the_raw_weights():
    runs = bundles()
    rows = runs.points() - runs.points().mean(axis=0)
    wanted = graphtools.Graph(rows, knn=5, decay=40, distance="cosine", verbose=0).kernel
    apart = distances.from_gram(distances.gram(runs), "cosine", "mean")
    np.testing.assert_allclose(affinities.alpha_decay(apart, 5, 40), wanted.toarray(), atol=1e-9)


def test_two_far_clusters_are_two_pieces_and_one_when_joined():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 3)) + np.repeat([[0, 0, 0], [500, 0, 0]], 20, axis=0)
    runs = placed(points, runs=4)
    apart = distances.from_gram(distances.gram(runs))
    affinity = affinities.alpha_decay(apart, 5, 40)
    assert embed(runs, metric="euclidean", connect=None).components == 2
    bridged = affinities.joined(affinity, apart)
    assert affinities.pieces(bridged).max() == 0
    added = np.argwhere(np.triu(bridged != affinity))
    nearest = np.unravel_index(apart[:20, 20:].argmin(), (20, 20))
    assert added.tolist() == [[nearest[0], nearest[1] + 20]]
    assert bridged[tuple(added[0])] == np.exp(-1)
    np.testing.assert_array_equal(bridged, bridged.T)
