"""Scores of generated small images that need no download.

A small classifier is trained on the real training images of a data set, always in the same way.
*Conditional accuracy* is the share of samples that it classifies as the label they were conditioned
on. The *Fréchet distance* of a data set compares its hidden features of samples with those of
held-out real images; it is not FID, and its values are comparable with each other only.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from impls.common import draws
from impls.common.config import DatasetConfig
from impls.common.draws import Stream
from impls.common.errors import DataError, UserError
from impls.common.types import Batch
from impls.data import digits_split, mnist_split
from impls.fid.moments import Array, MomentGroups, moments
from impls.fid.scores import frechet_score
from impls.fid.statistics import Statistics

RESAMPLES = 200
MOST = 10_000  # images that a classifier is trained on, at most: the first ones
FEWEST = 100  # images of a split

SHIFTS = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]  # rows and columns


class DataSet(NamedTuple):
    """Data set of small images: its splits, and how its classifier is trained."""

    title: str  # heads its scores
    split: Callable[[DatasetConfig, bool], Batch]  # training images, or the held-out ones if True
    options: dict[str, Any]  # of scikit-learn's MLPClassifier; its last hidden layer is of 64
    shifts: list[tuple[int, int]]  # of each training image, in pixels: augmentation
    num_published: int | None = None  # training images, where a copy may hold fewer of them


# Those of impls.common.config.DATA_SETS that can be scored.
DATA_SETS = {
    "digits": DataSet(
        "digits",
        lambda _, held_out: digits_split(held_out),
        {"hidden_layer_sizes": (64,), "alpha": 1e-3},
        SHIFTS[:1],
    ),
    # Classifies 97.9 % of 1,000 held-out images, trained on 9,000 in 31 s of one core's time.
    "mnist": DataSet(
        "MNIST",
        mnist_split,
        {"hidden_layer_sizes": (256, 64), "alpha": 0.1, "batch_size": 500, "tol": 5e-3},
        SHIFTS,
        num_published=60_000,
    ),
}


class Score(NamedTuple):
    """Score with its interval."""

    value: float
    low: float  # 95 % interval of value over other samples, as many, of the same model
    high: float


def split(data: DatasetConfig, held_out: bool) -> Batch:
    """Training images of a data set, or those that are held out.

    Raises:
        DataError: when a file is missing or damaged.
    """
    return DATA_SETS[data.kind].split(data, held_out)


def check(data: DatasetConfig) -> None:
    """Raise UserError for a data set without a score, DataError for missing or too few images."""
    if data.kind not in DATA_SETS:
        raise UserError(
            f"only {' and '.join(DATA_SETS)} can be scored here, and the data set is {data.name}:"
            " use meanflow fid-check"
        )
    for name, held_out in (("training", False), ("held-out", True)):
        if (count := len(split(data, held_out).labels)) < FEWEST:
            raise DataError(
                f"{data.name} in {data.root} has {count} {name} images, expected {FEWEST} or more"
                " to score samples with"
            )


def conditional_accuracy(data: DatasetConfig, images: Array, labels: Array) -> Score:
    """Share of images [n, height, width, 1] that are classified as their labels [n].

    The interval is a bootstrap interval.
    """
    right = (_classifier(data).predict(_flat(images)) == labels).astype(np.float64)
    resampled = [right[rows].mean() for rows in _resamples(len(right))]
    return Score(float(right.mean()), *map(float, np.quantile(resampled, (0.025, 0.975))))


def frechet(data: DatasetConfig, images: Array) -> Score:
    """Fréchet distance between images [n, height, width, 1] and held-out ones, in hidden features.

    Interval and bias are those of FID: see `impls.fid.scores.frechet_score`.
    """
    real = moments(features(data, split(data, held_out=True).images))
    made = MomentGroups()
    made.add(features(data, images))
    score = frechet_score(made.groups(), Statistics(real.mean, real.covariance))
    return Score(score.value, score.low, score.high)


def features(data: DatasetConfig, images: Array) -> Array:
    """Activations of the classifier's last hidden layer, after ReLU.

    Returns:
        [n, 64] float64, of images [n, height, width, 1].
    """
    network, hidden = _classifier(data), _flat(images)
    for weight, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ weight + bias, 0)
    return hidden


def _flat(images: Array) -> Array:
    return np.asarray(images, np.float64).clip(-1, 1).reshape(len(images), -1)


@functools.cache
def _classifier(data: DatasetConfig) -> Any:
    """Multilayer perceptron of scikit-learn, trained on at most MOST images and their shifts."""
    from sklearn.neural_network import MLPClassifier

    kind = DATA_SETS[data.kind]
    images, labels = (part[:MOST] for part in split(data, held_out=False))
    # What leaves an image comes in on the other side: only background does.
    shifted = np.concatenate([np.roll(images, shift, axis=(1, 2)) for shift in kind.shifts])
    network = MLPClassifier(max_iter=300, random_state=0, **kind.options)
    return network.fit(_flat(shifted), np.tile(labels, len(kind.shifts)))


def _resamples(count: int) -> list[Array]:
    """Rows of bootstrap resamples, the same at each call."""
    return [
        (draws.uniform((count,), 0, Stream.CHECK, index) * count).astype(np.int64)
        for index in range(RESAMPLES)
    ]
