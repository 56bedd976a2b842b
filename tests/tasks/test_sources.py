"""A state is read from whatever holds it, and states of other networks are told by name."""

import copy
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import nets
from torch import nn
from torch.optim.swa_utils import AveragedModel

from jumpretrain.connectivity.alignment import align
from jumpretrain.connectivity.connect import connect
from jumpretrain.curvature.sections import plane_through, radial_cut
from jumpretrain.curvature.sharp_directions import sharp_directions
from jumpretrain.curvature.tunnels import isotropy, tunnel_width
from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.ensembles.ensemble import ensemble
from jumpretrain.ensembles.subspaces import draw_uniform
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.paths import controls
from jumpretrain.paths.interpolate import interpolate, interpolation_grid, layerwise
from jumpretrain.sampling.baselines import grid, rays
from jumpretrain.sampling.sample import sample
from jumpretrain.states.layers import weight_distance
from jumpretrain.tasks.task import Task

QUIET = Execution(progress=False)
SHORT = Recipe(epochs=1, record_early=False)


def small():
    return mlp((6,), 3, hidden=(8,))


@pytest.fixture(scope="module")
def task():
    return Task(small, nets.vectors())


@pytest.fixture(scope="module")
def network(task):
    return task.module(task.initial(3))


@pytest.fixture(scope="module")
def state(task):
    return task.initial(3)


def saved(content, path):
    torch.save(content, path)
    return path


def in_safetensors(net, folder):
    save_file(net.state_dict(), folder / "state.safetensors")
    return str(folder / "state.safetensors")


def in_numpy(net, path):
    np.save(path, row(net).numpy())
    return path


def prefixed(net, prefix):
    return {f"{prefix}{key}": value for key, value in net.state_dict().items()}


def compiled(net):
    return torch.compile(net, backend="eager")


def row(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


HELD = {
    "a network": lambda net, _: net,
    "DataParallel": lambda net, _: nn.DataParallel(net),
    "a compiled network": lambda net, _: compiled(net),
    "a compiled network in DataParallel": lambda net, _: nn.DataParallel(compiled(net)),
    "an averaged network": lambda net, _: AveragedModel(net),
    "a network of float64": lambda net, _: copy.deepcopy(net).double(),
    "a state dict": lambda net, _: net.state_dict(),
    "a state dict of arrays": lambda net, _: {k: v.numpy() for k, v in net.state_dict().items()},
    "a state dict of DataParallel": lambda net, _: nn.DataParallel(net).state_dict(),
    "a state dict of a compiled network": lambda net, _: compiled(net).state_dict(),
    "a state dict of an averaged network": lambda net, _: AveragedModel(net).state_dict(),
    "both prefixes": lambda net, _: prefixed(net, "module._orig_mod."),
    "a network that holds it": lambda net, _: nn.ModuleDict({"model": net}),
    "sparse tensors": lambda net, _: {k: v.to_sparse() for k, v in net.state_dict().items()},
    "a Lightning checkpoint": lambda net, _: {"epoch": 3, "state_dict": prefixed(net, "model.")},
    "a nested network": lambda net, _: {"model": net, "epoch": 3},
    "a file": lambda net, folder: saved(net.state_dict(), folder / "a.pt"),
    "a checkpoint": lambda net, folder: str(
        saved({"model_state_dict": net.state_dict(), "epoch": 3, "lr": 0.1}, folder / "b.pt")
    ),
    "a checkpoint in a checkpoint": lambda net, folder: saved(
        {"model": {"state_dict": prefixed(net, "module.")}}, folder / "c.pt"
    ),
    "safetensors": in_safetensors,
    "a file of the state": lambda net, folder: saved(row(net), folder / "d.pt"),
    "a file of NumPy": lambda net, folder: in_numpy(net, folder / "state.npy"),
    "an array": lambda net, _: row(net).numpy(),
    "an array of the other byte order": lambda net, _: row(net).numpy().astype(">f8"),
    "an array read from its end": lambda net, _: row(net).numpy()[::-1].copy()[::-1],
    "a list": lambda net, _: row(net).tolist(),
    "a tensor with a gradient": lambda net, _: row(net).requires_grad_(),
    "a tensor of float64": lambda net, _: row(net).double(),
}


@pytest.mark.parametrize("kind", HELD)
def test_a_state_is_read_from_whatever_holds_it(task, network, state, tmp_path, kind):
    held = HELD[kind](network, tmp_path)
    found = task.state(held)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, state)
    np.testing.assert_array_equal(task.check_states([held, state]), [state, state])


def test_half_precision_is_read_exactly(task, network, state):
    half = copy.deepcopy(network).bfloat16()
    expected = torch.tensor(state).bfloat16().float().numpy()
    for held in (half, half.state_dict(), torch.tensor(state).bfloat16()):
        np.testing.assert_array_equal(task.state(held), expected)


