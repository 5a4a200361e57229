"""Distances between arrays. A NaN stays a NaN, and NaN <= tolerance is false."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Error(float):
    """An error, with the place where it was found and, when known there, its tolerance.

    `entry` says what was returned and what was expected where the arrays differ most.
    """

    where: str
    tolerance: float | None
    entry: str

    def __new__(
        cls, value: float, where: str = "", tolerance: float | None = None, entry: str = ""
    ) -> Self:
        """Make a float that remembers where it was measured."""
        error = super().__new__(cls, value)
        error.where, error.tolerance, error.entry = where, tolerance, entry
        return error


def relative_error(actual: Array, expected: Array) -> float:
    """Largest |actual - expected| over the largest |expected| of the whole array.

    The scale is a maximum, so the number of entries does not enter. Where everything expected is
    zero, nothing else will do: the error is 0 or infinite. Another shape is infinitely wrong, and
    the error says which.
    """
    return _relative(actual, expected, axes=None)


def row_error(actual: Array, expected: Array) -> float:
    """The worst `relative_error` over the rows (samples): each is judged by its own scale."""
    return _relative(actual, expected, axes=tuple(range(1, np.ndim(expected))))


def used_derivative(loss: Any) -> Array:
    """du_dt of a loss where its target uses it, 0 elsewhere.

    Where r = t it is multiplied by 0, so an implementation need not compute it.
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
    """The relative error of each expected tensor, by its name."""
    for name, array in expected.items():
        yield f"{place} {name}".strip(), relative_error(actual[name], array)


def loss_errors(actual: Any, expected: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """The worst row of each field of a Loss; of du_dt where the target uses it."""
    ours, theirs = (loss._replace(du_dt=used_derivative(loss)) for loss in (actual, expected))
    for field, array in theirs._asdict().items():
        compare = mismatches if field == "labels_in" else row_error
        yield f"{place} {field}".strip(), compare(getattr(ours, field), array)


def badness(error: float) -> float:
    """What errors are ordered by: their size, or their share of a tolerance of their own."""
    tolerance = getattr(error, "tolerance", None)
    value = float(error) / tolerance if tolerance else float(error)
    return float("inf") if np.isnan(value) else value


def at(place: str, error: float | np.floating[Any], tolerance: float | None = None) -> Error:
    """The error with a place put before the one that it names; its tolerance, or this one."""
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
    """What was returned and expected at an index, with the digits that tell them apart."""
    found = actual[index].item(), expected[index].item()
    short = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in found]
    returned, wanted = short if short[0] != short[1] else map(repr, found)
    place = f" at {[int(axis) for axis in index]}" if index else ""
    return f"returned {returned}, expected {wanted}{place}"


def _misshapen(actual: Array, expected: Array) -> Error:
    return Error(np.inf, f"returned shape {actual.shape}, expected {expected.shape}")
