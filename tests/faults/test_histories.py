"""Any history of one folder: what is finished stays, and what is read is right or refused."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import faults

from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.storage import folders
from jumpretrain.storage.verify import verify

WHOLE = faults.study()
CALLS = 135


class Histories(RuleBasedStateMachine):
    """One folder; `damaged` holds what files were before a bit of them was flipped."""

    def __init__(self):
        super().__init__()
        self.above = Path(tempfile.mkdtemp())
        self.folder = self.above / "0"
        self.moves = 0
        self.damaged = {}
        self.patch = pytest.MonkeyPatch()

    def teardown(self):
        self.patch.undo()
        shutil.rmtree(self.above)

    def study(self, lr=0.05, place=None, act=None):
        with faults.watching(self.patch, faults.Faults(place, act)):
            return faults.study(self.folder, lr)

    def kept(self):
        found = sorted(self.folder.rglob("*")) if self.folder.exists() else []
        return [path for path in found if path.suffix != ".part" and path.name[0] != "."]

    def check_named(self, error):
        assert any(str(path) in str(error) for path in self.damaged), error
        assert "\n" not in str(error)

    @rule()
    def finish(self):
        try:
            found = self.study()
        except ValueError as error:
            self.check_named(error)
            return
        assert faults.same(found, WHOLE)
        assert not any(path.exists() for path in self.damaged)
        self.damaged = {}

    @precondition(lambda self: not self.damaged)
    @rule(place=st.integers(0, CALLS))
    def kill(self, place):
        code = faults.in_child(self.study, 0.05, place, faults.die)
        assert code in (0, faults.KILLED)

    @precondition(lambda self: not self.damaged)
    @rule(place=st.integers(0, CALLS), number=st.sampled_from(faults.ERRORS))
    def refuse(self, place, number):
        try:
            assert faults.same(self.study(0.05, place, faults.refuse(number)), WHOLE)
        except ValueError as error:
            assert "delete" not in str(error) and "\n" not in str(error)

    @precondition(lambda self: (self.folder / "trained" / "manifest.json").exists())
    @rule()
    def ask_for_another_design(self):
        before = {path: path.read_bytes() for path in self.kept() if path.is_file()}
        with pytest.raises(
            ValueError, match=r"one design|must be whole JSON|must have a checksum"
        ):
            self.study(0.1)
        assert {path: path.read_bytes() for path in self.kept() if path.is_file()} == before

    @rule()
    def write_beside_another(self):
        with folders.lock(self.folder / "trained"):
            assert faults.in_child(self.study) == faults.IN_USE

    @rule(copied=st.booleans())
    def carry_elsewhere(self, copied):
        if not self.folder.exists():
            return
        self.moves += 1
        place = self.above / str(self.moves)
        (shutil.copytree if copied else shutil.move)(self.folder, place)
        inside = {path.relative_to(self.folder): old for path, old in self.damaged.items()}
        self.damaged = {place / path: old for path, old in inside.items()}
        self.folder = place

    @rule(data=st.data())
    def delete_a_run(self, data):
        runs = [path for path in self.kept() if path.parent.name == "runs"]
        if runs:
            path = data.draw(st.sampled_from(runs))
            path.unlink()
            self.damaged.pop(path, None)

    @precondition(lambda self: not self.damaged)
    @rule(data=st.data())
    def flip_a_bit(self, data):
        files = [path for path in self.kept() if path.is_file()]
        if files:
            path = data.draw(st.sampled_from(files))
            self.damaged[path] = path.read_bytes()
            content = bytearray(self.damaged[path])
            place = data.draw(st.integers(0, 8 * len(content) - 1))
            content[place // 8] ^= 1 << place % 8
            path.write_bytes(content)

    @rule()
    def heal(self):
        for path, old in self.damaged.items():
            if path.suffix == ".json":
                path.write_bytes(old)
            else:
                path.unlink()
        self.damaged = {}

    @rule()
    def read(self):
        try:
            runs = Trajectories.load(self.folder / "sampled")
        except ValueError as error:
            said = str(error)
            if "must hold" not in said:  # nothing is there yet
                self.check_named(error)
            return
        finished = np.flatnonzero(runs.status != "missing")
        assert np.array_equal(runs.states[:][finished], WHOLE["sampled"][finished])

    @invariant()
    def what_is_damaged_is_all_that_is_found(self):
        if any(path.is_file() for path in self.kept()):
            lines = [line for one in verify(self.folder) for line in one.damaged]
            assert bool(lines) == bool(self.damaged), lines


@pytest.mark.parametrize("count", [6, pytest.param(120, marks=pytest.mark.slow)])
def test_any_history_of_a_folder_ends_well(count):
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(
        max_examples=count, stateful_step_count=12, deadline=None, suppress_health_check=quiet
    )
    run_state_machine_as_test(Histories, settings=chosen)
