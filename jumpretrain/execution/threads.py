"""Threads and memory of a process: one thread, exact convolutions, and memory that it keeps."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

__all__ = ["keep_memory", "one_thread"]

TRIM_ABOVE, MAP_ABOVE = (-1, 2**28), (-3, 2**25)  # glibc's numbers of both, and bytes


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, in torch and in NumPy's libraries: bits depend on the number.

    Where there is a GPU, convolutions take repeatable kernels and whole float32 numbers meanwhile
    (torch's own choice there would be TF32, 10 bits), in all threads of the process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _controller(len(sys.modules)).limit(limits=1), _exact_convolutions():
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    if not torch.cuda.is_available():
        yield
        return
    cudnn = torch.backends.cudnn
    exact: list[tuple[Any, str, Any]] = [
        (cudnn, "deterministic", True),
        (cudnn, "benchmark", False),
    ]
    if hasattr(cudnn, "conv"):  # torch 2.9; the older word may not be read beside the newer ones
        exact += [(part, "fp32_precision", "ieee") for part in (cudnn.conv, cudnn.rnn)]
    else:
        exact.append((cudnn, "allow_tf32", False))
    before = [getattr(part, name) for part, name, _ in exact]
    try:
        for part, name, value in exact:
            setattr(part, name, value)
        yield
    finally:
        for (part, name, _), value in zip(exact, before, strict=True):
            setattr(part, name, value)


@lru_cache(maxsize=1)
def _controller(modules: int) -> ThreadpoolController:
    """Find the loaded libraries with threads; only newly imported modules can bring more.

    Returns:
        What sets their number of threads.
    """
    return ThreadpoolController()


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
