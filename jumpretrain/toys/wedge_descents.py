"""Descents on the toy landscape, from many points at once, anywhere or within a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from jumpretrain.toys.wedges import Points, Toy

__all__ = ["descend", "draw_plane"]


def draw_plane(dim: int, size: int, seed: int = 0) -> Points:
    """Draw a random plane of `size` dimensions through the origin.

    Returns:
        Orthonormal vectors that span it, uniform over all planes (D, d).

    Raises:
        ValueError: If there is no such plane.
    """
    if not 0 < size <= dim:
        raise ValueError(f"a plane in {dim} dimensions has 1 to {dim} of them, but size is {size}")
    return np.linalg.qr(np.random.default_rng((seed, 2)).normal(size=(dim, size)))[0]


def descend(
    toy: Toy,
    points: ArrayLike,
    basis: Points | None = None,
    normal: Points | None = None,
    steps: int = 2000,
    until: float = 1e-12,
) -> Points:
    """Go downhill from many points, each for itself, anywhere or within a plane through it.

    On one wedge L^2 / 2 is quadratic, so each step goes to the lowest point on its line: there is
    no rate to tune, and the loss never rises. Without a plane the first step is Polyak's, L over
    the squared length of the gradient, and ends on the wedge. Within one, directions are conjugate
    while the nearest wedge stays the same, so that about s steps end at the lowest point; plain
    gradient descent slows down as d comes near s (all derived).

    A random plane of d dimensions meets a wedge if and only if d >= s: the threshold D - n of
    arXiv:1906.04724 section 3.2.

    Args:
        toy: The landscape.
        points: Where to start (N, D), with coordinates of order 1.
        basis: Orthonormal vectors (D, d): points move as M theta + P0, along these only.
        normal: Orthonormal vectors (D, m): points move across these only.
        steps: Number of steps after which a point stays where it is.
        until: Slope of L^2 / 2 within the plane at which a point stays earlier.

    Returns:
        Where each point ends (N, D).

    Raises:
        ValueError: If the plane is no orthonormal set of vectors, or given twice.

    Example:
        >>> toy, start = Toy(dim=40, short=10), np.ones((1, 40))
        >>> narrow, wide = (descend(toy, start, draw_plane(40, d)) for d in (9, 10))
        >>> toy.loss(narrow) > 1e-2, toy.loss(wide) < 1e-9
        (array([ True]), array([ True]))
    """
    found = toy.as_points(points).copy()
    if basis is not None and normal is not None:
        raise ValueError("a plane is given by basis= or by normal=, but both were passed")
    for name, vectors in (("basis", basis), ("normal", normal)):
        if vectors is not None:
            _check_plane(name, vectors, toy.dim)
    last, before = np.zeros((len(found), 1)), np.zeros(found.shape, dtype=np.bool_)
    heading = np.zeros_like(found)
    for _ in range(steps):
        short = toy.short_axes(found)
        slope = _restrict(np.where(short, found, 0.0), basis, normal)
        slope[np.linalg.norm(slope, axis=1) <= until] = 0.0
        if not slope.any():
            break
        size = _square(slope)
        stays = (short == before).all(axis=1, keepdims=True)
        heading = slope + np.where(stays, _ratio(size, last), 0.0) * heading
        length = _ratio((slope * heading).sum(axis=1, keepdims=True), _square(heading * short))
        found -= length * heading
        last, before = size, short
    return found


def _restrict(slope: Points, basis: Points | None, normal: Points | None) -> Points:
    if basis is not None:
        return (slope @ basis) @ basis.T
    return slope if normal is None else slope - (slope @ normal) @ normal.T


def _check_plane(name: str, vectors: Points, dim: int) -> None:
    shape = np.shape(vectors)
    if len(shape) != 2 or shape[0] != dim or not 0 < shape[1] <= dim:
        raise ValueError(f"{name} must be ({dim}, d) with d <= {dim}, but is {shape}")
    if not np.allclose(vectors.T @ vectors, np.eye(shape[1]), rtol=0, atol=1e-9):
        raise ValueError(f"{name} must be orthonormal, but is not; take numpy.linalg.qr of it")


def _square(vectors: Points) -> Points:
    return np.asarray((vectors**2).sum(axis=1, keepdims=True))


def _ratio(part: Points, whole: Points) -> Points:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
