"""Scores of generated digits that need no download.

A small classifier is trained on the real training digits, always in the same way. *Conditional
accuracy* is the share of samples that it classifies as the label they were conditioned on. The
*digits Fréchet distance* compares its hidden features of samples with those of held-out real
digits; it is not FID, and its values are comparable with each other only.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from impls.common import draws
from impls.common.draws import Stream
from impls.data import digits_split
from impls.fid.moments import Array, MomentGroups, moments
from impls.fid.scores import frechet_score
from impls.fid.statistics import Statistics

HIDDEN = 64
RESAMPLES = 200


class Score(NamedTuple):
    """Score with its interval."""

    value: float
    low: float  # 95 % interval of value over other samples, as many, of the same model
    high: float


def conditional_accuracy(images: Array, labels: Array) -> Score:
    """Share of images [n, 8, 8, 1] that are classified as their labels [n].

    The interval is a bootstrap interval.
    """
    right = (_classifier().predict(_flat(images)) == labels).astype(np.float64)
    resampled = [right[rows].mean() for rows in _resamples(len(right))]
    return Score(float(right.mean()), *map(float, np.quantile(resampled, (0.025, 0.975))))


def digits_frechet(images: Array) -> Score:
    """Fréchet distance between images [n, 8, 8, 1] and the held-out digits, in hidden features.

    Interval and bias are those of FID: see `impls.fid.scores.frechet_score`.
    """
    real = moments(features(digits_split(held_out=True).images))
    made = MomentGroups()
    made.add(features(images))
    score = frechet_score(made.groups(), Statistics(real.mean, real.covariance))
    return Score(score.value, score.low, score.high)


def features(images: Array) -> Array:
    """Activations of the classifier's hidden layer: [n, 8, 8, 1] -> [n, 64] float64, after ReLU."""
    network = _classifier()
    hidden: Array = np.maximum(_flat(images) @ network.coefs_[0] + network.intercepts_[0], 0)
    return hidden


def _flat(images: Array) -> Array:
    return np.asarray(images, np.float64).clip(-1, 1).reshape(len(images), -1)


@functools.cache
def _classifier() -> Any:
    from sklearn.neural_network import MLPClassifier

    images, labels = digits_split(held_out=False)
    network = MLPClassifier((HIDDEN,), alpha=1e-3, max_iter=300, random_state=0)
    return network.fit(_flat(images), labels)


def _resamples(count: int) -> list[Array]:
    """Rows of bootstrap resamples, the same at each call."""
    return [
        (draws.uniform((count,), 0, Stream.CHECK, index) * count).astype(np.int64)
        for index in range(RESAMPLES)
    ]
