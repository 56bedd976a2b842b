"""How many directions around a state are sharp: large eigenvalues of its Hessian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from tqdm.auto import tqdm

from jumpretrain.curvature.hessian import Dtype, Hessian, hessian_product
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count, Positive, Seed
from jumpretrain.execution.execution import Execution, chunks, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.tasks.sources import StateLike
from jumpretrain.tasks.task import Task, digest

__all__ = ["SharpDirections", "goldilocks", "sharp_directions"]

MOST, FEWEST = 5_000, 100  # weights of the exact method, and of Lanczos
ROWS = 128
SOUGHT, BASIS, TOLERANCE = 128, 4, 1e-4  # measured: fewer or shorter rounds need more products


@dataclass(frozen=True, eq=False)
class SharpDirections:
    """The spectrum of a Hessian, or its part above a cut.

    Attributes:
        eigenvalues: From large to small, in units of loss per squared weight: all (P,) of the
            exact method, those above the cut (E,) of Lanczos.
        cut: Smallest curvature that counts as sharp.
        trace: Sum of all eigenvalues.
        frobenius: Root of the sum of their squares.
        loss: Mean training loss of the state, in evaluation mode.
        gradient_norm: Euclidean length of its gradient; the counts of two states compare where
            loss and gradient are alike.
        method: `"exact"` or `"lanczos"`.
        provenance: Of which task and state, with which type, on how many examples, with how many
            Hessian products, and with which seed and draws trace and Frobenius norm were
            estimated.

    Raises:
        ValueError: If the eigenvalues are not finite and in order, or the cut is not positive.
    """

    eigenvalues: NDArray[np.float64]
    cut: float
    trace: float
    frobenius: float
    loss: float
    gradient_norm: float
    method: Literal["exact", "lanczos"]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        _check_cut(self.cut)
        values = self.eigenvalues
        if values.ndim != 1 or not np.isfinite(values).all() or (np.diff(values) > 0).any():
            raise ValueError("eigenvalues must be one finite row from large to small")

    @property
    def count(self) -> int:
        """Number of sharp directions: eigenvalues above the cut."""
        return self.above(self.cut)

    @property
    def goldilocks(self) -> float:
        """Trace over Frobenius norm: arXiv:1807.02581; NaN of a flat landscape."""
        return self.trace / self.frobenius if self.frobenius else np.nan

    def above(self, cut: float) -> int:
        """Count the eigenvalues above another cut.

        Returns:
            Their number.

        Raises:
            ValueError: If Lanczos did not look that far down.
        """
        if self.method == "lanczos" and cut < self.cut:
            raise ValueError(
                f"eigenvalues are known above {self.cut}, but the cut is {cut}; "
                "call sharp_directions with that cut"
            )
        return int((self.eigenvalues > cut).sum())


@checked
@standard_settings()
def sharp_directions(
    task: Task,
    state: StateLike,
    cut: Positive = 0.03,
    method: Literal["exact", "lanczos"] = "exact",
    dtype: Dtype = "float64",
    seed: Seed = 0,
    draws: Count = 32,
    budget: Count = 10_000,
    execution: Execution | None = None,
) -> SharpDirections:
    """Count the directions in which the training loss curves by more than a cut.

    arXiv:1906.04724 counts directions of curvature above 0.03 without saying how; eigenvalues of
    the Hessian are the natural reading (derived). Which loss that is: see `hessian_product`.

    The exact method builds the whole matrix. Lanczos finds the largest eigenvalues 128 at a time,
    each time in the complement of those found before, until the largest that is left lies below
    the cut: a single round can miss copies of repeated eigenvalues (measured). Trace and Frobenius
    norm are then exact on what was found and Hutchinson estimates on the rest (as in
    arXiv:2010.09649).

    Args:
        task: The task of the state.
        state: A state (S,).
        cut: Smallest curvature that counts.
        method: `"exact"` for up to 5,000 weights, `"lanczos"` for 100 or more.
        dtype: Type of the copy of the network; convolutions are several times faster in float32.
        seed: Of the first vectors of Lanczos and the draws of the estimates.
        draws: Random sign vectors of the estimates.
        budget: Most Hessian products of the search for eigenvalues; one costs about two gradients
            of the scored training examples.
        execution: Where the exact method computes, and whether a bar is shown.

    Returns:
        The eigenvalues with their count.

    Raises:
        ValueError: If the state or an argument does not fit, the loss is not finite there, the
            method does not suit the number of weights, or the budget is spent.

    Example:
        >>> import jumpretrain as jr
        >>> data = jr.data.digits().subset(60, seed=0)
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(2,)), data)
        >>> found = sharp_directions(task, task.initial(0))
        >>> found.eigenvalues.shape, 0 < found.count < 160
        ((160,), True)
    """
    _check(task, cut, method, draws, budget)
    centre = task.state(state, "state")
    with standard_settings():
        hessian = Hessian(task, centre, dtype)
    parts: dict[str, Any]
    if method == "exact":
        parts = _exact(task, centre, dtype, execution or Execution())
    else:
        shown = (execution or Execution()).progress
        with tqdm(desc="Hessian products", disable=not shown, leave=False) as bar:
            (parts,) = spread(_lanczos, [(hessian, cut, seed, draws, budget, bar)], Execution())
    return SharpDirections(
        eigenvalues=parts["eigenvalues"],
        cut=cut,
        trace=parts["trace"],
        frobenius=parts["frobenius"],
        loss=hessian.loss,
        gradient_norm=hessian.gradient_norm,
        method=method,
        provenance={
            "task": task.fingerprint,
            "state": digest(centre),
            "dtype": dtype,
            "examples": hessian.examples,
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
            **parts["provenance"],
        },
    )


@standard_settings()
def goldilocks(
    task: Task, state: StateLike, dimensions: int, seed: int = 0, dtype: Dtype = "float64"
) -> float:
    """Measure trace over Frobenius norm of the Hessian in a random plane: arXiv:1807.02581.

    The plane is spanned by orthonormal vectors, uniformly drawn; the paper's are sparse and only
    nearly orthogonal, and rescaled by layer.

    Args:
        task: The task of the state.
        state: A state (S,).
        dimensions: Dimension d of the plane; the paper has 10, 50 and 100.
        seed: Of the plane.
        dtype: Type of the copy of the network.

    Returns:
        The ratio, at most the root of d; NaN where the plane is flat.

    Raises:
        ValueError: If the state does not fit or the dimensions are not 1..P.
    """
    if not 1 <= dimensions <= task.weight_count:
        raise ValueError(
            f"dimensions must be 1..{task.weight_count}, the weights, but is {dimensions}"
        )
    with standard_settings():
        product = hessian_product(task, state, dtype)
        draws = np.random.default_rng(seed).normal(size=(task.weight_count, dimensions))
        plane = np.linalg.qr(draws)[0]
        matrix = plane.T @ np.stack([product(column) for column in plane.T], axis=1)
    norm = float(np.linalg.norm(matrix))
    return float(np.trace(matrix)) / norm if norm else np.nan


def _exact(task: Task, state: NDArray[Any], dtype: Dtype, execution: Execution) -> dict[str, Any]:
    count = task.weight_count
    jobs = [(task, state, dtype, rows) for rows in chunks(count, ROWS)]
    matrix = np.concatenate(spread(_rows, jobs, execution, "Hessian"))
    with standard_settings():
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1]
    return {
        "eigenvalues": np.ascontiguousarray(values),
        "trace": float(np.trace(matrix)),
        "frobenius": float(np.linalg.norm(matrix)),
        "provenance": {"products": count},
    }


def _rows(
    task: Task, state: NDArray[Any], dtype: Dtype, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    product, unit = hessian_product(task, state, dtype), np.zeros(task.weight_count)
    found = np.empty((len(rows), task.weight_count))
    for place, row in enumerate(rows):
        unit[row] = 1
        found[place] = product(unit)
        unit[row] = 0
    return found


def _lanczos(
    hessian: Hessian, cut: float, seed: int, draws: int, budget: int, bar: Any
) -> dict[str, Any]:
    rng, width = np.random.default_rng(seed), len(hessian.weights)
    values, vectors = np.empty(0), np.empty((width, 0))
    spent = 0

    def outside(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return vector - vectors @ (vectors.T @ vector)

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal spent
        spent += 1
        bar.update()
        if spent > budget:
            raise ValueError(
                f"the eigenvalues above {cut} must be found with {budget} Hessian products, but "
                f"more are needed ({len(values)} are found); raise the cut or the budget"
            )
        return outside(hessian.product(outside(vector.ravel())))

    operator = LinearOperator((width, width), matvec=product, dtype=np.float64)
    most = sought = min(SOUGHT, width // BASIS)
    while sought:
        start, basis = rng.normal(size=width), max(BASIS * sought, SOUGHT // 2)
        if not operator.matvec(start).any():
            break  # what is left is flat
        found, along = eigsh(
            operator, sought, which="LA", v0=start, ncv=basis, tol=TOLERANCE, maxiter=budget
        )
        above = found > cut
        values = np.append(values, found[above])
        vectors = np.hstack([vectors, along[:, above]])
        sought = most if above.all() else int(above.any())
    signs = rng.choice([-1.0, 1.0], size=(draws, width))
    seen = np.stack([outside(vector) for vector in signs])
    rest = np.stack([outside(hessian.product(vector)) for vector in seen])
    return {
        "eigenvalues": np.sort(values)[::-1],
        "trace": float(values.sum() + (seen * rest).sum() / draws),
        "frobenius": float(np.sqrt((values**2).sum() + (rest**2).sum() / draws)),
        "provenance": {"products": spent + draws, "budget": budget, "seed": seed, "draws": draws},
    }


def _check(task: Task, cut: float, method: str, draws: int, budget: int) -> None:
    _check_cut(cut)
    count = task.weight_count
    if method not in ("exact", "lanczos"):
        raise ValueError(f"method must be exact or lanczos, but is {method!r}")
    if method == "exact" and count > MOST:
        raise ValueError(
            f"the exact method takes up to {MOST} weights, but the network has {count}; "
            "pass method='lanczos'"
        )
    if method == "lanczos" and count < FEWEST:
        raise ValueError(
            f"Lanczos takes {FEWEST} weights or more, but the network has {count}; "
            "pass method='exact'"
        )
    if draws < 1 or budget < 1:
        raise ValueError(f"draws and budget must be at least 1, but are {draws} and {budget}")


def _check_cut(cut: float) -> None:
    if not 0 < cut < np.inf:
        raise ValueError(f"cut must be a positive curvature, but is {cut}")
