"""None"""

import gudhi
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import pdist, squareform
from support.cases import arms

from jumpretrain.embedding.embed import Embedding
from jumpretrain.embedding.gram import from_gram, gram
from jumpretrain.embedding.neighbours import farthest, knn_graph
from jumpretrain.topology.diagrams import Diagrams
from jumpretrain.topology.homology import released, rips, sublevel
from jumpretrain.topology.subsampling import cover

inf = np.inf


def path(count):
    return sparse.csr_array(np.eye(count, k=1) + np.eye(count, k=-1))


def cycle(count):
    dense = np.eye(count, k=1) + np.eye(count, k=1 - count)
    return sparse.csr_array(dense + dense.T)


def random_graph(count, share, seed):
    dense = np.triu(np.random.default_rng(seed).random((count, count)) < share, k=1)
    return sparse.csr_array((dense | dense.T).astype(float))


def bars(diagrams, dim):
    return sorted(map(tuple, diagrams.bars[dim].tolist()))


def by_gudhi(values, graph, complex, maxdim):
    """Persistence of the lower-star filtration by an independent library."""
    tree = gudhi.SimplexTree()
    for point, value in enumerate(values):
        tree.insert([point], filtration=value)
    for i, j in zip(*graph.nonzero(), strict=True):
        if i < j:
            tree.insert([i, j], filtration=max(values[i], values[j]))
    if complex == "flag":
        tree.expansion(maxdim + 1)
    tree.compute_persistence(persistence_dim_max=True, min_persistence=0)
    return [
        sorted(
            (birth, death)
            for birth, death in tree.persistence_intervals_in_dimension(dim).tolist()
            if death > birth
        )
        for dim in range(maxdim + 1)
    ]


def phate_like(trajectories, scale):
    """A potential as PHATE's: far is large, never symmetric, capped near 16.12."""
    squared = from_gram(gram(trajectories)) ** 2 / scale
    kernel = np.exp(-squared) * np.linspace(0.5, 1.0, len(squared))
    return -np.log(kernel / kernel.sum(axis=1, keepdims=True) + 1e-7)


def embedded(potential):
    count = 48 if potential is None else len(potential)
    return Embedding(
        coordinates=np.zeros((count, 2)),
        potential=potential,
        distances=np.zeros((count, count)),
        labels=pd.DataFrame(index=range(count)),
        components=1,
        diffusion_time=1,
    )


def test_the_valleys_of_a_path():
    assert bars(sublevel([0, 2, 3, 1, 4], path(5)), 0) == [(0, inf), (1, 3)]
    assert bars(sublevel([5, 1, 6, 2, 7], path(5)), 0) == [(1, inf), (2, 6)]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 12),
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from(["flag", "graph"]),
    st.integers(0, 10**6),
)
def test_sublevel_equals_gudhi(count, share, tied, complex, seed):
    graph = random_graph(count, share, seed)
    rng = np.random.default_rng(seed)
    values = rng.integers(-2, 3, size=count).astype(float) if tied else rng.normal(size=count)
    found = sublevel(values, graph, complex=complex)
    wanted = by_gudhi(values, graph, complex, 1)
    assert [bars(found, dim) for dim in (0, 1)] == wanted


@pytest.mark.parametrize("seed", range(5))
def test_sublevel_equals_gudhi_in_dimension_two(seed):
    graph = random_graph(16, 0.6, seed)
    values = np.random.default_rng(seed).normal(size=16)
    for complex in ("flag", "graph"):
        found = sublevel(values, graph, complex=complex, maxdim=2)
        wanted = by_gudhi(values, graph, complex, 2)
        assert [bars(found, dim) for dim in range(3)] == wanted


def test_the_octahedron_encloses_a_void():
    octahedron = sparse.csr_array(1.0 - np.eye(6) - np.eye(6)[::-1])
    found = sublevel(np.arange(6), octahedron, maxdim=2)
    assert bars(found, 2) == [(5, inf)]
    assert bars(found, 0) == [(0, inf)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.25, 2.0, 8.0]), st.integers(-64, 64))
def test_shift_and_scale_laws(seed, scale, shift):
    graph = random_graph(15, 0.3, seed)
    values = np.random.default_rng(seed).integers(-512, 512, size=15) / 64
    before, after = sublevel(values, graph), sublevel(scale * values + shift, graph)
    for dim in (0, 1):
        assert np.array_equal(after.finite(dim), scale * before.finite(dim) + shift)
        assert np.array_equal(after.essential(dim), scale * before.essential(dim) + shift)
        for p in (1, 2):
            expected = scale**p * before.total_persistence(dim, p)
            assert after.total_persistence(dim, p) == pytest.approx(expected)
        assert after.entropy(dim) == pytest.approx(before.entropy(dim))


