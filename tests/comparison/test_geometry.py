"""Closed forms of rays, arcs and zigzags."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.stats import ortho_group
from support import cases

from jumpretrain.comparison import geometry
from jumpretrain.embedding import gram as module


def paths(offsets, optimum=None):
    """Trajectories whose runs have given differences (R, T, P) from the optimum."""
    offsets = np.asarray(offsets, dtype=float)
    runs, times, width = offsets.shape
    optimum = np.full(width, 3.0) if optimum is None else np.asarray(optimum, dtype=float)
    shape = cases.arms(directions=1, step_sizes=(1.0,) * runs, times=times, width=width)
    return dataclasses.replace(shape, optimum=optimum, states=optimum + offsets)


def arc(angle, times=400):
    """One run along an arc around the optimum."""
    turn = np.linspace(0, angle, times)
    return paths(np.stack([np.cos(turn), np.sin(turn)], axis=1)[None])


def test_straight_arms_have_their_closed_forms():
    moves = geometry.moves(cases.arms(noise=0.0).jumps())
    np.testing.assert_allclose(geometry.distance(moves), 0.7 ** np.arange(8) + 0 * moves[:, 0])
    np.testing.assert_allclose(geometry.jump_cosine(moves), 1)
    np.testing.assert_allclose(geometry.sideways(moves), 0, atol=1e-7)
    np.testing.assert_allclose(geometry.path_over_chord(moves), 1)
    np.testing.assert_allclose(geometry.turning(moves), 0, atol=1e-6)
    np.testing.assert_array_equal(geometry.overshoot(moves), 0)
    np.testing.assert_array_equal(geometry.outward_fraction(moves), 0)


def test_a_half_circle_around_the_optimum():
    moves = geometry.moves(arc(np.pi))
    assert geometry.path_over_chord(moves)[0] == pytest.approx(np.pi / 2, rel=1e-5)
    assert geometry.turning(moves)[0] == pytest.approx(np.pi / 399, rel=1e-6)
    assert geometry.jump_cosine(moves)[0, -1] == pytest.approx(-1)
    assert geometry.sideways(moves).max() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(geometry.distance(moves), 1)


def test_overshoot_and_outward_fraction_of_a_known_run():
    radii = np.array([2.0, 3.0, 5.0, 4.0, 1.0])
    moves = geometry.moves(paths(radii[None, :, None] * np.array([0.6, 0.8])))
    assert geometry.overshoot(moves)[0] == pytest.approx(1.5)
    assert geometry.outward_fraction(moves)[0] == 0.5
    assert geometry.distance(moves)[0, -1] == pytest.approx(0.5)
    assert geometry.path_over_chord(moves)[0] == pytest.approx(7.0)


def test_a_right_angle_turns_a_quarter_and_steps_of_no_length_are_passed_over():
    corner = [[1, 0], [2, 0], [2, 1]]
    pausing = [[1, 0], [1, 0], [2, 0], [2, 0], [2, 1], [2, 1]]
    for points in (corner, pausing):
        moves = geometry.moves(paths([points]))
        assert geometry.turning(moves)[0] == pytest.approx(np.pi / 2)
        assert geometry.path_over_chord(moves)[0] == pytest.approx(np.sqrt(2))


def test_a_run_that_does_not_move_is_straight():
    moves = geometry.moves(paths([[[1.0, 0.0]] * 4]))
    assert geometry.turning(moves)[0] == 0
    assert geometry.path_over_chord(moves)[0] == 1
    assert geometry.outward_fraction(moves)[0] == 0


def test_a_closed_loop_has_no_chord():
    moves = geometry.moves(paths([[[1, 0], [2, 0], [1, 0]]]))
    assert geometry.path_over_chord(moves)[0] == np.inf
    assert geometry.turning(moves)[0] == pytest.approx(np.pi)


def test_a_snapshot_on_the_optimum_has_cosine_zero():
    moves = geometry.moves(paths([[[1, 0], [0, 0], [1, 0]]]))
    np.testing.assert_allclose(geometry.jump_cosine(moves), [[1, 0, 1]])
    np.testing.assert_allclose(geometry.sideways(moves), 0, atol=1e-12)


def test_rounding_opens_no_loop_and_moves_nothing_outwards():
    rng = np.random.default_rng(0)
    for _ in range(20):
        offsets = rng.normal(size=(1, 9, 40)) + 1 / 3
        offsets[0, -1] = offsets[0, 0]  # back at the jump
        offsets[0, 4] = 0  # at the optimum on the way
        moves = geometry.moves(paths(offsets))
        assert geometry.path_over_chord(moves)[0] == np.inf
        assert geometry.distance(moves)[0, 4] == 0 == geometry.jump_cosine(moves)[0, 4]
    around = arc(2.0, times=50)
    turned = dataclasses.replace(around, states=around.states @ ortho_group.rvs(2, random_state=0))
    turned = dataclasses.replace(
        turned, optimum=around.optimum @ ortho_group.rvs(2, random_state=0)
    )
    assert geometry.outward_fraction(geometry.moves(turned))[0] == 0


def test_sideways_is_the_distance_from_the_line_of_the_jump():
    moves = geometry.moves(paths([[[2, 0, 0], [1, 3, 0], [-1, 0, 4]]]))
    np.testing.assert_allclose(geometry.sideways(moves), [[0, 1.5, 2]], atol=1e-12)


def test_noisy_runs_equal_a_naive_loop(arms):
    jumps = arms.jumps()
    moves = geometry.moves(jumps, columns=7)
    for run, states in enumerate(jumps.states):
        steps = np.diff(states, axis=0)
        unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
        angles = [np.arccos(a @ b) for a, b in itertools.pairwise(unit)]
        assert geometry.turning(moves)[run] == pytest.approx(np.mean(angles))
        offset, jump = states - jumps.optimum, states[0] - jumps.optimum
        jump = jump / np.linalg.norm(jump)
        beside = offset - np.outer(offset @ jump, jump)
        scale = np.linalg.norm(offset[0])
        np.testing.assert_allclose(
            geometry.sideways(moves)[run], np.linalg.norm(beside, axis=1) / scale, atol=1e-7
        )


def test_an_isometry_of_the_weights_changes_nothing(arms):
    turn = ortho_group.rvs(30, random_state=np.random.default_rng(1))
    turned = dataclasses.replace(arms, optimum=arms.optimum @ turn, states=arms.states @ turn)
    before, after = map(geometry.describe_geometry, (arms, turned))
    assert before == pytest.approx(after, abs=1e-9)


def test_states_on_disk_give_the_same_bits(arms, tmp_path):
    arms.save(tmp_path)
    stored = type(arms).load(tmp_path)
    assert geometry.describe_geometry(stored) == geometry.describe_geometry(arms)


def test_silhouette_of_two_far_clusters_is_near_one():
    points = np.r_[np.zeros(5), np.full(5, 100.0)] + np.tile(np.arange(5) / 100, 2)
    apart = np.abs(points[:, None] - points)
    assert geometry.silhouette(apart, np.repeat([0, 1], 5)) > 0.99
    assert geometry.silhouette(apart, np.tile([0, 1, 2, 3, 4], 2)) < 0
    with pytest.raises(ValueError, match="2 to 9 clusters among 10 points, but there are 1"):
        geometry.silhouette(apart, np.zeros(10))


def test_description_is_finite_and_leaves_controls_out(arms):
    found = geometry.describe_geometry(arms)
    assert all(np.isfinite(value) for value in found.values())
    assert found == geometry.describe_geometry(arms.jumps())
    gram = module.gram(arms.jumps())
    assert found == geometry.describe_geometry(arms, gram)
    assert found["silhouette_by_direction"] > 0.2


def test_description_leaves_out_what_one_direction_or_step_size_cannot_show():
    alone = cases.arms(directions=1, step_sizes=(1.0,))
    found = geometry.describe_geometry(alone)
    assert not {name for name in found if "silhouette" in name or "by_step_size" in name}
    assert found["final_distance"] == geometry.distance(geometry.moves(alone))[0, -1]


def test_outward_slope_falls_when_large_steps_come_back():
    out, back = np.linspace(1, 2, 5), np.linspace(2, 1, 5)
    runs = np.stack([out, back])[:, :, None] * np.array([1.0, 0.0])
    two = dataclasses.replace(paths(runs), step_size=np.array([0.5, 1.0]))
    assert geometry.describe_geometry(two)["outward_steps_by_step_size"] == pytest.approx(-2)


def test_snapshots_within_the_first_epoch_do_not_count_as_steps():
    plain = cases.arms(noise=0.0)
    wiggle = plain.states.copy()
    wiggle[:, 1] += 5.0
    early = dataclasses.replace(plain, states=wiggle, epoch=np.r_[0.0, 0.05, 1 + np.arange(6.0)])
    found = geometry.describe_geometry(early)
    assert found["turning_angle"] == pytest.approx(0, abs=1e-6)
    assert found["outward_steps"] == 0
    assert found["path_over_chord"] == pytest.approx(1, abs=1e-9)
    assert found["mean_cosine_to_jump"] == pytest.approx(1)
    assert found["overshoot"] > 1


def test_the_farthest_sideways_counts_wherever_it_is():
    # 3 beside a jump of length 2 in the middle, 1 at the end; the second run stays on its line
    runs = [[[2, 0], [1, 3], [1, 1]], [[2, 0], [3, 0], [1, 0]]]
    found = geometry.describe_geometry(paths(runs))
    assert found["sideways_distance"] == pytest.approx((1.5 + 0) / 2)


def test_a_displacement_is_over_the_length_of_the_weights_alone():
    made = dataclasses.replace(
        paths([[[0.0, 0.0, 9.0], [3.0, 4.0, 9.0]]], optimum=[6.0, 8.0, 100.0]),
        step_size=np.zeros(1),
        weight_count=2,
    )
    assert geometry.control_displacement(made) == pytest.approx(5 / 10)


def test_controls_are_measured_apart():
    arms = cases.arms()
    controls = arms.step_size == 0
    final = np.linalg.norm(arms.states[controls, -1] - arms.optimum, axis=1).mean()
    wanted = final / np.linalg.norm(arms.optimum)
    assert geometry.control_displacement(arms) == pytest.approx(wanted)
    with pytest.raises(ValueError, match="finished run of step size 0, but there is none"):
        geometry.control_displacement(arms.jumps())


def test_bad_input_is_refused(arms):
    with pytest.raises(ValueError, match="no finished run with a step size above 0"):
        geometry.describe_geometry(arms.select(arms.step_size == 0))
    with pytest.raises(ValueError, match="run 0 starts at the optimum"):
        geometry.distance(geometry.moves(arms))
    with pytest.raises(ValueError, match="at least 3 snapshots at whole epochs, but there are 2"):
        geometry.describe_geometry(arms.select(times=[0, 1]))
    states = arms.states.copy()
    states[1, 2, 3] = np.inf
    with pytest.raises(ValueError, match="run 1 holds others"):
        geometry.moves(dataclasses.replace(arms, states=states))
