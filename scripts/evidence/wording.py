"""Write numbers of claims as titles and sentences have them."""

import math
from typing import Any

Claims = list[dict[str, Any]]


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