@pytest.mark.parametrize("complex", ["flag", "graph"])
def test_a_constant_loss_has_no_finite_bar(complex):
    found = sublevel(np.full(12, 0.7), cycle(12), complex=complex)
    assert len(found.finite(0)) == len(found.finite(1)) == 0
    assert found.essential(0).tolist() == [0.7]
    assert found.essential(1).tolist() == [0.7]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["flag", "graph"]))
def test_renaming_points_leaves_the_diagrams(seed, complex):
    rng = np.random.default_rng(seed)
    graph, values, order = random_graph(14, 0.3, seed), rng.normal(size=14), rng.permutation(14)
    renamed = sublevel(values[order], graph[order][:, order], complex=complex)
    found = sublevel(values, graph, complex=complex)
    assert [bars(renamed, dim) for dim in (0, 1)] == [bars(found, dim) for dim in (0, 1)]


def test_minima_that_float32_would_merge_stay_apart():
    minima = 1.0 + 1e-6 * np.arange(17) / 16
    values = np.full(33, 2.0)
    values[::2] = minima
    found = sublevel(values, path(33))
    births = np.r_[found.finite(0)[:, 0], found.essential(0)]
    assert np.sort(births).tolist() == minima.tolist()


def test_a_triangle_is_filled_only_on_the_flag_complex():
    assert bars(sublevel([0, 1, 2], cycle(3), complex="flag"), 1) == []
    assert bars(sublevel([0, 1, 2], cycle(3), complex="graph"), 1) == [(2, inf)]


def test_a_loop_dies_when_the_hub_of_a_wheel_enters():
    dense = np.zeros((6, 6))
    dense[:5, :5], dense[5, :5], dense[:5, 5] = cycle(5).toarray(), 1, 1
    found = sublevel([0, 0, 0, 0, 1, 3], sparse.csr_array(dense))
    assert bars(found, 1) == [(1, 3)]
    assert found.essential(1).size == 0


def test_stored_zeros_are_edges():
    graph = path(3)
    graph.data[:] = 0.0
    assert bars(sublevel([0, 2, 1], graph), 0) == [(0, inf), (1, 2)]


def test_values_and_graph_are_not_changed():
    values, graph = np.array([0.0, 2.0, 1.0]), path(3)
    sublevel(values, graph)
    assert values.tolist() == [0, 2, 1]
    assert (graph != path(3)).nnz == 0


def test_provenance_names_the_choices():
    how = sublevel([0, 2, 1], path(3), complex="graph").provenance
    assert (how["filtration"], how["complex"], how["points"], how["edges"]) == (
        "sublevel",
        "graph",
        3,
        2,
    )
    assert "ripser" in how["versions"]


def test_five_thousand_points_are_no_burden():
    rng = np.random.default_rng(0)
    steps = np.arange(1, 11)
    row = np.repeat(np.arange(5000), len(steps))
    column = (row + np.tile(steps, 5000)) % 5000
    both = (np.ones(2 * len(row)), (np.r_[row, column], np.r_[column, row]))
    found = sublevel(rng.normal(size=5000), sparse.csr_array(both, shape=(5000, 5000)))
    assert len(found.essential(0)) == len(found.essential(1)) == 1


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([0, np.nan, 1], {}, "finite, but 1 of 3"),
        ([0, np.inf, 1], {}, "finite, but 1 of 3"),
        ([0, 1], {}, r"one value a point, \(3,\), but values are \(2,\)"),
        ([0, 1, 2, 3], {}, r"one value a point, \(3,\), but values are \(4,\)"),
        ([[0, 1, 2]], {}, "one value a point"),
        ([0, 1, 2], {"complex": "cubical"}, "complex must be"),
        ([0, 1, 2], {"maxdim": 3}, "maxdim must be"),
        ([0, 1, 2], {"maxdim": -1}, "maxdim must be"),
    ],
)
def test_bad_requests_are_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        sublevel(values, path(3), **options)


