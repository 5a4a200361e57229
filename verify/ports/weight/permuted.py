"""Weights that are those of other rows: rolled, reversed, or in any order."""

import numpy as np
from numpy.typing import NDArray

from verify.ports.weight.laws import Law, taken_from
from verify.ports.weight.rows import Rows


def permuted(rows: Rows) -> tuple[Law, ...]:
    """The law of weights that fall with the error of another row; none where they are their own.

    The rows of a call in the order of their errors and in the falling order of their weights.
    """
    source = np.arange(len(rows.s))
    for call in rows.calls:
        inside = np.flatnonzero(call)
        by_weight = inside[np.argsort(-np.abs(rows.slope[inside]))]
        source[by_weight] = inside[np.argsort(rows.s[inside])]
    if np.array_equal(source, np.arange(len(source))):
        return ()
    return (taken_from(source, f"weights of other rows ({_order(rows, source)})"),)


def _order(rows: Rows, source: NDArray[np.int64]) -> str:
    """rolled by k, reversed, or permuted."""
    lags, reversed_rows = set(), True
    for call in rows.calls:
        inside = np.flatnonzero(call)
        place = source[inside] - inside[0]
        size = len(inside)
        lags |= set(((np.arange(size) - place + size // 2) % size - size // 2).tolist())
        reversed_rows &= bool(np.array_equal(place, np.arange(size)[::-1]))
    if len(lags) == 1:
        return f"rolled by {lags.pop()}"
    return "in reversed order" if reversed_rows else "permuted"
