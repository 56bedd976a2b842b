"""Make every figure again, then the ledger of claims and the gallery beside them.

    .venv/bin/python scripts/reproduce.py --quick --out /tmp/figures  # minutes, digits only
    .venv/bin/python scripts/reproduce.py --full                      # hours: what figures/ has

What was sampled is kept in runs/, and figures that are finished are not made again: the same call
goes on where it was stopped. The full form needs Fashion-MNIST and CIFAR-10 in the folder that the
environment variable JUMPRETRAIN_DATA names.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from claims import table
from figure import ROOT, compute_on
from gallery import write_gallery
from hypotheses import PAPERS
from tqdm import tqdm

import jumpretrain as jr
from jumpretrain.storage import folders


def main() -> int:
    asked = words()
    scripts = [
        path
        for paper in asked.paper or PAPERS
        for path in sorted((ROOT / "scripts").glob(f"figure_{paper}_*.py"))
        if path.stem in (asked.figure or [path.stem])
    ]
    place = compute_on(asked.device, asked.work)
    finished = place / f"finished-{'quick' if asked.quick else 'full'}.json"
    failed = []
    with tqdm(scripts, desc="figures") as bar:
        for script in bar:
            bar.set_postfix_str(script.stem)
            if not made(script, asked.out, finished) and not make(script, asked, finished):
                failed.append(script.stem)
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
        page = write_gallery(asked.out)
        print(table(folders.read_json(asked.out / "claims.json")), f"look at {page}", sep="\n\n")
    except LookupError as error:
        print(error, file=sys.stderr)
        failed.append("the ledger")
    if failed:
        print(f"failed, see {asked.work}/logs: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def words() -> argparse.Namespace:
    """Read the command line.

    Returns:
        What was asked for.
    """
    parser = argparse.ArgumentParser(description="make every figure again")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="in small, to look at the machinery")
    size.add_argument("--full", action="store_true", help="as figures/ has them")
    parser.add_argument("--paper", choices=PAPERS, action="append", help="only of this paper")
    names = [path.stem for path in (ROOT / "scripts").glob("figure_*.py")]
    parser.add_argument("--figure", choices=names, metavar="NAME", action="append",
                        help="only this one, such as figure_wang_toy")  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "figures", help="folder of the figures")
    parser.add_argument("--work", type=Path, default=ROOT / "runs", help="folder of the samples")
    parser.add_argument("--jobs", type=int, default=-1, help="worker processes, -1: one a core")
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda")
    asked = parser.parse_args()
    asked.out, asked.work = asked.out.resolve(), asked.work.resolve()
    if asked.quick and asked.out == ROOT / "figures":
        parser.error("small figures would replace those of figures/: pass --out")
    return asked


def made(script: Path, out: Path, finished: Path) -> bool:
    """Tell whether a figure is there as the script and the library make it now.

    Returns:
        Whether it is.
    """
    there = all((out / script.stem).with_suffix(end).exists() for end in (".png", ".json"))
    return there and _finished(finished).get(_key(script, out)) == _version(script)


def make(script: Path, asked: argparse.Namespace, finished: Path) -> bool:
    """Run a script and write down that it has finished.

    Returns:
        Whether it went well.
    """
    log = asked.work / "logs" / f"{script.stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = ("out", "work", "jobs", "device")
    flags = [part for word in words for part in (f"--{word}", str(getattr(asked, word)))]
    call = [sys.executable, str(script), *flags, *(["--quick"] if asked.quick else [])]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        done = subprocess.run(call, stdout=file, stderr=subprocess.STDOUT, env=one_thread)
    if done.returncode:
        return False
    entries = _finished(finished) | {_key(script, asked.out): _version(script)}
    folders.write_json(finished, entries)
    return True


def _key(script: Path, out: Path) -> str:
    return str(out / script.stem)


def _finished(path: Path) -> dict[str, str]:
    return dict(folders.read_json(path)) if path.exists() else {}


def _version(script: Path) -> str:
    return f"{jr.__version__}-{hashlib.sha256(script.read_bytes()).hexdigest()[:16]}"


if __name__ == "__main__":
    raise SystemExit(main())
