"""Public calls given what they cannot use: each takes it, or refuses it in one line of its own."""

import inspect
import random
import traceback
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from scipy import sparse

import jumpretrain as jr

QUIET = jr.Execution(progress=False)
ODD = [
    None, True, -1, 0, 2.5, -0.5, 10**30, float("nan"), float("inf"), "", "x", b"x", [], [0.5],
    [-1], ["a"], (None,), {}, {"a": 1}, object(), abs, np.array([]), np.zeros((2, 3)),
    np.full(3, np.nan), np.array("a"), np.zeros(3, dtype=object), torch.zeros(2), {1, 2},
    iter([1]), 1j, QUIET, jr.Recipe(epochs=1),
]  # fmt: skip


@cache
def sound():
    """Make sound arguments of public calls.

    Returns:
        Keyword arguments by the call, and by the name of its object where it is a method.
    """
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("f4")
    data = jr.Dataset(x, np.arange(24) % 3, x[:9], np.arange(9) % 3)
    task = jr.Task(lambda: jr.models.mlp((4,), 3, hidden=(5,)), data)
    recipe = jr.Recipe(epochs=2, lr=0.1, batch_size=8)
    fit = jr.train(task, recipe, [0, 1], execution=QUIET)
    runs = jr.sample(task, fit.final[0], recipe, (0.0, 0.5, 1.0), 3, execution=QUIET)
    emb = jr.embed(runs.jumps(), knn=3)
    path = jr.interpolate(task, *fit.final, alphas=5, logits=True, execution=QUIET)
    found = jr.saddles(task, runs.jumps().select(times=[-1]), execution=QUIET)
    triangle = sparse.csr_array(1.0 - np.eye(3))
    one, net = {"task": task, "execution": QUIET}, {"task": task, "state": fit.final[0]}
    pair = {"task": task, "start": fit.final[0], "end": fit.final[1]}
    lists = {"a": [1.0, 2.0, 3.0, 5.0], "b": [2.0, 1.0, 4.0, 3.0]}
    image = {"shape": (1, 8, 8), "classes": 3}
    return {
        jr.Recipe: {}, jr.Execution: {}, jr.Study: {},
        jr.Task: {"model": task.model, "data": data},
        jr.Dataset: {"train_x": x, "train_y": x, "test_x": x, "test_y": x},
        jr.train: one | {"recipe": recipe, "seeds": [0]},
        jr.evaluate: one | {"states": fit.final},
        jr.sample: one | {"optimum": fit.final[0], "recipe": recipe, "directions": 2},
        jr.embed: {"trajectories": runs.jumps(), "knn": 3},
        jr.sublevel: {"values": runs.jumps().values("test_loss"), "graph": emb.graph(k=3)},
        jr.rips: {"distances": emb.distances},
        jr.saddles: one | {"states": fit.final},
        jr.measured_sublevel: one | {"states": runs.states[0], "graph": triangle},
        jr.merge_tree: {"values": [0.0, 1.0], "links": [[0, 1]], "heights": [2.0]},
        found.minimax: {"one": 0, "other": 1}, found.basins: {"height": 1.0},
        jr.released: {"trajectories": runs.jumps(), "embedding": emb, "k": 3},
        jr.describe: {"trajectories": runs, "k": 3},
        jr.compare: {"groups": {"a": [runs] * 2, "b": [runs] * 2}, "k": 3, "resamples": 9},
        jr.interpolate: pair | {"alphas": 3, "execution": QUIET},
        jr.layerwise: pair | {"alphas": 3, "execution": QUIET},
        jr.gauss_length: {"source": task, "path": path},
        jr.weight_distance: pair,
        jr.align: {"task": task, "state": fit.final[0], "to": fit.final[1]},
        jr.connect: one | {"optima": fit.final, "inner": 2, "each": 3},
        jr.sharp_directions: net | {"execution": QUIET},
        jr.tunnel_width: net | {"threshold": 2.0, "directions": 3, "execution": QUIET},
        jr.isotropy: net | {"distances": [0.1], "directions": 3, "execution": QUIET},
        jr.plane_through: one | {"states": [*fit.final, fit.initial[0]], "size": 3},
        jr.radial_cut: net | {"factors": [0.5, 1.0], "execution": QUIET},
        jr.ensemble: one | {"states": fit.final},
        jr.cycles: one | {"recipe": recipe, "seeds": [0], "count": 2},
        jr.branches: one | {"recipe": recipe, "seed": 0, "shared_epochs": 1, "alphas": 3},
        jr.threshold_dimension: one | {"recipe": recipe, "dims": [3], "seeds": [0]},
        jr.rays: one | {"optimum": fit.final[0], "directions": 2, "radii": (0.1,)},
        jr.grid: one | {"optimum": fit.final[0], "shape": (2, 2, 2)},
        jr.walk: one | {"trajectories": runs},
        jr.estimate: one | {"recipe": recipe, "runs": 2},
        jr.signals: one | {"path": path},
        jr.certificate: {"logits": np.ones((5, 4, 3)), "targets": np.ones((4, 3))},
        jr.initialise: {"build": task.model},
        jr.data.digits: {}, jr.data.spirals: {}, jr.data.load: {"name": "digits"},
        jr.models.mlp: {"shape": (4,), "classes": 3}, jr.models.simple_cnn: image,
        jr.models.resnet: image, jr.models.wide_resnet: image,
        jr.models.transformer: {"tokens": 5, "classes": 3, "length": 4},
        jr.models.lstm: {"tokens": 5, "classes": 3},
        jr.statistics.spearman: lists, jr.statistics.cliffs_delta: lists,
        jr.statistics.delta_interval: lists, jr.statistics.standardised_difference: lists,
        jr.statistics.holm: {"p_values": [0.1, 0.2]},
        jr.statistics.permutation_test: {"groups": list(lists.values())},
        jr.wedges.Toy: {"dim": 5, "short": 2},
        data.corrupt: {"share": 0.5}, data.subset: {}, data.augment: {},
        runs.select: {}, runs.values: {"metric": "test_loss"}, emb.graph: {"k": 3},
        path.barrier: {}, path.monotonicity: {}, task.initial: {"seed": 0},
        task.state: {"source": fit.final[0]},
    }  # fmt: skip


def tries():
    """List what is tried: each argument of each call, given each odd value.

    Returns:
        The call, the argument and the place of the value.
    """
    return [
        (call, name, place)
        for call in sound()
        for name in inspect.signature(call).parameters
        for place in range(len(ODD))
    ]


def fault(call, name, place):
    """Give an odd value to a call.

    Returns:
        What is wrong with how it is refused; nothing where it is refused well, or taken.
    """
    try:
        with warnings.catch_warnings(record=True):
            call(**sound()[call] | {name: ODD[place]})
    except (TypeError, ValueError, KeyError) as error:
        said = str(error.args[0])
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        return (
            ""
            if "\n" not in said and "jumpretrain" in where.rpartition("/")[0]
            else f"{error!r} {where}"
        )
    except Exception as error:
        return repr(error)
    return ""


def faults(chosen):
    """Try some of all.

    Returns:
        What is wrong, by what was tried.
    """
    named = ((f"{c.__qualname__}({n}={ODD[p]!r})", fault(c, n, p)) for c, n, p in chosen)
    return {what: wrong for what, wrong in named if wrong}


def test_three_hundred_odd_arguments_are_taken_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not faults(random.Random(0).sample(tries(), 300))


@pytest.mark.slow
def test_all_odd_arguments_are_taken_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(tries()) > 6000
    assert not faults(tries())
