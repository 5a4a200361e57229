"""Streaming mean and covariance of features, in batches and any number of processes.

Stored as count, mean and scatter matrix, which merge without cancellation (Chan, Golub and LeVeque
1979), so the features of fifty thousand samples need not be in memory.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NUM_GROUPS = 20
GOLDEN = (5**0.5 - 1) / 2
ROWS = 256  # rows of each group, about, that are buffered before they are added to it


class Moments(NamedTuple):
    """Count, mean and scatter matrix of samples, in float64."""

    num_samples: int
    mean: Array  # [dimension]
    scatter: Array  # [dimension, dimension]: sum over samples of (x - mean) (x - mean)^T

    @property
    def covariance(self) -> Array:
        """Unbiased covariance: scatter / (n - 1)

        Raises:
            ValueError: for fewer than two samples.
        """
        if self.num_samples < 2:
            raise ValueError(f"{self.num_samples} samples have no covariance: give 2 or more")
        return np.asarray(self.scatter / (self.num_samples - 1))


NOTHING = Moments(0, np.zeros(0), np.zeros((0, 0)))


def moments(features: Array) -> Moments:
    """Moments of features [n, dimension]."""
    wide = np.asarray(features, np.float64)
    if wide.ndim != 2:
        raise ValueError(f"features have shape {wide.shape}, expected [n, dimension]")
    if not len(wide):
        return Moments(0, np.zeros(wide.shape[1]), np.zeros((wide.shape[1], wide.shape[1])))
    mean = wide.mean(0)
    return Moments(len(wide), mean, (wide - mean).T @ (wide - mean))


def merge(one: Moments, other: Moments) -> Moments:
    """Moments of the union of two sets of samples.

    With d = mean_b - mean_a: mean = mean_a + d n_b / n, scatter = M_a + M_b + d d^T n_a n_b / n
    """
    if not one.num_samples or not other.num_samples:
        return one if one.num_samples else other
    n = one.num_samples + other.num_samples
    difference = other.mean - one.mean
    scatter = np.outer(difference, difference * (one.num_samples * other.num_samples / n))
    scatter += one.scatter
    scatter += other.scatter
    return Moments(n, one.mean + difference * (other.num_samples / n), scatter)


def without(whole: Moments, part: Moments) -> Moments:
    """Moments of the samples of a whole that are not in a part of it: the inverse of `merge`."""
    n = whole.num_samples - part.num_samples
    mean = whole.mean + (whole.mean - part.mean) * (part.num_samples / n)
    difference = part.mean - mean
    weight = n * part.num_samples / whole.num_samples
    scatter = whole.scatter - part.scatter - np.outer(difference, difference * weight)
    return Moments(n, mean, scatter)


def group_numbers(first: int, count: int, num_groups: int) -> NDArray[np.int64]:
    """Group numbers of samples first, first + 1, …: floor(G frac(i golden ratio))

    Groups have nearly equal sizes, and samples of every class: with i mod G, labels that cycle
    through 0, 1, …, 999 would put each class into one of 20 groups.
    """
    place = (first + np.arange(count)) * GOLDEN % 1
    return (place * num_groups).astype(np.int64)


class MomentGroups:
    """Moments of samples in groups, for the jackknife interval of a score.

    A group holds dimension^2 numbers, 34 MB for 2048 features, whatever the number of samples.
    """

    def __init__(self, num_groups: int = NUM_GROUPS, first: int = 0) -> None:
        """Start without samples.

        Args:
            first: index of the first sample, where a process makes only part of the samples.

        Raises:
            ValueError: for fewer than two groups.
        """
        if num_groups < 2:
            raise ValueError(f"num_groups is {num_groups}, expected 2 or more")
        self._groups = [NOTHING] * num_groups
        self._waiting: list[Array] = []
        self._next = first  # index of the first sample that waits

    def add(self, features: Array) -> None:
        """Add features [n, dimension] of the next samples."""
        self._waiting.append(np.asarray(features))
        if sum(map(len, self._waiting)) >= ROWS * len(self._groups):
            self._deal()

    def add_groups(self, groups: Iterable[Moments]) -> None:
        """Add the groups of another process, one to one."""
        for number, other in enumerate(groups):
            self._groups[number] = merge(self._groups[number], other)

    def groups(self) -> tuple[Moments, ...]:
        """Moments of the groups that have samples."""
        self._deal()
        return tuple(group for group in self._groups if group.num_samples)

    def _deal(self) -> None:
        """Add buffered features to their groups."""
        if self._waiting:
            rows = np.concatenate(self._waiting)
            group = group_numbers(self._next, len(rows), len(self._groups))
            self.add_groups(moments(rows[group == number]) for number in range(len(self._groups)))
            self._waiting, self._next = [], self._next + len(rows)
