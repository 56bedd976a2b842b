"""Rows as the JSON files hold them: claims, networks, lines."""

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
