"""The command as a user types it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from support import nets

import jumpretrain as jr
from jumpretrain.cli import main, quickened
from jumpretrain.engine.recipe import Recipe
from jumpretrain.studies.design import Study

ROOT = Path(__file__).parents[1]
TINY = (
    "explore --train-size 150 --test-size 80 --seeds 2 --directions 2 --step-sizes 0 0.5 1 "
    "--training.epochs 3 --epochs 11 --n-jobs 1 --no-progress"
).split()


def my_task(seed, group):
    """A task of a user's own: the group's name decides the labels."""
    data = nets.vectors(seed=seed)
    return nets.Task(
        lambda: nets.mlp((6,), 3, hidden=(8,)), data.corrupt(1.0, seed) if group == "b" else data
    )


def own_autoencoder(seed, group):
    return nets.TASKS["tied autoencoder"]()


def test_explore_leaves_a_folder_to_look_at(tmp_path, capsys):
    assert main([*TINY, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "smallest attainable p" in printed and "loss_range_squared" in printed
    names = {path.name for path in tmp_path.iterdir()}
    assert {"index.html", "figures", "networks", "points.csv", "study.json"} <= names
    assert len(list((tmp_path / "figures").glob("*.png"))) >= 4


def test_a_users_own_task_is_named_on_the_command_line(tmp_path, capsys):
    words = (
        "explore --task tests.test_cli:my_task --groups a b --k 5 --batch-size 8 --seeds 2 "
        "--directions 2 --step-sizes 0 0.5 1 --training.epochs 3 --epochs 11 --n-jobs 1 "
        "--no-progress"
    ).split()
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "a (n = 2) against b (n = 2)" in capsys.readouterr().out


def test_estimate_says_what_explore_would_cost(capsys):
    words = [w for w in TINY if w != "explore"]
    assert main(["estimate", *words]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("28 runs: 828 steps, 344 snapshots\n") and "on disk" in printed


def test_a_refusal_is_one_line(tmp_path, capsys):
    assert main([*TINY, "--data", "imagenet", "--out", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("jumpretrain: data must be one of") and message.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["--optimiser", "lbfgs"], ["--seeds", "many"], ["--connect", "ring"], ["--learning", "1"]],
)
def test_a_flag_out_of_range_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["explore", *words])
    assert stop.value.code == 2


def test_a_value_out_of_range_is_one_line(capsys):
    assert main(["explore", "--seeds", "1"]) == 1
    assert "the network is the unit" in capsys.readouterr().err


def test_quick_shrinks_what_was_not_chosen():
    study = quickened(Study())
    assert (study.seeds, study.directions, study.step_sizes) == (3, 2, (0.0, 0.5, 1.0))
    assert study.retraining.epochs == 15 and study.model == Study().model
    assert study.training.epochs == 80
    chosen = Study(
        seeds=2,
        step_sizes=(0.0, 0.25),
        training=Recipe(epochs=9),
        retraining=Recipe(epochs=30, lr=0.02),
    )
    assert quickened(chosen) == replace(chosen, directions=2)


def test_a_task_is_found_in_the_working_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text("def build(seed, group):\n    return group\n")
    monkeypatch.chdir(tmp_path)
    words = ["explore", "--task", "mine:build", "--n-jobs", "1", "--no-progress"]
    assert main(words) == 1
    assert "a task function must return a Task, not str" in capsys.readouterr().err


def test_check_prints_each_truth(capsys):
    assert main(["check"]) == 0
    assert capsys.readouterr().out.count("ok   ") >= 8


def test_the_command_is_installed():
    program = Path(sys.executable).parent / "jumpretrain"
    answer = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    for name in ("explore", "interpolate", "connect", "check"):
        assert name in answer.stdout


LINES = (
    "interpolate --train-size 150 --test-size 80 --seeds 2 --training.epochs 3 --n-jobs 1 "
    "--no-progress"
).split()


def test_interpolate_leaves_tables_and_figures_and_prints_the_summary(tmp_path, capsys):
    words = "--alphas 0 0.5 1 --biases linear homogeneous --layerwise --random 1".split()
    assert main([*LINES, *words, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert (
        "homogeneous" in printed
        and "paths_that_never_rise" in printed
        and str(tmp_path) in printed
    )
    assert printed.count("layer ") >= 3
    assert "never rises by more than 0.001" in printed
    assert "test_gauss_length_mean: radians, a lower bound: what 3 alphas see" in printed
    assert {"paths.csv", "summary.csv", "figures"} <= {path.name for path in tmp_path.iterdir()}
    table = pd.read_csv(tmp_path / "summary.csv")
    assert table["kind"].value_counts().to_dict() == {
        "linear": 2, "homogeneous": 2, "layer": 6, "random": 2,
    }  # fmt: skip
    assert pd.read_csv(tmp_path / "paths.csv")["alpha"].unique().tolist() == [0, 0.5, 1]


def test_interpolate_trains_deep_networks_from_small_weights_with_the_last_biases(tmp_path):
    words = (
        "--alphas 3 --scheme he --scale 0.25 --trained-biases last --hidden 20 20 20 "
        "--biases linear homogeneous"
    ).split()
    assert main([*LINES, *words, "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "summary.csv")
    assert table["kind"].tolist() == ["linear", "homogeneous"] * 2
    assert (table["test_gauss_length_alphas"] == 3).all()

    def build():
        return jr.models.mlp((1, 8, 8), 10, hidden=(20, 20, 20))

    data = jr.data.digits().subset(150, 80)
    task = jr.Task(jr.initialise(build, "he", 0.25, biases="last"), data)
    points = pd.read_csv(tmp_path / "paths.csv")
    begun = points[(points["seed"] == 1) & (points["alpha"] == 0)]["train_loss"]
    expected = jr.evaluate(task, [task.initial(1)])["train_loss"][0]
    assert begun.tolist() == pytest.approx([expected] * 2, rel=1e-6)


def test_interpolate_takes_a_task_of_ones_own_without_columns_that_it_lacks(tmp_path, capsys):
    words = (
        "interpolate --task tests.test_cli:own_autoencoder --alphas 4 --seeds 1 --n-jobs 1".split()
    )
    more = "--no-progress --training.epochs 2 --training.batch-size 8 --out".split()
    assert main([*words, *more, str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "loss_plateau_end" in printed and "error_plateau_end" not in printed
    assert "accuracy" not in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--alphas", "0", "2"], "alphas must be a list that rises"),
        (["--data", "imagenet"], "data must be one of"),
        (["--end", "b.pt"], "start and end go together"),
        (["--model", "mpl"], "model must be one of"),
        (
            ["--biases", "homogeneous", "--with-batchnorm"],
            "the order of layers is known for nn.Sequential networks of linear and convolutional "
            "layers, but '2' is a BatchNorm1d; leave homogeneous out of biases, or leave "
            "with_batchnorm out",
        ),
    ],
)
def test_interpolate_refuses_in_one_line(tmp_path, capsys, words, said):
    assert main([*LINES, *words, "--out", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"jumpretrain: {said}") and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_interpolate_says_whose_biases_are_left_out(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["interpolate", "--help"])
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert stop.value.code == 0 and "biases of the linear and convolutional layers" in words


def test_an_unknown_kind_of_biases_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main([*LINES, "--biases", "homogenous"])
    assert stop.value.code == 2


JOIN = (
    "connect --train-size 150 --test-size 80 --training.epochs 4 --recipe.epochs 2 --n-jobs 1 "
    "--no-progress"
).split()


def test_connect_leaves_tables_and_figures_and_prints_the_summary(tmp_path, capsys):
    words = ["--inner", "3", "--refine", "--rounds", "1"]
    assert main([*JOIN, *words, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "summary.csv").set_index("number")
    assert f"{table.loc['barrier', 'straight']:.3g}" in printed and str(tmp_path) in printed
    names = {path.name for path in tmp_path.iterdir()}
    assert {"networks", "nodes.safetensors", "points.csv", "figures"} <= names


def test_connect_takes_trained_networks_of_a_task_of_ones_own(tmp_path, capsys):
    task = my_task(0, "a")
    files = [str(tmp_path / f"{seed}.pt") for seed in (3, 4)]
    for path, seed in zip(files, (3, 4), strict=True):
        torch.save(task.module(task.initial(seed)).state_dict(), path)
    words = "connect --task tests.test_cli:my_task --inner 2 --n-jobs 1 --no-progress"
    more = ["--recipe.epochs", "1", "--recipe.batch-size", "8"]
    more += ["--networks", *files, "--out", str(tmp_path / "out")]
    assert main([*words.split(), *more]) == 0
    assert "length in chords" in capsys.readouterr().out
    nodes = load_file(tmp_path / "out" / "nodes.safetensors")["nodes"]
    assert (nodes[[0, -1]] == [task.initial(3), task.initial(4)]).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "1"], "a connector joins 2 to 11 networks"),
        (["--seeds", "3", "--method", "bezier"], "bezier joins 2 optima"),
        (["--networks", "a.pt", "b.pt"], "a.pt must hold a state dict"),
        (["--data", "imagenet"], "data must be one of"),
    ],
)
def test_connect_refuses_in_one_line(tmp_path, capsys, words, said):
    assert main([*JOIN, *words, "--out", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert message.startswith("jumpretrain: ") and said in message and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def called(words, folder, **variables):
    """Call the command in a process of its own, in a folder, with other variables."""
    code = "import sys; from jumpretrain.cli import main; sys.exit(main())"
    known = {name: value for name, value in os.environ.items() if name != "HOME"}
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=known | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
    )


SHORT = (
    "interpolate --train-size 60 --test-size 40 --seeds 1 --training.epochs 1 --alphas 3 "
    "--n-jobs 1 --no-progress --out out"
).split()


def test_no_settings_of_matplotlib_that_can_be_read_stop_a_study(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: nowhere\n")
    odd = {"MPLBACKEND": "nowhere", "MPLCONFIGDIR": "/proc/nowhere"}
    answer = called(SHORT, tmp_path, **odd)
    assert answer.returncode == 0 and "Traceback" not in answer.stderr
    assert (tmp_path / "out" / "figures" / "train_loss.png").is_file()


def test_settings_of_matplotlib_that_cannot_be_read_are_told_before_anything_is_trained(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"font.size: \xff\xfe")
    answer = called(SHORT, tmp_path)
    assert answer.returncode == 1 and not (tmp_path / "out").exists()
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("jumpretrain: matplotlib must be able to read its settings, but cannot")
    assert "Traceback" not in answer.stderr
