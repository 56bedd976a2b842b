"""A folder is for the task that made it, and refused to one that computes otherwise."""

import functools
import json
import os
import subprocess
import sys
import textwrap
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch
from support import nets, zoo
from torch import nn

import jumpretrain as jr
from jumpretrain.storage import manifests
from jumpretrain.tasks.measures import cross_entropy
from jumpretrain.tasks.task import Task

QUIET = jr.Execution(progress=False)
SCALE = [1.0]


class Net(nn.Module):
    """Holds values of every kind that only training, or only some inputs, depend on."""

    slope = 1.0

    def __init__(self, **held):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.after(self.linear(x)) * self.slope

    def after(self, out):
        return out

    def drawn(self):
        return "not used in a forward"


class Clamped(Net):
    def after(self, out):
        return out.clamp(max=100.0)


class ClampedLater(Net):
    def after(self, out):
        return out.clamp(max=101.0)


class Steeper(Net):
    slope = 1.0 + 1e-12


class Limits:
    def __init__(self, high):
        self.inner = {"high": high}


class Smoothed(nn.Module):
    def __init__(self, smoothing):
        super().__init__()
        self.smoothing = smoothing

    def forward(self, outputs, targets):
        return nn.functional.cross_entropy(
            outputs, targets, reduction="none", label_smoothing=self.smoothing * self.training
        )


def weighted(weights):
    def loss(outputs, targets):
        return weights[targets] * cross_entropy(outputs, targets)

    return loss


def by_default(usual):
    def loss(outputs, targets, scale=usual):
        return scale * cross_entropy(outputs, targets)

    return loss


def held_by_a_layer(value):
    layer = nn.Linear(6, 3)
    layer.extra = value
    return nn.Sequential(layer)


def scaled(outputs, targets):
    return SCALE[0] * cross_entropy(outputs, targets)


def noted(rows):
    def loss(outputs, targets):
        rows.append(len(outputs))
        return cross_entropy(outputs, targets)

    return loss


def claimed(tmp_path, first, *others):
    """Claim a folder for a task, and claim it again for others."""
    for task in (first, *others):
        manifests.claim(tmp_path / "manifest.json", {"task": task.fingerprint})


def task(model=Net, **choices):
    model = model() if isinstance(model, type) else model
    return Task(model, nets.vectors(), **choices)


