"""Certificates on random curves and at their limits; straightness by closed forms."""

import numpy as np
import pytest
from support.cases import arc, smooth

from jumpretrain.paths.certificate import certificate, linearity
from jumpretrain.paths.gauss_length import turning


def test_no_curve_that_turns_little_rises():
    curves, target = smooth(4000), np.zeros((40, 3))
    loss = (curves**2).sum(2)
    length = turning(curves).per_example
    small = length < np.pi / 2
    falls = (np.diff(loss, axis=0) < 0).all(0)
    assert 400 < small.sum() < 3600 and not falls.all()
    assert falls[small].all()
    assert certificate(curves[:, small], np.zeros((small.sum(), 3))).holds
    together = 0
    for some in np.argsort(length).reshape(100, 40):
        held = certificate(curves[:, some], target)
        assert held.holds == (small[some].all() or held.length.joint < np.pi / 2)
        together += held.holds
        assert not held.holds or (np.diff(loss[:, some].sum(1)) < 0).all()
    assert 10 < together < 90


def test_small_turning_of_all_outputs_together_is_enough():
    curves = smooth(300, seed=1).reshape(60, 100, 3, 3)
    held = [certificate(curves[:, row], np.zeros((3, 3))) for row in range(100)]
    joint = [c.holds and c.length.per_example.max() >= np.pi / 2 for c in held]
    loss = (curves**2).sum((2, 3))
    falls = (np.diff(loss, axis=0) < 0).all(0)
    assert any(joint) and falls[[c.holds for c in held]].all()


def test_the_theorem_is_tight():
    def corner(angle):
        return np.array([[0.0, 0], [1, 0], [1 + 3 * np.cos(angle), 3 * np.sin(angle)]])

    for angle, holds in ((1.5, True), (1.57, True), (1.58, False), (1.64, False)):
        first, middle, last = corner(angle)
        assert certificate(corner(angle)[:, None], last[None]).holds == holds
        fine = np.r_[np.linspace(first, middle, 201), np.linspace(middle, last, 601)[1:]]
        rises = (np.diff(((fine - last) ** 2).sum(1)) > 0).any()
        assert certificate(fine[:, None], last[None]).holds == holds != rises


def test_the_certificate_asks_for_the_target_on_the_scale_of_the_path():
    line = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 2, 2))
    assert certificate(line, np.ones((2, 2))).holds
    missed = certificate(line, np.full((2, 2), 0.9))
    assert not missed.holds and missed.residual == pytest.approx(np.full(2, 0.1 * np.sqrt(2)))
    assert missed.first == pytest.approx(np.full(2, 0.9 * np.sqrt(2)))
    for scale in (1e-9, 1, 1e9):
        assert certificate(scale * line, scale * np.ones((2, 2))).holds
        assert not certificate(scale * line, scale * np.full((2, 2), -0.5)).holds
        assert not certificate(scale * line, scale * np.full((2, 2), 0.9)).holds


def highest(curve, target):
    """How far the distance of all outputs from their targets rises above its minimum before."""
    away = np.linalg.norm(curve - target, axis=(1, 2))
    return (away - np.minimum.accumulate(away)).max()


def test_outputs_turn_in_the_precision_in_which_they_are_given():
    exact = arc(np.linspace(0, 1, 2001), 0.01)[:, None]
    single = exact.astype(np.float32)
    with pytest.warns(UserWarning, match="too close for 1e-07 precision"):
        held, direct = certificate(single, single[-1]), turning(single)
    assert held.length.joint == direct.joint < 0.3 < turning(single.astype(float)).joint
    assert held.length.joint_rounding == direct.joint_rounding > 1 and held.holds
    line = np.linspace(0, 1, 5, dtype=np.float32)[:, None, None]
    assert certificate(line, [[1 + 1e-10]]).residual == pytest.approx(1e-10, rel=1e-4)
    assert certificate(exact, exact[-1]).length.joint == turning(exact).joint


