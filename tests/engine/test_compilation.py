"""Compiled gradients against autograd's, and compiled runs that end with the same bits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support import nets

import jumpretrain as jr
from jumpretrain.engine.compilation import compile_gradients
from tests.engine.test_checkpoints import Stopped, stopping

SETUP = "import sys; sys.path.insert(0, 'tests'); from tests.engine import test_compilation as t\n"
ROOT = Path(__file__).parents[2]
RECIPE = jr.Recipe(epochs=6, lr=0.02, batch_size=10, optimiser="adam")  # 44 examples: one ragged
COMPILED = jr.Execution(progress=False, mode="compiled", chunk=2, checkpoint=2)
pytestmark = pytest.mark.slow


def train(folder=None, **changes):
    execution = jr.Execution(**{**vars(COMPILED), **changes})
    return jr.train(nets.TASKS["mlp"](), RECIPE, range(4), folder=folder, execution=execution)


def test_gradients_are_autograds_and_see_what_the_tensors_hold_then():
    def losses(tensors, x, y):
        tensors["seen"].add_(x.sum())
        return ((tensors["slope"] * x - y) ** 2).mean(1)

    tensors = {
        "slope": torch.ones(3, 1, requires_grad=True),
        "idle": torch.ones(3, requires_grad=True),
        "seen": torch.zeros(()),
    }
    x, y = torch.arange(12.0).view(3, 4), torch.ones(3, 4)
    gradients = compile_gradients(losses, tensors, ["slope", "idle"], x, y)
    assert tensors["seen"] == 0 and tensors["slope"].grad is None
    for slope in (1.0, -2.0):
        with torch.no_grad():
            tensors["slope"].fill_(slope)
        found, idle = gradients(x, y)
        expected = (2 * x * (slope * x - y)).mean(1, keepdim=True)
        torch.testing.assert_close(found, expected)
        assert idle is None
    assert tensors["seen"] == 2 * x.sum()


def test_a_model_that_is_no_graph_is_refused_by_name():
    class Remembering(torch.nn.Linear):
        def forward(self, x):
            self.scale = float(self.weight.detach().abs().max())
            return super().forward(x)

    task = jr.Task(lambda: Remembering(6, 3), nets.vectors())
    with pytest.raises(ValueError, match="compiled training needs a model that vmap accepts and"):
        jr.train(task, RECIPE, [0, 1], execution=COMPILED)


def test_a_model_that_counts_its_steps_is_refused():
    class Counting(torch.nn.Linear):
        steps = 0

        def forward(self, x):
            self.steps += self.training
            return super().forward(x) / (1 + self.steps * self.training)

    with pytest.raises(ValueError, match="this forward changes steps"):
        jr.Task(lambda: Counting(6, 3), nets.vectors())


def test_without_a_compiler_compiled_training_is_refused_and_says_why(tmp_path):
    code = SETUP + "try: t.train()\nexcept ValueError as error: print(error)"
    nowhere = {"CXX": "/nowhere/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | nowhere, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert "needs a model that vmap accepts and a compiler" in answer.stdout
    assert "nowhere" in answer.stdout or "compiler" in answer.stdout.split("but:")[1]


def test_a_stopped_compiled_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = train()
    assert whole.provenance["execution"] == {"mode": "compiled", "reason": "asked for", "chunk": 2}
    with monkeypatch.context() as patch:
        stopping(patch, at=3)
        with pytest.raises(Stopped):
            train(tmp_path)
    assert list(tmp_path.glob("checkpoints/*"))
    assert np.array_equal(train(tmp_path).states[:], whole.states)
    with pytest.raises(ValueError, match=r"mode is .stacked. here and .compiled. there"):
        train(tmp_path, mode="stacked")


def test_processes_end_with_the_bits_of_one(tmp_path):
    whole = train()
    assert np.array_equal(train(n_jobs=2).states, whole.states)
    words = [sys.executable, "-c", SETUP + "t.train(sys.argv[1])", str(tmp_path)]
    child = subprocess.Popen(words, cwd=ROOT, start_new_session=True)
    while child.poll() is None and not list(tmp_path.glob("checkpoints/00000")):
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    subprocess.run(words, cwd=ROOT, check=True)
    folder = train(tmp_path)
    assert np.array_equal(folder.states[:], whole.states)