def test_what_is_no_graph_is_refused():
    with pytest.raises(TypeError, match="csr_array"):
        sublevel([0, 1], np.eye(2)[::-1])
    with pytest.raises(ValueError, match="no loops"):
        sublevel([0, 1], sparse.csr_array(np.ones((2, 2))))
    with pytest.raises(ValueError, match="symmetric"):
        sublevel([0, 1], sparse.csr_array(np.eye(2, k=1)))


def test_a_circle_has_one_hole():
    angle = 2 * np.pi * np.arange(60) / 60
    found = rips(squareform(pdist(np.stack([np.cos(angle), np.sin(angle)], axis=1))))
    assert found.bars[1] == pytest.approx(np.array([[0.1047, 1.7321]]), abs=1e-4)
    assert found.essential(0).tolist() == [0]
    assert found.finite(0).shape == (59, 2)


@pytest.mark.parametrize("seed", range(5))
def test_rips_equals_gudhi_to_the_last_bit(seed):
    points = np.random.default_rng(seed).normal(size=(25, 3))
    distances = 1e6 + squareform(pdist(points))
    np.fill_diagonal(distances, 0)
    complex = gudhi.RipsComplex(distance_matrix=distances).create_simplex_tree(max_dimension=2)
    complex.compute_persistence()
    for dim in (0, 1):
        wanted = sorted(map(tuple, complex.persistence_intervals_in_dimension(dim).tolist()))
        assert bars(rips(distances), dim) == wanted


def test_an_isometry_leaves_the_diagrams():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 4))
    turned = points @ np.linalg.qr(rng.normal(size=(4, 4)))[0] + 3
    before, after = (rips(squareform(pdist(cloud))) for cloud in (points, turned))
    for dim in (0, 1):
        assert after.finite(dim) == pytest.approx(before.finite(dim))
        assert before.distance(after, dim=dim) < 1e-12


def test_duplicate_points_add_no_bar():
    points = np.array([[0.0], [0.0], [2.0], [2.0]])
    assert bars(rips(squareform(pdist(points))), 0) == [(0, 2), (0, inf)]
    assert bars(rips(np.zeros((3, 3)), maxdim=2), 0) == [(0, inf)]
    assert len(rips(np.zeros((1, 1)), maxdim=2).bars) == 3


def test_rips_takes_a_matrix_of_distances_only():
    with pytest.raises(ValueError, match="square"):
        rips(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="finite"):
        rips(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="symmetric"):
        rips(np.random.default_rng(0).random((3, 3)))
    with pytest.raises(ValueError, match="maxdim"):
        rips(np.zeros((3, 3)), maxdim=5)


def test_what_are_no_bars_is_refused():
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        Diagrams((np.zeros(3),))
    with pytest.raises(ValueError, match="no earlier death"):
        Diagrams((np.array([[1.0, 0.0]]),))
    with pytest.raises(ValueError, match="finite birth"):
        Diagrams((np.array([[np.nan, 0.0]]),))
    with pytest.raises(ValueError, match=r"dim must lie in 0\.\.0"):
        Diagrams((np.empty((0, 2)),)).finite(1)


def naive_released(potential, losses, k):
    """The same in the plainest words: recolour pieces, one edge at a time."""
    links = []
    for i, row in enumerate(potential.tolist()):
        far = sorted(range(len(row)), key=lambda j, row=row: (-row[j], j))[:k]
        links += [(max(losses[i], losses[j]), i, j) for j in far]
    highest = max(links)[0]
    piece, oldest = list(range(len(losses))), list(losses)
    merged, cycles = [], []
    for height, i, j in sorted(links, key=lambda link: link[0]):
        a, b = piece[i], piece[j]
        if a == b:
            cycles.append((height, highest))
            continue
        if oldest[a] > oldest[b]:
            a, b = b, a
        merged.append((oldest[b], height))
        piece = [a if name == b else name for name in piece]
    return sorted(merged + [(oldest[name], highest) for name in set(piece)]), sorted(cycles)


@pytest.mark.parametrize("scale", [0.5, 5.0, 50.0])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_released_equals_a_naive_loop(scale, k):
    trajectories = arms(noise=0.05).jumps()
    potential = phate_like(trajectories, scale)
    losses = trajectories.values("test_loss", optimum=True)[:-1].tolist()
    found = released(trajectories, embedded(potential), k=k)
    assert [bars(found, 0), bars(found, 1)] == list(naive_released(potential, losses, k))


