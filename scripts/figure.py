"""What all figure scripts share: their flags, and a PNG with a JSON of the same name."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jumpretrain import store

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("jumpretrain", "torch", "numpy", "scikit-learn", "phate", "ripser", "persim")


@dataclass(frozen=True)
class Flags:
    """What a figure script is asked for.

    Attributes:
        script: The script's path.
        quick: Whether to run in small, in a minute or two.
        out: Folder of the PNG and the JSON.
        work: Folder of what was sampled; a second call reads it again.
        jobs: Worker processes.
        began: When the script started, in seconds of the monotonic clock.
    """

    script: Path
    quick: bool
    out: Path
    work: Path
    jobs: int
    began: float


def flags(script: str, description: str) -> Flags:
    """Read the command line of a figure script.

    Returns:
        The flags.
    """
    path = Path(script).resolve()
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="run in small")
    parser.add_argument("--out", type=Path, default=ROOT / "figures", help="folder of the figure")
    parser.add_argument("--work", type=Path, default=ROOT / "runs", help="folder of the samples")
    parser.add_argument("--jobs", type=int, default=-1, help="worker processes, -1: one a core")
    given = parser.parse_args()
    work = given.work / (path.stem + ("-quick" if given.quick else ""))
    return Flags(path, given.quick, given.out, work, given.jobs, time.monotonic())


def save(figure: Figure, asked: Flags, numbers: Mapping[str, Any]) -> Path:
    """Write the figure and what it shows.

    Args:
        figure: The drawn figure.
        asked: The script's flags.
        numbers: What is shown, with recipe, seeds and data.

    Returns:
        The path of the PNG.
    """
    target = asked.out / asked.script.stem
    asked.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(target.with_suffix(".png"), dpi=150, bbox_inches="tight")
    facts = {
        "script": str(asked.script.relative_to(ROOT)),
        "quick": asked.quick,
        "seconds": round(time.monotonic() - asked.began, 1),
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }
    store.write_json(target.with_suffix(".json"), {**facts, **numbers})
    print(f"wrote {target}.png and .json in {facts['seconds']} s")
    return target.with_suffix(".png")
