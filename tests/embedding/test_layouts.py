"""Planar points, over-diffusion, what packages have to say."""

import contextlib
import io

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from support import cases

from jumpretrain.embedding import layouts
from jumpretrain.embedding.embed import embed


def test_pca_and_mds_keep_planar_distances():
    runs = cases.planar(turn=0.3)
    for method in ("pca", "mds"):
        found = embed(runs, method, metric="euclidean")
        np.testing.assert_allclose(pdist(found.coordinates), pdist(runs.points()), rtol=1e-6)
        np.testing.assert_allclose(squareform(pdist(runs.points())), found.distances, atol=1e-6)
        assert found.potential is None
        assert found.diffusion_time is None


def test_phates_remarks_are_kept_and_not_printed():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        found = embed(cases.bundles(), mds_solver="sgd", connect=None)
    assert printed.getvalue() == ""
    assert any("SGD-MDS" in line for line in found.provenance["messages"])


def test_the_papers_settings_have_pieces_and_no_remarks():
    found = embed(cases.bundles(), connect=None)
    assert found.components > 1
    assert found.provenance["messages"] == []


def test_over_diffusion_names_t():
    with pytest.raises(ValueError, match=r"after t=100000 steps .* take a smaller t"):
        embed(cases.bundles(times=8), knn=30, t=100_000)


def test_umap_is_named_with_its_extra_where_it_is_missing():
    try:
        import umap  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(ValueError, match=r"pip install jumpretrain\[umap\]"):
            embed(cases.bundles(times=8), "umap")
    else:
        assert np.isfinite(embed(cases.bundles(times=8), "umap").coordinates).all()


def test_only_where_every_piece_is_flat_has_the_walk_been_too_long():
    potential = np.array([[1.0, 5], [1, 5], [2, 7], [3, 7]])
    piece = np.array([0, 0, 1, 1])
    layouts._check_spread(potential, piece, 9)
    with pytest.raises(ValueError, match="after t=9 steps"):
        layouts._check_spread(potential[[0, 1, 2, 2]], piece, 9)
