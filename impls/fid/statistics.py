"""Reference statistics on disk: mean and covariance of the features of a set of images.

The same two arrays go by two names: `mu` and `sigma` in the files of ADM, clean-fid and
pytorch-fid, `ref_mu` and `ref_sigma` in those that the authors' code reads. Either is read; both
are written.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.common.errors import UserError
from impls.files.downloads import not_the_file
from impls.files.reading import readable
from impls.files.writing import write_arrays

Array = NDArray[Any]
NAMES = (("ref_mu", "ref_sigma"), ("mu", "sigma"))
REMEDY = (
    "get it anew (github.com/Gsunshine/meanflow links that of ImageNet 256), or make one with"
    " `meanflow statistics`"
)


class StatisticsError(UserError):
    """Statistics that cannot be used; the message is one sentence for the user."""


class Statistics(NamedTuple):
    """Of the features of a set of images; what made them, where the file says so."""

    mean: Array  # [features] float64
    covariance: Array  # [features, features] float64
    num_images: int | None = None
    mode: str | None = None  # how images were resized: one of `inception.MODES`
    inception: str | None = None  # SHA-256 of the file of weights


def save_statistics(path: Path, statistics: Statistics) -> None:
    """Write statistics to a .npz file, whole or not at all.

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
    """Read statistics from a .npz file.

    Args:
        num_features: that they must be of, where this is known.

    Raises:
        StatisticsError: when the file is missing, damaged, holds no such arrays, or they are of
            another shape or not finite.
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
        pair = next((pair for pair in NAMES if set(pair) <= set(held.files)), None)
        if pair is None:
            raise StatisticsError(
                f"{path} holds neither ref_mu and ref_sigma nor mu and sigma: {REMEDY}"
            )
        mean, covariance = (held[name] for name in pair)  # alone: large samples may lie there too
        about = {name: held[name].item() for name in Statistics._fields[2:] if name in held.files}
    _check(path, mean, covariance, num_features)
    return Statistics(mean.astype(np.float64), covariance.astype(np.float64), **about)


def _check(path: Path, mean: Array, covariance: Array, num_features: int | None) -> None:
    count = num_features or (mean.size if mean.ndim == 1 else 0)
    if mean.shape != (count,) or covariance.shape != (count, count):
        size = count or "features"
        raise StatisticsError(
            f"{path} holds a mean of shape {mean.shape} and a covariance of {covariance.shape},"
            f" expected ({size},) and ({size}, {size}): {REMEDY}"
        )
    for name, array in (("mean", mean), ("covariance", covariance)):
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise StatisticsError(f"the {name} in {path} holds what is no finite number: {REMEDY}")
    if not np.allclose(covariance, covariance.T, rtol=1e-4, atol=1e-6 * np.abs(covariance).max()):
        raise StatisticsError(f"the covariance in {path} is not symmetric: {REMEDY}")
