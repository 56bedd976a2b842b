"""Make every figure again, then the ledger of claims and the gallery beside them.

    .venv/bin/python scripts/reproduce.py --quick --out /tmp/figures  # minutes, digits only
    .venv/bin/python scripts/reproduce.py --full                      # hours: what figures/ has

What was sampled is kept in runs/, and figures that are finished are not made again: the same call
goes on where it was stopped. The full form needs Fashion-MNIST and CIFAR-10 in the folder that the
environment variable JUMPRETRAIN_DATA names.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from evidence.figure import ROOT, SCRIPTS, arguments, compute_on, scripts
from evidence.gallery import write_gallery
from evidence.hypotheses import PAPERS
from evidence.ledger import table
from tqdm import tqdm

import jumpretrain as jr
from jumpretrain.storage import folders

FIGURES = scripts(PAPERS)
CHILD = (
    "import json, sys; from pathlib import Path; from evidence.figure import make; "
    "name, quick, out, work, *rest = json.loads(sys.argv[1]); "
    "make(name, quick, Path(out), Path(work), *rest)"
)


def main() -> int:
    asked = words()
    place = compute_on(asked.device, asked.work)
    finished = place / f"finished-{'quick' if asked.quick else 'full'}.json"
    names = [name for paper in asked.paper or PAPERS for name in scripts([paper])
             if name in (asked.figure or FIGURES)]  # fmt: skip
    failed = []
    with tqdm(names, desc="figures") as bar:
        for name in bar:
            bar.set_postfix_str(name)
            if not made(name, asked.out, finished) and not make(name, asked, finished):
                failed.append(name)
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
    """Read the command line."""
    parser = argparse.ArgumentParser(description="make every figure again")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="in small, to look at the machinery")
    size.add_argument("--full", action="store_true", help="as figures/ has them")
    parser.add_argument("--paper", choices=PAPERS, action="append", help="only of this paper")
    parser.add_argument("--figure", choices=FIGURES, metavar="NAME", action="append",
                        help="only this one, such as wang_toy")  # fmt: skip
    arguments(parser)
    asked = parser.parse_args()
    asked.out, asked.work = asked.out.resolve(), asked.work.resolve()
    if asked.quick and asked.out == ROOT / "figures":
        parser.error("small figures would replace those of figures/: pass --out")
    return asked


def made(name: str, out: Path, finished: Path) -> bool:
    """Tell whether a figure is there as the scripts and the library make it now."""
    there = all((out / f"{name}{end}").exists() for end in (".png", ".json"))
    return there and _finished(finished).get(str(out / name)) == _version(name)


def make(name: str, asked: argparse.Namespace, finished: Path) -> bool:
    """Make a figure in a process of its own and write down whether it has finished."""
    log = asked.work / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    how = [name, asked.quick, str(asked.out), str(asked.work), asked.jobs, asked.device]
    call = [sys.executable, "-c", CHILD, json.dumps(how)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        done = subprocess.run(call, stdout=file, stderr=subprocess.STDOUT, env=one_thread,
                              cwd=SCRIPTS)  # fmt: skip
    if done.returncode:
        return False
    entries = _finished(finished) | {str(asked.out / name): _version(name)}
    folders.write_json(finished, entries)
    return True


def _finished(path: Path) -> dict[str, str]:
    return dict(folders.read_json(path)) if path.exists() else {}


def _version(name: str) -> str:
    """Hash the scripts of a figure's paper, which take from one another, and what papers share."""
    places = (FIGURES[name].parent, SCRIPTS / "evidence")
    code = b"".join(path.read_bytes() for place in places for path in sorted(place.glob("*.py")))
    return f"{jr.__version__}-{hashlib.sha256(code).hexdigest()[:16]}"


if __name__ == "__main__":
    raise SystemExit(main())
