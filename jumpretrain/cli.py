"""The `jumpretrain` command; its flags are the fields of the dataclasses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from jumpretrain.execution.execution import Execution
from jumpretrain.execution.threads import keep_memory
from jumpretrain.paths.path import RISE
from jumpretrain.reports.printing import complain, finish, open_errors, say, unprinted
from jumpretrain.storage.files import located
from jumpretrain.storage.locks import STOPPED, unwinding
from jumpretrain.studies.connect import ConnectionStudy
from jumpretrain.studies.design import TRAINING, Study
from jumpretrain.studies.interpolate import InterpolationStudy
from jumpretrain.studies.own_code import explain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["main"]

T = TypeVar("T")
Unnamed = Annotated[T, tyro.conf.arg(name="")]
"""Fields whose own fields are flags without a prefix."""
INTERRUPTED, AGAIN = 130, "stopped; the same call goes on from here"
ALL_CORES = Execution(n_jobs=-1)


@dataclass(frozen=True)
class Explore:
    """Train groups of networks, jump and retrain each, compare them, and write a report.

    Attributes:
        study: What is done.
        execution: Where and how it is run.
        out: Folder for the trajectories, tables, figures and index.html; by default runs/explore,
            or runs/quick.
        quick: A small study in under a minute: 3 networks a group trained for 80
            epochs, 2 directions, 15 epochs of retraining.
    """

    study: Unnamed[Study] = field(default_factory=Study)
    execution: Unnamed[Execution] = ALL_CORES
    out: Path | None = None
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


@dataclass(frozen=True)
class Interpolate:
    """Train networks, score the straight paths from start to end, and draw them.

    Gauss lengths are lower bounds on the grid of alphas; those of ReLU networks, and joint ones
    above all, grow with it (`--alphas`).

    Attributes:
        study: What is done.
        execution: Where and how it is run.
        out: Folder for the trained networks, paths.csv, summary.csv and figures.
    """

    study: Unnamed[InterpolationStudy] = field(default_factory=InterpolationStudy)
    execution: Unnamed[Execution] = ALL_CORES
    out: Path = Path("runs/interpolate")


@dataclass(frozen=True)
class Connect:
    """Train networks, join them by a connector of low loss, and draw it.

    Attributes:
        study: What is done.
        execution: Where and how it is run.
        out: Folder for the trained networks, nodes.safetensors, points.csv, summary.csv and
            figures.
    """

    study: Unnamed[ConnectionStudy] = field(default_factory=ConnectionStudy)
    execution: Unnamed[Execution] = ALL_CORES
    out: Path = Path("runs/connect")


@dataclass(frozen=True)
class Estimate:
    """Say what a study costs before anything is spent: runs, steps, disk, memory, time.

    Attributes:
        study: What would be done.
        execution: Where and how it would be run.
    """

    study: Unnamed[Study] = field(default_factory=Study)
    execution: Unnamed[Execution] = ALL_CORES


@dataclass(frozen=True)
class Check:
    """Compare the program with closed forms on this machine."""


@dataclass(frozen=True)
class Verify:
    """Check all results below a folder: runs, checkpoints, manifests; 1 if anything is damaged.

    Attributes:
        folder: The folder.
    """

    folder: tyro.conf.Positional[Path]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 where the input was refused or something failed, 130 where it was
        interrupted, 141 where nobody reads what it prints, 143 where it was told to end.

    Raises:
        SystemExit: With 0 after `--help`, with 2 where a flag cannot be read.
    """
    commands = (
        Annotated[Explore, tyro.conf.subcommand("explore")]
        | Annotated[Interpolate, tyro.conf.subcommand("interpolate")]
        | Annotated[Connect, tyro.conf.subcommand("connect")]
        | Annotated[Estimate, tyro.conf.subcommand("estimate")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
    )
    command = task = None
    open_errors()
    if sys.stderr is None:  # as `2>&-` leaves it, where bars would fail
        sys.stderr = Path(os.devnull).open("w")
    try:
        with unwinding():
            command = tyro.cli(commands, prog="jumpretrain", args=arguments)
            task = getattr(getattr(command, "study", None), "task", None)
            with _surroundings(task):
                return _run(command)
    except KeyboardInterrupt:
        code, said = INTERRUPTED, AGAIN
    except SystemExit as stop:
        if command is None:  # after `--help`, or where a flag cannot be read
            raise SystemExit(finish(stop.code)) from None
        code, said = (STOPPED, AGAIN) if stop.code == STOPPED else (1, explain(stop, task))
    except BaseException as error:
        code, said = unprinted(error) or (1, explain(error, task))
    complain(said and f"jumpretrain: {said}")
    return code


@contextmanager
def _surroundings(task: str | None) -> Iterator[None]:
    """Find modules in the working folder too, after all others, for a task of one's own alone.

    Workers begin in that folder as well. None of them needs a window to draw in.
    """
    ours = {"PYTHONSAFEPATH": "1", "MPLBACKEND": "agg"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    folders = [] if task is None else [str(Path.cwd())]
    sys.path.extend(folders)
    try:
        yield
    finally:
        for folder in set(folders).intersection(sys.path):
            sys.path.remove(folder)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _check_drawing() -> None:
    """Load what draws now, not after all is computed: its file of settings may be broken.

    Raises:
        ValueError: If matplotlib cannot be loaded.
    """
    try:
        from jumpretrain import plots  # noqa: F401
    except (OSError, ValueError) as error:
        raise ValueError(
            f"matplotlib must be able to read its settings, but cannot ({error}); mend or remove "
            "the file matplotlibrc, of this folder or of your settings"
        ) from error


def _run(command: Explore | Interpolate | Connect | Estimate | Check | Verify) -> int:
    """Do what was asked; each command loads what it needs itself, so that `--help` is quick.

    Returns:
        The exit code.
    """
    keep_memory()
    if isinstance(command, (Explore, Interpolate, Connect)):
        _check_drawing()
    if isinstance(command, Explore):
        return _explore(command)
    if isinstance(command, Interpolate):
        return _interpolate(command)
    if isinstance(command, Connect):
        return _connect(command)
    if isinstance(command, Verify):
        return _verify(command)
    return _estimate(command) if isinstance(command, Estimate) else _check()


def _explore(command: Explore) -> int:
    from jumpretrain.reports.explore import write_report
    from jumpretrain.studies.explore import explore

    study = quickened(command.study) if command.quick else command.study
    out = located(command.out or ("runs/quick" if command.quick else "runs/explore"))
    findings = explore(study, out, command.execution)
    page = write_report(findings, out, command.execution.progress)
    for probe, comparison in findings.comparisons.items():
        say(f"\nRetrained by the {probe} recipe\n{comparison}")
    say(f"\nLook at {page}")
    return 0


def _interpolate(command: Interpolate) -> int:
    from jumpretrain.reports.interpolate import overview, write_report
    from jumpretrain.studies.interpolate import interpolate_networks

    out = located(command.out)
    measured = interpolate_networks(command.study, out, command.execution)
    figures = write_report(command.study, measured, out)
    shown = overview(measured).dropna(axis=1, how="all")
    _show(shown)
    say(
        "paths_that_never_rise: on which the training loss never rises by more than "
        f"{RISE}; then its largest rise, medians"
    )
    if "test_gauss_length_mean" in shown:
        points = len(measured[0].path.alphas)
        say(f"test_gauss_length_mean: radians, a lower bound: what {points} alphas see")
    say(f"\nLook at {figures} and {out / 'summary.csv'}")
    return 0


def _connect(command: Connect) -> int:
    from jumpretrain.reports.connect import overview, write_report
    from jumpretrain.studies.connect import connect_networks

    out = located(command.out)
    connector = connect_networks(command.study, out, command.execution)
    figures = write_report(command.study, connector, out)
    shown = overview(connector)
    _show(shown)
    say("barrier: the largest training loss above that of the highest optimum")
    say(f"\nLook at {figures} and {out / 'summary.csv'}")
    return 0


def _show(table: pd.DataFrame) -> None:
    say(table.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.3g}"))


def _estimate(command: Estimate) -> int:
    from jumpretrain.studies.costs import estimate_study

    say(str(estimate_study(command.study, command.execution)))
    say("to train and retrain; embedding and homology come on top")
    return 0


def quickened(study: Study) -> Study:
    """Shrink a study so that it takes under a minute on the default data.

    Returns:
        The same study with 3 networks a group, trained for 80 epochs, 2 directions, 3 step sizes
        and 15 epochs of retraining, where it had the default numbers; what was chosen stays.
    """
    shorter = replace(TRAINING, epochs=80)
    small: dict[str, Any] = {
        "training": shorter,
        "seeds": 3,
        "directions": 2,
        "step_sizes": (0.0, 0.5, 1.0),
    }
    usual, epochs = Study(), study.retraining.epochs
    changed = {n: v for n, v in small.items() if getattr(study, n) == getattr(usual, n)}
    if epochs == usual.retraining.epochs:
        epochs = 15
    return replace(study, retraining=replace(study.retraining, epochs=epochs), **changed)


def _check() -> int:
    from jumpretrain.studies.check import check

    outcomes = check()
    say("\n".join(map(str, outcomes)))
    return 0 if all(outcome.holds for outcome in outcomes) else 1


def _verify(command: Verify) -> int:
    from jumpretrain.storage.verify import verify

    found = verify(command.folder)
    say("\n".join(map(str, found)))
    return 1 if any(one.damaged for one in found) else 0
