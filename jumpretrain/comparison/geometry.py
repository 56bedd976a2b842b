"""Measure trajectories in the full weight space, before any embedding.

Everything follows from the inner products of a run's moves: the jump, then the steps between
consecutive snapshots. Snapshots are not equally spaced in time (several lie within the first
epoch), and every step counts once: select whole epochs first where that matters, as
`describe_geometry` does. Hypotheses H3 to H6 on arXiv 2102.00485 sections 4.2 and 4.3; the
measures are derived.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jumpretrain.embedding.gram import from_gram
from jumpretrain.embedding.gram import gram as multiply
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Names
from jumpretrain.execution.settings import standard_settings
from jumpretrain.sampling.trajectories import Trajectories

__all__ = [
    "control_displacement",
    "describe_geometry",
    "distance",
    "jump_cosine",
    "moves",
    "outward_fraction",
    "overshoot",
    "path_over_chord",
    "sideways",
    "silhouette",
    "turning",
]

BLOCK_ENTRIES = 2**22
ROUNDING = 16 * np.finfo(float).eps


@checked
@standard_settings()
def moves(trajectories: Trajectories, columns: int | None = None) -> NDArray[np.float64]:
    """Multiply the moves of each run with one another, some weights of one run at a time.

    Move 0 of a run is its jump, from the optimum to the first snapshot; move t leads from
    snapshot t - 1 to snapshot t. Differences are taken in float64 by one thread.

    Args:
        trajectories: R runs of T snapshots; the states may stay on disk.
        columns: How many weights make a block; by default as many as fill 32 MiB.

    Returns:
        The inner products (R, T, T) that the other functions take.

    Raises:
        ValueError: If a run holds numbers that are not finite.
    """
    times = len(trajectories.epoch)
    width = columns or max(1, BLOCK_ENTRIES // max(times, 1))
    total = np.zeros((len(trajectories), times, times))
    with np.errstate(invalid="ignore", over="ignore"):
        for run in range(len(trajectories)):
            for start in range(0, trajectories.weight_count, width):
                block = _moves(trajectories, run, start, start + width)
                total[run] += block @ block.T
    broken = np.flatnonzero(~np.isfinite(total).all(axis=(1, 2)))
    if len(broken):
        raise ValueError(
            f"geometry needs finite weights, but run {broken[0]} holds others; select other runs, "
            "such as .jumps()"
        )
    return total


@standard_settings()
def distance(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how far every snapshot is from the optimum, in units of its run's jump.

    Returns:
        r(t) / r(0), one row a run (R, T); 1 at the jump.
    """
    radius = _radius(moves)
    return radius / _jump(radius)


