"""Against PHATE on the raw weights, bits, pieces, bad input."""

import dataclasses
import random
import sys
import threading

import numpy as np
import pandas as pd
import phate
import pytest
import torch
from scipy.sparse import csgraph
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group
from support import cases

from jumpretrain.embedding import neighbours
from jumpretrain.embedding.embed import Embedding, embed, fidelity_table
from jumpretrain.topology.homology import released

METHODS = ("phate", "pca", "mds", "tsne")


@pytest.fixture(scope="module")
def joined():
    return embed(cases.bundles())


def test_the_papers_settings_equal_phate_on_the_raw_weights():
    runs = cases.bundles(times=15, width=120)
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
    apart = embed(cases.bundles(), connect=None)
    assert apart.components == joined.components > 1
    reach = apart.potential < -np.log(2e-7)
    assert csgraph.connected_components(reach)[0] == apart.components
    assert csgraph.connected_components(joined.potential < -np.log(2e-7))[0] == 1


def test_joining_leaves_a_connected_graph_alone():
    runs = cases.bundles()
    loose, tight = (embed(runs, knn=60, connect=connect) for connect in ("mst", None))
    assert loose.components == 1
    np.testing.assert_array_equal(loose.potential, tight.potential)


def test_phates_distances_are_euclidean_between_potentials(joined):
    wanted = squareform(pdist(joined.potential))
    np.testing.assert_array_equal(joined.distances, wanted)
    assert joined.graph(k=3, connect="mst").shape == wanted.shape
    assert neighbours.components(joined.graph(k=3)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_give_equal_bits(method):
    runs = cases.bundles(times=8)
    first, second = (embed(runs, method, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.coordinates, second.coordinates)
    np.testing.assert_array_equal(first.distances, second.distances)
    assert first.provenance == second.provenance


def test_the_random_state_of_the_process_is_untouched():
    legacy, python, tensors = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    for method in METHODS:
        embed(cases.bundles(times=8), method)
    assert all(np.array_equal(a, b) for a, b in zip(legacy, np.random.get_state(), strict=True))  # noqa: NPY002
    assert python == random.getstate()
    assert torch.equal(tensors, torch.get_rng_state())


def test_the_seed_changes_tsne_but_not_pca():
    runs = cases.bundles(times=8)
    assert not np.array_equal(
        embed(runs, "tsne").coordinates, embed(runs, "tsne", seed=1).coordinates
    )
    np.testing.assert_array_equal(
        embed(runs, "pca").coordinates, embed(runs, "pca", seed=1).coordinates
    )


def test_an_isometry_of_the_weights_keeps_pca_and_potentials(joined):
    runs = cases.bundles()
    turn = ortho_group.rvs(30, random_state=np.random.default_rng(1))
    turned = dataclasses.replace(runs, optimum=runs.optimum @ turn, states=runs.states @ turn)
    np.testing.assert_allclose(embed(turned).potential, joined.potential, atol=1e-5)
    before, after = (embed(case, "pca").coordinates for case in (runs, turned))
    np.testing.assert_allclose(pdist(before), pdist(after), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_the_optimum_comes_first_where_asked_for(method):
    runs = cases.bundles(times=8)
    found = embed(runs, method, metric="euclidean", optimum=True)
    pd.testing.assert_frame_equal(found.labels, runs.labels(optimum=True))
    assert found.coordinates.shape == (1 + len(runs) * 8, 2)
    assert np.isfinite(found.coordinates).all()


def test_consecutive_snapshots_of_arms_are_neighbours(joined):
    keeps = joined.fidelity(cases.bundles())
    assert keeps["continuity"] > 0.8
    labels = joined.labels
    near = joined.graph(k=5, connect=None).tocoo()
    same = labels["direction"].to_numpy()[near.row] == labels["direction"].to_numpy()[near.col]
    assert same.mean() > 0.9


def test_landmarks_gather_points_and_are_recorded():
    runs = cases.arms(directions=4, step_sizes=(0.5, 0.75, 1.0), times=25, decay=0.95)
    whole = embed(runs)
    few = embed(runs, landmarks=150)
    assert whole.provenance["landmarks"] is None and few.provenance["landmarks"] == 150
    assert whole.potential.shape == (300, 300) and 100 < few.potential.shape[1] <= 150
    np.testing.assert_allclose(few.distances, squareform(pdist(few.potential)), atol=1e-12)
    assert few.components == whole.components
    assert neighbours.components(few.graph(k=5)) == 1
    np.testing.assert_array_equal(few.coordinates, embed(runs, landmarks=150).coordinates)
    near = few.labels.loc[edges_of(few), "direction"].to_numpy().reshape(-1, 2)
    assert (near[:, 0] == near[:, 1]).mean() > 0.9
    assert embed(runs, "pca", landmarks=150).provenance["landmarks"] is None
    with pytest.raises(ValueError, match=r"square potential.*\(300, \d+\); .* landmarks=None"):
        released(runs, few)


def test_the_number_of_landmarks_may_be_any_whole_number():
    runs = cases.arms(directions=2, step_sizes=(0.5, 1.0), times=20)
    one, other = embed(runs, landmarks=np.int64(40)), embed(runs, landmarks=40)
    np.testing.assert_array_equal(one.coordinates, other.coordinates)
    assert type(one.provenance["landmarks"]) is int


def test_landmarks_equal_phates_on_the_raw_weights():
    runs = cases.arms(directions=4, step_sizes=(0.5, 0.75, 1.0), times=25, decay=0.95)
    found = embed(runs, landmarks=150, connect=None, t=20)
    words = {"n_landmark": 150, "knn_dist": "cosine", "mds_dist": "cosine", "t": 20}
    operator = phate.PHATE(**words, random_state=0, n_jobs=1, verbose=0, mds_solver="smacof")
    with pytest.warns(RuntimeWarning, match="disconnected"):
        wanted = operator.fit_transform(runs.points() - runs.points().mean(axis=0))
    assert abs(found.potential.shape[1] - operator.diff_potential.shape[1]) < 10
    theirs = squareform(pdist(operator.diff_potential))  # a few points join other clusters
    assert np.corrcoef(found.distances.ravel(), theirs.ravel())[0, 1] > 0.999
    assert procrustes(found.coordinates, wanted)[2] < 0.01


def edges_of(embedding):
    return neighbours.edges(embedding.graph(k=5, connect=None)).ravel()


def test_fidelity_table_has_one_row_a_method():
    runs = cases.bundles(times=8)
    table = fidelity_table(runs, METHODS, seed=2)
    assert table.index.tolist() == list(METHODS)
    assert np.isfinite(table.to_numpy()).all()
    for method in ("phate", "pca"):
        assert table.loc[method].to_dict() == embed(runs, method, seed=2).fidelity(runs)


def test_choices_and_versions_are_recorded(joined):
    assert joined.provenance["metric"] == "cosine"
    assert joined.provenance["connect"] == "mst"
    assert joined.provenance["versions"]["phate"] == phate.__version__
    assert joined.diffusion_time > 0
    assert embed(cases.bundles(), t=7).diffusion_time == 7


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"method": "isomap"}, "method must be"),
        ({"metric": "manhattan"}, "metric must be"),
        ({"centre": "origin"}, "centre must be"),
        ({"connect": "all"}, "connect must be"),
        ({"mds_solver": "adam"}, "mds_solver must be"),
        ({"knn": 71}, r"knn must lie in 1\.\.70 for 72 points, but is 71"),
        ({"knn": 0}, "knn must be"),
        ({"decay": 0}, "decay must be"),
        ({"t": 0}, 't must be "auto" or a whole number in 1..1000000000, beyond which'),
        ({"t": 10**30}, "rounding adds up, but is 10000"),
        ({"t": 2.5}, "but is 2.5"),
        ({"components": 72}, r"components must lie in 1\.\.71"),
        ({"centre": "optimum", "optimum": True}, "the optimum has no angle seen from itself"),
        (
            {"landmarks": 72},
            r'landmarks must be "auto", None or a number in 3\.\.71 for 72 points',
        ),
        ({"landmarks": 2}, r"in 3\.\.71 for 72 points in 2 dimensions, but are 2"),
        ({"landmarks": "all"}, "landmarks must be"),
        ({"method": "tsne", "perplexity": 72}, "perplexity must lie between 0 and the 72 points"),
    ],
)
def test_bad_choices_are_refused(choices, message):
    with pytest.raises((ValueError, TypeError), match=message):
        embed(cases.bundles(times=8), **choices)


def test_bad_trajectories_are_refused():
    runs = cases.bundles(times=8)
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


def test_embeddings_made_in_several_threads_at_once_are_those_of_one(arms):
    def work(seed):
        found[seed] = embed(arms, seed=seed, knn=3).coordinates

    alone, found, output = {}, {}, sys.stdout
    for seed in range(4):
        work(seed)
    alone, found = found, {}
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.stdout is output
    for seed in range(4):
        np.testing.assert_array_equal(found[seed], alone[seed])
