"""Numbers that are known without a computer, beside those that the program finds.

Each function works through one small example and says how far the program is from it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import betainc, chdtri, gammaln

from jumpretrain.comparison import hypothesis_tests as tests
from jumpretrain.connectivity.barycentric import (
    RandomPoint,
    bezier_coordinates,
    face_coordinates,
    polychain_coordinates,
)
from jumpretrain.connectivity.connector import Connector
from jumpretrain.curvature.tunnels import Isotropy
from jumpretrain.engine.recipe import Recipe
from jumpretrain.paths.biases import turning_alpha
from jumpretrain.paths.certificate import certificate, linearity
from jumpretrain.paths.gauss_length import turning
from jumpretrain.paths.path import Path
from jumpretrain.states.curves import Curve

__all__ = ["CLOSED_FORMS", "Outcome", "beside"]

HALF = math.sqrt(0.5)


@dataclass(frozen=True)
class Outcome:
    """One comparison with a known truth.

    Attributes:
        claim: What is compared with what.
        error: The largest difference found.
        tolerance: The largest difference allowed.
    """

    claim: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        mark = "ok  " if self.holds else "FAIL"
        return f"{mark} {self.claim}: error {self.error:.1e}, allowed {self.tolerance:.0e}"


def beside(claim: str, pairs: list[tuple[Any, Any]], tolerance: float = 1e-9) -> Outcome:
    """Set what was found beside what is right.

    Args:
        claim: What is compared with what.
        pairs: Numbers found and numbers expected; NaN is right where NaN is expected.
        tolerance: The largest difference allowed.

    Returns:
        The outcome; its error is infinite where shapes differ.
    """
    return Outcome(claim, max(_apart(found, right) for found, right in pairs), tolerance)


def _apart(found: ArrayLike, right: ArrayLike) -> float:
    one, other = np.asarray(found, dtype=float), np.asarray(right, dtype=float)
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return math.inf
    apart = np.subtract(one, other, out=np.zeros_like(one), where=(one != other) & ~np.isnan(one))
    return float(np.abs(apart).max(initial=0))


def _schedules() -> Outcome:
    cosine = Recipe(epochs=4, lr=1.0, schedule="cosine")
    steps = Recipe(epochs=4, lr=1.0, schedule="steps", milestones=(0.5, 0.75))
    return beside(
        "rates fall as a cosine and by tenths, snapshots double within the first epoch",
        [
            ([cosine.rate(k) for k in range(4)], [1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2]),
            ([steps.rate(k) for k in range(4)], [1, 1, 0.1, 0.01]),
            (Recipe(epochs=2).record_steps(9), [0, 1, 2, 4, 8, 9, 18]),
        ],
    )


def _permutations() -> Outcome:
    three = [[1.0, 4.0], [2.0, 2.0], [7.0, 3.0]]
    strata = [[0, 0, 1, 1]] * 2
    blocked = tests.permutation_test([[1, 2, 101, 102], [0, 1.2, 100, 101.2]], strata=strata)
    rank = tests.spearman([1, 2, 3, 4, 5], [2, 3, 5, 7, 9])
    return beside(
        "exact p-values are 2/252, 6/15, 8/36 and 2/120 where all relabellings can be counted",
        [
            (tests.permutation_test([np.arange(5.0), np.arange(5.0) + 100]).p, 2 / 252),
            (tests.permutation_test([np.arange(5.0) + 100, np.arange(5.0)]).p, 2 / 252),
            (
                tests.permutation_test([np.arange(3.0) + 9 * k for k in range(3)]).smallest,
                6 / 1680,
            ),
            (tests.permutation_test(three).p, 6 / 15),
            (tests.permutation_test(three).statistic, math.sqrt(31 / 3)),
            ((blocked.p, blocked.smallest, blocked.statistic), (8 / 36, 2 / 36, 0.9)),
            (tests.permutation_test([np.arange(9), np.arange(9) + 99], resamples=99).p, 0.01),
            ((rank.rho, rank.p), (1, 2 / 120)),
            (math.atanh(rank.low), math.atanh(0.9) - _reach(0.9, 2)),
            (tests.holm([0.03, 0.01, math.nan, 0.04, 0.02]), [0.06, 0.04, math.nan, 0.06, 0.06]),
        ],
    )


def _covariates() -> Outcome:
    groups, covariates = [[1.0, 4.0, 2.0], [5.0, 9.0, 4.0]], [[0.0, 2.0, 1.0], [1.0, 3.0, 0.0]]
    y, c = np.concatenate(groups), np.concatenate(covariates)
    line = np.column_stack([np.ones(6), c])
    full = np.column_stack([line, np.repeat([0.0, 1.0], 3)])
    left = y - line @ np.linalg.lstsq(line, y, rcond=None)[0]
    orders = np.array(list(itertools.permutations(range(6))))
    ratios = [np.linalg.lstsq(x, left[orders].T, rcond=None)[1] for x in (line, full)]
    f = ratios[0] / ratios[1]
    return beside(
        "groups beyond a covariate have the p of permuted residuals, counted by least squares",
        [(tests.given_covariate(groups, covariates), np.mean(f >= f[0] * (1 - 1e-9)))],
    )


def _effects() -> Outcome:
    a, b = [2.0, 3.0, 4.0], [1.0, 2.0, 3.0]
    factor = math.gamma(2) / (math.sqrt(2) * math.gamma(1.5))
    reach = 1.959963984540054 * math.sqrt(2 / 3)
    return beside(
        "effects by hand: Cliff's delta 5/9, Hedges' g .798, eta squared 52/58, and intervals",
        [
            (tests.cliffs_delta(a, b), 5 / 9),
            (tests.standardised_difference(a, b), factor),
            (tests.eta_squared([0, 2], [2, 4], [7, 9]), 52 / 58),
            (tests.difference_interval([1, 2, 3], [0, 2, 4]), (-reach, reach)),
            (tests.bootstrap_interval([[0, 1], [0, 0]], _gap, level=0.4), (0.5, 0.5)),
            (tests.verdict(0.2, 0.5, 0.3) == "undecided", 1),
        ],
    )


def _gap(a: Any, b: Any) -> Any:
    return a.mean(-1) - b.mean(-1)


def _intervals() -> Outcome:
    a, b = [1.0, 3, 4, 6, 8], [0.0, 2, 2.5, 5]
    win, z = (np.array(tests.delta_interval(a, b)) + 1) / 2, 1.959963984540054
    q1, q2, pairs = win / (2 - win), 2 * win**2 / (1 + win), 20
    variance = (win * (1 - win) + 3.5 * (q1 + q2 - 2 * win**2)) / pairs
    low, high = tests.share_interval([0, 2], [2, 4], [7, 9])
    times, mean = np.arange(400), 6 * high / (1 - high) / 2  # F is 13 of 2 and 3 degrees
    chance = np.exp(times * math.log(mean) - mean - gammaln(times + 1))
    below = chance @ betainc(1 + times, 1.5, 26 / (26 + 3))
    far = tests.difference_interval([1e5, 1e5 + 1, 1e5 + 2], [0, 1, 2])
    rank = tests.spearman([1, 2, 3, 4, 5, 6], [2, 1, 4, 6, 3, 5])
    held = tests.partial_spearman([1, 2, 3, 4, 5, 6], [2, 1, 4, 6, 3, 5], [1, 3, 2, 6, 4, 5])
    ab, ac, bc = 23 / 35, 27 / 35, 25 / 35
    part = (ab - ac * bc) / math.sqrt((1 - ac**2) * (1 - bc**2))
    return beside(
        "intervals solve their equations: Cliff's delta, eta squared, rank correlations",
        [
            (np.abs(win - 0.75), z * np.sqrt(variance)),
            ((low, 100 * below), (0, 2.5)),
            (np.array(far) / 1e5, np.sqrt(chdtri(4, [0.975, 0.025]) / 4)),
            ((rank.rho, held.rho), (ab, part)),
            (
                np.arctanh([rank.low, rank.high]),
                math.atanh(ab) + _reach(ab, 3) * np.array([-1, 1]),
            ),
            (math.atanh(held.high), math.atanh(part) + _reach(part, 2)),
        ],
        5e-3,  # scipy 1.12 has fewer digits far out
    )


def _reach(rho: float, freedom: int) -> float:
    return 1.96 * math.sqrt((1 + rho**2 / 2) / freedom)


def _paths() -> Outcome:
    alphas = np.array([0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 1])
    loss = np.array([2, 3, 1.9, 1, 1, 2.5, 1.85, 1.1, 0.5])
    error = np.array([0.75, 0.75, 0.68, 0.66, 0.3, 0.3, 0.2, 0.1, 0])
    metrics = {"train_loss": loss, "train_error": error}
    path = Path(alphas, metrics, {"train": np.tile(error[:, None], 4)})
    rises, level = path.monotonicity(), path.plateau()
    return beside(
        "a path's rises, barriers and plateaus are those that one reads off it",
        [
            (path.barrier("running_minimum"), 1.5),
            (path.barrier("above_ends"), 1),
            (path.barrier("above_chord"), 2.5 - 0.65),
            ((*(rises.where or ()), rises.min_delta, rises.rising), (0.5, 0.9, 1.5, 0.25)),
            ([[b.start, b.end, b.height] for b in rises.bumps], [[0, 0.3, 1], [0.7, 1, 1.5]]),
            ((level.error, level.loss, level.half), (0.3, 0.95, 0.98)),
            (level.excess, 3 - math.log(4)),
            (Curve(np.zeros(2), np.ones(2), np.array([1, 3])).at([0.5]), [[0.5, 0.125]]),
        ],
    )


def _outputs() -> Outcome:
    angle = np.linspace(0, np.pi, 1000)
    arc = turning(np.c_[np.cos(angle), np.sin(angle)])
    corner = np.array([[[0.0, 0]], [[1, 0]], [[1, 1]]])
    missed = certificate(corner, [[1.0, 2.0]])
    straight = np.array([[[0.0, 0]], [[2, 0]], [[4, 0]]])
    three = np.zeros((3, 3, 2))
    three[:, 0], three[:, 1:, 1] = corner[:, 0], np.arange(3)[:, None]
    return beside(
        "outputs on half a circle turn by pi, a corner by pi/2 and strays by 1/4",
        [
            ((arc.joint, arc.path_length[0]), (np.pi * 998 / 999, 1998 * np.sin(np.pi / 1998))),
            (turning(corner).per_example, [np.pi / 2]),
            ((turning(three).mean, turning(three).joint), (np.pi / 6, math.acos(2 / 3))),
            (linearity(corner, [0, 0.5, 1]), 0.25),
            (linearity(corner, [0, 0.25, 1]), 0.25),
            (certificate(straight, [[4.5, 0]], tolerance=0.2).holds, 1),
            ((missed.residual[0], missed.first[0], missed.holds), (1, math.sqrt(5), 0)),
            (
                turning_alpha(np.array([[4.0, 0, 3], [0, 1, 4]]), [0, 1, 2], [0, 1], 3),
                [2**0.5, math.inf],
            ),
        ],
        1e-6,
    )


def _curves() -> Outcome:
    halves = RandomPoint(face_coordinates, 2, 3, "segment")  # waits of log 2 and twice that
    faces = [[0.1, 0, 0, 0.6, 0, 0, 0.3]]  # .5 - .4, twice .4 - .1, three times .1
    return beside(
        "points of curves and surfaces weigh their nodes by Bernstein's and barycentric shares",
        [
            (
                bezier_coordinates([0, 0.5, 0.25], 3)[1:],
                [[0.25, 0.5, 0.25], [9 / 16, 6 / 16, 1 / 16]],
            ),
            (polychain_coordinates([0, 0.25, 1], 3), [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]),
            (face_coordinates([[0.5, 0.4, 0.1]]), faces),
            (halves.at(torch.tensor([0.5, 0.75])), [0, 1 / 3, 2 / 3]),
            (face_coordinates([[0.1, 0.5, 0.4]]), [[0, 0.1, 0, 0, 0, 0.6, 0.3]]),
        ],
    )


def _connector() -> Outcome:
    nodes = np.array([[0.0, 0, 9], [0, 3, 8], [4, 3, 7]])
    shares = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]])
    reached = np.array([0, 1.5, 3, 5, 7]) / 7
    bent, flat = (
        {"train_loss": np.array(x)} for x in ([1.0, 3, 2.5, 2, 0.5], [1.0, 4, 9, 2, 0.5])
    )
    places = np.c_[1 - reached, reached]
    made = Connector(nodes, shares, places, bent, flat, None, {"weights": 2})
    return beside(
        "a connector over two sides of a rectangle is 7/5 as long, with barriers 2 and 8",
        [
            ((made.barrier, made.linear_barrier, made.length_ratio), (2, 8, 1.4)),
            (made.norms, [0, 1.5, 3, math.sqrt(13), 5]),
            (made.deviation_cosines(), [[1]]),
        ],
        1e-7,
    )


def _isotropy() -> Outcome:
    low = Isotropy(np.ones(1), np.array([[6.0, 8.0]]), 5.0, 4, {})
    return beside(
        "rises of 1 and 3 in 4 dimensions tell of 1.6 short directions",
        [(low.short, [1.6]), (low.spread, [math.sqrt(2) / 7])],
    )


CLOSED_FORMS: tuple[Callable[[], Outcome], ...] = (
    _schedules,
    _permutations,
    _covariates,
    _effects,
    _intervals,
    _paths,
    _outputs,
    _curves,
    _connector,
    _isotropy,
)
