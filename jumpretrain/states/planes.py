"""Affine planes in weight space to which training is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from jumpretrain.execution.arguments import checked
from jumpretrain.tasks.task import digest

__all__ = ["Plane", "check_planes", "normal_to", "random_plane", "spanned_by"]


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane through the start of a run.

    Attributes:
        directions: Orthonormal directions in weight space (m, P).
        normal: Whether the plane is normal to them; otherwise it is spanned by them.

    Raises:
        ValueError: If the directions are not orthonormal.
    """

    directions: NDArray[Any]
    normal: bool

    def __post_init__(self) -> None:
        rows = np.asarray(self.directions)
        object.__setattr__(self, "directions", rows)
        gram = rows @ rows.T if rows.ndim == 2 else np.zeros((1, 1))
        if not np.allclose(gram, np.eye(len(gram)), atol=1e-4):
            raise ValueError(
                f"a plane needs orthonormal directions (m, P), but {rows.shape} are not; "
                "use normal_to, spanned_by or random_plane"
            )

    def project(self, moves: torch.Tensor) -> torch.Tensor:
        """Take the part of displacements (..., P) that lies in the plane.

        Returns:
            Displacements of the same shape.
        """
        rows = torch.as_tensor(self.directions, dtype=moves.dtype, device=moves.device)
        along = (moves @ rows.T) @ rows
        return moves - along if self.normal else along


@checked
def normal_to(directions: ArrayLike) -> Plane:
    """Make the plane normal to some directions.

    Args:
        directions: Linearly independent vectors (m, P).

    Returns:
        The plane, of dimension P - m.

    Raises:
        ValueError: If the directions are dependent or not finite.

    Example:
        >>> normal_to([[0.0, 2.0]]).project(torch.tensor([3.0, 4.0]))
        tensor([3., 0.])
    """
    return Plane(_orthonormal(directions), normal=True)


@checked
def spanned_by(directions: ArrayLike) -> Plane:
    """Make the plane that contains some directions.

    Args:
        directions: Linearly independent vectors (m, P).

    Returns:
        The plane, of dimension m.

    Raises:
        ValueError: If the directions are dependent or not finite.
    """
    return Plane(_orthonormal(directions), normal=False)


def random_plane(width: int, dim: int, seed: int) -> Plane:
    """Draw a plane of random orientation (arXiv:1804.08838 restricts training to such).

    Args:
        width: Number P of weights.
        dim: Dimension of the plane.
        seed: Of its orientation.

    Returns:
        The plane.

    Raises:
        ValueError: If the dimension is not between 1 and the number of weights.
    """
    if not 1 <= dim <= width:
        raise ValueError(f"a plane in {width} weights has dimension 1..{width}, not {dim}")
    rng = np.random.default_rng((seed, dim, width, 3))  # training draws from (seed, epoch)
    return spanned_by(rng.normal(size=(dim, width)))


def _orthonormal(directions: ArrayLike) -> NDArray[np.float64]:
    rows = np.atleast_2d(np.asarray(directions, dtype=np.float64))
    if not np.isfinite(rows).all():
        raise ValueError("directions must be finite, but some are not; leave out diverged runs")
    lengths = np.linalg.norm(rows, axis=1)
    unit = rows / np.where(lengths > 0, lengths, 1)[:, None]
    basis, upper = np.linalg.qr(unit.T)
    if len(rows) > rows.shape[1] or np.abs(np.diagonal(upper)).min() < 1e-7:
        raise ValueError(
            f"directions must be independent, but these {len(rows)} are not; leave out what is "
            "zero, repeated or a combination of others"
        )
    return np.ascontiguousarray(basis.T)


def check_planes(
    planes: Plane | Sequence[Plane] | None,
    count: int,
    weight_count: int,
    dtype: np.dtype[Any],
) -> list[Plane] | None:
    """Check to which planes runs are held.

    Args:
        planes: One a run, or one for all.
        count: Number of runs.
        weight_count: Number of weights, P.
        dtype: Type of the weights.

    Returns:
        One plane a run, equal ones being the same object; None where runs are free.

    Raises:
        ValueError: If there are others than that.
    """
    if planes is None:
        return None
    each = [planes] * count if isinstance(planes, Plane) else list(planes)
    if not all(isinstance(plane, Plane) for plane in each):
        raise ValueError("planes must be Planes, as normal_to, spanned_by and random_plane make")
    widths = {plane.directions.shape[1] for plane in each}
    if len(each) != count or widths != {weight_count}:
        raise ValueError(
            f"planes must be one, or one for each of {count} runs, in {weight_count} "
            f"weights, but there are {len(each)} in {sorted(widths)}"
        )
    keys = [(digest(plane.directions), plane.normal) for plane in each]  # equal ones are one
    unlike = dict(zip(keys, each, strict=True)).items()
    cast = {key: replace(p, directions=p.directions.astype(dtype)) for key, p in unlike}
    return [cast[key] for key in keys]
