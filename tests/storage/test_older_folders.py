"""Folders that release 0.5.0 wrote open, resume to the same bits, and are left as they are.

`support/folders_0_5_0` was made in the folder `tests` with the code of that release
(`pip install jumpretrain==0.5.0`), by

        import jumpretrain as jr
    from jumpretrain import checkpoints, junction, survey
    from support import older

    quiet, place = jr.Execution(progress=False), Path("support/folders_0_5_0")
    older.sample(place / "sample")
    older.train(place / "train-half")
    older.cycles(place / "cycles")
    jr.explore(older.study(), place / "explore", quiet)
    survey.trace(survey.Survey(**older.SURVEY), place / "interpolate", quiet)
    for method in older.METHODS:
        asked = junction.Junction(**older.JUNCTION, method=method)
        junction.join(asked, place / "connect", quiet)

    keep, kept = checkpoints.Checkpoint.keep, []

    def keep_five(*arguments):
        keep(*arguments)
        kept.append(arguments)
        if len(kept) == 5:  # the second epoch of the second run
            raise KeyboardInterrupt

    checkpoints.Checkpoint.keep = keep_five
    older.sample(place / "sample-stopped")

and `find support/folders_0_5_0 -name .lock -delete`.
"""

import hashlib
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import older

import jumpretrain as jr
from jumpretrain.engine.recipe import Recipe
from jumpretrain.networks.residual import resnet, wide_resnet
from jumpretrain.networks.sequences import lstm, transformer
from jumpretrain.sampling.trajectories import Trajectories
from jumpretrain.storage import folders
from jumpretrain.studies import connect, interpolate

QUIET = jr.Execution(progress=False)
EXACT = 1e-5  # relative; other processors round float32 otherwise


def explore(folder):
    return jr.explore(older.study(), folder, QUIET)


def trace(folder):
    return interpolate.interpolate_networks(
        interpolate.InterpolationStudy(**older.SURVEY), folder, QUIET
    )


def join(folder):
    return [
        connect.connect_networks(
            connect.ConnectionStudy(**older.JUNCTION, method=method), folder, QUIET
        )
        for method in older.METHODS
    ]


CALLS = {
    "sample": older.sample,
    "train-half": older.train,
    "cycles": older.cycles,
    "explore": explore,
    "interpolate": trace,
    "connect": join,
}
MANIFESTS = {
    "sample": ["sampling.json", "manifest.json"],
    "train-half": ["manifest.json"],
    "cycles": ["restarts.json", "cycle-2/manifest.json"],
    "explore": ["study.json", "networks/bb-1/common/sampling.json"],
    "interpolate": ["survey.json", "networks/0/manifest.json"],
    "connect": ["junction.json", "connectors/bezier-416e0cd3/connector.json"],
}


@pytest.fixture
def copied(tmp_path):
    def copy(name):
        return shutil.copytree(older.MADE / name, tmp_path / name)

    return copy


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def rewritten(path, **changes):
    folders.write_json(path, folders.read_json(path) | changes)


@pytest.mark.parametrize("name", CALLS)
def test_a_finished_folder_is_opened_and_left_as_it_is(copied, name):
    folder = copied(name)
    before = contents(folder)
    CALLS[name](folder)
    after = contents(folder)  # saddles are an analysis that older folders lack
    assert {path: held for path, held in after.items() if "/saddles/" not in path} == before


def test_what_was_sampled_is_read_as_it_was():
    found = Trajectories.load(older.MADE / "sample")
    assert found.status.tolist() == ["ok"] * 4 and found.states.shape == (4, 5, 43)
    assert found.step_size.tolist() == [0.5, 1, 0.5, 1]
    assert found.metrics["test_loss"][0, -1] == pytest.approx(0.6832620929926634, rel=EXACT)
    assert np.abs(found.states[0]).sum() == pytest.approx(59.425479888916016, rel=EXACT)
    assert found.provenance["recipe"]["lr"] == found.provenance["training"]["recipe"]["lr"] == 0.05


def test_what_was_trained_is_read_as_it_was(copied):
    half, exact = older.train(copied("train-half")), older.train(None, "exact")
    assert 0 < half.provenance["storage_error"] < 1e-4
    assert half.metrics["train_loss"][0, -1] == pytest.approx(0.9387587960809469, rel=EXACT)
    np.testing.assert_allclose(half.states[:], exact.states[:], rtol=0, atol=1e-4)
    np.testing.assert_allclose(half.final, exact.final, rtol=EXACT, atol=1e-6)
    cycles = older.cycles(copied("cycles"))
    assert cycles[1].metrics["train_loss"][0, -1] == pytest.approx(0.9351846193894744, rel=EXACT)


def test_what_was_studied_is_read_as_it_was(copied):
    networks = {(n.group, n.seed): n.trajectories for n in explore(copied("explore")).networks}
    losses = [float(runs.metrics["train_loss"][0, -1]) for runs in networks.values()]
    expected = [1.049260513857007, 0.889941968023777, 1.0603853203356266, 0.7984579177573323]
    assert losses == pytest.approx(expected, rel=EXACT)
    path = trace(copied("interpolate"))[0].path
    assert path.metrics["train_loss"][-1] == pytest.approx(1.1837041284888983, rel=EXACT)
    normal, curve = join(copied("connect"))
    assert normal.metrics["train_loss"][[0, -1]] == pytest.approx(
        [1.1837041284888983, 1.116639650426805], rel=EXACT
    )
    assert np.abs(curve.nodes[1:-1]).sum() == pytest.approx(10.975471496582031, rel=EXACT)


