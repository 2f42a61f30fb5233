"""Cells of CSV files, which people open in a spreadsheet."""

from typing import Any

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def guarded(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: a text that begins like one gets an apostrophe before."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell
