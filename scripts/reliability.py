"""Kill, refuse and race a tiny study many times, and count what was lost.

`docs/reliability.md` has what it printed.
"""

import argparse
import collections
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import faults

from jumpretrain.storage.verify import verify

Found = Mapping[str, np.ndarray]
Counts = collections.Counter[str]


def main() -> int:
    """Do all of it.

    Returns:
        1 if anything was lost.
    """
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--kills", type=int, default=200)
    words.add_argument("--refusals", type=int, default=500)
    words.add_argument("--seconds", type=float, default=60)
    asked = words.parse_args()
    whole = faults.study()
    counts: Counts = collections.Counter()
    for name, call in {
        f"{asked.kills} kills at random moments": partial(kill, asked.kills),
        f"{asked.refusals} refusals of the system": partial(refuse, asked.refusals),
        f"4 processes on one folder, {asked.seconds:g} s": partial(compete, asked.seconds),
    }.items():
        counts.clear()
        call(whole, counts)
        bad = {n: counts.pop(n, 0) for n in ("runs lost", "wrong bits", "raw errors", "damaged")}
        print(f"{name}: {dict(counts)}; {', '.join(f'{v} {n}' for n, v in bad.items())}")
        if any(bad.values()):
            return 1
    return 0


def kill(count: int, whole: Found, counts: Counts) -> None:
    """Kill the study at random moments until it ends, anew until there were enough kills."""
    rng, span = np.random.default_rng(0), taken()
    while counts["killed"] < count:
        with folder() as place:
            kept = set()
            while True:
                code = faults.in_child(faults.study, place, after=rng.uniform(0, span))
                counts["killed"] += code != 0
                counts["raw errors"] += code not in (0, -9)
                there = {path for path in place.rglob("runs/[0-9]*") if path.suffix != ".part"}
                counts["runs lost"] += len(kept - there)
                kept = there
                if code == 0 or counts["killed"] >= count:
                    break
            end(place, whole, counts)


def refuse(count: int, whole: Found, counts: Counts) -> None:
    """Refuse a random call to the system with a random error."""
    rng, patch = np.random.default_rng(1), pytest.MonkeyPatch()
    calls = faults.Faults()
    with folder() as place, faults.watching(patch, calls):
        faults.study(place)
    while counts["refused"] + counts["went on all the same"] < count:
        at, number = int(rng.integers(len(calls.calls))), int(rng.choice(faults.ERRORS))
        with folder() as place:
            try:
                with faults.watching(patch, faults.Faults(at, faults.refuse(number))):
                    faults.study(place)
                counts["went on all the same"] += 1
            except ValueError as error:
                counts["refused"] += 1
                counts["raw errors"] += "\n" in str(error) or "cannot be" not in str(error)
            except OSError:
                counts["raw errors"] += 1
            end(place, whole, counts)


def compete(seconds: float, whole: Found, counts: Counts) -> None:
    """Let four processes go at once, again and again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with folder() as place:
            codes = faults.race(*[partial(faults.study, place)] * 4)
            counts["finished"] += codes.count(0)
            counts["told that it is in use"] += codes.count(faults.IN_USE)
            counts["raw errors"] += 4 - codes.count(0) - codes.count(faults.IN_USE)
            end(place, whole, counts)


def end(place: Path, whole: Found, counts: Counts) -> None:
    """Repeat the call without faults: all must be there, with the same bits."""
    if any(place.rglob("*.json")):
        counts["damaged"] += sum(len(one.damaged) for one in verify(place))
    counts["wrong bits"] += not faults.same(faults.study(place), whole)
    counts["runs lost"] += sum(one.expected - one.whole for one in verify(place))


def taken() -> float:
    """Say how long the study takes in a child, in seconds."""
    with folder() as place:
        began = time.monotonic()
        faults.in_child(faults.study, place)
        return time.monotonic() - began


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for results, which goes at the end."""
    with tempfile.TemporaryDirectory() as above:
        yield Path(above) / "results"


if __name__ == "__main__":
    sys.exit(main())
