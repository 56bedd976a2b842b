"""Whatever a flag is given, the command refuses it in a line of its own and leaves nothing."""

from itertools import chain

import pytest

from jumpretrain.cli import main

HUGE = 10**18
LONG = "1" + "0" * 400
LATER = ("generalise=/nowhere.pt", "generalise=FILE", "other=FILE", "x", "=", "0.5 1e30")
"""What an estimate does not try: files of networks, and jumps."""


def recipe(prefix, every=1):
    """Bad values of the flags of a recipe; endless training is no bad value."""
    values = {
        "epochs": [0, -1, 1.5, "x", "", *([HUGE] if every else [])],
        "lr": [0, -1, "nan", "inf", "x", ""],
        "optimiser": ["lbfgs", ""],
        "optimizer": ["lbfgs"],
        "momentum": [1, -0.1, "nan"],
        "weight-decay": [-1, "inf", "x"],
        "batch-size": [0, -8, "x", 2.5],
        "schedule": ["linear"],
        "milestones": [2, "nan", "0.5 0.25", "x"],
        "record-every": [-1, "x"],
        "push": [-1, "nan"],
        "radius": [-1, "inf"],
        "until": ["train_loss", "train_loss nan", "train_loss x", "loss 1", ""],
    }
    return {f"{prefix}{name}": bad for name, bad in values.items()}


EXECUTION = {
    "n-jobs": [0, -2, 1.5, "many", ""],
    "mode": ["vmap", ""],
    "chunk": [0, -1, "x"],
    "checkpoint": [-1, "x"],
    "storage": ["quarter"],
    "no-progress": ["maybe"],
}
DATA = {
    "data": ["imagenet", "", "../digits", "DIGITS", "x" * 300],
    "data-root": ["/nowhere --data mnist", "FILE --data mnist", "BROKEN --data mnist"],
    "train-size": [0, -1, HUGE, "x", 1.5, "nan"],
    "test-size": [0, -1, HUGE],
    "model": ["vgg", "", "MLP", "lenet"],
    "task": [
        "",
        "x",
        "x:",
        ":x",
        "nowhere:build",
        "os:nothing",
        "os:getcwd",
        "../x:y",
        "os.path:j",
    ],
    "unknown": [1],
    "": [1],
    "seeds": [0, -1, HUGE, LONG, "x", 1.5, "", "nan"],
}
OUT = {"out": ["FILE", "FILE/deeper", "/proc/nothing/here", "x" * 300, "/dev/null/x"]}
COMMANDS = {
    "explore": {
        **DATA, **EXECUTION, **OUT, **recipe("training.", every=0), **recipe(""),
        "crop": [-2, 8, HUGE, "x"],
        "groups": ["a", "a a", "a A", "a b/c", "a b c", ""],
        "noise": ["0 2", "-1 0", "0", "nan 0", "0 0 0", "x y", ""],
        "probes": ["both", "common common", "common x"],
        "step-sizes": ["0", "-1 0.5", "0.5 0.5", "nan 1", "inf", "x", "0.5 1e300", "0.5 1e30", ""],
        "directions": [0, -1, HUGE, 50_000, "x", 1.5],
        "order-seed": [-1, HUGE, "x"],
        "normalise": ["layers"],
        "batchnorm": ["ema"],
        "metric": ["test_f1", "", "loss"],
        "distance": ["manhattan"],
        "centre": ["origin"],
        "knn": [0, -1, HUGE, "x"],
        "saddle-states": [-1, "x", 1.5],
        "connect": ["ring"],
        "t": [0, -5, "knee", 1.5],
        "k": [0, -1, HUGE, "x"],
        "seed": [-1, 2**32, "x"],
        "networks": ["generalise=/nowhere.pt", "x", "other=FILE", "generalise=FILE", "="],
    },
    "interpolate": {
        **DATA, **EXECUTION, **OUT, **recipe("training.", every=0),
        "scheme": ["normal"],
        "scale": [0, -1, "nan", "inf"],
        "trained-biases": ["first"],
        "hidden": [0, -3, HUGE, "x", "8 0"],
        "noise": [-0.1, 1.5, "nan"],
        "group": ["a/b", ""],
        "start": ["/nowhere.pt", "FILE --end FILE", "/nowhere.pt --end /nowhere.pt"],
        "end": ["FILE"],
        "alphas": [2, 0, -1, HUGE, "0 0.5", "0 2", "1 0", "0 nan 1", "x", ""],
        "biases": ["bent", "linear linear"],
        "random": [-1, HUGE],
    },
    "connect": {
        **DATA, **EXECUTION, **OUT, **recipe("training.", every=0), **recipe("recipe.", every=0),
        "noise": [-0.1, 2, "nan"],
        "group": ["a/b", ""],
        "networks": ["/nowhere.pt", "FILE FILE", "/nowhere.pt /nowhere.safetensors"],
        "method": ["spline", "bezier --refine", "polychain --seeds 3"],
        "inner": [0, -1, HUGE, "x"],
        "each": [1, 0, HUGE],
        "tolerance": [-1, "nan", "inf"],
        "rounds": [-1, HUGE],
        "seed": [-1, HUGE],
    },
}  # fmt: skip
COMMANDS["estimate"] = {
    flag: [value for value in values if value not in LATER]
    for flag, values in COMMANDS["explore"].items()
    if flag != "out"
}
CASES = [
    (command, flag, str(value))
    for command, flags in COMMANDS.items()
    for flag, values in flags.items()
    for value in values
]
QUICK = CASES[::12]


