"""The random generators that all code of a process shares: torch's, NumPy's and Python's."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Iterator, Set
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

__all__ = ["SHARED", "seeded", "watched", "widened"]

ALONE = threading.RLock()
"""Held by the thread that draws: the generators are one for all threads."""


class Generator(NamedTuple):
    """How the state of a shared generator is read, seeded and put back."""

    read: Callable[[], Any]
    seed: Callable[[int], object]
    write: Callable[[Any], object]


def _seed_numpy(seed: int) -> None:
    np.random.seed(seed % 2**32)  # noqa: NPY002


def _seed_cuda(seed: int) -> None:
    if _cuda_is_used():
        torch.cuda.manual_seed_all(seed)


def _read_cuda() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if _cuda_is_used() else []


def _cuda_is_used() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


_torch = torch.default_generator  # its own methods are 80 times as fast as torch.manual_seed
GENERATORS = {
    "torch": Generator(_torch.get_state, _torch.manual_seed, _torch.set_state),
    "cuda": Generator(_read_cuda, _seed_cuda, torch.cuda.set_rng_state_all),
    "numpy": Generator(np.random.get_state, _seed_numpy, np.random.set_state),
    "python": Generator(random.getstate, random.seed, random.setstate),
}
SHARED = frozenset(GENERATORS)
"""Names of the generators."""


@contextmanager
def seeded(seed: int, names: Collection[str] = SHARED) -> Iterator[None]:
    """Seed shared generators, alone among threads, and put them back afterwards.

    Other threads that draw under this function wait meanwhile, so let no work be spread inside.

    Args:
        seed: A whole number from 0.
        names: Which generators.
    """
    chosen = [GENERATORS[name] for name in GENERATORS if name in names]
    with ALONE:
        before = [generator.read() for generator in chosen]
        try:
            for generator in chosen:
                generator.seed(seed)
            yield
        finally:
            for generator, state in zip(chosen, before, strict=True):
                generator.write(state)


@contextmanager
def watched(seed: int) -> Iterator[set[str]]:
    """Seed all shared generators as `seeded` does, and see which are drawn from.

    Yields:
        A set that holds their names afterwards.
    """
    drawn: set[str] = set()
    with seeded(seed):
        before = {name: generator.read() for name, generator in GENERATORS.items()}
        yield drawn
        drawn |= {
            name for name, state in before.items() if not _same(GENERATORS[name].read(), state)
        }


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, (list, tuple)):
        pairs = zip(first, second, strict=True)
        return len(first) == len(second) and all(_same(*pair) for pair in pairs)
    return bool(np.array_equal(first, second))


def widened(drawn: Set[str]) -> frozenset[str]:
    """Say which generators to seed for a network that draws from some.

    Returns:
        All, where more than torch's are drawn from: such a network may draw from others later.
    """
    return SHARED if drawn & {"numpy", "python"} else frozenset(drawn)
