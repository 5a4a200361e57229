"""p-values of the tests that the laws of times, masks and labels are held to.

A heading's tests share a false-alarm rate of 1e-6 (Bonferroni): with k tests each p-value is
multiplied by k, and the heading is rejected where the least of them is below 1e-6. Tests are exact
(binomial, Kolmogorov-Smirnov), or of sums of so many terms that the error of the normal and chi^2
limits is far below what a decision needs.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from verify.ports.observation import Array

FALSE_ALARM = 1e-6
_TAILS = (0.002, 0.02)


def binomial(successes: int, trials: int, probability: float) -> float:
    """Two-sided exact binomial test: twice the smaller tail."""
    if probability <= 0 or probability >= 1:
        return float(successes == trials * round(probability))
    below = special.bdtr(successes, trials, probability)
    above = special.bdtrc(successes - 1, trials, probability) if successes else 1.0
    return min(1.0, 2 * float(min(below, above)))


def kolmogorov(u: Array, slack: float = 0.0) -> float:
    """Exact Kolmogorov-Smirnov test of "u is uniform on 0..1", or no further from it than slack."""
    ordered, steps = np.sort(u), np.arange(len(u) + 1) / len(u)
    apart = float(max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1])))
    return float(stats.kstwo.sf(max(apart - slack, 0.0), len(u)))


def combined(p_values: Sequence[float]) -> float:
    """Bonferroni's p-value of several tests; 1 without any."""
    return min(1.0, len(p_values) * min(p_values)) if p_values else 1.0


def uniformity(u: Array, slack: float = 0.0) -> list[float]:
    """p-values of "u is uniform on 0..1, rows independent": u is [num_rows].

    Kolmogorov-Smirnov; mean and variance of the normal scores (shifted and scaled laws); numbers of
    rows in the four tails (truncated and rescaled laws, which Kolmogorov-Smirnov hardly sees).
    With a slack, Kolmogorov-Smirnov alone, of distribution functions further apart than the slack.
    """
    if len(u) < 20:
        return []
    if slack:
        return [kolmogorov(u, slack)]
    scores = special.ndtri(np.clip(u, 1e-12, 1 - 1e-12))
    mean = 2 * special.ndtr(-abs(scores.mean()) * math.sqrt(len(u)))
    variance = _chi_square(float(scores @ scores), len(u))
    tails = [
        binomial(int(np.sum(side < q)), len(u), q) for q in _TAILS for side in (u, 1 - u)
    ]  # fmt: skip
    return [kolmogorov(u), float(mean), variance, *tails]


def independence(u: Array, w: Array) -> tuple[float, float]:
    """Rank correlation of u and w, and the p-value of "they are independent"."""
    if len(u) < 20 or np.ptp(u) == 0 or np.ptp(w) == 0:
        return 0.0, 1.0
    correlation = float(np.corrcoef(stats.rankdata(u), stats.rankdata(w))[0, 1])
    # Fisher's transform; exact dependence has an infinite one
    score = math.atanh(min(abs(correlation), 1 - 1e-15)) * math.sqrt(len(u) - 3)
    return correlation, float(2 * special.ndtr(-score))


def group_ranks(values: Array, groups: NDArray[np.int64]) -> Array:
    """Ranks within each group, scaled to 0..1: uniform whatever the groups' laws."""
    ranks = np.zeros(values.shape)
    for group in np.unique(groups):
        inside = groups == group
        ranks[inside] = (stats.rankdata(values[inside]) - 0.5) / inside.sum()
    return ranks


def dispersion(u: Array, among: NDArray[np.bool_], axis: int) -> tuple[float, float]:
    """Variance of the means of u along an axis beside that of independent rows, and its p-value.

    With n rows `among` those of a mean, sum of 12 n (mean - 1/2)^2 is chi^2, a degree each.
    """
    n = among.sum(axis)
    sums = np.where(among, u - 0.5, 0).sum(axis)
    degrees = int(np.sum(n > 0)) - 1
    if degrees < 8:
        return 1.0, 1.0
    statistic = float(np.sum(12 * sums**2 / np.maximum(n, 1)))
    return statistic / degrees, _chi_square(statistic, degrees)


def count_dispersion(counts: Array, trials: int) -> tuple[float, float]:
    """Variance of counts beside the binomial one of the same mean, and its p-value."""
    share = float(counts.mean()) / trials
    if not 0 < share < 1 or len(counts) < 8:
        return 1.0, 1.0
    statistic = float(np.sum((counts - counts.mean()) ** 2)) / (trials * share * (1 - share))
    return statistic / (len(counts) - 1), _chi_square(statistic, len(counts) - 1)


def text(p_value: float) -> str:
    """A p-value as it is printed."""
    return "p < 1e-99" if p_value < 1e-99 else f"p = {p_value:.1g}"


def _chi_square(statistic: float, degrees: int) -> float:
    """Two-sided p-value of a chi^2 statistic."""
    below, above = special.chdtr(degrees, statistic), special.chdtrc(degrees, statistic)
    return min(1.0, 2 * float(min(below, above)))
