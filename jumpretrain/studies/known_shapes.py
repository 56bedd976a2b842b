"""Directions, graphs and diagrams of small examples whose answers are known.

Each function works through one of them and says how far the program is from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from torch import nn

from jumpretrain.contents.layout import Layout
from jumpretrain.embedding.affinities import alpha_decay, joined
from jumpretrain.embedding.gram import from_gram, principal
from jumpretrain.embedding.neighbours import farthest, neighbours, spanning_tree
from jumpretrain.states.directions import deviation_cosines, directions
from jumpretrain.studies.closed_forms import Outcome, beside
from jumpretrain.topology.diagrams import Diagrams
from jumpretrain.topology.filtrations import elder, transform
from jumpretrain.topology.homology import rips, sublevel

__all__ = ["KNOWN_SHAPES"]

HALF = math.sqrt(0.5)


def _directions() -> Outcome:
    layout = Layout.of(nn.Sequential(nn.Conv1d(2, 3, 2), nn.Linear(4, 2)).double())
    optimum = np.arange(1.0, layout.width + 1)
    weights = [tensor for _, tensor in layout.weights(optimum)]
    rng = np.random.default_rng(3)
    noise = [rng.standard_normal(tensor.shape) for tensor in weights]
    filters = np.concatenate([
        (
            draw * (_lengths(own) / _lengths(draw)).reshape(-1, *[1] * (own.ndim - 1))
            if own.ndim > 1
            else 0 * draw
        ).ravel()
        for draw, own in zip(noise, weights, strict=True)
    ])
    layers = [
        (draw * np.linalg.norm(own) / np.linalg.norm(draw)).ravel()
        for draw, own in zip(noise, weights, strict=True)
    ]
    flat, still = np.concatenate([n.ravel() for n in noise]), np.concatenate(weights[1::2])
    whole = flat * np.linalg.norm(optimum) / np.linalg.norm(flat)
    dead = optimum.copy()
    dead[:4] = 0
    return beside(
        "directions are normal numbers with the norms of filters, layers or the whole",
        [
            (directions(layout, optimum, [3])[0][0], filters),
            (directions(layout, optimum, [3], "layer", True)[0][0], np.concatenate(layers)),
            (directions(layout, optimum, [3], "none", True)[0][0], whole),
            (
                np.linalg.norm(directions(layout, optimum, [3], "none")[0]) ** 2,
                _rest(optimum, still),
            ),
            (directions(layout, dead, [3])[1], 1),
        ],
    )


def _lengths(tensor: Any) -> Any:
    return np.sqrt((tensor.reshape(len(tensor), -1) ** 2).sum(axis=1))


def _rest(whole: Any, part: Any) -> float:
    return float((whole**2).sum() - (part**2).sum())


def _deviations() -> Outcome:
    nodes = [[0, 0, 0], [1, 1, 0], [2, 1, 1], [3, 0, -2], [4, 0, 0]]
    right = [[1, HALF, 0], [HALF, 1, -HALF], [0, -HALF, 1]]
    return beside(
        "deviations of a bent line from its chord have the cosines 1, .707 and 0",
        [(deviation_cosines(np.array(nodes) + 5), right)],
    )


def _basins() -> Outcome:
    path = sp.diags_array([np.ones(4), np.ones(4)], offsets=[-1, 1], shape=(5, 5)).tocsr()
    found = sublevel(np.array([0.0, 2, 3, 1, 4]), path)
    pairs = [(found.finite(0), [[1, 3]]), (found.essential(0), [0])]
    return beside("the path 0, 2, 3, 1, 4 has the bars [1, 3) and [0, inf)", pairs, 0.0)


def _cycles() -> Outcome:
    ring = sp.csr_array(np.roll(np.eye(4), 1, 0) + np.roll(np.eye(4), -1, 0))
    values = np.array([0.0, 2, 1, 5])
    found = sublevel(values, ring, complex="graph")
    links = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 1]])
    merged, left, closing = elder(values, links)
    return beside(
        "the ring 0, 2, 1, 5 has one loop from 5 on, and its pieces merge at 2",
        [
            (found.essential(1), [5]),
            (found.finite(0), [[1, 2]]),
            (merged, [[2, 2], [1, 2], [5, 5]]),
            (left, [0]),
            (closing, [2, 5]),
        ],
        0.0,
    )


def _scales() -> Outcome:
    values = [4.0, 2.0, 4.0, 7.0]
    return beside(
        "ranks share ties, the unit scale is linear, logarithms are natural",
        [
            (transform(values, "rank"), [0.5, 0, 0.5, 1]),
            (transform(values, "unit"), [0.4, 0, 0.4, 1]),
            (transform([1.0, math.e], "log"), [0, 1]),
        ],
    )


def _persistence() -> Outcome:
    one = Diagrams((np.array([[0, 1], [2.0, 5.0], [0, math.inf], [7, math.inf]]),))
    other = Diagrams((np.array([[2.0, 4.5], [0.5, math.inf], [9, math.inf]]),))
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    return beside(
        "bars of lengths 1 and 3 total 4 and 10, with entropy .562, and move by their distances",
        [
            (one.total_persistence(0), 4),
            (one.total_persistence(0, 2), 10),
            (one.entropy(0), entropy),
            (one.distance(other, "bottleneck"), 2),
            (one.distance(other, "wasserstein"), HALF + 0.5 + 2.5),
        ],
        1e-6,
    )


def _circle() -> Outcome:
    angle = 2 * np.pi * np.arange(60) / 60
    points = np.c_[np.cos(angle), np.sin(angle)]
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
    right = [[2 * np.sin(np.pi / 60), np.sqrt(3)]]
    claim = "60 points on a circle have one loop, [0.105, 1.732)"
    return beside(claim, [(rips(gaps).finite(1), right)], 1e-6)


def _graphs() -> Outcome:
    places = np.array([0.0, 1, 3, 7, 7])
    gaps = np.abs(places[:, None] - places)
    near = neighbours(gaps, 1).toarray()
    places[4] = 8
    tree = spanning_tree(np.abs(places[:, None] - places)[::-1, ::-1]).toarray()
    chain = np.eye(5, k=1) + np.eye(5, k=-1)
    nearest = chain.copy()
    nearest[2, 3] = nearest[3, 2] = 0
    links = farthest([[0, 1, 3], [1, 0, 2], [3, 2, 0]], 2)
    return beside(
        "points on a line have their neighbours, their tree and their farthest points",
        [
            (near, nearest),
            (tree, chain),
            (links, [[0, 2], [0, 1], [1, 2], [1, 0], [2, 0], [2, 1]]),
        ],
        0.0,
    )


def _affinities() -> Outcome:
    places = np.array([0.0, 0.1, 0.3, 1.15, 40, 41, 43])
    gaps = np.abs(places[:, None] - places)
    widths = np.array([0.3, 0.2, 0.3, 1.05, 3, 2, 3])  # distances of second neighbours
    with np.errstate(divide="ignore"):
        each = np.exp(-((gaps / widths[:, None]) ** 2))
    each = np.where(each < 1e-4, 0, each)
    right = (each + each.T) / 2
    found = alpha_decay(gaps, knn=2, decay=2)
    bridged = right.copy()
    bridged[3, 4] = bridged[4, 3] = math.exp(-1)
    return beside(
        "affinities fall as exp(-(distance / bandwidth)^2), and pieces are joined by exp(-1)",
        [(found.toarray(), right), (joined(found, gaps).toarray(), bridged)],
    )


def _distances() -> Outcome:
    points = np.array([[3.0, 0], [0, 4], [-3, 0]])
    gram = points @ points.T
    scores = principal(gram, "optimum", 2)
    return beside(
        "inner products give distances 5 and 6, cosines 0 and -1, and principal components",
        [
            (from_gram(gram), [[0, 5, 6], [5, 0, 5], [6, 5, 0]]),
            (from_gram(gram, "cosine"), [[0, 1, 2], [1, 0, 1], [2, 1, 0]]),
            (from_gram(gram, "cosine", "mean")[0, 2], 1 - (16 / 9 - 9) / (16 / 9 + 9)),
            (np.abs(scores), [[3, 0], [0, 4], [3, 0]]),
            (scores.max(axis=0), [3, 4]),
        ],
        1e-7,
    )


KNOWN_SHAPES: tuple[Callable[[], Outcome], ...] = (
    _directions,
    _deviations,
    _basins,
    _cycles,
    _scales,
    _persistence,
    _circle,
    _graphs,
    _affinities,
    _distances,
)
