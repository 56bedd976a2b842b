"""Tests of `jumpretrain.embedding`, `affinities`, `layouts` and `fidelity`."""

import contextlib
import dataclasses
import io
import random

import cases
import graphtools
import numpy as np
import pandas as pd
import phate
import pytest
import torch
from scipy.sparse import csgraph
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group, spearmanr

from jumpretrain import affinities, distances, fidelity, graphs
from jumpretrain.embedding import Embedding, embed, fidelity_table

METHODS = ("phate", "pca", "mds", "tsne")


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


@pytest.fixture(scope="module")
def joined():
    return embed(bundles())


def test_affinities_equal_graphtools_on_the_raw_weights():
    runs = bundles()
    rows = runs.points() - runs.points().mean(axis=0)
    wanted = graphtools.Graph(rows, knn=5, decay=40, distance="cosine", verbose=0).kernel
    apart = distances.from_gram(distances.gram(runs), "cosine", "mean")
    np.testing.assert_allclose(affinities.alpha_decay(apart, 5, 40), wanted.toarray(), atol=1e-9)


def test_the_papers_settings_equal_phate_on_the_raw_weights():
    runs = bundles(times=15, width=120)
    flat = np.random.default_rng(0).normal(size=(40, 120)) / 5
    states = runs.optimum + (runs.states - runs.optimum) @ flat.T @ flat
    runs = dataclasses.replace(runs, states=states)
    found = embed(runs, connect=None, mds_solver="sgd", seed=3)
    operator = phate.PHATE(
        knn_dist="cosine", mds_dist="cosine", random_state=3, n_jobs=1, verbose=0
    )
    with pytest.warns(RuntimeWarning, match="disconnected"):
        wanted = operator.fit_transform(runs.points())
    assert operator.n_pca < min(runs.points().shape)
    assert found.diffusion_time == operator.optimal_t
    np.testing.assert_allclose(found.potential, operator.diff_potential, atol=1e-6)
    assert procrustes(found.coordinates, wanted)[2] < 1e-9


def test_pieces_are_counted_before_they_are_joined(joined):
    apart = embed(bundles(), connect=None)
    assert apart.components == joined.components > 1
    reach = apart.potential < -np.log(2e-7)
    assert csgraph.connected_components(reach)[0] == apart.components
    assert csgraph.connected_components(joined.potential < -np.log(2e-7))[0] == 1


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


def test_joining_leaves_a_connected_graph_alone():
    runs = bundles()
    loose, tight = (embed(runs, knn=60, connect=connect) for connect in ("mst", None))
    assert loose.components == 1
    np.testing.assert_array_equal(loose.potential, tight.potential)


