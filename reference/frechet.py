"""Fréchet distance between two normal distributions, by eigenvalues."""

import numpy as np

from .layers import Array


def moments(features: Array) -> tuple[Array, Array]:
    """Mean [dimension] and unbiased covariance of features [n, dimension], in float64."""
    wide = np.asarray(features, np.float64)
    return wide.mean(0), np.cov(wide, rowvar=False)


def frechet_distance(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """Fréchet distance |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), in float64.

    Dowson and Landau 1982; as FID in Heusel et al. 2017, equation 6. C_a C_b has the eigenvalues of
    the symmetric S C_b S, where S = C_a^(1/2), so the trace of its root is the sum of their roots.
    Rounding moves an eigenvalue that should be 0, and its root by 1e-8 of the largest one: with
    fewer samples than dimensions the distance is accurate to 1e-6 of the traces, otherwise nearly
    to rounding.

    Args:
        mean_a, mean_b: [dimension].
        cov_a, cov_b: [dimension, dimension], symmetric and positive semidefinite.
    """
    mean_a, cov_a, mean_b, cov_b = (
        np.asarray(array, np.float64) for array in (mean_a, cov_a, mean_b, cov_b)
    )
    variances, axes = np.linalg.eigh(cov_a)
    root = (axes * _root(variances)) @ axes.T
    trace_root = _root(np.linalg.eigvalsh(root @ cov_b @ root)).sum()
    difference = mean_a - mean_b
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * trace_root)


def _root(eigenvalues: Array) -> Array:
    """Square roots of eigenvalues that are negative only by rounding."""
    return np.sqrt(np.maximum(eigenvalues, 0))
