"""The machine under a process: its processor, libraries with threads, and memory to keep."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

__all__ = ["keep_memory", "libraries", "versions"]

TRIM_ABOVE, MAP_ABOVE = (-1, 2**28), (-3, 2**25)  # glibc's numbers of both, and bytes


def libraries(kind: Literal["blas", "openmp"]) -> ThreadpoolController:
    """Find the loaded libraries of a kind that have threads.

    Args:
        kind: `"blas"`, whose number of threads is the process's, or `"openmp"`, where each thread
            has a number of its own.

    Returns:
        What reads and sets their number of threads.
    """
    return _found(len(sys.modules))[kind]


@lru_cache(maxsize=1)
def _found(modules: int) -> dict[str, ThreadpoolController]:
    # only newly imported modules can bring more
    found = ThreadpoolController()
    return {kind: found.select(user_api=kind) for kind in ("blas", "openmp")}


def versions() -> dict[str, str]:
    """Name what rounding depends on: torch, NumPy, and the instructions of the processor.

    Returns:
        Words by name.
    """
    processor = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {"torch": torch.__version__, "numpy": np.__version__, "processor": processor}


@lru_cache(maxsize=1)
def keep_memory() -> None:
    """Let this process keep memory that it has freed, but for what exceeds 256 MiB at its end.

    glibc gives large blocks back at once, and the system clears them anew for each layer of each
    batch: a sixth of the time of a small convolutional network. Other C libraries, and a process
    whose user has told glibc what to do (`MALLOC_..._`, `GLIBC_TUNABLES`), stay as they are.
    """
    told = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if told or not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(*TRIM_ABOVE)
        mallopt(*MAP_ABOVE)
