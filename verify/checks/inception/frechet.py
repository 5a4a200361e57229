"""Fréchet distance, against another method and known values.

Scores use singular values of factors of the covariances, the reference eigenvalues of their
symmetric product: they share nothing but the formula. Both compute in float64.
"""

from functools import reduce

import numpy as np

import reference.frechet
from impls.common import draws
from impls.common.draws import Stream
from impls.fid.distance import frechet_distance
from impls.fid.moments import merge, moments
from verify.compare import Array, Error
from verify.probe import Probe
from verify.registry import Errors, check

SIZE = 24
SAMPLES = {"many samples": 6 * SIZE, "fewer samples than features": SIZE // 2}
SEED = 11

# Relative to the scale: the sum of both traces and of the squared distance of the means. Measured
# with 16 to 200 features and 50 seeds: 1.5e-15 at most from known answers, and from the reference
# with many samples. With fewer samples than features 4.5e-9, which is the reference's: it takes the
# root of eigenvalues that should be 0 and are 1e-16 of the largest one.
ROUNDING = 2e-14
ROOT_OF_ROUNDING = 5e-8


def _normal(*shape: int, key: int) -> Array:
    return draws.normal(shape, SEED, Stream.CHECK, key).astype(np.float64)


def _features(count: int, key: int) -> Array:
    """Correlated features [count, SIZE] with a mean of their own."""
    mixed = np.eye(SIZE) + _normal(SIZE, SIZE, key=key) / (2 * SIZE**0.5)
    features: Array = _normal(count, SIZE, key=key + 1) @ mixed + _normal(SIZE, key=key + 2)
    return features


def _error(arguments: tuple[Array, ...], expected: float, tolerance: float) -> Error:
    """|distance - expected| over the scale."""
    mean_a, cov_a, mean_b, cov_b = arguments
    scale = np.trace(cov_a) + np.trace(cov_b) + ((mean_a - mean_b) ** 2).sum()
    return Error(abs(frechet_distance(*arguments) - expected) / scale, "", tolerance)


def _of_samples() -> Errors:
    """Errors for statistics of samples, merged from two parts; of all at once in the reference."""
    for name, count in SAMPLES.items():
        tolerance = ROUNDING if count > SIZE else ROOT_OF_ROUNDING
        ours: list[Array] = []
        theirs: list[Array] = []
        for features in (_features(count, 0), _features(count, 10)):
            made = reduce(merge, map(moments, (features[:5], features[5:])))
            ours += made.mean, made.covariance
            theirs += reference.frechet.moments(features)
        expected = reference.frechet.frechet_distance(*theirs)
        yield name, _error(tuple(ours), expected, tolerance)


def _of_known_answers() -> Errors:
    """d(C, C) = 0, d(C, 1.21 C) = 0.01 tr C, and with common axes sum (a^(1/2) - b^(1/2))^2."""
    for name, count in SAMPLES.items():
        mean, cov = reference.frechet.moments(_features(count, 20))
        yield f"{name}, equal", _error((mean, cov, mean, cov), 0, ROUNDING)
        expected = 0.01 * (mean @ mean + np.trace(cov))
        yield f"{name}, scaled", _error((mean, cov, 1.1 * mean, 1.21 * cov), expected, ROUNDING)
    axes, zero = np.linalg.qr(_normal(SIZE, SIZE, key=30))[0], np.zeros(SIZE)
    a, b = _normal(2, SIZE, key=31) ** 2
    expected = ((a**0.5 - b**0.5) ** 2).sum()
    arguments = zero, (axes * a) @ axes.T, zero, (axes * b) @ axes.T
    yield "common axes", _error(arguments, expected, ROUNDING)


@check("put get")
def frechet_distance_matches_its_definition(probe: Probe) -> Errors:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) by another method, and in known cases."""
    probe.require(np.float64, "scores are computed in float64 whatever the subject's dtype")
    yield from _of_samples()
    yield from _of_known_answers()
