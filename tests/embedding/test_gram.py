"""Against direct differences, scipy and plain PCA."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from support import cases

from jumpretrain.embedding import gram as module
from jumpretrain.sampling.trajectories import Trajectories


def points_at(points, optimum):
    """Trajectories of one snapshot-run (1, N) at given points."""
    few = cases.arms(directions=1, step_sizes=(1.0,), times=len(points), width=points.shape[1])
    return dataclasses.replace(few, optimum=optimum, states=points[None])


def test_gram_equals_the_definition(arms):
    offsets = arms.points() - arms.optimum
    np.testing.assert_allclose(module.gram(arms), offsets @ offsets.T, rtol=1e-12, atol=1e-12)


def test_gram_with_the_optimum_puts_it_first_at_zero(arms):
    gram = module.gram(arms, optimum=True)
    assert not gram[0].any()
    assert not gram[:, 0].any()
    np.testing.assert_array_equal(gram[1:, 1:], module.gram(arms))
    direct = cdist(arms.points(optimum=True), arms.points(optimum=True))
    np.testing.assert_allclose(module.from_gram(gram), direct, rtol=1e-6, atol=1e-7)


def test_close_float32_states_far_from_zero_keep_six_digits():
    rng = np.random.default_rng(0)
    optimum = (100 + rng.normal(size=5000)).astype(np.float32)
    steps = rng.normal(size=(40, 5000))
    steps *= np.r_[30.0, np.full(39, 30.0 * 1e-4)][:, None]
    points = (optimum + np.cumsum(steps, axis=0)).astype(np.float32)
    found = module.from_gram(module.gram(points_at(points, optimum)))
    exact = squareform(pdist(points.astype(np.float64)))
    off = ~np.eye(40, dtype=bool)
    assert np.abs(found / np.where(off, exact, 1) - 1)[off].max() < 1e-6


@given(columns=st.integers(1, 40))
def test_blocks_of_any_size_give_the_same(columns):
    arms = cases.arms()
    np.testing.assert_allclose(
        module.gram(arms, columns=columns), module.gram(arms), rtol=1e-12, atol=1e-13
    )


def test_states_on_disk_give_the_same_bits(arms, tmp_path):
    arms.save(tmp_path)
    stored = Trajectories.load(tmp_path)
    np.testing.assert_array_equal(module.gram(stored, columns=7), module.gram(arms, columns=7))


def test_states_on_disk_are_never_in_memory_whole(tmp_path):
    cases.arms(width=100_000).save(tmp_path)
    stored = Trajectories.load(tmp_path)
    size = np.prod(stored.states.shape) * 8
    tracemalloc.start()
    module.gram(stored, columns=2_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 10


@pytest.mark.parametrize("entries", [1, 100, 2**20])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_blocks_of_rows_of_any_size_give_the_same_bits(arms, metric, entries, monkeypatch):
    gram = module.gram(arms.jumps())
    wanted = module.from_gram(gram, metric)
    monkeypatch.setattr(module, "ROW_ENTRIES", entries)
    np.testing.assert_array_equal(module.from_gram(gram, metric), wanted)
    rows = list(module.row_blocks(len(gram)))
    assert len(rows) == {1: 48, 100: 24, 2**20: 1}[entries]
    assert np.concatenate([np.arange(len(gram))[some] for some in rows]).tolist() == [*range(48)]


def test_only_weights_count_not_buffers(arms):
    wider = dataclasses.replace(
        arms,
        optimum=np.r_[arms.optimum, 5.0],
        states=np.concatenate([arms.states, np.ones((*arms.states.shape[:2], 1))], axis=2),
    )
    np.testing.assert_array_equal(module.gram(wider), module.gram(arms))


@pytest.mark.parametrize("centre", ["mean", "optimum"])
def test_cosine_is_scipys_after_centring(arms, centre):
    arms = arms.jumps()
    middle = arms.optimum if centre == "optimum" else arms.points().mean(axis=0)
    found = module.from_gram(module.gram(arms), "cosine", centre)
    rows = arms.points() - middle
    np.testing.assert_allclose(found, cdist(rows, rows, "cosine"), atol=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("centre", ["mean", "optimum"])
def test_distances_are_exactly_symmetric_with_zero_diagonal(arms, metric, centre):
    found = module.from_gram(module.gram(arms.jumps()), metric, centre)
    np.testing.assert_array_equal(found, found.T)
    assert not np.diag(found).any()
    assert found.min() >= 0


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_an_isometry_of_the_weights_changes_nothing(arms, metric):
    arms = arms.jumps()
    turn = ortho_group.rvs(30, random_state=np.random.default_rng(1))
    turned = dataclasses.replace(arms, optimum=arms.optimum @ turn, states=arms.states @ turn)
    for centre in ("mean", "optimum"):
        before, after = (
            module.from_gram(module.gram(case), metric, centre) for case in (arms, turned)
        )
        np.testing.assert_allclose(before, after, atol=1e-7 if metric == "euclidean" else 1e-12)


def test_principal_scores_are_pca(arms):
    found = module.principal(module.gram(arms), components=3)
    wanted = PCA(3, svd_solver="full").fit_transform(arms.points())
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=1e-9)


def test_all_principal_scores_reproduce_the_distances(arms):
    gram = module.gram(arms)
    scores = module.principal(gram)
    assert scores.shape[1] <= 30
    np.testing.assert_allclose(
        squareform(pdist(scores)), module.from_gram(gram), rtol=1e-6, atol=1e-7
    )


def test_principal_scores_around_the_optimum_reproduce_the_gram(arms):
    gram = module.gram(arms)
    scores = module.principal(gram, centre="optimum")
    np.testing.assert_allclose(scores @ scores.T, gram, atol=1e-10)


def test_bad_input_is_refused(arms):
    gram = module.gram(arms.jumps())
    with pytest.raises(ValueError, match="metric must be one of 'euclidean', 'cosine'"):
        module.from_gram(gram, "manhattan")
    with pytest.raises(ValueError, match="centre must be one of"):
        module.from_gram(gram, "cosine", "origin")
    with pytest.raises(ValueError, match="components must lie in 1"):
        module.principal(gram, components=len(gram) + 1)
    with pytest.raises(ValueError, match="point 0 lies on it"):
        module.from_gram(module.gram(arms), "cosine", "optimum")


def test_runs_that_diverged_or_hold_nan_are_refused(arms):
    status = arms.status.astype("<U8")
    status[4] = "diverged"
    with pytest.raises(ValueError, match=r"1 of 9 diverged .*first: run 4"):
        module.gram(dataclasses.replace(arms, status=status))
    states = arms.states.copy()
    states[2, 3, 1] = np.nan
    with pytest.raises(ValueError, match=r"point 19 \(run 2\)"):
        module.gram(dataclasses.replace(arms, states=states))


def test_the_largest_score_of_each_component_is_positive():
    for seed in range(8):
        points = np.random.default_rng(seed).normal(size=(6, 4))
        scores = module.principal(points @ points.T, components=3)
        assert (scores[np.abs(scores).argmax(axis=0), np.arange(3)] > 0).all()


def test_weights_whose_squares_lose_digits_are_refused():
    runs = cases.arms()
    states = np.asarray(runs.states, float)
    for scale, words in (
        (1e-160, "e-160 of the optimum; scale"),
        (1e200, "infinite"),
    ):
        far = dataclasses.replace(runs, states=states * scale, optimum=runs.optimum * scale)
        with pytest.raises(ValueError, match=words):
            module.gram(far)
