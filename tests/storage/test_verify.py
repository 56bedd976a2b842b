"""What is whole, missing or damaged below a folder."""

import json
import shutil

import numpy as np
import pytest
from support import faults, older
from support.landscapes import bowl, landscape

from jumpretrain.cli import main
from jumpretrain.reports.files import write_tables
from jumpretrain.storage import folders
from jumpretrain.storage.verify import verify
from jumpretrain.topology.measure import saddles


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    faults.study(folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def flip(path, place=-20):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_whole_results_are_counted(folder, capsys):
    sampled, trained = verify(folder)
    assert (sampled.folder, sampled.whole, sampled.expected) == (folder / "sampled", 2, 2)
    assert (trained.whole, trained.expected, trained.others) == (1, 1, 1)
    assert sampled.others == 3 and sampled.checkpoints == 0 and sampled.orphans == 0
    assert main(["verify", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{folder / 'sampled'}: 2 of 2 runs, 0 checkpoints, 3 other files whole, none damaged",
        f"{folder / 'trained'}: 1 of 1 runs, 0 checkpoints, 1 other files whole, none damaged",
    ]


DAMAGE = [
    "trained/manifest.json",
    "trained/runs/00000.safetensors",
    "sampled/sampling.json",
    "sampled/manifest.json",
    "sampled/trajectories.safetensors",
    "sampled/runs/00001.safetensors",
]


@pytest.mark.parametrize("name", DAMAGE)
def test_a_flipped_bit_is_found_and_its_file_named(name, folder, capsys):
    flip(folder / name)
    assert main(["verify", str(folder)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert lines[0].strip().startswith(str(folder / name))


def test_missing_runs_are_no_damage_but_runs_of_no_design_are(folder):
    folders.run_path(folder / "sampled", 1).unlink()
    (folder / "trained" / "manifest.json").unlink()
    sampled, trained = verify(folder)
    assert (sampled.whole, sampled.expected, sampled.damaged) == (1, 2, ())
    assert trained.expected is None and "no manifest.json" in trained.damaged[0]


def test_swapped_runs_checkpoints_orphans_and_other_folders(folder, tmp_path):
    first, second = (folders.run_path(folder / "sampled", run) for run in range(2))
    shutil.copy(first, second)
    checkpoint = folder / "trained" / "checkpoints" / "00000"
    shutil.copy(first, checkpoint)
    (folder / "trained" / f"a.{16 * '0'}.part").write_bytes(b"half")
    write_tables(folder, {})
    folders.write_arrays(folder / "nodes.safetensors", {"nodes": np.zeros(3)})
    root, sampled, trained = verify(folder)
    assert root.others == 1 and "is number 0" in sampled.damaged[0] and sampled.whole == 1
    assert str(checkpoint) in trained.damaged[0] and trained.orphans == 1
    with pytest.raises(ValueError, match="must hold results, but there are none"):
        verify(tmp_path / "copy" / "trained" / "checkpoints")
    with pytest.raises(ValueError, match=r"gone cannot be read \(No such file"):
        verify(tmp_path / "gone")


def test_folders_of_0_5_0_are_whole(tmp_path):
    place = shutil.copytree(older.MADE, tmp_path / "older")
    found = verify(place)
    assert [one.damaged for one in found] == [()] * len(found) and len(found) > 15
    stopped = next(one for one in found if one.folder.name == "sample-stopped")
    assert (stopped.whole, stopped.expected, stopped.checkpoints) == (1, 4, 1)
    run = place / "sample" / "runs" / "00000.safetensors"
    run.write_bytes(run.read_bytes()[:-1])
    assert sum(len(one.damaged) for one in verify(place)) == 1


def test_saved_trajectories_are_whole(folder, tmp_path):
    faults.jr.Trajectories.load(folder / "sampled").save(tmp_path / "saved")
    [found] = verify(tmp_path / "saved")
    assert (found.whole, found.expected, found.others, found.damaged) == (2, 2, 1, ())
    flip(tmp_path / "saved" / "trajectories.safetensors")
    assert len(verify(tmp_path / "saved")[0].damaged) == 1


def test_files_of_the_user_s_own_are_passed_over(folder):
    (folder / "notes.json").write_text("{")
    (folder / "trained" / "table.json").write_text(json.dumps({"a": 1}))
    assert [one.damaged for one in verify(folder)] == [(), ()]


@pytest.mark.parametrize(
    "name", ["00000 (1){}", "00000 2{}", "00000.sync-conflict-1{}", "._00000{}", "._a{}"]
)
def test_copies_that_other_programs_make_beside_runs_are_passed_over(folder, name):
    trained = folder / "trained"
    checkpoint = trained / "checkpoints" / name.format("")
    for path in (trained / "runs" / name.format(".safetensors"), trained / "._a.safetensors"):
        path.write_bytes(b"another program's")
    checkpoint.write_bytes(b"another program's")
    found = verify(folder)
    assert [(one.whole, one.checkpoints, one.damaged) for one in found] == [(2, 0, ()), (1, 0, ())]


def test_what_is_of_another_design_than_the_manifest_beside_it_is_named(folder, tmp_path):
    for name, states in {"one": [[0.0, 1.0], [1.0, 0.0]], "two": [[0.0, 2.0], [2.0, 0.0]]}.items():
        saddles(landscape(bowl), np.array(states), folder=tmp_path / name)
    faults.study(tmp_path / "other", lr=0.1)
    for name, other in {
        "one/segments.safetensors": "two/segments.safetensors",
        "copy/sampled/trajectories.safetensors": "other/sampled/trajectories.safetensors",
    }.items():
        place = (tmp_path / name).parent
        assert [one.damaged for one in verify(place)] == [()]
        shutil.copy(tmp_path / other, tmp_path / name)
        [found] = verify(place)
        assert any(f"{tmp_path / name} must be what" in line for line in found.damaged)
