"""Directions and deviations, against norms and angles worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from jumpretrain.contents.layout import Layout
from jumpretrain.states.directions import deviation_cosines, directions


def network():
    return nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5)
    ).double()


LAYOUT = Layout.of(network())
OPTIMUM = np.random.default_rng(0).normal(size=LAYOUT.width) + 0.3


def tensors(row):
    return [tensor for _, tensor in LAYOUT.weights(row)]


def test_each_filter_has_the_norm_of_the_optimums_and_vectors_stay():
    rows, still = directions(LAYOUT, OPTIMUM, [7, 8])
    assert rows.shape == (2, LAYOUT.weight_count) and still == 0
    for row in rows:
        for drawn, weights in zip(tensors(row), tensors(OPTIMUM), strict=True):
            if weights.ndim < 2:
                assert not drawn.any()
                continue
            flat, other = drawn.reshape(len(drawn), -1), weights.reshape(len(weights), -1)
            norms = [np.sqrt((some**2).sum(axis=1)) for some in (flat, other)]
            assert norms[0] == pytest.approx(norms[1], rel=1e-12)


def test_numbers_are_those_of_numpys_generator_tensor_by_tensor():
    row = directions(LAYOUT, OPTIMUM, [3])[0][0]
    rng = np.random.default_rng(3)
    noise = [rng.standard_normal(tensor.shape) for tensor in tensors(OPTIMUM)]
    first, weights = noise[0], tensors(OPTIMUM)[0]
    expected = [
        f * np.linalg.norm(w) / np.linalg.norm(f) for f, w in zip(first, weights, strict=True)
    ]
    assert tensors(row)[0] == pytest.approx(np.stack(expected), rel=1e-12)
    last = tensors(row)[-2][1] / noise[-2][1]
    assert last == pytest.approx(np.full(12, last[0]), rel=1e-12)


def test_vectors_have_their_own_norm_where_they_move():
    row = directions(LAYOUT, OPTIMUM, [3], include_1d=True)[0][0]
    for drawn, weights in zip(tensors(row), tensors(OPTIMUM), strict=True):
        assert np.linalg.norm(drawn) == pytest.approx(np.linalg.norm(weights), rel=1e-12)


def test_layers_and_the_whole_have_the_norms_of_what_moves():
    layer = tensors(directions(LAYOUT, OPTIMUM, [3], "layer")[0][0])
    weights = tensors(OPTIMUM)
    for drawn, own in zip(layer, weights, strict=True):
        if own.ndim > 1:
            assert np.linalg.norm(drawn) == pytest.approx(np.linalg.norm(own), rel=1e-12)
    whole = directions(LAYOUT, OPTIMUM, [3], "none")[0][0]
    moving = np.concatenate([own.ravel() for own in weights if own.ndim > 1])
    assert np.linalg.norm(whole) == pytest.approx(np.linalg.norm(moving), rel=1e-12)
    one_scale = whole[whole != 0] / np.concatenate([
        noise.ravel()
        for noise in map(np.random.default_rng(3).standard_normal, [w.shape for w in weights])
        if noise.ndim > 1
    ])
    assert one_scale == pytest.approx(np.full(len(one_scale), one_scale[0]), rel=1e-12)


def test_filters_of_zeros_stay_and_are_counted():
    dead = OPTIMUM.copy()
    dead[: 2 * 8] = 0  # the first two of three filters of 2 x 2 x 2
    rows, still = directions(LAYOUT, dead, [0])
    assert still == 2 and not rows[0, :16].any() and rows[0, 16:24].all()
    assert directions(LAYOUT, dead, [0], "layer")[1] == 0


def test_filters_of_a_transposed_convolution_are_its_inputs():
    layout = Layout.of(nn.ConvTranspose1d(2, 3, 4, bias=False).double())
    optimum = np.arange(24.0)
    drawn = directions(layout, optimum, [0])[0][0].reshape(2, 12)
    norms = np.linalg.norm(drawn, axis=1)
    assert norms == pytest.approx(np.linalg.norm(optimum.reshape(2, 12), axis=1), rel=1e-12)


def test_deviations_of_a_known_polyline():
    # off the chord along x: (., 1, 0), (., 1, 1) and (., 0, -2); the fourth lies on it
    nodes = [[0, 0, 0], [1, 1, 0], [2, 1, 1], [3, 0, -2], [1, 0, 0], [4, 0, 0]]
    half = 0.5**0.5
    expected = [[1, half, 0], [half, 1, -half], [0, -half, 1]]
    found = deviation_cosines(nodes)
    assert found[:3, :3] == pytest.approx(np.array(expected), abs=1e-12)
    assert np.isnan(found[3]).all() and np.isnan(found[:, 3]).all()
    moved = np.array(nodes) @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0] + 5
    assert deviation_cosines(moved)[:3, :3] == pytest.approx(np.array(expected), abs=1e-9)


def test_torchs_types_are_kept():
    single = Layout.of(nn.Linear(2, 2))
    assert directions(single, np.ones(6, np.float32), [0])[0].dtype == np.float32
    assert single.dtype is torch.float32
