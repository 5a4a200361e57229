"""Distances between arrays; a NaN stays a NaN, and NaN <= tolerance is false."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Error(float):
    """Error with its place and, if it has one of its own, its tolerance.

    `entry` gives the returned and the expected number where the arrays differ most.
    """

    where: str
    tolerance: float | None
    entry: str

    def __new__(
        cls, value: float, where: str = "", tolerance: float | None = None, entry: str = ""
    ) -> Self:
        """Create the error as a float with attributes."""
        error = super().__new__(cls, value)
        error.where, error.tolerance, error.entry = where, tolerance, entry
        return error


def relative_error(actual: Array, expected: Array) -> float:
    """Relative error in the maximum norm: max |actual - expected| / max |expected|

    It does not depend on the number of entries. If every expected entry is zero, the error is 0 or
    infinite. For another shape it is infinite, and names the shape.
    """
    return _relative(actual, expected, axes=None)


def row_error(actual: Array, expected: Array) -> float:
    """Largest `relative_error` of a row (sample), each relative to its own largest entry."""
    return _relative(actual, expected, axes=tuple(range(1, np.ndim(expected))))


def used_derivative(loss: Any) -> Array:
    """du_dt of a loss where the target uses it, 0 elsewhere.

    Where r = t the target multiplies it by 0, so an implementation need not compute it.
    """
    apart = np.asarray(loss.t) > np.asarray(loss.r)
    return np.where(apart[:, None, None, None], loss.du_dt, 0)


def mismatches(actual: Array, expected: Array) -> float:
    """Number of entries that differ in any bit; infinite for another shape or dtype."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return _misshapen(actual, expected)
    if actual.dtype != expected.dtype:
        return Error(np.inf, f"returned {actual.dtype}, expected {expected.dtype}")
    same = actual == expected
    if expected.dtype.kind in "fc":
        same &= np.signbit(actual.real) == np.signbit(expected.real)
    if same.all():
        return 0.0
    first = np.unravel_index(np.argmin(same), same.shape)
    return Error(float(np.sum(~same)), entry=_entry(actual, expected, first))


def tensor_errors(
    actual: Mapping[str, Array], expected: Mapping[str, Array], place: str = ""
) -> Iterator[tuple[str, float]]:
    """Relative error of each expected tensor, by name."""
    for name, array in expected.items():
        yield f"{place} {name}".strip(), relative_error(actual[name], array)


def loss_errors(actual: Any, expected: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Error of the worst row of each field of a Loss; of du_dt where the target uses it."""
    ours, theirs = (loss._replace(du_dt=used_derivative(loss)) for loss in (actual, expected))
    for field, array in theirs._asdict().items():
        compare = mismatches if field == "labels_in" else row_error
        yield f"{place} {field}".strip(), compare(getattr(ours, field), array)


def badness(error: float) -> float:
    """Sort key of errors: their size, or their share of a tolerance of their own."""
    tolerance = getattr(error, "tolerance", None)
    value = float(error) / tolerance if tolerance else float(error)
    return float("inf") if np.isnan(value) else value


def at(place: str, error: float | np.floating[Any], tolerance: float | None = None) -> Error:
    """The error with a place put before its own; it keeps its tolerance, or takes this one."""
    where = ": ".join(filter(None, (place, getattr(error, "where", ""))))
    own = getattr(error, "tolerance", None)
    return Error(float(error), where, tolerance or own, getattr(error, "entry", ""))


def _relative(actual: Array, expected: Array, axes: tuple[int, ...] | None) -> float:
    actual, expected = np.asarray(actual), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        return _misshapen(actual, expected)
    if not expected.size:
        raise ValueError("nothing to compare: the arrays are empty")
    distance = np.abs(actual.astype(np.float64) - expected)
    difference = distance.max(axis=axes)
    scale = np.abs(expected).max(axis=axes)
    zero = np.where(difference == 0, 0.0, np.where(np.isnan(difference), np.nan, np.inf))
    safe = np.where(scale == 0, 1.0, scale)
    errors = np.where(scale == 0, zero, difference / safe)
    # The worst row, or (); a NaN counts as the worst.
    row = np.unravel_index(np.argmax(errors), errors.shape)
    worst = np.unravel_index(np.argmax(distance[row]), distance[row].shape)
    return Error(float(errors[row]), entry=_entry(actual, expected, (*row, *worst)))


def _entry(actual: Array, expected: Array, index: tuple[Any, ...]) -> str:
    """Returned and expected number at an index, with enough digits to differ."""
    found = actual[index].item(), expected[index].item()
    short = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in found]
    returned, wanted = short if short[0] != short[1] else map(repr, found)
    place = f" at {[int(axis) for axis in index]}" if index else ""
    return f"returned {returned}, expected {wanted}{place}"


def _misshapen(actual: Array, expected: Array) -> Error:
    return Error(np.inf, f"returned shape {actual.shape}, expected {expected.shape}")
