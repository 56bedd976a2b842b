"""Widths and spreads around the minimum of a quadratic loss are those of algebra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.curvature import tunnels
from jumpretrain.curvature.outward import Rays, random_streams
from jumpretrain.curvature.tunnels import Isotropy, Width, isotropy, tunnel_width

QUIET = jr.Execution(progress=False)


def linear(count=12, width=5, seed=0, noise=0.0):
    """Least squares: the task, the true weights and the Hessian of its loss."""
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=(count, width)), rng.normal(size=width)
    y = (x @ weights + noise * rng.normal(size=count))[:, None]
    data = jr.Dataset(x, y, x[:3], y[:3])
    network = nn.Linear(width, 1, bias=False).double()
    task = jr.Task(network, data, loss=jr.measures.squared_error)
    return task, weights, 2 * x.T @ x / count


def rows(task, state, directions, tangential=True, seed=0):
    drawn = [stream for part in random_streams(directions, seed) for stream in part]
    return Rays(task, state, drawn, tangential).rows


@settings(deadline=None, max_examples=20)
@given(
    threshold=st.floats(0.01, 3),
    tangential=st.booleans(),
    seed=st.integers(0, 50),
    steps=st.integers(1, 40),
)
def test_the_width_of_a_quadratic_is_the_root_of_its_curvature(threshold, tangential, seed, steps):
    task, weights, hessian = linear(seed=seed)
    found = tunnel_width(
        task, weights, threshold, directions=9, tangential=tangential, reach=20.0, steps=steps,
        seed=seed, execution=QUIET,
    )  # fmt: skip
    v = rows(task, weights, 9, tangential, seed)
    exact = np.sqrt(2 * threshold / np.einsum("np,pq,nq->n", v, hessian, v))
    exact[exact > 20] = np.inf
    np.testing.assert_allclose(found.widths, exact, atol=20 * 1e-3 + 1e-9)
    assert found.start_loss == pytest.approx(0, abs=1e-12)
    assert found.radius == pytest.approx(np.linalg.norm(weights))
    np.testing.assert_allclose(found.angle * found.radius, found.widths)


@pytest.mark.parametrize("precision", [0.1, 1e-2, 1e-6])
def test_widths_are_as_precise_as_promised(precision):
    task, weights, hessian = linear()
    found = tunnel_width(task, weights, 1.0, precision=precision, reach=8.0, execution=QUIET)
    v = rows(task, weights, 32)
    errors = found.widths - np.sqrt(2 / np.einsum("np,pq,nq->n", v, hessian, v))
    assert 0.02 * 8 * precision < np.abs(errors).max() <= 8 * precision + 1e-12


def test_from_a_point_that_is_no_minimum_the_first_crossing_counts():
    task, weights, hessian = linear()
    start = weights + 0.4
    slope = hessian @ (start - weights)
    begin = 0.5 * (start - weights) @ slope
    found = tunnel_width(task, start, begin + 0.5, directions=40, reach=9.0, execution=QUIET)
    v = rows(task, start, 40)
    curve, lean = np.einsum("np,pq,nq->n", v, hessian, v), v @ slope
    exact = (-lean + np.sqrt(lean**2 + 2 * curve * 0.5)) / curve
    np.testing.assert_allclose(found.widths, exact, atol=9e-3)
    assert found.start_loss == pytest.approx(begin)


def test_directions_without_curvature_do_not_end_and_are_counted():
    x = np.array([[1.0, 0.0]])
    data = jr.Dataset(x, x[:, :1], x, x[:, :1])
    network = nn.Linear(2, 1, bias=False).double()
    task = jr.Task(network, data, loss=jr.measures.squared_error)
    flat = tunnel_width(task, [1.0, 0.0], 1.0, directions=5, execution=QUIET)
    assert flat.endless == 5
    assert np.isinf(flat.median)
    steep = tunnel_width(task, [1.0, 3.0], 1.0, directions=200, tangential=False, reach=2.0,
                         execution=QUIET)  # fmt: skip
    v = rows(task, np.array([1.0, 3.0]), 200, tangential=False)
    ends = 1 / np.abs(v[:, 0])
    assert steep.endless == (ends > 2).sum()
    assert 0 < steep.endless < 100
    ended = np.isfinite(steep.widths)
    np.testing.assert_allclose(steep.widths[ended], ends[ended], atol=2e-3 + 1e-9)


def test_a_narrow_ridge_ends_a_tunnel_where_steps_see_it():
    def ridge(outputs, targets):
        return torch.exp(-(((outputs[:, 0] - 1) / 0.1) ** 2))

    data = jr.Dataset(np.ones((2, 1)), np.zeros((2, 1)), np.ones((2, 1)), np.zeros((2, 1)))
    task = jr.Task(nn.Linear(1, 1, bias=False).double(), data, loss=ridge)
    seen = tunnel_width(task, [0.0], 0.5, directions=12, tangential=False, reach=4.0, steps=40,
                        execution=QUIET)  # fmt: skip
    up = rows(task, np.zeros(1), 12, tangential=False)[:, 0] > 0
    edge = 1 - 0.1 * np.sqrt(np.log(2))
    np.testing.assert_allclose(seen.widths, np.where(up, edge, np.inf), atol=4e-3)
    missed = tunnel_width(task, [0.0], 0.5, directions=12, tangential=False, reach=4.0, steps=2,
                          execution=QUIET)  # fmt: skip
    assert missed.endless == 12


def test_a_loss_that_overflows_ends_the_tunnel():
    def steep(outputs, targets):
        return torch.log(1 - outputs[:, 0].abs())  # NaN beyond 1

    data = jr.Dataset(np.ones((2, 1)), np.zeros((2, 1)), np.ones((2, 1)), np.zeros((2, 1)))
    task = jr.Task(nn.Linear(1, 1, bias=False).double(), data, loss=steep)
    found = tunnel_width(task, [0.0], 0.5, directions=3, tangential=False, reach=4.0,
                         execution=QUIET)  # fmt: skip
    np.testing.assert_allclose(found.widths, 1, atol=4e-3)


def test_quantiles_are_those_of_sorted_widths():
    def made(*widths):
        return Width(np.array(widths), 2.0, 1.0, 0.0, {})

    assert made(3.0, 1.0, 2.0).median == 2
    assert made(4.0, 1.0, 2.0, 3.0).median == 2.5
    assert made(1.0, 2.0, 3.0, 4.0, 5.0).quartiles == (2, 4)
    assert made(1.0, np.inf, np.inf).median == np.inf
    assert made(1.0, 2.0, np.inf, np.inf).median == np.inf
    assert made(1.0, 2.0, 3.0, np.inf).quartiles == (1.5, np.inf)
    assert made(1.0, np.inf).endless == 1
    with pytest.raises(ValueError, match="row"):
        made(1.0, np.nan)


def test_losses_in_all_directions_are_those_of_algebra():
    task, weights, _ = linear(noise=0.5)
    start = weights + 0.2
    found = isotropy(task, start, [0.3, 1.0, 5.0], directions=11, execution=QUIET)
    states = start + np.multiply.outer([0.3, 1.0, 5.0], rows(task, start, 11))
    expected = jr.evaluate(task, states.reshape(-1, 5))["train_loss"].reshape(3, 11)
    np.testing.assert_allclose(found.losses, expected, rtol=1e-9)
    np.testing.assert_allclose(found.mean, expected.mean(1))
    np.testing.assert_allclose(found.sd, expected.std(1, ddof=1))
    np.testing.assert_allclose(found.spread, expected.std(1, ddof=1) / expected.mean(1))
    assert found.start_loss == pytest.approx(jr.evaluate(task, [start])["train_loss"][0])
    assert found.dimensions == 4


@pytest.mark.parametrize("curvatures", [[1.0] * 6 + [0.0] * 54, [1.0] * 60, [5.0, 3.0, 1.0] * 20])
def test_the_spread_tells_how_many_directions_are_short(curvatures):
    x = np.diag(np.sqrt(curvatures))
    data = jr.Dataset(x, np.zeros((60, 1)), x, np.zeros((60, 1)))
    network = nn.Linear(60, 1, bias=False).double()
    task = jr.Task(network, data, loss=jr.measures.squared_error)
    found = isotropy(task, np.zeros(60), [0.5, 2.0], 1000, tangential=False, execution=QUIET)
    square, trace = np.square(curvatures).sum(), np.sum(curvatures)
    np.testing.assert_allclose(found.short, trace**2 / square, rtol=0.1)
    assert found.mean == pytest.approx(np.array([0.25, 4]) * trace / 60 / 60, rel=0.05)


def test_short_directions_of_known_losses():
    # rises 1 and 3: mean 2, variance 2, so 4 / (1 + 2 / 4 * (4 + 2) / 2) = 1.6
    low = Isotropy(np.ones(1), np.array([[6.0, 8.0]]), 5.0, 4, {})
    assert low.short == pytest.approx([1.6], rel=1e-12)


@pytest.mark.parametrize(("curvatures", "expected"), [((1, 0), 1.0), ((1, 1), 2.0), ((3, 1), 1.6)])
def test_short_directions_of_a_plane_are_tr_squared_over_the_squared_norm(curvatures, expected):
    # all directions of a plane, evenly: the mean is exact, and so is the variance over all
    angle = np.pi * np.arange(100) / 100
    rise = (curvatures[0] * np.cos(angle) ** 2 + curvatures[1] * np.sin(angle) ** 2) / 2
    twice = np.r_[rise, rise.mean() + 0 * rise[:1]]  # one more at the mean: 100 for n - 1
    found = Isotropy(np.ones(1), twice[None] + 3, 3.0, 2, {})
    assert found.short == pytest.approx([expected], rel=1e-12)


def test_a_well_of_the_wedge_model_is_as_round_as_predicted():
    toy = jr.wedges.Toy(dim=400, short=50, wedges=1)
    v = np.random.default_rng(0).normal(size=(500, 400))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    losses = toy.loss(np.concatenate([v, 2 * v])).reshape(2, 500)
    found = Isotropy(np.array([1.0, 2.0]), losses, 0.0, 400, {})
    np.testing.assert_allclose(found.mean, jr.wedges.predict_loss(toy, [1.0, 2.0]), rtol=0.02)
    np.testing.assert_allclose(found.spread, np.sqrt((1 - 50 / 400) / 100), rtol=0.1)


@pytest.mark.slow
def test_execution_changes_nothing_and_the_seed_does():
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
    asked = {"task": task, "state": task.initial(0), "threshold": 3.0, "directions": 20}
    asked |= {"reach": 90.0, "steps": 90}
    one, two = (
        tunnel_width(**asked, execution=jr.Execution(n_jobs=n, progress=False)) for n in (1, 2)
    )
    assert one.endless == 0
    np.testing.assert_array_equal(one.widths, two.widths)
    again = tunnel_width(**asked, seed=1, execution=QUIET)
    assert not np.array_equal(again.widths, one.widths)
    assert again.provenance["seed"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 0.0}, "must lie above the state's own training loss"),
        ({"threshold": np.nan}, "threshold must be"),
        ({"threshold": np.inf}, "threshold must be"),
        ({"reach": 0.0}, "reach must be"),
        ({"reach": np.inf}, "reach must be"),
        ({"steps": 0}, "steps must be"),
        ({"precision": 0.0}, "precision must be"),
        ({"directions": 0}, "directions must be"),
        ({"state": np.zeros(5)}, "not all zero"),
    ],
)
def test_bad_widths_are_refused_before_work(change, message, monkeypatch):
    task, weights, _ = linear(noise=0.1)
    monkeypatch.setattr(tunnels, "spread", lambda *a, **w: pytest.fail("worked"))
    with pytest.raises(ValueError, match=message):
        tunnel_width(**{"task": task, "state": weights, "threshold": 1.0} | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distances": []}, "above 0"),
        ({"distances": [0.0]}, "above 0"),
        ({"distances": [np.inf]}, "above 0"),
        ({"directions": 1}, "at least 2 directions"),
    ],
)
def test_bad_spreads_are_refused_before_work(change, message, monkeypatch):
    task, weights, _ = linear()
    monkeypatch.setattr(tunnels, "spread", lambda *a, **w: pytest.fail("worked"))
    with pytest.raises(ValueError, match=message):
        isotropy(**{"task": task, "state": weights, "distances": [1.0]} | change)


def test_isotropy_checks_its_shapes():
    with pytest.raises(ValueError, match="2 or more directions"):
        Isotropy(np.ones(2), np.ones((2, 1)), 0.0, 3, {})


def test_what_becomes_of_the_users_model_afterwards_changes_nothing():
    model = jr.models.mlp((6,), 3, hidden=(5,)).double()
    task = jr.Task(model, nets.vectors(dtype=np.float64))
    state = task.initial(0)
    before = tunnel_width(task, state, 2.0, directions=4, reach=50.0, execution=QUIET).widths
    for parameter in model[-1].parameters():
        parameter.requires_grad_(False)
    after = tunnel_width(task, state, 2.0, directions=4, reach=50.0, execution=QUIET).widths
    np.testing.assert_array_equal(before, after)


def test_a_flat_loss_has_no_spread():
    flat = Isotropy(np.ones(1), np.zeros((1, 3)), 0.0, 5, {})
    assert np.isnan(flat.spread).all() and np.isnan(flat.short).all()


def test_weights_of_zero_have_no_reach():
    task = jr.Task(lambda: jr.models.mlp((6,), 3, hidden=(5,)), nets.vectors())
    zero = jr.controls.zero(task, task.initial(0))
    with pytest.raises(ValueError, match="how far to look must be given as reach"):
        tunnel_width(task, zero, 2.0, tangential=False)
    found = tunnel_width(task, zero, 2.0, 4, tangential=False, reach=1e3, execution=QUIET)
    assert found.radius == 0 and np.isinf(found.angle).all()


def test_a_loss_that_only_meets_the_threshold_ends_no_tunnel():
    ones, zero = np.ones((2, 2)), np.zeros((2, 1))
    task = jr.Task(
        nn.Linear(2, 1, bias=False).double(),
        jr.Dataset(ones, zero, ones, zero),
        loss=lambda out, _: out[:, 0].abs().clamp(max=1),
    )
    found = [
        jr.tunnel_width(task, np.zeros(2), level, 4, tangential=False, reach=50.0)
        for level in (1.0, 0.999)
    ]
    assert [one.endless for one in found] == [4, 0]


def test_the_spread_is_that_of_a_sample():
    # 1, 2, 6 deviate by -2, -1, 3 from 3: squares 14 over 3 - 1
    found = Isotropy(np.ones(1), np.array([[1.0, 2.0, 6.0]]), 0.0, 3, {})
    assert found.sd.tolist() == pytest.approx([7**0.5], rel=1e-12)
    assert found.spread.tolist() == pytest.approx([7**0.5 / 3], rel=1e-12)


@pytest.mark.parametrize(("precision", "halvings"), [(0.4, 0), (0.125, 0), (0.12, 1), (0.02, 3)])
def test_steps_are_halved_until_a_width_is_that_precise(precision, halvings):
    # four steps of 2 up to 8: halved h times, the middle of what is left is off by 1 / 2^h
    task, weights, _ = linear()
    found = tunnel_width(
        task, weights, 1.0, steps=4, precision=precision, reach=8.0, execution=QUIET
    )
    ends = found.widths[np.isfinite(found.widths)] * 2**halvings
    assert len(ends) and ((ends - 1) % 2 == 0).all()
