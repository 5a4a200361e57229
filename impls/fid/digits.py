"""Scores of generated digits that need no download: honest about what they are.

A small classifier is trained on the real training digits, always the same way. *Conditional
accuracy* is the share of samples that it reads as the label they were asked for. The *digits
Frechet distance* compares its hidden features of samples with those of held-out real digits; it is
no FID and its numbers compare with nothing but themselves.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from impls.common import draws
from impls.common.draws import Stream
from impls.data import digits_split
from impls.fid.distance import frechet_distance
from impls.fid.moments import Array, moments

HIDDEN = 64
RESAMPLES = 200


class Score(NamedTuple):
    """A score with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def conditional_accuracy(images: Array, labels: Array) -> Score:
    """Share of images [n, 8, 8, 1] that the classifier reads as their labels [n]."""
    right = (_classifier().predict(_flat(images)) == labels).astype(np.float64)
    return _bootstrap(right.mean(), [right[rows].mean() for rows in _resamples(len(right))])


def digits_frechet(images: Array) -> Score:
    """Frechet distance of images [n, 8, 8, 1] from the held-out digits, in hidden features."""
    real = moments(features(digits_split(held_out=True).images))
    found = features(images)

    def distance(rows: Array) -> float:
        made = moments(rows)
        return frechet_distance(made.mean, made.covariance, real.mean, real.covariance)

    return _bootstrap(distance(found), [distance(found[rows]) for rows in _resamples(len(found))])


def features(images: Array) -> Array:
    """Hidden layer of the classifier: [n, 8, 8, 1] -> [n, 64] float64, after its ReLU."""
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


def _bootstrap(value: float, resampled: list[float]) -> Score:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Score(float(value), float(low), float(high))
