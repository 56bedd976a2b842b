"""Small trajectories and clouds of points with known truths, and a disk that refuses."""

import dataclasses
import resource
from contextlib import contextmanager

import numpy as np
import pandas as pd

from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.topology.merge_tree import merge_tree
from jumpretrain.topology.saddles import Saddles


def arms(
    directions=3, step_sizes=(0.0, 0.5, 1.0), times=8, width=30, seed=0, decay=0.7, noise=0.01
):
    """Runs that leave along one ray a direction and fall back towards the optimum geometrically.

    The loss of a point is half its squared distance from the optimum: known in closed form.
    """
    rng = np.random.default_rng(seed)
    optimum = rng.normal(size=width)
    rays = rng.normal(size=(directions, width))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    direction = np.repeat(np.arange(directions), len(step_sizes))
    step_size = np.tile(np.asarray(step_sizes, dtype=float), directions)
    shrink = decay ** np.arange(times)
    offsets = step_size[:, None, None] * shrink[None, :, None] * rays[direction][:, None, :]
    drift = np.cumsum(noise * rng.normal(size=(len(direction), times, width)), axis=1)
    drift -= drift[:, :1]
    states = optimum + offsets + drift
    loss = 0.5 * ((states - optimum) ** 2).sum(axis=2)
    return Trajectories(
        optimum=optimum,
        states=states,
        direction=direction,
        step_size=step_size,
        order_seed=np.zeros(len(direction), dtype=np.int64),
        epoch=np.arange(times, dtype=float),
        metrics={
            "train_loss": loss,
            "test_loss": 1.1 * loss + 0.2,
            "train_accuracy": np.exp(-loss),
            "test_accuracy": 0.9 * np.exp(-loss),
        },
        optimum_metrics={
            "train_loss": 0.0,
            "test_loss": 0.2,
            "train_accuracy": 1.0,
            "test_accuracy": 0.9,
        },
        status=np.full(len(direction), "ok"),
        weight_count=width,
        provenance={"method": "arms", "seed": seed},
    )


def bundles(times=20, width=30, seed=0):
    """Nine jumps along three directions, with noise enough to tell all snapshots apart."""
    return arms(step_sizes=(0.5, 0.75, 1.0), times=times, width=width, seed=seed, decay=0.95)


def placed(points, runs):
    """Trajectories that visit given points (N, P) in order, around an optimum of zero."""
    states = points.reshape(runs, -1, points.shape[1])
    shape = arms(directions=runs, step_sizes=(1.0,), times=states.shape[1], width=points.shape[1])
    return dataclasses.replace(shape, optimum=np.zeros(points.shape[1]), states=states)


def planar(turn=0.0):
    """Two straight runs in the plane, about evenly spaced and far apart."""
    along = np.cumsum(np.random.default_rng(0).uniform(0.9, 1.1, size=24)).reshape(2, 12)
    points = np.r_[np.c_[along[0], 0 * along[0]], np.c_[along[1], 0 * along[1] + 40]] + 1
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return placed(points @ rotation, runs=2)


@contextmanager
def largest_file(size):
    """Refuse files of more bytes than a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def arc(times, angle=np.pi):
    return np.c_[np.cos(angle * times), np.sin(angle * times)]


def smooth(count, points=60, size=3, seed=0):
    """Random smooth curves (points, count, size) that end at 0, some nearly straight."""
    rng = np.random.default_rng(seed)
    times = np.linspace(0, 1, points)[:, None, None]
    curves = times * rng.normal(size=(count, size))
    strength = rng.choice([0, 0.02, 0.1, 0.4, 1.5], size=(count, 1))
    for number in (1, 2, 3):
        wave = strength * rng.normal(size=(count, size)) / number
        curves = curves + wave * np.sin(number * np.pi * times + rng.uniform(0, 6, (count, 1)))
    return curves - curves[-1]


def planted_saddles(**changes):
    """Two runs of two snapshots around an optimum; the second run ends in a basin of its own."""
    links = [[0, 1], [1, 2], [0, 3], [3, 4]]
    tree = merge_tree([0.0, 2.0, 1.0, 3.0, 0.5], links, [2.0, 2.5, 3.0, 4.0])
    labels = pd.DataFrame({
        "run": [-1, 0, 0, 1, 1],
        "direction": [-1, 0, 0, 1, 1],
        "step_size": [0.0, 1.0, 1.0, 0.5, 0.5],
        "order_seed": [-1, 0, 0, 0, 0],
        "epoch": [0.0, 0.0, 1.0, 0.0, 1.0],
        "network": 0,
    })
    parts = {
        "straight": tree.heights,
        "rises": np.array([0.0, 0.25, 0.0, 0.5]),
        "to_optimum": np.array([0.0, 2.0, 5.0, 3.0, 7.0]),
        "evaluations": 12,
        "provenance": {"task": {"measures": "loss=cross_entropy"}},
    }
    parts |= {"tree": tree, "labels": labels, "metric": "train_loss"}
    return Saddles(**parts | changes)
