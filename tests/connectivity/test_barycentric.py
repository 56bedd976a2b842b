"""Coordinates of nodes against closed forms."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumpretrain.connectivity.barycentric import (
    RandomPoint,
    bezier_coordinates,
    face_coordinates,
    faces,
    polychain_coordinates,
)

UNIT = st.floats(0, 1)


@given(alpha=UNIT, nodes=st.integers(2, 7), seed=st.integers(0, 99))
def test_bezier_is_what_de_casteljau_finds(alpha, nodes, seed):
    points = np.random.default_rng(seed).normal(size=(nodes, 3))
    expected = points
    while len(expected) > 1:
        expected = (1 - alpha) * expected[:-1] + alpha * expected[1:]
    np.testing.assert_allclose(bezier_coordinates(alpha, nodes) @ points, expected, atol=1e-12)


@given(alpha=UNIT, nodes=st.integers(2, 7))
def test_a_chain_is_what_interp_finds(alpha, nodes):
    heights = np.random.default_rng(nodes).normal(size=nodes)
    expected = np.interp(alpha, np.linspace(0, 1, nodes), heights)
    np.testing.assert_allclose(
        polychain_coordinates(alpha, nodes) @ heights, [expected], atol=1e-12
    )


@given(corners=st.integers(2, 6), seed=st.integers(0, 99))
def test_flat_faces_give_the_point_itself(corners, seed):
    rng = np.random.default_rng(seed)
    optima = rng.normal(size=(corners, 4))
    flat = np.array([optima[list(face)].mean(0) for face in faces(corners)])
    points = rng.dirichlet(np.ones(corners), 5)
    shares = face_coordinates(points)
    np.testing.assert_allclose(shares @ flat, points @ optima, atol=1e-12)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert (shares >= 0).all() and ((shares > 0).sum(1) <= corners).all()


@given(corners=st.integers(2, 6))
def test_the_centre_of_a_face_is_its_node_alone(corners):
    centres = [[(k in face) / len(face) for k in range(corners)] for face in faces(corners)]
    np.testing.assert_allclose(face_coordinates(centres), np.eye(2**corners - 1), atol=1e-12)


@settings(deadline=None, max_examples=5)
@given(corners=st.integers(2, 4))
def test_random_points_are_uniform_in_the_simplex(corners):
    generator = torch.Generator().manual_seed(0)
    draw = RandomPoint(face_coordinates, corners, 0, "surface")
    flat = np.array([[(k in f) / len(f) for k in range(corners)] for f in faces(corners)])
    numbers = torch.rand(4000, corners, generator=generator)
    points = np.array([draw.at(row) @ flat for row in numbers])
    # a uniform (Dirichlet) coordinate has mean 1 / n and variance (n - 1) / (n^2 (n + 1))
    spread = np.sqrt((corners - 1) / (corners**2 * (corners + 1)))
    assert (np.abs(points.mean(0) - 1 / corners) < 4 * spread / np.sqrt(4000)).all()
    np.testing.assert_allclose(points.std(0), spread, rtol=0.06)
