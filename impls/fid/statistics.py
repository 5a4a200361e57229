"""Reference statistics on disk: mean and covariance of the features of a set of images.

The two arrays have two names each: `mu` and `sigma` in the files of ADM, clean-fid and pytorch-fid,
`ref_mu` and `ref_sigma` in those that the authors' code reads. Either is read; both are written.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.common.errors import UserError
from impls.files.downloads import not_the_file
from impls.files.inception import MODES
from impls.files.reading import readable
from impls.files.writing import write_arrays

Array = NDArray[Any]
# Of the largest eigenvalue or entry. Covariances that were added up in float64 are off by 1e-15 of
# it, in float32 by 1e-8 (products of centred features) or 5e-7 (products less those of the means).
ROUNDING = 1e-5
LARGEST = 1e30  # whose square, and the sum of many, is still a number; features are below 100
NAMES = (("ref_mu", "ref_sigma"), ("mu", "sigma"))
REMEDY = (
    "download it again (github.com/Gsunshine/meanflow links that of ImageNet 256), or make one with"
    " `meanflow statistics`"
)


class StatisticsError(UserError):
    """Invalid statistics; the message is one sentence for the user."""


class Statistics(NamedTuple):
    """Mean and covariance of features of a set of images, and their origin where it is stored."""

    mean: Array  # [features] float64
    covariance: Array  # [features, features] float64
    num_images: int | None = None
    mode: str | None = None  # how images were resized: one of `inception.MODES`
    inception: str | None = None  # SHA-256 of the file of weights


def save_statistics(path: Path, statistics: Statistics) -> None:
    """Write statistics to a .npz file, atomically.

    Raises:
        StatisticsError: when the file cannot be written.
    """
    arrays: dict[str, Array] = {}
    for names in NAMES:
        arrays |= dict(zip(names, (statistics.mean, statistics.covariance), strict=True))
    about = {name: getattr(statistics, name) for name in Statistics._fields[2:]}
    arrays |= {name: np.array(value) for name, value in about.items() if value is not None}
    write_arrays(path, arrays, StatisticsError)


def load_statistics(path: Path, num_features: int | None = None) -> Statistics:
    """Statistics read from a .npz file.

    Args:
        num_features: expected number of features, where it is known.

    Raises:
        StatisticsError: when the file is missing, damaged, or lacks the arrays, or when they have
            another shape, or are not finite, symmetric, semidefinite or consistent.
    """
    if not path.is_file():
        raise StatisticsError(f"there is no file of statistics {path}: {REMEDY}")
    if what := not_the_file(path):
        raise StatisticsError(f"{path} is {what}: {REMEDY}")
    with (
        readable(path, REMEDY, StatisticsError),
        path.open("rb") as file,  # NumPy would leave a damaged one open
        np.load(file, allow_pickle=False) as held,
    ):
        named = [pair for pair in NAMES if set(pair) <= set(held.files)]
        pairs = [[held[name] for name in pair] for pair in named]
        about = {name: held[name] for name in Statistics._fields[2:] if name in held.files}
    if not pairs:
        raise StatisticsError(
            f"{path} holds neither ref_mu and ref_sigma nor mu and sigma: {REMEDY}"
        )
    mean, covariance = pairs[0]
    _check(path, mean, covariance, num_features)
    for kind, array, *others in zip(("mean", "covariance"), *pairs, strict=True):
        if not all(np.array_equal(array, other) for other in others):
            raise StatisticsError(f"{path} holds two {kind}s that differ: {REMEDY}")
    told = {name: _told(path, name, array) for name, array in about.items()}
    return Statistics(mean.astype(np.float64), covariance.astype(np.float64), **told)


def _told(path: Path, name: str, array: Array) -> Any:
    """Entry of a file about the origin of the statistics, a number or a string."""
    value = array.item() if array.size == 1 else array.tolist()
    is_right, expected = {
        "num_images": (type(value) is int and value > 1, "a whole number, 2 or more"),
        "mode": (value in MODES, f"one of {', '.join(MODES)}"),
        "inception": (isinstance(value, str), "text"),
    }[name]
    if not is_right:
        raise StatisticsError(
            f"{name} in {path} is {str(value)[:60]}, expected {expected}: {REMEDY}"
        )
    return value


def _check(path: Path, mean: Array, covariance: Array, num_features: int | None) -> None:
    """Raise StatisticsError for invalid arrays: shape, finite numbers, symmetry, definiteness."""
    count = num_features or (mean.size if mean.ndim == 1 else 0)
    if not count or mean.shape != (count,) or covariance.shape != (count, count):
        size = count or "features"
        raise StatisticsError(
            f"{path} holds a mean of shape {mean.shape} and a covariance of {covariance.shape},"
            f" expected ({size},) and ({size}, {size}): {REMEDY}"
        )
    for name, array in (("mean", mean), ("covariance", covariance)):
        wrong = np.ones(array.shape, bool)
        if array.dtype.kind == "f":  # of whichever length
            wrong = ~(np.abs(array, dtype=np.longdouble) < LARGEST)  # NaN too
        if wrong.any():
            place, value = _first(wrong, array)
            raise StatisticsError(
                f"the {name} in {path} holds {value} at {place}, which is not finite or too"
                f" large: {REMEDY}"
            )
    _check_covariance(path, covariance.astype(np.float64))


def _check_covariance(path: Path, covariance: Array) -> None:
    """Raise StatisticsError for a covariance that is not symmetric and semidefinite to ROUNDING."""
    size = np.abs(covariance).max()
    skew = np.abs(covariance - covariance.T) > ROUNDING * size
    if skew.any():
        (row, column), value = _first(skew, covariance)
        raise StatisticsError(
            f"the covariance in {path} is not symmetric: it holds {value:g} at {[row, column]} and"
            f" {covariance[column, row]:g} at {[column, row]}: {REMEDY}"
        )
    variances = np.diag(covariance)
    if variances.min() < -ROUNDING * size:
        entry = int(variances.argmin())
        raise StatisticsError(
            f"the covariance in {path} holds the negative variance {variances.min():g} at"
            f" {[entry, entry]}: {REMEDY}"
        )
    try:  # far faster than eigenvalues, and stricter: no variance is above the largest of these
        np.linalg.cholesky(covariance + ROUNDING * variances.max() * np.eye(len(covariance)))
    except np.linalg.LinAlgError:
        eigenvalues = np.linalg.eigvalsh(covariance)
        least, largest = eigenvalues[0], eigenvalues[-1]
        if not least >= -ROUNDING * largest:
            raise StatisticsError(
                f"the covariance in {path} has the negative eigenvalue {least:g}, the largest being"
                f" {largest:g}: {REMEDY}"
            ) from None


def _first(wrong: Array, array: Array) -> tuple[list[int], Any]:
    """Index of the first wrong entry, and the entry."""
    place = np.argwhere(wrong)[0]
    return place.tolist(), array[tuple(place)]
