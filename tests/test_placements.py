"""Tests of `jumpretrain.placements`: planar points, over-diffusion, what packages have to say."""

import contextlib
import dataclasses
import io

import cases
import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

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


def planar(turn=0.0):
    """Two straight runs in the plane, about evenly spaced and far apart."""
    along = np.cumsum(np.random.default_rng(0).uniform(0.9, 1.1, size=24)).reshape(2, 12)
    points = np.r_[np.c_[along[0], 0 * along[0]], np.c_[along[1], 0 * along[1] + 40]] + 1
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return placed(points @ rotation, runs=2)


def test_pca_and_mds_keep_planar_distances():
    runs = planar(turn=0.3)
    for method in ("pca", "mds"):
        found = embed(runs, method, metric="euclidean")
        np.testing.assert_allclose(pdist(found.coordinates), pdist(runs.points()), rtol=1e-6)
        np.testing.assert_allclose(squareform(pdist(runs.points())), found.distances, atol=1e-6)
        assert found.potential is None
        assert found.diffusion_time is None


def test_phates_remarks_are_kept_and_not_printed():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        found = embed(bundles(), mds_solver="sgd", connect=None)
    assert printed.getvalue() == ""
    assert any("SGD-MDS" in line for line in found.provenance["messages"])


def test_the_papers_settings_have_pieces_and_no_remarks():
    found = embed(bundles(), connect=None)
    assert found.components > 1
    assert found.provenance["messages"] == []


def test_over_diffusion_names_t():
    with pytest.raises(ValueError, match=r"after t=100000 steps .* take a smaller t"):
        embed(bundles(times=8), knn=30, t=100_000)


def test_umap_is_named_with_its_extra_where_it_is_missing():
    try:
        import umap  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(ValueError, match=r"pip install jumpretrain\[umap\]"):
            embed(bundles(times=8), "umap")
    else:
        assert np.isfinite(embed(bundles(times=8), "umap").coordinates).all()
