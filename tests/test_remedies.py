"""Each error names a remedy in one line, and what it names helps."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.spatial.distance import pdist, squareform
from support import nets
from torch import nn

from jumpretrain.connectivity.connect import connect
from jumpretrain.curvature.sections import plane_through
from jumpretrain.curvature.sharp_directions import sharp_directions
from jumpretrain.curvature.tunnels import tunnel_width
from jumpretrain.embedding.embed import embed
from jumpretrain.embedding.neighbours import edges, join, knn_graph
from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.ensembles.ensemble import ensemble
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.paths import controls
from jumpretrain.paths.biases import bias_report
from jumpretrain.paths.certificate import certificate
from jumpretrain.paths.interpolate import interpolate, layerwise
from jumpretrain.paths.outputs import gauss_length
from jumpretrain.paths.signals import signals
from jumpretrain.sampling.sample import sample
from jumpretrain.states.planes import spanned_by
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.measures import cross_entropy, squared_error
from jumpretrain.tasks.task import Task
from jumpretrain.topology.filtrations import transform
from jumpretrain.topology.homology import released, rips, sublevel

QUIET = Execution(progress=False)
SHORT = Recipe(epochs=1, record_early=False)
X, Y = nets.vectors().train_x, nets.vectors().train_y
POINTS = np.random.default_rng(0).normal(size=(8, 2))
DISTANCES = squareform(pdist(POINTS))
GRAPH = knn_graph(DISTANCES, 2)
LINE = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 4, 3))


def small():
    return mlp((6,), 3, hidden=(8,))


def task_of(x=X, y=Y, build=small, **choices):
    return Task(build, Dataset(x, y, x[:12], y[:12]), **choices)


TASK = task_of()
A, B, C = (TASK.initial(seed) for seed in range(3))
NAN = np.full_like(A, np.nan)


class InPlace(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        self.rest, self.inplace = nn.Linear(6, 3), inplace

    def forward(self, x):
        return self.rest(nn.functional.relu(x, inplace=self.inplace))


class Twice(nn.Module):
    def __init__(self, both):
        super().__init__()
        self.inner, self.both = nn.Linear(6, 3), both

    def forward(self, x):
        return (self.inner(x), x) if self.both else self.inner(x)


class Single(nn.Module):
    """A network that holds a tensor of float32 of its own."""

    def __init__(self):
        super().__init__()
        self.inner, self.own = nn.Linear(6, 6), [torch.eye(6)]

    def forward(self, x):
        return self.inner(x)[:, :3] @ self.own[0][:3, :3]


def once_differentiable(outputs, targets):
    origin = torch.zeros(1, 3, dtype=outputs.dtype)
    return torch.cdist(outputs, origin, p=3)[:, 0]


def path(**choices):
    return interpolate(TASK, A, B, 5, **choices)


def arms():
    return sample(TASK, A, Recipe(epochs=3), directions=3, execution=QUIET)


def mean_over_entries(outputs, targets):
    return nn.MSELoss(reduction="none")(outputs, targets).flatten(1).mean(1)


PAIRS = np.array([[0, 1], [1, 2], [2, 3]])


def of_edges(g):
    ones = np.ones(2 * len(g))
    return sparse.csr_array((ones, np.r_[g, g[:, ::-1]].T), (8, 8))


CASES = {
    "soft labels for training alone": (
        lambda: Dataset(X, np.eye(3)[Y], X, Y),
        r"pass np\.eye\(3\)\[test_y\] of labels, or train_y\.argmax\(1\)",
        lambda: (
            Dataset(X, np.eye(3)[Y], X, np.eye(3)[Y]),
            Dataset(X, np.eye(3)[Y].argmax(1), X, Y),
        ),
    ),
    "labels of two signs": (
        lambda: task_of(y=2 * (Y > 0) - 1),
        r"pass \(train_y \+ 1\) // 2",
        lambda: task_of(y=(2 * (Y > 0) - 1 + 1) // 2),
    ),
    "labels around zero": (
        lambda: task_of(y=Y - 1),
        r"pass np\.unique\(train_y, return_inverse=True\)\[1\]",
        lambda: task_of(y=np.unique(Y - 1, return_inverse=True)[1]),
    ),
    "ignored examples": (
        lambda: task_of(y=np.where(np.arange(len(Y)) % 7 == 6, -100, Y)),
        r"leave out the examples of -100: keep = train_y != -100",
        lambda: task_of(X[np.arange(len(Y)) % 7 != 6], Y[np.arange(len(Y)) % 7 != 6]),
    ),
    "a graph of edges": (
        lambda: sublevel(POINTS[:, 0], [(0, 1), (1, 2), (2, 3)]),
        r"csr_array\(\(np\.ones\(2 \* len\(g\)\), np\.r_\[g, g\[:, ::-1\]\]\.T\), \(N, N\)\) with",
        lambda: sublevel(POINTS[:, 0], of_edges(PAIRS)),
    ),
    "an array of edges": (
        lambda: edges(PAIRS),
        r"of edges \(i, j\)",
        lambda: edges(of_edges(PAIRS)),
    ),
    "a sparse tensor for a graph": (
        lambda: edges(torch.tensor(GRAPH.toarray()).to_sparse()),
        r"give scipy\.sparse\.csr_array\(graph\.to_dense\(\)\.numpy\(\)\)",
        lambda: edges(
            sparse.csr_array(torch.tensor(GRAPH.toarray()).to_sparse().to_dense().numpy())
        ),
    ),
    "a graph of networkx": (
        lambda: edges(nx.from_scipy_sparse_array(GRAPH)),
        r"give nx\.to_scipy_sparse_array\(graph\)",
        lambda: edges(nx.to_scipy_sparse_array(nx.from_scipy_sparse_array(GRAPH))),
    ),
    "a loss by its name": (
        lambda: task_of(loss="mse"),
        r"; pass Task such as loss=cross_entropy$",
        lambda: task_of(loss=cross_entropy),
    ),
    "targets in a row": (
        lambda: task_of(y=X[:, 0], build=lambda: nn.Linear(6, 1), loss=squared_error),
        r"pass targets\.reshape\(-1, 1\)",
        lambda: task_of(
            y=X[:, 0].reshape(-1, 1), build=lambda: nn.Linear(6, 1), loss=squared_error
        ),
    ),
    "labels for squared error": (
        lambda: task_of(loss=squared_error),
        r"pass np\.eye\(3\)\[targets\] of labels",
        lambda: task_of(y=np.eye(3)[Y], loss=squared_error),
    ),
    "fractions for labels": (
        lambda: task_of(y=Y.astype(float)),
        "convert them",
        lambda: task_of(y=Y.astype(float).astype(int)),
    ),
    "values for classes": (
        lambda: task_of(y=X[:, :3]),
        "loss=squared_error",
        lambda: task_of(y=X[:, :3], loss=squared_error),
    ),
    "labels from 1": (lambda: task_of(y=Y + 1), "relabel them", lambda: task_of(y=Y)),
    "more labels than outputs": (
        lambda: task_of(y=Y + 1),
        "widen the last layer",
        lambda: task_of(y=Y + 1, build=lambda: mlp((6,), 4, hidden=(8,))),
    ),
    "missing values": (
        lambda: task_of(np.where(X > 2, np.nan, X)),
        "drop or impute those examples",
        lambda: task_of(X[~(X > 2).any(1)], Y[~(X > 2).any(1)]),
    ),
    "a data set of float64 beyond float32": (
        lambda: task_of(X.astype(float) * 1e200),
        r"scale them, or use a network in \.double\(\)",
        lambda: task_of(X.astype(float) * 1e200, build=lambda: small().double()),
    ),
    "whole numbers beyond int64": (
        lambda: task_of(np.full((44, 6), 2**64 - 1, np.uint64)),
        "pass floats",
        lambda: task_of(np.full((44, 6), 2**64 - 1, np.uint64).astype(np.float32)),
    ),
    "a half network": (
        lambda: task_of(build=lambda: small().half()),
        r"convert the model with \.float\(\)",
        lambda: task_of(build=lambda: small().half().float()),
    ),
    "a network in place": (
        lambda: task_of(build=lambda: InPlace(True)),
        "leave out inplace=True",
        lambda: task_of(build=lambda: InPlace(False)),
    ),
    "a mean for a loss": (
        lambda: task_of(loss=nn.CrossEntropyLoss()),
        "by reduction='none'",
        lambda: task_of(loss=nn.CrossEntropyLoss(reduction="none")),
    ),
    "a loss of each entry": (
        lambda: task_of(y=X, build=lambda: nn.Linear(6, 6), loss=nn.MSELoss(reduction="none")),
        r"average the rest, \.flatten\(1\)\.mean\(1\)",
        lambda: task_of(y=X, build=lambda: nn.Linear(6, 6), loss=mean_over_entries),
    ),
    "a loss that is a number": (
        lambda: task_of(loss=lambda outputs, targets: 1.0),
        "return a tensor of torch",
        lambda: task_of(loss=lambda outputs, targets: outputs.square().sum(1)),
    ),
    "a loss that counts": (
        lambda: task_of(loss=lambda outputs, targets: outputs.argmax(1) != targets),
        "pass what counts as metrics",
        lambda: task_of(metrics={"wrong": lambda outputs, targets: outputs.argmax(1) != targets}),
    ),
    "whole numbers for a layer of floats": (
        lambda: task_of((10 * X).astype(int)),
        r"such as x\.astype\('float32'\)",
        lambda: task_of((10 * X).astype(int).astype("float32")),
    ),
    "bytes of images": (
        lambda: task_of(np.ones((44, 1, 4, 4), np.uint8), build=nets.normed),
        r"such as x\.astype\('float32'\)",
        lambda: task_of(np.ones((44, 1, 4, 4), np.uint8).astype("float32"), build=nets.normed),
    ),
    "complex inputs": (
        lambda: task_of(X + 0j),
        r"such as x\.real",
        lambda: task_of((X + 0j).real),
    ),
    "two outputs": (
        lambda: task_of(build=lambda: Twice(True)),
        "let its forward return that tensor alone",
        lambda: task_of(build=lambda: Twice(False)),
    ),
    "test examples of another width": (
        lambda: Task(small, Dataset(X, Y, X[:, :5], Y)),
        "in the test examples: .* change the shapes",
        lambda: Task(small, Dataset(X[:, :6], Y, X[:, :6], Y)),
    ),
    "a metric with a taken name": (
        lambda: task_of(metrics={"loss": squared_error}),
        "rename that metric",
        lambda: task_of(y=np.eye(3)[Y], metrics={"squared": squared_error}),
    ),
    "a state in a column": (
        lambda: TASK.state(A[None]),
        "take it from train, such as runs",
        lambda: TASK.state(train(TASK, SHORT, [0], execution=QUIET).final[0]),
    ),
    "a state alone": (
        lambda: evaluate(TASK, A),
        "one alone in a list",
        lambda: evaluate(TASK, [A]),
    ),
    "a diverged state": (
        lambda: evaluate(TASK, [A, NAN]),
        "leave out diverged runs",
        lambda: evaluate(TASK, [s for s in (A, NAN) if np.isfinite(s).all()]),
    ),
    "a state beyond float32": (
        lambda: TASK.state(A.astype(float) * 1e60),
        "give the task a model in float64",
        lambda: task_of(build=lambda: small().double()).state(A.astype(float) * 1e60),
    ),
    "a complex state": (
        lambda: TASK.state(A + 0j),
        r"pass its \.real",
        lambda: TASK.state((A + 0j).real),
    ),
    "several runs for one state": (
        lambda: TASK.state(train(TASK, SHORT, [0, 1], execution=QUIET)),
        r"such as runs\.final\[0\]",
        lambda: TASK.state(train(TASK, SHORT, [0, 1], execution=QUIET).final[0]),
    ),
    "a checkpoint of parts": (
        lambda: TASK.state({"weights": TASK.template.state_dict(), "epoch": 1}),
        "pass what is under 'weights' alone",
        lambda: TASK.state(TASK.template.state_dict()),
    ),
    "a lone last example": (
        lambda: train(
            task_of(build=nets.normed_mlp), replace(SHORT, batch_size=43), [0], execution=QUIET
        ),
        "set drop_last",
        lambda: train(
            task_of(build=nets.normed_mlp),
            replace(SHORT, batch_size=43, drop_last=True),
            [0],
            execution=QUIET,
        ),
    ),
    "a batch larger than the data": (
        lambda: train(TASK, Recipe(batch_size=99, drop_last=True), [0], execution=QUIET),
        "use a smaller batch_size",
        lambda: train(TASK, replace(SHORT, batch_size=9, drop_last=True), [0], execution=QUIET),
    ),
    "directions of vectors alone": (
        lambda: sample(TASK, 0 * A, SHORT, execution=QUIET),
        "another optimum",
        lambda: sample(TASK, A, SHORT, directions=1, execution=QUIET),
    ),
    "equal optima": (
        lambda: connect(TASK, [A, A]),
        "leave out what is repeated",
        lambda: connect(TASK, [A, B], recipe=SHORT, inner=1, each=2, execution=QUIET),
    ),
    "a curve that is refined": (
        lambda: connect(TASK, [A, B], method="bezier", refine=True),
        "use hyperplane",
        lambda: connect(TASK, [A, B], "hyperplane", True, SHORT, 1, 2, rounds=0, execution=QUIET),
    ),
    "a group without a layer": (
        lambda: layerwise(TASK, A, B, groups=[]),
        "leave them out to move each",
        lambda: layerwise(TASK, A, B, alphas=2),
    ),
    "a depth of linear biases": (
        lambda: interpolate(TASK, A, B, 3, depth={"1.bias": 1}),
        "leave it out",
        lambda: interpolate(TASK, A, B, 3),
    ),
    "unsorted alphas": (
        lambda: interpolate(TASK, A, B, [1, 0.5, 0]),
        "sort them, or pass how many",
        lambda: (interpolate(TASK, A, B, sorted([1, 0.5, 0])), interpolate(TASK, A, B, 3)),
    ),
    "the length of a path without outputs": (
        lambda: gauss_length(path()),
        "pass its task as well, or interpolate with logits=True",
        lambda: (gauss_length(TASK, path()), gauss_length(path(logits=True))),
    ),
    "two points of a curve": (
        lambda: gauss_length(LINE[:2]),
        "sample more",
        lambda: gauss_length(LINE[:3]),
    ),
    "labels for a certificate": (
        lambda: certificate(LINE, [0, 1, 2, 0]),
        r"pass np\.eye\(3\)\[labels\]",
        lambda: certificate(LINE, np.eye(3)[[0, 1, 2, 0]]),
    ),
    "one curve for a certificate": (
        lambda: certificate(LINE[:, 0], np.ones((1, 3))),
        r"one curve \(A, d\) is \[:, None\]",
        lambda: certificate(LINE[:, 0][:, None], np.ones((1, 3))),
    ),
    "biases of part of a network": (
        lambda: bias_report(TASK, path(select="1")),
        "without select=",
        lambda: bias_report(TASK, path()),
    ),
    "a control without hidden layers": (
        lambda: controls.permute_units(task_of(build=lambda: nn.Linear(6, 3)), np.ones(21), 0),
        "take noise or zero as a control",
        lambda: controls.noise(task_of(build=lambda: nn.Linear(6, 3)), np.ones(21), 0),
    ),
    "signals of an unknown layer": (
        lambda: signals(TASK, path(), names=["last"]),
        "it has 0, 1, 2, 3",
        lambda: signals(TASK, path(), names=["3"]),
    ),
    "a network of float32 in float64": (
        lambda: sharp_directions(task_of(build=Single), np.ones(42), execution=QUIET),
        "; pass dtype='float32'$",
        lambda: sharp_directions(
            task_of(build=Single), np.ones(42), dtype="float32", execution=QUIET
        ),
    ),
    "a loss with one derivative": (
        lambda: sharp_directions(task_of(loss=once_differentiable), A, execution=QUIET),
        "; change them$",
        lambda: sharp_directions(task_of(), A, execution=QUIET),
    ),
    "Lanczos of a small network": (
        lambda: sharp_directions(TASK, A, method="lanczos"),
        "pass method='exact'",
        lambda: sharp_directions(TASK, A, method="exact", execution=QUIET),
    ),
    "a threshold below the loss": (
        lambda: tunnel_width(TASK, A, 0.01),
        "raise it",
        lambda: tunnel_width(TASK, A, 9.0, directions=2, execution=QUIET),
    ),
    "a state of zeros": (
        lambda: tunnel_width(TASK, 0 * A, 9.0),
        "pass tangential=False",
        lambda: tunnel_width(TASK, 0 * A, 9.0, 2, tangential=False, reach=1.0, execution=QUIET),
    ),
    "a plane through a line": (
        lambda: plane_through(TASK, [A, B, (A + B) / 2]),
        "take another",
        lambda: plane_through(TASK, [A, B, C], size=2, execution=QUIET),
    ),
    "dependent directions": (
        lambda: spanned_by([[1.0, 2.0], [2.0, 4.0]]),
        "leave out what is zero, repeated",
        lambda: spanned_by([[1.0, 2.0]]),
    ),
    "an ensemble of shares": (
        lambda: ensemble(task_of(y=np.eye(3)[Y]), [A, B]),
        "make a task of labels",
        lambda: ensemble(task_of(y=np.eye(3)[Y].argmax(1)), [A, B], execution=QUIET),
    ),
    "points for distances": (
        lambda: rips(POINTS),
        r"squareform\(pdist\(points\)\)",
        lambda: rips(squareform(pdist(POINTS))),
    ),
    "sparse distances": (
        lambda: rips(sparse.csr_array(DISTANCES)),
        r"\.toarray\(\)",
        lambda: rips(sparse.csr_array(DISTANCES).toarray()),
    ),
    "masked distances": (
        lambda: rips(np.ma.masked_array(DISTANCES, DISTANCES > 9)),
        "fill or drop what is masked",
        lambda: rips(np.asarray(np.ma.masked_array(DISTANCES, DISTANCES > 9).filled(9))),
    ),
    "complex distances": (
        lambda: rips(DISTANCES + 0j),
        r"pass its \.real",
        lambda: rips((DISTANCES + 0j).real),
    ),
    "distances to lost points": (
        lambda: rips(np.where(np.arange(8) == 3, np.nan, DISTANCES)),
        "drop the points that diverged",
        lambda: rips(np.delete(np.delete(DISTANCES, 3, 0), 3, 1)),
    ),
    "a dense graph": (
        lambda: edges(GRAPH.toarray()),
        r"give scipy\.sparse\.csr_array\(graph\)",
        lambda: edges(sparse.csr_array(GRAPH.toarray())),
    ),
    "a graph one way": (
        lambda: sublevel(range(8), sparse.triu(GRAPH)),
        "store both directions",
        lambda: sublevel(range(8), sparse.triu(GRAPH) + sparse.triu(GRAPH).T),
    ),
    "a graph of other points": (
        lambda: join(GRAPH, DISTANCES[:5, :5]),
        "make both from one selection",
        lambda: join(GRAPH, DISTANCES),
    ),
    "values that are not finite": (
        lambda: transform([1.0, np.inf]),
        "drop the runs that diverged",
        lambda: transform([1.0]),
    ),
    "a logarithm of zero": (
        lambda: transform([0.0, 1.0], "log"),
        'use "rank" or "unit"',
        lambda: (transform([0.0, 1.0], "rank"), transform([0.0, 1.0], "unit")),
    ),
    "the released rule without potential": (
        lambda: released(arms().jumps(), embed(arms().jumps(), method="pca")),
        'embed with method="phate"',
        lambda: released(arms().jumps(), embed(arms().jumps(), method="phate"), k=5),
    ),
    "inner products of other points": (
        lambda: embed(arms().jumps(), gram=np.eye(3)),
        "leave it out",
        lambda: embed(arms().jumps()),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_remedy_works(kind):
    call, remedy, mended = CASES[kind]
    with pytest.raises((TypeError, ValueError), match=remedy) as found:
        call()
    assert "\n" not in str(found.value)
    assert mended() is not None