def test_a_stopped_folder_resumes_to_the_bits_of_a_whole_one(copied):
    folder, whole = copied("sample-stopped"), Trajectories.load(older.MADE / "sample")
    assert Trajectories.load(folder).status.tolist() == ["ok", *["missing"] * 3]
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["00001"]
    found, fresh = older.sample(folder), older.sample()
    assert not list((folder / "checkpoints").iterdir())
    np.testing.assert_array_equal(found.states[0], whole.states[0])
    np.testing.assert_allclose(found.states[1], whole.states[1], rtol=EXACT, atol=1e-6)
    np.testing.assert_array_equal(found.states[2:], fresh.states[2:])
    for name, values in fresh.metrics.items():
        np.testing.assert_array_equal(found.metrics[name][2:], values[2:])
        np.testing.assert_allclose(found.metrics[name][:2], values[:2], rtol=EXACT)


def test_a_study_trains_again_what_is_gone_beside_what_is_there(copied):
    folder = copied("explore")
    shutil.rmtree(folder / "networks" / "bb-1")
    rest = contents(folder)
    losses = {n.group + str(n.seed): n.trajectories.metrics for n in explore(folder).networks}
    assert contents(folder).items() >= rest.items()
    assert losses["bb1"]["train_loss"][0, -1] == pytest.approx(0.7984579177573323, rel=EXACT)


def test_fingerprints_of_built_in_tasks_say_what_they_said():
    data = jr.data.digits().subset(30, 20).corrupt(0.5, 3).augment(1, True)
    task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, (8,)), data)
    found = task.fingerprint
    assert found["history"] == (
        "digits(seed=0) subset(30, 20, seed=0) corrupt(0.5, seed=3) augment(crop=1, flip=True)"
    )
    assert (found["data"], found["augmentation"]) == ("272428e601b1bdc7", "crop=1 flip=True")
    assert found["measures"] == "loss=cross_entropy, accuracy=accuracy"
    assert jr.measures.squared_error.__qualname__ == "squared_error"


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (resnet((3, 8, 8), 3), {"_Added"}),
        (resnet((3, 8, 8), 3, residual="fixup"), {"_Added", "_Scale", "_Shift"}),
        (wide_resnet((3, 8, 8), 3), {"_Block"}),
        (lstm(5, 3), {"_Recurrent"}),
        (transformer(5, 3, 4), {"_Attending", "_Encoder"}),
    ],
)
def test_parts_of_networks_have_the_names_that_fingerprints_hold(network, names):
    shipped = {type(part) for part in network.modules()}
    assert {
        part.__name__ for part in shipped if part.__module__.startswith("jumpretrain")
    } == names


@settings(max_examples=30, deadline=None)
@given(dropped=st.sets(st.sampled_from(sorted(folders.plain(Recipe())))))
def test_entries_that_a_recipe_of_a_folder_lacks_are_as_by_default(tmp_path_factory, dropped):
    folder = tmp_path_factory.getbasetemp() / "lacking"
    shutil.copytree(older.MADE / "train-half", folder, dirs_exist_ok=True)
    recipe = folders.read_json(folder / "manifest.json")["recipe"]
    kept = {name: value for name, value in recipe.items() if name not in dropped}
    rewritten(folder / "manifest.json", recipe=kept)
    unusual = dropped & {"epochs", "lr", "batch_size"}
    if not unusual:
        assert older.train(folder).provenance["recipe"] == kept
        return
    with pytest.raises(ValueError, match="one design") as found:
        older.train(folder)
    assert str(found.value).count(" here and ") == len(unusual)
    assert all(f"recipe.{name} is " in str(found.value) for name in unusual)


def test_other_reasons_and_versions_are_no_other_design(copied):
    folder = copied("sample")
    execution = {"mode": "looped", "chunk": 1, "reason": "of old"}
    rewritten(folder / "manifest.json", versions={"torch": "1.0"}, execution=execution)
    before = contents(folder)
    found = older.sample(folder)
    assert contents(folder) == before
    assert found.provenance["training"]["versions"] == {"torch": "1.0"}
    assert found.provenance["training"]["execution"] == execution
    assert Trajectories.load(folder).provenance == found.provenance


@pytest.mark.parametrize(
    ("name", "manifest"), [(name, path) for name, paths in MANIFESTS.items() for path in paths]
)
def test_a_folder_of_a_newer_format_is_refused_in_one_line(copied, name, manifest):
    folder = copied(name)
    rewritten(folder / manifest, format=3)
    before = contents(folder)
    with pytest.raises(ValueError, match="of format 3, as a newer version writes it") as found:
        CALLS[name](folder)
    assert "\n" not in str(found.value) and manifest in str(found.value)
    assert contents(folder) == before


def test_trajectories_of_a_newer_format_are_not_loaded(copied):
    folder = copied("sample")
    rewritten(folder / "manifest.json", format=3)
    with pytest.raises(ValueError, match=r"of format 3, .* update jumpretrain"):
        Trajectories.load(folder)