def test_no_polygon_attains_more_than_the_residual():
    rng = np.random.default_rng(7)
    most = []
    for _ in range(4000):
        turns = rng.dirichlet(np.ones(4)) * rng.uniform(0, np.pi / 2) * rng.choice([-1, 1], 4)
        headings = np.cumsum(np.r_[0, turns])
        steps = np.c_[np.cos(headings), np.sin(headings)] * rng.lognormal(0, 2, (5, 1))
        curve = np.cumsum(np.r_[[[0, 0]], steps], axis=0).reshape(6, *rng.choice([1, 2], 1), -1)
        missed = rng.normal(size=curve.shape[1:]) * rng.lognormal(0, 2)
        held = certificate(curve, curve[-1] + missed, np.inf)
        assert held.holds
        most.append(highest(curve, curve[-1] + missed) / np.linalg.norm(held.residual))
    assert 0.9 < max(most) <= 1 + 1e-12


def test_a_straight_overshoot_rises_by_the_residual():
    for count in (1, 3):
        line = np.linspace(0, 1, 11)[:, None, None] * np.ones((count, 2))
        for row in (5, 8, 9):
            held = certificate(line, line[row], np.inf)
            assert held.holds
            assert highest(line, line[row]) == pytest.approx(np.linalg.norm(held.residual))


def test_with_a_residual_the_error_rises_by_that_at_most():
    curves, rng, tolerance = smooth(2000, seed=4), np.random.default_rng(5), 0.05
    targets = 0.05 * rng.normal(size=(2000, 3))
    away = np.linalg.norm(curves - targets, axis=2)
    rise = (away - np.minimum.accumulate(away)).max(0)
    found = turning(curves).per_example < np.pi / 2
    held = found & (away[-1] <= tolerance * away[0])
    assert held.sum() > 100 and rise[held].max() > 1e-3
    assert (rise[held] <= away[-1, held]).all()
    first, last = (np.linalg.norm(away[row, held]) for row in (0, -1))
    assert certificate(curves[:, held], targets[held], last / first * 1.001).holds
    assert not certificate(curves[:, held], targets[held], last / first * 0.999).holds
    last = certificate(np.array([0, 0.5, 1 - 5e-7, 1])[:, None, None], [[1 - 5e-7]])
    assert last.holds and last.residual[0] == pytest.approx(5e-7)  # it rises by 5e-7


def test_certificates_of_other_shapes_are_refused():
    line = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 2, 2))
    with pytest.raises(ValueError, match=r"the outputs, \(2, 2\) \(n, d\), but are \(2,\)"):
        certificate(line, np.ones(2))
    for test in (
        lambda z: certificate(z, np.ones(2)),
        lambda z: linearity(z, np.linspace(0, 1, 5)),
    ):
        with pytest.raises(ValueError, match=r"must be \(A, n, d\), but are \(5, 2\)"):
            test(line[:, 0])
    with pytest.raises(ValueError, match="targets must be finite"):
        certificate(line, np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="but has 2; sample more"):
        certificate(line[:2], np.ones((2, 2)))


def test_linearity_needs_an_alpha_for_each_finite_output():
    line = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 2, 2))
    with pytest.raises(ValueError, match="but 5 have 2"):
        linearity(line, [0, 1])
    with pytest.raises(ValueError, match="rises within"):
        linearity(line, np.linspace(1, 0, 5))
    with pytest.raises(ValueError, match="must be finite to be near a line"):
        linearity(np.where(line == 0.5, np.nan, line), np.linspace(0, 1, 5))


def test_linearity_is_the_integral_of_the_distance_from_the_chord():
    alphas = np.linspace(0, 1, 2001)
    bent = np.stack([alphas, 0.3 * np.sin(np.pi * alphas)], axis=1)[:, None]
    assert linearity(bent, alphas) == pytest.approx(0.09 / 2, rel=1e-4)
    assert linearity(alphas[:, None, None] ** 2 * np.ones((1, 3, 4)), alphas) < 1e-25
    closed = arc(alphas, 2 * np.pi)[:, None]
    closed[-1] = closed[0]
    assert linearity(closed, alphas) == pytest.approx(2, rel=1e-4)


def test_straying_is_integrated_over_alpha_by_trapezia():
    # the middle of (0, 0), (1, 0), (1, 1) is 1/2 squared off the chord, whenever it is passed
    corner = np.array([[[0.0, 0]], [[1, 0]], [[1, 1]]])
    for middle in (0.25, 0.5, 0.9):
        assert linearity(corner, [0, middle, 1]) == pytest.approx(0.25)
