import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from support.cases import arms
from support.landscapes import CENTRES, FLOORS, bowl, landscape, wells
from torch import nn

import jumpretrain as jr
from jumpretrain.execution.execution import Execution
from jumpretrain.paths.controls import permute_units
from jumpretrain.topology.measure import measured_sublevel, saddles
from jumpretrain.topology.merge_tree import merge_tree
from jumpretrain.topology.minimax import measured
from jumpretrain.topology.segments import Segments, climbing

QUIET = Execution(progress=False)
PASSES = 16 * (33 / 64) ** 2, 25 * 0.505**2


def digits(count=80, **choices):
    data = jr.data.digits().corrupt(1.0, seed=0)
    some = [a[:count] for a in (data.train_x, data.train_y, data.test_x, data.test_y)]
    return jr.Task(
        lambda: jr.models.mlp((1, 8, 8), 10, hidden=(12,)), jr.Dataset(*some), **choices
    )


def convolutional():
    def build():
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36, 10),
        )

    return jr.Task(build, digits().data)


def sampled(task, epochs=6):
    recipe = jr.Recipe(epochs=20, lr=0.1)
    fit = jr.train(task, recipe, seeds=[0], execution=QUIET)
    after = jr.Recipe(epochs=epochs, lr=0.1, record_early=False)
    runs = jr.sample(
        task, fit.final[0], after, directions=3, step_sizes=(0.5, 1.0), execution=QUIET
    )
    return runs.jumps()


@pytest.fixture(scope="module")
def memorising():
    task = digits()
    return task, sampled(task)


def by_brute_force(task, states, metric="train_loss"):
    segments = Segments(task, states, metric, None, QUIET)
    values = segments.values()
    links = np.stack(np.triu_indices(len(states), k=1), axis=1)
    begin = climbing(values, 7, 0.01, 1e-4)
    heights = measured(values, list(map(tuple, links.tolist())), begin, segments.look)
    return merge_tree(values, links, heights), segments.evaluations


def test_planted_wells_meet_at_their_passes():
    rng = np.random.default_rng(0)
    states = np.concatenate([c + 0.3 * rng.normal(size=(5, 2)) for c in CENTRES])
    states[[0, 5, 10]] = CENTRES
    found = saddles(landscape(wells), states, execution=QUIET)
    assert found.tree.values[[0, 5, 10]] == pytest.approx(FLOORS)
    for pair, height in {(0, 5): PASSES[0], (0, 10): PASSES[1], (5, 10): PASSES[1]}.items():
        # snapshots off the centres can find a lower way than the centres alone
        assert 0.9 * height < found.minimax(*pair) <= height
    alone = saddles(landscape(wells), np.array(CENTRES), execution=QUIET)
    assert alone.tree.heights == pytest.approx(PASSES, rel=0.01)
    assert alone.depth == pytest.approx(sum(PASSES) - sum(FLOORS), rel=0.01)
    assert alone.basins(4.0).tolist() == [0, 2, 1]
    assert alone.basins(5.0).tolist() == [0, 0, 1]


@pytest.mark.parametrize("build", [digits, convolutional])
@pytest.mark.parametrize("metric", ["train_loss", "test_loss"])
def test_few_looks_give_the_tree_of_all_pairs(build, metric):
    task = build()
    runs = sampled(task).select(times=[0, 2, 3, 5])
    found = saddles(task, runs, metric, execution=QUIET)
    states = np.vstack([runs.optimum, *np.asarray(runs.states)])
    expected, evaluations = by_brute_force(task, states, metric)
    assert len(found) == len(states) == 25
    assert found.tree.minimax == pytest.approx(expected.minimax, rel=1e-5)
    assert found.evaluations < evaluations / 3
    stored = jr.evaluate(task, states, QUIET)[metric]
    assert found.tree.values == pytest.approx(stored, rel=1e-5)


def test_a_convex_loss_has_one_basin():
    task = jr.Task(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), digits().data)
    found = saddles(task, sampled(task), execution=QUIET)
    assert found.depth <= 1e-5
    assert found.tree.mean_leaf_edge <= 1e-5
    assert found.back.best == pytest.approx(0, abs=1e-5)


