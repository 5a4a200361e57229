"""FID and Inception score, with intervals over other samples of the same model."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy.special import entr, log_softmax, stdtrit

from impls.common.errors import UserError
from impls.fid.distance import frechet_distance
from impls.fid.moments import Array, Moments, merge, without
from impls.fid.statistics import Statistics

NUM_SPLITS = 10  # of the Inception score, as in published results


class FrechetScore(NamedTuple):
    """FID with its interval, standard error and bias."""

    value: float  # of all samples: the number to publish
    low: float  # 95 % interval of value over other samples, as many, of the same model
    high: float
    standard_error: float  # the interval's: of the samples alone, not of another training
    bias: float  # how much higher value is than it would be with infinitely many samples, about
    num_samples: int


class InceptionScore(NamedTuple):
    """Inception score: mean and standard deviation over the splits."""

    value: float
    deviation: float


class ScoreSums(NamedTuple):
    """Sums over samples for the Inception score; `add_sums` adds those of several parts."""

    num_samples: Array  # [splits] int64
    probabilities: Array  # [splits, classes]: sum of p(y | x)
    negative_entropy: Array  # [splits]: sum of sum_y p(y | x) log p(y | x)


def fid(features: Moments, reference: Statistics) -> float:
    """FID: Fréchet distance between samples and reference, as normal distributions of features.

    Raises:
        UserError: when their numbers of features differ.
    """
    if features.mean.shape != reference.mean.shape:
        raise UserError(
            f"the reference statistics have {len(reference.mean)} features and the samples"
            f" {len(features.mean)}: make both with the same Inception file"
        )
    mean, covariance = features.mean, features.covariance
    return frechet_distance(mean, covariance, reference.mean, reference.covariance)


def frechet_score(groups: Sequence[Moments], reference: Statistics) -> FrechetScore:
    """FID with its interval, by the jackknife: leaving out a group of samples at a time.

    With v_g the FID without group g of G:
        standard_error^2 = (G - 1) / G sum_g (v_g - mean v)^2
        bias = (G - 1) (mean v - value)

    FID is biased upward by about c / n. A bootstrap adds the bias once more, so its percentiles
    would lie too high: the interval is value ± t standard_error instead, with Student's t of G - 1
    degrees of freedom. The sampling error of the reference statistics is not included. With fewer
    samples than about three times the number of features the interval is too wide, and with fewer
    samples than features the bias is meaningless.

    Args:
        groups: moments of the groups, of about equal size, from `MomentGroups`.

    Raises:
        UserError: for too few samples, or another number of features.
    """
    whole = reduce(merge, groups)
    count = len(groups)
    if count < 2 or min(whole.num_samples - group.num_samples for group in groups) < 2:
        raise UserError(f"{whole.num_samples} samples are too few for FID: make more")
    value = fid(whole, reference)
    left = np.array([fid(without(whole, group), reference) for group in groups])
    error = float(np.sqrt((count - 1) * left.var()))
    reach = float(stdtrit(count - 1, 0.975)) * error
    bias = float((count - 1) * (left.mean() - value))
    return FrechetScore(value, value - reach, value + reach, error, bias, whole.num_samples)


def score_sums(
    features: Array, weight: Array, first: int, num_samples: int, num_splits: int = NUM_SPLITS
) -> ScoreSums:
    """Sums over some of the samples for the Inception score.

    p(y | x) = softmax(weight f(x)), without the bias, as the original does

    Args:
        features: [n, features] of samples first, first + 1, …
        weight: [classes, features], "output.weight" of Inception.
        num_samples: total number; split k has samples k N / S to (k + 1) N / S.
    """
    logits = np.asarray(features, np.float64) @ np.asarray(weight, np.float64).T
    log_p = log_softmax(logits, axis=1)
    p = np.exp(log_p)
    bounds = np.arange(1, num_splits) * num_samples // num_splits
    split = np.searchsorted(bounds, first + np.arange(len(p)), "right")
    member = (split == np.arange(num_splits)[:, None]).astype(np.float64)
    return ScoreSums(member.sum(1).astype(np.int64), member @ p, member @ (p * log_p).sum(1))


def add_sums(one: ScoreSums, other: ScoreSums) -> ScoreSums:
    """Sums over the samples of both."""
    return ScoreSums(*(a + b for a, b in zip(one, other, strict=True)))


def inception_score(sums: ScoreSums) -> InceptionScore:
    """Inception score: exp(mean_x KL(p(y | x) || p(y))) of each split (Salimans et al. 2016)

    mean_x KL = mean_x sum_y p(y | x) log p(y | x) - sum_y p(y) log p(y)

    Raises:
        UserError: when a split has no samples.
    """
    if not sums.num_samples.all():
        raise UserError(
            f"{sums.num_samples.sum()} samples are too few for the Inception score in"
            f" {len(sums.num_samples)} splits: make more"
        )
    mean = sums.probabilities / sums.num_samples[:, None]
    scores = np.exp(sums.negative_entropy / sums.num_samples + entr(mean).sum(1))
    return InceptionScore(float(scores.mean()), float(scores.std()))
