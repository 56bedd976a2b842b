"""Files that were damaged, swapped or copied: refused by name, with a remedy that works."""

import shutil

import numpy as np
import pytest
from support import faults

import jumpretrain as jr
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.storage import arrays, folders, manifests


@pytest.fixture(scope="module")
def whole():
    return faults.study()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    faults.study(folder / "one")
    faults.study(folder / "other", lr=0.1)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made / "one", tmp_path / "one")


class Stopped(BaseException):
    """Ends training as a signal would."""


@pytest.fixture
def stopped(folder, monkeypatch):
    """A study whose training was stopped behind its first checkpoint; the checkpoint."""
    shutil.rmtree(folder)

    def stop(*_):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("jumpretrain.engine.train.measure_both", stop)
        with pytest.raises(Stopped):
            faults.study(folder)
    return folder / "trained" / "checkpoints" / "00000"


def damage(path, part):
    """Flip a bit in a part of a file, or cut it there."""
    content = bytearray(path.read_bytes())
    place = int(abs(part) * (len(content) - 1))
    content[place] ^= 1 << place % 8
    path.write_bytes(content if part >= 0 else content[:place])


def refusal(call, path, *words):
    with pytest.raises(ValueError, match=path.name.replace(".", r"\.")) as found:
        call(*words)
    assert "\n" not in str(found.value)
    return str(found.value)


PARTS = (0, 0.03, 0.2, 0.5, 0.8, 1, -0.01, -0.5, -0.999)
FILES = (
    "trained/runs/00000.safetensors",
    "sampled/runs/00001.safetensors",
    "sampled/trajectories.safetensors",
)
CLAIMS = ("trained/manifest.json", "sampled/manifest.json", "sampled/sampling.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", PARTS)
def test_damaged_arrays_are_named_and_made_again_when_they_are_deleted(name, part, folder, whole):
    path = folder / name
    damage(path, part)
    said = refusal(faults.study, path, folder)
    assert "delete it and repeat the call" in said
    if name.startswith("sampled"):
        refusal(Trajectories.load, path, folder / "sampled")
    path.unlink()
    assert faults.same(faults.study(folder), whole)


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("part", PARTS)
def test_damaged_manifests_are_named_and_a_copy_heals_them(name, part, folder, whole):
    path = folder / name
    content = path.read_bytes()
    damage(path, part)
    assert "put a copy of it back" in refusal(faults.study, path, folder)
    path.write_bytes(content)
    assert faults.same(faults.study(folder), whole)


@pytest.mark.parametrize("part", PARTS)
def test_training_never_goes_on_from_a_damaged_checkpoint(part, stopped, whole):
    folder = stopped.parents[2]
    damage(stopped, part)
    assert "delete it and repeat the call" in refusal(faults.study, stopped, folder)
    stopped.unlink()
    assert faults.same(faults.study(folder), whole)


def test_training_goes_on_from_a_whole_checkpoint_and_from_no_other_s(stopped, made, whole):
    folder = stopped.parents[2]
    mine = stopped.read_bytes()
    content = arrays.read(stopped)
    for facts in ({"owner": "0" * 16}, {"run": 1}):
        arrays.write(stopped, content.arrays, content.facts | facts)
        assert "move it away and repeat" in refusal(faults.study, stopped, folder)
    stopped.write_bytes(mine)
    assert faults.same(faults.study(folder), whole)


def test_swapped_runs_and_those_of_another_folder_are_refused(folder, made, whole):
    first, second = (folders.run_path(folder / "sampled", run) for run in range(2))
    mine = first.read_bytes()
    second.rename(first)
    for call, words in ((faults.study, folder), (Trajectories.load, folder / "sampled")):
        assert "00000.safetensors must be what its folder" in refusal(call, first, words)
    for foreign in (
        folders.run_path(made / "other" / "sampled", 0),
        folders.run_path(folder / "trained", 0),
    ):
        shutil.copy(foreign, first)
        for call, words in ((faults.study, folder), (Trajectories.load, folder / "sampled")):
            said = refusal(call, first, words)
            assert "is of another design" in said and "move it away and repeat the call" in said
    first.write_bytes(mine)
    assert faults.same(faults.study(folder), whole)


