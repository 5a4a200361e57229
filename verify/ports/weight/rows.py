"""Rows of all observed calls, and which of them carry no gradient."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verify.ports.observation import Array, Weighted

Mask = NDArray[np.bool_]


class Rows(NamedTuple):
    """Rows of all calls, one after the other.

    `slope` = d(loss of the row) / d(s) = weight B / 2; in the authors' code (s + eps)^-p.
    """

    s: Array  # [rows], squared error summed over pixels
    slope: Array  # [rows]
    t: Array  # [rows]
    r: Array  # [rows]
    num_pixels: Array  # [rows]
    batch: Array  # [rows], B of the row's call
    mean: Array  # [rows, rows], average over the rows of a call
    calls: Array  # [calls, rows], ones at the rows of a call

    def take(self, kept: Mask) -> "Rows":
        """These rows alone; averages are over them."""
        calls = self.calls[:, kept]
        calls = calls[calls.any(1)]
        arrays = [array[kept] for array in self[:6]]
        return Rows._make([*arrays, _averages(calls), calls])

    @property
    def num_here(self) -> Array:
        """[rows]: number of rows in the row's call, of those that are here."""
        return np.asarray(self.calls.T @ self.calls.sum(1))

    @property
    def equal(self) -> Mask:
        """[rows]: r = t."""
        return np.asarray(self.r == self.t)


def gathered(observed: Sequence[Weighted]) -> Rows:
    """All rows of the calls. A row without an error has no weight: it is left out later."""
    sizes = [len(call.squared_error) for call in observed]
    calls = np.repeat(np.eye(len(sizes)), sizes, axis=1)
    batch = np.repeat(np.array(sizes, np.float64), sizes)
    weight = np.concatenate([call.weight for call in observed])
    return Rows(
        s=np.concatenate([call.squared_error for call in observed]).astype(np.float64),
        slope=weight * batch / 2,
        t=np.concatenate([call.t for call in observed]),
        r=np.concatenate([call.r for call in observed]),
        num_pixels=np.repeat(np.array([float(call.num_pixels) for call in observed]), sizes),
        batch=batch,
        mean=_averages(calls),
        calls=calls,
    )


def _averages(calls: Array) -> Array:
    """[rows, rows]: a product with it averages over the rows of each call."""
    return np.asarray(calls.T @ (calls / np.maximum(calls.sum(1, keepdims=True), 1)))


def weightless(rows: Rows, rounding: float) -> Mask:
    """[rows]: the gradient is zero beside that of the other rows."""
    size = np.abs(rows.slope)
    return np.asarray(size <= min(rounding, 1e-9) * float(np.median(size)))


def named(rows: Rows, mask: Mask) -> str:
    """Which rows `mask` holds, in words; empty where they follow no rule known here."""
    inside, outside = rows.s[mask], rows.s[~mask]
    first = np.concatenate([np.arange(int(call.sum())) for call in rows.calls]) / rows.batch
    rules = (
        (np.array_equal(mask, rows.equal), "rows with r = t"),
        (np.array_equal(mask, ~rows.equal), "rows with r < t"),
        (inside.min() > outside.max(), "rows with a large error"),
        (inside.max() < outside.min(), "rows with a small error"),
        (first[mask].max() < first[~mask].min(), "the first rows"),
        (first[mask].min() > first[~mask].max(), "the last rows"),
    )
    return next((words for holds, words in rules if holds), "")