@standard_settings()
def overshoot(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how far beyond the jump a run ever goes, over all snapshots.

    Returns:
        The largest r(t) / r(0), less 1, of each run (R,); 0 for a run that stays within.
    """
    return np.asarray(distance(moves).max(axis=1) - 1)


@standard_settings()
def outward_fraction(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how often a run moves away from the optimum, over consecutive snapshots.

    Returns:
        The share of steps that increase the distance from the optimum by more than rounding, of
        each run (R,).
    """
    _check_times(moves)
    grown = np.diff(_radius(moves) ** 2, axis=1)
    path = _lengths(moves).cumsum(axis=1)[:, 1:]
    return np.asarray((grown > ROUNDING * path**2).mean(axis=1))


@standard_settings()
def path_over_chord(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how much longer a run's path is than the way from its jump to its last snapshot.

    Returns:
        The ratio of each run (R,): 1 for a straight line or a run that does not move, infinite
        for a closed loop.
    """
    _check_times(moves)
    path = _lengths(moves)[:, 1:].sum(axis=1)
    chord = _root(moves[:, 1:, 1:].sum(axis=(1, 2)), path)
    ratio = np.full(len(moves), np.inf)
    np.divide(path, chord, out=ratio, where=chord > 0)
    return np.where(path > 0, ratio, 1.0)


@standard_settings()
def turning(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how much a run changes direction from one step to the next.

    A step of length zero has no direction and is passed over: the angle is then between the
    steps around it.

    Returns:
        The mean angle in radians of each run (R,): 0 for a straight line or a run of less than
        two steps that move, pi for going back and forth.
    """
    return np.array([_mean_angle(run[1:, 1:]) for run in moves])


@standard_settings()
def jump_cosine(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how much of a snapshot's direction from the optimum is still that of its jump.

    Returns:
        The cosine between a snapshot's difference from the optimum and the jump (R, T); 1 at the
        jump, and 0 for a snapshot on the optimum, which has no direction.
    """
    radius = _radius(moves)
    scale = radius * _jump(radius)
    cosine = np.zeros_like(scale)
    np.divide(moves[:, :, 0].cumsum(axis=1), scale, out=cosine, where=scale > 0)
    return np.clip(cosine, -1, 1)


@standard_settings()
def sideways(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how far every snapshot is from the line through the optimum and its jump.

    Returns:
        The part of its difference from the optimum that is orthogonal to the jump, in units of
        the jump's length (R, T); 0 at the jump.
    """
    share: NDArray[np.float64] = np.sqrt(1 - jump_cosine(moves) ** 2)
    return distance(moves) * share


@checked
@standard_settings()
def silhouette(distances: NDArray[np.float64], clusters: Names) -> float:
    """Measure how much nearer points are to their own cluster than to the next one.

    Args:
        distances: Distances between all points (N, N).
        clusters: The name of each point's cluster (N,), or one row of names a point (N, m).

    Returns:
        The mean silhouette coefficient, in [-1, 1].

    Raises:
        ValueError: If there are fewer than 2 clusters, or no cluster has 2 points.
    """
    _, names = np.unique(np.asarray(clusters), axis=0, return_inverse=True)
    count = len(np.unique(names))
    if not 2 <= count < len(names) or np.shape(distances) != 2 * (len(names),):
        raise ValueError(
            f"a silhouette needs 2 to {len(names) - 1} clusters among {len(names)} points, but "
            f"there are {count} and distances {np.shape(distances)}; sample more points"
        )
    from sklearn.metrics import silhouette_score  # plots need none

    return float(silhouette_score(distances, names.ravel(), metric="precomputed"))


@checked
@standard_settings()
def describe_geometry(
    trajectories: Trajectories, gram: NDArray[np.float64] | None = None
) -> dict[str, float]:
    """Sum up the geometry of the jumps of one network; controls are left out.

    `outward_steps`, `path_over_chord`, `turning_angle` and `mean_cosine_to_jump` depend on the
    spacing of the snapshots and use those at whole epochs only; all else uses all snapshots.

    Args:
        trajectories: Any trajectories; `.jumps()` of them are used.
        gram: What `embedding.gram.gram` of the jumps returned, if it is at hand.

    Returns:
        Means over runs by name; `outward_steps_by_step_size`, the least-squares slope of the
        outward fraction over the step size; and silhouettes of the points, by Euclidean distance
        in weight space. What the design cannot show (one direction, one step size) is left out.

    Raises:
        ValueError: If there are no jumps, or fewer than 3 snapshots at whole epochs.
    """
    jumps = trajectories.jumps()
    if not len(jumps):
        raise ValueError(
            "geometry needs jumps that were retrained, but there is no finished run with a step "
            "size above 0; sample with step sizes above 0"
        )
    every, whole = moves(jumps), moves(jumps.select(times=_whole(jumps.epoch)))
    outward = outward_fraction(whole)
    means = {
        "final_distance": distance(every)[:, -1],
        "overshoot": overshoot(every),
        "outward_steps": outward,
        "path_over_chord": path_over_chord(whole),
        "turning_angle": turning(whole),
        "mean_cosine_to_jump": jump_cosine(whole).mean(axis=1),
        "final_cosine_to_jump": jump_cosine(every)[:, -1],
        "sideways_distance": sideways(every).max(axis=1),
    }
    described = {name: float(value.mean()) for name, value in means.items()}
    if len(np.unique(jumps.step_size)) > 1:
        described["outward_steps_by_step_size"] = float(np.polyfit(jumps.step_size, outward, 1)[0])
    return described | _silhouettes(jumps, gram)


@checked
@standard_settings()
def control_displacement(trajectories: Trajectories) -> float:
    """Measure how far retraining alone moves the optimum: the control with step size 0.

    Returns:
        The final distance from the optimum over the length of the optimum's weights, mean over
        the finished runs of step size 0.

    Raises:
        ValueError: If there is no such run.
    """
    controls = trajectories.select((trajectories.step_size == 0) & (trajectories.status == "ok"))
    if not len(controls):
        raise ValueError(
            "the control is a finished run of step size 0, but there is none; sample with "
            "step_sizes=(0., ...)"
        )
    weights = controls.optimum[: controls.weight_count].astype(np.float64)
    return float(_radius(moves(controls))[:, -1].mean() / np.linalg.norm(weights))


def _moves(trajectories: Trajectories, run: int, start: int, stop: int) -> NDArray[np.float64]:
    stop = min(stop, trajectories.weight_count)
    block = np.asarray(trajectories.states[run, :, start:stop], dtype=np.float64)
    optimum = trajectories.optimum[start:stop].astype(np.float64)
    return np.asarray(np.diff(block, axis=0, prepend=optimum[None]))


def _lengths(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.diagonal(moves, axis1=1, axis2=2)))


def _radius(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = moves.cumsum(axis=1).cumsum(axis=2)
    return _root(np.diagonal(sums, axis1=1, axis2=2), _lengths(moves).cumsum(axis=1))


def _root(squares: NDArray[np.float64], path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the roots of squared distances between the ends of paths.

    Returns:
        The distances, 0 where there is rounding alone.
    """
    return np.sqrt(np.where(squares > ROUNDING * path**2, squares, 0))


def _jump(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    idle = np.flatnonzero(radius[:, 0] == 0)
    if len(idle):
        raise ValueError(
            f"distances are in units of the jump, but run {idle[0]} starts at the optimum; "
            "use .jumps(), and control_displacement for the controls"
        )
    return radius[:, :1]


def _mean_angle(steps: NDArray[np.float64]) -> float:
    lengths = np.sqrt(np.diag(steps))
    moving = np.flatnonzero(lengths)
    if len(moving) < 2:
        return 0.0
    before, after = moving[:-1], moving[1:]
    cosine = steps[before, after] / (lengths[before] * lengths[after])
    return float(np.arccos(np.clip(cosine, -1, 1)).mean())


def _check_times(moves: NDArray[np.float64]) -> None:
    if moves.shape[1] < 2:
        raise ValueError("steps need at least 2 snapshots a run, but there is 1; record more")


def _whole(epoch: NDArray[np.float64]) -> NDArray[np.intp]:
    times = np.flatnonzero(np.abs(epoch - np.round(epoch)) < 1e-9)
    if len(times) < 3:
        raise ValueError(
            f"turning needs at least 3 snapshots at whole epochs, but there are {len(times)}; "
            "retrain for more epochs"
        )
    return times


def _silhouettes(jumps: Trajectories, gram: NDArray[np.float64] | None) -> dict[str, float]:
    labels = jumps.labels()
    columns = {"direction": ["direction"], "jump": ["direction", "step_size"]}
    matrix = from_gram(multiply(jumps) if gram is None else gram)
    return {
        f"silhouette_by_{name}": silhouette(matrix, labels[group])
        for name, group in columns.items()
        if len(labels[group].drop_duplicates()) > 1
    }
