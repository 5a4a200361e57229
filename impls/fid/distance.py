"""Fréchet distance between two normal distributions, by factors of their covariances."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Array = NDArray[Any]


def frechet_distance(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) in float64 (Dowson and Landau 1982).

    With C_a = F_a F_a^T and C_b = F_b F_b^T the trace of the root is the sum of the singular
    values of F_a^T F_b. Their errors are roundings of the largest one, whereas an eigenvalue of
    C_a C_b that should be 0 has a root of about 1e-8 after rounding, up to `dimension` times. So
    covariances of fewer samples than dimensions are handled accurately.

    Args:
        mean_a, mean_b: [dimension].
        cov_a, cov_b: [dimension, dimension], symmetric and positive semidefinite, of any rank.

    Raises:
        ValueError: when a number is not finite.
    """
    wide = [np.asarray(array, np.float64) for array in (mean_a, cov_a, mean_b, cov_b)]
    if not all(np.isfinite(array).all() for array in wide):
        raise ValueError("a mean or a covariance holds a number that is not finite")
    mean_a, cov_a, mean_b, cov_b = wide
    trace_root = np.linalg.svd(_factor(cov_a).T @ _factor(cov_b), compute_uv=False).sum()
    difference = mean_a - mean_b
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * trace_root)


def _factor(cov: Array) -> Array:
    """Factor F [dimension, rank] with F F^T = cov, by pivoted Cholesky decomposition."""
    lower, pivots, rank, _ = lapack.dpstrf(cov, lower=1)  # it stops where only rounding is left
    factor = np.empty((len(cov), rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return factor
