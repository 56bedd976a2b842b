"""Refuse what this machine has no memory for, before anything is allocated."""

from __future__ import annotations

import math
import os

__all__ = ["check_memory", "machine_memory"]


def machine_memory() -> float:
    """Say how much memory this machine has, whatever is free of it.

    Returns:
        Bytes; infinity where the system does not tell.
    """
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not all(name in getattr(os, "sysconf_names", ()) for name in names):
        return math.inf
    return math.prod(map(os.sysconf, names))


def check_memory(wanted: int, what: str, remedy: str) -> None:
    """Check that something fits the memory of this machine.

    Args:
        wanted: Bytes.
        what: What takes them, such as `"the states of 3 runs"`.
        remedy: What helps.

    Raises:
        ValueError: If it does not.
    """
    there = machine_memory()
    if wanted > there:
        raise ValueError(
            f"{what} take {wanted / 1e9:,.0f} GB, but this machine has {there / 1e9:,.0f} GB; "
            f"{remedy}"
        )