PAIRS = {
    "an attribute": (lambda: task(Net(p=0.1)), lambda: task(Net(p=0.2)), "held.model.p"),
    "text": (lambda: task(Net(act="relu")), lambda: task(Net(act="gelu")), "held.model.act"),
    "a list": (lambda: task(Net(k=[1, {"a": 2}])), lambda: task(Net(k=[1, {"a": 3}])), "model.k"),
    "an object": (lambda: task(Net(at=Limits(1))), lambda: task(Net(at=Limits(2))), "model.at"),
    "a function": (
        lambda: task(Net(f=functools.partial(torch.clamp, max=1))),
        lambda: task(Net(f=functools.partial(torch.clamp, max=2))),
        "model.f",
    ),
    "a table": (
        lambda: task(Net(t=np.array([1.0, 1, 1]))),
        lambda: task(Net(t=np.array([1, 1.02, 1]))),
        "model.t in numbers",
    ),
    "a method": (lambda: task(Clamped), lambda: task(ClampedLater), "code.Clamped.after"),
    "a class attribute": (lambda: task(Net), lambda: task(Steeper), "Steeper.slope"),
    "a layer": (
        lambda: task(held_by_a_layer(1)),
        lambda: task(held_by_a_layer(2)),
        "layers.model.0.extra",
    ),
    "a loss in training": (
        lambda: task(loss=Smoothed(0.0)),
        lambda: task(loss=Smoothed(0.5)),
        "held.loss.smoothing",
    ),
    "weights of classes": (
        lambda: task(loss=weighted(torch.tensor([1.0, 1, 1]))),
        lambda: task(loss=weighted(torch.tensor([1.0, 1, 1.02]))),
        "held.loss.weights in numbers",
    ),
    "a default": (
        lambda: task(loss=by_default(1.0)),
        lambda: task(loss=by_default(1.0001)),
        "held.loss.defaults",
    ),
    "a metric": (
        lambda: task(metrics={"m": lambda out, y: (out[:, 0] > 1e3).float()}),
        lambda: task(metrics={"m": lambda out, y: (out[:, 0] > 2e3).float()}),
        "code.<lambda>",
    ),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_a_folder_of_a_task_that_computes_otherwise_is_refused_by_name(kind, tmp_path):
    first, second, name = PAIRS[kind]
    claimed(tmp_path, first(), first())
    with pytest.raises(ValueError, match="a folder holds one design") as caught:
        claimed(tmp_path, second())
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_what_a_global_holds_counts(tmp_path, monkeypatch):
    claimed(tmp_path, task(loss=scaled))
    with monkeypatch.context() as changed:
        changed.setitem(globals(), "SCALE", [1.0001])
        with pytest.raises(ValueError, match=r"held\.loss\.SCALE"):
            claimed(tmp_path, task(loss=scaled))
    claimed(tmp_path, task(loss=scaled))


SOURCE = """
import torch
from torch import nn
{comment}
RATE = {rate}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.names = {{"a", "b", "c"}}
    def forward(self, x):
        out = self.linear(x)
        if self.training and "a" in {{"a", "b", "c", "d"}}:
            out = self.noisy(out)
        return out
    def noisy(self, out):
        {doc}
        return out + RATE * (out > 1e6)
"""


def imported(folder, name, rate=0.1, comment="", doc='"""Add noise."""'):
    """Import a module of the user's own from a file, as another process would."""
    path = folder / f"{name}.py"
    path.write_text(SOURCE.format(rate=rate, comment=comment, doc=doc))
    found = util.module_from_spec(spec := util.spec_from_file_location(name, path))
    spec.loader.exec_module(found)
    return found


def test_a_file_that_was_edited_between_two_calls_is_another_task(tmp_path):
    claimed(tmp_path, task(imported(tmp_path, "mine").Net))
    with pytest.raises(ValueError, match=r"task\.held\.model\.Net\.noisy\.RATE is .* here and"):
        claimed(tmp_path, task(imported(tmp_path, "mine", rate=0.2).Net))


def test_another_name_of_the_file_comments_and_docstrings_do_not_count(tmp_path):
    others = (
        imported(tmp_path, "yours"),
        imported(tmp_path, "mine", comment="# moved\n\n"),
        imported(tmp_path, "mine", doc='"""Add no noise,\n        but where it is large."""'),
    )
    mine = task(imported(tmp_path, "mine").Net)
    claimed(tmp_path, mine, *(task(module.Net) for module in others))


def test_another_process_and_other_hashes_give_the_same_fingerprint(tmp_path):
    imported(tmp_path, "mine")
    code = f"""
        import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[1])!r}]
        import json, mine, jumpretrain as jr
        from support import nets, zoo
        print(json.dumps(jr.Task(mine.Net, nets.vectors()).fingerprint, sort_keys=True))
    """
    answers = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1 and "Net.noisy" in answers.pop()


def test_a_lambda_that_is_written_again_is_the_same_loss(tmp_path):
    kinds = [
        eval("lambda out, y: nn.functional.cross_entropy(out, y, reduction='none')", {"nn": nn})
        for _ in range(2)
    ]
    claimed(tmp_path, *(task(loss=kind) for kind in kinds))


def test_what_builds_a_network_shows_in_the_network_alone(tmp_path):
    def build():
        return Net(p=0.1)

    claimed(tmp_path, task(build), task(lambda: Net(p=0.1)), task(Net(p=0.1)))


def test_methods_that_no_forward_reaches_may_change(tmp_path, monkeypatch):
    claimed(tmp_path, task(Net))
    monkeypatch.setattr(Net, "drawn", lambda self: "otherwise")
    claimed(tmp_path, task(Net))
    monkeypatch.setattr(Net, "after", lambda self, out: out)
    with pytest.raises(ValueError, match=r"task\.code"):
        claimed(tmp_path, task(Net))


def test_logs_and_counters_of_a_loss_tell_nothing(tmp_path):
    rows = []
    claimed(tmp_path, task(loss=noted(rows)), task(loss=noted(rows)))


def test_tables_that_another_processor_rounds_otherwise_are_the_same(tmp_path):
    table = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    rounded = np.nextafter(table, np.float32(np.inf))
    claimed(tmp_path, task(Net(table=table)), task(Net(table=rounded)))
    with pytest.raises(ValueError, match=r"held\.model\.table in numbers"):
        claimed(tmp_path, task(Net(table=table * np.float32(1.01))))


def test_noise_in_training_is_told_by_a_value_where_no_code_tells_it(tmp_path):
    first, second = task(nets.dropped()), task(nets.dropped())
    second.template[1].p = 0.3  # as a version of a package could do
    assert first.fingerprint["values"] == second.fingerprint["values"]
    told = [made.fingerprint["training"] for made in (first, second)]
    assert told[0]["with"] == told[1]["with"] != "any version"
    claimed(tmp_path, first)
    with pytest.raises(ValueError, match=r"task\.training\.loss is"):
        claimed(tmp_path, second)


def test_descriptions_of_other_versions_and_older_folders_are_not_compared(tmp_path):
    path, first = tmp_path / "manifest.json", task(Net(p=0.1)).fingerprint
    other = first | {"code": {"with": "cpython-999", "all": "0"}}
    manifests.claim(path, {"task": first})
    manifests.claim(path, {"task": other})
    path.unlink()
    older = {key: text for key, text in first.items() if isinstance(text, str)}
    path.write_text(json.dumps({"task": older}))
    claimed(tmp_path, task(Net(p=0.2)))


def test_training_goes_on_in_a_folder_of_the_same_task_and_of_no_other(tmp_path):
    def trained(p):
        return jr.train(task(Net(p=p)), jr.Recipe(epochs=1), [0], folder=tmp_path, execution=QUIET)

    first = trained(0.1)
    np.testing.assert_array_equal(trained(0.1).final, first.final)
    with pytest.raises(ValueError, match=r"task\.held\.model\.p is"):
        trained(0.2)


def test_a_large_network_of_ones_own_is_told_in_few_words():
    class Wide(Net):
        def forward(self, x):
            return self.linear(x)

    made = task(Wide(**{f"p{k}": k for k in range(300)}))
    assert len(made.fingerprint["held"]) < 300
    other = task(Wide(**{f"p{k}": k + (k == 299) for k in range(300)}))
    assert other.fingerprint["held"] != made.fingerprint["held"]


def test_a_worker_that_computes_something_else_says_so_and_the_remedy_helps(monkeypatch):
    recipe, one = jr.Recipe(epochs=1), jr.Execution(progress=False, mode="looped")
    two = jr.Execution(progress=False, mode="looped", n_jobs=2)
    monkeypatch.setattr(zoo.Set, "factor", 3.0)  # a worker that imports the class has 1
    monkeypatch.setattr(zoo.Set, "always", False)
    task, network = Task(zoo.Set, nets.vectors()), zoo.Set()
    with pytest.raises(ValueError, match=r"a worker must .* or take n_jobs=1") as found:
        jr.train(task, recipe, [0, 1], execution=two)
    assert "\n" not in str(found.value)
    network.factor, network.always = 3.0, False
    kept = Task(network, nets.vectors())
    states = [kept.initial(0)] * 2
    both = [jr.train(kept, recipe, [0, 1], states, execution=e).states for e in (two, one)]
    assert np.array_equal(*both)