def refused(tmp_path, capsys, command, flag, value):
    """Call a command with one bad flag, and check that it says so and leaves nothing."""
    (tmp_path / "file").write_text("no weights\n")
    (tmp_path / "mnist.npz").write_bytes(b"no archive")
    places = {"FILE": str(tmp_path / "file"), "BROKEN": str(tmp_path)}
    for word, place in places.items():
        value = value.replace(word, place)
    words = value.split() if value else [""]
    out = [] if flag == "out" or command == "estimate" else ["--out", str(tmp_path / "out")]
    jobs = [] if flag in EXECUTION else ["--n-jobs", "1", "--no-progress"]
    before = sorted(tmp_path.rglob("*"))
    try:
        code = main([command, *out, *jobs, f"--{flag}", *words])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code in (1, 2), said
    assert "Traceback" not in said and said.strip()
    if code == 1:
        assert said.startswith("jumpretrain: ") and said.count("\n") == 1, said
        assert "not foreseen" not in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("command", "flag", "value"), QUICK)
def test_a_bad_flag_is_refused_in_a_line(tmp_path, monkeypatch, capsys, command, flag, value):
    monkeypatch.chdir(tmp_path)
    refused(tmp_path, capsys, command, flag, value)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_bad_flag_is_refused_in_a_line(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    wrong = []
    for case in (case for case in CASES if case[0] == command):
        try:
            refused(tmp_path, capsys, *case)
        except AssertionError as error:
            wrong.append((case, str(error).splitlines()[:2]))
    assert not wrong, "\n".join(map(str, wrong))


def test_all_flags_are_tried(capsys):
    for command, flags in COMMANDS.items():
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = {word.strip("│ ,") for word in capsys.readouterr().out.split()}
        known = {word.removeprefix("--") for word in shown if word[:2] == "--" != word[2:4]}
        tried = {flag.removeprefix("no-") for flag in flags}
        switches = {"flip", "include-1d", "quick", "help", "refine", "layerwise", "with-batchnorm"}
        ends = ("drop-last", "record-early", "progress")
        free = {flag for flag in known if flag.removeprefix("no-").endswith(ends)} | switches
        assert {flag.removeprefix("no-") for flag in known - free} <= tried | free


assert len(set(chain(CASES))) == len(CASES)