def test_one_basin_of_a_bowl_and_ways_back_that_never_climb():
    runs = arms(width=30, noise=0.0).jumps()
    found = saddles(landscape(lambda w: bowl(w - torch.as_tensor(runs.optimum)), 30), runs)
    assert found.depth == 0
    assert (found.back.straight == 0).all()
    assert found.back.straight.shape == (6, 8)
    assert found.frame()["best"][0] == 0


def test_the_order_of_states_changes_nothing(memorising):
    task, runs = memorising
    states = np.asarray(runs.states)[:, -1]
    order = np.random.default_rng(0).permutation(len(states))
    found, turned = (saddles(task, s, execution=QUIET).tree for s in (states, states[order]))
    assert turned.minimax == pytest.approx(found.minimax[np.ix_(order, order)], rel=1e-6)


def test_a_state_more_raises_no_barrier(memorising):
    task, runs = memorising
    states = np.asarray(runs.states)[:, -2:].reshape(12, -1)
    some = saddles(task, states[:-3], execution=QUIET).tree.minimax
    more = saddles(task, states, execution=QUIET).tree.minimax[:-3, :-3]
    assert (more <= some * (1 + 1e-6)).all()


def test_one_permutation_of_units_for_all_changes_nothing(memorising):
    task, runs = memorising
    states = np.asarray(runs.states)[:, -1]
    turned = np.stack([permute_units(task, state, seed=3) for state in states])
    found, other = (saddles(task, s, execution=QUIET).tree for s in (states, turned))
    assert other.minimax == pytest.approx(found.minimax, rel=1e-5)


def test_alignment_takes_away_a_barrier_of_symmetry(memorising):
    task, runs = memorising
    pair = np.stack([runs.optimum, permute_units(task, runs.optimum, seed=1)])
    assert saddles(task, pair, execution=QUIET).depth > 0.1
    assert saddles(task, pair, align=True, execution=QUIET).depth == 0


def test_networks_share_a_tree_and_each_has_its_optimum(memorising):
    task, runs = memorising
    other = sampled(jr.Task(task.model, task.data), epochs=2).select(times=[0, -1])
    both = saddles(task, [runs.select(times=[0, -1]), other], execution=QUIET)
    alone = saddles(task, runs.select(times=[0, -1]), execution=QUIET)
    assert both.labels["network"].value_counts().tolist() == [13, 13]
    assert (both.tree.minimax[:13, :13] <= alone.tree.minimax * (1 + 1e-6)).all()
    assert both.back.straight.shape == (12, 2)
    assert both.back.straight[:6] == pytest.approx(alone.back.straight, rel=1e-5)
    assert (both.back.best <= both.back.straight + 1e-9).all()


def test_processes_change_no_bit(memorising):
    task, runs = memorising
    one, two = (saddles(task, runs, execution=Execution(n_jobs=n, progress=False)) for n in (1, 2))
    assert (one.tree.heights == two.tree.heights).all()
    assert (one.tree.links == two.tree.links).all()
    assert one.evaluations == two.evaluations


KILLED = """
    import os, signal, sys
    sys.path[:0] = {path!r}
    from test_measure import QUIET, digits, sampled
    from jumpretrain.topology import segments
    from jumpretrain.topology.measure import saddles
    segments.SECONDS, keep, kept = 0, segments.Segments.keep, []
    def keep_some(self):
        keep(self)
        kept.append(1)
        if len(kept) == 12:
            os.kill(os.getpid(), signal.SIGKILL)
    segments.Segments.keep = keep_some
    task = digits()
    saddles(task, sampled(task), folder={folder!r}, execution=QUIET)
"""


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_bits(memorising, tmp_path):
    task, runs = memorising
    whole = saddles(task, runs, execution=QUIET)
    folder = tmp_path / "saddles"
    here = Path(__file__).parent
    code = textwrap.dedent(KILLED.format(path=[str(here), str(here.parent)], folder=str(folder)))
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    again = saddles(task, runs, folder=folder, execution=QUIET)
    assert 0 < again.evaluations < whole.evaluations
    assert (again.tree.heights == whole.tree.heights).all()
    assert (again.to_optimum == whole.to_optimum).all()
    assert saddles(task, runs, folder=folder, execution=QUIET).evaluations == 0


