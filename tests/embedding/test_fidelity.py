"""Faithful and scrambled layouts, scipy, small lines."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from support import cases

from jumpretrain.embedding import fidelity
from jumpretrain.embedding.embed import embed


def test_a_faithful_layout_has_fidelity_one():
    runs = cases.planar()
    found = embed(runs, "pca", metric="euclidean").fidelity(runs)
    assert found == pytest.approx(dict.fromkeys(found, 1.0), abs=1e-9)


def test_scrambled_layout_has_no_fidelity():
    runs = cases.bundles()
    found = embed(runs, "pca")
    order = np.random.default_rng(0).permutation(len(found.coordinates))
    scrambled = dataclasses.replace(found, coordinates=found.coordinates[order]).fidelity(runs)
    assert scrambled["continuity"] < 0.2
    assert scrambled["trustworthiness"] < 0.6
    assert abs(scrambled["rank_correlation_weights"]) < 0.1
    assert abs(scrambled["rank_correlation_along"]) < 0.2


def test_fidelity_knows_the_optimum_and_refuses_other_trajectories():
    runs = cases.bundles(times=8)
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


def test_correlation_along_is_the_mean_over_runs():
    rng = np.random.default_rng(3)
    points, run = rng.normal(size=(15, 2)), np.repeat(np.arange(3), 5)
    weights = squareform(pdist(rng.normal(size=(15, 7))))
    plane = squareform(pdist(points))
    each = [
        fidelity.rank_correlation(
            plane[np.ix_(some, some)], fidelity.path_distances(weights[np.ix_(some, some)])
        )
        for some in np.arange(15).reshape(3, 5)
    ]
    found = fidelity.describe_fidelity(points, weights, run, k=3)["rank_correlation_along"]
    assert found == pytest.approx(np.mean(each)) and abs(found - np.median(each)) > 1e-3
