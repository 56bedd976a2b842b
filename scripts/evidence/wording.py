"""Write numbers of claims as titles and sentences have them."""

from __future__ import annotations

from typing import Any


def effect(claim: dict[str, Any], form: str = "+.2f", scale: float = 1) -> str:
    """Write an effect with its interval.

    Returns:
        Such as `+0.74 [+0.70, +0.78]`.
    """
    if claim["effect"] is None:
        return "none to estimate"
    middle, low, high = (
        "not known" if value is None else format(scale * value, form)
        for value in (claim["effect"], *claim["interval"])
    )
    return f"{middle} [{low}, {high}]"
