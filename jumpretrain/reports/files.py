"""Write the tables and figures of a report; each file is replaced in one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from jumpretrain.storage import files, folders

__all__ = ["write_figures", "write_tables"]

RUN = ("=", "+", "-", "@", "\t", "\n")
"""How text begins that a spreadsheet would run as a formula."""


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write tables as CSV; an apostrophe goes before text that a spreadsheet would run.

    Args:
        folder: Where to.
        tables: By the name of their file.
    """
    for name, table in tables.items():
        folders.write_bytes(folder / name, _inert(table).to_csv(index=False).encode())


def _inert(table: pd.DataFrame) -> pd.DataFrame:
    texts = [name for name, kind in table.dtypes.items() if not is_numeric_dtype(kind)]
    safe = table.assign(**{str(name): table[name].map(_inert_cell) for name in texts})
    return safe.rename(columns=_inert_cell)


def _inert_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\r", "\n")  # a bare one ends the row for some readers
    return f"'{text}" if text.startswith(RUN) else text


def write_figures(
    folder: Path, figures: Iterable[tuple[str, bytes]], known: Iterable[str] = ()
) -> Path:
    """Write PNGs as `figures/<name>.png`.

    Args:
        folder: The folder of the report.
        figures: Names and contents, each written when it is drawn.
        known: Names that a report of this kind may have; files of those that are not drawn now,
            left by an earlier call, are removed.

    Returns:
        The folder of the figures.
    """
    place, stale = folder / "figures", set(known)
    for name, content in figures:
        folders.write_bytes(place / f"{name}.png", content)
        stale.discard(name)
    for name in stale:
        files.remove(place / f"{name}.png")
    return place