@pytest.mark.parametrize("scale", [1.0, 0.001])
def test_released_measures_the_squared_range_and_next_to_nothing_else(scale):
    trajectories = arms(directions=4, step_sizes=(0.25, 0.5, 0.75, 1.0), times=20)
    found = released(trajectories, embedded(phate_like(trajectories, scale)), k=20)
    losses = trajectories.values("test_loss", optimum=True)[:-1]
    assert found.statistics()["h0_longest_bar"] == np.ptp(losses)
    assert found.total_persistence(0, p=2) == pytest.approx(np.ptp(losses) ** 2, rel=1e-3)
    assert len(found.essential(0)) == len(found.essential(1)) == 0
    assert len(found.finite(0)) == len(losses)
    assert len(found.finite(1)) == 20 * len(losses) - len(losses) + 1
    assert "all bars are finite" in found.provenance["note"]


def test_released_counts_the_squared_range_once_for_every_piece():
    trajectories = arms(directions=2, step_sizes=(1.0,), times=6)
    block = np.repeat([0, 1], 6)
    potential = (block[:, None] == block) * (1.0 - np.eye(12))
    found = released(trajectories, embedded(potential), k=5)
    losses = trajectories.values("test_loss", optimum=True)[:-1]
    survivors = losses.max() - np.array([losses[:6].min(), losses[6:].min()])
    assert found.total_persistence(0, p=2) == pytest.approx((survivors**2).sum())


def test_sublevel_on_neighbours_differs_from_the_released_rule():
    trajectories = arms(directions=4, times=20, noise=0.05).jumps()
    distances = from_gram(gram(trajectories))
    values = trajectories.values("test_loss")
    right = sublevel(values, knn_graph(distances, 5))
    wrong = released(trajectories, embedded(phate_like(trajectories, 0.1)), k=5)
    assert right.essential(0).tolist() == [values.min()]
    assert right.total_persistence(0, 2) < 0.5 * wrong.total_persistence(0, 2)


def test_released_losses_are_those_of_the_point_before():
    trajectories = arms(directions=1, step_sizes=(1.0,), times=4)
    potential = np.random.default_rng(0).random((4, 4))
    found = released(trajectories, embedded(potential), k=3)
    losses = trajectories.values("test_loss")
    assert found.finite(0)[:, 0].min() == trajectories.optimum_metrics["test_loss"]
    assert sorted(found.finite(0)[:, 0]) == sorted(np.r_[0.2, losses[:-1]])
    assert len(farthest(potential, 3)) == 12


def test_released_needs_the_potential_of_the_same_points():
    trajectories = arms().jumps()
    with pytest.raises(ValueError, match="needs a diffusion potential"):
        released(trajectories, embedded(None))
    with pytest.raises(ValueError, match="one value a point"):
        released(trajectories, embedded(np.eye(5)), k=2)
    with pytest.raises(KeyError, match="recorded"):
        released(trajectories, embedded(np.eye(48)), k=2, metric="loss")


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), count=st.integers(5, 30))
def test_chosen_points_keep_bars_to_twice_the_radius(seed, count):
    places = np.random.default_rng(seed).normal(size=(40, 2))
    matrix = squareform(pdist(places))
    few, whole = rips(matrix, points=count), rips(matrix)
    radius = few.provenance["cover_radius"]
    assert radius == pytest.approx(matrix[:, cover(matrix, count).points].min(1).max())
    for dim in (0, 1):
        assert few.distance(whole, "bottleneck", dim) <= 2 * radius + 1e-7
        lengths = np.diff(few.bars[dim]).ravel()
        assert few.provenance["certified"][dim] == (lengths > 4 * radius).sum()
    assert few.provenance["points"] == count


def test_a_circle_of_many_points_is_certified_from_few():
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    matrix = squareform(pdist(np.c_[np.cos(angles), np.sin(angles)]))
    assert rips(matrix, points=60).provenance["certified"] == [1, 1]
    assert rips(matrix, points=5).provenance["certified"][1] == 0


def test_many_points_are_warned_of_and_fewer_can_be_chosen():
    matrix = np.abs(np.subtract.outer(np.arange(2001.0), np.arange(2001.0)))
    with pytest.warns(UserWarning, match=r"of 2001 points takes about 0\.5 GB and 7 s; pass"):
        rips(matrix, maxdim=0)
    rips(matrix, maxdim=0, points=100)
    with pytest.raises(ValueError, match="1 to 3 points can be chosen"):
        rips(np.zeros((3, 3)), points=4)