def test_a_compiled_part_of_the_tasks_own_network_changes_no_name(network, state):
    parts = nn.Sequential(network[0], compiled(network[1]), *network[2:])
    assert any("_orig_mod" in key for key in parts.state_dict())
    task = Task(parts, nets.vectors())
    for held in (network, network.state_dict(), parts, nn.DataParallel(parts)):
        np.testing.assert_array_equal(task.state(held), state)


def test_runs_are_states_and_a_single_one_is_a_state(task):
    fit = train(task, SHORT, [0, 1], execution=QUIET)
    np.testing.assert_array_equal(task.check_states(fit), fit.final)
    one = train(task, SHORT, [0], execution=QUIET)
    np.testing.assert_array_equal(task.state(one), one.final[0])
    np.testing.assert_array_equal(task.check_states([one, fit.final[1]])[0], one.final[0])
    with pytest.raises(ValueError, match=r"one state, but there are 2 runs; pass .* runs\.final"):
        task.state(fit)
    other = Task(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), task.data)
    assert other.layout.width == task.layout.width
    with pytest.raises(ValueError, match=r"these runs are of another one; .* or pass runs\.final"):
        other.check_states(fit)
    assert other.check_states(fit.final).shape == fit.final.shape


CALLS = {
    "evaluate": lambda task, a, b: evaluate(task, [a, b], QUIET)["test_loss"],
    "evaluate alone": lambda task, a, b: evaluate(task, [a], QUIET)["test_loss"],
    "train": lambda task, a, b: train(task, SHORT, [0, 1], [a, b], execution=QUIET).final,
    "sample": lambda task, a, b: sample(
        task, a, SHORT, step_sizes=[0.5], directions=1, execution=QUIET
    ).states[:],
    "rays": lambda task, a, b: rays(task, a, 1, [0.5], execution=QUIET).states,
    "grid": lambda task, a, b: grid(task, a, (2, 1, 1), execution=QUIET).states,
    "interpolate": lambda task, a, b: interpolate(task, a, b, 3).metrics["train_loss"],
    "layerwise": lambda task, a, b: layerwise(task, a, b, alphas=2)["1"].metrics["train_loss"],
    "interpolation_grid": lambda task, a, b: interpolation_grid(task, [a], [b], 2)[0][0].metrics[
        "train_loss"
    ],
    "connect": lambda task, a, b: connect(
        task, [a, b], recipe=SHORT, inner=1, each=2, execution=QUIET
    ).metrics["train_loss"],
    "align": lambda task, a, b: align(task, a, to=b),
    "sharp_directions": lambda task, a, b: sharp_directions(task, a, execution=QUIET).eigenvalues,
    "tunnel_width": lambda task, a, b: (
        tunnel_width(task, a, 9.0, directions=2, execution=QUIET).widths
    ),
    "isotropy": lambda task, a, b: isotropy(task, a, [0.5], directions=2, execution=QUIET).losses,
    "plane_through": lambda task, a, b: plane_through(
        task, [a, b, task.initial(9)], size=2, execution=QUIET
    ).metrics["train_loss"],
    "radial_cut": lambda task, a, b: radial_cut(task, a, [0.5], QUIET)["train_loss"],
    "ensemble": lambda task, a, b: ensemble(task, [a, b], starts=[b], execution=QUIET).cosines,
    "weight_distance": lambda task, a, b: weight_distance(task, a, b).absolute,
    "controls": lambda task, a, b: controls.noise(task, a, 0),
    "draw_uniform": lambda task, a, b: draw_uniform(task, a, 1.0, 1),
    "module": lambda task, a, b: task.layout.read(task.module(a)).numpy(),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_takes_networks_state_dicts_files_and_tensors_for_states(
    task, network, state, tmp_path, call
):
    other = task.initial(4)
    path = saved(task.module(other).state_dict(), tmp_path / "other.pt")
    pairs = [(network, path), (network.state_dict(), torch.tensor(other, requires_grad=True))]
    expected = CALLS[call](task, state, other)
    for first, second in pairs:
        np.testing.assert_array_equal(CALLS[call](task, first, second), expected)


def test_a_lone_network_is_one_of_the_states(task, network, state):
    expected = evaluate(task, [state], QUIET)["test_loss"]
    for source in (network, network.state_dict()):
        np.testing.assert_array_equal(evaluate(task, source, QUIET)["test_loss"], expected)


def other_networks(task, folder):
    wide = mlp((6,), 3, hidden=(9,))
    return [
        wide,
        wide.state_dict(),
        saved(wide.state_dict(), folder / "wide.pt"),
        row(wide).numpy(),
        row(wide),
        nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)),
    ]


def test_of_several_states_the_one_of_another_network_is_named(task, state, tmp_path):
    for other in other_networks(task, tmp_path):
        for call in (connect, evaluate):
            with pytest.raises(ValueError, match=r"state 1 of 2 (must|differs)") as found:
                call(task, [state, other])
            assert "\n" not in str(found.value)


