"""The Frechet distance between two normal distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def moments(features: Array) -> tuple[Array, Array]:
    """Mean [dimension] and unbiased covariance of features [n, dimension], in float64."""
    wide = np.asarray(features, np.float64)
    return wide.mean(0), np.cov(wide, rowvar=False)


def frechet_distance(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) in float64 (Dowson and Landau 1982).

    The trace of the root is the sum of the roots of the eigenvalues of S_a^(1/2) S_b S_a^(1/2),
    which is symmetric and non-negative: no matrix root of a non-symmetric product is taken, so
    rank-deficient covariances are no trouble.
    """
    values, vectors = np.linalg.eigh(np.asarray(cov_a, np.float64))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    middle = root @ np.asarray(cov_b, np.float64) @ root
    trace_root = np.sqrt(np.linalg.eigvalsh((middle + middle.T) / 2).clip(0)).sum()
    difference = np.asarray(mean_a, np.float64) - np.asarray(mean_b, np.float64)
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * trace_root)
