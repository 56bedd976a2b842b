"""Make one figure: a PNG, and a JSON of the same name with the numbers behind it."""

import argparse
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from evidence.judging import tally
from matplotlib.figure import Figure

from jumpretrain.engine.recipe import Recipe
from jumpretrain.storage import folders
from jumpretrain.storage.json_files import LATER

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
DEVICE = "JUMPRETRAIN_DEVICE"
PACKAGES = ("jumpretrain", "torch", "numpy", "scikit-learn", "phate", "ripser", "persim")
UNSET = {entry.name for entry in fields(Recipe) if entry.metadata == LATER}
Made = tuple[Figure, Mapping[str, Any]]
"""What a figure's `make` returns: the drawing, and what it shows with recipe, seeds and data."""


@dataclass(frozen=True)
class Flags:
    """How a figure is made."""

    name: str  # <paper>_<topic>
    quick: bool  # in small, in a minute or two
    out: Path  # folder of the PNG and the JSON
    work: Path  # folder of what was sampled; a second call reads it again
    jobs: int  # worker processes


def scripts(papers: Iterable[str]) -> dict[str, Path]:
    """Find the scripts of papers' figures, by `<paper>_<topic>`: modules that have a `make`."""
    return {
        f"{paper}_{path.stem}": path
        for paper in papers
        for path in sorted((SCRIPTS / "papers" / paper).glob("*.py"))
        if "\ndef make(" in path.read_text()
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that all figures share to a command line."""
    parser.add_argument("--out", type=Path, default=ROOT / "figures", help="folder of the figures")
    parser.add_argument("--work", type=Path, default=ROOT / "runs", help="folder of the samples")
    parser.add_argument("--jobs", type=int, default=-1, help="worker processes, -1: one a core")
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda")


def make(name: str, quick: bool, out: Path, work: Path, jobs: int, device: str) -> Path:
    """Make a figure and write it, PNG and JSON, with what it shows."""
    began = time.monotonic()
    place = compute_on(device, work) / (name + ("-quick" if quick else ""))
    paper, _, topic = name.partition("_")
    module = import_module(f"papers.{paper}.{topic}")
    figure, numbers = module.make(Flags(name, quick, out, place, jobs))
    facts = {
        "script": f"scripts/papers/{paper}/{topic}.py",
        "quick": quick,
        "device": device,
        "finding": _finding(figure, numbers["claims"]),
        "seconds": round(time.monotonic() - began, 1),
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=150, bbox_inches="tight")
    folders.write_json(out / f"{name}.json", _told({**facts, **numbers}))
    print(f"wrote {out / name}.png and .json in {facts['seconds']} s")
    return out / f"{name}.png"


def compute_on(name: str, work: Path) -> Path:
    """Choose the device of this process and of the workers that it starts from now on.

    Returns the folder of the samples made on that device: numbers differ in their last digits.
    """
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SystemExit(
            f"--device needs one that torch finds here, not {name}: {reason}"
        ) from None
    os.environ[DEVICE] = name
    return work if name == "cpu" else work / name.replace(":", "-")


def device() -> str:
    """Say where to compute; worker processes inherit the answer."""
    return os.environ.get(DEVICE, "cpu")


def _told(value: Any) -> Any:
    """Leave out choices that recipes have had since later versions, where none was made."""
    if isinstance(value, Mapping):
        made = {key: one for key, one in value.items() if key not in UNSET or one is not None}
        return {key: _told(one) for key, one in made.items()}
    return [_told(one) for one in value] if isinstance(value, (list, tuple)) else value


def _finding(figure: Figure, claims: list[dict[str, Any]]) -> str:
    """Read the title, above the figure or its legend, as one sentence without the tally."""
    titles = [figure.get_suptitle(), *(one.get_title().get_text() for one in figure.legends)]
    title = next((title for title in titles if title), "").replace(tally(claims), "")
    said = [line.strip(" ;") for line in title.replace(" ()", "").splitlines() if line.strip(" ;")]
    return " ".join(line if line.endswith((",", ":", ".")) else f"{line};" for line in said)[:-1]