def test_phates_distances_are_euclidean_between_potentials(joined):
    wanted = squareform(pdist(joined.potential))
    np.testing.assert_array_equal(joined.distances, wanted)
    assert joined.graph(k=3, connect="mst").shape == wanted.shape
    assert graphs.components(joined.graph(k=3)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_give_equal_bits(method):
    runs = bundles(times=8)
    first, second = (embed(runs, method, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.coordinates, second.coordinates)
    np.testing.assert_array_equal(first.distances, second.distances)
    assert first.provenance == second.provenance


def test_the_random_state_of_the_process_is_untouched():
    legacy, python, tensors = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    for method in METHODS:
        embed(bundles(times=8), method)
    assert all(np.array_equal(a, b) for a, b in zip(legacy, np.random.get_state(), strict=True))  # noqa: NPY002
    assert python == random.getstate()
    assert torch.equal(tensors, torch.get_rng_state())


def test_the_seed_changes_tsne_but_not_pca():
    runs = bundles(times=8)
    assert not np.array_equal(
        embed(runs, "tsne").coordinates, embed(runs, "tsne", seed=1).coordinates
    )
    np.testing.assert_array_equal(
        embed(runs, "pca").coordinates, embed(runs, "pca", seed=1).coordinates
    )


def test_an_isometry_of_the_weights_keeps_pca_and_potentials(joined):
    runs = bundles()
    turn = ortho_group.rvs(30, random_state=np.random.default_rng(1))
    turned = dataclasses.replace(runs, optimum=runs.optimum @ turn, states=runs.states @ turn)
    np.testing.assert_allclose(embed(turned).potential, joined.potential, atol=1e-5)
    before, after = (embed(case, "pca").coordinates for case in (runs, turned))
    np.testing.assert_allclose(pdist(before), pdist(after), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_the_optimum_comes_first_where_asked_for(method):
    runs = bundles(times=8)
    found = embed(runs, method, metric="euclidean", optimum=True)
    pd.testing.assert_frame_equal(found.labels, runs.labels(optimum=True))
    assert found.coordinates.shape == (1 + len(runs) * 8, 2)
    assert np.isfinite(found.coordinates).all()


def test_pca_and_mds_keep_planar_distances():
    runs = planar(turn=0.3)
    for method in ("pca", "mds"):
        found = embed(runs, method, metric="euclidean")
        np.testing.assert_allclose(pdist(found.coordinates), pdist(runs.points()), rtol=1e-6)
        np.testing.assert_allclose(squareform(pdist(runs.points())), found.distances, atol=1e-6)
        assert found.potential is None
        assert found.diffusion_time is None


def test_a_faithful_layout_has_fidelity_one():
    runs = planar()
    found = embed(runs, "pca", metric="euclidean").fidelity(runs)
    assert found == pytest.approx(dict.fromkeys(found, 1.0), abs=1e-9)


def test_consecutive_snapshots_of_arms_are_neighbours(joined):
    keeps = joined.fidelity(bundles())
    assert keeps["continuity"] > 0.8
    labels = joined.labels
    near = joined.graph(k=5, connect=None).tocoo()
    same = labels["direction"].to_numpy()[near.row] == labels["direction"].to_numpy()[near.col]
    assert same.mean() > 0.9


def test_scrambled_layout_has_no_fidelity():
    runs = bundles()
    found = embed(runs, "pca")
    order = np.random.default_rng(0).permutation(len(found.coordinates))
    scrambled = dataclasses.replace(found, coordinates=found.coordinates[order]).fidelity(runs)
    assert scrambled["continuity"] < 0.2
    assert scrambled["trustworthiness"] < 0.6
    assert abs(scrambled["rank_correlation_weights"]) < 0.1
    assert abs(scrambled["rank_correlation_along"]) < 0.2


def test_fidelity_knows_the_optimum_and_refuses_other_trajectories():
    runs = bundles(times=8)
    found = embed(runs, "pca", metric="euclidean", optimum=True)
    assert set(found.fidelity(runs)) == set(embed(runs, "pca").fidelity(runs))
    with pytest.raises(ValueError, match="needs the trajectories that were embedded"):
        found.fidelity(runs.select(runs=[0, 1]))
    with pytest.raises(ValueError, match="at least 3 snapshots a run"):
        embed(runs.select(times=[0, 1]), "pca").fidelity(runs.select(times=[0, 1]))
    with pytest.raises(ValueError, match="below half of 72 points"):
        fidelity.describe_fidelity(
            np.zeros((72, 2)), np.zeros((72, 72)), np.repeat(range(9), 8), 36
        )


def test_continuity_asks_for_mutual_neighbours():
    line = np.array([0.0, 1.0, 1.5, 1.75])
    plane = np.abs(line[:, None] - line)
    assert fidelity.continuity(plane, np.zeros(4, dtype=int), k=1) == pytest.approx(1 / 3)
    assert fidelity.continuity(plane, np.array([0, 0, 1, 1]), k=1) == pytest.approx(1 / 2)


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    first, second = (squareform(pdist(rng.integers(0, 4, size=(15, 2)))) for _ in range(2))
    wanted = spearmanr(squareform(first), squareform(second)).statistic
    assert fidelity.rank_correlation(first, second) == pytest.approx(wanted)
    assert fidelity.rank_correlation(first, 1 - np.eye(15)) == 0


def test_path_distances_follow_the_path():
    corner = squareform(pdist([[0, 0], [3, 0], [3, 4]]))
    np.testing.assert_allclose(fidelity.path_distances(corner), [[0, 3, 7], [3, 0, 4], [7, 4, 0]])


def test_fidelity_table_has_one_row_a_method():
    runs = bundles(times=8)
    table = fidelity_table(runs, METHODS, seed=2)
    assert table.index.tolist() == list(METHODS)
    assert np.isfinite(table.to_numpy()).all()
    for method in ("phate", "pca"):
        assert table.loc[method].to_dict() == embed(runs, method, seed=2).fidelity(runs)


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


def test_choices_and_versions_are_recorded(joined):
    assert joined.provenance["metric"] == "cosine"
    assert joined.provenance["connect"] == "mst"
    assert joined.provenance["versions"]["phate"] == phate.__version__
    assert joined.diffusion_time > 0
    assert embed(bundles(), t=7).diffusion_time == 7


def test_over_diffusion_names_t():
    with pytest.raises(ValueError, match=r"after t=100000 steps .* take a smaller t"):
        embed(bundles(times=8), knn=30, t=100_000)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"method": "isomap"}, "method must be one of 'phate', 'pca', 'mds', 'tsne', 'umap'"),
        ({"metric": "manhattan"}, "metric must be one of 'euclidean', 'cosine'"),
        ({"centre": "origin"}, "centre must be one of 'optimum', 'mean'"),
        ({"connect": "all"}, "connect must be one of 'mst', None"),
        ({"mds_solver": "adam"}, "mds_solver must be one of 'smacof', 'sgd'"),
        ({"knn": 71}, r"knn must lie in 1\.\.70 for 72 points, but is 71"),
        ({"knn": 0}, "knn must lie in"),
        ({"decay": 0}, "decay must be positive"),
        ({"t": 0}, 't must be "auto" or a whole number above 0, but is 0'),
        ({"t": 2.5}, "but is 2.5"),
        ({"components": 72}, r"components must lie in 1\.\.71"),
        ({"centre": "optimum", "optimum": True}, "the optimum has no angle seen from itself"),
        ({"method": "tsne", "perplexity": 72}, "perplexity must lie between 0 and the 72 points"),
    ],
)
def test_bad_choices_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        embed(bundles(times=8), **choices)


def test_umap_is_named_with_its_extra_where_it_is_missing():
    try:
        import umap  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(ValueError, match=r"pip install jumpretrain\[umap\]"):
            embed(bundles(times=8), "umap")
    else:
        assert np.isfinite(embed(bundles(times=8), "umap").coordinates).all()


def test_bad_trajectories_are_refused():
    runs = bundles(times=8)
    with pytest.raises(ValueError, match="at least 4 points, but there are 3"):
        embed(runs.select(runs=[0, 1, 2], times=[0]), knn=1)
    with pytest.raises(ValueError, match="1 of 9 diverged or are missing"):
        embed(dataclasses.replace(runs, status=np.r_[["missing"], ["ok"] * 8]))
    with pytest.raises(ValueError, match="a cosine needs points away from the centre"):
        embed(cases.arms(), centre="optimum")


def test_an_embedding_checks_its_shapes(joined):
    for name in ("distances", "potential", "labels"):
        with pytest.raises(ValueError, match=f"but {name} is"):
            dataclasses.replace(joined, **{name: getattr(joined, name)[:-1]})
    assert isinstance(joined, Embedding)
