"""Diagrams: numbers in closed form, and distances beside GUDHI."""

import gudhi.hera
import numpy as np
import pytest
from scipy import sparse

from jumpretrain.topology.diagrams import Diagrams
from jumpretrain.topology.homology import sublevel

inf = np.inf
KINDS = ("bottleneck", "wasserstein", "sliced")


def path(count):
    return sparse.csr_array(np.eye(count, k=1) + np.eye(count, k=-1))


def cycle(count):
    dense = np.eye(count, k=1) + np.eye(count, k=1 - count)
    return sparse.csr_array(dense + dense.T)


def bars(diagrams, dim):
    return sorted(map(tuple, diagrams.bars[dim].tolist()))


def random_diagrams(seed, essential=1, offset=0.0):
    rng = np.random.default_rng(seed)
    births = rng.normal(size=rng.integers(1, 8)) + offset
    finite = np.stack([births, births + rng.exponential(size=len(births))], axis=1)
    forever = np.stack([rng.normal(size=essential) + offset, np.full(essential, inf)], axis=1)
    return Diagrams((np.vstack([finite, forever]),))


def test_a_bare_cycle_has_one_essential_loop():
    found = sublevel([0, 1, 2, 3], cycle(4), complex="graph")
    assert bars(found, 0) == [(0, inf)]
    assert bars(found, 1) == [(3, inf)]
    assert bars(sublevel([0, 1, 2, 3], cycle(4), complex="flag"), 1) == [(3, inf)]


def test_pieces_and_lone_points_are_essential():
    graph = sparse.block_diag([path(2), sparse.csr_array((1, 1)), path(2)], format="csr")
    assert sublevel([3, 1, 5, 2, 2], graph).essential(0).tolist() == [1, 2, 5]
    assert bars(sublevel([4], sparse.csr_array((1, 1))), 0) == [(4, inf)]


def test_statistics_of_known_bars():
    first = np.array([[0.0, inf], [1.0, 4.0], [2.0, 3.0], [5.0, inf]])
    found = Diagrams((first, np.empty((0, 2)))).statistics()
    assert found == {
        "h0_finite_bars": 2,
        "h0_essential_bars": 2,
        "h0_total_persistence_p1": 4,
        "h0_total_persistence_p2": 10,
        "h0_persistence_entropy": pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)),
        "h0_longest_bar": 3,
        "h1_finite_bars": 0,
        "h1_essential_bars": 0,
        "h1_total_persistence_p1": 0,
        "h1_total_persistence_p2": 0,
        "h1_persistence_entropy": 0,
        "h1_longest_bar": 0,
    }
    assert all(type(value) is float for value in found.values())


def test_equal_bars_have_the_entropy_of_their_number():
    equal = np.array([[0.0, 2.0]] * 7)
    assert Diagrams((equal,)).entropy() == pytest.approx(np.log(7))
    assert Diagrams((equal[:1],)).entropy() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_distances_are_symmetric_and_zero_on_itself(kind, seed):
    one, other = random_diagrams(seed), random_diagrams(seed + 100)
    shuffled = Diagrams((one.bars[0][::-1],))
    assert one.distance(other, kind) == pytest.approx(other.distance(one, kind))
    assert one.distance(other, kind) > 0
    assert one.distance(shuffled, kind) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_distances_keep_the_triangle_inequality(kind, seed):
    a, b, c = (random_diagrams(3 * seed + i, essential=2) for i in range(3))
    assert a.distance(c, kind) <= a.distance(b, kind) + b.distance(c, kind) + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_distances_do_not_see_a_common_shift(kind):
    near = random_diagrams(1).distance(random_diagrams(2), kind)
    far = random_diagrams(1, offset=-9.0).distance(random_diagrams(2, offset=-9.0), kind)
    assert far == pytest.approx(near, rel=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_distances_equal_gudhis(seed):
    one, other = random_diagrams(seed, 0), random_diagrams(seed + 50, 0)
    a, b = one.finite(), other.finite()
    assert one.distance(other) == pytest.approx(gudhi.hera.bottleneck_distance(a, b, delta=0.0))
    wanted = gudhi.hera.wasserstein_distance(a, b, order=1, internal_p=2)
    assert one.distance(other, "wasserstein") == pytest.approx(wanted, rel=0.02)


def test_essential_bars_are_matched_apart():
    one = Diagrams((np.array([[0.0, inf], [4.0, inf]]),))
    other = Diagrams((np.array([[5.0, inf], [0.5, inf], [1.0, 2.0]]),))
    assert one.distance(other, "bottleneck") == 1.0
    assert one.distance(other, "wasserstein") == pytest.approx(1.5 + 1 / np.sqrt(2))
    assert one.distance(other, "sliced") > 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_different_numbers_of_essential_bars_are_infinitely_far(kind):
    assert random_diagrams(0, 1).distance(random_diagrams(0, 2), kind) == inf


@pytest.mark.parametrize("kind", KINDS)
def test_empty_diagrams_have_distances(kind):
    empty, one = Diagrams((np.empty((0, 2)),)), Diagrams((np.array([[1.0, 4.0], [1.0, 2.0]]),))
    assert empty.distance(empty, kind) == 0
    assert empty.distance(one, kind) == pytest.approx(one.distance(empty, kind))
    expected = {"bottleneck": 1.5, "wasserstein": 4 / np.sqrt(2)}
    if kind in expected:
        assert one.distance(empty, kind) == pytest.approx(expected[kind])


def test_bad_distances_are_refused():
    one = random_diagrams(0)
    with pytest.raises(ValueError, match="kind must be"):
        one.distance(one, "heat")
    with pytest.raises(ValueError, match="dim must lie"):
        one.distance(one, dim=1)


def test_sliced_distance_is_the_mean_over_fifty_directions_wherever_the_bars_lie():
    rng = np.random.default_rng(0)
    bars = [np.sort(rng.random((count, 2)), axis=1) for count in (4, 3)]
    both = [np.r_[mine, np.repeat(other.mean(1), 2).reshape(-1, 2)] for mine, other in
            ((bars[0], bars[1]), (bars[1], bars[0]))]  # fmt: skip
    costs = []
    for angle in np.pi * (np.arange(50) / 50 - 0.5):
        lines = [np.sort(some @ [np.cos(angle), np.sin(angle)]) for some in both]
        costs.append(np.abs(lines[0] - lines[1]).sum())
    for shift in (0.0, 5.0, -5.0):
        one, other = (Diagrams((some + shift,)) for some in bars)
        assert one.distance(other, "sliced") == pytest.approx(np.mean(costs), rel=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("power", [-1060, 700, 1018])
def test_entropy_and_distances_have_no_scale_up_to_the_ends_of_floats(power):
    near = [np.array([[0.0, 1.0], [2.0, 5.0], [1.0, inf]]), np.array([[0.0, 2.0], [4.0, inf]])]
    one, other = (Diagrams((some,)) for some in near)
    far, away = (Diagrams((np.ldexp(some, power),)) for some in near)
    assert far.entropy() == one.entropy() > 0.5
    for kind in KINDS:
        expected = np.ldexp(one.distance(other, kind), power)
        assert far.distance(away, kind) == pytest.approx(expected, rel=1e-9, abs=5e-324)
    assert far.statistics()["h0_longest_bar"] == np.ldexp(3.0, power)
    if power > 0:
        assert far.total_persistence(p=2) == inf


def test_an_exponent_below_zero_is_refused():
    with pytest.raises(ValueError, match="p must be a finite number of at least 0, but is -1"):
        Diagrams((np.array([[0.0, 1.0], [1.0, 1.0]]),)).total_persistence(p=-1)
