"""A tiny study, and a system that refuses or kills at a chosen call."""

import errno
import io
import os
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import nn
from tqdm.auto import tqdm as bars

import jumpretrain as jr
from jumpretrain.storage import files

QUIET = jr.Execution(progress=False, chunk=1, checkpoint=1)
RECIPE = jr.Recipe(epochs=2, lr=0.05, batch_size=8)
ERRORS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES, errno.EDQUOT)
KINDS = ("open", "write", "fsync", "rename", "unlink", "mkdir", "read", "list")


def task():
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (16, 2)).astype(np.float32)
    y = (x[:, 0] > x[:, 1]).astype(np.int64)
    return jr.Task(lambda: nn.Linear(2, 2), jr.Dataset(x, y, x[:4], y[:4]))


TASK = task()


def study(folder=None, lr=0.05):
    """Train a network with checkpoints, then jump twice and retrain.

    Returns:
        All that was found, as arrays by name.
    """
    places = (None, None) if folder is None else (folder / "trained", folder / "sampled")
    recipe = jr.Recipe(epochs=2, lr=lr, batch_size=8)
    fit = jr.train(TASK, recipe, [0], folder=places[0], execution=QUIET)
    choices = {"step_sizes": (0.5,), "directions": 2, "folder": places[1], "execution": QUIET}
    runs = jr.sample(TASK, fit.final[0], recipe, **choices)
    found = {"trained": np.asarray(fit.states[:]), "sampled": np.asarray(runs.states[:])}
    return found | {f"{name} of jumps": values for name, values in runs.metrics.items()}


def same(found, expected):
    return found.keys() == expected.keys() and all(
        np.array_equal(found[name], expected[name]) for name in expected
    )


class Faults:
    """Counts the calls that a program makes to the system, and lets one of them fail."""

    def __init__(self, at=None, act=None):
        self.at, self.act, self.calls = at, act, []

    def meet(self, kind):
        self.calls.append(kind)
        if len(self.calls) - 1 == self.at:
            self.act()


def refuse(number):
    def act():
        raise OSError(number, os.strerror(number))

    return act


def die():
    os._exit(KILLED)


class _Raw(io.FileIO):
    faults: Faults

    def write(self, content):
        self.faults.meet("write")
        return super().write(content)


@contextmanager
def watching(monkeypatch, faults):
    """Let all calls of storage to the system pass by `faults`; for speed, nothing is durable."""

    def passing(kind, function):
        def instead(*args, **words):
            faults.meet(kind)
            return function(*args, **words)

        return instead

    def opened(descriptor, mode):
        raw = _Raw(descriptor, mode)
        raw.faults = faults
        return io.BufferedWriter(raw)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "open", passing("open", os.open))
        patch.setattr(files.os, "fdopen", opened)
        patch.setattr(files.os, "fsync", passing("fsync", lambda _: None))
        patch.setattr(Path, "replace", passing("rename", Path.replace))
        patch.setattr(Path, "unlink", passing("unlink", Path.unlink))
        patch.setattr(Path, "mkdir", passing("mkdir", Path.mkdir))
        patch.setattr(Path, "open", passing("read", Path.open))
        patch.setattr(Path, "glob", passing("list", Path.glob))
        yield faults


IN_USE, ANOTHER, REFUSED, RAW, KILLED = 3, 4, 5, 7, 9
"""How a child ends that is refused, that an error of nobody's ends, or that dies."""


def fork(call, *words):
    """Call a function in a forked process.

    Returns:
        The process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child:
        return child
    bars.set_lock(threading.RLock())  # the parent's is shared: killed with it, a child keeps it
    code = RAW
    try:
        call(*words)
        code = 0
    except ValueError as error:
        said = str(error)
        code = IN_USE if "in use" in said else ANOTHER if "one design" in said else REFUSED
    finally:
        os._exit(code)


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(call, *words, after=None):
    """Call a function in a forked process, and kill it after some seconds, if asked for.

    Returns:
        How it ended: 0, a code of the above, or what it was killed by (negative).
    """
    child = fork(call, *words)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    return ended(child)


def race(*calls):
    """Call functions in forked processes of their own, all let go at once.

    Returns:
        How each ended.
    """
    wait, go = os.pipe()

    def begin(call):
        os.close(go)
        os.read(wait, 1)  # until the other end is closed
        call()

    children = [fork(begin, call) for call in calls]
    os.close(go)
    codes = [ended(child) for child in children]
    os.close(wait)
    return codes
