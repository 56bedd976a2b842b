"""Rows as the JSON files hold them, claims among them: find them, write their numbers."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Row = dict[str, Any]
Rows = list[Row]


def about(claims: Rows, *words: str, name: str = "") -> Rows:
    """Find the claims that hold some words, of the hypothesis whose name ends so."""
    return [
        claim
        for claim in claims
        if claim["id"].endswith(name) and all(word in claim["claim"] for word in words)
    ]


def effect(claim: dict[str, Any], form: str = "+.2f", scale: float = 1) -> str:
    """Write an effect with its interval, such as `+0.74 [+0.70, +0.78]`."""
    return bounded(claim["effect"], *claim["interval"], form, scale)


def bounded(middle: Any, low: Any, high: Any, form: str = "+.2f", scale: float = 1) -> str:
    """Write a number with its interval, where there is one."""
    known = [value for value in (middle, low, high) if value is not None and math.isfinite(value)]
    if len(known) < 3:
        return "none to estimate"
    centre, *ends = (format(scale * value, form) for value in known)
    return f"{centre} [{', '.join(ends)}]"