def test_a_folder_serves_both_losses(memorising, tmp_path):
    task, runs = memorising
    ends = runs.select(times=[-1])
    saddles(task, ends, folder=tmp_path, execution=QUIET)
    test = saddles(task, ends, "test_loss", folder=tmp_path, execution=QUIET)
    alone = saddles(task, ends, "test_loss", execution=QUIET)
    assert test.evaluations < alone.evaluations / 2
    assert test.tree.minimax == pytest.approx(alone.tree.minimax, rel=1e-6)
    assert [v.damaged for v in jr.verify(tmp_path)] == [()]


def test_what_cannot_be_measured_is_refused(memorising):
    task, runs = memorising
    with pytest.raises(ValueError, match="one of train_loss, train_accuracy"):
        saddles(task, runs, "los")
    with pytest.raises(ValueError, match="must be 2, but is 1"):
        saddles(task, [runs.optimum])
    lost = runs.select()
    lost.status[2] = "diverged"
    with pytest.raises(ValueError, match=r"1 of 6 diverged or are missing \(first: run 2\)"):
        saddles(task, lost)
    steep = landscape(lambda w: torch.where(w.sum() > 1, torch.inf, w.sum()))
    with pytest.raises(ValueError, match=r"1 of 2 have not \(first: state 1\)"):
        saddles(steep, [[0.0, 0.0], [2.0, 2.0]])


def test_a_wall_joins_nothing():
    wall = landscape(lambda w: torch.where(w[0].abs() < 0.2, torch.inf, w.abs().sum()))
    found = saddles(wall, [[-1.0, 0.0], [1.0, 0.0], [2.0, 0.0]], execution=QUIET)
    assert found.tree.heights.tolist() == [2.0, np.inf]
    assert found.diagrams.essential(0).tolist() == [1.0, 1.0]


def test_more_pairs_than_memory_holds_are_refused_first(memorising, monkeypatch):
    task, runs = memorising
    monkeypatch.setattr("jumpretrain.execution.memory.machine_memory", lambda: 1e5)
    with pytest.raises(ValueError, match="43 states and their pairs take 0 GB"):
        saddles(task, runs)


def hill(weights):
    return torch.exp(-(weights**2).sum())


def test_a_ring_around_a_hill_is_a_loop_until_edges_cross_the_hill():
    angles = np.arange(8) * np.pi / 4
    states = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    full = sparse.csr_array(1.0 - np.eye(8))
    found = measured_sublevel(landscape(hill), states, full, execution=QUIET)
    # chords over one and over three steps pass the hill at 2 cos(pi / 8) and 2 cos(3 pi / 8)
    births = np.exp(-((2 * np.cos(np.array([1, 3]) * np.pi / 8)) ** 2))
    assert found.finite(1)[0] == pytest.approx(births, rel=1e-6)
    assert found.total_persistence(0) == saddles(
        landscape(hill), states
    ).diagrams.total_persistence(0)


def test_a_graph_is_one_of_the_states():
    with pytest.raises(ValueError, match="for each of the 3 states, but has 8"):
        measured_sublevel(landscape(hill), np.eye(3, 2), sparse.csr_array(1.0 - np.eye(8)))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_state_of_a_digits_mlp_takes_few_looks(share):
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10), jr.data.digits().corrupt(share, seed=0))
    fit = jr.train(task, jr.Recipe(epochs=100, lr=0.05, record_every=0), [0], execution=QUIET)
    again = jr.Recipe(epochs=11, lr=0.05, record_early=False)
    runs = jr.sample(task, fit.final[0], again, execution=QUIET).jumps()
    coarse = saddles(task, runs, tolerance=1e9, execution=QUIET)
    found = saddles(task, runs, execution=QUIET)
    assert len(found) == 193
    assert coarse.evaluations <= 45 * len(found)
    assert found.evaluations <= 60 * len(found)
    assert found.depth >= coarse.depth * (1 - 1e-6)