def test_an_index_or_manifest_of_another_folder_is_refused(folder, made, whole):
    index = folder / "sampled" / "trajectories.safetensors"
    shutil.copy(made / "other" / "sampled" / index.name, index)
    for call, words in ((faults.study, folder), (Trajectories.load, folder / "sampled")):
        assert "is of another design" in refusal(call, index, words)
    index.unlink()
    assert faults.same(faults.study(folder), whole)
    manifest = folder / "sampled" / "manifest.json"
    shutil.copy(made / "other" / "sampled" / manifest.name, manifest)
    with pytest.raises(ValueError, match=r"a folder holds one design"):
        faults.study(folder)
    with pytest.raises(ValueError, match="is of another design"):
        Trajectories.load(folder / "sampled")


def retrain(folder, lr):
    jr.train(faults.TASK, jr.Recipe(epochs=2, lr=lr, batch_size=8), [0], folder=folder)


def resample(folder, lr):
    recipe = jr.Recipe(epochs=2, lr=lr, batch_size=8)
    jr.sample(faults.TASK, faults.TASK.initial(0), recipe, (0.5,), 2, folder=folder)


@pytest.mark.parametrize("lr", [0.05, 0.2])
@pytest.mark.parametrize(
    ("call", "name"), [(retrain, "trained/manifest.json"), (resample, "sampled/sampling.json")]
)
def test_runs_without_a_manifest_are_refused_and_never_adopted(call, name, lr, folder, whole):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(ValueError, match=r"runs belong to a design, .* put that file back, or na"):
        call(path.parent, lr)
    assert not path.exists()
    path.write_bytes(content)
    assert faults.same(faults.study(folder), whole)


def test_a_file_that_changes_after_it_was_opened_is_checked_again(folder):
    runs = Trajectories.load(folder / "sampled")
    whole = runs.states[:]
    path = folders.run_path(folder / "sampled", 1)
    content = path.read_bytes()
    damage(path, 0.5)
    assert "must be a whole safetensors file" in refusal(lambda: runs.states[1, 0], path)
    assert np.array_equal(runs.states[0], whole[0])
    path.write_bytes(content)
    assert np.array_equal(runs.states[:], whole)


def test_saving_that_was_stopped_goes_on_and_refuses_another_s(folder, tmp_path, monkeypatch):
    runs, place = Trajectories.load(folder / "sampled"), tmp_path / "saved"
    write = folders.write_run

    def once(path, *words, **more):
        if path.name != "00000.safetensors":
            raise Stopped
        write(path, *words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(folders, "write_run", once)
        with pytest.raises(Stopped):
            runs.save(place)
    assert Trajectories.load(place).status.tolist() == ["ok", "missing"]
    other = Trajectories.load(folder / "sampled").select([1, 0])
    for _ in range(2):
        with pytest.raises(ValueError, match="already holds trajectories"):
            other.save(place)
    runs.save(place)
    assert np.array_equal(Trajectories.load(place).states[:], runs.states[:])
    with pytest.raises(ValueError, match="already holds trajectories"):
        runs.save(place)
    damage(place / "trajectories.safetensors", 0.6)
    refusal(Trajectories.load, place / "trajectories.safetensors", place)
    (place / "trajectories.safetensors").unlink()
    runs.save(place)  # the remedy that the refusal names
    assert np.array_equal(Trajectories.load(place).states[:], runs.states[:])


def test_a_checkpoint_that_is_done_with_goes_at_the_next_call(folder, stopped, whole):
    kept = stopped.read_bytes()
    faults.study(folder)
    stopped.write_bytes(kept)
    assert faults.same(faults.study(folder), whole)
    assert not stopped.exists()


def test_identities_ignore_what_is_not_compared():
    design = {"a": {"b": (1, 2)}, "execution": {"mode": "looped", "reason": "x"}, "versions": "1"}
    told = manifests.identity(design)
    assert told == manifests.identity({**design, "versions": "2"})
    assert told != manifests.identity({**design, "a": {"b": [1, 3]}})
    assert len(told) == 16
