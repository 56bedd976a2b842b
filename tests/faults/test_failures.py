"""The system refuses a call, or kills the program at it, at every place of a tiny study."""

import errno
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import faults
from torch import nn

import jumpretrain as jr
from jumpretrain.storage import locks
from jumpretrain.storage.verify import verify

QUICK = 11  # every so many places
EVERY = pytest.param(1, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def whole():
    return faults.study()


@pytest.fixture
def count(monkeypatch, tmp_path):
    """How many calls to the system the study makes."""
    with faults.watching(monkeypatch, faults.Faults()) as seen:
        faults.study(tmp_path / "counted")
    assert set(faults.KINDS) == {*seen.calls} and len(seen.calls) > 80
    return len(seen.calls)


def check_goes_on(folder, whole):
    """What is there is whole; the same call ends with the same bits and leaves no litter."""
    if folder.exists() and any(path.suffix for path in folder.rglob("[!.]*")):
        assert [line for one in verify(folder) for line in one.damaged] == []
    assert faults.same(faults.study(folder), whole)
    held = verify(folder)
    assert [(one.whole, one.expected) for one in held] == [(2, 2), (1, 1)]
    assert [(one.damaged, one.orphans, one.checkpoints) for one in held] == [((), 0, 0)] * 2
    assert not list(folder.rglob("*.part"))


def check_nothing_is_claimed_that_has_nothing(folder, failing):
    if failing.calls[failing.at] == "unlink":
        return  # of what would have been removed
    for place in (folder / "trained", folder / "sampled"):
        made = [*place.glob("runs/*"), *place.glob("checkpoints/*")]
        assert not place.exists() or any(path.suffix != ".part" for path in made)


def check_said(error, number):
    said = str(error)
    assert "\n" not in said and isinstance(error.__cause__, OSError)
    assert re.search(r"results need .* but \S+ cannot be \w+ \(.+\); .*(repeat|name)", said), said
    assert "delete" not in said and error.__cause__.errno == number


@pytest.mark.parametrize("step", [QUICK, EVERY])
def test_a_refusal_at_any_call_is_one_line_and_nothing_is_lost(
    step, count, whole, monkeypatch, tmp_path
):
    refused = 0
    for place in range(0, count, step):
        number = faults.ERRORS[place % len(faults.ERRORS)]
        failing = faults.Faults(place, faults.refuse(number))
        folder = tmp_path / str(place)
        with faults.watching(monkeypatch, failing):
            try:
                found = faults.study(folder)
            except ValueError as error:
                check_said(error, number)
                check_nothing_is_claimed_that_has_nothing(folder, failing)
                refused += 1
            else:
                assert faults.same(found, whole)
        check_goes_on(folder, whole)
    assert refused > count / step / 2


@pytest.mark.parametrize("step", [QUICK, EVERY])
def test_a_kill_at_any_call_loses_nothing(step, count, whole, monkeypatch, tmp_path):
    for place in range(3 % step, count, step):
        folder = tmp_path / str(place)
        with faults.watching(monkeypatch, faults.Faults(place, faults.die)):
            assert faults.in_child(faults.study, folder) == faults.KILLED
        check_goes_on(folder, whole)


def test_what_is_finished_stays_when_the_disk_is_full_for_good(whole, monkeypatch, tmp_path):
    faults.study(tmp_path)
    runs = sorted((tmp_path / "sampled" / "runs").iterdir())
    kept, before = runs[0].read_bytes(), runs[0].stat().st_mtime_ns
    runs[1].unlink()

    def full(self, kind):
        if kind == "write":
            faults.refuse(errno.ENOSPC)()

    monkeypatch.setattr(faults.Faults, "meet", full)
    with (
        faults.watching(monkeypatch, faults.Faults()),
        pytest.raises(ValueError, match=r"No space left .*\); free space and repeat the call"),
    ):
        faults.study(tmp_path)
    assert runs[0].read_bytes() == kept and runs[0].stat().st_mtime_ns == before
    check_goes_on(tmp_path, whole)


def test_a_call_that_makes_nothing_leaves_nothing(monkeypatch, tmp_path):
    def full(self, kind):
        if kind == "write" and "runs" in str(list(tmp_path.rglob("*.part"))):
            faults.refuse(errno.ENOSPC)()

    monkeypatch.setattr(faults.Faults, "meet", full)
    monkeypatch.setattr(faults, "QUIET", jr.Execution(progress=False, chunk=1))
    with faults.watching(monkeypatch, faults.Faults()), pytest.raises(ValueError, match="space"):
        faults.study(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_others_write_into_a_folder_meanwhile_stays(tmp_path):
    log = tmp_path / "new" / "log.json"
    with pytest.raises(KeyError), locks.lock(log.parent):
        log.write_text("the user's own")
        raise KeyError
    assert log.read_text() == "the user's own"


def alone():
    """A network that cannot be trained: its last batch has one example, too few to normalise."""
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    return jr.Task(net, faults.TASK.data)


REFUSED = {
    "a batch too small": lambda place: jr.sample(
        alone(), alone().initial(0), jr.Recipe(epochs=1, batch_size=5), folder=place
    ),
    "seeds": lambda place: jr.train(faults.TASK, faults.RECIPE, [-1], folder=place),
    "states": lambda place: jr.train(faults.TASK, faults.RECIPE, [0], [[1.0]], place),
    "step sizes": lambda place: jr.sample(
        faults.TASK, faults.TASK.initial(0), faults.RECIPE, (-1.0,), folder=place
    ),
    "planes": lambda place: jr.train(faults.TASK, faults.RECIPE, [0], folder=place, planes=[]),
    "the disk": lambda place: jr.train(faults.TASK, faults.RECIPE, [0], folder=place),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_beforehand_claims_nothing(what, monkeypatch, tmp_path):
    if what == "the disk":
        monkeypatch.setattr(locks.shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.json").write_text("the user's own")
    for place in (tmp_path / "new" / "folder", tmp_path / "there"):
        with pytest.raises(ValueError, match=r"\w"):
            REFUSED[what](place)
    assert [path.name for path in tmp_path.rglob("*")] == ["there", "notes.json"]


def test_a_folder_that_is_deleted_in_mid_run_is_an_error(monkeypatch, tmp_path):
    for when in ("rename", "mkdir", "read"):
        folder = tmp_path / when
        seen = []

        def meet(self, kind, folder=folder, when=when, seen=seen):
            seen.append(kind)
            if kind == when and seen.count(kind) == 3:
                shutil.rmtree(folder)

        with monkeypatch.context() as patch:
            patch.setattr(faults.Faults, "meet", meet)
            with (
                faults.watching(patch, faults.Faults()),
                pytest.raises(ValueError, match="repeat the call"),
            ):
                faults.study(folder)
        assert not folder.exists() or not any(Path(folder).rglob("*.safetensors"))
