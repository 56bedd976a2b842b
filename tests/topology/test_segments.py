import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.landscapes import bowl, landscape, wells

from jumpretrain.execution.execution import Execution
from jumpretrain.topology.minimax import Probe, measured
from jumpretrain.topology.segments import Segments, climb, climbing, inner_shares

QUIET = Execution(progress=False)


def highest(height, tolerance=0.01, least=1e-4, alphas=7):
    looks, measuring = {}, climb((height(0), height(1)), inner_shares(alphas), tolerance, least)
    try:
        share = next(measuring)
        while True:
            assert share not in looks
            looks[share] = height(share)
            share = measuring.send(looks[share])
    except StopIteration as end:
        return max(height(0), height(1), *looks.values()), looks, end.value


def test_shares_are_even_and_the_middle_comes_first():
    assert inner_shares(1) == [0.5]
    assert inner_shares(3) == [0.5, 0.25, 0.75]
    for count in range(1, 20):
        shares = inner_shares(count)
        assert sorted(shares) == pytest.approx(np.linspace(0, 1, count + 2)[1:-1])


@given(st.floats(0.05, 0.95), st.floats(0.01, 100))
def test_a_summit_between_the_shares_is_found_to_a_hundredth(summit, size):
    top, _, rise = highest(lambda share: size * (1 - 4 * (share - summit) ** 2))
    ends = size * (1 - 4 * min(summit, 1 - summit) ** 2)
    assert size - top <= rise <= max(0.01 * (top - ends), 1e-4)


def test_a_slope_is_as_high_as_its_higher_end_and_needs_a_look_beside_it():
    top, looks, rise = highest(lambda share: share)
    assert (top, rise) == (1.0, 0.0)
    assert sorted(looks)[-1] == 15 / 16
    assert len(looks) == 8


@given(st.integers(0, 10**6))
def test_closer_looks_lower_nothing(seed):
    waves = np.random.default_rng(seed).normal(size=6)

    def height(share):
        return sum(w * np.sin((k + 1) * np.pi * share) for k, w in enumerate(waves))

    tops = [highest(height, tolerance, least=0)[0] for tolerance in (10.0, 0.1, 0.001)]
    assert tops == sorted(tops)


def test_a_step_is_looked_at_until_shares_cannot_be_told_apart():
    top, looks, _ = highest(lambda share: float(share > 0.3) - share)
    assert top == pytest.approx(0.7, abs=1e-6)
    assert len(looks) < 60


def test_a_wall_ends_the_search():
    top, looks, _ = highest(lambda share: np.inf if share == 0.25 else 0.0)
    assert top == np.inf
    assert len(looks) == 7


def test_points_lie_on_the_segment_and_are_scored_once():
    states = np.array([[0.0, 0.0], [4.0, 0.0]])
    segments = Segments(landscape(wells), states, "train_loss", None, QUIET)
    probes = [Probe(0, 1, 0.25), Probe(0, 1, 0.5), Probe(0, 1, 0.25)]
    assert segments.look(probes).tolist() == [1.0, 4.0, 1.0]
    assert segments.look(probes[:1]).tolist() == [1.0]
    assert segments.evaluations == 2
    assert segments.values().tolist() == [0.0, 0.5]


def test_what_a_folder_knows_is_not_scored_again_for_any_metric(tmp_path):
    states = np.random.default_rng(0).normal(size=(3, 2))
    task, probes = landscape(bowl), [Probe(0, 1, 0.5), Probe(1, 2, 0.125)]
    first = Segments(task, states, "train_loss", tmp_path, QUIET)
    losses = first.look(probes)
    first.keep()
    again = Segments(task, states, "test_loss", tmp_path, QUIET)
    assert (again.look(probes) == losses + 1).all()
    assert again.evaluations == 0


def test_a_folder_of_other_states_is_refused(tmp_path):
    states = np.random.default_rng(0).normal(size=(3, 2))
    Segments(landscape(bowl), states, "train_loss", tmp_path, QUIET)
    with pytest.raises(ValueError, match="states"):
        Segments(landscape(bowl), states + 1, "train_loss", tmp_path, QUIET)


def test_edges_of_two_parabolas_meet_where_these_are_equal():
    # (4 x)^2 = (4 (1 - x))^2 + 1/2 at x = 1/2 + 1/64
    states = np.array([[0.0, 0.0], [4.0, 0.0]])
    segments = Segments(landscape(wells), states, "train_loss", None, QUIET)
    begin = climbing(segments.values(), 7, 0.01, 1e-9)
    found = measured(segments.values(), [(0, 1)], begin, segments.look)
    assert found == pytest.approx([16 * (33 / 64) ** 2], rel=0.01)
