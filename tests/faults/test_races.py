"""Several processes on one folder: one works, the others are plainly refused."""

import errno
from functools import partial

import pytest
from support import faults

from jumpretrain.storage import files
from jumpretrain.storage.verify import verify

TIMES = [4, pytest.param(60, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def whole():
    return {lr: faults.study(lr=lr) for lr in (0.05, 0.1)}


@pytest.mark.parametrize("times", TIMES)
def test_of_two_designs_one_wins_whole_and_the_other_is_refused(times, whole, tmp_path):
    for time in range(times):
        folder = tmp_path / str(time)
        rates = (0.05, 0.1)
        codes = faults.race(*(partial(faults.study, folder, lr) for lr in rates))
        assert sorted(codes)[0] == 0 and sorted(codes)[1] in (faults.IN_USE, faults.ANOTHER)
        winner = rates[codes.index(0)]
        assert faults.same(faults.study(folder, winner), whole[winner])
        assert [one.damaged for one in verify(folder)] == [(), ()]


@pytest.mark.parametrize("times", TIMES)
def test_of_four_with_one_design_losers_are_told_that_it_is_in_use(times, whole, tmp_path):
    for time in range(times):
        folder = tmp_path / str(time)
        codes = faults.race(*[partial(faults.study, folder)] * 4)
        assert {*codes} <= {0, faults.IN_USE} and 0 in codes
        assert faults.same(faults.study(folder), whole[0.05])
        assert not list(folder.rglob("*.part"))


def test_a_claim_between_a_look_and_a_writing_cannot_be(whole, tmp_path, monkeypatch):
    """Another process comes exactly when one has found no manifest, and before it writes one."""
    write, seen = files.write, []

    def late(path, pieces):
        if path.name == "manifest.json" and not seen:
            seen.append(faults.in_child(faults.study, tmp_path, 0.1))
        write(path, pieces)

    monkeypatch.setattr(files, "write", late)
    found = faults.study(tmp_path)
    assert seen == [faults.IN_USE] and faults.same(found, whole[0.05])


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused_by_that_and_left_as_it_was(
    number, tmp_path, monkeypatch
):
    def lockless(_):
        faults.refuse(number)()

    monkeypatch.setattr(files, "_take", lockless)
    with pytest.raises(ValueError, match=r"has no locks here; name a local folder"):
        faults.study(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
