"""Columns and numbers of printed tables, in 80 columns."""

import math

from rich.table import Table

from bench.measurement import Value
from bench.timer import Estimate


def columns(first: str, *others: str) -> Table:
    """Table with these columns, the first one of words and the others of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table


def plain(value: Value) -> float:
    """Value without interval; NaN if there is none."""
    if value is None:
        return float("nan")
    return value.value if isinstance(value, Estimate) else value


def number(value: Value, scale: float = 1.0, places: int = 3) -> str:
    """Number with decimal places; "-" if there is none."""
    return "-" if value is None else rounded(plain(value) * scale, places)


def estimate(value: Value, places: int = 2) -> str:
    """Median with its interval in brackets."""
    if not isinstance(value, Estimate):
        return number(value, places=places)
    middle, low, high = (
        rounded(v, p) for v, p in zip(value[:3], (places + 1, places, places), strict=True)
    )
    return f"{middle} [{low}, {high}]"


def rounded(value: float, places: int) -> str:
    """Decimal places, fewer for larger numbers, so that a table keeps its 80 columns."""
    whole = len(f"{abs(value):.0f}") - 1 if math.isfinite(value) else 0
    return f"{value:.{max(0, places - whole)}f}"
