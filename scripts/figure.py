"""What all figure scripts share: their flags, and a PNG with a JSON of the same name."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from judging import tally
from matplotlib.figure import Figure

from jumpretrain.storage import folders

ROOT = Path(__file__).resolve().parents[1]
DEVICE = "JUMPRETRAIN_DEVICE"
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
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda")
    given = parser.parse_args()
    place = compute_on(given.device, given.work)
    work = place / (path.stem + ("-quick" if given.quick else ""))
    return Flags(path, given.quick, given.out, work, given.jobs, time.monotonic())


def compute_on(name: str, work: Path) -> Path:
    """Choose the device of this process and of the workers that it starts from now on.

    Args:
        name: Such as `cpu`, `cuda` or `cuda:1`.
        work: Folder of the samples.

    Returns:
        The folder of the samples made on that device: numbers differ in their last digits.

    Raises:
        SystemExit: If torch cannot compute there.
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
    """Say where to compute; worker processes inherit the answer.

    Returns:
        The device of `--device`.
    """
    return os.environ.get(DEVICE, "cpu")


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
        "device": device(),
        "finding": _finding(figure, numbers["claims"]),
        "seconds": round(time.monotonic() - asked.began, 1),
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }
    folders.write_json(target.with_suffix(".json"), {**facts, **numbers})
    print(f"wrote {target}.png and .json in {facts['seconds']} s")
    return target.with_suffix(".png")


def _finding(figure: Figure, claims: list[dict[str, Any]]) -> str:
    """Read the title, above the figure or its legend, as one sentence without the tally."""
    titles = [figure.get_suptitle(), *(one.get_title().get_text() for one in figure.legends)]
    title = next((title for title in titles if title), "").replace(tally(claims), "")
    said = [line.strip(" ;") for line in title.replace(" ()", "").splitlines() if line.strip(" ;")]
    return " ".join(line if line.endswith((",", ":", ".")) else f"{line};" for line in said)[:-1]