def test_a_network_with_another_function_is_refused_and_both_remedies_help(task):
    other = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    with pytest.raises(ValueError, match=r"differs .* make a task .*, or pass its state_dict"):
        task.state(other)
    np.testing.assert_array_equal(task.state(other.state_dict()), row(other))
    np.testing.assert_array_equal(Task(other, task.data).state(other), row(other))


@pytest.mark.parametrize("call", ["sample", "train", "connect"])
def test_a_folder_without_a_name_is_refused_before_anything_is_written(
    task, state, tmp_path, monkeypatch, call
):
    monkeypatch.chdir(tmp_path)
    calls = {
        "sample": lambda: sample(task, state, SHORT, folder="", execution=QUIET),
        "train": lambda: train(task, SHORT, [0], folder="", execution=QUIET),
        "connect": lambda: connect(task, [state, task.initial(4)], folder="", execution=QUIET),
    }
    with pytest.raises(ValueError, match=r"folder must be .*, but is ''") as found:
        calls[call]()
    assert "\n" not in str(found.value) and not list(tmp_path.iterdir())


def refused(task, state):
    broken, huge = state.copy(), state.astype(float)
    broken[3], huge[2] = np.nan, 1e300
    return {
        "nan": (broken, "must be finite, but 1 of its 83 entries are not; leave out diverged"),
        "too large": (huge, r"must fit float32, but holds values up to 1e\+300; .* in float64"),
        "complex": (state + 1j, r"must be real, but is complex; pass its \.real"),
        "a row too many": (state[None], r"one state of this task, \(83,\), but is \(1, 83\)"),
        "None": (None, "must be given as an array, a network, .*, but is None"),
        "a number": (3, "but is of type int; take it from train"),
        "words": (["a"] * 83, "must be numbers"),
        "a masked array": (
            np.ma.masked_array(state, state > 0),
            "must be a dense array, .* masked",
        ),
        "a checkpoint of other things": (
            {"epoch": 3},
            "'epoch' is no tensor .* but int; pass",
        ),
        "a part of a checkpoint": ({"ema": {}}, "pass what is under 'ema' alone"),
        "networks by name": ({"a": small(), "b": small()}, "pass a list of networks"),
        "a complex state dict": (
            {k: v + 0j for k, v in task.template.state_dict().items()},
            "where it is real, but is complex",
        ),
        "a state dict without values": (
            {k: v.to("meta") for k, v in task.template.state_dict().items()},
            "but a tensor on the meta device",
        ),
        "a state dict too large": (
            {k: v.double() * 1e200 for k, v in task.template.state_dict().items()},
            r"must fit torch\.float32, but holds values up to .*; give the task a model in",
        ),
        "a folder": (".", "must hold a state dict, but cannot be read"),
    }


@pytest.mark.parametrize("kind", refused(Task(small, nets.vectors()), np.zeros(83, np.float32)))
def test_what_is_no_state_is_refused_in_one_line(task, state, kind):
    source, message = refused(task, state)[kind]
    with warnings.catch_warnings(), pytest.raises((TypeError, ValueError), match=message) as found:
        warnings.simplefilter("error")
        task.state(source)
    assert "\n" not in str(found.value)


def test_states_too_large_for_the_network_are_told_apart_from_diverged_ones(task, state):
    rows = np.stack([state, state]).astype(float)
    rows[1, 0] = 1e39
    with pytest.raises(
        ValueError, match=r"states must fit float32, but holds values up to 1e\+39"
    ):
        task.check_states(rows)
    double = Task(lambda: small().double(), nets.vectors())
    assert double.check_states(rows)[1, 0] == 1e39


NO_STATES = {
    "is empty; save model": b"",
    "is a pointer of Git LFS; fetch the file itself by git lfs pull": b"version https://git-lfs."
    b"github.com/spec/v1\noid sha256:0\nsize 9\n",
    "is a page of the web; fetch the file itself": b"\n<!DOCTYPE html><html></html>",
}


@pytest.mark.parametrize("words", NO_STATES)
def test_a_file_that_is_no_state_is_said_to_be_what_it_is(task, tmp_path, words):
    for name in ("state.pt", "state.safetensors"):
        (tmp_path / name).write_bytes(NO_STATES[words])
        with pytest.raises(ValueError, match=f"must hold a state dict, but {words}") as found:
            task.state(tmp_path / name)
        assert "\n" not in str(found.value)


def test_a_file_of_safetensors_by_another_name_is_told_and_read_by_its_own(
    task, network, state, tmp_path
):
    save_file(network.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"but is of safetensors; name it \.safetensors"):
        task.state(tmp_path / "pytorch_model.bin")
    right = (tmp_path / "pytorch_model.bin").rename(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(task.state(right), state)
